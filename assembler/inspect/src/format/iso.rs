//! ISO 9660 with Rock Ridge (IEEE P1282 1.12) and El Torito. Joliet repeats the same files under
//! poorer names, and is left out.

use std::sync::Arc;

use crate::{
    bytes::{Bytes, Piece, Window},
    context::Context,
    error::{Error, Result, invalid},
    node::{Container, Kind, List, Node, Parents},
    values::{le, text},
};

use super::{fat, partitions};

mod rock_ridge;

const SECTOR: u64 = 2048;
/// Where the volume descriptors begin.
const DESCRIPTORS: u64 = 16 * SECTOR;
/// The most descriptors that are looked at.
const MAX_DESCRIPTORS: u64 = 64;

/// Whether bytes are an ISO 9660 image.
pub(super) fn is(bytes: &Bytes) -> Result<bool> {
    let len = bytes.len();
    Ok(len >= DESCRIPTORS + SECTOR && bytes.array::<5>(DESCRIPTORS + 1)? == *b"CD001")
}

struct Volume {
    bytes: Bytes,
    /// Bytes before the system use fields; none where there is no Rock Ridge.
    rock_ridge: Option<usize>,
    parents: Parents,
}

/// Opens an image: `files`, `boot` (El Torito) and `partitions`.
pub(super) fn open(bytes: &Bytes) -> Result<Container> {
    let mut container = Container::new("iso9660");
    let mut primary = None;
    let mut catalog = None;
    for index in 0..MAX_DESCRIPTORS {
        let descriptor = bytes.array::<{ SECTOR as usize }>(DESCRIPTORS + index * SECTOR)?;
        if descriptor[1..6] != *b"CD001" {
            return Err(invalid("iso9660", "the volume descriptors have no end"));
        }
        match descriptor[0] {
            0 if descriptor[7..].starts_with(b"EL TORITO SPECIFICATION") => {
                catalog = Some(le(&descriptor, 71, 4));
            }
            1 if primary.is_none() => primary = Some(descriptor),
            2 if descriptor[88..].starts_with(b"%/") => container.field("joliet", "yes"),
            255 => break,
            _ => {}
        }
    }
    let primary = primary.ok_or_else(|| invalid("iso9660", "no primary volume descriptor"))?;
    let block = le(&primary, 128, 2);
    if block != SECTOR {
        return Err(invalid("iso9660", format!("blocks of {block} bytes")));
    }
    for (name, from, to) in [
        ("system", 8, 40),
        ("volume", 40, 72),
        ("volume set", 190, 318),
        ("publisher", 318, 446),
        ("preparer", 446, 574),
        ("application", 574, 702),
        ("created", 813, 829),
        ("modified", 830, 846),
    ] {
        container.field(name, text(&primary[from..to]));
    }
    container.field("volume size", le(&primary, 80, 4) * SECTOR);
    let root = record(&primary[156..190])?;
    let at = bytes.slice(root.start, root.len)?;
    let rock_ridge = rock_ridge::skip(&at)?;
    container.field("rock ridge", if rock_ridge.is_some() { "yes" } else { "no" });
    let volume = Arc::new(Volume { bytes: bytes.clone(), rock_ridge, parents: Parents::default() });
    volume.parents.claim("iso9660", root.start, u64::MAX, 0)?;
    let mut files = Node::new("files", Kind::Folder);
    files.list = Some(Arc::new(Folder { volume, start: root.start, len: root.len }));
    container.nodes.push(files);
    if let Some(catalog) = catalog {
        let images = boot(bytes, catalog)?;
        container.nodes.push(Node::folder("boot", images));
    }
    let head = bytes.head(512)?;
    if partitions::is_gpt(bytes)? || partitions::is_mbr(&head, bytes.len()) {
        let table = partitions::open(bytes)?;
        let format = table.format;
        container.fields.extend(
            table.fields.into_iter().map(|(name, value)| (format!("{format} {name}"), value)),
        );
        // A partition that is the whole image would be opened as the image again, and so on.
        let inner = table.nodes.into_iter().map(|mut node| {
            if node.kind == Kind::Partition && starts_at_zero(bytes, &node) {
                node.bytes = None;
                node = node.note("is", "the image itself");
            }
            node
        });
        container.nodes.push(Node::folder("partitions", inner.collect()));
    }
    Ok(container)
}

