//! EROFS, the read-only file system of Linux that is mounted in place.
//!
//! Follows `fs/erofs/erofs_fs.h` of Linux 6.10 and `Documentation/filesystems/erofs.rst`. Blocks
//! have 4,096 bytes. What does not fill a block lies right behind its inode, where the block that
//! holds the inode has room; inodes are placed so that little room is lost. An inode of the
//! image's time, of small numbers and of a size under 4 GiB takes 32 bytes, any other 64. Files
//! of equal content share their blocks; extended attributes that two inodes have are kept once.
//!
//! # Compression
//! With [`Params::packing`], files are cut into clusters, each compressed into one block or a few,
//! and what is left of a file at its end may lie compressed behind its inode. Files that get no
//! smaller stay as they are. Compressed clusters go to a nameless file, for the inodes before them
//! tell how many there are; contents are copied nowhere else. The number of threads changes no
//! byte; other versions of Zstandard may.
//!
//! # Order
//! The first block, inodes with short data, shared attributes, directories and long targets of
//! symbolic links, compressed clusters, then contents in path order.

mod clusters;
mod codec;
mod directory;
mod error;
mod format;
mod pack;
mod place;
mod xattr;

use std::{
    collections::HashMap,
    io::{self, Write},
};

use stagex_tree::{Content, Digest, Kind, Metadata, Source, Tree, TreePath};

pub(crate) use self::format::{device_number, type_bits};
use self::{
    clusters::index_len,
    format::{
        BLOCK, COMPACT, EXTENDED, FEATURE_AT_END, FEATURE_CONFIG, FEATURE_TAILS, Layout, Record,
        SLOT, SUPER, SUPER_AT, Super,
    },
    pack::Packed,
    place::Places,
    xattr::Shared,
};
pub use self::{codec::Compression, error::Error, pack::Packing};
use crate::{Image, emit::Emitter, identity::Guid, index::Index, path_check::symlink_target};

/// What an image is made from besides its tree.
#[derive(Debug, Clone)]
pub struct Params {
    /// The image's time, seconds since 1970. What was modified then takes less space.
    pub epoch: i64,
    /// The volume's label: at most 15 bytes.
    pub label: String,
    /// The volume's UUID; by default it is derived from the tree, whose contents are then read
    /// once for it.
    pub uuid: Option<Guid>,
    /// What the UUID is derived from in place of the tree.
    pub seed: Option<Digest>,
    /// How contents are compressed; by default not at all.
    pub packing: Option<Packing>,
}

impl Params {
    /// A plain image without a label.
    pub fn new(epoch: i64) -> Self {
        Self { epoch, label: String::new(), uuid: None, seed: None, packing: None }
    }
}

/// An image laid out.
pub struct Erofs<'t> {
    index: Index<'t>,
    /// By entry; filled for the first name of each inode.
    nodes: Vec<Node>,
    shared: Shared<'t>,
    /// The numbers of inodes in the order of their places.
    order: Vec<u32>,
    /// The first block of the shared attributes, and of what follows.
    xattrs: u64,
    /// The entries whose whole blocks are written, in their order: others than files, and files.
    contents: [Vec<u32>; 2],
    packed: Option<Packed>,
    packing: Option<Packing>,
    /// The first compressed block.
    clusters: u64,
    blocks: u64,
    uuid: Guid,
    head: Vec<u8>,
}

/// Where an inode is and what it has.
#[derive(Debug, Clone, Copy)]
struct Node {
    layout: Layout,
    extended: bool,
    /// The slot from the first block of inodes on: the inode's number.
    at: u64,
    size: u64,
    xattr_len: u64,
    /// Bytes right behind the inode and its attributes.
    tail: u64,
    /// The first of its whole blocks, and how many there are.
    first: u32,
    blocks: u64,
    /// Which of the compressed files it is, if its layout says so.
    packed: u32,
}

impl Node {
    const NONE: Self = Self {
        layout: Layout::Plain,
        extended: false,
        at: 0,
        size: 0,
        xattr_len: 0,
        tail: 0,
        first: 0,
        blocks: 0,
        packed: 0,
    };

    /// Bytes of the inode with its attributes.
    fn head(&self) -> u64 {
        self.xattr_len + if self.extended { EXTENDED } else { COMPACT }
    }

    /// Bytes of all that is in one piece with the inode.
    fn len(&self) -> u64 {
        let index = match self.layout {
            Layout::Compressed => index_len(self.size, self.head()),
            _ => 0,
        };
        self.head() + index + self.tail
    }
}

