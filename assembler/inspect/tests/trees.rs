//! A tree with everything in it, in images made by reference tools: what this crate reads of each
//! is what the host says of the tree.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod common;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use common::{context, node, run};
use sha2::{Digest as _, Sha256};
use stagex_inspect::{Container, Kind, Node, find};

/// What is compared of an entry: fields by name, and the digest of its content.
type Entry = BTreeMap<String, String>;

const SECONDS: i64 = 1_700_000_000;

/// Makes the tree. Device nodes and attributes of the system need root, as the tools here do.
fn make(root: &Path) {
    let at = |path: &str| root.join(path);
    fs::create_dir_all(at("etc/deep/er/and/deeper")).unwrap();
    fs::create_dir_all(at("many")).unwrap();
    fs::create_dir_all(at("empty")).unwrap();
    fs::write(at("etc/motd"), "hello\n").unwrap();
    fs::write(at("etc/nothing"), "").unwrap();
    let noise = |len: usize| -> Vec<u8> {
        let mut state = 1u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| byte()).collect()
    };
    for len in [1, 511, 4095, 4096, 4097, 131_071, 131_072, 131_073, 700_001] {
        fs::write(at(&format!("etc/noise-{len}")), noise(len)).unwrap();
        fs::write(at(&format!("etc/text-{len}")), "line\n".repeat(len.div_ceil(5))).unwrap();
    }
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (3 << 20) - 3).unwrap();
    for index in 0..700 {
        let name = format!("many/{index:04}-{}", "x".repeat(index % 60));
        fs::write(at(&name), format!("{index}\n")).unwrap();
    }
    fs::write(at(&format!("etc/{}", "n".repeat(255))), "long name\n").unwrap();
    fs::hard_link(at("etc/motd"), at("etc/again")).unwrap();
    fs::hard_link(at("etc/motd"), at("third")).unwrap();
    symlink("etc/motd", at("link")).unwrap();
    symlink(format!("../{}t", "t/".repeat(60)), at("etc/long link")).unwrap();
    run(Command::new("mknod").arg(at("null")).args(["c", "1", "3"]));
    run(Command::new("mknod").arg(at("disk")).args(["b", "259", "300"]));
    run(Command::new("mkfifo").arg(at("fifo")));
    fs::set_permissions(at("etc/motd"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(at("empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    for (path, user, group) in [("etc/text-1", 1000, 100), ("etc/text-511", 70_000, 80_000)] {
        std::os::unix::fs::lchown(at(path), Some(user), Some(group)).unwrap();
    }
    run(Command::new("find").arg(root).args(["-exec", "touch", "-h", "-d"]).args([
        &format!("@{SECONDS}"),
        "{}",
        "+",
    ]));
}

/// Adds attributes: some that fit in an inode, some that do not, a capability.
fn attributes(root: &Path) {
    let set = |path: &str, name: &str, value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(root.join(path), name, value, flags).unwrap();
    };
    set("etc/text-4095", "user.comment", b"short");
    set("etc/text-4096", "user.comment", b"short");
    set("etc/text-4096", "user.long", &[b'v'; 900]);
    set("empty", "user.comment", b"a folder");
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set("etc/noise-1", "security.capability", &capability);
}

fn sha256(node: &Node) -> String {
    let mut all = Vec::new();
    node.bytes().unwrap().copy_to(&mut all).unwrap();
    Sha256::digest(&all).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn collect(nodes: &[Node], path: &str, fields: &[&str], all: &mut BTreeMap<String, Entry>) {
    for node in nodes {
        let path = format!("{path}/{}", node.name());
        let mut entry = Entry::new();
        entry.insert("kind".into(), node.kind().as_str().into());
        let keeps = |name: &str| {
            fields
                .iter()
                .any(|field| *field == name || (*field == "xattr" && name.starts_with("xattr ")))
        };
        let of_links = node.kind() != Kind::Symlink;
        let kept = node.fields().into_iter().filter(|(name, _)| keeps(name));
        // Links have no permissions on Linux, and some formats leave their times out.
        entry.extend(kept.filter(|(name, _)| of_links || !matches!(&name[..], "mode" | "mtime")));
        if node.bytes().is_some() {
            entry.insert("sha256".into(), sha256(node));
        }
        all.insert(path.clone(), entry);
        if node.kind() == Kind::Folder && node.name() != "lost+found" {
            let inside: Container = node.open(&context()).unwrap().unwrap();
            collect(&inside.nodes, &path, fields, all);
        }
    }
}

/// What the standard library says of the tree.
fn host(root: &Path, path: &str, fields: &[&str], all: &mut BTreeMap<String, Entry>) {
    for found in fs::read_dir(root).unwrap() {
        let found = found.unwrap();
        let metadata = found.path().symlink_metadata().unwrap();
        let path = format!("{path}/{}", found.file_name().to_str().unwrap());
        let kind = match metadata.mode() >> 12 {
            0o10 => "file",
            0o04 => "folder",
            0o12 => "symlink",
            0o02 => "char-device",
            0o06 => "block-device",
            _ => "fifo",
        };
        let mut entry = Entry::new();
        let mut put = |name: &str, value: String| {
            if fields.iter().any(|field| name.starts_with(field))
                || matches!(name, "kind" | "sha256")
            {
                entry.insert(name.into(), value);
            }
        };
        put("kind", kind.into());
        put("uid", metadata.uid().to_string());
        put("gid", metadata.gid().to_string());
        if kind != "symlink" {
            put("mode", format!("{:04o}", metadata.mode() & 0o7777));
            put("mtime", metadata.mtime().to_string());
        }
        match kind {
            "file" => {
                let bytes = fs::read(found.path()).unwrap();
                put("size", bytes.len().to_string());
                put("sha256", Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect());
            }
            "symlink" => {
                put("target", fs::read_link(found.path()).unwrap().to_str().unwrap().into());
            }
            "char-device" | "block-device" => {
                let device = metadata.rdev();
                let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
                put("device", format!("{major}:{minor}"));
            }
            _ => {}
        }
        if kind != "folder" && metadata.nlink() > 1 {
            put("links", metadata.nlink().to_string());
        }
        let mut names = vec![0; 1 << 12];
        let len = rustix::fs::llistxattr(found.path(), &mut names[..]).unwrap_or(0);
        for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0; 1 << 12];
            let len = rustix::fs::lgetxattr(found.path(), name, &mut value[..]).unwrap();
            let value = match std::str::from_utf8(&value[..len]) {
                Ok(text) if !text.contains(char::is_control) => text.to_owned(),
                _ => value[..len].iter().fold("0x".into(), |all, b| format!("{all}{b:02x}")),
            };
            put(&format!("xattr {}", std::str::from_utf8(name).unwrap()), value);
        }
        all.insert(path.clone(), entry);
        if kind == "folder" {
            host(&found.path(), &path, fields, all);
        }
    }
}

