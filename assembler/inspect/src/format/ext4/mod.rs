//! ext4: extents, linear and indexed folders, extended attributes, inline data, checksums.
//!
//! Follows the kernel's `Documentation/filesystems/ext4/`. An indexed folder (htree) is read like a
//! linear one: its index blocks look like blocks without entries. Block maps of ext2 and ext3 are
//! refused where a file has one.

mod extents;
mod folder;
mod inode;
mod xattr;

use std::sync::Arc;

use crate::{
    bytes::Bytes,
    context::{Budget, Context},
    error::{Result, invalid},
    node::{Container, Parents},
    values::{crc32c, le, text, uuid},
};

const SUPERBLOCK: usize = 1024;
const AT: u64 = 1024;
const ROOT: u32 = 2;

const METADATA_CSUM: u64 = 0x400;
const CSUM_SEED: u64 = 0x2000;
/// What must be known to read a volume, and is not: the bit and what it means.
const UNKNOWN: [(u64, &str); 5] = [
    (0x1, "compression"),
    (0x8, "a journal's device"),
    (0x10, "meta block groups"),
    (0x1000, "data in folders"),
    (0x1_0000, "encryption"),
];
/// All that is known, and needs no care here or is taken care of.
const KNOWN: u64 =
    0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | CSUM_SEED | 0x4000 | 0x8000 | 0x2_0000;

/// A volume.
struct Volume {
    bytes: Bytes,
    block: u64,
    inodes: u32,
    per_group: u32,
    inode_size: u64,
    descriptors: u64,
    descriptor_size: u64,
    /// With what checksums begin, where there are any.
    seed: Option<u32>,
    parents: Parents,
    budget: Budget,
}

/// Whether the superblock is one of ext4's.
pub(super) fn is(head: &[u8]) -> bool {
    let Some(block) = head.get(AT as usize..) else { return false };
    le(block, 0x38, 2) == 0xef53
        && le(block, 0x18, 4) <= 6
        && le(block, 0x14, 4) <= 1
        && le(block, 0x28, 4) != 0
        && le(block, 0x4c, 4) <= 1
}

/// Opens a volume.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let head = bytes.array::<SUPERBLOCK>(AT)?;
    let (compatible, incompatible) = (le(&head, 0x5c, 4), le(&head, 0x60, 4));
    let to_write = le(&head, 0x64, 4);
    let refused = UNKNOWN.iter().find(|(bit, _)| incompatible & bit != 0);
    if let Some((_, what)) = refused {
        return Err(invalid("ext4", format!("{what} cannot be read")));
    }
    if incompatible & !KNOWN != 0 {
        return Err(invalid("ext4", format!("unknown features {:#x}", incompatible & !KNOWN)));
    }
    let wide = incompatible & 0x80 != 0;
    let block = 1024 << le(&head, 0x18, 4);
    let blocks = le(&head, 4, 4) | if wide { le(&head, 0x150, 4) << 32 } else { 0 };
    let checksums = to_write & METADATA_CSUM != 0;
    let seed = match incompatible & CSUM_SEED {
        0 => crc32c(!0, &head[0x68..0x78]),
        _ => le(&head, 0x270, 4) as u32,
    };
    let mut container = Container::new("ext4");
    container.field("label", text(&head[0x78..0x88]));
    container.field("uuid", uuid(&head[0x68..0x78]));
    container.field("hash seed", uuid(&head[0xec..0xfc]));
    container.field("block size", block);
    container.field("blocks", blocks);
    container.field("free blocks", le(&head, 0xc, 4) | le(&head, 0x158, 4) << 32);
    container.field("inodes", le(&head, 0, 4));
    container.field("free inodes", le(&head, 0x10, 4));
    container.field("features", format!("{compatible:#x} {incompatible:#x} {to_write:#x}"));
    container.field("state", le(&head, 0x3a, 2));
    container.field("made", le(&head, 0x108, 4) | le(&head, 0x276, 1) << 32);
    container.field("written", le(&head, 0x30, 4) | le(&head, 0x274, 1) << 32);
    if incompatible & 4 != 0 {
        container.field("journal", "not replayed: what it holds is not shown");
    }
    if blocks.saturating_mul(block) > bytes.len() {
        let end = blocks.saturating_mul(block);
        return Err(crate::Error::Truncated { offset: 0, end, len: bytes.len() });
    }
    let revision = le(&head, 0x4c, 4);
    let volume = Volume {
        bytes: bytes.slice(0, blocks * block)?,
        block,
        inodes: le(&head, 0, 4) as u32,
        per_group: le(&head, 0x28, 4) as u32,
        inode_size: if revision == 0 { 128 } else { le(&head, 0x58, 2) },
        descriptors: (le(&head, 0x14, 4) + 1) * block,
        descriptor_size: if wide { le(&head, 0xfe, 2) } else { 32 },
        seed: checksums.then_some(seed),
        parents: Parents::default(),
        budget: Budget::new((64 << 10) + 64 * blocks),
    };
    let sizes = (volume.inode_size, volume.descriptor_size);
    if !(128..=block).contains(&sizes.0) || !(32..=1024).contains(&sizes.1) {
        return Err(invalid("ext4", format!("inodes of {}, descriptors of {}", sizes.0, sizes.1)));
    }
    if checksums {
        let right = u64::from(crc32c(!0, &head[..0x3fc])) == le(&head, 0x3fc, 4);
        container.field("superblock checksum", if right { "right" } else { "wrong" });
        container.field("descriptor checksums", volume.check_descriptors()?);
    }
    let volume = Arc::new(volume);
    volume.parents.claim("ext4", ROOT.into(), u64::MAX, 0)?;
    let root = inode::read(&volume, ROOT)?;
    for (name, value) in root.node(&volume, context, "", u64::MAX)?.fields() {
        container.field(format!("root {name}"), value);
    }
    container.nodes = folder::list(&volume, context, &root)?;
    Ok(container)
}

impl Volume {
    /// A block, which must be within the volume.
    fn block(&self, number: u64) -> Result<Bytes> {
        self.budget.spend(1)?;
        self.bytes.slice(number.saturating_mul(self.block), self.block)
    }

    /// Says whether all group descriptors have the checksum they should.
    fn check_descriptors(&self) -> Result<String> {
        let Some(seed) = self.seed else { return Ok("none".into()) };
        let groups = self.inodes.div_ceil(self.per_group.max(1));
        self.budget.spend(groups.into())?;
        for group in 0..groups {
            let mut bytes = self.descriptor(group)?;
            let found = le(&bytes, 0x1e, 2);
            bytes[0x1e..0x20].fill(0);
            let sum = crc32c(crc32c(seed, &group.to_le_bytes()), &bytes);
            if u64::from(sum & 0xffff) != found {
                return Ok(format!("wrong from group {group} on"));
            }
        }
        Ok("right".into())
    }

    fn descriptor(&self, group: u32) -> Result<Vec<u8>> {
        let at = self.descriptors + u64::from(group) * self.descriptor_size;
        self.bytes.vec(at, self.descriptor_size as usize)
    }
}
