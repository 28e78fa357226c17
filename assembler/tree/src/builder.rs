//! Makes a tree from entries that come in its order.

use std::collections::BTreeMap;

use crate::{
    Inode, InodeId, Tree, TreeError, TreePath,
    tree::{Kind, Metadata, Slot},
};

/// Takes the entries of a tree in tree order, and makes it of them at once.
///
/// What is refused is what [`Tree::insert`] and [`Tree::link`] refuse, and a path that does not
/// come after the one before it. The cost of an entry does not grow with the tree.
#[derive(Debug)]
pub struct TreeBuilder {
    /// Strictly ascending; the root is first.
    paths: Vec<(TreePath, InodeId)>,
    inodes: Vec<Option<Slot>>,
    /// Where in `paths` the directories are that hold the last path, outermost first; the last
    /// path itself where it is a directory. Without the root.
    open: Vec<usize>,
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl TreeBuilder {
    /// A builder of a tree of about `capacity` paths; it starts with [`Tree::new`]'s root.
    pub fn with_capacity(capacity: usize) -> Self {
        let root = Inode { metadata: Metadata::new(0o755), kind: Kind::Directory };
        let mut paths = Vec::with_capacity(capacity.saturating_add(1));
        let mut inodes = Vec::with_capacity(capacity.saturating_add(1));
        paths.push((TreePath::root(), InodeId(0)));
        inodes.push(Some(Slot { inode: root, links: 1 }));
        Self { paths, inodes, open: Vec::new() }
    }

    /// Adds an inode. The root may come first, as a directory: it takes the place of the one
    /// that is there.
    pub fn insert(&mut self, path: TreePath, inode: Inode) -> Result<InodeId, TreeError> {
        if path.is_root() {
            return self.replace_root(inode);
        }
        self.check_place(&path)?;
        let id = InodeId(self.inodes.len());
        if inode.is_directory() {
            self.open.push(self.paths.len());
        }
        self.inodes.push(Some(Slot { inode, links: 1 }));
        self.paths.push((path, id));
        Ok(id)
    }

    /// Adds a further name (hard link) of what was added at `target`.
    pub fn link(&mut self, path: TreePath, target: &TreePath) -> Result<InodeId, TreeError> {
        if path.is_root() {
            return Err(TreeError::Root);
        }
        self.check_place(&path)?;
        let Ok(at) = self.paths.binary_search_by(|(path, _)| path.cmp(target)) else {
            return Err(TreeError::NoTarget { path, target: target.clone() });
        };
        let id = self.paths[at].1;
        match self.inodes.get_mut(id.0) {
            Some(Some(slot)) if !slot.inode.is_directory() => slot.links += 1,
            _ => return Err(TreeError::DirectoryLink { path, target: target.clone() }),
        }
        self.paths.push((path, id));
        Ok(id)
    }

    /// The tree.
    pub fn finish(self) -> Tree {
        // The standard library makes a map of what is sorted in one go, without a search.
        Tree { paths: BTreeMap::from_iter(self.paths), inodes: self.inodes }
    }

    fn replace_root(&mut self, inode: Inode) -> Result<InodeId, TreeError> {
        if !inode.is_directory() {
            return Err(TreeError::Root);
        }
        if self.paths.len() > 1 {
            return Err(self.order(TreePath::root()));
        }
        self.inodes[0] = Some(Slot { inode, links: 1 });
        Ok(InodeId(0))
    }

    /// Closes the directories that `path` does not lie in, and checks that its own is the last
    /// of the others and that it comes after all that was added.
    fn check_place(&mut self, path: &TreePath) -> Result<(), TreeError> {
        let last = &self.paths[self.paths.len() - 1].0;
        if path <= last {
            return Err(self.order(path.clone()));
        }
        while let Some(&at) = self.open.last() {
            if path.starts_with(&self.paths[at].0) {
                break;
            }
            self.open.pop();
        }
        let root = TreePath::root();
        let above = self.open.last().map_or(&root, |&at| &self.paths[at].0);
        if path.strip_prefix(above).is_some_and(|rest| !rest.contains(&b'/')) {
            return Ok(());
        }
        let parent = path.parent().unwrap_or_default();
        let path = path.clone();
        Err(match self.paths.binary_search_by(|(path, _)| path.cmp(&parent)) {
            Ok(_) => TreeError::ParentNotDirectory { path },
            Err(_) => TreeError::NoParent { path },
        })
    }

    fn order(&self, path: TreePath) -> TreeError {
        TreeError::Order { path, after: self.paths[self.paths.len() - 1].0.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Content;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn file(text: &str) -> Inode {
        let kind = Kind::File(Content::from_bytes(text.as_bytes()));
        Inode { metadata: Metadata::new(0o644), kind }
    }

    fn directory(mode: u16) -> Inode {
        Inode { metadata: Metadata::new(mode), kind: Kind::Directory }
    }

    #[test]
    fn makes_the_tree_that_inserting_makes() {
        let mut builder = TreeBuilder::with_capacity(3);
        let mut tree = Tree::new();
        builder.insert(TreePath::root(), directory(0o700)).unwrap();
        tree.insert(TreePath::root(), directory(0o700)).unwrap();
        for (at, inode) in [
            ("a", directory(0o711)),
            ("a/b", directory(0o755)),
            ("a/b/c", file("x")),
            ("a/d", file("y")),
            ("a-", file("z")),
        ] {
            builder.insert(path(at), inode.clone()).unwrap();
            tree.insert(path(at), inode).unwrap();
        }
        builder.link(path("l"), &path("a/d")).unwrap();
        tree.link(path("l"), &path("a/d")).unwrap();
        let mut built = builder.finish();
        assert_eq!(built, tree);
        assert_eq!(built.links(built.get(&path("l")).unwrap().id), 2);
        // It can be changed like any other.
        built.remove(&path("a")).unwrap();
        built.insert(path("a"), file("w")).unwrap();
        assert_eq!(built.len(), 4);
    }

    #[test]
    fn refuses_what_has_no_place() {
        let mut builder = TreeBuilder::default();
        assert_eq!(builder.insert(TreePath::root(), file("")), Err(TreeError::Root));
        builder.insert(path("d"), directory(0o755)).unwrap();
        builder.insert(path("d/f"), file("")).unwrap();
        let order =
            |at: &str, after: &str| Err(TreeError::Order { path: path(at), after: path(after) });
        assert_eq!(builder.insert(path("d/f"), file("")), order("d/f", "d/f"));
        assert_eq!(builder.insert(path("c"), file("")), order("c", "d/f"));
        assert_eq!(builder.insert(TreePath::root(), directory(0)), order("", "d/f"));
        assert_eq!(
            builder.insert(path("d/f/g"), file("")),
            Err(TreeError::ParentNotDirectory { path: path("d/f/g") })
        );
        assert_eq!(
            builder.insert(path("d/x/g"), file("")),
            Err(TreeError::NoParent { path: path("d/x/g") })
        );
        let target = path("d/z");
        assert_eq!(
            builder.link(path("d/y"), &target),
            Err(TreeError::NoTarget { path: path("d/y"), target })
        );
        let target = path("d");
        assert_eq!(
            builder.link(path("e"), &target),
            Err(TreeError::DirectoryLink { path: path("e"), target })
        );
        assert_eq!(builder.finish().len(), 3);
    }

    proptest! {
        /// Of paths in order, it takes those that a tree takes, refuses the others for the same
        /// reasons, and gives the same tree.
        #[test]
        fn agrees_with_inserting(
            steps in prop::collection::btree_map("[ab/-]{0,7}", (0..3u8, "[ab/-]{0,7}"), 0..40),
        ) {
            let steps: BTreeMap<TreePath, _> =
                steps.into_iter().map(|(at, step)| (path(&at), step)).collect();
            let mut builder = TreeBuilder::default();
            let mut tree = Tree::new();
            for (at, (step, target)) in steps {
                let target = path(&target);
                let (one, two) = match step {
                    0 => (builder.insert(at.clone(), file("x")), tree.insert(at, file("x"))),
                    1 => (builder.insert(at.clone(), directory(7)), tree.insert(at, directory(7))),
                    // Onto itself, a link in a tree is none; in order, there is no target yet.
                    _ if at == target => continue,
                    _ => (builder.link(at.clone(), &target), tree.link(at, &target)),
                };
                prop_assert_eq!(one, two);
            }
            prop_assert_eq!(builder.finish(), tree);
        }

        /// In whatever order: no panic, and a consistent tree.
        #[test]
        fn takes_any_order(
            steps in prop::collection::vec(("[ab/]{0,6}", "[ab/]{0,6}", 0..3u8), 0..40),
        ) {
            let mut builder = TreeBuilder::default();
            for (at, target, step) in steps {
                let at = path(&at);
                let _ = match step {
                    0 => builder.insert(at, file("x")),
                    1 => builder.insert(at, directory(0o755)),
                    _ => builder.link(at, &path(&target)),
                };
            }
            let tree = builder.finish();
            for entry in tree.iter() {
                let parent = entry.path.parent().unwrap_or_default();
                prop_assert!(tree.get(&parent).unwrap().inode.is_directory());
                let names = tree.iter().filter(|other| other.id == entry.id).count();
                prop_assert_eq!(tree.links(entry.id), names);
            }
        }
    }
}
