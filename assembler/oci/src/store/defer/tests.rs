use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
};

use stagex_tree::{Content, Inode, Kind, Metadata, TreePath};

use super::*;
use crate::{LayerTree, Normalise, Root, Store};

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    /// What another process does when the next layers are about to be synced.
    static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Notes what has been done; where so many points were allowed, what comes after does not happen.
pub(super) fn point(what: impl FnOnce() -> String) {
    let what = what();
    let meanwhile = match what == "syncing layers" {
        true => MEANWHILE.take(),
        false => None,
    };
    LOG.with_borrow_mut(|log| log.push(what));
    if let Some(meanwhile) = meanwhile {
        meanwhile();
    }
    match LEFT.get() {
        Some(0) => std::panic::resume_unwind(Box::new("killed")),
        Some(left) => LEFT.set(Some(left - 1)),
        None => {}
    }
}

fn open(path: &Path, boot: &str) -> Store {
    Store::open(path, Normalise::default()).unwrap().deferring(boot).unwrap()
}

fn hold(store: &Store, held: bool) {
    store.deferral.as_ref().unwrap().hold(held);
}

fn layer(text: &str) -> LayerTree {
    let mut layer = LayerTree::new();
    for name in ["one", "two"] {
        let kind = Kind::File(Content::from_bytes(format!("{text} {name}").as_bytes()));
        let inode = Inode { metadata: Metadata::new(0o644), kind };
        layer.insert(TreePath::new(format!("{text}-{name}")).unwrap(), inode).unwrap();
    }
    layer
}

/// Makes a step on top of `lower`.
fn step(store: &Store, text: &str, lower: &[Digest]) -> (Digest, Vec<Digest>) {
    let mut layers = lower.to_vec();
    layers.push(store.add(&layer(text)).unwrap().digest);
    let key = Digest::of(text);
    let record = StepRecord { layers: layers.clone(), ..StepRecord::default() };
    store.put_step(&key, &record).unwrap();
    (key, layers)
}

fn two_steps(store: &Store) -> Steps {
    let (one, lower) = step(store, "one", &[]);
    let (two, layers) = step(store, "two", &lower);
    Steps::from([(one, lower), (two, layers)])
}

/// Whether the step is there; if so, all of its layers must be what they are called.
fn is_whole(store: &Store, key: &Digest) -> bool {
    let Some(record) = store.step(key).unwrap() else { return false };
    for layer in &record.layers {
        store.write_tar(layer, Vec::new()).unwrap();
    }
    true
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

/// Empties all files at and below `path` and takes their bytes away, as a disk may that lost power.
fn tear(path: &Path) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| tear(&entry.unwrap().path()));
    } else {
        fs::write(path, "").unwrap();
    }
}

#[test]
fn no_kill_loses_a_step_and_no_loss_of_power_leaves_a_torn_one() {
    let mut points = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| fs::canonicalize(folder.path()).unwrap().join(name);
        let store = open(&place("store"), "boot 1");
        hold(&store, true);
        let steps = two_steps(&store);
        drop(store);
        LOG.with_borrow_mut(Vec::clear);
        LEFT.set(Some(points));
        let places = Places::new(&place("store"), "boot 1");
        let done = catch_unwind(AssertUnwindSafe(|| places.commit(&BTreeSet::new(), &steps)));
        LEFT.set(None);
        let synced = |path: &Path| {
            let line = format!("synced {}", path.display());
            LOG.with_borrow(|log| log.contains(&line))
        };
        copy(&place("store"), &place("lost"));
        for digest in steps.values().flatten() {
            if !synced(&places.layer(digest)) {
                tear(&place("lost/layers").join(digest.hex()));
            }
        }
        for key in steps.keys().filter(|key| !synced(&places.step(key))) {
            for path in [format!("{key}.json"), format!("{key}.{}.json", places.boot)] {
                let path = place("lost/steps").join(path);
                if path.exists() {
                    tear(&path);
                }
            }
        }

        // The same kernel: all is there, and what the killed one left undone is done.
        let store = open(&place("store"), "boot 1");
        assert!(steps.keys().all(|key| is_whole(&store, key)), "after {points} points");
        store.settle().unwrap();
        let other = open(&place("store"), "boot 2");
        assert!(steps.keys().all(|key| is_whole(&other, key)), "after {points} points");

        // Another one: what is there is whole, and what is not can be made.
        let store = open(&place("lost"), "boot 2");
        let there = steps.keys().filter(|key| is_whole(&store, key)).count();
        assert_eq!(two_steps(&store), steps);
        drop(store);
        let store = Store::open(place("lost"), Normalise::default()).unwrap();
        assert!(steps.keys().all(|key| is_whole(&store, key)), "after {points} points");
        if let Ok(result) = done {
            result.unwrap();
            assert_eq!(there, 2);
            break;
        }
        points += 1;
    }
    // Two layers, two records: each synced, then placed; the folders; and the beginning.
    assert_eq!(points, 11);
}

