//! What an image holds, whatever its format: named nodes with fields, bytes and further nodes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    bytes::Bytes,
    context::Context,
    error::{Error, Result, invalid},
    format,
    values::hex,
};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file, which may itself be an image.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A partition of a disk.
    Partition,
    /// A section of an executable or enclave image.
    Section,
    /// One of several archives in a row, a layer, a boot image: a part that the format names.
    Part,
}

impl Kind {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Symlink => "symlink",
            Self::CharDevice => "char-device",
            Self::BlockDevice => "block-device",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Partition => "partition",
            Self::Section => "section",
            Self::Part => "part",
        }
    }

    /// What the file type in a Unix mode says.
    pub(crate) fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode >> 12 {
            0o10 => Self::File,
            0o04 => Self::Folder,
            0o12 => Self::Symlink,
            0o02 => Self::CharDevice,
            0o06 => Self::BlockDevice,
            0o01 => Self::Fifo,
            0o14 => Self::Socket,
            _ => return None,
        })
    }
}

/// A field: its name and its value as text.
pub type Field = (String, String);

/// What a file system says of an entry besides its name and bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meta {
    /// The permission bits, without the file type.
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<(u32, u32)>,
    /// Seconds since 1970, and nanoseconds.
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) links: Option<u32>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) more: Vec<(&'static str, String)>,
}

/// Lists the entries of a folder when they are asked for.
pub(crate) trait List: Send + Sync {
    fn list(&self, context: &Context) -> Result<Vec<Node>>;
}

/// Something with a name in an image.
#[derive(Clone)]
pub struct Node {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) meta: Meta,
    pub(crate) bytes: Option<Bytes>,
    pub(crate) list: Option<Arc<dyn List>>,
}

/// What is inside a node.
pub struct Container {
    /// The format, such as `iso9660`; `folder` for a folder of a file system.
    pub format: &'static str,
    /// What the format's own headers say.
    pub fields: Vec<Field>,
    /// What it holds, in the order in which it lies there.
    pub nodes: Vec<Node>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.name()).field("kind", &self.kind).finish()
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container")
            .field("format", &self.format)
            .field("fields", &self.fields)
            .field("nodes", &self.nodes)
            .finish()
    }
}

impl Container {
    /// The disk that a virtual machine's file holds.
    pub(crate) fn disk(&self) -> Option<&Node> {
        matches!(self.format, "qcow2" | "vmdk" | "vhd").then(|| self.nodes.first()).flatten()
    }

    pub(crate) fn new(format: &'static str) -> Self {
        Self { format, fields: Vec::new(), nodes: Vec::new() }
    }

    pub(crate) fn field(&mut self, name: impl Into<String>, value: impl ToString) {
        self.fields.push((name.into(), value.to_string()));
    }
}

impl Node {
    pub(crate) fn new(name: impl Into<Vec<u8>>, kind: Kind) -> Self {
        Self { name: name.into(), kind, meta: Meta::default(), bytes: None, list: None }
    }

    pub(crate) fn with_bytes(name: impl Into<Vec<u8>>, kind: Kind, bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), ..Self::new(name, kind) }
    }

    pub(crate) fn folder(name: impl Into<Vec<u8>>, nodes: Vec<Node>) -> Self {
        Self { list: Some(Arc::new(Listed(nodes))), ..Self::new(name, Kind::Folder) }
    }

    pub(crate) fn note(mut self, name: &'static str, value: impl ToString) -> Self {
        self.meta.more.push((name, value.to_string()));
        self
    }

    /// Something that is there and cannot be read: opening it says why.
    pub(crate) fn broken(name: impl Into<Vec<u8>>, kind: Kind, error: &Error) -> Self {
        let list = Some(Arc::new(Broken(error.to_string())) as Arc<dyn List>);
        Self { list, ..Self::new(name, kind) }
    }

    /// Several nodes under one name, such as the layers of an image in their order.
    pub fn group(name: &str, nodes: Vec<Node>) -> Self {
        Self::folder(name, nodes)
    }

    /// A file to be looked into.
    pub fn file(name: &str, bytes: Bytes) -> Self {
        Self::with_bytes(name, Kind::File, bytes)
    }

    /// The name; what is not UTF-8, and control characters, are written as `\xNN`.
    pub fn name(&self) -> String {
        escape(&self.name)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its bytes, if it has any of its own.
    pub fn bytes(&self) -> Option<&Bytes> {
        self.bytes.as_ref()
    }

    /// What is said of it: names and values, always in the same order.
    pub fn fields(&self) -> Vec<Field> {
        let meta = &self.meta;
        let mut fields: Vec<Field> = Vec::new();
        let mut field = |name: &str, value: String| fields.push((name.to_owned(), value));
        if let Some(bytes) = &self.bytes {
            field("size", bytes.len().to_string());
        }
        if let Some(mode) = meta.mode {
            field("mode", format!("{mode:04o}"));
        }
        if let Some((user, group)) = meta.owner {
            field("uid", user.to_string());
            field("gid", group.to_string());
        }
        if let Some((seconds, nanos)) = meta.mtime {
            let nanos = if nanos == 0 { String::new() } else { format!(".{nanos:09}") };
            field("mtime", format!("{seconds}{nanos}"));
        }
        if let Some((major, minor)) = meta.device {
            field("device", format!("{major}:{minor}"));
        }
        if let Some(target) = &meta.target {
            field("target", escape(target));
        }
        if let Some(links) = meta.links {
            field("links", links.to_string());
        }
        for (name, value) in &meta.xattrs {
            field(&format!("xattr {}", escape(name)), printable(value));
        }
        for (name, value) in &meta.more {
            field(name, value.clone());
        }
        fields
    }

    /// What is inside: entries of a folder, or what a file of a known format holds.
    ///
    /// None where there is nothing to look into. Fails where it is of a known format and damaged.
    pub fn open(&self, context: &Context) -> Result<Option<Container>> {
        let container = match (&self.list, &self.bytes) {
            (Some(list), _) => {
                let nodes = list.list(context)?;
                Some(Container { format: "folder", fields: Vec::new(), nodes })
            }
            (None, Some(bytes)) => format::open(context, bytes)?,
            (None, None) => None,
        };
        if let Some(container) = &container {
            context.check_entries(container.nodes.len())?;
        }
        Ok(container)
    }
}