const ALL: [&str; 9] =
    ["size", "mode", "uid", "gid", "mtime", "device", "target", "links", "xattr"];

/// Compares what lies at `inside` of an image with the tree it was made from.
fn same(image: &Path, inside: &str, tree: &Path, fields: &[&str]) {
    let root = node(image);
    let found = find(&context(), &root, inside).unwrap();
    let opened = found.open(&context()).unwrap().expect("a known format");
    let (mut read, mut expected) = (BTreeMap::new(), BTreeMap::new());
    collect(&opened.nodes, "", fields, &mut read);
    host(tree, "", fields, &mut expected);
    read.remove("/lost+found");
    for (path, entry) in &expected {
        assert_eq!(read.get(path), Some(entry), "{}: {path}", image.display());
    }
    let names = |all: &BTreeMap<String, Entry>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&read), names(&expected), "{}", image.display());
}

/// A folder of its own with the tree in it.
fn tree(with_attributes: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = folder.path().join("tree");
    fs::create_dir(&root).unwrap();
    make(&root);
    if with_attributes {
        attributes(&root);
    }
    (folder, root)
}

fn sbin(name: &str) -> Command {
    let path = format!("/usr/sbin/{name}");
    Command::new(if Path::new(&path).exists() { path } else { name.to_owned() })
}

