//! Names the first thing in which two trees differ.

use std::{collections::BTreeMap, io};

use stagex_tree::{Content, Entry, Inode, Kind, Metadata, Tree, TreePath};

/// The first path that is not the same in two trees, and how.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The path.
    pub path: TreePath,
    /// How it differs, in words.
    pub how: String,
    /// How many paths differ, this one included.
    pub count: usize,
    /// Both contents, where those are what differs.
    pub contents: Option<(Content, Content)>,
}

/// The first path, in the order of paths, that is not the same in both trees; `None` if they are
/// the same. Fails where a content cannot be read.
pub fn first_difference(old: &Tree, new: &Tree) -> io::Result<Option<Difference>> {
    let mut found: Option<Difference> = None;
    let mut note = |path: &TreePath, how: &dyn Fn() -> String, contents| match &mut found {
        Some(found) => found.count += 1,
        none => {
            *none = Some(Difference { path: path.clone(), how: how(), count: 1, contents });
        }
    };
    // Hard links are the same where each path is linked to the same first path.
    let (mut old_links, mut new_links) = (BTreeMap::new(), BTreeMap::new());
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let (path, a, b) = match (olds.peek(), news.peek()) {
            (None, None) => return Ok(found),
            (Some(a), Some(b)) if a.path == b.path => (a.path, olds.next(), news.next()),
            (Some(a), Some(b)) if a.path < b.path => (a.path, olds.next(), None),
            (Some(a), None) => (a.path, olds.next(), None),
            (_, Some(b)) => (b.path, None, news.next()),
        };
        let (a, b) = match (a, b) {
            (Some(a), Some(b)) => (a, b),
            (Some(_), None) => {
                note(path, &|| "is only in the first".to_owned(), None);
                continue;
            }
            _ => {
                note(path, &|| "is only in the second".to_owned(), None);
                continue;
            }
        };
        let first = |links: &mut BTreeMap<_, TreePath>, entry: &Entry<'_>| {
            links.entry(entry.id).or_insert_with(|| entry.path.clone()).clone()
        };
        let (old_link, new_link) = (first(&mut old_links, &a), first(&mut new_links, &b));
        if let Some(how) = metadata(&a.inode.metadata, &b.inode.metadata) {
            note(path, &|| how.clone(), None);
        } else if old_link != new_link {
            note(path, &|| format!("is linked to {old_link} and to {new_link}"), None);
        } else if let Some((how, contents)) = kind(a.inode, b.inode)? {
            note(path, &|| how.clone(), contents);
        }
    }
}

fn metadata(old: &Metadata, new: &Metadata) -> Option<String> {
    if old.mode != new.mode {
        return Some(format!("has mode {:04o} and {:04o}", old.mode, new.mode));
    }
    if (old.uid, old.gid) != (new.uid, new.gid) {
        return Some(format!("belongs to {}:{} and {}:{}", old.uid, old.gid, new.uid, new.gid));
    }
    if old.mtime != new.mtime {
        return Some(format!("has the times {} and {}", old.mtime, new.mtime));
    }
    (old.xattrs != new.xattrs).then(|| "has other extended attributes".to_owned())
}

type Contents = Option<(Content, Content)>;

fn kind(old: &Inode, new: &Inode) -> io::Result<Option<(String, Contents)>> {
    Ok(match (&old.kind, &new.kind) {
        (Kind::File(a), Kind::File(b)) => {
            if a.len() == b.len() && a.digest()? == b.digest()? {
                return Ok(None);
            }
            let place = first_byte(a, b)?;
            let how = match a.len() == b.len() {
                true => format!("differs from byte {place} on"),
                false => {
                    format!(
                        "has {} bytes and {}, which differ from byte {place} on",
                        a.len(),
                        b.len()
                    )
                }
            };
            Some((how, Some((a.clone(), b.clone()))))
        }
        (Kind::Symlink(a), Kind::Symlink(b)) if a != b => {
            let [a, b] = [a, b].map(|target| String::from_utf8_lossy(target).into_owned());
            Some((format!("leads to {a:?} and to {b:?}"), None))
        }
        (a, b) if a == b => None,
        _ => Some(("is of another kind".to_owned(), None)),
    })
}

/// The place of the first byte that differs; the length of the shorter one if that is the
/// beginning of the other.
fn first_byte(old: &Content, new: &Content) -> io::Result<u64> {
    use io::{BufRead as _, BufReader};
    let (mut old, mut new) = (BufReader::new(old.open()?), BufReader::new(new.open()?));
    let mut place = 0;
    loop {
        let (a, b) = (old.fill_buf()?, new.fill_buf()?);
        let both = a.len().min(b.len());
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        place += same as u64;
        if same < both || both == 0 {
            return Ok(place);
        }
        old.consume(both);
        new.consume(both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn tree(files: &[(&str, u16, &str)]) -> Tree {
        let mut tree = Tree::new();
        for (name, mode, text) in files {
            let kind = match text.strip_prefix("-> ") {
                Some(target) => Kind::Symlink(target.as_bytes().into()),
                None => Kind::File(Content::from_bytes(text.as_bytes())),
            };
            let inode = Inode { metadata: Metadata::new(*mode), kind };
            tree.insert(path(name), inode).unwrap();
        }
        tree
    }

    fn differ(old: &[(&str, u16, &str)], new: &[(&str, u16, &str)]) -> Option<String> {
        let found = first_difference(&tree(old), &tree(new)).unwrap()?;
        Some(format!("{} {} ({})", found.path, found.how, found.count))
    }

    #[test]
    fn the_first_difference_is_named() {
        let one = [("a", 0o644, "text"), ("b", 0o755, "-> a")];
        assert_eq!(differ(&one, &one), None);
        let differs = |new: &[(&str, u16, &str)]| differ(&one, new).unwrap();
        assert_eq!(differs(&one[..1]), "/b is only in the first (1)");
        assert_eq!(
            differs(&[("a", 0o600, "text"), ("b", 0o755, "-> c")]),
            "/a has mode 0644 and 0600 (2)"
        );
        assert_eq!(differs(&[("a", 0o644, "teXt"), one[1]]), "/a differs from byte 2 on (1)");
        assert_eq!(
            differs(&[("a", 0o644, "texts"), one[1]]),
            "/a has 4 bytes and 5, which differ from byte 4 on (1)"
        );
        assert_eq!(differs(&[one[0], ("b", 0o755, "-> c")]), "/b leads to \"a\" and to \"c\" (1)");
        assert_eq!(differs(&[one[0], ("b", 0o755, "a")]), "/b is of another kind (1)");
        let more = [("A", 0o644, ""), one[0], one[1]];
        assert_eq!(differs(&more), "/A is only in the second (1)");
        let mut linked = tree(&one[..1]);
        linked.link(path("c"), &path("a")).unwrap();
        let copied = tree(&[one[0], ("c", 0o644, "text")]);
        let found = first_difference(&copied, &linked).unwrap().unwrap();
        assert_eq!((found.path, &found.how[..]), (path("c"), "is linked to /c and to /a"));
    }
}
