//! SquashFS 4.0 with gzip, xz, lz4 or zstd: fragments, attributes, sparse blocks.
//!
//! Follows `fs/squashfs/squashfs_fs.h` of Linux.

mod codec;
mod data;
mod folder;
mod inode;
mod meta;
mod xattr;

use std::sync::Arc;

use crate::{
    blocks::Owner,
    bytes::Bytes,
    context::{Budget, Context},
    error::{Result, invalid},
    node::{Container, Node, Parents},
    values::le,
};

use self::{codec::Codec, inode::Inode, meta::Cache};

const SUPERBLOCK: usize = 96;
/// A table that is not there.
const NONE: u64 = u64::MAX;

/// A volume.
struct Volume {
    bytes: Bytes,
    codec: Codec,
    block: u64,
    /// Where tables begin.
    inodes: u64,
    folders: u64,
    ids: u64,
    id_count: u64,
    fragments: u64,
    fragment_count: u64,
    xattrs: u64,
    cache: Cache,
    /// The blocks in which files have their ends.
    ends: Owner,
    parents: Parents,
    budget: Budget,
}

/// Whether bytes begin with a superblock.
pub(super) fn is(head: &[u8]) -> bool {
    head.starts_with(b"hsqs")
}

/// Opens a volume.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let head = bytes.array::<SUPERBLOCK>(0)?;
    let (block, log) = (le(&head, 12, 4), le(&head, 22, 2));
    let version = (le(&head, 28, 2), le(&head, 30, 2));
    if version != (4, 0) {
        return Err(invalid("squashfs", format!("version {}.{}", version.0, version.1)));
    }
    if !(12..=20).contains(&log) || block != 1 << log {
        return Err(invalid("squashfs", format!("blocks of {block} bytes")));
    }
    let codec = Codec::of(le(&head, 20, 2))?;
    let used = le(&head, 40, 8);
    let bytes = bytes.slice(0, used)?;
    let (inodes, folders) = (le(&head, 64, 8), le(&head, 72, 8));
    // How many visits to blocks of metadata are plausible, by how much metadata there is.
    let budget = (64 << 10) + 16 * used.saturating_sub(inodes);
    let mut container = Container::new("squashfs");
    container.field("compression", codec.as_str());
    container.field("block size", block);
    container.field("inodes", le(&head, 4, 4));
    container.field("made", le(&head, 8, 4));
    container.field("fragments", le(&head, 16, 4));
    container.field("flags", format!("{:#06x}", le(&head, 24, 2)));
    container.field("owners", le(&head, 26, 2));
    container.field("export table", if le(&head, 88, 8) == NONE { "no" } else { "yes" });
    container.field("bytes used", used);
    let volume = Arc::new(Volume {
        bytes,
        codec,
        block,
        inodes,
        folders,
        ids: le(&head, 48, 8),
        id_count: le(&head, 26, 2),
        fragments: le(&head, 80, 8),
        fragment_count: le(&head, 16, 4),
        xattrs: le(&head, 56, 8),
        cache: Cache::default(),
        ends: Owner::new(),
        parents: Parents::default(),
        budget: Budget::new(budget),
    });
    let place = le(&head, 32, 8);
    let root = Inode::read(&volume, place)?;
    volume.parents.claim("squashfs", place, u64::MAX, 0)?;
    container.nodes = folder::list(&volume, context, place, &root)?;
    let root: Node = root.node(&volume, context, "", place)?;
    for (name, value) in root.fields() {
        container.field(format!("root {name}"), value);
    }
    Ok(container)
}
