//! Inodes and directories.
//!
//! A directory's listing names the places of its inodes, and its own inode the place of its
//! listing: so directories are written after what they hold, in path order otherwise, each with
//! the inodes of what is not a directory in it.

use std::collections::HashMap;

use stagex_tree::{Kind, TreePath};

use super::{
    Error,
    codec::Codec,
    data::{Data, NO_FRAGMENT},
    meta::{META, Place, Table},
    xattr::{self, Xattrs},
};
use crate::{erofs::device_number, index::Index};

/// Entries that share a header in a listing.
const RUN: usize = 256;
/// Bytes of a listing's header, and of an entry without its name.
const HEADER: usize = 12;
const ENTRY: usize = 8;
/// What a directory's size counts besides its listing.
const DOTS: u64 = 3;

/// All that is known of inodes before contents are.
pub(super) struct Inodes<'i, 't> {
    index: &'i Index<'t>,
    /// The inode's number, by entry.
    numbers: Vec<u32>,
    count: u32,
    /// Users and groups in the order in which they were met.
    owners: Vec<u8>,
    owner_of: HashMap<u32, u16>,
    /// The number of the set of attributes, by entry.
    sets: Vec<u32>,
    xattrs: Xattrs<'t>,
}

/// What the image's tables are made of.
pub(super) struct Parts<'t> {
    pub(super) inodes: Vec<u8>,
    pub(super) directories: Vec<u8>,
    pub(super) export: Vec<u8>,
    pub(super) owners: Vec<u8>,
    pub(super) xattrs: Xattrs<'t>,
    pub(super) root: u64,
    pub(super) count: u32,
}

impl<'i, 't> Inodes<'i, 't> {
    /// Numbers inodes, owners and sets of attributes.
    pub(super) fn new(index: &'i Index<'t>, codec: &mut Codec) -> Result<Self, Error> {
        let mut this = Self {
            index,
            numbers: vec![0; index.len()],
            count: 0,
            owners: Vec::new(),
            owner_of: HashMap::new(),
            sets: vec![xattr::NONE; index.len()],
            xattrs: Xattrs::default(),
        };
        // In path order, in which they also lie mostly: numbers that ascend compress best.
        for number in 0..index.len() {
            let first = index.firsts[number] as usize;
            if this.numbers[first] == 0 {
                this.count += 1;
                this.numbers[first] = this.count;
            }
            this.numbers[number] = this.numbers[first];
            let entry = &index.entries[number];
            let metadata = &entry.inode.metadata;
            for owner in [metadata.uid, metadata.gid] {
                this.own(owner, entry.path)?;
            }
            let set = this.xattrs.id(metadata, codec);
            this.sets[number] = set.map_err(|source| Error::Compress { source })?;
        }
        Ok(this)
    }

    fn own(&mut self, owner: u32, path: &TreePath) -> Result<(), Error> {
        if self.owner_of.contains_key(&owner) {
            return Ok(());
        }
        // The count itself has 16 bits.
        let number = u16::try_from(self.owner_of.len()).ok().filter(|&number| number != u16::MAX);
        let number = number.ok_or_else(|| Error::Owners { path: path.clone() })?;
        self.owner_of.insert(owner, number);
        self.owners.extend_from_slice(&owner.to_le_bytes());
        Ok(())
    }

