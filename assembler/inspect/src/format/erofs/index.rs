//! The index of a compressed file: which cluster holds which part of it.
//!
//! Every cluster of the file, a block or a power of two of them, has an entry: that a compressed
//! cluster begins in it and where, or that it goes on. The full form has eight bytes for each, the
//! compact one packs them by twos into 8 bytes or by sixteens into 32, with the block of the
//! first. Follows `fs/erofs/zmap.c` of Linux, except that nothing relies on the distances between
//! entries: what begins where is found from the entries between, so that no damage leads astray.

use crate::{
    bytes::Bytes,
    error::{Error, Result, invalid},
    values::le,
};

/// The most bytes of a file that one compressed cluster holds, as Linux has it.
const MAX_EXTENT: u64 = 12 << 20;
/// The most bytes of a compressed cluster.
const MAX_CLUSTER: u64 = 1 << 20;
/// In the distance of the entry behind a head: it is how many blocks the cluster takes.
const COUNT: u32 = 1 << 11;
/// Full entries that are read at once.
const FULL: u64 = 64;

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// A cluster begins.
    Head {
        kind: Kind,
        /// Where, within the file's cluster.
        offset: u64,
        /// Its first block.
        block: u64,
    },
    /// One goes on; how many blocks it takes, where this is its first entry that says so.
    More { blocks: Option<u64> },
}

/// How a cluster is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Plain,
    /// With the file's first compression.
    First,
    /// With its second.
    Second,
}

/// A part of a file, and the cluster it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where it begins in the file.
    pub(super) start: u64,
    /// Where it ends in the file.
    pub(super) end: u64,
    pub(super) kind: Kind,
    /// The cluster's first block.
    pub(super) block: u64,
    /// Bytes of the cluster, which means nothing for the end of a file that lies elsewhere.
    stored: u64,
}

impl Extent {
    /// Bytes of the cluster, unless there cannot be so many.
    pub(super) fn stored(&self) -> Result<u64> {
        match self.stored {
            0 => Err(wrong("a cluster of no blocks")),
            stored if stored > MAX_CLUSTER => Err(wrong("a cluster of too many blocks")),
            stored => Ok(stored),
        }
    }
}

/// Where an index lies and how it is read.
#[derive(Debug, Clone)]
pub(super) struct Index {
    bytes: Bytes,
    /// The first entry.
    at: u64,
    size: u64,
    bits: u32,
    block: u64,
    /// Whether the first compression, and the second and plain clusters, may have several blocks.
    big: (bool, bool),
    packs: Packs,
}

#[derive(Debug, Clone, Copy)]
enum Packs {
    Full,
    /// Entries in small packs, then in large ones; small ones follow.
    Compact {
        few: u64,
        many: u64,
    },
}

/// Entries that were read together.
struct Pack {
    first: u64,
    entries: Vec<Entry>,
}

/// What an index is made from.
pub(super) struct Params {
    /// The first entry.
    pub(super) at: u64,
    pub(super) size: u64,
    /// The logarithm of a cluster of the file.
    pub(super) bits: u32,
    pub(super) block: u64,
    pub(super) advise: u64,
    pub(super) full: bool,
}

fn wrong(reason: &str) -> Error {
    invalid("erofs", format!("the index of a compressed file: {reason}"))
}

impl Index {
    pub(super) fn new(bytes: &Bytes, params: Params) -> Result<Self> {
        let Params { at, size, bits, block, advise, full } = params;
        let big = (advise & 2 != 0, advise & 4 != 0);
        if bits > if full { 20 } else { 14 } {
            return Err(wrong(&format!("clusters of 2^{bits} bytes")));
        }
        let packs = if full {
            Packs::Full
        } else {
            if big.0 != big.1 {
                return Err(wrong("large clusters of one kind alone"));
            }
            let all = size.div_ceil(1 << bits);
            let few = (32 - at % 32) / 4 % 8;
            if advise & 1 == 0 || few >= all {
                Packs::Compact { few: 0, many: 0 }
            } else if bits > 12 {
                return Err(wrong("large packs of large clusters"));
            } else {
                Packs::Compact { few, many: (all - few) / 16 * 16 }
            }
        };
        let index = Self { bytes: bytes.clone(), at, size, bits, block, big, packs };
        // All of it must be there, which bounds how large a file can claim to be.
        bytes.slice(at, index.len())?;
        Ok(index)
    }

    fn count(&self) -> u64 {
        self.size.div_ceil(1 << self.bits)
    }

    /// Bytes of the index.
    fn len(&self) -> u64 {
        match self.packs {
            Packs::Full => self.count().saturating_mul(8),
            Packs::Compact { few, many } => {
                few * 4 + many * 2 + (self.count() - few - many).div_ceil(2) * 8
            }
        }
    }

    /// What lies behind it.
    pub(super) fn end(&self) -> u64 {
        self.at + self.len()
    }

