//! ext4 volumes that Linux mounts, e2fsck finds clean and resize2fs grows.
//!
//! Follows Linux's documentation of the format ("ext4 Data Structures and Algorithms") and, where
//! that is silent, Linux itself. A volume has extents, 64-bit numbers, checksums of all that is
//! not content (`metadata_csum`), tables kept together (`flex_bg`), directories with an index over
//! hashed names (`dir_index`), inodes of 256 bytes and, if asked, a journal. Modes, owners, times,
//! hard links, device nodes and extended attributes with access control lists are kept. The tree's
//! time of modification is given for all times of an inode.
//!
//! # In which order
//! First the superblock, group descriptors, bitmaps and inode tables, of 16 groups at a time; among
//! them, as one sequence without gaps, the journal, blocks of extended attributes, directories and
//! files, these in path order. All that is free lies at the end. Blocks beyond the last one used
//! are zeros, and tables that no inode uses are marked so, so that Linux need not write them.
//!
//! # Holes
//! Long runs of zeros in a file take no blocks: 64 KiB or more (for files over 4 GiB, a 65,536th
//! of the file). Whether the file they came from had holes makes no difference.

mod checksum;
mod contents;
mod directory;
mod extents;
mod fit;
mod geometry;
mod hash;
mod holes;
mod inode;
mod journal;
mod superblock;
mod write;
mod xattr;

use std::io::{self, Write};

use stagex_tree::{Digest, Tree, TreePath};

use self::{
    contents::{Contents, Placement},
    geometry::Geometry,
};
use crate::{Image, identity::Guid};

/// How large a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As small as the tree allows. What is free when it has been grown will be few inodes, since
    /// these grow in proportion: to be written to, a volume should begin with some free.
    Minimum,
    /// As small as may be with so many bytes free.
    Free(u64),
    /// That many bytes, a multiple of the block.
    Exact(u64),
}

/// The log by which a volume survives a crash while it is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// None, for what is only read.
    None,
    /// As long as mke2fs makes it for a volume of that size: 4 MiB from 8 MiB on, 64 MiB from
    /// 2 GiB on, at most 1 GiB.
    Default,
    /// That many blocks, 1,024 to 10,240,000.
    Blocks(u32),
}

/// What a volume is made from besides its tree.
#[derive(Debug, Clone)]
pub struct Params {
    /// The label: at most 16 bytes.
    pub label: String,
    /// When the volume was made, seconds since 1970.
    pub epoch: i64,
    /// The size.
    pub size: Size,
    /// Bytes of a block: 1,024, 2,048 or 4,096.
    pub block: u32,
    /// The journal.
    pub journal: Journal,
    /// Inodes that are to be free, at least; by default one for every 16 KiB that are free.
    pub free_inodes: Option<u32>,
    /// Blocks that only root may use, in hundredths of all: 50 at most.
    pub reserved_percent: u8,
    /// The bytes up to which the volume can be grown while mounted by any Linux, for which room
    /// for group descriptors is kept. (Newer ones, and resize2fs on a volume that is not mounted,
    /// need no such room.) By default 1,024 times the size, but nothing for [`Size::Minimum`].
    pub grow_to: Option<u64>,
    /// Whether long runs of zeros in files become holes. Files of 64 KiB or more are then read
    /// once more.
    pub holes: bool,
    /// The volume's UUID; by default derived.
    pub uuid: Option<Guid>,
    /// What the hashes of names in directories begin with; by default derived.
    pub hash_seed: Option<Guid>,
    /// What is derived is derived from this; by default from the tree, whose contents are then
    /// read once for it.
    pub seed: Option<Digest>,
}

impl Params {
    /// A volume with a journal and blocks of 4 KiB, as small as may be.
    pub fn new(label: impl Into<String>, epoch: i64) -> Self {
        Self {
            label: label.into(),
            epoch,
            size: Size::Minimum,
            block: 4096,
            journal: Journal::Default,
            free_inodes: None,
            reserved_percent: 0,
            grow_to: None,
            holes: true,
            uuid: None,
            hash_seed: None,
            seed: None,
        }
    }
}

