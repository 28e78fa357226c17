//! All formats mounted by a Linux of the tree's own, which knows every file system, in a virtual
//! machine, so that what the tests' machine lacks is tested too.
//!
//! The kernel and its one program are the package `kernel-linux-reader`; `assembler/reader` builds
//! it and runs these tests with its files in the folder that `STAGEX_READER` names.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::{shapes::*, xattrs::with_xattrs, *};
use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::TestRunner,
};
use stagex_image::{
    Image,
    compress::{Codec, Compression, Part, initramfs},
    cpio, disk, erofs,
    gpt::Type,
    verity,
};
use stagex_tree::{Content, Device, Digest, Inode, Kind, Metadata, Tree, TreePath};

/// How long it may take, emulated on a busy host: FAT searches a wide folder from its begin each time.
const PATIENCE: Duration = Duration::from_secs(1800);
/// What the machine writes down is at most as much as this.
const OUT: u64 = 1 << 30;

const FORMATS: [&str; 14] = [
    "ext4",
    "ext4-1k",
    "erofs",
    "erofs-lz4",
    "erofs-zstd",
    "squashfs",
    "squashfs-ends",
    "squashfs-gzip",
    "squashfs-lz4",
    "squashfs-xz",
    "iso",
    "iso-joliet",
    "fat16",
    "fat32",
];

/// What the machine is to look at: where, as which type, and with what options.
type Job = (String, &'static str, &'static str);

/// What the machine said of each job: the tree, or why it could not be mounted.
type Seen = Vec<Result<Tree, i32>>;

/// The folder with `boot/vmlinuz` and `init`.
fn reader() -> PathBuf {
    std::env::var_os("STAGEX_READER")
        .unwrap_or_else(|| {
            panic!("this test needs the package kernel-linux-reader: assembler/reader")
        })
        .into()
}

/// Starts the machine with its disk and what `more` adds to its initramfs, and gives what it saw.
fn show(disk: &dyn Image, jobs: &[Job], more: &[Part<'_>], append: &str) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    disk.write(&mut File::create(at("disk")).unwrap()).unwrap();
    let mut out = File::create(at("out")).unwrap();
    out.write_all(b"show").unwrap();
    out.set_len(OUT).unwrap();

    let mut tree = empty();
    let init = fs::read(reader().join("init")).unwrap();
    tree.insert(path("init"), Inode { metadata: metadata(0o755), ..file(init) }).unwrap();
    let lines: String = jobs.iter().map(|(at, kind, how)| format!("{at} {kind} {how}\n")).collect();
    tree.insert(path("jobs"), file(lines.into_bytes())).unwrap();
    tree.insert(path("dev"), directory()).unwrap();
    let console = Kind::CharDevice(Device { major: 5, minor: 1 });
    tree.insert(path("dev/console"), node(console)).unwrap();
    let first = cpio::layout(&tree, &Default::default()).unwrap();
    let mut parts = vec![Part { image: &first, compression: None }];
    parts.extend_from_slice(more);
    initramfs(&parts, &mut File::create(at("initramfs")).unwrap()).unwrap();

    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-machine", "microvm,acpi=off", "-accel", "tcg", "-m", "512", "-nodefaults"])
        .args(["-display", "none", "-no-reboot", "-serial", "file:serial"])
        .arg("-kernel")
        .arg(reader().join("boot/vmlinuz"))
        .args(["-initrd", "initramfs", "-append"])
        .arg(format!("console=ttyS0 panic=-1 reboot=t {append}"))
        .current_dir(folder.path())
        .stdin(Stdio::null());
    for name in ["out", "disk"] {
        command.arg("-drive").arg(format!("id={name},file={name},format=raw,if=none"));
        command.arg("-device").arg(format!("virtio-blk-device,drive={name}"));
    }
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("this test needs the Debian package qemu-system-x86: {error}")
    });
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().ok();
            child.wait().ok();
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = String::from_utf8_lossy(&fs::read(at("serial")).unwrap_or_default()).into_owned();
    assert!(said.contains("show: all seen"), "the machine did not come to its end:\n{said}");
    Reading { bytes: &fs::read(at("out")).unwrap(), at: 0 }.all()
}

