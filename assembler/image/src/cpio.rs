//! cpio archives in the format "newc", which Linux unpacks as its initramfs.
//!
//! Follows `Documentation/driver-api/early-userspace/buffer-format.rst` of Linux and what GNU cpio
//! writes with `-H newc`. Own code rather than the crate `cpio`, whose names are `str`: names here
//! are bytes. Entries come in path order, a directory before what it holds; inode numbers are the
//! order of first names; of the names of a hard-linked file the last carries the content, as with
//! GNU cpio. The root directory is the entry `.`.

use std::io::{self, Write};

use stagex_tree::{Kind, Tree, TreePath};

use crate::{Image, emit::Emitter, index::Index, path_check::symlink_target};

/// Bytes of a header.
const HEADER: u64 = 110;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// What an archive is made from besides its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params {
    /// Leaves extended attributes out, which the format has no place for. Without it a tree that
    /// holds any is refused, so that no file capability is lost unseen.
    pub drop_xattrs: bool,
}

/// Why a tree cannot be a newc archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file's size does not fit the header's 32 bits.
    #[error("{path}: {len} bytes is too large for cpio, whose files are under 4294967296 bytes")]
    FileTooLarge {
        /// The file.
        path: TreePath,
        /// Its size in bytes.
        len: u64,
    },
    /// A modification time that the header's unsigned 32 bits cannot hold.
    #[error("{path}: modification time {mtime} is outside cpio's range, 0 to 4294967295")]
    Time {
        /// The entry.
        path: TreePath,
        /// Seconds since 1970.
        mtime: i64,
    },
    /// Linux would not unpack this symbolic link.
    #[error("{path}: a symbolic link's target must be 1 to 4095 bytes without NUL")]
    Target {
        /// The link.
        path: TreePath,
    },
    /// The format cannot hold extended attributes.
    #[error("{path}: cpio cannot hold its extended attribute {name:?}; drop it knowingly or not")]
    Xattr {
        /// The entry.
        path: TreePath,
        /// The attribute's name, lossily decoded.
        name: String,
    },
}

/// An archive laid out.
pub struct Layout<'t> {
    index: Index<'t>,
    /// The number of the last name of each inode, by the number of the first.
    lasts: Vec<u32>,
    len: u64,
}

/// Lays out `tree` as a newc archive, whose length is a multiple of 4 bytes.
pub fn layout<'t>(tree: &'t Tree, params: &Params) -> Result<Layout<'t>, Error> {
    let index = Index::new(tree);
    let mut lasts: Vec<u32> = Vec::with_capacity(index.len());
    for (number, &first) in (0..).zip(&index.firsts) {
        lasts.push(number);
        lasts[first as usize] = number;
    }
    let mut len = 0;
    for (number, entry) in index.entries.iter().enumerate() {
        let path = || entry.path.clone();
        let metadata = &entry.inode.metadata;
        if u32::try_from(metadata.mtime).is_err() {
            return Err(Error::Time { path: path(), mtime: metadata.mtime });
        }
        if let (Some(name), false) = (metadata.xattrs.keys().next(), params.drop_xattrs) {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(Error::Xattr { path: path(), name });
        }
        let body = match &entry.inode.kind {
            Kind::File(content) if u32::try_from(content.len()).is_err() => {
                return Err(Error::FileTooLarge { path: path(), len: content.len() });
            }
            Kind::File(content) if is_last(&index, &lasts, number) => content.len(),
            Kind::Symlink(target) => {
                symlink_target(target).ok_or_else(|| Error::Target { path: path() })?
            }
            _ => 0,
        };
        len += header_len(name(entry.path).len()) + body.next_multiple_of(4);
    }
    len += header_len(TRAILER.len());
    Ok(Layout { index, lasts, len })
}

impl Layout<'_> {
    /// The exact length of the archive in bytes.
    #[allow(clippy::len_without_is_empty, reason = "an archive is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Writes the archive in one forward sweep.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Image::write(self, out)
    }
}

impl Image for Layout<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        // Inode numbers count first names, so that they are dense; 0 is the trailer's.
        let mut inos: Vec<u32> = Vec::with_capacity(self.index.len());
        let mut next = 0;
        for (number, entry) in self.index.entries.iter().enumerate() {
            let first = self.index.firsts[number] as usize;
            if first == number {
                next += 1;
            }
            let ino = inos.get(first).copied().unwrap_or(next);
            inos.push(ino);
            let inode = entry.inode;
            let metadata = &inode.metadata;
            let carries = is_last(&self.index, &self.lasts, number);
            let (kind, size, device) = match &inode.kind {
                Kind::Directory => (0o040_000, 0, (0, 0)),
                Kind::File(content) if carries => (0o100_000, content.len(), (0, 0)),
                Kind::File(_) => (0o100_000, 0, (0, 0)),
                Kind::Symlink(target) => (0o120_000, target.len() as u64, (0, 0)),
                Kind::CharDevice(device) => (0o020_000, 0, (device.major, device.minor)),
                Kind::BlockDevice(device) => (0o060_000, 0, (device.major, device.minor)),
                Kind::Fifo => (0o010_000, 0, (0, 0)),
                Kind::Socket => (0o140_000, 0, (0, 0)),
            };
            let links = match inode.kind {
                // Its name, its own "." and the ".." of each directory in it.
                Kind::Directory => 2 + self.index.subdirectories(number) as u64,
                _ => u64::from(self.index.links[number]),
            };
            let fields = [
                u64::from(ino),
                kind | u64::from(metadata.mode),
                u64::from(metadata.uid),
                u64::from(metadata.gid),
                links,
                u64::try_from(metadata.mtime).unwrap_or(0),
                size,
                0,
                0,
                u64::from(device.0),
                u64::from(device.1),
            ];
            header(&mut out, &fields, name(entry.path))?;
            match &inode.kind {
                Kind::File(content) if carries => out.content(entry.path, content)?,
                Kind::Symlink(target) => out.put(target)?,
                _ => {}
            }
            out.align(4)?;
        }
        header(&mut out, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], TRAILER)?;
        out.finish().map(drop)
    }
}

fn is_last(index: &Index<'_>, lasts: &[u32], number: usize) -> bool {
    lasts[index.firsts[number] as usize] as usize == number
}

/// The name in the archive: the path, but for the root and a file that is called as the trailer
/// is, at which every reader would stop.
fn name(path: &TreePath) -> &[u8] {
    match path.as_bytes() {
        b"" => b".",
        TRAILER => b"./TRAILER!!!",
        bytes => bytes,
    }
}

/// The length of a header with a name of `name` bytes, its NUL and padding included.
fn header_len(name: usize) -> u64 {
    (HEADER + name as u64 + 1).next_multiple_of(4)
}

fn header(out: &mut Emitter<'_>, fields: &[u64; 11], name: &[u8]) -> io::Result<()> {
    let mut bytes = [b'0'; HEADER as usize];
    bytes[..6].copy_from_slice(b"070701");
    let all = fields.iter().copied().chain([name.len() as u64 + 1, 0]);
    for (digits, mut value) in bytes[6..].chunks_exact_mut(8).zip(all) {
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789ABCDEF"[(value & 15) as usize];
            value >>= 4;
        }
    }
    out.put(&bytes)?;
    out.put(name)?;
    out.put(&[0])?;
    out.align(4)
}
