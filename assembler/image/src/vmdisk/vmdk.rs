//! Stream-optimised virtual machine disks (VMDK), the form in which OVF packages carry them.
//!
//! Follows VMware's Virtual Disk Format 5.0: header and descriptor, then grains of 64 KiB, each
//! deflated behind a marker that says where it belongs, each 512 of them followed by their table,
//! at the end the directory of the tables and the header again, which says where that is. All is
//! written in one forward sweep; grains of zeros are left out. The length is known at the end.

use std::io::{self, Write};

use stagex_tree::Digest;
use zlib_rs::{Deflate, DeflateFlush};

use crate::{
    Image,
    blocks::{self, is_zero},
    compress::deflate,
    emit::Emitter,
    identity::derive,
    parallel::Ordered,
};

use super::{Error, SECTOR, check_len};

/// Bytes of a grain.
const GRAIN: u64 = 64 << 10;
/// How many grains a table lists.
const PER_TABLE: usize = 512;
/// Sectors before the first grain: the header, the descriptor and padding.
const OVERHEAD: u64 = 128;
/// Sectors of the descriptor.
const DESCRIPTOR: u64 = 20;
/// The directory lies behind the grains, and the footer says where.
const AT_END: u64 = u64::MAX;
/// Sectors are counted in 32 bits, and a grain that does not compress takes up to 130 of them.
const MAX: u64 = (u32::MAX as u64 - 4096) / 132 * GRAIN;

const MARKER_TABLE: u32 = 1;
const MARKER_DIRECTORY: u32 = 2;
const MARKER_FOOTER: u32 = 3;

/// What a file is made from besides its disk.
#[derive(Debug, Clone)]
pub struct Params {
    /// The file's name, which its descriptor repeats.
    pub name: String,
    /// The digest of what the disk holds, which gives it its content identifier.
    pub seed: Digest,
    /// From 1 (fast) to 9 (small).
    pub level: u32,
    /// Threads that compress; the bytes do not depend on it.
    pub workers: u32,
}

impl Params {
    /// Compresses at level 6.
    pub fn new(name: impl Into<String>, seed: Digest, workers: u32) -> Self {
        Self { name: name.into(), seed, level: 6, workers }
    }
}

/// Writes `disk` to `out` in one forward sweep, and gives the number of bytes written.
///
/// What cannot be is refused before a byte is written.
pub fn write(disk: &dyn Image, params: &Params, out: &mut dyn Write) -> Result<u64, Error> {
    check_len(disk.len(), "VMDK", MAX)?;
    let Params { name, level, .. } = params;
    if !(1..=9).contains(level) {
        return Err(Error::Level { compression: "deflate", level: *level, max: 9 });
    }
    let odd = |c: char| c.is_control() || matches!(c, '"' | '/' | '\\');
    if name.is_empty() || name.len() > 255 || name.chars().any(odd) {
        return Err(Error::Name { name: name.clone() });
    }
    Ok(emit(disk, params, out)?)
}

fn emit(disk: &dyn Image, params: &Params, out: &mut dyn Write) -> io::Result<u64> {
    let mut file = File { out: Emitter::new(out), table: Vec::new(), directory: Vec::new() };
    file.out.put(&header(disk.len(), AT_END))?;
    file.out.put(descriptor(disk.len(), params).as_bytes())?;
    file.out.pad_to(OVERHEAD * SECTOR)?;

    let level = params.level as i32;
    let mut order = Ordered::new(params.workers, || {
        let mut state = Deflate::new(level, true, 15);
        move |(number, grain): (u64, Vec<u8>)| {
            state.reset();
            deflate(&mut state, &grain, DeflateFlush::Finish)
                .map(|bytes| (number, bytes))
                .map_err(|error| io::Error::other(format!("deflate: {}", error.as_str())))
        }
    })?;
    let mut number = 0;
    blocks::for_each(disk, GRAIN as usize, &mut |grain| {
        number += 1;
        if is_zero(grain) {
            return Ok(());
        }
        match order.submit((number - 1, grain.to_vec()))? {
            Some(done) => file.grain(done?),
            None => Ok(()),
        }
    })?;
    while let Some(done) = order.next()? {
        file.grain(done?)?;
    }
    file.end(disk.len())
}

/// The file as it is written.
struct File<'w> {
    out: Emitter<'w>,
    /// The sectors of the grains of the table in the making.
    table: Vec<u32>,
    /// The sectors of the tables.
    directory: Vec<u32>,
}

