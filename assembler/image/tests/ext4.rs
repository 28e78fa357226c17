//! ext4 volumes, checked by e2fsck, read back by debugfs and, where it can, by Linux, and grown.

mod common;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Seek as _, SeekFrom, Write},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use common::*;
use proptest::prelude::*;
use stagex_image::{
    ext4::{self, Error, Ext4, Journal, Params, Size},
    identity::Guid,
};
use stagex_tree::{Content, Device, Digest, Inode, Kind, Metadata, Tree, TreePath};

fn params() -> Params {
    Params { seed: Some(Digest::of(b"tests")), ..Params::new("STAGEX", EPOCH) }
}

/// A file that keeps long zeros as holes, for volumes larger than the disk.
struct Sparse(File);

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static ZEROS: [u8; 1 << 18] = [0; 1 << 18];
        if bytes.len() <= ZEROS.len() && *bytes == ZEROS[..bytes.len()] {
            self.0.seek(SeekFrom::Current(bytes.len() as i64))?;
        } else {
            self.0.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let end = self.0.stream_position()?;
        self.0.set_len(end)
    }
}

/// Has e2fsck check a volume that lies in a file; it must have nothing to say.
fn check(file: &Path) {
    let text = ok_text("e2fsprogs", Command::new("e2fsck").arg("-fn").arg(file));
    // Five passes, and a summary.
    assert_eq!(text.lines().count(), 6, "{text}");
}

/// Writes the volume to a file and has e2fsck check it.
fn checked(volume: &Ext4<'_>, folder: &Path) -> PathBuf {
    let file = folder.join("ext4.img");
    let mut out = Sparse(File::create(&file).unwrap());
    volume.write(&mut out).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().len(), volume.len());
    check(&file);
    file
}

/// What dumpe2fs says of the superblock, by field.
fn fields(file: &Path) -> BTreeMap<String, String> {
    let text = ok_text("e2fsprogs", Command::new("dumpe2fs").arg("-h").arg(file));
    let line = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn debugfs(file: &Path, request: &str) -> String {
    ok_text("e2fsprogs", Command::new("debugfs").args(["-R", request]).arg(file))
}

/// Mounts the volume with Linux; says so where that cannot be done, and only e2fsck and debugfs
/// judge.
fn mounted(file: &Path, options: &str, folder: &Path) -> Option<Mounted> {
    let mounted = mount(file, "ext4", options, folder);
    if mounted.is_none() {
        // Past the capture of the test's output.
        let message = "NOT MOUNTED: only root can mount, and only where Linux has ext4; what \
                       Linux reads from ext4 volumes remains untested\n";
        io::stderr().write_all(message.as_bytes()).unwrap();
    }
    mounted
}

/// Reads a folder with the extended attributes of all that is in it.
fn read_whole(folder: &Path) -> Tree {
    let mut tree = read_folder(folder);
    let paths: Vec<TreePath> = tree.iter().map(|entry| entry.path.clone()).collect();
    for at in paths {
        let real = folder.join(os(at.as_bytes()));
        let mut names = vec![0u8; 1 << 16];
        let len = rustix::fs::llistxattr(&real, &mut names).unwrap();
        for name in names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0u8; 1 << 16];
            let len = rustix::fs::lgetxattr(&real, name, &mut value).unwrap();
            let metadata = tree.metadata_mut(&at).unwrap();
            metadata.xattrs.insert(name.into(), value[..len].into());
        }
    }
    tree
}

/// Fails where the trees differ, extended attributes included.
fn assert_whole(found: &Tree, expected: &Tree) {
    assert_same(found, expected);
    for entry in expected.iter() {
        let there = found.get(entry.path).unwrap().inode;
        let (found, expected) = (&there.metadata.xattrs, &entry.inode.metadata.xattrs);
        assert_eq!(found, expected, "{}", entry.path);
    }
}

/// What Linux sees of a tree: the `lost+found` that was added is taken out.
fn without_extra(mut found: Tree, expected: &Tree) -> Tree {
    let extra = path("lost+found");
    if expected.get(&extra).is_none() {
        let entry = found.get(&extra).unwrap();
        assert_eq!((entry.inode.metadata.mode, entry.inode.metadata.mtime), (0o700, EPOCH));
        assert_eq!(found.children(&extra).count(), 0);
        found.remove(&extra).unwrap();
    }
    found
}

/// debugfs extracts files, directories and symbolic links; times and owners only as root.
fn read_by_debugfs(file: &Path, folder: &Path, expected: &Tree) {
    let to = folder.join("dumped");
    fs::create_dir(&to).unwrap();
    debugfs(file, &format!("rdump / {}", to.display()));
    let found = without_metadata(&read_folder(&to));
    assert_same(&found, &without_metadata(expected));
    fs::remove_dir_all(&to).unwrap();
}

