//! The decompressors, one block at a time.

use std::io::{self, Read};

use crate::error::{Error, Result, invalid};

/// What a decoder of xz may take; a dictionary is as large as a block, 1 MiB at most.
const XZ_MEMORY: u64 = 16 << 20;

/// With what a volume is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Xz,
    Lz4,
    Zstd,
}

impl Codec {
    pub(super) fn of(number: u64) -> Result<Self> {
        Ok(match number {
            1 => Self::Gzip,
            4 => Self::Xz,
            5 => Self::Lz4,
            6 => Self::Zstd,
            2 => return Err(invalid("squashfs", "compressed with lzma, which is not read")),
            3 => return Err(invalid("squashfs", "compressed with lzo, which is not read")),
            other => return Err(invalid("squashfs", format!("compression {other}"))),
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Decompresses a block, which gives `most` bytes at most.
    pub(super) fn decode(self, block: &[u8], most: usize) -> Result<Vec<u8>> {
        let wrong = |error: io::Error| invalid("squashfs", format!("{}: {error}", self.as_str()));
        match self {
            Self::Gzip => up_to(&mut flate2::read::ZlibDecoder::new(block), most),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
                    .map_err(|error| wrong(error.into()))?;
                up_to(&mut liblzma::bufread::XzDecoder::new_stream(block, stream), most)
            }
            Self::Lz4 => lz4::block::decompress(block, Some(most as i32)).map_err(wrong),
            Self::Zstd => zstd::bulk::decompress(block, most).map_err(wrong),
        }
    }
}

fn up_to(stream: &mut dyn Read, most: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let read = stream.take(most as u64 + 1).read_to_end(&mut out);
    read.map_err(|error| invalid("squashfs", error.to_string()))?;
    if out.len() > most {
        return Err(Error::Limit { what: "bytes of a block", limit: most as u64 });
    }
    Ok(out)
}
