//! Raw system calls, for use between `clone` and `exec`.
//!
//! Every function here is async-signal-safe: none allocates, locks or panics. Failures are plain
//! `errno` values, because building an `io::Error` belongs to the parent.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr;

/// The result of a system call: its value or its `errno`.
pub(crate) type Sys<T> = Result<T, i32>;

pub(crate) const AT_FDCWD: c_int = libc::AT_FDCWD;

const FSCONFIG_SET_FLAG: c_uint = 0;
const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: c_uint = 0x40;
const OPEN_TREE_CLONE: c_uint = 1;
const AT_RECURSIVE: c_uint = 0x8000;
const RESOLVE_IN_ROOT: u64 = 0x10;
/// How often a path is looked up while others rename and mount.
const RACES: u32 = 100_000;

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x01;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x02;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x04;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 0x08;

/// Returns the calling thread's `errno`.
pub(crate) fn errno() -> i32 {
    // SAFETY: the location is a valid, thread-local integer for the life of the thread.
    unsafe { *libc::__errno_location() }
}

fn check(value: c_long) -> Sys<c_long> {
    if value < 0 { Err(errno()) } else { Ok(value) }
}

fn unit(value: c_long) -> Sys<()> {
    check(value).map(|_| ())
}

fn fd(value: c_long) -> Sys<c_int> {
    check(value).map(|v| v as c_int)
}

/// Forks into the given new namespaces; returns 0 in the child.
///
/// # Safety
/// Until it executes a program or exits, the child may only call async-signal-safe code.
pub(crate) unsafe fn fork(flags: c_ulong) -> Sys<c_int> {
    let flags = flags | libc::SIGCHLD as c_ulong;
    // SAFETY: without CLONE_VM and with no stack, this is fork(2): the child gets a copy of the
    // address space. The caller vouches for what the child does. The order of the arguments is
    // the same on every architecture for the first two, and the others are zero.
    fd(unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) })
}

/// Ends the process without running any exit handler.
pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: _exit takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

pub(crate) fn open(dir: c_int, path: &CStr, flags: c_int, mode: c_uint) -> Sys<c_int> {
    // SAFETY: the path is a live NUL-terminated string.
    fd(unsafe { libc::openat(dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) } as c_long)
}

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Opens a path as it resolves with `root` as the root directory, links included.
pub(crate) fn open_in_root(root: c_int, path: &CStr, flags: c_int) -> Sys<c_int> {
    let how =
        OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: 0, resolve: RESOLVE_IN_ROOT };
    // A path with `..` is refused for the moment if anything on the machine was renamed or mounted
    // meanwhile (openat2(2)): that is no reason to fail, and does not last.
    for _ in 0..RACES {
        // SAFETY: path and how are live, and the size passed is that of the structure.
        let opened = fd(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root,
                path.as_ptr(),
                &raw const how,
                std::mem::size_of::<OpenHow>(),
            )
        });
        match opened {
            Err(libc::EAGAIN) => {}
            opened => return opened,
        }
    }
    Err(libc::EAGAIN)
}

pub(crate) fn close(fd: c_int) {
    // SAFETY: closing a number has no memory effects; the callers own what they close.
    unsafe { libc::close(fd) };
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: c_uint, last: c_uint) -> Sys<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: no pointers.
    unit(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
}

pub(crate) fn dup2(from: c_int, to: c_int) -> Sys<()> {
    // SAFETY: no pointers.
    unit(unsafe { libc::dup2(from, to) } as c_long)
}

