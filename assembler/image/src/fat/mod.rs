//! FAT12, FAT16 and FAT32 volumes with long names.
//!
//! Follows Microsoft's "FAT32 File System Specification" 1.03 as UEFI does. FAT keeps names,
//! contents and times of modification (to two seconds, from 1980 to 2107, others moved to the
//! nearest); owners, permissions and extended attributes are left out, and a hard-linked file is
//! written once for each name. Directories come first, then files, each in one piece.
//!
//! # Which width
//! UEFI asks for FAT32 on disks and for FAT12 or FAT16 on removable media. A volume is FAT32 by its
//! number of clusters alone, at least 65,525, hence never under 33.5 MB. So an EFI system partition
//! on a disk is FAT32 (the default; some clouds' firmware wants clusters of 4 KiB, [`Params`] can
//! say so), and the boot image in an ISO, which should be no larger than what it holds, FAT16.

mod geometry;
mod names;
mod write;

use std::{
    collections::HashMap,
    io::{self, Write},
};

use stagex_tree::{Digest, Kind, Tree, TreePath};

use self::{
    geometry::{Geometry, Misfit, SECTOR},
    names::Short,
};
use crate::{Image, identity, index::Index};

/// Marks an entry as part of a long name.
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;
/// Bytes of a directory entry.
const ENTRY: u64 = 32;
/// The most entries of a directory.
const ENTRIES_MAX: u64 = 65_536;
/// Entries of the root directory of FAT12 and FAT16, where more are not needed.
const ROOT_ENTRIES: u64 = 512;

/// The width of a volume's table entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Width {
    /// At most 4,068 clusters.
    Fat12,
    /// 4,101 to 65,508 clusters.
    Fat16,
    /// At least 65,541 clusters.
    #[default]
    Fat32,
}

/// What a volume is made from besides its tree.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// The width.
    pub width: Width,
    /// Bytes of a cluster: a power of two from 512 to 32,768. By default what makes the volume
    /// smallest or, where its size is given, 4,096 if that goes.
    pub cluster: Option<u32>,
    /// Bytes of the volume, a multiple of 512; by default as small as it may be.
    pub size: Option<u64>,
    /// Bytes that are to stay free where the size is not given.
    pub free: u64,
    /// The label: at most 11 upper-case letters, digits, spaces or `!#$%&'()-@^_{}~`.
    pub label: Option<String>,
    /// The label's time, seconds since 1970.
    pub epoch: i64,
    /// Sectors of 512 bytes before the volume on its disk.
    pub hidden_sectors: u32,
    /// What the volume's id is derived from; by default the tree, whose contents are then read
    /// once for it.
    pub seed: Option<Digest>,
}

/// Why a tree cannot be a FAT volume.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// FAT has no such entries.
    #[error("{path}: FAT holds files and directories only, no {kind}")]
    Kind {
        /// The entry.
        path: TreePath,
        /// What it is.
        kind: &'static str,
    },
    /// The name cannot be a long name.
    #[error("{path}: its name {fault}")]
    Name {
        /// The entry.
        path: TreePath,
        /// Why, as the end of a sentence.
        fault: &'static str,
    },
    /// Two names that differ in case only.
    #[error("{path}: FAT does not tell its name from that of {other}")]
    Duplicate {
        /// The entry.
        path: TreePath,
        /// The one before it.
        other: TreePath,
    },
    /// A file of 4 GiB or more.
    #[error("{path}: {len} bytes is too large for FAT, whose files are under 4294967296 bytes")]
    FileTooLarge {
        /// The file.
        path: TreePath,
        /// Its size in bytes.
        len: u64,
    },
    /// A directory with more entries than FAT allows.
    #[error("{path}: takes {entries} directory entries, names included; FAT allows 65536")]
    DirectoryTooLarge {
        /// The directory.
        path: TreePath,
        /// Entries of 32 bytes.
        entries: u64,
    },
    /// A cluster size that is none.
    #[error("a FAT cluster has 512, 1024, … 32768 bytes, not {bytes}")]
    Cluster {
        /// The size given.
        bytes: u32,
    },
    /// A label that is none.
    #[error(
        "the FAT label {label:?} is not 1 to 11 upper-case letters, digits, spaces or !#$%&'()-@^_{{}}~"
    )]
    Label {
        /// The label given.
        label: String,
    },
    /// The size given does not hold the tree, or is not enough for the width.
    #[error(
        "{size} bytes are too few for {width:?} with {content} bytes of files: enlarge the volume, \
         or choose smaller clusters or another width"
    )]
    TooSmall {
        /// The size given, in bytes.
        size: u64,
        /// The width.
        width: Width,
        /// Bytes of all files.
        content: u64,
    },
    /// The tree or the size given is more than the width can hold.
    #[error(
        "{width:?} cannot be that large ({content} bytes of files): choose larger clusters or \
         another width"
    )]
    TooLarge {
        /// The width.
        width: Width,
        /// Bytes of all files.
        content: u64,
    },
    /// The size given is not whole sectors.
    #[error("a FAT volume is whole sectors of 512 bytes; {size} bytes are not")]
    Size {
        /// The size given, in bytes.
        size: u64,
    },
    /// A content could not be read for the volume's id.
    #[error("a file could not be read for the volume's id: {source}")]
    Read {
        /// Why.
        source: io::Error,
    },
}