/// Names, kinds and contents of what debugfs extracts; hard links become files.
fn without_metadata(tree: &Tree) -> Tree {
    let mut out = Tree::new();
    let extra = path("lost+found");
    for entry in tree.iter().filter(|entry| !entry.path.starts_with(&extra)) {
        let kept = matches!(entry.inode.kind, Kind::Directory | Kind::File(_) | Kind::Symlink(_));
        if kept {
            let inode = Inode { metadata: metadata(0o755), kind: entry.inode.kind.clone() };
            out.insert(entry.path.clone(), inode).unwrap();
        }
    }
    out
}

/// Writes the tree, has it checked, and reads it back in every way that there is here.
fn round_trip(tree: &Tree, params: &Params) {
    let folder = tempfile::tempdir().unwrap();
    let file = checked(&ext4::layout(tree, params).unwrap(), folder.path());
    match mounted(&file, "ro", folder.path()) {
        Some(mounted) => {
            let found = without_extra(read_whole(mounted.path()), tree);
            assert_whole(&found, tree);
        }
        None => {
            // A user can read back only what is not closed to users.
            let open = as_seen_by_user(tree);
            let file = checked(&ext4::layout(&open, params).unwrap(), folder.path());
            read_by_debugfs(&file, folder.path(), &open);
        }
    }
}

fn with_xattrs(mut inode: Inode, xattrs: &[(&str, &[u8])]) -> Inode {
    let xattrs = xattrs.iter().map(|&(name, value)| (name.as_bytes().into(), value.into()));
    inode.metadata.xattrs = xattrs.collect();
    inode
}

/// An access control list as system calls have it: tag, permissions and id of each entry.
fn access_list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

const NOBODY: u32 = u32::MAX;
/// Capabilities of version 2: cap_net_raw, permitted and effective.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Entries of all kinds, with all that ext4 keeps of them.
fn sample() -> Tree {
    let mut tree = empty();
    let mut put = |at: &str, inode: Inode| tree.insert(path(at), inode).unwrap();
    for at in ["bin", "dev", "etc", "etc/deep", "etc/deep/er", "home"] {
        put(at, directory());
    }
    put("bin/empty", file(*b""));
    put("bin/block", file(filling(4096, 1)));
    put("bin/more", file(filling(300_001, 2)));
    put("bin/suid", Inode { metadata: metadata(0o4755), ..file(*b"#!") });
    let owned = Metadata { uid: 100_000, gid: 4_000_000_000, ..metadata(0o640) };
    put("home/owned", Inode { metadata: owned, ..file(*b"mine") });
    for (at, mtime) in [
        ("home/1901", -(1i64 << 31)),
        ("home/1969", -1),
        ("home/2038", 1 << 31),
        ("home/2106", (1 << 32) + 7),
        ("home/2446", (1 << 34) - (1 << 31) - 1),
    ] {
        put(at, Inode { metadata: Metadata { mtime, ..metadata(0o644) }, ..file(at.as_bytes()) });
    }
    for (at, len) in [("1", 1), ("59", 59), ("60", 60), ("61", 61), ("1000", 1000)] {
        let kind = Kind::Symlink(vec![b'x'; len].into());
        put(&format!("etc/link{at}"), Inode { metadata: metadata(0o777), kind });
    }
    let device = |major, minor| Device { major, minor };
    put("dev/null", node(Kind::CharDevice(device(1, 3))));
    put("dev/nvme", node(Kind::BlockDevice(device(259, 70_000))));
    put("dev/last", node(Kind::CharDevice(device(4095, 1_048_575))));
    put("dev/pipe", node(Kind::Fifo));
    put("dev/socket", node(Kind::Socket));
    put("etc/n\u{e9}\u{6f22}", file(*b"name"));
    put(&"n".repeat(255), file(*b"long"));
    let few: &[(&str, &[u8])] = &[("user.a", b"1"), ("security.capability", &CAPABILITY)];
    put("bin/few", with_xattrs(file(*b"x"), few));
    let large = filling(700, 9);
    let many: &[(&str, &[u8])] = &[
        ("user.large", &large),
        ("user.empty", b""),
        ("user.\u{e9}", b"name"),
        ("trusted.overlay.opaque", b"y"),
        ("security.capability", &CAPABILITY),
    ];
    put("bin/many", with_xattrs(file(*b"x"), many));
    put("etc/many", with_xattrs(directory(), many));
    put("dev/labelled", with_xattrs(node(Kind::Fifo), &[("trusted.l", b"1")]));
    let label: &[(&str, &[u8])] = &[("security.selinux", b"system_u:object_r:etc_t:s0\0")];
    let link = Inode { metadata: metadata(0o777), kind: Kind::Symlink((*b"few").into()) };
    put("bin/labelled", with_xattrs(link, label));
    let plain = access_list(&[
        (1, 7, NOBODY),
        (2, 4, 1000),
        (4, 5, NOBODY),
        (8, 6, 70_000),
        (0x10, 6, NOBODY),
        (0x20, 0, NOBODY),
    ]);
    let default = access_list(&[(1, 7, NOBODY), (4, 5, NOBODY), (0x20, 5, NOBODY)]);
    let lists: &[(&str, &[u8])] =
        &[("system.posix_acl_access", &plain), ("system.posix_acl_default", &default)];
    // The mask of the list is the group's permissions.
    let shared = Inode { metadata: metadata(0o760), ..directory() };
    put("home/shared", with_xattrs(shared, lists));
    tree.link(path("home/more"), &path("bin/more")).unwrap();
    tree.link(path("home/pipe"), &path("dev/pipe")).unwrap();
    tree.link(path("etc/deep/er/link"), &path("etc/link1000")).unwrap();
    tree
}

