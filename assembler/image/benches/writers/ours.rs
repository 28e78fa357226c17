//! Our writers, as a process runs them, and the trees that are made for measuring.

use std::{fs, path::Path};

use stagex_image::{
    compress::Zstd,
    cpio,
    erofs::{self, Packing},
    ext4, fat,
    identity::Guid,
    iso,
    squashfs::{self, Compression},
};

use crate::{common, theirs::UUID};

/// Threads where a writer has several.
pub const THREADS: u32 = 2;

/// Reads a folder and writes it as an image.
pub fn write(kind: &str, out: &Path, folder: &Path) {
    let mut tree = common::read_folder(folder);
    let mut file = fs::File::create(out).unwrap();
    let scratch = out.parent().unwrap();
    let guid = Guid::parse(UUID);
    match kind {
        "cpio" => cpio::layout(&tree, &Default::default()).unwrap().write(&mut file).unwrap(),
        "ext4" => {
            let params = ext4::Params {
                uuid: guid,
                hash_seed: guid,
                ..ext4::Params::new("", common::EPOCH)
            };
            ext4::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
        "cpio.zst" => {
            let laid = cpio::layout(&tree, &Default::default()).unwrap();
            Zstd { level: 3, workers: THREADS }.compress(&laid, &mut file).unwrap();
        }
        "erofs" | "erofs-lz4" | "erofs-lz4-blocks" | "erofs-zstd" => {
            // All times to one, as the options of mkfs.erofs do.
            for metadata in tree.all_metadata_mut() {
                metadata.mtime = common::EPOCH;
            }
            let packing = match kind {
                "erofs" => None,
                "erofs-zstd" => {
                    let packing = Packing::new(erofs::Compression::Zstd { level: 3 }, scratch);
                    Some(Packing { cluster: 1 << 16, ..packing })
                }
                kind => {
                    let packing = Packing::new(erofs::Compression::Lz4, scratch);
                    Some(Packing { tails: kind == "erofs-lz4", ..packing })
                }
            };
            let params = erofs::Params { uuid: guid, packing, ..erofs::Params::new(common::EPOCH) };
            erofs::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
        "squashfs" => {
            let params = squashfs::Params {
                compression: Compression::Zstd { level: 3 },
                threads: THREADS,
                ..squashfs::Params::new(common::EPOCH, scratch)
            };
            squashfs::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
        "fat" => {
            let params = fat::Params { cluster: Some(4096), ..fat::Params::default() };
            fat::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
        "iso" => {
            let params = iso::Params::new("X", common::EPOCH);
            iso::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
        other => panic!("{other} is no writer"),
    }
}

/// Makes one of the trees that are measured besides a real one.
pub fn make(kind: &str, folder: &Path) {
    let (folders, files) = match kind {
        "b" => (540, 100),
        "c" => (1000, 1000),
        other => panic!("{other}: the trees are b and c"),
    };
    for number in 0..folders {
        let at = folder.join(format!("folder-{number:04}"));
        fs::create_dir_all(&at).unwrap();
        for file in 0..files {
            let len = if kind == "b" { 1024 } else { (number * 7919 + file * 104_729) % 4097 };
            let bytes = common::filling(len, (number ^ file) as u8);
            fs::write(at.join(format!("file-{file:04}.data")), bytes).unwrap();
        }
    }
}
