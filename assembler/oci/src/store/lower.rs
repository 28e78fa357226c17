//! What the layers below show at a path, looked up on disk.
//!
//! Reading the indices of all layers for every step would cost more than most steps.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{StoreError, disk};

/// A directory as the layers below show it: the layers' own directories, topmost first.
#[derive(Debug, Clone)]
pub(super) enum LowerDirectory {
    /// These merge; none where the layers below have no such directory.
    Merged(Vec<PathBuf>),
    /// A directory that its mode closes: what is in it is not known.
    Closed,
}

/// What the layers below show at one name.
#[derive(Debug)]
pub(super) enum Lower {
    /// Nothing.
    Nothing,
    /// A directory; the metadata are the topmost one's.
    Directory(LowerDirectory, Metadata, PathBuf),
    /// Anything else.
    Other(Metadata, PathBuf),
    /// Not known.
    Unknown,
}

impl LowerDirectory {
    /// The root that the layers, unpacked in `roots`, topmost first, give together.
    pub(super) fn root(roots: Vec<PathBuf>) -> Result<Self, StoreError> {
        let mut merged = Vec::new();
        for root in roots {
            let metadata = fs::symlink_metadata(&root).map_err(StoreError::at("reading", &root))?;
            if metadata.mode() & 0o500 != 0o500 {
                return Ok(Self::Closed);
            }
            let opaque = is_opaque(&root)?;
            merged.push(root);
            if opaque {
                break;
            }
        }
        Ok(Self::Merged(merged))
    }

    /// Nothing.
    pub(super) fn none() -> Self {
        Self::Merged(Vec::new())
    }

    /// What is called `name` in it.
    pub(super) fn get(&self, name: &std::ffi::OsStr) -> Result<Lower, StoreError> {
        let Self::Merged(directories) = self else { return Ok(Lower::Unknown) };
        let mut merged = Vec::new();
        let mut top: Option<(Metadata, PathBuf)> = None;
        for directory in directories {
            let path = directory.join(name);
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::at("reading", &path)(error)),
            };
            if disk::is_whiteout(&metadata) {
                break;
            }
            if !metadata.is_dir() {
                if top.is_none() {
                    return Ok(Lower::Other(metadata, path));
                }
                break;
            }
            let closed = metadata.mode() & 0o500 != 0o500;
            let (metadata, top_path) = top.take().unwrap_or((metadata, path.clone()));
            if closed {
                return Ok(Lower::Directory(Self::Closed, metadata, top_path));
            }
            top = Some((metadata, top_path));
            merged.push(path.clone());
            if is_opaque(&path)? {
                break;
            }
        }
        Ok(match top {
            Some((metadata, path)) => Lower::Directory(Self::Merged(merged), metadata, path),
            None => Lower::Nothing,
        })
    }
}

fn is_opaque(path: &Path) -> Result<bool, StoreError> {
    let mut value = [0_u8; 8];
    match rustix::fs::lgetxattr(path, disk::OVERLAY_OPAQUE, &mut value[..]) {
        Ok(len) => Ok(value[..len] == *b"y"),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(false),
        Err(error) => Err(StoreError::at("reading attributes of", path)(error.into())),
    }
}
