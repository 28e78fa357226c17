//! Unpacks a layer in memory into the store.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use stagex_tree::{Content, Digest, Entry, InodeId, Kind, Metadata, Source, TreePath};

use super::{
    INDEX, Layer, Scratch, Store, StoreError,
    defer::Deferral,
    disk,
    hash::{self, Hashed, Loaded, SMALL},
    records::create_file,
};
use crate::{LayerTree, index, tar::is_overlay_attribute};

/// Why a content could not be spooled: its source failed, or the store did.
pub(super) enum SpoolError {
    Source(io::Error),
    Store(StoreError),
}

/// Copies a content of `size` bytes to a new file.
pub(super) fn spool_file(
    path: &Path,
    size: u64,
    bytes: &mut dyn Read,
) -> Result<Content, SpoolError> {
    let store = |error| SpoolError::Store(StoreError::at("unpacking to", path)(error));
    let mut file = create_file(path).map_err(store)?;
    let mut buffer = vec![0; usize::try_from(size.clamp(1, 1 << 18)).unwrap_or(1)];
    loop {
        let n = match bytes.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(SpoolError::Source(error)),
        };
        file.write_all(&buffer[..n]).map_err(store)?;
    }
    Ok(Content::from_file(path, 0, size))
}

impl Store {
    /// Unpacks the settled layer and publishes it. Contents below `spool` are moved, not copied.
    pub(super) fn build(
        &self,
        layer: LayerTree,
        scratch: &Scratch,
        spool: Option<&Path>,
    ) -> Result<Layer, StoreError> {
        let folder = scratch.path().join("layer");
        let builder = Builder {
            root: folder.join("root"),
            hidden_folder: folder.join("hidden"),
            hidden: hidden(&layer),
            epoch: self.normalise.epoch,
            spool,
        };
        disk::make_directory(&folder)?;
        if !builder.hidden.is_empty() {
            disk::make_directory(&builder.hidden_folder)?;
        }
        for entry in layer.tree.iter().filter(|entry| entry.inode.is_directory()) {
            let path = disk::join(&builder.root, entry.path)?;
            disk::make_directory(&path)?;
            set_attributes(&path, &entry.inode.metadata)?;
        }
        let hashed =
            hash::hash(&layer, builder.epoch, &|entry, content| builder.place(entry, content))?;
        builder.make_others(&layer)?;
        finish_directories(&builder.root, &layer, builder.epoch)?;
        self.publish(&folder, &layer, hashed, &builder.hidden)
    }

    /// Writes the index into `folder`, beside `root`, and gives the folder its name.
    pub(super) fn publish(
        &self,
        folder: &Path,
        layer: &LayerTree,
        hashed: Hashed,
        hidden: &BTreeMap<InodeId, u64>,
    ) -> Result<Layer, StoreError> {
        let Hashed { digest, tar_len, content_len, digests } = hashed;
        let carried = || layer.tree.iter().filter(|entry| !layer.implied.contains(entry.path));
        let system = |name: &[u8]| !name.starts_with(b"user.");
        let head = index::Head {
            digest,
            tar_len,
            content_len,
            paths: carried().count() as u64,
            markers: (layer.whiteouts.len() + layer.opaque.len()) as u64,
            epoch: self.normalise.epoch,
            implies: layer.implied.iter().any(|path| !path.is_root()),
            owners: carried().any(|entry| {
                let Metadata { uid, gid, xattrs, .. } = &entry.inode.metadata;
                (*uid, *gid) != (0, 0) || xattrs.keys().any(|name| system(name))
            }),
        };
        if !self.has_layer(&digest) {
            let deferral = self.deferral.as_ref();
            let path = folder.join(deferral.map_or(INDEX, Deferral::index_name));
            fs::write(&path, index::encode(layer, head, &digests, hidden))
                .map_err(StoreError::at("writing", &path))?;
            match deferral {
                Some(deferral) => {
                    deferral.failure()?;
                    self.place(folder, &digest)?;
                    deferral.layer(digest);
                }
                None => {
                    disk::sync_tree(folder, head.paths + head.markers)?;
                    self.place(folder, &digest)?;
                    disk::sync_directory(&self.path.join("layers"))?;
                }
            }
        }
        Ok(self.describe(&head))
    }

