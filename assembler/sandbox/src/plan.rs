//! A specification turned into what the child needs: everything it will touch, laid out before
//! the fork, because it may not allocate.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, c_char, c_int, c_ulong};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::ptr;

use crate::error::Error;
use crate::seccomp;
use crate::spec::{Mount, Personality, Spec};

/// The most layers: overlayfs takes 500, and the skeleton is one of them.
const MAX_LAYERS: usize = 400;

const PER_LINUX32: c_ulong = 0x0008;
const ADDR_NO_RANDOMIZE: c_ulong = 0x0004_0000;

/// Pids below this are handed out once only in the life of a pid namespace.
const RESERVED_PIDS: u32 = 300;

/// How far past the limit the kernel lets the number of processes go: init ends the command when
/// it stays above the limit, and so must be able to see that it does.
const PROCESS_MARGIN: u32 = 64;

/// An entry of the bottom layer, which holds the mount points.
pub(crate) struct Skeleton {
    /// The path, relative to the layer's root.
    pub(crate) path: CString,
    pub(crate) directory: bool,
    pub(crate) mode: u32,
}

pub(crate) enum MountKind {
    Bind { source: CString, writable: bool, directory: bool },
    Tmpfs { size: CString, mode: CString },
    File { name: CString, content: Vec<u8>, mode: u32 },
}

pub(crate) struct PlannedMount {
    pub(crate) kind: MountKind,
    /// The target, absolute.
    pub(crate) target: CString,
    /// The target's parents, shortest first, absolute.
    pub(crate) parents: Vec<CString>,
}

impl PlannedMount {
    pub(crate) fn directory(&self) -> bool {
        match &self.kind {
            MountKind::Bind { directory, .. } => *directory,
            MountKind::Tmpfs { .. } => true,
            MountKind::File { .. } => false,
        }
    }
}

/// A null-terminated array of strings, as execve(2) takes it.
pub(crate) struct Strings {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl Strings {
    fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(ptr::null());
        Self { pointers, _strings: strings }
    }

    pub(crate) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// All that the child needs.
pub(crate) struct Plan {
    /// The layers, top first.
    pub(crate) layers: Vec<CString>,
    pub(crate) upper: CString,
    pub(crate) work: CString,
    pub(crate) skeleton: Vec<Skeleton>,
    pub(crate) mounts: Vec<PlannedMount>,
    /// The places where the program may lie.
    pub(crate) programs: Vec<CString>,
    pub(crate) argv: Strings,
    pub(crate) envp: Strings,
    pub(crate) cwd: CString,
    pub(crate) uid_map: Vec<u8>,
    pub(crate) gid_map: Vec<u8>,
    pub(crate) capabilities: u64,
    pub(crate) persona: c_ulong,
    pub(crate) network: bool,
    pub(crate) rlimits: Vec<(u32, libc::rlimit)>,
    /// What to write to `kernel/pid_max`.
    pub(crate) pid_max: Vec<u8>,
    pub(crate) processes: u64,
    pub(crate) filter: Vec<libc::sock_filter>,
    /// Where the arguments of this process lie in memory: they name paths of the host.
    pub(crate) arguments: Option<(usize, usize)>,
    pub(crate) terminal: bool,
    /// Whether to mount layers as kernels before 6.5 need it.
    pub(crate) old_overlay: bool,
}

impl Plan {
    pub(crate) fn new(spec: &Spec, terminal: bool) -> Result<Self, Error> {
        if spec.layers.len() > MAX_LAYERS {
            return Err(invalid(format!(
                "{} layers, at most {MAX_LAYERS} can be stacked",
                spec.layers.len()
            )));
        }
        let upper = absolute(&spec.upper)?;
        let layers = spec.layers.iter().map(|p| absolute(p)).collect::<Result<Vec<_>, _>>()?;
        if let Some(layer) = layers.iter().find(|layer| layer.starts_with(&upper)) {
            return Err(invalid(format!("layer {} lies inside the upper directory", show(layer))));
        }
        let mounts = plan_mounts(&spec.mounts, &upper)?;
        let argv = c_strings(spec.argv.iter().map(|a| a.as_os_str()), "an argument")?;
        let mut env = Vec::new();
        for (name, value) in &spec.env {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(invalid(format!("{name:?} cannot be the name of a variable")));
            }
            env.push([name.as_bytes(), b"=", value.as_bytes()].concat());
        }
        let env = c_strings(env.iter().map(|e| OsStr::from_bytes(e)), "a variable")?;
        let mut numbers: Vec<i32> = spec.descriptors.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() != spec.descriptors.len()
            || numbers.first().is_some_and(|first| *first < 3)
        {
            return Err(invalid("descriptors have numbers of their own, from 3 on".to_owned()));
        }
        if !spec.cwd.is_absolute() {
            return Err(invalid(format!("working directory {} is not absolute", show(&spec.cwd))));
        }
        let root = spec.uid == 0;
        Ok(Self {
            skeleton: skeleton(&mounts),
            layers: layers
                .iter()
                .rev()
                .map(|p| c_string(p.as_os_str(), "a layer"))
                .collect::<Result<_, _>>()?,
            upper: c_string(upper.as_os_str(), "the upper directory")?,
            work: c_string(absolute(&spec.work)?.as_os_str(), "the work directory")?,
            mounts,
            programs: programs(spec)?,
            argv: Strings::new(argv),
            envp: Strings::new(env),
            cwd: c_string(spec.cwd.as_os_str(), "the working directory")?,
            uid_map: format!("{} {} 1", spec.uid, rustix::process::geteuid().as_raw()).into(),
            gid_map: format!("{} {} 1", spec.gid, rustix::process::getegid().as_raw()).into(),
            capabilities: if root { CAPABILITIES } else { 0 },
            persona: ADDR_NO_RANDOMIZE
                | match spec.personality {
                    Personality::Native => 0,
                    Personality::Linux32 => PER_LINUX32,
                },
            network: spec.network,
            rlimits: rlimits(spec),
            pid_max: (spec.limits.processes.clamp(1, 4_000_000) + RESERVED_PIDS + PROCESS_MARGIN)
                .to_string()
                .into_bytes(),
            processes: u64::from(spec.limits.processes.max(1)),
            filter: seccomp::filter(),
            arguments: arguments(),
            terminal,
            old_overlay: false,
        })
    }

