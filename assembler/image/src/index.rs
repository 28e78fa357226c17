//! One pass over a tree, for the parent and the children of every entry.

use std::collections::HashMap;

use stagex_tree::{Entry, Tree};

/// The entries of a tree by number, in path order; 0 is the root.
pub(crate) struct Index<'t> {
    pub(crate) entries: Vec<Entry<'t>>,
    /// The number of the directory that holds each entry; the root holds itself.
    pub(crate) parents: Vec<u32>,
    /// The number of the first name of each entry's inode: its own, but for hard links.
    pub(crate) firsts: Vec<u32>,
    /// How many names each entry's inode has.
    pub(crate) links: Vec<u32>,
    /// Where each entry's children begin in `children`; one more than there are entries.
    starts: Vec<u32>,
    children: Vec<u32>,
}

impl<'t> Index<'t> {
    /// Reads `tree` once.
    pub(crate) fn new(tree: &'t Tree) -> Self {
        let count = tree.len();
        let mut index = Self {
            entries: Vec::with_capacity(count),
            parents: Vec::with_capacity(count),
            firsts: Vec::with_capacity(count),
            links: Vec::with_capacity(count),
            starts: vec![0; count + 1],
            children: vec![0; count.saturating_sub(1)],
        };
        // The directories open at this point of the walk, outermost first.
        let mut open: Vec<u32> = Vec::new();
        let mut shared = HashMap::new();
        for (number, entry) in (0..).zip(tree.iter()) {
            open.truncate(entry.path.depth());
            let parent = open.last().copied().unwrap_or(0);
            open.push(number);
            let links = tree.links(entry.id);
            let first = match links {
                0 | 1 => number,
                _ => *shared.entry(entry.id).or_insert(number),
            };
            index.entries.push(entry);
            index.parents.push(parent);
            index.firsts.push(first);
            index.links.push(u32::try_from(links).unwrap_or(u32::MAX));
        }
        for &parent in index.parents.iter().skip(1) {
            index.starts[parent as usize + 1] += 1;
        }
        for at in 1..index.starts.len() {
            index.starts[at] += index.starts[at - 1];
        }
        let mut next = index.starts.clone();
        for (number, &parent) in (0..).zip(&index.parents).skip(1) {
            let slot = &mut next[parent as usize];
            index.children[*slot as usize] = number;
            *slot += 1;
        }
        index
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the directory `number` holds, in path order.
    pub(crate) fn children(&self, number: usize) -> &[u32] {
        &self.children[self.starts[number] as usize..self.starts[number + 1] as usize]
    }

    /// How many directories the directory `number` holds.
    pub(crate) fn subdirectories(&self, number: usize) -> usize {
        let is_directory = |&&n: &&u32| self.entries[n as usize].inode.is_directory();
        self.children(number).iter().filter(is_directory).count()
    }
}

#[cfg(test)]
mod tests {
    use stagex_tree::{Content, Inode, Kind, Metadata, TreePath};

    use super::*;

    #[test]
    fn finds_parents_children_and_links() {
        let path = |text: &str| TreePath::new(text).unwrap();
        let mut tree = Tree::new();
        tree.make_directories(&path("a/b/c"), &Metadata::new(0o755)).unwrap();
        tree.make_directories(&path("a/d"), &Metadata::new(0o755)).unwrap();
        let file =
            Inode { metadata: Metadata::new(0o644), kind: Kind::File(Content::from_bytes(*b"")) };
        tree.insert(path("a/b/f"), file).unwrap();
        tree.link(path("z"), &path("a/b/f")).unwrap();
        // 0 /, 1 /a, 2 /a/b, 3 /a/b/c, 4 /a/b/f, 5 /a/d, 6 /z
        let index = Index::new(&tree);
        assert_eq!(index.parents, [0, 0, 1, 2, 2, 1, 0]);
        assert_eq!(index.firsts, [0, 1, 2, 3, 4, 5, 4]);
        assert_eq!(index.links, [1, 1, 1, 1, 2, 1, 2]);
        assert_eq!(index.children(0), [1, 6]);
        assert_eq!(index.children(1), [2, 5]);
        assert_eq!(index.children(6), [0u32; 0]);
        assert_eq!(index.subdirectories(1), 2);
    }
}
