//! The index of a compressed file: which cluster holds which part of it.
//!
//! The compact form of `fs/erofs/zmap.c` of Linux. Every 4,096 bytes of a file have an entry: that
//! a cluster begins in them and where, or how far back one began. Entries are packed by twos into
//! 8 bytes, or by sixteens into 32 where those are aligned; each pack ends in the block that its
//! first cluster lies in.

use super::format::BLOCK;

/// Bits of an entry's number, below its two bits of type.
const LOW: u32 = 12;
/// In the number of the entry behind a head: it is how many blocks the cluster takes.
const COUNT: u16 = 1 << 11;
/// Entries of a large pack.
const MANY: usize = 16;

/// A part of a file that one cluster holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent(u32);

impl Extent {
    /// The longest.
    pub(super) const MAX: usize = (1 << 23) - 1;

    /// `len` bytes of a file in `blocks` blocks; none where they lie behind the inode.
    pub(super) fn new(len: usize, blocks: usize, raw: bool) -> Self {
        debug_assert!(len <= Self::MAX && blocks < 256);
        Self(len as u32 | (blocks as u32) << 23 | u32::from(raw) << 31)
    }

    fn len(self) -> u64 {
        u64::from(self.0 & Self::MAX as u32)
    }

    pub(super) fn blocks(self) -> u32 {
        self.0 >> 23 & 0xff
    }

    fn is_raw(self) -> bool {
        self.0 >> 31 != 0
    }
}

/// Bytes from the end of an inode with its attributes, `head` bytes long, to the index's end.
pub(super) fn index_len(size: u64, head: u64) -> u64 {
    let (few, many, rest) = packs(size, head);
    start(head) - head + few * 4 + many * 2 + rest.div_ceil(2) * 8
}

/// Where the entries begin, counted from the inode on: behind a header of 8 bytes, aligned.
fn start(head: u64) -> u64 {
    head.next_multiple_of(8) + 8
}

/// Entries in small packs up to where large ones are aligned, in large ones, and behind them.
fn packs(size: u64, head: u64) -> (u64, u64, u64) {
    let all = size.div_ceil(BLOCK);
    // Inodes begin on multiples of 32.
    let few = (32 - start(head) % 32) / 4 % 8;
    if few >= all {
        return (0, 0, all);
    }
    let many = (all - few) / MANY as u64 * MANY as u64;
    (few, many, all - few - many)
}

/// What the index of one file is made from.
pub(super) struct Index<'a> {
    pub(super) size: u64,
    /// Bytes of the inode with its attributes.
    pub(super) head: u64,
    pub(super) extents: &'a [Extent],
    /// The first cluster's block.
    pub(super) first: u32,
    /// Whether clusters may have several blocks.
    pub(super) big: bool,
    /// Bytes of the last cluster behind the index; 0 where it has a block like the others.
    pub(super) tail: u64,
    pub(super) algorithm: u8,
}

impl Index<'_> {
    /// Appends padding, the header and the entries.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.resize(out.len() + (start(self.head) - 8 - self.head) as usize, 0);
        // Entries of two bytes; clusters of several blocks for both kinds; the last one inline.
        let advise = 1 | if self.big { 6 } else { 0 } | if self.tail != 0 { 8 } else { 0 };
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(self.tail as u16).to_le_bytes());
        out.extend_from_slice(&[advise, 0, self.algorithm, 0]);
        let (few, many, rest) = packs(self.size, self.head);
        let mut entries = Entries::new(self);
        for _ in 0..few / 2 {
            entries.pack::<2>(16, out);
        }
        for _ in 0..many / MANY as u64 {
            entries.pack::<MANY>(14, out);
        }
        for _ in 0..rest.div_ceil(2) {
            entries.pack::<2>(16, out);
        }
    }
}

/// One entry.
#[derive(Clone, Copy, Default)]
struct Entry {
    kind: u16,
    value: u16,
    /// What it says in place of `value` as the last one of a pack.
    value_last: u16,
}

const NOT_HEAD: u16 = 2;