/// A directory of so many entries in a tree.
fn wide(count: usize, name: impl Fn(usize) -> String) -> Tree {
    let mut tree = empty();
    tree.insert(path("wide"), directory()).unwrap();
    for number in 0..count {
        tree.insert(path("wide").join(name(number)).unwrap(), file(*b"")).unwrap();
    }
    tree
}

#[test]
fn bytes_are_pinned() {
    let pins = [
        "e8d826d2021bc4487b399c5efb938854262f9eb624c14b636c8cce0f49018d17",
        "28a2015a7d564ef88b2559f5b699b6017cc48557a9e98886db6ca807b32f6474",
        "035e0edebc8e94bcc7c4e34dd67659e3adc8ada28ee9f849f6c3b167e4165e04",
    ];
    let wide = wide(2000, |number| format!("{number:08}"));
    let tree = sample();
    let grown = Params { size: Size::Exact(64 << 20), block: 1024, ..params() };
    let digests = [(&tree, &params()), (&tree, &grown), (&wide, &params())]
        .map(|(tree, params)| Digest::of(bytes(&ext4::layout(tree, params).unwrap())).to_string());
    assert_eq!(digests, pins);
}

#[test]
fn sample_is_read_in_every_block_size_with_and_without_a_journal() {
    let mut tree = sample();
    for block in [1024, 2048, 4096] {
        for journal in [Journal::None, Journal::Blocks(1024), Journal::Default] {
            for size in [Size::Minimum, Size::Free(20 << 20), Size::Exact(40 << 20)] {
                round_trip(&tree, &Params { block, journal, size, ..params() });
            }
        }
    }
    // Without what is added, and with a target as long as there are.
    let kind = Kind::Symlink(vec![b'y'; 4095].into());
    tree.insert(path("link4095"), Inode { metadata: metadata(0o777), kind }).unwrap();
    tree.insert(path("lost+found"), directory()).unwrap();
    tree.insert(path("lost+found/#12"), file(*b"found")).unwrap();
    round_trip(&tree, &params());
    round_trip(&empty(), &params());
}

#[test]
fn the_reference_tools_see_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let tree = sample();
    let uuid = Guid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let asked = Params {
        size: Size::Exact(96 << 20),
        journal: Journal::Blocks(2000),
        reserved_percent: 5,
        uuid: Some(uuid),
        hash_seed: Some(Guid::from_u128(7)),
        ..params()
    };
    let volume = ext4::layout(&tree, &asked).unwrap();
    assert_eq!(volume.uuid(), uuid);
    let file = checked(&volume, folder.path());
    let fields = fields(&file);
    for (name, value) in [
        ("Filesystem volume name", "STAGEX"),
        ("Filesystem UUID", "01234567-89ab-cdef-0123-456789abcdef"),
        ("Directory Hash Seed", "00000000-0000-0000-0000-000000000007"),
        ("Filesystem state", "clean"),
        ("Block count", "24576"),
        ("Reserved block count", "1228"),
        ("Free blocks", &(volume.free() / 4096).to_string()),
        ("Free inodes", &volume.free_inodes().to_string()),
        ("Filesystem created", "Tue Nov 14 22:13:20 2023"),
        ("Total journal blocks", "2000"),
        ("Journal start", "0"),
        ("Default directory hash", "half_md4"),
        ("Checksum type", "crc32c"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}: {fields:#?}");
    }
    let features = &fields["Filesystem features"];
    for feature in
        ["has_journal", "resize_inode", "dir_index", "extent", "64bit", "flex_bg", "metadata_csum"]
    {
        assert!(features.contains(feature), "{features}");
    }
    let stat = |at: &str| debugfs(&file, &format!("stat {at}"));
    let found = stat("/dev/nvme");
    assert!(found.contains("Device major/minor number: 259:70000"), "{found}");
    let found = stat("/home/2446");
    assert!(found.contains("mtime: 0x7fffffff:00000003"), "{found}");
    let found = stat("/bin/few");
    assert!(found.contains("security.capability (20)"), "{found}");
    let found = stat("/etc/link59");
    assert!(found.contains("Fast link dest"), "{found}");
    let found = debugfs(&file, "ea_get /bin/many user.large");
    assert!(found.contains("user.large (700)"), "{found}");
    read_by_debugfs(&file, folder.path(), &tree);
}

