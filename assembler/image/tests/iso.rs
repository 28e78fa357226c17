//! ISO 9660 images, read back by xorriso, libarchive, isoinfo and, where it can, by Linux.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path, process::Command};

use common::*;
use proptest::prelude::*;
use stagex_image::{
    fat,
    iso::{self, BootImage, Error, Params},
};
use stagex_tree::{Content, Device, Digest, Inode, Kind, Tree, TreePath};

fn params<'a>() -> Params<'a> {
    Params::new("STAGEX_TEST", EPOCH)
}

fn write(tree: &Tree, params: &Params<'_>, folder: &Path) -> std::path::PathBuf {
    let file = folder.join("test.iso");
    fs::write(&file, bytes(&iso::layout(tree, params).unwrap())).unwrap();
    file
}

/// Extracts with libarchive; without Rock Ridge it shows Joliet.
fn by_libarchive(image: &Path, folder: &Path, options: &str) -> Tree {
    let to = folder.join("libarchive");
    fs::create_dir(&to).unwrap();
    let mut command = Command::new("bsdtar");
    // Without -P it takes a backslash at the beginning of a name away.
    command.arg("-xpPf").arg(image).arg("-C").arg(&to);
    if !options.is_empty() {
        command.args(["--options", options]);
    }
    ok("libarchive-tools", &mut command);
    read_folder(&to)
}

fn by_xorriso(image: &Path, folder: &Path) -> Tree {
    let to = folder.join("xorriso");
    fs::create_dir(&to).unwrap();
    let mut command = Command::new("xorriso");
    // A message of severity WARNING or worse fails the run.
    command.args(["-return_with", "WARNING", "32", "-abort_on", "FATAL"]);
    command
        .args(["-hardlinks", "on", "-osirrox", "on:auto_chmod_off:device_files", "-indev"])
        .arg(image);
    command.args(["-extract", "/"]).arg(&to);
    ok("xorriso", &mut command);
    read_folder(&to)
}

/// The tree with what all readers take alike. Minor numbers over 255 only Linux reads as they are
/// written; no tool extracts sockets; xorriso refuses targets over 1,023 bytes; and libarchive takes names of one inode together by where its
/// content lies, hence not where there is none. All four were seen right on Linux.
fn readable(tree: &Tree) -> Tree {
    let mut out = tree.clone();
    for entry in tree.iter().skip(1) {
        let kind = match &entry.inode.kind {
            Kind::CharDevice(device) => {
                Kind::CharDevice(Device { minor: device.minor & 255, ..*device })
            }
            Kind::Socket => Kind::Fifo,
            Kind::Symlink(target) => Kind::Symlink(target[..target.len().min(1000)].into()),
            other => other.clone(),
        };
        if !matches!(&kind, Kind::File(content) if !content.is_empty()) {
            out.insert(entry.path.clone(), Inode { kind, ..entry.inode.clone() }).unwrap();
        }
    }
    out
}

fn without_root(tree: &Tree) -> Tree {
    without_times(tree, |entry| entry.path.is_root())
}

fn check(tree: &Tree, params: &Params<'_>) {
    let tree = as_seen_by_user(tree);
    let folder = tempfile::tempdir().unwrap();
    let image = write(&tree, params, folder.path());
    let found = by_libarchive(&image, folder.path(), "");
    assert_same(&without_root(&found), &without_root(&tree));
    // xorriso sets no times and owners of symbolic links.
    let lost = |tree: &Tree| {
        let mut out = without_root(tree);
        for entry in tree.iter().filter(|e| matches!(e.inode.kind, Kind::Symlink(_))) {
            let metadata = out.metadata_mut(entry.path).unwrap();
            (metadata.mtime, metadata.uid, metadata.gid) = (0, 0, 0);
        }
        out
    };
    assert_same(&lost(&by_xorriso(&image, folder.path())), &lost(&tree));
}