/// A volume laid out.
pub struct Layout<'t> {
    index: Index<'t>,
    geometry: Geometry,
    /// The short name of each entry, by number.
    shorts: Vec<Short>,
    /// The first cluster of each entry, by number; 0 for none.
    firsts: Vec<u32>,
    /// The first cluster that is free.
    free: u32,
    /// The root directory's entries, for FAT12 and FAT16.
    root_entries: u64,
    label: Option<Short>,
    epoch: i64,
    hidden_sectors: u32,
    id: u32,
}

/// Lays out `tree` as a FAT volume.
pub fn layout<'t>(tree: &'t Tree, params: &Params) -> Result<Layout<'t>, Error> {
    let label = params.label.as_deref().map(label).transpose()?;
    if let Some(size) = params.size.filter(|size| size % SECTOR != 0) {
        return Err(Error::Size { size });
    }
    let cluster = match params.cluster {
        Some(bytes) if bytes.is_power_of_two() && (512..=32_768).contains(&bytes) => {
            Some(u64::from(bytes) / SECTOR)
        }
        Some(bytes) => return Err(Error::Cluster { bytes }),
        None => None,
    };
    let index = Index::new(tree);
    let content = check(&index)?;
    let shorts = shorten(&index)?;
    let mut entries = directory_entries(&index, &shorts)?;
    entries[0] += u64::from(label.is_some());

    let width = params.width;
    let root_entries = match width {
        Width::Fat32 => 0,
        _ => entries[0].max(ROOT_ENTRIES).next_multiple_of(SECTOR / ENTRY),
    };
    if root_entries >= ENTRIES_MAX {
        return Err(Error::DirectoryTooLarge { path: TreePath::root(), entries: entries[0] });
    }
    let clusters_of = |number: usize, cluster: u64| match &index.entries[number].inode.kind {
        Kind::File(content) => content.len().div_ceil(cluster * SECTOR),
        _ if number == 0 && width != Width::Fat32 => 0,
        _ => (entries[number] * ENTRY).div_ceil(cluster * SECTOR).max(1),
    };
    let needed = |cluster: u64| {
        let taken: u64 = (0..index.len()).map(|number| clusters_of(number, cluster)).sum();
        taken + params.free.div_ceil(cluster * SECTOR)
    };
    let root_sectors = root_entries * ENTRY / SECTOR;
    let size = params.size.map(|size| size / SECTOR);
    let geometry =
        geometry::choose(width, cluster, size, root_sectors, needed).map_err(|misfit| {
            match (misfit, params.size) {
                (Misfit::TooSmall, Some(size)) => Error::TooSmall { size, width, content },
                _ => Error::TooLarge { width, content },
            }
        })?;

    let mut firsts = vec![0; index.len()];
    let mut free = 2;
    for directories in [true, false] {
        for (number, first) in firsts.iter_mut().enumerate() {
            let clusters = clusters_of(number, geometry.cluster);
            if index.entries[number].inode.is_directory() == directories && clusters != 0 {
                *first = free;
                // The geometry has room for all, in 28 bits.
                free += u32::try_from(clusters).unwrap_or(u32::MAX);
            }
        }
    }
    let seed = match params.seed {
        Some(seed) => seed,
        None => tree.digest().map_err(|source| Error::Read { source })?,
    };
    let id = identity::derive(&seed, "fat volume id");
    let [a, b, c, d, ..] = *id.as_bytes();
    Ok(Layout {
        index,
        geometry,
        shorts,
        firsts,
        free,
        root_entries,
        label,
        epoch: params.epoch,
        hidden_sectors: params.hidden_sectors,
        id: u32::from_be_bytes([a, b, c, d]),
    })
}

