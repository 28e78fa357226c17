//! Compressed files, read by the tools of each format and as Linux reads its initramfs.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod common;

use std::{fs, io::Write as _, process::Command};

use common::*;
use proptest::prelude::*;
use stagex_image::compress::{Codec, Compression, Lz4Format, Part, XzCheck, initramfs};
use stagex_tree::{Content, Digest};

const ALL: [Codec; 6] = [
    Codec::Zstd,
    Codec::Xz(XzCheck::Crc32),
    Codec::Xz(XzCheck::Crc64),
    Codec::Gzip,
    Codec::Lz4(Lz4Format::Frame),
    Codec::Lz4(Lz4Format::Legacy),
];

/// Text that repeats itself now and then, with noise between.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut out: Vec<u8> = Vec::with_capacity(len + 64);
    while out.len() < len {
        let (choice, far) = (next() % 4, next() as usize);
        if choice == 0 || out.len() < 100 {
            out.extend((0..16).map(|_| next() as u8));
        } else {
            let from = far % (out.len() - 64);
            out.extend_from_within(from..from + 4 + far % 60);
        }
    }
    out.truncate(len);
    out
}

fn compress(compression: Compression, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let image = Content::from_bytes(content);
    let count = compression.compress(&image, &mut out).unwrap();
    assert_eq!(count, out.len() as u64);
    out
}

/// What the format's own tool makes of it.
fn decompress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    fs::write(&file, bytes).unwrap();
    let (tool, package) = match codec {
        Codec::Zstd => ("zstd", "zstd"),
        Codec::Xz(_) => ("xz", "xz-utils"),
        Codec::Gzip => ("gzip", "gzip"),
        Codec::Lz4(_) => ("lz4", "lz4"),
    };
    let input = fs::File::open(&file).unwrap();
    let output = Command::new(tool).arg("-dc").stdin(input).output().unwrap_or_else(|error| {
        panic!("{tool} cannot be run ({error}); this test needs the Debian package {package}")
    });
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{tool}: {error}");
    output.stdout
}

