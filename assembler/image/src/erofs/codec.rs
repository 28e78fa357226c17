//! The compressors, which fill clusters of a fixed size.

use std::io;

use super::Error;
use crate::lz4::Lz4;

/// With what contents are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// LZ4, fast; any Linux with EROFS reads it.
    Lz4,
    /// Zstandard, of level 1 to 22; Linux 6.10 and newer read it.
    Zstd {
        /// The level.
        level: i32,
    },
}

impl Compression {
    /// Refuses a level that the compressor has not.
    pub fn check(&self) -> Result<(), Error> {
        match *self {
            Self::Zstd { level } if !(1..=22).contains(&level) => {
                Err(Error::Level { compressor: "zstd", level: level.into(), least: 1, most: 22 })
            }
            _ => Ok(()),
        }
    }

    /// The number in an inode, and of the bit in the superblock.
    pub(super) fn id(&self) -> u8 {
        match self {
            Self::Lz4 => 0,
            Self::Zstd { .. } => 3,
        }
    }

    /// The logarithm of how far back a cluster refers: eight clusters, as mkfs.erofs has it.
    pub(super) fn window(cluster: u32) -> u32 {
        (cluster * 8).clamp(1 << 10, 1 << 20).ilog2()
    }

    /// What a reader is told besides: a record behind the superblock.
    pub(super) fn config(&self, cluster: u32) -> Vec<u8> {
        let mut out = match self {
            Self::Lz4 => vec![0xff, 0xff, (cluster >> 12) as u8, (cluster >> 20) as u8],
            Self::Zstd { .. } => vec![0, (Self::window(cluster) - 10) as u8],
        };
        out.resize(if *self == Self::Lz4 { 14 } else { 6 }, 0);
        [&(out.len() as u16).to_le_bytes()[..], &out].concat()
    }
}

/// A compressor with its memory.
pub(super) enum Codec {
    Lz4(Box<Lz4>),
    Zstd {
        zstd: zstd::bulk::Compressor<'static>,
        /// What the last cluster took of its input, for the first guess at the next one.
        taken: usize,
    },
}

impl Codec {
    pub(super) fn new(compression: Compression, cluster: u32) -> io::Result<Self> {
        Ok(match compression {
            Compression::Lz4 => Self::Lz4(Box::new(Lz4::new())),
            Compression::Zstd { level } => {
                let mut zstd = zstd::bulk::Compressor::new(level)?;
                zstd.window_log(Compression::window(cluster))?;
                Self::Zstd { zstd, taken: 0 }
            }
        })
    }

    /// Forgets what came before: what a cluster holds depends on its own input alone.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Lz4(lz4) => lz4.reset(),
            Self::Zstd { taken, .. } => *taken = 0,
        }
    }

    /// Compresses as much of `input` from `start` on as fits `most` bytes, appends it to `out`,
    /// and gives how much that was; 0 where nothing fits. Between resets the starts ascend.
    pub(super) fn fill(
        &mut self,
        input: &[u8],
        start: usize,
        most: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<usize> {
        match self {
            Self::Lz4(lz4) => Ok(lz4.fill(input, start, most, out)),
            Self::Zstd { zstd, taken } => {
                let input = &input[start..];
                let guess = if *taken == 0 { most * 4 } else { *taken };
                let filled = fill_zstd(zstd, input, guess, most, out)?;
                *taken = filled;
                Ok(filled)
            }
        }
    }
}

/// What is left of a cluster when no further attempt is worth it, as a share of it.
const SLACK: usize = 64;

/// Looks for the longest beginning of `input` that fits, by bisection led by the ratio so far.
fn fill_zstd(
    zstd: &mut zstd::bulk::Compressor<'static>,
    input: &[u8],
    guess: usize,
    most: usize,
    out: &mut Vec<u8>,
) -> io::Result<usize> {
    let (mut fits, mut too_long) = (0, input.len() + 1);
    let mut failed = false;
    let mut best = Vec::new();
    let mut next = guess.clamp(1, input.len().max(1));
    while fits < next && next < too_long {
        let mut attempt = Vec::with_capacity(zstd::zstd_safe::compress_bound(next));
        zstd.compress_to_buffer(&input[..next], &mut attempt)?;
        let len = attempt.len();
        // What was learnt of the ratio.
        let by_ratio = (next as u64 * most as u64 / len.max(1) as u64) as usize;
        if len <= most {
            fits = next;
            best = attempt;
            if most - len <= most / SLACK {
                break;
            }
            next = by_ratio.max(fits + most / SLACK);
        } else {
            failed = true;
            too_long = next;
            next = by_ratio.saturating_sub(most / SLACK);
        }
        let gap = too_long - fits;
        if failed {
            if gap <= most / SLACK {
                break;
            }
            // Where the ratio misleads, the gap still gets smaller by an eighth.
            next = next.clamp(fits + gap / 8, too_long - gap / 8);
        }
        next = next.min(too_long - 1);
    }
    out.extend_from_slice(&best);
    Ok(fits)
}
