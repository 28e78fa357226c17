//! Sparse VMDK files, with compressed grains (streamOptimized) or plain ones.
//!
//! Follows VMware's Virtual Disk Format 5.0.

use std::io::Read as _;

use crate::{
    blocks::{self, Block, Blocks},
    bytes::Bytes,
    context::Context,
    error::{Error, Result, invalid},
    node::Container,
    values::{le, text},
};

use super::{SECTOR, with_disk};

/// The directory is named by the header at the end.
const AT_END: u64 = u64::MAX;
const COMPRESSED: u64 = 1 << 16;
/// The largest grain that is read.
const MAX_GRAIN: u64 = 1 << 20;
const MAX_DESCRIPTOR: u64 = 1 << 20;

struct Grains {
    bytes: Bytes,
    len: u64,
    grain: u64,
    per_table: u64,
    compressed: bool,
    /// The sectors of the tables.
    directory: Vec<u32>,
}

/// Opens the disk that is stored in grains.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let mut head = bytes.array::<{ SECTOR as usize }>(0)?;
    if le(&head, 56, 8) == AT_END {
        let at = bytes.len().checked_sub(2 * SECTOR);
        head = bytes.array(at.ok_or_else(|| invalid("vmdk", "the end is missing"))?)?;
    }
    let (sectors, grain, per_table) = (le(&head, 12, 8), le(&head, 20, 8), le(&head, 44, 4));
    let (flags, directory) = (le(&head, 8, 4), le(&head, 56, 8));
    let valid = head.starts_with(b"KDMV")
        && grain.is_power_of_two()
        && grain <= MAX_GRAIN / SECTOR
        && (1..=4096).contains(&per_table)
        && sectors <= u64::MAX / SECTOR / 4
        && directory != AT_END;
    if !valid {
        return Err(invalid("vmdk", "the header is damaged"));
    }
    let compressed = flags & COMPRESSED != 0;
    if compressed && le(&head, 77, 2) != 1 {
        return Err(invalid("vmdk", "compressed with something other than deflate"));
    }
    let mut container = Container::new("vmdk");
    container.field("version", le(&head, 4, 4));
    container.field("size", sectors * SECTOR);
    container.field("grain size", grain * SECTOR);
    container.field("compressed", if compressed { "yes" } else { "no" });
    let (at, len) = (le(&head, 28, 8), le(&head, 36, 8).saturating_mul(SECTOR));
    if at != 0 && len <= MAX_DESCRIPTOR {
        let descriptor = bytes.vec(at.saturating_mul(SECTOR), len as usize)?;
        for line in text(&descriptor).lines() {
            let parts = line.split_once('=').filter(|_| !line.starts_with('#'));
            if let Some((name, value)) = parts {
                container.field(name.trim(), value.trim().trim_matches('"'));
            }
        }
    }
    let tables = sectors.div_ceil(grain * per_table);
    context.check_entries(usize::try_from(tables).unwrap_or(usize::MAX))?;
    let entries = bytes.vec(directory.saturating_mul(SECTOR), tables as usize * 4)?;
    let grains = Grains {
        bytes: bytes.clone(),
        len: sectors * SECTOR,
        grain: grain * SECTOR,
        per_table,
        compressed,
        directory: entries.chunks_exact(4).map(|entry| le(entry, 0, 4) as u32).collect(),
    };
    Ok(with_disk(container, blocks::bytes(grains)))
}

impl Grains {
    fn table(&self, index: u64) -> u64 {
        let table = usize::try_from(index / self.per_table).ok();
        table.and_then(|table| self.directory.get(table)).map_or(0, |sector| u64::from(*sector))
    }
}

impl Blocks for Grains {
    fn len(&self) -> u64 {
        self.len
    }

    fn size(&self) -> u64 {
        self.grain
    }

    fn block(&self, index: u64) -> Result<Block> {
        let table = self.table(index);
        if table == 0 {
            return Ok(Block::Zero);
        }
        let at = table * SECTOR + index % self.per_table * 4;
        let sector = le(&self.bytes.array::<4>(at)?, 0, 4);
        // 1 is a grain of zeros.
        if sector < 2 {
            return Ok(Block::Zero);
        }
        let at = sector * SECTOR;
        if !self.compressed {
            let len = self.grain.min(self.bytes.len().saturating_sub(at));
            return Ok(Block::Plain(self.bytes.slice(at, len)?));
        }
        let marker = self.bytes.array::<12>(at)?;
        let (first, len) = (le(&marker, 0, 8), le(&marker, 8, 4));
        if first != index * (self.grain / SECTOR) || len > 2 * self.grain {
            return Err(invalid("vmdk", format!("grain {index} is damaged")));
        }
        let stored = self.bytes.vec(at + 12, len as usize)?;
        let mut plain = Vec::new();
        let mut stream = flate2::read::ZlibDecoder::new(&stored[..]).take(self.grain + 1);
        stream.read_to_end(&mut plain).map_err(|error| invalid("vmdk", error.to_string()))?;
        if plain.len() as u64 > self.grain {
            return Err(Error::Limit { what: "bytes of a grain", limit: self.grain });
        }
        Ok(Block::Decoded(plain))
    }

    fn is_hole(&self, index: u64) -> bool {
        self.table(index) == 0
    }
}
