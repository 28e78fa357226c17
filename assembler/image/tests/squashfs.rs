//! SquashFS images, listed and extracted by unsquashfs and mounted by Linux.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant, UNIX_EPOCH},
};

use common::{xattrs::*, *};
use proptest::prelude::*;
use stagex_image::squashfs::{self, Compression, Error, Params, Squashfs};
use stagex_tree::{Content, Device, Digest, Kind, Tree};

const ALL: [Compression; 4] = [
    Compression::Zstd { level: 3 },
    Compression::Xz { preset: 6 },
    Compression::Gzip { level: 9 },
    Compression::Lz4,
];

fn params() -> Params {
    Params {
        compression: Compression::Zstd { level: 3 },
        threads: 2,
        ..Params::new(EPOCH, std::env::temp_dir())
    }
}

fn lay(tree: &Tree, params: &Params) -> Squashfs {
    squashfs::layout(tree, params).unwrap()
}

/// Extracts an image with unsquashfs and mounts it, and compares both with its tree.
fn check_image(tree: &Tree, image: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image");
    fs::write(&file, image).unwrap();
    let to = folder.path().join("out");
    let mut command = Command::new("unsquashfs");
    // What is extracted must fit the test's own file system: ext4 holds less than a SquashFS.
    let size = |set: &Xattrs| set.iter().map(|(k, v)| k.len() + v.len() + 24).sum::<usize>();
    let fit = tree.iter().all(|entry| size(&entry.inode.metadata.xattrs) < 3500);
    command.args(["-no-progress", "-quiet", if fit { "-xattrs" } else { "-no-xattrs" }]);
    if is_root() {
        command.arg("-strict-errors");
    }
    let output = run("squashfs-tools", command.arg("-d").arg(&to).arg(&file));
    // Others than root cannot make all that is in it.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!is_root() || output.status.success() && said.is_empty(), "{said}");
    let seen = as_seen_by_user(tree);
    if is_root() {
        assert_same(&read_folder(&to), &seen);
        if fit {
            assert_same_xattrs(&to, tree, |_| true);
        }
    }
    if let Some(mounted) = mount(&file, "squashfs", "ro", folder.path()) {
        assert_same(&read_folder(mounted.path()), tree);
        assert_same_xattrs(mounted.path(), tree, |_| true);
    }
}

fn check(tree: &Tree, params: &Params) -> Vec<u8> {
    let image = bytes(&lay(tree, params));
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
    let lens = [0, 1, 4095, 4096, 4097, 131_071, 131_072, 131_073, 400_000];
    for (number, len) in lens.iter().enumerate() {
        tree.insert(path(format!("etc/{len}")), file(filling(*len, number as u8))).unwrap();
    }
    let mut holes = vec![0; 131_072 * 3 + 5];
    holes[131_072 + 9] = 1;
    tree.insert(path("holes"), file(holes)).unwrap();
    tree.insert(path("zeros"), file(vec![0; 131_072 * 2])).unwrap();
    let noise: Vec<u8> =
        (0..9000u32).flat_map(|n| *Digest::of(n.to_le_bytes()).as_bytes()).collect();
    tree.insert(path("noise"), file(noise)).unwrap();
    for name in 0..1500 {
        tree.insert(path(format!("wide/-{name}{}", "n".repeat(name % 200))), file(*b"w")).unwrap();
    }
    tree.insert(path(b"etc/\xff\xfe"), file(*b"")).unwrap();
    tree.insert(path("etc/".to_owned() + &"n".repeat(255)), file(*b"x")).unwrap();
    for (at, name) in ["bin", "bin/sh", "etc/0", "etc/4096", "wide"].iter().enumerate() {
        let metadata = tree.metadata_mut(&path(name)).unwrap();
        metadata.xattrs.insert((*b"trusted.same").into(), (*b"shared by all").into());
        metadata.xattrs.insert((*b"security.own").into(), vec![at as u8; at * 800].into());
        metadata.uid = at as u32 * 70_000;
        metadata.mtime = EPOCH - 1_000_000 * at as i64;
    }
    tree
}

