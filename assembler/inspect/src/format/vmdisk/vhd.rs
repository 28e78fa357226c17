//! Fixed virtual hard disks: the disk as it is, and a footer.

use crate::{
    bytes::Bytes,
    error::{Result, invalid},
    node::Container,
    values::{be, text, uuid},
};

use super::{SECTOR, with_disk};

/// Whether there is a footer at the end.
pub(in crate::format) fn is(bytes: &Bytes) -> Result<bool> {
    Ok(bytes.len() > SECTOR && bytes.array::<8>(bytes.len() - SECTOR)? == *b"conectix")
}

/// Opens the disk before the footer.
pub(super) fn open(bytes: &Bytes) -> Result<Container> {
    let len = bytes.len().saturating_sub(SECTOR);
    let footer = bytes.array::<{ SECTOR as usize }>(len)?;
    let kind = be(&footer, 60, 4);
    if kind != 2 {
        let kind = if kind == 3 { "dynamic".into() } else { format!("of type {kind}") };
        return Err(invalid("vhd", format!("a disk that is {kind}; fixed ones alone are read")));
    }
    let size = be(&footer, 48, 8);
    let mut container = Container::new("vhd");
    container.field("uuid", uuid(&footer[68..84]));
    container.field("creator", text(&footer[28..32]));
    container.field("made", be(&footer, 24, 4));
    container.field("size", size);
    let geometry = (be(&footer, 56, 2), footer[58], footer[59]);
    container.field("geometry", format!("{} {} {}", geometry.0, geometry.1, geometry.2));
    let mut zeroed = footer;
    zeroed[64..68].fill(0);
    let sum = !zeroed.iter().fold(0u32, |sum, byte| sum.wrapping_add((*byte).into()));
    let right = u64::from(sum) == be(&footer, 64, 4);
    container.field("checksum", if right { "right" } else { "wrong" });
    if size > len {
        return Err(invalid("vhd", format!("a disk of {size} bytes in {len}")));
    }
    Ok(with_disk(container, bytes.slice(0, size)?))
}
