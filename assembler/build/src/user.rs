//! User and group names, as USER and --chown have them.

use stagex_tree::{Tree, TreePath};

use crate::place;

/// The ids that `text` (`user`, `user:group`, by name or number) means in the root file system
/// `tree`; the error names what `/etc/passwd` or `/etc/group` lacks. Without a group it is the
/// user's own, or 0 where the user is a number unknown to `/etc/passwd`.
pub(crate) fn resolve(tree: &Tree, text: &str) -> Result<(u32, u32), String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let passwd = read(tree, "etc/passwd");
    let account = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.first() == Some(&user) || (fields.get(2) == Some(&user) && is_number(user))
    });
    let field = |at: usize| account.as_ref().and_then(|fields| fields.get(at)?.parse().ok());
    let uid = match user.parse() {
        Ok(uid) => uid,
        Err(_) if user == "root" => 0,
        Err(_) => field(2).ok_or_else(|| format!("user {user:?} is not in /etc/passwd"))?,
    };
    let gid = match group {
        None => field(3).unwrap_or(0),
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) if group == "root" => 0,
            Err(_) => read(tree, "etc/group")
                .lines()
                .map(|line| line.split(':').collect::<Vec<_>>())
                .find(|fields| fields.first() == Some(&group))
                .and_then(|fields| fields.get(2)?.parse().ok())
                .ok_or_else(|| format!("group {group:?} is not in /etc/group"))?,
        },
    };
    Ok((uid, gid))
}

fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok()
}

/// The text of a small file; empty where there is none.
fn read(tree: &Tree, path: &str) -> String {
    let content = TreePath::new(path)
        .ok()
        .and_then(|path| place::resolve(tree, &path).ok())
        .and_then(|path| tree.get(&path)?.inode.content()?.read().ok())
        .unwrap_or_default();
    String::from_utf8_lossy(&content).into_owned()
}

#[cfg(test)]
mod tests {
    use stagex_tree::{Content, Inode, Kind, Metadata};

    use super::*;

    #[test]
    fn names_numbers_and_groups() {
        let mut tree = Tree::new();
        let etc = TreePath::new("etc").unwrap();
        tree.make_directories(&etc, &Metadata::new(0o755)).unwrap();
        for (name, text) in [
            ("passwd", "root:x:0:0::/:\nuser:x:1000:100::/:\n"),
            ("group", "users:x:100:\nwheel:x:10:user\n"),
        ] {
            let kind = Kind::File(Content::from_bytes(text.as_bytes()));
            let inode = Inode { metadata: Metadata::new(0o644), kind };
            tree.insert(etc.join(name).unwrap(), inode).unwrap();
        }
        assert_eq!(resolve(&tree, "user"), Ok((1000, 100)));
        assert_eq!(resolve(&tree, "1000"), Ok((1000, 100)));
        assert_eq!(resolve(&tree, "user:wheel"), Ok((1000, 10)));
        assert_eq!(resolve(&tree, "7:8"), Ok((7, 8)));
        assert_eq!(resolve(&tree, "7"), Ok((7, 0)));
        assert!(resolve(&tree, "nobody").unwrap_err().contains("/etc/passwd"));
        assert!(resolve(&tree, "0:staff").unwrap_err().contains("/etc/group"));
        assert_eq!(resolve(&Tree::new(), "root:root"), Ok((0, 0)));
    }
}