/// Lays out `tree` as an image.
///
/// Reads only files that may share blocks with others of their length, and all of them where the
/// UUID is to be derived, as far as their digests are not known.
pub fn layout<'t>(tree: &'t Tree, params: &Params) -> Result<Erofs<'t>, Error> {
    if params.label.len() > 15 || params.label.contains('\0') {
        return Err(Error::Label { label: params.label.clone() });
    }
    if let Some(packing) = &params.packing {
        packing.check()?;
    }
    let index = Index::new(tree);
    let shared = Shared::new(&index)?;
    let mut nodes = vec![Node::NONE; index.len()];
    for (number, node) in nodes.iter_mut().enumerate() {
        if index.firsts[number] as usize == number {
            *node = shape(&index, number, &shared, params)?;
        }
    }
    let uuid = match (params.uuid, params.seed) {
        (Some(uuid), _) => uuid,
        (None, Some(seed)) => Guid::derive(&seed, "erofs"),
        (None, None) => {
            let seed = tree.digest().map_err(|source| Error::Identity { source })?;
            Guid::derive(&seed, "erofs")
        }
    };

    let packing = params.packing.as_ref();
    let packed = packing.map(|packing| pack::pack(&index, &mut nodes, packing)).transpose()?;
    let (features, compression, config) = packing.map_or_else(Default::default, features);

    // The root comes first: the superblock has 16 bits for its number.
    let mut places = Places::new(SUPER_AT + SUPER + config.len() as u64);
    let mut order = Vec::with_capacity(index.len());
    for (number, node) in (0..).zip(&mut nodes) {
        if index.firsts[number as usize] == number {
            node.at = places.take(node.len());
            order.push(number);
        }
    }
    let inodes = order.len() as u64;
    order.sort_unstable_by_key(|&number| nodes[number as usize].at);
    let xattrs = places.blocks();
    let mut at = xattrs + (shared.area.len() as u64).div_ceil(BLOCK);

    let mut contents = [Vec::new(), Vec::new()];
    let mut clusters = 0;
    let is_file = |number: u32| index.entries[number as usize].inode.content().is_some();
    for files in [false, true] {
        let mut same = if files { Same::new(&index, &nodes) } else { Same::default() };
        if let Some(packed) = packed.as_ref().filter(|_| files) {
            clusters = at;
            at += packed.blocks();
            let compressed = |node: &&mut Node| node.layout == Layout::Compressed;
            for node in nodes.iter_mut().filter(compressed) {
                let first = u32::try_from(clusters + u64::from(packed.first(node)));
                let too_large = |_| Error::TooLarge { path: TreePath::root() };
                node.first = first.map_err(too_large)?;
            }
        }
        for number in 0..index.len() as u32 {
            let node = &mut nodes[number as usize];
            if node.blocks == 0 || is_file(number) != files || node.layout == Layout::Compressed {
                continue;
            }
            let path = index.entries[number as usize].path;
            let too_large = || Error::TooLarge { path: path.clone() };
            let first = u32::try_from(at).map_err(|_| too_large())?;
            if let Some(first) = same.first(&index, number, node.blocks, first)? {
                node.first = first;
                continue;
            }
            node.first = first;
            at = at.checked_add(node.blocks).ok_or_else(too_large)?;
            contents[usize::from(files)].push(number);
        }
    }
    let blocks = u32::try_from(at).map_err(|_| Error::TooLarge { path: TreePath::root() })?;
    let root = u16::try_from(nodes[0].at);
    let head = Super {
        root: root.map_err(|_| Error::TooLarge { path: TreePath::root() })?,
        inodes,
        epoch: params.epoch,
        blocks,
        meta: 0,
        xattrs: xattrs as u32,
        uuid: uuid.0,
        label: params.label.as_bytes(),
        features,
        compression,
        config: &config,
    };
    let mut erofs = Erofs {
        nodes,
        shared,
        order,
        xattrs,
        contents,
        packed,
        packing: params.packing.clone(),
        clusters,
        blocks: at,
        uuid,
        head: Vec::new(),
        index,
    };
    let rest = erofs.first_block(SUPER_AT + SUPER)?;
    erofs.head = head.encode(&rest);
    Ok(erofs)
}

/// What a reader must know of the compression: features, and what the superblock says of it.
fn features(packing: &Packing) -> (u32, u16, Vec<u8>) {
    let tails = if packing.tails { FEATURE_TAILS } else { 0 };
    if packing.compression == Compression::Lz4 && !packing.is_big() {
        return (FEATURE_AT_END | tails, u16::MAX, Vec::new());
    }
    let config = packing.compression.config(packing.cluster);
    (FEATURE_AT_END | FEATURE_CONFIG | tails, 1 << packing.compression.id(), config)
}

