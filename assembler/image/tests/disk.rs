//! Disks, checked by sgdisk and sfdisk and read by a second implementation.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path, process::Command};

use common::*;
use stagex_image::{
    Image, disk,
    disk::{Error, Params, Partition},
    fat,
    gpt::{TYPES, Type},
};
use stagex_tree::{Content, Digest};

fn partition<'a>(kind: &str, name: &str, content: &'a dyn Image) -> Partition<'a> {
    Partition {
        kind: Type::named(kind).unwrap(),
        name: name.to_owned(),
        content,
        size: None,
        guid: None,
        attributes: 0,
        in_mbr: false,
    }
}

fn sgdisk(file: &Path, option: &str) -> String {
    ok_text("gdisk", Command::new("sgdisk").arg(option).arg(file))
}

fn assert_clean(file: &Path) {
    let verdict = sgdisk(file, "-v");
    assert!(verdict.contains("No problems found."), "{verdict}");
    for word in ["Warning", "Caution", "Problem", "doesn't"] {
        assert!(!verdict.contains(word), "{verdict}");
    }
    let output = run("fdisk", Command::new("sfdisk").arg("--verify").arg(file));
    let verdict = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && verdict.contains("No errors detected"), "{verdict}");
}

#[test]
fn a_disk_of_two_partitions_is_read_by_the_reference_tools() {
    let mut tree = empty();
    for name in ["EFI", "EFI/BOOT"] {
        tree.insert(path(name), directory()).unwrap();
    }
    tree.insert(path("EFI/BOOT/BOOTX64.EFI"), file(filling(100_000, 1))).unwrap();
    let esp = fat::layout(&tree, &fat::Params::default()).unwrap();
    let root = Content::from_bytes(filling(3_000_001, 9));
    let partitions = [
        partition("esp", "esp", &esp),
        Partition {
            size: Some(8 << 20),
            attributes: 1 << 60,
            ..partition("linux-root-x86-64", "root", &root)
        },
    ];
    let laid = disk::layout(&partitions, &Params::new(Digest::of(b"seed"))).unwrap();
    let image = bytes(&laid);
    let pinned = "c55f96414581f833282760f0dc2aac13f47d8de4098cb91f7d6ebfbd47b1fcd7";
    assert_eq!(Digest::of(&image).to_string(), pinned);

    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.img");
    fs::write(&disk, &image).unwrap();
    assert_clean(&disk);
    let table = ok_text("fdisk", Command::new("sfdisk").arg("-d").arg(&disk));
    let guid = |at: usize| laid.entries()[at].guid.to_string().to_uppercase();
    for expected in [
        "label: gpt".to_owned(),
        format!("label-id: {}", laid.guid().to_string().to_uppercase()),
        format!(
            "start=        2048, size=       67584, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid={}, name=\"esp\"",
            guid(0)
        ),
        format!(
            "start=       69632, size=       16384, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid={}, name=\"root\", attrs=\"GUID:60\"",
            guid(1)
        ),
    ] {
        assert!(table.contains(&expected), "{expected}\n{table}");
    }
    // The partitions hold what was put into them.
    let offset = format!("{}@@{}", disk.display(), 1 << 20);
    let listing = ok_text("mtools", Command::new("mdir").arg("-bi").arg(offset).arg("::/EFI/BOOT"));
    assert_eq!(listing.trim(), "::/EFI/BOOT/BOOTX64.EFI");
    let at = laid.entries()[1].first as usize * 512;
    assert!(image[at..at + 3_000_001] == filling(3_000_001, 9));
    assert!(image[at + 3_000_001..at + (8 << 20)].iter().all(|&b| b == 0));
}

#[test]
fn the_backup_table_restores_the_primary() {
    let content = Content::from_bytes(filling(5000, 1));
    let partitions = [partition("linux-generic", "data", &content)];
    let laid = disk::layout(&partitions, &Params::new(Digest::of(b"seed"))).unwrap();
    let image = bytes(&laid);
    let mut broken = image.clone();
    broken[512..34 * 512].fill(0);
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.img");
    fs::write(&disk, broken).unwrap();
    // -e writes the tables anew after reading the backup.
    ok("gdisk", Command::new("sgdisk").arg("-e").arg(&disk));
    assert!(fs::read(&disk).unwrap() == image);
}

