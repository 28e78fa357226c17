//! Extended attributes: every set once, every long value once.

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use stagex_tree::{Entry, Metadata};

use super::{
    Error,
    codec::Codec,
    meta::{Place, Table},
};

/// What an inode without attributes has for their number.
pub(super) const NONE: u32 = u32::MAX;
/// In an attribute's type: its value is a reference to another's.
const ELSEWHERE: u16 = 0x100;
/// The longest value, XATTR_SIZE_MAX of Linux.
const VALUE_MAX: usize = 65_536;
const PREFIXES: [(&[u8], u16); 3] = [(b"user.", 0), (b"trusted.", 1), (b"security.", 2)];

type Set = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The sets of a tree.
#[derive(Default)]
pub(super) struct Xattrs<'t> {
    sets: HashMap<&'t Set, u32>,
    values: HashMap<&'t [u8], Place>,
    pairs: Table,
    ids: Vec<u8>,
}

impl<'t> Xattrs<'t> {
    /// Refuses what cannot be held.
    pub(super) fn check(entry: &Entry<'_>) -> Result<(), Error> {
        for (name, value) in &entry.inode.metadata.xattrs {
            let path = || entry.path.clone();
            let shown = || String::from_utf8_lossy(name).into_owned();
            match split_name(name) {
                Some((_, rest)) if (1..=255).contains(&rest.len()) && !rest.contains(&0) => {}
                _ => return Err(Error::XattrName { path: path(), name: shown() }),
            }
            if value.len() > VALUE_MAX {
                return Err(Error::XattrValue { path: path(), name: shown(), len: value.len() });
            }
        }
        Ok(())
    }

    /// The number of an inode's set, which is written where it is new.
    pub(super) fn id(&mut self, metadata: &'t Metadata, codec: &mut Codec) -> io::Result<u32> {
        let set = &metadata.xattrs;
        if set.is_empty() {
            return Ok(NONE);
        }
        if let Some(&id) = self.sets.get(set) {
            return Ok(id);
        }
        let full = || io::Error::other("the extended attributes pass 4 GiB");
        let place = self.pairs.place().ok_or_else(full)?;
        let mut size = 0;
        for (name, value) in set {
            let (kind, rest) = split_name(name).unwrap_or_default();
            let elsewhere = self.values.get(&value[..]).copied();
            let kind = if elsewhere.is_some() { kind | ELSEWHERE } else { kind };
            let mut bytes = kind.to_le_bytes().to_vec();
            bytes.extend_from_slice(&(rest.len() as u16).to_le_bytes());
            bytes.extend_from_slice(rest);
            self.pairs.put(&bytes, codec)?;
            let at = self.pairs.place().ok_or_else(full)?;
            bytes.clear();
            match elsewhere {
                Some(place) => {
                    bytes.extend_from_slice(&8u32.to_le_bytes());
                    bytes.extend_from_slice(&place.reference().to_le_bytes());
                }
                None => {
                    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(value);
                    if value.len() > 8 {
                        self.values.insert(value, at);
                    }
                }
            }
            self.pairs.put(&bytes, codec)?;
            size += 4 + rest.len() as u32 + bytes.len() as u32;
        }
        self.ids.extend_from_slice(&place.reference().to_le_bytes());
        self.ids.extend_from_slice(&(set.len() as u32).to_le_bytes());
        self.ids.extend_from_slice(&size.to_le_bytes());
        let id = self.sets.len() as u32;
        self.sets.insert(set, id);
        Ok(id)
    }

    /// Appends the tables to `out`, which begins at `base`; gives where their head is, if any.
    pub(super) fn end(
        self,
        base: u64,
        out: &mut Vec<u8>,
        codec: &mut Codec,
    ) -> io::Result<Option<u64>> {
        if self.sets.is_empty() {
            return Ok(None);
        }
        let pairs_at = base + out.len() as u64;
        out.extend_from_slice(&self.pairs.end(codec)?.0);
        let mut table = Table::default();
        table.put(&self.ids, codec)?;
        let (ids, starts) = table.end(codec)?;
        let ids_at = base + out.len() as u64;
        out.extend_from_slice(&ids);
        let head = base + out.len() as u64;
        out.extend_from_slice(&pairs_at.to_le_bytes());
        out.extend_from_slice(&(self.sets.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for start in starts {
            out.extend_from_slice(&(ids_at + u64::from(start)).to_le_bytes());
        }
        Ok(Some(head))
    }
}

fn split_name(name: &[u8]) -> Option<(u16, &[u8])> {
    PREFIXES.iter().find_map(|&(prefix, number)| Some((number, name.strip_prefix(prefix)?)))
}
