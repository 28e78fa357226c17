//! The index of an unpacked layer: all that its tar says besides the files' bytes.
//!
//! Little-endian. A head of fixed size, so that a layer's size is known from one short read, then
//! a record for each path in tree order, then one for each whiteout. Paths share a prefix with
//! the one before; numbers are LEB128. The head holds the SHA-256 of what follows it.

use std::{collections::BTreeMap, ops::Range, os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};

use stagex_tree::{Content, Device, Digest, Inode, InodeId, Kind, Metadata, TreeBuilder, TreePath};

use crate::LayerTree;

const MAGIC: &[u8; 8] = b"sxlayer1";
/// Bytes of the head.
pub const HEAD_LEN: usize = 8 + 6 * 8 + 2 * 32;

const DIRECTORY: u8 = 0;
const FILE: u8 = 1;
const SYMLINK: u8 = 2;
const CHAR_DEVICE: u8 = 3;
const BLOCK_DEVICE: u8 = 4;
const FIFO: u8 = 5;
const LINK: u8 = 6;
const WHITEOUT: u8 = 7;
const KINDS: u8 = 0x0f;
const OPAQUE: u8 = 0x10;
const IMPLIED: u8 = 0x20;
const HIDDEN: u8 = 0x40;
const XATTRS: u8 = 0x80;

/// What the head of an index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The layer's name: the SHA-256 of its tar.
    pub digest: Digest,
    /// Length of the tar, in bytes.
    pub tar_len: u64,
    /// Length of all contents, in bytes.
    pub content_len: u64,
    /// Paths that the layer carries, without markers.
    pub paths: u64,
    /// Markers: whiteouts and opaque directories.
    pub markers: u64,
    /// Modification time of every entry, in seconds since 1970.
    pub epoch: u64,
    /// Whether any entry is owned by another than 0:0 or has attributes of the system's.
    pub owners: bool,
    /// Whether directories other than the root are implied.
    pub implies: bool,
}

const OWNERS: u64 = 1;
const IMPLIES: u64 = 2;

/// Why bytes are not an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Not the magic of an index, or that of another version.
    #[error("not a layer index of this version of stagex")]
    Magic,
    /// The body is not what was written.
    #[error("the index is damaged: its checksum is wrong")]
    Checksum,
    /// A record that makes no sense.
    #[error("record {record} of the index makes no sense")]
    Record {
        /// Which, from 0.
        record: u64,
    },
}

