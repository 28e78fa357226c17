//! Hash trees of dm-verity, in the format of `veritysetup`.
//!
//! Follows cryptsetup's `verity.h` and Linux's `Documentation/admin-guide/device-mapper/verity.rst`
//! (hash type 1): SHA-256 of the salt and a block of 4096 bytes; 128 hashes make a block of the
//! level above, until one block is left, whose hash is the root hash. Before the levels, the
//! highest first, lies a superblock of version 1, padded to a block. Who knows the root hash can
//! trust every block that Linux reads.
//!
//! [`Verity::over`] reads the data once, hashing with several threads, and keeps the tree: 1/128 of
//! the data, but that parts of 512 KiB of zeros take 4 bytes. The root hash is thereby known before
//! anything is written, as a command line needs it. [`Verity::append`] then writes data and tree in
//! one forward sweep, [`Verity::tree`] the tree alone.

mod tree;

use std::io::{self, Write};

use sha2::Sha256;
use stagex_tree::Digest;

use crate::{
    Image,
    emit::Emitter,
    identity::{self, Guid},
};

use self::tree::Levels;

/// Bytes of a block, both of the data and of the tree.
pub const BLOCK: u64 = 4096;
/// The longest salt that the superblock has room for.
const SALT_MAX: usize = 256;

/// What a tree is made from besides its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// What is hashed before each block; at most 256 bytes.
    pub salt: Vec<u8>,
    /// The identifier in the superblock.
    pub uuid: Guid,
    /// Threads that hash; the bytes do not depend on it.
    pub workers: u32,
}

impl Params {
    /// Derives the salt, of 32 bytes, and the UUID from the digest of what the data holds.
    pub fn new(seed: &Digest, workers: u32) -> Self {
        let salt = identity::derive(seed, "verity salt").as_bytes().to_vec();
        Self { salt, uuid: Guid::derive(seed, "verity"), workers }
    }

    /// The same for data of which nothing is known yet; reads it once.
    pub fn of_content(data: &dyn Image, workers: u32) -> io::Result<Self> {
        let mut hasher = stagex_tree::DigestWriter::new(io::sink());
        data.write(&mut hasher)?;
        Ok(Self::new(&hasher.finish().1, workers))
    }
}

/// Why there is no such tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to hash.
    #[error("dm-verity needs data of at least one byte")]
    Empty,
    /// The superblock has no room for the salt.
    #[error("a salt of {len} bytes is too long for dm-verity, which takes at most {SALT_MAX}")]
    Salt {
        /// Its length in bytes.
        len: usize,
    },
    /// Data and tree are more than 64 bits can count.
    #[error("data of {len} bytes is too large for dm-verity")]
    TooLarge {
        /// Its length in bytes.
        len: u64,
    },
    /// The data cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// The hash tree of some data.
pub struct Verity {
    params: Params,
    /// Bytes of the data.
    data: u64,
    levels: Levels,
}

impl Verity {
    /// Reads `data` and hashes it. It is padded with zeros to whole blocks.
    pub fn over(data: &dyn Image, params: &Params) -> Result<Self, Error> {
        let len = data.len();
        if len == 0 {
            return Err(Error::Empty);
        }
        if params.salt.len() > SALT_MAX {
            return Err(Error::Salt { len: params.salt.len() });
        }
        if len > i64::MAX as u64 / 2 {
            return Err(Error::TooLarge { len });
        }
        let levels = Levels::hash(data, &params.salt, params.workers)?;
        Ok(Self { params: params.clone(), data: len, levels })
    }

    /// The root hash: what must be known in a trusted way.
    pub fn root_hash(&self) -> Digest {
        self.levels.root
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.params.salt
    }

    /// The identifier in the superblock.
    pub fn uuid(&self) -> Guid {
        self.params.uuid
    }

    /// How many blocks of 4096 bytes the data has.
    pub fn data_blocks(&self) -> u64 {
        self.data.div_ceil(BLOCK)
    }

