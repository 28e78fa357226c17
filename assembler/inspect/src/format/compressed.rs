//! Compressed streams: zstd, xz, gzip and lz4 (frames, and the older format that Linux reads).

use std::io::{self, BufRead, BufReader, Read};

use crate::{
    bytes::{Bytes, CHUNK, Reader},
    context::{Context, Spooling},
    error::{Error, Result, invalid},
};

/// How much memory a decoder's window may take, as a power of two: 128 MiB, more than any level of
/// zstd asks for without `--ultra --long`.
const WINDOW_LOG: u32 = 27;
/// The same for xz, in bytes; its highest preset asks for 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;
/// Bytes of a block in lz4's older format, at most.
const LEGACY_BLOCK: usize = 8 << 20;
/// What its stream begins with.
const LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Zstd,
    Xz,
    Gzip,
    Lz4,
    Lz4Legacy,
}

impl Codec {
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let starts = |magic: &[u8]| head.starts_with(magic);
        Some(match () {
            () if starts(&[0x28, 0xb5, 0x2f, 0xfd]) => Self::Zstd,
            () if starts(b"\xfd7zXZ\0") => Self::Xz,
            () if starts(&[0x1f, 0x8b, 8]) => Self::Gzip,
            () if starts(&[0x04, 0x22, 0x4d, 0x18]) => Self::Lz4,
            () if starts(&LEGACY) => Self::Lz4Legacy,
            () => return None,
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Lz4Legacy => "lz4-legacy",
        }
    }
}

/// Whether bytes begin as a compressed stream does.
pub(super) fn is(head: &[u8]) -> bool {
    Codec::of(head).is_some()
}

/// Decompresses one stream, and says how many bytes of `bytes` it takes.
///
/// Frames of the same codec that follow directly belong to it.
pub(super) fn decompress(context: &Context, codec: Codec, bytes: &Bytes) -> Result<(Bytes, u64)> {
    let mut spooling = context.spool();
    let mut counted =
        Counted { inner: BufReader::with_capacity(CHUNK, bytes.reader()), consumed: 0 };
    loop {
        let before = counted.consumed;
        counted = frame(codec, counted, &mut spooling).map_err(|error| match error {
            Error::Io(error) if error.raw_os_error().is_none() => {
                invalid(codec.as_str(), error.to_string())
            }
            error => error,
        })?;
        let rest = bytes.tail(counted.consumed.min(bytes.len()))?;
        if counted.consumed <= before || Codec::of(&rest.head(6)?) != Some(codec) {
            return Ok((spooling.finish()?, counted.consumed));
        }
    }
}

/// The first bytes of what was compressed; none where that is damaged.
pub(super) fn peek(codec: Codec, bytes: &Bytes) -> Vec<u8> {
    let source = BufReader::with_capacity(CHUNK, bytes.reader());
    let mut head = [0; 6];
    let read = match codec {
        Codec::Zstd => zstd::Decoder::with_buffer(source).and_then(|mut decoder| {
            decoder.window_log_max(WINDOW_LOG)?;
            decoder.read_exact(&mut head)
        }),
        Codec::Xz => liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
            .map_err(io::Error::from)
            .and_then(|stream| {
                let mut decoder = liblzma::bufread::XzDecoder::new_stream(source, stream);
                decoder.read_exact(&mut head)
            }),
        Codec::Gzip => flate2::bufread::GzDecoder::new(source).read_exact(&mut head),
        Codec::Lz4 => {
            lz4::Decoder::new(source).and_then(|mut decoder| decoder.read_exact(&mut head))
        }
        // Its first block begins with text that is as it was.
        Codec::Lz4Legacy => match bytes.vec(9, 6) {
            Ok(literals) => {
                head.copy_from_slice(&literals);
                Ok(())
            }
            Err(_) => return Vec::new(),
        },
    };
    read.map_or_else(|_| Vec::new(), |()| head.to_vec())
}

/// Decompresses one frame.
fn frame(codec: Codec, mut counted: Counted, out: &mut Spooling<'_>) -> Result<Counted> {
    Ok(match codec {
        Codec::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(counted)?.single_frame();
            decoder.window_log_max(WINDOW_LOG)?;
            out.append(&mut decoder)?;
            decoder.finish()
        }
        Codec::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
                .map_err(|error| invalid("xz", error.to_string()))?;
            let mut decoder = liblzma::bufread::XzDecoder::new_stream(counted, stream);
            out.append(&mut decoder)?;
            decoder.into_inner()
        }
        Codec::Gzip => {
            let mut decoder = flate2::bufread::GzDecoder::new(counted);
            out.append(&mut decoder)?;
            decoder.into_inner()
        }
        Codec::Lz4 => {
            let mut decoder = lz4::Decoder::new(counted)?;
            out.append(&mut decoder)?;
            let (counted, end) = decoder.finish();
            end.map_err(|_| invalid("lz4", "the stream is cut short"))?;
            counted
        }
        Codec::Lz4Legacy => {
            counted.read_exact(&mut [0; 4])?;
            legacy(&mut counted, out)?;
            counted
        }
    })
}

/// Decompresses the blocks of lz4's older format. It has no end of its own: its last block is
/// shorter than the others, or the file ends, or what follows is no length.
fn legacy(counted: &mut Counted, out: &mut Spooling<'_>) -> Result<()> {
    let mut block = Vec::new();
    loop {
        let mut length = [0; 4];
        let rest = counted.inner.fill_buf()?.len();
        if rest == 0 {
            return Ok(());
        }
        counted.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length == 0 || length == u32::from_le_bytes(LEGACY) {
            counted.consumed -= 4;
            return Ok(());
        }
        // What lz4 makes of eight MiB that it cannot compress is a little more than they are.
        if length as usize > LEGACY_BLOCK + LEGACY_BLOCK / 255 + 16 {
            return Err(invalid("lz4-legacy", format!("a block of {length} bytes")));
        }
        block.clear();
        counted.by_ref().take(length.into()).read_to_end(&mut block)?;
        if block.len() != length as usize {
            return Err(invalid("lz4-legacy", "the stream is cut short"));
        }
        let plain = lz4::block::decompress(&block, Some(LEGACY_BLOCK as i32))?;
        out.push(&plain)?;
        if plain.len() < LEGACY_BLOCK {
            return Ok(());
        }
    }
}

/// Counts what a decoder takes.
struct Counted {
    inner: BufReader<Reader>,
    consumed: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.consumed += count as u64;
        Ok(count)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.consumed += count as u64;
    }
}
