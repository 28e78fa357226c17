//! The forward sweep: blocks of content in their order, and the areas where they come.

use std::io::{self, Write};

use stagex_tree::{Content, Kind, Source, TreePath};

use super::{
    Ext4,
    checksum::inode_seed,
    directory::{Blocks, EXTRA, LOST_AND_FOUND, Named, file_type},
    extents::{self, Extent},
    geometry::{Area, DESCRIPTOR, INODE, Part, has_super},
    inode::{
        self, DIRECTORY, FIRST, FLAG_EXTENTS, FLAG_INDEX, Inode, JOURNAL, RESIZE, ROOT, SLOW_LINK,
    },
    journal, xattr,
};
use crate::emit::Emitter;

/// Where the superblock begins on the volume, in bytes.
const SUPERBLOCK_AT: u64 = 1024;
/// Which of an inode's 15 block numbers leads to a block of blocks of numbers.
const DOUBLE_INDIRECT: usize = 13;

/// A volume being written.
struct Sweep<'s, 'w> {
    volume: &'s Ext4<'s>,
    out: Emitter<'w>,
    /// The areas still to come.
    areas: std::slice::Iter<'s, Area>,
    /// The group descriptors.
    descriptors: Vec<u8>,
    /// The number of the entry whose inode may come next.
    entry: usize,
}

