//! How the command ends when it does not end well.

use std::{fmt::Display, path::Path, process::ExitCode};

use stagex_build::Error as BuildError;

/// What went wrong, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    messages: Vec<String>,
}

/// A build or check failed.
const FAILED: u8 = 1;
/// Wrong usage, or a recipe that is wrong.
const WRONG: u8 = 2;
/// Digests or signatures do not match.
const MISMATCH: u8 = 3;
/// Stopped by Ctrl-C, as shells have it.
const STOPPED: u8 = 130;

impl Failure {
    /// A build or check that failed.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { code: FAILED, messages: vec![message.to_string()] }
    }

    /// Wrong usage, or a recipe that is wrong.
    pub(crate) fn wrong(message: impl Display) -> Self {
        Self { code: WRONG, messages: vec![message.to_string()] }
    }

    /// Digests that do not match.
    pub(crate) fn mismatch(message: impl Display) -> Self {
        Self { code: MISMATCH, messages: vec![message.to_string()] }
    }

    /// What Ctrl-C ended.
    pub(crate) fn stopped(message: impl Display) -> Self {
        Self { code: STOPPED, messages: vec![message.to_string()] }
    }

    /// A file that could not be read or written.
    pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |error| Self::failed(format!("{}: {error}", path.display()))
    }

    /// The same of a part that is named.
    pub(crate) fn about(mut self, part: &str) -> Self {
        for message in &mut self.messages {
            *message = format!("{part}: {message}");
        }
        self
    }

    /// The same with another exit code, where a subcommand has codes of its own.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Prints what went wrong and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        for message in &self.messages {
            let label = if message.starts_with("error") { "" } else { "error: " };
            eprintln!("{label}{message}");
        }
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.messages.join("\n"))
    }
}

impl From<Vec<BuildError>> for Failure {
    fn from(errors: Vec<BuildError>) -> Self {
        let code_of = |error: &BuildError| match error {
            BuildError::Recipe(_) | BuildError::UnknownPackage { .. } => WRONG,
            BuildError::Source(error) if error.is_mismatch() => MISMATCH,
            BuildError::Cancelled
            | BuildError::Sandbox(stagex_sandbox::Error::Cancelled)
            | BuildError::Source(stagex_sources::Error::Cancelled { .. }) => STOPPED,
            _ => FAILED,
        };
        let code = errors.iter().map(code_of).max().unwrap_or(FAILED);
        let mut messages: Vec<String> = errors.iter().map(text_of).collect();
        messages.dedup();
        Self { code, messages }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        vec![error].into()
    }
}

impl From<stagex_oci::StoreError> for Failure {
    fn from(error: stagex_oci::StoreError) -> Self {
        BuildError::from(error).into()
    }
}

impl From<stagex_boxes::Error> for Failure {
    fn from(error: stagex_boxes::Error) -> Self {
        match error {
            stagex_boxes::Error::Recipe(diagnostic) => Self::wrong(diagnostic),
            stagex_boxes::Error::NotYet { .. } | stagex_boxes::Error::RootOutput { .. } => {
                Self::wrong(error)
            }
            stagex_boxes::Error::Store(error) => error.into(),
            error => Self::failed(error),
        }
    }
}

/// An error, and what of the command line helps against it.
fn text_of(error: &BuildError) -> String {
    use stagex_oci::StoreError;
    match error {
        BuildError::Store(StoreError::ReadOnly { .. } | StoreError::Full { .. }) => {
            format!(
                "{error}\nhelp: name a folder on another disk with --cache, or set STAGEX_CACHE"
            )
        }
        error => error.to_string(),
    }
}