#[test]
fn bytes_are_pinned() {
    let tree = sample();
    let digest = Digest::of(bytes(&lay(&tree, &params()))).to_string();
    assert_eq!(digest, "b2382e075be6a4e266c05c28d32066416c035a5cb34a67ee3a11eb8860631f08");
}

#[test]
fn sample_is_read_with_every_compressor() {
    let tree = sample();
    for compression in ALL {
        check(&tree, &Params { compression, ..params() });
    }
    check(&tree, &Params { tail_ends: true, block_size: 4096, ..params() });
    check(&tree, &Params { tail_ends: true, block_size: 1 << 20, ..params() });
    check(&empty(), &params());
}

#[test]
fn threads_change_no_byte() {
    let tree = sample();
    for compression in ALL {
        let image = |threads| bytes(&lay(&tree, &Params { compression, threads, ..params() }));
        let one = image(1);
        for threads in [2, 8] {
            assert!(image(threads) == one, "{compression:?} with {threads} threads");
        }
    }
}

#[test]
fn unsquashfs_says_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::write(&image, bytes(&lay(&sample(), &params()))).unwrap();
    let said = ok_text("squashfs-tools", Command::new("unsquashfs").arg("-s").arg(&image));
    for line in [
        "Creation or last append time Tue Nov 14 22:13:20 2023",
        "Filesystem is exportable via NFS",
        "Compression zstd",
        "compression-level 3",
        "Block size 131072",
        "Duplicates are removed",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains(&format!("Number of inodes {}", sample().len() - 2)), "{said}");
}

#[test]
fn equal_files_share_their_blocks() {
    let mut tree = empty();
    let noise: Vec<u8> =
        (0..9000u32).flat_map(|n| *Digest::of(n.to_le_bytes()).as_bytes()).collect();
    tree.insert(path("a"), file(noise.clone())).unwrap();
    tree.insert(path("s"), file(noise[..5000].to_vec())).unwrap();
    let once = lay(&tree, &params()).len();
    for n in 0..50 {
        tree.insert(path(format!("b{n}")), file(noise.clone())).unwrap();
        tree.insert(path(format!("c{n}")), file(noise[..5000].to_vec())).unwrap();
    }
    let image = check(&tree, &params());
    assert!(image.len() as u64 <= once + 8192, "{} after {once}", image.len());
}

