//! The tree itself.

use std::{collections::BTreeMap, ops::Bound};

use crate::{Content, TreePath};

/// Permissions, owner, modification time and extended attributes of an inode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metadata {
    /// Permission bits, set-id bits and the sticky bit: `0o7777` at most.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970-01-01T00:00:00Z.
    pub mtime: i64,
    /// Extended attributes by full name (`user.x`, `security.capability`, …).
    pub xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl Metadata {
    /// Metadata of root's, with the given permission bits and modification time 0.
    pub fn new(mode: u16) -> Self {
        Self { mode: mode & 0o7777, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() }
    }
}

/// The numbers of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// Major number: the driver.
    pub major: u32,
    /// Minor number: the unit.
    pub minor: u32,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, as it is.
    Symlink(Box<[u8]>),
    /// A character device node.
    CharDevice(Device),
    /// A block device node.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A file of any kind. Several paths may name one inode (hard links).
#[derive(Debug, Clone, PartialEq)]
pub struct Inode {
    /// Permissions, owner, time, attributes.
    pub metadata: Metadata,
    /// What it is.
    pub kind: Kind,
}

impl Inode {
    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }

    /// The content, where this is a regular file.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }
}

/// Names an inode within one tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(pub(crate) usize);

/// A path and the inode it names.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Where it is.
    pub path: &'a TreePath,
    /// Which inode it is: equal for hard links of one file.
    pub id: InodeId,
    /// The inode.
    pub inode: &'a Inode,
}

/// Why a change to a tree was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The parent of the path is not in the tree.
    #[error("{path}: the directory that would hold it is missing")]
    NoParent {
        /// The path that was to be added.
        path: TreePath,
    },
    /// The parent of the path is not a directory.
    #[error("{path}: what would hold it is not a directory")]
    ParentNotDirectory {
        /// The path that was to be added.
        path: TreePath,
    },
    /// The target of a hard link is not in the tree.
    #[error("{path}: hard link to {target}, which does not exist")]
    NoTarget {
        /// The link.
        path: TreePath,
        /// What it was to name.
        target: TreePath,
    },
    /// A hard link to a directory.
    #[error("{path}: hard link to {target}, which is a directory")]
    DirectoryLink {
        /// The link.
        path: TreePath,
        /// What it was to name.
        target: TreePath,
    },
    /// A path that does not come after the one before it, where a tree is made in order.
    #[error("{path}: it comes before {after} in a tree, and was given after it")]
    Order {
        /// The path that was to be added.
        path: TreePath,
        /// The last one before it.
        after: TreePath,
    },
    /// The root can only be a directory.
    #[error("the root of a tree is a directory and cannot be replaced or removed")]
    Root,
}

