//! What can be wrong with an image.

use std::io;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file below could not be read, or the spool not written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something reaches behind the end of what holds it.
    #[error("ends at byte {len}, but bytes {offset} to {end} are needed")]
    Truncated {
        /// Where what was needed begins.
        offset: u64,
        /// Where it ends.
        end: u64,
        /// The bytes there are.
        len: u64,
    },
    /// A field has a value that the format does not allow.
    #[error("{format}: {reason}")]
    Invalid {
        /// The format that was read.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Something was found to be damaged when what lies around it was read.
    #[error("{reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// An image asks for more than a reader is willing to spend.
    #[error("{what}: more than the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// A path names nothing.
    #[error("no {name:?} in {parent:?}{hint}")]
    NotFound {
        /// The part of the path that was not found.
        name: String,
        /// The path before it.
        parent: String,
        /// What there is instead.
        hint: String,
    },
    /// A path leads through something that holds nothing, or ends where there are no bytes.
    #[error("{path:?} is {kind}: {reason}")]
    NoContent {
        /// The path.
        path: String,
        /// What lies there.
        kind: &'static str,
        /// What cannot be done with it.
        reason: &'static str,
    },
}

/// What a reader gives.
pub type Result<T> = std::result::Result<T, Error>;

/// An [`Error::Invalid`].
pub(crate) fn invalid(format: &'static str, reason: impl Into<String>) -> Error {
    Error::Invalid { format, reason: reason.into() }
}
