//! What can go wrong, said so that a person knows which part to mend.

use std::io;
use std::path::PathBuf;

use crate::probe::Unsupported;

/// A failure to run a command in the sandbox.
///
/// A command that ran and failed is no error: see [`Status`](crate::Status).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The specification cannot be carried out as written.
    #[error("sandbox: {what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
    },
    /// A step of building the sandbox failed.
    #[error("sandbox: cannot {}{}", step.what(), at(subject))]
    Setup {
        /// The step.
        step: Step,
        /// What it was about: a path or a name; empty where there is none.
        subject: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The program is not in the root file system.
    #[error("sandbox: program {} is not in the root file system", program.display())]
    NoProgram {
        /// The program as it was asked for.
        program: PathBuf,
    },
    /// The program is there, but the interpreter or loader it names is not.
    #[error(
        "sandbox: program {} is there, but the interpreter or dynamic loader it names is not",
        program.display()
    )]
    NoInterpreter {
        /// The program as it was asked for.
        program: PathBuf,
    },
    /// The working directory is not in the root file system.
    #[error("sandbox: working directory {} cannot be entered", cwd.display())]
    NoDirectory {
        /// The working directory.
        cwd: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The host does not allow what the sandbox needs.
    #[error("sandbox: {0}")]
    Unsupported(#[from] Unsupported),
    /// The run was cancelled; every process is gone.
    #[error("sandbox: cancelled")]
    Cancelled,
    /// The sandbox was killed from outside, or by the kernel for want of memory.
    #[error("sandbox: killed from outside by signal {signal}, or by the kernel for want of memory")]
    Killed {
        /// The signal that ended the sandbox's first process.
        signal: i32,
    },
    /// Handling the command's output, or waiting for it, failed.
    #[error("sandbox: cannot {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The reason.
        source: io::Error,
    },
}

fn at(subject: &std::path::Path) -> String {
    if subject.as_os_str().is_empty() { String::new() } else { format!(" {}", subject.display()) }
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A step of building the sandbox.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum Step {
            $($(#[$doc])* $name,)*
        }

        impl Step {
            /// Every step, in the order of their numbers.
            const ALL: &[Step] = &[$(Step::$name,)*];

            /// Says what the step does, to follow "cannot".
            pub fn what(self) -> &'static str {
                match self { $(Step::$name => $text,)* }
            }

            /// The step of a number that the child reported.
            pub(crate) fn from_number(number: u32) -> Option<Self> {
                Self::ALL.get(number as usize).copied()
            }
        }
    };
}

steps! {
    /// Making the namespaces.
    Namespaces = "make namespaces",
    /// Tying the sandbox's life to its parent's.
    Lifeline = "tie the sandbox to its parent",
    /// Closing inherited descriptors.
    Descriptors = "close inherited file descriptors",
    /// Mapping the user and group ids.
    IdMap = "map user and group ids",
    /// Setting the host name.
    HostName = "set the host name",
    /// Bringing the loopback interface up.
    Loopback = "bring up the loopback interface",
    /// Making mounts private.
    Private = "make mounts private",
    /// Opening the upper directory.
    Upper = "use the upper directory",
    /// Opening the work directory.
    Work = "use the work directory",
    /// Making the scratch file system that holds the mount points.
    Staging = "make the scratch file system",
    /// Adding a layer to the root file system.
    Layer = "use layer",
    /// Mounting the root file system.
    Overlay = "mount the root file system (overlayfs)",
    /// Mounting /proc.
    Proc = "mount",
    /// Building /dev.
    Dev = "set up",
    /// Finding or making a mount point.
    MountPoint = "make mount point",
    /// Carrying out a mount of the specification.
    Mount = "mount",
    /// Making the new root the root.
    Pivot = "enter the root file system",
    /// Starting the command's process.
    Fork = "start a process",
    /// Taking the terminal.
    Terminal = "take over the terminal",
    /// Setting a resource limit.
    Limit = "set resource limits",
    /// Setting the personality.
    Personality = "set the personality",
    /// Dropping capabilities.
    Capabilities = "drop capabilities",
    /// Installing the system call filter.
    Filter = "install the system call filter",
    /// Entering the working directory.
    Directory = "enter the working directory",
    /// Executing the program: not there.
    NoProgram = "find program",
    /// Executing the program: its interpreter is not there.
    NoInterpreter = "find the interpreter of program",
    /// Executing the program: any other reason.
    Exec = "execute",
}
