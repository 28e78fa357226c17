//! Extended attributes: sets that inodes share, of names and values that sets share.

use crate::{
    context::Context,
    error::{Error, Result, invalid},
    values::le,
};

use super::{NONE, Volume, inode::NO};

/// In an entry's type: the value is stored elsewhere.
const ELSEWHERE: u64 = 0x100;
const MAX_VALUE: u64 = 64 << 10;

type Pair = (Vec<u8>, Vec<u8>);

/// The attributes of a set, by name.
pub(super) fn read(volume: &Volume, context: &Context, set: u64) -> Result<Vec<Pair>> {
    if set == NO || volume.xattrs == NONE {
        return Ok(Vec::new());
    }
    let head = volume.bytes.array::<16>(volume.xattrs)?;
    let (table, sets) = (le(&head, 0, 8), le(&head, 8, 4));
    if set >= sets {
        return Err(invalid("squashfs", format!("attributes {set} do not exist")));
    }
    let entry = volume.entry(volume.xattrs.saturating_add(16), set, 16)?;
    let count = le(&entry, 8, 4);
    context.check_entries(usize::try_from(count).unwrap_or(usize::MAX))?;
    volume.budget.spend(count)?;
    let mut cursor = volume.cursor_at(table, le(&entry, 0, 8));
    let mut pairs = Vec::new();
    for _ in 0..count {
        let head = cursor.take(4)?;
        let (kind, len) = (le(&head, 0, 2), le(&head, 2, 2));
        let prefix: &[u8] = match kind & 0xff {
            0 => b"user.",
            1 => b"trusted.",
            2 => b"security.",
            other => return Err(invalid("squashfs", format!("an attribute of kind {other}"))),
        };
        let name = cursor.take(len as usize)?;
        let value_len = bounded(le(&cursor.take(4)?, 0, 4))?;
        let mut value = cursor.take(value_len)?;
        if kind & ELSEWHERE != 0 {
            let mut cursor = volume.cursor_at(table, le(&value, 0, 8));
            let len = bounded(le(&cursor.take(4)?, 0, 4))?;
            value = cursor.take(len)?;
        }
        pairs.push(([prefix, &name[..]].concat(), value));
    }
    pairs.sort();
    Ok(pairs)
}

fn bounded(len: u64) -> Result<usize> {
    if len > MAX_VALUE {
        return Err(Error::Limit { what: "bytes of an attribute", limit: MAX_VALUE });
    }
    Ok(len as usize)
}
