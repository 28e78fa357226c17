//! GUID partition tables.
//!
//! Follows the UEFI Specification 2.10, chapter 5, for disks of 512-byte sectors, with types from
//! the Discoverable Partitions Specification. The tables are made as bytes, for a sweep forward;
//! the crate `gpt` wants a device that it can seek in, and serves the tests as a second reader.

use crate::identity::Guid;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Entries in a table, the least that UEFI allows and what every reader expects.
pub const ENTRIES: usize = 128;
/// Sectors of a table's entries.
const ENTRY_SECTORS: u64 = 32;
/// Bytes of an entry.
const ENTRY: usize = 128;
/// Sectors before the first that a partition may take: protective MBR, header, entries.
pub const FIRST_USABLE: u64 = 2 + ENTRY_SECTORS;
/// Sectors after the last that a partition may take: entries, header.
pub const AFTER_USABLE: u64 = ENTRY_SECTORS + 1;
/// The longest name of a partition in UTF-16 units.
const NAME_UNITS: usize = 36;

/// What a partition is for, by the GUID of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type(pub Guid);

macro_rules! types {
    ($($name:literal $guid:literal,)*) => {
        /// The types that have a name, in the order of their names.
        pub const TYPES: &[(&str, Type)] = &[$(($name, Type(Guid::from_u128($guid))),)*];
    };
}

types! {
    "basic-data" 0xebd0a0a2_b9e5_4433_87c0_68b6b72699c7,
    "bios-boot" 0x21686148_6449_6e6f_744e_656564454649,
    "esp" 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b,
    "home" 0x933ac7e1_2eb4_4f13_b844_0e14e2aef915,
    "linux-generic" 0x0fc63daf_8483_4772_8e79_3d69d8477de4,
    "linux-lvm" 0xe6d6d379_f507_44c2_a23c_238f2a3df928,
    "linux-root-arm64" 0xb921b045_1df0_41c3_af44_4c6f280d3fae,
    "linux-root-riscv64" 0x72ec70a6_cf74_40e6_bd49_4bda08e8f224,
    "linux-root-verity-arm64" 0xdf3300ce_d69f_4c92_978c_9bfb0f38d820,
    "linux-root-verity-riscv64" 0xb6ed5582_440b_4209_b8da_5ff7c419ea3d,
    "linux-root-verity-sig-arm64" 0x6db69de6_29f4_4758_a7a5_962190f00ce3,
    "linux-root-verity-sig-riscv64" 0xefe0f087_ea8d_4469_821a_4c2a96a8386a,
    "linux-root-verity-sig-x86-64" 0x41092b05_9fc8_4523_994f_2def0408b176,
    "linux-root-verity-x86-64" 0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5,
    "linux-root-x86-64" 0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709,
    "linux-usr-arm64" 0xb0e01050_ee5f_4390_949a_9101b17104e9,
    "linux-usr-riscv64" 0xbeaec34b_8442_439b_a40b_984381ed097d,
    "linux-usr-verity-arm64" 0x6e11a4e7_fbca_4ded_b9e9_e1a512bb664e,
    "linux-usr-verity-riscv64" 0x8f1056be_9b05_47c4_81d6_be53128e5b54,
    "linux-usr-verity-sig-arm64" 0xc23ce4ff_44bd_4b00_b2d4_b41b3419e02a,
    "linux-usr-verity-sig-riscv64" 0xd2f9000a_7a18_453f_b5cd_4d32f77a7b32,
    "linux-usr-verity-sig-x86-64" 0xe7bb33fb_06cf_4e81_8273_e543b413e2e2,
    "linux-usr-verity-x86-64" 0x77ff5f63_e7b6_4633_acf4_1565b864c0e6,
    "linux-usr-x86-64" 0x8484680c_9521_48c6_9c11_b0720656f69e,
    "srv" 0x3b8f8425_20e0_4f3b_907f_1a25a76f98e8,
    "swap" 0x0657fd6d_a4ab_43c4_84e5_0933c84b4f4f,
    "tmp" 0x7ec6f557_3bc5_4aca_b293_16ef5df639d1,
    "user-home" 0x773f91ef_66d4_49b5_bd83_d683bf40ad16,
    "var" 0x4d21b016_b534_45c2_a9fb_5c16e091fd2d,
    "xbootldr" 0xbc13c2ff_59e6_4262_a352_b275fd6f7172,
}