#[test]
fn ext4() {
    let (folder, root) = tree(true);
    for (block, features) in [
        ("1024", "metadata_csum,64bit,dir_index"),
        ("4096", "metadata_csum,64bit,metadata_csum_seed,inline_data"),
        ("4096", "^metadata_csum,^64bit,^has_journal,^flex_bg"),
        ("2048", "metadata_csum,64bit,large_dir,^resize_inode"),
    ] {
        let image = folder.path().join("image.ext4");
        let _ = fs::remove_file(&image);
        run(sbin("mkfs.ext4")
            .args(["-q", "-b", block, "-O", features])
            .arg("-d")
            .arg(&root)
            .arg(&image)
            .arg("64M"));
        // mke2fs makes linear folders; e2fsck gives the large ones an index.
        let status = sbin("e2fsck").args(["-fyD"]).arg(&image).output().unwrap().status;
        assert!(status.code().is_some_and(|code| code < 4), "{status}");
        same(&image, "", &root, &ALL);
    }
}

#[test]
fn ext4_checksums_are_compared() {
    let (folder, root) = tree(false);
    let image = folder.path().join("image.ext4");
    run(sbin("mkfs.ext4")
        .args(["-q", "-O", "metadata_csum"])
        .arg("-d")
        .arg(&root)
        .arg(&image)
        .arg("64M"));
    let debugfs = |request: &str| run(sbin("debugfs").args(["-w", "-R", request]).arg(&image));
    // A write that keeps the inode's old checksum.
    let output = sbin("debugfs").args(["-R", "imap /etc/motd"]).arg(&image).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let number = |name: &str| -> u64 {
        let rest = &text[text.find(name).unwrap() + name.len()..];
        let rest = rest.trim_start().trim_start_matches("0x");
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        u64::from_str_radix(&rest[..end], if name == "offset" { 16 } else { 10 }).unwrap()
    };
    let at = number("located at block") * 4096.min(block_size(&image)) + number("offset");
    let file = File::options().write(true).open(&image).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xaa], at + 8).unwrap();
    let _ = debugfs;
    let found = find(&context(), &node(&image), "etc/motd").unwrap();
    let error = found.open(&context()).unwrap_err().to_string();
    assert!(error.contains("checksum is wrong"), "{error}");
    // Another file is not concerned.
    let other = find(&context(), &node(&image), "etc/text-1").unwrap();
    assert_eq!(sha256(&other).len(), 64);
}

fn block_size(image: &Path) -> u64 {
    let output = sbin("dumpe2fs").arg("-h").arg(image).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("Block size:")).unwrap();
    line.split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn erofs() {
    let (folder, root) = tree(true);
    // Version 1.5 of the tool fails for names this long.
    fs::remove_file(root.join(format!("etc/{}", "n".repeat(255)))).unwrap();
    run(Command::new("touch").args(["-d", &format!("@{SECONDS}")]).arg(root.join("etc")));
    for options in [&[][..], &["--chunksize=65536"], &["-x1"], &["-Eforce-inode-extended"]] {
        let image = folder.path().join("image.erofs");
        let _ = fs::remove_file(&image);
        run(sbin("mkfs.erofs").args(options).arg(&image).arg(&root));
        same(&image, "", &root, &ALL);
    }
}

