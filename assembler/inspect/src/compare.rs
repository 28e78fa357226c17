//! Where bytes differ, and the lines of text that do.

use crate::{
    bytes::{Bytes, CHUNK},
    error::Result,
    node::escape,
};

/// The most bytes of a line that are shown.
const SHOWN: usize = 120;

/// Where two differ.
pub(crate) struct Mismatch {
    /// The first byte that is not the same; the end of the shorter where it begins the longer.
    pub(crate) offset: u64,
    /// How many bytes that both have are not the same.
    pub(crate) count: u64,
    /// Where both are text up to there: the line's number from 1, and what both have there.
    pub(crate) line: Option<(u64, String, String)>,
}

/// Compares in one sweep; none where all bytes are the same.
pub(crate) fn compare(a: &Bytes, b: &Bytes) -> Result<Option<Mismatch>> {
    if a.identity() == b.identity() {
        return Ok(None);
    }
    let common = a.len().min(b.len());
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut found: Option<Mismatch> = None;
    let (mut lines, mut is_text) = (1u64, true);
    let mut at = 0;
    while at < common {
        let hole = a.hole_at(at).min(b.hole_at(at)).min(common - at);
        if hole != 0 {
            is_text = false;
            at += hole;
            continue;
        }
        let count = (common - at).min(CHUNK as u64) as usize;
        let (left, right) = (&mut left[..count], &mut right[..count]);
        a.read_exact_at(at, left)?;
        b.read_exact_at(at, right)?;
        if found.is_none() {
            is_text = is_text && !left.contains(&0) && !right.contains(&0);
        }
        let newlines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        if left != right {
            for (index, _) in left.iter().zip(right.iter()).enumerate().filter(|(_, (x, y))| x != y)
            {
                let mismatch = match &mut found {
                    Some(mismatch) => mismatch,
                    none => {
                        let offset = at + index as u64;
                        let line = if is_text {
                            let number = lines + newlines(&left[..index]);
                            Some((number, line_at(a, offset)?, line_at(b, offset)?))
                        } else {
                            None
                        };
                        none.insert(Mismatch { offset, count: 0, line })
                    }
                };
                mismatch.count += 1;
            }
        } else if found.is_none() && is_text {
            lines += newlines(left);
        }
        at += count as u64;
    }
    if found.is_none() && a.len() != b.len() {
        let line =
            if is_text { Some((lines, line_at(a, common)?, line_at(b, common)?)) } else { None };
        found = Some(Mismatch { offset: common, count: 0, line });
    }
    Ok(found)
}

/// The line that an offset lies in, cut to what can be shown.
fn line_at(bytes: &Bytes, offset: u64) -> Result<String> {
    let start = offset.min(bytes.len()).saturating_sub(SHOWN as u64 / 2);
    let text = bytes.vec(start, (bytes.len() - start).min(SHOWN as u64) as usize)?;
    let at = (offset - start) as usize;
    let before = &text[..at.min(text.len())];
    let first = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let rest = &text[first..];
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    Ok(escape(&rest[..end]))
}
