//! Paths inside a tree.

use std::{cmp::Ordering, fmt};

/// The longest name of one component, in bytes: NAME_MAX on Linux.
const NAME_MAX: usize = 255;
/// The longest path, in bytes: PATH_MAX on Linux, less the terminating NUL.
const PATH_MAX: usize = 4095;

/// A normalised path relative to a tree's root: components joined by `/`, none of them empty,
/// `.` or `..`. Names are bytes, as on Linux, and need not be UTF-8. The root is the empty path.
///
/// Paths are ordered by component, so a directory stands immediately before what it holds.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Box<[u8]>);

/// Why bytes are not a [`TreePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A component is `..`.
    #[error("path {path:?} has a component '..', which could leave the tree")]
    Parent {
        /// The path, lossily decoded.
        path: String,
    },
    /// A NUL byte in the path.
    #[error("path {path:?} holds a NUL byte")]
    Nul {
        /// The path, lossily decoded.
        path: String,
    },
    /// A component is longer than 255 bytes, or the path longer than 4,095.
    #[error("path {path:?} is too long: 255 bytes a name and 4095 in all are the limit")]
    TooLong {
        /// The path, lossily decoded.
        path: String,
    },
}

impl TreePath {
    /// The root of a tree.
    pub fn root() -> Self {
        Self::default()
    }

    /// Normalises `path`: leading, trailing and doubled slashes and `.` components go; `..` is an
    /// error. An absolute path is taken from the tree's root.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let path = path.as_ref();
        let shown = || String::from_utf8_lossy(&path[..path.len().min(PATH_MAX)]).into_owned();
        if path.contains(&0) {
            return Err(PathError::Nul { path: shown() });
        }
        let mut normal = Vec::with_capacity(path.len());
        for name in path.split(|&b| b == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return Err(PathError::Parent { path: shown() }),
                _ if name.len() > NAME_MAX => return Err(PathError::TooLong { path: shown() }),
                _ => {}
            }
            if !normal.is_empty() {
                normal.push(b'/');
            }
            normal.extend_from_slice(name);
        }
        if normal.len() > PATH_MAX {
            return Err(PathError::TooLong { path: shown() });
        }
        Ok(Self(normal.into()))
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].into()))
    }

    /// This path followed by `rest`, which is normalised first.
    pub fn join(&self, rest: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let mut bytes = self.0.to_vec();
        bytes.push(b'/');
        bytes.extend_from_slice(rest.as_ref());
        Self::new(bytes)
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|name| !name.is_empty())
    }

    /// How many components the path has; 0 for the root.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Whether this path is `ancestor` or lies below it.
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        self.strip_prefix(ancestor).is_some()
    }

    /// What follows `ancestor` in this path, without a leading slash; `None` where it does not
    /// lie below it.
    pub fn strip_prefix(&self, ancestor: &Self) -> Option<&[u8]> {
        if ancestor.is_root() {
            return Some(&self.0);
        }
        match self.0.strip_prefix(&*ancestor.0)? {
            [] => Some(&[]),
            [b'/', rest @ ..] => Some(rest),
            _ => None,
        }
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        let common = first_difference(&self.0, &other.0);
        match common {
            // The separator sorts before every byte that a name can hold.
            Some(at) => {
                let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
                rank(self.0[at]).cmp(&rank(other.0[at]))
            }
            None => self.0.len().cmp(&other.0.len()),
        }
    }
}

/// Where the two differ, within the length of the shorter. Neighbours in a tree share long
/// prefixes, so eight bytes are looked at together.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let words = a.chunks_exact(8).zip(b.chunks_exact(8));
    let equal = words.take_while(|(a, b)| a == b).count() * 8;
    let rest = a[equal..].iter().zip(&b[equal..]);
    rest.enumerate().find(|(_, (a, b))| a != b).map(|(at, _)| equal + at)
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Shows the path with a leading slash, bytes that are not UTF-8 replaced.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl TryFrom<&str> for TreePath {
    type Error = PathError;

    fn try_from(path: &str) -> Result<Self, PathError> {
        Self::new(path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn normalises() {
        assert_eq!(path("/usr//./bin/"), path("usr/bin"));
        assert!(path("./").is_root());
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!(path("a/b").name(), b"b");
        assert_eq!(path("a/b/c").strip_prefix(&path("a")), Some(&b"b/c"[..]));
        assert!(!path("ab").starts_with(&path("a")));
        assert!(matches!(TreePath::new("a/../b"), Err(PathError::Parent { .. })));
        assert!(matches!(TreePath::new(b"a\0b"), Err(PathError::Nul { .. })));
        assert!(TreePath::new("n".repeat(255)).is_ok());
        assert!(matches!(TreePath::new("n".repeat(256)), Err(PathError::TooLong { .. })));
    }

    #[test]
    fn directory_comes_before_its_content_and_its_like_named_sibling() {
        let mut paths = ["a-b", "a/z", "a", "a/b/c", "a.b", "a/b"].map(path);
        paths.sort();
        assert_eq!(paths, ["a", "a/b", "a/b/c", "a/z", "a-b", "a.b"].map(path));
    }

    proptest! {
        #[test]
        fn order_is_that_of_components(
            same in "[a-c/]{0,20}", a in "[a-c./-]{0,12}", b in "[a-c./-]{0,12}",
        ) {
            let (a, b) = (same.clone() + &a, same + &b);
            if let (Ok(a), Ok(b)) = (TreePath::new(&a), TreePath::new(&b)) {
                let by_components = a.components().cmp(b.components());
                prop_assert_eq!(a.cmp(&b), by_components);
            }
        }
    }
}