#[test]
fn compressed_erofs() {
    let (folder, root) = tree(true);
    // Version 1.5 of the tool fails for names this long.
    fs::remove_file(root.join(format!("etc/{}", "n".repeat(255)))).unwrap();
    // Text whose clusters end everywhere, noise within it, and the same in two places.
    let words = |count: u32, salt: u32| -> Vec<u8> {
        let word = |n: u32| (n.wrapping_mul(n ^ salt).wrapping_mul(0x9e37_79b9) >> 22).to_string();
        (0..count).flat_map(|n| word(n).into_bytes()).collect()
    };
    let noise = fs::read(root.join("etc/noise-700001")).unwrap();
    let common = words(90_000, 1);
    for (name, content) in [
        ("words", words(200_000, 2)),
        ("mixed", [&words(9_000, 3)[..], &noise[..77_777], &words(30_001, 4)].concat()),
        ("twin-one", [&words(501, 5), &common[..]].concat()),
        ("twin-two", [&words(3_001, 6), &common[..], &words(77, 7)].concat()),
        ("zeros", vec![0; 9_000_001]),
    ] {
        fs::write(root.join("etc").join(name), content).unwrap();
        run(Command::new("touch")
            .args(["-d", &format!("@{SECONDS}")])
            .arg(root.join("etc").join(name)));
    }
    for folder in [root.join("etc"), root.clone()] {
        run(Command::new("touch").args(["-d", &format!("@{SECONDS}")]).arg(folder));
    }
    for options in [
        &["-zlz4"][..],
        &["-zlz4hc,12"],
        &["-zlz4", "-Elegacy-compress"],
        &["-zlz4", "-C65536"],
        &["-zlz4hc", "-C1048576"],
        &["-zlz4", "-C16384", "-Elegacy-compress"],
        &["-zlz4", "-Eztailpacking"],
        &["-zlz4", "-C65536", "-Eztailpacking"],
        &["-zlz4", "-Elegacy-compress,ztailpacking"],
        &["-zlz4", "--max-extent-bytes=20000"],
        &["-zlz4", "-Eforce-inode-extended"],
    ] {
        let image = folder.path().join("image.erofs");
        let _ = fs::remove_file(&image);
        run(sbin("mkfs.erofs").args(options).arg(&image).arg(&root));
        let opened = node(&image).open(&context()).unwrap().unwrap();
        assert_eq!(opened.format, "erofs");
        same(&image, "", &root, &ALL);
    }
    // What newer versions than Debian 12's know besides.
    for options in [
        &["-zlz4", "-Ededupe"][..],
        &["-zlz4", "-C65536", "-Ededupe"],
        &["-zlz4", "-Efragments"],
        &["-zlz4", "-C65536", "-Efragments,dedupe"],
        &["-zlz4", "-Eall-fragments,dedupe", "-C65536"],
        &["-zlz4", "-C65536", "-Efragments,legacy-compress"],
        &["-zdeflate,9", "-C65536"],
        &["-zzstd,9"],
        &["-zzstd,9", "-C65536", "-Eztailpacking"],
        &["-zzstd,9", "-C65536", "-Efragments,dedupe"],
    ] {
        let image = folder.path().join("image.erofs");
        let _ = fs::remove_file(&image);
        let output = sbin("mkfs.erofs").args(options).arg(&image).arg(&root).output().unwrap();
        if output.status.success() {
            same(&image, "", &root, &ALL);
        }
    }
}

#[test]
fn squashfs() {
    let (folder, root) = tree(true);
    for options in [
        &["-comp", "gzip"][..],
        &["-comp", "xz"],
        &["-comp", "zstd", "-b", "4096"],
        &["-comp", "lz4", "-always-use-fragments"],
        &["-comp", "zstd", "-noI", "-noD", "-noF", "-no-exports", "-b", "1M"],
        &["-comp", "gzip", "-no-fragments", "-noX"],
    ] {
        let image = folder.path().join("image.squashfs");
        let _ = fs::remove_file(&image);
        run(Command::new("mksquashfs")
            .args([&root, &image])
            .args(["-quiet", "-no-progress"])
            .args(options));
        same(&image, "", &root, &ALL);
    }
}

#[test]
fn archives() {
    let (folder, root) = tree(true);
    let image = folder.path().join("image.tar");
    run(Command::new("tar")
        .args(["--format=pax", "--xattrs", "--xattrs-include=*", "-cf"])
        .arg(&image)
        .arg("-C")
        .arg(&root)
        .arg("."));
    let kept = ["size", "mode", "uid", "gid", "mtime", "device", "target", "xattr"];
    same(&image, "", &root, &kept);
    run(Command::new("tar")
        .args(["--format=gnu", "-cf"])
        .arg(&image)
        .arg("-C")
        .arg(&root)
        .arg("."));
    same(&image, "", &root, &kept[..7]);
    let script = "find . | LC_ALL=C sort | cpio -o -H newc --quiet > ../image.cpio";
    run(Command::new("sh").args(["-c", script]).current_dir(&root));
    same(&folder.path().join("image.cpio"), "", &root, &ALL[..8]);
}

#[test]
fn iso() {
    let (folder, root) = tree(false);
    let image = folder.path().join("image.iso");
    run(Command::new("xorriso")
        .args(["-as", "mkisofs", "-R", "-J", "-joliet-long", "-quiet", "--hardlinks", "-o"])
        .args([&image, &root]));
    same(&image, "files", &root, &ALL[..7]);
}