/// All of a node but its places.
fn shape(
    index: &Index<'_>,
    number: usize,
    shared: &Shared<'_>,
    params: &Params,
) -> Result<Node, Error> {
    let entry = &index.entries[number];
    let path = || entry.path.clone();
    let metadata = &entry.inode.metadata;
    let size = match &entry.inode.kind {
        Kind::File(content) => content.len(),
        Kind::Symlink(target) => {
            symlink_target(target).ok_or_else(|| Error::Target { path: path() })?
        }
        Kind::Directory => {
            let children = index.children(number).iter();
            let names = children.map(|&child| (0, 0, index.entries[child as usize].path.name()));
            directory::size(directory::merge([(0, 0, b"."), (0, 0, b"..")], names))
        }
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            if device_number(*device).is_none() {
                let (major, minor) = (device.major, device.minor);
                return Err(Error::Device { path: path(), major, minor });
            }
            0
        }
        Kind::Fifo | Kind::Socket => 0,
    };
    if size >= BLOCK << 32 {
        return Err(Error::TooLarge { path: path() });
    }
    let xattr_len = shared.len(entry.path, metadata)?;
    let extended = is_extended(metadata, size, links(index, number), params.epoch);
    let mut node = Node { extended, size, xattr_len, ..Node::NONE };
    node.tail = size % BLOCK;
    if node.tail != 0 && node.head() + node.tail <= BLOCK {
        node.layout = Layout::Inline;
        node.blocks = size / BLOCK;
    } else {
        node.tail = 0;
        node.blocks = size.div_ceil(BLOCK);
    }
    Ok(node)
}

/// Whether an inode needs the long form.
fn is_extended(metadata: &Metadata, size: u64, links: u32, epoch: i64) -> bool {
    let short = |number: u32| number <= u32::from(u16::MAX);
    metadata.mtime != epoch
        || u32::try_from(size).is_err()
        || ![metadata.uid, metadata.gid, links].into_iter().all(short)
}

/// The link count that Linux shows.
fn links(index: &Index<'_>, number: usize) -> u32 {
    if index.entries[number].inode.is_directory() {
        u32::try_from(index.subdirectories(number) + 2).unwrap_or(u32::MAX)
    } else {
        index.links[number]
    }
}

/// Finds files of equal content.
#[derive(Default)]
struct Same {
    /// How many files have this many bytes in this many whole blocks.
    counts: HashMap<(u64, u64), u32>,
    firsts: HashMap<(Digest, u64), u32>,
}

impl Same {
    fn new(index: &Index<'_>, nodes: &[Node]) -> Self {
        let mut counts = HashMap::new();
        for (node, entry) in nodes.iter().zip(&index.entries) {
            let is_plain = node.blocks != 0 && node.layout != Layout::Compressed;
            if is_plain && entry.inode.content().is_some() {
                *counts.entry((node.size, node.blocks)).or_default() += 1;
            }
        }
        Self { counts, firsts: HashMap::new() }
    }

    /// The first block of an earlier file of equal content; else this one is kept as at `first`.
    fn first(
        &mut self,
        index: &Index<'_>,
        number: u32,
        blocks: u64,
        first: u32,
    ) -> Result<Option<u32>, Error> {
        let entry = &index.entries[number as usize];
        let Some(content) = entry.inode.content() else { return Ok(None) };
        if self.counts.get(&(content.len(), blocks)).is_none_or(|&count| count < 2) {
            return Ok(None);
        }
        let digest = content.digest();
        let digest = digest.map_err(|source| Error::Read { path: entry.path.clone(), source })?;
        match self.firsts.entry((digest, blocks)) {
            std::collections::hash_map::Entry::Occupied(found) => Ok(Some(*found.get())),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(first);
                Ok(None)
            }
        }
    }
}

