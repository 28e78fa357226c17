//! What a scenario's run has shown.

use std::{collections::BTreeMap, fmt, fmt::Write, path::PathBuf, time::Duration};

use crate::Arch;

/// The end of a measure's name, where it is of processor time.
pub const CPU: &str = "-cpu";

/// The report of one run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The scenario's name.
    pub name: String,
    /// The scenario's file.
    pub file: PathBuf,
    /// The architecture.
    pub arch: Arch,
    /// `KVM`, or `TCG` and why.
    pub acceleration: String,
    /// Whether it went well.
    pub outcome: Outcome,
    /// How long the whole run took.
    pub took: Duration,
    /// The steps that were done, the failed one included.
    pub steps: Vec<StepReport>,
    /// When the measured steps ended, from QEMU's start; under the same name with [`CPU`] behind
    /// it, how much processor time QEMU had taken by then.
    pub measures: BTreeMap<String, Duration>,
    /// All of the console, with times; not there where the machine was never started.
    pub transcript: PathBuf,
    /// The pictures taken.
    pub pictures: Vec<PathBuf>,
}

/// Whether a scenario went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All was seen, and all checks hold.
    Passed,
    /// Something was not as it should be.
    Failed {
        /// The line of the scenario's file, from 1; none where no step had begun.
        line: Option<usize>,
        /// The step or check.
        what: String,
        /// Why.
        reason: String,
    },
}

/// A step that was done.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// What was done.
    pub name: String,
    /// When it ended, from QEMU's start.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether it went well.
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}

impl fmt::Display for Report {
    /// One line for what went well; where it failed and why for what did not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let Self { name, arch, acceleration, .. } = self;
        match &self.outcome {
            Outcome::Passed => {
                write!(f, "passed: {name} ({arch}, {acceleration}, {seconds:.1} s")?;
                for (measure, at) in self.measures.iter().filter(|(name, _)| !name.ends_with(CPU)) {
                    write!(f, "; {measure} after {:.1} s", at.as_secs_f64())?;
                    if let Some(cpu) = self.measures.get(&format!("{measure}{CPU}")) {
                        write!(f, ", {:.1} s of CPU", cpu.as_secs_f64())?;
                    }
                }
                f.write_str(")")
            }
            Outcome::Failed { line, what, reason } => {
                writeln!(f, "failed: {name} ({arch}, {acceleration}, {seconds:.1} s)")?;
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                writeln!(f, "  {}{line}: {what}", self.file.display())?;
                for line in reason.lines() {
                    writeln!(f, "  {line}")?;
                }
                write!(f, "  the whole console: {}", self.transcript.display())
            }
        }
    }
}

/// The reports in JUnit's XML, which test dashboards read.
pub fn junit(reports: &[Report]) -> String {
    let failed = reports.iter().filter(|report| !report.passed()).count();
    let seconds: f64 = reports.iter().map(|report| report.took.as_secs_f64()).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string does not fail.
    let _ = writeln!(
        xml,
        "<testsuite name=\"qemu-tests\" tests=\"{}\" failures=\"{failed}\" time=\"{seconds:.3}\">",
        reports.len()
    );
    for report in reports {
        let _ = write!(
            xml,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            report.arch,
            escape(&report.name),
            report.took.as_secs_f64()
        );
        let _ = match &report.outcome {
            Outcome::Passed => writeln!(xml, "/>"),
            Outcome::Failed { what, reason, .. } => writeln!(
                xml,
                ">\n    <failure message=\"{}\">{}</failure>\n  </testcase>",
                escape(what),
                escape(reason)
            ),
        };
    }
    xml.push_str("</testsuite>\n");
    xml
}

/// The reports as JSON: an object with the list `runs`, each with its name, architecture, outcome,
/// seconds, measures, the paths of transcript and pictures, and why it failed where it did.
pub fn json(reports: &[Report]) -> String {
    let runs: Vec<_> = reports
        .iter()
        .map(|report| {
            let measures: BTreeMap<&str, f64> =
                report.measures.iter().map(|(name, at)| (&name[..], at.as_secs_f64())).collect();
            let mut run = serde_json::json!({
                "name": report.name,
                "architecture": report.arch.to_string(),
                "acceleration": report.acceleration,
                "passed": report.passed(),
                "seconds": report.took.as_secs_f64(),
                "measures": measures,
                "transcript": report.transcript,
                "pictures": report.pictures,
            });
            if let Outcome::Failed { what, reason, .. } = &report.outcome {
                run["failure"] = serde_json::json!({"what": what, "reason": reason});
            }
            run
        })
        .collect();
    format!("{:#}\n", serde_json::json!({ "runs": runs }))
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            // What XML 1.0 cannot hold at all.
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_shown_and_written_as_xml() {
        let passed = Report {
            name: "a < b".into(),
            file: "t.toml".into(),
            arch: Arch::X86_64,
            acceleration: "KVM".into(),
            outcome: Outcome::Passed,
            took: Duration::from_millis(1500),
            steps: Vec::new(),
            measures: BTreeMap::from([
                ("menu".into(), Duration::from_secs(1)),
                ("menu-cpu".into(), Duration::from_millis(600)),
            ]),
            transcript: "run/console.log".into(),
            pictures: Vec::new(),
        };
        assert_eq!(
            passed.to_string(),
            "passed: a < b (x86_64, KVM, 1.5 s; menu after 1.0 s, 0.6 s of CPU)"
        );
        let outcome = Outcome::Failed {
            line: Some(7),
            what: "expect \"x\"".into(),
            reason: "no\u{1b}\nlast".into(),
        };
        let failed = Report { outcome, ..passed.clone() };
        assert_eq!(
            failed.to_string(),
            "failed: a < b (x86_64, KVM, 1.5 s)\n  t.toml:7: expect \"x\"\n  no\u{1b}\n  last\n  \
             the whole console: run/console.log"
        );
        let text = json(&[passed.clone(), failed.clone()]);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["runs"][0]["measures"]["menu"], 1.0);
        assert_eq!(read["runs"][1]["failure"]["reason"], "no\u{1b}\nlast");
        let xml = junit(&[passed, failed]);
        assert!(xml.contains("tests=\"2\" failures=\"1\" time=\"3.000\""), "{xml}");
        assert!(xml.contains("name=\"a &lt; b\" time=\"1.500\"/>"), "{xml}");
        assert!(xml.contains("message=\"expect &quot;x&quot;\">no\u{fffd}\nlast<"), "{xml}");
    }
}
