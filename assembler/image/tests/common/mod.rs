//! What the tests of all formats share: generated trees, reference tools, folders read back.
#![allow(dead_code, unreachable_pub, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

pub mod efi;
pub mod shapes;
pub mod xattrs;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::FileTypeExt as _, fs::MetadataExt as _},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use proptest::prelude::*;
use stagex_image::Image;
use stagex_tree::{Content, Device, Inode, Kind, Metadata, Tree, TreePath};

/// 2023-11-14T22:13:20Z.
pub const EPOCH: i64 = 1_700_000_000;

pub fn path(bytes: impl AsRef<[u8]>) -> TreePath {
    TreePath::new(bytes).unwrap()
}

pub fn metadata(mode: u16) -> Metadata {
    Metadata { mtime: EPOCH, ..Metadata::new(mode) }
}

pub fn file(bytes: impl Into<std::sync::Arc<[u8]>>) -> Inode {
    Inode { metadata: metadata(0o644), kind: Kind::File(Content::from_bytes(bytes)) }
}

pub fn directory() -> Inode {
    Inode { metadata: metadata(0o755), kind: Kind::Directory }
}

pub fn node(kind: Kind) -> Inode {
    Inode { metadata: metadata(0o600), kind }
}

/// A tree whose root has the tests' time, so that it can be compared whole.
pub fn empty() -> Tree {
    let mut tree = Tree::new();
    *tree.metadata_mut(&TreePath::root()).unwrap() = metadata(0o755);
    tree
}

/// The image's bytes; its length and a second writing are checked on the way.
pub fn bytes(image: &dyn Image) -> Vec<u8> {
    let mut out = Vec::new();
    image.write(&mut out).unwrap();
    assert_eq!(out.len() as u64, image.len(), "the length known before writing");
    let mut again = Vec::new();
    image.write(&mut again).unwrap();
    assert!(out == again, "the same bytes twice");
    out
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a reference tool and gives its output; fails, telling which Debian package has it, where
/// it is absent.
pub fn run(package: &str, command: &mut Command) -> Output {
    let output = command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null()).output();
    let name = command.get_program().to_string_lossy().into_owned();
    output.unwrap_or_else(|error| {
        panic!("{name} cannot be run ({error}); this test needs the Debian package {package}")
    })
}

/// As [`run`], and the tool must succeed; gives what it wrote to standard output.
pub fn ok(package: &str, command: &mut Command) -> Vec<u8> {
    let output = run(package, command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

pub fn ok_text(package: &str, command: &mut Command) -> String {
    String::from_utf8_lossy(&ok(package, command)).into_owned()
}

/// Reads a folder into a tree: names, modes, owners, times, links, contents.
pub fn read_folder(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut seen = BTreeMap::new();
    *tree.metadata_mut(&TreePath::root()).unwrap() = metadata_of(&fs::metadata(folder).unwrap());
    let mut open = vec![(folder.to_path_buf(), TreePath::root())];
    while let Some((folder, at)) = open.pop() {
        let mut entries: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap()).collect();
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let (from, to) = (entry.path(), at.join(entry.file_name().as_bytes()).unwrap());
            let found = fs::symlink_metadata(&from).unwrap();
            let identity = (found.dev(), found.ino());
            if !found.is_dir() && found.nlink() > 1 {
                if let Some(first) = seen.get(&identity) {
                    tree.link(to, first).unwrap();
                    continue;
                }
                seen.insert(identity, to.clone());
            }
            let device = || {
                let number = found.rdev();
                Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) }
            };
            let kind = match found.file_type() {
                t if t.is_dir() => Kind::Directory,
                t if t.is_symlink() => {
                    let target = fs::read_link(&from).unwrap();
                    Kind::Symlink(target.as_os_str().as_bytes().into())
                }
                t if t.is_char_device() => Kind::CharDevice(device()),
                t if t.is_block_device() => Kind::BlockDevice(device()),
                t if t.is_fifo() => Kind::Fifo,
                t if t.is_socket() => Kind::Socket,
                _ => Kind::File(Content::from_file(from.as_path(), 0, found.len())),
            };
            if found.is_dir() {
                open.push((from, to.clone()));
            }
            tree.insert(to, Inode { metadata: metadata_of(&found), kind }).unwrap();
        }
    }
    tree
}