#[test]
fn processes_build_on_what_others_have_not_made_durable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let one = open(&path, "boot");
    hold(&one, true);
    let (lower_key, lower) = step(&one, "lower", &[]);
    assert!(!is_whole(&open(&path, "later"), &lower_key));
    let two = open(&path, "boot");
    assert!(is_whole(&two, &lower_key));
    let (upper_key, _) = step(&two, "upper", &lower);
    two.settle().unwrap();
    let plain = Store::open(&path, Normalise::default()).unwrap();
    assert!(is_whole(&plain, &upper_key) && is_whole(&plain, &lower_key));
    // It comes too late, which is no error.
    hold(&one, false);
    one.settle().unwrap();
    assert!(is_whole(&one, &lower_key));
}

#[test]
fn two_processes_make_the_same_durable_at_the_same_time() {
    for both in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap().join("store");
        let store = open(&path, "boot");
        hold(&store, true);
        let steps = two_steps(&store);
        drop(store);
        // The other one is done with one layer, or with all, when this one has listed the files.
        let others: BTreeSet<Digest> =
            steps.values().flatten().copied().take(if both { 2 } else { 1 }).collect();
        let other = Places::new(&path, "boot");
        MEANWHILE.set(Some(Box::new(move || {
            other.commit(&others, &Steps::new()).unwrap();
        })));
        Places::new(&path, "boot").commit(&BTreeSet::new(), &steps).unwrap();
        assert!(MEANWHILE.take().is_none());
        let plain = Store::open(&path, Normalise::default()).unwrap();
        assert!(steps.keys().all(|key| is_whole(&plain, key)));
    }
}

#[test]
fn what_cannot_be_made_durable_is_said_and_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path, "boot");
    hold(&store, true);
    let (key, layers) = step(&store, "one", &[]);
    fs::rename(store.layer_path(&layers[0]), folder.path().join("stolen")).unwrap();
    hold(&store, false);
    assert!(matches!(store.settle(), Err(StoreError::NoLayer { .. })));
    store.settle().unwrap();
    assert_eq!(fs::read_dir(path.join("steps")).unwrap().count(), 0);
    assert_eq!(step(&store, "one", &[]), (key, layers));
    store.settle().unwrap();
    assert!(is_whole(&Store::open(&path, Normalise::default()).unwrap(), &key));
}

#[test]
fn gc_finishes_what_this_kernel_began_and_removes_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path, "old");
    hold(&store, true);
    step(&store, "lost", &[]);
    drop(store);
    let store = open(&path, "new");
    hold(&store, true);
    let (key, _) = step(&store, "kept", &[]);
    drop(store);
    let mut store = open(&path, "new");
    assert_eq!(store.du().unwrap().layers, 2);
    let freed = store.gc(&[Root::Step(key)]).unwrap();
    assert_eq!((freed.layers, freed.steps), (1, 1));
    drop(store);
    let plain = Store::open(&path, Normalise::default()).unwrap();
    assert!(is_whole(&plain, &key));
    assert_eq!(plain.du().unwrap().steps, 1);
}
