//! Hash trees, checked by veritysetup.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod common;

use std::{fs, path::Path, process::Command};

use common::*;
use proptest::prelude::*;
use stagex_image::{
    Image,
    verity::{BLOCK, Error, Params, Verity},
};
use stagex_tree::{Content, Digest};

fn params(workers: u32) -> Params {
    Params::new(&Digest::of(b"seed"), workers)
}

fn veritysetup(arguments: &[&str], files: &[&Path], last: &[&str]) -> std::process::Output {
    let mut command = Command::new("veritysetup");
    run("cryptsetup-bin", command.args(arguments).args(files).args(last))
}

/// Data that repeats nowhere, but is zero in the groups named.
fn data(blocks: usize, zeros: &[usize]) -> Vec<u8> {
    let mut data: Vec<u8> = (0..blocks as u32 * 1024)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    for &group in zeros {
        let end = data.len().min((group + 1) << 19);
        if let Some(part) = data.get_mut(group << 19..end) {
            part.fill(0);
        }
    }
    data
}

/// Appended and apart, veritysetup finds every block as the root hash wants it, and makes the same
/// tree from the same salt.
fn check(content: Vec<u8>, params: &Params) {
    let folder = tempfile::tempdir().unwrap();
    let (image, padded) = (Content::from_bytes(content.clone()), {
        let mut padded = content.clone();
        padded.resize(content.len().next_multiple_of(BLOCK as usize), 0);
        padded
    });
    let verity = Verity::over(&image, params).unwrap();
    let root = verity.root_hash().to_string();
    let (whole, apart) = (bytes(&verity.append(&image)), bytes(&verity.tree()));
    assert!(whole == [&padded[..], &apart[..]].concat());

    let [one, two, three, four] =
        ["whole", "data", "tree", "theirs"].map(|n| folder.path().join(n));
    fs::write(&one, &whole).unwrap();
    fs::write(&two, &padded).unwrap();
    fs::write(&three, &apart).unwrap();
    let offset = format!("--hash-offset={}", verity.hash_offset());
    for output in [
        veritysetup(&["verify", &offset], &[&one, &one], &[&root]),
        veritysetup(&["verify"], &[&two, &three], &[&root]),
    ] {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && error.is_empty(), "{error}");
    }

    let salt: String = params.salt.iter().map(|byte| format!("{byte:02x}")).collect();
    let salt = format!("--salt={}", if salt.is_empty() { "-" } else { &salt });
    let uuid = format!("--uuid={}", params.uuid);
    let output = veritysetup(&["format", &salt, &uuid], &[&two, &four], &[]);
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && report.contains(&root), "{report}");
    // Where there is no tree, veritysetup leaves the superblock's padding unwritten.
    let mut theirs = fs::read(&four).unwrap();
    theirs.resize(theirs.len().max(BLOCK as usize), 0);
    assert!(theirs == apart, "the same bytes as veritysetup's");
}

#[test]
fn trees_of_all_heights_are_verified() {
    // One block, one level, two levels at their borders; three take over 64 MiB.
    for blocks in [1, 2, 127, 128, 129, 300] {
        check(data(blocks, &[]), &params(2));
    }
    check(data(16_384, &[]), &params(2));
    check(data(16_385, &[3, 4, 5, 127]), &params(2));
}

#[test]
fn zeros_and_parts_of_blocks_are_verified() {
    check(vec![0; 5 << 19], &params(1));
    check(vec![0; 4096], &params(1));
    check(data(300, &[0]), &params(3));
    check(data(300, &[1, 2]), &params(3));
    for len in [1, 511, 4095, 4097, (1 << 19) + 1] {
        check(data(200, &[])[..len].to_vec(), &params(2));
    }
}

#[test]
fn the_salt_may_be_of_any_length() {
    for len in [0, 1, 64, 256] {
        let salt = (0..len).map(|at| at as u8).collect();
        check(data(130, &[]), &Params { salt, ..params(2) });
    }
    let content = Content::from_bytes(*b"x");
    let too_long = Params { salt: vec![0; 257], ..params(1) };
    assert!(matches!(Verity::over(&content, &too_long), Err(Error::Salt { len: 257 })));
    let empty = Content::from_bytes(*b"");
    assert!(matches!(Verity::over(&empty, &params(1)), Err(Error::Empty)));
}

#[test]
fn veritysetup_dumps_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tree");
    let image = Content::from_bytes(data(200, &[]));
    let verity = Verity::over(&image, &params(1)).unwrap();
    fs::write(&file, bytes(&verity.tree())).unwrap();
    let dump = ok_text("cryptsetup-bin", Command::new("veritysetup").arg("dump").arg(&file));
    let dump: Vec<&str> = dump.split_whitespace().collect();
    let dump = dump.join(" ");
    let salt: String = verity.salt().iter().map(|byte| format!("{byte:02x}")).collect();
    for line in [
        &format!("UUID: {}", verity.uuid()),
        "Hash type: 1",
        "Data blocks: 200",
        "Data block size: 4096",
        "Hash block size: 4096",
        "Hash algorithm: sha256",
        &format!("Salt: {salt}"),
    ] {
        assert!(dump.contains(line), "{line}: {dump}");
    }
    // The identifiers of partitions and the device mapper's table name the same root.
    let root = verity.root_hash().to_string();
    let (one, two) = verity.partition_guids();
    assert_eq!(format!("{one}{two}").replace('-', ""), root);
    let expected = format!("0 1600 verity 1 a b 4096 4096 200 1 sha256 {root} {salt}");
    assert_eq!(verity.table("a", "b"), expected);
    assert_eq!(
        verity.table("a", "a"),
        expected.replace(" b ", " a ").replace(" 1 sha", " 201 sha")
    );
}

#[test]
fn a_changed_block_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whole");
    let image = Content::from_bytes(data(300, &[]));
    let verity = Verity::over(&image, &params(1)).unwrap();
    let mut whole = bytes(&verity.append(&image));
    whole[200 * 4096 + 17] ^= 1;
    fs::write(&file, &whole).unwrap();
    let offset = format!("--hash-offset={}", verity.hash_offset());
    let root = verity.root_hash().to_string();
    let output = veritysetup(&["verify", &offset], &[&file, &file], &[&root]);
    assert!(!output.status.success());
}

#[test]
fn bytes_are_pinned_and_do_not_depend_on_threads() {
    let image = Content::from_bytes(data(5_000, &[2, 3]));
    let trees: Vec<Vec<u8>> = [0, 1, 2, 7]
        .map(|workers| bytes(&Verity::over(&image, &params(workers)).unwrap().tree()))
        .into();
    assert!(trees.iter().all(|tree| *tree == trees[0]));
    let digest = Digest::of(&trees[0]).to_string();
    assert_eq!(digest, "127a3b14138bb42b147c180e8dfdd35a9442df213debcd279f7fb6165578ed31");
    let of_content = Params::of_content(&image, 1).unwrap();
    assert_eq!(of_content, Params::new(&image.digest().unwrap(), 1));
}

#[test]
fn other_data_than_was_hashed_is_not_written() {
    let (one, two) = (Content::from_bytes(data(2, &[])), Content::from_bytes(data(3, &[])));
    let verity = Verity::over(&one, &params(1)).unwrap();
    let mut out = Vec::new();
    assert!(verity.append(&two).write(&mut out).is_err() && out.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_data_is_verified(
        len in 1..1_500_000usize,
        zeros in prop::collection::vec(0..3usize, 0..3),
        salt in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        check(data(400, &zeros)[..len].to_vec(), &Params { salt, ..params(2) });
    }
}
