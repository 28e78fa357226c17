//! newc archives, read back by GNU cpio and libarchive.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path, process::Command};

use common::*;
use proptest::prelude::*;
use stagex_image::{
    Image,
    compress::Zstd,
    concatenate,
    cpio::{self, Error, Layout, Params},
};
use stagex_tree::{Content, Device, Digest, Entry, Kind, Tree};

fn lay(tree: &Tree) -> Layout<'_> {
    cpio::layout(tree, &Params::default()).unwrap()
}

fn extract(archive: &[u8], tool: &str) -> (tempfile::TempDir, Tree) {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("a.cpio"), folder.path().join("out"));
    fs::write(&from, archive).unwrap();
    fs::create_dir(&to).unwrap();
    let command = match tool {
        "cpio" => "umask 0; exec cpio -idm --quiet <../a.cpio",
        _ => "umask 0; exec bsdtar -xpPf ../a.cpio",
    };
    let package = if tool == "cpio" { "cpio" } else { "libarchive-tools" };
    let output = run(package, Command::new("sh").arg("-c").arg(command).current_dir(&to));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && error.is_empty(), "{tool}: {error}");
    let tree = read_folder(&to);
    (folder, tree)
}

/// Extracts with `tool` and compares all that the tool restores: GNU cpio sets no times of
/// directories and links, libarchive none of the root.
fn check(tree: &Tree, tool: &str) {
    let tree = as_seen_by_user(tree);
    let (_folder, found) = extract(&bytes(&lay(&tree)), tool);
    let lost = |entry: &Entry<'_>| match entry.inode.kind {
        Kind::Directory => tool == "cpio" || entry.path.is_root(),
        Kind::Symlink(_) => tool == "cpio",
        _ => false,
    };
    assert_same(&without_times(&found, lost), &without_times(&tree, lost));
}

/// All kinds of entries in one small tree.
fn sample() -> Tree {
    let mut tree = empty();
    for name in ["bin", "dev", "etc", "etc/deep"] {
        tree.insert(path(name), directory()).unwrap();
    }
    tree.insert(path("bin/sh"), file(filling(5000, 1))).unwrap();
    tree.link(path("bin/ash"), &path("bin/sh")).unwrap();
    tree.link(path("etc/deep/sh"), &path("bin/sh")).unwrap();
    tree.insert(path("init"), node(Kind::Symlink((*b"bin/sh").into()))).unwrap();
    tree.metadata_mut(&path("init")).unwrap().mode = 0o777;
    let device = Device { major: 5, minor: 1 };
    tree.insert(path("dev/console"), node(Kind::CharDevice(device))).unwrap();
    tree.insert(path("dev/loop0"), node(Kind::BlockDevice(Device { major: 7, minor: 0 }))).unwrap();
    tree.insert(path("dev/pipe"), node(Kind::Fifo)).unwrap();
    tree.insert(path("TRAILER!!!"), file(*b"not the end")).unwrap();
    tree.insert(path(b"etc/\xff\xfe"), file(*b"")).unwrap();
    tree.insert(path("etc/".to_owned() + &"n".repeat(255)), file(*b"x")).unwrap();
    tree
}

#[test]
fn bytes_are_pinned() {
    let tree = sample();
    let digest = Digest::of(bytes(&lay(&tree))).to_string();
    assert_eq!(digest, "2886cfac8d1132fe3d57b865f32d233cf93d2a7b9aa92d27781a9c657c01709b");
    let empty = empty();
    let digest = Digest::of(bytes(&lay(&empty))).to_string();
    assert_eq!(digest, "ddc722e44881e4ce3568b21c702dcd7e38f6d1d729ae469c0c801ec3f2d80dbc");
}

