//! gzip files (RFC 1952) of deflated blocks (RFC 1951).
//!
//! As pigz does: the content is cut into blocks of 128 KiB, each is deflated by itself with the
//! last 32 KiB before it as its dictionary, and ends on a byte by an empty stored block. The blocks
//! follow one another in one member, which every reader takes for any other. The encoder is
//! zlib-rs, whose bytes do not depend on the processor.

use std::io::{self, Write};

use zlib_rs::{Deflate, DeflateError, DeflateFlush, Status};

use crate::parallel::Ordered;

/// Bytes of a block.
const BLOCK: usize = 128 << 10;
/// How far back a deflated block may refer.
const WINDOW: usize = 32 << 10;

struct Block {
    /// The dictionary and the content.
    bytes: Vec<u8>,
    /// Bytes of the dictionary.
    dictionary: usize,
    last: bool,
}

/// Compresses what is written into one gzip member.
pub(super) struct Writer<'w> {
    out: &'w mut dyn Write,
    blocks: Ordered<Block, Result<Vec<u8>, DeflateError>>,
    next: Block,
    crc: crc32fast::Hasher,
    len: u64,
}

impl<'w> Writer<'w> {
    pub(super) fn new(level: u32, workers: u32, out: &'w mut dyn Write) -> io::Result<Self> {
        // No name, no time; the operating system is unknown, for it does not matter.
        let effort = match level {
            9 => 2,
            1 => 4,
            _ => 0,
        };
        let make = || {
            let mut state = Deflate::new(level as i32, false, 15);
            move |block: Block| deflate(&mut state, &block)
        };
        let blocks = Ordered::new(workers, make)?;
        out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, effort, 255])?;
        let next = Block { bytes: Vec::with_capacity(BLOCK), dictionary: 0, last: false };
        Ok(Self { out, blocks, next, crc: crc32fast::Hasher::new(), len: 0 })
    }

    fn submit(&mut self, last: bool) -> io::Result<()> {
        let end = self.next.bytes.len();
        let mut following = Vec::with_capacity(WINDOW + BLOCK);
        following.extend_from_slice(&self.next.bytes[end.saturating_sub(WINDOW)..]);
        let following = Block { dictionary: following.len(), bytes: following, last: false };
        let mut block = std::mem::replace(&mut self.next, following);
        block.last = last;
        match self.blocks.submit(block)? {
            Some(bytes) => self.out.write_all(&bytes.map_err(error)?),
            None => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.submit(true)?;
        while let Some(bytes) = self.blocks.next()? {
            self.out.write_all(&bytes.map_err(error)?)?;
        }
        self.out.write_all(&self.crc.finalize().to_le_bytes())?;
        self.out.write_all(&(self.len as u32).to_le_bytes())
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let have = self.next.bytes.len() - self.next.dictionary;
        let taken = &bytes[..bytes.len().min(BLOCK - have)];
        self.crc.update(taken);
        self.len += taken.len() as u64;
        self.next.bytes.extend_from_slice(taken);
        if have + taken.len() == BLOCK {
            self.submit(false)?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn error(error: DeflateError) -> io::Error {
    io::Error::other(format!("deflate: {}", error.as_str()))
}

fn deflate(state: &mut Deflate, block: &Block) -> Result<Vec<u8>, DeflateError> {
    let (dictionary, content) = block.bytes.split_at(block.dictionary);
    state.reset();
    if !dictionary.is_empty() {
        state.set_dictionary(dictionary)?;
    }
    let flush = if block.last { DeflateFlush::Finish } else { DeflateFlush::SyncFlush };
    run(state, content, flush)
}

/// Deflates the whole of `content` with a state that is fresh but for a dictionary.
pub(crate) fn run(
    state: &mut Deflate,
    content: &[u8],
    flush: DeflateFlush,
) -> Result<Vec<u8>, DeflateError> {
    // More than deflate ever makes of so many bytes, so that one call does.
    let mut out = vec![0; content.len() + content.len() / 7 + 256];
    let (mut taken, mut made) = (0, 0);
    loop {
        let (before_in, before_out) = (state.total_in(), state.total_out());
        let status = state.compress(&content[taken..], &mut out[made..], flush)?;
        taken += (state.total_in() - before_in) as usize;
        made += (state.total_out() - before_out) as usize;
        let done = match flush {
            DeflateFlush::Finish => status == Status::StreamEnd,
            _ => taken == content.len() && made < out.len(),
        };
        if done {
            out.truncate(made);
            return Ok(out);
        }
        out.resize(2 * out.len(), 0);
    }
}
