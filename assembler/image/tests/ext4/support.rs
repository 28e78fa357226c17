//! What the tests of ext4 share: trees, checks, and readers.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
};

use stagex_image::ext4::{self, Ext4, Params};
use stagex_tree::{Device, Digest, Inode, Kind, Metadata, Tree, TreePath};

use crate::common::{
    shapes::{NOBODY, access_list},
    *,
};

pub(crate) fn params() -> Params {
    Params { seed: Some(Digest::of(b"tests")), ..Params::new("STAGEX", EPOCH) }
}

/// A file that keeps long zeros as holes, for volumes larger than the disk.
pub(crate) struct Sparse(pub(crate) File);

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
pub(crate) fn check(file: &Path) {
    let text = ok_text("e2fsprogs", Command::new("e2fsck").arg("-fn").arg(file));
    // Five passes, and a summary.
    assert_eq!(text.lines().count(), 6, "{text}");
}

/// Writes the volume to a file and has e2fsck check it.
pub(crate) fn checked(volume: &Ext4<'_>, folder: &Path) -> PathBuf {
    let file = folder.join("ext4.img");
    let mut out = Sparse(File::create(&file).unwrap());
    volume.write(&mut out).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().len(), volume.len());
    check(&file);
    file
}

/// What dumpe2fs says of the superblock, by field.
pub(crate) fn fields(file: &Path) -> BTreeMap<String, String> {
    let text = ok_text("e2fsprogs", Command::new("dumpe2fs").arg("-h").arg(file));
    let line = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

pub(crate) fn debugfs(file: &Path, request: &str) -> String {
    ok_text("e2fsprogs", Command::new("debugfs").args(["-R", request]).arg(file))
}

/// Mounts the volume with Linux; says so where that cannot be done, and only e2fsck and debugfs
/// judge.
pub(crate) fn mounted(file: &Path, options: &str, folder: &Path) -> Option<Mounted> {
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
pub(crate) fn read_whole(folder: &Path) -> Tree {
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
pub(crate) fn assert_whole(found: &Tree, expected: &Tree) {
    assert_same(found, expected);
    for entry in expected.iter() {
        let there = found.get(entry.path).unwrap().inode;
        let (found, expected) = (&there.metadata.xattrs, &entry.inode.metadata.xattrs);
        assert_eq!(found, expected, "{}", entry.path);
    }
}

/// What Linux sees of a tree: the `lost+found` that was added is taken out.
pub(crate) fn without_extra(mut found: Tree, expected: &Tree) -> Tree {
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
pub(crate) fn read_by_debugfs(file: &Path, folder: &Path, expected: &Tree) {
    let to = folder.join("dumped");
    fs::create_dir(&to).unwrap();
    debugfs(file, &format!("rdump / {}", to.display()));
    let found = without_metadata(&read_folder(&to));
    assert_same(&found, &without_metadata(expected));
    fs::remove_dir_all(&to).unwrap();
}

/// Names, kinds and contents of what debugfs extracts; hard links become files.
pub(crate) fn without_metadata(tree: &Tree) -> Tree {
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
pub(crate) fn round_trip(tree: &Tree, params: &Params) {
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

pub(crate) fn with_xattrs(mut inode: Inode, xattrs: &[(&str, &[u8])]) -> Inode {
    let xattrs = xattrs.iter().map(|&(name, value)| (name.as_bytes().into(), value.into()));
    inode.metadata.xattrs = xattrs.collect();
    inode
}

/// Capabilities of version 2: cap_net_raw, permitted and effective.
pub(crate) const CAPABILITY: [u8; 20] =
    [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Entries of all kinds, with all that ext4 keeps of them.
pub(crate) fn sample() -> Tree {
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
pub(crate) fn wide(count: usize, name: impl Fn(usize) -> String) -> Tree {
    let mut tree = empty();
    tree.insert(path("wide"), directory()).unwrap();
    for number in 0..count {
        tree.insert(path("wide").join(name(number)).unwrap(), file(*b"")).unwrap();
    }
    tree
}
