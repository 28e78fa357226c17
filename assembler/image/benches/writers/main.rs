//! Times our writers beside the tools they replace, on the same trees, in one run.
//!
//! `cargo bench -p stagex-image -- [--only FORMAT] [--rounds N] [--chart FILE.svg]
//! [--table FILE.md] NAME=FOLDER…`: each tree is a folder under a name, such as
//! `share=/usr/share`. Every writer is a process of its own, measured by GNU time (Debian package
//! time), ours included: it reads the folder, builds the tree and writes the image into memory
//! (/dev/shm where there is one). The writers of a format take turns, so that what else the machine
//! does falls on all of them; what counts is the ratios, of which each turn gives one.
//!
//! `-- --make b|c FOLDER` makes a tree to measure: 540 directories of 100 files of 1 KB, or a
//! million files of 0 to 4 KB in 1,000 directories.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]
#![allow(unreachable_pub, reason = "modules of a program")]

mod chart;
#[path = "../../tests/common/mod.rs"]
mod common;
mod measure;
mod ours;
mod theirs;

use std::{fs, path::PathBuf};

use measure::{Result, Row};
use theirs::Place;

/// What took more seconds than this is run once: mcopy takes minutes for a million files.
const LONG: f64 = 120.0;

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("--write") => {
            return ours::write(&arguments[1], arguments[2].as_ref(), arguments[3].as_ref());
        }
        Some("--make") => return ours::make(&arguments[1], arguments[2].as_ref()),
        _ => {}
    }
    let mut option = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.remove(at);
        Some(arguments.remove(at))
    };
    let only = option("--only").unwrap_or_default();
    let rounds = option("--rounds").map_or(3, |text| text.parse().unwrap());
    let (chart, table) = (option("--chart"), option("--table"));
    if arguments.is_empty() {
        arguments.push("share=/usr/share".to_owned());
    }
    let memory = PathBuf::from("/dev/shm");
    let memory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let scratch = tempfile::tempdir_in(memory).unwrap();

    let mut rows = Vec::new();
    let mut text = String::new();
    for argument in &arguments {
        let (name, folder) = argument.split_once('=').unwrap_or((argument, argument));
        let place = Place::new(folder.as_ref(), scratch.path());
        let heading = format!("## {name}: {}\n\n{}", place.about(), measure::HEADING);
        println!("{heading}");
        text += &format!("{heading}\n");
        for (format, writers) in theirs::groups(&place) {
            if !format.starts_with(&only) {
                continue;
            }
            let mut results: Vec<Result> =
                writers.iter().map(|(writer, _)| Result::new(writer)).collect();
            for _ in 0..rounds {
                for (result, (_, command)) in results.iter_mut().zip(&writers) {
                    if result.longest() > LONG {
                        continue;
                    }
                    place.clear();
                    result.add(command(), scratch.path(), &place.image());
                }
            }
            for row in measure::rows((name, place.entries()), format, &results) {
                println!("{row}");
                text += &format!("{row}\n");
                rows.push(row);
            }
        }
        println!();
        text.push('\n');
    }
    let notes = notes(&rows);
    println!("{notes}");
    text += &notes;
    if let Some(path) = table {
        fs::write(path, text).unwrap();
    }
    if let Some(path) = chart {
        fs::write(path, chart::svg(&rows)).unwrap();
    }
}

/// What is to be seen in the tables, so that nobody has to look for it: which tool took less than
/// ours, who takes more memory than there is to be, and what a file costs in each tree.
fn notes(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows.iter().filter(|row| !row.is_ours() && row.is_image() && row.cpu() < 1.0) {
        out += &format!("{} took less CPU time than ours: {:.2}\n\n", row.title(), row.cpu());
    }
    let ours = || rows.iter().filter(|row| row.is_ours());
    for row in ours().filter(|row| row.peak() > row.limit()) {
        let (peak, limit) = (row.peak(), row.limit());
        out += &format!("{} takes {peak:.0} MB of {limit:.0}\n\n", row.title());
    }
    let formats: Vec<&str> = ours().map(Row::format).collect();
    let mut seen: Vec<&str> = Vec::new();
    out += "Ours, microseconds of CPU time for each entry of a tree:\n\n";
    for format in formats {
        if seen.contains(&format) {
            continue;
        }
        seen.push(format);
        let costs = ours().filter(|row| row.format() == format).map(Row::per_entry);
        let costs: Vec<String> = costs.map(|(tree, cost)| format!("{tree} {cost:.1}")).collect();
        out += &format!("- {format}: {}\n", costs.join(", "));
    }
    out
}
