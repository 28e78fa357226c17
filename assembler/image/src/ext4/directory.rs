//! Directories: one block as a list, larger ones as a list with an index over hashed names.
//!
//! The index is a tree whose root is the first block of the directory. It and the nodes below it
//! look like blocks of a list with no entry but "." and "..", so that Linux before ext3 could read
//! them. Entries lie in the order of their hashes; blocks are filled.

use stagex_tree::Kind;

use super::{
    checksum::crc32c,
    hash::{Hash, half_md4},
};
use crate::index::Index;

/// The name of the directory for what e2fsck finds.
pub(super) const LOST_AND_FOUND: &[u8] = b"lost+found";
/// Stands for the number of `lost+found`, where the tree has none.
pub(super) const EXTRA: u32 = u32::MAX;
/// Bytes of "." or "..".
const DOT: usize = 12;
/// Bytes at the end of a block of a list, for its checksum.
const TAIL: usize = 12;
/// Bytes at the end of a block of an index, for its checksum.
const INDEX_TAIL: usize = 8;
/// Bytes of an entry of an index.
const POINTER: usize = 8;
/// Where the entries begin in the root of an index, and in its other nodes.
const ROOT_BEGIN: usize = 32;
const NODE_BEGIN: usize = 8;
/// The hash "half MD4".
const HALF_MD4: u8 = 1;
/// The deepest index: levels between root and leaves. Two need the feature `large_dir`.
const LEVELS_MAX: usize = 2;

/// The file type that an entry carries.
pub(super) fn file_type(kind: &Kind) -> u8 {
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

/// Bytes of an entry with a name of `name` bytes.
fn record(name: usize) -> usize {
    (8 + name).next_multiple_of(4)
}

/// An entry as it is written.
pub(super) struct Named<'a> {
    pub(super) inode: u32,
    pub(super) file_type: u8,
    pub(super) name: &'a [u8],
}

/// A directory of more than one block.
#[derive(Debug)]
pub(super) struct Indexed {
    /// The numbers of the entries, sorted by hash.
    order: Box<[u32]>,
    /// For each leaf, where in `order` it begins, and the hash by which the index finds it.
    leaves: Box<[(u32, u32)]>,
    /// How many nodes each level between root and leaves has, from the leaves on.
    nodes: [usize; LEVELS_MAX],
    /// How many of those levels there are.
    levels: usize,
}

/// How many entries the root of an index holds, and each other node.
fn fan(block: usize) -> (usize, usize) {
    let room = |begin: usize| (block - begin - INDEX_TAIL) / POINTER;
    (room(ROOT_BEGIN), room(NODE_BEGIN))
}

/// The name of the entry `child` of a directory.
pub(super) fn name<'t>(index: &Index<'t>, child: u32) -> &'t [u8] {
    match child {
        EXTRA => LOST_AND_FOUND,
        child => index.entries[child as usize].path.name(),
    }
}

/// Plans a directory with the entries `children`, given in path order: `Ok(None)` where one block
/// holds them, `Err` with the number of blocks needed where no index is large enough.
pub(super) fn plan(
    index: &Index<'_>,
    children: impl Iterator<Item = u32> + Clone,
    block: u64,
    seed: &[u32; 4],
) -> Result<Option<Indexed>, u64> {
    let block = block as usize;
    let sum: usize = children.clone().map(|child| record(name(index, child).len())).sum();
    if sum + 2 * DOT + TAIL <= block {
        return Ok(None);
    }
    let mut hashed: Vec<(Hash, u32)> =
        children.map(|child| (half_md4(name(index, child), seed), child)).collect();
    hashed.sort_unstable();
    let mut leaves: Vec<(u32, u32)> = Vec::new();
    let mut used = block;
    let mut before = None;
    for (at, &((hash, _), child)) in (0..).zip(&hashed) {
        let bytes = record(name(index, child).len());
        if used + bytes + TAIL > block {
            // The lowest bit says that entries of the same hash lie in the leaf before as well.
            leaves.push((at, hash | u32::from(before == Some(hash))));
            used = 0;
        }
        used += bytes;
        before = Some(hash);
    }
    let (root, node) = fan(block);
    let mut nodes = [0; LEVELS_MAX];
    let mut levels = 0;
    let mut top = leaves.len();
    while top > root {
        if levels == LEVELS_MAX {
            return Err(leaves.len() as u64);
        }
        top = top.div_ceil(node);
        nodes[levels] = top;
        levels += 1;
    }
    let order = hashed.iter().map(|&(_, child)| child).collect();
    Ok(Some(Indexed { order, leaves: leaves.into(), nodes, levels }))
}

impl Indexed {
    /// All blocks of the directory.
    pub(super) fn blocks(&self) -> u64 {
        1 + (self.nodes.iter().sum::<usize>() + self.leaves.len()) as u64
    }

    /// Whether it needs the feature `large_dir`.
    pub(super) fn is_large(&self) -> bool {
        self.levels == LEVELS_MAX
    }

    /// The number of entries of leaf `at`.
    fn leaf(&self, at: usize) -> &[u32] {
        let begin = self.leaves[at].0 as usize;
        let end = self.leaves.get(at + 1).map_or(self.order.len(), |next| next.0 as usize);
        &self.order[begin..end]
    }
}

