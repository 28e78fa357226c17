//! Places inodes in blocks of metadata.

use super::format::{BLOCK, SLOT};

/// Slots of a block.
const SLOTS: usize = (BLOCK / SLOT) as usize;

/// Gives each inode the fullest begun block that still holds it whole.
///
/// Data behind an inode must not cross a block, so that places stay empty at the ends of blocks;
/// smaller inodes that come later fill them.
pub(super) struct Places {
    /// The begun blocks by how many slots they have left, at their ends.
    left: Vec<Vec<u32>>,
    blocks: u64,
}

impl Places {
    /// Begins with one block of which the first `used` bytes are taken, or with none.
    pub(super) fn new(used: u64) -> Self {
        let mut left = vec![Vec::new(); SLOTS];
        if used != 0 {
            left[SLOTS - used.div_ceil(SLOT) as usize].push(0);
        }
        Self { left, blocks: u64::from(used != 0) }
    }

    /// The blocks begun.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// A place for `len` bytes, as the number of its slot: in one block where one can hold them,
    /// else from the start of a block on.
    pub(super) fn take(&mut self, len: u64) -> u64 {
        let slots = len.div_ceil(SLOT) as usize;
        let found = (slots..SLOTS).find(|&left| !self.left[left].is_empty());
        if let Some((left, block)) = found.and_then(|at| Some((at, self.left[at].pop()?))) {
            self.keep(left - slots, block);
            return u64::from(block) * SLOTS as u64 + (SLOTS - left) as u64;
        }
        let at = self.blocks * SLOTS as u64;
        self.blocks += slots.div_ceil(SLOTS) as u64;
        if let Ok(last) = u32::try_from(self.blocks - 1) {
            self.keep(slots.next_multiple_of(SLOTS) - slots, last);
        }
        at
    }

    fn keep(&mut self, left: usize, block: u32) {
        if left != 0 {
            self.left[left].push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_gaps_and_never_overlaps() {
        let mut places = Places::new(1152);
        let mut taken = vec![(0, 36)];
        let mut state = 1u64;
        for _ in 0..3000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let len = match state >> 60 {
                0 => (state >> 33) % 20_000 + 1,
                _ => (state >> 33) % 4096 + 1,
            };
            let at = places.take(len);
            let (first, last) = (at / 128, (at * 32 + len - 1) / 4096);
            assert!(first == last || at % 128 == 0, "{at} {len}");
            taken.push((at, at + len.div_ceil(32)));
        }
        taken.sort_unstable();
        assert!(taken.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        assert!(taken[taken.len() - 1].1 <= places.blocks() * 128);
        let used: u64 = taken.iter().map(|(from, to)| to - from).sum();
        assert!(used * 100 > places.blocks() * 128 * 90, "mostly full");
    }
}