/// A file hierarchy. Every path's parent exists and is a directory; the root always exists.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(crate) paths: BTreeMap<TreePath, InodeId>,
    /// Freed inodes leave `None`, so that an id stays valid for as long as its inode lives.
    pub(crate) inodes: Vec<Option<Slot>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) inode: Inode,
    pub(crate) links: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree that holds only its root, with mode 0755.
    pub fn new() -> Self {
        let root = Inode { metadata: Metadata::new(0o755), kind: Kind::Directory };
        Self {
            paths: BTreeMap::from([(TreePath::root(), InodeId(0))]),
            inodes: vec![Some(Slot { inode: root, links: 1 })],
        }
    }

    /// How many paths the tree holds, its root included.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether the tree holds nothing but its root.
    pub fn is_empty(&self) -> bool {
        self.paths.len() == 1
    }

    /// The entry at `path`; symbolic links are not followed.
    pub fn get(&self, path: &TreePath) -> Option<Entry<'_>> {
        let (path, &id) = self.paths.get_key_value(path)?;
        Some(Entry { path, id, inode: self.inode(id)? })
    }

    /// The inode that `id` names.
    pub fn inode(&self, id: InodeId) -> Option<&Inode> {
        Some(&self.inodes.get(id.0)?.as_ref()?.inode)
    }

    /// How many paths name the inode `id`. Directories count 1.
    pub fn links(&self, id: InodeId) -> usize {
        self.inodes.get(id.0).and_then(Option::as_ref).map_or(0, |slot| slot.links)
    }

    /// The metadata at `path`, to change it. Hard links share it.
    pub fn metadata_mut(&mut self, path: &TreePath) -> Option<&mut Metadata> {
        let id = *self.paths.get(path)?;
        Some(&mut self.inodes.get_mut(id.0)?.as_mut()?.inode.metadata)
    }

    /// The metadata of every inode, once each, to change it.
    pub fn all_metadata_mut(&mut self) -> impl Iterator<Item = &mut Metadata> {
        self.inodes.iter_mut().flatten().map(|slot| &mut slot.inode.metadata)
    }

    /// All entries, each directory immediately before what it holds.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Entry<'_>> {
        self.paths.iter().filter_map(|(path, &id)| Some(Entry { path, id, inode: self.inode(id)? }))
    }

    /// The entry at `path` and all below it.
    pub fn subtree<'a>(&'a self, path: &TreePath) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let top = path.clone();
        self.paths
            .range((Bound::Included(path.clone()), Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(&top))
            .filter_map(|(path, &id)| Some(Entry { path, id, inode: self.inode(id)? }))
    }

    /// What the directory at `path` holds, not what its directories hold. Reads the whole
    /// subtree: a writer that needs every directory's children does better with one [`Tree::iter`].
    pub fn children<'a>(&'a self, path: &TreePath) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let depth = path.depth() + 1;
        self.subtree(path).filter(move |entry| entry.path.depth() == depth)
    }

    /// Puts an inode at `path`, in place of what was there: a directory put on a directory
    /// changes its metadata only; all else is removed first, with what it held.
    pub fn insert(&mut self, path: TreePath, inode: Inode) -> Result<InodeId, TreeError> {
        match self.paths.get(&path) {
            Some(&id) if self.inode(id).is_some_and(Inode::is_directory) => {
                if inode.is_directory() {
                    if let Some(Some(slot)) = self.inodes.get_mut(id.0) {
                        slot.inode = inode;
                    }
                    return Ok(id);
                }
                self.remove(&path)?;
            }
            // What is there has a parent, and nothing below it.
            Some(&id) => self.release(id),
            None => self.check_place(&path)?,
        }
        let id = InodeId(self.inodes.len());
        self.inodes.push(Some(Slot { inode, links: 1 }));
        self.paths.insert(path, id);
        Ok(id)
    }

    /// Makes `path` a further name (hard link) of what is at `target`.
    pub fn link(&mut self, path: TreePath, target: &TreePath) -> Result<InodeId, TreeError> {
        self.check_place(&path)?;
        let Some(&id) = self.paths.get(target) else {
            return Err(TreeError::NoTarget { path, target: target.clone() });
        };
        if self.inode(id).is_some_and(Inode::is_directory) {
            return Err(TreeError::DirectoryLink { path, target: target.clone() });
        }
        if path == *target {
            return Ok(id);
        }
        // Counted first: removing what stood at `path` must not free the target.
        if let Some(Some(slot)) = self.inodes.get_mut(id.0) {
            slot.links += 1;
        }
        self.remove(&path)?;
        self.paths.insert(path, id);
        Ok(id)
    }

    /// Makes the directory at `path` and those above it that are missing, with metadata
    /// `metadata`; those that exist stay as they are.
    pub fn make_directories(
        &mut self,
        path: &TreePath,
        metadata: &Metadata,
    ) -> Result<(), TreeError> {
        let mut at = TreePath::root();
        for name in path.components() {
            // A component of a valid path joined to a prefix of that path is valid.
            at = at.join(name).unwrap_or_default();
            match self.get(&at) {
                Some(entry) if entry.inode.is_directory() => {}
                Some(_) => return Err(TreeError::ParentNotDirectory { path: path.clone() }),
                None => {
                    let metadata = metadata.clone();
                    self.insert(at.clone(), Inode { metadata, kind: Kind::Directory })?;
                }
            }
        }
        Ok(())
    }

    /// Removes what is at `path` with all below it; nothing there is no error.
    pub fn remove(&mut self, path: &TreePath) -> Result<(), TreeError> {
        if path.is_root() {
            return Err(TreeError::Root);
        }
        let gone: Vec<TreePath> = self.subtree(path).map(|entry| entry.path.clone()).collect();
        for path in gone {
            if let Some(id) = self.paths.remove(&path) {
                self.release(id);
            }
        }
        Ok(())
    }

    /// Counts one name of the inode less.
    fn release(&mut self, id: InodeId) {
        let Some(cell) = self.inodes.get_mut(id.0) else { return };
        if let Some(slot) = cell {
            slot.links -= 1;
            if slot.links == 0 {
                *cell = None;
            }
        }
    }

    fn check_place(&self, path: &TreePath) -> Result<(), TreeError> {
        let Some(parent) = path.parent() else { return Err(TreeError::Root) };
        match self.get(&parent) {
            None => Err(TreeError::NoParent { path: path.clone() }),
            Some(entry) if !entry.inode.is_directory() => {
                Err(TreeError::ParentNotDirectory { path: path.clone() })
            }
            Some(_) => Ok(()),
        }
    }
}

