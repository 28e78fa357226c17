//! Directory records and their system use entries: SUSP and Rock Ridge.

use stagex_tree::{Device, Kind};

use super::volume::{both16, both32};
use crate::{index::Index, time::Civil};

/// The longest directory record in bytes.
const RECORD_MAX: usize = 254;
/// Bytes of a record before its identifier.
const RECORD: usize = 33;
/// The longest text in one NM or SL entry, of 255 bytes with a head of 5.
const PART: usize = 250;
/// Bytes of a CE entry, which leads to a continuation area.
const CE: usize = 28;
/// Bytes of a block, which a continuation area does not pass.
const AREA: usize = super::BLOCK as usize;

/// In a record's flags: a directory.
pub(super) const DIRECTORY: u8 = 0x02;
/// In a record's flags: a further extent of the file follows in the next record.
pub(super) const MORE: u8 = 0x80;
/// In the flags of NM and SL entries: the next one goes on.
const CONTINUE: u8 = 1;

/// Whether a time can stand in a record.
pub(super) fn in_range(seconds: i64) -> bool {
    (1900..=2155).contains(&Civil::new(seconds).year)
}

/// A time as records have it (ECMA-119 9.1.5), UTC.
fn stamp(seconds: i64) -> [u8; 7] {
    let civil = Civil::new(seconds);
    let year = (civil.year - 1900) as u8;
    [year, civil.month, civil.day, civil.hour, civil.minute, civil.second, 0]
}

/// A directory record (ECMA-119 9.1) with system use entries that are known to fit.
pub(super) fn record(
    identifier: &[u8],
    (first, len): (u32, u32),
    flags: u8,
    time: i64,
    system: &[u8],
) -> Vec<u8> {
    let start = head_len(identifier);
    let mut bytes = vec![0; (start + system.len()).next_multiple_of(2)];
    bytes[0] = bytes.len() as u8;
    bytes[2..10].copy_from_slice(&both32(first));
    bytes[10..18].copy_from_slice(&both32(len));
    bytes[18..25].copy_from_slice(&stamp(time));
    bytes[25] = flags;
    bytes[28..32].copy_from_slice(&both16(1));
    bytes[32] = identifier.len() as u8;
    bytes[RECORD..RECORD + identifier.len()].copy_from_slice(identifier);
    bytes[start..start + system.len()].copy_from_slice(system);
    bytes
}

/// Bytes of a record before its system use entries.
fn head_len(identifier: &[u8]) -> usize {
    (RECORD + identifier.len()).next_multiple_of(2)
}

fn entry(signature: &[u8; 2], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![signature[0], signature[1], (4 + body.len()) as u8, 1];
    bytes.extend_from_slice(body);
    bytes
}

/// What the first record of the root says besides: that SUSP and Rock Ridge are used.
pub(super) fn announcement() -> Vec<Vec<u8>> {
    const IDENTIFIER: &[u8] = b"IEEE_P1282";
    const DESCRIPTION: &[u8] =
        b"THE IEEE P1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS.";
    const SOURCE: &[u8] =
        b"PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT FOR THE P1282 SPECIFICATION.";
    let lens = [IDENTIFIER.len() as u8, DESCRIPTION.len() as u8, SOURCE.len() as u8, 1];
    let er = [&lens[..], IDENTIFIER, DESCRIPTION, SOURCE].concat();
    vec![entry(b"SP", &[0xbe, 0xef, 0]), entry(b"ER", &er)]
}

/// Mode, links, owner, serial number and times of the entry `number`; also its device.
pub(super) fn attributes(index: &Index<'_>, number: usize) -> Vec<Vec<u8>> {
    let inode = index.entries[number].inode;
    let metadata = &inode.metadata;
    let kind = match inode.kind {
        Kind::Directory => 0o040_000,
        Kind::File(_) => 0o100_000,
        Kind::Symlink(_) => 0o120_000,
        Kind::CharDevice(_) => 0o020_000,
        Kind::BlockDevice(_) => 0o060_000,
        Kind::Fifo => 0o010_000,
        Kind::Socket => 0o140_000,
    };
    let links = match inode.kind {
        Kind::Directory => 2 + index.subdirectories(number) as u32,
        _ => index.links[number],
    };
    let words = [
        kind | u32::from(metadata.mode),
        links,
        metadata.uid,
        metadata.gid,
        index.firsts[number] + 1,
    ];
    let px: Vec<u8> = words.into_iter().flat_map(both32).collect();
    // Modification, access and change of attributes; trees know the first only.
    let time = stamp(metadata.mtime);
    let tf = [&[0x0e][..], &time, &time, &time].concat();
    let mut entries = vec![entry(b"PX", &px), entry(b"TF", &tf)];
    if let Kind::CharDevice(device) | Kind::BlockDevice(device) = inode.kind {
        let (high, low) = device_words(device);
        entries.push(entry(b"PN", &[both32(high), both32(low)].concat()));
    }
    entries
}

/// The number of a device in two words. All readers take small numbers from the lower word alone;
/// Linux takes larger ones as major and minor.
fn device_words(Device { major, minor }: Device) -> (u32, u32) {
    if major <= 0xfff && minor <= 0xff { (0, major << 8 | minor) } else { (major, minor) }
}

/// The true name.
pub(super) fn name(name: &[u8]) -> Vec<Vec<u8>> {
    let count = name.len().div_ceil(PART);
    let part = |(at, part): (usize, &[u8])| {
        let flags = if at + 1 < count { CONTINUE } else { 0 };
        entry(b"NM", &[&[flags], part].concat())
    };
    name.chunks(PART).enumerate().map(part).collect()
}