/// What the machine wrote down, by the format that `show.c` tells of.
struct Reading<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reading<'b> {
    fn line(&mut self) -> Vec<&'b str> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n').unwrap();
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).unwrap().split(' ').collect()
    }

    fn bytes(&mut self, len: &str) -> &'b [u8] {
        let from = self.at;
        self.at += len.parse::<usize>().unwrap();
        &self.bytes[from..self.at]
    }

    fn all(mut self) -> Seen {
        let mut seen = Vec::new();
        loop {
            match self.line()[..] {
                ["mount", "0"] => seen.push(Ok(self.tree())),
                ["mount", errno] => seen.push(Err(errno.parse().unwrap())),
                ["done"] => return seen,
                ref other => panic!("{other:?}"),
            }
        }
    }

    fn tree(&mut self) -> Tree {
        let mut tree = Tree::new();
        let mut firsts: BTreeMap<&str, TreePath> = BTreeMap::new();
        loop {
            let words = self.line();
            let [
                kind,
                mode,
                uid,
                gid,
                mtime,
                nanoseconds,
                ino,
                links,
                major,
                minor,
                size,
                name,
                xattrs,
            ] = *match &words[..] {
                ["entry", rest @ ..] => <&[&str; 13]>::try_from(rest).unwrap(),
                ["end"] => return tree,
                other => panic!("{other:?}"),
            };
            let name = self.bytes(name);
            let path = path(name.strip_prefix(b"/").unwrap_or(name));
            assert_eq!(nanoseconds, "0", "{path}");
            let number = |text: &str| text.parse::<u32>().unwrap();
            let device = || Device { major: number(major), minor: number(minor) };
            let target = if kind == "l" { self.bytes(size) } else { b"" };
            let mut all = BTreeMap::new();
            for _ in 0..number(xattrs) {
                let words = self.line();
                let ["xattr", name, value] = words[..] else { panic!("{words:?}") };
                let name = self.bytes(name).into();
                all.insert(name, self.bytes(value).into());
            }
            let kind = match kind {
                "d" => Kind::Directory,
                "l" => Kind::Symlink(target.into()),
                "c" => Kind::CharDevice(device()),
                "b" => Kind::BlockDevice(device()),
                "p" => Kind::Fifo,
                "s" => Kind::Socket,
                _ => Kind::File(Content::from_bytes(self.bytes(size))),
            };
            let metadata = Metadata {
                mode: u16::from_str_radix(mode, 8).unwrap(),
                uid: number(uid),
                gid: number(gid),
                mtime: mtime.parse().unwrap(),
                xattrs: all,
            };
            if path.is_root() {
                *tree.metadata_mut(&path).unwrap() = metadata;
                continue;
            }
            let is_directory = kind == Kind::Directory;
            if let Some(first) = firsts.get(ino).filter(|_| !is_directory && links != "1") {
                tree.link(path, first).unwrap();
                continue;
            }
            firsts.insert(ino, path.clone());
            tree.insert(path, Inode { metadata, kind }).unwrap();
        }
    }
}

/// Whether Linux shows a tree as it is in a format: of Rock Ridge's names it cuts those of 254 and
/// 255 bytes short (`get_rock_ridge_filename`), which all other readers show whole; and where the
/// root is empty and there is Joliet, it takes that, which has no modes (`isofs_fill_super`).
fn is_shown_whole(format: &str, tree: &Tree) -> bool {
    match format {
        "iso-joliet" if tree.len() < 2 => false,
        "iso" | "iso-joliet" => tree.iter().all(|entry| entry.path.name().len() < 254),
        _ => true,
    }
}

/// What it is, its format, its bytes, and the tree that is in it.
type Written = (String, &'static str, Vec<u8>, Tree);

/// The images of a tree, which may be another one by format, in all formats in which Linux shows it
/// as it is.
fn images_of<'t>(name: &str, tree: impl Fn(&str) -> &'t Tree) -> Vec<Written> {
    let written = |format| {
        let tree = tree(format);
        let bytes = is_shown_whole(format, tree).then(|| image(format, tree).ok())??;
        Some((format!("{name} in {format}"), format, bytes, tree.clone()))
    };
    FORMATS.into_iter().filter_map(written).collect()
}

/// Has images shown, half of them by each of two machines: one disk has no place for all.
fn check_all(mut images: Vec<Written>) {
    let rest = images.split_off(images.len() / 2);
    check(images);
    check(rest);
}

/// Puts images on a disk, a partition each, and has all of them shown.
fn check(images: Vec<Written>) {
    assert!(images.len() <= 128, "a GPT holds 128 partitions");
    let contents: Vec<_> =
        images.iter().map(|(.., bytes, _)| Content::from_bytes(&bytes[..])).collect();
    let partitions: Vec<_> = images
        .iter()
        .zip(&contents)
        .map(|((name, ..), content)| partition(name, content))
        .collect();
    let disk = disk::layout(&partitions, &disk::Params::new(Digest::of(b"reader"))).unwrap();
    let jobs: Vec<Job> = images
        .iter()
        .enumerate()
        .map(|(at, (_, format, ..))| {
            let (kind, options) = mounted_as(format).unwrap();
            // Read-only is how it mounts all.
            let options = options.strip_prefix("ro,").unwrap_or("-");
            ((at + 1).to_string(), kind, options)
        })
        .collect();
    let seen = show(&disk, &jobs, &[], "");
    assert_eq!(seen.len(), images.len());
    let refused = |(seen, (what, ..)): (&Result<Tree, i32>, &(String, _, _, _))| {
        seen.as_ref().err().map(|errno| format!("{what}: error {errno}"))
    };
    let refused: Vec<_> = seen.iter().zip(&images).filter_map(refused).collect();
    for ((what, .., tree), ((_, kind, _), found)) in images.iter().zip(jobs.iter().zip(seen)) {
        if let Ok(found) = found {
            assert_shown(what, kind, found, tree);
        }
    }
    assert!(refused.is_empty(), "Linux does not mount these: {refused:#?}");
}

