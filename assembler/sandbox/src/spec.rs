//! What to run, and in what.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A command and the sandbox to run it in.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The directories that make up the root file system, bottom first: 0 to 400 of them.
    ///
    /// They are never written to. Files in them should belong to the caller: its id is the one
    /// id that is mapped, and anything else appears as 65534 inside.
    pub layers: Vec<PathBuf>,
    /// An empty directory that receives the changes, as overlayfs writes them with `userxattr`.
    ///
    /// A deleted file is a character device 0:0, and a directory that hides what lies below
    /// has the extended attribute `user.overlay.opaque` = `y`. No layer may lie inside it.
    pub upper: PathBuf,
    /// An empty directory on the same file system as `upper`, for overlayfs' own use.
    ///
    /// Its content is of no use afterwards: see [`remove_tree`](crate::remove_tree).
    pub work: PathBuf,
    /// What else is mounted, in this order.
    pub mounts: Vec<Mount>,
    /// The program and its arguments. A program without a slash is looked up in `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// The whole environment: nothing is added to it.
    pub env: Vec<(OsString, OsString)>,
    /// The absolute working directory, which must exist inside.
    pub cwd: PathBuf,
    /// What the caller's user id looks like inside. 0 has a container's capabilities, any other
    /// none.
    pub uid: u32,
    /// What the caller's group id looks like inside.
    pub gid: u32,
    /// The machine that programs believe to run on.
    pub personality: Personality,
    /// Whether the host's network is reachable. Where not, there is a loopback interface, which
    /// is up, and nothing else.
    pub network: bool,
    /// What the command may use up.
    pub limits: Limits,
    /// Descriptors of the caller that the command finds open, each under its own number, from 3 on.
    pub descriptors: Vec<(i32, Arc<OwnedFd>)>,
}

impl Spec {
    /// Makes a specification with the defaults: root, no network, `/` as working directory.
    pub fn new(
        layers: Vec<PathBuf>,
        upper: impl Into<PathBuf>,
        work: impl Into<PathBuf>,
        argv: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            layers,
            upper: upper.into(),
            work: work.into(),
            mounts: Vec::new(),
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            uid: 0,
            gid: 0,
            personality: Personality::Native,
            network: false,
            limits: Limits::default(),
            descriptors: Vec::new(),
        }
    }
}

/// Something mounted into the sandbox.
///
/// Targets are absolute paths inside. A mount point that is missing is made below all layers, so
/// that it does not show up in `upper`; only where a layer hides that place (a link, a deleted
/// or replaced directory on the way) is it made in `upper`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Mount {
    /// A file or directory of the host, with all that is mounted below it. Set-id bits and
    /// device nodes in it have no effect.
    Bind {
        /// The path on the host.
        source: PathBuf,
        /// The path inside.
        target: PathBuf,
        /// Whether the command may write to it.
        writable: bool,
    },
    /// An empty file system in memory, gone afterwards.
    Tmpfs {
        /// The path inside.
        target: PathBuf,
        /// The most bytes that it holds.
        size: u64,
        /// The permissions of its root, such as `0o1777`.
        mode: u32,
    },
    /// A read-only file with the given content.
    File {
        /// The path inside.
        target: PathBuf,
        /// What it holds.
        content: Vec<u8>,
        /// Its permissions, such as `0o644`.
        mode: u32,
    },
}

impl Mount {
    /// The path inside.
    pub fn target(&self) -> &std::path::Path {
        match self {
            Self::Bind { target, .. } | Self::Tmpfs { target, .. } | Self::File { target, .. } => {
                target
            }
        }
    }
}

/// The machine that programs believe to run on, as setarch(8) sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personality {
    /// The machine as it is.
    #[default]
    Native,
    /// The 32-bit machine of the same family: `uname -m` says i686 on x86_64.
    Linux32,
}

/// What the command and everything it starts may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Processes and threads at a time.
    pub processes: u32,
    /// File descriptors of one process; never more than the caller's own hard limit.
    pub open_files: u64,
    /// Bytes of one file.
    pub file_size: Option<u64>,
    /// Bytes of address space of one process.
    pub address_space: Option<u64>,
    /// Bytes that `upper` may hold.
    pub disk: Option<u64>,
    /// Bytes that must stay free on the file system of `upper`.
    pub disk_reserve: u64,
    /// Bytes of output.
    pub output: Option<u64>,
    /// Time on the wall clock.
    pub wall: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 8192,
            open_files: 16384,
            file_size: None,
            address_space: None,
            disk: None,
            disk_reserve: 256 << 20,
            output: Some(1 << 30),
            wall: None,
        }
    }
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exit(i32),
    /// This signal ended it.
    Signal(i32),
    /// It was killed for using up too much of this.
    Limit(Limit),
}

impl Status {
    /// Tells whether the command exited with code 0.
    pub fn success(self) -> bool {
        self == Self::Exit(0)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::Limit(limit) => write!(f, "killed: {limit}"),
        }
    }
}

/// A limit that a command ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::wall`].
    Wall,
    /// [`Limits::processes`].
    Processes,
    /// [`Limits::disk`].
    Disk,
    /// [`Limits::disk_reserve`].
    DiskReserve,
    /// [`Limits::output`].
    Output,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wall => "it took longer than its time limit",
            Self::Processes => "it kept as many processes running as its limit allows",
            Self::Disk => "it wrote more than its disk limit",
            Self::DiskReserve => "the disk is almost full",
            Self::Output => "it printed more than its output limit",
        })
    }
}

/// How a run went.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How the command ended.
    pub status: Status,
    /// CPU time in user mode, of the command and all that it started.
    pub cpu_user: Duration,
    /// CPU time in the kernel, of the command and all that it started.
    pub cpu_system: Duration,
    /// Time on the wall clock.
    pub wall: Duration,
    /// The most memory that one of the processes held at a time, in bytes.
    pub max_rss: u64,
}
