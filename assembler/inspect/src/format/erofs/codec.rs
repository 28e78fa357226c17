//! The decompressors of clusters, which stop where a file has all that it wants.

use std::io::Read;

use crate::error::{Result, invalid};

/// The logarithm of the most that a decoder of Zstandard may keep.
const WINDOW_LOG: u32 = 24;

/// A compression by its number in an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Lz4,
    Deflate,
    Zstd,
}

/// The names of all compressions, by their numbers.
const NAMES: [&str; 4] = ["lz4", "lzma", "deflate", "zstd"];

impl Codec {
    pub(super) fn of(number: u64) -> Result<Self> {
        Ok(match number {
            0 => Self::Lz4,
            1 => return Err(invalid("erofs", "compressed with lzma, which is not read")),
            2 => Self::Deflate,
            3 => Self::Zstd,
            other => return Err(invalid("erofs", format!("compression {other}"))),
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Lz4 => NAMES[0],
            Self::Deflate => NAMES[2],
            Self::Zstd => NAMES[3],
        }
    }

    /// The first `len` bytes of what a cluster holds.
    pub(super) fn decode(self, cluster: &[u8], len: usize) -> Result<Vec<u8>> {
        let wrong = |reason: &str| invalid("erofs", format!("{}: {reason}", self.as_str()));
        let mut out = Vec::new();
        let from = |stream: &mut dyn Read, out: &mut Vec<u8>| {
            let read = stream.take(len as u64).read_to_end(out);
            read.map_err(|error| wrong(&error.to_string()))
        };
        match self {
            Self::Lz4 => {
                lz4(cluster, len, &mut out).ok_or_else(|| wrong("a cluster is damaged"))?
            }
            Self::Deflate => drop(from(&mut flate2::read::DeflateDecoder::new(cluster), &mut out)?),
            Self::Zstd => {
                let stream = zstd::Decoder::with_buffer(cluster);
                let mut stream = stream.map_err(|error| wrong(&error.to_string()))?.single_frame();
                let limited = stream.window_log_max(WINDOW_LOG);
                limited.map_err(|error| wrong(&error.to_string()))?;
                from(&mut stream, &mut out)?;
            }
        }
        if out.len() != len {
            return Err(wrong(&format!("a cluster of {} bytes in place of {len}", out.len())));
        }
        Ok(out)
    }
}

/// The names of the compressions of a volume, by the bits of its superblock.
pub(super) fn names(bits: u64) -> String {
    let named = NAMES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0);
    let names: Vec<&str> = named.map(|(_, name)| *name).collect();
    names.join(" ")
}

/// Decodes a block of LZ4 up to `len` bytes, whatever follows; none where it is damaged.
///
/// Own code, for the crate's decoder cannot stop before the block's end.
fn lz4(mut block: &[u8], len: usize, out: &mut Vec<u8>) -> Option<()> {
    fn take<'b>(block: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
        let (taken, rest) = block.split_at_checked(len)?;
        *block = rest;
        Some(taken)
    }
    fn length(block: &mut &[u8], bits: u8) -> Option<usize> {
        let mut len = usize::from(bits);
        let mut more = bits == 15;
        while more {
            let byte = *take(block, 1)?.first()?;
            len += usize::from(byte);
            more = byte == 255;
        }
        Some(len)
    }
    while out.len() < len {
        let Some(token) = take(&mut block, 1) else { return Some(()) };
        let literals = length(&mut block, token[0] >> 4)?.min(len - out.len());
        out.extend_from_slice(take(&mut block, literals)?);
        if out.len() == len || block.is_empty() {
            return Some(());
        }
        let distance = le_distance(take(&mut block, 2)?);
        let mut rest = (length(&mut block, token[0] & 15)? + 4).min(len - out.len());
        let from = out.len().checked_sub(distance).filter(|_| distance != 0)?;
        // What overlaps itself is repeated, twice as much of it each time.
        while rest > 0 {
            let now = rest.min(out.len() - from);
            out.extend_from_within(from..from + now);
            rest -= now;
        }
    }
    Some(())
}

fn le_distance(bytes: &[u8]) -> usize {
    crate::values::le(bytes, 0, 2) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_beginning_of_a_block(
            pieces in prop::collection::vec((any::<u8>(), 1..900usize, any::<bool>()), 1..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut plain = Vec::new();
            for (byte, len, again) in pieces {
                if again {
                    let from = plain.len().saturating_sub(len);
                    plain.extend_from_within(from..);
                }
                plain.extend((0..len).map(|n| if again { byte } else { (n * n) as u8 ^ byte }));
            }
            let len = cut.index(plain.len()) + 1;
            let block = lz4::block::compress(&plain, None, false).unwrap();
            prop_assert_eq!(Codec::Lz4.decode(&block, len).unwrap(), &plain[..len]);
            let block = zstd::bulk::compress(&plain, 3).unwrap();
            prop_assert_eq!(Codec::Zstd.decode(&block, len).unwrap(), &plain[..len]);
            // One byte more is not there.
            prop_assert!(Codec::Zstd.decode(&block, plain.len() + 1).is_err());
        }

        #[test]
        fn garbage(block in prop::collection::vec(any::<u8>(), 0..300), len in 0..100_000usize) {
            for codec in [Codec::Lz4, Codec::Deflate, Codec::Zstd] {
                if let Ok(found) = codec.decode(&block, len) {
                    prop_assert_eq!(found.len(), len);
                }
            }
        }
    }
}