    /// What the child's report of a step is about.
    pub(crate) fn subject(&self, step: crate::Step, index: u32) -> PathBuf {
        use crate::Step;
        let index = index as usize;
        let path = match step {
            Step::Layer => self.layers.get(index),
            Step::Upper => Some(&self.upper),
            Step::Work => Some(&self.work),
            Step::MountPoint | Step::Mount => self.mounts.get(index).map(|m| &m.target),
            Step::Directory => Some(&self.cwd),
            Step::NoProgram | Step::NoInterpreter | Step::Exec => self.programs.get(index),
            Step::Dev => return PathBuf::from("/dev"),
            Step::Proc => return PathBuf::from("/proc"),
            _ => None,
        };
        path.map(|p| PathBuf::from(OsStr::from_bytes(p.as_bytes()))).unwrap_or_default()
    }
}

/// The capabilities of a container's root. With a single mapped id most say little, but
/// CAP_DAC_OVERRIDE opens what permissions close, and CAP_SYS_CHROOT lets chroot(8) work.
const CAPABILITIES: u64 = {
    const CHOWN: u64 = 1 << 0;
    const DAC_OVERRIDE: u64 = 1 << 1;
    const FOWNER: u64 = 1 << 3;
    const FSETID: u64 = 1 << 4;
    const KILL: u64 = 1 << 5;
    const SETGID: u64 = 1 << 6;
    const SETUID: u64 = 1 << 7;
    const SETPCAP: u64 = 1 << 8;
    const NET_BIND_SERVICE: u64 = 1 << 10;
    const SYS_CHROOT: u64 = 1 << 18;
    CHOWN
        | DAC_OVERRIDE
        | FOWNER
        | FSETID
        | KILL
        | SETGID
        | SETUID
        | SETPCAP
        | NET_BIND_SERVICE
        | SYS_CHROOT
};

fn invalid(what: String) -> Error {
    Error::Invalid { what }
}

fn show(path: &Path) -> std::path::Display<'_> {
    path.display()
}

fn c_string(text: &OsStr, what: &str) -> Result<CString, Error> {
    CString::new(text.as_bytes())
        .map_err(|_| invalid(format!("{what} contains a NUL byte: {text:?}")))
}

fn c_strings<'a>(
    texts: impl Iterator<Item = &'a OsStr>,
    what: &str,
) -> Result<Vec<CString>, Error> {
    texts.map(|t| c_string(t, what)).collect()
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|source| Error::Io { what: "make a path absolute", source })
}

fn plan_mounts(mounts: &[Mount], upper: &Path) -> Result<Vec<PlannedMount>, Error> {
    let mut planned = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        let target = mount.target();
        let normal = target.is_absolute()
            && target.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
            && target.file_name().is_some();
        if !normal {
            return Err(invalid(format!(
                "mount point {} must be an absolute path other than /, without ..",
                show(target)
            )));
        }
        // Rebuilt, so that it has no double slashes or dots.
        let target: PathBuf = target.components().collect();
        let mut parents = Vec::new();
        for parent in target.ancestors().skip(1).filter(|p| p.file_name().is_some()) {
            parents.push(c_string(parent.as_os_str(), "a mount point")?);
        }
        parents.reverse();
        let kind = match mount {
            Mount::Bind { source, writable, .. } => {
                let source = absolute(source)?;
                if source.starts_with(upper) {
                    return Err(invalid(format!(
                        "bind source {} lies inside the upper directory",
                        show(&source)
                    )));
                }
                let metadata = std::fs::metadata(&source).map_err(|error| Error::Setup {
                    step: crate::Step::Mount,
                    subject: source.clone(),
                    source: error,
                })?;
                if metadata.file_type().is_block_device() {
                    return Err(invalid(format!("{} is a block device", show(&source))));
                }
                MountKind::Bind {
                    source: c_string(source.as_os_str(), "a bind source")?,
                    writable: *writable,
                    directory: metadata.is_dir(),
                }
            }
            Mount::Tmpfs { size, mode, .. } => MountKind::Tmpfs {
                size: number((*size).max(4096).to_string()),
                mode: number(format!("{:o}", mode & 0o7777)),
            },
            Mount::File { content, mode, .. } => MountKind::File {
                name: number(format!("f{index}")),
                content: content.clone(),
                mode: mode & 0o7777,
            },
        };
        planned.push(PlannedMount {
            kind,
            target: c_string(target.as_os_str(), "a mount point")?,
            parents,
        });
    }
    Ok(planned)
}

