//! What a build cost, and what of it could not be done at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use crate::{
    Error,
    engine::{Engine, Unit},
    stage,
};

/// What one stage cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// The stage.
    pub unit: Unit,
    /// What the chart calls it.
    pub name: String,
    /// The stages that it waits for, by their places in the list.
    pub needs: Vec<usize>,
    /// How long its steps took when they ran.
    pub wall: Duration,
    /// CPU time of its steps.
    pub cpu: Duration,
    /// Whether it is built as its recipe stands; if not, nothing is known of its times.
    pub is_built: bool,
}

/// What the stages of a build cost, each after those it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timings {
    /// The stages.
    pub stages: Vec<Timing>,
}

/// Width of the chart's bars, the space left of them for names, and the height of a row, in
/// pixels.
const WIDTH: f64 = 900.0;
const MARGIN: f64 = 260.0;
const ROW: f64 = 18.0;
/// Height of what stands above the rows.
const HEAD: f64 = 56.0;

impl Timings {
    /// When each stage can begin at the earliest, on a machine with enough cores.
    pub fn starts(&self) -> Vec<Duration> {
        let mut ends: Vec<Duration> = Vec::with_capacity(self.stages.len());
        let mut starts = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let ended = stage.needs.iter().filter_map(|&need| ends.get(need)).max();
            let start = ended.copied().unwrap_or_default();
            starts.push(start);
            ends.push(start + stage.wall);
        }
        starts
    }

    /// The stages that no number of cores makes faster, first to last: the chain that takes the
    /// longest.
    pub fn critical_path(&self) -> Vec<usize> {
        let starts = self.starts();
        let end = |at: usize| match (starts.get(at), self.stages.get(at)) {
            (Some(start), Some(stage)) => *start + stage.wall,
            _ => Duration::ZERO,
        };
        // Of equals the first, so that the same list gives the same path.
        let last = |found: &mut dyn Iterator<Item = usize>| {
            found.max_by_key(|&at| (end(at), std::cmp::Reverse(at)))
        };
        let mut path = Vec::new();
        let mut next = last(&mut (0..self.stages.len()));
        while let Some(at) = next {
            path.push(at);
            let before = self.stages.get(at).map(|stage| &stage.needs[..]).unwrap_or_default();
            next = last(&mut before.iter().copied().filter(|&need| need < at));
        }
        path.reverse();
        path.retain(|&at| self.stages.get(at).is_some_and(|stage| !stage.wall.is_zero()));
        path
    }

    /// How long the critical path takes.
    pub fn critical_time(&self) -> Duration {
        let path = self.critical_path();
        path.iter().filter_map(|&at| self.stages.get(at)).map(|stage| stage.wall).sum()
    }

    /// CPU time of all stages.
    pub fn cpu(&self) -> Duration {
        self.stages.iter().map(|stage| stage.cpu).sum()
    }

    /// The stages of whose times nothing is known.
    pub fn unknown(&self) -> impl Iterator<Item = &Timing> {
        self.stages.iter().filter(|stage| !stage.is_built)
    }

    /// A chart of the stages as SVG 1.1: a bar for each from the earliest time at which it can
    /// begin, those of the critical path in another colour. Stages too short to be seen are left
    /// out, unless they are on it.
    pub fn to_svg(&self, title: &str) -> String {
        let starts = self.starts();
        let path = self.critical_path();
        let total = self.critical_time().as_secs_f64().max(f64::MIN_POSITIVE);
        let mut rows: Vec<usize> = (0..self.stages.len())
            .filter(|at| self.stages[*at].wall.as_secs_f64() * 500.0 > total || path.contains(at))
            .collect();
        rows.sort_by_key(|&at| (starts[at], at));
        let height = HEAD + rows.len() as f64 * ROW + 8.0;
        let mut out = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            let _ = out.write_fmt(text);
            out.push('\n');
        };
        line(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{height:.0}\" \
             font-family=\"sans-serif\" font-size=\"11\">",
            MARGIN + WIDTH + 80.0
        ));
        line(format_args!("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"));
        line(format_args!("<text x=\"8\" y=\"20\" font-size=\"15\">{}</text>", escaped(title)));
        let unknown = match self.unknown().count() {
            0 => String::new(),
            count => format!("; not built, with times unknown: {count}"),
        };
        line(format_args!(
            "<text x=\"8\" y=\"38\">{} stages, {} of CPU time; the critical path (red) takes \
             {}{unknown}</text>",
            self.stages.len(),
            shown(self.cpu()),
            shown(self.critical_time())
        ));
        for tenth in 0..=10 {
            let x = MARGIN + WIDTH * f64::from(tenth) / 10.0;
            line(format_args!(
                "<path d=\"M{x:.1} {:.1}V{height:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{}</text>",
                HEAD - 4.0,
                HEAD - 7.0,
                shown(Duration::from_secs_f64(total * f64::from(tenth) / 10.0))
            ));
        }
        for (row, &at) in rows.iter().enumerate() {
            let stage = &self.stages[at];
            let y = HEAD + row as f64 * ROW;
            let x = MARGIN + WIDTH * starts[at].as_secs_f64() / total;
            let width = (WIDTH * stage.wall.as_secs_f64() / total).max(1.0);
            let colour = if path.contains(&at) { "#c33" } else { "#69c" };
            let name = escaped(&stage.name);
            line(format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\
                 <rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
                 fill=\"{colour}\"><title>{name}: {} wall, {} CPU</title></rect>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                MARGIN - 6.0,
                y + 12.0,
                y + 2.0,
                ROW - 5.0,
                shown(stage.wall),
                shown(stage.cpu),
                x + width + 4.0,
                y + 12.0,
                shown(stage.wall)
            ));
        }
        line(format_args!("</svg>"));
        out
    }
}

