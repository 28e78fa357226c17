//! Extended attributes, beside their inode or shared by several.

use std::collections::{BTreeMap, HashMap};

use stagex_tree::{Metadata, TreePath};

use super::Error;
use crate::index::Index;

/// Prefixes that have a number of their own. What is listed first is found first.
const PREFIXES: [(&[u8], u8); 5] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
];
/// Bytes before the shared numbers and the attributes of an inode.
const HEADER: u64 = 12;
/// The most that an inode's attributes take: a count of 16 bits, in fours, the header in the first.
const AREA_MAX: u64 = HEADER + 4 * 65_534;
/// The most shared attributes of an inode.
const SHARED_MAX: usize = 255;

/// One attribute, its name and value.
type Pair<'t> = (&'t [u8], &'t [u8]);

/// The attributes that several inodes have, each once.
#[derive(Default)]
pub(super) struct Shared<'t> {
    /// Where each is in the area, in fours of bytes.
    places: BTreeMap<Pair<'t>, u32>,
    /// The area's bytes.
    pub(super) area: Vec<u8>,
}

impl<'t> Shared<'t> {
    /// Looks for what is worth sharing: what two inodes have or more.
    pub(super) fn new(index: &Index<'t>) -> Result<Self, Error> {
        let mut counts: HashMap<Pair<'t>, bool> = HashMap::new();
        let mut shared = Self::default();
        for (number, entry) in index.entries.iter().enumerate() {
            if index.firsts[number] as usize != number {
                continue;
            }
            for (name, value) in &entry.inode.metadata.xattrs {
                check(entry.path, name, value)?;
                let seen = counts.entry((name, value)).or_insert(false);
                if !std::mem::replace(seen, true) {
                    continue;
                }
                shared.places.insert((name, value), 0);
            }
        }
        for (&(name, value), place) in &mut shared.places {
            // An area that could outgrow this is refused with the image's size.
            *place = u32::try_from(shared.area.len() / 4).unwrap_or(u32::MAX);
            encode(name, value, &mut shared.area);
        }
        Ok(shared)
    }

    /// The bytes that an inode's attributes take; 0 for none.
    pub(super) fn len(&self, path: &TreePath, metadata: &Metadata) -> Result<u64, Error> {
        if metadata.xattrs.is_empty() {
            return Ok(0);
        }
        let (ids, own) = self.split(metadata);
        let own: u64 = own.iter().map(|(name, value)| len(name, value)).sum();
        let len = HEADER + 4 * ids.len() as u64 + own;
        if len > AREA_MAX {
            return Err(Error::Xattrs { path: path.clone(), len, most: AREA_MAX });
        }
        Ok(len)
    }

    /// The bytes behind an inode.
    pub(super) fn encode(&self, metadata: &Metadata, out: &mut Vec<u8>) {
        if metadata.xattrs.is_empty() {
            return;
        }
        let (ids, own) = self.split(metadata);
        out.extend_from_slice(&[0, 0, 0, 0, ids.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
        for id in ids {
            out.extend_from_slice(&id.to_le_bytes());
        }
        for (name, value) in own {
            encode(name, value, out);
        }
    }

    fn split<'m>(&self, metadata: &'m Metadata) -> (Vec<u32>, Vec<Pair<'m>>) {
        let (mut ids, mut own) = (Vec::new(), Vec::new());
        for (name, value) in &metadata.xattrs {
            match self.places.get(&(&name[..], &value[..])) {
                Some(&id) if ids.len() < SHARED_MAX => ids.push(id),
                _ => own.push((&name[..], &value[..])),
            }
        }
        (ids, own)
    }
}

/// The number of an attribute's prefix and the rest of its name.
fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    let split = |&(prefix, number): &(&[u8], u8)| Some((number, name.strip_prefix(prefix)?));
    let (number, rest) = PREFIXES.iter().find_map(split)?;
    // The ACLs are whole names, the others prefixes of a name.
    (matches!(number, 2 | 3) == rest.is_empty()).then_some((number, rest))
}

fn check(path: &TreePath, name: &[u8], value: &[u8]) -> Result<(), Error> {
    let shown = || String::from_utf8_lossy(name).into_owned();
    match split_name(name) {
        Some((_, rest)) if rest.len() <= 255 && !rest.contains(&0) => {}
        _ => return Err(Error::XattrName { path: path.clone(), name: shown() }),
    }
    if value.len() > usize::from(u16::MAX) {
        return Err(Error::XattrValue { path: path.clone(), name: shown(), len: value.len() });
    }
    Ok(())
}

fn len(name: &[u8], value: &[u8]) -> u64 {
    let rest = split_name(name).map_or(0, |(_, rest)| rest.len());
    (4 + rest as u64 + value.len() as u64).next_multiple_of(4)
}

fn encode(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let (number, rest) = split_name(name).unwrap_or_default();
    out.extend_from_slice(&[rest.len() as u8, number]);
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(rest);
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}
