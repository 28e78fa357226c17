//! Contents compressed by all threads, in the order of their files.

use std::{
    collections::HashMap,
    io::{self, Read as _},
    path::PathBuf,
};

use stagex_tree::Content;

use super::{
    Error, Node,
    clusters::{Extent, index_len},
    codec::{Codec, Compression},
    format::{BLOCK, Layout, SLOT},
};
use crate::{
    index::Index,
    ordered::{self, Queue, Worker},
    scratch::Scratch,
};

/// The most bytes of a file that are compressed in one go. A cluster never crosses such a border.
const SEGMENT: usize = 1 << 21;
/// Small files are handed over together, up to this.
const BATCH: usize = 1 << 18;
/// Files up to this length are not worth a look.
const SMALL: u64 = 128;

/// How contents are compressed.
#[derive(Debug, Clone)]
pub struct Packing {
    /// The compressor.
    pub compression: Compression,
    /// The most bytes that a cluster takes: a power of two from 4,096 to 524,288. Larger ones are
    /// smaller in all, and slower to read here and there; Linux 5.13 and newer read them.
    pub cluster: u32,
    /// Stores the compressed ends of files behind their inodes, which Linux 5.17 and newer read.
    pub tails: bool,
    /// Threads that compress, at least 1.
    pub threads: u32,
    /// The folder of the nameless files that hold compressed clusters until the image is written:
    /// they take as much as the image.
    pub scratch: PathBuf,
}

impl Packing {
    /// What mkfs.erofs does with `-zlz4 -Eztailpacking`.
    pub fn new(compression: Compression, scratch: impl Into<PathBuf>) -> Self {
        let scratch = scratch.into();
        Self { compression, cluster: 4096, tails: true, threads: 1, scratch }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.compression.check()?;
        if !self.cluster.is_power_of_two() || !(1 << 12..=1 << 19).contains(&self.cluster) {
            return Err(Error::Cluster { cluster: self.cluster });
        }
        Ok(())
    }

    /// Whether clusters may have several blocks.
    pub(super) fn is_big(&self) -> bool {
        u64::from(self.cluster) > BLOCK
    }
}

/// A compressed file.
#[derive(Debug, Clone, Copy)]
struct File {
    /// Its first block in `clusters`.
    first: u32,
    /// Where its extents begin, and how many there are.
    extents: usize,
    count: usize,
    /// Where in `tails` its last cluster is.
    tail: u64,
}

/// All compressed contents.
pub(super) struct Packed {
    files: Vec<File>,
    extents: Vec<Extent>,
    pub(super) clusters: Scratch,
    tails: Scratch,
}

impl Packed {
    pub(super) fn blocks(&self) -> u64 {
        self.clusters.len() / BLOCK
    }

    pub(super) fn extents(&self, node: &Node) -> &[Extent] {
        let file = &self.files[node.packed as usize];
        &self.extents[file.extents..file.extents + file.count]
    }

    /// Its first block, counted from the first compressed one.
    pub(super) fn first(&self, node: &Node) -> u32 {
        self.files[node.packed as usize].first
    }

    /// The bytes behind the index.
    pub(super) fn tail(&self, node: &Node, out: &mut crate::emit::Emitter<'_>) -> io::Result<()> {
        self.tails.copy(self.files[node.packed as usize].tail, node.tail, out)
    }
}

/// A part of a file to be compressed: its bytes in the batch.
struct Piece {
    number: u32,
    from: usize,
    to: usize,
    is_first: bool,
    is_last: bool,
    /// The most that may lie behind its index.
    room: usize,
}

/// Files to be compressed by one thread, and what has become of them.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// Blocks, and behind those of each piece its tail.
    out: Vec<u8>,
    extents: Vec<Extent>,
    /// How many extents, blocks and bytes of a tail each piece has.
    results: Vec<(usize, usize, usize)>,
    error: Option<io::Error>,
}

/// Compresses what gets smaller by it and notes it in the nodes.
pub(super) fn pack(
    index: &Index<'_>,
    nodes: &mut [Node],
    packing: &Packing,
) -> Result<Packed, Error> {
    let scratch = || Scratch::new(&packing.scratch).map_err(|source| Error::Scratch { source });
    let (compression, cluster) = (packing.compression, packing.cluster);
    let worker = || -> Worker<Batch, Batch> {
        let mut codec = Codec::new(compression, cluster);
        Box::new(move |mut batch| {
            match &mut codec {
                Ok(codec) => batch.error = batch.compress(codec, cluster as usize).err(),
                Err(error) => batch.error = Some(io::Error::new(error.kind(), error.to_string())),
            }
            batch
        })
    };
    let packed =
        Packed { files: Vec::new(), extents: Vec::new(), clusters: scratch()?, tails: scratch()? };
    ordered::with_queue(packing.threads, u64::from(packing.threads) + 1, worker, |queue| {
        let mut packer = Packer {
            index,
            nodes,
            packed,
            queue,
            tails: packing.tails,
            batch: Batch::default(),
            same: HashMap::new(),
            twins: Vec::new(),
            spare: Vec::new(),
        };
        packer.all()?;
        Ok(packer.packed)
    })
}

