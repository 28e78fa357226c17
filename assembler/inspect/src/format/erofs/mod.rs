//! EROFS: plain, inline, chunked and compressed data, shared attributes.
//!
//! Follows `fs/erofs/erofs_fs.h` of Linux. What is compressed with lz4, deflate or Zstandard is
//! read, with ends of files inline or packed, and with clusters that several files share.

mod codec;
mod compressed;
mod index;
mod inode;

use std::sync::Arc;

use crate::{
    bytes::Bytes,
    context::{Budget, Context},
    error::{Error, Result, invalid},
    node::{Container, Kind, List, Node, Parents},
    values::{crc32c, le, text, uuid},
};

const AT: u64 = 1024;
const SUPERBLOCK: usize = 128;
const MAGIC: u64 = 0xe0f5_e1e2;
/// Bytes of a folder's entry before its name.
const ENTRY: usize = 12;

/// Incompatible features: compressed bytes at the end of their cluster; several algorithms, or
/// clusters of several blocks; ends of files inline; packed ends of files, or shared clusters.
const AT_END: u64 = 1;
const CONFIG: u64 = 2;
const TAILS: u64 = 0x10;
const PACKED: u64 = 0x20;

/// A volume.
struct Volume {
    bytes: Bytes,
    block: u64,
    meta: u64,
    xattrs: u64,
    made: (i64, u32),
    /// The inode that ends of files are packed in.
    packed: Option<u64>,
    /// Whether compressed bytes lie at the end of their cluster.
    at_end: bool,
    /// Whether compressed files with a full index have a header before it.
    has_headers: bool,
    /// Whether files may use a part of what a cluster holds.
    has_parts: bool,
    cache: compressed::Cache,
    parents: Parents,
    budget: Budget,
}

/// Whether there is a superblock.
pub(super) fn is(head: &[u8]) -> bool {
    le(head, AT as usize, 4) == MAGIC
}

/// Opens a volume.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let head = bytes.array::<SUPERBLOCK>(AT)?;
    let bits = head[12];
    if !(9..=16).contains(&bits) {
        return Err(invalid("erofs", format!("blocks of 2^{bits} bytes")));
    }
    let incompatible = le(&head, 80, 4);
    if incompatible & !0x7f != 0 {
        return Err(invalid("erofs", format!("unknown features {incompatible:#x}")));
    }
    if incompatible & 8 != 0 && le(&head, 86, 2) != 0 {
        return Err(invalid("erofs", "parts of it lie on other devices"));
    }
    let block = 1u64 << bits;
    let mut container = Container::new("erofs");
    container.field("label", text(&head[64..80]));
    container.field("uuid", uuid(&head[48..64]));
    container.field("block size", block);
    container.field("blocks", le(&head, 36, 4));
    container.field("inodes", le(&head, 16, 8));
    container.field("made", le(&head, 24, 8));
    container.field("features", format!("{:#x} {incompatible:#x}", le(&head, 8, 4)));
    if incompatible & CONFIG != 0 {
        container.field("compression", codec::names(le(&head, 84, 2)));
    }
    if le(&head, 8, 4) & 1 != 0 {
        let mut covered =
            bytes.vec(AT, block.saturating_sub(AT).max(SUPERBLOCK as u64) as usize)?;
        covered[4..8].fill(0);
        let right = u64::from(crc32c(!0, &covered)) == le(&head, 4, 4);
        container.field("superblock checksum", if right { "right" } else { "wrong" });
    }
    let volume = Arc::new(Volume {
        bytes: bytes.clone(),
        block,
        meta: le(&head, 40, 4) * block,
        xattrs: le(&head, 44, 4) * block,
        made: (le(&head, 24, 8) as i64, le(&head, 32, 4) as u32),
        packed: (incompatible & PACKED != 0).then(|| le(&head, 96, 8)),
        at_end: incompatible & AT_END != 0,
        has_headers: incompatible & (CONFIG | TAILS | PACKED) != 0,
        has_parts: incompatible & PACKED != 0,
        cache: compressed::Cache::default(),
        parents: Parents::default(),
        budget: Budget::new((64 << 10) + 4 * bytes.len()),
    });
    let root = le(&head, 14, 2);
    volume.parents.claim("erofs", root, u64::MAX, 0)?;
    for (name, value) in inode::read(&volume, root)?.node(&volume, context, "", true)?.fields() {
        container.field(format!("root {name}"), value);
    }
    container.nodes = list(&volume, context, root)?;
    Ok(container)
}

/// A folder, by its inode's number.
struct Folder {
    volume: Arc<Volume>,
    number: u64,
}

impl List for Folder {
    fn list(&self, context: &Context) -> Result<Vec<Node>> {
        list(&self.volume, context, self.number)
    }
}

fn list(volume: &Arc<Volume>, context: &Context, folder: u64) -> Result<Vec<Node>> {
    let content = inode::read(volume, folder)?.content(volume, context)?;
    let wrong = || invalid("erofs", format!("folder {folder}: an entry is damaged"));
    let mut nodes = Vec::new();
    let mut at = 0;
    while at < content.len() {
        volume.budget.spend(1)?;
        let block = content.vec(at, volume.block.min(content.len() - at) as usize)?;
        // The first name begins behind the last entry.
        let first = le(&block, 8, 2) as usize;
        if first < ENTRY || first % ENTRY != 0 || first > block.len() {
            return Err(wrong());
        }
        let entries: Vec<&[u8]> = block[..first].chunks_exact(ENTRY).collect();
        for (index, entry) in entries.iter().enumerate() {
            let end = entries.get(index + 1).map_or(block.len(), |next| le(next, 8, 2) as usize);
            let name = block.get(le(entry, 8, 2) as usize..end).ok_or_else(wrong)?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
            if matches!(name, b"." | b"..") {
                continue;
            }
            if name.is_empty() || name.contains(&b'/') {
                return Err(wrong());
            }
            let (number, place) = (le(entry, 0, 8), at + (index * ENTRY) as u64);
            nodes.push(match node(volume, context, (folder, number), name, place) {
                Ok(node) => node,
                Err(error @ (Error::Limit { .. } | Error::Io(_))) => return Err(error),
                Err(error) => Node::broken(name, Kind::File, &error),
            });
            context.check_entries(nodes.len())?;
        }
        at += volume.block;
    }
    Ok(nodes)
}

fn node(
    volume: &Arc<Volume>,
    context: &Context,
    (folder, number): (u64, u64),
    name: &[u8],
    place: u64,
) -> Result<Node> {
    let inode = inode::read(volume, number)?;
    if inode.kind == Kind::Folder {
        volume.parents.claim("erofs", number, folder, place)?;
    }
    inode.node(volume, context, name, false)
}