impl Engine<'_> {
    /// What the stages that `targets` need cost when they were built; what is missing is built
    /// only where `build` says so.
    pub fn timings(&self, targets: &[String], build: bool) -> Result<Timings, Vec<Error>> {
        let one = |error| vec![error];
        let wanted = self.units_of(targets)?;
        let (order, needs) = self.order(wanted.values()).map_err(one)?;
        if build {
            self.build_units(wanted.values())?;
            self.store.settle().map_err(|error| one(error.into()))?;
        } else {
            self.recall(&order).map_err(one)?;
        }
        let places: BTreeMap<&Unit, usize> =
            order.iter().enumerate().map(|(place, unit)| (unit, place)).collect();
        let mut stages = Vec::new();
        for unit in &order {
            let all = &self.recipe(unit).map_err(one)?.containerfile.stages;
            let name = match all.get(unit.stage).and_then(|stage| stage.name.as_ref()) {
                _ if all.len() == 1 => unit.package.clone(),
                Some(name) => format!("{} {}", unit.package, name.value),
                None => format!("{} {}", unit.package, unit.stage),
            };
            let built = self.result(unit);
            let is_built = built.is_some();
            let usage = built.map(|built| built.usage).unwrap_or_default();
            let needs = needs.get(unit).into_iter().flatten();
            stages.push(Timing {
                unit: unit.clone(),
                name,
                needs: needs.filter_map(|need| places.get(need).copied()).collect(),
                wall: usage.wall,
                cpu: usage.cpu,
                is_built,
            });
        }
        Ok(Timings { stages })
    }

    /// What the steps of `packages` used before.
    pub(crate) fn past(&self, packages: &BTreeSet<&str>) -> Result<Past, Error> {
        let mut past = Past::default();
        self.store.each_step(|record| {
            let mut fields = record.fields;
            let number = |name| fields.get(name).and_then(|text: &String| text.parse::<u64>().ok());
            let Some(wall) = number("wall_ms") else { return };
            // The largest process, for each that ran at a time on average.
            let at_once = number("cpu_ms").unwrap_or(0).div_ceil(wall.max(1)).max(1);
            let memory = number("max_rss").unwrap_or(0).saturating_mul(at_once);
            let Some(package) = fields.remove("package") else { return };
            if packages.contains(&package[..]) {
                let step = fields.remove("step").unwrap_or_default();
                let known = past.steps.entry((package, step)).or_default();
                *known = (wall.max(known.0), memory.max(known.1));
            }
        })?;
        Ok(past)
    }

    /// What building each unit is thought to take, in milliseconds: what the same instructions of
    /// the same package took before.
    pub(crate) fn costs(&self, units: &[&Unit], past: &Past) -> Result<Vec<u64>, Error> {
        units
            .iter()
            .map(|unit| {
                let containerfile = self.recipe(unit)?.containerfile;
                let stage = containerfile.stages.get(unit.stage);
                let instructions = stage.map(|stage| &stage.instructions[..]).unwrap_or_default();
                let cost = instructions.iter().map(|instruction| {
                    let text = stage::first_line(&containerfile.document, instruction.span);
                    past.get(&unit.package, text).0
                });
                Ok(cost.fold(0, u64::saturating_add))
            })
            .collect()
    }
}