#[test]
fn directories_of_every_depth_are_found_in_by_linux() {
    let long = |number: usize| format!("{number:07}{}", "n".repeat(248));
    let short = |number: usize| format!("{number:x}");
    type Names<'a> = &'a dyn Fn(usize) -> String;
    // Block, entries, names, and levels of the index.
    let cases: [(u32, usize, Names<'_>, &str); 6] = [
        (4096, 334, &short, "none"),
        (4096, 342, &short, "0"),
        (4096, 7000, &long, "0"),
        (4096, 9000, &long, "1"),
        (1024, 1000, &long, "1"),
        (1024, 50_000, &long, "2"),
    ];
    for (block, count, name, levels) in cases {
        let folder = tempfile::tempdir().unwrap();
        let tree = wide(count, name);
        let params = Params { block, ..params() };
        let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
        let large = fields(&file)["Filesystem features"].contains("large_dir");
        assert_eq!(large, levels == "2");
        if levels != "none" {
            let dump = debugfs(&file, "htree_dump /wide");
            assert!(dump.contains(&format!("Indirect levels: {levels}")), "{count}: {dump:.800}");
        }
        let Some(mounted) = mounted(&file, "ro", folder.path()) else { continue };
        let wide = mounted.path().join("wide");
        assert_eq!(fs::read_dir(&wide).unwrap().count(), count);
        for number in 0..count {
            fs::symlink_metadata(wide.join(name(number))).unwrap();
        }
        assert!(!wide.join("absent").exists());
    }
}

#[test]
fn names_of_one_hash_are_found_in_two_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let name = |number: usize| format!("{number:07}{}", "n".repeat(248));
    let tree = wide(20_000, name);
    // Three names a block; with this seed two of the same hash are the last and the first.
    let params = Params { block: 1024, hash_seed: Some(Guid::from_u128(6)), ..params() };
    let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    let dump = debugfs(&file, "htree_dump /wide");
    let marked = dump.lines().filter(|line| line.contains("(**)")).count();
    assert_eq!(marked, 1, "the index says that a hash goes on");
    let Some(mounted) = mounted(&file, "ro", folder.path()) else { return };
    for number in 0..20_000 {
        fs::symlink_metadata(mounted.path().join("wide").join(name(number))).unwrap();
    }
}

#[test]
fn linux_goes_on_writing_where_we_ended() {
    let folder = tempfile::tempdir().unwrap();
    let tree = wide(9000, |number| format!("{number:07}{}", "n".repeat(248)));
    for journal in [Journal::None, Journal::Default] {
        let params = Params { journal, size: Size::Free(60 << 20), ..params() };
        let folder = folder.path().join(format!("{journal:?}"));
        fs::create_dir(&folder).unwrap();
        let file = checked(&ext4::layout(&tree, &params).unwrap(), &folder);
        let Some(mounted) = mounted(&file, "rw", &folder) else { return };
        let wide = mounted.path().join("wide");
        for number in 0..2000 {
            fs::write(wide.join(format!("new{number}")), filling(5000, 3)).unwrap();
            fs::remove_file(wide.join(format!("{number:07}{}", "n".repeat(248)))).unwrap();
        }
        drop(mounted);
        check(&file);
    }
}

/// Writes a file of `len` bytes with pieces of bytes here and there.
fn sparse_file(to: &Path, len: u64, pieces: impl Iterator<Item = (u64, usize)>) -> Inode {
    let file = File::create(to).unwrap();
    file.set_len(len).unwrap();
    for (at, len) in pieces {
        file.write_all_at(&filling(len, at as u8 | 1), at).unwrap();
    }
    Inode { metadata: metadata(0o644), kind: Kind::File(Content::from_file(to, 0, len)) }
}