/// Writes all of `bytes`.
pub(crate) fn write_all(fd: c_int, mut bytes: &[u8]) -> Sys<()> {
    while !bytes.is_empty() {
        // SAFETY: pointer and length describe a live slice.
        let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match check(written as c_long) {
            Ok(n) => bytes = bytes.get(n as usize..).unwrap_or(&[]),
            Err(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Opens an existing file and writes all of `bytes` in one go.
pub(crate) fn write_file(dir: c_int, path: &CStr, bytes: &[u8]) -> Sys<()> {
    let file = open(dir, path, libc::O_WRONLY, 0)?;
    let result = write_all(file, bytes);
    close(file);
    result
}

/// Makes a file with the given bytes and mode.
pub(crate) fn create_file(dir: c_int, path: &CStr, mode: c_uint, bytes: &[u8]) -> Sys<()> {
    let file = open(dir, path, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, mode)?;
    let result = write_all(file, bytes);
    // SAFETY: no pointers.
    let chmod = unit(unsafe { libc::fchmod(file, mode as libc::mode_t) } as c_long);
    close(file);
    result.and(chmod)
}

/// Makes a directory; one that is there already is left as it is.
pub(crate) fn mkdir(dir: c_int, path: &CStr, mode: c_uint) -> Sys<()> {
    // SAFETY: the path is a live NUL-terminated string.
    match unit(unsafe { libc::mkdirat(dir, path.as_ptr(), mode as libc::mode_t) } as c_long) {
        Ok(()) => {
            // SAFETY: as above.
            unit(unsafe { libc::fchmodat(dir, path.as_ptr(), mode as libc::mode_t, 0) } as c_long)
        }
        Err(libc::EEXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

pub(crate) fn symlink(target: &CStr, dir: c_int, path: &CStr) -> Sys<()> {
    // SAFETY: both are live NUL-terminated strings.
    unit(unsafe { libc::symlinkat(target.as_ptr(), dir, path.as_ptr()) } as c_long)
}

pub(crate) fn chdir(path: &CStr) -> Sys<()> {
    // SAFETY: the path is a live NUL-terminated string.
    unit(unsafe { libc::chdir(path.as_ptr()) } as c_long)
}

pub(crate) fn fchdir(dir: c_int) -> Sys<()> {
    // SAFETY: no pointers.
    unit(unsafe { libc::fchdir(dir) } as c_long)
}

/// A file system being configured: the new mount API.
pub(crate) struct FsContext(c_int);

impl FsContext {
    pub(crate) fn open(kind: &CStr) -> Sys<Self> {
        // SAFETY: the name is a live NUL-terminated string.
        fd(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1u32) }).map(Self)
    }

    fn config(&self, command: c_uint, key: *const c_char, value: *const c_char) -> Sys<()> {
        // SAFETY: the callers pass null or live NUL-terminated strings, as the command asks.
        unit(unsafe { libc::syscall(libc::SYS_fsconfig, self.0, command, key, value, 0) })
    }

    pub(crate) fn set(&self, key: &CStr, value: &CStr) -> Sys<()> {
        self.config(FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
    }

    pub(crate) fn flag(&self, key: &CStr) -> Sys<()> {
        self.config(FSCONFIG_SET_FLAG, key.as_ptr(), ptr::null())
    }

    /// Makes the file system and returns its detached mount.
    pub(crate) fn mount(self, attributes: u64) -> Sys<c_int> {
        self.config(FSCONFIG_CMD_CREATE, ptr::null(), ptr::null())?;
        // SAFETY: no pointers. Attribute bits used here fit the 32-bit argument.
        fd(unsafe { libc::syscall(libc::SYS_fsmount, self.0, 1u32, attributes as c_uint) })
    }
}

impl Drop for FsContext {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Copies the mount tree below a path; the copy is detached.
pub(crate) fn open_tree(dir: c_int, path: &CStr, recursive: bool) -> Sys<c_int> {
    let flags =
        OPEN_TREE_CLONE | libc::O_CLOEXEC as c_uint | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a live NUL-terminated string.
    fd(unsafe { libc::syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) })
}

/// Attaches a detached mount on an open file or directory.
pub(crate) fn move_mount(mount: c_int, target: c_int) -> Sys<()> {
    // SAFETY: both paths are live, empty NUL-terminated strings.
    unit(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount,
            c"".as_ptr(),
            target,
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Sets attributes on a mount and, where asked, on all mounts below it.
pub(crate) fn mount_setattr(mount: c_int, set: u64, recursive: bool) -> Sys<()> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns: 0 };
    let flags = libc::AT_EMPTY_PATH as c_uint | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is live, and pointer and size describe a live structure.
    unit(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount,
            c"".as_ptr(),
            flags,
            &raw const attr,
            std::mem::size_of::<MountAttr>(),
        )
    })
}

/// Calls mount(2) without a file system's data.
pub(crate) fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: c_ulong,
    data: Option<&CStr>,
) -> Sys<()> {
    let data = data.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: all strings are live and NUL-terminated; null data is allowed.
    unit(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.cast::<c_void>())
    } as c_long)
}

/// Makes the current directory, a mount, the root, and detaches the old one.
pub(crate) fn pivot_here() -> Sys<()> {
    // SAFETY: both paths are live NUL-terminated strings.
    unit(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    // The old root now lies over the new one, in the same place.
    // SAFETY: the path is a live NUL-terminated string.
    unit(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) } as c_long)
}

