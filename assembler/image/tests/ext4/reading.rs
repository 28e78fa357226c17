//! What is written is read back, by e2fsck, debugfs and Linux.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    process::Command,
};

use proptest::prelude::*;
use stagex_image::{
    ext4::{self, Journal, Params, Size},
    identity::Guid,
};
use stagex_tree::{Digest, Inode, Kind, TreePath};

use crate::{common::*, support::*};

#[test]
fn bytes_are_pinned() {
    let pins = [
        "e8d826d2021bc4487b399c5efb938854262f9eb624c14b636c8cce0f49018d17",
        "28a2015a7d564ef88b2559f5b699b6017cc48557a9e98886db6ca807b32f6474",
        "035e0edebc8e94bcc7c4e34dd67659e3adc8ada28ee9f849f6c3b167e4165e04",
    ];
    let wide = wide(2000, |number| format!("{number:08}"));
    let tree = sample();
    let grown = Params { size: Size::Exact(64 << 20), block: 1024, ..params() };
    let digests = [(&tree, &params()), (&tree, &grown), (&wide, &params())]
        .map(|(tree, params)| Digest::of(bytes(&ext4::layout(tree, params).unwrap())).to_string());
    assert_eq!(digests, pins);
}

#[test]
fn sample_is_read_in_every_block_size_with_and_without_a_journal() {
    let mut tree = sample();
    for block in [1024, 2048, 4096] {
        for journal in [Journal::None, Journal::Blocks(1024), Journal::Default] {
            for size in [Size::Minimum, Size::Free(20 << 20), Size::Exact(40 << 20)] {
                round_trip(&tree, &Params { block, journal, size, ..params() });
            }
        }
    }
    // Without what is added, and with a target as long as there are.
    let kind = Kind::Symlink(vec![b'y'; 4095].into());
    tree.insert(path("link4095"), Inode { metadata: metadata(0o777), kind }).unwrap();
    tree.insert(path("lost+found"), directory()).unwrap();
    tree.insert(path("lost+found/#12"), file(*b"found")).unwrap();
    round_trip(&tree, &params());
    round_trip(&empty(), &params());
}

#[test]
fn the_reference_tools_see_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let tree = sample();
    let uuid = Guid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let asked = Params {
        size: Size::Exact(96 << 20),
        journal: Journal::Blocks(2000),
        reserved_percent: 5,
        uuid: Some(uuid),
        hash_seed: Some(Guid::from_u128(7)),
        ..params()
    };
    let volume = ext4::layout(&tree, &asked).unwrap();
    assert_eq!(volume.uuid(), uuid);
    let file = checked(&volume, folder.path());
    let fields = fields(&file);
    for (name, value) in [
        ("Filesystem volume name", "STAGEX"),
        ("Filesystem UUID", "01234567-89ab-cdef-0123-456789abcdef"),
        ("Directory Hash Seed", "00000000-0000-0000-0000-000000000007"),
        ("Filesystem state", "clean"),
        ("Block count", "24576"),
        ("Reserved block count", "1228"),
        ("Free blocks", &(volume.free() / 4096).to_string()),
        ("Free inodes", &volume.free_inodes().to_string()),
        ("Filesystem created", "Tue Nov 14 22:13:20 2023"),
        ("Total journal blocks", "2000"),
        ("Journal start", "0"),
        ("Default directory hash", "half_md4"),
        ("Checksum type", "crc32c"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}: {fields:#?}");
    }
    let features = &fields["Filesystem features"];
    for feature in
        ["has_journal", "resize_inode", "dir_index", "extent", "64bit", "flex_bg", "metadata_csum"]
    {
        assert!(features.contains(feature), "{features}");
    }
    let stat = |at: &str| debugfs(&file, &format!("stat {at}"));
    let found = stat("/dev/nvme");
    assert!(found.contains("Device major/minor number: 259:70000"), "{found}");
    let found = stat("/home/2446");
    assert!(found.contains("mtime: 0x7fffffff:00000003"), "{found}");
    let found = stat("/bin/few");
    assert!(found.contains("security.capability (20)"), "{found}");
    let found = stat("/etc/link59");
    assert!(found.contains("Fast link dest"), "{found}");
    let found = debugfs(&file, "ea_get /bin/many user.large");
    assert!(found.contains("user.large (700)"), "{found}");
    read_by_debugfs(&file, folder.path(), &tree);
}

#[test]
fn content_goes_around_the_tables_of_many_groups() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = sample();
    // 21 groups of 8 MiB; files in them that are cut by copies and tables.
    for (number, len) in [(0, 110_000_000), (1, 30_000_000), (2, 30_000_000)] {
        let inode = file(filling(len, number));
        tree.insert(path(format!("large{number}")), inode).unwrap();
    }
    let params = Params { block: 1024, ..params() };
    let volume = ext4::layout(&tree, &params).unwrap();
    let file = checked(&volume, folder.path());
    assert!(debugfs(&file, "stat /large0").contains("ETB"), "a tree of extents");
    match mounted(&file, "ro", folder.path()) {
        Some(mounted) => {
            assert_whole(&without_extra(read_whole(mounted.path()), &tree), &tree);
        }
        None => read_by_debugfs(&file, folder.path(), &tree),
    }
}