/// Builds the blocks of one directory, one after another, and hands them on.
pub(super) struct Blocks<F> {
    block: Vec<u8>,
    /// The inode's.
    seed: u32,
    put: F,
}

impl<'a, E, F: FnMut(&[u8]) -> Result<(), E>> Blocks<F> {
    pub(super) fn new(block: u64, seed: u32, put: F) -> Self {
        Self { block: vec![0; block as usize], seed, put }
    }

    /// Puts one entry of `len` bytes at `at`.
    fn entry(&mut self, at: usize, len: usize, entry: &Named<'_>) {
        let bytes = &mut self.block[at..at + 8 + entry.name.len()];
        bytes[..4].copy_from_slice(&entry.inode.to_le_bytes());
        bytes[4..6].copy_from_slice(&(len as u16).to_le_bytes());
        // Names were checked to be 255 bytes at most.
        bytes[6] = entry.name.len() as u8;
        bytes[7] = entry.file_type;
        bytes[8..].copy_from_slice(entry.name);
    }

    /// A block of a list: the entries, the last of which takes the rest.
    pub(super) fn list(&mut self, entries: impl Iterator<Item = Named<'a>>) -> Result<(), E> {
        let end = self.block.len() - TAIL;
        self.block.fill(0);
        let mut at = 0;
        let mut entries = entries.peekable();
        if entries.peek().is_none() {
            self.entry(0, end, &Named { inode: 0, file_type: 0, name: b"" });
        }
        while let Some(entry) = entries.next() {
            let next = if entries.peek().is_some() { at + record(entry.name.len()) } else { end };
            self.entry(at, next - at, &entry);
            at = next;
        }
        let sum = crc32c(self.seed, &self.block[..end]);
        self.block[end + 4..end + 6].copy_from_slice(&(TAIL as u16).to_le_bytes());
        self.block[end + 7] = 0xde;
        self.block[end + 8..].copy_from_slice(&sum.to_le_bytes());
        (self.put)(&self.block)
    }

    /// A block of an index whose entries begin at `begin`: the hash and block of each below it.
    fn index(&mut self, begin: usize, below: impl Iterator<Item = (u32, u32)>) -> Result<(), E> {
        let most = (self.block.len() - begin - INDEX_TAIL) / POINTER;
        let mut at = begin;
        for (hash, block) in below {
            self.block[at..at + 4].copy_from_slice(&hash.to_le_bytes());
            self.block[at + 4..at + 8].copy_from_slice(&block.to_le_bytes());
            at += POINTER;
        }
        // All hashes up to the second one's lead to the first: these numbers are in its place.
        let count = (at - begin) / POINTER;
        self.block[begin..begin + 2].copy_from_slice(&(most as u16).to_le_bytes());
        self.block[begin + 2..begin + 4].copy_from_slice(&(count as u16).to_le_bytes());
        let tail = begin + most * POINTER;
        let sum = crc32c(crc32c(self.seed, &self.block[..at]), &[0; INDEX_TAIL]);
        self.block[tail + 4..tail + 8].copy_from_slice(&sum.to_le_bytes());
        (self.put)(&self.block)
    }

    /// The blocks of an indexed directory, whose entries `named` gives.
    pub(super) fn indexed(
        &mut self,
        directory: &Indexed,
        [own, parent]: [u32; 2],
        named: impl Fn(u32) -> Named<'a>,
    ) -> Result<(), E> {
        let (_, fan) = fan(self.block.len());
        // Where each level begins, the leaves first: they lie last.
        let mut first = [0u32; LEVELS_MAX + 1];
        let mut next = 1;
        for level in (0..=directory.levels).rev() {
            first[level] = next;
            let count =
                if level == 0 { directory.leaves.len() } else { directory.nodes[level - 1] };
            next += count as u32;
        }
        // The hash and block of each node of a level, from number `from` on.
        let level_from = |level: usize, from: usize, to: usize| {
            let leaves = fan.pow(level as u32);
            (from..to).map(move |at| (directory.leaves[at * leaves].1, first[level] + at as u32))
        };
        let count_of = |level: usize| match level {
            0 => directory.leaves.len(),
            level => directory.nodes[level - 1],
        };
        self.block.fill(0);
        self.entry(0, DOT, &Named { inode: own, file_type: 2, name: b"." });
        let rest = self.block.len() - DOT;
        self.entry(DOT, rest, &Named { inode: parent, file_type: 2, name: b".." });
        self.block[28..31].copy_from_slice(&[HALF_MD4, 8, directory.levels as u8]);
        self.index(ROOT_BEGIN, level_from(directory.levels, 0, count_of(directory.levels)))?;
        for level in (1..=directory.levels).rev() {
            for at in 0..count_of(level) {
                self.block.fill(0);
                let all = self.block.len() as u16;
                self.block[4..6].copy_from_slice(&all.to_le_bytes());
                let below = count_of(level - 1);
                self.index(NODE_BEGIN, level_from(level - 1, at * fan, below.min((at + 1) * fan)))?;
            }
        }
        for leaf in 0..directory.leaves.len() {
            self.list(directory.leaf(leaf).iter().map(|&child| named(child)))?;
        }
        Ok(())
    }
}
