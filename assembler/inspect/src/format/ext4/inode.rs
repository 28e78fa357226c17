//! Inodes.

use std::sync::Arc;

use crate::{
    bytes::{Bytes, Piece},
    context::Context,
    error::{Error, Result, invalid},
    node::{Kind, Meta, Node},
    values::{crc32c, device, le},
};

use super::{Volume, extents, folder::Folder, xattr};

const FLAG_EXTENTS: u64 = 0x8_0000;
const FLAG_INLINE: u64 = 0x1000_0000;
/// Where an inode says where its content is.
const PAYLOAD: std::ops::Range<usize> = 0x28..0x64;
/// A target this short lies in the inode.
const FAST_LINK: u64 = 60;
const MAX_TARGET: u64 = 4096;

/// An inode's bytes, and what most readers need of it.
pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) flags: u64,
    /// With what checksums begin that belong to this inode.
    pub(super) seed: Option<u32>,
}

/// Reads an inode and compares its checksum.
pub(super) fn read(volume: &Volume, number: u32) -> Result<Inode> {
    if number == 0 || number > volume.inodes {
        return Err(invalid("ext4", format!("inode {number} does not exist")));
    }
    volume.budget.spend(1)?;
    let (group, index) = ((number - 1) / volume.per_group, (number - 1) % volume.per_group);
    let descriptor = volume.descriptor(group)?;
    let high = if descriptor.len() >= 64 { le(&descriptor, 0x28, 4) << 32 } else { 0 };
    let table = (le(&descriptor, 8, 4) | high).saturating_mul(volume.block);
    let at = table.saturating_add(u64::from(index) * volume.inode_size);
    let bytes = volume.bytes.vec(at, volume.inode_size as usize)?;
    let seed = volume.seed.map(|seed| {
        crc32c(crc32c(seed, &number.to_le_bytes()), &(le(&bytes, 0x64, 4) as u32).to_le_bytes())
    });
    let mode = le(&bytes, 0, 2) as u32;
    let kind = Kind::from_mode(mode)
        .ok_or_else(|| invalid("ext4", format!("inode {number} of mode {mode:o}")))?;
    let (size, flags) = (le(&bytes, 4, 4) | le(&bytes, 0x6c, 4) << 32, le(&bytes, 0x20, 4));
    let inode = Inode { number, bytes, kind, size, flags, seed };
    inode.check()?;
    Ok(inode)
}

impl Inode {
    fn check(&self) -> Result<()> {
        let Some(seed) = self.seed else { return Ok(()) };
        let mut bytes = self.bytes.clone();
        let wide = self.extra() >= 4;
        let found = le(&bytes, 0x7c, 2) | if wide { le(&bytes, 0x82, 2) << 16 } else { 0 };
        bytes[0x7c..0x7e].fill(0);
        if wide {
            bytes[0x82..0x84].fill(0);
        }
        let sum = u64::from(crc32c(seed, &bytes));
        if sum & (if wide { 0xffff_ffff } else { 0xffff }) != found {
            return Err(invalid("ext4", format!("inode {}: its checksum is wrong", self.number)));
        }
        Ok(())
    }

    /// How many bytes there are of fields that came after the first 128 bytes.
    pub(super) fn extra(&self) -> usize {
        let room = self.bytes.len().saturating_sub(128);
        (le(&self.bytes, 0x80, 2) as usize).min(room)
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[PAYLOAD]
    }

    pub(super) fn is_inline(&self) -> bool {
        self.flags & FLAG_INLINE != 0
    }

    /// Where its content is.
    pub(super) fn content(&self, volume: &Volume, context: &Context) -> Result<Bytes> {
        if self.is_inline() {
            let mut bytes = self.payload().to_vec();
            bytes.extend(xattr::inline_rest(volume, self)?);
            // What is behind them is a hole, as mke2fs makes of a file that is one.
            let len = self.size.min(bytes.len() as u64);
            let hole = Piece { len: self.size - len, bytes: None };
            let own = Piece { len, bytes: Some(Bytes::from_vec(bytes)) };
            return Bytes::from_pieces(vec![own, hole]);
        }
        if self.flags & FLAG_EXTENTS == 0 {
            if self.size == 0 {
                return Ok(Bytes::from_vec(Vec::new()));
            }
            return Err(invalid("ext4", "a block map, as ext2 and ext3 have them, is not read"));
        }
        extents::content(volume, context, self)
    }

    fn target(&self, volume: &Volume, context: &Context) -> Result<Vec<u8>> {
        if self.size > MAX_TARGET {
            return Err(Error::Limit { what: "bytes of a link", limit: MAX_TARGET });
        }
        if self.size < FAST_LINK && !self.is_inline() {
            return Ok(self.payload()[..self.size as usize].to_vec());
        }
        self.content(volume, context)?.vec(0, self.size as usize)
    }

    /// What a listing shows of it; `place` tells its entry from others of a folder.
    pub(super) fn node(
        &self,
        volume: &Arc<Volume>,
        context: &Context,
        name: impl Into<Vec<u8>>,
        place: u64,
    ) -> Result<Node> {
        let field = |at, size| le(&self.bytes, at, size) as u32;
        let mut node = Node::new(name, self.kind);
        let links = field(0x1a, 2);
        node.meta = Meta {
            mode: Some(field(0, 2) & 0o7777),
            owner: Some((
                field(2, 2) | field(0x78, 2) << 16,
                field(0x18, 2) | field(0x7a, 2) << 16,
            )),
            mtime: Some(self.time(0x10, 0x88)),
            links: Some(links).filter(|_| self.kind != Kind::Folder && links > 1),
            xattrs: xattr::read(volume, self)?,
            ..Meta::default()
        };
        match self.kind {
            Kind::File => node.bytes = Some(self.content(volume, context)?),
            Kind::Symlink => node.meta.target = Some(self.target(volume, context)?),
            Kind::CharDevice | Kind::BlockDevice => {
                let (old, new) = (le(self.payload(), 0, 4), le(self.payload(), 4, 4));
                let numbers = if old != 0 {
                    ((old >> 8 & 0xff) as u32, (old & 0xff) as u32)
                } else {
                    device(new)
                };
                node.meta.device = Some(numbers);
            }
            Kind::Folder if place != u64::MAX => {
                node.list = Some(Arc::new(Folder { volume: volume.clone(), inode: self.number }));
            }
            _ => {}
        }
        Ok(node)
    }

    /// Seconds and nanoseconds of a time, with the two bits that came later.
    fn time(&self, at: usize, extra: usize) -> (i64, u32) {
        let seconds = i64::from(le(&self.bytes, at, 4) as u32 as i32);
        if self.extra() + 128 < extra + 4 {
            return (seconds, 0);
        }
        let more = le(&self.bytes, extra, 4);
        (seconds + ((more as i64 & 3) << 32), (more >> 2) as u32)
    }
}