#[test]
fn a_hybrid_mbr_shows_chosen_partitions() {
    let content = Content::from_bytes(filling(5000, 1));
    let partitions = [
        Partition { in_mbr: true, ..partition("esp", "esp", &content) },
        partition("linux-generic", "data", &content),
    ];
    let mut params = Params::new(Digest::of(b"seed"));
    params.boot_code[0] = 0xfa;
    let image = bytes(&disk::layout(&partitions, &params).unwrap());
    assert_eq!(image[0], 0xfa);
    assert_eq!(image[446..462][4], 0xee);
    assert_eq!(image[462..478][4], 0xef);
    assert_eq!(image[462..478][8..12], 2048u32.to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.img");
    fs::write(&disk, image).unwrap();
    let verdict = sgdisk(&disk, "-v");
    assert!(verdict.contains("No problems found."), "{verdict}");
    let shown = ok_text("gdisk", Command::new("gdisk").arg("-l").arg(&disk));
    assert!(shown.contains("MBR: hybrid") && shown.contains("GPT: present"), "{shown}");
    let table = ok_text("fdisk", Command::new("sfdisk").args(["-Y", "dos", "-d"]).arg(&disk));
    assert!(table.contains("type=ef, bootable"), "{table}");
}

#[test]
fn type_names_mean_what_util_linux_means() {
    let known = ok_text("fdisk", Command::new("sfdisk").args(["--label", "gpt", "-T"]));
    let of = |guid: &str| {
        let find = |line: &&str| line.to_uppercase().starts_with(&guid.to_uppercase());
        known.lines().find(find).map(|line| line[36..].trim().to_lowercase())
    };
    for (name, kind) in TYPES {
        let guid = kind.0.to_string();
        let meaning = of(&guid).unwrap_or_else(|| panic!("{name}: {guid} is unknown"));
        let plain = meaning.replace(['(', ')', '.'], "").replace('_', "-");
        let words: Vec<&str> = match *name {
            "esp" => vec!["efi system"],
            "basic-data" => vec!["microsoft basic data"],
            "bios-boot" => vec!["bios boot"],
            "xbootldr" => vec!["extended boot"],
            "srv" => vec!["server data"],
            "tmp" => vec!["temporary data"],
            "var" => vec!["variable data"],
            "linux-generic" => vec!["linux filesystem"],
            "linux-lvm" => vec!["linux lvm"],
            "user-home" => vec!["user", "home"],
            name => name.split('-').filter(|word| !matches!(*word, "x86" | "64" | "sig")).collect(),
        };
        for word in words {
            let word = if word == "arm64" { "arm-64" } else { word };
            let risc = plain.replace("risc-v-64", "riscv64").replace("aarch64", "arm-64");
            assert!(risc.contains(word), "{name}: {meaning}");
        }
        assert_eq!(name.ends_with("x86-64"), plain.contains("x86-64"), "{name}: {meaning}");
        assert_eq!(name.contains("verity"), plain.contains("verity"), "{name}: {meaning}");
        assert_eq!(name.contains("-sig"), plain.contains("sign"), "{name}: {meaning}");
    }
}

#[test]
fn sizes_and_alignments_are_kept() {
    let content = Content::from_bytes(filling(5000, 1));
    let empty = Content::from_bytes(*b"");
    let partitions = [partition("esp", "a", &content), partition("swap", "b", &empty)];
    for align in [512, 4096, 1 << 16] {
        let params = Params { align, ..Params::new(Digest::of(b"seed")) };
        let laid = disk::layout(&partitions, &params).unwrap();
        for entry in laid.entries() {
            assert_eq!(entry.first * 512 % align, 0);
            assert_eq!(entry.sectors * 512 % align, 0);
        }
        assert_eq!(laid.len() % align, 0);
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk.img");
        fs::write(&disk, bytes(&laid)).unwrap();
        assert!(sgdisk(&disk, "-v").contains("No problems found."));
    }
    let sized = |size| Params { size: Some(size), ..Params::new(Digest::of(b"seed")) };
    let laid = disk::layout(&partitions, &sized(64 << 20)).unwrap();
    assert_eq!(laid.len(), 64 << 20);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("disk.img");
    fs::write(&file, bytes(&laid)).unwrap();
    assert_clean(&file);
    let refused = |partitions: &[Partition<'_>], params: &Params| {
        disk::layout(partitions, params).err().unwrap()
    };
    let error = refused(&partitions, &sized(2 << 20));
    assert_eq!(error, Error::Size { size: 2 << 20, needed: (3 << 20) + 33 * 512 });
    let small = [Partition { size: Some(4999), ..partition("esp", "a", &content) }];
    let expected = Error::Partition { name: "a".to_owned(), size: 4999, content: 5000 };
    assert_eq!(refused(&small, &sized(64 << 20)), expected);
    let twice = [partition("esp", "a", &content), partition("esp", "a", &content)];
    assert_eq!(refused(&twice, &sized(64 << 20)), Error::Name { name: "a".to_owned() });
    let params = Params { align: 1000, ..sized(64 << 20) };
    assert_eq!(refused(&partitions, &params), Error::Align { align: 1000 });
}
