//! The levels of hashes.

use std::io;

use sha2::{Digest as _, Sha256};
use stagex_tree::Digest;

use crate::{
    Image,
    blocks::{self, is_zero},
    emit::Emitter,
    parallel::Ordered,
};

use super::{BLOCK, salted};

/// How many hashes a block holds.
const PER_BLOCK: usize = BLOCK as usize / 32;
/// Bytes of data whose hashes make a block.
const GROUP: usize = PER_BLOCK * BLOCK as usize;

type Block = [u8; BLOCK as usize];

/// All hashes of some data.
pub(super) struct Levels {
    pub(super) root: Digest,
    /// The lowest level: the number of each block in `kept`.
    lowest: Vec<u32>,
    /// Blocks of the lowest level; number 0 is that of zeros.
    kept: Vec<Box<Block>>,
    /// The higher levels, from low to high.
    higher: Vec<Vec<Block>>,
}

/// The block of the hashes of a group, and its own hash; none for a whole group of zeros.
type Hashed = Option<(Box<Block>, [u8; 32])>;

impl Levels {
    /// Streams `data` through several threads.
    pub(super) fn hash(data: &dyn Image, salt: &[u8], workers: u32) -> io::Result<Self> {
        let salted = salted(salt);
        let mut order = Ordered::new(workers, || {
            let hasher = Hasher::new(&salted);
            move |group: Option<Vec<u8>>| -> Hashed { group.map(|group| hasher.group(&group)) }
        })?;
        let hasher = Hasher::new(&salted);
        let (zeros, zeros_hash) = hasher.group(&vec![0; GROUP]);
        let (mut lowest, mut kept, mut hashes) = (Vec::new(), vec![zeros], Vec::new());
        let mut take = |hashed: Hashed| -> io::Result<()> {
            let Some((block, hash)) = hashed else {
                lowest.push(0);
                hashes.push(zeros_hash);
                return Ok(());
            };
            let number = u32::try_from(kept.len()).map_err(|_| io::Error::other("over 2 PiB"))?;
            lowest.push(number);
            kept.push(block);
            hashes.push(hash);
            Ok(())
        };
        let mut left = data.len().div_ceil(BLOCK);
        blocks::for_each(data, GROUP, &mut |group| {
            // The last group may be shorter: what pads it is not hashed.
            let count = left.min(PER_BLOCK as u64) as usize;
            left -= count as u64;
            let whole_of_zeros = count == PER_BLOCK && is_zero(group);
            let job = (!whole_of_zeros).then(|| group[..count * BLOCK as usize].to_vec());
            order.submit(job)?.map_or(Ok(()), &mut take)
        })?;
        while let Some(hashed) = order.next()? {
            take(hashed)?;
        }
        if data.len() <= BLOCK {
            // A single block has no tree: its hash is the root.
            let mut root = [0; 32];
            let block = &kept[kept.len() - 1];
            root.copy_from_slice(&block[..32]);
            let root = Digest::from_bytes(root);
            return Ok(Self { root, lowest: Vec::new(), kept, higher: Vec::new() });
        }
        let mut higher = Vec::new();
        while hashes.len() > 1 {
            let level: Vec<Block> = hashes.chunks(PER_BLOCK).map(pack).collect();
            hashes = level.iter().map(|block| hasher.hash(block)).collect();
            higher.push(level);
        }
        Ok(Self { root: Digest::from_bytes(hashes[0]), lowest, kept, higher })
    }

    /// How many blocks all levels have.
    pub(super) fn blocks(&self) -> u64 {
        (self.lowest.len() + self.higher.iter().map(Vec::len).sum::<usize>()) as u64
    }

    /// Writes the levels, the highest first.
    pub(super) fn put(&self, out: &mut Emitter<'_>) -> io::Result<()> {
        for block in self.higher.iter().rev().flatten() {
            out.put(block)?;
        }
        self.lowest.iter().try_for_each(|&number| out.put(&self.kept[number as usize][..]))
    }
}

/// Hashes behind one another, padded with zeros.
fn pack(hashes: &[[u8; 32]]) -> Block {
    let mut block = [0; BLOCK as usize];
    for (place, hash) in block.chunks_exact_mut(32).zip(hashes) {
        place.copy_from_slice(hash);
    }
    block
}

/// Hashes blocks behind a salt.
struct Hasher {
    salted: Sha256,
    /// The hash of a block of zeros.
    zero: [u8; 32],
}

impl Hasher {
    fn new(salted: &Sha256) -> Self {
        let mut hasher = Self { salted: salted.clone(), zero: [0; 32] };
        hasher.zero = hasher.hash(&[0; BLOCK as usize]);
        hasher
    }

    fn hash(&self, block: &[u8]) -> [u8; 32] {
        self.salted.clone().chain_update(block).finalize().into()
    }

    fn group(&self, group: &[u8]) -> (Box<Block>, [u8; 32]) {
        let of_block = |block: &[u8]| if is_zero(block) { self.zero } else { self.hash(block) };
        let hashes: Vec<[u8; 32]> = group.chunks_exact(BLOCK as usize).map(of_block).collect();
        let block = Box::new(pack(&hashes));
        let hash = self.hash(&block[..]);
        (block, hash)
    }
}