#[test]
fn same_attributes_share_a_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = empty();
    let large = filling(3000, 5);
    for number in 0..2500 {
        let inode = with_xattrs(file(*b""), &[("user.large", &large)]);
        tree.insert(path(format!("{number}")), inode).unwrap();
    }
    let params = Params { journal: Journal::None, ..params() };
    let volume = ext4::layout(&tree, &params).unwrap();
    assert!(volume.len() < 1 << 20, "{}", volume.len());
    let file = checked(&volume, folder.path());
    for number in [0, 1023, 1024, 2499] {
        let found = debugfs(&file, &format!("ea_get {number} user.large"));
        assert!(found.contains("user.large (3000)"), "{found:.200}");
    }
    round_trip(&tree, &params);
}

#[test]
fn mke2fs_counts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let mut tree = wide(3000, |number| format!("file-{number}"));
    for number in 0..200usize {
        tree.insert(path(format!("f{number}")), file(filling(number * 321, 1))).unwrap();
        let kind = Kind::Symlink(vec![b'l'; number + 1].into());
        tree.insert(path(format!("l{number}")), Inode { metadata: metadata(0o777), kind }).unwrap();
    }
    for entry in tree.iter() {
        let to = source.join(os(entry.path.as_bytes()));
        match &entry.inode.kind {
            Kind::Directory => fs::create_dir(to).unwrap(),
            Kind::File(content) => fs::write(to, content.read().unwrap()).unwrap(),
            Kind::Symlink(target) => std::os::unix::fs::symlink(os(target), to).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    let theirs = folder.path().join("theirs.img");
    File::create(&theirs).unwrap().set_len(64 << 20).unwrap();
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-N", "8192", "-d"]).arg(&source);
    ok("e2fsprogs", mke2fs.arg(&theirs));
    let params = Params { size: Size::Exact(64 << 20), ..params() };
    let ours = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    let (theirs, ours) = (fields(&theirs), fields(&ours));
    let number =
        |fields: &BTreeMap<String, String>, name: &str| -> i64 { fields[name].parse().unwrap() };
    let inodes = |f: &_| number(f, "Inode count") - number(f, "Free inodes");
    assert_eq!(inodes(&ours), inodes(&theirs));
    assert_eq!(ours["Total journal blocks"], theirs["Total journal blocks"]);
    let blocks = |f: &_| {
        let tables = number(f, "Inode count") / 16 + number(f, "Reserved GDT blocks");
        number(f, "Block count") - number(f, "Free blocks") - tables
    };
    // The indexes of two directories; theirs have none.
    assert_eq!(blocks(&ours), blocks(&theirs) + 2);
}

/// Extended attributes that Linux shows on any file.
fn xattrs() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![4 => "(trusted|security)\\.[a-z]{1,9}", 1 => "trusted\\.[a-z]{240}"];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec((name, value), 0..5)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever a tree holds, e2fsck finds nothing and Linux reads it back.
    #[test]
    fn any_tree_is_read_back(
        tree in trees(byte_names(), all_kinds()),
        attributes in prop::collection::vec(xattrs(), 1..8),
        block in prop::sample::select(vec![1024u32, 2048, 4096]),
        journal in prop::sample::select(vec![Journal::None, Journal::Blocks(1024)]),
        size in prop_oneof![Just(None), (0..3_000_000u64).prop_map(Some)],
    ) {
        let mut tree = tree;
        let paths: Vec<TreePath> = tree.iter().map(|entry| entry.path.clone()).collect();
        for (path, attributes) in paths.iter().zip(attributes.iter().cycle()) {
            let is_link = matches!(tree.get(path).unwrap().inode.kind, Kind::Symlink(_));
            // Two of them always fit; a further name of a file adds none.
            let given = !tree.get(path).unwrap().inode.metadata.xattrs.is_empty();
            let most = if given { 0 } else if block == 1024 { 2 } else { attributes.len() };
            for (name, value) in attributes.iter().take(most) {
                if !is_link || name.starts_with("trusted") {
                    let metadata = tree.metadata_mut(path).unwrap();
                    metadata.xattrs.insert(name.as_bytes().into(), value.clone().into());
                }
            }
            // Longer targets are for the larger blocks.
            let inode = tree.get(path).unwrap().inode;
            let too_long = matches!(&inode.kind, Kind::Symlink(t) if t.len() as u32 >= block);
            if too_long {
                tree.remove(path).unwrap();
            }
        }
        let size = size.map_or(Size::Minimum, Size::Free);
        round_trip(&tree, &Params { block, journal, size, ..params() });
    }
}
