//! The superblock of dm-verity, as veritysetup writes it (format 1).

use crate::{
    bytes::Bytes,
    error::{Result, invalid},
    node::{Container, Kind, Node},
    values::{hex, le, text, uuid},
};

const SUPERBLOCK: u64 = 512;

/// Opens a hash tree.
pub(super) fn open(bytes: &Bytes) -> Result<Container> {
    let block = bytes.array::<{ SUPERBLOCK as usize }>(0)?;
    let salt_len = le(&block, 80, 2) as usize;
    let salt = block.get(88..88 + salt_len.min(256)).unwrap_or(&[]);
    if salt_len > 256 {
        return Err(invalid("verity", format!("a salt of {salt_len} bytes")));
    }
    let mut container = Container::new("verity");
    container.field("version", le(&block, 8, 4));
    container.field("hash type", le(&block, 12, 4));
    container.field("uuid", uuid(&block[16..32]));
    container.field("algorithm", text(&block[32..64]));
    container.field("data block size", le(&block, 64, 4));
    container.field("hash block size", le(&block, 68, 4));
    container.field("data blocks", le(&block, 72, 8));
    container.field("salt", hex(salt));
    let tree = bytes.tail(le(&block, 68, 4).clamp(SUPERBLOCK, bytes.len().max(SUPERBLOCK)))?;
    container.nodes.push(Node::with_bytes("hashes", Kind::Part, tree));
    Ok(container)
}
