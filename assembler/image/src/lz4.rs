//! LZ4 blocks, of a whole input or of as much of it as fits a size.
//!
//! Follows `lz4_Block_format.md` of LZ4. The method is that of its fast level: a table of hashes
//! of five bytes, in short inputs of four, the last place of each, and steps that grow where
//! nothing matches. Own code:
//! clusters of a fixed size need the longest beginning of an input that fits,
//! `LZ4_compress_destSize` of the C library, which the crate `lz4_flex` does not offer and which
//! through the crate `lz4-sys` would need unsafe code.

/// Bits of a hash.
const HASH: u32 = 13;
/// Inputs up to this long are searched for matches of four bytes, longer ones for five.
const SHORT: usize = 65_546;
/// The shortest match.
const MATCH: usize = 4;
/// The last match begins at least this far from the end.
const MATCH_END: usize = 12;
/// The last bytes are literals.
const LITERALS_END: usize = 5;
/// The farthest match.
const DISTANCE: u32 = 65_535;
/// Failed searches before the step grows by one.
const PATIENCE: u32 = 6;
/// Literals that a block cut short ends in: the last match begins far enough from the end then.
const CUT: usize = MATCH_END - MATCH;

/// Compresses inputs of up to 1 GiB.
pub(crate) struct Lz4 {
    /// Places in all inputs so far, counted on, plus one.
    table: Box<[u32; 1 << HASH]>,
    /// What the places of this input are counted from.
    base: u32,
    /// Behind the last place.
    end: u32,
}

impl Lz4 {
    pub(crate) fn new() -> Self {
        Self { table: Box::new([0; 1 << HASH]), base: 0, end: 0 }
    }

    /// Forgets the input, before another one.
    pub(crate) fn reset(&mut self) {
        self.base = self.end;
        if self.base > u32::MAX / 2 {
            self.table.fill(0);
            (self.base, self.end) = (0, 0);
        }
    }

    /// Compresses `input` from `start` on into `out`, which grows by `most` bytes at most, and
    /// gives how much of the input went in. Between resets the starts must ascend.
    pub(crate) fn fill(
        &mut self,
        input: &[u8],
        start: usize,
        most: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        if input.len() <= SHORT {
            self.fill_by(input, start, most, out, hash_of_four)
        } else {
            self.fill_by(input, start, most, out, hash_of_five)
        }
    }

    #[inline]
    fn fill_by(
        &mut self,
        input: &[u8],
        start: usize,
        most: usize,
        out: &mut Vec<u8>,
        hash: impl Fn(u64) -> usize + Copy,
    ) -> usize {
        let limit = out.len() + most;
        out.reserve(most);
        let base = self.base;
        self.end = self.end.max(base + input.len() as u32);
        let first = base + start as u32;
        let mut anchor = start;
        let mut at = start;
        // Nothing begins to match behind this.
        let last = input.len().wrapping_sub(MATCH_END);
        while input.len() >= MATCH_END + start {
            // A block that is full of literals ends.
            let bound = last.min(anchor + (limit - out.len()));
            let Some((here, mut from)) = self.search(input, at, bound, first, hash) else { break };
            at = here;
            while at > anchor && from > start && input[at - 1] == input[from - 1] {
                at -= 1;
                from -= 1;
            }
            let end = input.len() - LITERALS_END;
            let more = same(input, from + MATCH, at + MATCH, end);
            let literals = at - anchor;
            let fixed = out.len() + 1 + extra(literals, 15) + literals + 2;
            // After it the block still ends in a token and enough literals.
            let Some(room) = limit.checked_sub(fixed + 1 + CUT) else { break };
            let more = if extra(more, 15) <= room { more } else { 14 + 255 * room };
            put(out, &input[anchor..at], more.min(15) as u8);
            out.extend_from_slice(&((at - from) as u16).to_le_bytes());
            put_extra(out, more, 15);
            at += MATCH + more;
            anchor = at;
            if at <= last && at >= start + 2 {
                let slot = hash(eight(input, at - 2));
                self.table[slot] = base + (at - 2) as u32 + 1;
            }
        }
        let room = limit - out.len();
        let mut literals = (input.len() - anchor).min(room.saturating_sub(1));
        while 1 + extra(literals, 15) + literals > room && literals > 0 {
            literals -= 1;
        }
        put(out, &input[anchor..anchor + literals], 0);
        anchor + literals - start
    }