    /// The pack with an entry.
    fn pack(&self, place: u64) -> Result<Pack> {
        let (few, many) = match self.packs {
            Packs::Full => return self.full(place / FULL * FULL),
            Packs::Compact { few, many } => (few, many),
        };
        if place < few {
            let first = place / 2 * 2;
            self.compact::<2>(first, self.at + first * 4)
        } else if place < few + many {
            let first = (place - few) / 16 * 16;
            self.compact::<16>(few + first, self.at + few * 4 + first * 2)
        } else {
            let first = (place - few - many) / 2 * 2;
            self.compact::<2>(few + many + first, self.at + few * 4 + many * 2 + first * 4)
        }
    }

    fn full(&self, first: u64) -> Result<Pack> {
        let count = FULL.min(self.count() - first);
        let bytes = self.bytes.vec(self.at + first * 8, (count * 8) as usize)?;
        let entry = |entry: &[u8]| match kind(le(entry, 0, 2)) {
            Some(kind) => Entry::Head { kind, offset: le(entry, 2, 2), block: le(entry, 4, 4) },
            None => {
                let back = le(entry, 4, 2) as u32;
                let blocks = (back & COUNT != 0).then_some(u64::from(back & !COUNT));
                Entry::More { blocks }
            }
        };
        Ok(Pack { first, entries: bytes.chunks_exact(8).map(entry).collect() })
    }

    fn compact<const N: usize>(&self, first: u64, at: u64) -> Result<Pack> {
        let len = if N == 16 { 32 } else { 8 };
        let bytes = self.bytes.vec(at, len)?;
        let (width, low) = ((len - 4) * 8 / N, self.bits.max(12));
        let word = |place: usize| {
            let word = le(&bytes, place * width / 8, 4) >> (place * width % 8);
            (kind(word >> low), (word & ((1 << low) - 1)) as u32)
        };
        let more = |value: u32| (value & COUNT != 0).then_some(u64::from(value & !COUNT));
        // Counted on from what the pack ends in; the last entry's number is of another kind.
        let mut block = le(&bytes, len - 4, 4) + u64::from(!self.big.0);
        let mut entries = Vec::with_capacity(N);
        let mut open = false;
        for place in 0..N {
            let (kind, value) = word(place);
            entries.push(match kind {
                Some(kind) => {
                    block += u64::from(open);
                    open = true;
                    Entry::Head { kind, offset: value.into(), block }
                }
                None => {
                    let blocks = more(value);
                    if let (Some(blocks), true) = (blocks, self.big.0) {
                        block += blocks;
                        open = false;
                    }
                    Entry::More { blocks }
                }
            });
        }
        entries.truncate((self.count() - first).min(N as u64) as usize);
        Ok(Pack { first, entries })
    }

    /// Finds the extent that a place in the file is in.
    pub(super) fn find(&self, offset: u64) -> Result<Extent> {
        let place = offset >> self.bits;
        if offset >= self.size {
            return Err(wrong("there is no such place"));
        }
        let most = (MAX_EXTENT >> self.bits) + 1;
        let mut pack = self.pack(place)?;
        // Back to the head, and on to the next one.
        let mut at = place;
        let (head, kind, start, block) = loop {
            if let Entry::Head { kind, offset: within, block } = self.entry(&mut pack, at)? {
                if within >> self.bits != 0 {
                    return Err(wrong("a cluster begins behind its place"));
                }
                let start = (at << self.bits) + within;
                if start <= offset {
                    break (at, kind, start, block);
                }
            }
            if at == 0 || place - at >= most {
                return Err(wrong("no cluster holds a part of it"));
            }
            at -= 1;
        };
        let mut end = self.size;
        let mut blocks = None;
        for at in head + 1..self.count() {
            match self.entry(&mut pack, at)? {
                Entry::Head { offset: within, .. } => {
                    end = end.min((at << self.bits) + within);
                    break;
                }
                Entry::More { blocks: said } if at == head + 1 => blocks = said,
                Entry::More { .. } if at - head > most => break,
                Entry::More { .. } => {}
            }
        }
        if end <= offset || end - start > MAX_EXTENT {
            return Err(Error::Limit { what: "bytes in one cluster", limit: MAX_EXTENT });
        }
        let is_big = if kind == Kind::First { self.big.0 } else { self.big.1 };
        let stored = match blocks {
            Some(blocks) if is_big => blocks.saturating_mul(self.block),
            None if is_big => self.block,
            _ => (1 << self.bits).max(self.block),
        };
        Ok(Extent { start, end, kind, block, stored })
    }

    fn entry(&self, pack: &mut Pack, at: u64) -> Result<Entry> {
        if at < pack.first || at - pack.first >= pack.entries.len() as u64 {
            *pack = self.pack(at)?;
        }
        let entry = pack.entries.get((at - pack.first) as usize);
        entry.copied().ok_or_else(|| wrong("too short"))
    }
}

/// The kind of a head by its number; none where a cluster goes on.
fn kind(number: u64) -> Option<Kind> {
    match number & 3 {
        0 => Some(Kind::Plain),
        1 => Some(Kind::First),
        2 => None,
        _ => Some(Kind::Second),
    }
}
