//! Metadata: a stream of bytes in blocks of 8,192, each compressed behind its length.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    error::{Result, invalid},
    values::le,
};

use super::Volume;

/// Bytes of a block before it was compressed.
pub(super) const BLOCK: usize = 8192;
/// In a block's header: it is not compressed.
const RAW: u64 = 0x8000;
/// How many blocks are kept.
const KEPT: usize = 256;

/// A block, and where the next begins.
type Decoded = (Arc<Vec<u8>>, u64);

/// Blocks that were decompressed already, by where they begin.
#[derive(Default)]
pub(super) struct Cache(Mutex<BTreeMap<u64, Decoded>>);

impl Volume {
    fn meta(&self, at: u64) -> Result<Decoded> {
        self.budget.spend(1)?;
        let mut cache = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoded) = cache.get(&at) {
            return Ok(decoded.clone());
        }
        let header = le(&self.bytes.array::<2>(at)?, 0, 2);
        let len = header & !RAW;
        let stored = self.bytes.slice(at, 2 + len)?.vec(2, len as usize)?;
        let bytes = if header & RAW == 0 { self.codec.decode(&stored, BLOCK)? } else { stored };
        if bytes.is_empty() || bytes.len() > BLOCK {
            return Err(invalid("squashfs", format!("metadata of {} bytes", bytes.len())));
        }
        if cache.len() >= KEPT {
            cache.clear();
        }
        let decoded = (Arc::new(bytes), at + 2 + len);
        cache.insert(at, decoded.clone());
        Ok(decoded)
    }

    /// Reads metadata from a block and an offset in it on.
    pub(super) fn cursor(&self, block: u64, offset: u64) -> Cursor<'_> {
        Cursor {
            volume: self,
            next: block,
            block: Arc::default(),
            at: offset as usize,
            first: true,
        }
    }

    /// Reads metadata from a place in the table that begins at `table`: where in it the block is,
    /// and in 16 bits where in the block.
    pub(super) fn cursor_at(&self, table: u64, place: u64) -> Cursor<'_> {
        self.cursor(table.saturating_add(place >> 16), place & 0xffff)
    }

    /// Entry `index` of a table whose blocks' places are listed at `list`.
    pub(super) fn entry(&self, list: u64, index: u64, size: u64) -> Result<Vec<u8>> {
        let per_block = BLOCK as u64 / size;
        let pointer = list.saturating_add(8 * (index / per_block));
        let block = le(&self.bytes.array::<8>(pointer)?, 0, 8);
        self.cursor(block, index % per_block * size).take(size as usize)
    }
}

/// Where metadata are read.
pub(super) struct Cursor<'v> {
    volume: &'v Volume,
    next: u64,
    block: Arc<Vec<u8>>,
    at: usize,
    first: bool,
}

impl Cursor<'_> {
    /// The next bytes; the caller bounds how many.
    pub(super) fn take(&mut self, mut count: usize) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(count.min(BLOCK));
        while count > 0 {
            if self.first || self.at == self.block.len() {
                let (block, next) = self.volume.meta(self.next)?;
                if !self.first {
                    self.at = 0;
                }
                (self.block, self.next, self.first) = (block, next, false);
            }
            let rest = self.block.get(self.at..).filter(|rest| !rest.is_empty());
            let rest = rest.ok_or_else(|| invalid("squashfs", "a place beyond its block"))?;
            let now = rest.len().min(count);
            out.extend_from_slice(&rest[..now]);
            self.at += now;
            count -= now;
        }
        Ok(out)
    }
}
