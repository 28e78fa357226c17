//! What the format cannot hold.

use std::io;

use stagex_tree::TreePath;

/// Why a tree cannot be a SquashFS image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A size of blocks that is none of the format's.
    #[error("blocks of {block} bytes are not a power of two from 4096 to 1048576")]
    Block {
        /// The size given, in bytes.
        block: u32,
    },
    /// A level that the compressor has not.
    #[error("{compressor} has the levels {least} to {most}, not {level}")]
    Level {
        /// The compressor.
        compressor: &'static str,
        /// The level given.
        level: i64,
        /// The lowest.
        least: i64,
        /// The highest.
        most: i64,
    },
    /// A time outside of the format's range.
    #[error("{path}: modification time {mtime} is outside SquashFS's range, 0 to 4294967295")]
    Time {
        /// The entry; the root for the image's own time.
        path: TreePath,
        /// Seconds since 1970.
        mtime: i64,
    },
    /// Linux could not make this symbolic link.
    #[error("{path}: a symbolic link's target must be 1 to 4095 bytes without NUL")]
    Target {
        /// The link.
        path: TreePath,
    },
    /// A device's numbers do not fit.
    #[error("{path}: the device {major}:{minor} does not fit SquashFS, which has 12 and 20 bits")]
    Device {
        /// The node.
        path: TreePath,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// More owners and groups than the format numbers.
    #[error("{path}: with its owner there are over 65535 users and groups, the most of SquashFS")]
    Owners {
        /// The entry where the limit was passed.
        path: TreePath,
    },
    /// An extended attribute of a name space that the format does not number.
    #[error(
        "{path}: SquashFS cannot hold its extended attribute {name:?}, only user, trusted and security ones"
    )]
    XattrName {
        /// The entry.
        path: TreePath,
        /// The attribute's name, lossily decoded.
        name: String,
    },
    /// The value of an extended attribute is too long.
    #[error("{path}: its extended attribute {name:?} has {len} bytes; Linux reads 65536")]
    XattrValue {
        /// The entry.
        path: TreePath,
        /// The attribute's name, lossily decoded.
        name: String,
        /// Bytes of the value.
        len: usize,
    },
    /// A directory, or a table of the image, of 4 GiB or more.
    #[error("{path}: does not fit the 32 bits of a SquashFS image's tables")]
    TooLarge {
        /// The entry where the limit was passed.
        path: TreePath,
    },
    /// A content could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// What was compressed could not be kept in the scratch folder.
    #[error("the scratch file for compressed blocks: {source}")]
    Scratch {
        /// Why.
        source: io::Error,
    },
    /// A compressor failed.
    #[error("compressing: {source}")]
    Compress {
        /// Why.
        source: io::Error,
    },
}
