//! The superblock, the group descriptors and the bitmaps.

use super::{
    Ext4,
    checksum::crc32c,
    extents::extents,
    geometry::{DESCRIPTOR, FLEX_LOG, INODE, Part},
    inode::{FIRST, JOURNAL},
};

/// Bytes of the superblock.
pub(super) const SUPERBLOCK: usize = 1024;
/// Where its checksum is.
const CHECKSUM: usize = 0x3fc;

// Features that a system may ignore.
const HAS_JOURNAL: u32 = 0x4;
const EXT_ATTR: u32 = 0x8;
const RESIZE_INODE: u32 = 0x10;
const DIR_INDEX: u32 = 0x20;

// Features that it must know.
const FILETYPE: u32 = 0x2;
const EXTENTS: u32 = 0x40;
const BITS_64: u32 = 0x80;
const FLEX_BG: u32 = 0x200;
const LARGE_DIR: u32 = 0x4000;

// Features that it must know to write.
const SPARSE_SUPER: u32 = 0x1;
const LARGE_FILE: u32 = 0x2;
const HUGE_FILE: u32 = 0x8;
const DIR_NLINK: u32 = 0x20;
const EXTRA_ISIZE: u32 = 0x40;
const METADATA_CSUM: u32 = 0x400;

// A group's flags.
const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;
const INODE_ZEROED: u16 = 4;

/// Names are hashed as unsigned bytes.
const UNSIGNED_HASH: u32 = 2;
/// Mounted with extended attributes and access control lists.
const MOUNT_OPTIONS: u32 = 0xc;

