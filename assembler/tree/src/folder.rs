//! Reads a tree from a folder.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CString, OsString},
    fs, io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{fs as unix, io::Errno};

use crate::{
    Content, Device, Inode, Kind, Metadata, PathError, Tree, TreeBuilder, TreeError, TreePath,
};

/// Why a folder could not be read as a tree.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something in it could not be read.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A path that is longer than Linux can name.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The folder changed while it was read.
    #[error("the folder changed while it was read: {0}")]
    Tree(#[from] TreeError),
}

impl FolderError {
    fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Reads `folder` as it is: owners, modes, times to the second, extended attributes, hard links,
/// devices. The folder itself becomes the root.
///
/// Symbolic links in it are not followed, and other file systems mounted in it are read as part of
/// it. Contents stay where they are: they must not change while the tree lives. What may not be
/// read is an error now and not when its content is wanted.
pub fn read_folder(folder: &Path) -> Result<Tree, FolderError> {
    let top = fs::metadata(folder).map_err(FolderError::at("reading", folder))?;
    if !top.is_dir() {
        let error = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(FolderError::at("reading", folder)(error));
    }
    let mut walk = Walk { builder: TreeBuilder::default(), firsts: HashMap::new() };
    let metadata = metadata(folder, &top)?;
    walk.builder.insert(TreePath::root(), Inode { metadata, kind: Kind::Directory })?;
    // The directories that hold the place where the walk is, each with what is still to be seen.
    let mut open = vec![Open::new(folder.to_owned(), TreePath::root())?];
    while let Some(directory) = open.last_mut() {
        let Some((name, found)) = directory.rest.pop() else {
            open.pop();
            continue;
        };
        let from = directory.folder.join(&name);
        let to = directory.path.join(name.as_bytes())?;
        if walk.entry(&from, &to, &found)? {
            open.push(Open::new(from, to)?);
        }
    }
    Ok(walk.builder.finish())
}

/// A directory that is being read.
struct Open {
    folder: PathBuf,
    path: TreePath,
    /// In reverse order of names.
    rest: Vec<(OsString, fs::Metadata)>,
}

impl Open {
    fn new(folder: PathBuf, path: TreePath) -> Result<Self, FolderError> {
        let mut rest = Vec::new();
        for entry in fs::read_dir(&folder).map_err(FolderError::at("reading", &folder))? {
            let entry = entry.map_err(FolderError::at("reading", &folder))?;
            // This does not follow symbolic links.
            let found = entry
                .metadata()
                .map_err(|error| FolderError::at("reading", &entry.path())(error))?;
            rest.push((entry.file_name(), found));
        }
        rest.sort_by(|(one, _), (two, _)| two.cmp(one));
        Ok(Self { folder, path, rest })
    }
}

struct Walk {
    builder: TreeBuilder,
    /// The first name of each inode that has several, by device and number.
    firsts: HashMap<(u64, u64), TreePath>,
}

impl Walk {
    /// Adds an entry; tells whether it is a directory.
    fn entry(
        &mut self,
        from: &Path,
        to: &TreePath,
        found: &fs::Metadata,
    ) -> Result<bool, FolderError> {
        let directory = found.is_dir();
        if !directory && found.nlink() > 1 {
            let identity = (found.dev(), found.ino());
            if let Some(first) = self.firsts.get(&identity) {
                self.builder.link(to.clone(), first)?;
                return Ok(false);
            }
            self.firsts.insert(identity, to.clone());
        }
        let device = || {
            let number = found.rdev();
            Device { major: unix::major(number), minor: unix::minor(number) }
        };
        let kind = match found.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => {
                let target = fs::read_link(from).map_err(FolderError::at("reading", from))?;
                Kind::Symlink(target.into_os_string().into_vec().into())
            }
            kind if kind.is_char_device() => Kind::CharDevice(device()),
            kind if kind.is_block_device() => Kind::BlockDevice(device()),
            kind if kind.is_fifo() => Kind::Fifo,
            kind if kind.is_socket() => Kind::Socket,
            _ => {
                let flags = unix::AtFlags::EACCESS;
                unix::accessat(unix::CWD, from, unix::Access::READ_OK, flags)
                    .map_err(|error| FolderError::at("reading", from)(error.into()))?;
                Kind::File(Content::from_file(from, 0, found.len()))
            }
        };
        let metadata = metadata(from, found)?;
        self.builder.insert(to.clone(), Inode { metadata, kind })?;
        Ok(directory)
    }
}

