//! Trees of every shape in every format: their bytes locked, checked by the reference tools, and
//! shown by Linux as they were given.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fmt::Write as _, fs, path::Path, process::Command};

use common::{shapes::*, xattrs::read_xattrs, *};
use stagex_tree::{Digest, Tree};

/// The digest of each tree in each format. A change of bytes is a decision: write down here what
/// the test says, and tell in the change why the bytes had to differ.
const PINNED: &str = include_str!("data/shapes.sha256");

const FORMATS: [&str; 9] =
    ["cpio", "ext4", "ext4-1k", "erofs", "erofs-lz4", "squashfs", "squashfs-xz", "iso", "fat32"];

/// What the reference checker says has to be nothing, or that all is well.
fn check(format: &str, image: &Path) {
    let silent = |package: &str, program: &str, arguments: &[&str]| {
        let output = run(package, Command::new(program).args(arguments).arg(image));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    match format {
        "cpio" => {
            let list = "cpio -it --quiet <\"$1\" | wc -l";
            silent("cpio", "sh", &["-c", list, "sh"]);
        }
        "ext4" | "ext4-1k" => {
            silent("e2fsprogs", "e2fsck", &["-fn"]);
        }
        "erofs" | "erofs-lz4" => {
            assert_eq!(silent("erofs-utils", "fsck.erofs", &["--extract"]), "");
        }
        "squashfs" | "squashfs-xz" => {
            silent("squashfs-tools", "unsquashfs", &["-ll"]);
        }
        "iso" => {
            silent("xorriso", "xorriso", &["-abort_on", "WARNING", "-indev"]);
        }
        _ => {
            silent("dosfstools", "fsck.fat", &["-n"]);
        }
    }
}

/// Mounts an image and compares what Linux shows.
fn compare(shape: &str, format: &str, image: &Path, tree: &Tree) {
    let folder = tempfile::tempdir().unwrap();
    let Some((kind, options)) = mounted_as(format) else { return };
    let Some(mounted) = mount(image, kind, options, folder.path()) else { return };
    let mut found = read_folder(mounted.path());
    if kind != "vfat" && kind != "iso9660" {
        let paths: Vec<_> = found.iter().map(|entry| entry.path.clone()).collect();
        for path in paths {
            let xattrs = read_xattrs(&mounted.path().join(os(path.as_bytes())));
            found.metadata_mut(&path).unwrap().xattrs = xattrs;
        }
        let count = |path| found.get(path).unwrap().inode.metadata.xattrs.len();
        assert!(shape != "xattrs" || count(&path("49")) == 49);
    }
    assert_shown(&format!("{shape} in {format}"), kind, found, tree);
}

#[test]
fn every_shape_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let mut digests = String::new();
    for (shape, tree) in shapes() {
        for format in FORMATS {
            match image(format, &tree) {
                Ok(bytes) => {
                    writeln!(digests, "{}  {shape}.{format}", Digest::of(&bytes)).unwrap();
                    let image = folder.path().join("image");
                    fs::write(&image, bytes).unwrap();
                    check(format, &image);
                    compare(shape, format, &image, &tree);
                }
                Err(refusal) => writeln!(digests, "{shape}.{format}: {refusal}").unwrap(),
            }
        }
    }
    let differ = |(now, before): &(&str, &str)| now != before;
    let changed: Vec<_> = digests.lines().zip(PINNED.lines()).filter(differ).collect();
    assert!(digests == PINNED, "these differ: {changed:#?}\nall of them:\n{digests}");
}