#[test]
fn no_larger_than_mksquashfs_makes_it() {
    // Its own sources: enough text to compress, in files of many sizes.
    no_larger(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    // And what is hardly more than inodes and directories, where all depends on the times: those
    // of a tree written at once, of a folder a second, and such as change amid a folder.
    let many = tempfile::tempdir().unwrap();
    let times: [fn(u64, u64) -> u64; 3] =
        [|_, _| 0, |folder, _| folder, |folder, file| (100 * folder + file) / 37];
    for time in times {
        for number in 0..100 {
            let at = many.path().join(format!("folder-{number:04}"));
            fs::create_dir_all(&at).unwrap();
            for file in 0..100 {
                let to = at.join(format!("file-{file:04}.data"));
                fs::write(&to, filling(1024, file)).unwrap();
                set_time(&to, time(number, file.into()));
            }
            set_time(&at, time(number, 0));
        }
        set_time(many.path(), 0);
        no_larger(many.path());
    }
}

/// Gives a file a time, in seconds since [`EPOCH`].
fn set_time(path: &Path, since: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(EPOCH as u64 + since);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

fn no_larger(from: &Path) {
    let tree = read_folder(from);
    let folder = tempfile::tempdir().unwrap();
    for (compression, name, options) in [
        (ALL[0], "zstd", &["-Xcompression-level", "3"][..]),
        (ALL[1], "xz", &[]),
        (ALL[2], "gzip", &[]),
        (ALL[3], "lz4", &[]),
    ] {
        let mut image = Vec::new();
        lay(&tree, &Params { compression, ..params() }).write(&mut image).unwrap();
        let ours = used(&image);
        let theirs = folder.path().join(name);
        let mut command = Command::new("mksquashfs");
        command.arg(from).arg(&theirs).args(["-noappend", "-quiet", "-no-progress", "-comp", name]);
        ok("squashfs-tools", command.args(options));
        let theirs = used(&fs::read(&theirs).unwrap());
        assert!(ours <= theirs + theirs / 100, "{from:?}, {name}: {ours}, mksquashfs {theirs}");
    }
}

/// What an image takes, by its superblock: without the zeros that fill up its last 4,096 bytes.
fn used(image: &[u8]) -> u64 {
    u64::from_le_bytes(image[40..48].try_into().unwrap())
}

#[test]
fn what_the_format_cannot_hold_is_refused_by_name() {
    let with = |change: &dyn Fn(&mut Tree)| {
        let mut tree = empty();
        change(&mut tree);
        squashfs::layout(&tree, &params()).err().unwrap().to_string()
    };
    let xattr = |name: &str, len: usize| {
        with(&|tree| {
            let mut inode = file(*b"");
            inode.metadata.xattrs.insert(name.as_bytes().into(), vec![0; len].into());
            tree.insert(path("f"), inode).unwrap();
        })
    };
    assert!(xattr("system.posix_acl_access", 4).starts_with("/f: "));
    assert!(xattr("user.x", 65_537).contains("65536"));
    for mtime in [-1, 1 << 32] {
        let error = with(&|tree| {
            tree.insert(path("t"), file(*b"")).unwrap();
            tree.metadata_mut(&path("t")).unwrap().mtime = mtime;
        });
        assert!(error.starts_with("/t: ") && error.contains("4294967295"), "{error}");
    }
    let error = with(&|tree| {
        let device = Device { major: 4096, minor: 0 };
        tree.insert(path("d"), node(Kind::CharDevice(device))).unwrap();
    });
    assert!(error.starts_with("/d: "), "{error}");
    let error = with(&|tree| {
        for owner in 0..65_536 {
            let mut inode = file(*b"");
            inode.metadata.uid = owner;
            tree.insert(path(format!("{owner:05}")), inode).unwrap();
        }
    });
    assert!(error.starts_with("/65535: "), "{error}");
    let wrong = |change: &dyn Fn(&mut Params)| {
        let mut params = params();
        change(&mut params);
        squashfs::layout(&empty(), &params).err().unwrap()
    };
    assert!(matches!(wrong(&|p| p.block_size = 5000), Error::Block { block: 5000 }));
    assert!(matches!(wrong(&|p| p.epoch = -1), Error::Time { .. }));
    let level = wrong(&|p| p.compression = Compression::Zstd { level: 23 });
    assert!(matches!(level, Error::Level { level: 23, .. }));
    assert!(matches!(wrong(&|p| p.scratch = "/nowhere".into()), Error::Scratch { .. }));
}

#[test]
fn holes_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("f");
    let sparse = fs::File::create(&at).unwrap();
    sparse.set_len(1 << 40).unwrap();
    sparse.write_all_at(b"something", 1 << 39).unwrap();
    let mut tree = empty();
    let content = Content::from_file(at.as_path(), 0, 1 << 40);
    tree.insert(path("f"), node(Kind::File(content))).unwrap();
    let started = Instant::now();
    let image = lay(&tree, &Params { block_size: 1 << 20, ..params() });
    // To read a TiB takes minutes at least.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert!(image.len() < 1 << 20);
}

#[test]
fn a_content_that_shrank_fails_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("f");
    fs::write(&short, b"abc").unwrap();
    for len in [5, 500_000] {
        let mut tree = empty();
        let content = Content::from_file(short.as_path(), 0, len);
        tree.insert(path("f"), node(Kind::File(content))).unwrap();
        let error = squashfs::layout(&tree, &params()).err().unwrap().to_string();
        assert!(error.starts_with("/f: "), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn linux_and_unsquashfs_read_the_same_tree(
        tree in with_xattrs(trees(byte_names(), all_kinds())),
        compression in prop::sample::select(ALL.to_vec()),
        log in 12..18u32,
        tail_ends in any::<bool>(),
    ) {
        check(&tree, &Params { compression, block_size: 1 << log, tail_ends, ..params() });
    }
}