fn metadata(path: &Path, found: &fs::Metadata) -> Result<Metadata, FolderError> {
    Ok(Metadata {
        uid: found.uid(),
        gid: found.gid(),
        mtime: found.mtime(),
        xattrs: attributes(path)
            .map_err(|error| FolderError::at("reading the attributes of", path)(error.into()))?,
        ..Metadata::new((found.mode() & 0o7777) as u16)
    })
}

type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The extended attributes of what is at `path`, not of what it links to.
fn attributes(path: &Path) -> Result<Attributes, Errno> {
    let mut attributes = Attributes::new();
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let names = match grown(|buffer| unix::llistxattr(&path, buffer)) {
        // No such thing in this file system.
        Err(Errno::NOTSUP) => return Ok(attributes),
        names => names?,
    };
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let text = CString::new(name).map_err(|_| Errno::INVAL)?;
        match grown(|buffer| unix::lgetxattr(&path, &text, buffer)) {
            Ok(value) => drop(attributes.insert(name.into(), value.into())),
            // Some are listed and yet not there for this user.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(attributes)
}

/// Calls with ever larger buffers, the first of which is enough for nearly all.
fn grown(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    // What the kernel hands out at the most.
    const MOST: usize = 1 << 16;
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Err(Errno::RANGE) if buffer.len() < MOST => buffer.resize(buffer.len() * 4, 0),
            result => {
                buffer.truncate(result?);
                return Ok(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn path(bytes: impl AsRef<[u8]>) -> TreePath {
        TreePath::new(bytes).unwrap()
    }

    #[test]
    fn reads_all_kinds_in_order_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/f"), b"content").unwrap();
        fs::write(at("a-"), b"").unwrap();
        fs::hard_link(at("a/b/f"), at("z")).unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xff")), b"x").unwrap();
        symlink("/", at("up")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        fs::set_permissions(at("a"), fs::Permissions::from_mode(0o1751)).unwrap();
        unix::mknodat(unix::CWD, at("pipe"), unix::FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let time = fs::FileTimes::new()
            .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(5, 999_999_999));
        fs::File::open(at("a/b/f")).unwrap().set_times(time).unwrap();

        let tree = read_folder(folder.path()).unwrap();
        let names: Vec<String> =
            tree.iter().map(|entry| entry.path.as_bytes().escape_ascii().to_string()).collect();
        assert_eq!(
            names,
            ["", "a", "a/b", "a/b/f", "a-", "dangling", "pipe", "socket", "up", "z", "\\xff"]
        );
        let get = |name: &str| tree.get(&path(name)).unwrap();
        assert_eq!(get("a").inode.metadata.mode, 0o1751);
        assert_eq!(get("a/b/f").id, get("z").id);
        assert_eq!(get("z").inode.content().unwrap().read().unwrap(), b"content");
        assert_eq!(get("z").inode.metadata.mtime, 5);
        assert_eq!(get("up").inode.kind, Kind::Symlink((*b"/").into()));
        assert_eq!(get("pipe").inode.kind, Kind::Fifo);
        assert_eq!(get("socket").inode.kind, Kind::Socket);
        let owner = fs::metadata(folder.path()).unwrap().uid();
        assert_eq!(get("a").inode.metadata.uid, owner);
    }

    #[test]
    fn reads_attributes_of_any_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, b"x").unwrap();
        let mut expected = Attributes::new();
        for number in 0..12_u8 {
            let name = format!("user.attribute-{number}");
            let value = vec![number; usize::from(number) * 40];
            let flags = unix::XattrFlags::empty();
            match unix::setxattr(&file, &*name, &value, flags) {
                // This file system has none to read.
                Err(Errno::NOTSUP) => return,
                result => result.unwrap(),
            }
            expected.insert(name.into_bytes().into(), value.into());
        }
        let tree = read_folder(folder.path()).unwrap();
        let mut found = tree.get(&path("f")).unwrap().inode.metadata.xattrs.clone();
        found.retain(|name, _| name.starts_with(b"user."));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, b"x").unwrap();
        for path in [file.clone(), folder.path().join("none")] {
            let error = read_folder(&path).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
        if !rustix::process::geteuid().is_root() {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o0)).unwrap();
            let error = read_folder(folder.path()).unwrap_err().to_string();
            assert!(error.contains("Permission denied"), "{error}");
        }
    }
}
