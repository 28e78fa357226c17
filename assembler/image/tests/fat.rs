//! FAT volumes, checked by fsck.fat, read back by mtools and, where it can, by Linux.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::HashSet, fs, path::Path, process::Command};

use common::*;
use proptest::prelude::*;
use stagex_image::fat::{self, Error, Params, Width};
use stagex_tree::{Content, Device, Digest, Entry, Kind, Tree, TreePath};

const WIDTHS: [Width; 3] = [Width::Fat12, Width::Fat16, Width::Fat32];

/// Writes the image to a file and has fsck.fat check it.
fn checked(tree: &Tree, params: &Params, folder: &Path) -> std::path::PathBuf {
    let image = bytes(&fat::layout(tree, params).unwrap());
    let file = folder.join("fat.img");
    fs::write(&file, image).unwrap();
    let output = run("dosfstools", Command::new("fsck.fat").arg("-nv").arg(&file));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    // With -v it describes what it found; complaints would come between and name a fix.
    for word in ["differ", "invalid", "Bad", "bad", "wrong", "Unused", "orphan", "dirty", "Leaving"]
    {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let width = format!(
        "{} bit entries",
        match params.width {
            Width::Fat12 => 12,
            Width::Fat16 => 16,
            Width::Fat32 => 32,
        }
    );
    assert!(text.contains(&width), "{width}: {text}");
    let quiet = ok_text("dosfstools", Command::new("fsck.fat").arg("-n").arg(&file));
    assert_eq!(quiet.lines().count(), 2, "a banner and a summary: {quiet}");
    file
}

/// What FAT keeps of a tree: no owners, permissions and links; times to two seconds.
fn kept(tree: &Tree, times: impl Fn(&Entry<'_>) -> bool) -> Tree {
    let mut out = Tree::new();
    for entry in tree.iter() {
        let mut inode = entry.inode.clone();
        inode.metadata = metadata(0o755);
        let mtime = entry.inode.metadata.mtime;
        inode.metadata.mtime = if times(&entry) { mtime & !1 } else { 0 };
        out.insert(entry.path.clone(), inode).ok();
    }
    out.metadata_mut(&TreePath::root()).unwrap().mtime = 0;
    out
}

fn read_by_mtools(file: &Path, folder: &Path) -> Tree {
    let to = folder.join("out");
    fs::create_dir(&to).unwrap();
    let listing = ok("mtools", Command::new("mdir").arg("-bi").arg(file).arg("::"));
    if !listing.is_empty() {
        ok("mtools", Command::new("mcopy").arg("-smni").arg(file).arg("::*").arg(&to));
    }
    read_folder(&to)
}

/// mtools keeps the times of files only.
fn check_by_mtools(tree: &Tree, params: &Params) {
    let folder = tempfile::tempdir().unwrap();
    let file = checked(tree, params, folder.path());
    let found = read_by_mtools(&file, folder.path());
    let times = |entry: &Entry<'_>| !entry.inode.is_directory();
    assert_same(&kept(&found, times), &kept(tree, times));
}

/// A boot partition as boxes have it, and names of all kinds.
fn sample() -> Tree {
    let mut tree = empty();
    for name in ["EFI", "EFI/BOOT", "loader", "loader/Entries of a Menu", "empty"] {
        tree.insert(path(name), directory()).unwrap();
    }
    tree.insert(path("EFI/BOOT/BOOTX64.EFI"), file(filling(300_000, 3))).unwrap();
    tree.insert(path("loader/loader.conf"), file(*b"timeout 0\n")).unwrap();
    for name in ["Ünïcode – 漢字.text", "FOO~1.TXT", "fooooooooo.txt", "a.b.c", "no extension"]
    {
        let to = path("loader/Entries of a Menu").join(name).unwrap();
        tree.insert(to, file(name.as_bytes())).unwrap();
    }
    tree.insert(path("n".repeat(255)), file(*b"long")).unwrap();
    tree.insert(path("nothing"), file(*b"")).unwrap();
    tree
}

#[test]
fn bytes_are_pinned() {
    let tree = sample();
    let pins = [
        "7c766f975075071033f18d921f7d6d679d0770422b2a86e1cd701ebddad5ff7d",
        "07f9986345086ed49e7757693830ea10ded6c66afb74ff9183d490dc78d276ad",
        "a55ac72002dc91f65910914bb7c46bcb6a03f36b483a61577b45dbf3807fb898",
    ];
    let digests = WIDTHS.map(|width| {
        let label = Some("STAGEX ESP".to_owned());
        let params = Params { width, label, epoch: EPOCH, ..Params::default() };
        Digest::of(bytes(&fat::layout(&tree, &params).unwrap())).to_string()
    });
    assert_eq!(digests, pins);
}

#[test]
fn sample_is_read_by_the_reference_tools_in_every_width_and_cluster_size() {
    let tree = sample();
    for width in WIDTHS {
        for cluster in [None, Some(512), Some(4096), Some(32_768)] {
            let label = Some("STAGEX ESP".to_owned());
            let size = (cluster == Some(32_768) && width == Width::Fat32).then_some(0);
            // 2 GiB is too much for a test; the arithmetic is tested beside the code.
            if size.is_none() {
                check_by_mtools(&tree, &Params { width, cluster, label, ..Params::default() });
            }
        }
    }
    check_by_mtools(&tree, &Params { size: Some(64 << 20), ..Params::default() });
    check_by_mtools(&tree, &Params { free: 50 << 20, ..Params::default() });
    check_by_mtools(&empty(), &Params::default());
}

#[test]
fn label_id_and_free_space_are_as_given() {
    let tree = sample();
    let folder = tempfile::tempdir().unwrap();
    let label = Some("AIRGAP".to_owned());
    let params = Params { label, free: 40 << 20, cluster: Some(4096), ..Params::default() };
    let file = checked(&tree, &params, folder.path());
    let shown = ok_text("mtools", Command::new("minfo").arg("-i").arg(&file));
    assert!(shown.contains("AIRGAP"), "{shown}");
    assert!(shown.contains("cluster size: 8 sectors"), "{shown}");
    let id = fat::layout(&tree, &params).unwrap().id();
    assert!(shown.contains(&format!("serial number: {id:08X}")), "{id:08X} {shown}");
    let blkid = ok_text("util-linux", Command::new("blkid").arg("-po").arg("export").arg(&file));
    assert!(blkid.contains("LABEL=AIRGAP") && blkid.contains("VERSION=FAT32"), "{blkid}");
    let free = |line: &&str| line.contains("free clusters=");
    let line = shown.lines().find(free).unwrap().to_owned();
    let count: u64 = line.rsplit('=').next().unwrap().trim().parse().unwrap();
    assert!(count * 4096 >= 40 << 20, "{line}");
    // The id follows the content, not where the content lies.
    let mut other = tree.clone();
    other.insert(path("nothing"), common::file(*b"x")).unwrap();
    assert_ne!(fat::layout(&other, &params).unwrap().id(), id);
}

#[test]
fn many_like_names_have_short_names_of_their_own() {
    let mut tree = empty();
    tree.insert(path("d"), directory()).unwrap();
    for number in 0..3000 {
        tree.insert(path(format!("d/A Long Name {number:05}.conf")), file(*b"x")).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let image = checked(&tree, &Params::default(), folder.path());
    let listing = ok_text("mtools", Command::new("mdir").arg("-ai").arg(&image).arg("::d"));
    let shorts: HashSet<_> =
        listing.lines().filter(|line| line.contains("CON")).map(|line| &line[..12]).collect();
    assert_eq!(shorts.len(), 3000);
    check_by_mtools(&tree, &Params { width: Width::Fat16, ..Params::default() });
}

#[test]
fn hard_links_are_copies_and_times_are_moved_into_range() {
    let mut tree = empty();
    tree.insert(path("a"), file(filling(1000, 1))).unwrap();
    tree.link(path("b"), &path("a")).unwrap();
    tree.metadata_mut(&path("a")).unwrap().mtime = 0;
    let folder = tempfile::tempdir().unwrap();
    let image = checked(&tree, &Params::default(), folder.path());
    let found = read_by_mtools(&image, folder.path());
    for name in ["a", "b"] {
        let entry = found.get(&path(name)).unwrap();
        assert_eq!(entry.inode.content().unwrap().read().unwrap(), filling(1000, 1));
        assert_eq!(entry.inode.metadata.mtime, 315_532_800, "1980-01-01");
    }
}

#[test]
fn what_fat_cannot_hold_is_refused_by_name() {
    let refused = |tree: &Tree, params: &Params| fat::layout(tree, params).err().unwrap();
    let with = |name: &[u8], inode| {
        let mut tree = empty();
        tree.insert(path(name), inode).unwrap();
        refused(&tree, &Params::default()).to_string()
    };
    let device = Device { major: 1, minor: 3 };
    let kinds = [
        (Kind::Symlink((*b"x").into()), "symbolic link"),
        (Kind::CharDevice(device), "device node"),
        (Kind::BlockDevice(device), "device node"),
        (Kind::Fifo, "named pipe"),
        (Kind::Socket, "socket"),
    ];
    for (kind, shown) in kinds {
        let message = with(b"k", node(kind));
        assert!(message.starts_with("/k: ") && message.ends_with(shown), "{message}");
    }
    for name in [&b"a:b"[..], b"a.", b"a ", b"\xff", b"a\x01"] {
        let message = with(name, file(*b""));
        assert!(message.contains("its name"), "{message}");
    }
    let huge = Content::from_file(Path::new("/nowhere"), 0, 1 << 32);
    let message = with(b"big", node(Kind::File(huge)));
    assert!(message.starts_with("/big: 4294967296 bytes is too large"), "{message}");
    let mut tree = empty();
    tree.insert(path("Größe"), file(*b"")).unwrap();
    tree.insert(path("gRÖßE"), file(*b"")).unwrap();
    assert!(matches!(refused(&tree, &Params::default()), Error::Duplicate { .. }));
    let tree = sample();
    let sized = |size| Params { size: Some(size), ..Params::default() };
    assert!(matches!(refused(&tree, &sized(1 << 20)), Error::TooSmall { .. }));
    assert!(matches!(refused(&tree, &sized(1000)), Error::Size { .. }));
    let small = Params { width: Width::Fat16, size: Some(4 << 20), ..Params::default() };
    let mut big = sample();
    big.insert(path("big"), file(filling(5 << 20, 1))).unwrap();
    assert!(matches!(refused(&big, &small), Error::TooSmall { .. }));
    let odd = Params { cluster: Some(1000), ..Params::default() };
    assert!(matches!(refused(&tree, &odd), Error::Cluster { .. }));
    for label in ["", "lower", "TWELVE CHARS", "A/B", " A"] {
        let params = Params { label: Some(label.to_owned()), ..Params::default() };
        assert!(matches!(refused(&tree, &params), Error::Label { .. }), "{label:?}");
    }
    let mut wide = empty();
    for number in 0..3300 {
        wide.insert(path(format!("{}{number:05}", "w".repeat(250))), file(*b"")).unwrap();
    }
    let message = refused(&wide, &Params::default()).to_string();
    assert!(message.starts_with("/: takes 69300 directory entries"), "{message}");
}

#[test]
fn linux_mounts_it_and_shows_the_same_tree() {
    let tree = sample();
    for width in WIDTHS {
        let folder = tempfile::tempdir().unwrap();
        let file = checked(&tree, &Params { width, ..Params::default() }, folder.path());
        let Some(mounted) = mount(&file, "vfat", "ro,utf8,tz=UTC", folder.path()) else { return };
        let times = |_: &Entry<'_>| true;
        assert_same(&kept(&read_folder(mounted.path()), times), &kept(&tree, times));
    }
}

/// Names that FAT and the file system below the test can hold.
fn names() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        6 => "[a-dA-D.~1 _+é漢]{1,14}",
        2 => "[A-D]{1,8}\\.[A-D]{1,3}",
        1 => "[a-z]{255}",
    ];
    text.prop_filter("a FAT name", |name| {
        !name.ends_with(['.', ' ']) && !name.starts_with(['.', ' ', '~'])
    })
    .prop_map(String::into_bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mtools_reads_the_same_tree(
        tree in trees(names(), plain_kinds()),
        width in prop::sample::select(WIDTHS.to_vec()),
        cluster in prop::sample::select(vec![None, Some(512), Some(1024), Some(2048)]),
    ) {
        let params = Params { width, cluster, ..Params::default() };
        // Two names that differ in case only are another test's.
        match fat::layout(&tree, &params) {
            Err(Error::Duplicate { .. }) => {}
            Err(error) => prop_assert!(matches!(error, Error::TooLarge { .. }), "{}", error),
            Ok(_) => check_by_mtools(&tree, &params),
        }
    }
}
