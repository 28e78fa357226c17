//! Disks read back by sgdisk, e2fsck, veritysetup, mtools and qemu-img.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use stagex_image::uki::PeImage;
use stagex_oci::{Normalise, Store};
use stagex_recipe::{
    Document, Span, Spanned,
    boxes::{Disk, RootFs},
};
use stagex_tree::{Digest, Inode, Kind, Metadata, Tree};

use super::*;

/// Gives what a reference tool says; it must succeed.
fn tool(package: &str, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output
        .unwrap_or_else(|error| panic!("this test needs the Debian package {package}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{errors}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An ELF of one segment, as the EFI stub is.
fn stub() -> Vec<u8> {
    let mut elf = vec![0; 0x1004];
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    for (at, value) in [(16, 3_u16), (18, 62), (54, 56), (56, 1)] {
        put(at, &value.to_le_bytes());
    }
    for (at, value) in
        [(24, 0x1000_u64), (32, 64), (72, 0x1000), (80, 0x1000), (88, 0x1000), (96, 4), (104, 4)]
    {
        put(at, &value.to_le_bytes());
    }
    put(64, &[1, 0, 0, 0, 5]);
    elf
}

/// The least that counts as a kernel, for UEFI and for Nitro.
fn kernel() -> Vec<u8> {
    let mut pe = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| pe[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[64]);
    put(64, b"PE\0\0\x64\x86");
    put(84, &[240]);
    put(88, &[0x0b, 2]);
    put(88 + 68, &[10]);
    put(0x202, b"HdrS");
    pe
}

pub(crate) fn composition(format: RootFormat, verity: bool, disk: Disk) -> Composition {
    let mut rootfs = Tree::new();
    let file = |bytes: Vec<u8>| Inode {
        metadata: Metadata::new(0o755),
        kind: Kind::File(Content::from_bytes(bytes)),
    };
    rootfs.insert(TreePath::new("init").unwrap(), file(b"#!/bin/sh\n".to_vec())).unwrap();
    let big = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    rootfs.insert(TreePath::new("big").unwrap(), file(big)).unwrap();
    Composition {
        document: Document::new("box.toml", "[box]\n"),
        name: "tiny".to_owned(),
        version: "1".to_owned(),
        architecture: Architecture::X86_64,
        rootfs,
        own: BTreeSet::from([TreePath::new("init").unwrap()]),
        layers: Vec::new(),
        rootfs_plan: RootFs { format, verity, ..RootFs::default() },
        disk,
        kernel: Content::from_bytes(kernel()),
        kernel_release: Some("6.12".to_owned()),
        stub: Content::from_bytes(stub()),
        bios: None,
        cmdline: "console=ttyS0 quiet".to_owned(),
        release: "ID=tiny\n".to_owned(),
        digest: Digest::of("tiny"),
        seeds: BTreeSet::new(),
        epoch: 1_700_000_000,
    }
}

fn partition(role: Role, size: Option<u64>) -> DiskPartition {
    DiskPartition { role, name: role.name().to_owned(), size: size.map(given), ext4: false }
}

/// A size as box.toml gives it.
fn given(bytes: u64) -> Spanned<u64> {
    Spanned::new(bytes, Span::new(1, 4))
}

/// An empty store.
pub(crate) fn store(folder: &Path) -> Store {
    Store::open(folder, Normalise::default()).unwrap()
}

/// Writes an output and gives the folder and the image.
fn written(composition: &Composition, output: Output) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let store = store(&folder.path().join("store"));
    let files = composition.writer(&store, &scratch, 2).write(output, folder.path()).unwrap();
    let path = files[0].path.clone();
    assert_eq!(Digest::of(fs::read(&path).unwrap()), files[0].sha256);
    (folder, path)
}

/// The partitions of a disk by name: GUID, first byte, bytes.
fn table(disk: &Path) -> Vec<(String, String, u64, u64)> {
    let verdict = tool("gdisk", "sgdisk", &["-v", text(disk)]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let json = tool("fdisk", "sfdisk", &["-J", text(disk)]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let number = |value: &serde_json::Value| value.as_u64().unwrap() * 512;
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_lowercase();
    let rows = json["partitiontable"]["partitions"].as_array().unwrap();
    let row = |row: &serde_json::Value| {
        (word(&row["name"]), word(&row["uuid"]), number(&row["start"]), number(&row["size"]))
    };
    rows.iter().map(row).collect()
}

/// Cuts a partition out.
fn cut(disk: &Path, (name, _, at, len): &(String, String, u64, u64)) -> PathBuf {
    let bytes = fs::read(disk).unwrap();
    let (at, len) = (usize::try_from(*at).unwrap(), usize::try_from(*len).unwrap());
    let path = disk.with_file_name(name);
    fs::write(&path, &bytes[at..at + len]).unwrap();
    path
}

/// The command line of the UKI that firmware starts from an EFI system partition.
fn cmdline(esp: &Path) -> String {
    cmdline_of(esp, "EFI/BOOT/BOOTX64.EFI")
}

/// The command line of a UKI in an EFI system partition.
fn cmdline_of(esp: &Path, path: &str) -> String {
    tool("dosfstools", "fsck.fat", &["-n", text(esp)]);
    let uki = esp.with_file_name("uki.efi");
    tool("mtools", "mcopy", &["-no", "-i", text(esp), &format!("::/{path}"), text(&uki)]);
    let len = fs::metadata(&uki).unwrap().len();
    let image = PeImage::parse(&Content::from_file(uki.as_path(), 0, len)).unwrap();
    assert!(image.section(".initrd").is_none());
    image.text(".cmdline").unwrap().unwrap()
}

#[test]
fn every_role_has_a_type() {
    for architecture in Architecture::ALL {
        let mut composition = composition(RootFormat::Ext4, true, Disk::default());
        composition.architecture = architecture;
        let mut kinds: Vec<_> = Role::ALL.map(|role| composition.kind(role).0).into();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), Role::ALL.len(), "{architecture}");
    }
}

#[test]
fn a_root_file_system_that_can_be_written_to() {
    let partitions = vec![
        partition(Role::Root, Some(96 << 20)),
        partition(Role::Swap, Some(4 << 20)),
        partition(Role::Esp, Some(64 << 20)),
    ];
    let disk = Disk { size: Some(given(256 << 20)), ab: false, partitions };
    let composition = composition(RootFormat::Ext4, false, disk);
    let (_folder, image) = written(&composition, Output::Disk);
    assert_eq!(fs::metadata(&image).unwrap().len(), 256 << 20);
    let table = table(&image);
    let names: Vec<&str> = table.iter().map(|row| &*row.0).collect();
    assert_eq!(names, ["root", "swap", "esp"]);
    assert_eq!((table[0].3, table[2].3), (96 << 20, 64 << 20));
    let root = cut(&image, &table[0]);
    tool("e2fsprogs", "e2fsck", &["-fn", text(&root)]);
    let shown = tool("e2fsprogs", "debugfs", &["-R", "stat /init", text(&root)]);
    assert!(shown.contains("Mode:  0755"), "{shown}");
    let esp = cut(&image, &table[2]);
    assert_eq!(
        cmdline(&esp),
        format!(
            "root=PARTUUID={} rootfstype=ext4 rootwait rw init=/init console=ttyS0 quiet",
            table[0].1
        )
    );
    // Where the volume says that it lies.
    let hidden = &fs::read(&esp).unwrap()[28..32];
    assert_eq!(u64::from(u32::from_le_bytes(hidden.try_into().unwrap())) * 512, table[2].2);
}

#[test]
fn what_has_no_room_is_named_with_what_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let write = |format, ab, partitions: Vec<DiskPartition>, size: Option<u64>| {
        let disk = Disk { size: size.map(given), ab, partitions };
        let mut composition = composition(format, false, disk);
        // Too much for the first size, whatever it is made of.
        let noise: Vec<u8> =
            (0..3u32 << 17).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect();
        let path = TreePath::new("noise").unwrap();
        let kind = Kind::File(Content::from_bytes(noise));
        composition.rootfs.insert(path, Inode { metadata: Metadata::new(0o644), kind }).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let store = store(&scratch.path().join("store"));
        let writer = composition.writer(&store, scratch.path(), 2);
        writer.write(Output::Disk, folder.path()).map(drop)
    };
    let (esp, root) = (|size| partition(Role::Esp, size), |size| partition(Role::Root, Some(size)));
    let sized = |format: RootFormat, ab: bool, name: &str, size: u64| {
        use RootFormat::Initramfs;
        match (name, format) {
            ("disk", _) => write(format, ab, vec![esp(None)], Some(size)),
            (_, Initramfs) => write(format, ab, vec![esp(Some(size))], None),
            _ => write(format, ab, vec![esp(None), root(size)], None),
        }
    };
    for (format, ab, name) in [
        (RootFormat::Initramfs, false, "esp"),
        (RootFormat::Initramfs, false, "disk"),
        (RootFormat::Ext4, false, "root"),
        (RootFormat::Erofs, false, "root"),
        (RootFormat::Squashfs, true, "root"),
    ] {
        let error = sized(format, ab, name, 1 << 20).unwrap_err();
        assert!(matches!(error, Error::Recipe(_)), "{error}");
        let error = error.to_string();
        let what = match name {
            "disk" => "the disk".to_owned(),
            name => format!("the partition `{name}`"),
        };
        assert!(error.contains(&format!("{what} is too small with 1 MiB: ")), "{error}");
        assert!(error.contains("box.toml:1:2"), "{error}");
        // What it says to write does.
        let needed = error.split("size = \"").nth(1).and_then(|rest| rest.split('M').next());
        let needed: u64 = needed.unwrap_or_else(|| panic!("{error}")).parse().unwrap();
        assert!(error.contains(&format!(" {needed} MiB\n")), "{error}");
        sized(format, ab, name, needed << 20).unwrap();
    }
}

#[test]
fn a_partition_that_begins_as_an_empty_file_system() {
    let var = DiskPartition { ext4: true, ..partition(Role::Var, Some(32 << 20)) };
    let partitions = vec![partition(Role::Esp, None), var, partition(Role::Home, Some(1 << 20))];
    let disk = Disk { size: None, ab: false, partitions };
    let composition = composition(RootFormat::Initramfs, false, disk);
    let (_folder, image) = written(&composition, Output::Disk);
    let table = table(&image);
    assert_eq!((&*table[1].0, table[1].3), ("var", 32 << 20));
    let var = cut(&image, &table[1]);
    tool("e2fsprogs", "e2fsck", &["-fn", text(&var)]);
    let shown = tool("e2fsprogs", "dumpe2fs", &["-h", text(&var)]);
    assert!(shown.contains("has_journal"), "{shown}");
    let field = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    assert_eq!(field("Block count:") * field("Block size:"), 32 << 20);
    assert!(field("Free inodes:") > 500 && field("Free blocks:") > 1000, "{shown}");
    assert!(fs::read(cut(&image, &table[2])).unwrap().iter().all(|&byte| byte == 0));
}

#[test]
fn a_root_file_system_that_is_checked_with_a_second_place() {
    let [root, tree] = [Role::Root, Role::RootVerity].map(|role| partition(role, None));
    let partitions = vec![partition(Role::Esp, Some(40 << 20)), root, tree];
    let disk = Disk { size: None, ab: true, partitions };
    let composition = composition(RootFormat::Ext4, true, disk);
    let (_folder, image) = written(&composition, Output::Disk);
    let table = table(&image);
    let names: Vec<&str> = table.iter().map(|row| &*row.0).collect();
    assert_eq!(names, ["esp", "root-a", "root-b", "root-verity-a", "root-verity-b"]);
    assert_eq!((table[1].3, table[3].3), (table[2].3, table[4].3));
    let (root, tree) = (cut(&image, &table[1]), cut(&image, &table[3]));
    tool("e2fsprogs", "e2fsck", &["-fn", text(&root)]);
    assert!(fs::read(cut(&image, &table[2])).unwrap().iter().all(|&byte| byte == 0));
    // The command line alone says what is trusted.
    let cmdline = cmdline(&cut(&image, &table[0]));
    let words: Vec<&str> = cmdline.split(' ').collect();
    let at = words.iter().position(|word| *word == "sha256").unwrap();
    let (hash, salt) = (words[at + 1], words[at + 2].trim_end_matches('"'));
    assert_eq!((hash.len(), salt.len()), (64, 64));
    let salt = format!("--salt={salt}");
    tool("cryptsetup-bin", "veritysetup", &["verify", &salt, text(&root), text(&tree), hash]);
    assert!(cmdline.starts_with("dm-mod.create=\"root,,,ro,0 "), "{cmdline}");
    for text in [
        format!("verity 1 PARTUUID={} PARTUUID={} 4096 4096", table[1].1, table[3].1),
        format!(" dm-mod.waitfor=PARTUUID={},PARTUUID={} ", table[1].1, table[3].1),
        " root=/dev/dm-0 rootfstype=ext4 ro init=/init console=ttyS0 quiet".to_owned(),
    ] {
        assert!(cmdline.contains(&text), "{text}: {cmdline}");
    }
    // The other UKI differs in the place alone.
    let second = cmdline_of(&cut(&image, &table[0]), "EFI/stagex/slot-b.efi");
    let moved = cmdline.replace(&table[1].1, &table[2].1).replace(&table[3].1, &table[4].1);
    assert_eq!(second, moved);
    assert_ne!(second, cmdline);
    assert!(!root.with_file_name("scratch").join("initramfs").exists(), "none is made");
}

#[test]
fn a_later_version_knows_the_places_of_an_earlier_one() {
    let guids = |digest: &str, format| {
        let root = partition(Role::Root, Some(16 << 20));
        let partitions = vec![partition(Role::Esp, Some(40 << 20)), root];
        let disk = Disk { size: None, ab: true, partitions };
        let composition =
            Composition { digest: Digest::of(digest), ..composition(format, false, disk) };
        let (_folder, image) = written(&composition, Output::Disk);
        let guids: Vec<String> = table(&image).into_iter().map(|row| row.1).collect();
        guids
    };
    let (earlier, later) = (guids("1", RootFormat::Ext4), guids("2", RootFormat::Erofs));
    assert_eq!(earlier[1..], later[1..]);
    assert_ne!(earlier[0], later[0]);
    assert_ne!(earlier[1], earlier[2]);
}

#[test]
fn root_file_systems_that_are_only_read() {
    for (format, package, checker) in [
        (RootFormat::Erofs, "erofs-utils", &["fsck.erofs"][..]),
        (RootFormat::Squashfs, "squashfs-tools", &["unsquashfs", "-ll"]),
    ] {
        let [root, tree] = [Role::Root, Role::RootVerity].map(|role| partition(role, None));
        let esp = partition(Role::Esp, Some(40 << 20));
        let name = format.name();
        let disk = Disk { partitions: vec![esp.clone(), root.clone(), tree], ..Disk::default() };
        let (_one, image) = written(&composition(format, true, disk), Output::Disk);
        let rows = table(&image);
        let (root_at, tree_at) = (cut(&image, &rows[1]), cut(&image, &rows[2]));
        tool(package, checker[0], &[&checker[1..], &[text(&root_at)]].concat());
        let line = cmdline(&cut(&image, &rows[0]));
        assert!(line.contains(&format!(" root=/dev/dm-0 rootfstype={name} ro init=/init ")));
        let words: Vec<&str> = line.split(' ').collect();
        let at = words.iter().position(|word| *word == "sha256").unwrap();
        let salt = format!("--salt={}", words[at + 2].trim_end_matches('"'));
        let verify = ["verify", &salt, text(&root_at), text(&tree_at), words[at + 1]];
        tool("cryptsetup-bin", "veritysetup", &verify);
        // systemd finds both partitions by the root hash.
        let halves = format!("{}{}", rows[1].1, rows[2].1).replace('-', "");
        assert_eq!(halves, words[at + 1]);

        let root = DiskPartition { size: Some(given(32 << 20)), ..root };
        let disk = Disk { partitions: vec![esp, root], ..Disk::default() };
        let (_two, image) = written(&composition(format, false, disk), Output::Disk);
        let rows = table(&image);
        assert_eq!(rows[1].3, 32 << 20);
        tool(package, checker[0], &[&checker[1..], &[text(&cut(&image, &rows[1]))]].concat());
        let wanted = format!("root=PARTUUID={} rootfstype={name} rootwait ro init", rows[1].1);
        assert!(cmdline(&cut(&image, &rows[0])).starts_with(&wanted));
    }
}

#[test]
fn a_root_file_system_is_compressed_as_box_toml_says() {
    let esp = partition(Role::Esp, Some(40 << 20));
    let partitions = vec![esp, partition(Role::Root, None)];
    let disk = Disk { partitions, ..Disk::default() };
    let root = |format, compress, block| {
        let mut composition = composition(format, false, disk.clone());
        composition.rootfs_plan.compress = compress;
        composition.rootfs_plan.block = block;
        let lines: String = (0..200_000).map(|line| format!("line {line}\n")).collect();
        let kind = Kind::File(Content::from_bytes(lines.as_bytes()));
        let text = Inode { metadata: Metadata::new(0o644), kind };
        composition.rootfs.insert(TreePath::new("text").unwrap(), text).unwrap();
        let (folder, image) = written(&composition, Output::Disk);
        let root = cut(&image, &table(&image)[1]);
        (folder, root)
    };
    let len = |path: &Path| fs::metadata(path).unwrap().len();
    let plain = len(&root(RootFormat::Erofs, None, None).1);
    let (_one, lz4) = root(RootFormat::Erofs, Some(RootCompression::Lz4), Some(1 << 16));
    tool("erofs-utils", "fsck.erofs", &["--extract", text(&lz4)]);
    assert!(len(&lz4) < plain * 9 / 10, "{} of {plain}", len(&lz4));
    let said = tool("erofs-utils", "dump.erofs", &["-s", text(&lz4)]);
    assert!(said.contains("big_pcluster"), "{said}");
    let (_two, zstd) = root(RootFormat::Erofs, Some(RootCompression::Zstd(Some(12))), None);
    // The bit of the algorithm behind the superblock's features.
    assert_eq!(fs::read(&zstd).unwrap()[1024 + 84], 8);
    for (compress, block, said) in [
        (None, None, ["zstd", "131072"]),
        (Some(RootCompression::Zstd(Some(3))), Some(1 << 20), ["zstd", "1048576"]),
        (Some(RootCompression::Xz(None)), Some(1 << 16), ["xz", "65536"]),
        (Some(RootCompression::Gzip(Some(1))), None, ["gzip", "131072"]),
        (Some(RootCompression::Lz4), None, ["lz4", "131072"]),
    ] {
        let (_three, image) = root(RootFormat::Squashfs, compress, block);
        let shown = tool("squashfs-tools", "unsquashfs", &["-s", text(&image)]);
        for line in [format!("Compression {}", said[0]), format!("Block size {}", said[1])] {
            assert!(shown.contains(&line), "{line}: {shown}");
        }
    }
}

#[test]
fn an_initramfs_on_a_disk_in_qemu_s_format_and_in_an_enclave() {
    let partitions = vec![partition(Role::Esp, Some(40 << 20))];
    let disk = Disk { partitions, ..Disk::default() };
    let composition = composition(RootFormat::Initramfs, false, disk);
    let (_one, raw) = written(&composition, Output::Disk);
    assert_eq!(table(&raw).len(), 1);
    let (_two, qcow2) = written(&composition, Output::Qcow2);
    let compare = ["compare", "-f", "raw", "-F", "qcow2", text(&raw), text(&qcow2)];
    tool("qemu-utils", "qemu-img", &compare);
    let (folder, eif) = written(&composition, Output::Eif);
    assert_eq!(fs::read(eif).unwrap()[..4], *b".eif");
    let json = fs::read(folder.path().join("tiny.eif.pcrs.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["Measurements"]["PCR0"].as_str().unwrap().len(), 96);
}

#[test]
fn what_cannot_be_is_said() {
    let refused = |format, output, partitions: &[DiskPartition]| {
        let disk = Disk { partitions: partitions.to_vec(), ..Disk::default() };
        let folder = tempfile::tempdir().unwrap();
        let composition = composition(format, false, disk);
        let apart = tempfile::tempdir().unwrap();
        let store = store(apart.path());
        let writer = composition.writer(&store, folder.path(), 1);
        let error = writer.write(output, folder.path()).unwrap_err();
        assert_eq!(
            fs::read_dir(folder.path())
                .unwrap()
                .filter(|entry| {
                    !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("uki")
                })
                .count(),
            0
        );
        error.to_string()
    };
    let usual = [partition(Role::Esp, None), partition(Role::Root, None)];
    let said = refused(RootFormat::Erofs, Output::Uki, &usual);
    assert!(said.contains("is to be erofs: write the box as a disk"), "{said}");
    let said = refused(RootFormat::Ext4, Output::Iso, &usual);
    assert!(said.contains("the output iso holds an initramfs"), "{said}");
    let small = [partition(Role::Esp, None), partition(Role::Root, Some(1 << 20))];
    let said = refused(RootFormat::Ext4, Output::Disk, &small);
    assert!(said.contains("the partition `root` is too small with 1 MiB: "), "{said}");
    let small = [partition(Role::Esp, Some(1 << 20)), partition(Role::Root, None)];
    let said = refused(RootFormat::Ext4, Output::Disk, &small);
    assert!(said.contains("the partition `esp` is too small with 1 MiB: "), "{said}");
}

/// Boot code of the right sizes, which says nothing.
fn code() -> BiosCode {
    let mut loader = vec![0x90; 4096];
    loader[4..8].copy_from_slice(b"SXB1");
    loader[8..56].fill(0);
    BiosCode::new(&[0x90; 440], loader).unwrap()
}

/// What a BIOS would read of a medium: goes from the MBR to the loader, and from its table to the
/// kernel, the initramfs and the command line.
fn as_a_bios_does(medium: &[u8]) -> [Vec<u8>; 3] {
    let number = |at: usize| {
        let bytes = medium[at..at + 8].try_into().unwrap();
        usize::try_from(u64::from_le_bytes(bytes)).unwrap()
    };
    assert_eq!(medium[510..512], [0x55, 0xaa]);
    assert_eq!(medium[..432], [0x90; 432]);
    let loader = number(432) * 512;
    assert_eq!(medium[loader + 4..loader + 8], *b"SXB1");
    assert_eq!(medium[loader + 56..loader + 4096], [0x90; 4040]);
    [0, 1, 2].map(|each| {
        let (at, size) = (number(loader + 8 + each * 16), number(loader + 16 + each * 16));
        medium[at..at + size].to_vec()
    })
}

#[test]
fn a_bios_finds_the_kernel_on_a_disk_and_on_an_iso() {
    let mut composition = composition(
        RootFormat::Initramfs,
        false,
        Disk { partitions: vec![partition(Role::Esp, None)], ..Disk::default() },
    );
    let without = written(&composition, Output::Disk);
    assert_eq!(table(&without.1).len(), 1);
    composition.bios = Some(code());
    for output in [Output::Disk, Output::Iso] {
        let (_folder, path) = written(&composition, output);
        let [kernel_part, initrd, words] = as_a_bios_does(&fs::read(&path).unwrap());
        assert_eq!(kernel_part, kernel(), "{output}");
        assert_eq!(initrd[..4], [0x28, 0xb5, 0x2f, 0xfd], "{output}: no zstd");
        assert_eq!(words, b"console=ttyS0 quiet", "{output}");
        if output == Output::Disk {
            let rows = table(&path);
            assert_eq!(rows[1].0, "bios-boot");
            continue;
        }
        let listed =
            tool("xorriso", "xorriso", &["-indev", text(&path), "-report_el_torito", "plain"]);
        let boot = |kind: &str| {
            listed.lines().any(|l| l.starts_with("El Torito boot img") && l.contains(kind))
        };
        assert!(boot(" BIOS ") && boot(" UEFI "), "{listed}");
        // Four sectors of a CD-ROM's begin at what the catalogue says.
        let line = listed.lines().find(|line| line.contains(" BIOS ")).unwrap();
        assert!(line.contains(" 8 "), "{line}");
    }
    // What starts from a file system on the disk has no initramfs.
    let mut on_disk = super::tests::composition(
        RootFormat::Ext4,
        false,
        Disk {
            partitions: vec![partition(Role::Esp, None), partition(Role::Root, None)],
            ..Disk::default()
        },
    );
    on_disk.bios = Some(code());
    let (_folder, path) = written(&on_disk, Output::Disk);
    let [_, initrd, words] = as_a_bios_does(&fs::read(&path).unwrap());
    assert!(initrd.is_empty());
    assert!(String::from_utf8(words).unwrap().contains("root=PARTUUID="));
}

#[test]
fn boot_code_of_another_size_or_form_is_refused() {
    assert!(BiosCode::new(&[0; 440], vec![0; 4096]).is_err());
    assert!(BiosCode::new(&[0; 512], code().unset().read().unwrap()).is_err());
}
