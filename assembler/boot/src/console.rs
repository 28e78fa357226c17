//! The guest's serial line.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    BootError,
    text::{Stripper, tail},
};

/// How much of what a guest wrote is kept in memory, in bytes; the transcript keeps more.
const MAX_TEXT: usize = 8 << 20;
/// How much of it the transcript keeps, in bytes: a guest that prints without end must not fill
/// the host's disk.
const MAX_TRANSCRIPT: usize = 64 << 20;
/// How many lines an error shows.
const TAIL: usize = 15;

/// What is waited for on the console.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// This text.
    Text(String),
    /// What this regular expression matches.
    Regex(regex_lite::Regex),
}

impl Pattern {
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        match self {
            Self::Text(wanted) => text.find(wanted).map(|start| (start, start + wanted.len())),
            Self::Regex(regex) => regex.find(text).map(|found| (found.start(), found.end())),
        }
    }

    /// Itself and what it matches in `text`.
    pub(crate) fn find_in(self, text: &str) -> Option<(Self, String)> {
        let (start, end) = self.find(text)?;
        Some((self, text[start..end].to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

/// What [`Console::expect`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// What the console showed between the last match and this one.
    pub before: String,
    /// The text that matched.
    pub text: String,
    /// When it was seen, from the machine's start.
    pub at: Duration,
}

/// The guest's serial line: reads all that comes, keeps a transcript, and types.
///
/// Patterns are matched against the text as it would be read: without escape sequences and
/// carriage returns. Each match begins where the last one ended.
pub struct Console {
    stream: UnixStream,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    reject: Vec<Pattern>,
    cursor: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// What came, from `dropped` bytes on.
    text: String,
    dropped: u64,
    ended: bool,
    transcript: Transcript,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// Reads from `stream` into a transcript whose times count from `start`.
    pub(crate) fn new(stream: UnixStream, transcript: File, start: Instant) -> io::Result<Self> {
        let mut input = stream.try_clone()?;
        let transcript =
            Transcript { file: transcript, start, line: String::new(), since: None, written: 0 };
        let state = State { text: String::new(), dropped: 0, ended: false, transcript };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let writer = Arc::clone(&shared);
        let reader = std::thread::Builder::new().name("console".into()).spawn(move || {
            let mut stripper = Stripper::default();
            let mut bytes = [0; 4096];
            loop {
                let n = match input.read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(0) | Err(_) => break,
                    Ok(n) => n,
                };
                let mut new = String::new();
                stripper.push(&bytes[..n], &mut new);
                let mut state = writer.lock();
                state.add(&new);
                drop(state);
                writer.changed.notify_all();
            }
            let mut state = writer.lock();
            state.ended = true;
            state.transcript.flush();
            drop(state);
            writer.changed.notify_all();
        })?;
        Ok(Self { stream, shared, reader: Some(reader), reject: Vec::new(), cursor: 0 })
    }

    /// Makes [`Console::expect`] fail as soon as any of `patterns` appears.
    pub fn reject(&mut self, patterns: Vec<Pattern>) {
        self.reject = patterns;
    }

    /// Waits until `pattern` appears, for no longer than `timeout`.
    pub fn expect(&mut self, pattern: &Pattern, timeout: Duration) -> Result<Match, BootError> {
        let start = Instant::now();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            let skip = usize::try_from(self.cursor.saturating_sub(state.dropped)).unwrap_or(0);
            let text = state.text.get(skip..).unwrap_or_default();
            let found = pattern.find(text);
            let limit = found.map_or(text.len(), |(_, end)| end);
            if let Some((from, to)) = self.reject.iter().find_map(|r| r.find(&text[..limit])) {
                let found = text[from..to].to_owned();
                return Err(BootError::Rejected { found, tail: tail(&state.text, TAIL) });
            }
            if let Some((from, to)) = found {
                let at = state.transcript.start.elapsed();
                let before = text[..from].to_owned();
                let text = text[from..to].to_owned();
                self.cursor = self.cursor.max(state.dropped) + to as u64;
                return Ok(Match { before, text, at });
            }
            let pattern = || pattern.to_string();
            if state.ended {
                return Err(BootError::Ended { pattern: pattern(), tail: tail(&state.text, TAIL) });
            }
            let waited = start.elapsed();
            let Some(left) = timeout.checked_sub(waited).filter(|left| !left.is_zero()) else {
                let tail = tail(&state.text, TAIL);
                return Err(BootError::Timeout { pattern: pattern(), waited, tail });
            };
            state = shared
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// Types `text`.
    pub fn send(&mut self, text: &str) -> Result<(), BootError> {
        self.shared.lock().transcript.sent(text);
        self.stream.write_all(text.as_bytes()).map_err(|source| BootError::Send { source })
    }

    /// All that the guest wrote and that is still kept, as it would be read.
    pub fn text(&self) -> String {
        self.shared.lock().text.clone()
    }

    /// The last lines that say something.
    pub fn tail(&self) -> String {
        tail(&self.shared.lock().text, TAIL)
    }

    /// Waits until all that the guest wrote has been read, after its end.
    pub(crate) fn drain(&mut self, timeout: Duration) {
        let start = Instant::now();
        let mut state = self.shared.lock();
        while !state.ended {
            let Some(left) = timeout.checked_sub(start.elapsed()) else { return };
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl State {
    fn add(&mut self, new: &str) {
        self.transcript.received(new);
        self.text.push_str(new);
        if self.text.len() > MAX_TEXT {
            let mut keep = self.text.len() - MAX_TEXT / 2;
            while !self.text.is_char_boundary(keep) {
                keep += 1;
            }
            self.text.drain(..keep);
            self.dropped += keep as u64;
        }
    }
}

/// A file with a line for each line of the console, and when it began.
struct Transcript {
    file: File,
    start: Instant,
    line: String,
    since: Option<Duration>,
    written: usize,
}

impl Transcript {
    fn received(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            self.since.get_or_insert_with(|| self.start.elapsed());
            self.line.push_str(piece);
            if piece.ends_with('\n') || self.line.len() > 4096 {
                self.flush();
            }
        }
    }

    fn sent(&mut self, text: &str) {
        self.flush();
        let at = self.start.elapsed();
        self.write(at, "<< ", &format!("{text:?}"));
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if let Some(since) = self.since.take() {
            self.write(since, "", line.trim_end_matches('\n'));
        }
    }

    /// Writes one line. What cannot be written is lost: a run does not fail for its record.
    fn write(&mut self, at: Duration, mark: &str, text: &str) {
        if self.written > MAX_TRANSCRIPT {
            return;
        }
        let line = format!("[{:10.3}] {mark}{text}\n", at.as_secs_f64());
        self.written += line.len();
        let _ = self.file.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn text(text: &str) -> Pattern {
        Pattern::Text(text.to_owned())
    }

    fn console(folder: &tempfile::TempDir) -> (Console, UnixStream) {
        let (ours, guest) = UnixStream::pair().unwrap();
        let file = File::create(folder.path().join("console.log")).unwrap();
        (Console::new(ours, file, Instant::now()).unwrap(), guest)
    }

    #[test]
    fn finds_what_is_typed_in_pieces_and_each_thing_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut console, mut guest) = console(&folder);
        let writer = std::thread::spawn(move || {
            for piece in ["log", "in\x1b[1", "m: ", "pass", "word: \r\n", "version 6.12"] {
                guest.write_all(piece.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
            guest
        });
        assert_eq!(console.expect(&text("login: "), SOON).unwrap().before, "");
        let regex = Pattern::Regex(regex_lite::Regex::new(r"version (\d+)\.(\d\d)").unwrap());
        let found = console.expect(&regex, SOON).unwrap();
        assert_eq!((&*found.before, &*found.text), ("password: \n", "version 6.12"));
        let _guest = writer.join().unwrap();
        let error = console.expect(&text("login"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, BootError::Timeout { .. }));
        assert!(error.to_string().ends_with("    login: password:\n    version 6.12"), "{error}");
    }

    #[test]
    fn the_end_and_the_forbidden_are_noticed_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let (mut console, mut guest) = console(&folder);
        console.reject(vec![text("panic")]);
        guest.write_all(b"ready\nKernel panic\nready\n").unwrap();
        console.expect(&text("ready"), SOON).unwrap();
        let error = console.expect(&text("ready"), SOON).unwrap_err();
        assert!(matches!(error, BootError::Rejected { found, .. } if found == "panic"));
        console.reject(Vec::new());
        console.expect(&text("ready"), SOON).unwrap();
        drop(guest);
        let error = console.expect(&text("ready"), SOON).unwrap_err();
        assert!(matches!(error, BootError::Ended { .. }), "{error}");
    }

    #[test]
    fn the_transcript_has_both_sides() {
        let folder = tempfile::tempdir().unwrap();
        let (mut console, mut guest) = console(&folder);
        guest.write_all(b"one\r\n# ").unwrap();
        console.expect(&text("# "), SOON).unwrap();
        console.send("ls\n").unwrap();
        let mut typed = [0; 3];
        guest.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"ls\n");
        guest.write_all(b"two").unwrap();
        drop(guest);
        console.drain(SOON);
        let text = std::fs::read_to_string(folder.path().join("console.log")).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[13..]).collect();
        assert_eq!(lines, ["one", "# ", "<< \"ls\\n\"", "two"]);
    }

    #[test]
    fn memory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (mut console, mut guest) = console(&folder);
        let line = [b'x'; 1 << 16];
        for _ in 0..(2 * MAX_TEXT / line.len()) {
            guest.write_all(&line).unwrap();
        }
        guest.write_all(b"end").unwrap();
        console.expect(&text("end"), SOON).unwrap();
        assert!(console.text().len() <= MAX_TEXT);
    }
}
