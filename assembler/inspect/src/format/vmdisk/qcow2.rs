//! QEMU's copy-on-write disks, versions 2 and 3, without backing files.
//!
//! Follows QEMU's `docs/interop/qcow2.txt`.

use std::io::Read as _;

use crate::{
    blocks::{self, Block, Blocks},
    bytes::Bytes,
    context::Context,
    error::{Error, Result, invalid},
    node::Container,
    values::be,
};

use super::with_disk;

/// The most bytes of an L1 table, as QEMU has it.
const MAX_L1: u64 = 32 << 20;
const COMPRESSED: u64 = 1 << 62;
/// In an entry: where its cluster or table is.
const PLACE: u64 = 0x00ff_ffff_ffff_fe00;

struct Clusters {
    bytes: Bytes,
    len: u64,
    bits: u32,
    zstd: bool,
    l1: Vec<u64>,
}

/// Opens the disk that is stored in clusters.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let head = bytes.array::<72>(0)?;
    let version = be(&head, 4, 4);
    if !(2..=3).contains(&version) {
        return Err(invalid("qcow2", format!("version {version}")));
    }
    let (bits, size) = (be(&head, 20, 4), be(&head, 24, 8));
    if !(9..=21).contains(&bits) {
        return Err(invalid("qcow2", format!("clusters of 2^{bits} bytes")));
    }
    let refused = |what: &str| Err(invalid("qcow2", format!("{what} cannot be read")));
    if be(&head, 8, 8) != 0 {
        return refused("a disk with a backing file");
    }
    if be(&head, 32, 4) != 0 {
        return refused("an encrypted disk");
    }
    let (mut incompatible, mut compression) = (0, 0);
    if version == 3 {
        let more = bytes.array::<40>(72)?;
        incompatible = be(&more, 0, 8);
        if be(&more, 28, 4) > 104 {
            compression = more[32];
        }
    }
    if incompatible & 4 != 0 {
        return refused("a disk with its data in another file");
    }
    if incompatible & !0b1011 != 0 {
        return Err(invalid("qcow2", format!("unknown features {incompatible:#x}")));
    }
    if compression > 1 {
        return Err(invalid("qcow2", format!("compression {compression}")));
    }
    let (count, at) = (be(&head, 36, 4), be(&head, 40, 8));
    let per_entry = 2 * bits - 3;
    if count > MAX_L1 / 8 || u128::from(size) > u128::from(count) << per_entry {
        return Err(invalid("qcow2", format!("a table of {count} for a disk of {size} bytes")));
    }
    let mut container = Container::new("qcow2");
    container.field("version", version);
    container.field("size", size);
    container.field("cluster size", 1u64 << bits);
    container.field("compression", if compression == 1 { "zstd" } else { "zlib" });
    container.field("features", format!("{incompatible:#x}"));
    container.field("snapshots", be(&head, 60, 4));
    let l1 = bytes.vec(at, count as usize * 8)?;
    let _ = context;
    let clusters = Clusters {
        bytes: bytes.clone(),
        len: size,
        bits: bits as u32,
        zstd: compression == 1,
        l1: l1.chunks_exact(8).map(|entry| be(entry, 0, 8) & PLACE).collect(),
    };
    Ok(with_disk(container, blocks::bytes(clusters)))
}

impl Clusters {
    fn table(&self, index: u64) -> u64 {
        let table = usize::try_from(index >> (self.bits - 3)).ok();
        table.and_then(|table| self.l1.get(table)).copied().unwrap_or(0)
    }

    fn compressed(&self, entry: u64) -> Result<Block> {
        // The lower bits say where, the upper ones how many sectors follow the first.
        let split = 62 - (self.bits - 8);
        let at = entry & ((1 << split) - 1);
        let sectors = (entry >> split & ((1 << (self.bits - 8)) - 1)) + 1;
        let len = (sectors * 512 - at % 512).min(self.bytes.len().saturating_sub(at));
        let stored = self.bytes.vec(at, len as usize)?;
        let size = 1u64 << self.bits;
        let mut plain = Vec::new();
        let read = if self.zstd {
            let decoder = zstd::Decoder::with_buffer(&stored[..])?.single_frame();
            decoder.take(size).read_to_end(&mut plain)
        } else {
            flate2::read::DeflateDecoder::new(&stored[..]).take(size).read_to_end(&mut plain)
        };
        read.map_err(|error| invalid("qcow2", error.to_string()))?;
        if plain.len() as u64 != size {
            let len = plain.len() as u64;
            return Err(Error::Truncated { offset: at, end: size, len });
        }
        Ok(Block::Decoded(plain))
    }
}

impl Blocks for Clusters {
    fn len(&self) -> u64 {
        self.len
    }

    fn size(&self) -> u64 {
        1 << self.bits
    }

    fn block(&self, index: u64) -> Result<Block> {
        let table = self.table(index);
        if table == 0 {
            return Ok(Block::Zero);
        }
        let within = index & ((1 << (self.bits - 3)) - 1);
        let entry = be(&self.bytes.array::<8>(table.saturating_add(within * 8))?, 0, 8);
        if entry & COMPRESSED != 0 {
            return self.compressed(entry);
        }
        // Bit 0 is a cluster of zeros, wherever it has a place.
        let at = entry & PLACE;
        if at == 0 || entry & 1 == 1 {
            return Ok(Block::Zero);
        }
        // The last one may be cut short by the end of the file.
        let len = (1 << self.bits).min(self.bytes.len().saturating_sub(at));
        Ok(Block::Plain(self.bytes.slice(at, len)?))
    }

    fn is_hole(&self, index: u64) -> bool {
        self.table(index) == 0
    }
}