impl Ext4<'_> {
    pub(super) fn emit(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut sweep = Sweep {
            volume: self,
            out: Emitter::new(out),
            areas: self.geometry.areas.iter(),
            descriptors: self.descriptors(),
            entry: 1,
        };
        sweep.out.zeros(self.geometry.first * self.geometry.block)?;
        sweep.content()?;
        // What lies behind the last content.
        while let Some(area) = sweep.areas.as_slice().first() {
            sweep.out.pad_to(area.start * self.geometry.block)?;
            sweep.room()?;
        }
        sweep.out.pad_to(self.len)?;
        sweep.out.finish().map(drop)
    }

    /// The seed of the checksums of an inode.
    fn inode_seed(&self, inode: u32) -> u32 {
        inode_seed(self.seed, inode)
    }

    /// The tree of extents that begins `blocks` after the block of content `start`.
    fn tree(&self, found: &[Extent], start: u64, blocks: u64, inode: u32) -> ([u8; 60], Vec<u8>) {
        extents::tree(found, self.geometry.block, self.inode_seed(inode), |number| {
            self.geometry.block_of(start + blocks + number)
        })
    }

    /// The inode of what takes the blocks `runs` from the block of content `start` on.
    fn with_extents(
        &self,
        inode: Inode,
        number: u32,
        start: u64,
        runs: impl IntoIterator<Item = (u64, u64)>,
    ) -> Inode {
        let found = extents::extents(&self.geometry, start, runs);
        let blocks = found.iter().map(|extent| u64::from(extent.len)).sum();
        let (payload, _) = self.tree(&found, start, blocks, number);
        let trees = extents::tree_blocks(found.len(), self.geometry.block);
        Inode {
            payload,
            flags: inode.flags | FLAG_EXTENTS,
            blocks: inode.blocks + blocks + trees,
            ..inode
        }
    }

    /// The journal's inode.
    pub(super) fn journal_inode(&self) -> Inode {
        let blocks = u64::from(self.journal);
        let size = blocks * self.geometry.block;
        let inode = Inode { size, ..Inode::hidden(self.epoch) };
        self.with_extents(inode, JOURNAL, self.placement.journal, [(0, blocks)])
    }

    /// The inode that holds the blocks kept for group descriptors: its blocks are listed by
    /// numbers, each kept block being the list of its copies.
    fn resize_inode(&self) -> Inode {
        let geometry = &self.geometry;
        let numbers = geometry.block / 4;
        let copies = (0..geometry.groups).filter(|&group| has_super(group)).count() as u64;
        let mut payload = [0; 60];
        let block = geometry.block_of(0) as u32;
        payload[4 * DOUBLE_INDIRECT..][..4].copy_from_slice(&block.to_le_bytes());
        Inode {
            size: (numbers * numbers + numbers + 12) * geometry.block,
            blocks: 1 + geometry.reserved * copies,
            payload,
            ..Inode::hidden(self.epoch)
        }
    }

    /// The inode of `lost+found`, where the tree has none.
    fn extra_inode(&self) -> Inode {
        let blocks = self.contents.extra_blocks();
        let inode = Inode {
            mode: DIRECTORY | 0o700,
            links: 2,
            size: blocks * self.geometry.block,
            ..Inode::hidden(self.epoch)
        };
        self.with_extents(inode, FIRST, self.placement.extra, [(0, blocks)])
    }

    /// The inode of the entry `number`.
    fn inode(&self, number: usize) -> Inode {
        let contents = &self.contents;
        let entry = &contents.index.entries[number];
        let metadata = &entry.inode.metadata;
        let mut inode = Inode {
            mode: inode::type_bits(&entry.inode.kind) | metadata.mode & 0o7777,
            uid: metadata.uid,
            gid: metadata.gid,
            links: contents.index.links[number],
            time: metadata.mtime,
            ..Inode::hidden(0)
        };
        let number_32 = number as u32;
        if !metadata.xattrs.is_empty() {
            // They were checked.
            if let Ok(split) = xattr::split(&metadata.xattrs, contents.block) {
                inode.xattrs = split.inode();
            }
            let shared = &contents.shared_of;
            if let Ok(at) = shared.binary_search_by_key(&number_32, |&(entry, _)| entry) {
                let content = self.placement.xattrs + u64::from(shared[at].1);
                inode.xattr_block = self.geometry.block_of(content);
                inode.blocks = 1;
            }
        }
        let start = self.placement.starts[number];
        let own = contents.inodes[number];
        match &entry.inode.kind {
            Kind::Directory => {
                let indexed = contents.indexed.contains_key(&number_32);
                inode.flags = if indexed { FLAG_INDEX } else { 0 };
                let inside = contents.index.subdirectories(number) as u32;
                inode.links = 2 + inside + u32::from(number == 0 && contents.extra);
                inode = self.with_extents(inode, own, start, contents.runs(number_32));
                inode.size =
                    contents.runs(number_32).map(|(_, len)| len).sum::<u64>() * self.geometry.block;
            }
            Kind::File(content) => {
                inode.size = content.len();
                inode = self.with_extents(inode, own, start, contents.runs(number_32));
            }
            Kind::Symlink(target) => {
                inode.size = target.len() as u64;
                if inode.size < SLOW_LINK {
                    inode.payload[..target.len()].copy_from_slice(target);
                } else {
                    inode = self.with_extents(inode, own, start, contents.runs(number_32));
                }
            }
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                inode.payload = inode::device(*device).unwrap_or([0; 60]);
            }
            Kind::Fifo | Kind::Socket => {}
        }
        inode
    }

    /// The entry of a directory that leads to `child`.
    fn named(&self, child: u32) -> Named<'_> {
        if child == EXTRA {
            return Named { inode: FIRST, file_type: 2, name: LOST_AND_FOUND };
        }
        let entry = &self.contents.index.entries[child as usize];
        Named {
            inode: self.contents.inodes[child as usize],
            file_type: file_type(&entry.inode.kind),
            name: entry.path.name(),
        }
    }
}

