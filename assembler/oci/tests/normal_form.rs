//! The normal form: one tar for one layer, for ever.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use stagex_oci::{
    Image, ImageConfig, LayerTree, Root, StepRecord, Store,
    tar::{Limits, read_layer_in_memory},
};
use stagex_tree::{Device, Digest, Inode, Kind, Metadata, Tree};

/// Names of layers. A change here is a change of every digest that was ever published.
#[test]
fn pinned_digests() {
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    let mut pinned = |mut layer: LayerTree, digest: &str| {
        layer.settle(EPOCH).unwrap();
        found.push(Digest::of(tar_of(&layer)).hex());
        wanted.push(digest.to_owned());
    };
    // The well-known empty layer: 1,024 zero bytes.
    pinned(LayerTree::new(), "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
    let mut hello = LayerTree::new();
    hello.insert(path("hello"), file(0o755, "hello\n")).unwrap();
    pinned(hello, "f77e854388aa4486a3b302aedc23379e25f578c17dab4e12417fb3f4612ab4a4");
    let mut tree = Tree::new();
    tree.metadata_mut(&path("")).unwrap().mode = 0o700;
    tree.insert(path("d"), directory(0o1777)).unwrap();
    pinned(
        LayerTree::from_tree(tree),
        "e695892f60c6043017803347697ffa64da9919efda00c2bce55e213d8b5d741c",
    );
    pinned(everything(), "90861c16c3a2ee525892b143c929d0ec622a6c956b0024250cfa90945cbedd0f");
    assert_eq!(found, wanted);
}

#[test]
fn pinned_image() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let layer = store.add(&everything()).unwrap();
    let image = Image {
        layers: vec![layer.digest],
        config: ImageConfig {
            env: vec!["PATH=/usr/bin".into()],
            cmd: vec!["sh".into()],
            architecture: "riscv64".into(),
            os: "linux".into(),
            labels: BTreeMap::from([("b".into(), "1".into()), ("a".into(), "<&>".into())]),
            ..ImageConfig::default()
        },
    };
    assert_eq!(
        store.image_digest(&image).unwrap().hex(),
        "bd852abda08e9cecffca111ab39cff499487de656aa1a7753ffb56c66c73537f"
    );
}

#[test]
fn gc_keeps_what_roots_need_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("store");
    let mut store = open(&at);
    let layer = |text: &str| {
        let mut layer = LayerTree::new();
        layer.insert(path("f"), file(0, text)).unwrap();
        layer.insert(path("closed"), directory(0)).unwrap();
        layer.insert(path("closed/f"), file(0, "inside")).unwrap();
        open(&at).add(&layer).unwrap().digest
    };
    let layers: Vec<Digest> = ["a", "b", "c", "d", "e"].into_iter().map(layer).collect();
    let blobs: Vec<Digest> =
        ["1", "2", "3"].map(|text| store.put_blob(text.as_bytes()).unwrap()).into();
    let step = |store: &Store, key: &str, layers: &[Digest], needs: &[&str], blobs: &[Digest]| {
        let record = StepRecord {
            layers: layers.into(),
            needs: needs.iter().map(Digest::of).collect(),
            blobs: blobs.into(),
            ..StepRecord::default()
        };
        store.put_step(&Digest::of(key), &record).unwrap();
    };
    step(&store, "below", &layers[..1], &[], &[]);
    step(&store, "above", &layers[..2], &["below"], &blobs[..1]);
    step(&store, "other", &layers[2..3], &[], &blobs[1..2]);
    store.put_roots("kept", &[Root::Layer(layers[3])]).unwrap();
    assert!(store.put_roots("../x", &[]).is_err());
    drop(store.lock_step(&Digest::of("above")).unwrap());
    // Debris of a process that was killed: nobody holds its lock.
    std::fs::create_dir_all(at.join("tmp/99999-0/layer/root")).unwrap();
    std::fs::write(at.join("tmp/99999-0.lock"), "").unwrap();
    let usage = store.du().unwrap();
    assert_eq!((usage.layers, usage.steps, usage.blobs), (5, 3, 3));
    assert_eq!(usage.layer_bytes, 5 * 7);

    let other = open(&at);
    assert!(store.gc(&[]).is_err(), "another handle is open");
    drop(other);
    let freed = store.gc(&[Root::Step(Digest::of("above"))]).unwrap();
    assert_eq!((freed.layers, freed.steps, freed.blobs, freed.bytes), (2, 1, 2, 2 * 7 + 2));
    for kept in [0, 1, 3] {
        store.write_tar(&layers[kept], std::io::sink()).unwrap();
    }
    assert!(store.step(&Digest::of("below")).unwrap().is_some());
    assert!(store.step(&Digest::of("above")).unwrap().is_some());
    assert!(store.step(&Digest::of("other")).unwrap().is_none());
    assert!(!at.join("tmp/99999-0").exists());
    store.remove_roots("kept").unwrap();
    assert_eq!(store.gc(&[]).unwrap().layers, 3);
    let usage = store.du().unwrap();
    assert_eq!((usage.layers, usage.steps, usage.blobs), (0, 0, 0));
}

