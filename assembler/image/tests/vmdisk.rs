//! Exports of disks, read by qemu-img.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod common;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use common::*;
use proptest::prelude::*;
use stagex_image::{
    Image,
    vmdisk::{
        Error, SparseWriter,
        qcow2::{self, Compression},
        vhd, vmdk,
    },
};
use stagex_tree::{Content, Digest};

const MIB: u64 = 1 << 20;

fn seed() -> Digest {
    Digest::of(b"seed")
}

/// A disk of zeros, but for the parts named: where, how long, and whether they compress.
#[derive(Debug, Clone)]
struct Disk {
    len: u64,
    parts: Vec<(u64, usize, bool)>,
}

impl Disk {
    fn new(len: u64, parts: &[(u64, usize, bool)]) -> Self {
        Self { len, parts: parts.into() }
    }

    fn part(&(at, len, noise): &(u64, usize, bool)) -> Vec<u8> {
        let word =
            |n: u32| if noise { n.wrapping_mul(2_654_435_761) ^ n >> 7 } else { n / 100 + 1 };
        let from = at as u32;
        (0..len as u32).map(|n| (word(from.wrapping_add(n)) >> 5) as u8 | 1).collect()
    }
}

impl Image for Disk {
    fn len(&self) -> u64 {
        self.len
    }

