//! Partition tables: GPT (UEFI 2.10, chapter 5) and MBR.

use crate::{
    bytes::Bytes,
    error::{Result, invalid},
    node::{Container, Kind, Node},
    values::{guid, le, utf16},
};

/// The most entries that are read; 128 are usual.
const MAX_ENTRIES: u64 = 4096;
const MBR: usize = 512;

/// The sector size, if there is a GPT.
fn sector(bytes: &Bytes) -> Result<Option<u64>> {
    for sector in [512, 4096] {
        if bytes.len() >= sector + 512 && bytes.array::<8>(sector)? == *b"EFI PART" {
            return Ok(Some(sector));
        }
    }
    Ok(None)
}

/// Whether there is a GPT.
pub(super) fn is_gpt(bytes: &Bytes) -> Result<bool> {
    Ok(sector(bytes)?.is_some())
}

/// Whether there is an MBR that names a partition.
pub(super) fn is_mbr(head: &[u8], len: u64) -> bool {
    if le(head, 510, 2) != 0xaa55 {
        return false;
    }
    let valid = |index: usize| {
        let entry = 446 + index * 16;
        let empty = le(head, entry, 8) | le(head, entry + 8, 8) == 0;
        let fits = le(head, entry + 4, 1) != 0
            && le(head, entry, 1) & 0x7f == 0
            && le(head, entry + 8, 4) * 512 <= len;
        (empty || fits, !empty)
    };
    let entries: Vec<_> = (0..4).map(valid).collect();
    entries.iter().all(|entry| entry.0) && entries.iter().any(|entry| entry.1)
}

/// Opens a disk.
pub(super) fn open(bytes: &Bytes) -> Result<Container> {
    let mut container = match sector(bytes)? {
        Some(sector) => gpt(bytes, sector)?,
        None => Container::new("mbr"),
    };
    mbr(bytes, &mut container)?;
    Ok(container)
}

/// Adds what the MBR says; partitions that the GPT does not have become nodes.
fn mbr(bytes: &Bytes, container: &mut Container) -> Result<()> {
    let head = bytes.array::<MBR>(0)?;
    container.field("disk signature", format!("{:08x}", le(&head, 440, 4)));
    let is_gpt = container.format == "gpt";
    for index in 0..4 {
        let entry = &head[446 + index * 16..462 + index * 16];
        if entry.iter().all(|byte| *byte == 0) {
            continue;
        }
        let (kind, first, count) = (entry[4], le(entry, 8, 4), le(entry, 12, 4));
        let name = format!("mbr partition {}", index + 1);
        let active = if entry[0] & 0x80 == 0 { "" } else { " active" };
        container.field(name, format!("type {kind:#04x} first {first} sectors {count}{active}"));
        if is_gpt || count == 0 || (kind == 0xee) {
            continue;
        }
        let start = first * 512;
        let len = (count * 512).min(bytes.len().saturating_sub(start));
        let node = Node::with_bytes(
            format!("partition-{}", index + 1),
            Kind::Partition,
            bytes.slice(start, len)?,
        );
        container.nodes.push(node.note("type", format!("{kind:#04x}")));
    }
    if head[..440].iter().any(|byte| *byte != 0) {
        let code = Node::with_bytes("(boot code)", Kind::Part, bytes.slice(0, 440)?);
        container.nodes.push(code);
    }
    Ok(())
}

fn gpt(bytes: &Bytes, sector: u64) -> Result<Container> {
    let header = bytes.array::<92>(sector)?;
    let mut container = Container::new("gpt");
    let (entries, count, size) = (le(&header, 72, 8), le(&header, 80, 4), le(&header, 84, 4));
    if count > MAX_ENTRIES || !(128..=4096).contains(&size) {
        return Err(invalid("gpt", format!("{count} entries of {size} bytes")));
    }
    container.field("sector size", sector);
    container.field("disk guid", guid(&header[56..72]));
    container.field("first usable", le(&header, 40, 8));
    container.field("last usable", le(&header, 48, 8));
    container.field("backup at", le(&header, 32, 8));
    let table = bytes.vec(entries.saturating_mul(sector), (count * size) as usize)?;
    container.field("header checksum", verdict(header_is_right(&header)));
    let table_sum = u64::from(crc32fast::hash(&table));
    container.field("table checksum", verdict(table_sum == le(&header, 88, 4)));
    let backup = backup_is_right(bytes, sector, &header);
    container.field("backup", verdict(backup));
    for entry in table.chunks_exact(size as usize) {
        if entry[..16].iter().all(|byte| *byte == 0) {
            continue;
        }
        let (first, last) = (le(entry, 32, 8), le(entry, 40, 8));
        let sectors = last.checked_sub(first).and_then(|count| count.checked_add(1));
        let Some(sectors) = sectors else {
            return Err(invalid("gpt", format!("a partition from {first} to {last}")));
        };
        let name = utf16(&entry[56..128]);
        let kind = guid(&entry[..16]);
        let short = type_name(&kind);
        let name = match (name.is_empty(), short) {
            (false, _) => name.replace('/', "_"),
            (true, Some(short)) => short.to_owned(),
            (true, None) => "partition".to_owned(),
        };
        let content = bytes.slice(first.saturating_mul(sector), sectors.saturating_mul(sector))?;
        let node = Node::with_bytes(name, Kind::Partition, content)
            .note("type", short.map_or(kind, str::to_owned))
            .note("guid", guid(&entry[16..32]))
            .note("first sector", first)
            .note("attributes", format!("{:#x}", le(entry, 48, 8)));
        container.nodes.push(node);
    }
    Ok(container)
}

fn verdict(right: bool) -> &'static str {
    if right { "right" } else { "wrong" }
}

fn header_is_right(header: &[u8; 92]) -> bool {
    let mut zeroed = *header;
    zeroed[16..20].fill(0);
    u64::from(crc32fast::hash(&zeroed)) == le(header, 16, 4)
}

/// Whether the header at the end is whole and says the same as the first.
fn backup_is_right(bytes: &Bytes, sector: u64, header: &[u8; 92]) -> bool {
    let at = le(header, 32, 8).saturating_mul(sector);
    let Ok(backup) = bytes.array::<92>(at) else { return false };
    header_is_right(&backup)
        && backup[..16] == header[..16]
        && backup[40..72] == header[40..72]
        && backup[80..] == header[80..]
}

/// A short name of a type of the Discoverable Partitions Specification.
fn type_name(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" => "esp",
        "bc13c2ff-59e6-4262-a352-b275fd6f7172" => "xbootldr",
        "21686148-6449-6e6f-744e-656564454649" => "bios-boot",
        "0fc63daf-8483-4772-8e79-3d69d8477de4" => "linux",
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" => "swap",
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" => "linux-root-x86-64",
        "b921b045-1df0-41c3-af44-4c6f280d3fae" => "linux-root-arm64",
        "72ec70a6-cf74-40e6-bd49-4bda08e8f224" => "linux-root-riscv64",
        "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5" => "linux-root-x86-64-verity",
        "df3300ce-d69f-4c92-978c-9bfb0f38d820" => "linux-root-arm64-verity",
        "b6ed5582-440b-4209-b8da-5ff7c419ea3d" => "linux-root-riscv64-verity",
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" => "basic-data",
        _ => return None,
    })
}