fn partition<'a>(name: &str, content: &'a dyn Image) -> disk::Partition<'a> {
    let name = name.to_owned();
    let kind = Type::named("linux-generic").unwrap();
    disk::Partition { kind, name, content, size: None, guid: None, attributes: 0, in_mbr: false }
}

#[test]
#[ignore = "assembler/reader runs it, with the kernel that it needs"]
fn linux_shows_every_shape_in_every_format() {
    let shapes = shapes();
    let images = shapes.iter().flat_map(|(shape, tree)| images_of(shape, |_| tree));
    check_all(images.collect());
}

#[test]
#[ignore = "assembler/reader runs it, with the kernel that it needs"]
fn linux_shows_generated_trees_in_every_format() {
    let mut runner = TestRunner::deterministic();
    let mut images = Vec::new();
    for number in 0..12 {
        let tree = trees(byte_names(), all_kinds()).new_tree(&mut runner).unwrap().current();
        let more = with_xattrs(proptest::strategy::Just(tree.clone()));
        let more = more.new_tree(&mut runner).unwrap().current();
        let holds_xattrs =
            |format: &str| ["ext4", "erofs", "squashfs"].iter().any(|f| format.starts_with(f));
        let tree = |format: &str| if holds_xattrs(format) { &more } else { &tree };
        images.extend(images_of(&number.to_string(), tree));
    }
    check_all(images);
}

#[test]
#[ignore = "assembler/reader runs it, with the kernel that it needs"]
fn linux_unpacks_archives_in_a_row_by_every_compressor() {
    let shapes = shapes();
    let get = |name: &str| &shapes.iter().find(|(shape, _)| *shape == name).unwrap().1;
    let used = ["deep", "names", "links", "borders", "holes"].map(|name| (name, get(name)));
    let codecs = [None, Some("zstd"), Some("xz"), Some("gzip"), Some("lz4-legacy")];
    // Each below a folder of its own.
    let moved = used.map(|(name, tree)| {
        let mut out = empty();
        for entry in tree.iter() {
            let to = path(name).join(entry.path.as_bytes()).unwrap();
            match tree.iter().find(|first| first.id == entry.id) {
                Some(first) if first.path != entry.path => {
                    let first = path(name).join(first.path.as_bytes()).unwrap();
                    out.link(to, &first).unwrap();
                }
                _ => drop(out.insert(to, entry.inode.clone()).unwrap()),
            }
        }
        out
    });
    let laid: Vec<_> =
        moved.iter().map(|tree| cpio::layout(tree, &Default::default()).unwrap()).collect();
    let parts: Vec<_> = laid
        .iter()
        .zip(codecs)
        .map(|(image, codec)| {
            let compression = codec.map(|name| Compression::new(name.parse::<Codec>().unwrap(), 2));
            Part { image, compression }
        })
        .collect();
    let jobs = used.map(|(name, _)| (format!("/{name}"), "folder", "-"));
    let none = Content::from_bytes(vec![0; 4096]);
    let seen = show(&none, &jobs, &parts, "");
    for ((name, tree), found) in used.into_iter().zip(seen) {
        assert_shown(name, "folder", found.unwrap(), tree);
    }
}

#[test]
#[ignore = "assembler/reader runs it, with the kernel that it needs"]
fn linux_checks_a_verity_tree_as_it_reads() {
    let shapes = shapes();
    let tree = &shapes.iter().find(|(shape, _)| *shape == "borders").unwrap().1;
    let data = erofs::layout(tree, &erofs::Params::new(EPOCH)).unwrap();
    let verity =
        verity::Verity::over(&data, &verity::Params::new(&Digest::of(b"seed"), 2)).unwrap();
    let mut bytes = bytes(&data);
    let hashes = verity.tree();
    let seen = |bytes: &[u8]| {
        let content = Content::from_bytes(bytes);
        let partitions = [partition("data", &content), partition("hashes", &hashes)];
        let disk = disk::layout(&partitions, &disk::Params::new(Digest::of(b"verity"))).unwrap();
        let [data, hash] = [0, 1].map(|at| format!("PARTUUID={}", disk.entries()[at].guid));
        let append = format!("dm-mod.create=\"root,,,ro,{}\"", verity.table(&data, &hash));
        show(&disk, &[("/dev/dm-0".to_owned(), "erofs", "-")], &[], &append).remove(0)
    };
    assert_shown("verity", "erofs", seen(&bytes).unwrap(), tree);
    // The superblock with one other bit is not mounted.
    bytes[1024] ^= 1;
    assert_eq!(seen(&bytes).unwrap_err(), 5);
}