fn sample() -> Tree {
    let mut tree = empty();
    for name in ["boot", "boot/grub", "dev", "empty", "Some Folder.d"] {
        tree.insert(path(name), directory()).unwrap();
    }
    let mut deep = TreePath::root();
    for level in 0..20 {
        deep = deep.join(format!("level{level}")).unwrap();
        tree.insert(deep.clone(), directory()).unwrap();
    }
    tree.insert(deep.join("bottom").unwrap(), file(*b"deep down")).unwrap();
    tree.insert(path("README.txt"), file(filling(5000, 1))).unwrap();
    tree.link(path("boot/readme"), &path("README.txt")).unwrap();
    tree.insert(path("boot/grub/stage"), file(filling(2048, 2))).unwrap();
    tree.insert(path("Some Folder.d/a.b.c.d"), file(filling(2049, 3))).unwrap();
    tree.insert(path("Some Folder.d/\u{fc}ml\u{e4}ut"), file(*b"x")).unwrap();
    tree.insert(path(b"Some Folder.d/\xff\xfe"), file(*b"y")).unwrap();
    tree.insert(path("n".repeat(255)), file(*b"z")).unwrap();
    tree.insert(path("nothing"), file(*b"")).unwrap();
    tree.insert(path("\\back\\slashes"), file(*b"b")).unwrap();
    for (name, target) in [("l", "README.txt"), ("m", "/"), ("o", "/a/../b/./c"), ("p", "../..")] {
        tree.insert(path(name), node(Kind::Symlink(target.as_bytes().into()))).unwrap();
        tree.metadata_mut(&path(name)).unwrap().mode = 0o777;
    }
    let console = Device { major: 5, minor: 1 };
    tree.insert(path("dev/console"), node(Kind::CharDevice(console))).unwrap();
    tree.insert(path("dev/sda"), node(Kind::BlockDevice(Device { major: 8, minor: 0 }))).unwrap();
    tree.insert(path("dev/pipe"), node(Kind::Fifo)).unwrap();
    tree
}

/// A FAT volume as a boot image.
fn esp(len: usize) -> Vec<u8> {
    let mut tree = empty();
    for name in ["EFI", "EFI/BOOT"] {
        tree.insert(path(name), directory()).unwrap();
    }
    tree.insert(path("EFI/BOOT/BOOTX64.EFI"), file(filling(len, 5))).unwrap();
    let params = fat::Params { width: fat::Width::Fat16, ..fat::Params::default() };
    bytes(&fat::layout(&tree, &params).unwrap())
}

fn report(image: &Path, option: &str) -> String {
    let mut command = Command::new("xorriso");
    command.args(["-return_with", "WARNING", "32", "-indev"]).arg(image).args([option, "plain"]);
    ok_text("xorriso", &mut command)
}

#[test]
fn bytes_are_pinned() {
    let tree = sample();
    let plain = bytes(&iso::layout(&tree, &params()).unwrap());
    let image = Content::from_bytes(esp(100_000));
    let efi = Some(BootImage::Hidden(&image));
    let bootable = Params { joliet: true, efi, bios: Some(path("boot/grub/stage")), ..params() };
    let bootable = bytes(&iso::layout(&tree, &bootable).unwrap());
    assert_eq!(
        [plain, bootable].map(|bytes| Digest::of(bytes).to_string()),
        [
            "0710e3b38818c4aa15dd20cacee8c33c0892daceeb3a7cfd6f1769b15d26c2e4",
            "0c3608f012fd529043b773cf0e32630e5e01df1cb62f8d483dbdee4bf513c3a2",
        ]
    );
}

#[test]
fn sample_is_read_by_the_reference_tools() {
    check(&sample(), &params());
    check(&sample(), &Params { joliet: true, ..params() });
    check(&empty(), &params());
    let mut tree = empty();
    tree.insert(path("only"), node(Kind::Fifo)).unwrap();
    check(&tree, &params());
}

#[test]
fn descriptors_say_what_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let given = Params { publisher: "Some Publisher".to_owned(), joliet: true, ..params() };
    let image = write(&sample(), &given, folder.path());
    let shown = ok_text("genisoimage", Command::new("isoinfo").args(["-d", "-i"]).arg(&image));
    for expected in [
        "Volume id: STAGEX_TEST",
        "Publisher id: Some Publisher",
        "Joliet with UCS level 3 found",
        "Rock Ridge signatures version 1 found",
        &format!("Volume size is: {}", fs::metadata(&image).unwrap().len() / 2048),
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let listing =
        ok_text("genisoimage", Command::new("isoinfo").args(["-R", "-f", "-i"]).arg(&image));
    assert_eq!(listing.lines().count(), sample().len() - 1, "{listing}");
    assert!(listing.contains(&format!("/{}", "n".repeat(255))), "{listing}");
    let blkid = ok_text("util-linux", Command::new("blkid").arg("-po").arg("export").arg(&image));
    assert!(blkid.contains("LABEL=STAGEX_TEST"), "{blkid}");
    assert!(blkid.contains("UUID=2023-11-14-22-13-20-00"), "{blkid}");
}

#[test]
fn joliet_shows_files_and_directories() {
    let tree = sample();
    let folder = tempfile::tempdir().unwrap();
    let image = write(&tree, &Params { joliet: true, ..params() }, folder.path());
    let found = by_libarchive(&image, folder.path(), "!rockridge");
    let files = tree.iter().filter(|e| e.inode.is_directory() || e.inode.content().is_some());
    assert_eq!(found.len(), files.count());
    for (name, content) in [("README.txt", filling(5000, 1)), ("boot/readme", filling(5000, 1))] {
        let entry = found.get(&path(name)).unwrap();
        assert_eq!(entry.inode.content().unwrap().read().unwrap(), content);
    }
    assert!(found.get(&path("Some Folder.d/\u{fc}ml\u{e4}ut")).is_some());
    assert!(found.get(&path("n".repeat(64))).is_some());
}