    /// The next place from `at` to `bound` where four bytes are as before, and where that was;
    /// `first` is the place of the block's beginning. Arithmetic that cannot overflow is told so,
    /// for this is where the time goes.
    fn search(
        &mut self,
        input: &[u8],
        mut at: usize,
        bound: usize,
        first: u32,
        hash: impl Fn(u64) -> usize,
    ) -> Option<(usize, usize)> {
        let base = self.base;
        let mut misses = 1u32 << PATIENCE;
        if at > bound {
            return None;
        }
        let mut here = eight(input, at);
        loop {
            let slot = hash(here);
            let next = at.wrapping_add((misses >> PATIENCE) as usize);
            misses = misses.wrapping_add(1);
            // Read ahead, so that it is there when its turn comes.
            let ahead = eight(input, next);
            let now = base.wrapping_add(at as u32).wrapping_add(1);
            let place = std::mem::replace(&mut self.table[slot], now);
            // A block cut short leaves places behind that now lie ahead.
            if place > first && now.wrapping_sub(place).wrapping_sub(1) < DISTANCE {
                let found = place.wrapping_sub(base).wrapping_sub(1) as usize;
                if eight(input, found) as u32 == here as u32 {
                    return Some((at, found));
                }
            }
            if next > bound {
                return None;
            }
            (at, here) = (next, ahead);
        }
    }
}

#[inline]
fn eight(input: &[u8], at: usize) -> u64 {
    let bytes = input.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A hash of the first four of the eight bytes.
#[inline]
fn hash_of_four(bytes: u64) -> usize {
    ((bytes as u32).wrapping_mul(2_654_435_761) >> (32 - HASH)) as usize
}

/// A hash of the first five of the eight bytes.
#[inline]
fn hash_of_five(bytes: u64) -> usize {
    ((bytes << 24).wrapping_mul(889_523_592_379) >> (64 - HASH)) as usize
}

/// How many bytes are the same from both places on, the second before `end`.
fn same(input: &[u8], from: usize, at: usize, end: usize) -> usize {
    if at >= end {
        return 0;
    }
    let (a, b) = (&input[from..from + end - at], &input[at..end]);
    let mut len = 0;
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let differ = eight(a, 0) ^ eight(b, 0);
        if differ != 0 {
            return len + differ.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + a[len..].iter().zip(&b[len..]).take_while(|(a, b)| a == b).count()
}

/// Bytes that a length takes beside its four bits.
fn extra(len: usize, bits: usize) -> usize {
    if len < bits { 0 } else { (len - bits) / 255 + 1 }
}

fn put_extra(out: &mut Vec<u8>, len: usize, bits: usize) {
    if let Some(rest) = len.checked_sub(bits) {
        out.resize(out.len() + rest / 255, 255);
        out.push((rest % 255) as u8);
    }
}

/// A token with the literals before a match.
#[inline]
fn put(out: &mut Vec<u8>, literals: &[u8], matched: u8) {
    out.push((literals.len().min(15) as u8) << 4 | matched);
    put_extra(out, literals.len(), 15);
    out.extend_from_slice(literals);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn length(block: &mut &[u8], bits: u8) -> usize {
        let mut len = usize::from(bits);
        let mut byte = if bits == 15 { 255 } else { 0 };
        while byte == 255 {
            byte = block[0];
            len += usize::from(byte);
            *block = &block[1..];
        }
        len
    }

    /// A decoder that checks what the format asks of the end of a block.
    fn decode(mut block: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut last_match = None;
        loop {
            let token = block[0];
            block = &block[1..];
            let literals = length(&mut block, token >> 4);
            let (now, rest) = block.split_at(literals);
            out.extend_from_slice(now);
            block = rest;
            if block.is_empty() {
                if let Some(at) = last_match {
                    assert!(out.len() - at >= MATCH_END && literals >= LITERALS_END);
                }
                return out;
            }
            let distance = usize::from(block[0]) + 256 * usize::from(block[1]);
            block = &block[2..];
            let more = length(&mut block, token & 15);
            last_match = Some(out.len());
            for _ in 0..more + MATCH {
                out.push(out[out.len() - distance]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever the input and the size: what went in comes out, and the size is kept.
        #[test]
        fn what_fits_comes_back(
            pieces in prop::collection::vec((any::<u8>(), 1..600usize, 0..4u8), 0..60),
            most in 20..5000usize,
        ) {
            let mut input = Vec::new();
            for (byte, len, kind) in pieces {
                match kind {
                    0 => input.resize(input.len() + len, byte),
                    1 => {
                        let from = input.len().saturating_sub(len * 7);
                        input.extend_from_within(from..(from + len).min(input.len()));
                    }
                    _ => input.extend((0..len).map(|n| (n * n * 31) as u8 ^ byte)),
                }
            }
            let mut lz4 = Lz4::new();
            let mut at = 0;
            while at < input.len() {
                let mut out = Vec::new();
                let taken = lz4.fill(&input, at, most, &mut out);
                prop_assert!(taken > 0 && out.len() <= most);
                prop_assert_eq!(decode(&out), &input[at..at + taken]);
                at += taken;
            }
        }
    }
}
