//! Reads boot images of every format, nested in one another, and names what differs between two.
//!
//! A [`Node`] is anything with a name: a file, a partition, a section. [`Node::open`] looks into
//! it, one level at a time, whether it is a folder or a file in a known format, so that a path
//! such as `esp/EFI/BOOT/BOOTX64.EFI/.initrd/init` leads from a disk into its initramfs. What a
//! file says of itself is never believed: every length is checked against the bytes there are,
//! and every count against the [`Limits`].

mod blocks;
mod bytes;
mod compare;
mod context;
mod diff;
mod error;
mod format;
mod node;
mod path;
mod render;
mod values;

pub use bytes::{Bytes, ReadAt, Reader};
pub use context::{Context, Limits};
pub use diff::{DiffOptions, DiffSummary, Difference, diff, differences};
pub use error::{Error, Result};
pub use format::folder;
pub use node::{Container, Field, Kind, Node};
pub use path::find;
pub use render::{Options, Summary, json, tree};
