//! Contents: blocks and fragments, compressed by all threads, in the order of their files.

use std::{
    collections::HashMap,
    io::{self, Read},
};

use stagex_tree::{Content, Digest, TreePath};

use super::{Error, Params, codec::Codec};
use crate::{
    index::Index,
    ordered::{self, Queue, Worker},
    scratch::Scratch,
    sparse::Blocks,
};

/// In a block's size: it is not compressed.
const RAW: u32 = 1 << 24;
/// The number of no fragment.
pub(super) const NO_FRAGMENT: u32 = u32::MAX;
/// Bytes of blocks under way at once, in all threads.
const UNDER_WAY: u64 = 16 << 20;

/// Where a file's content is.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    /// The first block; 0 where there is none.
    pub(super) start: u64,
    /// Bytes in blocks of zeros, which are not stored.
    pub(super) sparse: u64,
    pub(super) fragment: u32,
    pub(super) offset: u32,
    /// Where in [`Data::sizes`] the sizes of its blocks begin, and how many there are.
    pub(super) sizes: usize,
    pub(super) blocks: usize,
}

/// All contents.
pub(super) struct Data {
    /// By entry; the place of each file in `files`.
    pub(super) by_entry: Vec<u32>,
    pub(super) files: Vec<File>,
    pub(super) sizes: Vec<u32>,
    /// Where each fragment block is, and its size with the bit for what is not compressed.
    pub(super) fragments: Vec<(u64, u32)>,
    pub(super) scratch: Scratch,
}

/// Whom a block belongs to.
#[derive(Clone, Copy)]
enum Owner {
    File { file: usize, size: usize },
    Fragment(usize),
}

type Job = (Owner, Vec<u8>);
type Done = (Owner, u32, io::Result<Option<Vec<u8>>>, Vec<u8>);

/// Compresses the contents of a tree; the first will be at `base` in the image.
pub(super) fn pack(index: &Index<'_>, params: &Params, base: u64) -> Result<Data, Error> {
    let block = params.block_size;
    let worker = || -> Worker<Job, Done> {
        let mut codec = Codec::new(params.compression, block);
        Box::new(move |(owner, bytes)| {
            let packed = match &mut codec {
                Ok(codec) => codec.compress(&bytes),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            (owner, bytes.len() as u32, packed, bytes)
        })
    };
    let scratch = Scratch::new(&params.scratch).map_err(|source| Error::Scratch { source })?;
    let most = UNDER_WAY / u64::from(block) / 2;
    ordered::with_queue(
        params.threads,
        most.clamp(2, 4 * u64::from(params.threads.max(1))),
        worker,
        |queue| {
            let data = Data {
                by_entry: vec![0; index.len()],
                files: Vec::new(),
                sizes: Vec::new(),
                fragments: Vec::new(),
                scratch,
            };
            let mut packer = Packer {
                data,
                queue,
                base,
                block: block as usize,
                tail_ends: params.tail_ends,
                fragment: Vec::new(),
                counts: HashMap::new(),
                same: HashMap::new(),
                spare: Vec::new(),
            };
            packer.all(index)?;
            Ok(packer.data)
        },
    )
}

struct Packer<'q> {
    data: Data,
    queue: &'q mut Queue<Job, Done>,
    base: u64,
    block: usize,
    tail_ends: bool,
    /// The fragment block that is being filled.
    fragment: Vec<u8>,
    /// How many files have this length.
    counts: HashMap<u64, u32>,
    same: HashMap<(u64, Digest), u32>,
    /// Buffers used before, to be used again.
    spare: Vec<Vec<u8>>,
}