/// The attributes that have a name, each with its bit: those of UEFI, and those that the
/// Discoverable Partitions Specification gives to its types.
pub const ATTRIBUTES: &[(&str, u32)] = &[
    ("required", 0),
    ("no-block-io", 1),
    ("legacy-boot", 2),
    ("grow-file-system", 59),
    ("read-only", 60),
    ("no-auto", 63),
];

/// The attribute called `name`, as the one bit that is set; see [`ATTRIBUTES`].
pub fn attribute(name: &str) -> Option<u64> {
    ATTRIBUTES.iter().find(|(known, _)| *known == name).map(|&(_, bit)| 1 << bit)
}

impl Type {
    /// The EFI system partition.
    pub const ESP: Self = Self(Guid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b));

    /// The type called `name`; see [`TYPES`].
    pub fn named(name: &str) -> Option<Self> {
        TYPES.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind)
    }

    /// The type's byte in a hybrid MBR.
    fn mbr(self) -> u8 {
        match TYPES.iter().find(|&&(_, kind)| kind == self).map(|&(name, _)| name) {
            Some("esp") => 0xef,
            Some("basic-data") => 0x0c,
            Some("swap") => 0x82,
            _ => 0x83,
        }
    }
}

/// A partition and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its type.
    pub kind: Type,
    /// Its own GUID.
    pub guid: Guid,
    /// Its first sector.
    pub first: u64,
    /// Its sectors, at least one.
    pub sectors: u64,
    /// Its attributes; 0 for none.
    pub attributes: u64,
    /// Its name: at most 36 UTF-16 units.
    pub name: String,
    /// Whether the hybrid MBR shows it too.
    pub in_mbr: bool,
}

/// Why there is no such table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More partitions than a table has entries.
    #[error("{count} partitions are too many: a GPT has 128 entries")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A name that is too long.
    #[error("the partition name {name:?} is longer than 36 UTF-16 units")]
    Name {
        /// The name.
        name: String,
    },
    /// The partition does not lie in the part of the disk that partitions may take.
    #[error("partition {name:?} at sectors {first} to {last} is not within {low} to {high}")]
    Outside {
        /// The partition's name.
        name: String,
        /// Its first sector.
        first: u64,
        /// Its last sector.
        last: u64,
        /// The first usable sector.
        low: u64,
        /// The last usable sector.
        high: u64,
    },
    /// Two partitions share sectors.
    #[error("partitions {name:?} and {other:?} overlap")]
    Overlap {
        /// One.
        name: String,
        /// The other.
        other: String,
    },
    /// More partitions in the hybrid MBR than go beside the protective one, or one past 2 TiB.
    #[error("partition {name:?} does not fit a hybrid MBR, which shows 3 within 2 TiB")]
    Mbr {
        /// The partition's name.
        name: String,
    },
}

/// The tables of a disk, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// What stands at the beginning: MBR, header, entries; [`FIRST_USABLE`] sectors.
    pub primary: Vec<u8>,
    /// What stands at the very end: entries, header; [`AFTER_USABLE`] sectors.
    pub backup: Vec<u8>,
}