#[test]
fn a_step_is_locked_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()), open(folder.path()));
    let key = Digest::of("key");
    let guard = one.lock_step(&key).unwrap();
    assert!(two.try_lock_step(&key).unwrap().is_none());
    assert!(two.try_lock_step(&Digest::of("other")).unwrap().is_some());
    let waiter = std::thread::spawn(move || two.lock_step(&key).map(drop));
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(!waiter.is_finished());
    drop(guard);
    waiter.join().unwrap().unwrap();
}

#[test]
fn a_damaged_layer_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut layer = LayerTree::new();
    layer.insert(path("f"), file(0o644, "right")).unwrap();
    let layer = store.add(&layer).unwrap();
    std::fs::write(layer.root.join("f"), "wrong").unwrap();
    let error = store.write_tar(&layer.digest, std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    let index = layer.root.with_file_name("index");
    let bytes = std::fs::read(&index).unwrap();
    for length in [0, 8, 50, bytes.len() - 1] {
        std::fs::write(&index, &bytes[..length]).unwrap();
        assert!(store.load(&layer.digest).is_err());
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x11;
        std::fs::write(&index, &bad).unwrap();
        // Sizes in the head are not under the checksum; no content depends on them.
        let _ = store.layer(&layer.digest);
        if let Ok(loaded) = store.load(&layer.digest) {
            assert!((8..56).contains(&at), "{at}");
            assert_eq!(loaded.tree.len(), 2);
        }
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => "[a-c]{90,250}".prop_map(String::into_bytes),
        1 => prop::collection::vec(prop_oneof![Just(0xff), Just(b'-'), Just(b' '), Just(b'\n')], 1..130),
    ]
}

fn tree_path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(name(), 1..4).prop_map(|names| names.join(&b'/'))
}

fn inode() -> impl Strategy<Value = Inode> {
    let number = prop_oneof![0..5_u32, Just(2_097_151), Just(2_097_152), any::<u32>()];
    let device = (1..4096_u32, 0..1_048_576_u32).prop_map(|(major, minor)| Device { major, minor });
    let bytes = prop::collection::vec(any::<u8>(), 0..700);
    let kind = prop_oneof![
        3 => Just(Kind::Directory),
        4 => bytes.prop_map(|bytes| Kind::File(stagex_tree::Content::from_bytes(bytes))),
        1 => prop::collection::vec(1..=255_u8, 1..300).prop_map(|text| Kind::Symlink(text.into())),
        1 => Just(Kind::Fifo),
        1 => device.clone().prop_map(Kind::CharDevice),
        1 => device.prop_map(Kind::BlockDevice),
    ];
    let xattrs = prop::collection::btree_map("(user|security)\\.[a-z]{1,9}", ".{0,40}", 0..2);
    (kind, 0..0o10000_u16, number.clone(), number, xattrs).prop_map(
        |(kind, mode, uid, gid, xattrs)| {
            let mut metadata = Metadata { uid, gid, ..Metadata::new(mode) };
            if matches!(kind, Kind::Symlink(_)) {
                metadata.mode = 0o777;
            }
            for (name, value) in xattrs {
                metadata.xattrs.insert(name.into_bytes().into(), value.into_bytes().into());
            }
            Inode { metadata, kind }
        },
    )
}

