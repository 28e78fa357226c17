//! Inodes, where their data lie, and their attributes.

use std::sync::Arc;

use crate::{
    bytes::{Bytes, Piece},
    context::Context,
    error::{Error, Result, invalid},
    node::{Kind, Meta, Node},
    values::{device, le},
};

use super::{Folder, Volume, compressed};

const SLOT: u64 = 32;
const MAX_TARGET: u64 = 4096;
/// The address of a chunk that is a hole.
const HOLE: u64 = 0xffff_ffff;
/// Bytes before the shared and own attributes.
const XATTR_HEADER: usize = 12;

/// An attribute's name and value.
type Pair = (Vec<u8>, Vec<u8>);

/// An inode.
pub(super) struct Inode {
    number: u64,
    /// Where it begins.
    at: u64,
    bytes: Vec<u8>,
    extended: bool,
    layout: u64,
    pub(super) kind: Kind,
    size: u64,
    xattr_len: u64,
}

/// Reads an inode.
pub(super) fn read(volume: &Volume, number: u64) -> Result<Inode> {
    volume.budget.spend(1)?;
    let at = volume.meta.saturating_add(number.saturating_mul(SLOT));
    let format = le(&volume.bytes.array::<2>(at)?, 0, 2);
    let extended = format & 1 == 1;
    let bytes = volume.bytes.vec(at, if extended { 64 } else { 32 })?;
    let mode = le(&bytes, 4, 2) as u32;
    let kind = Kind::from_mode(mode)
        .ok_or_else(|| invalid("erofs", format!("inode {number} of mode {mode:o}")))?;
    let xattr_len = match le(&bytes, 2, 2) {
        0 => 0,
        count => XATTR_HEADER as u64 + 4 * (count - 1),
    };
    let size = if extended { le(&bytes, 8, 8) } else { le(&bytes, 8, 4) };
    Ok(Inode { number, at, bytes, extended, layout: format >> 1 & 7, kind, size, xattr_len })
}

impl Inode {
    fn wrong(&self, reason: &str) -> Error {
        invalid("erofs", format!("inode {}: {reason}", self.number))
    }

    /// What lies behind the inode and its attributes.
    fn behind(&self) -> u64 {
        self.at + self.bytes.len() as u64 + self.xattr_len
    }

    /// Its content.
    pub(super) fn content(&self, volume: &Arc<Volume>, context: &Context) -> Result<Bytes> {
        match self.layout {
            4 => self.chunks(volume, context),
            _ => self.unchunked(volume),
        }
    }

    /// Its content, unless it lies in chunks.
    pub(super) fn unchunked(&self, volume: &Arc<Volume>) -> Result<Bytes> {
        let block = volume.block;
        let start = le(&self.bytes, 16, 4).saturating_mul(block);
        match self.layout {
            0 if self.size == 0 => Ok(Bytes::from_vec(Vec::new())),
            0 => volume.bytes.slice(start, self.size),
            1 | 3 => {
                let (inode, size, behind) = (self.number, self.size, self.behind());
                let full = self.layout == 1;
                compressed::content(volume, &compressed::File { inode, size, behind, full })
            }
            2 => {
                // Whole blocks first; what is left lies behind the inode.
                let whole = self.size.div_ceil(block).saturating_sub(1) * block;
                let rest = self.size - whole;
                let piece = |at, len| -> Result<Piece> {
                    let at = if len == 0 { 0 } else { at };
                    Ok(Piece { len, bytes: Some(volume.bytes.slice(at, len)?) })
                };
                Bytes::from_pieces(vec![piece(start, whole)?, piece(self.behind(), rest)?])
            }
            other => Err(self.wrong(&format!("data of layout {other}"))),
        }
    }

    fn chunks(&self, volume: &Volume, context: &Context) -> Result<Bytes> {
        let format = le(&self.bytes, 16, 2);
        let (bits, indexed) = (format & 0x1f, format & 0x20 != 0);
        let chunk = volume.block.checked_shl(bits as u32).filter(|chunk| *chunk <= 1 << 40);
        let chunk =
            chunk.filter(|_| format < 0x40).ok_or_else(|| self.wrong("chunks are damaged"))?;
        let count = self.size.div_ceil(chunk);
        context.check_entries(usize::try_from(count).unwrap_or(usize::MAX))?;
        volume.budget.spend(count)?;
        let unit = if indexed { 8 } else { 4 };
        let table =
            volume.bytes.vec(self.behind().next_multiple_of(unit), (count * unit) as usize)?;
        let mut pieces = Vec::new();
        let mut rest = self.size;
        for entry in table.chunks_exact(unit as usize) {
            let (number, on) =
                if indexed { (le(entry, 4, 4), le(entry, 2, 2)) } else { (le(entry, 0, 4), 0) };
            if on != 0 {
                return Err(self.wrong("chunks lie on another device"));
            }
            let len = chunk.min(rest);
            rest -= len;
            let bytes = match number {
                HOLE => None,
                number => Some(volume.bytes.slice(number.saturating_mul(volume.block), len)?),
            };
            pieces.push(Piece { len, bytes });
        }
        Bytes::from_pieces(pieces)
    }

