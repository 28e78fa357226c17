//! Bytes that have to be found or decompressed block by block, when they are read.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    bytes::{Bytes, ReadAt, new_id},
    error::Result,
};

/// How many decompressed blocks are kept, and how many bytes of them: of all images together, so
/// that a folder of many files takes no more memory than one.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 64 << 20;

/// The number of a block's owner, its own, and its bytes.
type Kept = (u64, u64, Arc<Vec<u8>>);

/// The blocks that were read last, the latest at the end.
static LAST: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

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

/// What decompressed blocks belong to; they go with it.
pub(crate) struct Owner(u64);

impl Owner {
    pub(crate) fn new() -> Self {
        Self(new_id())
    }

    /// A block that was kept, or else is decompressed now.
    pub(crate) fn block(
        &self,
        index: u64,
        decode: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<Vec<u8>>> {
        if let Some(bytes) = self.kept(index) {
            return Ok(bytes);
        }
        let bytes = Arc::new(decode()?);
        self.keep(index, &bytes);
        Ok(bytes)
    }

    fn kept(&self, index: u64) -> Option<Arc<Vec<u8>>> {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let at = last.iter().rposition(|(id, number, _)| (*id, *number) == (self.0, index))?;
        // What is read again stays the longest.
        last[at..].rotate_left(1);
        last.last().map(|(_, _, bytes)| bytes.clone())
    }

    fn keep(&self, index: u64, bytes: &Arc<Vec<u8>>) {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        last.push((self.0, index, bytes.clone()));
        let mut held: usize = last.iter().map(|(_, _, bytes)| bytes.len()).sum();
        while last.len() > 1 && (last.len() > KEPT || held > KEPT_BYTES) {
            held -= last.remove(0).2.len();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|(id, ..)| *id != self.0);
    }
}

struct Source<B> {
    blocks: B,
    owner: Owner,
}

/// Bytes of blocks.
pub(crate) fn bytes<B: Blocks + 'static>(blocks: B) -> Bytes {
    Bytes::new(Arc::new(Source { blocks, owner: Owner::new() }))
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
        if let Some(bytes) = self.owner.kept(index) {
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
                self.owner.keep(index, &bytes);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SIZE: usize = 2 << 20;

    /// Has one test at a time: all share what is kept.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Two blocks, which count how often they are decompressed.
    struct Counted {
        value: u8,
        decoded: Arc<AtomicUsize>,
    }

    impl Blocks for Counted {
        fn len(&self) -> u64 {
            2 * SIZE as u64
        }

        fn size(&self) -> u64 {
            SIZE as u64
        }

        fn block(&self, index: u64) -> Result<Block> {
            self.decoded.fetch_add(1, Ordering::Relaxed);
            Ok(Block::Decoded(vec![self.value ^ index as u8; SIZE]))
        }
    }

    #[test]
    fn the_blocks_of_many_files_are_not_all_kept() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let decoded = Arc::new(AtomicUsize::new(0));
        let files: Vec<Bytes> =
            (0..100).map(|value| bytes(Counted { value, decoded: decoded.clone() })).collect();
        let read = |number: usize, index: u64| {
            let before = decoded.load(Ordering::Relaxed);
            let mut buffer = [0; 3];
            files[number].read_exact_at((index + 1) * SIZE as u64 - 3, &mut buffer).unwrap();
            assert_eq!(buffer, [number as u8 ^ index as u8; 3]);
            decoded.load(Ordering::Relaxed) == before
        };
        for number in 0..files.len() {
            assert!(!read(number, 0) && !read(number, 1));
        }
        // From the latest back, so that none is pushed out before it was looked for.
        let kept = (0..files.len()).rev().filter(|&number| read(number, 1) | read(number, 0));
        let kept = kept.count() * 2 * SIZE;
        assert!(kept <= KEPT_BYTES, "{kept} bytes are kept");
    }

    #[test]
    fn what_is_read_again_stays() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (shared, other) = (Owner::new(), Owner::new());
        shared.block(3, || Ok(vec![9; 1 << 20])).unwrap();
        for number in 0..1000 {
            other.block(number, || Ok(vec![0; 100])).unwrap();
            let bytes = shared.block(3, || panic!("decompressed again")).unwrap();
            assert_eq!(bytes[number as usize], 9);
        }
    }

    #[test]
    fn what_a_file_had_goes_with_it() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let decoded = Arc::new(AtomicUsize::new(0));
        let source = Source { blocks: Counted { value: 7, decoded }, owner: Owner::new() };
        let id = source.owner.0;
        source.read_at(0, &mut [0]).unwrap();
        drop(source);
        let last = LAST.lock().unwrap();
        assert!(last.iter().all(|(owner, ..)| *owner != id));
    }
}