#[test]
fn files_with_holes_take_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut tree = empty();
    let mut put = |name: &str, inode: Inode| tree.insert(path(name), inode).unwrap();
    const GIB: u64 = 1 << 30;
    let ends = [(0, 5000), (7 * GIB + 17, 4096), (20 * GIB - 1, 1)];
    put("20g", sparse_file(&at("20g"), 20 * GIB, ends.into_iter()));
    put("nothing", sparse_file(&at("nothing"), 3 * GIB + 5, std::iter::empty()));
    let scattered = (0..2000u64).map(|piece| (piece * 140_000 + 9000, 10));
    put("scattered", sparse_file(&at("scattered"), 290 << 20, scattered));
    // Zeros in memory are holes too.
    let mut bytes = vec![0; 1 << 20];
    bytes[500_000] = 1;
    put("zeros", file(bytes));
    let volume = ext4::layout(&tree, &Params { journal: Journal::None, ..params() }).unwrap();
    // 2,000 blocks scattered about, 2 before the first of them, which are too few for a hole,
    // 7 of extents, and little more.
    assert!(volume.len() < 2050 * 4096, "{}", volume.len());
    let file = checked(&volume, folder.path());
    let extents = debugfs(&file, "extents /scattered");
    assert!(extents.contains("2/ 2"), "{extents:.400}");
    assert!(debugfs(&file, "blocks /zeros").split_whitespace().count() == 1);
    let Some(mounted) = mounted(&file, "ro", folder.path()) else { return };
    for (name, blocks) in [("20g", 5), ("nothing", 0), ("scattered", 2009), ("zeros", 1)] {
        let found = fs::metadata(mounted.path().join(name)).unwrap();
        assert_eq!(found.blocks(), blocks * 8, "{name}");
    }
    // Too long to be read whole: where there is something, and around it.
    for (name, places) in [("20g", &[0, 7 * GIB, 20 * GIB - 9000][..]), ("nothing", &[GIB])] {
        for &place in places {
            let read = |from: &Path| {
                let mut piece = vec![1; 9000];
                File::open(from).unwrap().read_exact_at(&mut piece, place).unwrap();
                piece
            };
            assert!(read(&at(name)) == read(&mounted.path().join(name)), "{name} {place}");
        }
    }
    for name in ["scattered", "zeros"] {
        let found = Digest::of_reader(File::open(mounted.path().join(name)).unwrap()).unwrap();
        let content = tree.get(&path(name)).unwrap().inode.content().unwrap();
        assert_eq!(found, (content.digest().unwrap(), content.len()));
    }
}

#[test]
fn holes_depend_on_bytes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = folder.path().join("sparse");
    let inode = sparse_file(&sparse, 2_000_003, [(70_001, 5), (1_999_000, 7)].into_iter());
    let one = |inode: Inode| {
        let mut tree = empty();
        tree.insert(path("f"), inode).unwrap();
        bytes(&ext4::layout(&tree, &params()).unwrap())
    };
    let from_memory = one(file(fs::read(&sparse).unwrap()));
    let from_holes = one(inode);
    fs::write(&sparse, fs::read(&sparse).unwrap()).unwrap();
    let content = Content::from_file(sparse.as_path(), 0, 2_000_003);
    let dense = Inode { metadata: metadata(0o644), kind: Kind::File(content) };
    assert!(from_memory == from_holes && from_memory == one(dense));
    // Unless none are wanted.
    let mut tree = empty();
    tree.insert(path("f"), file(vec![0; 2_000_003])).unwrap();
    let params = Params { holes: false, ..params() };
    let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    assert_eq!(debugfs(&file, "blocks /f").split_whitespace().count(), 489);
}

#[test]
fn content_goes_around_the_tables_of_many_groups() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = sample();
    // 21 groups of 8 MiB; files in them that are cut by copies and tables.
    for (number, len) in [(0, 110_000_000), (1, 30_000_000), (2, 30_000_000)] {
        let inode = file(filling(len, number));
        tree.insert(path(format!("large{number}")), inode).unwrap();
    }
    let params = Params { block: 1024, ..params() };
    let volume = ext4::layout(&tree, &params).unwrap();
    let file = checked(&volume, folder.path());
    assert!(debugfs(&file, "stat /large0").contains("ETB"), "a tree of extents");
    match mounted(&file, "ro", folder.path()) {
        Some(mounted) => {
            assert_whole(&without_extra(read_whole(mounted.path()), &tree), &tree);
        }
        None => read_by_debugfs(&file, folder.path(), &tree),
    }
}

#[test]
fn large_volumes_are_written_lazily() {
    let folder = tempfile::tempdir().unwrap();
    let tree = sample();
    // Over 64 groups, so that there are two blocks of descriptors; the last group is short.
    let params = Params { size: Size::Exact((9 << 30) + (5 << 20)), ..params() };
    let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    let groups = ok_text("e2fsprogs", Command::new("dumpe2fs").arg(&file));
    let count = |flag: &str| groups.lines().filter(|line| line.contains(flag)).count();
    assert_eq!(count("ITABLE_ZEROED"), 73);
    assert_eq!(count("INODE_UNINIT"), 72);
    // Where the tables of 16 groups begin they are in use, and the last is never left out.
    assert_eq!(count("BLOCK_UNINIT"), 73 - 5 - 1);
    if let Some(mounted) = mounted(&file, "rw", folder.path()) {
        assert_whole(&without_extra(read_whole(mounted.path()), &tree), &tree);
        fs::write(mounted.path().join("new"), filling(50_000_000, 1)).unwrap();
    }
    check(&file);
}

