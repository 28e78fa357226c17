//! Disks in the formats of virtual machines: exports of any [`Image`](crate::Image) that is a disk.
//!
//! | format | written | length |
//! |---|---|---|
//! | [`qcow2`] | forward, after a pass that finds what is zero | known before |
//! | [`vhd`] (fixed) | forward | known before |
//! | [`vmdk`] (streamOptimized) | forward, its tables behind what they list | known after |
//! | raw | forward, by a [`SparseWriter`] | the disk's |
//!
//! What is zero takes no room in any of them but VHD. Identifiers are derived from the disk's seed,
//! and no date is the clock's.

pub mod qcow2;
pub mod vhd;
pub mod vmdk;

mod sparse;

use std::io;

pub use self::sparse::SparseWriter;

/// Bytes of a sector.
const SECTOR: u64 = 512;

/// Why there is no such export.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A disk is whole sectors, and at least one.
    #[error("a disk is made of sectors of 512 bytes, and {len} bytes are not")]
    Sectors {
        /// Its length in bytes.
        len: u64,
    },
    /// The format cannot hold so large a disk.
    #[error("a disk of {len} bytes is too large for {format}, which holds at most {max}")]
    TooLarge {
        /// Its length in bytes.
        len: u64,
        /// The format.
        format: &'static str,
        /// The most in bytes.
        max: u64,
    },
    /// A cluster size that the format does not have.
    #[error("qcow2 has clusters of 512 bytes to 2 MiB, in powers of two, not of {bytes}")]
    Cluster {
        /// Bytes of a cluster.
        bytes: u64,
    },
    /// A level that the compression does not have.
    #[error("{compression} has the levels 1 to {max}, not {level}")]
    Level {
        /// The compression.
        compression: &'static str,
        /// The level given.
        level: u32,
        /// The highest level.
        max: u32,
    },
    /// A name that a descriptor cannot hold.
    #[error(
        "a disk cannot be called {name:?}: its name is at most 255 printable characters without quotes and slashes"
    )]
    Name {
        /// The name given.
        name: String,
    },
    /// The disk cannot be read, or the export not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Refuses what is no disk, or one larger than `max` bytes.
fn check_len(len: u64, format: &'static str, max: u64) -> Result<(), Error> {
    if len == 0 || len % SECTOR != 0 {
        return Err(Error::Sectors { len });
    }
    if len > max { Err(Error::TooLarge { len, format, max }) } else { Ok(()) }
}
