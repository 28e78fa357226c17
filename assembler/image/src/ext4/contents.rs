//! What a tree asks of a volume, and where among the blocks of content each part lies.

use std::collections::{BTreeMap, HashMap};

use stagex_tree::{Kind, Tree};

use super::{
    Error,
    directory::{self, EXTRA, Indexed, LOST_AND_FOUND},
    extents::{self, Extent},
    geometry::Geometry,
    holes::{self, Run},
    inode::{FIRST, LINKS_MAX, ROOT, SLOW_LINK, TIMES, device},
    xattr::{self, Fault, Refused, SHARED_MAX, Xattrs},
};
use crate::{index::Index, path_check::symlink_target};

/// Bytes of a `lost+found` that the tree does not have: enough for e2fsck to begin with.
const LOST_AND_FOUND_BYTES: u64 = 16 << 10;
/// The most blocks of a file.
const FILE_BLOCKS_MAX: u64 = (1 << 32) - 1;
/// The most blocks of a directory.
const DIRECTORY_BLOCKS_MAX: u64 = (1 << 28) - 1;

/// The same extended attributes in a block, for one inode or more.
pub(super) struct Shared<'t> {
    pub(super) xattrs: &'t Xattrs,
    pub(super) inodes: u32,
}

/// The parts of a volume that come from the tree.
pub(super) struct Contents<'t> {
    pub(super) index: Index<'t>,
    /// Bytes of a block.
    pub(super) block: u64,
    /// Whether a `lost+found` is added.
    pub(super) extra: bool,
    /// The inode of each entry, by number.
    pub(super) inodes: Vec<u32>,
    /// The last inode in use.
    pub(super) last_inode: u32,
    /// The directories of more than one block, by number.
    pub(super) indexed: BTreeMap<u32, Indexed>,
    /// The files with holes, by number.
    pub(super) holes: BTreeMap<u32, Box<[Run]>>,
    /// Blocks of extended attributes.
    pub(super) shared: Vec<Shared<'t>>,
    /// The entries that have one, ascending, and which.
    pub(super) shared_of: Vec<(u32, u32)>,
}

/// Where the parts begin, in blocks of content.
#[derive(Debug, Default)]
pub(super) struct Placement {
    pub(super) journal: u64,
    pub(super) xattrs: u64,
    pub(super) extra: u64,
    /// By the number of the entry; 0 where it takes no block.
    pub(super) starts: Vec<u64>,
    /// Blocks of content in all.
    pub(super) end: u64,
}

impl<'t> Contents<'t> {
    /// Checks that a volume can hold `tree`, and counts what it takes. Looks for holes where
    /// `find_holes` is true.
    pub(super) fn new(
        tree: &'t Tree,
        block: u64,
        hash_seed: &[u32; 4],
        find_holes: bool,
    ) -> Result<Self, Error> {
        let index = Index::new(tree);
        let extra = lost_and_found(&index)?;
        let mut contents = Self {
            inodes: Vec::with_capacity(index.len()),
            index,
            block,
            extra,
            last_inode: ROOT,
            indexed: BTreeMap::new(),
            holes: BTreeMap::new(),
            shared: Vec::new(),
            shared_of: Vec::new(),
        };
        contents.number()?;
        contents.check()?;
        contents.share()?;
        contents.plan_directories(hash_seed)?;
        if find_holes {
            contents.find_holes()?;
        }
        Ok(contents)
    }

    /// Gives every inode its number, in path order.
    fn number(&mut self) -> Result<(), Error> {
        let mut next = FIRST + u32::from(self.extra);
        self.last_inode = next - 1;
        for (number, &first) in self.index.firsts.iter().enumerate() {
            let inode = if number == 0 {
                ROOT
            } else if first as usize == number {
                self.last_inode = next;
                let inodes = self.index.len() as u64;
                next = next.checked_add(1).ok_or(Error::TooManyInodes { inodes })?;
                self.last_inode
            } else {
                self.inodes[first as usize]
            };
            self.inodes.push(inode);
        }
        self.last_inode = self.last_inode.max(FIRST - 1);
        Ok(())
    }

