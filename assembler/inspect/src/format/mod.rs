//! The formats, and which of them some bytes are in.

mod ar;
mod compressed;
mod cpio;
mod eif;
mod elf;
mod erofs;
mod ext4;
mod fat;
mod iso;
mod oci;
mod partitions;
mod pe;
mod squashfs;
mod tar;
mod verity;
mod vmdisk;

pub use oci::folder;

use crate::{bytes::Bytes, context::Context, error::Result, node::Container};

/// How much of the start is looked at to tell formats apart: all magic numbers but that of ISO
/// 9660 and that at the end of a VHD lie here.
const HEAD: usize = 2048;

/// Looks into bytes of a known format; none where the format is not known.
pub(crate) fn open(context: &Context, bytes: &Bytes) -> Result<Option<Container>> {
    let head = bytes.head(HEAD)?;
    let starts = |magic: &[u8]| head.starts_with(magic);
    // An ISO that boots from a stick has a partition table, and may begin with an EFI program.
    if iso::is(bytes)? {
        return iso::open(bytes).map(Some);
    }
    if starts(b"\x7fELF") {
        return elf::open(context, bytes).map(Some);
    }
    if starts(b".eif") {
        return eif::open(bytes).map(Some);
    }
    if ar::is(&head) {
        return ar::open(context, bytes).map(Some);
    }
    if squashfs::is(&head) {
        return squashfs::open(context, bytes).map(Some);
    }
    if vmdisk::is(&head) {
        return vmdisk::open(context, &head, bytes).map(Some);
    }
    if starts(b"070701") || starts(b"070702") || compressed::is(&head) {
        return cpio::open(context, bytes).map(Some);
    }
    if starts(b"verity\0\0") {
        return verity::open(bytes).map(Some);
    }
    if head.get(257..262) == Some(b"ustar") {
        return tar::open(context, bytes).map(Some);
    }
    // Its disk begins like any other: the end tells.
    if vmdisk::is_vhd(bytes)? {
        return vmdisk::open_vhd(bytes).map(Some);
    }
    if partitions::is_gpt(bytes)? {
        return partitions::open(bytes).map(Some);
    }
    if erofs::is(&head) {
        return erofs::open(context, bytes).map(Some);
    }
    if ext4::is(&head) {
        return ext4::open(context, bytes).map(Some);
    }
    if fat::is(&head) {
        return fat::open(bytes).map(Some);
    }
    if pe::is(bytes, &head) {
        return pe::open(bytes).map(Some);
    }
    if partitions::is_mbr(&head, bytes.len()) {
        return partitions::open(bytes).map(Some);
    }
    Ok(None)
}

/// Whether a listing looks into something without being asked to: into images, and not into every
/// program, library or compressed page that a file system holds.
pub(crate) fn is_opened_unasked(bytes: &Bytes) -> Result<bool> {
    let head = bytes.head(8)?;
    if head.starts_with(b"\x7fELF") || ar::is(&head) {
        return Ok(false);
    }
    match compressed::Codec::of(&head) {
        Some(codec) => Ok(cpio::is_archive(&compressed::peek(codec, bytes))),
        None => Ok(true),
    }
}