    fn place(&self, folder: &Path, digest: &Digest) -> Result<(), StoreError> {
        let path = &self.layer_path(digest);
        match fs::rename(folder, path) {
            Ok(()) => Ok(()),
            // Another process had the same layer.
            Err(_) if self.has_layer(digest) => Ok(()),
            // Something without an index: nobody's layer.
            Err(error) if path.exists() => {
                let scratch = self.scratch()?;
                fs::rename(path, scratch.path().join("broken"))
                    .and_then(|()| fs::rename(folder, path))
                    .map_err(|_| StoreError::at("placing", path)(error))
            }
            Err(error) => Err(StoreError::at("placing", path)(error)),
        }
    }
}

struct Builder<'a> {
    root: PathBuf,
    hidden_folder: PathBuf,
    hidden: BTreeMap<InodeId, u64>,
    epoch: u64,
    spool: Option<&'a Path>,
}

impl Builder<'_> {
    /// Makes one regular file with all its metadata.
    fn place(&self, entry: Entry<'_>, content: &Content) -> Result<Loaded, StoreError> {
        let path = disk::join(&self.root, entry.path)?;
        let loaded = self.place_bytes(&path, content)?;
        let metadata = &entry.inode.metadata;
        set_attributes(&path, metadata)?;
        let loaded = match (self.hidden.get(&entry.id), loaded) {
            (Some(number), Loaded::Stream(_)) => {
                Loaded::Stream(hide(&path, &self.hidden_folder, *number)?)
            }
            (Some(number), loaded) => {
                hide(&path, &self.hidden_folder, *number)?;
                loaded
            }
            (None, loaded) => loaded,
        };
        disk::set_mode(&path, metadata.mode)?;
        disk::set_times(&path, self.epoch)?;
        Ok(loaded)
    }

    fn place_bytes(&self, path: &Path, content: &Content) -> Result<Loaded, StoreError> {
        let fail = |error| StoreError::at("writing", path)(error);
        let small = content.len() <= SMALL;
        match content.source() {
            Source::File { path: from, .. } if self.spool.is_some_and(|s| from.starts_with(s)) => {
                fs::rename(from, path).map_err(fail)?;
                if !small {
                    return Ok(Loaded::Stream(path.to_owned()));
                }
                Ok(Loaded::Bytes(fs::read(path).map_err(fail)?))
            }
            Source::File { path: from, offset } if !small => {
                let source = StoreError::at("reading", from);
                copy(from, *offset, content.len(), path).map_err(|error| match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => fail(error),
                    _ => source(error),
                })?;
                Ok(Loaded::Stream(path.to_owned()))
            }
            source => {
                let bytes = content.read().map_err(|error| {
                    let from: &Path = match source {
                        Source::File { path, .. } => path,
                        Source::Bytes(_) => path,
                    };
                    StoreError::at("reading", from)(error)
                })?;
                let mut file = create_file(path).map_err(fail)?;
                file.write_all(&bytes).map_err(fail)?;
                Ok(Loaded::Bytes(bytes))
            }
        }
    }

    /// Makes all that is neither a directory nor a file's first name.
    fn make_others(&self, layer: &LayerTree) -> Result<(), StoreError> {
        let mut first: BTreeMap<InodeId, &TreePath> = BTreeMap::new();
        for entry in layer.tree.iter().filter(|entry| !entry.inode.is_directory()) {
            let path = disk::join(&self.root, entry.path)?;
            let on_disk = matches!(entry.inode.kind, Kind::File(_) | Kind::Symlink(_) | Kind::Fifo);
            if layer.tree.links(entry.id) > 1 && on_disk {
                if let Some(target) = first.get(&entry.id) {
                    fs::hard_link(disk::join(&self.root, target)?, &path)
                        .map_err(StoreError::at("linking", &path))?;
                    continue;
                }
                first.insert(entry.id, entry.path);
            }
            match &entry.inode.kind {
                Kind::Symlink(target) => {
                    let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(target);
                    std::os::unix::fs::symlink(target, &path)
                        .map_err(StoreError::at("linking", &path))?;
                }
                Kind::Fifo => {
                    disk::make_fifo(&path)?;
                    disk::set_mode(&path, entry.inode.metadata.mode)?;
                }
                _ => continue,
            }
            disk::set_times(&path, self.epoch)?;
        }
        for path in &layer.whiteouts {
            let path = disk::join(&self.root, path)?;
            disk::make_whiteout(&path)?;
            disk::set_times(&path, self.epoch)?;
        }
        Ok(())
    }
}

