//! Whatever a command leaves behind can be removed.

use std::fs;

use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat};
use stagex_sandbox::remove_tree;

use crate::support::Root;

#[test]
fn removes_what_permissions_protect() {
    let mut root = Root::new();
    root.sh("mkdir -p a/b/c d; touch a/b/c/f d/f; ln -s /etc a/link; chmod 000 a/b/c a/b a; chmod 500 d; mkfifo p");
    for dir in [root.spec.upper.clone(), root.spec.work.clone()] {
        assert!(dir.exists());
        remove_tree(&dir).unwrap();
        assert!(!dir.exists());
        remove_tree(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
    }
}

#[test]
fn removes_what_no_path_can_name() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, &tree, flags, Mode::empty()).unwrap();
    // 2,000 levels are five times the longest path, and more than descriptor tables like. Every
    // tenth is closed to its owner.
    for level in 0..2_000 {
        mkdirat(&at, "ddddddddddd", Mode::RWXU).unwrap();
        drop(openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
        let next = openat(&at, "ddddddddddd", flags, Mode::empty()).unwrap();
        if level % 10 == 0 {
            fchmod(&at, Mode::empty()).unwrap();
        }
        at = next;
    }
    drop(at);
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn removes_a_link_and_not_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("f"), "").unwrap();
    fs::create_dir(dir.path().join("tree")).unwrap();
    std::os::unix::fs::symlink(&kept, dir.path().join("tree/link")).unwrap();
    std::os::unix::fs::symlink(&kept, dir.path().join("link")).unwrap();
    remove_tree(&dir.path().join("tree")).unwrap();
    remove_tree(&dir.path().join("link")).unwrap();
    assert!(kept.join("f").exists());
}