#[test]
fn volumes_grow_while_mounted_and_while_not() {
    let tree = sample();
    let folder = tempfile::tempdir().unwrap();
    for (number, (block, size, grow_to)) in [
        (4096, Size::Minimum, None),
        (4096, Size::Free(3 << 20), None),
        (4096, Size::Exact(300 << 20), Some(20 << 30)),
        (1024, Size::Minimum, None),
        (1024, Size::Free(1 << 20), None),
        (2048, Size::Exact(50 << 20), None),
    ]
    .into_iter()
    .enumerate()
    {
        let params = Params { block, size, grow_to, ..params() };
        for online in [false, true] {
            let folder = folder.path().join(format!("{number}-{online}"));
            fs::create_dir(&folder).unwrap();
            let file = checked(&ext4::layout(&tree, &params).unwrap(), &folder);
            let is_kept = fields(&file).contains_key("Reserved GDT blocks");
            assert_eq!(is_kept, size != Size::Minimum || grow_to.is_some());
            let larger = 1 << 30;
            let resize = || Command::new("resize2fs");
            if online {
                if !may_resize() {
                    break;
                }
                let Some(mounted) = mounted(&file, "rw", &folder) else { break };
                File::options().write(true).open(&file).unwrap().set_len(larger).unwrap();
                let source = ok_text(
                    "util-linux",
                    Command::new("findmnt").args(["-nro", "SOURCE"]).arg(mounted.path()),
                );
                ok("mount", Command::new("losetup").args(["-c", source.trim()]));
                ok("e2fsprogs", resize().arg(source.trim()));
            } else {
                File::options().write(true).open(&file).unwrap().set_len(larger).unwrap();
                ok("e2fsprogs", resize().arg(&file));
            }
            check(&file);
            let blocks: u64 = fields(&file)["Block count"].parse().unwrap();
            assert!(blocks * u64::from(block) > larger - (8 << 20), "{blocks}");
            if let Some(mounted) = mounted_again(&file, &folder) {
                assert_whole(&without_extra(read_whole(mounted.path()), &tree), &tree);
            }
            fs::remove_file(&file).unwrap();
        }
    }
}

/// Whether this process may grow a mounted volume; says so where it may not.
fn may_resize() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let may = u64::from_str_radix(line.trim(), 16).unwrap() >> CAP_SYS_RESOURCE & 1 == 1;
    if !may {
        let message = "NOT GROWN WHILE MOUNTED: Linux asks for CAP_SYS_RESOURCE\n";
        io::stderr().write_all(message.as_bytes()).unwrap();
    }
    may
}

/// Mounts at a second place.
fn mounted_again(file: &Path, folder: &Path) -> Option<Mounted> {
    let folder = folder.join("again");
    fs::create_dir(&folder).unwrap();
    mount(file, "ext4", "ro", &folder)
}

#[test]
fn the_smallest_is_the_smallest() {
    for (tree, block) in [(sample(), 4096), (sample(), 1024), (empty(), 4096)] {
        let params = Params { block, journal: Journal::None, grow_to: Some(0), ..params() };
        let smallest = ext4::layout(&tree, &params).unwrap();
        assert_eq!((smallest.free(), smallest.len() % u64::from(block)), (0, 0));
        let exact = |size| Params { size: Size::Exact(size), ..params.clone() };
        let same = ext4::layout(&tree, &exact(smallest.len())).unwrap();
        assert!(bytes(&same) == bytes(&smallest));
        let size = smallest.len() - u64::from(block);
        match ext4::layout(&tree, &exact(size)) {
            Err(Error::TooSmall { size: given, needed }) => {
                assert_eq!((given, needed), (size, smallest.len()));
            }
            _ => panic!("{size} bytes were enough"),
        }
    }
}

#[test]
fn more_inodes_than_blocks_do_not_make_a_volume_larger() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = empty();
    for number in 0..100_000 {
        tree.insert(path(format!("{number}")), node(Kind::Fifo)).unwrap();
    }
    let params = Params { journal: Journal::None, ..params() };
    let volume = ext4::layout(&tree, &params).unwrap();
    // Inodes, names of some 16 bytes, and tables that do not quite fill the groups.
    assert!(volume.len() < 100_000 * (256 + 20), "{}", volume.len());
    let file = checked(&volume, folder.path());
    if let Some(mounted) = mounted(&file, "ro", folder.path()) {
        assert_eq!(fs::read_dir(mounted.path()).unwrap().count(), 100_001);
    }
    // The same where the size is given, whatever it is.
    for more in [0, 1, 1000, 5000] {
        let size = Size::Exact(volume.len() + more * 4096);
        checked(&ext4::layout(&tree, &Params { size, ..params.clone() }).unwrap(), folder.path());
    }
}

