//! A hierarchy: path tables and directories.

use std::io;

use stagex_tree::Kind;

use super::{
    BLOCK, EXTENT_MAX, Error, Plan, names,
    records::{self, Continuations, DIRECTORY, MORE},
};
use crate::{emit::Emitter, index::Index};

/// The most directories, for a path table's 16-bit numbers.
const DIRECTORIES_MAX: usize = 65_535;
/// The identifiers of a directory itself and of the one that holds it.
const SELF: &[u8] = &[0];
const PARENT: &[u8] = &[1];
/// No directory.
const NONE: u32 = u32::MAX;

/// A directory of a hierarchy.
struct Directory {
    /// Its number in the index.
    number: u32,
    /// Its parent's place among the directories; the root is its own.
    parent: u32,
    /// What it holds, sorted by identifier.
    children: Vec<u32>,
    /// Its first block.
    first: u64,
    /// Blocks of its records.
    blocks: u64,
    /// Blocks of continuation areas that follow them.
    continuations: u64,
}

/// One of the two views that an image has of a tree.
pub(super) struct Hierarchy {
    rock_ridge: bool,
    /// In the order of the path table: by level, then parent, then identifier.
    directories: Vec<Directory>,
    /// Where each entry of the index is among the directories.
    places: Vec<u32>,
    /// The identifier of each entry of the index.
    identifiers: Vec<Box<[u8]>>,
    /// Bytes of a path table.
    pub(super) table_len: u64,
    /// The first block of the little-endian path table.
    pub(super) table_little: u64,
    /// The first block of the big-endian path table.
    pub(super) table_big: u64,
}

impl Hierarchy {
    /// Lays out the primary hierarchy, with Rock Ridge, from the block `at` on.
    pub(super) fn primary(index: &Index<'_>, at: &mut u64) -> Result<Self, Error> {
        Self::new(index, at, true)
    }

    /// Lays out the Joliet hierarchy from the block `at` on.
    pub(super) fn joliet(index: &Index<'_>, at: &mut u64) -> Result<Self, Error> {
        Self::new(index, at, false)
    }

    fn new(index: &Index<'_>, at: &mut u64, rock_ridge: bool) -> Result<Self, Error> {
        let mut hierarchy = Self {
            rock_ridge,
            directories: Vec::new(),
            places: vec![NONE; index.len()],
            identifiers: vec![Box::default(); index.len()],
            table_len: 0,
            table_little: 0,
            table_big: 0,
        };
        hierarchy.collect(index)?;
        let table: u64 = hierarchy.table_records().map(|(_, name)| table_record_len(name)).sum();
        hierarchy.table_len = table;
        hierarchy.table_little = *at;
        hierarchy.table_big = *at + table.div_ceil(BLOCK);
        *at += 2 * table.div_ceil(BLOCK);
        for place in 0..hierarchy.directories.len() {
            // The same code as writes it, for the lengths alone.
            let (records, continuations) = hierarchy.render(index, place, None);
            let directory = &mut hierarchy.directories[place];
            directory.first = *at;
            directory.blocks = records.len() as u64 / BLOCK;
            directory.continuations = (continuations.len() as u64).div_ceil(BLOCK);
            *at += directory.blocks + directory.continuations;
            let path = || index.entries[directory.number as usize].path.clone();
            if u32::try_from(records.len()).is_err() || u32::try_from(*at).is_err() {
                return Err(Error::TooLarge { path: path() });
            }
        }
        Ok(hierarchy)
    }

    /// Finds the directories, and the identifiers and order of what they hold.
    fn collect(&mut self, index: &Index<'_>) -> Result<(), Error> {
        let count = index.entries.iter().filter(|entry| entry.inode.is_directory()).count();
        if count > DIRECTORIES_MAX {
            return Err(Error::Directories { count });
        }
        let new = |number, parent| Directory {
            number,
            parent,
            children: Vec::new(),
            first: 0,
            blocks: 0,
            continuations: 0,
        };
        self.directories.push(new(0, 0));
        self.places[0] = 0;
        let mut place = 0;
        while let Some(directory) = self.directories.get(place) {
            let kind = |number: u32| &index.entries[number as usize].inode.kind;
            let shown = |&number: &u32| {
                self.rock_ridge || matches!(kind(number), Kind::File(_) | Kind::Directory)
            };
            let children = index.children(directory.number as usize);
            let mut children: Vec<u32> = children.iter().copied().filter(shown).collect();
            let name = |&number: &u32| {
                let entry = &index.entries[number as usize];
                (entry.path.name(), entry.inode.is_directory())
            };
            let names: Vec<_> = children.iter().map(name).collect();
            let made = if self.rock_ridge { names::primary(&names) } else { names::joliet(&names) };
            for (&child, identifier) in children.iter().zip(made) {
                self.identifiers[child as usize] = identifier;
            }
            // As if filled with spaces (ECMA-119 9.3): the version does not count.
            children.sort_by_cached_key(|&child| {
                let identifier = &self.identifiers[child as usize];
                let version = if self.rock_ridge { &b";1"[..] } else { b"\0;\x001" };
                identifier.strip_suffix(version).unwrap_or(identifier).to_vec()
            });
            for &child in &children {
                if index.entries[child as usize].inode.is_directory() {
                    self.places[child as usize] = self.directories.len() as u32;
                    self.directories.push(new(child, place as u32));
                }
            }
            self.directories[place].children = children;
            place += 1;
        }
        Ok(())
    }