impl Erofs<'_> {
    /// The exact length of the image in bytes, a multiple of 4,096.
    #[allow(clippy::len_without_is_empty, reason = "an image is never empty")]
    pub fn len(&self) -> u64 {
        self.blocks * BLOCK
    }

    /// The volume's UUID.
    pub fn uuid(&self) -> Guid {
        self.uuid
    }

    /// Writes the image in one forward sweep.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Image::write(self, out)
    }

    /// The inodes that lie in the superblock's own block, whose checksum covers them.
    fn first_block(&self, from: u64) -> Result<Vec<u8>, Error> {
        let mut rest = Vec::new();
        for &number in self.order.iter().take_while(|&&number| self.in_first(number)) {
            let at = self.nodes[number as usize].at * SLOT - from;
            rest.resize(at as usize, 0);
            let mut emitter = Emitter::new(&mut rest);
            let path = || self.index.entries[number as usize].path.clone();
            let written = self.inode(number as usize, &mut emitter);
            written
                .and_then(|()| emitter.finish())
                .map_err(|source| Error::Read { path: path(), source })?;
        }
        Ok(rest)
    }

    fn in_first(&self, number: u32) -> bool {
        self.nodes[number as usize].at < BLOCK / SLOT
    }

    /// The number of the inode of an entry.
    fn nid(&self, number: usize) -> u64 {
        self.nodes[self.index.firsts[number] as usize].at
    }

    /// The entries of a directory, sorted.
    fn entries(&self, number: usize) -> impl Iterator<Item = directory::Entry<'_>> {
        let parent = self.index.parents[number] as usize;
        let children = self.index.children(number).iter().map(|&child| {
            let entry = &self.index.entries[child as usize];
            let kind = format::entry_type(&entry.inode.kind);
            (self.nid(child as usize), kind, entry.path.name())
        });
        directory::merge([(self.nid(number), 2, b"."), (self.nid(parent), 2, b"..")], children)
    }

    /// Writes an inode, its attributes and what lies behind them.
    fn inode(&self, number: usize, out: &mut Emitter<'_>) -> io::Result<()> {
        let node = &self.nodes[number];
        let entry = &self.index.entries[number];
        let metadata = &entry.inode.metadata;
        let place = match &entry.inode.kind {
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                device_number(*device).unwrap_or(0)
            }
            // How many they are; the index says where.
            _ if node.layout == Layout::Compressed => node.blocks as u32,
            _ => node.first,
        };
        let record = Record {
            layout: node.layout,
            extended: node.extended,
            xattr_len: node.xattr_len,
            mode: metadata.mode & 0o7777 | type_bits(&entry.inode.kind),
            links: links(&self.index, number),
            size: node.size,
            place,
            serial: number as u32 + 1,
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: metadata.mtime,
        };
        let mut bytes = Vec::with_capacity(128);
        record.encode(&mut bytes);
        self.shared.encode(metadata, &mut bytes);
        let compressed = self.packed.as_ref().zip(self.packing.as_ref());
        let compressed = compressed.filter(|_| node.layout == Layout::Compressed);
        if let Some((packed, packing)) = compressed {
            let index = clusters::Index {
                size: node.size,
                head: node.head(),
                extents: packed.extents(node),
                first: node.first,
                big: packing.is_big(),
                tail: node.tail,
                algorithm: packing.compression.id(),
            };
            index.encode(&mut bytes);
            out.put(&bytes)?;
            return packed.tail(node, out);
        }
        out.put(&bytes)?;
        if node.tail == 0 {
            return Ok(());
        }
        let from = node.blocks * BLOCK;
        match &entry.inode.kind {
            Kind::File(content) => out.content(entry.path, &part(content, from, node.tail)),
            Kind::Symlink(target) => out.put(&target[from as usize..]),
            _ => out.put(&directory::encode(self.entries(number))[from as usize..]),
        }
    }

    /// Writes what fills whole blocks of an entry.
    fn blocks_of(&self, number: u32, out: &mut Emitter<'_>) -> io::Result<()> {
        let node = &self.nodes[number as usize];
        out.pad_to(u64::from(node.first) * BLOCK)?;
        let entry = &self.index.entries[number as usize];
        let len = node.size - node.tail;
        match &entry.inode.kind {
            Kind::File(content) if node.tail == 0 => out.content(entry.path, content),
            Kind::File(content) => out.content(entry.path, &part(content, 0, len)),
            Kind::Symlink(target) => out.put(target),
            _ => out.put(&directory::encode(self.entries(number as usize))[..len as usize]),
        }
    }
}

/// The `len` bytes of a content from `from` on.
fn part(content: &Content, from: u64, len: u64) -> Content {
    match content.source() {
        Source::Bytes(bytes) => {
            let bytes = bytes.get(from as usize..(from + len) as usize).unwrap_or_default();
            Content::from_bytes(bytes)
        }
        Source::File { path, offset } => Content::from_file(path.clone(), offset + from, len),
    }
}

impl Image for Erofs<'_> {
    fn len(&self) -> u64 {
        Erofs::len(self)
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        out.put(&self.head)?;
        for &number in &self.order {
            if !self.in_first(number) {
                out.pad_to(self.nodes[number as usize].at * SLOT)?;
                self.inode(number as usize, &mut out)?;
            }
        }
        out.pad_to(self.xattrs * BLOCK)?;
        out.put(&self.shared.area)?;
        for &number in &self.contents[0] {
            self.blocks_of(number, &mut out)?;
        }
        if let Some(packed) = &self.packed {
            out.pad_to(self.clusters * BLOCK)?;
            packed.clusters.copy(0, packed.clusters.len(), &mut out)?;
        }
        for &number in &self.contents[1] {
            self.blocks_of(number, &mut out)?;
        }
        out.pad_to(self.len())?;
        out.finish().map(drop)
    }
}
