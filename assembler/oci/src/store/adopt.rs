//! Makes an overlay's upper directory a layer where it lies.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, Metadata as FileMetadata},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
};

use stagex_tree::{Content, Device, Digest, Inode, Kind, Metadata, Tree, TreePath};

use super::{
    Layer, Store, StoreError,
    build::{finish_directories, hidden, hide},
    disk,
    hash::{self, Loaded, SMALL},
    lower::{Lower, LowerDirectory},
};
use crate::{LayerTree, tar::is_overlay_attribute};

/// A user and a group by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Owner {
    /// Root.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// How an upper directory becomes a layer.
#[derive(Debug, Clone, Copy)]
pub struct Adopt<'a> {
    /// Who owns what the step made. A sandbox that maps one user cannot tell: what it changed
    /// but did not make keeps the owner that it has in the layers below.
    pub owner: Owner,
    /// The layers that it was mounted over, bottom first. What differs from them in nothing,
    /// though overlayfs copied it up or marked it, is left out: a layer's name must not depend
    /// on how a kernel's overlayfs works.
    pub lower: &'a [Digest],
}

impl Store {
    /// Makes the directory `upper` a layer: walks it, brings it into normal form in place,
    /// hashes it, and moves it into the store. It must lie on the store's file system, as
    /// [`Store::scratch`] provides, and nothing may change it meanwhile.
    pub fn adopt(&self, upper: &Path, options: Adopt<'_>) -> Result<Layer, StoreError> {
        let scratch = self.scratch()?;
        let folder = scratch.path().join("layer");
        let root = folder.join("root");
        let hidden_folder = folder.join("hidden");
        disk::make_directory(&folder)?;
        let epoch = self.normalise.epoch;
        let top = fs::symlink_metadata(upper).map_err(StoreError::at("reading", upper))?;
        // A directory can be moved to another only by who may write it.
        disk::set_mode(upper, mode_of(&top) | 0o700)?;
        fs::rename(upper, &root).map_err(|error| match error.kind() {
            io::ErrorKind::CrossesDevices => StoreError::OtherFilesystem { path: upper.to_owned() },
            _ => StoreError::at("moving", upper)(error),
        })?;
        let roots = self.lower_dirs(options.lower)?;
        let owners = self.lower_owners(options.lower)?;
        let mut walk = Walk {
            root: &root,
            owner: options.owner,
            owners,
            epoch,
            layer: LayerTree::new(),
            links: BTreeMap::new(),
            same: BTreeSet::new(),
        };
        walk.all(&top, LowerDirectory::root(roots)?)?;
        let mut layer = walk.finish()?;
        layer.settle(epoch)?;
        let hidden = hidden(&layer);
        if !hidden.is_empty() {
            disk::make_directory(&hidden_folder)?;
        }
        let hashed = hash::hash(&layer, epoch, &|entry, content| {
            let path = disk::join(&root, entry.path)?;
            let mode = entry.inode.metadata.mode;
            let mut readable = path.clone();
            if let Some(number) = hidden.get(&entry.id) {
                disk::set_mode(&path, mode | 0o600)?;
                readable = hide(&path, &hidden_folder, *number)?;
                disk::set_mode(&path, mode)?;
            }
            disk::set_times(&path, epoch)?;
            if content.len() > SMALL {
                return Ok(Loaded::Stream(readable));
            }
            fs::read(&readable).map(Loaded::Bytes).map_err(StoreError::at("reading", &readable))
        })?;
        finish_directories(&root, &layer, epoch)?;
        self.publish(&folder, &layer, hashed, &hidden)
    }

    /// The tree below, if anything in it has another owner than root.
    fn lower_owners(&self, lower: &[Digest]) -> Result<Option<Tree>, StoreError> {
        for digest in lower {
            if self.head(digest)?.owners {
                return self.merged(lower).map(Some);
            }
        }
        Ok(None)
    }
}

struct Walk<'a> {
    root: &'a Path,
    owner: Owner,
    owners: Option<Tree>,
    epoch: u64,
    layer: LayerTree,
    /// The first path met of each inode that has several.
    links: BTreeMap<(u64, u64), TreePath>,
    /// Directories that are in themselves as they are below.
    same: BTreeSet<TreePath>,
}

