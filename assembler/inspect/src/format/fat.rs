//! FAT12, FAT16 and FAT32 with long names, after Microsoft's specification of 2000.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    bytes::{Bytes, Piece, Window},
    context::Context,
    error::{Result, invalid},
    node::{Container, Kind, List, Node, Parents},
    values::{le, text},
};

const ENTRY: usize = 32;
const FOLDER: u8 = 0x10;
const LABEL: u8 = 0x08;
const LONG: u8 = 0x0f;
/// The most bytes of a folder: 65536 entries, as the specification has it.
const MAX_FOLDER: u64 = 65536 * 32;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Width {
    Fat12,
    Fat16,
    Fat32,
}

/// What the boot sector says, in bytes.
struct Geometry {
    width: Width,
    fat: u64,
    fat_len: u64,
    root: u64,
    root_len: u64,
    data: u64,
    cluster: u64,
    clusters: u64,
    total: u64,
    root_cluster: u32,
}

fn geometry(head: &[u8]) -> Option<Geometry> {
    let jump = matches!(head.first(), Some(0xeb | 0xe9));
    let sector = le(head, 11, 2);
    let per_cluster = le(head, 13, 1);
    let reserved = le(head, 14, 2);
    let fats = le(head, 16, 1);
    let root_entries = le(head, 17, 2);
    let sectors = if le(head, 19, 2) == 0 { le(head, 32, 4) } else { le(head, 19, 2) };
    let short_fat = le(head, 22, 2);
    let fat_sectors = if short_fat == 0 { le(head, 36, 4) } else { short_fat };
    let good = jump
        && head.len() >= 512
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved != 0
        && (1..=2).contains(&fats)
        && fat_sectors != 0
        && le(head, 21, 1) >= 0xf0
        && le(head, 510, 2) == 0xaa55;
    if !good {
        return None;
    }
    let root = reserved + fats * fat_sectors;
    let data = root + (root_entries * 32).div_ceil(sector);
    let clusters = sectors.checked_sub(data)? / per_cluster;
    let width = match clusters {
        _ if short_fat == 0 => Width::Fat32,
        ..4085 => Width::Fat12,
        _ => Width::Fat16,
    };
    Some(Geometry {
        width,
        fat: reserved * sector,
        fat_len: fat_sectors * sector,
        root: root * sector,
        root_len: root_entries * 32,
        data: data * sector,
        cluster: per_cluster * sector,
        clusters,
        total: sectors * sector,
        root_cluster: le(head, 44, 4) as u32,
    })
}

/// Whether bytes begin as a FAT volume does.
pub(super) fn is(head: &[u8]) -> bool {
    geometry(head).is_some()
}

/// How long a volume is, by its own account.
pub(super) fn volume_len(bytes: &Bytes) -> Result<Option<u64>> {
    Ok(geometry(&bytes.head(512)?).map(|geometry| geometry.total))
}

struct Volume {
    bytes: Bytes,
    geometry: Geometry,
    fat: Mutex<Window>,
    parents: Parents,
}

/// Opens a volume.
pub(super) fn open(bytes: &Bytes) -> Result<Container> {
    let head = bytes.head(512)?;
    let geometry = geometry(&head).ok_or_else(|| invalid("fat", "no boot sector"))?;
    let extended = if geometry.width == Width::Fat32 { 64 } else { 36 };
    let mut container = Container::new(match geometry.width {
        Width::Fat12 => "fat12",
        Width::Fat16 => "fat16",
        Width::Fat32 => "fat32",
    });
    container.field("oem", text(&head[3..11]));
    container.field("sector size", le(&head, 11, 2));
    container.field("cluster size", geometry.cluster);
    container.field("clusters", geometry.clusters);
    container.field("volume size", geometry.total);
    container.field("hidden sectors", le(&head, 28, 4));
    container.field("serial", format!("{:08x}", le(&head, extended + 3, 4)));
    container.field("label", text(&head[extended + 7..extended + 18]));
    let fat = bytes.slice(geometry.fat, geometry.fat_len)?;
    let volume = Arc::new(Volume {
        bytes: bytes.clone(),
        fat: Mutex::new(Window::new(fat)),
        geometry,
        parents: Parents::default(),
    });
    let root = match volume.geometry.width {
        Width::Fat32 => volume.chain(volume.geometry.root_cluster, None)?,
        _ => bytes.slice(volume.geometry.root, volume.geometry.root_len)?,
    };
    container.nodes = list(&volume, &root, 0)?;
    Ok(container)
}

impl Volume {
    /// The cluster after one; none at the end.
    fn next(&self, cluster: u32) -> Result<Option<u32>> {
        let mut fat = self.fat.lock().unwrap_or_else(PoisonError::into_inner);
        let at = u64::from(cluster);
        let (value, end) = match self.geometry.width {
            Width::Fat12 => {
                let pair = le(fat.get(at + at / 2, 2)?, 0, 2) as u32;
                (if at % 2 == 0 { pair & 0xfff } else { pair >> 4 }, 0xff8)
            }
            Width::Fat16 => (le(fat.get(at * 2, 2)?, 0, 2) as u32, 0xfff8),
            Width::Fat32 => (le(fat.get(at * 4, 4)?, 0, 4) as u32 & 0x0fff_ffff, 0x0fff_fff8),
        };
        Ok((value < end).then_some(value))
    }