pub(crate) fn sethostname(name: &[u8]) -> Sys<()> {
    // SAFETY: pointer and length describe a live slice.
    unit(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) } as c_long)
}

pub(crate) fn setdomainname(name: &[u8]) -> Sys<()> {
    // SAFETY: pointer and length describe a live slice.
    unit(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) } as c_long)
}

/// Brings the loopback interface of the network namespace up.
pub(crate) fn loopback_up() -> Sys<()> {
    // SAFETY: no pointers.
    let socket = fd(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) } as c_long)?;
    // SAFETY: ifreq is a plain C structure for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as c_char;
    request.ifr_name[1] = b'o' as c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which is live.
    let result =
        unit(unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request) } as c_long);
    close(socket);
    result
}

pub(crate) fn prctl(option: c_int, a: c_ulong, b: c_ulong) -> Sys<()> {
    // SAFETY: the options used in this crate take integers only.
    unit(unsafe { libc::prctl(option, a, b, 0 as c_ulong, 0 as c_ulong) } as c_long)
}

/// Names the calling thread.
pub(crate) fn set_name(name: &CStr) {
    // SAFETY: PR_SET_NAME reads a NUL-terminated string of at most 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

pub(crate) fn personality(persona: c_ulong) -> Sys<()> {
    // SAFETY: no pointers.
    unit(unsafe { libc::personality(persona) } as c_long)
}

pub(crate) fn setrlimit(resource: u32, limit: &libc::rlimit) -> Sys<()> {
    // SAFETY: the limit is live; an unknown resource is refused by the kernel.
    unit(unsafe { libc::setrlimit(resource as _, limit) } as c_long)
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Sets the effective and permitted capabilities; none is inheritable.
pub(crate) fn capset(keep: u64) -> Sys<()> {
    let header = CapHeader { version: 0x2008_0522, pid: 0 };
    let part = |bits: u32| CapData { effective: bits, permitted: bits, inheritable: 0 };
    let data = [part(keep as u32), part((keep >> 32) as u32)];
    // SAFETY: version 3 of the interface reads one header and two data structures, all live.
    unit(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })
}

/// Installs a seccomp filter on the calling thread.
pub(crate) fn seccomp(filter: &[libc::sock_filter]) -> Sys<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program points to `len` live instructions, which the kernel only reads.
    unit(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    })
}

/// Sets every signal's disposition to the default.
///
/// The C library's own function would refuse the signals that it uses itself, which a caller's
/// parent may have made ignored.
pub(crate) fn reset_signals() {
    // The kernel's structure is four words at most; zeros mean SIG_DFL, no flags, an empty mask.
    let action = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads one structure, which is live. SIGKILL and SIGSTOP are refused.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                ptr::null_mut::<u64>(),
                8usize,
            )
        };
    }
}

/// A kernel signal set: one bit per signal.
pub(crate) fn set_signal_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    // SAFETY: both sets are live and of the size given.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut old,
            8usize,
        )
    };
    old
}

