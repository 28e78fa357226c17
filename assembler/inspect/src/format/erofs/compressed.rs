//! The content of compressed files.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    bytes::{Bytes, ReadAt},
    error::{Error, Result, invalid},
    values::le,
};

use super::{
    Volume,
    codec::Codec,
    index::{Extent, Index, Kind, Params},
};

/// How many decoded extents a volume keeps, and how many bytes of them.
const KEPT: usize = 16;
const KEPT_BYTES: usize = 32 << 20;
/// In a file's advice: where its end lies, and how plain clusters are laid out.
const TAIL_INLINE: u64 = 8;
const TURNED: u64 = 16;
const TAIL_PACKED: u64 = 32;
/// In a file's header: all of it lies among the packed ends.
const ALL_PACKED: u64 = 1 << 63;

/// Decoded extents, the latest at the end; all files of a volume share them, so that a folder of
/// many takes no more memory than one.
#[derive(Default)]
pub(super) struct Cache(Mutex<Vec<Decoded>>);

#[derive(Clone)]
struct Decoded {
    inode: u64,
    extent: Extent,
    bytes: Arc<Vec<u8>>,
}

impl Cache {
    fn find(&self, inode: u64, offset: u64) -> Option<Decoded> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |one: &&Decoded| {
            one.inode == inode && (one.extent.start..one.extent.end).contains(&offset)
        };
        kept.iter().rev().find(holds).cloned()
    }

    fn keep(&self, decoded: Decoded) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(decoded);
        let mut bytes: usize = kept.iter().map(|one| one.bytes.len()).sum();
        while kept.len() > 1 && (kept.len() > KEPT || bytes > KEPT_BYTES) {
            bytes -= kept.remove(0).bytes.len();
        }
    }
}

/// A compressed file.
struct Content {
    volume: Arc<Volume>,
    inode: u64,
    size: u64,
    index: Index,
    advise: u64,
    /// The numbers of its two compressions.
    algorithms: u64,
    /// Bytes of the last cluster behind the index.
    inline: u64,
    /// Where its end lies among the packed ones.
    packed: u64,
    full: bool,
}

/// What is known of a compressed file.
pub(super) struct File {
    pub(super) inode: u64,
    pub(super) size: u64,
    /// What lies behind the inode and its attributes.
    pub(super) behind: u64,
    /// Whether the index is of the full form.
    pub(super) full: bool,
}

/// The content of a file.
pub(super) fn content(volume: &Arc<Volume>, file: &File) -> Result<Bytes> {
    let &File { inode, size, behind, full } = file;
    if size == 0 {
        return Ok(Bytes::from_vec(Vec::new()));
    }
    let at = behind.checked_next_multiple_of(8).unwrap_or(u64::MAX);
    // Before there was more to say than where blocks are, it was not said.
    let header = if full && !volume.has_headers { [0; 8] } else { volume.bytes.array::<8>(at)? };
    let all = le(&header, 0, 8);
    if all & ALL_PACKED != 0 {
        return packed_ends(volume, inode)?.slice(all ^ ALL_PACKED, size);
    }
    let advise = le(&header, 4, 2);
    let tail = advise & (TAIL_INLINE | TAIL_PACKED);
    if tail == TAIL_INLINE | TAIL_PACKED {
        return Err(wrong(inode, "its end lies in two places"));
    }
    let bits = volume.block.ilog2() + u32::from(header[7] & 15);
    let at = at.saturating_add(if full { 16 } else { 8 });
    let params = Params { at, size, bits, block: volume.block, advise, full };
    let content = Content {
        volume: volume.clone(),
        inode,
        size,
        index: Index::new(&volume.bytes, params)?,
        advise,
        algorithms: header[6].into(),
        inline: le(&header, 2, 2),
        packed: le(&header, 0, 4),
        full,
    };
    Ok(Bytes::new(Arc::new(content)))
}

fn wrong(inode: u64, reason: &str) -> Error {
    invalid("erofs", format!("inode {inode}: {reason}"))
}

/// The file that the ends of others are packed in.
fn packed_ends(volume: &Arc<Volume>, of: u64) -> Result<Bytes> {
    match volume.packed {
        Some(packed) if packed != of => super::inode::read(volume, packed)?.unchunked(volume),
        _ => Err(wrong(of, "its end lies in a file that is not there")),
    }
}

impl Content {
    fn decode(&self, offset: u64) -> Result<Decoded> {
        if let Some(found) = self.volume.cache.find(self.inode, offset) {
            return Ok(found);
        }
        let extent = self.index.find(offset)?;
        let is_last = extent.end == self.size;
        let len = extent.end - extent.start;
        let bytes = if is_last && self.advise & TAIL_PACKED != 0 {
            // Its entry has no block, so there was room for an offset of 64 bits.
            let at = self.packed | if self.full { extent.block << 32 } else { 0 };
            packed_ends(&self.volume, self.inode)?.vec(at, len as usize)?
        } else if is_last && self.advise & TAIL_INLINE != 0 {
            if self.inline == 0 || self.inline > self.volume.block {
                return Err(wrong(self.inode, "an end of an impossible size"));
            }
            let stored = self.volume.bytes.vec(self.index.end(), self.inline as usize)?;
            self.plain(extent, stored)?
        } else {
            // A cluster is smaller than what is in it, unless others use more of it.
            let stored = extent.stored()?;
            if !self.volume.has_parts && stored >= len + 2 * self.volume.block {
                return Err(wrong(self.inode, "a cluster is larger than what it holds"));
            }
            let at = extent.block.saturating_mul(self.volume.block);
            let stored = self.volume.bytes.vec(at, stored as usize)?;
            self.plain(extent, stored)?
        };
        let decoded = Decoded { inode: self.inode, extent, bytes: Arc::new(bytes) };
        self.volume.cache.keep(decoded.clone());
        Ok(decoded)
    }

    /// What a cluster holds.
    fn plain(&self, extent: Extent, mut stored: Vec<u8>) -> Result<Vec<u8>> {
        let len = (extent.end - extent.start) as usize;
        let number = match extent.kind {
            Kind::Plain => {
                if len > stored.len() {
                    return Err(wrong(self.inode, "a plain cluster is too short"));
                }
                if self.advise & TURNED != 0 {
                    // It begins where it does in the file's block, and goes on at its start.
                    let turned = (extent.start % self.volume.block) as usize % stored.len();
                    stored.rotate_left(turned);
                }
                stored.truncate(len);
                return Ok(stored);
            }
            Kind::First => self.algorithms & 15,
            Kind::Second => self.algorithms >> 4,
        };
        // The compressed bytes are at the cluster's end.
        let start = if self.volume.at_end {
            stored.iter().position(|byte| *byte != 0).unwrap_or(stored.len())
        } else {
            0
        };
        Codec::of(number)?.decode(&stored[start..], len)
    }
}

impl ReadAt for Content {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let Decoded { extent, bytes, .. } = self.decode(offset).map_err(io::Error::other)?;
        let from = bytes.get((offset - extent.start) as usize..).unwrap_or(&[]);
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }
}
