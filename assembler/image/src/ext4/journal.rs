//! The journal: an empty log, and how long it is by default.

/// The fewest blocks of a log that Linux takes.
pub(super) const BLOCKS_MIN: u32 = 1024;
/// The most blocks of a log that e2fsprogs takes.
pub(super) const BLOCKS_MAX: u32 = 10_240_000;
const MAGIC: u32 = 0xc03b_3998;
/// A superblock of the second version.
const SUPERBLOCK: u32 = 4;

/// Blocks of the journal of a volume of `blocks` blocks, as mke2fs chooses them; 0 for none.
pub(super) fn default_blocks(blocks: u64) -> u32 {
    const SIZES: [(u64, u32); 9] = [
        (2_048, 0),
        (32_768, 1_024),
        (262_144, 4_096),
        (524_288, 8_192),
        (4_194_304, 16_384),
        (8_388_608, 32_768),
        (16_777_216, 65_536),
        (33_554_432, 131_072),
        (u64::MAX, 262_144),
    ];
    SIZES.iter().find(|(below, _)| blocks < *below).map_or(0, |&(_, journal)| journal)
}

/// The first block of a log of `blocks` blocks that holds nothing; numbers are big-endian. What it
/// can do beyond the second version, Linux turns on when it first writes.
pub(super) fn superblock(block: u64, blocks: u32, uuid: &[u8; 16]) -> Vec<u8> {
    let mut out = vec![0; block as usize];
    let words = [
        (0x00, MAGIC),
        (0x04, SUPERBLOCK),
        (0x0c, block as u32),
        (0x10, blocks),
        // The first block of the log proper, and the first number of a transaction.
        (0x14, 1),
        (0x18, 1),
        // One volume uses it.
        (0x40, 1),
    ];
    for (at, word) in words {
        out[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    out[0x30..0x40].copy_from_slice(uuid);
    out
}