/// The target of a symbolic link, in components.
///
/// An entry that another follows ends within a component, if need be with none of its bytes:
/// libarchive would lose a slash between two entries.
pub(super) fn target(target: &[u8]) -> Vec<Vec<u8>> {
    let mut components: Vec<(u8, &[u8])> = Vec::new();
    let rest = match target.strip_prefix(b"/") {
        Some(rest) => {
            components.push((0x08, b""));
            rest
        }
        None => target,
    };
    // Nothing follows the root in a link to it.
    for component in rest.split(|&byte| byte == b'/').filter(|_| !rest.is_empty()) {
        components.push(match component {
            b"." => (0x02, b""),
            b".." => (0x04, b""),
            _ => (0, component),
        });
    }
    let count = components.len();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut part: Vec<u8> = Vec::new();
    let put = |part: &mut Vec<u8>, flags: u8, bytes: &[u8]| {
        part.extend_from_slice(&[flags, bytes.len() as u8]);
        part.extend_from_slice(bytes);
    };
    for (at, (flags, mut bytes)) in components.into_iter().enumerate() {
        // Room for a piece of no bytes stays, but for the last component.
        let reserved = if at + 1 == count { 0 } else { 2 };
        while part.len() + 2 + bytes.len() + reserved > PART {
            let (piece, after) = bytes.split_at(bytes.len().min(PART - 2 - part.len()));
            put(&mut part, CONTINUE, piece);
            parts.push(std::mem::take(&mut part));
            bytes = after;
        }
        put(&mut part, flags, bytes);
    }
    parts.push(part);
    let count = parts.len();
    let sl = |(at, part): (usize, Vec<u8>)| {
        let flags = if at + 1 < count { CONTINUE } else { 0 };
        entry(b"SL", &[&[flags][..], &part].concat())
    };
    parts.into_iter().enumerate().map(sl).collect()
}

/// Gathers the continuation areas of one directory, in blocks from `first` on.
pub(super) struct Continuations {
    pub(super) first: u64,
    pub(super) bytes: Vec<u8>,
}

impl Continuations {
    /// Gives what of `entries` stands in the record of `identifier`; the rest goes into areas that
    /// it leads to. No area passes a block's border.
    pub(super) fn place(&mut self, identifier: &[u8], entries: &[Vec<u8>]) -> Vec<u8> {
        let room = RECORD_MAX - head_len(identifier);
        let (mut system, mut rest) = take(entries, room);
        // The bytes of the area before this one wait for the lead to this one.
        let mut before: Option<usize> = None;
        while !rest.is_empty() {
            let len: usize = rest.iter().map(Vec::len).sum();
            let used = self.bytes.len() % AREA;
            if used != 0 && len > AREA - used {
                self.bytes.resize(self.bytes.len() - used + AREA, 0);
            }
            let at = self.bytes.len();
            let (area, after) = take(rest, AREA);
            let reserved = if after.is_empty() { 0 } else { CE };
            let block = self.first + (at / AREA) as u64;
            let words = [block as u32, (at % AREA) as u32, (area.len() + reserved) as u32];
            let lead = entry(b"CE", &words.into_iter().flat_map(both32).collect::<Vec<u8>>());
            match before {
                None => system.extend_from_slice(&lead),
                Some(at) => self.bytes[at..at + CE].copy_from_slice(&lead),
            }
            self.bytes.extend_from_slice(&area);
            before = Some(self.bytes.len());
            self.bytes.resize(self.bytes.len() + reserved, 0);
            rest = after;
        }
        system
    }
}

/// As many entries as go into `room`, where not all do with room left for a CE entry.
fn take(entries: &[Vec<u8>], room: usize) -> (Vec<u8>, &[Vec<u8>]) {
    let len: usize = entries.iter().map(Vec::len).sum();
    let room = if len <= room { room } else { room - CE };
    let mut taken = Vec::with_capacity(len.min(room));
    for (at, entry) in entries.iter().enumerate() {
        if taken.len() + entry.len() > room {
            return (taken, &entries[at..]);
        }
        taken.extend_from_slice(entry);
    }
    (taken, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_split_into_components() {
        assert_eq!(
            target(b"/a/../b"),
            [[&b"SL\x0f\x01\0"[..], b"\x08\0\0\x01a\x04\0\0\x01b"].concat()]
        );
        assert_eq!(target(b"/"), [b"SL\x07\x01\0\x08\0"]);
        let long = target(&[b'x'; 255]);
        assert_eq!((long[0].len(), long[1].len()), (255, 4 + 1 + 2 + 7));
        assert_eq!((long[0][4], long[0][5], long[1][4], long[1][5]), (1, 1, 0, 0));
    }

    #[test]
    fn continuation_areas_stay_in_their_blocks_and_lead_on() {
        let entries = target(&[b'y'; 4095]);
        let mut areas = Continuations { first: 100, bytes: Vec::new() };
        areas.bytes.resize(2000, 0);
        let system = areas.place(b"A.;1", &entries);
        assert_eq!(&system[system.len() - CE..][..3], b"CE\x1c");
        let word = |bytes: &[u8], at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
        };
        let mut lead = system;
        let mut found = Vec::new();
        let end =
            |lead: &[u8]| lead.len().checked_sub(CE).filter(|&at| lead[at..].starts_with(b"CE"));
        while let Some(at) = end(&lead) {
            found.extend_from_slice(&lead[..at]);
            let ce = &lead[at..];
            let (block, offset, len) = (word(ce, 4) - 100, word(ce, 12), word(ce, 20));
            assert!(offset + len <= AREA);
            lead = areas.bytes[block * AREA + offset..][..len].to_vec();
        }
        found.extend_from_slice(&lead);
        assert_eq!(found, entries.concat());
    }
}