/// Encodes `layer`. `digests` has the digest of every regular file; `hidden` the regular files
/// that the store keeps a readable copy of.
pub fn encode(
    layer: &LayerTree,
    head: Head,
    digests: &BTreeMap<InodeId, Digest>,
    hidden: &BTreeMap<InodeId, u64>,
) -> Vec<u8> {
    let mut out = vec![0; HEAD_LEN];
    let mut first: BTreeMap<InodeId, &TreePath> = BTreeMap::new();
    let mut last: &[u8] = b"";
    for entry in layer.tree.iter() {
        let (path, inode) = (entry.path, entry.inode);
        let metadata = &inode.metadata;
        let target = first.get(&entry.id).copied();
        let mut flags = match (&inode.kind, target) {
            (_, Some(_)) => LINK,
            (Kind::Directory, _) => DIRECTORY,
            (Kind::File(_), _) => FILE,
            (Kind::Symlink(_), _) => SYMLINK,
            (Kind::CharDevice(_), _) => CHAR_DEVICE,
            (Kind::BlockDevice(_), _) => BLOCK_DEVICE,
            (Kind::Fifo, _) => FIFO,
            (Kind::Socket, _) => continue,
        };
        for (holds, flag) in [
            (layer.opaque.contains(path), OPAQUE),
            (layer.implied.contains(path), IMPLIED),
            (hidden.contains_key(&entry.id) && target.is_none(), HIDDEN),
            (!metadata.xattrs.is_empty() && target.is_none(), XATTRS),
        ] {
            if holds {
                flags |= flag;
            }
        }
        out.push(flags);
        put_path(&mut out, last, path.as_bytes());
        last = path.as_bytes();
        if let Some(target) = target {
            put_bytes(&mut out, target.as_bytes());
            continue;
        }
        if layer.tree.links(entry.id) > 1 {
            first.insert(entry.id, path);
        }
        put(&mut out, metadata.mode.into());
        put(&mut out, metadata.uid.into());
        put(&mut out, metadata.gid.into());
        if !metadata.xattrs.is_empty() {
            put(&mut out, metadata.xattrs.len() as u64);
            for (name, value) in &metadata.xattrs {
                put_bytes(&mut out, name);
                put_bytes(&mut out, value);
            }
        }
        match &inode.kind {
            Kind::File(content) => {
                put(&mut out, content.len());
                let digest = digests.get(&entry.id).copied();
                out.extend_from_slice(digest.unwrap_or(Digest::from_bytes([0; 32])).as_bytes());
            }
            Kind::Symlink(target) => put_bytes(&mut out, target),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                put(&mut out, device.major.into());
                put(&mut out, device.minor.into());
            }
            Kind::Directory | Kind::Fifo | Kind::Socket => {}
        }
    }
    for path in &layer.whiteouts {
        out.push(WHITEOUT);
        put_path(&mut out, last, path.as_bytes());
        last = path.as_bytes();
    }
    let mut at = 0;
    let mut place = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    place(MAGIC);
    for number in [
        head.tar_len,
        head.content_len,
        head.paths,
        head.markers,
        head.epoch,
        (u64::from(head.owners) * OWNERS) | (u64::from(head.implies) * IMPLIES),
    ] {
        place(&number.to_le_bytes());
    }
    place(head.digest.as_bytes());
    seal(&mut out);
    out
}

/// Makes the checksum in an index's head that of its body. Bytes too short for a head are left
/// as they are.
pub fn seal(index: &mut [u8]) {
    if let Some((head, body)) = index.split_at_mut_checked(HEAD_LEN) {
        head[HEAD_LEN - 32..].copy_from_slice(Digest::of(body).as_bytes());
    }
}

/// Decodes the head alone, from the first [`HEAD_LEN`] bytes.
pub fn decode_head(bytes: &[u8]) -> Result<Head, IndexError> {
    decode_head_and_sum(bytes).map(|(head, _)| head)
}

fn decode_head_and_sum(bytes: &[u8]) -> Result<(Head, Digest), IndexError> {
    let bytes = bytes.get(..HEAD_LEN).ok_or(IndexError::Magic)?;
    let rest = bytes.strip_prefix(MAGIC).ok_or(IndexError::Magic)?;
    let mut numbers = [0; 6];
    for (number, bytes) in numbers.iter_mut().zip(rest.chunks_exact(8)) {
        *number = u64::from_le_bytes(bytes.try_into().map_err(|_| IndexError::Magic)?);
    }
    let digest = |range: Range<usize>| {
        rest[range].try_into().map(Digest::from_bytes).map_err(|_| IndexError::Magic)
    };
    let [tar_len, content_len, paths, markers, epoch, flags] = numbers;
    let head = Head {
        digest: digest(48..80)?,
        tar_len,
        content_len,
        paths,
        markers,
        epoch,
        owners: flags & OWNERS != 0,
        implies: flags & IMPLIES != 0,
    };
    Ok((head, digest(80..112)?))
}

/// Decodes an index whose layer is unpacked in `root`, with readable copies of hidden files as
/// `hidden`/0, 1, ….
pub fn decode(bytes: &[u8], root: &Path, hidden: &Path) -> Result<(Head, LayerTree), IndexError> {
    let (head, sum) = decode_head_and_sum(bytes)?;
    let body = &bytes[HEAD_LEN..];
    if Digest::of(body) != sum {
        return Err(IndexError::Checksum);
    }
    // No record is shorter than three bytes, whatever the head says.
    let capacity = usize::try_from(head.paths).unwrap_or(usize::MAX).min(body.len() / 3);
    let mut decoder = Decoder {
        input: Input { bytes: body },
        root: root.as_os_str().as_encoded_bytes(),
        hidden,
        copies: 0,
        mtime: i64::try_from(head.epoch).unwrap_or(i64::MAX),
        tree: TreeBuilder::with_capacity(capacity),
        layer: LayerTree { implied: Default::default(), ..LayerTree::new() },
        last: Vec::new(),
        file: Vec::new(),
    };
    let mut record = 0;
    while !decoder.input.bytes.is_empty() {
        decoder.record().ok_or(IndexError::Record { record })?;
        record += 1;
    }
    Ok((head, LayerTree { tree: decoder.tree.finish(), ..decoder.layer }))
}

