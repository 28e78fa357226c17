//! Extended attributes: behind the inode's fields, and in a block of their own.

use crate::{
    error::{Result, invalid},
    values::{crc32c, le},
};

use super::{Volume, inode::Inode};

const MAGIC: u64 = 0xea02_0000;
/// Bytes of a block's header.
const HEADER: usize = 32;
/// Bytes of an entry before its name.
const ENTRY: usize = 16;

const SYSTEM: u8 = 7;

type Pair = (Vec<u8>, Vec<u8>);

/// One as it is stored: the number of its prefix, the rest of its name, its value.
struct Stored {
    prefix: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// All attributes of an inode, by name.
pub(super) fn read(volume: &Volume, inode: &Inode) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for stored in all(volume, inode)? {
        if (stored.prefix, &stored.name[..]) == (SYSTEM, b"data") {
            continue;
        }
        let prefix: &[u8] = match stored.prefix {
            0 => b"",
            1 => b"user.",
            2 => b"system.posix_acl_access",
            3 => b"system.posix_acl_default",
            4 => b"trusted.",
            6 => b"security.",
            SYSTEM => b"system.",
            8 => b"system.richacl",
            other => return Err(invalid("ext4", format!("an attribute of kind {other}"))),
        };
        let is_acl = matches!(stored.prefix, 2 | 3);
        let value = if is_acl { acl(&stored.value)? } else { stored.value };
        pairs.push(([prefix, &stored.name[..]].concat(), value));
    }
    pairs.sort();
    Ok(pairs)
}

/// What an inode with inline data holds besides its first 60 bytes.
pub(super) fn inline_rest(volume: &Volume, inode: &Inode) -> Result<Vec<u8>> {
    let found = all(volume, inode)?
        .into_iter()
        .find(|stored| (stored.prefix, &stored.name[..]) == (SYSTEM, b"data"));
    Ok(found.map_or_else(Vec::new, |stored| stored.value))
}

fn all(volume: &Volume, inode: &Inode) -> Result<Vec<Stored>> {
    let mut found = Vec::new();
    let own = inode.bytes.get(128 + inode.extra()..).unwrap_or(&[]);
    if inode.bytes.len() > 128 && le(own, 0, 4) == MAGIC {
        entries(inode, &own[4..], 0, &mut found)?;
    }
    let number = le(&inode.bytes, 0x68, 4) | le(&inode.bytes, 0x76, 2) << 32;
    if number == 0 {
        return Ok(found);
    }
    let mut block = volume.block(number)?.vec(0, volume.block as usize)?;
    if le(&block, 0, 4) != MAGIC {
        return Err(invalid("ext4", format!("block {number} holds no attributes")));
    }
    if let Some(seed) = volume.seed {
        let sum = le(&block, 16, 4);
        block[16..20].fill(0);
        if u64::from(crc32c(crc32c(seed, &number.to_le_bytes()), &block)) != sum {
            let reason = format!("attributes in block {number}: the checksum is wrong");
            return Err(invalid("ext4", reason));
        }
    }
    entries(inode, &block, HEADER, &mut found)?;
    Ok(found)
}

/// Reads entries from `at` on; where values are is counted from the start of `area`.
fn entries(inode: &Inode, area: &[u8], mut at: usize, found: &mut Vec<Stored>) -> Result<()> {
    let wrong = || invalid("ext4", format!("inode {}: its attributes are damaged", inode.number));
    while le(area, at, 4) != 0 {
        let entry = area.get(at..at + ENTRY).ok_or_else(wrong)?;
        let len = usize::from(entry[0]);
        let name = area.get(at + ENTRY..at + ENTRY + len).ok_or_else(wrong)?.to_vec();
        let (elsewhere, value_len) = (le(entry, 4, 4), le(entry, 8, 4) as usize);
        let value = if elsewhere == 0 {
            let start = if value_len == 0 { 0 } else { le(entry, 2, 2) as usize };
            area.get(start..start.saturating_add(value_len)).ok_or_else(wrong)?.to_vec()
        } else {
            format!("({value_len} bytes in inode {elsewhere})").into_bytes()
        };
        found.push(Stored { prefix: entry[1], name, value });
        at += (ENTRY + len).next_multiple_of(4);
    }
    Ok(())
}

/// An access list as programs see it, from the shorter form in which it is stored.
fn acl(stored: &[u8]) -> Result<Vec<u8>> {
    let wrong = || invalid("ext4", "an access list is damaged");
    if le(stored, 0, 4) != 1 || stored.len() < 4 {
        return Err(wrong());
    }
    let mut out = 2u32.to_le_bytes().to_vec();
    let mut rest = &stored[4..];
    while !rest.is_empty() {
        let tag = le(rest, 0, 2);
        let len = if matches!(tag, 2 | 8) { 8 } else { 4 };
        let entry = rest.get(..len).ok_or_else(wrong)?;
        out.extend_from_slice(&entry[..4]);
        out.extend_from_slice(if len == 8 { &entry[4..] } else { &[0xff; 4] });
        rest = &rest[len..];
    }
    Ok(out)
}
