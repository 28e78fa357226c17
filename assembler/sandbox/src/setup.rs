//! Builds the sandbox around the calling process: it runs in the child, as pid 1 of its
//! namespaces, so everything here is async-signal-safe.

use std::ffi::{CStr, c_int};

use crate::Step;
use crate::plan::{MountKind, Plan, PlannedMount};
use crate::sys::{
    self, AT_FDCWD, FsContext, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY, Sys,
};

/// A step that failed: which, on the how many-eth thing, and why.
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) index: u32,
    pub(crate) errno: i32,
}

/// Names the step that a system call belongs to.
pub(crate) trait During<T> {
    fn during(self, step: Step, index: usize) -> Result<T, Failure>;
}

impl<T> During<T> for Sys<T> {
    fn during(self, step: Step, index: usize) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step, index: index as u32, errno })
    }
}

const DIRECTORY: c_int = libc::O_PATH | libc::O_DIRECTORY;
const QUIET: u64 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/// Device nodes taken from the host: they hold no state of it.
const DEVICES: [(&CStr, &CStr); 6] = [
    (c"/dev/null", c"null"),
    (c"/dev/zero", c"zero"),
    (c"/dev/full", c"full"),
    (c"/dev/random", c"random"),
    (c"/dev/urandom", c"urandom"),
    (c"/dev/tty", c"tty"),
];

const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
    (c"pts/ptmx", c"ptmx"),
];

/// Files of /proc that tell about the host more than a build needs: some can be read where the
/// caller is root only, so hiding them also makes both the same.
const MASKED_FILES: [&CStr; 13] = [
    c"kcore",
    c"kmsg",
    c"keys",
    c"key-users",
    c"timer_list",
    c"sched_debug",
    c"slabinfo",
    c"vmallocinfo",
    c"pagetypeinfo",
    c"kpagecount",
    c"kpageflags",
    c"kpagecgroup",
    c"sysrq-trigger",
];

const MASKED_DIRECTORIES: [&CStr; 3] = [c"acpi", c"scsi", c"asound"];

/// Builds everything up to and including the new root. Afterwards no path leads to the host.
pub(crate) fn build(plan: &Plan) -> Result<(), Failure> {
    identity(plan)?;
    // Without this, mounts made on the host later would show up inside.
    sys::mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, None)
        .during(Step::Private, 0)?;
    let upper = sys::open(AT_FDCWD, &plan.upper, DIRECTORY, 0).during(Step::Upper, 0)?;
    let work = sys::open(AT_FDCWD, &plan.work, DIRECTORY, 0).during(Step::Work, 0)?;
    let staging = staging(plan, upper).during(Step::Staging, 0)?;
    let root = overlay(plan, staging, upper, work)?;
    proc(plan, root).during(Step::Proc, 0)?;
    dev(root).during(Step::Dev, 0)?;
    for (index, mount) in plan.mounts.iter().enumerate() {
        self::mount(mount, index, root, staging)?;
    }
    sys::fchdir(root).during(Step::Pivot, 0)?;
    sys::pivot_here().during(Step::Pivot, 0)?;
    sys::chdir(c"/").during(Step::Pivot, 0)?;
    for fd in [upper, work, staging, root] {
        sys::close(fd);
    }
    Ok(())
}

fn identity(plan: &Plan) -> Result<(), Failure> {
    sys::write_file(AT_FDCWD, c"/proc/self/setgroups", b"deny").during(Step::IdMap, 0)?;
    sys::write_file(AT_FDCWD, c"/proc/self/uid_map", &plan.uid_map).during(Step::IdMap, 1)?;
    sys::write_file(AT_FDCWD, c"/proc/self/gid_map", &plan.gid_map).during(Step::IdMap, 2)?;
    sys::sethostname(b"stagex").during(Step::HostName, 0)?;
    sys::setdomainname(b"(none)").during(Step::HostName, 1)?;
    if !plan.network {
        sys::loopback_up().during(Step::Loopback, 0)?;
    }
    Ok(())
}

