//! Trees read from tars and image layouts with no store, held against what GNU tar, gzip, zstd and
//! skopeo make of the same folder.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Command};

use common::*;
use stagex_oci::{
    Image, ImageConfig, LayerTree, LayoutError, Select, read_layout_tree,
    tar::{Limits, Spool, TarError, read_tree, read_tree_from_file},
    write_layout,
};
use stagex_tree::{Source, Tree, TreePath, read_folder};

/// A folder with what tars differ in: hole, links, times, long names, attributes.
fn make(folder: &Path) {
    let at = |name: &str| folder.join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/file"), vec![7; 100_000]).unwrap();
    fs::write(at("a/small"), "small").unwrap();
    fs::hard_link(at("a/b/file"), at("z-link")).unwrap();
    std::os::unix::fs::symlink("../outside", at("a/out")).unwrap();
    fs::write(at(&"n".repeat(200)), "long").unwrap();
    fs::File::create(at("hole")).unwrap().set_len(1 << 20).unwrap();
    run("touch", &["-h", "-d", "1965-03-04T05:06:07.5Z", at("a/small").to_str().unwrap()]);
    run("touch", &["-h", "-d", "2031-01-01T00:00:00Z", at("a/b").to_str().unwrap()]);
    run("mkfifo", &[at("pipe")]);
}

fn tar(folder: &Path, to: &Path, arguments: &[&str]) {
    let mut all = vec!["-cf", to.to_str().unwrap(), "--sort=name"];
    all.extend(arguments);
    all.extend(["-C", folder.to_str().unwrap(), "."]);
    run("tar", &all);
}

#[test]
fn a_tar_is_the_folder_that_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    make(&source);
    let expected = read_folder(&source).unwrap();
    for (number, arguments) in
        [&["--format=gnu"][..], &["--format=posix", "--xattrs"], &["--format=posix", "--gzip"]]
            .iter()
            .enumerate()
    {
        let path = folder.path().join(format!("{number}.tar"));
        tar(&source, &path, arguments);
        let mut spool = Spool::new(folder.path().join(format!("{number}.spool")));
        let found = read_tree_from_file(&path, Limits::default(), &mut spool).unwrap();
        assert!(found == expected, "{arguments:?}");
        // Only what is compressed needs a place of its own.
        let content = found.get(&path_of("a/b/file")).unwrap().inode.content().unwrap().clone();
        let Source::File { path: lies_in, .. } = content.source() else { panic!("{content:?}") };
        assert_eq!(**lies_in == path, number < 2, "{arguments:?}");
        // The same through a pipe.
        let mut spool = Spool::new(folder.path().join(format!("{number}.again")));
        let piped = read_tree(fs::File::open(&path).unwrap(), Limits::default(), &mut spool);
        assert!(piped.unwrap() == expected, "{arguments:?}");
        let spooled = fs::metadata(folder.path().join(format!("{number}.again"))).unwrap();
        assert!(spooled.blocks() * 512 < 200_000, "the hole stays one: {spooled:?}");
    }
    let path = folder.path().join("0.tar");
    run("zstd", &["-q", path.to_str().unwrap()]);
    let zst = folder.path().join("0.tar.zst");
    let mut spool = Spool::new(folder.path().join("zst"));
    assert!(read_tree_from_file(&zst, Limits::default(), &mut spool).unwrap() == expected);
}

fn path_of(text: &str) -> TreePath {
    path(text)
}

