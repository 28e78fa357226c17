//! Names trees by what is in them.
//!
//! Two digests, because two questions are asked. [`Tree::digest`] names a tree as an image shows
//! it, times and all. [`Tree::digest_below`] names what a build step can see of a part of a tree:
//! by paths relative to it, and without times, which a checkout sets as it likes. Identifiers in
//! images and the keys of steps hang on them: their encodings never change.

use std::{collections::BTreeMap, io};

use crate::{Content, Digest, InodeId, Kind, Metadata, Tree, TreePath};

/// Bytes to hash. Each part is preceded by its length, so that no two lists of parts are the same.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn put(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn attributes(&mut self, metadata: &Metadata) {
        for (name, value) in &metadata.xattrs {
            self.put(name);
            self.put(value);
        }
    }

    fn content(&mut self, path: &TreePath, content: &Content) -> io::Result<()> {
        let digest = content
            .digest()
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        self.put(digest.as_bytes());
        Ok(())
    }
}

/// What each inode was met as first.
type Firsts<T> = BTreeMap<InodeId, T>;

impl Tree {
    /// The digest of the whole tree: paths, metadata, links and contents.
    ///
    /// Reads every content whose digest is not known yet.
    pub fn digest(&self) -> io::Result<Digest> {
        let mut firsts = Firsts::new();
        let mut state = Digest::of(b"stagex tree");
        for (number, entry) in (0u64..).zip(self.iter()) {
            let mut parts = Parts::default();
            parts.put(state.as_bytes());
            parts.put(entry.path.as_bytes());
            let metadata = &entry.inode.metadata;
            parts.put(metadata.mode.to_le_bytes());
            parts.put(metadata.uid.to_le_bytes());
            parts.put(metadata.gid.to_le_bytes());
            parts.put(metadata.mtime.to_le_bytes());
            parts.put((metadata.xattrs.len() as u64).to_le_bytes());
            parts.attributes(metadata);
            parts.put(firsts.entry(entry.id).or_insert(number).to_le_bytes());
            let (kind, device) = match &entry.inode.kind {
                Kind::Directory => (b"d", None),
                Kind::File(_) => (b"f", None),
                Kind::Symlink(_) => (b"l", None),
                Kind::CharDevice(device) => (b"c", Some(device)),
                Kind::BlockDevice(device) => (b"b", Some(device)),
                Kind::Fifo => (b"p", None),
                Kind::Socket => (b"s", None),
            };
            parts.put(kind);
            match &entry.inode.kind {
                Kind::File(content) => parts.content(entry.path, content)?,
                Kind::Symlink(target) => parts.put(target),
                _ => {}
            }
            if let Some(device) = device {
                parts.put(device.major.to_le_bytes());
                parts.put(device.minor.to_le_bytes());
            }
            state = Digest::of(parts.0);
        }
        Ok(state)
    }