#[test]
fn same_attributes_share_a_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = empty();
    let large = filling(3000, 5);
    for number in 0..2500 {
        let inode = with_xattrs(file(*b""), &[("user.large", &large)]);
        tree.insert(path(format!("{number}")), inode).unwrap();
    }
    let params = Params { journal: Journal::None, ..params() };
    let volume = ext4::layout(&tree, &params).unwrap();
    assert!(volume.len() < 1 << 20, "{}", volume.len());
    let file = checked(&volume, folder.path());
    for number in [0, 1023, 1024, 2499] {
        let found = debugfs(&file, &format!("ea_get {number} user.large"));
        assert!(found.contains("user.large (3000)"), "{found:.200}");
    }
    round_trip(&tree, &params);
}

#[test]
fn mke2fs_counts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let mut tree = wide(3000, |number| format!("file-{number}"));
    for number in 0..200usize {
        tree.insert(path(format!("f{number}")), file(filling(number * 321, 1))).unwrap();
        let kind = Kind::Symlink(vec![b'l'; number + 1].into());
        tree.insert(path(format!("l{number}")), Inode { metadata: metadata(0o777), kind }).unwrap();
    }
    for entry in tree.iter() {
        let to = source.join(os(entry.path.as_bytes()));
        match &entry.inode.kind {
            Kind::Directory => fs::create_dir(to).unwrap(),
            Kind::File(content) => fs::write(to, content.read().unwrap()).unwrap(),
            Kind::Symlink(target) => std::os::unix::fs::symlink(os(target), to).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    let theirs = folder.path().join("theirs.img");
    File::create(&theirs).unwrap().set_len(64 << 20).unwrap();
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-N", "8192", "-d"]).arg(&source);
    ok("e2fsprogs", mke2fs.arg(&theirs));
    let params = Params { size: Size::Exact(64 << 20), ..params() };
    let ours = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    let (theirs, ours) = (fields(&theirs), fields(&ours));
    let number =
        |fields: &BTreeMap<String, String>, name: &str| -> i64 { fields[name].parse().unwrap() };
    let inodes = |f: &_| number(f, "Inode count") - number(f, "Free inodes");
    assert_eq!(inodes(&ours), inodes(&theirs));
    assert_eq!(ours["Total journal blocks"], theirs["Total journal blocks"]);
    let blocks = |f: &_| {
        let tables = number(f, "Inode count") / 16 + number(f, "Reserved GDT blocks");
        number(f, "Block count") - number(f, "Free blocks") - tables
    };
    // The indexes of two directories; theirs have none.
    assert_eq!(blocks(&ours), blocks(&theirs) + 2);
}

#[test]
fn what_ext4_cannot_hold_is_refused() {
    let refused = |change: &dyn Fn(&mut Tree, &mut Params)| {
        let (mut tree, mut params) = (empty(), params());
        change(&mut tree, &mut params);
        match ext4::layout(&tree, &params) {
            Ok(_) => "laid out".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let entry =
        |inode: Inode| refused(&|tree, _| _ = tree.insert(path("a"), inode.clone()).unwrap());
    let xattr = |name: &str, value: &[u8]| entry(with_xattrs(file(*b""), &[(name, value)]));
    let late = Metadata { mtime: 1 << 34, ..metadata(0o644) };
    let huge = Content::from_file(Path::new("absent"), 0, (1 << 44) - 4095);
    let device = Device { major: 4096, minor: 0 };
    let cases = [
        (entry(Inode { metadata: late, ..file(*b"") }), "/a: modification time 17179869184 is"),
        (entry(node(Kind::File(huge))), "/a: 17592186040321 bytes is too large"),
        (entry(node(Kind::Symlink(Box::new([])))), "/a: a symbolic link's target must be 1 to"),
        (entry(node(Kind::Symlink(vec![b'x'; 4096].into()))), "1 to 4095 bytes"),
        (entry(node(Kind::CharDevice(device))), "/a: device 4096:0 is beyond ext4's"),
        (xattr("nonsense", b""), "/a: ext4 cannot hold the extended attribute \"nonsense\""),
        (xattr("system.posix_acl_access", b"x"), "/a: the extended attribute \"system.posix"),
        (xattr("user.x", &[1; 4045]), "/a: its extended attributes take 4068 bytes; ext4 holds"),
        (refused(&|_, params| params.label = "a".repeat(17)), "the ext4 label"),
        (refused(&|_, params| params.block = 8192), "an ext4 block has"),
        (refused(&|_, params| params.journal = Journal::Blocks(5)), "an ext4 journal has"),
        (refused(&|_, params| params.reserved_percent = 51), "51% of an ext4 volume"),
        (refused(&|_, params| params.epoch = -1), "the ext4 volume's time -1"),
        (refused(&|_, params| params.size = Size::Exact(4097)), "4097 bytes are not"),
        (refused(&|_, params| params.size = Size::Exact(36_864)), "36864 bytes are too few"),
        (refused(&|_, params| params.size = Size::Exact(0)), "0 bytes are too few"),
        (refused(&|_, params| params.size = Size::Free(1 << 60)), "cannot be that large"),
        (refused(&|_, params| params.size = Size::Exact(1 << 62)), "cannot be that large"),
        (
            refused(&|tree, _| _ = tree.insert(path("lost+found"), file(*b"")).unwrap()),
            "/lost+found: must be a directory",
        ),
        (
            refused(&|tree, params| {
                params.block = 1024;
                let kind = Kind::Symlink(vec![b'x'; 1024].into());
                tree.insert(path("a"), node(kind)).unwrap();
            }),
            "1 to 1023 bytes",
        ),
        (
            refused(&|tree, _| {
                tree.insert(path("a"), file(*b"")).unwrap();
                for number in 0..65_000 {
                    tree.link(path(format!("b{number}")), &path("a")).unwrap();
                }
            }),
            "/a: has 65001 hard links; ext4 allows 65000",
        ),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} is not {expected:?}");
    }
}

#[test]
fn as_many_links_and_directories_as_there_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = empty();
    tree.insert(path("a"), file(*b"")).unwrap();
    tree.insert(path("full"), directory()).unwrap();
    tree.insert(path("over"), directory()).unwrap();
    for number in 1..65_000 {
        tree.link(path(format!("b{number}")), &path("a")).unwrap();
    }
    for number in 0..64_999 {
        tree.insert(path(format!("over/{number}")), directory()).unwrap();
        if number < 64_998 {
            tree.insert(path(format!("full/{number}")), directory()).unwrap();
        }
    }
    let params = Params { journal: Journal::None, block: 1024, ..params() };
    let file = checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    let Some(mounted) = mounted(&file, "ro", folder.path()) else { return };
    for (name, links) in [("a", 65_000), ("full", 65_000), ("over", 1)] {
        assert_eq!(fs::metadata(mounted.path().join(name)).unwrap().nlink(), links, "{name}");
    }
}

/// Extended attributes that Linux shows on any file.
fn xattrs() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![4 => "(trusted|security)\\.[a-z]{1,9}", 1 => "trusted\\.[a-z]{240}"];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec((name, value), 0..5)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever a tree holds, e2fsck finds nothing and Linux reads it back.
    #[test]
    fn any_tree_is_read_back(
        tree in trees(byte_names(), all_kinds()),
        attributes in prop::collection::vec(xattrs(), 1..8),
        block in prop::sample::select(vec![1024u32, 2048, 4096]),
        journal in prop::sample::select(vec![Journal::None, Journal::Blocks(1024)]),
        size in prop_oneof![Just(None), (0..3_000_000u64).prop_map(Some)],
    ) {
        let mut tree = tree;
        let paths: Vec<TreePath> = tree.iter().map(|entry| entry.path.clone()).collect();
        for (path, attributes) in paths.iter().zip(attributes.iter().cycle()) {
            let is_link = matches!(tree.get(path).unwrap().inode.kind, Kind::Symlink(_));
            // Two of them always fit; a further name of a file adds none.
            let given = !tree.get(path).unwrap().inode.metadata.xattrs.is_empty();
            let most = if given { 0 } else if block == 1024 { 2 } else { attributes.len() };
            for (name, value) in attributes.iter().take(most) {
                if !is_link || name.starts_with("trusted") {
                    let metadata = tree.metadata_mut(path).unwrap();
                    metadata.xattrs.insert(name.as_bytes().into(), value.clone().into());
                }
            }
            // Longer targets are for the larger blocks.
            let inode = tree.get(path).unwrap().inode;
            let too_long = matches!(&inode.kind, Kind::Symlink(t) if t.len() as u32 >= block);
            if too_long {
                tree.remove(path).unwrap();
            }
        }
        let size = size.map_or(Size::Minimum, Size::Free);
        round_trip(&tree, &Params { block, journal, size, ..params() });
    }

    /// Every size from the smallest on is a volume.
    #[test]
    fn any_size_is_a_volume(blocks in 0..20_000u64, block in prop::sample::select(vec![1024u32, 4096])) {
        let tree = sample();
        let params = Params { block, journal: Journal::None, ..params() };
        let size = ext4::layout(&tree, &params).unwrap().len() + blocks * u64::from(block);
        let params = Params { size: Size::Exact(size), ..params };
        let folder = tempfile::tempdir().unwrap();
        checked(&ext4::layout(&tree, &params).unwrap(), folder.path());
    }
}