impl PartialEq for Tree {
    /// Two trees are equal when they hold the same paths with the same metadata and contents,
    /// and the same paths are hard links of each other.
    fn eq(&self, other: &Self) -> bool {
        let mut paired = BTreeMap::new();
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|(a, b)| {
                a.path == b.path
                    && *paired.entry(a.id).or_insert(b.id) == b.id
                    && self.links(a.id) == other.links(b.id)
                    && a.inode == b.inode
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn file(text: &str) -> Inode {
        Inode {
            metadata: Metadata::new(0o644),
            kind: Kind::File(Content::from_bytes(text.as_bytes())),
        }
    }

    fn directory() -> Inode {
        Inode { metadata: Metadata::new(0o755), kind: Kind::Directory }
    }

    #[test]
    fn holds_what_was_put_in_sorted() {
        let mut tree = Tree::new();
        tree.make_directories(&path("a/b"), &Metadata::new(0o700)).unwrap();
        tree.insert(path("a-"), file("x")).unwrap();
        tree.insert(path("a/b/c"), file("y")).unwrap();
        let shown: Vec<String> = tree.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(shown, ["/", "/a", "/a/b", "/a/b/c", "/a-"]);
        assert_eq!(tree.children(&path("a")).count(), 1);
        assert_eq!(tree.subtree(&path("a")).count(), 3);
    }

    #[test]
    fn refuses_orphans_and_bad_links() {
        let mut tree = Tree::new();
        assert!(matches!(tree.insert(path("a/b"), file("")), Err(TreeError::NoParent { .. })));
        tree.insert(path("f"), file("")).unwrap();
        assert!(matches!(
            tree.insert(path("f/b"), file("")),
            Err(TreeError::ParentNotDirectory { .. })
        ));
        assert!(matches!(tree.link(path("l"), &path("nowhere")), Err(TreeError::NoTarget { .. })));
        tree.insert(path("d"), directory()).unwrap();
        assert!(matches!(tree.link(path("l"), &path("d")), Err(TreeError::DirectoryLink { .. })));
        assert_eq!(tree.insert(TreePath::root(), file("")), Err(TreeError::Root));
        assert_eq!(tree.remove(&TreePath::root()), Err(TreeError::Root));
        assert_eq!(tree.len(), 3);
    }

    #[test]
    fn directory_on_directory_keeps_content_and_file_on_directory_drops_it() {
        let mut tree = Tree::new();
        tree.insert(path("d"), directory()).unwrap();
        tree.insert(path("d/f"), file("x")).unwrap();
        tree.insert(path("d"), Inode { metadata: Metadata::new(0o700), ..directory() }).unwrap();
        assert!(tree.get(&path("d/f")).is_some());
        assert_eq!(tree.get(&path("d")).unwrap().inode.metadata.mode, 0o700);
        tree.insert(path("d"), file("y")).unwrap();
        assert!(tree.get(&path("d/f")).is_none());
    }

    #[test]
    fn hard_links_share_and_outlive_each_other() {
        let mut tree = Tree::new();
        let id = tree.insert(path("a"), file("x")).unwrap();
        assert_eq!(tree.link(path("b"), &path("a")).unwrap(), id);
        assert_eq!(tree.links(id), 2);
        assert_eq!(tree.link(path("a"), &path("b")).unwrap(), id);
        assert_eq!(tree.links(id), 2);
        tree.remove(&path("a")).unwrap();
        assert_eq!(tree.links(id), 1);
        assert_eq!(tree.get(&path("b")).unwrap().inode, &file("x"));
        let mut copy = Tree::new();
        copy.insert(path("b"), file("x")).unwrap();
        assert_eq!(tree, copy);
        copy.link(path("c"), &path("b")).unwrap();
        assert_ne!(tree, copy);
        assert_eq!(copy.all_metadata_mut().count(), 2);
        copy.all_metadata_mut().for_each(|metadata| metadata.uid = 7);
        assert!(copy.iter().all(|entry| entry.inode.metadata.uid == 7));
    }

    proptest! {
        /// Whatever is done to a tree, every parent exists and link counts are true.
        #[test]
        fn stays_consistent(steps in prop::collection::vec((0..4u8, "[ab/]{1,6}", "[ab/]{1,6}"), 0..40)) {
            let mut tree = Tree::new();
            for (step, one, two) in steps {
                let (one, two) = (path(&one), path(&two));
                let _ = match step {
                    0 => tree.insert(one, file("x")).map(drop),
                    1 => tree.insert(one, directory()).map(drop),
                    2 => tree.link(one, &two).map(drop),
                    _ => tree.remove(&one),
                };
            }
            let mut names = BTreeMap::<InodeId, usize>::new();
            for entry in tree.iter() {
                *names.entry(entry.id).or_default() += 1;
                if let Some(parent) = entry.path.parent() {
                    prop_assert!(tree.get(&parent).unwrap().inode.is_directory());
                }
            }
            for (id, count) in names {
                prop_assert_eq!(tree.links(id), count);
            }
        }
    }
}
