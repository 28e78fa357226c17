//! What can go wrong while a machine runs.

use std::{io, path::PathBuf, time::Duration};

use crate::Arch;

/// Why a machine did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// There is no QEMU for the architecture.
    #[error("{program} is not installed: on Debian, install the package {package}")]
    NoQemu {
        /// The program that was looked for.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// QEMU is there, but not for such machines.
    #[error(
        "{program} was built without the machine {machine}: install a QEMU that has it, on Debian \
         the package {package}"
    )]
    NoMachine {
        /// The program.
        program: String,
        /// What QEMU calls the machine.
        machine: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// QEMU is there, but too old or strange.
    #[error(
        "{program} is {found}, and version {}.{} or newer is needed: on Debian, upgrade the \
         package {package}", needed.0, needed.1
    )]
    OldQemu {
        /// The program.
        program: String,
        /// What it says of its version.
        found: String,
        /// The oldest version that will do.
        needed: (u32, u32),
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The description of the machine cannot be.
    #[error("a machine for {arch} cannot have {what}")]
    Machine {
        /// The architecture.
        arch: Arch,
        /// What it cannot have.
        what: String,
    },
    /// A file of the machine or of its run cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU cannot be started or watched.
    #[error("QEMU cannot be run: {source}")]
    Spawn {
        /// Why.
        source: io::Error,
    },
    /// The caller wants no more of it.
    #[error("it was stopped")]
    Stopped,
    /// QEMU ended before it was ready, most often for an option it does not know.
    #[error("QEMU ended at once ({status}): {log}")]
    Start {
        /// Its exit status.
        status: String,
        /// The last lines it wrote.
        log: String,
    },
    /// A text did not appear on the console in time.
    #[error("{pattern} did not appear on the console within {:.0} s; its last lines:\n{tail}", waited.as_secs_f64())]
    Timeout {
        /// What was waited for.
        pattern: String,
        /// How long.
        waited: Duration,
        /// The console's last lines.
        tail: String,
    },
    /// The machine ended while something was still expected of it.
    #[error("the machine ended before {pattern} appeared on the console; its last lines:\n{tail}")]
    Ended {
        /// What was waited for.
        pattern: String,
        /// The console's last lines.
        tail: String,
    },
    /// The console showed what must not appear.
    #[error("{found:?} appeared on the console; its last lines:\n{tail}")]
    Rejected {
        /// What appeared.
        found: String,
        /// The console's last lines.
        tail: String,
    },
    /// The machine did not power off.
    #[error("the machine did not power off within {:.0} s; its console's last lines:\n{tail}", waited.as_secs_f64())]
    StillRunning {
        /// How long was waited.
        waited: Duration,
        /// The console's last lines.
        tail: String,
    },
    /// The console cannot be written.
    #[error("the console takes no input: {source}")]
    Send {
        /// Why.
        source: io::Error,
    },
    /// A command of the monitor failed.
    #[error("QEMU's monitor: {source}")]
    Qmp {
        /// Why.
        #[from]
        source: QmpError,
    },
    /// A screenshot that is no picture.
    #[error("the screenshot cannot be read: {reason}")]
    Screenshot {
        /// Why.
        reason: &'static str,
    },
}

impl BootError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// What can go wrong with the QEMU Machine Protocol.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The connection broke.
    #[error("the connection is gone while {doing}")]
    Closed {
        /// What was going on.
        doing: String,
    },
    /// No answer or event in time.
    #[error("nothing came within {:.0} s while {doing}", waited.as_secs_f64())]
    Timeout {
        /// What was going on.
        doing: String,
        /// How long was waited.
        waited: Duration,
    },
    /// QEMU said no.
    #[error("{command} was refused: {description}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's own words.
        description: String,
    },
}
