//! Files with holes.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

use stagex_image::ext4::{self, Journal, Params};
use stagex_tree::{Content, Digest, Inode, Kind};

use crate::{common::*, support::*};

/// Writes a file of `len` bytes with pieces of bytes here and there.
fn sparse_file(to: &Path, len: u64, pieces: impl Iterator<Item = (u64, usize)>) -> Inode {
    let file = File::create(to).unwrap();
    file.set_len(len).unwrap();
    for (at, len) in pieces {
        file.write_all_at(&filling(len, at as u8 | 1), at).unwrap();
    }
    Inode { metadata: metadata(0o644), kind: Kind::File(Content::from_file(to, 0, len)) }
}

#[test]
fn files_with_holes_take_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut tree = empty();
    let mut put = |name: &str, inode: Inode| tree.insert(path(name), inode).unwrap();
    const GIB: u64 = 1 << 30;
    let ends = [(0, 5000), (7 * GIB + 17, 4096), (20 * GIB - 1, 1)];
    put("20g", sparse_file(&at("20g"), 20 * GIB, ends.into_iter()));
    put("nothing", sparse_file(&at("nothing"), 3 * GIB + 5, std::iter::empty()));
    let scattered = (0..2000u64).map(|piece| (piece * 140_000 + 9000, 10));
    put("scattered", sparse_file(&at("scattered"), 290 << 20, scattered));
    // Zeros in memory are holes too.
    let mut bytes = vec![0; 1 << 20];
    bytes[500_000] = 1;
    put("zeros", file(bytes));
    let volume = ext4::layout(&tree, &Params { journal: Journal::None, ..params() }).unwrap();
    // 2,000 blocks scattered about, 2 before the first of them, which are too few for a hole,
    // 7 of extents, and little more.
    assert!(volume.len() < 2050 * 4096, "{}", volume.len());
    let file = checked(&volume, folder.path());
    let extents = debugfs(&file, "extents /scattered");
    assert!(extents.contains("2/ 2"), "{extents:.400}");
    assert!(debugfs(&file, "blocks /zeros").split_whitespace().count() == 1);
    let Some(mounted) = mounted(&file, "ro", folder.path()) else { return };
    for (name, blocks) in [("20g", 5), ("nothing", 0), ("scattered", 2009), ("zeros", 1)] {
        let found = fs::metadata(mounted.path().join(name)).unwrap();
        assert_eq!(found.blocks(), blocks * 8, "{name}");
    }
    // Too long to be read whole: where there is something, and around it.
    for (name, places) in [("20g", &[0, 7 * GIB, 20 * GIB - 9000][..]), ("nothing", &[GIB])] {
        for &place in places {
            let read = |from: &Path| {
                let mut piece = vec![1; 9000];
                File::open(from).unwrap().read_exact_at(&mut piece, place).unwrap();
                piece
            };
            assert!(read(&at(name)) == read(&mounted.path().join(name)), "{name} {place}");
        }
    }
    for name in ["scattered", "zeros"] {
        let found = Digest::of_reader(File::open(mounted.path().join(name)).unwrap()).unwrap();
        let content = tree.get(&path(name)).unwrap().inode.content().unwrap();
        assert_eq!(found, (content.digest().unwrap(), content.len()));
    }
}

#[test]
fn holes_depend_on_bytes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = folder.path().join("sparse");
    let inode = sparse_file(&sparse, 2_000_003, [(70_001, 5), (1_999_000, 7)].into_iter());
    let one = |inode: Inode| {
        let mut tree = empty();
        tree.insert(path("f"), inode).unwrap();
        bytes(&ext4::layout(&tree, &params()).unwrap())
    };
    let from_memory = one(file(fs::read(&sparse).unwrap()));
    let from_holes = one(inode);
    fs::write(&sparse, fs::read(&sparse).unwrap()).unwrap();
    let content = Content::from_file(sparse.as_path(), 0, 2_000_003);
    let dense = Inode { metadata: metadata(0o644), kind: Kind::File(content) };
    assert!(from_memory == from_holes && from_memory == one(dense));
    // Unless none are wanted.
    let mut tree = empty();
    tree.insert(path("f"), file(vec![0; 2_000_003])).unwrap();
    let params = Params { holes: false, ..params() };
    let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    assert_eq!(debugfs(&file, "blocks /f").split_whitespace().count(), 489);
}