struct Decoder<'a> {
    input: Input<'a>,
    root: &'a [u8],
    hidden: &'a Path,
    copies: u64,
    mtime: i64,
    tree: TreeBuilder,
    /// The markers; its tree is made at the end.
    layer: LayerTree,
    last: Vec<u8>,
    /// Where a content lies, to make the next such path in.
    file: Vec<u8>,
}

impl Decoder<'_> {
    fn record(&mut self) -> Option<()> {
        let flags = self.input.byte()?;
        let shared = usize::try_from(self.input.number()?).ok()?;
        if shared > self.last.len() {
            return None;
        }
        self.last.truncate(shared);
        self.last.extend_from_slice(self.input.sized()?);
        let path = TreePath::new(&self.last).ok()?;
        let kind = flags & KINDS;
        if kind == WHITEOUT {
            self.layer.whiteouts.insert(path);
            return Some(());
        }
        if flags & OPAQUE != 0 {
            self.layer.opaque.insert(path.clone());
        }
        if flags & IMPLIED != 0 {
            self.layer.implied.insert(path.clone());
        }
        if kind == LINK {
            let target = TreePath::new(self.input.sized()?).ok()?;
            self.tree.link(path, &target).ok()?;
            return Some(());
        }
        let metadata = self.metadata(flags)?;
        let kind = match kind {
            DIRECTORY => Kind::Directory,
            FILE => Kind::File(self.content(flags, &path)?),
            SYMLINK => Kind::Symlink(self.input.sized()?.into()),
            CHAR_DEVICE => Kind::CharDevice(self.device()?),
            BLOCK_DEVICE => Kind::BlockDevice(self.device()?),
            FIFO => Kind::Fifo,
            _ => return None,
        };
        self.tree.insert(path, Inode { metadata, kind }).ok()?;
        Some(())
    }

    fn metadata(&mut self, flags: u8) -> Option<Metadata> {
        let mode = self.input.number()?;
        if mode > 0o7777 {
            return None;
        }
        let mut metadata = Metadata::new(mode as u16);
        metadata.mtime = self.mtime;
        metadata.uid = self.input.small()?;
        metadata.gid = self.input.small()?;
        if flags & XATTRS != 0 {
            for _ in 0..self.input.number()? {
                let name = self.input.sized()?.into();
                metadata.xattrs.insert(name, self.input.sized()?.into());
            }
        }
        Some(metadata)
    }

    fn content(&mut self, flags: u8, path: &TreePath) -> Option<Content> {
        let len = self.input.number()?;
        let digest = Digest::from_bytes(self.input.take(32)?.try_into().ok()?);
        let file: Arc<Path> = if flags & HIDDEN != 0 {
            self.copies += 1;
            self.hidden.join((self.copies - 1).to_string()).into()
        } else {
            self.file.clear();
            self.file.extend_from_slice(self.root);
            self.file.push(b'/');
            self.file.extend_from_slice(path.as_bytes());
            Path::new(std::ffi::OsStr::from_bytes(&self.file)).into()
        };
        Some(Content::from_file(file, 0, len).with_digest(digest))
    }

    fn device(&mut self) -> Option<Device> {
        Some(Device { major: self.input.small()?, minor: self.input.small()? })
    }
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_path(out: &mut Vec<u8>, last: &[u8], path: &[u8]) {
    let shared = last.iter().zip(path).take_while(|(a, b)| a == b).count();
    put(out, shared as u64);
    put_bytes(out, &path[shared..]);
}
