//! Why a build failed.

use std::{fmt, io, path::PathBuf};

use stagex_oci::StoreError;
use stagex_recipe::Diagnostic;

use crate::{context::ContextError, observe::StepName};

/// How many lines of a failed step's log its error shows.
const TAIL_LINES: usize = 20;
/// How much of the end of a log is read for them, in bytes.
const TAIL_BYTES: u64 = 1 << 16;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe asks for something that cannot be.
    #[error("{0}")]
    Recipe(Box<Diagnostic>),
    /// A command failed.
    #[error("{0}")]
    Step(Box<StepFailure>),
    /// A source could not be had.
    #[error(transparent)]
    Source(#[from] stagex_sources::Error),
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox could not be made.
    #[error(transparent)]
    Sandbox(#[from] stagex_sandbox::Error),
    /// A package's folder could not be read.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A file of stagex's own could not be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is no package of this name.
    #[error("{message}")]
    UnknownPackage {
        /// Which, and what was perhaps meant.
        message: String,
    },
    /// The user stopped the build.
    #[error("stopped; what was finished is kept, and the next run goes on from there")]
    Cancelled,
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Recipe(Box::new(diagnostic))
    }
}

/// A command that failed.
#[derive(Debug)]
pub struct StepFailure {
    /// Which step.
    pub step: StepName,
    /// Where it is written: file, line and column.
    pub place: String,
    /// How it ended.
    pub ending: String,
    /// What it printed.
    pub log: PathBuf,
    /// The last lines of it.
    pub tail: Vec<String>,
    /// Why there is nothing of it to look into, if so.
    pub lost: Option<String>,
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StepName { package, stage, number, of, text } = &self.step;
        writeln!(f, "{package}: step {number} of {of} of stage {stage} failed: {}", self.ending)?;
        writeln!(f, "  {}: {text}", self.place)?;
        if self.tail.is_empty() {
            writeln!(f, "  it printed nothing")?;
        }
        for line in &self.tail {
            writeln!(f, "  | {line}")?;
        }
        writeln!(f, "  whole log: {}", self.log.display())?;
        match &self.lost {
            None => write!(f, "help: `stagex shell {package}` opens a shell in what the step left"),
            Some(why) => write!(f, "note: nothing of the step was kept: {why}"),
        }
    }
}

/// The last lines of a log, control characters replaced.
pub(crate) fn tail(log: &std::path::Path) -> Vec<String> {
    use std::io::{Read as _, Seek as _};
    let read = || -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let len = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.len().saturating_sub(TAIL_LINES);
    lines[shown..]
        .iter()
        .map(|line| {
            let line = line.rsplit('\r').next().unwrap_or_default();
            line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
        })
        .collect()
}
