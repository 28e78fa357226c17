//! Why a source could not be had.

use std::{fmt, io, path::PathBuf};

use stagex_tree::Digest;

/// Why a source could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No place had the right bytes.
    #[error("{}", render_failed(file, expected, attempts, *offline))]
    Failed {
        /// The source's file name.
        file: String,
        /// Its digest.
        expected: Digest,
        /// What was tried, in order.
        attempts: Vec<Attempt>,
        /// Whether the network was left alone because the user asked for it.
        offline: bool,
    },
    /// The cache could not be used.
    #[error("cannot use the source cache at {}: {error}{}", path.display(), hint(error))]
    Cache {
        /// The file or folder in the cache.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The user stopped the run.
    #[error("stopped while fetching {file}; what was downloaded is kept and resumed")]
    Cancelled {
        /// The source's file name.
        file: String,
    },
}

impl Error {
    /// Whether a mirror had a file of another digest than the recipe names.
    pub fn is_mismatch(&self) -> bool {
        match self {
            Self::Failed { attempts, .. } => {
                attempts.iter().any(|attempt| matches!(attempt.cause, Cause::Mismatch { .. }))
            }
            _ => false,
        }
    }
}

/// One place that was tried, and why it did not help.
#[derive(Debug)]
pub struct Attempt {
    /// The address or path.
    pub place: String,
    /// Why it did not help.
    pub cause: Cause,
}

/// Why one place did not help.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The bytes are others than the recipe names.
    #[error("wrong digest: expected {expected}, found {found}")]
    Mismatch {
        /// What the recipe names.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The server answered with an error.
    #[error("the server answered {status}")]
    Status {
        /// The HTTP status code.
        status: u16,
    },
    /// The connection failed, stalled or ended early.
    #[error("{message}")]
    Connection {
        /// What happened.
        message: String,
    },
    /// The address has a scheme for which no mirror is known.
    #[error("{message}")]
    NoMirror {
        /// What to configure.
        message: String,
    },
    /// The address could not be understood.
    #[error("{message}")]
    BadAddress {
        /// Why.
        message: String,
    },
    /// A local file or git clone could not be read.
    #[error("{error}")]
    Io {
        /// What the system said.
        error: io::Error,
    },
    /// git did not make the archive.
    #[error("git archive failed: {message}")]
    Git {
        /// The end of what git said.
        message: String,
    },
}

fn render_failed(file: &str, expected: &Digest, attempts: &[Attempt], offline: bool) -> String {
    use fmt::Write as _;
    let mut text = format!("cannot fetch {file} (sha256 {expected})");
    for attempt in attempts {
        let _ = write!(text, "\n  {}: {}", attempt.place, attempt.cause);
    }
    if attempts.is_empty() && !offline {
        text.push_str("\n  the recipe names no mirror");
    }
    if offline {
        text.push_str("\n  the network was not used, as --offline asks");
    }
    text.push_str("\nhelp: put a file with this digest into a folder and name it with --sources, or add a mirror");
    text
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "; free some space and run again, downloads are resumed",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; name a folder you may write to with --cache"
        }
        _ => "",
    }
}