#[test]
fn every_tool_reads_its_format_at_the_borders_of_blocks() {
    for codec in ALL {
        let level = *codec.levels().start();
        let block = match codec {
            Codec::Lz4(_) => 8 << 20,
            Codec::Zstd | Codec::Xz(_) => 1 << 20,
            Codec::Gzip => 1 << 17,
        };
        for len in [0, 1, block - 1, block, block + 1, 2 * block + 5] {
            let content = sample(len);
            let compressed = compress(Compression { codec, level, workers: 2 }, &content);
            assert!(decompress(codec, &compressed) == content, "{codec}, {len} bytes");
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads_or_on_how_they_are_written() {
    for codec in ALL {
        // Several blocks of each codec.
        let (level, len) = match codec {
            Codec::Xz(_) => (0, 3_500_000),
            Codec::Gzip => (2, 700_000),
            _ => (2, 9_000_000),
        };
        let content = sample(len);
        let one = compress(Compression { codec, level, workers: 1 }, &content);
        for (workers, piece) in [(0, 1 << 20), (2, 77_777), (5, 4096)] {
            let mut out = Vec::new();
            let compression = Compression { codec, level, workers };
            let mut encoder = compression.encoder(content.len() as u64, &mut out).unwrap();
            for piece in content.chunks(piece) {
                encoder.write_all(piece).unwrap();
            }
            encoder.finish().unwrap();
            assert!(out == one, "{codec}, {workers} threads");
        }
    }
}

#[test]
fn bytes_are_pinned() {
    let content = sample(300_000);
    let digests: Vec<String> = ALL
        .iter()
        .map(|&codec| {
            let out = compress(Compression::new(codec, 3), &content);
            format!("{codec} {} {}", out.len(), Digest::of(out))
        })
        .collect();
    let expected = [
        "zstd 65791 19d618a68ad6c7f67b00fe8e613b3baa55a66a1a6ab48576d374e1125f68a745",
        "xz 66708 9ad760f9da1eac985916a38b9b9bcb61e8c59eb9a1132546196849add45ef487",
        "xz-crc64 66712 7c9199c940c773cf18a382a258deb1b10681d99314c797e63b261fb35c61b7eb",
        "gzip 102874 939224fe42c0fb28820f05c1c53a5946874112d840d4b92333f8d8de57d8bcae",
        "lz4 93350 63107ea63386420424cabcd851cad0b27b8dddc3ce8ca624858d4acee6e6543a",
        "lz4-legacy 93331 2717d1dfc3543e3d0fd65e5a2512f1e67b9b085f0c6f4dc4c0046b897d00aeb9",
    ];
    assert_eq!(digests, expected);
}

#[test]
fn gzip_is_about_as_small_as_the_tool_makes_it() {
    let content = sample(4_000_000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    fs::write(&file, &content).unwrap();
    let theirs = ok("gzip", Command::new("gzip").args(["-9nc"]).arg(&file)).len();
    let ours = compress(Compression::new(Codec::Gzip, 2), &content).len();
    assert!(ours <= theirs + theirs / 100, "{ours} bytes, gzip makes {theirs}");
    let theirs = ok("lz4", Command::new("lz4").args(["-9lc"]).arg(&file)).len();
    let ours = compress(Compression::new(Codec::Lz4(Lz4Format::Legacy), 2), &content).len();
    assert!(ours <= theirs + theirs / 100, "{ours} bytes, lz4 makes {theirs}");
}

#[test]
fn headers_say_what_linux_looks_at() {
    let xz = compress(Compression::new(Codec::Xz(XzCheck::Crc32), 1), b"abc");
    assert_eq!(&xz[..8], b"\xfd7zXZ\0\0\x01", "CRC-32");
    let gzip = compress(Compression::new(Codec::Gzip, 1), b"abc");
    assert_eq!(gzip[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255], "no flags, no time");
    let lz4 = compress(Compression::new(Codec::Lz4(Lz4Format::Legacy), 1), b"abc");
    assert_eq!(lz4, [0x02, 0x21, 0x4c, 0x18, 4, 0, 0, 0, 0x30, b'a', b'b', b'c']);
}

/// Unpacks as `unpack_to_rootfs` and the decompressors in `lib/` of Linux do: each archive says
/// by its first bytes what it is, zeros between them are skipped, and an archive begins on a
/// multiple of four bytes. `plain` are the archives that are not compressed, which Linux follows
/// by their headers.
fn as_linux_reads(mut bytes: &[u8], plain: &[u8]) -> Vec<Vec<u8>> {
    let (start, mut found) = (bytes.len(), Vec::new());
    loop {
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        bytes = &bytes[zeros..];
        if bytes.is_empty() {
            return found;
        }
        assert_eq!((start - bytes.len()) % 4, 0, "begins on a multiple of 4");
        let mut content = vec![0; 9 << 20];
        let (taken, made) = match bytes {
            _ if bytes.starts_with(plain) => (plain.len(), {
                content[..plain.len()].copy_from_slice(plain);
                plain.len()
            }),
            [0x1f, 0x8b, 8, 0, ..] => {
                let mut state = zlib_rs::Inflate::new(false, 15);
                let flush = zlib_rs::InflateFlush::Finish;
                let status = state.decompress(&bytes[10..], &mut content, flush).unwrap();
                assert_eq!(status, zlib_rs::Status::StreamEnd);
                (10 + state.total_in() as usize + 8, state.total_out() as usize)
            }
            [0xfd, b'7', ..] => {
                assert_eq!(bytes[7], 1, "CRC-32");
                let mut state = liblzma::stream::Stream::new_stream_decoder(u64::MAX, 0).unwrap();
                let action = liblzma::stream::Action::Run;
                let status = state.process(bytes, &mut content, action).unwrap();
                assert!(matches!(status, liblzma::stream::Status::StreamEnd));
                (state.total_in() as usize, state.total_out() as usize)
            }
            [0x28, 0xb5, ..] => {
                let taken = zstd::zstd_safe::find_frame_compressed_size(bytes).unwrap();
                (taken, zstd::bulk::decompress_to_buffer(&bytes[..taken], &mut content).unwrap())
            }
            [0x02, 0x21, 0x4c, 0x18, ..] => {
                let (mut at, mut made) = (4, 0);
                while at + 4 <= bytes.len() {
                    let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
                    if len == 0 {
                        break;
                    }
                    // The magic of a next archive is what Linux would skip here.
                    assert_ne!(len, 0x184c_2102);
                    let block = &bytes[at + 4..at + 4 + len];
                    let block = lz4::block::decompress(block, Some(8 << 20)).unwrap();
                    content[made..made + block.len()].copy_from_slice(&block);
                    (at, made) = (at + 4 + len, made + block.len());
                }
                (at, made)
            }
            _ => panic!("no archive, at {}", start - bytes.len()),
        };
        content.truncate(made);
        found.push(content);
        bytes = &bytes[taken..];
    }
}

#[test]
fn linux_unpacks_archives_in_a_row_with_each_compression() {
    let plain = b"070701 stands for an archive.".as_slice();
    let contents: Vec<Content> =
        [8_900_001usize, 70_003, 5].map(|len| Content::from_bytes(sample(len))).into();
    let plain_image = Content::from_bytes(plain);
    for first in ALL.map(Codec::for_linux) {
        for second in ALL.map(Codec::for_linux) {
            let part = |content, codec: Codec| {
                let level = *codec.levels().start();
                let compression = Some(Compression { codec, level, workers: 2 });
                Part { image: content, compression }
            };
            let parts = [
                Part { image: &plain_image, compression: None },
                part(&contents[usize::from(first != Codec::Lz4(Lz4Format::Legacy))], first),
                part(&contents[1], second),
                Part { image: &plain_image, compression: None },
                part(&contents[2], first),
            ];
            let mut out = Vec::new();
            let len = initramfs(&parts, &mut out).unwrap();
            assert_eq!((len, len % 4), (out.len() as u64, 0));
            let found = as_linux_reads(&out, plain);
            let expected: Vec<Vec<u8>> =
                [0, 1, 2, 3, 4].map(|at: usize| parts[at].image).map(bytes).into();
            assert!(found == expected, "{first}, {second}");
        }
    }
}

#[test]
fn what_linux_does_not_unpack_is_refused_before_a_byte() {
    let content = Content::from_bytes(*b"x");
    for codec in [Codec::Xz(XzCheck::Crc64), Codec::Lz4(Lz4Format::Frame)] {
        let part = |codec| Part { image: &content, compression: Some(Compression::new(codec, 1)) };
        let mut out = Vec::new();
        let error = initramfs(&[part(Codec::Gzip), part(codec)], &mut out).unwrap_err();
        let expected = format!("Linux does not unpack {codec}, but {}", codec.for_linux());
        assert_eq!((error.to_string(), out.len()), (expected, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_content_comes_back(
        content in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            (0..300_000usize).prop_map(sample),
            (0..300_000usize).prop_map(|len| vec![7; len]),
        ],
        codec in prop::sample::select(ALL.to_vec()),
        effort in 0..4u32,
    ) {
        let level = *codec.levels().start() + 2 * effort;
        let compressed = compress(Compression { codec, level, workers: 2 }, &content);
        prop_assert!(decompress(codec, &compressed) == content);
    }
}