    fn extent(&self, place: u32) -> (u32, u32) {
        let directory = &self.directories[place as usize];
        // Both were found to fit when they were laid out.
        (directory.first as u32, (directory.blocks * BLOCK) as u32)
    }

    /// The root's record, as the volume descriptor holds it.
    pub(super) fn root_record(&self, index: &Index<'_>) -> Vec<u8> {
        let mtime = index.entries[0].inode.metadata.mtime;
        records::record(SELF, self.extent(0), DIRECTORY, mtime, &[])
    }

    /// The records of a directory, whole blocks, and its continuation areas.
    fn render(&self, index: &Index<'_>, place: usize, plan: Option<&Plan>) -> (Vec<u8>, Vec<u8>) {
        let directory = &self.directories[place];
        let first = directory.first + directory.blocks;
        let mut continuations = Continuations { first, bytes: Vec::new() };
        let mut bytes = Vec::new();
        let mut put = |record: Vec<u8>| {
            let left = BLOCK as usize - bytes.len() % BLOCK as usize;
            if record.len() > left {
                bytes.resize(bytes.len() + left, 0);
            }
            bytes.extend_from_slice(&record);
        };
        let parent = self.directories[directory.parent as usize].number;
        let dots = [(SELF, directory.number, place as u32), (PARENT, parent, directory.parent)];
        for (identifier, number, at) in dots {
            let mut entries = Vec::new();
            if self.rock_ridge {
                let mut announced = Vec::new();
                if place == 0 && identifier == SELF {
                    announced = records::announcement();
                    entries.push(announced.remove(0));
                }
                entries.append(&mut records::attributes(index, number as usize));
                entries.append(&mut announced);
            }
            let system = continuations.place(identifier, &entries);
            let mtime = index.entries[number as usize].inode.metadata.mtime;
            put(records::record(identifier, self.extent(at), DIRECTORY, mtime, &system));
        }
        for &child in &directory.children {
            let number = child as usize;
            let (inode, path) = (index.entries[number].inode, index.entries[number].path);
            let identifier = &self.identifiers[number];
            let mut entries = Vec::new();
            if self.rock_ridge {
                entries = records::attributes(index, number);
                entries.append(&mut records::name(path.name()));
                if let Kind::Symlink(target) = &inode.kind {
                    entries.append(&mut records::target(target));
                }
            }
            let system = continuations.place(identifier, &entries);
            let mtime = inode.metadata.mtime;
            if inode.is_directory() {
                let extent = self.extent(self.places[number]);
                put(records::record(identifier, extent, DIRECTORY, mtime, &system));
                continue;
            }
            let mut left = inode.content().map_or(0, stagex_tree::Content::len);
            let mut at = plan.map_or(0, |plan| plan.contents[number]);
            while left > EXTENT_MAX {
                let extent = (at, EXTENT_MAX as u32);
                put(records::record(identifier, extent, MORE, mtime, &system));
                at = at.wrapping_add((EXTENT_MAX / BLOCK) as u32);
                left -= EXTENT_MAX;
            }
            put(records::record(identifier, (at, left as u32), 0, mtime, &system));
        }
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
        (bytes, continuations.bytes)
    }

    fn table_records(&self) -> impl Iterator<Item = (&Directory, &[u8])> {
        self.directories.iter().map(|directory| match directory.number {
            0 => (directory, SELF),
            number => (directory, &*self.identifiers[number as usize]),
        })
    }

    /// Writes path tables and directories.
    pub(super) fn emit(
        &self,
        out: &mut Emitter<'_>,
        index: &Index<'_>,
        plan: &Plan,
    ) -> io::Result<()> {
        for (at, big) in [(self.table_little, false), (self.table_big, true)] {
            out.pad_to(at * BLOCK)?;
            for (directory, name) in self.table_records() {
                let (first, parent) = (directory.first as u32, directory.parent as u16 + 1);
                out.put(&[name.len() as u8, 0])?;
                out.put(&if big { first.to_be_bytes() } else { first.to_le_bytes() })?;
                out.put(&if big { parent.to_be_bytes() } else { parent.to_le_bytes() })?;
                out.put(name)?;
                out.zeros(name.len() as u64 % 2)?;
            }
        }
        for (place, directory) in self.directories.iter().enumerate() {
            out.pad_to(directory.first * BLOCK)?;
            let (records, continuations) = self.render(index, place, Some(plan));
            out.put(&records)?;
            out.put(&continuations)?;
            out.align(BLOCK)?;
        }
        Ok(())
    }
}

fn table_record_len(name: &[u8]) -> u64 {
    8 + name.len().next_multiple_of(2) as u64
}
