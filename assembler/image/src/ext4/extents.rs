//! Which blocks hold a file, and the tree that says so.

use super::{checksum::crc32c, geometry::Geometry};

/// The most blocks of an extent that is in use.
const EXTENT_MAX: u64 = 1 << 15;
/// Bytes of an extent, of a pointer to a block of them, and of the header before them.
const RECORD: usize = 12;
/// Records in the inode itself.
const ROOT_RECORDS: usize = 4;
const MAGIC: u16 = 0xf30a;

/// Blocks of a file that lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first of them within the file.
    pub(super) logical: u32,
    /// The first of them within the volume.
    pub(super) start: u64,
    /// How many: 32,768 at most.
    pub(super) len: u16,
}

/// The extents of a file whose `runs` (first block within the file, blocks) lie one after another
/// from the block of content `at` on.
pub(super) fn extents(
    geometry: &Geometry,
    at: u64,
    runs: impl IntoIterator<Item = (u64, u64)>,
) -> Vec<Extent> {
    let mut found = Vec::new();
    let mut content = at;
    for (mut logical, len) in runs {
        for (mut start, mut len) in geometry.pieces(content, len) {
            while len != 0 {
                let now = len.min(EXTENT_MAX);
                // Files were checked to have fewer than 2³² blocks.
                found.push(Extent { logical: logical as u32, start, len: now as u16 });
                (logical, start, len) = (logical + now, start + now, len - now);
            }
        }
        content += len;
    }
    found
}

/// How many records a block has room for.
fn per_block(block: usize) -> usize {
    (block - RECORD) / RECORD
}

/// How many blocks the tree of so many extents takes besides the inode.
pub(super) fn tree_blocks(extents: usize, block: u64) -> u64 {
    let per_block = per_block(block as usize);
    let (mut level, mut sum) = (extents, 0);
    while level > ROOT_RECORDS {
        level = level.div_ceil(per_block);
        sum += level as u64;
    }
    sum
}

/// The tree of extents: its root, as the inode holds it, and its blocks in one piece, the
/// lowest level first. `block_of` gives the number of each of them; `seed` is the inode's.
pub(super) fn tree(
    extents: &[Extent],
    block: u64,
    seed: u32,
    block_of: impl Fn(u64) -> u64,
) -> ([u8; 60], Vec<u8>) {
    let block = block as usize;
    let per_block = per_block(block);
    let mut records: Vec<(u32, [u8; RECORD])> =
        extents.iter().map(|extent| (extent.logical, leaf(extent))).collect();
    let mut blocks = Vec::new();
    let mut depth = 0;
    while records.len() > ROOT_RECORDS {
        let mut above = Vec::with_capacity(records.len().div_ceil(per_block));
        for chunk in records.chunks(per_block) {
            let number = (blocks.len() / block) as u64;
            above.push((chunk[0].0, pointer(chunk[0].0, block_of(number))));
            let begin = blocks.len();
            blocks.resize(begin + block, 0);
            node(&mut blocks[begin..], chunk, per_block, depth);
            let tail = begin + RECORD * (1 + per_block);
            let sum = crc32c(seed, &blocks[begin..tail]);
            blocks[tail..tail + 4].copy_from_slice(&sum.to_le_bytes());
        }
        records = above;
        depth += 1;
    }
    let mut root = [0; 60];
    node(&mut root, &records, ROOT_RECORDS, depth);
    (root, blocks)
}

fn node(out: &mut [u8], records: &[(u32, [u8; RECORD])], most: usize, depth: u16) {
    let header = [MAGIC, records.len() as u16, most as u16, depth];
    for (to, word) in out.chunks_exact_mut(2).zip(header) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    for (to, (_, record)) in out[RECORD..].chunks_exact_mut(RECORD).zip(records) {
        to.copy_from_slice(record);
    }
}

fn leaf(extent: &Extent) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&extent.logical.to_le_bytes());
    record[4..6].copy_from_slice(&extent.len.to_le_bytes());
    record[6..8].copy_from_slice(&((extent.start >> 32) as u16).to_le_bytes());
    record[8..].copy_from_slice(&(extent.start as u32).to_le_bytes());
    record
}

fn pointer(logical: u32, block: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&logical.to_le_bytes());
    record[4..8].copy_from_slice(&(block as u32).to_le_bytes());
    record[8..10].copy_from_slice(&((block >> 32) as u16).to_le_bytes());
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_as_deep_as_they_must_be() {
        for (extents, blocks) in
            [(0, 0), (4, 0), (5, 1), (340, 1), (341, 2), (1360, 4), (1361, 6), (115_600, 341)]
        {
            assert_eq!(tree_blocks(extents, 4096), blocks, "{extents}");
            let all: Vec<Extent> = (0..extents as u32)
                .map(|at| Extent { logical: 2 * at, start: 7 + u64::from(at) * 3, len: 1 })
                .collect();
            let (root, found) = tree(&all, 4096, 0, |number| number);
            assert_eq!(found.len() as u64, blocks * 4096);
            let depth = u16::from_le_bytes([root[6], root[7]]);
            assert_eq!(
                depth,
                if blocks == 0 {
                    0
                } else if blocks <= 4 {
                    1
                } else {
                    2
                }
            );
        }
    }
}
