//! Fields of the format, as `fs/erofs/erofs_fs.h` of Linux gives them.

use stagex_tree::{Device, Kind};

/// Bits of a block's size.
pub(super) const BLOCK_BITS: u8 = 12;
/// Bytes of a block, and of a block of directory entries.
pub(super) const BLOCK: u64 = 1 << BLOCK_BITS;
/// Where the superblock is.
pub(super) const SUPER_AT: u64 = 1024;
/// Bytes of the superblock.
pub(super) const SUPER: u64 = 128;
/// Inodes begin on multiples of this, which is what their numbers count.
pub(super) const SLOT: u64 = 32;
/// Bytes of a compact inode.
pub(super) const COMPACT: u64 = 32;
/// Bytes of an extended inode.
pub(super) const EXTENDED: u64 = 64;

/// Compressed bytes lie at the ends of their clusters.
pub(super) const FEATURE_AT_END: u32 = 1;
/// Clusters of several blocks, and records about the compressors behind the superblock.
pub(super) const FEATURE_CONFIG: u32 = 2;
/// Last clusters behind the index of their file.
pub(super) const FEATURE_TAILS: u32 = 16;

const MAGIC: u32 = 0xe0f5_e1e2;
const COMPAT_CHECKSUM: u32 = 1;
const COMPAT_MTIME: u32 = 2;

/// How an inode's data are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Whole blocks; also what has no data at all.
    Plain = 0,
    /// Whole blocks, and the rest right behind the inode.
    Inline = 2,
    /// Compressed clusters and an index of them.
    Compressed = 3,
}

/// What the superblock says.
pub(super) struct Super<'a> {
    pub(super) root: u16,
    pub(super) inodes: u64,
    pub(super) epoch: i64,
    pub(super) blocks: u32,
    pub(super) meta: u32,
    pub(super) xattrs: u32,
    pub(super) uuid: [u8; 16],
    pub(super) label: &'a [u8],
    /// What a reader must know to read the image.
    pub(super) features: u32,
    /// The farthest that LZ4 refers back, or the compressors that `config` tells of.
    pub(super) compression: u16,
    /// What lies right behind the superblock.
    pub(super) config: &'a [u8],
}

impl Super<'_> {
    /// The first block's bytes; `rest` is what else lies in that block, which the checksum covers.
    pub(super) fn encode(&self, rest: &[u8]) -> Vec<u8> {
        let mut out = vec![0; SUPER_AT as usize];
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(COMPAT_CHECKSUM | COMPAT_MTIME).to_le_bytes());
        out.extend_from_slice(&[BLOCK_BITS, 0]);
        out.extend_from_slice(&self.root.to_le_bytes());
        out.extend_from_slice(&self.inodes.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&self.meta.to_le_bytes());
        out.extend_from_slice(&self.xattrs.to_le_bytes());
        out.extend_from_slice(&self.uuid);
        let mut label = [0; 16];
        label[..self.label.len()].copy_from_slice(self.label);
        out.extend_from_slice(&label);
        // Of a plain image none: any Linux with EROFS mounts it.
        out.extend_from_slice(&self.features.to_le_bytes());
        out.extend_from_slice(&self.compression.to_le_bytes());
        out.resize((SUPER_AT + SUPER) as usize, 0);
        out.extend_from_slice(self.config);
        out.extend_from_slice(&rest[self.config.len().min(rest.len())..]);
        out.resize(BLOCK as usize, 0);
        let checksum = crc32c(!0, &out[SUPER_AT as usize..]);
        out[SUPER_AT as usize + 4..][..4].copy_from_slice(&checksum.to_le_bytes());
        out
    }
}

/// CRC-32C without the final inversion, as Linux computes it.
fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    crc
}

/// What an inode says.
pub(super) struct Record {
    pub(super) layout: Layout,
    pub(super) extended: bool,
    pub(super) xattr_len: u64,
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) size: u64,
    /// The first block or the device, as the kind has it.
    pub(super) place: u32,
    /// A number to tell inodes apart by where those of the file system do not fit.
    pub(super) serial: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
}

impl Record {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let xattr = match self.xattr_len {
            0 => 0,
            len => (len - 12) / 4 + 1,
        };
        out.extend_from_slice(&(self.layout as u16 * 2 + u16::from(self.extended)).to_le_bytes());
        out.extend_from_slice(&(xattr as u16).to_le_bytes());
        out.extend_from_slice(&self.mode.to_le_bytes());
        if self.extended {
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&self.size.to_le_bytes());
            out.extend_from_slice(&self.place.to_le_bytes());
            out.extend_from_slice(&self.serial.to_le_bytes());
            out.extend_from_slice(&self.uid.to_le_bytes());
            out.extend_from_slice(&self.gid.to_le_bytes());
            out.extend_from_slice(&self.mtime.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&self.links.to_le_bytes());
            out.extend_from_slice(&[0; 16]);
        } else {
            // Whoever chose the short form saw that all fits.
            out.extend_from_slice(&(self.links as u16).to_le_bytes());
            out.extend_from_slice(&(self.size as u32).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&self.place.to_le_bytes());
            out.extend_from_slice(&self.serial.to_le_bytes());
            out.extend_from_slice(&(self.uid as u16).to_le_bytes());
            out.extend_from_slice(&(self.gid as u16).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        }
    }
}

/// The bits of `st_mode` that say what an inode is.
pub(crate) fn type_bits(kind: &Kind) -> u16 {
    match kind {
        Kind::Fifo => 0o010_000,
        Kind::CharDevice(_) => 0o020_000,
        Kind::Directory => 0o040_000,
        Kind::BlockDevice(_) => 0o060_000,
        Kind::File(_) => 0o100_000,
        Kind::Symlink(_) => 0o120_000,
        Kind::Socket => 0o140_000,
    }
}

/// The type in a directory entry.
pub(super) fn entry_type(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Directory => 2,
        Kind::CharDevice(_) => 3,
        Kind::BlockDevice(_) => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink(_) => 7,
    }
}

/// A device's number in the 32 bits of Linux's `new_encode_dev`, where it fits them.
pub(crate) fn device_number(device: Device) -> Option<u32> {
    let Device { major, minor } = device;
    (major < 1 << 12 && minor < 1 << 20)
        .then_some(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_is_castagnolis() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn devices_are_numbered_as_linux_does() {
        assert_eq!(device_number(Device { major: 5, minor: 1 }), Some(0x501));
        assert_eq!(device_number(Device { major: 0xfff, minor: 0xf_ffff }), Some(!0));
        assert_eq!(device_number(Device { major: 0x1000, minor: 0 }), None);
        assert_eq!(device_number(Device { major: 0, minor: 1 << 20 }), None);
    }
}