/// The entries of a file in their order.
struct Entries<'a> {
    index: &'a Index<'a>,
    /// The extent that covers the beginning of what has no entry yet, counted from 1.
    next: usize,
    /// Where the extent before begins and ends.
    from: u64,
    to: u64,
    at: u64,
    /// The block of the first cluster that no entry so far accounts for.
    block: u32,
}

impl<'a> Entries<'a> {
    fn new(index: &'a Index<'a>) -> Self {
        Self { index, next: 0, from: 0, to: 0, at: 0, block: index.first }
    }

    fn pack<const N: usize>(&mut self, bits: u32, out: &mut Vec<u8>) {
        // Readers add one for each head, where all clusters have one block.
        let base = self.block.wrapping_sub(u32::from(!self.index.big));
        let mut packed = [0; 32];
        for place in 0..N {
            let entry = self.entry();
            let value = if place + 1 == N { entry.value_last } else { entry.value };
            let word = u32::from(entry.kind) << LOW | u32::from(value);
            let at = place as u32 * bits;
            let (byte, shift) = ((at / 8) as usize, at % 8);
            for (add, part) in (word << shift).to_le_bytes().iter().enumerate() {
                packed[byte + add] |= part;
            }
        }
        let len = N * bits as usize / 8;
        out.extend_from_slice(&packed[..len]);
        out.extend_from_slice(&base.to_le_bytes());
    }

    fn entry(&mut self) -> Entry {
        let place = self.at / BLOCK;
        if self.at >= self.index.size {
            return Entry::default();
        }
        self.at += BLOCK;
        // An extent begins here, or the file ends here.
        if self.to / BLOCK == place {
            let extent = self.index.extents.get(self.next).copied();
            let end = Extent::new(0, 0, true);
            let extent = extent.unwrap_or(end);
            self.next += 1;
            self.from = self.to;
            self.to += extent.len();
            let is_alone = self.to / BLOCK <= place + 1;
            if is_alone || !self.index.big {
                self.block = self.block.wrapping_add(1);
            }
            let value = (self.from % BLOCK) as u16;
            return Entry { kind: u16::from(!extent.is_raw()), value, value_last: value };
        }
        let back = (place - self.from / BLOCK) as u16;
        let ahead = (self.to / BLOCK - place).min(u64::from(COUNT - 1)) as u16;
        if back == 1 && self.index.big {
            let extent = self.index.extents[self.next - 1];
            // What lies behind the inode counts as a block.
            let blocks = extent.blocks().max(1);
            self.block = self.block.wrapping_add(blocks);
            let value = COUNT | blocks as u16;
            return Entry { kind: NOT_HEAD, value, value_last: value };
        }
        Entry { kind: NOT_HEAD, value: back.min(COUNT - 1), value_last: ahead }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index of a file of raw blocks.
    fn encode(size: u64, head: u64, big: bool) -> Vec<u8> {
        let extents: Vec<Extent> = (0..size.div_ceil(BLOCK))
            .map(|at| Extent::new((size - at * BLOCK).min(BLOCK) as usize, 1, true))
            .collect();
        let index =
            Index { size, head, extents: &extents, first: 1000, big, tail: 0, algorithm: 0 };
        let mut out = Vec::new();
        index.encode(&mut out);
        out
    }

    #[test]
    fn an_index_is_as_long_as_was_said() {
        for head in (32..200).step_by(4) {
            for size in (1..60).map(|blocks| blocks * BLOCK - 7).chain([1, 4096, 5_000_000]) {
                let len = encode(size, head, size % 2 == 0).len() as u64;
                assert_eq!(len, index_len(size, head), "{size} bytes behind {head}");
            }
        }
    }

    #[test]
    fn packs_say_where_their_first_cluster_is() {
        // Behind 48 bytes two entries of four bytes fill up to 32, then come sixteen of two.
        let blocks = |big| {
            let index = encode(18 * BLOCK, 48, big);
            assert_eq!(index.len(), 8 + 8 + 32);
            [&index[12..16], &index[44..48]]
                .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        };
        assert_eq!(blocks(false), [999, 1001]);
        assert_eq!(blocks(true), [1000, 1002]);
    }
}
