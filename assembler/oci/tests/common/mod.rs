//! Trees and tools that several tests use.
#![allow(dead_code)]

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output},
};

use stagex_oci::{LayerTree, Normalise, Store, tar};
use stagex_tree::{Content, Device, Inode, Kind, Metadata, TreePath};

pub(crate) const EPOCH: u64 = 1_700_000_000;

pub(crate) fn open(path: &Path) -> Store {
    Store::open(path, Normalise { epoch: EPOCH }).unwrap()
}

pub(crate) fn path(text: impl AsRef<[u8]>) -> TreePath {
    TreePath::new(text).unwrap()
}

pub(crate) fn file(mode: u16, bytes: impl AsRef<[u8]>) -> Inode {
    Inode { metadata: Metadata::new(mode), kind: Kind::File(Content::from_bytes(bytes.as_ref())) }
}

pub(crate) fn directory(mode: u16) -> Inode {
    Inode { metadata: Metadata::new(mode), kind: Kind::Directory }
}

pub(crate) fn symlink(target: &str) -> Inode {
    Inode { metadata: Metadata::new(0o777), kind: Kind::Symlink(target.as_bytes().into()) }
}

pub(crate) fn owned(mut inode: Inode, uid: u32, gid: u32) -> Inode {
    (inode.metadata.uid, inode.metadata.gid) = (uid, gid);
    inode
}

pub(crate) fn with_attribute(mut inode: Inode, name: &str, value: &[u8]) -> Inode {
    inode.metadata.xattrs.insert(name.as_bytes().into(), value.into());
    inode
}

/// A layer with one of everything.
pub(crate) fn everything() -> LayerTree {
    let mut layer = LayerTree::new();
    let mut put = |at: &[u8], inode| layer.insert(path(at), inode).unwrap();
    let deep = [&b"d"[..], &[b'n'; 150], &[b'm'; 200], b"f"].join(&b'/');
    put(b"a", directory(0o700));
    put(b"a/closed", file(0, "nobody reads this"));
    put(b"a/empty", file(0o644, ""));
    put(b"a/setuid", owned(file(0o4755, "#!"), 7, 8));
    put(b"a/big-ids", owned(file(0o644, "ids"), 3_000_000_000, 2_097_152));
    put(b"attributes", with_attribute(file(0o644, "x"), "user.note", b"two\nlines=\0\xff"));
    put(b"capable", with_attribute(file(0o755, "x"), "security.capability", &[1, 0, 0, 2, 0]));
    put(
        b"dev/null",
        Inode {
            kind: Kind::CharDevice(Device { major: 1, minor: 3 }),
            metadata: Metadata::new(0o666),
        },
    );
    put(
        b"dev/sda",
        Inode {
            kind: Kind::BlockDevice(Device { major: 8, minor: 0 }),
            metadata: Metadata::new(0o660),
        },
    );
    put(b"fifo", Inode { kind: Kind::Fifo, metadata: Metadata::new(0o620) });
    put(b"link", symlink("../../outside"));
    put(b"long-link", symlink(&"l".repeat(300)));
    put(b"locked", directory(0));
    put(b"locked/inside", file(0o600, "behind a closed door"));
    put(&deep, file(0o644, "deep"));
    put("namé".as_bytes(), file(0o644, "utf-8"));
    put(b"not-utf8-\xff\xfe", file(0o644, "bytes"));
    put(&[&[0xff; 120][..], &[b'x'; 60]].concat(), file(0o644, "long and not utf-8"));
    put(b"same-1", file(0o644, "linked"));
    put(b"sticky", directory(0o1777));
    layer.link(path("same-2"), &path("same-1")).unwrap();
    layer.link(path("a/same-0"), &path("same-1")).unwrap();
    layer.link(path("link-too"), &path("link")).unwrap();
    layer.whiteouts.insert(path("etc/gone"));
    layer.whiteouts.insert(path("top-gone"));
    layer.opaque.insert(path("sticky"));
    layer
}

pub(crate) fn tar_of(layer: &LayerTree) -> Vec<u8> {
    let mut out = Vec::new();
    tar::write_layer(layer, EPOCH, &mut out, &mut |_, content, out| content.copy_to(out)).unwrap();
    out
}

/// Runs a program that the machine must have.
pub(crate) fn run(program: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("this test needs the program '{program}': {error}"));
    assert!(
        output.status.success(),
        "{program}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
