//! What goes into the store comes out of it, byte for byte.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, os::unix::fs::MetadataExt};

use common::*;
use stagex_oci::{Adopt, Image, LayerTree, Owner, StepRecord, Store, tar::Limits};
use stagex_tree::{Digest, Kind};

#[test]
fn a_layer_with_everything_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let mut layer = everything();
    let added = store.add(&layer).unwrap();
    layer.settle(EPOCH).unwrap();
    let tar = tar_of(&layer);
    assert_eq!(added.digest, Digest::of(&tar));
    assert_eq!(added.size, tar.len() as u64);
    assert_eq!(store.layer(&added.digest).unwrap(), added);
    assert_eq!(store.write_tar(&added.digest, Vec::new()).unwrap(), tar);
    assert_eq!(store.load(&added.digest).unwrap(), layer);
    let other = open(&folder.path().join("other"));
    assert_eq!(other.import_tar(&tar[..], Limits::default()).unwrap().digest, added.digest);
    assert_eq!(other.load(&added.digest).unwrap(), layer);
    assert_eq!(other.write_tar(&added.digest, Vec::new()).unwrap(), tar);
}

#[test]
fn what_lies_on_disk_is_fit_for_overlayfs() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let added = store.add(&everything()).unwrap();
    let stat = |name: &str| fs::symlink_metadata(added.root.join(name)).unwrap();
    assert_eq!(stat("a").mode() & 0o7777, 0o700);
    assert_eq!(stat("a/closed").mode() & 0o7777, 0);
    assert_eq!(stat("a/setuid").mode() & 0o7777, 0o4755);
    assert_eq!(stat("same-1").ino(), stat("a/same-0").ino());
    assert_eq!(stat("same-1").nlink(), 3);
    assert_eq!(stat("link").ino(), stat("link-too").ino());
    for name in ["a", "a/closed", "link", "fifo", "sticky", "etc/gone", "."] {
        assert_eq!(stat(name).mtime(), EPOCH as i64, "{name}");
        assert_eq!(stat(name).mtime_nsec(), 0);
    }
    assert_eq!((stat("etc/gone").mode() & 0o170_000, stat("etc/gone").rdev()), (0o020_000, 0));
    assert!(fs::symlink_metadata(added.root.join("dev/null")).is_err());
    let us = fs::symlink_metadata(folder.path()).unwrap().uid();
    assert_eq!(stat("a/setuid").uid(), us);
    let tree = store.load(&added.digest).unwrap().tree;
    let closed = tree.get(&path("a/closed")).unwrap();
    assert_eq!(closed.inode.content().unwrap().read().unwrap(), b"nobody reads this");
    let inside = tree.get(&path("locked/inside")).unwrap();
    assert_eq!(inside.inode.content().unwrap().read().unwrap(), b"behind a closed door");
}

#[test]
fn an_upper_directory_is_adopted_as_its_tar_says() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let added = store.add(&everything()).unwrap();
    let scratch = store.scratch().unwrap();
    let upper = scratch.path().join("upper");
    run("cp", &["-a", added.root.to_str().unwrap(), upper.to_str().unwrap()]);
    fs::write(upper.join("a/fresh"), vec![7; 9 << 20]).unwrap();
    fs::hard_link(upper.join("a/fresh"), upper.join("fresh")).unwrap();
    std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
    let base = store.add(&LayerTree::new()).unwrap();
    let adopted = store.adopt(&upper, Adopt { owner: Owner::ROOT, lower: &[base.digest] }).unwrap();
    assert!(!upper.exists());
    let layer = store.load(&adopted.digest).unwrap();
    assert!(layer.tree.get(&path("socket")).is_none());
    // Nothing lies below, so nothing is removed and nothing hidden.
    assert!(layer.whiteouts.is_empty() && layer.opaque.is_empty());
    assert_eq!(layer.tree.get(&path("a/setuid")).unwrap().inode.metadata.mode, 0o4755);
    let fresh = layer.tree.get(&path("fresh")).unwrap();
    assert_eq!(layer.tree.links(fresh.id), 2);
    let tar = store.write_tar(&adopted.digest, Vec::new()).unwrap();
    assert_eq!(Digest::of(&tar), adopted.digest);
    let other = open(&folder.path().join("other"));
    assert_eq!(other.import_tar(&tar[..], Limits::default()).unwrap().digest, adopted.digest);
}

#[test]
fn layers_merge_as_their_markers_say() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let mut below = LayerTree::new();
    for name in ["etc/gone", "etc/kept", "top-gone/x", "sticky/hidden"] {
        below.insert(path(name), file(0o644, name)).unwrap();
    }
    below.insert(path("etc"), directory(0o750)).unwrap();
    let below = store.add(&below).unwrap();
    let above = store.add(&everything()).unwrap();
    let tree = store.merged(&[below.digest, above.digest]).unwrap();
    for gone in ["etc/gone", "top-gone", "sticky/hidden"] {
        assert!(tree.get(&path(gone)).is_none(), "{gone}");
    }
    assert!(tree.get(&path("etc/kept")).is_some());
    // The upper layer only implies etc, so it stays as it was.
    assert_eq!(tree.get(&path("etc")).unwrap().inode.metadata.mode, 0o750);
    assert_eq!(tree.get(&path("sticky")).unwrap().inode.metadata.mode, 0o1777);
    let flat = store.flatten(&[below.digest, above.digest]).unwrap();
    assert_eq!(flat.markers, 0);
    assert_eq!(store.merged(&[flat.digest]).unwrap(), tree);
    assert!(matches!(tree.get(&path("dev/null")).unwrap().inode.kind, Kind::CharDevice(_)));
}

#[test]
fn steps_are_remembered_with_their_layers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let key = Digest::of("key");
    assert_eq!(store.step(&key).unwrap(), None);
    let layer = store.add(&everything()).unwrap();
    let mut record = StepRecord { layers: vec![layer.digest], ..StepRecord::default() };
    record.config.env.push("PATH=/bin".into());
    record.fields.insert("log".into(), "x".into());
    store.put_step(&key, &record).unwrap();
    assert_eq!(store.step(&key).unwrap(), Some(record.clone()));
    let blob = store.put_blob(&b"bytes"[..]).unwrap();
    assert_eq!(fs::read(store.blob_path(&blob)).unwrap(), b"bytes");
    let missing = StepRecord { layers: vec![Digest::of("no")], ..record };
    assert!(store.put_step(&key, &missing).is_err());
    let image = Image { layers: vec![layer.digest], ..Image::default() };
    assert_eq!(store.image_digest(&image).unwrap(), store.image_digest(&image).unwrap());
}

#[test]
fn what_others_left_is_told_of_before_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let (normalise, tmp) = (store.normalise(), store.path().join("tmp"));
    // Two that no longer live, of which one had begun nothing, and one that does.
    for left in ["99998-0.lock", "99999-0.lock"] {
        fs::write(tmp.join(left), "").unwrap();
    }
    for left in ["99999-0/0/upper/a", "99999-0/1/upper", "99999-0/2"] {
        fs::create_dir_all(tmp.join(left)).unwrap();
    }
    let scratch = store.scratch().unwrap();
    let mut told = Vec::new();
    let mut open_again = || {
        let mut clears = |count| told.push((count, tmp.join("99999-0/0/upper/a").exists()));
        Store::open_telling(store.path(), normalise, &mut clears).unwrap()
    };
    drop(open_again());
    drop(open_again());
    assert_eq!(told, [(3, true)]);
    assert!(scratch.path().exists());
    drop(scratch);
    drop(store);
    assert_eq!(fs::read_dir(tmp).unwrap().count(), 0);
}