impl Ext4<'_> {
    /// All inodes.
    pub(super) fn inode_count(&self) -> u32 {
        self.geometry.groups * self.geometry.inodes_per_group
    }

    /// Blocks that nothing uses.
    pub(super) fn free_blocks(&self) -> u64 {
        let geometry = &self.geometry;
        let areas: u64 = geometry.areas.iter().map(|area| area.len).sum();
        geometry.total - geometry.first - areas - self.placement.end
    }

    /// Where the blocks of content end: all before are used.
    fn frontier(&self) -> u64 {
        self.geometry.end_of(self.placement.end)
    }

    /// The superblock as `group` begins with it.
    pub(super) fn superblock(&self, group: u32) -> [u8; SUPERBLOCK] {
        let geometry = &self.geometry;
        let mut out = [0; SUPERBLOCK];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        let wide = [
            (0x04, 0x150, geometry.total),
            (0x08, 0x154, self.reserved),
            (0x0c, 0x158, self.free_blocks()),
        ];
        for (low, high, value) in wide {
            put(low, &(value as u32).to_le_bytes());
            put(high, &((value >> 32) as u32).to_le_bytes());
        }
        // 1 KiB is 0.
        let block_log = geometry.block.trailing_zeros() - 10;
        let optional = |on: bool, feature: u32| if on { feature } else { 0 };
        let compatible = EXT_ATTR
            | DIR_INDEX
            | optional(self.journal != 0, HAS_JOURNAL)
            | optional(geometry.reserved != 0, RESIZE_INODE);
        let large = self.contents.indexed.values().any(|directory| directory.is_large());
        let incompatible = FILETYPE | EXTENTS | BITS_64 | FLEX_BG | optional(large, LARGE_DIR);
        let to_write =
            SPARSE_SUPER | LARGE_FILE | HUGE_FILE | DIR_NLINK | EXTRA_ISIZE | METADATA_CSUM;
        let words = [
            (0x00, self.inode_count()),
            (0x10, self.free_inodes()),
            (0x14, geometry.first as u32),
            (0x18, block_log),
            (0x1c, block_log),
            (0x20, geometry.per_group as u32),
            (0x24, geometry.per_group as u32),
            (0x28, geometry.inodes_per_group),
            // Any number of mounts without a check; magic; clean; errors: go on.
            (0x34, 0xffff << 16),
            (0x38, 1 << 16 | 0xef53),
            (0x3c, 1),
            // The second revision.
            (0x4c, 1),
            (0x54, FIRST),
            (0x58, INODE as u32 | group << 16),
            (0x5c, compatible),
            (0x60, incompatible),
            (0x64, to_write),
            (0xcc, (geometry.reserved as u32) << 16),
            (0x100, MOUNT_OPTIONS),
            (0x15c, 32 << 16 | 32),
            (0x160, UNSIGNED_HASH),
        ];
        for (at, word) in words {
            put(at, &word.to_le_bytes());
        }
        // When it was written, checked and made; the bits beyond 32 have places of their own.
        for (at, high) in [(0x30, 0x274), (0x40, 0x277), (0x108, 0x276)] {
            put(at, &(self.epoch as u32).to_le_bytes());
            put(high, &[(self.epoch >> 32) as u8]);
        }
        put(0x68, &self.uuid.0);
        put(0x78, &self.label);
        put(0xec, &self.hash_seed.0);
        // Half MD4, a copy of the journal's inode where there is one, and a descriptor's size.
        put(0xfc, &[1, u8::from(self.journal != 0), DESCRIPTOR as u8, 0]);
        put(0x174, &[FLEX_LOG, 1]);
        if self.journal != 0 {
            let inode = self.journal_inode();
            put(0xe0, &JOURNAL.to_le_bytes());
            put(0x10c, &inode.payload);
            put(0x148, &((inode.size >> 32) as u32).to_le_bytes());
            put(0x14c, &(inode.size as u32).to_le_bytes());
        }
        let sum = crc32c(!0, &out[..CHECKSUM]);
        out[CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// The descriptors of all groups.
    pub(super) fn descriptors(&self) -> Vec<u8> {
        let geometry = &self.geometry;
        let mut directories = vec![0u32; geometry.groups as usize];
        let mut count = |inode: u32| {
            directories[((inode - 1) / geometry.inodes_per_group) as usize] += 1;
        };
        for (entry, &inode) in self.contents.index.entries.iter().zip(&self.contents.inodes) {
            if entry.inode.is_directory() {
                count(inode);
            }
        }
        if self.contents.extra {
            count(FIRST);
        }
        // Blocks of areas in each group, and whether it holds more than a copy of the superblock.
        let mut areas = vec![(0u64, false); geometry.groups as usize];
        for area in &geometry.areas {
            let mut at = area.start;
            while at < area.end() {
                let group = (at - geometry.first) / geometry.per_group;
                let until = geometry.group_start(group + 1).min(area.end());
                let (blocks, tables) = &mut areas[group as usize];
                *blocks += until - at;
                *tables |= area.part != Part::Super;
                at = until;
            }
        }
        let frontier = self.frontier();
        let mut out = Vec::with_capacity(geometry.groups as usize * DESCRIPTOR as usize);
        for group in 0..geometry.groups {
            let blocks = geometry.group_blocks(group);
            let (in_areas, tables) = areas[group as usize];
            let free = match blocks.contains(&frontier) || blocks.end <= frontier {
                true => self.block_bitmap(group).iter().map(|byte| byte.count_zeros()).sum(),
                false => (blocks.end - blocks.start - in_areas) as u32,
            };
            let inodes = geometry.inodes_per_group;
            let used = self.used_inodes(group);
            let mut flags = INODE_ZEROED;
            let is_last = group + 1 == geometry.groups;
            let (mut block_sum, mut inode_sum) = (0, 0);
            if frontier <= blocks.start && !tables && !is_last {
                flags |= BLOCK_UNINIT;
            } else {
                let bitmap = self.block_bitmap(group);
                block_sum = crc32c(self.seed, &bitmap[..geometry.per_group as usize / 8]);
            }
            if used == 0 {
                flags |= INODE_UNINIT;
            } else {
                let bitmap = self.inode_bitmap(group);
                inode_sum = crc32c(self.seed, &bitmap[..inodes as usize / 8]);
            }
            let place = geometry.places[group as usize];
            let values = [
                (0x00, 0x20, place.block_bitmap),
                (0x04, 0x24, place.inode_bitmap),
                (0x08, 0x28, place.table),
            ];
            let halves = [
                (0x0c, 0x2c, free),
                (0x0e, 0x2e, inodes - used),
                (0x10, 0x30, directories[group as usize]),
                (0x18, 0x38, block_sum),
                (0x1a, 0x3a, inode_sum),
                (0x1c, 0x32, inodes - used),
            ];
            let mut bytes = [0; DESCRIPTOR as usize];
            let mut put =
                |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
            for (low, high, value) in values {
                put(low, &(value as u32).to_le_bytes());
                put(high, &((value >> 32) as u32).to_le_bytes());
            }
            for (low, high, value) in halves {
                put(low, &(value as u16).to_le_bytes());
                put(high, &((value >> 16) as u16).to_le_bytes());
            }
            put(0x12, &flags.to_le_bytes());
            let sum = crc32c(crc32c(self.seed, &group.to_le_bytes()), &bytes) as u16;
            bytes[0x1e..0x20].copy_from_slice(&sum.to_le_bytes());
            out.extend_from_slice(&bytes);
        }
        out
    }

    /// How many inodes of a group are in use: all that are come first.
    pub(super) fn used_inodes(&self, group: u32) -> u32 {
        let before = group * self.geometry.inodes_per_group;
        self.contents.last_inode.saturating_sub(before).min(self.geometry.inodes_per_group)
    }

    /// Which inodes of a group are in use; a block.
    pub(super) fn inode_bitmap(&self, group: u32) -> Vec<u8> {
        let mut bitmap = vec![0; self.geometry.block as usize];
        set(&mut bitmap, 0..u64::from(self.used_inodes(group)));
        // What no inode belongs to counts as used.
        let bits = 8 * self.geometry.block;
        set(&mut bitmap, u64::from(self.geometry.inodes_per_group)..bits);
        bitmap
    }

    /// Which blocks of a group are in use; a block.
    pub(super) fn block_bitmap(&self, group: u32) -> Vec<u8> {
        let geometry = &self.geometry;
        let blocks = geometry.group_blocks(group);
        let mut bitmap = vec![0; geometry.block as usize];
        set(&mut bitmap, 0..self.frontier().clamp(blocks.start, blocks.end) - blocks.start);
        let first = geometry.areas.partition_point(|area| area.end() <= blocks.start);
        for area in geometry.areas[first..].iter().take_while(|area| area.start < blocks.end) {
            let from = area.start.max(blocks.start) - blocks.start;
            set(&mut bitmap, from..area.end().min(blocks.end) - blocks.start);
        }
        // What is beyond the group counts as used.
        set(&mut bitmap, blocks.end - blocks.start..8 * geometry.block);
        bitmap
    }

    /// The extents of the journal.
    pub(super) fn journal_extents(&self) -> Vec<super::extents::Extent> {
        let runs = [(0, u64::from(self.journal))];
        extents(&self.geometry, self.placement.journal, runs)
    }
}

/// Sets the bits of `range`.
fn set(bitmap: &mut [u8], range: std::ops::Range<u64>) {
    let (mut at, end) = (range.start as usize, range.end as usize);
    while at < end {
        if at % 8 == 0 && end - at >= 8 {
            let until = end / 8;
            bitmap[at / 8..until].fill(0xff);
            at = until * 8;
        } else {
            bitmap[at / 8] |= 1 << (at % 8);
            at += 1;
        }
    }
}
