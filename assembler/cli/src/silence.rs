//! Steps that have printed nothing for long: they may compute, or hang, and people want to know.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use crate::progress::Progress;

/// After so long a step is said to be silent.
const SILENCE: Duration = Duration::from_secs(600);
/// How often the logs are looked at.
const INTERVAL: Duration = Duration::from_secs(15);

/// The log of a step that runs.
pub(crate) struct Watched {
    log: PathBuf,
    /// How long the log was when it last grew, and when that was seen.
    len: u64,
    grown: Instant,
    /// After how long it is told of next.
    next: Duration,
}

/// What is to be said of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    /// For how long it has printed nothing.
    pub(crate) time: Duration,
    /// Whether that is said in a log too, which it is less and less often.
    pub(crate) is_told: bool,
}

impl Watched {
    pub(crate) fn new(log: &Path, now: Instant) -> Self {
        Self { log: log.to_owned(), len: 0, grown: now, next: SILENCE }
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Looks whether the log has grown; gives what is to be said where it has not for long.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Silent> {
        let len = fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        if len != self.len {
            (self.len, self.grown, self.next) = (len, now, SILENCE);
        }
        let time = now.saturating_duration_since(self.grown);
        let is_told = time >= self.next;
        if is_told {
            self.next = time.saturating_mul(2);
        }
        (time >= SILENCE).then_some(Silent { time, is_told })
    }
}

/// Has a thread look at what runs for as long as there is something to show it.
pub(crate) fn watch(progress: &Arc<Progress>) {
    let progress: Weak<Progress> = Arc::downgrade(progress);
    thread::spawn(move || {
        loop {
            thread::sleep(INTERVAL);
            match progress.upgrade() {
                Some(progress) => progress.show_silence(Instant::now()),
                None => return,
            }
        }
    });
}

/// A time for people, in minutes.
pub(crate) fn minutes(time: Duration) -> String {
    match (time.as_secs() / 3600, time.as_secs() / 60 % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_silent_while_its_log_does_not_grow() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let silent = |minutes: u64, is_told| {
            Some(Silent { time: Duration::from_secs(60 * minutes), is_told })
        };
        let mut watched = Watched::new(log.path(), start);
        assert_eq!(watched.look(at(9)), None);
        assert_eq!(watched.look(at(10)), silent(10, true));
        assert_eq!(watched.look(at(11)), silent(11, false));
        assert_eq!(watched.look(at(20)), silent(20, true));
        assert_eq!(watched.look(at(39)), silent(39, false));
        assert_eq!(watched.look(at(40)), silent(40, true));
        // It goes on, and stops again.
        fs::write(log.path(), "a line\n").unwrap();
        assert_eq!(watched.look(at(41)), None);
        assert_eq!(watched.look(at(50)), None);
        assert_eq!(watched.look(at(51)), silent(10, true));
        // A log that was taken away is one that does not grow.
        drop(log);
        assert_eq!(watched.look(at(52)), None);
        assert_eq!(watched.look(at(62)), silent(10, true));
    }

    #[test]
    fn minutes_are_shown_for_people() {
        assert_eq!(minutes(Duration::from_secs(659)), "10 min");
        assert_eq!(minutes(Duration::from_secs(7_260)), "2 h 1 min");
    }
}