    /// Writes all inodes and directories.
    pub(super) fn write(
        self,
        data: &Data,
        block: u32,
        codec: &mut Codec,
    ) -> Result<Parts<'t>, Error> {
        let mut tables = Tables {
            inodes: Table::default(),
            directories: Table::default(),
            places: vec![None; self.index.len()],
            block: u64::from(block),
            codec,
        };
        // Directories that are open, and how many of their children were looked at.
        let mut open = vec![(0, 0)];
        while let Some((number, seen)) = open.last_mut() {
            let (number, children) = (*number, self.index.children(*number));
            let is_directory =
                |child: &&u32| self.index.entries[**child as usize].inode.is_directory();
            let rest = children[*seen..].iter();
            if let Some((at, child)) = rest.enumerate().find(|(_, child)| is_directory(child)) {
                *seen += at + 1;
                open.push((*child as usize, 0));
                continue;
            }
            open.pop();
            for &child in children {
                let first = self.index.firsts[child as usize] as usize;
                if tables.places[first].is_none() {
                    let bytes = self.inode(first, data, tables.block);
                    tables.put_inode(&self, first, &bytes)?;
                }
            }
            let bytes = tables.directory(&self, number)?;
            tables.put_inode(&self, number, &bytes)?;
        }
        let mut export = vec![0; 8 * self.count as usize];
        for (number, place) in tables.places.iter().enumerate() {
            if let Some(place) = place {
                let at = 8 * (self.numbers[number] as usize - 1);
                export[at..at + 8].copy_from_slice(&place.reference().to_le_bytes());
            }
        }
        let root = tables.places[0].unwrap_or_default().reference();
        let compress = |source| Error::Compress { source };
        let inodes = tables.inodes.end(tables.codec).map_err(compress)?.0;
        let directories = tables.directories.end(tables.codec).map_err(compress)?.0;
        let (owners, xattrs, count) = (self.owners, self.xattrs, self.count);
        Ok(Parts { inodes, directories, export, owners, xattrs, root, count })
    }

    /// The start that all inodes share; `kind` is the number of the short form.
    fn common(&self, number: usize, kind: u16) -> Vec<u8> {
        let metadata = &self.index.entries[number].inode.metadata;
        let owner = |id: u32| self.owner_of.get(&id).copied().unwrap_or(0);
        let mut out = Vec::with_capacity(64);
        let halves = [kind, metadata.mode & 0o7777, owner(metadata.uid), owner(metadata.gid)];
        for half in halves {
            out.extend_from_slice(&half.to_le_bytes());
        }
        out.extend_from_slice(&(metadata.mtime as u32).to_le_bytes());
        out.extend_from_slice(&self.numbers[number].to_le_bytes());
        out
    }

    /// An inode of anything but a directory.
    fn inode(&self, number: usize, data: &Data, block: u64) -> Vec<u8> {
        let inode = &self.index.entries[number].inode;
        let (set, links) = (self.sets[number], self.index.links[number]);
        let kind = kind_of(&inode.kind);
        let long = set != xattr::NONE;
        let mut out = self.common(number, if long { kind + 7 } else { kind });
        let mut words = |words: &[u32]| {
            words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        };
        match &inode.kind {
            Kind::File(content) => return self.file(number, content.len(), data, block),
            Kind::Symlink(target) => {
                words(&[links, target.len() as u32]);
                out.extend_from_slice(target);
            }
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                words(&[links, device_number(*device).unwrap_or(0)]);
            }
            _ => words(&[links]),
        }
        if long {
            out.extend_from_slice(&set.to_le_bytes());
        }
        out
    }

    fn file(&self, number: usize, len: u64, data: &Data, block: u64) -> Vec<u8> {
        let file = &data.files[data.by_entry[number] as usize];
        let (set, links) = (self.sets[number], self.index.links[number]);
        debug_assert!(file.blocks as u64 >= len / block);
        let short = u32::try_from(file.start).ok().zip(u32::try_from(len).ok());
        let short = short.filter(|_| set == xattr::NONE && links == 1 && file.sparse == 0);
        let mut out = self.common(number, if short.is_some() { 2 } else { 9 });
        let offset = if file.fragment == NO_FRAGMENT { 0 } else { file.offset };
        match short {
            Some((start, len)) => {
                for word in [start, file.fragment, offset, len] {
                    out.extend_from_slice(&word.to_le_bytes());
                }
            }
            None => {
                for long in [file.start, len, file.sparse] {
                    out.extend_from_slice(&long.to_le_bytes());
                }
                for word in [links, file.fragment, offset, set] {
                    out.extend_from_slice(&word.to_le_bytes());
                }
            }
        }
        for size in &data.sizes[file.sizes..file.sizes + file.blocks] {
            out.extend_from_slice(&size.to_le_bytes());
        }
        out
    }
}

/// The number of an inode's short form, which directory entries have too.
fn kind_of(kind: &Kind) -> u16 {
    match kind {
        Kind::Directory => 1,
        Kind::File(_) => 2,
        Kind::Symlink(_) => 3,
        Kind::BlockDevice(_) => 4,
        Kind::CharDevice(_) => 5,
        Kind::Fifo => 6,
        Kind::Socket => 7,
    }
}

struct Tables<'c> {
    inodes: Table,
    directories: Table,
    places: Vec<Option<Place>>,
    block: u64,
    codec: &'c mut Codec,
}

/// Where a listing begins a header, a block at most behind the one before: an entry of the
/// directory's index.
struct Mark {
    at: u32,
    /// The block of the listing's table.
    block: usize,
    child: u32,
}

