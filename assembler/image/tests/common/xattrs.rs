//! Extended attributes of generated trees and of folders read back.

use std::{collections::BTreeMap, path::Path};

use proptest::prelude::*;
use stagex_tree::Tree;

use super::os;

pub type Xattrs = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The extended attributes of a file of a folder.
pub fn read_xattrs(path: &Path) -> Xattrs {
    let mut names = vec![0u8; 65_536];
    let len = match rustix::fs::llistxattr(path, &mut names) {
        // A SquashFS without any has no table to look into.
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        result => result.unwrap(),
    };
    let mut found = Xattrs::new();
    for name in names[..len].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0u8; 65_536];
        let len = rustix::fs::lgetxattr(path, os(name), &mut value).unwrap();
        found.insert(name.into(), value[..len].into());
    }
    found
}

/// Compares the extended attributes of all that is in a folder with those of a tree.
pub fn assert_same_xattrs(folder: &Path, tree: &Tree, kept: impl Fn(&[u8]) -> bool) {
    for entry in tree.iter() {
        let mut found = read_xattrs(&folder.join(os(entry.path.as_bytes())));
        let mut expected = entry.inode.metadata.xattrs.clone();
        found.retain(|name, _| kept(name));
        expected.retain(|name, _| kept(name));
        assert!(found == expected, "{}: {found:?} is not {expected:?}", entry.path);
    }
}

/// Gives some entries of a tree attributes, some of them the same.
pub fn with_xattrs(trees: impl Strategy<Value = Tree>) -> impl Strategy<Value = Tree> {
    let name = prop::sample::select(vec![
        "trusted.a",
        "trusted.long name",
        "security.b",
        "security.evil",
        "trusted.c",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![0usize, 1, 3, 4, 20, 300]),
        prop::sample::select(vec![4000usize, 9000]),
    ];
    let set = prop::collection::vec((name, value, 0..2u8), 0..4);
    (trees, prop::collection::vec(set, 1..12)).prop_map(|(mut tree, sets)| {
        let paths: Vec<_> = tree.iter().map(|entry| entry.path.clone()).collect();
        for (at, path) in paths.iter().enumerate() {
            let metadata = tree.metadata_mut(path).unwrap();
            for (name, len, salt) in &sets[at % sets.len()] {
                let value = super::filling(*len, *salt);
                metadata.xattrs.insert(name.as_bytes().into(), value.into());
            }
        }
        tree
    })
}