#[test]
fn boots_from_disc_and_stick() {
    let mut tree = sample();
    let image = esp(3_000_000);
    tree.insert(path("boot/efi.img"), file(image.clone())).unwrap();
    let hidden = Content::from_bytes(image.clone());
    let folder = tempfile::tempdir().unwrap();
    for (bios, efi) in [
        (false, BootImage::File(path("boot/efi.img"))),
        (true, BootImage::File(path("boot/efi.img"))),
        (true, BootImage::Hidden(&hidden)),
    ] {
        let bios = bios.then(|| path("boot/grub/stage"));
        let given = Params { efi: Some(efi), bios: bios.clone(), ..params() };
        let laid = iso::layout(&tree, &given).unwrap();
        let whole = bytes(&laid);
        let iso = folder.path().join("boot.iso");
        fs::write(&iso, &whole).unwrap();

        // As a stick: a partition table in order, its partition the boot image.
        let verdict = ok_text("gdisk", Command::new("sgdisk").arg("-v").arg(&iso));
        assert!(verdict.contains("No problems found."), "{verdict}");
        for word in ["Warning", "Caution", "Problem", "doesn't"] {
            assert!(!verdict.contains(word), "{verdict}");
        }
        let entry = laid.esp().unwrap();
        let at = entry.first as usize * 512;
        assert!(whole[at..at + image.len()] == image);
        assert!((entry.sectors * 512) as usize >= image.len());
        let table = ok_text("fdisk", Command::new("sfdisk").arg("-d").arg(&iso));
        let line = format!("start={:>12}, size={:>12}, type=C12A7328", entry.first, entry.sectors);
        assert!(table.contains(&line), "{line}: {table}");
        let offset = format!("{}@@{at}", iso.display());
        let listing =
            ok_text("mtools", Command::new("mdir").arg("-bi").arg(offset).arg("::/EFI/BOOT"));
        assert_eq!(listing.trim(), "::/EFI/BOOT/BOOTX64.EFI");

        // As a disc: a catalogue that leads to the same place.
        let catalogue = report(&iso, "-report_el_torito");
        let units = image.len().div_ceil(512);
        let (number, line) = if bios.is_some() { (2, 2) } else { (1, 1) };
        let expected = format!("El Torito boot img :   {number}  UEFI  y   none  0x0000  0x00");
        let found = catalogue.lines().find(|line| line.starts_with(&expected));
        let found = found.unwrap_or_else(|| panic!("{line}: {catalogue}"));
        let numbers: Vec<usize> =
            found[expected.len()..].split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(numbers, [units, at / 2048]);
        assert_eq!(bios.is_some(), catalogue.contains("El Torito boot img :   1  BIOS  y"));
        let system = report(&iso, "-report_system_area");
        assert!(system.contains("GPT"), "{system}");
        assert!(system.contains("protective-msdos-label"), "{system}");
        check(&tree, &given);
    }
}

#[test]
fn a_boot_image_over_32_mib_reaches_to_the_end() {
    let image = Content::from_bytes(esp(40 << 20));
    let tree = empty();
    let given = Params { efi: Some(BootImage::Hidden(&image)), ..params() };
    let folder = tempfile::tempdir().unwrap();
    let iso = write(&tree, &given, folder.path());
    let catalogue = report(&iso, "-report_el_torito");
    let line = catalogue.lines().find(|line| line.contains("UEFI")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[words.len() - 2], "0", "{catalogue}");
    assert_eq!(words[words.len() - 1], "512", "{catalogue}");
    let verdict = ok_text("gdisk", Command::new("sgdisk").arg("-v").arg(&iso));
    assert!(verdict.contains("No problems found."), "{verdict}");
}