#[test]
fn fat() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = folder.path().join("tree");
    fs::create_dir_all(root.join("EFI/BOOT/a long folder")).unwrap();
    for index in 0..300 {
        fs::write(root.join(format!("EFI/BOOT/File number {index}.txt")), vec![b'f'; index * 37])
            .unwrap();
    }
    fs::write(root.join("EFI/BOOT/BOOTX64.EFI"), vec![7; 300_000]).unwrap();
    fs::write(root.join("EFI/BOOT/a long folder/Ünïcode ☃.txt"), "snow\n").unwrap();
    fs::write(root.join("EMPTY.TXT"), "").unwrap();
    for (bits, size) in [("12", 2 << 20), ("16", 20 << 20), ("32", 64 << 20)] {
        let image = folder.path().join("image.fat");
        let _ = fs::remove_file(&image);
        File::create(&image).unwrap().set_len(size).unwrap();
        run(sbin("mkfs.fat").args(["-F", bits, "-s", "1", "-n", "BOOT"]).arg(&image));
        run(Command::new("mcopy")
            .env("LC_ALL", "C.UTF-8")
            .args(["-s", "-i"])
            .arg(&image)
            .arg(root.join("EFI"))
            .arg(root.join("EMPTY.TXT"))
            .arg("::"));
        let found = node(&image);
        let opened = found.open(&context()).unwrap().unwrap();
        assert_eq!(opened.format, format!("fat{bits}"));
        let (mut read, mut expected) = (BTreeMap::new(), BTreeMap::new());
        collect(&opened.nodes, "", &["size"], &mut read);
        host(&root, "", &["size"], &mut expected);
        read.remove("/(volume label)");
        assert_eq!(read, expected, "FAT{bits}");
    }
}

#[test]
fn disks() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let raw = folder.path().join("disk.raw");
    File::create(&raw).unwrap().set_len(8 << 20).unwrap();
    run(sbin("sgdisk")
        .args(["-n", "1:2048:+3M", "-t", "1:ef00", "-c", "1:boot", "-n", "2:0:0", "-t", "2:8300"])
        .arg(&raw));
    let file = File::options().write(true).open(&raw).unwrap();
    let mut content = vec![0; 3 << 20];
    let mut state = 1u32;
    for byte in content.iter_mut().take(2 << 20) {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        *byte = (state >> 24) as u8 & 0x3f;
    }
    std::os::unix::fs::FileExt::write_all_at(&file, &content, 1 << 20).unwrap();
    let whole = fs::read(&raw).unwrap();
    for (format, options) in [
        ("qcow2", &[][..]),
        ("qcow2", &["-o", "cluster_size=4096,compat=0.10"]),
        ("qcow2", &["-c"]),
        ("qcow2", &["-c", "-o", "compression_type=zstd"]),
        ("vpc", &["-o", "subformat=fixed,force_size=on"]),
        ("vmdk", &["-o", "subformat=streamOptimized"]),
        ("vmdk", &["-o", "subformat=monolithicSparse"]),
    ] {
        let image = folder.path().join(format!("disk.{format}"));
        run(Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", format])
            .args(options)
            .args([&raw, &image]));
        let root = node(&image);
        let mut bytes = Vec::new();
        find(&context(), &root, "disk").unwrap().bytes().unwrap().copy_to(&mut bytes).unwrap();
        assert!(bytes == whole, "{format} {options:?}");
        let boot = find(&context(), &root, "disk > boot").unwrap();
        assert_eq!(boot.kind(), Kind::Partition);
        assert_eq!(boot.bytes().unwrap().len(), 3 << 20);
        let linux = find(&context(), &root, "disk/linux").unwrap();
        assert_eq!(linux.kind(), Kind::Partition);
    }
    let backed = folder.path().join("backed.qcow2");
    run(Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([&raw, &backed]));
    let error = node(&backed).open(&context()).unwrap_err().to_string();
    assert!(error.contains("backing file"), "{error}");
}

#[test]
fn programs_and_libraries() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let at = |name: &str| folder.path().join(name);
    let long = "a_member_with_a_name_of_more_than_sixteen_bytes.o";
    for (library, answer) in [("one.a", "42"), ("two.a", "43")] {
        fs::write(at("answer.c"), format!("int answer(void) {{ return {answer}; }}\n")).unwrap();
        fs::write(at("other.c"), "int other(void) { return 1; }\n").unwrap();
        run(Command::new("cc").args(["-O1", "-c", "-o"]).args([at(long), at("answer.c")]));
        run(Command::new("cc").args(["-O1", "-c", "-o"]).args([at("other.o"), at("other.c")]));
        run(Command::new("ar").arg("rcD").arg(at(library)).args([at("other.o"), at(long)]));
    }
    let root = node(&at("two.a"));
    let text = find(&context(), &root, &format!("{long} > .text")).unwrap();
    let section = at("section");
    run(Command::new("objcopy")
        .args(["-O", "binary", "--only-section=.text"])
        .args([at(long), section.clone()]));
    let mut bytes = Vec::new();
    text.bytes().unwrap().copy_to(&mut bytes).unwrap();
    assert_eq!(bytes, fs::read(section).unwrap());
    let found =
        stagex_inspect::differences(&context(), &node(&at("one.a")), &root, &Default::default());
    let shown: Vec<String> = found.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(
        shown[0].starts_with(&format!("{long} > .text: bytes differ from offset")),
        "{shown:?}"
    );
}