    /// What a listing shows of it.
    pub(super) fn node(
        &self,
        volume: &Arc<Volume>,
        context: &Context,
        name: impl Into<Vec<u8>>,
        is_root: bool,
    ) -> Result<Node> {
        let field = |short: (usize, usize), long: (usize, usize)| {
            let (at, size) = if self.extended { long } else { short };
            le(&self.bytes, at, size) as u32
        };
        let links = field((6, 2), (44, 4));
        let mut node = Node::new(name, self.kind);
        node.meta = Meta {
            mode: Some(le(&self.bytes, 4, 2) as u32 & 0o7777),
            owner: Some((field((24, 2), (24, 4)), field((26, 2), (28, 4)))),
            mtime: Some(if self.extended {
                (le(&self.bytes, 32, 8) as i64, le(&self.bytes, 40, 4) as u32)
            } else {
                volume.made
            }),
            links: Some(links).filter(|_| self.kind != Kind::Folder && links > 1),
            xattrs: self.xattrs(volume)?,
            ..Meta::default()
        };
        match self.kind {
            Kind::File => node.bytes = Some(self.content(volume, context)?),
            Kind::Symlink => {
                if self.size > MAX_TARGET {
                    return Err(Error::Limit { what: "bytes of a link", limit: MAX_TARGET });
                }
                let target = self.content(volume, context)?;
                node.meta.target = Some(target.vec(0, self.size as usize)?);
            }
            Kind::CharDevice | Kind::BlockDevice => {
                node.meta.device = Some(device(le(&self.bytes, 16, 4)));
            }
            Kind::Folder if !is_root => {
                let volume = volume.clone();
                node.list = Some(Arc::new(Folder { volume, number: self.number }));
            }
            _ => {}
        }
        Ok(node)
    }

    /// Its attributes, by name.
    fn xattrs(&self, volume: &Volume) -> Result<Vec<Pair>> {
        if self.xattr_len == 0 {
            return Ok(Vec::new());
        }
        let wrong = || self.wrong("its attributes are damaged");
        let area = volume.bytes.vec(self.behind() - self.xattr_len, self.xattr_len as usize)?;
        let shared = area[4] as usize;
        volume.budget.spend(shared as u64)?;
        let mut found = Vec::new();
        let ids = area.get(XATTR_HEADER..XATTR_HEADER + 4 * shared).ok_or_else(wrong)?;
        for id in ids.chunks_exact(4) {
            let at = volume.xattrs.saturating_add(4 * le(id, 0, 4));
            let head = volume.bytes.array::<4>(at)?;
            let len = 4 + usize::from(head[0]) + le(&head, 2, 2) as usize;
            found.push(one(&volume.bytes.vec(at, len)?).ok_or_else(wrong)?.0);
        }
        let mut rest = &area[XATTR_HEADER + 4 * shared..];
        while rest.len() >= 4 {
            let (pair, len) = one(rest).ok_or_else(wrong)?;
            found.push(pair);
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        found.sort();
        Ok(found)
    }
}

/// An attribute's name and value, and how many bytes they take.
fn one(bytes: &[u8]) -> Option<(Pair, usize)> {
    let (name_len, value_len) = (usize::from(*bytes.first()?), le(bytes, 2, 2) as usize);
    let prefix: &[u8] = match bytes.get(1)? {
        0 => b"",
        1 => b"user.",
        2 => b"system.posix_acl_access",
        3 => b"system.posix_acl_default",
        4 => b"trusted.",
        6 => b"security.",
        _ => b"(unknown prefix).",
    };
    let end = 4 + name_len + value_len;
    let name = bytes.get(4..4 + name_len)?;
    let value = bytes.get(4 + name_len..end)?;
    Some((([prefix, name].concat(), value.to_vec()), end))
}
