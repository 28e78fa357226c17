//! Writes a folder as an image: `pack KIND FOLDER OUT [BOOT-IMAGE]`.
//!
//! KIND is cpio, cpio.zst, ext4, fat12, fat16, fat32, disk (a GPT with the folder as its EFI system
//! partition) or iso; an ISO with a BOOT-IMAGE, a FAT volume, boots from disc and stick.
#![allow(clippy::unwrap_used, reason = "an example")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{fs::File, io::Write, path::Path};

use stagex_image::{
    Image,
    compress::Zstd,
    cpio, disk, ext4, fat,
    gpt::Type,
    iso::{self, BootImage},
};
use stagex_tree::Content;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, folder, out, rest @ ..] = &arguments[..] else {
        panic!("pack KIND FOLDER OUT [BOOT-IMAGE]");
    };
    let tree = common::read_folder(Path::new(folder));
    let mut out = File::create(out).unwrap();
    let fat = |width| fat::layout(&tree, &fat::Params { width, ..Default::default() }).unwrap();
    match kind.as_str() {
        "cpio" => cpio::layout(&tree, &Default::default()).unwrap().write(&mut out).unwrap(),
        "cpio.zst" => {
            let laid = cpio::layout(&tree, &Default::default()).unwrap();
            Zstd::new(2).compress(&laid, &mut out).unwrap();
        }
        "ext4" => {
            let params = ext4::Params::new("stagex", common::EPOCH);
            ext4::layout(&tree, &params).unwrap().write(&mut out).unwrap();
        }
        "fat12" => fat(fat::Width::Fat12).write(&mut out).unwrap(),
        "fat16" => fat(fat::Width::Fat16).write(&mut out).unwrap(),
        "fat32" => fat(fat::Width::Fat32).write(&mut out).unwrap(),
        "disk" => {
            let esp = fat(fat::Width::Fat32);
            let partition = disk::Partition {
                kind: Type::ESP,
                name: "esp".to_owned(),
                content: &esp as &dyn Image,
                size: None,
                guid: None,
                attributes: 0,
                in_mbr: false,
            };
            let params = disk::Params::new(tree.digest().unwrap());
            disk::layout(&[partition], &params).unwrap().write(&mut out).unwrap();
        }
        "iso" => {
            let mut params = iso::Params::new("STAGEX", common::EPOCH);
            let boot = rest.first().map(|path| {
                let len = std::fs::metadata(path).unwrap().len();
                Content::from_file(Path::new(path), 0, len)
            });
            params.efi = boot.as_ref().map(|image| BootImage::Hidden(image));
            iso::layout(&tree, &params).unwrap().write(&mut out).unwrap();
        }
        other => panic!("{other}: no such kind"),
    }
    out.flush().unwrap();
}