impl<'s> Sweep<'s, '_> {
    /// Writes the areas that come here; gives the bytes up to the next one.
    fn room(&mut self) -> io::Result<u64> {
        let block = self.volume.geometry.block;
        loop {
            let at = self.out.position();
            let Some(area) = self.areas.as_slice().first() else { return Ok(u64::MAX) };
            let start = area.start * block;
            if start > at {
                return Ok(start - at);
            }
            self.out.pad_to(start)?;
            self.area(area)?;
            self.out.pad_to(area.end() * block)?;
            self.areas.next();
        }
    }

    /// Goes on to a block of content, which comes next.
    fn begin(&mut self, content: u64) -> io::Result<()> {
        self.room()?;
        self.out.pad_to(self.volume.geometry.block_of(content) * self.volume.geometry.block)
    }

    /// Writes content over the areas that come between.
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.room()?).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.out.put(now)?;
            bytes = rest;
        }
        Ok(())
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count != 0 {
            let now = self.room()?.min(count);
            self.out.zeros(now)?;
            count -= now;
        }
        Ok(())
    }

    /// Writes `len` bytes of a file from `from` on, and zeros to the end of the block.
    fn file(&mut self, path: &TreePath, file: &Content, from: u64, len: u64) -> io::Result<()> {
        match file.source() {
            Source::Bytes(bytes) => {
                let from = from as usize;
                self.put(&bytes[from..from + len as usize])?;
            }
            Source::File { path: source, offset } => {
                let (mut at, end) = (from, from + len);
                while at < end {
                    let now = self.room()?.min(end - at);
                    if now == file.len() {
                        self.out.content(path, file)?;
                    } else {
                        let part = Content::from_file(source.clone(), offset + at, now);
                        self.out.content(path, &part)?;
                    }
                    at += now;
                }
            }
        }
        self.out.align(self.volume.geometry.block)
    }

    /// Writes all content.
    fn content(&mut self) -> io::Result<()> {
        let volume = self.volume;
        let (geometry, placement) = (&volume.geometry, &volume.placement);
        let block = geometry.block;
        if geometry.reserved != 0 {
            self.begin(0)?;
            self.reserved()?;
        }
        if volume.journal != 0 {
            self.begin(placement.journal)?;
            self.put(&journal::superblock(block, volume.journal, &volume.uuid.0))?;
            let blocks = u64::from(volume.journal);
            self.zeros((blocks - 1) * block)?;
            let found = volume.journal_extents();
            self.put(&volume.tree(&found, placement.journal, blocks, JOURNAL).1)?;
        }
        for (content, shared) in (placement.xattrs..).zip(&volume.contents.shared) {
            self.begin(content)?;
            let number = geometry.block_of(content);
            if let Ok(split) = xattr::split(shared.xattrs, block) {
                self.put(&split.block(block, number, shared.inodes, volume.seed))?;
            }
        }
        if volume.contents.extra {
            self.begin(placement.extra)?;
            self.lost_and_found()?;
        }
        for directories in [true, false] {
            for (number, &start) in placement.starts.iter().enumerate() {
                let is_directory = volume.contents.index.entries[number].inode.is_directory();
                // Nothing but the root can begin at 0.
                let has_blocks = start != 0 || number == 0;
                if is_directory == directories && has_blocks {
                    self.begin(start)?;
                    self.entry(number, start)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what the entry `number` has, from the block of content `start` on.
    fn entry(&mut self, number: usize, start: u64) -> io::Result<()> {
        let volume = self.volume;
        let contents = &volume.contents;
        let entry = &contents.index.entries[number];
        let number_32 = number as u32;
        match &entry.inode.kind {
            Kind::Directory => self.directory(number)?,
            Kind::Symlink(target) => {
                self.put(target)?;
                self.out.align(contents.block)?;
            }
            Kind::File(content) => {
                for (first, blocks) in contents.runs(number_32) {
                    let from = first * contents.block;
                    let len = (blocks * contents.block).min(content.len() - from);
                    self.file(entry.path, content, from, len)?;
                }
            }
            _ => {}
        }
        let blocks: u64 = contents.runs(number_32).map(|(_, len)| len).sum();
        if blocks > 4 {
            let found = extents::extents(&volume.geometry, start, contents.runs(number_32));
            let (_, tree) = volume.tree(&found, start, blocks, contents.inodes[number]);
            self.put(&tree)?;
        }
        Ok(())
    }

    fn directory(&mut self, number: usize) -> io::Result<()> {
        let volume = self.volume;
        let contents = &volume.contents;
        let own = contents.inodes[number];
        let parent = contents.inodes[contents.index.parents[number] as usize];
        let dots = [(own, &b"."[..]), (parent, b"..")];
        let dots = dots.map(|(inode, name)| Named { inode, file_type: 2, name });
        let seed = volume.inode_seed(own);
        let mut blocks = Blocks::new(contents.block, seed, |bytes: &[u8]| self.put(bytes));
        match contents.indexed.get(&(number as u32)) {
            Some(indexed) => blocks.indexed(indexed, [own, parent], |child| volume.named(child)),
            None => {
                let children = contents.children(number).map(|child| volume.named(child));
                blocks.list(dots.into_iter().chain(children))
            }
        }
    }

    /// The `lost+found` that the tree does not have: a list with room.
    fn lost_and_found(&mut self) -> io::Result<()> {
        let volume = self.volume;
        let block = volume.contents.block;
        let dots = [(FIRST, &b"."[..]), (ROOT, b"..")];
        let dots = dots.map(|(inode, name)| Named { inode, file_type: 2, name });
        let seed = volume.inode_seed(FIRST);
        let mut blocks = Blocks::new(block, seed, |bytes: &[u8]| self.put(bytes));
        blocks.list(dots.into_iter())?;
        for _ in 1..volume.contents.extra_blocks() {
            blocks.list(std::iter::empty())?;
        }
        let found = [(0, volume.contents.extra_blocks())];
        let found = extents::extents(&volume.geometry, volume.placement.extra, found);
        let (_, tree) =
            volume.tree(&found, volume.placement.extra, volume.contents.extra_blocks(), FIRST);
        self.put(&tree)
    }

    /// The list of the blocks kept for group descriptors.
    fn reserved(&mut self) -> io::Result<()> {
        let geometry = &self.volume.geometry;
        let mut list = vec![0; geometry.block as usize];
        let numbers = geometry.block / 4;
        for number in 0..geometry.reserved {
            let block = geometry.first + 1 + geometry.descriptors + number;
            let at = 4 * ((geometry.descriptors + number) % numbers) as usize;
            list[at..at + 4].copy_from_slice(&(block as u32).to_le_bytes());
        }
        self.put(&list)
    }

    /// Writes one area.
    fn area(&mut self, area: &Area) -> io::Result<()> {
        let group = area.group;
        match area.part {
            Part::Super => self.super_area(group),
            Part::BlockBitmap => {
                let bitmap = self.volume.block_bitmap(group);
                if self.flags(group) & 2 == 0 { self.out.put(&bitmap) } else { Ok(()) }
            }
            Part::InodeBitmap => {
                let bitmap = self.volume.inode_bitmap(group);
                if self.flags(group) & 1 == 0 { self.out.put(&bitmap) } else { Ok(()) }
            }
            Part::InodeTable => self.inodes(group),
        }
    }

    /// The flags in a group's descriptor.
    fn flags(&self, group: u32) -> u8 {
        self.descriptors[group as usize * DESCRIPTOR as usize + 0x12]
    }

    fn super_area(&mut self, group: u32) -> io::Result<()> {
        let geometry = &self.volume.geometry;
        if group == 0 {
            self.out.pad_to(SUPERBLOCK_AT)?;
        }
        self.out.put(&self.volume.superblock(group))?;
        self.out.align(geometry.block)?;
        self.out.put(&self.descriptors)?;
        self.out.align(geometry.block)?;
        if group != 0 {
            return Ok(());
        }
        // Each block kept lists its copies.
        for number in 0..geometry.reserved {
            let block = geometry.first + 1 + geometry.descriptors + number;
            let mut list = Vec::with_capacity(geometry.block as usize);
            for group in (1..geometry.groups).filter(|&group| has_super(group)) {
                let copy = block + u64::from(group) * geometry.per_group;
                list.extend_from_slice(&(copy as u32).to_le_bytes());
            }
            self.out.put(&list)?;
            self.out.align(geometry.block)?;
        }
        Ok(())
    }

    /// The inodes of a group.
    fn inodes(&mut self, group: u32) -> io::Result<()> {
        let volume = self.volume;
        let contents = &volume.contents;
        let first = group * volume.geometry.inodes_per_group + 1;
        for number in first..first + volume.used_inodes(group) {
            let inode = match number {
                ROOT => volume.inode(0),
                RESIZE if volume.geometry.reserved != 0 => volume.resize_inode(),
                JOURNAL if volume.journal != 0 => volume.journal_inode(),
                FIRST if contents.extra => volume.extra_inode(),
                number if number < FIRST => {
                    self.out.zeros(INODE)?;
                    continue;
                }
                _ => {
                    // Further names have no inode of their own.
                    while contents.inodes.get(self.entry).is_some_and(|&inode| inode != number) {
                        self.entry += 1;
                    }
                    self.entry += 1;
                    volume.inode(self.entry - 1)
                }
            };
            let seed = volume.inode_seed(number);
            self.out.put(&inode.encode(volume.geometry.block, seed))?;
        }
        Ok(())
    }
}