/// Makes a descriptor that becomes readable when a child ends.
pub(crate) fn child_signalfd() -> Sys<c_int> {
    let mask = 1u64 << (libc::SIGCHLD - 1);
    // SAFETY: the mask is live and of the size given.
    fd(unsafe {
        libc::syscall(
            libc::SYS_signalfd4,
            -1,
            &raw const mask,
            8usize,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )
    })
}

pub(crate) fn poll(fds: &mut [libc::pollfd], timeout_ms: c_int) -> Sys<usize> {
    // SAFETY: pointer and length describe a live slice.
    let n = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
    check(n as c_long).map(|n| n as usize)
}

pub(crate) fn read(fd: c_int, buffer: &mut [u8]) -> Sys<usize> {
    // SAFETY: pointer and length describe a live slice.
    let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    check(n as c_long).map(|n| n as usize)
}

/// Reaps one child that has ended, if any: its id and wait status.
pub(crate) fn reap() -> Sys<Option<(c_int, c_int)>> {
    let mut status = 0;
    // SAFETY: the status is live.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    match check(pid as c_long)? {
        0 => Ok(None),
        pid => Ok(Some((pid as c_int, status))),
    }
}

/// Reads raw directory entries into the buffer.
pub(crate) fn getdents(dir: c_int, buffer: &mut [u8]) -> Sys<usize> {
    // SAFETY: pointer and length describe a live slice.
    let n = unsafe { libc::syscall(libc::SYS_getdents64, dir, buffer.as_mut_ptr(), buffer.len()) };
    check(n).map(|n| n as usize)
}

pub(crate) fn rewind(dir: c_int) {
    // SAFETY: no pointers.
    unsafe { libc::lseek(dir, 0, libc::SEEK_SET) };
}

pub(crate) fn setsid() -> Sys<()> {
    // SAFETY: no pointers.
    unit(unsafe { libc::setsid() } as c_long)
}

/// Puts the caller into a process group of its own, in the foreground of the terminal if it is
/// one.
pub(crate) fn take_terminal(terminal: c_int) -> Sys<()> {
    // SAFETY: no pointers.
    unit(unsafe { libc::setpgid(0, 0) } as c_long)?;
    // SAFETY: no pointers.
    match unit(unsafe { libc::tcsetpgrp(terminal, libc::getpid()) } as c_long) {
        Err(libc::ENOTTY | libc::EBADF) => Ok(()),
        other => other,
    }
}

pub(crate) fn umask(mask: u32) {
    // SAFETY: no pointers.
    unsafe { libc::umask(mask as libc::mode_t) };
}

/// Tells whether a path exists, following links.
pub(crate) fn exists(path: &CStr) -> bool {
    // SAFETY: the path is a live NUL-terminated string.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Executes a program; returns only on failure, with the `errno`.
///
/// # Safety
/// `argv` and `envp` must be null-terminated arrays of live NUL-terminated strings.
pub(crate) unsafe fn execve(
    program: &CStr,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> i32 {
    // SAFETY: the caller vouches for the arrays.
    unsafe { libc::execve(program.as_ptr(), argv, envp) };
    errno()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::fd::AsRawFd as _,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn a_path_is_found_while_others_rename() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("0"), "").unwrap();
        let root = fs::File::open(folder.path()).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let [one, two] = ["0", "1"].map(|name| folder.path().join(name));
                while !done.load(Ordering::Relaxed) {
                    fs::rename(&one, &two).unwrap();
                    fs::rename(&two, &one).unwrap();
                }
            });
            let all: Vec<Sys<c_int>> = (0..20_000)
                .map(|_| {
                    let found =
                        open_in_root(root.as_raw_fd(), c"a/b/../../a/../a/b/..", libc::O_PATH);
                    found.iter().for_each(|fd| close(*fd));
                    found
                })
                .collect();
            done.store(true, Ordering::Relaxed);
            let failed: Vec<_> = all.iter().filter_map(|found| found.err()).collect();
            assert_eq!(failed, []);
        });
    }
}
