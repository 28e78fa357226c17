//! Says whether this host allows what the sandbox needs and, if not, which setting forbids it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::cleanup::remove_tree;
use crate::{Cancel, Error, Spec, Stdio, Step, run};

/// Tells whether sandboxes can be made, by making one.
///
/// `scratch` is an existing directory on the file system where upper directories will lie; what
/// is made in it is removed again.
///
/// # Errors
/// [`Error::Unsupported`] names the host's setting that forbids it and how to allow it; other
/// errors are trouble with `scratch`.
pub fn probe(scratch: &Path) -> Result<(), Error> {
    let io_error = |source: io::Error| Error::Setup {
        step: Step::Upper,
        subject: scratch.to_path_buf(),
        source,
    };
    let dir = scratch.join(format!(".stagex-probe-{}", std::process::id()));
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    fs::create_dir(&dir).map_err(io_error)?;
    fs::create_dir(&upper).map_err(io_error)?;
    fs::create_dir(&work).map_err(io_error)?;
    let mut spec = Spec::new(Vec::new(), upper, work, ["/nothing"]);
    spec.limits.disk_reserve = 0;
    let result = Cancel::new()
        .map_err(io_error)
        .and_then(|cancel| run(&spec, Stdio::Stream(&mut |_| {}), &cancel));
    remove_tree(&dir).map_err(io_error)?;
    match result {
        // All steps went well up to the last: there is no such program.
        Ok(_) | Err(Error::NoProgram { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What a host forbids, and how to allow it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n  to allow it: {remedy}")]
pub struct Unsupported {
    /// What is missing or forbidden, naming the setting.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

fn unsupported(what: impl fmt::Display, remedy: impl fmt::Display) -> Unsupported {
    Unsupported { what: what.to_string(), remedy: remedy.to_string() }
}

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|s| s.trim().to_owned())
}

/// Explains why namespaces could not be made.
pub(crate) fn explain(errno: i32) -> Option<Unsupported> {
    explain_with(errno, &setting)
}

/// As [`explain`], with the host's settings looked up by a function.
fn explain_with(errno: i32, setting: &dyn Fn(&str) -> Option<String>) -> Option<Unsupported> {
    const ADVICE: &str = "set it as root, and in /etc/sysctl.d to keep it:";
    let is = |path: &str, value: &str| setting(path).as_deref() == Some(value);
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") && errno == libc::EPERM {
        return Some(unsupported(
            "this host forbids user namespaces to ordinary users: kernel.unprivileged_userns_clone is 0",
            format!("{ADVICE} sysctl kernel.unprivileged_userns_clone=1"),
        ));
    }
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let path = format!("/proc/sys/user/max_{kind}_namespaces");
        if is(&path, "0") {
            return Some(unsupported(
                format!("this host allows no {kind} namespaces: user.max_{kind}_namespaces is 0"),
                format!("{ADVICE} sysctl user.max_{kind}_namespaces=15000"),
            ));
        }
    }
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
        && matches!(errno, libc::EPERM | libc::EACCES)
    {
        return Some(unsupported(
            "AppArmor on this host forbids user namespaces to programs without a profile: \
             kernel.apparmor_restrict_unprivileged_userns is 1",
            format!(
                "{ADVICE} sysctl kernel.apparmor_restrict_unprivileged_userns=0, or add a profile \
                 that grants `userns` to this program"
            ),
        ));
    }
    let filtered = setting("/proc/self/status")
        .is_some_and(|s| s.lines().any(|l| l.split_whitespace().eq(["Seccomp:", "2"])));
    match errno {
        libc::EPERM | libc::ENOSYS if filtered => Some(unsupported(
            "this process already runs under a seccomp filter that forbids namespaces, as in a \
             container",
            "start the container with --security-opt seccomp=unconfined (and, with Docker, \
             --security-opt systempaths=unconfined --security-opt apparmor=unconfined), or run \
             on the host",
        )),
        libc::ENOSPC | libc::EUSERS => Some(unsupported(
            "no more namespaces can be made: the nesting or one of the limits user.max_*_namespaces \
             is exhausted",
            "raise user.max_user_namespaces and its siblings with sysctl, or end other sandboxes",
        )),
        libc::EINVAL => Some(unsupported(
            "this kernel was built without one of the namespaces (user, pid, net, ipc, uts, cgroup)",
            "use a kernel with CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS, CONFIG_IPC_NS, \
             CONFIG_UTS_NS and CONFIG_CGROUPS",
        )),
        libc::EPERM => Some(unsupported(
            "this host forbids making namespaces; inside a chroot they are never allowed",
            "run outside a chroot; in a container, start it with --security-opt seccomp=unconfined",
        )),
        _ => None,
    }
}

/// Explains why a step of building the sandbox failed, where the host is to blame.
pub(crate) fn explain_step(step: Step, errno: i32) -> Option<Unsupported> {
    match (step, errno) {
        (Step::IdMap | Step::HostName | Step::Private, libc::EPERM | libc::EACCES) => {
            explain(libc::EPERM)
        }
        (Step::Overlay, libc::ENODEV) => Some(unsupported(
            "this kernel has no overlayfs",
            "load the module (`modprobe overlay`), or use a kernel with CONFIG_OVERLAY_FS",
        )),
        (Step::Overlay, libc::EPERM) => Some(unsupported(
            "this host forbids overlayfs in a user namespace",
            "use Linux 5.11 or newer without a security module that forbids it",
        )),
        (Step::Overlay, libc::EINVAL | libc::EOPNOTSUPP) => Some(unsupported(
            "the file system of the upper directory cannot hold changes for overlayfs: it must \
             have user.* extended attributes, and must not be overlayfs itself (as a container's \
             root usually is), NFS, FAT or the like",
            "keep the store on ext4, xfs, btrfs or (since Linux 6.6) tmpfs; in a container, on a \
             volume",
        )),
        (Step::Proc, libc::EPERM) => Some(unsupported(
            "this host forbids mounting /proc in a namespace: parts of its own /proc are covered, \
             as in a container",
            "start the container with --security-opt systempaths=unconfined (Podman: \
             --security-opt unmask=ALL), or run on the host",
        )),
        (_, libc::ENOSYS) => Some(unsupported(
            format!("this kernel is too old to {}", step.what()),
            "use Linux 5.12 or newer",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(path: &'static str, value: &'static str, errno: i32) -> String {
        let setting = move |asked: &str| (asked == path).then(|| value.to_owned());
        explain_with(errno, &setting).map(|u| u.to_string()).unwrap_or_default()
    }

    #[test]
    fn names_the_setting() {
        for (path, value, name) in [
            (
                "/proc/sys/kernel/unprivileged_userns_clone",
                "0",
                "sysctl kernel.unprivileged_userns_clone=1",
            ),
            ("/proc/sys/user/max_net_namespaces", "0", "user.max_net_namespaces is 0"),
            (
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                "1",
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            ("/proc/self/status", "Name:\tx\nSeccomp:\t2", "seccomp=unconfined"),
        ] {
            let text = with(path, value, libc::EPERM);
            assert!(text.contains(name), "{path}: {text}");
        }
        assert!(with("", "", libc::ENOSPC).contains("user.max_user_namespaces"));
        assert_eq!(with("", "", libc::ENOMEM), "");
    }
}
