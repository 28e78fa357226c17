//! Sizes, growth, and what is refused.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::Command,
};

use proptest::prelude::*;
use stagex_image::ext4::{self, Error, Journal, Params, Size};
use stagex_tree::{Content, Device, Inode, Kind, Metadata, Tree};

use crate::{common::*, support::*};

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
fn what_is_said_to_be_needed_is_enough() {
    for mib in [1_usize, 3, 7, 120, 127, 128] {
        let mut tree = empty();
        tree.insert(path("noise"), file(filling(mib << 20, 1))).unwrap();
        let exact = |size| Params { size: Size::Exact(size), ..params() };
        let Err(Error::TooSmall { needed, .. }) = ext4::layout(&tree, &exact((mib as u64) << 20))
        else {
            panic!("{mib} MiB hold {mib} MiB and an inode");
        };
        let enough = ext4::layout(&tree, &exact(needed)).unwrap();
        assert_eq!(enough.len(), needed);
        // Nor is it much more than what it takes.
        assert!(ext4::layout(&tree, &exact(needed / 8 * 7 / 4096 * 4096)).is_err(), "{mib} MiB");
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

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
