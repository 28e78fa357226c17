//! Damaged and hostile images: an error or a listing, soon, and never a panic.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod common;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use common::run;
use proptest::prelude::*;
use stagex_inspect::{
    Bytes, Context, DiffOptions, Error, Limits, Node, Options, Summary, diff, differences, tree,
};

/// What reading a small image may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

fn context() -> Context {
    let limits = Limits { spool: 8 << 20, entries: 4000, walk: 10_000, depth: 64, nested: 4 };
    Context::new(limits, tempfile::tempfile)
}

/// Lists all of it, within the time there is; a panic of a reader fails.
fn list(bytes: Vec<u8>) -> Result<(Summary, String), Error> {
    let start = Instant::now();
    let root = Node::file("image", Bytes::from_vec(bytes));
    let options = Options { all: true, ..Options::default() };
    let mut text = Vec::new();
    let listed = tree(&context(), &root, options, &mut text);
    if let Err(error) = &listed {
        assert!(!error.to_string().contains("panicked"), "{error}");
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    listed.map(|summary| (summary, String::from_utf8(text).unwrap()))
}

/// Small images of every format, by what made them.
fn images() -> &'static [(String, Vec<u8>)] {
    static IMAGES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzzing/seeds");
        let mut all = Vec::new();
        for target in [
            "ar",
            "cpio",
            "compressed",
            "elf",
            "erofs",
            "ext4",
            "fat",
            "iso",
            "partitions",
            "qcow2",
            "squashfs",
            "tar",
            "vmdk",
        ] {
            let to = folder.path().join(target);
            run(Command::new(&seeds).arg(format!("inspect_{target}")).arg(&to));
            let mut files: Vec<_> = fs::read_dir(&to).unwrap().map(|f| f.unwrap().path()).collect();
            files.sort();
            for file in files {
                let mut bytes = fs::read(&file).unwrap();
                match target {
                    // The fuzz targets choose by this byte.
                    "compressed" | "partitions" => drop(bytes.remove(0)),
                    "iso" => bytes = [vec![0; 32 << 10], bytes].concat(),
                    _ => {}
                }
                all.push((
                    format!("{target}/{}", file.file_name().unwrap().to_string_lossy()),
                    bytes,
                ));
            }
        }
        assert!(all.len() > 20, "{}", all.len());
        all
    })
}

#[test]
fn whole_ones_are_read() {
    for (name, bytes) in images() {
        let (summary, text) = list(bytes.clone()).unwrap();
        assert_eq!(summary.damaged, 0, "{name}: {text}");
        assert!(summary.nodes > 1, "{name}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_ones(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        near_start in any::<bool>(),
    ) {
        let (_, whole) = which.get(images());
        let mut bytes = whole.clone();
        for (place, value) in changes {
            // Headers are where it hurts.
            let len = if near_start { bytes.len().min(4096) } else { bytes.len() };
            bytes[place.index(len)] = value;
        }
        let _ = list(bytes.clone());
        let node = |bytes: &Vec<u8>| Node::file("image", Bytes::from_vec(bytes.clone()));
        let found = differences(&context(), &node(whole), &node(&bytes), &DiffOptions::default());
        match found {
            Ok(found) => prop_assert_eq!(found.is_empty(), *whole == bytes),
            Err(error) => prop_assert!(!error.to_string().contains("panicked"), "{}", error),
        }
    }

    #[test]
    fn cut_ones(which in any::<prop::sample::Index>(), end in any::<prop::sample::Index>()) {
        let (_, whole) = which.get(images());
        let _ = list(whole[..end.index(whole.len())].to_vec());
    }

    #[test]
    fn large_numbers(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        size in 1usize..9,
        value in prop::sample::select(vec![0u8, 0x7f, 0x80, 0xff]),
        near_start in any::<bool>(),
    ) {
        let (_, whole) = which.get(images());
        let mut bytes = whole.clone();
        let len = if near_start { bytes.len().min(4096) } else { bytes.len() };
        let at = place.index(len);
        let end = (at + size).min(bytes.len());
        bytes[at..end].fill(value);
        let _ = list(bytes);
    }
}

#[test]
fn bombs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let script = "head -c 64000000 /dev/zero | gzip -9 | gzip -9 >bomb.gz
        head -c 64000000 /dev/zero | zstd -q >bomb.zst
        head -c 64000000 /dev/zero | xz -1 >bomb.xz";
    run(Command::new("sh").args(["-c", script]).current_dir(at));
    for name in ["bomb.gz", "bomb.zst", "bomb.xz"] {
        let (summary, text) = list(fs::read(at.join(name)).unwrap()).unwrap();
        assert_eq!(summary.damaged, 1, "{text}");
        assert!(text.contains("bytes to decompress: more than the limit of 8388608"), "{text}");
    }
}

#[test]
fn folders_in_a_circle_are_refused() {
    let (_, whole) = images().iter().find(|(name, _)| name == "ext4/plain").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::write(&image, whole).unwrap();
    run(Command::new("/usr/sbin/debugfs").args(["-w", "-R", "link / /boot/a/loop"]).arg(&image));
    let (_, text) = list(fs::read(&image).unwrap()).unwrap();
    assert!(text.contains("lies in two places"), "{text}");
}

#[test]
fn a_disk_that_holds_itself() {
    // A qcow2 whose first cluster is its own beginning, and so on without an end.
    let mut bytes = vec![0u8; 2048];
    bytes[..4].copy_from_slice(b"QFI\xfb");
    bytes[7] = 2;
    bytes[23] = 9;
    bytes[30..32].copy_from_slice(&2048u16.to_be_bytes());
    bytes[39] = 1;
    bytes[46..48].copy_from_slice(&512u16.to_be_bytes());
    bytes[512 + 6..512 + 8].copy_from_slice(&1024u16.to_be_bytes());
    for cluster in 0..4u16 {
        let entry = 1024 + usize::from(cluster) * 8;
        bytes[entry + 4..entry + 8].copy_from_slice(&(u32::from(cluster) * 512).to_be_bytes());
    }
    // Cluster 0 would be "unallocated": the whole is shifted by a copy of the first.
    bytes.extend_from_within(..512);
    bytes[1024 + 4..1024 + 8].copy_from_slice(&2048u32.to_be_bytes());
    let (summary, text) = list(bytes.clone()).unwrap();
    assert!(summary.nodes < 10, "{text}");
    assert!(text.matches("[qcow2]").count() > 1, "{text}");
    let node = |bytes: &[u8]| Node::file("image", Bytes::from_vec(bytes.to_vec()));
    let same = diff(&context(), &node(&bytes), &node(&bytes), &Default::default(), &mut |_| Ok(()));
    assert_eq!(same.unwrap().count, 0);
}