/// The regular files that their modes, or those of directories above them, deny to their owner,
/// numbered. Root could read them all the same: the rule is one for all users.
pub(super) fn hidden(layer: &LayerTree) -> BTreeMap<InodeId, u64> {
    let mut hidden = BTreeMap::new();
    let mut seen = BTreeMap::new();
    let mut closed: Option<&TreePath> = None;
    for entry in layer.tree.iter() {
        if closed.is_some_and(|closed| !entry.path.starts_with(closed)) {
            closed = None;
        }
        let mode = entry.inode.metadata.mode;
        match &entry.inode.kind {
            Kind::Directory if closed.is_none() && mode & 0o100 == 0 => closed = Some(entry.path),
            Kind::File(_) => {
                // The first name counts: it is the one that is read.
                if layer.tree.links(entry.id) > 1 && seen.insert(entry.id, ()).is_some() {
                    continue;
                }
                if closed.is_some() || mode & 0o400 == 0 {
                    let number = hidden.len() as u64;
                    hidden.insert(entry.id, number);
                }
            }
            _ => {}
        }
    }
    hidden
}

/// Makes the readable copy of a hidden file; returns where it is.
pub(super) fn hide(path: &Path, folder: &Path, number: u64) -> Result<PathBuf, StoreError> {
    let copied = folder.join(number.to_string());
    let mut out = create_file(&copied).map_err(StoreError::at("making", &copied))?;
    let mut file = File::open(path).map_err(StoreError::at("reading", path))?;
    io::copy(&mut file, &mut out).map_err(StoreError::at("writing", &copied))?;
    Ok(copied)
}

/// Sets the attributes that any user may set. What needs privileges is in the index alone, so
/// that a layer looks the same whoever owns the store.
fn set_attributes(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    for (name, value) in &metadata.xattrs {
        if name.starts_with(b"user.") && !is_overlay_attribute(name) {
            disk::set_attribute(path, name, value)?;
        }
    }
    Ok(())
}

/// Gives every directory its marker, mode and times, innermost first.
pub(super) fn finish_directories(
    root: &Path,
    layer: &LayerTree,
    epoch: u64,
) -> Result<(), StoreError> {
    for entry in layer.tree.iter().rev().filter(|entry| entry.inode.is_directory()) {
        let path = disk::join(root, entry.path)?;
        if layer.opaque.contains(entry.path) {
            disk::set_attribute(&path, disk::OVERLAY_OPAQUE.as_bytes(), b"y")?;
        }
        disk::set_mode(&path, entry.inode.metadata.mode)?;
        disk::set_times(&path, epoch)?;
    }
    Ok(())
}

/// Copies a part of a file to a new one, sharing blocks where the file system can.
fn copy(from: &Path, offset: u64, len: u64, path: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let out = OpenOptions::new().write(true).create_new(true).open(path)?;
    out.set_permissions(fs::Permissions::from_mode(0o600))?;
    let whole = offset == 0 && source.metadata()?.len() == len;
    if whole && rustix::fs::ioctl_ficlone(&out, &source).is_ok() {
        return Ok(());
    }
    io::Seek::seek(&mut source, io::SeekFrom::Start(offset))?;
    // Stays in the kernel: copy_file_range.
    let copied = io::copy(&mut source.take(len), &mut &out)?;
    if copied != len {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("it ended {} bytes short", len - copied),
        ));
    }
    Ok(())
}
