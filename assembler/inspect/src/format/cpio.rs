//! Archives for an initramfs: cpio newc, several in a row, any of them compressed; and single
//! compressed files, which begin in the same way. Archives that are compressed together, or each
//! by itself with nothing between them, are one tree, as the kernel unpacks them.
//!
//! Follows the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::collections::BTreeMap;

use crate::{
    bytes::{Bytes, Window},
    context::Context,
    error::{Error, Result, invalid},
    node::{Container, Kind, Meta, Node, Paths, escape},
};

use super::compressed::{Codec, decompress};

const HEADER: usize = 110;
/// The longest name, with its NUL; the kernel refuses longer ones.
const MAX_NAME: u64 = 4096;
/// The longest target of a link.
const MAX_TARGET: u64 = 4096;
const TRAILER: &[u8] = b"TRAILER!!!";

/// Opens archives in a row; what holds one part only stands for that part.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let mut parts = Vec::new();
    let mut at = skip_zeros(bytes, 0)?;
    while at < bytes.len() {
        let rest = bytes.tail(at)?;
        let head = rest.head(6)?;
        let part = if let Some(codec) = Codec::of(&head) {
            let (plain, taken) = decompress(context, codec, &rest)?;
            (rest.slice(0, taken)?, plain, Some(codec))
        } else if is_archive(&head) {
            let (_, taken) = archive(context, &rest)?;
            let plain = rest.slice(0, taken)?;
            (plain.clone(), plain, None)
        } else if parts.is_empty() {
            return Err(invalid("cpio", "neither an archive nor compressed"));
        } else {
            parts.push((rest.clone(), rest, None));
            break;
        };
        at = skip_zeros(bytes, at + part.0.len())?;
        parts.push(part);
        context.check_entries(parts.len())?;
    }
    if let [(_, plain, codec)] = &parts[..] {
        return one(context, plain, *codec);
    }
    let mut container = Container::new("initramfs");
    container.field("parts", parts.len());
    for (index, (raw, plain, codec)) in parts.into_iter().enumerate() {
        let mut node = Node::with_bytes((index + 1).to_string(), Kind::Part, plain);
        if let Some(codec) = codec {
            node = node.note("compression", codec.as_str()).note("compressed", raw.len());
        }
        container.nodes.push(node);
    }
    Ok(container)
}

fn one(context: &Context, plain: &Bytes, codec: Option<Codec>) -> Result<Container> {
    let is_cpio = is_archive(&plain.head(6)?);
    let mut container = match (codec, is_cpio) {
        (_, true) => archives(context, plain)?,
        (Some(codec), false) => {
            let mut container = Container::new(codec.as_str());
            container.nodes.push(Node::with_bytes("content", Kind::Part, plain.clone()));
            return Ok(container);
        }
        (None, false) => return Err(invalid("cpio", "no archive")),
    };
    if let Some(codec) = codec {
        container.field("compression", codec.as_str());
    }
    Ok(container)
}

pub(super) fn is_archive(head: &[u8]) -> bool {
    head.starts_with(b"070701") || head.starts_with(b"070702")
}

/// The next byte that is not zero, from an offset on.
fn skip_zeros(bytes: &Bytes, mut at: u64) -> Result<u64> {
    let mut buffer = [0; 4096];
    loop {
        let count = bytes.read_at(at, &mut buffer)?;
        if count == 0 {
            return Ok(bytes.len());
        }
        if let Some(found) = buffer[..count].iter().position(|byte| *byte != 0) {
            return Ok(at + found as u64);
        }
        at += count as u64;
    }
}

/// An entry's header.
struct Header {
    ino: u32,
    mode: u32,
    owner: (u32, u32),
    links: u32,
    mtime: u32,
    size: u64,
    file_system: (u32, u32),
    device: (u32, u32),
    name: u64,
}

/// What names of the same file share: the inode's number and its file system's.
type Identity = (u32, (u32, u32));

fn header(bytes: &[u8]) -> Result<Header> {
    if !is_archive(bytes) {
        return Err(invalid("cpio", "an entry does not begin with 070701"));
    }
    let field = |index: usize| {
        let digits = &bytes[6 + index * 8..14 + index * 8];
        let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
        text.and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or_else(|| invalid("cpio", format!("{:?} is no number", escape(digits))))
    };
    Ok(Header {
        ino: field(0)?,
        mode: field(1)?,
        owner: (field(2)?, field(3)?),
        links: field(4)?,
        mtime: field(5)?,
        size: field(6)?.into(),
        file_system: (field(7)?, field(8)?),
        device: (field(9)?, field(10)?),
        name: field(11)?.into(),
    })
}

