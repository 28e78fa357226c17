//! Tables of metadata: blocks of 8,192 bytes, compressed, each behind its length.

use std::io;

use super::codec::Codec;

/// Bytes of a block before it is compressed.
pub(super) const META: usize = 8192;
/// In a block's header: it is not compressed.
const RAW: u16 = 0x8000;

/// A place in a table: where its block begins, and where in that block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) block: u32,
    pub(super) offset: u16,
}

impl Place {
    /// As inodes and attributes are referred to.
    pub(super) fn reference(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// A table being written.
#[derive(Default)]
pub(super) struct Table {
    /// The finished blocks.
    out: Vec<u8>,
    open: Vec<u8>,
    /// Where each block begins.
    starts: Vec<u32>,
    overflow: bool,
}

impl Table {
    /// Where the next byte goes; `None` once the table passed 4 GiB.
    pub(super) fn place(&self) -> Option<Place> {
        let block = u32::try_from(self.out.len()).ok().filter(|_| !self.overflow)?;
        Some(Place { block, offset: self.open.len() as u16 })
    }

    /// How many blocks are finished.
    pub(super) fn finished(&self) -> usize {
        self.starts.len()
    }

    /// Where a block begins, the one that is not finished too.
    pub(super) fn start(&self, block: usize) -> u32 {
        self.starts.get(block).copied().unwrap_or(self.out.len() as u32)
    }

    pub(super) fn put(&mut self, mut bytes: &[u8], codec: &mut Codec) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = bytes.len().min(META - self.open.len());
            self.open.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.open.len() == META {
                self.finish(codec)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, codec: &mut Codec) -> io::Result<()> {
        match u32::try_from(self.out.len()) {
            Ok(start) => self.starts.push(start),
            Err(_) => self.overflow = true,
        }
        put_block(&self.open, codec, &mut self.out)?;
        self.open.clear();
        Ok(())
    }

    /// The table's bytes, and where its blocks begin in it.
    pub(super) fn end(mut self, codec: &mut Codec) -> io::Result<(Vec<u8>, Vec<u32>)> {
        if !self.open.is_empty() {
            self.finish(codec)?;
        }
        Ok((self.out, self.starts))
    }
}

fn put_block(bytes: &[u8], codec: &mut Codec, out: &mut Vec<u8>) -> io::Result<()> {
    match codec.compress(bytes)? {
        Some(packed) => {
            out.extend_from_slice(&(packed.len() as u16).to_le_bytes());
            out.extend_from_slice(&packed);
        }
        None => out.extend_from_slice(&raw_block(bytes)),
    }
    Ok(())
}

/// A block of metadata that is not compressed.
pub(super) fn raw_block(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16 | RAW).to_le_bytes()[..], bytes].concat()
}
