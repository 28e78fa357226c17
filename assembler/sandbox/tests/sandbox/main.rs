//! Runs real commands in real sandboxes, as the caller and, where that is root, as an ordinary
//! user too. The root file system is Debian's `busybox-static`.
#![allow(unsafe_code)]
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod cleanup;
mod hostile;
mod inside;
mod isolation;
mod limits;
mod rootfs;
mod support;

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The id of an ordinary user: nobody's.
const NOBODY: u32 = 65534;

/// As root, every test here runs once more as an ordinary user.
#[test]
fn as_an_ordinary_user_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = support::open_temp_dir();
    // The build folder may be closed to others.
    let program = dir.path().join("tests");
    support::copy_program(&std::env::current_exe().unwrap(), &program);
    let output = Command::new(&program)
        .args(["--skip", "as_an_ordinary_user_too"])
        .env("TMPDIR", dir.path())
        .current_dir(dir.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "as uid {NOBODY}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains(" 0 passed"), "no test ran as uid {NOBODY}: {text}");
}