#[test]
fn tars_that_are_no_tree_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let tarred = |name: &str| {
        let path = folder.path().join(name);
        tar(&source, &path, &[]);
        path
    };
    let error = |path: &Path| {
        let mut spool = Spool::new(folder.path().join("spool"));
        read_tree_from_file(path, Limits::default(), &mut spool).unwrap_err()
    };
    fs::write(source.join(".wh.gone"), "").unwrap();
    let text = error(&tarred("marker.tar")).to_string();
    assert!(text.contains("/.wh.gone"), "{text}");
    fs::remove_file(source.join(".wh.gone")).unwrap();
    fs::write(source.join("file"), vec![1; 10_000]).unwrap();
    let whole = tarred("whole.tar");
    let cut = folder.path().join("cut.tar");
    fs::write(&cut, &fs::read(&whole).unwrap()[..5000]).unwrap();
    assert!(matches!(error(&cut), TarError::Truncated { .. } | TarError::Io { .. }));
    run("xz", &["-k", whole.to_str().unwrap()]);
    let text = error(&folder.path().join("whole.tar.xz")).to_string();
    assert!(text.contains("xz -dc"), "{text}");
    fs::write(&cut, b"no tar").unwrap();
    assert!(matches!(error(&cut), TarError::Truncated { .. }));
}

fn images(store: &stagex_oci::Store) -> Image {
    let mut below = LayerTree::new();
    below.insert(path("etc"), directory(0o700)).unwrap();
    below.insert(path("etc/gone"), file(0o644, "gone")).unwrap();
    below.insert(path("etc/stays"), owned(file(0o640, vec![3; 2000]), 5, 6)).unwrap();
    below.insert(path("hidden/deep/file"), file(0o644, "x")).unwrap();
    let mut above = LayerTree::new();
    above.whiteouts.insert(path("etc/gone"));
    above.insert(path("etc/new"), symlink("stays")).unwrap();
    above.insert(path("hidden"), directory(0o755)).unwrap();
    above.opaque.insert(path("hidden"));
    above.insert(path("hidden/shown"), file(0o755, vec![0; 100_000])).unwrap();
    let layers = [below, above].map(|layer| {
        store.import_tar(&tar_of(&settled(layer))[..], Limits::default()).unwrap().digest
    });
    let config =
        ImageConfig { architecture: "amd64".into(), os: "linux".into(), ..Default::default() };
    Image { layers: layers.into(), config }
}

fn settled(mut layer: LayerTree) -> LayerTree {
    layer.settle(EPOCH).unwrap();
    layer
}

#[test]
fn a_layout_is_read_without_a_store_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let image = images(&store);
    let out = folder.path().join("image");
    write_layout(&store, std::slice::from_ref(&image), &out, "1.0", &Default::default()).unwrap();
    let mut expected = store.merged(&image.layers).unwrap();
    let read = |from: &Path, spool: &str| -> Result<Tree, LayoutError> {
        let mut spool = Spool::new(folder.path().join(spool));
        read_layout_tree(from, Select::default(), Limits::default(), &mut spool)
    };
    let mut found = read(&out, "spool").unwrap();
    assert!(!folder.path().join("spool").exists(), "plain layers are read where they lie");
    // The root is in neither layer; the store gives it a time, where no layer says one.
    for tree in [&mut expected, &mut found] {
        tree.metadata_mut(&TreePath::root()).unwrap().mtime = 0;
    }
    let names = |tree: &Tree| tree.iter().map(|entry| entry.path.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&found), ["/", "/etc", "/etc/new", "/etc/stays", "/hidden", "/hidden/shown"]);
    assert!(found == expected);

    // What others make of it, compressed.
    let packed = folder.path().join("packed");
    let (from, to) =
        (format!("oci:{}:1.0", out.display()), format!("oci:{}:1.0", packed.display()));
    let status = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", "--dest-compress", &from, &to])
        .status();
    assert!(status.expect("this test needs the program 'skopeo'").success());
    let mut unpacked = read(&packed, "packed-spool").unwrap();
    unpacked.metadata_mut(&TreePath::root()).unwrap().mtime = 0;
    assert!(unpacked == expected);

    // A blob that is not what its name says.
    let blob = out.join("blobs/sha256").join(image.layers[1].hex());
    let mut bytes = fs::read(&blob).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&blob, bytes).unwrap();
    assert!(read(&out, "none").is_err());
}
