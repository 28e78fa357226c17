//! Trees of every shape in every format: their bytes locked, checked by the reference tools, and
//! shown by Linux as they were given.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fmt::Write as _, fs, path::Path, process::Command};

use common::{
    xattrs::{assert_same_xattrs, read_xattrs},
    *,
};
use stagex_image::{
    Image, cpio,
    erofs::{self, Packing},
    ext4, fat, iso,
    squashfs::{self, Compression},
};
use stagex_tree::{Digest, Tree, TreePath};

/// The digest of each tree in each format. A change of bytes is a decision: write down here what
/// the test says, and tell in the change why the bytes had to differ.
const PINNED: &str = include_str!("data/shapes.sha256");

const FORMATS: [&str; 9] =
    ["cpio", "ext4", "ext4-1k", "erofs", "erofs-lz4", "squashfs", "squashfs-xz", "iso", "fat32"];

/// Trees that are hard for one format or another.
fn shapes() -> Vec<(&'static str, Tree)> {
    let mut shapes = vec![("empty", empty())];

    let mut deep = empty();
    let mut at = TreePath::root();
    for level in 0..60 {
        at = at.join(format!("d{level}")).unwrap();
        deep.insert(at.clone(), directory()).unwrap();
        deep.insert(at.join("file").unwrap(), file(format!("{level}").into_bytes())).unwrap();
    }
    shapes.push(("deep", deep));

    let mut wide = empty();
    wide.insert(path("wide"), directory()).unwrap();
    for number in 0..4000_u32 {
        let name = format!("wide/{number}-{}", "n".repeat(number as usize * 7 % 90));
        wide.insert(path(name), file(number.to_le_bytes())).unwrap();
    }
    shapes.push(("wide", wide));

    let mut names = empty();
    for byte in (1..=255_u8).filter(|byte| !b"./".contains(byte)) {
        names.insert(path([byte]), file([byte])).unwrap();
        names.insert(path([b"name ", &[byte][..], b"."].concat()), directory()).unwrap();
    }
    for (salt, part) in [&b"n"[..], b"\xff\xfe", "ü€".as_bytes()].into_iter().enumerate() {
        let mut name = part.repeat(255);
        name.truncate(255);
        names.insert(path(&name), directory()).unwrap();
        names.insert(path([&name[..], b"/", &name].concat()), file([salt as u8])).unwrap();
    }
    shapes.push(("names", names));

    let mut links = empty();
    links.insert(path("first"), file(filling(5000, 1))).unwrap();
    for folder in 0..40 {
        links.insert(path(format!("{folder}")), directory()).unwrap();
        for name in 0..75 {
            links.link(path(format!("{folder}/{name}")), &path("first")).unwrap();
        }
    }
    shapes.push(("links", links));

    let mut borders = empty();
    for log in 9..=20 {
        for len in [(1_usize << log) - 1, 1 << log, (1 << log) + 1] {
            borders.insert(path(format!("{len}")), file(filling(len, log as u8))).unwrap();
        }
    }
    borders.insert(path("0"), file([])).unwrap();
    borders.insert(path("1"), file([7])).unwrap();
    shapes.push(("borders", borders));

    let mut holes = empty();
    for (name, pieces) in [
        ("all", &[(false, 1 << 20)][..]),
        ("first", &[(false, 300_000), (true, 10)]),
        ("last", &[(true, 5000), (false, 300_000)]),
        ("middle", &[(true, 4096), (false, 1 << 18), (true, 4096)]),
        ("many", &[(true, 4096), (false, 1 << 17)].repeat(30)),
    ] {
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|&(data, len)| if data { filling(len, 3) } else { vec![0; len] })
            .collect();
        holes.insert(path(name), file(bytes)).unwrap();
    }
    shapes.push(("holes", holes));

    let mut xattrs = empty();
    for number in 0..50_usize {
        let mut inode = if number % 3 == 0 { directory() } else { file(filling(number * 100, 5)) };
        for name in 0..number {
            let value = filling(name * 3 % 60, if name % 2 == 0 { 0 } else { number as u8 });
            let space = ["user", "trusted", "security"][name % 3];
            inode
                .metadata
                .xattrs
                .insert(format!("{space}.n{name}").into_bytes().into(), value.into());
        }
        xattrs.insert(path(format!("{number}")), inode).unwrap();
    }
    shapes.push(("xattrs", xattrs));
    shapes
}

/// Writes a tree in a format; why not, where the format cannot hold it.
fn image(format: &str, tree: &Tree) -> Result<Vec<u8>, String> {
    fn done<E: std::fmt::Display>(laid: Result<impl Image, E>) -> Result<Vec<u8>, String> {
        laid.map(|image| bytes(&image)).map_err(|error| error.to_string())
    }
    let squashfs = |compression| {
        let params = squashfs::Params::new(EPOCH, std::env::temp_dir());
        done(squashfs::layout(tree, &squashfs::Params { compression, ..params }))
    };
    match format {
        "cpio" => done(cpio::layout(tree, &cpio::Params::default())),
        "ext4" => done(ext4::layout(tree, &ext4::Params::new("shapes", EPOCH))),
        "ext4-1k" => {
            let params = ext4::Params { block: 1024, ..ext4::Params::new("shapes", EPOCH) };
            done(ext4::layout(tree, &params))
        }
        "erofs" => done(erofs::layout(tree, &erofs::Params::new(EPOCH))),
        "erofs-lz4" => {
            let packing = Packing::new(erofs::Compression::Lz4, std::env::temp_dir());
            let params = erofs::Params { packing: Some(packing), ..erofs::Params::new(EPOCH) };
            done(erofs::layout(tree, &params))
        }
        "squashfs" => squashfs(Compression::Zstd { level: 3 }),
        "squashfs-xz" => squashfs(Compression::Xz { preset: 1 }),
        "iso" => done(iso::layout(tree, &iso::Params::new("SHAPES", EPOCH))),
        _ => done(fat::layout(tree, &fat::Params { epoch: EPOCH, ..Default::default() })),
    }
}

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
    let (kind, options) = match format {
        "cpio" => return,
        "ext4" | "ext4-1k" => ("ext4", "ro"),
        "erofs" | "erofs-lz4" => ("erofs", "ro"),
        "squashfs" | "squashfs-xz" => ("squashfs", "ro"),
        "iso" => ("iso9660", "ro"),
        _ => ("vfat", "ro,utf8,tz=UTC"),
    };
    let Some(mounted) = mount(image, kind, options, folder.path()) else { return };
    let mut found = read_folder(mounted.path());
    if kind == "ext4" {
        found.remove(&path("lost+found")).unwrap();
    }
    if kind == "vfat" {
        let contents = |tree: &Tree| -> Vec<_> {
            tree.iter().map(|e| (e.path.clone(), e.inode.content().cloned())).collect()
        };
        return assert!(contents(&found) == contents(tree), "{shape} in {format}");
    }
    if kind == "iso9660" && shape == "links" {
        // Linux gives each name of a hard-linked file of an ISO an inode of its own.
        assert_eq!(found.len(), tree.len());
        let first = tree.get(&path("first")).unwrap().inode;
        let same = |entry: stagex_tree::Entry<'_>| {
            entry.inode.content().is_none_or(|content| Some(content) == first.content())
        };
        return assert!(found.iter().all(same));
    }
    assert_same(&found, tree);
    if kind != "iso9660" {
        assert_same_xattrs(mounted.path(), tree, |_| true);
        assert!(shape != "xattrs" || read_xattrs(&mounted.path().join("49")).len() == 49);
    }
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