/// Writes an image of this house.
fn write(path: &Path, image: &dyn stagex_image::Image) {
    let mut out = std::io::BufWriter::new(File::create(path).unwrap());
    image.write(&mut out).unwrap();
    std::io::Write::flush(&mut out).unwrap();
}

#[test]
fn our_own_images() {
    use stagex_image::{cpio, disk, erofs, ext4, iso, squashfs, vmdisk};
    let (folder, root) = tree(true);
    let tree = stagex_tree::read_folder(&root).unwrap();
    let image = folder.path().join("image");
    for block in [1024, 4096] {
        let params = ext4::Params { block, ..ext4::Params::new("root", SECONDS) };
        write(&image, &ext4::layout(&tree, &params).unwrap());
        same(&image, "", &root, &ALL);
    }
    write(&image, &erofs::layout(&tree, &erofs::Params::new(SECONDS)).unwrap());
    same(&image, "", &root, &ALL);
    for compression in [erofs::Compression::Lz4, erofs::Compression::Zstd { level: 3 }] {
        for (cluster, tails) in
            [(4096, true), (4096, false), (16_384, true), (65_536, false), (1 << 19, true)]
        {
            let packing = erofs::Packing::new(compression, folder.path());
            let packing = Some(erofs::Packing { cluster, tails, ..packing });
            let params = erofs::Params { packing, ..erofs::Params::new(SECONDS) };
            write(&image, &erofs::layout(&tree, &params).unwrap());
            same(&image, "", &root, &ALL);
        }
    }
    for compression in [
        squashfs::Compression::Gzip { level: 6 },
        squashfs::Compression::Xz { preset: 1 },
        squashfs::Compression::Lz4,
        squashfs::Compression::Zstd { level: 3 },
    ] {
        for tail_ends in [false, true] {
            let params = squashfs::Params::new(SECONDS, folder.path());
            let params = squashfs::Params { compression, tail_ends, ..params };
            write(&image, &squashfs::layout(&tree, &params).unwrap());
            same(&image, "", &root, &ALL);
        }
    }
    write(&image, &cpio::layout(&tree, &cpio::Params { drop_xattrs: true }).unwrap());
    same(&image, "", &root, &ALL[..8]);
    let (plain, plain_root) = self::tree(false);
    let plain_tree = stagex_tree::read_folder(&plain_root).unwrap();
    write(&image, &iso::layout(&plain_tree, &iso::Params::new("CD", SECONDS)).unwrap());
    same(&image, "files", &plain_root, &ALL[..7]);
    drop(plain);

    // A disk of partitions, and that disk in the formats of virtual machines.
    let volume = ext4::layout(&tree, &ext4::Params::new("root", SECONDS)).unwrap();
    let seed = stagex_tree::Digest::of(b"seed");
    let kind = stagex_image::gpt::Type::named("linux-root-x86-64").unwrap();
    let partition = disk::Partition {
        kind,
        name: "root".into(),
        content: &volume,
        size: None,
        guid: None,
        attributes: 0,
        in_mbr: false,
    };
    let disk = disk::layout(&[partition], &disk::Params::new(seed)).unwrap();
    write(&image, &disk);
    same(&image, "root", &root, &ALL);
    write(&image, &vmdisk::qcow2::layout(&disk, &vmdisk::qcow2::Params::default()).unwrap());
    same(&image, "disk > root", &root, &ALL);
    write(&image, &vmdisk::vhd::layout(&disk, &seed).unwrap());
    same(&image, "disk > root", &root, &ALL);
    let params = vmdisk::vmdk::Params::new("image", seed, 2);
    vmdisk::vmdk::write(&disk, &params, &mut File::create(&image).unwrap()).unwrap();
    same(&image, "disk > root", &root, &ALL);
}