    fn write(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let zeros = vec![0; 1 << 18];
        let mut at = 0;
        let ends = self.parts.iter().map(|part| (part.0, Self::part(part)));
        for (begin, bytes) in ends.chain([(self.len, Vec::new())]) {
            while at < begin {
                let n = (begin - at).min(zeros.len() as u64);
                out.write_all(&zeros[..n as usize])?;
                at += n;
            }
            out.write_all(&bytes)?;
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

/// Borders of clusters, grains and tables, data that compresses and data that does not.
fn sample() -> Disk {
    Disk::new(
        100 * MIB + 512,
        &[
            (0, 512, false),
            (65_536, 65_536, true),
            (3 * 65_536 - 1, 2, false),
            (MIB, 300_000, false),
            (32 * MIB - 1, 1, true),
            (70 * MIB, 200_001, true),
            (100 * MIB + 511, 1, false),
        ],
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, image: &dyn Image) -> PathBuf {
        let path = self.file(name);
        let mut file = fs::File::create(&path).unwrap();
        image.write(&mut file).unwrap();
        assert_eq!(file.metadata().unwrap().len(), image.len());
        path
    }

    fn raw(&self, disk: &Disk) -> PathBuf {
        let path = self.file("raw");
        let mut writer = SparseWriter::new(fs::File::create(&path).unwrap()).unwrap();
        disk.write(&mut writer).unwrap();
        writer.finish().unwrap();
        path
    }
}

fn qemu_img(arguments: &[&str], files: &[&Path]) -> String {
    ok_text("qemu-utils", Command::new("qemu-img").args(arguments).args(files))
}

/// The file is sound, where the format can be checked, and holds the same as the raw disk.
fn check(format: &str, file: &Path, raw: &Path, disk: &Disk) {
    if format != "vpc" {
        let output =
            run("qemu-utils", Command::new("qemu-img").args(["check", "-f", format]).arg(file));
        let verdict = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && error.is_empty(), "{verdict}{error}");
        assert!(verdict.contains("No errors were found on the image."), "{verdict}");
        assert!(!verdict.contains("leaked"), "{verdict}");
    }
    let verdict = qemu_img(&["compare", "-f", "raw", "-F", format], &[raw, file]);
    assert_eq!(verdict, "Images are identical.\n");
    let info = qemu_img(&["info", "--output=json", "-f", format], &[file]);
    assert!(info.contains(&format!("\"virtual-size\": {},", disk.len)), "{info}");
    assert!(info.contains(&format!("\"format\": \"{format}\"")), "{info}");
}

fn all_qcow2() -> Vec<qcow2::Params> {
    let plain = qcow2::Params::default();
    let mut all = Vec::new();
    for cluster in [512, 4096, 64 << 10, 2 << 20] {
        for compression in [None, Some(Compression::Zlib(6)), Some(Compression::Zstd(3))] {
            all.push(qcow2::Params { cluster, compression, workers: 2 });
        }
    }
    all.push(qcow2::Params { compression: Some(Compression::Zlib(9)), ..plain });
    all
}

fn write_vmdk(folder: &Folder, disk: &Disk, workers: u32) -> PathBuf {
    let path = folder.file("disk.vmdk");
    let mut file = fs::File::create(&path).unwrap();
    let params = vmdk::Params::new("disk.vmdk", seed(), workers);
    let len = vmdk::write(disk, &params, &mut file).unwrap();
    assert_eq!(len, file.metadata().unwrap().len());
    path
}

#[test]
fn qcow2_is_sound_and_the_same_disk() {
    let (folder, disk) = (Folder::new(), sample());
    let raw = folder.raw(&disk);
    for params in all_qcow2() {
        let laid = qcow2::layout(&disk, &params).unwrap();
        let file = folder.write("disk.qcow2", &laid);
        check("qcow2", &file, &raw, &disk);
        if params.compression.is_some() {
            let plain = qcow2::Params { compression: None, ..params };
            assert!(laid.len() <= qcow2::layout(&disk, &plain).unwrap().len(), "{params:?}");
        }
    }
}

#[test]
fn an_empty_disk_and_a_full_one_are_sound() {
    let empty = Disk::new(5 * MIB, &[]);
    let full = Disk::new(4 * MIB, &[(0, 4 << 20, true)]);
    let sector = Disk::new(512, &[(0, 512, false)]);
    for disk in [empty, full, sector] {
        let folder = Folder::new();
        let raw = folder.raw(&disk);
        for compression in [None, Some(Compression::Zlib(1)), Some(Compression::Zstd(1))] {
            let params = qcow2::Params { compression, ..qcow2::Params::default() };
            let file = folder.write("disk.qcow2", &qcow2::layout(&disk, &params).unwrap());
            check("qcow2", &file, &raw, &disk);
        }
        check("vmdk", &write_vmdk(&folder, &disk, 2), &raw, &disk);
        check("vpc", &folder.write("disk.vhd", &vhd::layout(&disk, &seed()).unwrap()), &raw, &disk);
    }
}

#[test]
fn a_large_sparse_disk_is_small_in_every_format() {
    // Beyond 4 GiB, and beyond what one block of refcounts of small clusters counts.
    let disk = Disk::new(5 << 30, &[(4 << 30, 5_000_000, false), ((5 << 30) - 512, 512, true)]);
    let folder = Folder::new();
    let raw = folder.raw(&disk);
    let found = fs::metadata(&raw).unwrap();
    assert_eq!(found.len(), disk.len);
    assert!(found.blocks() * 512 < 6_000_000, "{} blocks", found.blocks());
    let params = qcow2::Params { compression: Some(Compression::Zstd(1)), ..Default::default() };
    let laid = qcow2::layout(&disk, &params).unwrap();
    assert!(laid.len() < 2_000_000, "{}", laid.len());
    check("qcow2", &folder.write("disk.qcow2", &laid), &raw, &disk);
    let file = write_vmdk(&folder, &disk, 2);
    assert!(fs::metadata(&file).unwrap().len() < 2_000_000);
    check("vmdk", &file, &raw, &disk);
}

#[test]
fn vmdk_is_sound_and_the_same_disk() {
    let (folder, disk) = (Folder::new(), sample());
    let raw = folder.raw(&disk);
    let file = write_vmdk(&folder, &disk, 2);
    check("vmdk", &file, &raw, &disk);
    let info = qemu_img(&["info"], &[&file]);
    assert!(info.contains("create type: streamOptimized"), "{info}");
    let one = fs::read(&file).unwrap();
    for workers in [0, 1, 5] {
        assert!(fs::read(write_vmdk(&folder, &disk, workers)).unwrap() == one, "{workers} threads");
    }
}

/// The last 512 bytes of a fixed VHD of `len` bytes that qemu-img makes.
fn footer_of_qemu(folder: &Folder, len: u64, options: &str) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let path = folder.file("theirs.vhd");
    let options = format!("subformat=fixed{options}");
    let (create, size) = (["create", "-q", "-f", "vpc", "-o", &options], len.to_string());
    qemu_img(&create, &[&path, Path::new(&size)]);
    let file = fs::File::open(&path).unwrap();
    let mut bytes = vec![0; 512];
    file.read_exact_at(&mut bytes, file.metadata().unwrap().len() - 512).unwrap();
    bytes
}

/// Keeps the last 512 bytes.
struct Last(Vec<u8>);

impl std::io::Write for Last {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(512)..]);
        let surplus = self.0.len().saturating_sub(512);
        self.0.drain(..surplus);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn vhd_is_the_disk_and_a_footer_that_qemu_would_write() {
    let folder = Folder::new();
    let disk = Disk::new(100 * MIB, &[(0, 512, true), (50 * MIB, 10_000, false)]);
    let raw = folder.raw(&disk);
    check("vpc", &folder.write("ours.vhd", &vhd::layout(&disk, &seed()).unwrap()), &raw, &disk);

    // Each branch of the geometry: 17, 31, 63 and 255 sectors a track.
    for len in [MIB, 100 * MIB, 400 * MIB, 1200 * MIB, 5 << 30, 33 << 30] {
        // Of its own accord qemu-img rounds the size up to what the geometry tells.
        let theirs = footer_of_qemu(&folder, len, "");
        let len = u64::from_be_bytes(theirs[48..56].try_into().unwrap());
        let disk = Disk::new(len, &[]);
        let laid = vhd::layout(&disk, &seed()).unwrap();
        let mut last = Last(Vec::new());
        laid.write(&mut last).unwrap();
        let ours = last.0;
        assert_eq!(ours[56..60], theirs[56..60], "geometry of {len} bytes");
        // All but the date, the creator's version, the geometry, the checksum and the identifier.
        let theirs = footer_of_qemu(&folder, len, ",force_size=on");
        for (from, to) in [(0, 24), (28, 32), (36, 56), (60, 64), (84, 512)] {
            assert_eq!(ours[from..to], theirs[from..to], "{len} bytes, {from} to {to}");
        }
        let sum = ours.iter().enumerate().filter(|(at, _)| !(64..68).contains(at));
        let sum = !sum.map(|(_, &byte)| u32::from(byte)).sum::<u32>();
        assert_eq!(ours[64..68], sum.to_be_bytes());
        assert_eq!(ours[68..84], laid.id().0);
    }
}

