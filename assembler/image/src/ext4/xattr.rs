//! Extended attributes: their names and values as ext4 keeps them, in the inode or in a block.

use std::{borrow::Cow, collections::BTreeMap};

use super::checksum::crc32c;

/// The attributes of an inode as a tree has them.
pub(super) type Xattrs = BTreeMap<Box<[u8]>, Box<[u8]>>;

const MAGIC: u32 = 0xea02_0000;
/// Bytes of an entry without its name.
const ENTRY: usize = 16;
/// Bytes before the entries of a block.
const HEADER: usize = 32;
/// The end of the entries.
const END: usize = 4;
/// Bytes for attributes in an inode of 256 bytes, after the fields that all have.
pub(super) const IN_INODE: usize = 256 - 160;
/// The most inodes that share a block.
pub(super) const SHARED_MAX: u32 = 1024;

/// Why an attribute cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No name that ext4 has a number for.
    Name,
    /// No access control list that Linux takes.
    Acl,
}

/// An attribute by ext4's numbering.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute<'a> {
    /// Of the name's prefix.
    index: u8,
    /// Attributes are looked for by their names' lengths first.
    name_len: u8,
    name: &'a [u8],
    value: Cow<'a, [u8]>,
}

impl Attribute<'_> {
    fn entry_len(&self) -> usize {
        (ENTRY + self.name.len()).next_multiple_of(4)
    }

    fn value_len(&self) -> usize {
        self.value.len().next_multiple_of(4)
    }

    fn len(&self) -> usize {
        self.entry_len() + self.value_len()
    }
}

/// An inode's attributes, sorted, and where each is kept.
pub(super) struct Split<'a> {
    inode: Vec<Attribute<'a>>,
    block: Vec<Attribute<'a>>,
}

/// Why an inode's attributes cannot be kept.
pub(super) enum Refused<'a> {
    /// One of them, by its name.
    One(&'a [u8], Fault),
    /// Their sum.
    Size {
        /// Bytes that they take.
        bytes: usize,
        /// Bytes for the most.
        limit: usize,
    },
}

/// Says where each of `xattrs` is kept: in the inode if there is room for all, else in a block
/// of `block` bytes, else in both.
pub(super) fn split(xattrs: &Xattrs, block: u64) -> Result<Split<'_>, Refused<'_>> {
    let mut all = Vec::with_capacity(xattrs.len());
    for (name, value) in xattrs {
        all.push(attribute(name, value).map_err(|fault| Refused::One(name, fault))?);
    }
    all.sort_unstable();
    let sum = |some: &[Attribute<'_>]| some.iter().map(Attribute::len).sum::<usize>();
    let room_inode = IN_INODE - END - END;
    let room_block = block as usize - HEADER - END;
    let bytes = sum(&all);
    if bytes <= room_inode {
        return Ok(Split { inode: all, block: Vec::new() });
    }
    if bytes <= room_block {
        return Ok(Split { inode: Vec::new(), block: all });
    }
    // The largest that fit go into the inode.
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(all[at].len()));
    let mut left = room_inode;
    let mut in_inode = vec![false; all.len()];
    for at in order {
        if all[at].len() <= left {
            left -= all[at].len();
            in_inode[at] = true;
        }
    }
    let mut split = Split { inode: Vec::new(), block: Vec::new() };
    for (attribute, in_inode) in all.into_iter().zip(in_inode) {
        if in_inode { &mut split.inode } else { &mut split.block }.push(attribute);
    }
    if sum(&split.block) > room_block {
        return Err(Refused::Size { bytes, limit: room_inode + room_block });
    }
    Ok(split)
}