fn starts_at_zero(whole: &Bytes, node: &Node) -> bool {
    node.bytes.as_ref().is_some_and(|bytes| bytes.identity().1 == whole.identity().1)
}

/// The boot images of an El Torito catalog.
fn boot(bytes: &Bytes, catalog: u64) -> Result<Vec<Node>> {
    let table = bytes.array::<{ SECTOR as usize }>(catalog * SECTOR)?;
    let mut images = Vec::new();
    let mut platform = table[1];
    let sum = table[..32]
        .chunks_exact(2)
        .fold(0u16, |sum, pair| sum.wrapping_add(u16::from_le_bytes([pair[0], pair[1]])));
    if table[0] != 1 || sum != 0 || table[30..32] != [0x55, 0xaa] {
        return Err(invalid("el torito", "the catalog's first entry is damaged"));
    }
    for (index, entry) in table.chunks_exact(32).enumerate().skip(1) {
        match entry[0] {
            // The first image may be marked as not bootable.
            0x88 => {}
            0 if index == 1 => {}
            0x90 | 0x91 => {
                platform = entry[1];
                continue;
            }
            0x44 => continue,
            _ => break,
        }
        let name = match platform {
            0 => "bios".to_owned(),
            1 => "powerpc".to_owned(),
            2 => "mac".to_owned(),
            0xef => "uefi".to_owned(),
            other => format!("platform-{other:#04x}"),
        };
        let (sectors, start) = (le(entry, 6, 2), le(entry, 8, 4) * SECTOR);
        let rest = bytes.tail(start)?;
        // A count of sectors ends at 32 MiB: longer images say 0 or 1, and FAT knows better.
        let len = match fat::volume_len(&rest)? {
            Some(len) => len,
            None => sectors.max(4) * 512,
        };
        let image = Node::with_bytes(name, Kind::Part, rest.slice(0, len.min(rest.len()))?)
            .note("bootable", if entry[0] == 0x88 { "yes" } else { "no" })
            .note("emulation", entry[1])
            .note("load segment", format!("{:#06x}", le(entry, 2, 2)))
            .note("sectors", sectors);
        images.push(image);
    }
    Ok(images)
}

/// A directory record.
struct Record {
    start: u64,
    len: u64,
    flags: u8,
    time: [u8; 7],
    name: Vec<u8>,
    system_use: Vec<u8>,
}

fn record(bytes: &[u8]) -> Result<Record> {
    let name_len = le(bytes, 32, 1) as usize;
    let Some(name) = bytes.get(33..33 + name_len).filter(|_| bytes.len() >= 34) else {
        return Err(invalid("iso9660", "a directory record is cut short"));
    };
    let system_use = (33 + name_len).next_multiple_of(2);
    let mut time = [0; 7];
    time.copy_from_slice(&bytes[18..25]);
    Ok(Record {
        start: (le(bytes, 2, 4) + le(bytes, 1, 1)) * SECTOR,
        len: le(bytes, 10, 4),
        flags: bytes[25],
        time,
        name: name.to_vec(),
        system_use: bytes.get(system_use..).unwrap_or(&[]).to_vec(),
    })
}

struct Folder {
    volume: Arc<Volume>,
    start: u64,
    len: u64,
}