fn metadata_of(found: &fs::Metadata) -> Metadata {
    let mode = (found.mode() & 0o7777) as u16;
    Metadata { uid: found.uid(), gid: found.gid(), mtime: found.mtime(), ..Metadata::new(mode) }
}

/// A line for every entry, so that a difference shows where it is.
pub fn listing(tree: &Tree) -> Vec<String> {
    let mut firsts = BTreeMap::new();
    let line = |entry: stagex_tree::Entry<'_>| {
        let first = firsts.entry(entry.id).or_insert_with(|| format!("{:?}", entry.path));
        let kind = match &entry.inode.kind {
            Kind::File(content) => {
                format!("file {} {}", content.len(), content.digest().unwrap())
            }
            Kind::Symlink(target) if target.len() < 60 => format!("-> {}", target.escape_ascii()),
            Kind::Symlink(target) => {
                format!("-> {} bytes {}", target.len(), stagex_tree::Digest::of(target))
            }
            other => format!("{other:?}"),
        };
        let Metadata { mode, uid, gid, mtime, .. } = entry.inode.metadata;
        let name = entry.path.as_bytes().escape_ascii();
        format!("{name} {mode:o} {uid}:{gid} @{mtime} {kind} = {first}")
    };
    tree.iter().map(line).collect()
}

/// Fails with the lines that differ.
pub fn assert_same(found: &Tree, expected: &Tree) {
    let (found, expected) = (listing(found), listing(expected));
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|line| !b.contains(line)).take(6).cloned().collect()
    };
    if found != expected {
        panic!(
            "the trees differ\n found: {:#?}\n expected: {:#?}",
            only(&found, &expected),
            only(&expected, &found)
        );
    }
}

/// What a generated entry is.
#[derive(Debug, Clone)]
pub enum Piece {
    Directory,
    File(usize, u8),
    Symlink(Vec<u8>),
    Link(usize),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
    Socket,
}

/// Bytes that differ from file to file and from place to place.
pub fn filling(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ salt).collect()
}

/// Sizes at the borders of blocks, sectors and clusters.
pub fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0),
        0..70usize,
        prop::sample::select(vec![1usize, 511, 512, 513, 2047, 2048, 2049, 4095, 4096, 4097]),
        prop::sample::select(vec![32_768usize, 65_535, 65_536, 65_537, 131_073]),
    ]
}

/// Any name that Linux allows.
pub fn byte_names() -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![4 => b'a'..=b'f', 1 => (1u8..=255).prop_filter("no slash", |b| *b != b'/')];
    prop_oneof![
        8 => prop::collection::vec(byte.clone(), 1..12),
        1 => prop::collection::vec(byte, 255..=255),
        1 => prop::sample::select(vec![&b"TRAILER!!!"[..], b" ", b"a b", b"A.B.C", b"-x", b"a;1"])
            .prop_map(<[u8]>::to_vec),
    ]
    .prop_filter("a name", |name| name != b"." && name != b"..")
}

/// Trees of all kinds of entries, some deep, some wide, with the names given.
pub fn trees(
    names: impl Strategy<Value = Vec<u8>>,
    kinds: impl Strategy<Value = Piece>,
) -> impl Strategy<Value = Tree> {
    let entry = (names, kinds, any::<prop::sample::Index>(), 0..0o10000u16, 0..3u32, 0..100_000i64);
    prop::collection::vec(entry, 0..40).prop_map(|entries| {
        let mut tree = empty();
        let mut folders = vec![TreePath::root()];
        let mut files = Vec::new();
        for (name, piece, at, mode, owner, mtime) in entries {
            // The later half of the choices lead to the newest folder, for depth.
            let at = at.index(2 * folders.len()).min(folders.len() - 1);
            let Ok(to) = folders[at].join(&name) else { continue };
            if tree.get(&to).is_some() {
                continue;
            }
            let kind = match piece {
                Piece::Directory => Kind::Directory,
                Piece::File(len, salt) => Kind::File(Content::from_bytes(filling(len, salt))),
                Piece::Symlink(target) => Kind::Symlink(target.into()),
                Piece::Char(major, minor) => Kind::CharDevice(Device { major, minor }),
                Piece::Block(major, minor) => Kind::BlockDevice(Device { major, minor }),
                Piece::Fifo => Kind::Fifo,
                Piece::Socket => Kind::Socket,
                Piece::Link(to_what) => {
                    if !files.is_empty() {
                        let target: &TreePath = &files[to_what % files.len()];
                        tree.link(to, target).unwrap();
                    }
                    continue;
                }
            };
            match kind {
                Kind::Directory => folders.push(to.clone()),
                // GNU cpio unpacks a hard-linked symbolic link as two.
                Kind::Symlink(_) => {}
                _ => files.push(to.clone()),
            }
            let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode };
            let metadata = Metadata {
                mode,
                uid: owner * 70_000,
                gid: owner,
                mtime: EPOCH + mtime,
                xattrs: BTreeMap::new(),
            };
            tree.insert(to, Inode { metadata, kind }).unwrap();
        }
        tree
    })
}

