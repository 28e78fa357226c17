//! tar: ustar, PAX and GNU's long names.

use std::collections::BTreeMap;

use crate::{
    bytes::Bytes,
    context::Context,
    error::{Error, Result, invalid},
    node::{Container, Kind, Meta, Node, Paths, escape},
    values::le,
};

const BLOCK: u64 = 512;
/// The most bytes of an extended header.
const MAX_EXTENDED: u64 = 1 << 20;

/// Opens an archive.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let mut container = Container::new("tar");
    let mut window = crate::bytes::Window::new(bytes.clone());
    let mut paths = Paths::new();
    let mut at = 0u64;
    let mut count = 0;
    let mut global: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut extended = BTreeMap::new();
    let mut files: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
    while at < bytes.len() {
        let header = window.get(at, BLOCK as usize)?.to_vec();
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        check(&header)?;
        let data = at + BLOCK;
        let mut size = number(&header[124..136])?;
        let kind = header[156];
        if matches!(kind, b'x' | b'g' | b'L' | b'K') {
            if size > MAX_EXTENDED {
                return Err(Error::Limit { what: "bytes of a header", limit: MAX_EXTENDED });
            }
            let text = bytes.vec(data, size as usize)?;
            let cut = |text: &[u8]| text.split(|byte| *byte == 0).next().unwrap_or(&[]).to_vec();
            match kind {
                b'x' => pax(&text, &mut extended)?,
                b'g' => pax(&text, &mut global)?,
                b'L' => drop(extended.insert(b"path".to_vec(), cut(&text))),
                _ => drop(extended.insert(b"linkpath".to_vec(), cut(&text))),
            }
            at = (data + size).next_multiple_of(BLOCK);
            continue;
        }
        let fields = Fields { own: std::mem::take(&mut extended), global: &global };
        if let Some(text) = fields.get(b"size") {
            size = decimal(text)?;
        }
        let path = fields.get(b"path").cloned().unwrap_or_else(|| name(&header));
        let (node, content_len) = entry(&header, &fields, bytes, (data, size), &files)?;
        if let (b'0' | 0, Some(content)) = (kind, &node.bytes) {
            files.insert(path.clone(), content.clone());
        }
        paths.insert(context, &path, node)?;
        count += 1;
        at = data
            .checked_add(content_len)
            .and_then(|end| end.checked_next_multiple_of(BLOCK))
            .ok_or_else(|| invalid("tar", "an entry's size is too large"))?;
    }
    container.field("entries", count);
    let (root, nodes) = paths.finish();
    if let Some(root) = root {
        container.fields.extend(root.fields().into_iter().map(|(n, v)| (format!("root {n}"), v)));
    }
    container.nodes = nodes;
    Ok(container)
}

/// What extended headers say of an entry: its own before those for all.
struct Fields<'g> {
    own: BTreeMap<Vec<u8>, Vec<u8>>,
    global: &'g BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Fields<'_> {
    fn get(&self, name: &[u8]) -> Option<&Vec<u8>> {
        self.own.get(name).or_else(|| self.global.get(name))
    }
}

/// A node, and how many bytes of content follow its header.
fn entry(
    header: &[u8],
    fields: &Fields<'_>,
    bytes: &Bytes,
    (data, size): (u64, u64),
    files: &BTreeMap<Vec<u8>, Bytes>,
) -> Result<(Node, u64)> {
    let field = |name: &[u8]| fields.get(name);
    let kind = match header[156] {
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        b'0' | b'1' | b'7' | 0 => Kind::File,
        other => return Err(invalid("tar", format!("entry of type {:?}", char::from(other)))),
    };
    let link = || {
        field(b"linkpath").cloned().unwrap_or_else(|| {
            header[157..257].split(|byte| *byte == 0).next().unwrap_or(&[]).to_vec()
        })
    };
    let id = |name: &[u8], at: usize| {
        let value = field(name).map_or_else(|| number(&header[at..at + 8]), |text| decimal(text));
        value.map(|value| value as u32)
    };
    let mut node = Node::new("", kind);
    node.meta = Meta {
        mode: Some(number(&header[100..108])? as u32 & 0o7777),
        owner: Some((id(b"uid", 108)?, id(b"gid", 116)?)),
        mtime: Some(match field(b"mtime") {
            Some(text) => time(text)?,
            None => (number(&header[136..148])? as i64, 0),
        }),
        ..Meta::default()
    };
    let mut len = 0;
    match kind {
        Kind::Symlink => node.meta.target = Some(link()),
        Kind::CharDevice | Kind::BlockDevice => {
            let half = |at: usize| number(&header[at..at + 8]).map(|value| value as u32);
            node.meta.device = Some((half(329)?, half(337)?));
        }
        Kind::File if header[156] == b'1' => {
            let target = link();
            node.bytes = files.get(&target).cloned();
            node.meta.more.push(("hard link to", escape(&target)));
        }
        Kind::File => {
            len = size;
            node.bytes = Some(bytes.slice(data, size)?);
        }
        _ => {}
    }
    for (name, value) in &fields.own {
        if let Some(name) = name.strip_prefix(b"SCHILY.xattr.") {
            node.meta.xattrs.push((name.to_vec(), value.clone()));
        }
    }
    Ok((node, len))
}

fn check(header: &[u8]) -> Result<()> {
    let sum = |range: &[u8]| range.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let expected = sum(&header[..148]) + 8 * 32 + sum(&header[156..]);
    if number(&header[148..156])? != expected {
        return Err(invalid("tar", "a header's checksum is wrong"));
    }
    Ok(())
}

fn name(header: &[u8]) -> Vec<u8> {
    let cut = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().unwrap_or(&[]).to_vec();
    let (name, prefix) = (cut(&header[..100]), cut(&header[345..500]));
    if header[257..263] != *b"ustar\0" || prefix.is_empty() {
        return name;
    }
    [prefix, name].join(&b'/')
}

/// A number in octal digits, or in GNU's binary form.
fn number(field: &[u8]) -> Result<u64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        let tail: Vec<u8> = field[field.len() - 8..].iter().rev().copied().collect();
        return Ok(le(&tail, 0, 8));
    }
    let text: Vec<u8> = field.iter().copied().filter(|byte| !matches!(byte, 0 | b' ')).collect();
    text.iter()
        .try_fold(0u64, |value, digit| match digit {
            b'0'..=b'7' => value.checked_mul(8).map(|value| value + u64::from(digit - b'0')),
            _ => None,
        })
        .ok_or_else(|| invalid("tar", format!("{:?} is no number", escape(field))))
}

fn decimal(text: &[u8]) -> Result<u64> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| invalid("tar", format!("{:?} is no number", escape(text))))
}

/// Seconds with a fraction.
fn time(text: &[u8]) -> Result<(i64, u32)> {
    let wrong = || invalid("tar", format!("{:?} is no time", escape(text)));
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| wrong())?;
    let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().map_err(|_| wrong())?;
    // Before 1970, the fraction counts towards the past.
    if whole.starts_with('-') && nanos != 0 {
        return Ok((seconds.saturating_sub(1), 1_000_000_000 - nanos));
    }
    Ok((seconds, nanos))
}

/// Reads records of the form `LENGTH NAME=VALUE\n`.
fn pax(mut text: &[u8], fields: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<()> {
    let wrong = || invalid("tar", "a PAX header is damaged");
    while !text.is_empty() {
        let space = text.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let len = usize::try_from(decimal(&text[..space])?).map_err(|_| wrong())?;
        let record = text.get(space + 1..len).ok_or_else(wrong)?;
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        fields.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        text = &text[len..];
    }
    Ok(())
}
