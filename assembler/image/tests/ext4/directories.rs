//! Directories of every size, and links.

use std::{
    fs::{self},
    os::unix::fs::MetadataExt as _,
};

use stagex_image::{
    ext4::{self, Journal, Params, Size},
    identity::Guid,
};

use crate::{common::*, support::*};

#[test]
fn directories_of_every_depth_are_found_in_by_linux() {
    let long = |number: usize| format!("{number:07}{}", "n".repeat(248));
    let short = |number: usize| format!("{number:x}");
    type Names<'a> = &'a dyn Fn(usize) -> String;
    // Block, entries, names, and levels of the index.
    let cases: [(u32, usize, Names<'_>, &str); 6] = [
        (4096, 334, &short, "none"),
        (4096, 342, &short, "0"),
        (4096, 7000, &long, "0"),
        (4096, 9000, &long, "1"),
        (1024, 1000, &long, "1"),
        (1024, 50_000, &long, "2"),
    ];
    for (block, count, name, levels) in cases {
        let folder = tempfile::tempdir().unwrap();
        let tree = wide(count, name);
        let params = Params { block, ..params() };
        let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
        let large = fields(&file)["Filesystem features"].contains("large_dir");
        assert_eq!(large, levels == "2");
        if levels != "none" {
            let dump = debugfs(&file, "htree_dump /wide");
            assert!(dump.contains(&format!("Indirect levels: {levels}")), "{count}: {dump:.800}");
        }
        let Some(mounted) = mounted(&file, "ro", folder.path()) else { continue };
        let wide = mounted.path().join("wide");
        assert_eq!(fs::read_dir(&wide).unwrap().count(), count);
        for number in 0..count {
            fs::symlink_metadata(wide.join(name(number))).unwrap();
        }
        assert!(!wide.join("absent").exists());
    }
}

#[test]
fn names_of_one_hash_are_found_in_two_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let name = |number: usize| format!("{number:07}{}", "n".repeat(248));
    let tree = wide(20_000, name);
    // Three names a block; with this seed two of the same hash are the last and the first.
    let params = Params { block: 1024, hash_seed: Some(Guid::from_u128(6)), ..params() };
    let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    let dump = debugfs(&file, "htree_dump /wide");
    let marked = dump.lines().filter(|line| line.contains("(**)")).count();
    assert_eq!(marked, 1, "the index says that a hash goes on");
    let Some(mounted) = mounted(&file, "ro", folder.path()) else { return };
    for number in 0..20_000 {
        fs::symlink_metadata(mounted.path().join("wide").join(name(number))).unwrap();
    }
}

#[test]
fn linux_goes_on_writing_where_we_ended() {
    let folder = tempfile::tempdir().unwrap();
    let tree = wide(9000, |number| format!("{number:07}{}", "n".repeat(248)));
    for journal in [Journal::None, Journal::Default] {
        let params = Params { journal, size: Size::Free(60 << 20), ..params() };
        let folder = folder.path().join(format!("{journal:?}"));
        fs::create_dir(&folder).unwrap();
        let file = checked(&ext4::layout(&tree, &params).unwrap(), &folder);
        let Some(mounted) = mounted(&file, "rw", &folder) else { return };
        let wide = mounted.path().join("wide");
        for number in 0..2000 {
            fs::write(wide.join(format!("new{number}")), filling(5000, 3)).unwrap();
            fs::remove_file(wide.join(format!("{number:07}{}", "n".repeat(248)))).unwrap();
        }
        drop(mounted);
        check(&file);
    }
}

#[test]
fn as_many_links_and_directories_as_there_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = empty();
    tree.insert(path("a"), file(*b"")).unwrap();
    tree.insert(path("full"), directory()).unwrap();
    tree.insert(path("over"), directory()).unwrap();
    for number in 1..65_000 {
        tree.link(path(format!("b{number}")), &path("a")).unwrap();
    }
    for number in 0..64_999 {
        tree.insert(path(format!("over/{number}")), directory()).unwrap();
        if number < 64_998 {
            tree.insert(path(format!("full/{number}")), directory()).unwrap();
        }
    }
    let params = Params { journal: Journal::None, block: 1024, ..params() };
    let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    let Some(mounted) = mounted(&file, "ro", folder.path()) else { return };
    for (name, links) in [("a", 65_000), ("full", 65_000), ("over", 1)] {
        assert_eq!(fs::metadata(mounted.path().join(name)).unwrap().nlink(), links, "{name}");
    }
}
