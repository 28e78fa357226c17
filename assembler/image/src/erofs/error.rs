//! What the format cannot hold.

use std::io;

use stagex_tree::TreePath;

/// Why a tree cannot be an EROFS image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The volume's label.
    #[error("the EROFS label {label:?} is not at most 15 bytes without NUL")]
    Label {
        /// The label given.
        label: String,
    },
    /// Linux could not make this symbolic link.
    #[error("{path}: a symbolic link's target must be 1 to 4095 bytes without NUL")]
    Target {
        /// The link.
        path: TreePath,
    },
    /// A device's numbers do not fit.
    #[error("{path}: the device {major}:{minor} does not fit EROFS, which has 12 and 20 bits")]
    Device {
        /// The node.
        path: TreePath,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// An extended attribute of a name space that the format does not number.
    #[error("{path}: EROFS cannot hold the name of its extended attribute {name:?}")]
    XattrName {
        /// The entry.
        path: TreePath,
        /// The attribute's name, lossily decoded.
        name: String,
    },
    /// The value of an extended attribute is too long.
    #[error("{path}: its extended attribute {name:?} has {len} bytes; EROFS holds 65535")]
    XattrValue {
        /// The entry.
        path: TreePath,
        /// The attribute's name, lossily decoded.
        name: String,
        /// Bytes of the value.
        len: usize,
    },
    /// The extended attributes of one inode are too long in all.
    #[error("{path}: its extended attributes take {len} bytes; EROFS holds {most}")]
    Xattrs {
        /// The entry.
        path: TreePath,
        /// The bytes they take.
        len: u64,
        /// The most they may take.
        most: u64,
    },
    /// The image would have 2^32 blocks or more.
    #[error("{path}: with it the image passes 17592186044416 bytes, the most that EROFS holds")]
    TooLarge {
        /// The entry where the limit was passed.
        path: TreePath,
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
    /// A size of clusters that cannot be.
    #[error("clusters of {cluster} bytes are not a power of two from 4096 to 524288")]
    Cluster {
        /// The size given, in bytes.
        cluster: u32,
    },
    /// A cluster could not be compressed.
    #[error("compressing: {source}")]
    Compress {
        /// Why.
        source: io::Error,
    },
    /// Compressed clusters could not be kept until the image is written.
    #[error("the file for compressed clusters: {source}")]
    Scratch {
        /// Why.
        source: io::Error,
    },
    /// A content could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// The tree could not be read for its identity.
    #[error("the tree could not be read: {source}")]
    Identity {
        /// Why.
        source: io::Error,
    },
}
