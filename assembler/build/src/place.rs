//! COPY and ADD on trees: what is selected, where it goes.
//!
//! Nothing here touches the file system. A copy is worked out on the merged tree below and comes
//! out as a layer that refers to contents where they lie.

use std::collections::BTreeMap;

use stagex_oci::LayerTree;
use stagex_tree::{Inode, InodeId, Kind, Metadata, PathError, Tree, TreeError, TreePath};

/// How many symbolic links a path may lead through, as on Linux.
const MAX_LINKS: usize = 40;

/// Why a copy cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("{path}: leads through too many symbolic links")]
    Loop { path: TreePath },
    #[error("{path}: is a directory in the destination and no directory in the source")]
    OntoDirectory { path: TreePath },
    #[error("{path}: is no directory in the destination, so nothing can be put below it")]
    BelowFile { path: TreePath },
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Follows the symbolic links in `path` within `tree`, the last component's too. What does not
/// exist stays as it is written.
pub(crate) fn resolve(tree: &Tree, path: &TreePath) -> Result<TreePath, PlaceError> {
    let mut links = 0;
    let mut left: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
    let mut at = TreePath::root();
    while let Some(name) = left.pop() {
        match &name[..] {
            b"" | b"." => continue,
            b".." => {
                at = at.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let next = at.join(&name)?;
        match tree.get(&next).map(|entry| &entry.inode.kind) {
            Some(Kind::Symlink(target)) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(PlaceError::Loop { path: path.clone() });
                }
                if target.first() == Some(&b'/') {
                    at = TreePath::root();
                }
                left.extend(target.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec));
            }
            _ => at = next,
        }
    }
    Ok(at)
}

/// Whether `path`, with links followed, is a directory of `tree`.
pub(crate) fn is_directory(tree: &Tree, path: &TreePath) -> bool {
    resolve(tree, path)
        .ok()
        .and_then(|path| tree.get(&path))
        .is_some_and(|entry| entry.inode.is_directory())
}

/// Whether a path of COPY holds wildcards.
pub(crate) fn has_wildcards(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// The paths of `paths` that `pattern` matches, in their order: `*`, `?` and `[a-z]` within a
/// component, `**` over any number of them, as Go's filepath.Match and BuildKit have it.
pub(crate) fn matching<'a>(
    pattern: &str,
    paths: impl Iterator<Item = &'a TreePath>,
) -> Result<Vec<TreePath>, PlaceError> {
    let pattern = TreePath::new(pattern)?;
    let parts: Vec<&[u8]> = pattern.components().collect();
    Ok(paths
        .filter(|path| {
            let names: Vec<&[u8]> = path.components().collect();
            match_components(&parts, &names)
        })
        .cloned()
        .collect())
}

/// Matches all components; time is bounded by the product of the numbers of them, since only the
/// last `**` need ever take more.
fn match_components(pattern: &[&[u8]], path: &[&[u8]]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), path.get(n)) {
            (Some(&part), _) if part == b"**" => {
                retry = Some((p, n));
                p += 1;
            }
            (None, None) => return true,
            (Some(part), Some(name)) if match_name(part, name) => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) if from < path.len() => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                _ => return false,
            },
        }
    }
}

/// Matches one component; time is bounded by the product of the lengths.
fn match_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p == pattern.len() && n == name.len() {
            return true;
        }
        let step = match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') if n < name.len() => Some(1),
            Some(b'[') if n < name.len() => match_class(&pattern[p..], name[n]),
            Some(b'\\') if n < name.len() && pattern.get(p + 1) == Some(&name[n]) => Some(2),
            Some(byte) if name.get(n) == Some(byte) => Some(1),
            _ => None,
        };
        match (step, retry) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((star, from))) if from < name.len() => {
                retry = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            }
            _ => return false,
        }
    }
}

/// The length of the class at the start of `pattern`, if `byte` is in it.
fn match_class(pattern: &[u8], byte: u8) -> Option<usize> {
    let mut at = 1;
    let negated = matches!(pattern.get(1), Some(b'^' | b'!'));
    at += usize::from(negated);
    let mut found = false;
    let mut first = true;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && !first {
            break;
        }
        first = false;
        at += 1;
        let high = match (pattern.get(at), pattern.get(at + 1)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                at += 2;
                high
            }
            _ => low,
        };
        found |= (low..=high).contains(&byte);
    }
    (found != negated).then_some(at + 1)
}