    /// The digest of everything at and below `path` but modification times, without what
    /// `excluded` names by its path relative to `path`.
    ///
    /// Reads every content whose digest is not known yet.
    pub fn digest_below(
        &self,
        path: &TreePath,
        excluded: &dyn Fn(&TreePath) -> bool,
    ) -> io::Result<Digest> {
        let mut parts = Parts::default();
        let mut firsts = Firsts::new();
        for entry in self.subtree(path) {
            let relative = TreePath::new(entry.path.strip_prefix(path).unwrap_or_default())
                .map_err(io::Error::other)?;
            if excluded(&relative) {
                continue;
            }
            let metadata = &entry.inode.metadata;
            let Metadata { mode, uid, gid, xattrs, .. } = metadata;
            parts.put(relative.as_bytes());
            parts.put(format!("{mode:o} {uid} {gid} {}", xattrs.len()));
            parts.attributes(metadata);
            let first = firsts.entry(entry.id).or_insert_with(|| relative.clone());
            match &entry.inode.kind {
                _ if *first != relative => {
                    parts.put("hard link");
                    parts.put(first.as_bytes());
                }
                Kind::Directory => parts.put("directory"),
                Kind::File(content) => {
                    parts.put("file");
                    parts.content(entry.path, content)?;
                }
                Kind::Symlink(target) => {
                    parts.put("symlink");
                    parts.put(target);
                }
                Kind::CharDevice(device) => parts.put(format!("char {device:?}")),
                Kind::BlockDevice(device) => parts.put(format!("block {device:?}")),
                Kind::Fifo => parts.put("fifo"),
                Kind::Socket => parts.put("socket"),
            }
        }
        Ok(Digest::of(parts.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Inode};

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn file(text: &str) -> Inode {
        Inode {
            metadata: Metadata::new(0o644),
            kind: Kind::File(Content::from_bytes(text.as_bytes())),
        }
    }

    fn below(tree: &Tree) -> Digest {
        tree.digest_below(&TreePath::root(), &|_| false).unwrap()
    }

    /// One of each kind.
    fn everything() -> Tree {
        let mut tree = Tree::new();
        let mut put = |name: &str, kind| {
            let mut metadata = Metadata::new(0o750);
            (metadata.uid, metadata.gid, metadata.mtime) = (7, 8, 9);
            metadata.xattrs.insert((*b"user.note").into(), (*b"value").into());
            tree.insert(path(name), Inode { metadata, kind }).unwrap();
        };
        put("d", Kind::Directory);
        put("d/f", Kind::File(Content::from_bytes(b"bytes".as_slice())));
        put("l", Kind::Symlink((*b"d/f").into()));
        put("c", Kind::CharDevice(Device { major: 1, minor: 3 }));
        put("b", Kind::BlockDevice(Device { major: 8, minor: 0 }));
        put("p", Kind::Fifo);
        put("s", Kind::Socket);
        tree.link(path("z"), &path("d/f")).unwrap();
        tree
    }

    /// Images that were built and steps that are cached are named by these.
    #[test]
    fn encodings_never_change() {
        let tree = everything();
        let whole = "db068168edc6946a8cbd8688d3a95cb2d293234e4006e1e856c5066ae9a2d8a5";
        assert_eq!(tree.digest().unwrap().hex(), whole);
        let all = "6c7d388de489e556ed8c8e55239f97fc9e7c4a3025507d1b7092264bcb81ff2e";
        assert_eq!(below(&tree).hex(), all);
        let some = tree.digest_below(&path("d"), &|path| path.as_bytes() == b"f").unwrap();
        let inner = "55da1a58b12ccbd4d92589f97b65e1571eef0307ff9e00a871e67b9153ff33a3";
        assert_eq!(some.hex(), inner);
    }

    #[test]
    fn every_part_of_a_tree_counts() {
        let mut tree = Tree::new();
        let mut whole = Vec::new();
        let mut parts = Vec::new();
        let mut note = |tree: &Tree| {
            whole.push(tree.digest().unwrap());
            parts.push(below(tree));
        };
        note(&tree);
        tree.insert(path("a"), file("x")).unwrap();
        note(&tree);
        tree.insert(path("b"), file("x")).unwrap();
        note(&tree);
        tree.link(path("b"), &path("a")).unwrap();
        note(&tree);
        tree.insert(path("b"), file("y")).unwrap();
        note(&tree);
        tree.insert(path("b"), Inode { kind: Kind::Fifo, ..file("") }).unwrap();
        note(&tree);
        tree.metadata_mut(&path("b")).unwrap().mtime = 1;
        whole.push(tree.digest().unwrap());
        assert_eq!(below(&tree), parts[5], "times do not count for steps");
        for digests in [&mut whole, &mut parts] {
            let count = digests.len();
            digests.sort();
            digests.dedup();
            assert_eq!(digests.len(), count);
        }
    }

    #[test]
    fn a_part_is_named_the_same_wherever_it_lies() {
        let tree = everything();
        let mut other = Tree::new();
        other.insert(path("x"), Inode { kind: Kind::Directory, ..file("") }).unwrap();
        let top = tree.get(&path("d")).unwrap().inode.clone();
        other.insert(path("x/y"), top).unwrap();
        let inner = tree.get(&path("d/f")).unwrap().inode.clone();
        other.insert(path("x/y/f"), inner).unwrap();
        let none = |_: &TreePath| false;
        assert_eq!(
            other.digest_below(&path("x/y"), &none).unwrap(),
            tree.digest_below(&path("d"), &none).unwrap()
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut tree = Tree::new();
        let kind = Kind::File(Content::from_file(std::path::Path::new("/nowhere"), 0, 1));
        tree.insert(path("gone"), Inode { kind, ..file("") }).unwrap();
        let error = tree.digest().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("gone"), "{error}");
    }
}