#[test]
fn files_over_4_gib_have_several_extents() {
    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big");
    let len = (4u64 << 30) + 5;
    let handle = fs::File::create(&big).unwrap();
    handle.set_len(len).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&handle, b"end.!", len - 5).unwrap();
    let mut tree = empty();
    tree.insert(path("big"), node(Kind::File(Content::from_file(big.as_path(), 0, len)))).unwrap();
    tree.insert(path("zz"), file(*b"after")).unwrap();
    let laid = iso::layout(&tree, &params()).unwrap();
    let iso = folder.path().join("big.iso");
    // Zeros are left out of the file, so that the test takes no space.
    let mut sparse = Sparse { file: fs::File::create(&iso).unwrap(), at: 0 };
    laid.write(&mut sparse).unwrap();
    assert_eq!(sparse.at, laid.len());
    sparse.file.set_len(laid.len()).unwrap();
    let listing = ok_text("libarchive-tools", Command::new("bsdtar").arg("-tvf").arg(&iso));
    let line = listing.lines().find(|line| line.ends_with(" big")).unwrap();
    assert!(line.contains(&format!(" {len} ")), "{listing}");
    let mut command = Command::new("xorriso");
    command.args(["-return_with", "WARNING", "32", "-indev"]).arg(&iso);
    command.args(["-find", "/big", "-exec", "report_lba"]);
    let extents = ok_text("xorriso", &mut command);
    assert_eq!(extents.lines().filter(|line| line.starts_with("File data lba:")).count(), 2);
    let tail = folder.path().join("zz");
    let mut command = Command::new("xorriso");
    command.args(["-osirrox", "on", "-indev"]).arg(&iso).args(["-extract", "/zz"]).arg(&tail);
    ok("xorriso", &mut command);
    assert_eq!(fs::read(&tail).unwrap(), b"after");
}

struct Sparse {
    file: fs::File,
    at: u64,
}

impl std::io::Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // One comparison of memory, which is quick unoptimised too.
        if bytes.first() != Some(&0) || bytes[1..] != bytes[..bytes.len() - 1] {
            std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, self.at)?;
        }
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_wide_directory_is_read() {
    let mut tree = empty();
    for number in 0..5000 {
        let name = format!("a name longer than thirty characters, number {number}.html");
        tree.insert(path(name), file(filling(number % 7, 1))).unwrap();
    }
    check(&tree, &Params { joliet: true, ..params() });
}

#[test]
fn linux_mounts_it_and_shows_the_same_tree() {
    let tree = sample();
    let folder = tempfile::tempdir().unwrap();
    let image = write(&tree, &params(), folder.path());
    let Some(mounted) = mount(&image, "iso9660", "ro", folder.path()) else { return };
    // Linux gives each name of a hard-linked file an inode of its own.
    let mut expected = tree.clone();
    let copy = tree.get(&path("README.txt")).unwrap().inode.clone();
    for name in ["README.txt", "boot/readme"] {
        expected.insert(path(name), copy.clone()).unwrap();
    }
    assert_same(&read_folder(mounted.path()), &expected);
}

#[test]
fn what_iso_cannot_hold_is_refused_by_name() {
    let refused = |tree: &Tree, params: &Params<'_>| iso::layout(tree, params).err().unwrap();
    let mut tree = empty();
    tree.insert(path("t"), file(*b"")).unwrap();
    tree.metadata_mut(&path("t")).unwrap().mtime = 5_869_584_000;
    let message = refused(&tree, &params()).to_string();
    assert!(message.starts_with("/t: modification time 5869584000"), "{message}");
    let mut tree = empty();
    let mut capable = file(*b"");
    capable.metadata.xattrs.insert((*b"user.x").into(), (*b"x").into());
    tree.insert(path("x"), capable).unwrap();
    assert!(matches!(refused(&tree, &params()), Error::Xattr { .. }));
    let mut tree = empty();
    tree.insert(path("l"), node(Kind::Symlink((*b"").into()))).unwrap();
    assert!(matches!(refused(&tree, &params()), Error::Target { .. }));
    let tree = sample();
    let labelled = |label: &str| Params { label: label.to_owned(), ..params() };
    for label in ["", "\u{e9}", &"L".repeat(33)] {
        assert!(matches!(refused(&tree, &labelled(label)), Error::Text { .. }), "{label:?}");
    }
    for name in ["nowhere", "boot", "nothing", "l"] {
        let efi = Some(BootImage::File(path(name)));
        let error = refused(&tree, &Params { efi, ..params() });
        assert!(matches!(error, Error::NoBootFile { .. }), "{name}: {error}");
    }
    let huge = Content::from_file(Path::new("/nowhere"), 0, 9 << 40);
    let mut tree = empty();
    tree.insert(path("huge"), node(Kind::File(huge))).unwrap();
    tree.insert(path("zz"), file(*b"x")).unwrap();
    assert!(matches!(refused(&tree, &params()), Error::TooLarge { .. }));
    let bios = Some(path("huge"));
    assert!(matches!(refused(&tree, &Params { bios, ..params() }), Error::BiosTooLarge { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_reference_tools_extract_the_same_tree(
        tree in trees(byte_names(), all_kinds()),
        joliet in any::<bool>(),
    ) {
        check(&readable(&tree), &Params { joliet, ..params() });
    }
}
