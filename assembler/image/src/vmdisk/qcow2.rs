//! QEMU's copy-on-write disks, version 3.
//!
//! Follows QEMU's `docs/interop/qcow2.txt`: the header in the first cluster, then the refcount
//! table and blocks, the L1 table, those L2 tables that list anything, and the disk's clusters in
//! their order. A cluster of zeros has no place in the file: its entry is 0, unallocated.
//!
//! The header names the tables and the tables what is allocated, so [`layout`] reads the disk once
//! to find what is zero, and the file is then written in one forward sweep. Where clusters are
//! compressed, that first pass compresses them for their sizes alone, and writing does so again:
//! twice the work, but no copy of the disk anywhere.

use std::io::{self, Write};

use zlib_rs::{Deflate, DeflateFlush};

use crate::{
    Image,
    blocks::{self, is_zero},
    compress::deflate,
    emit::Emitter,
    parallel::Ordered,
};

use super::{Error, check_len};

/// The largest disk that QEMU opens with clusters of one byte: its L1 table takes 32 MiB.
const L1_ENTRIES_MAX: u64 = (32 << 20) / 8;
/// Bytes of the header, with the type of compression.
const HEADER: u32 = 112;
/// In the header's incompatible features: the type of compression is not zlib's.
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
/// In an entry: nothing else refers to the cluster.
const COPIED: u64 = 1 << 63;
/// In an L2 entry: the cluster is compressed.
const COMPRESSED: u64 = 1 << 62;
/// The unit in which the length of a compressed cluster is told.
const UNIT: u64 = 512;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Raw deflate with a window of 4 KiB, which every version of QEMU reads: levels 1 to 9.
    Zlib(u32),
    /// zstd, from QEMU 5.1 on: levels 1 to 22.
    Zstd(u32),
}

/// What a file is made from besides its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Bytes of a cluster: a power of two from 512 to 2 MiB.
    pub cluster: u64,
    /// How clusters are compressed, if at all.
    pub compression: Option<Compression>,
    /// Threads that compress; the bytes do not depend on it.
    pub workers: u32,
}

impl Default for Params {
    /// Clusters of 64 KiB, as QEMU makes them, not compressed.
    fn default() -> Self {
        Self { cluster: 64 << 10, compression: None, workers: 1 }
    }
}

/// What the first pass finds of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cluster {
    Zero,
    Plain,
    /// Its compressed length in bytes, which is less than a cluster.
    Compressed(u32),
}

/// A file laid out.
pub struct Layout<'a> {
    disk: &'a dyn Image,
    params: Params,
    clusters: Vec<Cluster>,
    /// Everything before the L2 tables, in whole clusters.
    head: Vec<u8>,
    /// Where the first cluster of the disk lies in the file.
    data: u64,
    len: u64,
}

/// Reads `disk` once and lays it out. Takes 8 bytes of memory for each of its clusters.
pub fn layout<'a>(disk: &'a dyn Image, params: &Params) -> Result<Layout<'a>, Error> {
    let Params { cluster, compression, .. } = *params;
    if !cluster.is_power_of_two() || !(512..=2 << 20).contains(&cluster) {
        return Err(Error::Cluster { bytes: cluster });
    }
    let levels = match compression {
        Some(Compression::Zlib(level)) => Some(("zlib", level, 9)),
        Some(Compression::Zstd(level)) => Some(("zstd", level, 22)),
        None => None,
    };
    if let Some((compression, level, max)) =
        levels.filter(|(_, level, max)| !(1..=*max).contains(level))
    {
        return Err(Error::Level { compression, level, max });
    }
    let per_table = cluster / 8;
    check_len(disk.len(), "qcow2", L1_ENTRIES_MAX.saturating_mul(per_table * cluster))?;

    let clusters = find(disk, params)?;
    let mut layout = Layout { disk, params: *params, clusters, head: Vec::new(), data: 0, len: 0 };
    layout.place();
    Ok(layout)
}

/// The first pass.
fn find(disk: &dyn Image, params: &Params) -> io::Result<Vec<Cluster>> {
    let mut clusters = Vec::new();
    let mut order = compressors(params)?;
    // The numbers of the clusters whose compressed lengths are yet to come.
    let mut waiting = std::collections::VecDeque::new();
    let size = params.cluster as usize;
    let note = |clusters: &mut Vec<Cluster>, number: usize, bytes: &Packed| {
        clusters[number] = bytes.cluster(size);
    };
    blocks::for_each(disk, size, &mut |block| {
        if is_zero(block) {
            clusters.push(Cluster::Zero);
            return Ok(());
        }
        clusters.push(Cluster::Plain);
        if params.compression.is_some() {
            waiting.push_back(clusters.len() - 1);
            if let Some(packed) = order.submit(block.to_vec())? {
                if let Some(number) = waiting.pop_front() {
                    note(&mut clusters, number, &packed?);
                }
            }
        }
        Ok(())
    })?;
    while let (Some(packed), Some(number)) = (order.next()?, waiting.pop_front()) {
        note(&mut clusters, number, &packed?);
    }
    Ok(clusters)
}