impl Split<'_> {
    pub(super) fn has_block(&self) -> bool {
        !self.block.is_empty()
    }

    /// The part in the inode.
    pub(super) fn inode(&self) -> [u8; IN_INODE] {
        let mut out = [0; IN_INODE];
        if !self.inode.is_empty() {
            out[..4].copy_from_slice(&MAGIC.to_le_bytes());
            // Places of values count from the first entry; entries have no hash.
            put(&mut out[4..], 0, &self.inode, |_| 0);
        }
        out
    }

    /// The part in block `number`, which so many inodes share. `seed` is the volume's.
    pub(super) fn block(&self, block: u64, number: u64, shared_by: u32, seed: u32) -> Vec<u8> {
        let mut out = vec![0; block as usize];
        put(&mut out, HEADER, &self.block, hash);
        let hashes: Vec<u32> = self.block.iter().map(hash).collect();
        // One entry of hash 0 makes 0 of all.
        let together = match hashes.contains(&0) {
            true => 0,
            false => hashes.iter().fold(0u32, |sum, hash| sum.rotate_left(16) ^ hash),
        };
        for (at, word) in [(0, MAGIC), (4, shared_by), (8, 1), (12, together)] {
            out[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let sum = crc32c(crc32c(seed, &number.to_le_bytes()), &out);
        out[16..20].copy_from_slice(&sum.to_le_bytes());
        out
    }
}

/// Puts the entries from `at` on, and their values at the end of `out`, last first.
fn put(
    out: &mut [u8],
    mut at: usize,
    attributes: &[Attribute<'_>],
    hash: impl Fn(&Attribute<'_>) -> u32,
) {
    let mut end = out.len();
    for attribute in attributes {
        let value = &attribute.value;
        end -= attribute.value_len();
        out[end..end + value.len()].copy_from_slice(value);
        let offset = if value.is_empty() { 0 } else { end as u16 };
        let entry = &mut out[at..at + attribute.entry_len()];
        entry[0] = attribute.name_len;
        entry[1] = attribute.index;
        entry[2..4].copy_from_slice(&offset.to_le_bytes());
        entry[8..12].copy_from_slice(&(value.len() as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&hash(attribute).to_le_bytes());
        entry[ENTRY..ENTRY + attribute.name.len()].copy_from_slice(attribute.name);
        at += attribute.entry_len();
    }
}

/// The hash of an entry in a block. (Of names beyond ASCII, older Linux computed another; no one
/// refuses either.)
fn hash(attribute: &Attribute<'_>) -> u32 {
    let of_name =
        attribute.name.iter().fold(0u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
    attribute.value.chunks(4).fold(of_name, |hash, bytes| {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

/// The prefixes that are kept as a number.
const PREFIXES: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];

fn attribute<'a>(name: &'a [u8], value: &'a [u8]) -> Result<Attribute<'a>, Fault> {
    let acl = match name {
        b"system.posix_acl_access" => Some(2),
        b"system.posix_acl_default" => Some(3),
        _ => None,
    };
    if let Some(index) = acl {
        let value = Cow::Owned(access_list(value).ok_or(Fault::Acl)?);
        return Ok(Attribute { index, name_len: 0, name: b"", value });
    }
    for (index, prefix) in PREFIXES {
        let Some(name) = name.strip_prefix(prefix) else { continue };
        let holds = !name.is_empty() && !name.contains(&0);
        let name_len = u8::try_from(name.len()).ok().filter(|_| holds).ok_or(Fault::Name)?;
        return Ok(Attribute { index, name_len, name, value: Cow::Borrowed(value) });
    }
    Err(Fault::Name)
}

/// An access control list (version 2, as system calls have it) in ext4's own form (version 1),
/// where only named users and groups have an id.
fn access_list(value: &[u8]) -> Option<Vec<u8>> {
    const USER_OBJECT: u16 = 1;
    const USER: u16 = 2;
    const GROUP_OBJECT: u16 = 4;
    const GROUP: u16 = 8;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;
    let entries = value.strip_prefix(&2u32.to_le_bytes())?;
    let mut out = 1u32.to_le_bytes().to_vec();
    let mut last = 0;
    let mut named = false;
    let mut masked = false;
    let entries = entries.chunks(8).map(<[u8; 8]>::try_from);
    for entry in entries {
        let entry = entry.ok()?;
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let permissions = u16::from_le_bytes([entry[2], entry[3]]);
        // Owner, users, group, groups, the mask, others: in this order, none left out but the
        // named ones and, where there are none of those, the mask.
        let follows = match tag {
            USER_OBJECT => last == 0,
            USER => matches!(last, USER_OBJECT | USER),
            GROUP_OBJECT => matches!(last, USER_OBJECT | USER),
            GROUP => matches!(last, GROUP_OBJECT | GROUP),
            MASK => matches!(last, GROUP_OBJECT | GROUP),
            OTHER => last == MASK || last == GROUP_OBJECT && !named,
            _ => false,
        };
        if !follows || permissions > 7 {
            return None;
        }
        out.extend_from_slice(&entry[..4]);
        if matches!(tag, USER | GROUP) {
            named = true;
            out.extend_from_slice(&entry[4..]);
        }
        masked |= tag == MASK;
        last = tag;
    }
    (last == OTHER && (masked || !named)).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: u16, permissions: u16, id: u32) -> Vec<u8> {
        let mut bytes = [tag.to_le_bytes(), permissions.to_le_bytes()].concat();
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes
    }

    fn list(entries: &[(u16, u32)]) -> Vec<u8> {
        let entries = entries.iter().flat_map(|&(tag, id)| entry(tag, 5, id));
        2u32.to_le_bytes().into_iter().chain(entries).collect()
    }

    #[test]
    fn access_lists_are_checked_and_shortened() {
        const NO_ID: u32 = u32::MAX;
        let plain = list(&[(1, NO_ID), (4, NO_ID), (0x20, NO_ID)]);
        assert_eq!(access_list(&plain).unwrap().len(), 4 + 3 * 4);
        let named = list(&[(1, NO_ID), (2, 7), (4, NO_ID), (8, 9), (0x10, NO_ID), (0x20, NO_ID)]);
        let found = access_list(&named).unwrap();
        assert_eq!(found.len(), 4 + 4 * 4 + 2 * 8);
        assert_eq!(found[..16], [1, 0, 0, 0, 1, 0, 5, 0, 2, 0, 5, 0, 7, 0, 0, 0]);
        for bad in [
            &list(&[(1, NO_ID), (2, 7), (4, NO_ID), (0x20, NO_ID)])[..],
            &list(&[(4, NO_ID), (1, NO_ID), (0x20, NO_ID)]),
            &list(&[(1, NO_ID), (4, NO_ID)]),
            &list(&[(1, NO_ID), (4, NO_ID), (0x20, NO_ID), (0x20, NO_ID)]),
            &plain[..plain.len() - 1],
            &plain[..3],
            &[1, 0, 0, 0],
            &[],
        ] {
            assert_eq!(access_list(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn attributes_go_where_there_is_room() {
        let block = 1024;
        let set = |sizes: &[usize]| -> Xattrs {
            let named = |(at, &len): (usize, &usize)| {
                (format!("user.{at:02}").into_bytes().into(), vec![1; len].into())
            };
            sizes.iter().enumerate().map(named).collect()
        };
        let places = |sizes: &[usize]| {
            split(&set(sizes), block).ok().map(|split| (split.inode.len(), split.block.len()))
        };
        assert_eq!(places(&[68]), Some((1, 0)));
        assert_eq!(places(&[69]), Some((0, 1)));
        assert_eq!(places(&[24, 24]), Some((2, 0)));
        assert_eq!(places(&[24, 25]), Some((0, 2)));
        assert_eq!(places(&[968]), Some((0, 1)));
        assert_eq!(places(&[969]), None);
        assert_eq!(places(&[968, 68]), Some((1, 1)));
        assert_eq!(places(&[968, 69]), None);
        assert_eq!(places(&[928, 20, 68]), Some((1, 2)));
        let names = |name: &[u8]| attribute(name, b"").map(|attribute| attribute.index);
        assert_eq!(names(b"user."), Err(Fault::Name));
        assert_eq!(names(b"system.data"), Err(Fault::Name));
        assert_eq!(names(b"security.capability"), Ok(6));
        assert_eq!(names(&[b"user.".as_slice(), &[b'x'; 256]].concat()), Err(Fault::Name));
    }
}