/// Makes the tables of a disk of `total` sectors. `boot_code` is put into the MBR for a BIOS to
/// run; zeros for none.
pub fn tables(
    disk: Guid,
    total: u64,
    entries: &[Entry],
    boot_code: &[u8; 440],
) -> Result<Tables, Error> {
    check(total, entries)?;
    let mut table = vec![0; ENTRIES * ENTRY];
    for (entry, bytes) in entries.iter().zip(table.chunks_exact_mut(ENTRY)) {
        bytes[..16].copy_from_slice(&entry.kind.0.mixed_endian());
        bytes[16..32].copy_from_slice(&entry.guid.mixed_endian());
        bytes[32..40].copy_from_slice(&entry.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&(entry.first + entry.sectors - 1).to_le_bytes());
        bytes[48..56].copy_from_slice(&entry.attributes.to_le_bytes());
        for (unit, place) in entry.name.encode_utf16().zip(bytes[56..].chunks_exact_mut(2)) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let header = |own: u64, other: u64, entries_at: u64| {
        let mut bytes = vec![0; SECTOR as usize];
        bytes[..8].copy_from_slice(b"EFI PART");
        bytes[8..12].copy_from_slice(&0x0001_0000u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&92u32.to_le_bytes());
        bytes[24..32].copy_from_slice(&own.to_le_bytes());
        bytes[32..40].copy_from_slice(&other.to_le_bytes());
        bytes[40..48].copy_from_slice(&FIRST_USABLE.to_le_bytes());
        bytes[48..56].copy_from_slice(&(total - AFTER_USABLE - 1).to_le_bytes());
        bytes[56..72].copy_from_slice(&disk.mixed_endian());
        bytes[72..80].copy_from_slice(&entries_at.to_le_bytes());
        bytes[80..84].copy_from_slice(&(ENTRIES as u32).to_le_bytes());
        bytes[84..88].copy_from_slice(&(ENTRY as u32).to_le_bytes());
        bytes[88..92].copy_from_slice(&crc32(&table).to_le_bytes());
        let crc = crc32(&bytes[..92]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let last = total - 1;
    let mut primary = mbr(total, entries, boot_code)?;
    primary.extend(header(1, last, 2));
    primary.extend_from_slice(&table);
    let backup_header = header(last, 1, last - ENTRY_SECTORS);
    let mut backup = table;
    backup.extend(backup_header);
    Ok(Tables { primary, backup })
}

fn check(total: u64, entries: &[Entry]) -> Result<(), Error> {
    if entries.len() > ENTRIES {
        return Err(Error::TooMany { count: entries.len() });
    }
    let high = total.saturating_sub(AFTER_USABLE + 1);
    for entry in entries {
        if entry.name.encode_utf16().count() > NAME_UNITS {
            return Err(Error::Name { name: entry.name.clone() });
        }
        let last = entry.first.saturating_add(entry.sectors.saturating_sub(1));
        if entry.sectors == 0 || entry.first < FIRST_USABLE || last > high {
            let (name, first) = (entry.name.clone(), entry.first);
            return Err(Error::Outside { name, first, last, low: FIRST_USABLE, high });
        }
    }
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.first);
    for pair in sorted.windows(2) {
        if pair[0].first + pair[0].sectors > pair[1].first {
            let (name, other) = (pair[0].name.clone(), pair[1].name.clone());
            return Err(Error::Overlap { name, other });
        }
    }
    Ok(())
}

/// The first sector: one protective partition over the whole disk or, where a partition wants to
/// be seen by a BIOS too, those partitions and a protective one over the primary table alone.
fn mbr(total: u64, entries: &[Entry], boot_code: &[u8; 440]) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; SECTOR as usize];
    bytes[..440].copy_from_slice(boot_code);
    let shown: Vec<&Entry> = entries.iter().filter(|entry| entry.in_mbr).collect();
    let protected = match shown.first() {
        None => total - 1,
        Some(_) => FIRST_USABLE - 1,
    };
    let mut records = vec![(0, 0xee, 1, u32::try_from(protected).unwrap_or(u32::MAX))];
    for entry in shown {
        let error = || Error::Mbr { name: entry.name.clone() };
        let first = u32::try_from(entry.first).map_err(|_| error())?;
        let sectors = u32::try_from(entry.sectors).map_err(|_| error())?;
        if records.len() == 4 {
            return Err(error());
        }
        let active = if records.len() == 1 { 0x80 } else { 0 };
        records.push((active, entry.kind.mbr(), first, sectors));
    }
    for (record, place) in records.into_iter().zip(bytes[446..510].chunks_exact_mut(16)) {
        mbr_record(place, record);
    }
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(bytes)
}