/// Why a tree cannot be an ext4 volume.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A label that is none.
    #[error("the ext4 label {label:?} is not at most 16 bytes without NUL")]
    Label {
        /// The label given.
        label: String,
    },
    /// A block size that is none.
    #[error("an ext4 block has 1024, 2048 or 4096 bytes here, not {bytes}")]
    Block {
        /// The size given.
        bytes: u32,
    },
    /// A journal that is none.
    #[error("an ext4 journal has 1024 to 10240000 blocks, not {blocks}")]
    Journal {
        /// The length given.
        blocks: u32,
    },
    /// Too much kept for root.
    #[error("{percent}% of an ext4 volume cannot be reserved: 50% is the limit")]
    Reserved {
        /// The share given.
        percent: u8,
    },
    /// A time of the volume that cannot be told.
    #[error("the ext4 volume's time {epoch} is not in the years 1970 to 2446")]
    Epoch {
        /// Seconds since 1970.
        epoch: i64,
    },
    /// A time of modification that cannot be told.
    #[error("{path}: modification time {mtime} is not in the years 1901 to 2446, as ext4 asks")]
    Time {
        /// The entry.
        path: TreePath,
        /// Seconds since 1970.
        mtime: i64,
    },
    /// The directory for what e2fsck finds is something else.
    #[error("{path}: must be a directory on ext4")]
    LostAndFound {
        /// The entry.
        path: TreePath,
    },
    /// No symbolic link.
    #[error("{path}: a symbolic link's target must be 1 to {limit} bytes without NUL")]
    Target {
        /// The link.
        path: TreePath,
        /// The most bytes with the block size given.
        limit: u64,
    },
    /// A device that has no number.
    #[error("{path}: device {major}:{minor} is beyond ext4's 4095:1048575")]
    Device {
        /// The node.
        path: TreePath,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Too many names of one inode.
    #[error("{path}: has {links} hard links; ext4 allows 65000")]
    Links {
        /// The first name.
        path: TreePath,
        /// How many there are.
        links: u32,
    },
    /// A file that is too large.
    #[error("{path}: {len} bytes is too large for ext4, whose files have at most {limit} here")]
    FileTooLarge {
        /// The file.
        path: TreePath,
        /// Its size in bytes.
        len: u64,
        /// The most bytes with the block size given.
        limit: u64,
    },
    /// A directory that is too large.
    #[error("{path}: takes {blocks} blocks, more than an ext4 directory can index")]
    DirectoryTooLarge {
        /// The directory.
        path: TreePath,
        /// How many it takes.
        blocks: u64,
    },
    /// An extended attribute that ext4 has no place for.
    #[error("{path}: ext4 cannot hold the extended attribute {name:?}")]
    XattrName {
        /// The entry.
        path: TreePath,
        /// The attribute's name, lossily decoded.
        name: String,
    },
    /// An access control list that is none.
    #[error("{path}: the extended attribute {name:?} is no access control list")]
    Acl {
        /// The entry.
        path: TreePath,
        /// The attribute's name.
        name: String,
    },
    /// More extended attributes than an inode and a block hold.
    #[error("{path}: its extended attributes take {bytes} bytes; ext4 holds {limit} of one inode")]
    Xattrs {
        /// The entry.
        path: TreePath,
        /// Bytes that they take.
        bytes: usize,
        /// The most bytes with the block size given.
        limit: usize,
    },
    /// The size given is not whole blocks.
    #[error("an ext4 volume is whole blocks of {block} bytes; {size} bytes are not")]
    Size {
        /// The size given, in bytes.
        size: u64,
        /// Bytes of a block.
        block: u32,
    },
    /// The size given does not hold the tree.
    #[error("{size} bytes are too few for an ext4 volume of this tree, which takes {needed}")]
    TooSmall {
        /// The size given, in bytes.
        size: u64,
        /// The size that is enough, in bytes.
        needed: u64,
    },
    /// A volume larger than ext4 can be.
    #[error(
        "an ext4 volume of {block}-byte blocks cannot be that large ({blocks} blocks of content, \
         {inodes} inodes)"
    )]
    TooLarge {
        /// Bytes of a block.
        block: u64,
        /// Blocks of content and what is to be free.
        blocks: u64,
        /// Inodes.
        inodes: u64,
    },
    /// More inodes than 32 bits can number.
    #[error("{inodes} entries are too many for ext4, which numbers inodes by 32 bits")]
    TooManyInodes {
        /// How many entries the tree has.
        inodes: u64,
    },
    /// A content could not be read while looking for holes.
    #[error("{path}: could not be read: {source}")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// A content could not be read for the volume's identifiers.
    #[error("a file could not be read for the volume's UUID: {source}")]
    Identity {
        /// Why.
        source: io::Error,
    },
}