    /// Checks kinds, names' targets, times, sizes and links.
    fn check(&self) -> Result<(), Error> {
        for (number, entry) in self.index.entries.iter().enumerate() {
            let path = || entry.path.clone();
            let mtime = entry.inode.metadata.mtime;
            if !TIMES.contains(&mtime) {
                return Err(Error::Time { path: path(), mtime });
            }
            match &entry.inode.kind {
                Kind::File(content) => {
                    let limit = FILE_BLOCKS_MAX * self.block;
                    if content.len() > limit {
                        return Err(Error::FileTooLarge {
                            path: path(),
                            len: content.len(),
                            limit,
                        });
                    }
                }
                Kind::Symlink(target) => {
                    let limit = self.block - 1;
                    let len = symlink_target(target).filter(|&len| len <= limit);
                    len.ok_or_else(|| Error::Target { path: path(), limit: limit.min(4095) })?;
                }
                Kind::CharDevice(numbers) | Kind::BlockDevice(numbers) => {
                    let (major, minor) = (numbers.major, numbers.minor);
                    device(*numbers).ok_or_else(|| Error::Device { path: path(), major, minor })?;
                }
                Kind::Directory | Kind::Fifo | Kind::Socket => {}
            }
            let links = self.index.links[number];
            if links > LINKS_MAX {
                return Err(Error::Links { path: path(), links });
            }
        }
        Ok(())
    }