/// A cluster and what became of it.
struct Packed {
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl Packed {
    fn cluster(&self, size: usize) -> Cluster {
        match u32::try_from(self.compressed.len()) {
            Ok(len) if self.compressed.len() < size => Cluster::Compressed(len),
            _ => Cluster::Plain,
        }
    }
}

type Compressors = Ordered<Vec<u8>, io::Result<Packed>>;

fn compressors(params: &Params) -> io::Result<Compressors> {
    let compression = params.compression;
    // What does not compress works in no thread.
    let workers = if compression.is_some() { params.workers } else { 1 };
    Ordered::new(workers, || {
        let mut deflater = match compression {
            Some(Compression::Zlib(level)) => Some(Deflate::new(level as i32, false, 12)),
            _ => None,
        };
        let mut zstd = None;
        move |plain: Vec<u8>| {
            let compressed = match (&mut deflater, compression) {
                (Some(state), _) => {
                    state.reset();
                    deflate(state, &plain, DeflateFlush::Finish)
                        .map_err(|error| io::Error::other(format!("deflate: {}", error.as_str())))?
                }
                (None, Some(Compression::Zstd(level))) => {
                    let state = match &mut zstd {
                        Some(state) => state,
                        none => none.insert(zstd::bulk::Compressor::new(level as i32)?),
                    };
                    state.compress(&plain)?
                }
                (None, _) => plain.clone(),
            };
            Ok(Packed { plain, compressed })
        }
    })
}

/// Where the clusters of a disk lie in the file, one after another.
struct Places {
    cluster: u64,
    /// The next free byte.
    at: u64,
}

impl Places {
    /// The first byte of the next cluster, which is not zero.
    fn next(&mut self, found: Cluster) -> u64 {
        match found {
            Cluster::Compressed(len) => {
                let place = self.at;
                self.at += u64::from(len);
                place
            }
            _ => {
                let place = self.at.next_multiple_of(self.cluster);
                self.at = place + self.cluster;
                place
            }
        }
    }
}

impl Layout<'_> {
    /// Lays the tables out.
    fn place(&mut self) {
        let cluster = self.params.cluster;
        let (per_table, per_refcounts) = (cluster / 8, cluster / 2);
        let tables: Vec<bool> = self
            .clusters
            .chunks(per_table as usize)
            .map(|part| part.iter().any(|found| *found != Cluster::Zero))
            .collect();
        let l1_clusters = (8 * tables.len() as u64).div_ceil(cluster);
        let l2_clusters = tables.iter().filter(|&&used| used).count() as u64;
        let mut places = Places { cluster, at: 0 };
        for &found in self.clusters.iter().filter(|found| **found != Cluster::Zero) {
            places.next(found);
        }
        let data_clusters = places.at.div_ceil(cluster);
        // Refcounts count the clusters that hold them as well.
        let others = 1 + l1_clusters + l2_clusters + data_clusters;
        let (mut blocks, mut table) = (1, 1);
        loop {
            let needed = (others + blocks + table).div_ceil(per_refcounts);
            let needed_table = (8 * needed).div_ceil(cluster);
            if (needed, needed_table) == (blocks, table) {
                break;
            }
            (blocks, table) = (needed.max(blocks), needed_table.max(table));
        }
        let table_at = cluster;
        let blocks_at = table_at + table * cluster;
        let l1_at = blocks_at + blocks * cluster;
        let l2_at = l1_at + l1_clusters * cluster;
        self.data = l2_at + l2_clusters * cluster;
        self.len = self.data + data_clusters * cluster;

        let mut head = self.header(table_at, table, l1_at, tables.len() as u64);
        head.resize(table_at as usize, 0);
        for block in 0..blocks {
            head.extend_from_slice(&(blocks_at + block * cluster).to_be_bytes());
        }
        head.resize(blocks_at as usize, 0);
        for count in self.refcounts() {
            head.extend_from_slice(&count.to_be_bytes());
        }
        head.resize(l1_at as usize, 0);
        let mut next = l2_at;
        for used in tables {
            head.extend_from_slice(&if used { next | COPIED } else { 0 }.to_be_bytes());
            next += if used { cluster } else { 0 };
        }
        head.resize(l2_at as usize, 0);
        self.head = head;
    }

