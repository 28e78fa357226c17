//! EROFS images, checked and extracted by erofs-utils and mounted by Linux.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path, process::Command};

use common::{xattrs::*, *};
use proptest::prelude::*;
use stagex_image::erofs::{self, Compression, Erofs, Error, Packing, Params};
use stagex_tree::{Content, Device, Digest, Kind, Tree};

fn params() -> Params {
    Params::new(EPOCH)
}

fn lay(tree: &Tree) -> Erofs<'_> {
    erofs::layout(tree, &params()).unwrap()
}

const LZ4: Compression = Compression::Lz4;
const ZSTD: Compression = Compression::Zstd { level: 3 };

fn packed(compression: Compression, cluster: u32, tails: bool) -> Params {
    let packing = Packing::new(compression, std::env::temp_dir());
    let packing = Packing { cluster, tails, threads: 2, ..packing };
    Params { packing: Some(packing), ..params() }
}

/// Whether the installed erofs-utils know Zstandard, which those of Debian 12 do not.
fn knows_zstd() -> bool {
    let said = run("erofs-utils", Command::new("mkfs.erofs").arg("--help"));
    String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).contains("zstd")
}

/// Runs fsck.erofs, which must be silent: it speaks of what is wrong only.
fn fsck(image: &Path, more: &[&str]) {
    let output = run("erofs-utils", Command::new("fsck.erofs").args(more).arg(image));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
}

/// Checks an image with fsck.erofs, extracts it and mounts it, and compares both with its tree.
fn check_image(tree: &Tree, image: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image");
    fs::write(&file, image).unwrap();
    // Its last algorithm is Zstandard.
    let zstd = image[1024 + 80] & 2 != 0 && image[1024 + 84] & 8 != 0;
    if !zstd || knows_zstd() {
        fsck(&file, &["--extract"]);
    }
    // fsck.erofs of Debian 12 extracts nothing that is nested too deep, and no special files.
    if let Some(mounted) = mount(&file, "erofs", "ro", folder.path()) {
        assert_same(&read_folder(mounted.path()), tree);
        assert_same_xattrs(mounted.path(), tree, |_| true);
    } else if !zstd || knows_zstd() {
        let to = folder.path().join("out");
        fsck(&file, &[&format!("--extract={}", to.display())]);
        let contents = |tree: &Tree| {
            let files =
                tree.iter().filter_map(|e| Some((e.path.clone(), e.inode.content()?.clone())));
            files.collect::<Vec<_>>()
        };
        assert!(contents(&read_folder(&to)) == contents(tree));
    }
}

fn check(tree: &Tree) -> Vec<u8> {
    let image = bytes(&lay(tree));
    check_image(tree, &image);
    image
}

/// All kinds of entries in one small tree.
fn sample() -> Tree {
    let mut tree = empty();
    for name in ["bin", "dev", "etc", "etc/deep", "wide"] {
        tree.insert(path(name), directory()).unwrap();
    }
    tree.insert(path("bin/sh"), file(filling(5000, 1))).unwrap();
    tree.link(path("bin/ash"), &path("bin/sh")).unwrap();
    tree.link(path("etc/deep/sh"), &path("bin/sh")).unwrap();
    tree.insert(path("init"), node(Kind::Symlink((*b"bin/sh").into()))).unwrap();
    tree.insert(path("long"), node(Kind::Symlink(vec![b'l'; 4095].into()))).unwrap();
    for link in ["init", "long"] {
        tree.metadata_mut(&path(link)).unwrap().mode = 0o777;
    }
    let device = Device { major: 5, minor: 1 };
    tree.insert(path("dev/console"), node(Kind::CharDevice(device))).unwrap();
    let device = Device { major: 259, minor: 70_000 };
    tree.insert(path("dev/disk"), node(Kind::BlockDevice(device))).unwrap();
    tree.insert(path("dev/pipe"), node(Kind::Fifo)).unwrap();
    tree.insert(path("dev/socket"), node(Kind::Socket)).unwrap();
    for (number, len) in
        [0, 1, 4031, 4064, 4065, 4095, 4096, 4097, 8160, 100_000].iter().enumerate()
    {
        tree.insert(path(format!("etc/{len}")), file(filling(*len, number as u8))).unwrap();
    }
    for name in 0..700 {
        tree.insert(path(format!("wide/-{name}{}", "n".repeat(name % 200))), file(*b"w")).unwrap();
    }
    tree.insert(path(b"etc/\xff\xfe"), file(*b"")).unwrap();
    tree.insert(path("etc/".to_owned() + &"n".repeat(255)), file(*b"x")).unwrap();
    for (at, name) in ["bin", "bin/sh", "init", "etc/0", "etc/4096", "dev/pipe"].iter().enumerate()
    {
        let metadata = tree.metadata_mut(&path(name)).unwrap();
        metadata.xattrs.insert((*b"trusted.same").into(), (*b"shared by all").into());
        metadata.xattrs.insert((*b"security.own").into(), vec![at as u8; at * 1000].into());
        metadata.uid = at as u32 * 70_000;
        metadata.mtime = EPOCH - 5_000_000_000 * at as i64;
    }
    tree
}