/// A volume laid out.
pub struct Ext4<'t> {
    contents: Contents<'t>,
    geometry: Geometry,
    placement: Placement,
    /// Blocks of the journal; 0 for none.
    journal: u32,
    /// Bytes written; what is beyond the volume's last block is zeros.
    len: u64,
    label: [u8; 16],
    epoch: i64,
    uuid: Guid,
    hash_seed: Guid,
    /// Blocks that only root may use.
    reserved: u64,
    /// Where checksums begin.
    seed: u32,
}

/// Lays out `tree` as an ext4 volume.
pub fn layout<'t>(tree: &'t Tree, params: &Params) -> Result<Ext4<'t>, Error> {
    let label = check(params)?;
    let (uuid, hash_seed) = identifiers(tree, params)?;
    let words = words(&hash_seed);
    let contents = Contents::new(tree, u64::from(params.block), &words, params.holes)?;
    let fit = fit::fit(&contents, params)?;
    let geometry = fit.geometry;
    Ok(Ext4 {
        reserved: geometry.total * u64::from(params.reserved_percent) / 100,
        contents,
        placement: fit.placement,
        journal: fit.journal,
        len: fit.len,
        geometry,
        label,
        epoch: params.epoch,
        uuid,
        hash_seed,
        seed: checksum::volume_seed(&uuid.0),
    })
}

fn check(params: &Params) -> Result<[u8; 16], Error> {
    let mut label = [0; 16];
    let text = params.label.as_bytes();
    match label.get_mut(..text.len()) {
        Some(to) if !text.contains(&0) => to.copy_from_slice(text),
        _ => return Err(Error::Label { label: params.label.clone() }),
    }
    if !matches!(params.block, 1024 | 2048 | 4096) {
        return Err(Error::Block { bytes: params.block });
    }
    match params.journal {
        Journal::Blocks(blocks)
            if !(journal::BLOCKS_MIN..=journal::BLOCKS_MAX).contains(&blocks) =>
        {
            return Err(Error::Journal { blocks });
        }
        _ => {}
    }
    if params.reserved_percent > 50 {
        return Err(Error::Reserved { percent: params.reserved_percent });
    }
    if params.epoch < 0 || !inode::TIMES.contains(&params.epoch) {
        return Err(Error::Epoch { epoch: params.epoch });
    }
    match params.size {
        Size::Exact(size) if size % u64::from(params.block) != 0 => {
            Err(Error::Size { size, block: params.block })
        }
        _ => Ok(label),
    }
}

/// The UUID and the hash seed, as given or derived.
fn identifiers(tree: &Tree, params: &Params) -> Result<(Guid, Guid), Error> {
    if let (Some(uuid), Some(hash_seed)) = (params.uuid, params.hash_seed) {
        return Ok((uuid, hash_seed));
    }
    let seed = match params.seed {
        Some(seed) => seed,
        None => tree.digest().map_err(|source| Error::Identity { source })?,
    };
    let derived = |role| Guid::derive(&seed, role);
    Ok((
        params.uuid.unwrap_or_else(|| derived("ext4 volume")),
        params.hash_seed.unwrap_or_else(|| derived("ext4 hash seed")),
    ))
}

/// A seed as the hash takes it.
fn words(seed: &Guid) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(seed.0.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    words
}

impl Ext4<'_> {
    /// The exact length of the volume in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a volume is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The volume's UUID.
    pub fn uuid(&self) -> Guid {
        self.uuid
    }

    /// Bytes that are free, whoever may use them.
    pub fn free(&self) -> u64 {
        self.free_blocks() * self.geometry.block
    }

    /// Inodes that are free.
    pub fn free_inodes(&self) -> u32 {
        self.inode_count() - self.contents.last_inode
    }

    /// Writes the volume in one forward sweep.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Image::write(self, out)
    }
}

impl Image for Ext4<'_> {
    fn len(&self) -> u64 {
        Ext4::len(self)
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.emit(out)
    }
}
