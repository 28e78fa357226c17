//! Writes a layer's tar. Every byte of it is part of the layer's name: change nothing here
//! without a new version of the normal form. Where ustar can hold all, they are the bytes of
//! `tar --format=ustar --sort=name -b1 --numeric-owner`, so anybody can check a layer's name.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    ops::Range,
};

use stagex_tree::{Content, Device, Entry, InodeId, Kind, Metadata, TreePath};

use super::{BLOCK, TarError, field};
use crate::{
    LayerTree,
    layer::{OPAQUE, WHITEOUT},
};

/// The largest number of seven octal digits: modes, owners, devices.
const OCTAL_7: u64 = 0o777_7777;
/// The largest number of eleven octal digits: sizes (8 GiB - 1) and times.
const OCTAL_11: u64 = 0o777_7777_7777;
/// The name of every pax header, as Python's tarfile has it.
const PAX_NAME: &[u8] = b"././@PaxHeader";

/// Writes the layer's tar, each directory immediately before its markers and what it holds.
///
/// `contents` is called for each regular file in the order of the tar, once for all its hard
/// links, and writes exactly the content's length.
pub fn write_layer<W: Write>(
    layer: &LayerTree,
    epoch: u64,
    out: &mut W,
    contents: &mut dyn FnMut(Entry<'_>, &Content, &mut W) -> io::Result<()>,
) -> Result<(), TarError> {
    let mut removed: BTreeMap<TreePath, Vec<&TreePath>> = BTreeMap::new();
    for path in &layer.whiteouts {
        removed.entry(path.parent().unwrap_or_default()).or_default().push(path);
    }
    let mut first: BTreeMap<InodeId, &TreePath> = BTreeMap::new();
    let mut writer = Writer { out, epoch, head: Vec::new() };
    for entry in layer.tree.iter() {
        let Entry { path, id, inode } = entry;
        if !layer.implied.contains(path) {
            if let Some(target) = first.get(&id) {
                writer.entry(path, b'1', &inode.metadata, 0, target.as_bytes(), None)?;
                continue;
            }
            if layer.tree.links(id) > 1 {
                first.insert(id, path);
            }
            let (kind, size, link, device) = match &inode.kind {
                Kind::Directory => (b'5', 0, &b""[..], None),
                Kind::File(content) => (b'0', content.len(), &b""[..], None),
                Kind::Symlink(target) => (b'2', 0, &**target, None),
                Kind::CharDevice(device) => (b'3', 0, &b""[..], Some(*device)),
                Kind::BlockDevice(device) => (b'4', 0, &b""[..], Some(*device)),
                Kind::Fifo => (b'6', 0, &b""[..], None),
                Kind::Socket => continue,
            };
            writer.entry(path, kind, &inode.metadata, size, link, device)?;
            if let Kind::File(content) = &inode.kind {
                contents(entry, content, writer.out).map_err(TarError::io("writing a layer"))?;
                let padding = content.len().next_multiple_of(BLOCK as u64) - content.len();
                writer.zeros(usize::try_from(padding).unwrap_or(0))?;
            }
        }
        if inode.is_directory() {
            if layer.opaque.contains(path) {
                writer.marker(path, OPAQUE)?;
            }
            for gone in removed.get(path).into_iter().flatten() {
                writer.marker(path, &[WHITEOUT, gone.name()].concat())?;
            }
        }
    }
    writer.zeros(2 * BLOCK)
}

struct Writer<'a, W> {
    out: &'a mut W,
    epoch: u64,
    head: Vec<u8>,
}

impl<W: Write> Writer<'_, W> {
    fn zeros(&mut self, count: usize) -> Result<(), TarError> {
        self.out.write_all(&[0; 2 * BLOCK][..count]).map_err(TarError::io("writing a layer"))
    }

    /// An empty file that stands for a removal.
    fn marker(&mut self, directory: &TreePath, name: &[u8]) -> Result<(), TarError> {
        let mut path = directory.as_bytes().to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        self.raw_entry(&path, b'0', &Metadata::new(0o644), 0, b"", None)
    }

    fn entry(
        &mut self,
        path: &TreePath,
        kind: u8,
        metadata: &Metadata,
        size: u64,
        link: &[u8],
        device: Option<Device>,
    ) -> Result<(), TarError> {
        if kind != b'5' {
            return self.raw_entry(path.as_bytes(), kind, metadata, size, link, device);
        }
        let mut name = path.as_bytes().to_vec();
        if name.is_empty() {
            name.push(b'.');
        }
        name.push(b'/');
        self.raw_entry(&name, kind, metadata, size, link, device)
    }

    fn raw_entry(
        &mut self,
        path: &[u8],
        kind: u8,
        metadata: &Metadata,
        size: u64,
        link: &[u8],
        device: Option<Device>,
    ) -> Result<(), TarError> {
        let mut block = [0; BLOCK];
        let mut pax = Pax::default();
        match split(path) {
            Some((prefix, name)) => {
                put(&mut block, field::NAME, name);
                put(&mut block, field::PREFIX, prefix);
            }
            None => {
                pax.name("path", path);
                put(&mut block, field::NAME, &path[..field::NAME.len()]);
            }
        }
        if link.len() > field::LINK.len() {
            pax.name("linkpath", link);
        }
        put(&mut block, field::LINK, &link[..link.len().min(field::LINK.len())]);
        // The kernel gives every symbolic link 0777; a hard link is what it links to.
        let mode = if kind == b'2' { 0o777 } else { metadata.mode & 0o7777 };
        octal(&mut block, field::MODE, mode.into());
        for (range, key, id) in
            [(field::UID, "uid", metadata.uid), (field::GID, "gid", metadata.gid)]
        {
            if u64::from(id) > OCTAL_7 {
                pax.record(key, id.to_string().as_bytes());
            }
            octal(&mut block, range, u64::from(id) & OCTAL_7);
        }
        if size > OCTAL_11 {
            pax.record("size", size.to_string().as_bytes());
        }
        octal(&mut block, field::SIZE, size & OCTAL_11);
        octal(&mut block, field::MTIME, self.epoch & OCTAL_11);
        block[field::TYPE] = kind;
        let Device { major, minor } = device.unwrap_or(Device { major: 0, minor: 0 });
        octal(&mut block, field::MAJOR, major.into());
        octal(&mut block, field::MINOR, minor.into());
        // Attributes go with an inode's first name only.
        if kind != b'1' {
            for (name, value) in &metadata.xattrs {
                pax.attribute(name, value);
            }
        }
        self.head.clear();
        if let Some(records) = pax.finish() {
            let mut block = [0; BLOCK];
            put(&mut block, field::NAME, PAX_NAME);
            octal(&mut block, field::MODE, 0o644);
            octal(&mut block, field::UID, 0);
            octal(&mut block, field::GID, 0);
            octal(&mut block, field::SIZE, records.len() as u64);
            octal(&mut block, field::MTIME, self.epoch & OCTAL_11);
            octal(&mut block, field::MAJOR, 0);
            octal(&mut block, field::MINOR, 0);
            block[field::TYPE] = b'x';
            seal(&mut block);
            self.head.extend_from_slice(&block);
            self.head.extend_from_slice(&records);
            self.head.resize(self.head.len().next_multiple_of(BLOCK), 0);
        }
        seal(&mut block);
        self.head.extend_from_slice(&block);
        self.out.write_all(&self.head).map_err(TarError::io("writing a layer"))
    }
}

