//! Disks of two systems each, for every architecture, looked into and compared, whatever the form
//! of the disk.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod common;
#[path = "../../image/tests/common/efi.rs"]
#[allow(unreachable_pub, reason = "shared with other crates' tests")]
mod efi;

use std::{fs::File, path::Path};

use common::{context, node};
use stagex_image::{
    Image,
    compress::{Codec, Compression},
    cpio, disk, erofs, fat,
    gpt::Type,
    uki::{Machine, Uki},
    verity::{self, Verity},
    vmdisk,
};
use stagex_inspect::{Node, differences, find};
use stagex_tree::{Content, Digest, Inode, Kind, Metadata, Tree, TreePath};

const MACHINES: [Machine; 3] = [Machine::X86_64, Machine::Arm64, Machine::Riscv64];
const EPOCH: i64 = 1_700_000_000;

fn bytes(image: &dyn Image) -> Vec<u8> {
    let mut out = Vec::new();
    image.write(&mut out).unwrap();
    out
}

/// A tree of files, their folders made for them.
fn tree(files: &[(&str, &[u8])]) -> Tree {
    let mut tree = Tree::new();
    for (name, content) in files {
        let path = TreePath::new(name).unwrap();
        let folder = Metadata { mtime: EPOCH, ..Metadata::new(0o755) };
        tree.make_directories(&path.parent().unwrap(), &folder).unwrap();
        let kind = Kind::File(Content::from_bytes(*content));
        let metadata = Metadata { mtime: EPOCH, ..Metadata::new(0o644) };
        tree.insert(path, Inode { metadata, kind }).unwrap();
    }
    tree
}

/// A system: its kernel with initramfs and command line in one program, and its root.
struct System {
    program: Vec<u8>,
    root: Vec<u8>,
    verity: Verity,
}

fn system(machine: Machine, motd: &str) -> System {
    let root = tree(&[("etc/motd", motd.as_bytes()), ("usr/lib/release", b"1\n")]);
    let root = bytes(&erofs::layout(&root, &erofs::Params::new(EPOCH)).unwrap());
    let data = Content::from_bytes(&root[..]);
    let verity = Verity::over(&data, &verity::Params::new(&Digest::of(b"salt"), 1)).unwrap();
    let initrd = tree(&[("init", b"#!/bin/sh\n"), ("etc/motd", motd.as_bytes())]);
    let initrd = cpio::layout(&initrd, &cpio::Params::default()).unwrap();
    let mut packed = Vec::new();
    Compression::new(Codec::Zstd, 1).compress(&initrd, &mut packed).unwrap();
    let uki = Uki {
        stub: Content::from_bytes(efi::stub(machine, &[0; 64])),
        kernel: Content::from_bytes(efi::kernel(machine)),
        initrd: Some(Content::from_bytes(packed)),
        cmdline: format!("quiet roothash={}", verity.root_hash()),
        os_release: None,
        uname: None,
        sbat: None,
        ucode: None,
        dtb: None,
    };
    System { program: bytes(&uki.plan().unwrap()), root, verity }
}

/// A disk with a place for each of two systems.
fn disk(machine: Machine, a: &System, b: &System) -> Vec<u8> {
    let esp = tree(&[
        (machine.removable_path(), &a.program),
        ("EFI/Linux/box_a.efi", &a.program),
        ("EFI/Linux/box_b.efi", &b.program),
    ]);
    let esp = fat::layout(&esp, &fat::Params::default()).unwrap();
    let roots = [&a.root, &b.root].map(|root| Content::from_bytes(&root[..]));
    let trees = [a.verity.tree(), b.verity.tree()];
    let parts: [(&str, &str, &dyn Image); 5] = [
        ("esp", "esp", &esp),
        ("root-a", "linux-root-x86-64", &roots[0]),
        ("root-a-verity", "linux-root-verity-x86-64", &trees[0]),
        ("root-b", "linux-root-x86-64", &roots[1]),
        ("root-b-verity", "linux-root-verity-x86-64", &trees[1]),
    ];
    let partitions = parts.map(|(name, kind, content)| disk::Partition {
        kind: Type::named(kind).unwrap(),
        name: name.to_owned(),
        content,
        // Room that does not depend on what a compressor made of it.
        size: Some(content.len().next_multiple_of(1 << 20)),
        guid: None,
        attributes: 0,
        in_mbr: false,
    });
    bytes(&disk::layout(&partitions, &disk::Params::new(Digest::of(b"disk"))).unwrap())
}