/// Reads one archive and says how long it is, with its trailer.
fn archive(context: &Context, bytes: &Bytes) -> Result<(Container, u64)> {
    let (entries, end) = entries(context, bytes)?;
    Ok((container(context, entries, 1)?, end))
}

/// Reads archives in a row, as one tree.
fn archives(context: &Context, bytes: &Bytes) -> Result<Container> {
    let mut all = Vec::new();
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        let rest = bytes.tail(at)?;
        if count != 0 && !is_archive(&rest.head(6)?) {
            break;
        }
        let (found, end) = entries(context, &rest)?;
        all.extend(found);
        context.check_entries(all.len())?;
        count += 1;
        at = skip_zeros(bytes, at + end)?;
    }
    container(context, all, count)
}

/// The tree of entries from so many archives; a later one of the same path takes the place of an
/// earlier one.
fn container(
    context: &Context,
    entries: Vec<(Vec<u8>, Node)>,
    archives: usize,
) -> Result<Container> {
    let mut container = Container::new("cpio");
    if archives > 1 {
        container.field("archives", archives);
    }
    container.field("entries", entries.len());
    let mut paths = Paths::new();
    for (path, node) in entries {
        paths.insert(context, &path, node)?;
    }
    let (root, nodes) = paths.finish();
    if let Some(root) = root {
        container.fields.extend(root.fields().into_iter().map(|(n, v)| (format!("root {n}"), v)));
    }
    container.nodes = nodes;
    Ok(container)
}

/// What one archive holds, each with its path, in its order.
type Entries = Vec<(Vec<u8>, Node)>;

/// The entries of one archive, and how long it is.
fn entries(context: &Context, bytes: &Bytes) -> Result<(Entries, u64)> {
    let mut window = Window::new(bytes.clone());
    let mut entries: Vec<(Vec<u8>, Node, Option<Identity>)> = Vec::new();
    let mut linked: BTreeMap<Identity, Bytes> = BTreeMap::new();
    let mut at = 0u64;
    loop {
        let entry = header(window.get(at, HEADER)?)?;
        if entry.name == 0 || entry.name > MAX_NAME {
            return Err(Error::Limit { what: "bytes of a name", limit: MAX_NAME });
        }
        let name = window.get(at + HEADER as u64, entry.name as usize)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = name[..end].to_vec();
        let data = (at + HEADER as u64 + entry.name).next_multiple_of(4);
        at = (data + entry.size).next_multiple_of(4);
        if name == TRAILER {
            at = at.min(bytes.len());
            break;
        }
        let content = bytes.slice(data, entry.size)?;
        let Some(kind) = Kind::from_mode(entry.mode) else {
            return Err(invalid("cpio", format!("{}: mode {:o}", escape(&name), entry.mode)));
        };
        let mut node = Node::new("", kind);
        node.meta = Meta {
            mode: Some(entry.mode & 0o7777),
            owner: Some(entry.owner),
            mtime: Some((entry.mtime.into(), 0)),
            ..Meta::default()
        };
        let mut link = None;
        match kind {
            Kind::File => {
                if entry.links > 1 {
                    node.meta.links = Some(entry.links);
                    let key = (entry.ino, entry.file_system);
                    link = Some(key);
                    if entry.size > 0 {
                        linked.insert(key, content.clone());
                    }
                }
                node.bytes = Some(content);
            }
            Kind::Symlink => {
                if entry.size > MAX_TARGET {
                    return Err(Error::Limit { what: "bytes of a link", limit: MAX_TARGET });
                }
                node.meta.target = Some(content.vec(0, entry.size as usize)?);
            }
            Kind::CharDevice | Kind::BlockDevice => node.meta.device = Some(entry.device),
            _ => {}
        }
        entries.push((name, node, link));
        context.check_entries(entries.len())?;
    }
    let whole = |(path, mut node, link): (Vec<u8>, Node, Option<Identity>)| {
        // Of several names of a file, one alone carries its bytes.
        if let Some(bytes) = link.and_then(|key| linked.get(&key)) {
            node.bytes = Some(bytes.clone());
        }
        (path, node)
    };
    Ok((entries.into_iter().map(whole).collect(), at))
}