    fn header(&self, table_at: u64, table: u64, l1_at: u64, l1: u64) -> Vec<u8> {
        let zstd = matches!(self.params.compression, Some(Compression::Zstd(_)));
        let mut header = Vec::with_capacity(HEADER as usize + 8);
        header.extend_from_slice(b"QFI\xfb");
        header.extend_from_slice(&3u32.to_be_bytes());
        header.extend_from_slice(&[0; 12]); // no backing file
        header.extend_from_slice(&self.params.cluster.trailing_zeros().to_be_bytes());
        header.extend_from_slice(&self.disk.len().to_be_bytes());
        header.extend_from_slice(&[0; 4]); // not encrypted
        header.extend_from_slice(&(l1 as u32).to_be_bytes());
        header.extend_from_slice(&l1_at.to_be_bytes());
        header.extend_from_slice(&table_at.to_be_bytes());
        header.extend_from_slice(&(table as u32).to_be_bytes());
        header.extend_from_slice(&[0; 12]); // no snapshots
        let incompatible = if zstd { INCOMPATIBLE_COMPRESSION } else { 0 };
        header.extend_from_slice(&incompatible.to_be_bytes());
        header.extend_from_slice(&[0; 16]); // compatible and autoclear features
        header.extend_from_slice(&4u32.to_be_bytes()); // refcounts of 1 << 4 bits
        header.extend_from_slice(&HEADER.to_be_bytes());
        header.extend_from_slice(&[u8::from(zstd), 0, 0, 0, 0, 0, 0, 0]);
        header.extend_from_slice(&[0; 8]); // no extensions
        header
    }

    /// How often each cluster of the file is used: once, but where compressed ones share it.
    fn refcounts(&self) -> Vec<u16> {
        let cluster = self.params.cluster;
        let mut counts = vec![1; (self.data / cluster) as usize];
        counts.resize((self.len / cluster) as usize, 0u16);
        let mut places = Places { cluster, at: self.data };
        for &found in self.clusters.iter().filter(|found| **found != Cluster::Zero) {
            let place = places.next(found);
            for used in place / cluster..=(places.at - 1) / cluster {
                counts[used as usize] = counts[used as usize].saturating_add(1);
            }
        }
        counts
    }

    /// The L2 entry of a cluster that lies at `place`.
    fn entry(&self, found: Cluster, place: u64) -> u64 {
        match found {
            Cluster::Zero => 0,
            Cluster::Plain => place | COPIED,
            Cluster::Compressed(len) => {
                let units = (place + u64::from(len) - 1) / UNIT - place / UNIT;
                let shift = 62 - (self.params.cluster.trailing_zeros() - 8);
                COMPRESSED | units << shift | place
            }
        }
    }

    fn tables(&self, out: &mut Emitter<'_>) -> io::Result<()> {
        let cluster = self.params.cluster;
        let mut places = Places { cluster, at: self.data };
        for part in self.clusters.chunks((cluster / 8) as usize) {
            if part.iter().all(|found| *found == Cluster::Zero) {
                continue;
            }
            for &found in part {
                let place = if found == Cluster::Zero { 0 } else { places.next(found) };
                out.put(&self.entry(found, place).to_be_bytes())?;
            }
            out.align(cluster)?;
        }
        Ok(())
    }
}

impl Image for Layout<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let changed = || io::Error::other("the disk changed since it was laid out");
        let size = self.params.cluster as usize;
        let mut out = Emitter::new(out);
        out.put(&self.head)?;
        self.tables(&mut out)?;
        let mut order = compressors(&self.params)?;
        let mut expected = self.clusters.iter().filter(|found| **found != Cluster::Zero);
        let mut put = |out: &mut Emitter<'_>, packed: &Packed| match expected.next() {
            Some(&found @ Cluster::Compressed(_)) if found == packed.cluster(size) => {
                out.put(&packed.compressed)
            }
            Some(Cluster::Plain) => {
                out.align(self.params.cluster)?;
                out.put(&packed.plain)
            }
            _ => Err(changed()),
        };
        let mut number = 0;
        blocks::for_each(self.disk, size, &mut |block| {
            let zero = is_zero(block);
            if self.clusters.get(number).map(|found| *found == Cluster::Zero) != Some(zero) {
                return Err(changed());
            }
            number += 1;
            if zero {
                return Ok(());
            }
            match order.submit(block.to_vec())? {
                Some(packed) => put(&mut out, &packed?),
                None => Ok(()),
            }
        })?;
        while let Some(packed) = order.next()? {
            put(&mut out, &packed?)?;
        }
        out.pad_to(self.len)?;
        out.finish().map(drop)
    }
}
