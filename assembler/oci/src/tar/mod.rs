//! Tar, the form in which a layer is named and exchanged.
//!
//! The writer has one output for one layer: POSIX ustar headers, pax records only where ustar
//! cannot hold a value. The reader takes what GNU tar, libarchive, Go and Python write, and
//! believes none of it. Follows POSIX.1-2001 (pax) and the OCI Image Specification's layer.md.

mod import;
mod read;
mod whole;
mod write;

pub(crate) use import::{entries, is_overlay_attribute};
pub use import::{read_layer, read_layer_in_memory};
pub use read::{EntryKind, Header, Reader};
pub(crate) use whole::{Compression, in_place};
pub use whole::{Spool, read_tree, read_tree_from_file};
pub use write::write_layer;

use stagex_tree::{PathError, TreePath};

use crate::LayerError;

/// The unit of a tar archive, in bytes.
pub(crate) const BLOCK: usize = 512;

/// Where the parts of a ustar header lie (POSIX.1-2001, pax, "ustar Interchange Format").
pub(crate) mod field {
    use std::ops::Range;

    pub(crate) const NAME: Range<usize> = 0..100;
    pub(crate) const MODE: Range<usize> = 100..108;
    pub(crate) const UID: Range<usize> = 108..116;
    pub(crate) const GID: Range<usize> = 116..124;
    pub(crate) const SIZE: Range<usize> = 124..136;
    pub(crate) const MTIME: Range<usize> = 136..148;
    pub(crate) const CHECKSUM: Range<usize> = 148..156;
    pub(crate) const TYPE: usize = 156;
    pub(crate) const LINK: Range<usize> = 157..257;
    pub(crate) const MAGIC: Range<usize> = 257..265;
    pub(crate) const MAJOR: Range<usize> = 329..337;
    pub(crate) const MINOR: Range<usize> = 337..345;
    pub(crate) const PREFIX: Range<usize> = 345..500;
}

/// How much a tar may hold before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of content, all files together.
    pub bytes: u64,
    /// Entries, of any kind.
    pub entries: u64,
}

impl Default for Limits {
    /// 64 GiB in four million entries: far beyond any layer, and short of filling most disks.
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 4_000_000 }
    }
}

/// Why a tar could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The input ended inside the archive.
    #[error("the tar ends at byte {offset}, before its end marker: it was cut off")]
    Truncated {
        /// Where, in bytes from the start.
        offset: u64,
    },
    /// A header whose checksum is wrong.
    #[error("byte {offset} of the tar is no header: its checksum is wrong")]
    Checksum {
        /// Where the header begins.
        offset: u64,
    },
    /// A number that is none, is negative, or is beyond its range.
    #[error("the header at byte {offset} of the tar has a bad {field}")]
    Number {
        /// Where the header begins.
        offset: u64,
        /// Which number.
        field: &'static str,
    },
    /// A compressor that is not undone here.
    #[error("the tar is compressed with {name}; decompress it and pipe it in: {name} -dc … | …")]
    Compressed {
        /// The compressor's name.
        name: &'static str,
    },
    /// A pax record that does not follow the format.
    #[error("the pax header at byte {offset} of the tar is malformed")]
    Pax {
        /// Where the header begins.
        offset: u64,
    },
    /// A long name or a pax header of unreasonable length.
    #[error(
        "the header at byte {offset} of the tar says {size} bytes of names; {limit} are allowed"
    )]
    HeaderTooLong {
        /// Where the header begins.
        offset: u64,
        /// What it says.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// An entry type that cannot be represented.
    #[error("{path:?} is of tar type {kind:?}, which a layer cannot hold{hint}")]
    Unsupported {
        /// The entry, lossily decoded.
        path: String,
        /// The type byte.
        kind: char,
        /// More about it.
        hint: &'static str,
    },
    /// More content than the caller allows.
    #[error("{path:?} brings the tar to {size} bytes of content; {limit} are allowed")]
    TooLarge {
        /// The entry, lossily decoded.
        path: String,
        /// Content declared so far, in bytes.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// More entries than the caller allows.
    #[error("the tar has more than {limit} entries")]
    TooMany {
        /// What is allowed.
        limit: u64,
    },
    /// A path that could leave the layer, or that no kernel accepts.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An entry below a path that is a symbolic link or a file.
    #[error("{path} lies below {above}, which is {what} and no directory")]
    NotBelowDirectory {
        /// The entry.
        path: TreePath,
        /// What stands in its way.
        above: TreePath,
        /// What that is.
        what: &'static str,
    },
    /// The root as something other than a directory.
    #[error("the tar has an entry for the root that is no directory")]
    Root,
    /// A hard link whose target does not come before it.
    #[error("{path} is a hard link to {target}, which the layer does not have before it")]
    LinkToNowhere {
        /// The link.
        path: TreePath,
        /// Its target.
        target: TreePath,
    },
    /// A hard link to a directory.
    #[error("{path} is a hard link to {target}, which is a directory")]
    LinkToDirectory {
        /// The link.
        path: TreePath,
        /// Its target.
        target: TreePath,
    },
    /// A tree that cannot be a layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Reading or writing failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl TarError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
