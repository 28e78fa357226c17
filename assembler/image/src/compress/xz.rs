//! xz files (The .xz File Format 1.2), by liblzma's multi-threaded encoder.
//!
//! That encoder cuts the content into blocks of a size that is pinned here, so its bytes do not
//! depend on the number of threads; the single-threaded one gives others and is not used.

use std::io::{self, Write};

use liblzma::{
    stream::{Check, MtStreamBuilder},
    write::XzEncoder,
};

use super::XzCheck;

/// Bytes of the dictionary at each level.
const DICTIONARY: [u64; 10] =
    [256 << 10, 1 << 20, 2 << 20, 4 << 20, 4 << 20, 8 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20];

pub(super) fn encoder(
    level: u32,
    check: XzCheck,
    workers: u32,
    out: &mut dyn Write,
) -> io::Result<XzEncoder<&mut dyn Write>> {
    let dictionary = DICTIONARY.get(level as usize).copied().unwrap_or(DICTIONARY[9]);
    let check = match check {
        XzCheck::Crc32 => Check::Crc32,
        XzCheck::Crc64 => Check::Crc64,
        XzCheck::Sha256 => Check::Sha256,
    };
    // As long as what xz itself takes, three dictionaries.
    let stream = MtStreamBuilder::new()
        .threads(workers.clamp(1, 64))
        .block_size((3 * dictionary).max(1 << 20))
        .preset(level)
        .check(check)
        .encoder()?;
    Ok(XzEncoder::new_stream(out, stream))
}
