//! The forward sweep: boot sectors, tables, directories, files.

use std::io::{self, Write};

use stagex_tree::Kind;

use super::{
    ENTRY, Layout, Width,
    geometry::{SECTOR, TABLES},
    name,
    names::{self, Short},
};
use crate::{emit::Emitter, time::Civil};

/// Marks the label's entry.
const ATTRIBUTE_LABEL: u8 = 0x08;
/// Marks a directory.
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
/// Marks a file as not yet backed up, as every new file is.
const ATTRIBUTE_ARCHIVE: u8 = 0x20;
/// The medium: a fixed disk.
const MEDIUM: u8 = 0xf8;
/// Where FAT32 keeps the copy of its first sectors.
const BACKUP: u64 = 6;
/// 1980-01-01T00:00:00Z, the first moment that FAT can tell.
const FIRST_TIME: i64 = 315_532_800;
/// 2107-12-31T23:59:58Z, the last.
const LAST_TIME: i64 = 4_354_819_198;
/// What runs where a BIOS is made to boot the volume: `int 0x18` (no system here), then a halt.
const BOOT_CODE: [u8; 5] = [0xcd, 0x18, 0xf4, 0xeb, 0xfd];

impl Layout<'_> {
    pub(super) fn emit(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        let geometry = &self.geometry;
        let boot = self.boot_sector();
        out.put(&boot)?;
        if geometry.width == Width::Fat32 {
            let info = self.info_sector();
            out.put(&info)?;
            out.pad_to(BACKUP * SECTOR)?;
            out.put(&boot)?;
            out.put(&info)?;
        }
        for copy in 0..TABLES {
            out.pad_to((geometry.reserved + copy * geometry.table) * SECTOR)?;
            self.table(&mut out)?;
        }
        out.pad_to((geometry.reserved + TABLES * geometry.table) * SECTOR)?;
        for number in 0..self.index.len() {
            if self.index.entries[number].inode.is_directory() {
                self.directory(&mut out, number)?;
                if number == 0 {
                    out.pad_to(out.position().max(self.data()))?;
                }
                self.end_cluster(&mut out)?;
            }
        }
        for entry in &self.index.entries {
            if let Kind::File(content) = &entry.inode.kind {
                out.content(entry.path, content)?;
                self.end_cluster(&mut out)?;
            }
        }
        out.pad_to(self.len())?;
        out.finish().map(drop)
    }

    /// Where the clusters begin, in bytes.
    fn data(&self) -> u64 {
        self.geometry.data() * SECTOR
    }

    fn end_cluster(&self, out: &mut Emitter<'_>) -> io::Result<()> {
        let into = out.position() - self.data();
        out.pad_to(self.data() + into.next_multiple_of(self.geometry.cluster_bytes()))
    }

    fn boot_sector(&self) -> [u8; 512] {
        let geometry = &self.geometry;
        let is_32 = geometry.width == Width::Fat32;
        let mut sector = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
        let code = if is_32 { 0x5a } else { 0x3e };
        put(0, &[0xeb, code - 2, 0x90]);
        put(3, b"STAGEX  ");
        put(11, &(SECTOR as u16).to_le_bytes());
        put(13, &[geometry.cluster as u8]);
        put(14, &(geometry.reserved as u16).to_le_bytes());
        put(16, &[TABLES as u8]);
        put(17, &(self.root_entries as u16).to_le_bytes());
        // Sixteen bits where they are enough and the width is not FAT32; else thirty-two.
        match u16::try_from(geometry.total) {
            Ok(total) if !is_32 => put(19, &total.to_le_bytes()),
            _ => put(32, &(geometry.total as u32).to_le_bytes()),
        }
        put(21, &[MEDIUM]);
        put(24, &63u16.to_le_bytes());
        put(26, &255u16.to_le_bytes());
        put(28, &self.hidden_sectors.to_le_bytes());
        let extended = if is_32 {
            put(36, &(geometry.table as u32).to_le_bytes());
            put(44, &self.firsts[0].to_le_bytes());
            put(48, &1u16.to_le_bytes());
            put(50, &(BACKUP as u16).to_le_bytes());
            64
        } else {
            put(22, &(geometry.table as u16).to_le_bytes());
            36
        };
        put(extended, &[0x80, 0, 0x29]);
        put(extended + 3, &self.id.to_le_bytes());
        put(extended + 7, self.label.as_ref().unwrap_or(b"NO NAME    "));
        put(
            extended + 18,
            match geometry.width {
                Width::Fat12 => b"FAT12   ",
                Width::Fat16 => b"FAT16   ",
                Width::Fat32 => b"FAT32   ",
            },
        );
        put(usize::from(code), &BOOT_CODE);
        put(510, &[0x55, 0xaa]);
        sector
    }

    fn info_sector(&self) -> [u8; 512] {
        let free = (self.geometry.clusters as u32 + 2).saturating_sub(self.free);
        let next = if free == 0 { u32::MAX } else { self.free };
        let mut sector = [0; 512];
        let words =
            [(0, 0x4161_5252), (484, 0x6141_7272), (488, free), (492, next), (508, 0xaa55_0000u32)];
        for (at, word) in words {
            sector[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        sector
    }

    /// One copy of the table: chains lie in one piece each, in the order of the clusters.
    fn table(&self, out: &mut Emitter<'_>) -> io::Result<()> {
        let width = self.geometry.width;
        let mut bits = Bits { width: width.bits() as u32, held: 0, count: 0 };
        let end = match width {
            Width::Fat12 => 0xfff,
            Width::Fat16 => 0xffff,
            Width::Fat32 => 0x0fff_ffff,
        };
        bits.push(out, end & !0xff | u32::from(MEDIUM))?;
        bits.push(out, end)?;
        for directories in [true, false] {
            for (number, &first) in self.firsts.iter().enumerate() {
                if first == 0 || self.index.entries[number].inode.is_directory() != directories {
                    continue;
                }
                let last = first + self.clusters(number, first) - 1;
                for cluster in first..last {
                    bits.push(out, cluster + 1)?;
                }
                bits.push(out, end)?;
            }
        }
        bits.finish(out)
    }

    /// How many clusters the entry `number`, which begins at `first`, has.
    fn clusters(&self, number: usize, first: u32) -> u32 {
        let cluster = self.geometry.cluster_bytes();
        if let Some(content) = self.index.entries[number].inode.content() {
            return content.len().div_ceil(cluster) as u32;
        }
        // A directory ends where the next one begins, or the first file, or the free space.
        let is_directory = |&n: &usize| self.index.entries[n].inode.is_directory();
        let next = (number + 1..self.index.len()).find(is_directory).map(|n| self.firsts[n]);
        next.unwrap_or_else(|| self.files_begin()) - first
    }

    fn files_begin(&self) -> u32 {
        let file = |(entry, &first): (&stagex_tree::Entry<'_>, &u32)| {
            (first != 0 && !entry.inode.is_directory()).then_some(first)
        };
        self.index.entries.iter().zip(&self.firsts).find_map(file).unwrap_or(self.free)
    }

    fn directory(&self, out: &mut Emitter<'_>, number: usize) -> io::Result<()> {
        let mtime = |number: usize| self.index.entries[number].inode.metadata.mtime;
        if number == 0 {
            if let Some(label) = &self.label {
                out.put(&entry(label, ATTRIBUTE_LABEL, 0, 0, self.epoch))?;
            }
        } else {
            let parent = self.index.parents[number] as usize;
            // The root is cluster 0 here whatever its cluster is.
            let up = if parent == 0 { 0 } else { self.firsts[parent] };
            let first = self.firsts[number];
            let time = mtime(number);
            out.put(&entry(b".          ", ATTRIBUTE_DIRECTORY, first, 0, time))?;
            out.put(&entry(b"..         ", ATTRIBUTE_DIRECTORY, up, 0, mtime(parent)))?;
        }
        for &child in self.index.children(number) {
            let at = child as usize;
            let short = &self.shorts[at];
            for long in names::long(name(&self.index, child), short) {
                out.put(&long)?;
            }
            let (attribute, len) = match self.index.entries[at].inode.content() {
                Some(content) => (ATTRIBUTE_ARCHIVE, content.len() as u32),
                None => (ATTRIBUTE_DIRECTORY, 0),
            };
            out.put(&entry(short, attribute, self.firsts[at], len, mtime(at)))?;
        }
        Ok(())
    }
}

/// A directory entry.
fn entry(name: &Short, attribute: u8, first: u32, len: u32, time: i64) -> [u8; ENTRY as usize] {
    let civil = Civil::new(time.clamp(FIRST_TIME, LAST_TIME));
    let date = ((civil.year - 1980) as u16) << 9 | u16::from(civil.month) << 5 | civil.day as u16;
    let time =
        u16::from(civil.hour) << 11 | u16::from(civil.minute) << 5 | u16::from(civil.second / 2);
    let mut bytes = [0; ENTRY as usize];
    bytes[..11].copy_from_slice(name);
    bytes[11] = attribute;
    let words = [(14, time), (16, date), (18, date), (20, (first >> 16) as u16), (22, time)];
    for (at, word) in words.into_iter().chain([(24, date), (26, first as u16)]) {
        bytes[at..at + 2].copy_from_slice(&word.to_le_bytes());
    }
    bytes[28..].copy_from_slice(&len.to_le_bytes());
    bytes
}

/// Packs table entries, lowest bits first.
struct Bits {
    width: u32,
    held: u64,
    count: u32,
}

impl Bits {
    fn push(&mut self, out: &mut Emitter<'_>, entry: u32) -> io::Result<()> {
        self.held |= u64::from(entry) << self.count;
        self.count += self.width;
        let whole = (self.count / 8) as usize;
        out.put(&self.held.to_le_bytes()[..whole])?;
        self.held >>= whole * 8;
        self.count %= 8;
        Ok(())
    }

    fn finish(self, out: &mut Emitter<'_>) -> io::Result<()> {
        if self.count == 0 { Ok(()) } else { out.put(&[self.held as u8]) }
    }
}