pub fn plain_kinds() -> impl Strategy<Value = Piece> {
    prop_oneof![
        2 => Just(Piece::Directory),
        4 => (sizes(), any::<u8>()).prop_map(|(len, salt)| Piece::File(len, salt)),
    ]
}

/// All kinds, devices only where the test may make them.
pub fn all_kinds() -> impl Strategy<Value = Piece> {
    let target = prop_oneof![
        prop::collection::vec(1u8..=255, 1..20),
        "(\\.\\./|/|a/|\\./)(b/){0,300}".prop_map(String::into_bytes),
        prop::collection::vec(b'a'..=b'z', 300..4095),
    ];
    let special = prop_oneof![
        (0..4096u32, 0..1_048_576u32).prop_map(|(major, minor)| Piece::Char(major, minor)),
        (0..4096u32, 0..256u32).prop_map(|(major, minor)| Piece::Block(major, minor)),
    ];
    prop_oneof![
        6 => plain_kinds(),
        1 => target.prop_map(Piece::Symlink),
        1 => any::<usize>().prop_map(Piece::Link),
        1 => Just(Piece::Fifo),
        1 => Just(Piece::Socket),
        1 => special,
    ]
}

/// The tree as a user who is not root extracts it: own files, no devices.
pub fn as_seen_by_user(tree: &Tree) -> Tree {
    if is_root() {
        return tree.clone();
    }
    let mut tree = tree.clone();
    let special = |entry: &stagex_tree::Entry<'_>| {
        matches!(entry.inode.kind, Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Socket)
    };
    let gone: Vec<_> = tree.iter().filter(special).map(|entry| entry.path.clone()).collect();
    for path in gone {
        tree.remove(&path).unwrap();
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let all: Vec<_> = tree.iter().map(|entry| entry.path.clone()).collect();
    for path in all {
        let metadata = tree.metadata_mut(&path).unwrap();
        (metadata.uid, metadata.gid) = (uid, gid);
        metadata.mode = metadata.mode & 0o777 | 0o700;
    }
    tree
}

/// The tree with the times of what `which` chooses set to zero, for tools that do not keep them.
pub fn without_times(tree: &Tree, which: impl Fn(&stagex_tree::Entry<'_>) -> bool) -> Tree {
    let mut out = tree.clone();
    for entry in tree.iter().filter(which) {
        out.metadata_mut(entry.path).unwrap().mtime = 0;
    }
    out
}

pub fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// A mounted image, unmounted when dropped.
pub struct Mounted(std::path::PathBuf);

impl Mounted {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    /// Another test's child, between fork and exec, holds what this process has open there: so
    /// "busy" passes by itself.
    fn drop(&mut self) {
        let mut said = String::new();
        for _ in 0..100 {
            let output = Command::new("umount").arg(&self.0).output().unwrap();
            if output.status.success() {
                return;
            }
            said = String::from_utf8_lossy(&output.stderr).into_owned();
            thread::sleep(Duration::from_millis(50));
        }
        assert!(thread::panicking(), "{said}");
    }
}

/// Mounts an image with the running Linux; `None` where only others than root run the test, or
/// where this Linux has no such file system, and the reference tools must do.
pub fn mount(image: &Path, kind: &str, options: &str, folder: &Path) -> Option<Mounted> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !is_root() || !known.split_whitespace().any(|word| word == kind) {
        return None;
    }
    let to = folder.join("mounted");
    fs::create_dir(&to).unwrap();
    let options = format!("loop,{options}");
    ok("mount", Command::new("mount").args(["-t", kind, "-o", &options]).arg(image).arg(&to));
    Some(Mounted(to))
}