fn layer() -> impl Strategy<Value = LayerTree> {
    let step = (0..10_u8, tree_path(), tree_path(), inode());
    prop::collection::vec(step, 0..25).prop_map(|steps| {
        let mut layer = LayerTree::new();
        for (step, one, two, inode) in steps {
            let (one, two) = (path(one), path(two));
            let _ = match step {
                0 => layer.link(one, &two).is_ok(),
                1 => layer.whiteouts.insert(one),
                2 => layer.opaque.insert(one),
                _ => layer.insert(one, inode).is_ok(),
            };
        }
        layer.settle(EPOCH).unwrap();
        layer
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Tree → tar → tree is the same tree, and the tar the same tar.
    #[test]
    fn tar_round_trips(layer in layer()) {
        let tar = tar_of(&layer);
        prop_assert_eq!(tar.len() % 512, 0);
        let read = read_layer_in_memory(&tar[..], Limits::default(), EPOCH).unwrap();
        prop_assert_eq!(tar_of(&read), tar);
        prop_assert_eq!(read, layer);
    }

    /// Settling once is settling for good.
    #[test]
    fn settled_is_settled(layer in layer()) {
        let mut again = layer.clone();
        again.settle(EPOCH).unwrap();
        prop_assert_eq!(again, layer);
    }

    /// Layers stack alike in memory and as one flattened layer.
    #[test]
    fn merging_is_flattening(one in layer(), two in layer()) {
        let mut tree = Tree::new();
        one.apply_to(&mut tree).unwrap();
        two.apply_to(&mut tree).unwrap();
        let mut moved = Tree::new();
        one.clone().move_to(&mut moved).unwrap();
        two.clone().move_to(&mut moved).unwrap();
        prop_assert_eq!(&moved, &tree);
        let mut flat = LayerTree::from_tree(tree.clone());
        flat.settle(EPOCH).unwrap();
        let mut again = Tree::new();
        flat.apply_to(&mut again).unwrap();
        tree.metadata_mut(&path("")).unwrap().mtime = 0;
        again.metadata_mut(&path("")).unwrap().mtime = 0;
        for entry in two.tree.iter().filter(|entry| !two.implied.contains(entry.path)) {
            prop_assert_eq!(tree.get(entry.path).unwrap().inode, entry.inode);
        }
        for gone in &two.whiteouts {
            prop_assert!(tree.get(gone).is_none());
        }
        let mtime = EPOCH as i64;
        let all: Vec<_> = tree.iter().map(|entry| entry.path.clone()).collect();
        for path in all {
            tree.metadata_mut(&path).unwrap().mtime = mtime;
            again.metadata_mut(&path).unwrap().mtime = mtime;
        }
        prop_assert_eq!(again, tree);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, failure_persistence: None, ..ProptestConfig::default() })]

    /// Tree → disk → tree, and the tar regenerated from disk.
    #[test]
    fn the_store_round_trips(layer in layer()) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let added = store.add(&layer).unwrap();
        let tar = tar_of(&layer);
        prop_assert_eq!(added.digest, Digest::of(&tar));
        prop_assert_eq!(store.load(&added.digest).unwrap(), layer);
        prop_assert_eq!(store.write_tar(&added.digest, Vec::new()).unwrap(), tar);
    }
}