impl Packer<'_> {
    fn all(&mut self, index: &Index<'_>) -> Result<(), Error> {
        let is_first = |number: usize| index.firsts[number] as usize == number;
        let content = |number: usize| index.entries[number].inode.content();
        for number in (0..index.len()).filter(|&number| is_first(number)) {
            if let Some(content) = content(number) {
                *self.counts.entry(content.len()).or_default() += 1;
            }
        }
        for number in (0..index.len()).filter(|&number| is_first(number)) {
            if let Some(content) = content(number) {
                let file = self.file(index.entries[number].path, content)?;
                self.data.by_entry[number] = file;
            }
        }
        self.end_fragment()?;
        while let Some(done) = self.pop()? {
            self.commit(done)?;
        }
        self.data.scratch.flush().map_err(|source| Error::Scratch { source })
    }

    /// Stores a content, unless it is stored already, and gives its number.
    fn file(&mut self, path: &TreePath, content: &Content) -> Result<u32, Error> {
        let failed = |source| Error::Read { path: path.clone(), source };
        let len = content.len();
        let number = self.data.files.len();
        let none = File {
            start: 0,
            sparse: 0,
            fragment: NO_FRAGMENT,
            offset: 0,
            sizes: self.data.sizes.len(),
            blocks: 0,
        };
        // Small files are read once, for the digest and for what is stored.
        let small = len < self.block as u64;
        let mut bytes = Vec::new();
        if self.counts.get(&len).is_some_and(|&count| count > 1) {
            let digest = match content.known_digest() {
                Some(digest) => digest,
                None if small => {
                    bytes = self.buffer();
                    read(&mut content.open().map_err(failed)?, len as usize, &mut bytes)
                        .map_err(failed)?;
                    Digest::of(&bytes)
                }
                None => content.digest().map_err(failed)?,
            };
            if let Some(&file) = self.same.get(&(len, digest)) {
                self.spare.push(bytes);
                return Ok(file);
            }
            self.same.insert((len, digest), number as u32);
        }
        self.data.files.push(none);
        if small {
            if bytes.is_empty() && len != 0 {
                bytes = self.buffer();
                read(&mut content.open().map_err(failed)?, len as usize, &mut bytes)
                    .map_err(failed)?;
            }
            self.tail(number, &bytes)?;
            self.spare.push(bytes);
            return Ok(number as u32);
        }
        let mut blocks = Blocks::open(content).map_err(failed)?;
        let mut left = len;
        while left != 0 {
            let size = left.min(self.block as u64) as usize;
            let mut bytes = self.buffer();
            let is_hole = !blocks.next(size, &mut bytes).map_err(failed)?;
            left -= size as u64;
            if self.tail_ends && size < self.block {
                bytes.resize(size, 0);
                self.tail(number, &bytes)?;
                self.spare.push(bytes);
                break;
            }
            let slot = self.data.sizes.len();
            self.data.sizes.push(0);
            self.data.files[number].blocks += 1;
            if is_hole || is_zero(&bytes) {
                self.data.files[number].sparse += size as u64;
                self.spare.push(bytes);
                continue;
            }
            self.push((Owner::File { file: number, size: slot }, bytes))?;
        }
        Ok(number as u32)
    }

    /// Adds what does not fill a block to the fragments.
    fn tail(&mut self, file: usize, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.fragment.len() + bytes.len() > self.block {
            self.end_fragment()?;
        }
        self.data.files[file].fragment = self.data.fragments.len() as u32;
        self.data.files[file].offset = self.fragment.len() as u32;
        self.fragment.extend_from_slice(bytes);
        Ok(())
    }

    fn end_fragment(&mut self) -> Result<(), Error> {
        if self.fragment.is_empty() {
            return Ok(());
        }
        let next = self.buffer();
        let bytes = std::mem::replace(&mut self.fragment, next);
        let owner = Owner::Fragment(self.data.fragments.len());
        self.data.fragments.push((0, 0));
        self.push((owner, bytes))
    }

    fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn push(&mut self, job: Job) -> Result<(), Error> {
        while self.queue.is_full() {
            if let Some(done) = self.pop()? {
                self.commit(done)?;
            }
        }
        self.queue.push(job).map_err(|source| Error::Compress { source })
    }

    fn pop(&mut self) -> Result<Option<Done>, Error> {
        self.queue.pop().map_err(|source| Error::Compress { source })
    }

    /// Puts the next block into the scratch file.
    fn commit(&mut self, (owner, len, packed, raw): Done) -> Result<(), Error> {
        let packed = packed.map_err(|source| Error::Compress { source })?;
        let at = self.base + self.data.scratch.len();
        let (bytes, size) = match &packed {
            Some(packed) => (packed, packed.len() as u32),
            None => (&raw, len | RAW),
        };
        self.data.scratch.put(bytes).map_err(|source| Error::Scratch { source })?;
        match owner {
            Owner::File { file, size: slot } => {
                let file = &mut self.data.files[file];
                if file.start == 0 {
                    file.start = at;
                }
                self.data.sizes[slot] = size;
            }
            Owner::Fragment(number) => self.data.fragments[number] = (at, size),
        }
        self.spare.push(raw);
        Ok(())
    }
}

/// Reads exactly `len` bytes.
fn read(reader: &mut impl Read, len: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(len, 0);
    reader.read_exact(bytes)
}

fn is_zero(bytes: &[u8]) -> bool {
    let (head, rest) = bytes.split_at(bytes.len().min(64));
    // Most blocks differ at once; the rest is compared with itself, shifted.
    head.iter().all(|&byte| byte == 0)
        && (rest.is_empty() || bytes[64..] == bytes[..bytes.len() - 64])
}