#[test]
fn bytes_are_pinned_and_do_not_depend_on_threads() {
    let disk = Disk::new(3 * MIB, &[(0, 70_000, true), (MIB, 400_000, false)]);
    let mut found = Vec::new();
    for compression in [None, Some(Compression::Zlib(6)), Some(Compression::Zstd(3))] {
        let write = |workers| {
            let params = qcow2::Params { compression, workers, ..Default::default() };
            bytes(&qcow2::layout(&disk, &params).unwrap())
        };
        let one = write(1);
        assert!(write(0) == one && write(3) == one);
        found.push(Digest::of(one).to_string());
    }
    found.push(Digest::of(bytes(&vhd::layout(&disk, &seed()).unwrap())).to_string());
    let mut out = Vec::new();
    vmdk::write(&disk, &vmdk::Params::new("disk.vmdk", seed(), 1), &mut out).unwrap();
    found.push(Digest::of(out).to_string());
    let expected = [
        "00aa4146092c4173ae0d728f8c6c33180d9b7dafd8e083746c2d8bb10ba666ac",
        "844ccee9bc8112e2682be95c0e017fdbeb777aea8ddd862cb9fa8b5a90d33b41",
        "8cd0cbb00d1ae15d6e9a64bee63659b141cd6bb87ed507042fb18b8ae7bdc2ca",
        "ccb80f25807e265be25d351ad5e4315c39b1357858cde5e8b8ce16ff97888a7f",
        "58a4dc0ed84f215f7dd65a9fcbe0fd27a13723d927d7d5ca7b31537e5e907e4d",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_be_is_refused_before_a_byte() {
    let refused = |disk: &Disk, params: &qcow2::Params| qcow2::layout(disk, params).err().unwrap();
    let disk = Disk::new(MIB, &[]);
    let plain = qcow2::Params::default();
    for cluster in [0, 256, 65_537, 4 << 20] {
        let error = refused(&disk, &qcow2::Params { cluster, ..plain });
        assert!(matches!(error, Error::Cluster { bytes } if bytes == cluster));
    }
    for compression in [Compression::Zlib(0), Compression::Zlib(10), Compression::Zstd(23)] {
        let error = refused(&disk, &qcow2::Params { compression: Some(compression), ..plain });
        assert!(matches!(error, Error::Level { .. }));
    }
    let write = |disk: &Disk, name: &str, level| {
        let params = vmdk::Params { level, ..vmdk::Params::new(name, seed(), 1) };
        let mut out = Vec::new();
        let error = vmdk::write(disk, &params, &mut out).unwrap_err();
        assert!(out.is_empty());
        error
    };
    assert!(matches!(write(&disk, "d", 0), Error::Level { .. }));
    for name in ["", "a\"b", "a/b", "a\nb", &"n".repeat(256)] {
        assert!(matches!(write(&disk, name, 6), Error::Name { .. }));
    }
    for len in [0, 1, 513] {
        let odd = Disk::new(len, &[]);
        assert!(matches!(refused(&odd, &plain), Error::Sectors { .. }));
        assert!(matches!(write(&odd, "d", 6), Error::Sectors { .. }));
        assert!(matches!(vhd::layout(&odd, &seed()), Err(Error::Sectors { .. })));
    }
    let huge = Disk::new(1 << 52, &[]);
    let small = qcow2::Params { cluster: 4096, ..plain };
    assert!(matches!(refused(&huge, &small), Error::TooLarge { format: "qcow2", .. }));
    assert!(matches!(write(&huge, "d", 6), Error::TooLarge { format: "VMDK", .. }));
    assert!(matches!(vhd::layout(&huge, &seed()), Err(Error::TooLarge { format: "VHD", .. })));
}

#[test]
fn a_disk_that_changes_is_noticed() {
    use std::os::unix::fs::FileExt as _;
    let folder = Folder::new();
    let raw = folder.raw(&sample());
    let disk = Content::from_file(raw.as_path(), 0, sample().len);
    let laid = qcow2::layout(&disk, &qcow2::Params::default()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&raw).unwrap();
    file.write_all_at(b"new", 50 * MIB).unwrap();
    let error = laid.write(&mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
}

#[test]
fn a_sparse_file_reads_as_it_was_written() {
    let folder = Folder::new();
    let path = folder.file("sparse");
    fs::write(&path, vec![0xff; 100_000]).unwrap();
    let mut content = vec![0; 300_000];
    content[4095] = 1;
    content[8192..20_000].fill(2);
    content[123_456] = 3;
    for piece in [1, 1000, 4096, 7777, 300_000] {
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut writer = SparseWriter::new(file).unwrap();
        for piece in content.chunks(piece) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap();
        assert!(fs::read(&path).unwrap() == content, "{piece}");
        let blocks = fs::metadata(&path).unwrap().blocks();
        assert!(blocks * 512 <= 5 * 4096, "{piece}: {blocks}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_disk_is_sound(
        gaps in prop::collection::vec((0..3_000_000u64, 1..300_000usize, any::<bool>()), 0..8),
        cluster_bits in 9..20u32,
        kind in 0..3,
    ) {
        let (mut at, mut parts) = (0, Vec::new());
        for (gap, len, noise) in gaps {
            parts.push((at + gap, len, noise));
            at += gap + len as u64;
        }
        let disk = Disk { len: (at + 1).next_multiple_of(512), parts };
        let compression = match kind {
            0 => None,
            1 => Some(Compression::Zlib(3)),
            _ => Some(Compression::Zstd(3)),
        };
        let params = qcow2::Params { cluster: 1 << cluster_bits, compression, workers: 2 };
        let folder = Folder::new();
        let raw = folder.raw(&disk);
        let file = folder.write("disk.qcow2", &qcow2::layout(&disk, &params).unwrap());
        check("qcow2", &file, &raw, &disk);
        check("vmdk", &write_vmdk(&folder, &disk, 2), &raw, &disk);
    }
}