fn tmpfs(size: &CStr, mode: &CStr, attributes: u64) -> Sys<c_int> {
    let context = FsContext::open(c"tmpfs")?;
    context.set(c"source", c"tmpfs")?;
    context.set(c"size", size)?;
    context.set(c"mode", mode)?;
    context.mount(attributes)
}

/// Mounts a scratch file system over `upper`, whose path is not needed any more, and fills it:
/// `s` is the bottom layer, `r` the root's place, `f…` are files to mount.
fn staging(plan: &Plan, upper: c_int) -> Sys<c_int> {
    let staging = tmpfs(c"64m", c"0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
    sys::move_mount(staging, upper)?;
    sys::mkdir(staging, c"r", 0o755)?;
    sys::mkdir(staging, c"s", 0o755)?;
    let skeleton = sys::open(staging, c"s", DIRECTORY, 0)?;
    for entry in &plan.skeleton {
        if entry.directory {
            sys::mkdir(skeleton, &entry.path, entry.mode)?;
        } else {
            sys::create_file(skeleton, &entry.path, entry.mode, &[])?;
        }
    }
    sys::close(skeleton);
    Ok(staging)
}

/// Mounts the root file system on `r`.
///
/// Layers are named as "." from within each: no limit on lengths, and no path of the host shows
/// in /proc/mounts.
fn overlay(plan: &Plan, staging: c_int, upper: c_int, work: c_int) -> Result<c_int, Failure> {
    if plan.old_overlay {
        return overlay_old(plan, staging, upper, work);
    }
    match overlay_new(plan, staging, upper, work) {
        // `lowerdir+` came with Linux 6.5.
        Err(Failure { step: Step::Layer, index: 0, errno: libc::EINVAL }) => {
            overlay_old(plan, staging, upper, work)
        }
        other => other,
    }
}

fn overlay_new(plan: &Plan, staging: c_int, upper: c_int, work: c_int) -> Result<c_int, Failure> {
    let context = FsContext::open(c"overlay").during(Step::Overlay, 0)?;
    context.set(c"source", c"overlay").during(Step::Overlay, 0)?;
    for (index, layer) in plan.layers.iter().enumerate() {
        sys::chdir(layer)
            .and_then(|()| context.set(c"lowerdir+", c"."))
            .during(Step::Layer, index)?;
    }
    sys::fchdir(staging)
        .and_then(|()| context.set(c"lowerdir+", c"s"))
        .during(if plan.layers.is_empty() { Step::Layer } else { Step::Overlay }, 0)?;
    sys::fchdir(upper).and_then(|()| context.set(c"upperdir", c".")).during(Step::Upper, 0)?;
    sys::fchdir(work).and_then(|()| context.set(c"workdir", c".")).during(Step::Work, 0)?;
    context.flag(c"userxattr").during(Step::Overlay, 0)?;
    // Nothing is synced at unmounting: the caller syncs what it keeps.
    context.flag(c"volatile").during(Step::Overlay, 0)?;
    let root = context.mount(MOUNT_ATTR_NODEV).during(Step::Overlay, 0)?;
    attach_to(root, staging, c"r").during(Step::Overlay, 0)?;
    Ok(root)
}

/// Mounts the root with mount(2), whose options fill a page at most: so the layers are first
/// bound to short names in the scratch file system.
fn overlay_old(plan: &Plan, staging: c_int, upper: c_int, work: c_int) -> Result<c_int, Failure> {
    let mut options = Text::<4000>::new();
    options.push(b"userxattr,volatile,upperdir=/proc/self/fd/");
    options.push_number(upper as usize);
    options.push(b",workdir=/proc/self/fd/");
    options.push_number(work as usize);
    options.push(b",lowerdir=");
    for (index, layer) in plan.layers.iter().enumerate() {
        let mut name = Text::<16>::new();
        name.push_number(index);
        let name = name.as_c_str().during(Step::Layer, index)?;
        bind_layer(layer, staging, name).during(Step::Layer, index)?;
        options.push(name.to_bytes());
        options.push(b":");
    }
    options.push(b"s");
    let options = options.as_c_str().during(Step::Overlay, 0)?;
    sys::fchdir(staging)
        .and_then(|()| {
            sys::mount(c"overlay", c"r", c"overlay", libc::MS_NODEV, Some(options))?;
            sys::open(staging, c"r", DIRECTORY, 0)
        })
        .during(Step::Overlay, 0)
}

fn bind_layer(layer: &CStr, staging: c_int, name: &CStr) -> Sys<()> {
    let copy = sys::open_tree(AT_FDCWD, layer, true)?;
    sys::mkdir(staging, name, 0o755)?;
    let target = sys::open(staging, name, DIRECTORY, 0)?;
    sys::move_mount(copy, target)?;
    sys::close(target);
    sys::close(copy);
    Ok(())
}

/// Mounts /proc, read-only: where the caller is root, it owns the host's settings in it.
fn proc(plan: &Plan, root: c_int) -> Sys<()> {
    let context = FsContext::open(c"proc")?;
    context.set(c"source", c"proc")?;
    let proc = context.mount(QUIET)?;
    // The namespace has a limit of its own since Linux 6.14; before, this is the host's and
    // refused. Init watches the number of processes in any case.
    let _ = sys::write_file(proc, c"sys/kernel/pid_max", &plan.pid_max);
    sys::mount_setattr(proc, MOUNT_ATTR_RDONLY, false)?;
    let target = sys::open_in_root(root, c"/proc", DIRECTORY)?;
    sys::move_mount(proc, target)?;
    sys::close(target);
    for name in MASKED_FILES {
        let Ok(target) = sys::open(proc, name, libc::O_PATH, 0) else { continue };
        let null = sys::open_tree(AT_FDCWD, c"/dev/null", false)?;
        sys::mount_setattr(null, MOUNT_ATTR_RDONLY, false)?;
        sys::move_mount(null, target)?;
        sys::close(null);
        sys::close(target);
    }
    for name in MASKED_DIRECTORIES {
        let Ok(target) = sys::open(proc, name, DIRECTORY, 0) else { continue };
        let empty = tmpfs(c"4096", c"0555", QUIET | MOUNT_ATTR_RDONLY)?;
        sys::move_mount(empty, target)?;
        sys::close(empty);
        sys::close(target);
    }
    sys::close(proc);
    Ok(())
}

/// Builds /dev from a scratch file system, the harmless device nodes and a pty instance.
fn dev(root: c_int) -> Sys<()> {
    let target = sys::open_in_root(root, c"/dev", DIRECTORY)?;
    let dev = tmpfs(c"1m", c"0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
    sys::move_mount(dev, target)?;
    sys::close(target);
    for (source, name) in DEVICES {
        let node = sys::open_tree(AT_FDCWD, source, false)?;
        // The node can be written to all the same; what cannot be changed is its permissions,
        // which are the host's: where the caller is root, it owns them.
        sys::mount_setattr(node, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false)?;
        sys::create_file(dev, name, 0o666, &[])?;
        let target = sys::open(dev, name, libc::O_PATH, 0)?;
        sys::move_mount(node, target)?;
        sys::close(target);
        sys::close(node);
    }
    for (target, name) in LINKS {
        sys::symlink(target, dev, name)?;
    }
    sys::mkdir(dev, c"shm", 0o755)?;
    sys::mkdir(dev, c"pts", 0o755)?;
    let shm = tmpfs(c"256m", c"1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
    attach(shm, dev, c"shm")?;
    let context = FsContext::open(c"devpts")?;
    context.set(c"source", c"devpts")?;
    context.set(c"ptmxmode", c"0666")?;
    context.set(c"mode", c"0620")?;
    let pts = context.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
    attach(pts, dev, c"pts")?;
    sys::close(dev);
    Ok(())
}

/// Attaches a mount that is not needed afterwards.
fn attach(mount: c_int, dir: c_int, name: &CStr) -> Sys<()> {
    attach_to(mount, dir, name)?;
    sys::close(mount);
    Ok(())
}

fn attach_to(mount: c_int, dir: c_int, name: &CStr) -> Sys<()> {
    let target = sys::open(dir, name, libc::O_PATH, 0)?;
    sys::move_mount(mount, target)?;
    sys::close(target);
    Ok(())
}

fn mount(mount: &PlannedMount, index: usize, root: c_int, staging: c_int) -> Result<(), Failure> {
    let source = source(mount, staging).during(Step::Mount, index)?;
    let target = target(mount, root).during(Step::MountPoint, index)?;
    sys::move_mount(source, target).during(Step::Mount, index)?;
    sys::close(source);
    sys::close(target);
    Ok(())
}

/// Makes the detached mount.
fn source(mount: &PlannedMount, staging: c_int) -> Sys<c_int> {
    match &mount.kind {
        MountKind::Bind { source, writable, directory } => {
            let copy = sys::open_tree(AT_FDCWD, source, *directory)?;
            let mut attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
            if !writable {
                attributes |= MOUNT_ATTR_RDONLY;
            }
            sys::mount_setattr(copy, attributes, *directory)?;
            Ok(copy)
        }
        MountKind::Tmpfs { size, mode } => tmpfs(size, mode, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV),
        MountKind::File { name, content, mode } => {
            sys::create_file(staging, name, *mode, content)?;
            let copy = sys::open_tree(staging, name, false)?;
            sys::mount_setattr(
                copy,
                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY,
                false,
            )?;
            Ok(copy)
        }
    }
}

/// Opens the mount point; the bottom layer has it unless a layer hides the place.
fn target(mount: &PlannedMount, root: c_int) -> Sys<c_int> {
    match sys::open_in_root(root, &mount.target, libc::O_PATH) {
        Err(libc::ENOENT) => {}
        other => return other,
    }
    let mut dir = sys::open_in_root(root, c"/", DIRECTORY)?;
    for parent in &mount.parents {
        let next = match sys::open_in_root(root, parent, DIRECTORY) {
            Err(libc::ENOENT) => {
                sys::mkdir(dir, last(parent), 0o755)?;
                sys::open_in_root(root, parent, DIRECTORY)?
            }
            other => other?,
        };
        sys::close(dir);
        dir = next;
    }
    if mount.directory() {
        sys::mkdir(dir, last(&mount.target), 0o755)?;
    } else {
        sys::create_file(dir, last(&mount.target), 0o644, &[])?;
    }
    sys::close(dir);
    sys::open_in_root(root, &mount.target, libc::O_PATH)
}

/// The last part of a path: the end of a C string is one.
fn last(path: &CStr) -> &CStr {
    let bytes = path.to_bytes_with_nul();
    let start = bytes.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
    bytes.get(start..).and_then(|b| CStr::from_bytes_with_nul(b).ok()).unwrap_or(path)
}

/// Text put together without allocating. Overflow is noticed at the end.
struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
        }
        self.length = end;
    }

    fn push_number(&mut self, mut number: usize) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            at -= 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(digits.get(at..).unwrap_or_default());
    }

    fn as_c_str(&self) -> Sys<&CStr> {
        self.bytes
            .get(..=self.length)
            .and_then(|b| CStr::from_bytes_with_nul(b).ok())
            .ok_or(libc::E2BIG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_put_together() {
        let mut text = Text::<12>::new();
        text.push(b"a=");
        text.push_number(0);
        text.push_number(1234);
        assert_eq!(text.as_c_str().unwrap(), c"a=01234");
        text.push(b"12345");
        assert_eq!(text.as_c_str(), Err(libc::E2BIG));
    }

    #[test]
    fn last_part_of_paths() {
        assert_eq!(last(c"/a/bc"), c"bc");
        assert_eq!(last(c"/a"), c"a");
    }
}