/// Makes a C string of text that has no NUL byte.
fn number(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Lists the bottom layer: the fixed directories and every mount point.
fn skeleton(mounts: &[PlannedMount]) -> Vec<Skeleton> {
    let mut entries: BTreeMap<Vec<u8>, (bool, u32)> = BTreeMap::new();
    for name in ["dev", "proc", "sys"] {
        entries.insert(name.into(), (true, 0o755));
    }
    entries.insert(b"tmp".to_vec(), (true, 0o1777));
    let relative = |path: &CString| path.as_bytes().get(1..).unwrap_or_default().to_vec();
    for mount in mounts {
        for parent in &mount.parents {
            entries.insert(relative(parent), (true, 0o755));
        }
        let mode = if mount.directory() { 0o755 } else { 0o644 };
        entries.entry(relative(&mount.target)).or_insert((mount.directory(), mode));
    }
    // A parent of the fixed ones keeps its own mode.
    entries.insert(b"tmp".to_vec(), (true, 0o1777));
    entries
        .into_iter()
        .filter_map(|(path, (directory, mode))| {
            Some(Skeleton { path: CString::new(path).ok()?, directory, mode })
        })
        .collect()
}

/// Lists the places where the program may lie, as execvp(3) would try them.
fn programs(spec: &Spec) -> Result<Vec<CString>, Error> {
    let Some(program) = spec.argv.first().filter(|p| !p.is_empty()) else {
        return Err(invalid("there is no program to run".to_owned()));
    };
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program, "the program")?]);
    }
    let path = spec.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_bytes());
    let path = path.unwrap_or(b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(|b| *b == b':')
        .map(|dir| {
            let dir = if dir.is_empty() { b"." } else { dir };
            let full = [dir, b"/", program.as_bytes()].concat();
            c_string(OsStr::from_bytes(&full), "the program")
        })
        .collect()
}

fn rlimits(spec: &Spec) -> Vec<(u32, libc::rlimit)> {
    use rustix::process::{Resource, getrlimit};
    let infinity = libc::RLIM_INFINITY;
    let hard = |resource| getrlimit(resource).maximum.unwrap_or(infinity);
    let both = |value: u64| libc::rlimit { rlim_cur: value, rlim_max: value };
    let limits = &spec.limits;
    let mut list = vec![
        (libc::RLIMIT_CORE as _, both(0)),
        (libc::RLIMIT_NOFILE as _, both(limits.open_files.min(hard(Resource::Nofile)))),
        // Only for an ordinary user on kernels without a pid_max of the namespace's own: it
        // counts the processes of the user namespace, and the host's root is exempt.
        (
            libc::RLIMIT_NPROC as _,
            both(
                (u64::from(limits.processes) + u64::from(PROCESS_MARGIN))
                    .min(hard(Resource::Nproc)),
            ),
        ),
        (
            libc::RLIMIT_STACK as _,
            libc::rlimit {
                // The size of a program's arguments depends on it, so it is fixed.
                rlim_cur: (8 << 20).min(hard(Resource::Stack)),
                rlim_max: hard(Resource::Stack),
            },
        ),
    ];
    if let Some(size) = limits.file_size {
        list.push((libc::RLIMIT_FSIZE as _, both(size.min(hard(Resource::Fsize)))));
    }
    if let Some(size) = limits.address_space {
        list.push((libc::RLIMIT_AS as _, both(size.min(hard(Resource::As)))));
    }
    list
}

/// Finds where this process's arguments lie: fields 48 and 49 of /proc/self/stat (proc(5)).
fn arguments() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in brackets, which may itself hold blanks and brackets.
    let rest = stat.get(stat.rfind(')')? + 2..)?;
    let mut fields = rest.split(' ').skip(45);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && end > start && end - start < 1 << 24).then_some((start, end))
}

/// Descriptors that the child keeps.
pub(crate) struct Descriptors {
    /// Where the child reports to.
    pub(crate) status: c_int,
    /// Ends, as the parent does.
    pub(crate) lifeline: c_int,
    /// Where output goes; -1 with a terminal.
    pub(crate) output: c_int,
    /// What the command finds open: the descriptor, and its number inside.
    pub(crate) passed: Vec<(c_int, c_int)>,
    /// The above and the standard ones kept, sorted.
    pub(crate) keep: Vec<c_int>,
}
