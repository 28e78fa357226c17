//! Long names and the 8.3 names that go with them.

use std::collections::{HashMap, HashSet};

/// The 11 bytes of a short name: base and extension, padded with spaces, without the dot.
pub(super) type Short = [u8; 11];

/// Bytes that a short name may hold besides letters and digits.
const SHORT_SYMBOLS: &[u8] = b"!#$%&'()-@^_`{}~";
/// Characters that no name may hold, besides control characters.
const FORBIDDEN: &[char] = &['"', '*', '/', ':', '<', '>', '?', '\\', '|'];
/// UTF-16 units in one long-name entry.
const UNITS: usize = 13;

/// Why a name cannot be stored, as the end of a sentence.
pub(super) fn fault(name: &[u8]) -> Option<&'static str> {
    let Ok(name) = std::str::from_utf8(name) else { return Some("is not UTF-8") };
    if name.ends_with(['.', ' ']) {
        return Some("ends in a dot or a space, which readers drop");
    }
    if name.chars().any(|c| c < ' ' || c == '\x7f' || FORBIDDEN.contains(&c)) {
        return Some("holds a control character or one of \" * / : < > ? \\ |");
    }
    // 255 bytes of UTF-8 are at most 255 units of UTF-16.
    None
}

/// The name as readers compare it: without regard to case.
pub(super) fn folded(name: &str) -> String {
    name.chars()
        .map(|c| {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(single), None) => single,
                _ => c,
            }
        })
        .collect()
}

fn is_short(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || SHORT_SYMBOLS.contains(&byte)
}

fn pack(base: &[u8], extension: &[u8]) -> Short {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base);
    short[8..8 + extension.len()].copy_from_slice(extension);
    short
}

/// The short name that `name` makes when only its case is changed, where it has one.
fn exact(name: &str) -> Option<Short> {
    let upper = name.to_ascii_uppercase();
    let (base, extension) = match upper.rsplit_once('.') {
        Some((base, extension)) if !extension.is_empty() => (base, extension),
        Some(_) => return None,
        None => (upper.as_str(), ""),
    };
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3;
    let plain = base.bytes().chain(extension.bytes()).all(is_short);
    (fits && plain).then(|| pack(base.as_bytes(), extension.as_bytes()))
}

/// What of `name` goes into a short name with a numeric tail: base and extension.
fn basis(name: &str) -> (Vec<u8>, Vec<u8>) {
    let kept = |c: char| match c {
        ' ' | '.' => None,
        c if c.is_ascii() && is_short(c.to_ascii_uppercase() as u8) => {
            Some(c.to_ascii_uppercase() as u8)
        }
        _ => Some(b'_'),
    };
    let name = name.trim_start_matches(['.', ' ']);
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let mut base: Vec<u8> = base.chars().filter_map(kept).take(8).collect();
    if base.is_empty() {
        base.push(b'_');
    }
    (base, extension.chars().filter_map(kept).take(3).collect())
}

/// Gives every name of one directory its short name, in the same order.
///
/// Names that fit are taken first, so that no generated one is in their way. `None` where the
/// tails run out. The names must differ without regard to case.
pub(super) fn shorten(names: &[&str]) -> Option<Vec<Short>> {
    let mut shorts: Vec<Option<Short>> = names.iter().map(|name| exact(name)).collect();
    let mut used: HashSet<Short> = shorts.iter().flatten().copied().collect();
    // The next number of each beginning, so that a directory of many like names stays linear.
    let mut next: HashMap<Short, u32> = HashMap::new();
    for (short, name) in shorts.iter_mut().zip(names).filter(|(short, _)| short.is_none()) {
        let (base, extension) = basis(name);
        *short = (1..=6u32).find_map(|digits| {
            let kept = &base[..base.len().min(7 - digits as usize)];
            let mut key = pack(kept, &extension);
            // A byte that no short name holds keeps the counters of each length apart.
            key[7] = digits as u8;
            let number = next.entry(key).or_insert(10u32.pow(digits - 1));
            while *number < 10u32.pow(digits) {
                let mut candidate = kept.to_vec();
                candidate.push(b'~');
                candidate.extend_from_slice(number.to_string().as_bytes());
                *number += 1;
                let candidate = pack(&candidate, &extension);
                if used.insert(candidate) {
                    return Some(candidate);
                }
            }
            None
        });
    }
    shorts.into_iter().collect()
}

