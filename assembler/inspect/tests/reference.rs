//! Images made by reference tools, read by this crate.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod common;

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use common::{context, node, run};
use stagex_inspect::{Bytes, DiffOptions, Difference, Node, Options, differences, find, tree};

fn content(root: &Node, path: &str) -> Vec<u8> {
    let found = find(&context(), root, path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut bytes = Vec::new();
    found.bytes().unwrap().copy_to(&mut bytes).unwrap();
    bytes
}

/// GNU's archive of a folder with `init` and `etc/motd`.
fn initramfs(folder: &Path, motd: &str, codec: Option<&str>) -> Vec<u8> {
    let root = folder.join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("init"), "#!/bin/sh\n").unwrap();
    fs::write(root.join("etc/motd"), motd).unwrap();
    let pipe = codec.map_or(String::new(), |codec| format!("| {codec} -c"));
    let script = format!("find . | LC_ALL=C sort | cpio -o -H newc --quiet {pipe} > ../initrd");
    run(Command::new("sh").args(["-c", &script]).current_dir(&root));
    fs::read(folder.join("initrd")).unwrap()
}

/// A FAT volume with an initramfs in it.
fn fat(folder: &Path, name: &str, initrd: &[u8]) -> std::path::PathBuf {
    let (image, file) = (folder.join(name), folder.join("initrd.img"));
    fs::write(&file, initrd).unwrap();
    File::create(&image).unwrap().set_len(2 << 20).unwrap();
    run(Command::new("/usr/sbin/mkfs.vfat").args(["-i", "12345678", "-n", "BOOT"]).arg(&image));
    run(Command::new("mmd").arg("-i").arg(&image).arg("::Long Folder Name"));
    let to = "::Long Folder Name/initrd.img";
    run(Command::new("mcopy").arg("-i").arg(&image).arg(&file).arg(to));
    image
}

#[test]
fn nested_path() {
    let folder = tempfile::tempdir().unwrap();
    for codec in [None, Some("gzip"), Some("xz"), Some("zstd")] {
        let initrd = initramfs(folder.path(), "hello\n", codec);
        fat(folder.path(), "esp.img", &initrd);
        let files = folder.path().join("files");
        fs::create_dir_all(&files).unwrap();
        fs::copy(folder.path().join("esp.img"), files.join("a-long-name-of-an-esp.img")).unwrap();
        let iso = folder.path().join("image.iso");
        run(Command::new("xorriso")
            .args(["-as", "mkisofs", "-R", "-quiet", "-e", "a-long-name-of-an-esp.img"])
            .args(["-no-emul-boot", "-o"])
            .args([&iso, &files]));
        let root = node(&iso);
        let inner = "Long Folder Name/initrd.img/etc/motd";
        let path = format!("files/a-long-name-of-an-esp.img/{inner}");
        assert_eq!(content(&root, &path), b"hello\n", "{codec:?}");
        assert_eq!(content(&root, &format!("boot/uefi/{inner}")), b"hello\n", "{codec:?}");
    }
}

#[test]
fn a_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let images = ["one\ntwo\n", "one\nToo\n"].map(|motd| {
        let initrd = initramfs(folder.path(), motd, Some("zstd"));
        fat(folder.path(), motd.trim_end(), &initrd)
    });
    let (old, new) = (node(&images[0]), node(&images[1]));
    let all = DiffOptions::default();
    let found = differences(&context(), &old, &new, &all).unwrap();
    let motd = "Long Folder Name/initrd.img > etc/motd";
    let line = found.iter().find_map(|difference| match difference {
        Difference::Bytes { path, line, offset: 4, count: 2, .. } if path == motd => *line,
        _ => None,
    });
    assert_eq!(line, Some(2), "{found:#?}");
    let shown = format!("{motd}: line 2: \"two\" → \"Too\"");
    assert!(found.iter().any(|difference| difference.to_string() == shown), "{found:#?}");
    assert_eq!(differences(&context(), &old, &node(&images[0]), &all).unwrap(), []);
}

#[test]
fn truncated_and_flipped() {
    let folder = tempfile::tempdir().unwrap();
    let initrd = initramfs(folder.path(), "hello\n", None);
    let mut packed = Command::new("zstd")
        .args(["-c", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("zstd: run assembler/setup");
    packed.stdin.take().unwrap().write_all(&initrd).unwrap();
    let packed = packed.wait_with_output().unwrap().stdout;
    for image in [initrd, packed] {
        let read = |bytes: Vec<u8>| {
            let root = Node::file("image", Bytes::from_vec(bytes));
            tree(&context(), &root, Options { all: true, ..Options::default() }, &mut Vec::new())
        };
        for len in 0..image.len() {
            let _ = read(image[..len].to_vec());
        }
        for at in 0..image.len() {
            for bit in [0x01, 0x80] {
                let mut bytes = image.clone();
                bytes[at] ^= bit;
                let _ = read(bytes);
            }
        }
        assert_eq!(read(image).unwrap().damaged, 0);
    }
}