impl Tables<'_> {
    fn put_inode(
        &mut self,
        all: &Inodes<'_, '_>,
        number: usize,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let too_large = || Error::TooLarge { path: all.index.entries[number].path.clone() };
        self.places[number] = Some(self.inodes.place().ok_or_else(too_large)?);
        self.inodes.put(bytes, self.codec).map_err(|source| Error::Compress { source })
    }

    /// Writes a directory's listing and gives its inode.
    fn directory(&mut self, all: &Inodes<'_, '_>, number: usize) -> Result<Vec<u8>, Error> {
        let index = all.index;
        let path = index.entries[number].path;
        let too_large = || Error::TooLarge { path: path.clone() };
        let place = self.directories.place().ok_or_else(too_large)?;
        let first_block = self.directories.finished();
        let block_at = |at: usize| first_block + (usize::from(place.offset) + at) / META;
        let mut out = Vec::new();
        let mut marks: Vec<Mark> = Vec::new();
        let mut mark_at = 0;
        let children = index.children(number);
        let mut from = 0;
        while from < children.len() {
            let inode = |child: u32| {
                let first = index.firsts[child as usize] as usize;
                (self.places[first].unwrap_or_default(), all.numbers[first])
            };
            let (base, base_number) = inode(children[from]);
            let header_at = out.len();
            let name_of = |child: u32| index.entries[child as usize].path.name();
            // Whether an entry would reach more than a block behind the last mark.
            let is_far = |mark: usize, at: usize, child: u32| {
                at + ENTRY + name_of(child).len() - mark > META
            };
            if header_at != 0 && is_far(mark_at, header_at + HEADER, children[from]) {
                let at = u32::try_from(header_at).map_err(|_| too_large())?;
                marks.push(Mark { at, block: block_at(header_at), child: children[from] });
                mark_at = header_at;
            }
            out.extend_from_slice(&[0; HEADER]);
            let mut count = 0;
            for &child in &children[from..] {
                let (place, number) = inode(child);
                let delta = i64::from(number) - i64::from(base_number);
                let Ok(delta) = i16::try_from(delta) else { break };
                let is_far = count != 0 && is_far(mark_at, out.len(), child);
                if count == RUN || place.block != base.block || is_far {
                    break;
                }
                let entry = &index.entries[child as usize];
                let name = name_of(child);
                out.extend_from_slice(&place.offset.to_le_bytes());
                out.extend_from_slice(&delta.to_le_bytes());
                out.extend_from_slice(&kind_of(&entry.inode.kind).to_le_bytes());
                out.extend_from_slice(&(name.len() as u16 - 1).to_le_bytes());
                out.extend_from_slice(name);
                count += 1;
            }
            for (at, word) in [count as u32 - 1, base.block, base_number].into_iter().enumerate() {
                out[header_at + 4 * at..][..4].copy_from_slice(&word.to_le_bytes());
            }
            from += count;
        }
        let size = out.len() as u64 + DOTS;
        let size32 = u32::try_from(size).map_err(|_| too_large())?;
        self.directories.put(&out, self.codec).map_err(|source| Error::Compress { source })?;

        // The root's parent is a number that no inode has.
        let parent = match number {
            0 => all.count + 1,
            _ => all.numbers[index.parents[number] as usize],
        };
        let links = index.subdirectories(number) as u32 + 2;
        let set = all.sets[number];
        let short = u16::try_from(size).ok().filter(|_| marks.is_empty() && set == xattr::NONE);
        if let Some(size) = short {
            let mut out = all.common(number, 1);
            out.extend_from_slice(&place.block.to_le_bytes());
            out.extend_from_slice(&links.to_le_bytes());
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&place.offset.to_le_bytes());
            out.extend_from_slice(&parent.to_le_bytes());
            return Ok(out);
        }
        // The index has a count of 16 bits: a longer one leaves marks out.
        let step = marks.len() / usize::from(u16::MAX) + 1;
        let marks: Vec<&Mark> = marks.iter().step_by(step).collect();
        let mut out = all.common(number, 8);
        for word in [links, size32, place.block, parent] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&(marks.len() as u16).to_le_bytes());
        out.extend_from_slice(&place.offset.to_le_bytes());
        out.extend_from_slice(&set.to_le_bytes());
        for mark in marks {
            let name = index.entries[mark.child as usize].path.name();
            for word in [mark.at, self.directories.start(mark.block), name.len() as u32 - 1] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(name);
        }
        Ok(out)
    }
}