struct Packer<'q, 't> {
    index: &'q Index<'t>,
    nodes: &'q mut [Node],
    packed: Packed,
    queue: &'q mut Queue<Batch, Batch>,
    tails: bool,
    batch: Batch,
    /// Files by length, inode's length, and a hash of the bytes.
    same: HashMap<(u64, u64, u128), u32>,
    /// Files that are equal to another.
    twins: Vec<(u32, u32)>,
    spare: Vec<Batch>,
}

impl Packer<'_, '_> {
    fn all(&mut self) -> Result<(), Error> {
        let index = self.index;
        for number in 0..index.len() as u32 {
            let entry = &index.entries[number as usize];
            let is_first = index.firsts[number as usize] == number;
            if let Some(content) = entry.inode.content().filter(|_| is_first) {
                if content.len() > SMALL {
                    self.file(number, content)?;
                }
            }
        }
        self.hand_over()?;
        while let Some(batch) = self.queue.pop().map_err(compress)? {
            self.commit(batch)?;
        }
        for &(number, twin) in &self.twins {
            let twin = self.nodes[twin as usize];
            let node = &mut self.nodes[number as usize];
            // Their inodes are alike in length, so all that follows is.
            (node.layout, node.packed) = (twin.layout, twin.packed);
            (node.blocks, node.tail) = (twin.blocks, twin.tail);
        }
        let flush = |scratch: &mut Scratch| scratch.flush();
        flush(&mut self.packed.clusters)
            .and_then(|()| flush(&mut self.packed.tails))
            .map_err(|source| Error::Scratch { source })
    }

    fn file(&mut self, number: u32, content: &Content) -> Result<(), Error> {
        let index = self.index;
        let entry = &index.entries[number as usize];
        let failed = |source| Error::Read { path: entry.path.clone(), source };
        let len = content.len();
        let node = &self.nodes[number as usize];
        let head = node.head();
        // The whole lot in one block, or at the end of the last of several.
        let room = match self.tails {
            true => BLOCK - (head + index_len(len, head)) % BLOCK,
            false => 0,
        };
        let mut reader = content.open().map_err(failed)?;
        let mut left = len;
        while left != 0 {
            let take = left.min(SEGMENT as u64) as usize;
            if !self.batch.bytes.is_empty() && self.batch.bytes.len() + take > BATCH {
                self.hand_over()?;
            }
            let from = self.batch.bytes.len();
            self.batch.bytes.resize(from + take, 0);
            reader.read_exact(&mut self.batch.bytes[from..]).map_err(failed)?;
            let (is_first, is_last) = (left == len, left == take as u64);
            left -= take as u64;
            if is_first && is_last {
                let bytes = &self.batch.bytes[from..];
                let key = (len, head, xxhash_rust::xxh3::xxh3_128(bytes));
                match self.same.get(&key) {
                    None => drop(self.same.insert(key, number)),
                    Some(&twin) => {
                        let entry = &index.entries[twin as usize];
                        let failed = |source| Error::Read { path: entry.path.clone(), source };
                        let other = entry.inode.content().map(Content::read).transpose();
                        if other.map_err(failed)?.is_some_and(|other| other == bytes) {
                            self.batch.bytes.truncate(from);
                            self.twins.push((number, twin));
                            return Ok(());
                        }
                    }
                }
            }
            let to = from + take;
            let room = room as usize;
            self.batch.pieces.push(Piece { number, from, to, is_first, is_last, room });
        }
        Ok(())
    }

    /// Gives the batch to a thread, and takes what is done where there are enough.
    fn hand_over(&mut self) -> Result<(), Error> {
        if self.batch.pieces.is_empty() {
            return Ok(());
        }
        while self.queue.is_full() {
            match self.queue.pop().map_err(compress)? {
                Some(batch) => self.commit(batch)?,
                None => break,
            }
        }
        let next = self.spare.pop().unwrap_or_default();
        self.queue.push(std::mem::replace(&mut self.batch, next)).map_err(compress)
    }

