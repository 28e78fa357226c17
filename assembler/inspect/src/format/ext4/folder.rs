//! Folders, linear and indexed.

use std::sync::Arc;

use crate::{
    context::Context,
    error::{Error, Result, invalid},
    node::{Kind, List, Node},
    values::{crc32c, le},
};

use super::{
    Volume,
    inode::{self, Inode},
};

const FLAG_INDEX: u64 = 0x1000;
/// Bytes of what ends a block of entries where there are checksums.
const TAIL: usize = 12;
/// Bytes of what ends a block of an index.
const INDEX_TAIL: usize = 8;

/// A folder, by its inode.
pub(super) struct Folder {
    pub(super) volume: Arc<Volume>,
    pub(super) inode: u32,
}

impl List for Folder {
    fn list(&self, context: &Context) -> Result<Vec<Node>> {
        list(&self.volume, context, &inode::read(&self.volume, self.inode)?)
    }
}

/// The entries of a folder, by name: their order is that of a hash.
pub(super) fn list(volume: &Arc<Volume>, context: &Context, folder: &Inode) -> Result<Vec<Node>> {
    let content = folder.content(volume, context)?;
    let mut nodes = Vec::new();
    let mut add =
        |bytes: &[u8], begin: u64| entries(volume, context, folder, bytes, begin, &mut nodes);
    if folder.is_inline() {
        // The parent's inode comes first, and what does not fit goes on elsewhere.
        let bytes = content.head(volume.block as usize)?;
        let (first, rest) = bytes.split_at(60.min(bytes.len()));
        add(first.get(4..).unwrap_or(&[]), 4)?;
        add(rest, 60)?;
    } else {
        let mut at = 0;
        while at < content.len() {
            if content.hole_at(at) != 0 {
                let reason = format!("folder {} has a hole at {at}", folder.number);
                return Err(invalid("ext4", reason));
            }
            volume.budget.spend(1)?;
            let block = content.vec(at, volume.block.min(content.len() - at) as usize)?;
            check(folder, &block, at)?;
            add(&block, at)?;
            at += volume.block;
        }
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}

fn entries(
    volume: &Arc<Volume>,
    context: &Context,
    folder: &Inode,
    bytes: &[u8],
    begin: u64,
    nodes: &mut Vec<Node>,
) -> Result<()> {
    let mut at = 0;
    while at + 8 <= bytes.len() {
        let number = le(bytes, at, 4) as u32;
        // Blocks of 64 KiB have one number more than 16 bits do.
        let len = match le(bytes, at + 4, 2) {
            0 | 0xffff if bytes.len() >= 1 << 16 => 1 << 16,
            len => len as usize,
        };
        let name_len = le(bytes, at + 6, 1) as usize;
        let Some(entry) = bytes.get(at..at + len).filter(|_| len >= 8 && len >= 8 + name_len)
        else {
            let reason = format!("folder {}: an entry is damaged", folder.number);
            return Err(invalid("ext4", reason));
        };
        let name = &entry[8..8 + name_len];
        let place = begin + at as u64;
        at += len;
        if number == 0 || matches!(name, b"." | b"..") {
            continue;
        }
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            let reason = format!("folder {}: an entry has an impossible name", folder.number);
            return Err(invalid("ext4", reason));
        }
        nodes.push(match node(volume, context, folder, (number, name, place)) {
            Ok(node) => node,
            Err(error @ (Error::Limit { .. } | Error::Io(_))) => return Err(error),
            Err(error) => Node::broken(name, Kind::File, &error),
        });
        context.check_entries(nodes.len())?;
    }
    Ok(())
}

fn node(
    volume: &Arc<Volume>,
    context: &Context,
    folder: &Inode,
    (number, name, place): (u32, &[u8], u64),
) -> Result<Node> {
    let inode = inode::read(volume, number)?;
    if inode.kind == Kind::Folder {
        volume.parents.claim("ext4", number.into(), folder.number.into(), place)?;
    }
    inode.node(volume, context, name, place)
}

/// Compares the checksum of a folder's block: of entries, or of an index.
fn check(folder: &Inode, block: &[u8], at: u64) -> Result<()> {
    let Some(seed) = folder.seed else { return Ok(()) };
    let tail = block.len().saturating_sub(TAIL);
    let has_tail = le(block, tail, 4) == 0
        && le(block, tail + 4, 2) == TAIL as u64
        && le(block, tail + 6, 2) == 0xde00;
    let right = if has_tail {
        u64::from(crc32c(seed, &block[..tail])) == le(block, tail + 8, 4)
    } else {
        // The counts lie behind two entries in the first block, behind one in the others.
        let counts = if at == 0 { 32 } else { 8 };
        let (most, count) = (le(block, counts, 2) as usize, le(block, counts + 2, 2) as usize);
        let covered = block.get(..counts + 8 * count);
        let tail = block.get(counts + 8 * most..).filter(|tail| tail.len() >= INDEX_TAIL);
        match (covered, tail) {
            (Some(covered), Some(tail)) if folder.flags & FLAG_INDEX != 0 => {
                let sum = crc32c(crc32c(crc32c(seed, covered), &tail[..4]), &[0; 4]);
                u64::from(sum) == le(tail, 4, 4)
            }
            _ => false,
        }
    };
    if right {
        return Ok(());
    }
    let reason = format!("folder {}: the checksum of its block at {at} is wrong", folder.number);
    Err(invalid("ext4", reason))
}
