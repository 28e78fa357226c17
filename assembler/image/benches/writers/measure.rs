//! What a writer costs, and how that compares.

use std::{fmt, fs, path::Path, process::Command};

use crate::common;

/// What stands above a table.
pub const HEADING: &str = "\
| format | writer | CPU s | CPU, times ours | wall, times ours | peak MB | image MB |
|---|---|---|---|---|---|---|";

/// One run.
#[derive(Clone, Copy)]
struct Run {
    cpu: f64,
    wall: f64,
    peak: f64,
}

/// The runs of one writer.
pub struct Result {
    writer: String,
    runs: Vec<Run>,
    size: u64,
}

impl Result {
    pub fn new(writer: &str) -> Self {
        Self { writer: writer.to_owned(), runs: Vec::new(), size: 0 }
    }

    /// The most seconds that a run has taken so far.
    pub fn longest(&self) -> f64 {
        self.runs.iter().map(|run| run.wall).fold(0.0, f64::max)
    }

    /// Runs a command that writes `image`, and measures it by GNU time.
    pub fn add(&mut self, command: Command, scratch: &Path, image: &Path) {
        let report = scratch.join("time");
        let mut timed = Command::new("time");
        timed.args(["-f", "%U %S %e %M", "-o"]).arg(&report).arg(command.get_program());
        timed.args(command.get_args());
        for (name, value) in command.get_envs() {
            timed.env(name, value.unwrap());
        }
        common::ok("time", &mut timed);
        let text = fs::read_to_string(&report).unwrap();
        let last = text.lines().last().unwrap();
        let n: Vec<f64> = last.split_whitespace().map(|word| word.parse().unwrap()).collect();
        // GNU time counts in hundredths.
        let cpu = (n[0] + n[1]).max(0.01);
        self.runs.push(Run { cpu, wall: n[2].max(0.01), peak: n[3] / 1000.0 });
        self.size =
            fs::metadata(image).map_or(0, |found| if found.is_dir() { 0 } else { found.len() });
    }
}

/// Values of several runs.
#[derive(Clone)]
struct Spread(Vec<f64>);

impl Spread {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    fn middle(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    fn ends(&self) -> (f64, f64) {
        (self.0[0], self.0[self.0.len() - 1])
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = self.ends();
        write!(f, "{:.2} ({least:.2}–{most:.2})", self.middle())
    }
}

/// What a table and a chart say of one writer.
pub struct Row {
    tree: String,
    /// Entries of the tree.
    entries: usize,
    format: String,
    writer: String,
    seconds: Spread,
    cpu: Spread,
    wall: Spread,
    peak: f64,
    size: u64,
}

impl Row {
    pub fn is_ours(&self) -> bool {
        self.writer.starts_with("ours")
    }

    /// Whether it is a tool that makes an image.
    pub fn is_image(&self) -> bool {
        self.size != 0
    }

    /// How many times our CPU time it took.
    pub fn cpu(&self) -> f64 {
        self.cpu.middle()
    }

    pub fn cpu_ends(&self) -> (f64, f64) {
        self.cpu.ends()
    }

    /// Megabytes that it may take: 50, and 1 KB for each entry.
    pub fn limit(&self) -> f64 {
        50.0 + self.entries as f64 / 1000.0
    }

    pub fn peak(&self) -> f64 {
        self.peak
    }

    pub fn format(&self) -> &str {
        &self.format
    }

    /// The tree, and microseconds of CPU time for each of its entries.
    pub fn per_entry(&self) -> (&str, f64) {
        (&self.tree, self.seconds.middle() * 1e6 / self.entries as f64)
    }

    pub fn title(&self) -> String {
        format!("{}, {}: {}", self.tree, self.format, self.writer)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, writer, seconds, cpu, wall, peak, size, .. } = self;
        let size = *size as f64 / 1e6;
        write!(f, "| {format} | {writer} | {seconds} | {cpu} | {wall} | {peak:.0} | {size:.1} |")
    }
}

/// The rows of one format, whose first writer is ours: the others are compared with it, run by run.
pub fn rows(tree: (&str, usize), format: &str, results: &[Result]) -> Vec<Row> {
    let ours = &results[0];
    let row = |result: &Result| {
        let ratio = |of: fn(&Run) -> f64| {
            Spread::new(result.runs.iter().zip(&ours.runs).map(|(a, b)| of(a) / of(b)))
        };
        Row {
            tree: tree.0.to_owned(),
            entries: tree.1,
            format: format.to_owned(),
            writer: result.writer.clone(),
            seconds: Spread::new(result.runs.iter().map(|run| run.cpu)),
            cpu: ratio(|run| run.cpu),
            wall: ratio(|run| run.wall),
            peak: result.runs.iter().map(|run| run.peak).fold(0.0, f64::max),
            size: result.size,
        }
    };
    results.iter().map(row).collect()
}