#[test]
fn bytes_are_pinned() {
    let tree = sample();
    let digest = Digest::of(bytes(&lay(&tree))).to_string();
    assert_eq!(digest, "57564ec98f4a487baeb77ebf3de0b57632a0a388713970569c4fc1b39e65874b");
    let empty = empty();
    let digest = Digest::of(bytes(&lay(&empty))).to_string();
    assert_eq!(digest, "49a97f34cfc6e2b6a559142941fc29a095b0f1729228781c5f724d1daf66e3ee");
}

#[test]
fn sample_is_read_by_fsck_and_linux() {
    check(&sample());
    check(&empty());
}

/// Files that compress well, badly, in parts, and to ends of all lengths.
fn compressible() -> Tree {
    let mut tree = sample();
    let noise = |len: usize, salt: u32| -> Vec<u8> {
        let blocks = (0..len.div_ceil(32) as u32)
            .map(|n| Digest::of([n, salt].map(u32::to_le).map(|w| w.to_le_bytes()).concat()));
        let mut bytes: Vec<u8> = blocks.flat_map(|digest| *digest.as_bytes()).collect();
        bytes.truncate(len);
        bytes
    };
    let text = |len: usize, salt: u32| -> Vec<u8> {
        let words = (0..).map(|n: u32| n.wrapping_mul(n ^ salt).wrapping_mul(0x9e37_79b9) >> 23);
        let mut bytes = Vec::new();
        for word in words {
            bytes.extend_from_slice(format!("word {word}, ").as_bytes());
            if bytes.len() >= len {
                break;
            }
        }
        bytes.truncate(len);
        bytes
    };
    tree.insert(path("c"), directory()).unwrap();
    let borders = [129, 3900, 4095, 4096, 4097, 5000, 8191, 8192, 8193, 12_288, 40_000, 65_536];
    for (salt, len) in borders.into_iter().chain((10_000..40_000).step_by(1777)).enumerate() {
        let salt = salt as u32;
        tree.insert(path(format!("c/text-{len}")), file(text(len, salt))).unwrap();
        tree.insert(path(format!("c/noise-{len}")), file(noise(len, salt))).unwrap();
        tree.insert(path(format!("c/zeros-{len}")), file(vec![0; len])).unwrap();
        let mut mixed = text(len, salt);
        mixed.extend(noise(len, salt));
        mixed.extend(text(len / 2, salt + 1));
        tree.insert(path(format!("c/mixed-{len}")), file(mixed)).unwrap();
    }
    // Over the border of what one thread takes, and with an index of several blocks.
    tree.insert(path("c/large"), file(text(5_000_001, 7))).unwrap();
    tree.insert(path("c/large-zeros"), file(vec![0; 9_000_000])).unwrap();
    let mut large = noise(3_000_000, 9);
    large.extend(text(3_000_000, 9));
    tree.insert(path("c/large-mixed"), file(large)).unwrap();
    // The same once more, with an inode of the same and of another length.
    tree.insert(path("c/twin"), file(text(40_000, 10))).unwrap();
    tree.insert(path("c/twin-old"), file(text(40_000, 10))).unwrap();
    tree.metadata_mut(&path("c/twin-old")).unwrap().mtime = EPOCH - 1;
    tree
}

#[test]
fn compressed_images_are_read_by_fsck_and_linux() {
    let tree = compressible();
    for (compression, cluster, tails) in [
        (LZ4, 4096, true),
        (LZ4, 4096, false),
        (LZ4, 65_536, true),
        (LZ4, 1 << 19, false),
        (ZSTD, 4096, true),
        (ZSTD, 65_536, true),
        (ZSTD, 16_384, false),
    ] {
        let params = packed(compression, cluster, tails);
        let image = bytes(&erofs::layout(&tree, &params).unwrap());
        check_image(&tree, &image);
    }
    check_image(&empty(), &bytes(&erofs::layout(&empty(), &packed(LZ4, 4096, true)).unwrap()));
}

