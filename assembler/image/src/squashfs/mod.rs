//! SquashFS 4.0, the compressed read-only file system of Linux.
//!
//! Follows `fs/squashfs/squashfs_fs.h` of Linux and the layout that mksquashfs gives its images:
//! contents, inodes, directories, fragments, the export table, owners, extended attributes.
//! Files of equal content share their blocks, blocks of zeros are not stored, and small files
//! share fragment blocks. Directories larger than a block of metadata carry an index.
//!
//! # How it is written
//! [`layout`] reads and compresses all contents once. Compressed blocks go to a nameless file in
//! [`Params::scratch`], for the superblock, which is the image's beginning, depends on all of
//! them; the uncompressed tree is copied nowhere. [`Squashfs::write`] copies them from there.
//! Files are cut and packed in path order by one thread while the others compress, and blocks are
//! stored in the order in which they were cut: the number of threads changes no byte. Other
//! versions of the compressors may give other bytes.

mod codec;
mod data;
mod error;
mod inodes;
mod meta;
mod xattr;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use stagex_tree::{Kind, Tree, TreePath};

use self::{codec::Codec, data::Data, inodes::Inodes, meta::Table, xattr::Xattrs};
pub use self::{codec::Compression, error::Error};
use crate::{Image, emit::Emitter, erofs::device_number, index::Index, path_check::symlink_target};

/// Bytes of the superblock.
const SUPER: usize = 96;
/// An image's length is a multiple of this, so that it can be mounted from a disk.
const PAD: u64 = 4096;
const MAGIC: u32 = 0x7371_7368;
const FLAG_DUPLICATES: u16 = 0x40;
const FLAG_EXPORT: u16 = 0x80;
const FLAG_OPTIONS: u16 = 0x400;

/// What an image is made from besides its tree.
#[derive(Debug, Clone)]
pub struct Params {
    /// The image's time, seconds since 1970.
    pub epoch: i64,
    /// With what all is compressed.
    pub compression: Compression,
    /// Bytes of a block: a power of two from 4,096 to 1,048,576.
    pub block_size: u32,
    /// Packs the ends of large files together with small files: smaller images, slower reads.
    pub tail_ends: bool,
    /// Threads that compress, at least 1.
    pub threads: u32,
    /// The folder of the nameless file that holds compressed blocks until the image is written:
    /// it takes as much as the image.
    pub scratch: PathBuf,
}

impl Params {
    /// What mksquashfs does with `-comp zstd`: level 15, blocks of 128 KiB.
    pub fn new(epoch: i64, scratch: impl Into<PathBuf>) -> Self {
        Self {
            epoch,
            compression: Compression::Zstd { level: 15 },
            block_size: 1 << 17,
            tail_ends: false,
            threads: 1,
            scratch: scratch.into(),
        }
    }
}

/// An image laid out, its contents compressed.
pub struct Squashfs {
    head: Vec<u8>,
    data: Data,
    tables: Vec<u8>,
    len: u64,
}

