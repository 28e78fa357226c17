//! Inodes.

use std::sync::Arc;

use crate::{
    context::Context,
    error::{Error, Result, invalid},
    node::{Kind, Meta, Node},
    values::{device, le},
};

use super::{Volume, data, folder::Folder, meta::Cursor, xattr};

const MAX_TARGET: u64 = 4096;
/// No attributes, and no fragment.
pub(super) const NO: u64 = 0xffff_ffff;

/// An inode: what all have, and what its kind has.
pub(super) struct Inode {
    pub(super) kind: Kind,
    mode: u32,
    owner: (u32, u32),
    mtime: u32,
    links: u32,
    xattrs: u64,
    pub(super) detail: Detail,
}

/// What an inode's kind has.
pub(super) enum Detail {
    Folder { block: u64, offset: u64, size: u64 },
    File(data::File),
    Target(Vec<u8>),
    Device(u64),
    Nothing,
}

impl Inode {
    /// Reads the inode at a place.
    pub(super) fn read(volume: &Volume, place: u64) -> Result<Self> {
        let mut cursor = volume.cursor_at(volume.inodes, place);
        let head = cursor.take(16)?;
        let id = |index: u64| -> Result<u32> {
            if index >= volume.id_count {
                return Err(invalid("squashfs", format!("owner {index} does not exist")));
            }
            Ok(le(&volume.entry(volume.ids, index, 4)?, 0, 4) as u32)
        };
        let number = le(&head, 0, 2);
        let (kind, long) = match number {
            1..=7 => (number, false),
            8..=14 => (number - 7, true),
            other => return Err(invalid("squashfs", format!("an inode of type {other}"))),
        };
        let mut inode = Self {
            kind: Kind::File,
            mode: le(&head, 2, 2) as u32 & 0o7777,
            owner: (id(le(&head, 4, 2))?, id(le(&head, 6, 2))?),
            mtime: le(&head, 8, 4) as u32,
            links: 1,
            xattrs: NO,
            detail: Detail::Nothing,
        };
        inode.rest(volume, &mut cursor, kind, long)?;
        Ok(inode)
    }

    fn rest(
        &mut self,
        volume: &Volume,
        cursor: &mut Cursor<'_>,
        kind: u64,
        long: bool,
    ) -> Result<()> {
        let mut links = |bytes: &[u8], at| self.links = le(bytes, at, 4) as u32;
        match (kind, long) {
            (1, false) => {
                let rest = cursor.take(16)?;
                self.kind = Kind::Folder;
                let (block, offset) = (le(&rest, 0, 4), le(&rest, 10, 2));
                self.detail = Detail::Folder { block, offset, size: le(&rest, 8, 2) };
            }
            (1, true) => {
                let rest = cursor.take(24)?;
                self.kind = Kind::Folder;
                self.xattrs = le(&rest, 20, 4);
                let (block, offset) = (le(&rest, 8, 4), le(&rest, 18, 2));
                self.detail = Detail::Folder { block, offset, size: le(&rest, 4, 4) };
            }
            (2, false) => {
                let rest = cursor.take(16)?;
                let (start, size) = (le(&rest, 0, 4), le(&rest, 12, 4));
                let fragment = (le(&rest, 4, 4), le(&rest, 8, 4));
                self.detail =
                    Detail::File(data::File::read(volume, cursor, start, size, fragment)?);
            }
            (2, true) => {
                let rest = cursor.take(40)?;
                links(&rest, 24);
                self.xattrs = le(&rest, 36, 4);
                let (start, size) = (le(&rest, 0, 8), le(&rest, 8, 8));
                let fragment = (le(&rest, 28, 4), le(&rest, 32, 4));
                self.detail =
                    Detail::File(data::File::read(volume, cursor, start, size, fragment)?);
            }
            (3, _) => {
                let rest = cursor.take(8)?;
                links(&rest, 0);
                let size = le(&rest, 4, 4);
                if size > MAX_TARGET {
                    return Err(Error::Limit { what: "bytes of a link", limit: MAX_TARGET });
                }
                self.kind = Kind::Symlink;
                self.detail = Detail::Target(cursor.take(size as usize)?);
                if long {
                    self.xattrs = le(&cursor.take(4)?, 0, 4);
                }
            }
            (4 | 5, _) => {
                let rest = cursor.take(8)?;
                links(&rest, 0);
                self.kind = if kind == 4 { Kind::BlockDevice } else { Kind::CharDevice };
                self.detail = Detail::Device(le(&rest, 4, 4));
                if long {
                    self.xattrs = le(&cursor.take(4)?, 0, 4);
                }
            }
            _ => {
                links(&cursor.take(4)?, 0);
                self.kind = if kind == 6 { Kind::Fifo } else { Kind::Socket };
                if long {
                    self.xattrs = le(&cursor.take(4)?, 0, 4);
                }
            }
        }
        Ok(())
    }

    /// What a listing shows of it; `place` is where it was read.
    pub(super) fn node(
        self,
        volume: &Arc<Volume>,
        context: &Context,
        name: impl Into<Vec<u8>>,
        place: u64,
    ) -> Result<Node> {
        let mut node = Node::new(name, self.kind);
        node.meta = Meta {
            mode: Some(self.mode),
            owner: Some(self.owner),
            mtime: Some((self.mtime.into(), 0)),
            links: Some(self.links).filter(|links| self.kind != Kind::Folder && *links > 1),
            xattrs: xattr::read(volume, context, self.xattrs)?,
            ..Meta::default()
        };
        match self.detail {
            Detail::Folder { .. } => {
                node.list = Some(Arc::new(Folder { volume: volume.clone(), place }));
            }
            Detail::File(file) => node.bytes = Some(file.bytes(volume)?),
            Detail::Target(target) => node.meta.target = Some(target),
            Detail::Device(packed) => node.meta.device = Some(device(packed)),
            Detail::Nothing => {}
        }
        Ok(node)
    }
}