#[test]
fn header_fields_are_as_documented() {
    let tree = sample();
    let archive = bytes(&lay(&tree));
    // The root first: inode 1, directory 0755, four links from "..": bin, dev, etc.
    let expected = "070701\
        00000001000041ED000000000000000000000005\
        6553F1000000000000000000000000000000000000000000\
        0000000200000000";
    assert_eq!(String::from_utf8_lossy(&archive[..110]), expected);
    assert_eq!(&archive[110..112], b".\0");
    assert_eq!(archive.len() % 4, 0);
}

#[test]
fn sample_is_read_by_gnu_cpio() {
    check(&sample(), "cpio");
}

#[test]
fn several_archives_in_a_row_compressed_or_not() {
    let (one, two) = (sample(), empty());
    let (one, two) = (lay(&one), lay(&two));
    let mut compressed = Vec::new();
    Zstd { level: 3, workers: 1 }.compress(&one, &mut compressed).unwrap();
    let compressed = Content::from_bytes(compressed);
    let mut out = Vec::new();
    let parts: [&dyn Image; 3] = [&two, &compressed, &two];
    let len = concatenate(&parts, 4, &mut out).unwrap();
    assert_eq!(len, out.len() as u64);
    let middle = two.len() as usize;
    assert_eq!(&out[middle..][..4], &[0x28, 0xb5, 0x2f, 0xfd], "zstd begins aligned");
    let last = middle + (compressed.len() as usize).next_multiple_of(4);
    assert_eq!(&out[last..][..6], b"070701", "the next archive begins aligned");
    // The reference decompressor, and the same bytes for any number of workers.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.zst");
    fs::write(&file, compressed.read().unwrap()).unwrap();
    let plain = ok("zstd", Command::new("zstd").arg("-dcq").arg(&file));
    assert!(plain == bytes(&one));
    for workers in [2, 8] {
        let mut again = Vec::new();
        Zstd { level: 3, workers }.compress(&one, &mut again).unwrap();
        assert!(again == compressed.read().unwrap(), "{workers} workers");
    }
}

#[test]
fn what_the_format_cannot_hold_is_refused_by_name() {
    let refused = |tree: &Tree| cpio::layout(tree, &Params::default()).err().unwrap();
    let mut tree = empty();
    let huge = Content::from_file(Path::new("/nowhere"), 0, 1 << 32);
    tree.insert(path("big"), node(Kind::File(huge))).unwrap();
    assert_eq!(refused(&tree), Error::FileTooLarge { path: path("big"), len: 1 << 32 });
    let mut tree = empty();
    tree.insert(path("l"), node(Kind::Symlink(vec![b'x'; 4096].into()))).unwrap();
    assert_eq!(refused(&tree), Error::Target { path: path("l") });
    for mtime in [-1, 1 << 32] {
        let mut tree = empty();
        tree.insert(path("t"), file(*b"")).unwrap();
        tree.metadata_mut(&path("t")).unwrap().mtime = mtime;
        assert_eq!(refused(&tree), Error::Time { path: path("t"), mtime });
    }
    let mut tree = empty();
    let mut capable = file(*b"");
    capable.metadata.xattrs.insert((*b"security.capability").into(), (*b"x").into());
    tree.insert(path("ping"), capable).unwrap();
    let name = "security.capability".to_owned();
    assert_eq!(refused(&tree), Error::Xattr { path: path("ping"), name });
    assert!(cpio::layout(&tree, &Params { drop_xattrs: true }).is_ok());
}

#[test]
fn a_content_that_shrank_fails_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("f");
    fs::write(&short, b"abc").unwrap();
    let mut tree = empty();
    let content = Content::from_file(short.as_path(), 0, 4);
    tree.insert(path("d"), directory()).unwrap();
    tree.insert(path("d/f"), node(Kind::File(content))).unwrap();
    let error = lay(&tree).write(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("/d/f: "), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn gnu_cpio_extracts_the_same_tree(tree in trees(byte_names(), all_kinds())) {
        check(&tree, "cpio");
    }

    #[test]
    fn libarchive_extracts_the_same_tree(tree in trees(byte_names(), plain_kinds())) {
        check(&tree, "bsdtar");
    }
}
