//! A layer in memory.

use std::collections::{BTreeMap, BTreeSet};

use stagex_tree::{Device, Inode, Kind, Metadata, Tree, TreeError, TreePath};

/// What names reserved for whiteouts begin with (OCI image-spec, layer.md).
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// The name that makes its directory opaque.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// The largest device number that a tar header can hold: seven octal digits.
const DEVICE_MAX: u32 = 0o777_7777;

/// What a layer adds, changes and removes.
///
/// `tree` holds only what the layer carries, and the directories above it. Directories in
/// `implied` are there because a tree needs parents: the layer's tar has no entry for them, and
/// where layers are merged they leave an existing directory's metadata as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerTree {
    /// What is added or changed.
    pub tree: Tree,
    /// What is removed from the layers below.
    pub whiteouts: BTreeSet<TreePath>,
    /// Directories that hide what the layers below have in them.
    pub opaque: BTreeSet<TreePath>,
    /// Directories of `tree` that the layer does not carry.
    pub implied: BTreeSet<TreePath>,
}

/// Why a tree cannot be a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// A name that begins with `.wh.`.
    #[error("{path}: names that begin with '.wh.' mean a removal in a layer and cannot be files")]
    ReservedName {
        /// The file.
        path: TreePath,
    },
    /// The root was to be removed.
    #[error("the root cannot be removed by a whiteout")]
    WhiteoutOfRoot,
    /// A character device 0:0, which overlayfs takes for a removal.
    #[error("{path}: device 0:0 is overlayfs's whiteout and cannot be a file")]
    WhiteoutDevice {
        /// The device node.
        path: TreePath,
    },
    /// A device number beyond what tar can say.
    #[error("{path}: device {major}:{minor} is beyond Linux's and tar's range")]
    DeviceRange {
        /// The device node.
        path: TreePath,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A symbolic link to nothing, or to a text that no kernel accepts.
    #[error("{path}: a symbolic link's target has 1 to 4095 bytes, none of them NUL")]
    SymlinkTarget {
        /// The link.
        path: TreePath,
    },
    /// An extended attribute that a pax header cannot name.
    #[error("{path}: attribute {name:?}: a name has 1 to 255 bytes, none of them '=' or NUL")]
    AttributeName {
        /// The file.
        path: TreePath,
        /// The attribute, lossily decoded.
        name: String,
    },
    /// A marker below something that is no directory.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Default for LayerTree {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerTree {
    /// The layer that changes nothing.
    pub fn new() -> Self {
        Self {
            tree: Tree::new(),
            whiteouts: BTreeSet::new(),
            opaque: BTreeSet::new(),
            implied: BTreeSet::from([TreePath::root()]),
        }
    }

    /// The layer that adds all of `tree`. Its root is carried only where its metadata are not
    /// what every root begins with (mode 0755, owner 0:0).
    pub fn from_tree(tree: Tree) -> Self {
        let plain = tree.get(&TreePath::root()).is_none_or(|root| {
            let Metadata { mode, uid, gid, mtime: _, xattrs } = &root.inode.metadata;
            (*mode, *uid, *gid) == (0o755, 0, 0) && xattrs.is_empty()
        });
        let implied = plain.then(TreePath::root).into_iter().collect();
        Self { tree, implied, whiteouts: BTreeSet::new(), opaque: BTreeSet::new() }
    }

    /// Whether the layer changes nothing.
    pub fn is_empty(&self) -> bool {
        self.whiteouts.is_empty()
            && self.opaque.is_empty()
            && self.tree.iter().all(|entry| self.implied.contains(entry.path))
    }

    /// Puts an inode at `path`; directories above it that are missing become implied.
    pub fn insert(&mut self, path: TreePath, inode: Inode) -> Result<(), TreeError> {
        self.imply_parents(&path)?;
        self.implied.remove(&path);
        self.tree.insert(path, inode)?;
        Ok(())
    }

    /// Makes `path` a further name of what is at `target`; directories above it that are missing
    /// become implied.
    pub fn link(&mut self, path: TreePath, target: &TreePath) -> Result<(), TreeError> {
        self.imply_parents(&path)?;
        self.implied.remove(&path);
        self.tree.link(path, target)?;
        Ok(())
    }

    /// Makes the missing directories above `path`, as implied ones.
    pub fn imply_parents(&mut self, path: &TreePath) -> Result<(), TreeError> {
        let mut missing = Vec::new();
        let mut at = path.parent();
        while let Some(parent) = at {
            match self.tree.get(&parent) {
                Some(entry) if entry.inode.is_directory() => break,
                Some(_) => return Err(TreeError::ParentNotDirectory { path: path.clone() }),
                None => {}
            }
            at = parent.parent();
            missing.push(parent);
        }
        for parent in missing.into_iter().rev() {
            let inode = Inode { metadata: Metadata::new(0o755), kind: Kind::Directory };
            self.tree.insert(parent.clone(), inode)?;
            self.implied.insert(parent);
        }
        Ok(())
    }

    /// Brings the layer into normal form and checks it: markers that say nothing go, a removed
    /// path that is a directory of this layer becomes opaque, sockets go, every modification
    /// time becomes `epoch`.
    pub fn settle(&mut self, epoch: u64) -> Result<(), LayerError> {
        self.settle_at(Some(i64::try_from(epoch).unwrap_or(i64::MAX)))
    }

    /// As [`LayerTree::settle`], with the times as they are where `mtime` is none.
    pub(crate) fn settle_at(&mut self, mtime: Option<i64>) -> Result<(), LayerError> {
        let mut sockets = Vec::new();
        for entry in self.tree.iter() {
            if matches!(entry.inode.kind, Kind::Socket) {
                sockets.push(entry.path.clone());
                continue;
            }
            check_entry(entry.path, entry.inode)?;
        }
        if let Some(mtime) = mtime {
            self.tree.all_metadata_mut().for_each(|metadata| metadata.mtime = mtime);
        }
        for path in &sockets {
            self.tree.remove(path)?;
        }
        self.settle_markers()?;
        self.settle_implied()?;
        // An implied directory says nothing about itself.
        for path in &self.implied {
            if let Some(metadata) = self.tree.metadata_mut(path) {
                *metadata = Metadata { mtime: mtime.unwrap_or(0), ..Metadata::new(0o755) };
            }
        }
        Ok(())
    }

    /// Keeps as implied only directories that hold something.
    fn settle_implied(&mut self) -> Result<(), LayerError> {
        let below = |set: &BTreeSet<TreePath>, path: &TreePath| {
            set.range(path..).next().is_some_and(|next| next.starts_with(path))
        };
        for path in std::mem::take(&mut self.implied).into_iter().rev() {
            let is_directory = self.tree.get(&path).is_some_and(|entry| entry.inode.is_directory());
            if !is_directory {
                continue;
            }
            let holds = path.is_root()
                || self.tree.subtree(&path).nth(1).is_some()
                || below(&self.whiteouts, &path)
                || below(&self.opaque, &path);
            if holds {
                self.implied.insert(path);
            } else {
                self.tree.remove(&path)?;
            }
        }
        Ok(())
    }

    fn settle_markers(&mut self) -> Result<(), LayerError> {
        if self.whiteouts.contains(&TreePath::root()) {
            return Err(LayerError::WhiteoutOfRoot);
        }
        let is_directory =
            |tree: &Tree, path: &TreePath| tree.get(path).map(|entry| entry.inode.is_directory());
        for path in std::mem::take(&mut self.whiteouts) {
            if path.name().starts_with(WHITEOUT) {
                return Err(LayerError::ReservedName { path });
            }
            match is_directory(&self.tree, &path) {
                // Removed and made anew: the new one is this layer's, metadata and all.
                Some(true) => {
                    self.implied.remove(&path);
                    self.opaque.insert(path);
                }
                Some(false) => {}
                None => {
                    self.opaque.remove(&path);
                    self.whiteouts.insert(path);
                }
            }
        }
        // What lies below a removal, an opaque directory or a file is hidden already.
        let hides = |tree: &Tree, above: &BTreeSet<TreePath>, path: &TreePath| {
            std::iter::successors(path.parent(), TreePath::parent)
                .any(|up| above.contains(&up) || is_directory(tree, &up) == Some(false))
        };
        let Self { tree, whiteouts, opaque, .. } = self;
        opaque.retain(|path| is_directory(tree, path) != Some(false));
        let all: BTreeSet<TreePath> = whiteouts.union(opaque).cloned().collect();
        whiteouts.retain(|path| !hides(tree, &all, path));
        opaque.retain(|path| !hides(tree, &all, path));
        for path in self.opaque.clone() {
            if self.tree.get(&path).is_none() {
                let inode = Inode { metadata: Metadata::new(0o755), kind: Kind::Directory };
                self.insert(path.clone(), inode)?;
                self.implied.insert(path);
            }
        }
        for path in self.whiteouts.clone() {
            self.imply_parents(&path)?;
        }
        Ok(())
    }

    /// Applies the layer to `base`, like [`LayerTree::apply_to`], and is used up by it: onto
    /// nothing, its tree is taken as it is.
    pub fn move_to(self, base: &mut Tree) -> Result<(), TreeError> {
        if !base.is_empty() {
            return self.apply_to(base);
        }
        let root = TreePath::root();
        let below = base.metadata_mut(&root).filter(|_| self.implied.contains(&root)).cloned();
        *base = self.tree;
        if let (Some(below), Some(metadata)) = (below, base.metadata_mut(&root)) {
            *metadata = below;
        }
        Ok(())
    }

    /// Applies the layer to `base`, the merged tree of the layers below.
    pub fn apply_to(&self, base: &mut Tree) -> Result<(), TreeError> {
        for path in &self.whiteouts {
            base.remove(path)?;
        }
        for path in &self.opaque {
            let hidden: Vec<TreePath> =
                base.children(path).map(|entry| entry.path.clone()).collect();
            for path in hidden {
                base.remove(&path)?;
            }
        }
        let mut first = BTreeMap::new();
        for entry in self.tree.iter() {
            let below = || base.get(entry.path).is_some_and(|below| below.inode.is_directory());
            if self.implied.contains(entry.path) && below() {
                continue;
            }
            match first.get(&entry.id) {
                Some(target) => drop(base.link(entry.path.clone(), target)?),
                None => drop(base.insert(entry.path.clone(), entry.inode.clone())?),
            }
            if self.tree.links(entry.id) > 1 {
                first.entry(entry.id).or_insert_with(|| entry.path.clone());
            }
        }
        Ok(())
    }

    /// What this layer's directory metadata would hide: implied directories lose their own.
    ///
    /// Gives every implied directory that `below` has the metadata it has there, and carries it.
    /// Overlayfs shows the topmost directory's metadata, so a layer that is to be mounted over
    /// `below` should carry all that it has.
    pub fn carry_parents(&mut self, below: &Tree) {
        for path in std::mem::take(&mut self.implied) {
            let found = below.get(&path).filter(|entry| entry.inode.is_directory());
            match (found, self.tree.metadata_mut(&path)) {
                (Some(entry), Some(metadata)) if !path.is_root() => {
                    *metadata = entry.inode.metadata.clone();
                }
                _ => drop(self.implied.insert(path)),
            }
        }
    }
}

fn check_entry(path: &TreePath, inode: &Inode) -> Result<(), LayerError> {
    if path.name().starts_with(WHITEOUT) {
        return Err(LayerError::ReservedName { path: path.clone() });
    }
    let path = || path.clone();
    for name in inode.metadata.xattrs.keys() {
        if name.is_empty() || name.len() > 255 || name.iter().any(|b| matches!(b, b'=' | 0)) {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(LayerError::AttributeName { path: path(), name });
        }
    }
    match &inode.kind {
        Kind::CharDevice(Device { major: 0, minor: 0 }) => {
            Err(LayerError::WhiteoutDevice { path: path() })
        }
        Kind::CharDevice(Device { major, minor }) | Kind::BlockDevice(Device { major, minor })
            if *major > DEVICE_MAX || *minor > DEVICE_MAX =>
        {
            Err(LayerError::DeviceRange { path: path(), major: *major, minor: *minor })
        }
        Kind::Symlink(target)
            if target.is_empty() || target.len() > 4095 || target.contains(&0) =>
        {
            Err(LayerError::SymlinkTarget { path: path() })
        }
        _ => Ok(()),
    }
}
