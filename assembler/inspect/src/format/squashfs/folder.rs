//! Folders.

use std::sync::Arc;

use crate::{
    context::Context,
    error::{Error, Result, invalid},
    node::{Kind, List, Node},
    values::le,
};

use super::{
    Volume,
    inode::{Detail, Inode},
};

/// The entries `.` and `..` are not stored, and count as so many bytes.
const DOTS: u64 = 3;
/// The most entries that share a header.
const RUN: u64 = 256;

/// A folder, by the place of its inode.
pub(super) struct Folder {
    pub(super) volume: Arc<Volume>,
    pub(super) place: u64,
}

impl List for Folder {
    fn list(&self, context: &Context) -> Result<Vec<Node>> {
        list(&self.volume, context, self.place, &Inode::read(&self.volume, self.place)?)
    }
}

pub(super) fn list(
    volume: &Arc<Volume>,
    context: &Context,
    own: u64,
    folder: &Inode,
) -> Result<Vec<Node>> {
    let Detail::Folder { block, offset, size } = folder.detail else {
        return Err(invalid("squashfs", "the root is no folder"));
    };
    let mut cursor = volume.cursor(volume.folders.saturating_add(block), offset);
    let mut rest = size.saturating_sub(DOTS);
    let mut nodes: Vec<Node> = Vec::new();
    let wrong = || invalid("squashfs", "a folder is damaged");
    while rest > 0 {
        let header = cursor.take(12)?;
        let (count, block) = (le(&header, 0, 4) + 1, le(&header, 4, 4));
        if count > RUN {
            return Err(wrong());
        }
        rest = rest.checked_sub(12).ok_or_else(wrong)?;
        for _ in 0..count {
            let entry = cursor.take(8)?;
            let len = le(&entry, 6, 2) + 1;
            if len > 256 {
                return Err(wrong());
            }
            let name = cursor.take(len as usize)?;
            rest = rest.checked_sub(8 + len).ok_or_else(wrong)?;
            if name.contains(&b'/') || name.contains(&0) || matches!(&name[..], b"." | b"..") {
                return Err(wrong());
            }
            let place = block << 16 | le(&entry, 0, 2);
            nodes.push(match node(volume, context, (own, rest), &name, place) {
                Ok(node) => node,
                Err(error @ (Error::Limit { .. } | Error::Io(_))) => return Err(error),
                Err(error) => Node::broken(name, Kind::File, &error),
            });
            context.check_entries(nodes.len())?;
        }
    }
    Ok(nodes)
}

fn node(
    volume: &Arc<Volume>,
    context: &Context,
    (own, position): (u64, u64),
    name: &[u8],
    place: u64,
) -> Result<Node> {
    let inode = Inode::read(volume, place)?;
    if inode.kind == Kind::Folder {
        volume.parents.claim("squashfs", place, own, position)?;
    }
    inode.node(volume, context, name, place)
}