fn content(root: &Node, path: &str) -> Vec<u8> {
    let found = find(&context(), root, path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut bytes = Vec::new();
    found.bytes().unwrap().copy_to(&mut bytes).unwrap();
    bytes
}

fn in_memory(bytes: &[u8]) -> Node {
    Node::file("disk", stagex_inspect::Bytes::from_vec(bytes.to_vec()))
}

fn lines(old: &Node, new: &Node) -> Vec<String> {
    let found = differences(&context(), old, new, &Default::default()).unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn two_systems_on_one_disk_are_walked_to_the_file() {
    for machine in MACHINES {
        let (a, b) = (system(machine, "the first\n"), system(machine, "the other\n"));
        let image = disk(machine, &a, &b);
        let root = in_memory(&image);
        let removable = format!("esp/{}", machine.removable_path());
        assert_eq!(content(&root, &removable), a.program);
        for (slot, system, motd) in [("a", &a, "the first\n"), ("b", &b, "the other\n")] {
            let program = format!("esp/EFI/Linux/box_{slot}.efi");
            assert_eq!(content(&root, &program), system.program);
            assert_eq!(content(&root, &format!("{program}/.initrd/etc/motd")), motd.as_bytes());
            let hash = system.verity.root_hash().to_string();
            let cmdline =
                String::from_utf8(content(&root, &format!("{program}/.cmdline"))).unwrap();
            assert!(cmdline.contains(&hash), "{cmdline}");
            assert_eq!(content(&root, &format!("root-{slot}/etc/motd")), motd.as_bytes());
            let tree = find(&context(), &root, &format!("root-{slot}-verity")).unwrap();
            let tree = tree.open(&context()).unwrap().unwrap();
            assert_eq!(tree.format, "verity");
        }
        let opened =
            find(&context(), &root, &removable).unwrap().open(&context()).unwrap().unwrap();
        let number = format!("{:#06x}", machine.pe());
        let is_ours =
            |(name, value): &(String, String)| name == "machine" && value.starts_with(&number);
        assert!(opened.fields.iter().any(is_ours), "{:?}", opened.fields);
    }
}

#[test]
fn what_differs_in_one_of_two_systems_is_named_and_nothing_of_the_other() {
    for machine in MACHINES {
        let a = system(machine, "the first\n");
        let old = disk(machine, &a, &system(machine, "the other\n"));
        let new = disk(machine, &a, &system(machine, "the third\n"));
        let found = lines(&in_memory(&old), &in_memory(&new));
        let line = "line 1: \"the other\" → \"the third\"";
        for path in ["esp > EFI/Linux/box_b.efi > .initrd > etc/motd", "root-b > etc/motd"] {
            assert!(found.contains(&format!("{path}: {line}")), "{found:#?}");
        }
        let of_the_other =
            |line: &&String| ["box_a", "root-a", "EFI/BOOT"].iter().any(|part| line.contains(part));
        assert_eq!(found.iter().find(of_the_other), None);
    }
}

/// A disk as a file of each form.
fn forms(folder: &Path, disk: &[u8]) -> Vec<(&'static str, Node)> {
    let content = Content::from_bytes(disk);
    let seed = Digest::of(b"disk");
    let at = |name: &str| folder.join(name);
    let put = |name: &str, image: &dyn Image| {
        image.write(&mut File::create(at(name)).unwrap()).unwrap();
    };
    put("raw", &content);
    let params = vmdisk::qcow2::Params::default();
    put("qcow2", &vmdisk::qcow2::layout(&content, &params).unwrap());
    put("vhd", &vmdisk::vhd::layout(&content, &seed).unwrap());
    let params = vmdisk::vmdk::Params::new("disk", seed, 1);
    vmdisk::vmdk::write(&content, &params, &mut File::create(at("vmdk")).unwrap()).unwrap();
    ["raw", "qcow2", "vhd", "vmdk"].map(|name| (name, node(&at(name)))).into()
}

#[test]
fn disks_of_different_forms_are_compared_by_what_they_hold() {
    let machine = Machine::X86_64;
    let a = system(machine, "the first\n");
    let old = disk(machine, &a, &system(machine, "the other\n"));
    let new = disk(machine, &a, &system(machine, "the third\n"));
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (same, other) = (forms(folders[0].path(), &old), forms(folders[1].path(), &new));
    for (number, (form, left)) in same.iter().enumerate() {
        for (to, (other_form, right)) in same.iter().enumerate().filter(|(to, _)| *to != number) {
            let found = lines(left, right);
            let is_form = |line: &String| line.starts_with("/: ");
            assert!(found.iter().all(is_form), "{form}, {other_form}: {found:#?}");
            assert!(found.iter().any(|line| line.starts_with("/: format: ")), "{found:#?}");

            let found = lines(left, &other[to].1);
            let path = "disk > esp > EFI/Linux/box_b.efi > .initrd > etc/motd";
            let expected = format!("{path}: line 1: \"the other\" → \"the third\"");
            assert!(found.contains(&expected), "{form}, {other_form}: {found:#?}");
            assert!(!found.iter().any(|line| line.contains("box_a")), "{found:#?}");
        }
    }
}