impl List for Folder {
    fn list(&self, context: &Context) -> Result<Vec<Node>> {
        let volume = &self.volume;
        let bytes = volume.bytes.slice(self.start, self.len)?;
        let mut window = Window::new(bytes);
        let mut nodes = Vec::new();
        // The extents so far of a file that has several.
        let mut extents: Vec<Piece> = Vec::new();
        let mut at = 0;
        while at < self.len {
            let size = window.get(at, 1)?[0] as usize;
            if size == 0 {
                at = (at + 1).next_multiple_of(SECTOR);
                continue;
            }
            let entry = record(window.get(at, size)?)?;
            let position = at;
            at += size as u64;
            if matches!(entry.name[..], [0] | [1]) {
                continue;
            }
            let more = entry.flags & 0x80 != 0;
            if entry.flags & 2 == 0 {
                extents.push(Piece {
                    len: entry.len,
                    bytes: Some(
                        volume
                            .bytes
                            .slice(if entry.len == 0 { 0 } else { entry.start }, entry.len)?,
                    ),
                });
                context.check_entries(extents.len())?;
            }
            if more {
                continue;
            }
            let parts = std::mem::take(&mut extents);
            if let Some(node) = self.node(&entry, parts, position)? {
                nodes.push(node);
            }
            context.check_entries(nodes.len())?;
        }
        Ok(nodes)
    }
}

impl Folder {
    fn node(&self, entry: &Record, parts: Vec<Piece>, position: u64) -> Result<Option<Node>> {
        let volume = &self.volume;
        let extra = match volume.rock_ridge {
            Some(skip) => rock_ridge::read(&volume.bytes, &entry.system_use, skip)?,
            None => rock_ridge::Extra::default(),
        };
        if extra.relocated {
            return Ok(None);
        }
        let kind = match extra.mode.and_then(Kind::from_mode) {
            _ if extra.child.is_some() => Kind::Folder,
            Some(kind) => kind,
            None if entry.flags & 2 != 0 => Kind::Folder,
            None => Kind::File,
        };
        let name = extra.name.unwrap_or_else(|| plain_name(&entry.name));
        let mut node = Node::new(name, kind);
        node.meta.mode = extra.mode.map(|mode| mode & 0o7777);
        node.meta.owner = extra.owner;
        node.meta.links = extra.links.filter(|links| kind == Kind::File && *links > 1);
        node.meta.device = extra.device;
        node.meta.target = extra.target;
        node.meta.mtime = Some((extra.mtime.unwrap_or_else(|| seconds(&entry.time)), 0));
        match kind {
            Kind::Folder => {
                let (start, len) = match extra.child {
                    Some(child) => {
                        let own = volume.bytes.array::<34>(child * SECTOR)?;
                        (child * SECTOR, record(&own)?.len)
                    }
                    None => (entry.start, entry.len),
                };
                volume.parents.claim("iso9660", start, self.start, position)?;
                let volume = volume.clone();
                node.list = Some(Arc::new(Folder { volume, start, len }));
            }
            Kind::File => node.bytes = Some(Bytes::from_pieces(parts)?),
            _ => {}
        }
        if node.name.contains(&b'/') || node.name.is_empty() {
            return Err(invalid("iso9660", format!("{:?} is no name", node.name())));
        }
        Ok(Some(node))
    }
}

/// A name without its version.
fn plain_name(name: &[u8]) -> Vec<u8> {
    let end = name.iter().position(|byte| *byte == b';').unwrap_or(name.len());
    let name = &name[..end];
    name.strip_suffix(b".").unwrap_or(name).to_vec()
}

/// Seconds since 1970 of a time in seven bytes.
fn seconds(time: &[u8; 7]) -> i64 {
    let [year, month, day, hour, minute, second, zone] = time.map(i64::from);
    // Days from a civil date, after Howard Hinnant.
    let (year, month) = (1900 + year, month.clamp(1, 12));
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let zone = i64::from(zone as u8 as i8) * 15 * 60;
    days * 86_400 + hour * 3600 + minute * 60 + second - zone
}

/// An error of a Rock Ridge field that goes on for too long.
fn too_long(what: &'static str, limit: u64) -> Error {
    Error::Limit { what, limit }
}