/// A partition's record in an MBR, 16 bytes: 0x80 where it is active, type, first sector, sectors.
pub(crate) fn mbr_record(place: &mut [u8], (active, kind, first, sectors): (u8, u8, u32, u32)) {
    place[0] = active;
    place[1..4].copy_from_slice(&chs(first));
    place[4] = kind;
    place[5..8].copy_from_slice(&chs(first.saturating_add(sectors.saturating_sub(1))));
    place[8..12].copy_from_slice(&first.to_le_bytes());
    place[12..16].copy_from_slice(&sectors.to_le_bytes());
}

/// A sector's address in cylinders, heads (255) and sectors (63), or the last such address.
fn chs(sector: u32) -> [u8; 3] {
    let (cylinder, head, sector) = (sector / (255 * 63), sector / 63 % 255, sector % 63 + 1);
    if cylinder > 1023 {
        return [0xff, 0xff, 0xff];
    }
    [head as u8, (sector | cylinder >> 2 & 0xc0) as u8, cylinder as u8]
}

/// The CRC-32 that UEFI uses (ISO 3309, as in Ethernet).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ 0xedb8_8320 & (crc & 1).wrapping_neg();
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, first: u64, sectors: u64) -> Entry {
        let guid = Guid([1; 16]);
        let name = name.to_owned();
        Entry { kind: Type::ESP, guid, first, sectors, attributes: 0, name, in_mbr: false }
    }

    #[test]
    fn crc_has_the_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn names_are_sorted_and_differ() {
        assert!(TYPES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut guids: Vec<_> = TYPES.iter().map(|(_, kind)| kind.0).collect();
        guids.sort();
        guids.dedup();
        assert_eq!(guids.len(), TYPES.len());
        assert_eq!(Type::named("esp"), Some(Type::ESP));
        assert_eq!(Type::named("nothing"), None);
    }

    #[test]
    fn attributes_are_single_bits() {
        assert_eq!(attribute("read-only"), Some(1 << 60));
        assert_eq!(attribute("no-auto"), Some(1 << 63));
        assert_eq!(attribute("read-write"), None);
    }

    #[test]
    fn bad_tables_are_refused() {
        let guid = Guid([0; 16]);
        let make = |entries: &[Entry]| tables(guid, 1000, entries, &[0; 440]).map(drop);
        assert_eq!(make(&[entry("a", 34, 933)]), Ok(()));
        assert!(matches!(make(&[entry("a", 33, 1)]), Err(Error::Outside { .. })));
        assert!(matches!(make(&[entry("a", 34, 934)]), Err(Error::Outside { .. })));
        assert!(matches!(make(&[entry("a", 34, 0)]), Err(Error::Outside { .. })));
        assert!(matches!(make(&[entry("a", u64::MAX, 9)]), Err(Error::Outside { .. })));
        let two = [entry("a", 40, 10), entry("b", 49, 1)];
        assert!(matches!(make(&two), Err(Error::Overlap { .. })));
        assert!(matches!(make(&[entry(&"n".repeat(37), 34, 1)]), Err(Error::Name { .. })));
        let many: Vec<Entry> = (0..129).map(|at| entry("m", 40 + at, 1)).collect();
        assert!(matches!(make(&many), Err(Error::TooMany { .. })));
        let seen: Vec<Entry> =
            (0..4).map(|at| Entry { in_mbr: true, ..entry("m", 40 + at, 1) }).collect();
        assert!(matches!(make(&seen), Err(Error::Mbr { .. })));
        assert_eq!(make(&seen[..3]), Ok(()));
        assert!(tables(guid, 5, &[entry("a", 34, 1)], &[0; 440]).is_err());
    }
}