/// Splits a path for ustar's prefix and name: the shortest prefix that leaves a name of at most
/// 100 bytes. `None` where ustar cannot hold the path.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= field::NAME.len() {
        return Some((b"", path));
    }
    // The separator goes, and something must follow it.
    let earliest = path.len() - field::NAME.len() - 1;
    let at = (earliest..path.len() - 1).find(|&at| path[at] == b'/')?;
    (1..=field::PREFIX.len()).contains(&at).then(|| (&path[..at], &path[at + 1..]))
}

fn put(block: &mut [u8; BLOCK], range: Range<usize>, bytes: &[u8]) {
    block[range.start..range.start + bytes.len()].copy_from_slice(bytes);
}

/// Zero-padded octal digits and a NUL.
fn octal(block: &mut [u8; BLOCK], range: Range<usize>, mut value: u64) {
    for at in (range.start..range.end - 1).rev() {
        block[at] = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

/// Writes the magic and the checksum.
fn seal(block: &mut [u8; BLOCK]) {
    put(block, field::MAGIC, b"ustar\x0000");
    block[field::CHECKSUM].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    // Six digits, a NUL and a space, as every tar has had it.
    let range = field::CHECKSUM.start..field::CHECKSUM.end - 1;
    block[range.end - 1] = 0;
    octal(block, range, sum);
}

/// The records of one pax extended header.
#[derive(Default)]
struct Pax {
    records: Vec<u8>,
    binary: bool,
}

impl Pax {
    fn record(&mut self, key: &str, value: &[u8]) {
        self.bytes(key.as_bytes(), value);
    }

    /// A path, which pax wants in UTF-8 unless told otherwise.
    fn name(&mut self, key: &str, value: &[u8]) {
        self.binary |= std::str::from_utf8(value).is_err();
        self.record(key, value);
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) {
        self.bytes(&[b"SCHILY.xattr.", name].concat(), value);
    }

    fn bytes(&mut self, key: &[u8], value: &[u8]) {
        // "length key=value\n", where the length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while rest + length.to_string().len() != length {
            length += 1;
        }
        self.records.extend_from_slice(length.to_string().as_bytes());
        self.records.push(b' ');
        self.records.extend_from_slice(key);
        self.records.push(b'=');
        self.records.extend_from_slice(value);
        self.records.push(b'\n');
    }

    fn finish(self) -> Option<Vec<u8>> {
        if self.records.is_empty() {
            return None;
        }
        if !self.binary {
            return Some(self.records);
        }
        let mut all = Self::default();
        all.record("hdrcharset", b"BINARY");
        all.records.extend(self.records);
        Some(all.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_where_ustar_can_hold_it() {
        let name = |length: usize| "n".repeat(length);
        assert_eq!(split(name(100).as_bytes()).unwrap().0, b"");
        assert_eq!(split(name(101).as_bytes()), None);
        let path = format!("{}/{}", name(155), name(100));
        assert_eq!(split(path.as_bytes()).unwrap().0.len(), 155);
        let path = format!("{}/{}", name(156), name(100));
        assert_eq!(split(path.as_bytes()), None);
        // A directory's trailing slash is no place to split.
        assert_eq!(split(format!("{}/", name(100)).as_bytes()), None);
        let path = format!("a/{}/b", name(96));
        assert_eq!(split(path.as_bytes()).unwrap(), (&b""[..], path.as_bytes()));
        let path = format!("a/b/{}/b", name(96));
        assert_eq!(split(path.as_bytes()).unwrap().0, b"a");
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for size in 0..2000 {
            let mut pax = Pax::default();
            pax.record("path", &vec![b'x'; size]);
            let text = String::from_utf8(pax.finish().unwrap()).unwrap();
            let length: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(length, text.len());
        }
    }
}
