//! Bytes that have to be found or decompressed block by block, when they are read.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    bytes::{Bytes, ReadAt},
    error::Result,
};

/// How many decompressed blocks are kept.
const KEPT: usize = 4;

/// Where a block's bytes are.
pub(crate) enum Block {
    /// There are none: it reads as zeros.
    Zero,
    /// They lie somewhere as they are; zeros follow where there are fewer than the block has.
    Plain(Bytes),
    /// They had to be decompressed; as with plain ones.
    Decoded(Vec<u8>),
}

/// Something in blocks of the same size, the last of which may be shorter.
pub(crate) trait Blocks: Send + Sync {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// The bytes of a block, which are not 0 and at most 64 MiB.
    fn size(&self) -> u64;

    /// Finds a block.
    fn block(&self, index: u64) -> Result<Block>;

    /// Whether a block is known to be zero without looking for it.
    fn is_hole(&self, index: u64) -> bool {
        let _ = index;
        false
    }
}

struct Source<B> {
    blocks: B,
    /// The blocks that were decompressed last, the latest at the end.
    kept: Mutex<Vec<(u64, Arc<Vec<u8>>)>>,
}

/// Bytes of blocks.
pub(crate) fn bytes<B: Blocks + 'static>(blocks: B) -> Bytes {
    Bytes::new(Arc::new(Source { blocks, kept: Mutex::default() }))
}

impl<B: Blocks> Source<B> {
    fn kept(&self, index: u64) -> Option<Arc<Vec<u8>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(number, _)| *number == index).map(|(_, bytes)| bytes.clone())
    }

    fn keep(&self, index: u64, bytes: &Arc<Vec<u8>>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((index, bytes.clone()));
    }
}

fn copy(from: &[u8], at: usize, to: &mut [u8]) {
    let from = from.get(at..).unwrap_or(&[]);
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    to[count..].fill(0);
}

impl<B: Blocks> ReadAt for Source<B> {
    fn len(&self) -> u64 {
        self.blocks.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (len, size) = (self.blocks.len(), self.blocks.size());
        if offset >= len {
            return Ok(0);
        }
        let (index, at) = (offset / size, offset % size);
        let count = (size - at).min(len - offset).min(buffer.len() as u64) as usize;
        let buffer = &mut buffer[..count];
        if let Some(bytes) = self.kept(index) {
            copy(&bytes, at as usize, buffer);
            return Ok(count);
        }
        match self.blocks.block(index).map_err(io::Error::other)? {
            Block::Zero => buffer.fill(0),
            Block::Plain(bytes) => {
                let there = bytes.len().saturating_sub(at).min(count as u64) as usize;
                bytes.read_exact_at(at, &mut buffer[..there]).map_err(io::Error::other)?;
                buffer[there..].fill(0);
            }
            Block::Decoded(bytes) => {
                let bytes = Arc::new(bytes);
                copy(&bytes, at as usize, buffer);
                self.keep(index, &bytes);
            }
        }
        Ok(count)
    }

    fn hole_at(&self, offset: u64) -> u64 {
        let (len, size) = (self.blocks.len(), self.blocks.size());
        let mut end = offset;
        while end < len && self.blocks.is_hole(end / size) {
            end = (end / size + 1) * size;
        }
        end.min(len).saturating_sub(offset)
    }
}
