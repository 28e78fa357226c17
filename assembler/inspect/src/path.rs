//! Paths through an image: `/` leads into a folder and into a file of a known format alike, and so
//! does ` > `, which [`join`] writes before what lies in a file.

use crate::{
    context::Context,
    error::{Error, Result},
    node::{Node, names},
};

/// How many names an error lists.
const HINTS: usize = 12;

/// Finds what a path such as `esp/EFI/BOOT/BOOTX64.EFI/.initrd/init` names.
///
/// Names are written as [`Node::name`] writes them; the second of a name is `name#2`.
pub fn find(context: &Context, root: &Node, path: &str) -> Result<Node> {
    let mut node = root.clone();
    let mut parent = String::from("/");
    for part in path.split('/').flat_map(|part| part.split(" > ")).filter(|part| !part.is_empty()) {
        let Some(container) = node.open(context)? else {
            let reason = "nothing can be found inside";
            return Err(Error::NoContent { path: parent, kind: node.kind().as_str(), reason });
        };
        let names = names(&container.nodes);
        let Some(index) = names.iter().position(|name| name == part) else {
            let mut shown: Vec<&str> = names.iter().take(HINTS).map(String::as_str).collect();
            if names.len() > HINTS {
                shown.push("…");
            }
            let hint = if shown.is_empty() {
                ", which is empty".to_owned()
            } else {
                format!("; it holds {}", shown.join(", "))
            };
            return Err(Error::NotFound { name: part.to_owned(), parent, hint });
        };
        if parent.len() > 1 {
            parent.push('/');
        }
        parent.push_str(part);
        node = container.nodes[index].clone();
    }
    Ok(node)
}

/// The path of what lies under another, in a folder or in something of another format.
pub(crate) fn join(path: &str, format: &str, name: &str) -> String {
    match (path, format) {
        ("", _) => name.to_owned(),
        (path, "folder") => format!("{path}/{name}"),
        (path, _) => format!("{path} > {name}"),
    }
}
