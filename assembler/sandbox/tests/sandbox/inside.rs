//! Attacks tried from inside: the test program itself, run in the sandbox, makes the calls.

use std::ffi::CString;
use std::io;

use stagex_sandbox::Status;

use crate::support::Root;

const INSIDE: &str = "STAGEX_SANDBOX_TEST_INSIDE";

/// Runs the attacks in a sandbox.
#[test]
fn system_calls_that_lead_out_are_refused() {
    let mut root = Root::new();
    root.mount_self();
    root.spec.env.push((INSIDE.into(), std::process::id().to_string().into()));
    root.spec.argv = ["/self", "--exact", "inside::attack", "--ignored", "--nocapture"]
        .iter()
        .map(Into::into)
        .collect();
    let (status, text) = root.run();
    assert_eq!(status, Status::Exit(0), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

fn call(number: i64, args: [u64; 6]) -> Result<i64, i32> {
    // SAFETY: every pointer passed below is null or to a live C string; the kernel checks them.
    let value =
        unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    if value < 0 { Err(io::Error::last_os_error().raw_os_error().unwrap()) } else { Ok(value) }
}

/// Runs inside the sandbox only.
#[test]
#[ignore = "runs inside the sandbox, started by another test"]
fn attack() {
    let host_pid: u64 = std::env::var(INSIDE).expect("started by hand").parse().unwrap();
    let denied = Err(libc::EPERM);
    let s = |text: &str| CString::new(text).unwrap().into_raw() as u64;
    let root = s("/");
    let tmpfs = s("tmpfs");
    assert_eq!(call(libc::SYS_mount, [tmpfs, s("/tmp"), tmpfs, 0, 0, 0]), denied, "mount");
    assert_eq!(call(libc::SYS_umount2, [s("/proc"), 2, 0, 0, 0, 0]), denied, "umount");
    assert_eq!(call(libc::SYS_pivot_root, [root, root, 0, 0, 0, 0]), denied, "pivot_root");
    assert_eq!(call(libc::SYS_fsopen, [tmpfs, 0, 0, 0, 0, 0]), denied, "fsopen");
    assert_eq!(call(libc::SYS_open_tree, [0, root, 1, 0, 0, 0]), denied, "open_tree");
    for flag in [0x1000_0000u64, 0x0002_0000, 0x2000_0000, 0x4000_0000, 0x0800_0000, 0x80] {
        assert_eq!(call(libc::SYS_unshare, [flag, 0, 0, 0, 0, 0]), denied, "unshare {flag:#x}");
    }
    assert_eq!(call(libc::SYS_clone, [0x1000_0011, 0, 0, 0, 0, 0]), denied, "clone");
    assert_eq!(call(libc::SYS_clone3, [0, 0, 0, 0, 0, 0]), Err(libc::ENOSYS), "clone3");
    assert_eq!(call(libc::SYS_setns, [0, 0, 0, 0, 0, 0]), denied, "setns");
    assert_eq!(call(libc::SYS_bpf, [0, 0, 0, 0, 0, 0]), denied, "bpf");
    assert_eq!(call(libc::SYS_keyctl, [0, 0, 0, 0, 0, 0]), denied, "keyctl");
    assert_eq!(call(libc::SYS_perf_event_open, [0, 0, 0, 0, 0, 0]), denied, "perf");
    assert_eq!(call(libc::SYS_userfaultfd, [0, 0, 0, 0, 0, 0]), denied, "userfaultfd");
    assert_eq!(call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0]), Err(libc::ENOSYS), "io_uring");
    assert_eq!(call(libc::SYS_open_by_handle_at, [0, 0, 0, 0, 0, 0]), denied, "handles");
    assert_eq!(call(libc::SYS_sethostname, [root, 1, 0, 0, 0, 0]), denied, "sethostname");
    assert_eq!(call(libc::SYS_ioctl, [0, 0x5412, root, 0, 0, 0]), denied, "TIOCSTI");
    for family in [38u64, 40, 17, 31] {
        let made = call(libc::SYS_socket, [family, 3, 0, 0, 0, 0]);
        assert_eq!(made, Err(libc::EAFNOSUPPORT), "socket family {family}");
    }
    // SAFETY: PTRACE_ATTACH takes no pointers.
    let attached = unsafe { libc::ptrace(libc::PTRACE_ATTACH, 1, 0, 0) };
    assert_eq!((attached, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
    assert_eq!(call(libc::SYS_kill, [host_pid.max(1000), 9, 0, 0, 0, 0]), Err(libc::ESRCH));
    // Init does not care about signals from inside.
    assert_eq!(call(libc::SYS_kill, [1, 9, 0, 0, 0, 0]), Ok(0));
    for path in ["/proc/1/root/etc", "/proc/1/mem", "/proc/1/environ", "/proc/1/exe"] {
        let error = std::fs::File::open(path).and_then(|_| std::fs::read_dir(path).map(|_| ()));
        assert!(error.is_err(), "{path} can be opened");
    }
    for link in ["exe", "root", "cwd", "fd/0", "fd/1", "fd/6", "fd/7", "ns/mnt"] {
        assert!(std::fs::read_link(format!("/proc/1/{link}")).is_err(), "{link} can be read");
    }
    let command = std::fs::read("/proc/1/cmdline").unwrap();
    assert_eq!(command.split(|b| *b == 0).next(), Some(&b"stagex-init"[..]));
    assert!(command.iter().skip(11).all(|b| *b == 0), "{command:?}");
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/kernel/pid_max",
        "/proc/self/oom_score_adj",
        "/proc/self/uid_map",
    ] {
        let opened = std::fs::OpenOptions::new().write(true).open(path);
        // Which check comes first depends on whose the file is.
        let errno = opened.unwrap_err().raw_os_error();
        assert!(matches!(errno, Some(libc::EROFS | libc::EACCES)), "{path}: {errno:?}");
    }
    // What belongs to the host cannot be changed, whoever calls.
    use std::os::unix::fs::PermissionsExt;
    for path in ["/dev/null", "/dev/tty", "/lib64", "/self"] {
        let mode = std::fs::Permissions::from_mode(0o600);
        let error = std::fs::set_permissions(path, mode).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EROFS), "{path}");
    }
    std::fs::write("/dev/null", "anything").unwrap();
    // The classic way out of a chroot leads to the sandbox's own root.
    std::fs::create_dir("/jail").unwrap();
    let outside = std::fs::File::open("/").unwrap();
    std::os::unix::fs::chroot("/jail").unwrap();
    rustix::process::fchdir(&outside).unwrap();
    for _ in 0..64 {
        std::env::set_current_dir("..").unwrap();
    }
    std::os::unix::fs::chroot(".").unwrap();
    let names: Vec<_> = std::fs::read_dir("/").unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.contains(&"self".into()) && names.contains(&"jail".into()), "{names:?}");
    assert!(!names.contains(&"root".into()) && !names.contains(&"home".into()), "{names:?}");
}