impl Walk<'_> {
    fn all(&mut self, top: &FileMetadata, lower: LowerDirectory) -> Result<(), StoreError> {
        let found = match &lower {
            LowerDirectory::Merged(roots) => roots.first(),
            LowerDirectory::Closed => None,
        };
        let mode = match found {
            Some(root) => {
                mode_of(&fs::symlink_metadata(root).map_err(StoreError::at("reading", root))?)
            }
            None => 0o755,
        };
        let root = TreePath::root();
        let (metadata, opaque) = self.metadata(&root, self.root, top)?;
        if mode != metadata.mode || !metadata.xattrs.is_empty() {
            self.put(root.clone(), Inode { metadata, kind: Kind::Directory })?;
        }
        let lower = if opaque { LowerDirectory::none() } else { lower };
        if opaque {
            self.layer.opaque.insert(root.clone());
        }
        let mut todo = vec![(root, lower)];
        while let Some((directory, lower)) = todo.pop() {
            let path = disk::join(self.root, &directory)?;
            let entries = fs::read_dir(&path).map_err(StoreError::at("reading", &path))?;
            for entry in entries {
                let name = entry.map_err(StoreError::at("reading", &path))?.file_name();
                let tree_path =
                    directory.join(name.as_bytes()).map_err(crate::tar::TarError::Path)?;
                if let Some(inner) = self.entry(tree_path.clone(), &name, &lower)? {
                    todo.push((tree_path, inner));
                }
            }
        }
        Ok(())
    }

    /// Takes in one entry; returns what lies below it where it is a directory.
    fn entry(
        &mut self,
        path: TreePath,
        name: &OsStr,
        lower: &LowerDirectory,
    ) -> Result<Option<LowerDirectory>, StoreError> {
        let file = disk::join(self.root, &path)?;
        let stat = fs::symlink_metadata(&file).map_err(StoreError::at("reading", &file))?;
        let below = lower.get(name)?;
        let remove = || fs::remove_file(&file).map_err(StoreError::at("removing", &file));
        if disk::is_whiteout(&stat) {
            if matches!(below, Lower::Nothing) {
                remove()?;
            } else {
                disk::set_times(&file, self.epoch)?;
                self.layer.whiteouts.insert(path);
            }
            return Ok(None);
        }
        let kind = stat.file_type();
        if kind.is_socket() {
            remove()?;
            return Ok(None);
        }
        let (metadata, opaque) = self.metadata(&path, &file, &stat)?;
        if kind.is_dir() {
            let (inner, same) = match below {
                Lower::Directory(inner, stat, lower_path) => {
                    let same = mode_of(&stat) == metadata.mode
                        && user_attributes(&lower_path)? == metadata.xattrs;
                    if opaque {
                        self.layer.opaque.insert(path.clone());
                        (LowerDirectory::none(), false)
                    } else {
                        (inner, same)
                    }
                }
                Lower::Unknown if opaque => {
                    self.layer.opaque.insert(path.clone());
                    (LowerDirectory::none(), false)
                }
                Lower::Unknown => (LowerDirectory::Closed, false),
                Lower::Nothing | Lower::Other(..) => (LowerDirectory::none(), false),
            };
            if same {
                self.same.insert(path.clone());
            }
            if mode_of(&stat) & 0o700 != 0o700 {
                disk::set_mode(&file, mode_of(&stat) | 0o700)?;
            }
            self.put(path, Inode { metadata, kind: Kind::Directory })?;
            return Ok(Some(inner));
        }
        if let Lower::Other(lower_stat, lower_path) = &below {
            if is_same(&stat, &file, &metadata, lower_stat, lower_path)? {
                remove()?;
                return Ok(None);
            }
        }
        if stat.nlink() > 1 {
            let inode = (stat.dev(), stat.ino());
            if let Some(target) = self.links.get(&inode) {
                let target = target.clone();
                self.layer.link(path, &target)?;
                return Ok(None);
            }
            self.links.insert(inode, path.clone());
        }
        let kind = if kind.is_file() {
            Kind::File(Content::from_file(file.as_path(), 0, stat.len()))
        } else if kind.is_symlink() {
            let target = fs::read_link(&file).map_err(StoreError::at("reading", &file))?;
            Kind::Symlink(target.as_os_str().as_bytes().into())
        } else if kind.is_fifo() {
            Kind::Fifo
        } else {
            remove()?;
            let (major, minor) = (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
            let device = Device { major, minor };
            if kind.is_block_device() {
                Kind::BlockDevice(device)
            } else {
                Kind::CharDevice(device)
            }
        };
        if matches!(kind, Kind::Symlink(_) | Kind::Fifo) {
            disk::set_times(&file, self.epoch)?;
        }
        self.put(path, Inode { metadata, kind })?;
        Ok(None)
    }

    fn put(&mut self, path: TreePath, inode: Inode) -> Result<(), StoreError> {
        Ok(self.layer.insert(path, inode)?)
    }

    /// The metadata that the layer gives a file, and whether overlayfs marked it opaque.
    /// Overlayfs's attributes are taken off it.
    fn metadata(
        &self,
        path: &TreePath,
        file: &Path,
        stat: &FileMetadata,
    ) -> Result<(Metadata, bool), StoreError> {
        let is_symlink = stat.file_type().is_symlink();
        let mut metadata = Metadata::new(if is_symlink { 0o777 } else { mode_of(stat) });
        let owner = self.owner_below(path, stat).unwrap_or(self.owner);
        (metadata.uid, metadata.gid) = (owner.uid, owner.gid);
        // Attributes are read and changed only by who may read and write the file.
        let closed = !is_symlink && mode_of(stat) & 0o600 != 0o600 && disk::has_attributes(file);
        if closed {
            disk::set_mode(file, mode_of(stat) | 0o600)?;
        }
        let mut opaque = false;
        for (name, value) in disk::attributes(file)? {
            if is_overlay_attribute(&name) {
                match name.rsplit(|&b| b == b'.').next().unwrap_or_default() {
                    b"opaque" => opaque |= *value == *b"y",
                    b"redirect" | b"metacopy" | b"whiteout" => {
                        let attribute = String::from_utf8_lossy(&name).into_owned();
                        return Err(StoreError::Overlay { path: path.clone(), attribute });
                    }
                    _ => {}
                }
                disk::remove_attribute(file, &name)
                    .map_err(StoreError::at("removing an attribute of", file))?;
            } else if name.starts_with(b"user.") {
                metadata.xattrs.insert(name, value);
            } else if *name == *b"security.capability" {
                metadata.xattrs.insert(name, plain_capability(value));
            }
            // All else is the host's: labels of its security modules, its access lists.
        }
        if closed {
            disk::set_mode(file, mode_of(stat))?;
        }
        Ok((metadata, opaque))
    }

    fn owner_below(&self, path: &TreePath, stat: &FileMetadata) -> Option<Owner> {
        let inode = self.owners.as_ref()?.get(path)?.inode;
        let kind = stat.file_type();
        let same_kind = match &inode.kind {
            Kind::Directory => kind.is_dir(),
            Kind::File(_) => kind.is_file(),
            Kind::Symlink(_) => kind.is_symlink(),
            _ => false,
        };
        same_kind.then_some(Owner { uid: inode.metadata.uid, gid: inode.metadata.gid })
    }

    /// Leaves out directories that hold no change.
    fn finish(self) -> Result<LayerTree, StoreError> {
        let mut layer = self.layer;
        for path in self.same.iter().rev() {
            let holds_marker = |set: &BTreeSet<TreePath>| {
                set.range(path..).next().is_some_and(|next| next.starts_with(path))
            };
            let empty = layer.tree.subtree(path).nth(1).is_none();
            if empty && !holds_marker(&layer.whiteouts) && !holds_marker(&layer.opaque) {
                layer.tree.remove(path)?;
                let file = disk::join(self.root, path)?;
                fs::remove_dir(&file).map_err(StoreError::at("removing", &file))?;
            }
        }
        Ok(layer)
    }
}

