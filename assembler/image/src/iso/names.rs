//! Identifiers of files and directories.

use std::collections::{HashMap, HashSet};

/// The longest identifier of the primary hierarchy, without the version of a file.
const PRIMARY_MAX: usize = 30;
/// The longest extension that a shortened identifier keeps.
const EXTENSION_MAX: usize = 8;
/// The longest identifier of Joliet in UCS-2 units.
const JOLIET_MAX: usize = 64;

/// The identifiers of one directory's children in the primary hierarchy, in the same order:
/// upper-case letters, digits, underscores and, for files, one dot, with the version `;1`.
pub(super) fn primary(names: &[(&[u8], bool)]) -> Vec<Box<[u8]>> {
    let mapped = |bytes: &[u8]| -> Vec<u8> {
        let map = |&byte: &u8| match byte.to_ascii_uppercase() {
            byte if byte.is_ascii_uppercase() || byte.is_ascii_digit() => byte,
            _ => b'_',
        };
        bytes.iter().map(map).collect()
    };
    let split = |&(name, is_directory): &(&[u8], bool)| -> (Vec<u8>, Vec<u8>) {
        let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot != 0);
        match dot.filter(|_| !is_directory) {
            Some(dot) => (mapped(&name[..dot]), mapped(&name[dot + 1..])),
            None => (mapped(name), Vec::new()),
        }
    };
    let fit = |base: &[u8], extension: &[u8], tail: &[u8]| -> (Vec<u8>, Vec<u8>) {
        let extension = match base.len() + tail.len() + extension.len() {
            len if len <= PRIMARY_MAX => extension,
            _ => &extension[..extension.len().min(EXTENSION_MAX)],
        };
        let room = PRIMARY_MAX - extension.len() - tail.len();
        let base = [&base[..base.len().min(room)], tail].concat();
        (base, extension.to_vec())
    };
    let parts: Vec<_> = names.iter().map(split).collect();
    let finish = |at: usize, (base, extension): (Vec<u8>, Vec<u8>)| -> Box<[u8]> {
        match names[at].1 {
            true => base.into(),
            false => [&base[..], b".", &extension[..], b";1"].concat().into(),
        }
    };
    unique(names.len(), |at, tail| {
        let (base, extension) = &parts[at];
        finish(at, fit(base, extension, tail))
    })
}

/// The identifiers of one directory's children in the Joliet hierarchy, in the same order: UCS-2,
/// big-endian. What is not UTF-8, or a character that Joliet forbids, becomes an underscore.
pub(super) fn joliet(names: &[(&[u8], bool)]) -> Vec<Box<[u8]>> {
    let units: Vec<Vec<u16>> = names
        .iter()
        .map(|(name, _)| {
            let name = String::from_utf8_lossy(name);
            let map = |c: char| match c {
                c if c < ' ' || "*/:;?\\\u{fffd}".contains(c) => '_',
                c if u32::from(c) > 0xffff => '_',
                c => c,
            };
            name.chars().map(map).map(|c| u32::from(c) as u16).collect()
        })
        .collect();
    unique(names.len(), |at, tail| {
        let room = JOLIET_MAX - tail.len();
        let base = units[at].iter().copied().take(room);
        let version = if names[at].1 { &b""[..] } else { b";1" };
        let all = base.chain(tail.iter().chain(version).map(|&byte| u16::from(byte)));
        all.flat_map(u16::to_be_bytes).collect()
    })
}

/// Makes identifiers differ: `make(at, tail)` is the identifier of the name `at` with a tail, and
/// names that need none are served first. Stays linear with many like names.
fn unique(count: usize, make: impl Fn(usize, &[u8]) -> Box<[u8]>) -> Vec<Box<[u8]>> {
    let plain: Vec<Box<[u8]>> = (0..count).map(|at| make(at, b"")).collect();
    let mut used: HashSet<Box<[u8]>> = HashSet::with_capacity(count);
    let mut out: Vec<Option<Box<[u8]>>> = Vec::with_capacity(count);
    for identifier in &plain {
        out.push(used.insert(identifier.clone()).then(|| identifier.clone()));
    }
    // The next number of each beginning that tails are put to.
    let mut next: HashMap<Box<[u8]>, u32> = HashMap::new();
    for (at, slot) in out.iter_mut().enumerate().filter(|(_, slot)| slot.is_none()) {
        let number = next.entry(make(at, b"_000")).or_insert(0);
        loop {
            let candidate = make(at, format!("_{number:03}").as_bytes());
            // A directory has fewer than 2^32 names, so a number is always found in time.
            *number = number.wrapping_add(1);
            if used.insert(candidate.clone()) {
                *slot = Some(candidate);
                break;
            }
        }
    }
    out.into_iter().zip(plain).map(|(made, plain)| made.unwrap_or(plain)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[(&str, bool)]) -> Vec<String> {
        let names: Vec<_> = names.iter().map(|(name, dir)| (name.as_bytes(), *dir)).collect();
        primary(&names).iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn identifiers_are_of_the_allowed_characters_and_length() {
        assert_eq!(
            shown(&[
                ("boot.cat", false),
                ("EFI", true),
                ("a.b.c", false),
                (".x", false),
                ("A", false)
            ]),
            ["BOOT.CAT;1", "EFI", "A_B.C;1", "_X.;1", "A.;1"]
        );
        let long = "l".repeat(255) + ".extension-of-some-length";
        let names = shown(&[(&long, false), (&long, true)]);
        assert_eq!(names[0], "L".repeat(22) + ".EXTENSIO;1");
        assert_eq!(names[1], "L".repeat(30));
    }

    #[test]
    fn like_names_differ_and_stay_sorted_apart() {
        let names: Vec<String> = (0..20_000).map(|n| format!("{}{n}", "x".repeat(40))).collect();
        let names: Vec<(&[u8], bool)> = names.iter().map(|n| (n.as_bytes(), false)).collect();
        for made in [primary(&names), joliet(&names)] {
            assert_eq!(made.iter().collect::<HashSet<_>>().len(), 20_000);
        }
        assert!(primary(&names).iter().all(|name| name.len() <= 33));
        assert_eq!(
            shown(&[("a_000", false), ("A", false), ("a", false)]),
            ["A_000.;1", "A.;1", "A_001.;1"]
        );
    }

    #[test]
    fn joliet_names_are_ucs2() {
        let made = joliet(&[("é;".as_bytes(), false), (b"\xff", true), ("😀".as_bytes(), true)]);
        assert_eq!(*made[0], [0, 0xe9, 0, b'_', 0, b';', 0, b'1']);
        assert_eq!(*made[1], [0, b'_']);
        assert_eq!(*made[2], [0, b'_', 0, b'_', 0, b'0', 0, b'0', 0, b'0']);
    }
}