impl File<'_> {
    fn sector(&self) -> io::Result<u32> {
        u32::try_from(self.out.position() / SECTOR).map_err(|_| io::Error::other("over 2 TiB"))
    }

    fn grain(&mut self, (number, bytes): (u64, Vec<u8>)) -> io::Result<()> {
        let (table, at) = (number as usize / PER_TABLE, number as usize % PER_TABLE);
        while self.directory.len() < table {
            self.end_table()?;
        }
        let sector = self.sector()?;
        self.table.resize(at, 0);
        self.table.push(sector);
        self.out.put(&(number * (GRAIN / SECTOR)).to_le_bytes())?;
        self.out.put(&(bytes.len() as u32).to_le_bytes())?;
        self.out.put(&bytes)?;
        self.out.align(SECTOR)
    }

    /// Writes the table in the making; one that lists nothing is left out.
    fn end_table(&mut self) -> io::Result<()> {
        if self.table.is_empty() {
            self.directory.push(0);
            return Ok(());
        }
        let mut table = std::mem::take(&mut self.table);
        table.resize(PER_TABLE, 0);
        self.marker(4 * PER_TABLE as u64, MARKER_TABLE)?;
        let sector = self.sector()?;
        self.directory.push(sector);
        self.entries(&table)
    }

    fn end(mut self, len: u64) -> io::Result<u64> {
        let tables = len.div_ceil(GRAIN * PER_TABLE as u64) as usize;
        while self.directory.len() < tables {
            self.end_table()?;
        }
        let directory = std::mem::take(&mut self.directory);
        self.marker(4 * directory.len() as u64, MARKER_DIRECTORY)?;
        let sector = self.sector()?;
        self.entries(&directory)?;
        self.marker(SECTOR, MARKER_FOOTER)?;
        self.out.put(&header(len, sector.into()))?;
        self.out.zeros(SECTOR)?; // the marker of the end
        self.out.finish()
    }

    /// Writes a marker before `bytes` of metadata.
    fn marker(&mut self, bytes: u64, kind: u32) -> io::Result<()> {
        self.out.put(&bytes.div_ceil(SECTOR).to_le_bytes())?;
        self.out.put(&[0; 4])?;
        self.out.put(&kind.to_le_bytes())?;
        self.out.align(SECTOR)
    }

    fn entries(&mut self, entries: &[u32]) -> io::Result<()> {
        entries.iter().try_for_each(|entry| self.out.put(&entry.to_le_bytes()))?;
        self.out.align(SECTOR)
    }
}

/// The header, which is the footer too.
fn header(len: u64, directory: u64) -> [u8; SECTOR as usize] {
    let mut header = [0; SECTOR as usize];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDMV");
    put(4, &3u32.to_le_bytes());
    put(8, &0x0003_0001u32.to_le_bytes()); // compressed, with markers; the newlines are valid
    put(12, &(len / SECTOR).to_le_bytes());
    put(20, &(GRAIN / SECTOR).to_le_bytes());
    put(28, &1u64.to_le_bytes());
    put(36, &DESCRIPTOR.to_le_bytes());
    put(44, &(PER_TABLE as u32).to_le_bytes());
    put(56, &directory.to_le_bytes());
    put(64, &OVERHEAD.to_le_bytes());
    put(73, b"\n \r\n"); // how a transfer that changes newlines is noticed
    put(77, &1u16.to_le_bytes()); // deflate
    header
}

fn descriptor(len: u64, params: &Params) -> String {
    let sectors = len / SECTOR;
    // The largest identifiers mean that there is none.
    let id = derive(&params.seed, "vmdk").as_bytes()[..4]
        .iter()
        .fold(0, |id, &byte| id << 8 | u32::from(byte));
    let cylinders = (sectors / (255 * 63)).clamp(1, 65_535);
    format!(
        "# Disk DescriptorFile\n\
         version=1\n\
         CID={:08x}\n\
         parentCID=ffffffff\n\
         createType=\"streamOptimized\"\n\
         \n\
         # Extent description\n\
         RW {sectors} SPARSE \"{}\"\n\
         \n\
         # The Disk Data Base\n\
         #DDB\n\
         \n\
         ddb.virtualHWVersion = \"4\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"255\"\n\
         ddb.geometry.sectors = \"63\"\n\
         ddb.adapterType = \"lsilogic\"\n",
        id & 0x7fff_ffff,
        params.name,
    )
}