/// What opening something that is damaged says.
struct Broken(String);

impl List for Broken {
    fn list(&self, _: &Context) -> Result<Vec<Node>> {
        Err(Error::Damaged { reason: self.0.clone() })
    }
}

/// Entries that are known already.
struct Listed(Vec<Node>);

impl List for Listed {
    fn list(&self, _: &Context) -> Result<Vec<Node>> {
        Ok(self.0.clone())
    }
}

/// Gives nodes of the same name different names: `name`, `name#2`, `name#3`.
pub(crate) fn names(nodes: &[Node]) -> Vec<String> {
    let mut seen: BTreeMap<&[u8], u32> = BTreeMap::new();
    let name = |node: &Node| node.name();
    nodes
        .iter()
        .map(|node| {
            let count = seen.entry(&node.name).or_default();
            *count += 1;
            if *count == 1 { name(node) } else { format!("{}#{count}", name(node)) }
        })
        .collect()
}

/// Text of bytes: what is no printable UTF-8 is written as `\xNN`, and so is a backslash before it.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                // Paths have " > " before what lies in a file.
                '>' if text.ends_with(' ') => text.push_str("\\x3e"),
                '\\' => text.push_str("\\\\"),
                char if char.is_control() => {
                    let mut buffer = [0; 4];
                    for byte in char.encode_utf8(&mut buffer).bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                char => text.push(char),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// A value that may be text: as text where it is, otherwise as hexadecimal digits.
pub(crate) fn printable(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex(value)),
    }
}

/// Which folder of a file system lies in which: so that a loop, or a folder that lies in two
/// places, is an error and not an endless tree.
#[derive(Debug, Default)]
pub(crate) struct Parents(Mutex<BTreeMap<u64, (u64, u64)>>);

impl Parents {
    /// Says that entry `position` of `parent` leads to `folder`.
    pub(crate) fn claim(
        &self,
        format: &'static str,
        folder: u64,
        parent: u64,
        position: u64,
    ) -> Result<()> {
        let mut parents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = *parents.entry(folder).or_insert((parent, position));
        if place == (parent, position) {
            return Ok(());
        }
        Err(invalid(format, format!("folder {folder} lies in two places")))
    }
}

/// Builds folders from the paths of an archive.
#[derive(Default)]
pub(crate) struct Paths {
    arena: Vec<Entry>,
    /// The longest path, in parts.
    deepest: usize,
}

#[derive(Default)]
struct Entry {
    node: Option<Node>,
    children: BTreeMap<Vec<u8>, usize>,
}

impl Paths {
    pub(crate) fn new() -> Self {
        Self { arena: vec![Entry::default()], deepest: 0 }
    }

    /// Adds a node under a path; a second one of the same path takes the first one's place, as it
    /// does when an archive is unpacked.
    pub(crate) fn insert(&mut self, context: &Context, path: &[u8], mut node: Node) -> Result<()> {
        let mut at = 0;
        let mut depth = 0;
        for part in path.split(|byte| *byte == b'/') {
            if part.is_empty() || part == b"." {
                continue;
            }
            depth += 1;
            let next = self.arena.len();
            let next = *self.arena[at].children.entry(part.to_vec()).or_insert(next);
            if next == self.arena.len() {
                self.arena.push(Entry::default());
                context.check_entries(next)?;
            }
            at = next;
            node.name.clear();
            node.name.extend_from_slice(part);
        }
        self.deepest = self.deepest.max(depth);
        if self.deepest > context.limits.depth {
            let limit = context.limits.depth as u64;
            return Err(Error::Limit { what: "parts of a path", limit });
        }
        self.arena[at].node = Some(node);
        Ok(())
    }

    /// The entry that stands for the root, if the archive has one, and the root's entries.
    pub(crate) fn finish(self) -> (Option<Node>, Vec<Node>) {
        let arena = Arc::new(self.arena);
        (arena[0].node.clone(), list_at(&arena, 0))
    }
}

struct At(Arc<Vec<Entry>>, usize);

impl List for At {
    fn list(&self, _: &Context) -> Result<Vec<Node>> {
        Ok(list_at(&self.0, self.1))
    }
}

fn list_at(arena: &Arc<Vec<Entry>>, at: usize) -> Vec<Node> {
    let child = |(name, index): (&Vec<u8>, &usize)| {
        let entry = &arena[*index];
        let mut node = entry.node.clone().unwrap_or_else(|| Node::new(name.clone(), Kind::Folder));
        if node.kind == Kind::Folder || !entry.children.is_empty() {
            node.list = Some(Arc::new(At(arena.clone(), *index)));
        }
        node
    };
    arena[at].children.iter().map(child).collect()
}