#[test]
fn fsck_extracts_what_was_compressed() {
    let tree = compressible();
    let folder = tempfile::tempdir().unwrap();
    for (number, params) in [packed(LZ4, 4096, true), packed(LZ4, 32_768, false)].iter().enumerate()
    {
        let mut tree = tree.clone();
        tree.remove(&path("dev")).unwrap();
        let file = folder.path().join(format!("image-{number}"));
        fs::write(&file, bytes(&erofs::layout(&tree, params).unwrap())).unwrap();
        let to = folder.path().join(format!("out-{number}"));
        fsck(&file, &[&format!("--extract={}", to.display())]);
        let found = read_folder(&to);
        for entry in tree.iter() {
            let other = found.get(entry.path).unwrap();
            assert!(other.inode.kind == entry.inode.kind, "{}", entry.path);
        }
    }
}

#[test]
fn threads_change_no_byte_of_a_compressed_image() {
    let tree = compressible();
    for mut params in [packed(LZ4, 4096, true), packed(ZSTD, 16_384, true)] {
        let mut image = |threads| {
            params.packing.as_mut().unwrap().threads = threads;
            bytes(&erofs::layout(&tree, &params).unwrap())
        };
        let one = image(1);
        for threads in [2, 8] {
            assert!(image(threads) == one, "{threads} threads");
        }
    }
}

#[test]
fn bytes_of_a_compressed_image_are_pinned() {
    let image = bytes(&erofs::layout(&compressible(), &packed(LZ4, 4096, true)).unwrap());
    let digest = Digest::of(image).to_string();
    assert_eq!(digest, "c3f04a0152a2e4dee2ef3ef683047fd101dc9a144b5e7047f7a0760f1c6d5960");
}

#[test]
fn no_larger_than_mkfs_erofs_makes_it() {
    // Its own sources: enough text to compress, in files of many sizes.
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut tree = read_folder(&from);
    for metadata in tree.all_metadata_mut() {
        metadata.mtime = EPOCH;
    }
    let folder = tempfile::tempdir().unwrap();
    for (cluster, tails, options) in [
        (4096, false, &["-zlz4"][..]),
        (4096, true, &["-zlz4", "-Eztailpacking"]),
        (65_536, false, &["-zlz4", "-C65536"]),
    ] {
        let ours = erofs::layout(&tree, &packed(LZ4, cluster, tails)).unwrap().len();
        let theirs = folder.path().join("theirs");
        let mut command = Command::new("mkfs.erofs");
        let epoch = format!("-T{EPOCH}");
        ok("erofs-utils", command.arg(epoch).args(options).arg(&theirs).arg(&from));
        let theirs = fs::metadata(&theirs).unwrap().len();
        assert!(ours <= theirs + theirs / 100, "{options:?}: {ours}, mkfs.erofs {theirs}");
    }
}

