//! LZ4 frames and the older format that Linux unpacks its initramfs from.
//!
//! Both cut the content into blocks that are compressed each by itself: frames (LZ4 Frame Format
//! Description 1.6.1) into blocks of 4 MiB, with the content's length and its checksum, the legacy
//! format into blocks of 8 MiB, with neither. The encoder is the reference library.

use std::io::{self, Write};

use lz4::block::CompressionMode;
use xxhash_rust::xxh32::Xxh32;

use crate::parallel::Ordered;

use super::Lz4Format;

/// The level from which on the thorough encoder is used, as in the tool `lz4`.
const THOROUGH: u32 = 3;
/// Bytes of a block in a frame.
const FRAME_BLOCK: usize = 4 << 20;
/// Bytes of a block in the legacy format; every reader insists on it.
const LEGACY_BLOCK: usize = 8 << 20;
/// In the length of a frame's block: it is stored as it is.
const STORED: u32 = 1 << 31;

/// Compresses what is written.
pub(super) struct Writer<'w> {
    out: &'w mut dyn Write,
    blocks: Ordered<Vec<u8>, io::Result<Vec<u8>>>,
    next: Vec<u8>,
    block: usize,
    /// The checksum of a frame's content.
    sum: Option<Xxh32>,
}

impl<'w> Writer<'w> {
    pub(super) fn new(
        format: Lz4Format,
        level: u32,
        workers: u32,
        len: u64,
        out: &'w mut dyn Write,
    ) -> io::Result<Self> {
        let mode = match level {
            THOROUGH.. => CompressionMode::HIGHCOMPRESSION(level as i32),
            _ => CompressionMode::DEFAULT,
        };
        let frame = format == Lz4Format::Frame;
        let make = || {
            move |block: Vec<u8>| {
                let bytes = lz4::block::compress(&block, Some(mode), false)?;
                let stored = frame && bytes.len() >= block.len();
                let (bytes, flag) = if stored { (block, STORED) } else { (bytes, 0) };
                let mut out = Vec::with_capacity(4 + bytes.len());
                out.extend_from_slice(&(bytes.len() as u32 | flag).to_le_bytes());
                out.extend_from_slice(&bytes);
                Ok(out)
            }
        };
        let blocks = Ordered::new(workers, make)?;
        let (block, sum) = match format {
            Lz4Format::Frame => {
                out.write_all(&0x184d_2204u32.to_le_bytes())?;
                // Version 1, independent blocks, length and checksum of the content; 4 MiB.
                let mut descriptor = vec![0b0110_1100, 0b0111_0000];
                descriptor.extend_from_slice(&len.to_le_bytes());
                let check = (xxhash_rust::xxh32::xxh32(&descriptor, 0) >> 8) as u8;
                descriptor.push(check);
                out.write_all(&descriptor)?;
                (FRAME_BLOCK, Some(Xxh32::new(0)))
            }
            Lz4Format::Legacy => {
                out.write_all(&0x184c_2102u32.to_le_bytes())?;
                (LEGACY_BLOCK, None)
            }
        };
        Ok(Self { out, blocks, next: Vec::new(), block, sum })
    }

    fn submit(&mut self) -> io::Result<()> {
        match self.blocks.submit(std::mem::take(&mut self.next))? {
            Some(bytes) => self.out.write_all(&bytes?),
            None => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.next.is_empty() {
            self.submit()?;
        }
        while let Some(bytes) = self.blocks.next()? {
            self.out.write_all(&bytes?)?;
        }
        if let Some(sum) = &self.sum {
            self.out.write_all(&[0; 4])?;
            self.out.write_all(&sum.digest().to_le_bytes())?;
        }
        Ok(())
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = &bytes[..bytes.len().min(self.block - self.next.len())];
        if let Some(sum) = &mut self.sum {
            sum.update(taken);
        }
        self.next.extend_from_slice(taken);
        if self.next.len() == self.block {
            self.submit()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