/// Whether the short name says all, so that no long name need be stored.
fn says_all(name: &str, short: &Short) -> bool {
    let base = short[..8].trim_ascii_end();
    let extension = short[8..].trim_ascii_end();
    let bytes = name.as_bytes();
    match extension {
        [] => bytes == base,
        _ => bytes
            .strip_prefix(base)
            .and_then(|rest| rest.strip_prefix(b"."))
            .is_some_and(|rest| rest == extension),
    }
}

/// How many directory entries the long name takes before the entry of its short name.
pub(super) fn long_entries(name: &str, short: &Short) -> usize {
    if says_all(name, short) { 0 } else { name.encode_utf16().count().div_ceil(UNITS) }
}

/// The directory entries of the long name, as they stand before the entry of its short name.
pub(super) fn long(name: &str, short: &Short) -> Vec<[u8; 32]> {
    if says_all(name, short) {
        return Vec::new();
    }
    let checksum = short.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte));
    let mut units: Vec<u16> = name.encode_utf16().collect();
    let count = units.len().div_ceil(UNITS);
    // A NUL ends the name where it does not fill its last entry, and ones follow it.
    if units.len() % UNITS != 0 {
        units.push(0);
        units.resize(count * UNITS, 0xffff);
    }
    let entry = |(at, units): (usize, &[u16])| {
        let mut entry = [0; 32];
        entry[0] = (at + 1) as u8 | if at + 1 == count { 0x40 } else { 0 };
        entry[11] = super::ATTRIBUTE_LONG_NAME;
        entry[13] = checksum;
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        for (place, unit) in places.zip(units) {
            entry[place..place + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entry
    };
    units.chunks(UNITS).enumerate().map(entry).rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str]) -> Vec<String> {
        let text = |short: Short| String::from_utf8(short.to_vec()).unwrap();
        shorten(names).unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn short_names_follow_the_specification() {
        assert_eq!(
            shown(&["BOOTX64.EFI", "readme.txt", "TextFile.Mine.txt", "ver +1.2.text", ".bashrc"]),
            ["BOOTX64 EFI", "README  TXT", "TEXTFI~1TXT", "VER_12~1TEX", "BASHRC~1   "]
        );
        assert_eq!(
            shown(&["a b", "a.b.c", "über", "EFI"]),
            ["AB~1       ", "AB~1    C  ", "_BER~1     ", "EFI        "]
        );
    }

    #[test]
    fn tails_go_around_names_that_are_taken_and_grow() {
        assert_eq!(shown(&["longname one", "longna~1"]), ["LONGNA~2   ", "LONGNA~1   "]);
        let many: Vec<String> = (0..20_000).map(|n| format!("a long name {n}.html")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let shorts = shown(&many);
        assert_eq!(shorts[8], "ALONGN~9HTM");
        assert_eq!(shorts[9], "ALONG~10HTM");
        assert_eq!(shorts[19_999], "AL~20000HTM");
        assert_eq!(shorts.iter().collect::<HashSet<_>>().len(), 20_000);
    }

    #[test]
    fn long_entries_are_last_first() {
        let short = exact("readme.txt").unwrap();
        let entries = long("readme.txt", &short);
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0][0], 0x41);
        assert_eq!(entries[0][1..3], [b'r', 0]);
        assert_eq!(entries[0][24..26], [0, 0]);
        assert_eq!(entries[0][28..30], [0xff, 0xff]);
        assert_eq!(entries[0][13], 0x73);
        let name = "n".repeat(26);
        let short = shorten(&[&name]).unwrap()[0];
        let entries = long(&name, &short);
        assert_eq!((entries[0][0], entries[1][0]), (0x42, 1));
        assert_eq!(long_entries(&name, &short), 2);
        assert_eq!(long_entries("BOOTX64.EFI", &exact("BOOTX64.EFI").unwrap()), 0);
    }

    #[test]
    fn names_that_readers_would_change_are_faulty() {
        for name in ["a.", "a ", "a:b", "a\tb", "a\\b", "q?"] {
            assert!(fault(name.as_bytes()).is_some(), "{name:?}");
        }
        assert!(fault(b"\xff").is_some());
        assert!(fault("ein Grüß dich.txt".as_bytes()).is_none());
        assert_eq!(folded("größe"), "GRÖßE");
    }
}
