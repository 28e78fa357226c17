//! A package's folder as the build context of its Containerfile.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use stagex_tree::{Content, Digest, Inode, Kind, Metadata, PathError, Tree, TreeError, TreePath};

/// The folder of a context in which its sources appear.
const SOURCES: &str = "fetch";

/// Why a folder cannot be a context.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is neither a regular file, a directory nor a symbolic link.
    #[error("{}: is a device, pipe or socket, which no recipe can hold", path.display())]
    Special {
        /// The file.
        path: PathBuf,
    },
    /// A name that no tree can hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A tree that cannot be.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What COPY and ADD find in a package's folder: its files, and its sources under `fetch/`.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Local files, and the sources with contents whose digest is known and whose bytes are not
    /// there yet.
    tree: Tree,
    sources: BTreeMap<TreePath, Digest>,
}

impl Context {
    /// Reads the folder. Of the modes only the owner's execute bit counts, and owners not at all:
    /// a checkout's umask and user must not show.
    pub(crate) fn read<'a>(
        folder: &Path,
        sources: impl Iterator<Item = (&'a str, Digest)>,
    ) -> Result<Self, ContextError> {
        let mut tree = Tree::new();
        let fetch = TreePath::new(SOURCES)?;
        read_folder(&mut tree, folder, &TreePath::root(), &|path| path == &fetch)?;
        let mut places = BTreeMap::new();
        for (file, digest) in sources {
            tree.make_directories(&fetch, &Metadata::new(0o755))?;
            let path = fetch.join(file)?;
            let content = Content::from_file(Path::new(""), 0, 0).with_digest(digest);
            let inode = Inode { metadata: Metadata::new(0o644), kind: Kind::File(content) };
            tree.insert(path.clone(), inode)?;
            places.insert(path, digest);
        }
        Ok(Self { tree, sources: places })
    }

    /// All files; the contents of sources cannot be read, but their digests are known.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The digest of the source at `path`, if one is there.
    pub(crate) fn source(&self, path: &TreePath) -> Option<Digest> {
        self.sources.get(path).copied()
    }

    /// All files, with the contents of those sources that `found` has.
    pub(crate) fn with_sources(
        &self,
        found: &BTreeMap<Digest, PathBuf>,
    ) -> Result<Tree, ContextError> {
        let mut tree = self.tree.clone();
        for (path, digest) in &self.sources {
            let Some(place) = found.get(digest) else { continue };
            let len = fs::metadata(place)
                .map_err(|error| ContextError::Read { path: place.clone(), error })?
                .len();
            let content = Content::from_file(place.as_path(), 0, len).with_digest(*digest);
            let inode = Inode { metadata: Metadata::new(0o644), kind: Kind::File(content) };
            tree.insert(path.clone(), inode)?;
        }
        Ok(tree)
    }
}

/// Reads a folder of the host into a tree, without the paths that `skipped` names.
pub fn read_folder(
    tree: &mut Tree,
    folder: &Path,
    at: &TreePath,
    skipped: &dyn Fn(&TreePath) -> bool,
) -> Result<(), ContextError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| ContextError::Read { path, error }
    };
    let mut names = fs::read_dir(folder)
        .and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()
        })
        .map_err(failed(folder))?;
    names.sort();
    for name in names {
        let place = folder.join(&name);
        let path = at.join(name.as_bytes())?;
        if skipped(&path) {
            continue;
        }
        let metadata = fs::symlink_metadata(&place).map_err(failed(&place))?;
        if metadata.is_dir() {
            let inode = Inode { metadata: Metadata::new(0o755), kind: Kind::Directory };
            tree.insert(path.clone(), inode)?;
            read_folder(tree, &place, &path, skipped)?;
            continue;
        }
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let (mode, kind) = if metadata.is_symlink() {
            let target = fs::read_link(&place).map_err(failed(&place))?;
            (0o777, Kind::Symlink(target.as_os_str().as_bytes().into()))
        } else if metadata.is_file() {
            let mode = if executable { 0o755 } else { 0o644 };
            (mode, Kind::File(Content::from_file(place.as_path(), 0, metadata.len())))
        } else {
            return Err(ContextError::Special { path: place });
        };
        tree.insert(path, Inode { metadata: Metadata::new(mode), kind })?;
    }
    Ok(())
}

/// The digest of everything at and below `path` but its modification times: what a step that
/// copies it depends on.
pub(crate) fn digest_of(
    tree: &Tree,
    path: &TreePath,
    excluded: &dyn Fn(&TreePath) -> bool,
) -> Result<Digest, ContextError> {
    tree.digest_below(path, excluded)
        .map_err(|error| ContextError::Read { path: PathBuf::from(path.to_string()), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn whole(folder: &Path) -> Digest {
        let context = Context::read(folder, std::iter::empty()).unwrap();
        digest_of(context.tree(), &TreePath::root(), &|_| false).unwrap()
    }

    #[test]
    fn umask_does_not_show_but_the_execute_bit_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "x").unwrap();
        let set = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        set(0o600);
        let one = whole(folder.path());
        set(0o664);
        assert_eq!(whole(folder.path()), one);
        set(0o755);
        assert_ne!(whole(folder.path()), one);
    }

    #[test]
    fn sources_stand_under_fetch_and_what_lies_there_does_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("fetch")).unwrap();
        fs::write(folder.path().join("fetch/stale"), "old").unwrap();
        let digest = Digest::of("source");
        let context = Context::read(folder.path(), [("s.tar", digest)].into_iter()).unwrap();
        assert_eq!(context.source(&path("fetch/s.tar")), Some(digest));
        assert!(context.tree().get(&path("fetch/stale")).is_none());
        let place = folder.path().join("place");
        fs::write(&place, "source").unwrap();
        let full = context.with_sources(&BTreeMap::from([(digest, place)])).unwrap();
        let found = full.get(&path("fetch/s.tar")).unwrap().inode.content().unwrap().clone();
        assert_eq!(found.read().unwrap(), b"source");
    }

    #[test]
    fn pipes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("p")).status();
        assert!(made.unwrap().success());
        let error = Context::read(folder.path(), std::iter::empty()).unwrap_err();
        assert!(matches!(error, ContextError::Special { .. }), "{error}");
    }

    #[test]
    fn digests_tell_links_contents_and_names_apart() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::write(place("a"), "x").unwrap();
        let mut seen = vec![whole(folder.path())];
        fs::write(place("a"), "y").unwrap();
        seen.push(whole(folder.path()));
        fs::rename(place("a"), place("b")).unwrap();
        seen.push(whole(folder.path()));
        std::os::unix::fs::symlink("b", place("c")).unwrap();
        seen.push(whole(folder.path()));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }
}