    /// Checks extended attributes, and finds those that share a block.
    fn share(&mut self) -> Result<(), Error> {
        let mut seen: HashMap<&Xattrs, u32> = HashMap::new();
        for (number, entry) in (0u32..).zip(&self.index.entries) {
            let xattrs = &entry.inode.metadata.xattrs;
            if xattrs.is_empty() || self.index.firsts[number as usize] != number {
                continue;
            }
            let path = || entry.path.clone();
            let split = xattr::split(xattrs, self.block).map_err(|refused| match refused {
                Refused::One(name, fault) => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    match fault {
                        Fault::Name => Error::XattrName { path: path(), name },
                        Fault::Acl => Error::Acl { path: path(), name },
                    }
                }
                Refused::Size { bytes, limit } => Error::Xattrs { path: path(), bytes, limit },
            })?;
            if !split.has_block() {
                continue;
            }
            let next = self.shared.len() as u32;
            let found = seen.entry(xattrs).or_insert(next);
            if *found != next && self.shared[*found as usize].inodes == SHARED_MAX {
                *found = next;
            }
            if *found == next {
                self.shared.push(Shared { xattrs, inodes: 0 });
            }
            self.shared[*found as usize].inodes += 1;
            self.shared_of.push((number, *found));
        }
        Ok(())
    }

    fn plan_directories(&mut self, hash_seed: &[u32; 4]) -> Result<(), Error> {
        for number in 0..self.index.len() {
            if !self.index.entries[number].inode.is_directory() {
                continue;
            }
            let path = || self.index.entries[number].path.clone();
            let blocks =
                match directory::plan(&self.index, self.children(number), self.block, hash_seed) {
                    Ok(None) => continue,
                    Ok(Some(indexed)) if indexed.blocks() <= DIRECTORY_BLOCKS_MAX => {
                        self.indexed.insert(number as u32, indexed);
                        continue;
                    }
                    Ok(Some(indexed)) => indexed.blocks(),
                    Err(blocks) => blocks,
                };
            return Err(Error::DirectoryTooLarge { path: path(), blocks });
        }
        Ok(())
    }

    fn find_holes(&mut self) -> Result<(), Error> {
        for (number, entry) in (0u32..).zip(&self.index.entries) {
            let Some(content) = entry.inode.content() else { continue };
            if self.index.firsts[number as usize] != number {
                continue;
            }
            let runs = holes::runs(content, self.block)
                .map_err(|source| Error::Read { path: entry.path.clone(), source })?;
            if let Some(runs) = runs {
                self.holes.insert(number, runs);
            }
        }
        Ok(())
    }

    /// What the directory `number` holds, `lost+found` included.
    pub(super) fn children(&self, number: usize) -> impl Iterator<Item = u32> + Clone {
        let extra = (number == 0 && self.extra).then_some(EXTRA);
        self.index.children(number).iter().copied().chain(extra)
    }

    /// Inodes in use and reserved.
    pub(super) fn inode_count(&self) -> u64 {
        u64::from(self.last_inode)
    }

    /// Blocks of the `lost+found` that is added.
    pub(super) fn extra_blocks(&self) -> u64 {
        if self.extra { LOST_AND_FOUND_BYTES / self.block } else { 0 }
    }

    /// The runs of blocks that hold what the entry `number` has, within it.
    pub(super) fn runs(&self, number: u32) -> impl Iterator<Item = (u64, u64)> {
        let entry = &self.index.entries[number as usize];
        let whole = match &entry.inode.kind {
            _ if self.index.firsts[number as usize] != number => 0,
            Kind::Directory => self.indexed.get(&number).map_or(1, Indexed::blocks),
            Kind::Symlink(target) => u64::from(target.len() as u64 >= SLOW_LINK),
            Kind::File(content) => content.len().div_ceil(self.block),
            _ => 0,
        };
        let holes = if whole > 1 { self.holes.get(&number) } else { None };
        let runs = holes.map_or(&[][..], |runs| runs);
        let whole = (holes.is_none() && whole != 0).then_some((0, whole));
        runs.iter().map(|&(from, len)| (u64::from(from), u64::from(len))).chain(whole)
    }

    /// The blocks of content that all parts take, less those of the trees of extents.
    pub(super) fn blocks(&self) -> u64 {
        let entries = (0..self.index.len() as u32).flat_map(|number| self.runs(number));
        let entries: u64 = entries.map(|(_, len)| len).sum();
        entries + self.shared.len() as u64 + self.extra_blocks()
    }

    /// Places all parts: first those of the volume itself, then directories, then files.
    pub(super) fn place(&self, geometry: &Geometry, journal: u32) -> Placement {
        let tree_of = |extents: &[Extent]| extents::tree_blocks(extents.len(), self.block);
        // One block lists those kept for descriptors.
        let mut at = u64::from(geometry.reserved != 0);
        let mut place = Placement { journal: at, ..Placement::default() };
        let journal = u64::from(journal);
        let found = extents::extents(geometry, at, (journal != 0).then_some((0, journal)));
        at += journal + tree_of(&found);
        place.xattrs = at;
        at += self.shared.len() as u64;
        place.extra = at;
        let extra = self.extra_blocks();
        let found = extents::extents(geometry, at, (extra != 0).then_some((0, extra)));
        at += extra + tree_of(&found);
        place.starts = vec![0; self.index.len()];
        for directories in [true, false] {
            for (number, start) in (0u32..).zip(&mut place.starts) {
                let entry = &self.index.entries[number as usize];
                if entry.inode.is_directory() != directories {
                    continue;
                }
                let blocks: u64 = self.runs(number).map(|(_, len)| len).sum();
                if blocks == 0 {
                    continue;
                }
                *start = at;
                at += blocks;
                // The inode itself lists four extents.
                if blocks > 4 {
                    at += tree_of(&extents::extents(geometry, *start, self.runs(number)));
                }
            }
        }
        place.end = at;
        place
    }
}

/// Whether a `lost+found` must be added; an error where the tree has it as something else.
fn lost_and_found(index: &Index<'_>) -> Result<bool, Error> {
    let mut top = index.children(0).iter().map(|&child| &index.entries[child as usize]);
    match top.find(|entry| entry.path.name() == LOST_AND_FOUND) {
        None => Ok(true),
        Some(entry) if entry.inode.is_directory() => Ok(false),
        Some(entry) => Err(Error::LostAndFound { path: entry.path.clone() }),
    }
}