    /// Where the superblock lies in data with an appended tree: what `--hash-offset` must say.
    pub fn hash_offset(&self) -> u64 {
        self.data_blocks() * BLOCK
    }

    /// The identifiers of the partitions of data and tree by which systemd finds both from the
    /// root hash (UAPI group, Discoverable Partitions Specification): its first and last half.
    pub fn partition_guids(&self) -> (Guid, Guid) {
        let root = self.levels.root;
        let half = |at: usize| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&root.as_bytes()[at..at + 16]);
            Guid(bytes)
        };
        (half(0), half(16))
    }

    /// The table for the device mapper, as `dm-mod.create=` on Linux's command line or `dmsetup`
    /// take it: sectors, target and its parameters.
    ///
    /// `data` and `hash` are devices, the same for an appended tree. Without an initramfs the
    /// command line is `dm-mod.create="root,,,ro,TABLE" root=/dev/dm-0`.
    pub fn table(&self, data: &str, hash: &str) -> String {
        // The tree begins behind the superblock.
        let start = if data == hash { self.data_blocks() + 1 } else { 1 };
        let salt: String = self.params.salt.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "0 {} verity 1 {data} {hash} {BLOCK} {BLOCK} {} {start} sha256 {} {}",
            self.hash_offset() / 512,
            self.data_blocks(),
            self.levels.root,
            if salt.is_empty() { "-" } else { &salt },
        )
    }

    /// Superblock and tree, to be written apart from the data.
    pub fn tree(&self) -> Tree<'_> {
        Tree { verity: self }
    }

    /// `data`, padded to whole blocks, and behind it superblock and tree.
    ///
    /// `data` must be what was hashed: it is not hashed again while it is written.
    pub fn append<'a>(&'a self, data: &'a dyn Image) -> Appended<'a> {
        Appended { verity: self, data }
    }

    fn superblock(&self) -> [u8; BLOCK as usize] {
        let mut bytes = [0; BLOCK as usize];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, b"verity\0\0");
        put(8, &1u32.to_le_bytes()); // the superblock's version
        put(12, &1u32.to_le_bytes()); // the hash type: the salt comes first
        put(16, &self.params.uuid.0);
        put(32, b"sha256");
        put(64, &(BLOCK as u32).to_le_bytes());
        put(68, &(BLOCK as u32).to_le_bytes());
        put(72, &self.data_blocks().to_le_bytes());
        put(80, &(self.params.salt.len() as u16).to_le_bytes());
        put(88, &self.params.salt);
        bytes
    }

    fn put_tree(&self, out: &mut Emitter<'_>) -> io::Result<()> {
        out.put(&self.superblock())?;
        self.levels.put(out)
    }
}

/// A superblock and its tree.
pub struct Tree<'a> {
    verity: &'a Verity,
}

impl Image for Tree<'_> {
    fn len(&self) -> u64 {
        BLOCK + self.verity.levels.blocks() * BLOCK
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        self.verity.put_tree(&mut out)?;
        out.finish().map(drop)
    }
}

/// Data with its tree behind it.
pub struct Appended<'a> {
    verity: &'a Verity,
    data: &'a dyn Image,
}

impl Image for Appended<'_> {
    fn len(&self) -> u64 {
        self.verity.hash_offset() + self.verity.tree().len()
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.data.len() != self.verity.data {
            return Err(io::Error::other(format!(
                "{} bytes are to be written where {} were hashed",
                self.data.len(),
                self.verity.data
            )));
        }
        let mut out = Emitter::new(out);
        out.image(self.data)?;
        out.align(BLOCK)?;
        self.verity.put_tree(&mut out)?;
        out.finish().map(drop)
    }
}

/// SHA-256 that has taken the salt in.
fn salted(salt: &[u8]) -> Sha256 {
    use sha2::Digest as _;
    Sha256::new().chain_update(salt)
}