/// What COPY and ADD change about what they copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// `--chown`.
    pub(crate) owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub(crate) mode: Option<u16>,
}

/// Works out one COPY or ADD.
pub(crate) struct Placer {
    /// What the stage looks like, with what was placed so far.
    view: Tree,
    /// What is added.
    layer: LayerTree,
    changes: Changes,
}

impl Placer {
    /// Begins on top of `below`, the merged tree of the stage so far.
    pub(crate) fn new(below: Tree, changes: Changes) -> Self {
        Self { view: below, layer: LayerTree::new(), changes }
    }

    /// The layer that was worked out.
    pub(crate) fn finish(self) -> LayerTree {
        self.layer
    }

    /// The stage with what was placed.
    pub(crate) fn view(&self) -> &Tree {
        &self.view
    }

    /// Makes a directory and those above it that are missing.
    pub(crate) fn make_directory(&mut self, path: &TreePath) -> Result<TreePath, PlaceError> {
        let path = resolve(&self.view, path)?;
        let mut at = TreePath::root();
        for name in path.components() {
            at = at.join(name)?;
            match self.view.get(&at) {
                Some(entry) if entry.inode.is_directory() => {}
                Some(_) => return Err(PlaceError::BelowFile { path: at }),
                None => {
                    let inode = Inode { metadata: Metadata::new(0o755), kind: Kind::Directory };
                    // The mode that is asked for is that of what is copied.
                    self.put_with(at.clone(), inode, None)?;
                }
            }
        }
        Ok(path)
    }

    /// Puts the file at `source` to `destination`, whose last component is its new name.
    pub(crate) fn place_file(
        &mut self,
        tree: &Tree,
        source: &TreePath,
        destination: &TreePath,
    ) -> Result<(), PlaceError> {
        let parent = self.make_directory(&destination.parent().unwrap_or_default())?;
        let target = parent.join(destination.name())?;
        let Some(entry) = tree.get(source) else { return Ok(()) };
        self.check_no_directory(&target)?;
        self.put(target, entry.inode.clone())
    }

    /// Puts what the directory at `source` holds into the directory `destination`.
    ///
    /// A destination that is missing is made with the source's metadata; one that exists keeps
    /// its own. A symbolic link to a directory, where the source has a directory, is followed.
    pub(crate) fn place_directory(
        &mut self,
        tree: &Tree,
        source: &TreePath,
        destination: &TreePath,
        excluded: &dyn Fn(&TreePath) -> bool,
    ) -> Result<(), PlaceError> {
        let target = resolve(&self.view, destination)?;
        match self.view.get(&target) {
            Some(entry) if entry.inode.is_directory() => {}
            Some(_) => return Err(PlaceError::BelowFile { path: target }),
            None => {
                self.make_directory(&target.parent().unwrap_or_default())?;
                if let Some(entry) = tree.get(source) {
                    self.put(target.clone(), entry.inode.clone())?;
                }
            }
        }
        let mut places = BTreeMap::from([(source.clone(), target)]);
        let mut links = BTreeMap::<InodeId, TreePath>::new();
        for entry in tree.subtree(source).skip(1) {
            let relative = TreePath::new(entry.path.strip_prefix(source).unwrap_or_default())?;
            if excluded(&relative) {
                continue;
            }
            let above = entry.path.parent().unwrap_or_default();
            // A directory that was excluded takes what it holds with it.
            let Some(parent) = places.get(&above) else { continue };
            let mut target = parent.join(entry.path.name())?;
            if entry.inode.is_directory() {
                if is_directory(&self.view, &target) {
                    target = resolve(&self.view, &target)?;
                }
                places.insert(entry.path.clone(), target.clone());
            } else {
                self.check_no_directory(&target)?;
                if let Some(first) = links.get(&entry.id) {
                    self.view.link(target.clone(), first)?;
                    self.layer.link(target, first)?;
                    continue;
                }
                if tree.links(entry.id) > 1 {
                    links.insert(entry.id, target.clone());
                }
            }
            self.put(target, entry.inode.clone())?;
        }
        Ok(())
    }

