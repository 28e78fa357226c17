//! `ar` archives: static libraries, with GNU's or BSD's long names.

use crate::{
    bytes::{Bytes, Window},
    context::Context,
    error::{Error, Result, invalid},
    node::{Container, Kind, Meta, Node, escape},
};

const MAGIC: u64 = 8;
const HEADER: usize = 60;
/// The most bytes of a table of long names.
const MAX_NAMES: u64 = 64 << 20;
const MAX_NAME: u64 = 4096;

/// Whether bytes begin as an archive does.
pub(super) fn is(head: &[u8]) -> bool {
    head.starts_with(b"!<arch>\n") || head.starts_with(b"!<thin>\n")
}

/// Opens an archive.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let is_thin = bytes.array::<8>(0)? == *b"!<thin>\n";
    let mut container = Container::new("ar");
    container.field("thin", if is_thin { "yes" } else { "no" });
    let mut window = Window::new(bytes.clone());
    let mut names = Vec::new();
    let mut at = MAGIC;
    while at < bytes.len() {
        let mut header = [0; HEADER];
        header.copy_from_slice(window.get(at, HEADER)?);
        if header[58..] != *b"`\n" {
            return Err(invalid("ar", format!("no member begins at {at}")));
        }
        let size = number(&header[48..58], 10)?;
        let data = at + HEADER as u64;
        let raw = header[..16].trim_ascii_end();
        let special = matches!(raw, b"/" | b"//" | b"/SYM64/");
        // A thin archive has the tables, and no members.
        let stored = if is_thin && !special { 0 } else { size };
        let content = bytes.slice(data, stored)?;
        at = (data + stored).next_multiple_of(2);
        let node = match raw {
            b"//" => {
                if size > MAX_NAMES {
                    return Err(Error::Limit { what: "bytes of names", limit: MAX_NAMES });
                }
                names = content.vec(0, size as usize)?;
                continue;
            }
            b"/" | b"/SYM64/" => Node::with_bytes("(symbols)", Kind::Part, content),
            raw => {
                let (name, skip) = name(raw, &names, &content)?;
                let content = content.tail(skip)?;
                let mut node = Node::with_bytes(name, Kind::File, content);
                if is_thin {
                    node.bytes = None;
                    node = node.note("size elsewhere", size);
                }
                node.meta.mode = Some(number(&header[40..48], 8)? as u32 & 0o7777);
                let (user, group) = (number(&header[28..34], 10)?, number(&header[34..40], 10)?);
                let mtime = number(&header[16..28], 10)?;
                node.meta = Meta {
                    owner: Some((user as u32, group as u32)),
                    mtime: Some((mtime as i64, 0)),
                    ..node.meta
                };
                node
            }
        };
        container.nodes.push(node);
        context.check_entries(container.nodes.len())?;
    }
    container.field("members", container.nodes.len());
    Ok(container)
}

/// A member's name, and how many bytes of its content it takes.
fn name(raw: &[u8], names: &[u8], content: &Bytes) -> Result<(Vec<u8>, u64)> {
    if let Some(len) = raw.strip_prefix(b"#1/") {
        let len = number(len, 10)?;
        if len > MAX_NAME {
            return Err(Error::Limit { what: "bytes of a name", limit: MAX_NAME });
        }
        let name = content.vec(0, len as usize)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        return Ok((plain(&name[..end]), len));
    }
    if let Some(at) = raw.strip_prefix(b"/") {
        let at = usize::try_from(number(at, 10)?).unwrap_or(usize::MAX);
        let rest = names.get(at..).ok_or_else(|| invalid("ar", "a name is not in the table"))?;
        let rest = &rest[..rest.len().min(MAX_NAME as usize)];
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return Ok((plain(rest[..end].strip_suffix(b"/").unwrap_or(&rest[..end])), 0));
    }
    Ok((plain(raw.strip_suffix(b"/").unwrap_or(raw)), 0))
}

/// A name that a path can have as a part.
fn plain(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if *byte == b'/' { b'_' } else { *byte }).collect()
}

/// A number in digits; 0 where there are none.
fn number(field: &[u8], base: u32) -> Result<u64> {
    let text = field.trim_ascii();
    if text.is_empty() {
        return Ok(0);
    }
    let parsed = std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'));
    parsed
        .and_then(|text| u64::from_str_radix(text, base).ok())
        .ok_or_else(|| invalid("ar", format!("{:?} is no number", escape(field))))
}