#[test]
fn fsck_extracts_the_same_contents() {
    let mut tree = sample();
    // The extractor of Debian 12 makes regular files, directories and links only.
    tree.remove(&path("dev")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image");
    fs::write(&file, bytes(&lay(&tree))).unwrap();
    let to = folder.path().join("out");
    fsck(&file, &[&format!("--extract={}", to.display())]);
    let found = read_folder(&to);
    for entry in tree.iter() {
        let other = found.get(entry.path).unwrap();
        assert!(other.inode.kind == entry.inode.kind, "{}", entry.path);
    }
}

#[test]
fn the_superblock_says_what_was_asked_for() {
    let tree = sample();
    let mut params = params();
    params.label = "fifteen bytes !".to_owned();
    params.uuid =
        Some(stagex_image::identity::Guid::from_u128(0x0123_4567_89ab_cdef_8899_aabb_ccdd_eeff));
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::write(&image, bytes(&erofs::layout(&tree, &params).unwrap())).unwrap();
    let said = ok_text("erofs-utils", Command::new("dump.erofs").arg("-s").arg(&image));
    let said: Vec<String> =
        said.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let has = |line: &str| assert!(said.iter().any(|l| l.ends_with(line)), "{line}: {said:#?}");
    has("01234567-89ab-cdef-8899-aabbccddeeff");
    has("Filesystem root nid: 36");
    has(&format!("Filesystem inode count: {}", tree.len() - 2));
    assert_eq!(&fs::read(&image).unwrap()[1024 + 64..][..15], b"fifteen bytes !");
}

#[test]
fn equal_files_share_their_blocks() {
    let mut tree = empty();
    tree.insert(path("a"), file(filling(1_000_000, 1))).unwrap();
    let once = lay(&tree).len();
    for n in 0..50 {
        tree.insert(path(format!("b{n}")), file(filling(1_000_000, 1))).unwrap();
    }
    let image = check(&tree);
    assert!((image.len() as u64) < once + 50 * 1024, "{} after {once}", image.len());
    let noise: Vec<u8> =
        (0..3000u32).flat_map(|n| *Digest::of(n.to_le_bytes()).as_bytes()).collect();
    let half = [noise, vec![1; 100_000]].concat();
    let mut tree = empty();
    tree.insert(path("a"), file(half.clone())).unwrap();
    let once = erofs::layout(&tree, &packed(LZ4, 4096, true)).unwrap().len();
    for n in 0..50 {
        tree.insert(path(format!("b{n}")), file(half.clone())).unwrap();
    }
    let image = bytes(&erofs::layout(&tree, &packed(LZ4, 4096, true)).unwrap());
    check_image(&tree, &image);
    assert!((image.len() as u64) < once + 50 * 4400, "{} after {once}", image.len());
}

#[test]
fn what_the_format_cannot_hold_is_refused_by_name() {
    let refused = |tree: &Tree| erofs::layout(tree, &params()).err().unwrap().to_string();
    let with = |change: &dyn Fn(&mut Tree)| {
        let mut tree = empty();
        change(&mut tree);
        refused(&tree)
    };
    let xattr = |name: &str, len: usize| {
        with(&|tree| {
            let mut inode = file(*b"");
            inode.metadata.xattrs.insert(name.as_bytes().into(), vec![0; len].into());
            tree.insert(path("f"), inode).unwrap();
        })
    };
    assert!(xattr("nospace.x", 0).starts_with("/f: "));
    assert!(xattr("user.", 0).starts_with("/f: "));
    assert!(xattr("user.x", 65_536).contains("65535"));
    let error = with(&|tree| {
        let mut inode = file(*b"");
        for n in 0..5 {
            let name = format!("user.{n}").into_bytes();
            inode.metadata.xattrs.insert(name.into(), vec![0; 65_000].into());
        }
        tree.insert(path("f"), inode).unwrap();
    });
    assert!(error.starts_with("/f: ") && error.contains("262148"), "{error}");
    let error = with(&|tree| {
        let device = Device { major: 4096, minor: 0 };
        tree.insert(path("d"), node(Kind::CharDevice(device))).unwrap();
    });
    assert!(error.starts_with("/d: "), "{error}");
    let error = with(&|tree| {
        tree.insert(path("l"), node(Kind::Symlink(vec![b'x'; 4096].into()))).unwrap();
    });
    assert!(error.starts_with("/l: "), "{error}");
    let error = with(&|tree| {
        let huge = Content::from_file(Path::new("/nowhere"), 0, 1 << 44);
        tree.insert(path("big"), node(Kind::File(huge))).unwrap();
    });
    assert!(error.starts_with("/big: "), "{error}");
    let label = Params { label: "sixteen bytes !!".to_owned(), ..params() };
    assert!(matches!(erofs::layout(&empty(), &label), Err(Error::Label { .. })));
    let wrong = |params: Params| erofs::layout(&empty(), &params).err().unwrap();
    assert!(matches!(wrong(packed(LZ4, 5000, true)), Error::Cluster { cluster: 5000 }));
    assert!(matches!(wrong(packed(LZ4, 1 << 20, true)), Error::Cluster { .. }));
    let level = Compression::Zstd { level: 23 };
    assert!(matches!(wrong(packed(level, 4096, true)), Error::Level { level: 23, .. }));
    let mut nowhere = packed(LZ4, 4096, true);
    nowhere.packing.as_mut().unwrap().scratch = "/nowhere".into();
    assert!(matches!(wrong(nowhere), Error::Scratch { .. }));
}

#[test]
fn a_content_that_shrank_fails_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("f");
    fs::write(&short, b"abc").unwrap();
    let mut tree = empty();
    let content = Content::from_file(short.as_path(), 0, 5000);
    let content = content.with_digest(Digest::of(b""));
    tree.insert(path("f"), node(Kind::File(content))).unwrap();
    for params in [params(), packed(LZ4, 4096, true)] {
        let params = Params { uuid: Some(stagex_image::identity::Guid([1; 16])), ..params };
        let error = match erofs::layout(&tree, &params) {
            Ok(laid) => laid.write(&mut Vec::new()).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.starts_with("/f: "), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn linux_and_fsck_read_the_same_tree(tree in with_xattrs(trees(byte_names(), all_kinds()))) {
        check(&tree);
    }

    #[test]
    fn linux_and_fsck_read_the_same_tree_compressed(
        tree in with_xattrs(trees(byte_names(), all_kinds())),
        how in prop::sample::select(vec![LZ4, ZSTD]),
        log in 12..20u32,
        tails in any::<bool>(),
    ) {
        check_image(&tree, &bytes(&erofs::layout(&tree, &packed(how, 1 << log, tails)).unwrap()));
    }
}
