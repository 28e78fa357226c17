//! The compressors, one block at a time.

use std::io;

use liblzma::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};

use super::Error;
use crate::lz4::Lz4;

/// With what an image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Deflate with zlib's header, of level 1 to 9; mksquashfs takes 9.
    Gzip {
        /// The level.
        level: u32,
    },
    /// XZ of a preset from 0 to 9, with a dictionary as large as a block; mksquashfs takes 6.
    Xz {
        /// The preset.
        preset: u32,
    },
    /// LZ4, fast.
    Lz4,
    /// Zstandard, of level 1 to 22; mksquashfs takes 15.
    Zstd {
        /// The level.
        level: i32,
    },
}

impl Compression {
    /// Refuses a level that the compressor has not.
    pub fn check(&self) -> Result<(), Error> {
        let (compressor, level, least, most) = match *self {
            Self::Gzip { level } => ("gzip", i64::from(level), 1, 9),
            Self::Xz { preset } => ("xz", i64::from(preset), 0, 9),
            Self::Zstd { level } => ("zstd", i64::from(level), 1, 22),
            Self::Lz4 => return Ok(()),
        };
        if (least..=most).contains(&level) {
            return Ok(());
        }
        Err(Error::Level { compressor, level, least, most })
    }

    /// The number in the superblock.
    pub(super) fn id(&self) -> u16 {
        match self {
            Self::Gzip { .. } => 1,
            Self::Xz { .. } => 4,
            Self::Lz4 => 5,
            Self::Zstd { .. } => 6,
        }
    }

    /// What a reader is told where it is not what mksquashfs takes.
    pub(super) fn options(&self) -> Vec<u8> {
        match *self {
            Self::Gzip { level } if level != 9 => {
                // A window of 15 bits, no strategies tried.
                [&level.to_le_bytes()[..], &15u16.to_le_bytes(), &[0, 0]].concat()
            }
            Self::Zstd { level } if level != 15 => level.to_le_bytes().to_vec(),
            // The version of the block format.
            Self::Lz4 => vec![1, 0, 0, 0, 0, 0, 0, 0],
            _ => Vec::new(),
        }
    }
}

/// A compressor with its memory.
pub(super) enum Codec {
    Gzip(flate2::Compress),
    Xz { preset: u32, dictionary: u32 },
    Lz4(Lz4),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Codec {
    pub(super) fn new(compression: Compression, block: u32) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip { level } => {
                Self::Gzip(flate2::Compress::new(flate2::Compression::new(level), true))
            }
            Compression::Xz { preset } => Self::Xz { preset, dictionary: block },
            Compression::Lz4 => Self::Lz4(Lz4::new()),
            Compression::Zstd { level } => Self::Zstd(zstd::bulk::Compressor::new(level)?),
        })
    }

    /// The block compressed; `None` where that makes it no smaller.
    pub(super) fn compress(&mut self, input: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut out = Vec::with_capacity(input.len().max(64));
        let done = match self {
            Self::Gzip(deflate) => {
                deflate.reset();
                let status = deflate.compress_vec(input, &mut out, flate2::FlushCompress::Finish);
                status? == flate2::Status::StreamEnd
            }
            Self::Xz { preset, dictionary } => {
                let mut options = LzmaOptions::new_preset(*preset)?;
                options.dict_size(*dictionary);
                let mut filters = Filters::new();
                filters.lzma2(&options);
                let mut stream = Stream::new_stream_encoder(&filters, Check::Crc32)?;
                stream.process_vec(input, &mut out, Action::Finish)? == Status::StreamEnd
            }
            Self::Lz4(lz4) => {
                lz4.reset();
                lz4.fill(input, 0, input.len(), &mut out) == input.len()
            }
            Self::Zstd(zstd) => {
                out.reserve(zstd::zstd_safe::compress_bound(input.len()));
                zstd.compress_to_buffer(input, &mut out)?;
                true
            }
        };
        Ok((done && out.len() < input.len()).then_some(out))
    }
}
