//! Blocks of directory entries.
//!
//! A block is an array of entries of twelve bytes and then their names. Names are sorted over the
//! whole directory, `.` and `..` among them, so that a reader finds one by bisection, first of
//! blocks, then within a block.

use super::format::BLOCK;

/// Bytes of an entry without its name.
const ENTRY: usize = 12;

/// An entry: the inode's number, its type, its name.
pub(super) type Entry<'a> = (u64, u8, &'a [u8]);

/// Merges `.` and `..`, in this order in `dots`, into the sorted entries of a directory.
pub(super) fn merge<'a>(
    dots: [Entry<'a>; 2],
    children: impl Iterator<Item = Entry<'a>>,
) -> impl Iterator<Item = Entry<'a>> {
    let mut dots = dots.into_iter().peekable();
    let mut children = children.peekable();
    std::iter::from_fn(move || match (dots.peek(), children.peek()) {
        (Some(dot), Some(child)) if child.2 < dot.2 => children.next(),
        (Some(_), _) => dots.next(),
        (None, _) => children.next(),
    })
}

/// Cuts entries into blocks and hands each to `each`, the last without its unused end.
pub(super) fn blocks<'a>(
    entries: impl Iterator<Item = Entry<'a>>,
    mut each: impl FnMut(&[Entry<'a>], usize),
) {
    let mut block: Vec<Entry<'a>> = Vec::new();
    let mut used = 0;
    for entry in entries {
        let len = ENTRY + entry.2.len();
        if used + len > BLOCK as usize {
            each(&block, used);
            block.clear();
            used = 0;
        }
        used += len;
        block.push(entry);
    }
    each(&block, used);
}

/// The size of a directory in bytes.
pub(super) fn size<'a>(entries: impl Iterator<Item = Entry<'a>>) -> u64 {
    let (mut count, mut last) = (0, 0);
    blocks(entries, |_, used| {
        count += 1;
        last = used as u64;
    });
    (count - 1) * BLOCK + last
}

/// The bytes of a directory, every block but the last filled with zeros to its end.
pub(super) fn encode<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    blocks(entries, |block, _| {
        out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
        let mut name_at = block.len() * ENTRY;
        for (nid, kind, name) in block {
            out.extend_from_slice(&nid.to_le_bytes());
            out.extend_from_slice(&(name_at as u16).to_le_bytes());
            out.extend_from_slice(&[*kind, 0]);
            name_at += name.len();
        }
        for (_, _, name) in block {
            out.extend_from_slice(name);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_sorted_in_and_sizes_agree() {
        let dots: [Entry<'_>; 2] = [(1, 2, b"."), (2, 2, b"..")];
        let names: [&[u8]; 5] = [b"-", b".-", b"..a", b"./", b"a"];
        let mut sorted = names;
        sorted.sort_unstable();
        let children = || sorted.iter().map(|name| (3, 1, *name));
        let merged: Vec<&[u8]> = merge(dots, children()).map(|entry| entry.2).collect();
        let mut all: Vec<&[u8]> = [&names[..], &[b".", b".."]].concat();
        all.sort_unstable();
        assert_eq!(merged, all);
        let many: Vec<Vec<u8>> = (0..900).map(|n| format!("{n:0200}").into_bytes()).collect();
        let many = || merge(dots, many.iter().map(|name| (9, 1, &name[..])));
        assert_eq!(size(many()), encode(many()).len() as u64);
        assert!(size(many()) > 40 * BLOCK);
    }
}