impl Layout<'_> {
    /// The exact length of the volume in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a volume is never empty")]
    pub fn len(&self) -> u64 {
        self.geometry.total * SECTOR
    }

    /// The volume's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> u64 {
        self.geometry.cluster_bytes()
    }

    /// Where a file's bytes begin in the volume: all of them, for no file is written in pieces.
    /// None for what is no file or has no bytes.
    pub fn place(&self, path: &TreePath) -> Option<u64> {
        let number = self.index.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        let content = self.index.entries[number].inode.content()?;
        let first = u64::from(self.firsts[number]);
        let sector = self.geometry.data() + first.saturating_sub(2) * self.geometry.cluster;
        (!content.is_empty()).then_some(sector * SECTOR)
    }

    /// Writes the volume in one forward sweep.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Image::write(self, out)
    }
}

impl Image for Layout<'_> {
    fn len(&self) -> u64 {
        Layout::len(self)
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.emit(out)
    }
}

/// Checks kinds, names and sizes; gives the bytes of all files.
fn check(index: &Index<'_>) -> Result<u64, Error> {
    let mut sum = 0u64;
    for entry in &index.entries {
        let path = || entry.path.clone();
        let kind = match &entry.inode.kind {
            Kind::Directory => "",
            Kind::File(content) => {
                if u32::try_from(content.len()).is_err() {
                    return Err(Error::FileTooLarge { path: path(), len: content.len() });
                }
                sum = sum.saturating_add(content.len());
                ""
            }
            Kind::Symlink(_) => "symbolic link",
            Kind::CharDevice(_) | Kind::BlockDevice(_) => "device node",
            Kind::Fifo => "named pipe",
            Kind::Socket => "socket",
        };
        if !kind.is_empty() {
            return Err(Error::Kind { path: path(), kind });
        }
        if let Some(fault) = names::fault(entry.path.name()) {
            return Err(Error::Name { path: path(), fault });
        }
    }
    Ok(sum)
}

/// The name of an entry, which was checked to be UTF-8.
fn name<'t>(index: &Index<'t>, number: u32) -> &'t str {
    std::str::from_utf8(index.entries[number as usize].path.name()).unwrap_or_default()
}

/// The short names of all entries.
fn shorten(index: &Index<'_>) -> Result<Vec<Short>, Error> {
    let mut shorts = vec![[b' '; 11]; index.len()];
    for number in 0..index.len() {
        let children = index.children(number);
        let names: Vec<&str> = children.iter().map(|&child| name(index, child)).collect();
        let mut seen = HashMap::with_capacity(names.len());
        for (&child, name) in children.iter().zip(&names) {
            if let Some(other) = seen.insert(names::folded(name), child) {
                let path = |number: u32| index.entries[number as usize].path.clone();
                return Err(Error::Duplicate { path: path(child), other: path(other) });
            }
        }
        let short = names::shorten(&names).ok_or_else(|| Error::DirectoryTooLarge {
            path: index.entries[number].path.clone(),
            entries: names.len() as u64,
        })?;
        for (&child, short) in children.iter().zip(short) {
            shorts[child as usize] = short;
        }
    }
    Ok(shorts)
}

/// How many directory entries each directory takes.
fn directory_entries(index: &Index<'_>, shorts: &[Short]) -> Result<Vec<u64>, Error> {
    let mut entries = vec![0; index.len()];
    for (number, count) in entries.iter_mut().enumerate() {
        let long = |&child: &u32| {
            1 + names::long_entries(name(index, child), &shorts[child as usize]) as u64
        };
        // All but the root begin with "." and "..".
        let dots = if number == 0 { 0 } else { 2 };
        *count = index.children(number).iter().map(long).sum::<u64>() + dots;
        if *count >= ENTRIES_MAX {
            let path = index.entries[number].path.clone();
            return Err(Error::DirectoryTooLarge { path, entries: *count });
        }
    }
    Ok(entries)
}

fn label(label: &str) -> Result<Short, Error> {
    let allowed = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" !#$%&'()-@^_{}~".contains(&byte)
    };
    let holds = (1..=11).contains(&label.len()) && label.trim() == label;
    if !holds || !label.bytes().all(allowed) {
        return Err(Error::Label { label: label.to_owned() });
    }
    let mut bytes = [b' '; 11];
    bytes[..label.len()].copy_from_slice(label.as_bytes());
    Ok(bytes)
}