    /// Keeps what has become of a batch.
    fn commit(&mut self, mut batch: Batch) -> Result<(), Error> {
        if let Some(source) = batch.error.take() {
            return Err(Error::Compress { source });
        }
        let scratch = |source| Error::Scratch { source };
        let (mut at, mut extent) = (0, 0);
        for (piece, &(count, blocks, tail)) in batch.pieces.iter().zip(&batch.results) {
            if piece.is_first {
                let first = u32::try_from(self.packed.blocks());
                let first = first.map_err(|_| Error::TooLarge {
                    path: self.index.entries[piece.number as usize].path.clone(),
                })?;
                self.packed.files.push(File {
                    first,
                    extents: self.packed.extents.len(),
                    count: 0,
                    tail: self.packed.tails.len(),
                });
            }
            let behind = at + blocks * BLOCK as usize;
            self.packed.clusters.put(&batch.out[at..behind]).map_err(scratch)?;
            self.packed.extents.extend_from_slice(&batch.extents[extent..extent + count]);
            if let Some(file) = self.packed.files.last_mut() {
                file.count += count;
            }
            if piece.is_last {
                let tail = &batch.out[behind..behind + tail];
                self.end(piece.number, tail).map_err(scratch)?;
            }
            at = behind + tail;
            extent += count;
        }
        for list in [&mut batch.bytes, &mut batch.out] {
            list.clear();
        }
        batch.pieces.clear();
        batch.extents.clear();
        batch.results.clear();
        self.spare.push(batch);
        Ok(())
    }

    /// Decides whether the file whose last piece has come is smaller as it is.
    fn end(&mut self, number: u32, tail: &[u8]) -> io::Result<()> {
        let node = &mut self.nodes[number as usize];
        let Some(file) = self.packed.files.last().copied() else { return Ok(()) };
        let blocks = self.packed.blocks() - u64::from(file.first);
        let head = node.head();
        let packed = head + index_len(node.size, head) + tail.len() as u64;
        let packed = blocks * BLOCK + packed.next_multiple_of(SLOT);
        let plain = node.blocks * BLOCK + (head + node.tail).next_multiple_of(SLOT);
        if packed >= plain {
            self.packed.extents.truncate(file.extents);
            self.packed.files.pop();
            return self.packed.clusters.truncate(u64::from(file.first) * BLOCK);
        }
        node.layout = Layout::Compressed;
        node.packed = (self.packed.files.len() - 1) as u32;
        (node.blocks, node.tail) = (blocks, tail.len() as u64);
        self.packed.tails.put(tail)
    }
}

fn compress(source: io::Error) -> Error {
    Error::Compress { source }
}

impl Batch {
    fn compress(&mut self, codec: &mut Codec, cluster: usize) -> io::Result<()> {
        for piece in &self.pieces {
            codec.reset();
            let (extents, out) = (self.extents.len(), self.out.len());
            let input = &self.bytes[piece.from..piece.to];
            let room = if piece.is_last { piece.room } else { 0 };
            let tail = segment(codec, cluster, input, room, &mut self.extents, &mut self.out)?;
            let blocks = (self.out.len() - out - tail) / BLOCK as usize;
            self.results.push((self.extents.len() - extents, blocks, tail));
        }
        Ok(())
    }
}

/// Cuts a segment of a file into clusters; gives the bytes of the one that `room` has space for,
/// which is the last.
///
/// Every cluster but the last holds a whole block of the file or more, so that no two begin in the
/// same one: an index has no words for that.
fn segment(
    codec: &mut Codec,
    cluster: usize,
    input: &[u8],
    room: usize,
    extents: &mut Vec<Extent>,
    out: &mut Vec<u8>,
) -> io::Result<usize> {
    let block = BLOCK as usize;
    let mut at = 0;
    while at < input.len() {
        let left = input.len() - at;
        let before = out.len();
        // What fills a block at most gains nothing by being compressed into one.
        let may_gain = left > block || room != 0;
        let taken = if may_gain { codec.fill(input, at, cluster, out)? } else { 0 };
        let len = out.len() - before;
        if taken == left && len <= room && len < block && len < left {
            extents.push(Extent::new(left, 0, false));
            return Ok(len);
        }
        let blocks = len.div_ceil(block);
        if taken > blocks * block {
            // Readers find the compressed bytes at the cluster's end.
            let pad = blocks * block - len;
            out.resize(out.len() + pad, 0);
            out[before..].rotate_right(pad);
            extents.push(Extent::new(taken, blocks, false));
            at += taken;
            continue;
        }
        out.truncate(before);
        if left <= room && left < block {
            out.extend_from_slice(&input[at..]);
            extents.push(Extent::new(left, 0, true));
            return Ok(left);
        }
        // As it is; the more at once, the larger the cluster that gained nothing was.
        let end = at + left.min(blocks.max(1) * block);
        while at < end {
            let len = block.min(end - at);
            out.extend_from_slice(&input[at..at + len]);
            out.resize(out.len() + block - len, 0);
            extents.push(Extent::new(len, 1, true));
            at += len;
        }
    }
    Ok(0)
}