    /// The bytes of a chain of clusters: `len` of them, or all for a folder.
    fn chain(&self, first: u32, len: Option<u64>) -> Result<Bytes> {
        let geometry = &self.geometry;
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut total = 0;
        let mut cluster = Some(first);
        let wanted = len.unwrap_or(MAX_FOLDER);
        while total < wanted {
            let Some(at) = cluster else { break };
            if at < 2 || u64::from(at) - 2 >= geometry.clusters {
                return Err(invalid("fat", format!("cluster {at} does not exist")));
            }
            if total / geometry.cluster > geometry.clusters || (len.is_none() && !seen.insert(at)) {
                return Err(invalid("fat", format!("a chain loops at cluster {at}")));
            }
            let start = geometry.data + (u64::from(at) - 2) * geometry.cluster;
            match pieces.last_mut() {
                Some((begin, len)) if *begin + *len == start => *len += geometry.cluster,
                _ => pieces.push((start, geometry.cluster)),
            }
            total += geometry.cluster;
            cluster = if total < wanted { self.next(at)? } else { None };
        }
        if len.is_some_and(|len| len > total) {
            return Err(invalid("fat", format!("a file's chain ends after {total} bytes")));
        }
        let mut rest = len.unwrap_or(total);
        let mut parts = Vec::with_capacity(pieces.len());
        for (start, len) in pieces {
            let len = len.min(rest);
            rest -= len;
            parts.push(Piece { len, bytes: Some(self.bytes.slice(start, len)?) });
        }
        Bytes::from_pieces(parts)
    }
}

struct Folder {
    volume: Arc<Volume>,
    cluster: u32,
}

impl List for Folder {
    fn list(&self, _: &Context) -> Result<Vec<Node>> {
        let bytes = self.volume.chain(self.cluster, None)?;
        list(&self.volume, &bytes, self.cluster)
    }
}

fn list(volume: &Arc<Volume>, folder: &Bytes, cluster: u32) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut window = Window::new(folder.clone());
    let mut long: Vec<(u8, [u8; 26], u8)> = Vec::new();
    for index in 0..folder.len() / ENTRY as u64 {
        let mut entry = [0; ENTRY];
        entry.copy_from_slice(window.get(index * ENTRY as u64, ENTRY)?);
        match (entry[0], entry[11] & 0x3f) {
            (0, _) => break,
            (0xe5, _) => long.clear(),
            (order, LONG) => {
                if order & 0x40 != 0 {
                    long.clear();
                }
                let mut part = [0; 26];
                part[..10].copy_from_slice(&entry[1..11]);
                part[10..22].copy_from_slice(&entry[14..26]);
                part[22..].copy_from_slice(&entry[28..]);
                // At most 20 parts make a name of 255 characters.
                if long.len() < 20 {
                    long.push((order & 0x3f, part, entry[13]));
                }
            }
            (b'.', FOLDER..) if entry[1..11] == *b"          " => {}
            (b'.', FOLDER..) if entry[1..11] == *b".         " => {}
            (_, attributes) if attributes & LABEL != 0 => {
                long.clear();
                let label = Node::new("(volume label)", Kind::Part);
                nodes.push(label.note("label", text(&entry[..11])));
            }
            (_, attributes) => {
                let name = long_name(&long, &entry).unwrap_or_else(|| short_name(&entry));
                long.clear();
                nodes.push(node(volume, name, &entry, attributes, cluster, index)?);
            }
        }
    }
    Ok(nodes)
}

fn node(
    volume: &Arc<Volume>,
    name: String,
    entry: &[u8; ENTRY],
    attributes: u8,
    parent: u32,
    index: u64,
) -> Result<Node> {
    let wide = volume.geometry.width == Width::Fat32;
    let high = if wide { le(entry, 20, 2) } else { 0 };
    let first = (high << 16 | le(entry, 26, 2)) as u32;
    let name = name.replace('/', "_");
    let mut node = if attributes & FOLDER == 0 {
        let len = le(entry, 28, 4);
        let bytes =
            if len == 0 { Bytes::from_vec(Vec::new()) } else { volume.chain(first, Some(len))? };
        Node::with_bytes(name, Kind::File, bytes)
    } else {
        volume.parents.claim("fat", first.into(), parent.into(), index)?;
        let mut node = Node::new(name, Kind::Folder);
        node.list = Some(Arc::new(Folder { volume: volume.clone(), cluster: first }));
        node
    };
    node = node.note("short name", text(&entry[..11])).note("attributes", flags(attributes));
    let written = (le(entry, 24, 2), le(entry, 22, 2));
    let created = (le(entry, 16, 2), le(entry, 14, 2));
    node = node.note("written", date(written)).note("created", date(created));
    Ok(node.note("accessed", date((le(entry, 18, 2), 0))))
}

fn flags(attributes: u8) -> String {
    let letters = "rhsvda".chars().enumerate();
    let set = letters.filter(|(bit, _)| attributes >> bit & 1 == 1).map(|(_, letter)| letter);
    set.collect()
}

/// A date and time of two halves, as written in the table.
fn date((date, time): (u64, u64)) -> String {
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        1980 + (date >> 9),
        date >> 5 & 15,
        date & 31,
        time >> 11,
        time >> 5 & 63,
        (time & 31) * 2
    )
}

/// The long name, where its parts are whole and belong to the short one.
fn long_name(parts: &[(u8, [u8; 26], u8)], entry: &[u8; ENTRY]) -> Option<String> {
    let sum = entry[..11].iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let count = parts.len();
    let mut name = Vec::new();
    for (index, (order, units, check)) in parts.iter().rev().enumerate() {
        if usize::from(*order) != index + 1 || *check != sum {
            return None;
        }
        name.extend_from_slice(units);
    }
    (count != 0).then(|| crate::values::utf16(&name))
}

fn short_name(entry: &[u8; ENTRY]) -> String {
    let part = |bytes: &[u8], lower: bool| {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_end().to_owned();
        if lower { text.to_lowercase() } else { text }
    };
    let base = part(&entry[..8], entry[12] & 8 != 0);
    let extension = part(&entry[8..11], entry[12] & 16 != 0);
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}
