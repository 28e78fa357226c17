//! The content of files: blocks, and the end in a fragment that several share.

use std::sync::Arc;

use crate::{
    blocks::{self, Block, Blocks},
    bytes::Bytes,
    error::{Error, Result, invalid},
    values::le,
};

use super::{Volume, inode::NO, meta::Cursor};

/// In a block's size: it is not compressed.
const RAW: u32 = 1 << 24;
/// The most blocks of a file: 1 TiB of the usual size.
const MAX_BLOCKS: u64 = 8 << 20;

/// Where a file's content is.
pub(super) struct File {
    size: u64,
    /// Where each block begins, and its size as it is stored; 0 for zeros.
    blocks: Vec<(u64, u32)>,
    /// The fragment's number and where in it the file's end is.
    fragment: Option<(u64, u64)>,
}

impl File {
    /// Reads the sizes of the blocks, which follow the inode.
    pub(super) fn read(
        volume: &Volume,
        cursor: &mut Cursor<'_>,
        start: u64,
        size: u64,
        fragment: (u64, u64),
    ) -> Result<Self> {
        let fragment = Some(fragment).filter(|fragment| fragment.0 != NO);
        let count = match fragment {
            Some(_) => size / volume.block,
            None => size.div_ceil(volume.block),
        };
        if count > MAX_BLOCKS {
            return Err(Error::Limit { what: "blocks of a file", limit: MAX_BLOCKS });
        }
        let mut at = start;
        let mut blocks = Vec::new();
        for _ in 0..count {
            let stored = le(&cursor.take(4)?, 0, 4) as u32;
            blocks.push((at, stored));
            at = at.saturating_add(u64::from(stored & (RAW - 1)));
        }
        Ok(Self { size, blocks, fragment })
    }

    pub(super) fn bytes(self, volume: &Arc<Volume>) -> Result<Bytes> {
        if self.size == 0 {
            return Ok(Bytes::from_vec(Vec::new()));
        }
        let fragment = match self.fragment {
            Some((number, offset)) => {
                if number >= volume.fragment_count {
                    return Err(invalid("squashfs", format!("fragment {number} does not exist")));
                }
                let entry = volume.entry(volume.fragments, number, 16)?;
                Some(Fragment {
                    number,
                    at: le(&entry, 0, 8),
                    stored: le(&entry, 8, 4) as u32,
                    offset,
                })
            }
            None => None,
        };
        let (size, blocks) = (self.size, self.blocks);
        Ok(blocks::bytes(Content { volume: volume.clone(), size, blocks, fragment }))
    }
}

/// A file's content.
struct Content {
    volume: Arc<Volume>,
    size: u64,
    blocks: Vec<(u64, u32)>,
    fragment: Option<Fragment>,
}

/// Where a file's end is.
#[derive(Clone, Copy)]
struct Fragment {
    number: u64,
    /// Where the block of all that it has begins, and its size as it is stored.
    at: u64,
    stored: u32,
    /// Where in it the file's end begins.
    offset: u64,
}

impl Content {
    fn stored(&self, at: u64, stored: u32, len: u64) -> Result<Block> {
        let bytes = self.volume.bytes.slice(at, u64::from(stored & (RAW - 1)))?;
        let block = self.volume.block;
        if bytes.len() > block {
            return Err(invalid("squashfs", format!("a block of {} bytes", bytes.len())));
        }
        let decoded = if stored & RAW != 0 {
            Block::Plain(bytes)
        } else {
            let bytes = bytes.vec(0, bytes.len() as usize)?;
            Block::Decoded(self.volume.codec.decode(&bytes, block as usize)?)
        };
        let found = match &decoded {
            Block::Plain(bytes) => bytes.len(),
            Block::Decoded(bytes) => bytes.len() as u64,
            Block::Zero => len,
        };
        if found < len {
            return Err(Error::Truncated { offset: at, end: len, len: found });
        }
        Ok(decoded)
    }

    /// The end of the file, which has `len` bytes. What it is a part of is kept, as the files beside
    /// it have their ends there too.
    fn end(&self, fragment: Fragment, len: u64) -> Result<Block> {
        let Fragment { number, at, stored, offset } = fragment;
        let end = offset.saturating_add(len);
        if stored & RAW != 0 {
            return match self.stored(at, stored, end)? {
                Block::Plain(bytes) => Ok(Block::Plain(bytes.slice(offset, len)?)),
                other => Ok(other),
            };
        }
        let all = self.volume.ends.block(number, || match self.stored(at, stored, 0)? {
            Block::Decoded(bytes) => Ok(bytes),
            Block::Plain(_) | Block::Zero => Ok(Vec::new()),
        })?;
        let truncated = || Error::Truncated { offset: at, end, len: all.len() as u64 };
        let part = all.get(offset as usize..end as usize).ok_or_else(truncated)?;
        Ok(Block::Decoded(part.to_vec()))
    }
}

impl Blocks for Content {
    fn len(&self) -> u64 {
        self.size
    }

    fn size(&self) -> u64 {
        self.volume.block
    }

    fn block(&self, index: u64) -> Result<Block> {
        let block = self.volume.block;
        let len = block.min(self.size - index * block);
        let entry = usize::try_from(index).ok().and_then(|index| self.blocks.get(index));
        match (entry, self.fragment) {
            (Some((_, 0)), _) => Ok(Block::Zero),
            (Some((at, stored)), _) => self.stored(*at, *stored, len),
            (None, Some(fragment)) => self.end(fragment, len),
            (None, None) => Err(invalid("squashfs", "a file has too few blocks")),
        }
    }

    fn is_hole(&self, index: u64) -> bool {
        let entry = usize::try_from(index).ok().and_then(|index| self.blocks.get(index));
        matches!(entry, Some((_, 0)))
    }
}
