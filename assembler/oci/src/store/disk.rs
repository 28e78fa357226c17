//! What the store does to files, and the errors of it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use stagex_tree::TreePath;

use super::StoreError;

/// Extended attributes by full name.
pub(super) type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The longest path that the kernel takes, in bytes, with its NUL.
const PATH_MAX: usize = 4096;
/// The attribute by which overlayfs, mounted with `userxattr`, knows an opaque directory.
pub(super) const OVERLAY_OPAQUE: &str = "user.overlay.opaque";

/// Where `path` of a tree lies on disk when the tree's root is `root`.
pub(super) fn join(root: &Path, path: &TreePath) -> Result<PathBuf, StoreError> {
    if path.is_root() {
        return Ok(root.to_owned());
    }
    let joined = root.join(OsStr::from_bytes(path.as_bytes()));
    if joined.as_os_str().len() >= PATH_MAX {
        return Err(StoreError::TooLong { path: path.clone() });
    }
    Ok(joined)
}

pub(super) fn set_mode(path: &Path, mode: u16) -> Result<(), StoreError> {
    fs::set_permissions(path, Permissions::from_mode(mode.into()))
        .map_err(StoreError::at("setting the mode of", path))
}

pub(super) fn timestamps(epoch: u64) -> Timestamps {
    let time = Timespec { tv_sec: i64::try_from(epoch).unwrap_or(i64::MAX), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// Sets both times of whatever is at `path`, symbolic links included.
pub(super) fn set_times(path: &Path, epoch: u64) -> Result<(), StoreError> {
    rustix::fs::utimensat(CWD, path, &timestamps(epoch), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| StoreError::at("setting the times of", path)(error.into()))
}

pub(super) fn make_whiteout(path: &Path) -> Result<(), StoreError> {
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)
        .map_err(|error| StoreError::at("making the whiteout", path)(error.into()))
}

pub(super) fn make_fifo(path: &Path) -> Result<(), StoreError> {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0)
        .map_err(|error| StoreError::at("making the pipe", path)(error.into()))
}

pub(super) fn is_whiteout(metadata: &fs::Metadata) -> bool {
    metadata.mode() & 0o170_000 == 0o020_000 && metadata.rdev() == 0
}

pub(super) fn set_attribute(path: &Path, name: &[u8], value: &[u8]) -> Result<(), StoreError> {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
        .map_err(|error| StoreError::at("setting an attribute of", path)(error.into()))
}

pub(super) fn remove_attribute(path: &Path, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::lremovexattr(path, name)?)
}

/// All attributes that are visible to us; none where the file system has no attributes.
pub(super) fn attributes(path: &Path) -> Result<Attributes, StoreError> {
    let fail =
        |error: rustix::io::Errno| StoreError::at("reading attributes of", path)(error.into());
    let mut names = vec![0_u8; 1024];
    let len = loop {
        match rustix::fs::llistxattr(path, &mut names[..]) {
            Ok(len) => break len,
            Err(rustix::io::Errno::RANGE) if names.len() < 1 << 20 => names.resize(1 << 20, 0),
            Err(rustix::io::Errno::NOTSUP) => return Ok(Attributes::new()),
            Err(error) => return Err(fail(error)),
        }
    };
    let mut all = Attributes::new();
    for name in names[..len].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 256];
        loop {
            match rustix::fs::lgetxattr(path, name, &mut value[..]) {
                Ok(len) => {
                    value.truncate(len);
                    all.insert(name.into(), value.into());
                    break;
                }
                Err(rustix::io::Errno::RANGE) if value.len() < 1 << 17 => value.resize(1 << 17, 0),
                // Listed, but not for us to read.
                Err(rustix::io::Errno::NODATA | rustix::io::Errno::PERM) => break,
                Err(error) => return Err(fail(error)),
            }
        }
    }
    Ok(all)
}

/// Whether there are attributes at all: asking needs no permission on the file itself.
pub(super) fn has_attributes(path: &Path) -> bool {
    match rustix::fs::llistxattr(path, &mut [0_u8; 256][..]) {
        Ok(len) => len != 0,
        Err(error) => error == rustix::io::Errno::RANGE,
    }
}

/// Removes whatever is at `path`, whatever the modes of the directories in it; nothing there is
/// no error. Deep nesting costs no stack.
pub(super) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    fn fail(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
        StoreError::at("removing", path)
    }
    let mut todo = vec![(path.to_owned(), false)];
    while let Some((path, emptied)) = todo.pop() {
        if emptied {
            fs::remove_dir(&path).map_err(fail(&path))?;
            continue;
        }
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fail(&path)(error)),
        };
        if !metadata.is_dir() {
            fs::remove_file(&path).map_err(fail(&path))?;
            continue;
        }
        if metadata.mode() & 0o700 != 0o700 {
            set_mode(&path, 0o700)?;
        }
        todo.push((path.clone(), true));
        for entry in fs::read_dir(&path).map_err(fail(&path))? {
            todo.push((entry.map_err(fail(&path))?.path(), false));
        }
    }
    Ok(())
}

/// Makes the directory with mode 0700; one that exists is no error.
pub(super) fn make_directory(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result.map_err(StoreError::at("making the directory", path)),
    }
}

/// Waits until the names in the directory are on disk.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::at("syncing", path))
}

/// As many files are synced one by one.
pub(super) const FEW: u64 = 64;

/// Waits until all below `folder`, some `count` files, is on disk.
///
/// Many files are synced with their whole file system at once. A few are synced one by one: they
/// need not wait for what other programs are writing.
pub(super) fn sync_tree(folder: &Path, count: u64) -> Result<(), StoreError> {
    match (count > FEW, names_to_sync(folder)?) {
        (false, Some(paths)) => sync_all(&paths),
        _ => sync_filesystem(folder),
    }
}

/// What must be synced for all at and below `folder` to be on disk; `None` where modes deny us
/// something.
pub(super) fn names_to_sync(folder: &Path) -> Result<Option<Vec<PathBuf>>, StoreError> {
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let mut all = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let fail = || StoreError::at("syncing", &path);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // The mode of a directory above denies it to us.
            Err(error) if denied(&error) => return Ok(None),
            Err(error) => return Err(fail()(error)),
        };
        // Links, pipes and whiteouts are on disk with their directory.
        if metadata.is_file() {
            if rustix::fs::access(&path, Access::READ_OK).is_err() {
                return Ok(None);
            }
            all.push(path);
        } else if metadata.is_dir() {
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if denied(&error) => return Ok(None),
                Err(error) => return Err(fail()(error)),
            };
            for entry in entries {
                todo.push(entry.map_err(fail())?.path());
            }
            all.push(path);
        }
    }
    Ok(Some(all))
}

/// Waits until the files and directories are on disk.
pub(super) fn sync_all(paths: &[PathBuf]) -> Result<(), StoreError> {
    crate::sync::all(paths).map_err(|(path, error)| StoreError::at("syncing", &path)(error))
}

/// Waits until all of the file system that holds `path` is on disk.
pub(super) fn sync_filesystem(path: &Path) -> Result<(), StoreError> {
    let directory = File::open(path).map_err(StoreError::at("syncing", path))?;
    rustix::fs::syncfs(directory).map_err(|error| StoreError::at("syncing", path)(error.into()))
}
