//! Inodes.

use stagex_tree::{Device, Kind};

use super::{checksum::crc32c, geometry::INODE, xattr::IN_INODE};

/// The bad blocks' inode is 1 and stays empty; the root is 2.
pub(super) const ROOT: u32 = 2;
/// Holds the blocks kept for group descriptors.
pub(super) const RESIZE: u32 = 7;
/// Holds the journal.
pub(super) const JOURNAL: u32 = 8;
/// The first inode that is not reserved.
pub(super) const FIRST: u32 = 11;
/// Blocks are listed by extents.
pub(super) const FLAG_EXTENTS: u32 = 0x8_0000;
/// A directory has an index.
pub(super) const FLAG_INDEX: u32 = 0x1000;
/// The most names of an inode that is counted.
pub(super) const LINKS_MAX: u32 = 65_000;
/// The shortest target of a symbolic link that takes a block.
pub(super) const SLOW_LINK: u64 = 60;
/// Bytes of the fields after the first 128.
const EXTRA: u16 = 32;
/// Seconds since 1970 that can be told: 32 bits with a sign, and two more.
pub(super) const TIMES: std::ops::RangeInclusive<i64> = -(1 << 31)..=(1 << 34) - (1 << 31) - 1;

/// The bits of a mode that say what an inode is.
pub(super) fn type_bits(kind: &Kind) -> u16 {
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

/// The mode bits of a regular file.
pub(super) const REGULAR: u16 = 0o100_000;
/// The mode bits of a directory.
pub(super) const DIRECTORY: u16 = 0o040_000;

/// What an inode says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inode {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    /// In bytes.
    pub(super) size: u64,
    /// Blocks that it takes, whatever for.
    pub(super) blocks: u64,
    pub(super) flags: u32,
    /// All its times.
    pub(super) time: i64,
    /// Extents, a short target or a device's numbers.
    pub(super) payload: [u8; 60],
    /// The block of its extended attributes; 0 for none.
    pub(super) xattr_block: u64,
    /// Extended attributes in the inode.
    pub(super) xattrs: [u8; IN_INODE],
}

impl Inode {
    /// A regular file of root's for the volume's own use.
    pub(super) fn hidden(time: i64) -> Self {
        Self {
            mode: REGULAR | 0o600,
            uid: 0,
            gid: 0,
            links: 1,
            size: 0,
            blocks: 0,
            flags: 0,
            time,
            payload: [0; 60],
            xattr_block: 0,
            xattrs: [0; IN_INODE],
        }
    }

    /// The inode as it is written, in a volume of `block` bytes a block. `seed` is its own.
    pub(super) fn encode(&self, block: u64, seed: u32) -> [u8; INODE as usize] {
        let mut out = [0; INODE as usize];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        let sectors = self.blocks * (block / 512);
        // Seconds in 32 bits with a sign; how often those overflowed comes after.
        let seconds = (self.time as u32).to_le_bytes();
        let epoch = ((self.time - i64::from(self.time as i32)) >> 32) as u32 & 3;
        put(0x00, &self.mode.to_le_bytes());
        put(0x02, &(self.uid as u16).to_le_bytes());
        put(0x04, &(self.size as u32).to_le_bytes());
        for at in [0x08, 0x0c, 0x10, 0x90] {
            put(at, &seconds);
        }
        for at in [0x84, 0x88, 0x8c, 0x94] {
            put(at, &epoch.to_le_bytes());
        }
        put(0x18, &(self.gid as u16).to_le_bytes());
        // More directories than can be counted are written as 1.
        let links = if self.links > LINKS_MAX { 1 } else { self.links };
        put(0x1a, &(links as u16).to_le_bytes());
        put(0x1c, &(sectors as u32).to_le_bytes());
        put(0x20, &self.flags.to_le_bytes());
        put(0x28, &self.payload);
        put(0x68, &(self.xattr_block as u32).to_le_bytes());
        put(0x6c, &((self.size >> 32) as u32).to_le_bytes());
        put(0x74, &((sectors >> 32) as u16).to_le_bytes());
        put(0x76, &((self.xattr_block >> 32) as u16).to_le_bytes());
        put(0x78, &((self.uid >> 16) as u16).to_le_bytes());
        put(0x7a, &((self.gid >> 16) as u16).to_le_bytes());
        put(0x80, &EXTRA.to_le_bytes());
        put(0x80 + usize::from(EXTRA), &self.xattrs);
        let sum = crc32c(seed, &out);
        out[0x7c..0x7e].copy_from_slice(&(sum as u16).to_le_bytes());
        out[0x82..0x84].copy_from_slice(&((sum >> 16) as u16).to_le_bytes());
        out
    }
}

/// The numbers of a device as an inode holds them; `None` where 12 and 20 bits are too few.
pub(super) fn device(device: Device) -> Option<[u8; 60]> {
    let Device { major, minor } = device;
    let mut payload = [0; 60];
    if major < 256 && minor < 256 {
        payload[..4].copy_from_slice(&(major << 8 | minor).to_le_bytes());
    } else if major < 1 << 12 && minor < 1 << 20 {
        let number = minor & 0xff | major << 8 | (minor & !0xff) << 12;
        payload[4..8].copy_from_slice(&number.to_le_bytes());
    } else {
        return None;
    }
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_32_bits_keep_their_epoch() {
        for time in [*TIMES.start(), -1, 0, 1 << 31, (1 << 32) + 5, 1 << 33, *TIMES.end()] {
            let bytes = Inode::hidden(time).encode(4096, 0);
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            // As Linux reads them.
            let found = i64::from(word(0x10) as i32) + (i64::from(word(0x88) & 3) << 32);
            assert_eq!(found, time);
        }
    }

    #[test]
    fn device_numbers_of_both_kinds() {
        let number = |major, minor| {
            let payload = device(Device { major, minor })?;
            let word = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
            Some((word(0), word(4)))
        };
        assert_eq!(number(8, 1), Some((0x0801, 0)));
        assert_eq!(number(259, 3), Some((0, 0x10303)));
        assert_eq!(number(8, 0x12345), Some((0, 0x1230_0845)));
        assert_eq!(number(4096, 0), None);
        assert_eq!(number(0, 1 << 20), None);
    }
}