/// What steps used before, by package and the first line of the instruction: the time on the wall
/// clock in milliseconds, and the memory in bytes; of several the most.
#[derive(Debug, Default)]
pub(crate) struct Past {
    steps: BTreeMap<(String, String), (u64, u64)>,
}

impl Past {
    fn get(&self, package: &str, step: &str) -> (u64, u64) {
        self.steps.get(&(package.to_owned(), step.to_owned())).copied().unwrap_or_default()
    }

    /// The memory that a step is thought to need; 0 if that is not known.
    pub(crate) fn memory(&self, package: &str, step: &str) -> u64 {
        self.get(package, step).1
    }
}

/// A time for people: `1:02:03`, `2:03`, or seconds with a tenth below a minute.
pub fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{:.1} s", time.as_millis() as f64 / 1000.0),
        (0, minutes) => format!("{minutes}:{:02}", seconds % 60),
        (hours, minutes) => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to write these.
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use stagex_recipe::{boxes::Architecture, catalogue::Platform};

    use super::*;

    fn timings(all: &[(&str, &[usize], u64)]) -> Timings {
        let stages = all.iter().map(|(name, needs, seconds)| Timing {
            unit: Unit {
                package: (*name).to_owned(),
                stage: 0,
                platform: Platform::linux(Architecture::X86_64),
            },
            name: (*name).to_owned(),
            needs: needs.to_vec(),
            wall: Duration::from_secs(*seconds),
            cpu: Duration::from_secs(2 * seconds),
            is_built: true,
        });
        Timings { stages: stages.collect() }
    }

    #[test]
    fn the_critical_path_is_the_longest_chain_by_time() {
        // Three quick ones in a row are shorter than one slow one.
        let all = timings(&[
            ("a", &[], 1),
            ("b", &[0], 1),
            ("c", &[1], 1),
            ("slow", &[0], 100),
            ("copies", &[2, 3], 0),
            ("end", &[4], 5),
            ("aside", &[], 105),
        ]);
        assert_eq!(all.critical_path(), [0, 3, 5]);
        assert_eq!(all.critical_time(), Duration::from_secs(106));
        assert_eq!(all.cpu(), Duration::from_secs(2 * 213));
        let starts: Vec<u64> = all.starts().iter().map(Duration::as_secs).collect();
        assert_eq!(starts, [0, 1, 2, 1, 101, 101, 0]);
        assert_eq!(Timings::default().critical_path(), Vec::<usize>::new());
    }

    #[test]
    fn the_chart_is_well_formed_and_says_what_there_is() {
        let mut all = timings(&[("first <&\"\u{7}>", &[], 100), ("next", &[0], 3600)]);
        all.stages.extend(timings(&[("instant", &[], 0)]).stages);
        let svg = all.to_svg("A & B");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        std::fs::write(&path, &svg).unwrap();
        let script = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
        let status = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .status()
            .expect("python3 is missing: install Debian's python3");
        assert!(status.success(), "{svg}");
        assert!(svg.contains("A &amp; B") && svg.contains("first &lt;&amp;&quot;?&gt;"), "{svg}");
        assert!(svg.contains("the critical path (red) takes 1:01:40"), "{svg}");
        assert_eq!(svg.matches("fill=\"#c33\"").count(), 2);
        assert!(!svg.contains("instant") && !svg.contains("unknown"));
        assert_eq!(svg, all.to_svg("A & B"));
        assert!(!Timings::default().to_svg("nothing").contains("NaN"));
        all.stages[2].is_built = false;
        assert_eq!(all.unknown().map(|stage| &stage.name[..]).collect::<Vec<_>>(), ["instant"]);
        assert!(all.to_svg("A").contains("; not built, with times unknown: 1<"));
    }

    #[test]
    fn times_are_shown_for_people() {
        let shown = |millis| shown(Duration::from_millis(millis));
        assert_eq!(shown(1_234), "1.2 s");
        assert_eq!(shown(61_000), "1:01");
        assert_eq!(shown(3_723_000), "1:02:03");
    }
}
