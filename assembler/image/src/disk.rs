//! Raw disks: a GUID partition table and its partitions.

use std::io::{self, Write};

use stagex_tree::Digest;

use crate::{
    Image,
    emit::Emitter,
    gpt::{self, AFTER_USABLE, FIRST_USABLE, SECTOR, Tables, Type},
    identity::{self, Guid},
};

/// A partition to be.
pub struct Partition<'a> {
    /// Its type.
    pub kind: Type,
    /// Its name: at most 36 UTF-16 units, no two alike on a disk.
    pub name: String,
    /// What is written into it.
    pub content: &'a dyn Image,
    /// Its size in bytes, where it is to be larger than its content.
    pub size: Option<u64>,
    /// Its GUID; by default derived from the disk's seed and its name.
    pub guid: Option<Guid>,
    /// Its GPT attributes; 0 for none.
    pub attributes: u64,
    /// Whether a hybrid MBR shows it to a BIOS too.
    pub in_mbr: bool,
}

/// What a disk is made from besides its partitions.
#[derive(Debug, Clone)]
pub struct Params {
    /// What the GUIDs are derived from: the digest of what the disk holds.
    pub seed: Digest,
    /// On multiples of how many bytes partitions begin and end: a power of two, at least 512.
    pub align: u64,
    /// Bytes of the disk; by default as small as it may be.
    pub size: Option<u64>,
    /// Code in the MBR that a BIOS runs; zeros for none.
    pub boot_code: [u8; 440],
}

impl Params {
    /// A disk as small as it may be, aligned to 1 MiB.
    pub fn new(seed: Digest) -> Self {
        Self { seed, align: 1 << 20, size: None, boot_code: [0; 440] }
    }
}

/// Why there is no such disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An alignment that is none.
    #[error("partitions are aligned to a power of two of at least 512 bytes, not to {align}")]
    Align {
        /// The alignment given.
        align: u64,
    },
    /// Two partitions of one name, whose GUIDs would be the same.
    #[error("two partitions are called {name:?}")]
    Name {
        /// The name.
        name: String,
    },
    /// A content that is larger than the size given for its partition.
    #[error("partition {name:?} of {size} bytes cannot hold {content} bytes")]
    Partition {
        /// Its name.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// Bytes of its content.
        content: u64,
    },
    /// The size given for the disk is not whole sectors, or too small.
    #[error("a disk of {size} bytes cannot be: whole sectors, at least {needed} bytes, are needed")]
    Size {
        /// The size given in bytes.
        size: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The table cannot be.
    #[error(transparent)]
    Table(#[from] gpt::Error),
}

/// A disk laid out.
pub struct Layout<'a> {
    parts: Vec<(u64, &'a dyn Image)>,
    entries: Vec<gpt::Entry>,
    tables: Tables,
    guid: Guid,
    len: u64,
}

/// Lays out a disk of `partitions`, in their order.
pub fn layout<'a>(partitions: &[Partition<'a>], params: &Params) -> Result<Layout<'a>, Error> {
    let align = params.align;
    if !align.is_power_of_two() || align < SECTOR {
        return Err(Error::Align { align });
    }
    let too_large = || Error::Size { size: u64::MAX, needed: u64::MAX };
    let aligned = |bytes: u64| bytes.checked_next_multiple_of(align).ok_or_else(too_large);
    let mut at = aligned(FIRST_USABLE * SECTOR)?;
    let mut parts = Vec::with_capacity(partitions.len());
    let mut entries: Vec<gpt::Entry> = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let name = partition.name.clone();
        if entries.iter().any(|entry| entry.name == name) {
            return Err(Error::Name { name });
        }
        let content = partition.content.len();
        let size = partition.size.unwrap_or(content);
        if size < content {
            return Err(Error::Partition { name, size, content });
        }
        let size = aligned(size.max(1))?;
        let derived = || Guid::derive(&params.seed, &format!("partition {name}"));
        entries.push(gpt::Entry {
            kind: partition.kind,
            guid: partition.guid.unwrap_or_else(derived),
            first: at / SECTOR,
            sectors: size / SECTOR,
            attributes: partition.attributes,
            in_mbr: partition.in_mbr,
            name,
        });
        parts.push((at, partition.content));
        at = at.checked_add(size).ok_or_else(too_large)?;
    }
    // The end is aligned as well, so that a disk can be put on a device of larger blocks.
    let needed = at.checked_add(AFTER_USABLE * SECTOR).ok_or_else(too_large)?;
    let len = params.size.unwrap_or(aligned(needed)?);
    if len < needed || len % SECTOR != 0 {
        return Err(Error::Size { size: len, needed });
    }
    let guid = Guid::derive(&params.seed, "disk");
    let tables = gpt::tables(guid, len / SECTOR, &entries, &params.boot_code)?;
    Ok(Layout { parts, entries, tables, guid, len })
}

/// The digest that names several parts together: a seed for a disk made of them.
pub fn seed<'a>(parts: impl IntoIterator<Item = &'a Digest>) -> Digest {
    parts.into_iter().fold(Digest::of(b""), |sum, part| identity::derive(part, &sum.hex()))
}

impl Layout<'_> {
    /// The exact length of the disk in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a disk is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The disk's GUID.
    pub fn guid(&self) -> Guid {
        self.guid
    }

    /// The partitions, where they lie and their GUIDs.
    pub fn entries(&self) -> &[gpt::Entry] {
        &self.entries
    }

    /// Writes the disk in one forward sweep.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Image::write(self, out)
    }
}

impl Image for Layout<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        out.put(&self.tables.primary)?;
        for &(at, content) in &self.parts {
            out.pad_to(at)?;
            out.image(content)?;
        }
        out.pad_to(self.len - self.tables.backup.len() as u64)?;
        out.put(&self.tables.backup)?;
        out.finish().map(drop)
    }
}
