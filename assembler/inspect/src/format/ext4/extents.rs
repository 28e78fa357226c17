//! The tree of extents, which says where a file's blocks are.

use crate::{
    bytes::{Bytes, Piece},
    context::Context,
    error::{Error, Result, invalid},
    values::{crc32c, le},
};

use super::{Volume, inode::Inode};

const MAGIC: u64 = 0xf30a;
const RECORD: usize = 12;
const MAX_DEPTH: u64 = 5;
/// An extent of more blocks than this is one that was never written.
const WRITTEN: u64 = 1 << 15;

struct Walk<'v> {
    volume: &'v Volume,
    context: &'v Context,
    inode: &'v Inode,
    pieces: Vec<Piece>,
    /// Blocks of the file so far.
    end: u64,
}

/// The content of a file.
pub(super) fn content(volume: &Volume, context: &Context, inode: &Inode) -> Result<Bytes> {
    let mut walk = Walk { volume, context, inode, pieces: Vec::new(), end: 0 };
    let root = inode.payload();
    walk.node(root, le(root, 6, 2))?;
    let Walk { mut pieces, end, .. } = walk;
    // Blocks may be there beyond the end of the file, or holes up to it.
    let mut have = end.saturating_mul(volume.block);
    if have < inode.size {
        pieces.push(Piece { len: inode.size - have, bytes: None });
        have = inode.size;
    }
    while have > inode.size {
        let Some(last) = pieces.last_mut() else { break };
        let cut = (have - inode.size).min(last.len);
        last.len -= cut;
        have -= cut;
        if last.len == 0 {
            pieces.pop();
        }
    }
    Bytes::from_pieces(pieces)
}

impl Walk<'_> {
    fn wrong(&self, reason: &str) -> Error {
        invalid("ext4", format!("inode {}: {reason}", self.inode.number))
    }

    fn node(&mut self, bytes: &[u8], depth: u64) -> Result<()> {
        let count = le(bytes, 2, 2) as usize;
        if le(bytes, 0, 2) != MAGIC || le(bytes, 6, 2) != depth || depth > MAX_DEPTH {
            return Err(self.wrong("its extents are damaged"));
        }
        if RECORD * (count + 1) > bytes.len() {
            return Err(self.wrong("a node of its extents has too many"));
        }
        for record in bytes.chunks_exact(RECORD).skip(1).take(count) {
            // Ascending, so that no block of extents is met twice.
            let logical = le(record, 0, 4);
            if logical < self.end {
                return Err(self.wrong("its extents are not in order"));
            }
            if depth == 0 {
                let start = le(record, 8, 4) | le(record, 6, 2) << 32;
                self.extent(logical, le(record, 4, 2), start)?;
            } else {
                let before = self.end;
                self.below(le(record, 4, 4) | le(record, 8, 2) << 32, depth - 1)?;
                if self.end == before {
                    return Err(self.wrong("a node of its extents is empty"));
                }
            }
        }
        Ok(())
    }

    fn below(&mut self, number: u64, depth: u64) -> Result<()> {
        let block = self.volume.block(number)?.vec(0, self.volume.block as usize)?;
        if let Some(seed) = self.inode.seed {
            let tail = RECORD * (1 + le(&block, 4, 2) as usize);
            let sum = block.get(..tail).map(|covered| u64::from(crc32c(seed, covered)));
            if sum != Some(le(&block, tail, 4)) {
                let reason = format!("extents in block {number}: the checksum is wrong");
                return Err(self.wrong(&reason));
            }
        }
        self.node(&block, depth)
    }

    fn extent(&mut self, logical: u64, len: u64, start: u64) -> Result<()> {
        let block = self.volume.block;
        if logical > self.end {
            self.pieces.push(Piece { len: (logical - self.end) * block, bytes: None });
        }
        let (len, written) = if len > WRITTEN { (len - WRITTEN, false) } else { (len, true) };
        if len == 0 {
            return Err(self.wrong("an extent without blocks"));
        }
        let bytes = self.volume.bytes.slice(start.saturating_mul(block), len * block)?;
        self.pieces.push(Piece { len: len * block, bytes: written.then_some(bytes) });
        self.end = logical + len;
        self.volume.budget.spend(1)?;
        self.context.check_entries(self.pieces.len())
    }
}