    fn check_no_directory(&self, target: &TreePath) -> Result<(), PlaceError> {
        match self.view.get(target) {
            Some(entry) if entry.inode.is_directory() => {
                Err(PlaceError::OntoDirectory { path: target.clone() })
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, path: TreePath, inode: Inode) -> Result<(), PlaceError> {
        self.put_with(path, inode, self.changes.mode)
    }

    fn put_with(
        &mut self,
        path: TreePath,
        mut inode: Inode,
        mode: Option<u16>,
    ) -> Result<(), PlaceError> {
        if let Some((uid, gid)) = self.changes.owner {
            (inode.metadata.uid, inode.metadata.gid) = (uid, gid);
        }
        // A symbolic link's mode means nothing.
        if let (Some(mode), false) = (mode, matches!(inode.kind, Kind::Symlink(_))) {
            inode.metadata.mode = mode;
        }
        self.view.insert(path.clone(), inode.clone())?;
        self.layer.insert(path, inode)?;
        Ok(())
    }
}

/// Whether a layer that holds all of `source` can lie on top of `below` as it is: no directory
/// would replace a symbolic link, and nothing would replace a directory.
pub(crate) fn lies_flat(source: &Tree, below: &Tree) -> bool {
    source.iter().all(|entry| match below.get(entry.path) {
        None => true,
        Some(found) => found.inode.is_directory() == entry.inode.is_directory(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stagex_tree::Content;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    /// A tree from lines: `d/` a directory, `l>target` a link, all else a file holding its name.
    fn tree(lines: &[&str]) -> Tree {
        let mut tree = Tree::new();
        for line in lines {
            let (name, kind) = if let Some(name) = line.strip_suffix('/') {
                (name, Kind::Directory)
            } else if let Some((name, target)) = line.split_once('>') {
                (name, Kind::Symlink(target.as_bytes().into()))
            } else {
                (*line, Kind::File(Content::from_bytes(line.as_bytes())))
            };
            let path = path(name);
            let parent = path.parent().unwrap();
            tree.make_directories(&parent, &Metadata::new(0o755)).unwrap();
            tree.insert(path, Inode { metadata: Metadata::new(0o750), kind }).unwrap();
        }
        tree
    }

    fn names(layer: &LayerTree) -> Vec<String> {
        let carried = layer.tree.iter().filter(|entry| !layer.implied.contains(entry.path));
        carried.map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn follows_links_inside_the_root() {
        let tree = tree(&["usr/lib/x", "lib>usr/lib", "up>../../usr", "abs>/lib", "a>b", "b>a"]);
        assert_eq!(resolve(&tree, &path("lib/x")).unwrap(), path("usr/lib/x"));
        assert_eq!(resolve(&tree, &path("up/lib/y")).unwrap(), path("usr/lib/y"));
        assert_eq!(resolve(&tree, &path("abs/z")).unwrap(), path("usr/lib/z"));
        assert!(matches!(resolve(&tree, &path("a/c")), Err(PlaceError::Loop { .. })));
    }

    #[test]
    fn many_double_stars_end_soon() {
        let path = TreePath::new(["a"; 60].join("/")).unwrap();
        let pattern = format!("{}/b", ["**"; 30].join("/a/"));
        assert_eq!(matching(&pattern, std::iter::once(&path)).unwrap(), []);
        let pattern = format!("{}/a", ["**"; 30].join("/a/"));
        assert_eq!(matching(&pattern, std::iter::once(&path)).unwrap(), [path]);
    }

    #[test]
    fn wildcards_stay_within_a_component() {
        let all = tree(&["a1.c", "b1.h", "d/a2.c", "d/e/a3.c", "x]y"]);
        let found = |pattern: &str| -> Vec<String> {
            let paths = all.iter().map(|entry| entry.path);
            matching(pattern, paths).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(found("*.c"), ["/a1.c"]);
        assert_eq!(found("[ab]1.?"), ["/a1.c", "/b1.h"]);
        assert_eq!(found("[^a]1.*"), ["/b1.h"]);
        assert_eq!(found("*/*.c"), ["/d/a2.c"]);
        assert_eq!(found("**/*.c"), ["/a1.c", "/d/a2.c", "/d/e/a3.c"]);
        assert_eq!(found("x\\]y"), ["/x]y"]);
        assert_eq!(found("[z-"), Vec::<String>::new());
    }

    #[test]
    fn a_directory_merges_and_follows_directory_links() {
        let below = tree(&["usr/lib/old", "lib>usr/lib", "etc/"]);
        let source = tree(&["root/lib/new", "root/etc/conf", "root/var/x"]);
        let mut placer = Placer::new(below, Changes::default());
        placer.place_directory(&source, &path("root"), &TreePath::root(), &|_| false).unwrap();
        assert_eq!(
            names(&placer.finish()),
            ["/etc", "/etc/conf", "/usr/lib", "/usr/lib/new", "/var", "/var/x"]
        );
    }

    #[test]
    fn excluded_directories_take_their_content_along() {
        let source = tree(&["a/b/c", "a/d"]);
        let mut placer = Placer::new(Tree::new(), Changes::default());
        let excluded = |at: &TreePath| at == &path("b");
        placer.place_directory(&source, &path("a"), &path("x"), &excluded).unwrap();
        assert_eq!(names(&placer.finish()), ["/x", "/x/d"]);
    }

    #[test]
    fn owner_and_mode_are_changed_but_not_a_links_mode() {
        let source = tree(&["f", "l>f"]);
        let changes = Changes { owner: Some((7, 8)), mode: Some(0o555) };
        let mut placer = Placer::new(Tree::new(), changes);
        placer.place_file(&source, &path("f"), &path("bin/g")).unwrap();
        placer.place_file(&source, &path("l"), &path("bin/l")).unwrap();
        let layer = placer.finish();
        let metadata = |at: &str| layer.tree.get(&path(at)).unwrap().inode.metadata.clone();
        assert_eq!((metadata("bin/g").uid, metadata("bin/g").mode), (7, 0o555));
        assert_eq!((metadata("bin/l").gid, metadata("bin/l").mode), (8, 0o750));
        assert_eq!((metadata("bin").uid, metadata("bin").mode), (7, 0o755));
    }

    #[test]
    fn hard_links_stay_hard_links() {
        let mut source = tree(&["a"]);
        source.link(path("b"), &path("a")).unwrap();
        let mut placer = Placer::new(Tree::new(), Changes::default());
        placer.place_directory(&source, &TreePath::root(), &path("d"), &|_| false).unwrap();
        let layer = placer.finish();
        let id = layer.tree.get(&path("d/a")).unwrap().id;
        assert_eq!(layer.tree.get(&path("d/b")).unwrap().id, id);
    }

    #[test]
    fn a_file_never_replaces_a_directory_nor_hides_in_a_file() {
        let below = tree(&["d/x", "f"]);
        let source = tree(&["d", "g/f/y"]);
        let mut placer = Placer::new(below.clone(), Changes::default());
        assert!(matches!(
            placer.place_file(&source, &path("d"), &path("d")),
            Err(PlaceError::OntoDirectory { .. })
        ));
        assert!(matches!(
            placer.place_file(&source, &path("d"), &path("f/z")),
            Err(PlaceError::BelowFile { .. })
        ));
        assert!(!lies_flat(&source, &below));
        assert!(lies_flat(&tree(&["d/y", "h"]), &below));
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_escaped_and_a_star(name in "[a-z*?\\[\\]\\\\]{0,12}") {
            let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert!(match_name(escaped.as_bytes(), name.as_bytes()));
            prop_assert!(match_name(b"*", name.as_bytes()));
            let (longer, one_more) = (format!("{escaped}*"), format!("{escaped}?"));
            prop_assert!(match_name(longer.as_bytes(), name.as_bytes()));
            prop_assert!(!match_name(one_more.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn matching_ends(pattern in "[a-c*?\\[\\]^-]{0,30}", name in "[a-c]{0,60}") {
            match_name(pattern.as_bytes(), name.as_bytes());
        }
    }
}
