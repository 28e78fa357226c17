//! Shows how a build goes: lines that move on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use stagex_build::observe::{Observer, StepName, Usage};
use stagex_sources::Attempt;

use crate::silence::{Silent, Watched, minutes};

/// How often a plain log tells of a download that goes on.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Shows how a build goes.
pub(crate) struct Progress {
    quiet: bool,
    start: Instant,
    /// Only on a terminal.
    bars: Option<MultiProgress>,
    lines: Mutex<BTreeMap<String, Line>>,
    downloaded: AtomicUsize,
    to_build: AtomicUsize,
    /// What the steps of each package used.
    times: Mutex<BTreeMap<String, Usage>>,
}

struct Line {
    bar: Option<ProgressBar>,
    begun: Instant,
    told: Instant,
    /// Of a step that runs a command.
    step: Option<Step>,
}

struct Step {
    text: String,
    watched: Watched,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self {
            quiet,
            start: Instant::now(),
            bars,
            lines: Mutex::default(),
            downloaded: AtomicUsize::new(0),
            to_build: AtomicUsize::new(0),
            times: Mutex::default(),
        }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Files that were downloaded.
    pub(crate) fn downloads(&self) -> usize {
        self.downloaded.load(Ordering::Relaxed)
    }

    /// Says something that stays.
    pub(crate) fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bars {
            Some(bars) => drop(bars.println(text)),
            None => {
                let seconds = self.start.elapsed().as_secs();
                drop(writeln!(
                    std::io::stderr(),
                    "[{:>2}:{:02}] {text}",
                    seconds / 60,
                    seconds % 60
                ));
            }
        }
    }

    /// What the packages used that were built, by name.
    pub(crate) fn package_times(&self) -> BTreeMap<String, Usage> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows on a terminal that something goes on, until [`Progress::end`].
    pub(crate) fn begin(&self, key: &str, text: &str) {
        self.open(key, |bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style("  {spinner} {elapsed:>4} {wide_msg}"));
            bar.set_message(text.to_owned());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
    }

    /// What [`Progress::begin`] showed is over.
    pub(crate) fn end(&self, key: &str) {
        self.close(key);
    }

    /// Shows which steps have printed nothing for long.
    pub(crate) fn show_silence(&self, now: Instant) {
        for text in self.silence(now) {
            self.say(&text);
        }
    }

    /// Shows it on a terminal's lines; gives what else is to be said of it.
    fn silence(&self, now: Instant) -> Vec<String> {
        let mut texts = Vec::new();
        for line in self.lines().values_mut() {
            let Some(Step { text, watched }) = &mut line.step else { continue };
            let silent = watched.look(now);
            if let Some(bar) = &line.bar {
                bar.set_message(match &silent {
                    Some(Silent { time, .. }) => {
                        format!("(silent for {}) {text}", minutes(*time))
                    }
                    None => text.clone(),
                });
            } else if let Some(Silent { time, is_told: true }) = silent {
                let (time, log) = (minutes(time), watched.log().display());
                texts.push(format!("{text} has printed nothing for {time}; its log: {log}"));
            }
        }
        texts
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, key: &str, bar: impl FnOnce(&MultiProgress) -> ProgressBar) -> bool {
        let mut lines = self.lines();
        if lines.contains_key(key) {
            return false;
        }
        let now = Instant::now();
        let bar = self.bars.as_ref().map(bar);
        lines.insert(key.to_owned(), Line { bar, begun: now, told: now, step: None });
        true
    }

    fn close(&self, key: &str) -> Option<Duration> {
        let line = self.lines().remove(key)?;
        if let Some(bar) = line.bar {
            bar.finish_and_clear();
        }
        Some(line.begun.elapsed())
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn step_key(step: &StepName) -> String {
    format!("step {} {}", step.package, step.stage)
}

fn step_text(step: &StepName) -> String {
    let StepName { package, stage, number, of, text } = step;
    let text: String = text.chars().take(60).collect();
    format!("{package} {stage} {number}/{of}: {text}")
}

impl stagex_sources::Observer for Progress {
    fn advanced(&self, file: &str, len: u64, total: Option<u64>) {
        let key = format!("fetch {file}");
        let opened = self.open(&key, |bars| {
            let bar = bars.add(ProgressBar::new(total.unwrap_or(0)));
            bar.set_style(style("  fetch {msg} {bytes}/{total_bytes} {bytes_per_sec}"));
            bar.set_message(file.to_owned());
            bar
        });
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&key) else { return };
        match &line.bar {
            Some(bar) => {
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(len);
            }
            None if opened || line.told.elapsed() > PLAIN_INTERVAL => {
                line.told = Instant::now();
                drop(lines);
                let of = total.map(|total| format!(" of {:.1}", mib(total))).unwrap_or_default();
                self.say(&format!("fetch {file}: {:.1}{of} MiB", mib(len)));
            }
            None => {}
        }
    }

    fn failed_place(&self, file: &str, attempt: &Attempt) {
        self.say(&format!("fetch {file}: {}: {}", attempt.place, attempt.cause));
    }

    fn finished(&self, file: &str, fetched: bool) {
        self.close(&format!("fetch {file}"));
        if fetched {
            self.downloaded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for Progress {
    fn planned(&self, to_build: usize, packages: usize) {
        self.to_build.store(to_build, Ordering::Relaxed);
        if to_build != 0 {
            self.say(&format!("{to_build} of {packages} packages to build"));
        }
    }

    fn step_started(&self, step: &StepName, log: Option<&Path>) {
        self.open(&step_key(step), |bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style("  {spinner} {elapsed:>4} {wide_msg}"));
            bar.set_message(step_text(step));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let Some(log) = log else { return };
        if let Some(line) = self.lines().get_mut(&step_key(step)) {
            let watched = Watched::new(log, line.begun);
            line.step = Some(Step { text: step_text(step), watched });
        }
        if self.bars.is_none() {
            self.say(&step_text(step));
        }
    }

    fn step_finished(&self, step: &StepName, usage: Usage) {
        let wall = self.close(&step_key(step)).unwrap_or_default();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let total = times.entry(step.package.clone()).or_default();
        total.wall += wall;
        total.cpu += usage.cpu;
        drop(times);
        // Short steps would only hide the long ones.
        if wall > Duration::from_secs(1) {
            let times =
                format!("{:.1} s wall, {:.1} s CPU", wall.as_secs_f64(), usage.cpu.as_secs_f64());
            self.say(&format!("{} done in {times}", step_text(step)));
        }
    }

    fn step_stopped(&self, step: &StepName) {
        self.close(&step_key(step));
    }

    // Why is told when the build ends, which with --keep-going is not soon.
    fn step_failed(&self, step: &StepName) {
        let wall = self.close(&step_key(step)).unwrap_or_default();
        self.say(&format!("{} failed after {:.1} s", step_text(step), wall.as_secs_f64()));
    }

    fn warned(&self, text: &str) {
        self.say(text);
    }
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_prints_nothing_is_told_of_until_it_ends() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let progress = Progress::new(true);
        let step = |number| StepName {
            package: "core-app".to_owned(),
            stage: "build".to_owned(),
            number,
            of: 2,
            text: "RUN make".to_owned(),
        };
        progress.step_started(&step(1), None);
        let later = |minutes: u64| Instant::now() + Duration::from_secs(60 * minutes);
        assert!(progress.silence(later(100)).is_empty(), "it runs no command");
        progress.step_finished(&step(1), Usage::default());
        progress.step_started(&step(2), Some(log.path()));
        assert!(progress.silence(later(5)).is_empty());
        let told = progress.silence(later(11));
        let start = "core-app build 2/2: RUN make has printed nothing for 11 min; its log: ";
        assert_eq!(told, [format!("{start}{}", log.path().display())]);
        assert!(progress.silence(later(12)).is_empty(), "it was just told of");
        progress.step_finished(&step(2), Usage::default());
        assert!(progress.silence(later(100)).is_empty());
    }
}