fn mode_of(stat: &FileMetadata) -> u16 {
    (stat.mode() & 0o7777) as u16
}

fn user_attributes(path: &Path) -> Result<disk::Attributes, StoreError> {
    let mut all = disk::attributes(path)?;
    all.retain(|name, _| name.starts_with(b"user.") && !is_overlay_attribute(name));
    Ok(all)
}

/// Whether a file that was copied up is still what it is below. Hard links are not looked into,
/// nor are files whose mode denies them to their owner.
fn is_same(
    stat: &FileMetadata,
    file: &Path,
    metadata: &Metadata,
    lower: &FileMetadata,
    lower_file: &Path,
) -> Result<bool, StoreError> {
    if stat.file_type() != lower.file_type() || stat.nlink() > 1 || lower.nlink() > 1 {
        return Ok(false);
    }
    if stat.file_type().is_symlink() {
        let read = |path: &Path| fs::read_link(path).map_err(StoreError::at("reading", path));
        return Ok(read(file)? == read(lower_file)?);
    }
    let comparable = stat.file_type().is_file()
        && stat.len() == lower.len()
        && mode_of(stat) == mode_of(lower)
        && mode_of(stat) & 0o400 != 0;
    if !comparable || user_attributes(lower_file)? != metadata.xattrs {
        return Ok(false);
    }
    same_bytes(file, lower_file)
}

fn same_bytes(one: &Path, two: &Path) -> Result<bool, StoreError> {
    use std::io::Read;
    let open = |path: &Path| fs::File::open(path).map_err(StoreError::at("reading", path));
    let (mut a, mut b) = (open(one)?, open(two)?);
    let mut buffers = [vec![0; 1 << 17], vec![0; 1 << 17]];
    loop {
        let [left, right] = &mut buffers;
        let n = a.read(left).map_err(StoreError::at("reading", one))?;
        if n == 0 {
            return Ok(b.read(right).map_err(StoreError::at("reading", two))? == 0);
        }
        match b.read_exact(&mut right[..n]) {
            Ok(()) if left[..n] == right[..n] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(StoreError::at("reading", two)(error)),
        }
    }
}

/// File capabilities without the user namespace in which they were set: revision 3 of the
/// attribute, as the kernel writes it for a namespace's root, becomes revision 2.
fn plain_capability(value: Box<[u8]>) -> Box<[u8]> {
    const REVISION_2: u8 = 2;
    const REVISION_3: u8 = 3;
    match &*value {
        // magic_etc (revision in its top byte), two pairs of sets, the root's id.
        [a, b, c, REVISION_3, sets @ .., _, _, _, _] if sets.len() == 16 => {
            [&[*a, *b, *c, REVISION_2][..], sets].concat().into()
        }
        _ => value,
    }
}