/// Lays out `tree` as an image and compresses its contents.
pub fn layout(tree: &Tree, params: &Params) -> Result<Squashfs, Error> {
    params.compression.check()?;
    let block = params.block_size;
    if !block.is_power_of_two() || !(4096..=1 << 20).contains(&block) {
        return Err(Error::Block { block });
    }
    let epoch = u32::try_from(params.epoch)
        .map_err(|_| Error::Time { path: TreePath::root(), mtime: params.epoch })?;
    let index = Index::new(tree);
    check(&index)?;
    let options = match params.compression.options() {
        options if options.is_empty() => options,
        options => meta::raw_block(&options),
    };
    let base = (SUPER + options.len()) as u64;
    let compress = |source| Error::Compress { source };
    let mut codec = Codec::new(params.compression, block).map_err(compress)?;
    // Owners and attributes first: of those there may be too many.
    let inodes = Inodes::new(&index, &mut codec)?;
    let data = data::pack(&index, params, base)?;
    let parts = inodes.write(&data, block, &mut codec)?;

    let start = base + data.scratch.len();
    let mut tables = Vec::new();
    let end = |tables: &Vec<u8>| start + tables.len() as u64;
    let inode_table = end(&tables);
    tables.extend_from_slice(&parts.inodes);
    let directory_table = end(&tables);
    tables.extend_from_slice(&parts.directories);
    let mut fragments = Vec::with_capacity(16 * data.fragments.len());
    for (at, size) in &data.fragments {
        fragments.extend_from_slice(&at.to_le_bytes());
        fragments.extend_from_slice(&u64::from(*size).to_le_bytes());
    }
    let mut table = |bytes: &[u8], tables: &mut Vec<u8>| -> Result<u64, Error> {
        indexed(bytes, start, tables, &mut codec).map_err(compress)
    };
    let fragment_table = table(&fragments, &mut tables)?;
    let export_table = table(&parts.export, &mut tables)?;
    let id_table = table(&parts.owners, &mut tables)?;
    let xattr_table = parts.xattrs.end(start, &mut tables, &mut codec).map_err(compress)?;

    let mut flags = FLAG_DUPLICATES | FLAG_EXPORT;
    if !options.is_empty() {
        flags |= FLAG_OPTIONS;
    }
    let used = end(&tables);
    let mut head = Vec::with_capacity(SUPER + options.len());
    for word in [MAGIC, parts.count, epoch, block, data.fragments.len() as u32] {
        head.extend_from_slice(&word.to_le_bytes());
    }
    let owners = (parts.owners.len() / 4) as u16;
    let log = block.trailing_zeros() as u16;
    for half in [params.compression.id(), log, flags, owners, 4, 0] {
        head.extend_from_slice(&half.to_le_bytes());
    }
    let xattr_table = xattr_table.unwrap_or(u64::MAX);
    for long in [
        parts.root,
        used,
        id_table,
        xattr_table,
        inode_table,
        directory_table,
        fragment_table,
        export_table,
    ] {
        head.extend_from_slice(&long.to_le_bytes());
    }
    head.extend_from_slice(&options);
    Ok(Squashfs { head, data, tables, len: used.next_multiple_of(PAD) })
}

/// Appends a table and behind it the places of its blocks, and gives where those are.
fn indexed(bytes: &[u8], start: u64, out: &mut Vec<u8>, codec: &mut Codec) -> io::Result<u64> {
    let mut table = Table::default();
    table.put(bytes, codec)?;
    let (bytes, starts) = table.end(codec)?;
    let at = start + out.len() as u64;
    out.extend_from_slice(&bytes);
    let places = start + out.len() as u64;
    for place in starts {
        out.extend_from_slice(&(at + u64::from(place)).to_le_bytes());
    }
    Ok(places)
}

fn check(index: &Index<'_>) -> Result<(), Error> {
    for entry in &index.entries {
        let path = || entry.path.clone();
        let mtime = entry.inode.metadata.mtime;
        if u32::try_from(mtime).is_err() {
            return Err(Error::Time { path: path(), mtime });
        }
        Xattrs::check(entry)?;
        match &entry.inode.kind {
            Kind::Symlink(target) if symlink_target(target).is_none() => {
                return Err(Error::Target { path: path() });
            }
            Kind::CharDevice(device) | Kind::BlockDevice(device)
                if device_number(*device).is_none() =>
            {
                let (major, minor) = (device.major, device.minor);
                return Err(Error::Device { path: path(), major, minor });
            }
            _ => {}
        }
    }
    Ok(())
}

impl Squashfs {
    /// The exact length of the image in bytes, a multiple of 4,096.
    #[allow(clippy::len_without_is_empty, reason = "an image is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Writes the image in one forward sweep.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Image::write(self, out)
    }
}

impl Image for Squashfs {
    fn len(&self) -> u64 {
        Squashfs::len(self)
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        out.put(&self.head)?;
        self.data.scratch.copy(0, self.data.scratch.len(), &mut out)?;
        out.put(&self.tables)?;
        out.pad_to(self.len)?;
        out.finish().map(drop)
    }
}
