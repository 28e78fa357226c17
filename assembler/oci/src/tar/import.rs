//! A tar's entries as a layer: paths are checked here, before anything touches a disk.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use stagex_tree::{Content, Inode, Kind, Metadata, TreeError, TreePath};

use super::{EntryKind, Header, Limits, Reader, TarError};
use crate::{
    LayerTree,
    layer::{OPAQUE, WHITEOUT},
};

/// Attributes by which overlayfs steers itself. In a layer they would be orders to the kernel
/// that mounts it, so they are dropped.
const OVERLAY_ATTRIBUTES: [&[u8]; 3] =
    [b"user.overlay.", b"trusted.overlay.", b"user.fuseoverlayfs."];

/// Whether an attribute belongs to overlayfs and not to the file.
pub(crate) fn is_overlay_attribute(name: &[u8]) -> bool {
    OVERLAY_ATTRIBUTES.iter().any(|prefix| name.starts_with(prefix))
}

/// Reads a tar as a layer in normal form, with `spool` deciding where contents are kept.
///
/// `spool` is called for each regular file with its declared size and its bytes, and must read
/// them to their end. Of several entries for one path the last counts, as for tar itself. An
/// entry that would be written through a symbolic link is an error, as are `..`, hard links to
/// nowhere or to directories, and sizes beyond `limits`; leading slashes go.
pub fn read_layer<R: Read>(
    input: R,
    limits: Limits,
    epoch: u64,
    spool: &mut dyn FnMut(u64, &mut dyn Read) -> io::Result<Content>,
) -> Result<LayerTree, TarError> {
    let mut layer = entries(input, limits, true, &mut |_, size, reader| spool(size, reader))?;
    layer.settle(epoch)?;
    Ok(layer)
}

/// Decides where a content is kept, given where it begins in the tar, its length and its bytes.
pub(crate) type Keep<'a> = &'a mut dyn FnMut(u64, u64, &mut dyn Read) -> io::Result<Content>;

/// Reads a tar as a layer that is not yet in normal form: with its own times. Where it is not one
/// of an image's layers, names that mean a removal there are an error.
pub(crate) fn entries<R: Read>(
    input: R,
    limits: Limits,
    is_layer: bool,
    keep: Keep<'_>,
) -> Result<LayerTree, TarError> {
    let mut reader = Reader::new(input, limits);
    let mut layer = LayerTree::new();
    while let Some(header) = reader.next_header()? {
        let path = TreePath::new(&header.path)?;
        if path.name().starts_with(WHITEOUT) {
            if !is_layer {
                return Err(crate::LayerError::ReservedName { path }.into());
            }
            marker(&mut layer, &path)?;
            continue;
        }
        if header.kind == EntryKind::Link {
            link(&mut layer, path, &header)?;
            continue;
        }
        check_way(&mut layer, &path)?;
        if path.is_root() && header.kind != EntryKind::Directory {
            return Err(TarError::Root);
        }
        let inode = inode(header, &mut reader, keep)?;
        layer.insert(path, inode).map_err(crate::LayerError::from)?;
    }
    Ok(layer)
}

/// Reads a tar as a layer with all contents in memory: for tars known to be small.
pub fn read_layer_in_memory<R: Read>(
    input: R,
    limits: Limits,
    epoch: u64,
) -> Result<LayerTree, TarError> {
    read_layer(input, limits, epoch, &mut |_, reader| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        Ok(Content::from_bytes(bytes))
    })
}

fn inode<R: Read>(
    header: Header,
    reader: &mut Reader<R>,
    keep: Keep<'_>,
) -> Result<Inode, TarError> {
    let kind = match header.kind {
        EntryKind::File => {
            let at = reader.position();
            Kind::File(keep(at, header.size, reader).map_err(spool_error)?)
        }
        EntryKind::Directory => Kind::Directory,
        EntryKind::CharDevice(device) => Kind::CharDevice(device),
        EntryKind::BlockDevice(device) => Kind::BlockDevice(device),
        EntryKind::Fifo => Kind::Fifo,
        EntryKind::Symlink | EntryKind::Link => Kind::Symlink((&*header.link).into()),
    };
    let mut xattrs: BTreeMap<_, _> = header.xattrs;
    xattrs.retain(|name, _| !is_overlay_attribute(name));
    // The kernel ignores a symbolic link's mode, and so does the normal form.
    let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { header.mode };
    let Header { uid, gid, mtime, .. } = header;
    let metadata = Metadata { uid, gid, mtime, xattrs, ..Metadata::new(mode) };
    Ok(Inode { metadata, kind })
}

/// A content that ended early was cut off; the reader says so inside its error.
fn spool_error(error: io::Error) -> TarError {
    match error.downcast::<TarError>() {
        Ok(error) => error,
        Err(error) => TarError::io("unpacking a tar")(error),
    }
}

fn marker(layer: &mut LayerTree, path: &TreePath) -> Result<(), TarError> {
    let name = path.name();
    let parent = path.parent().unwrap_or_default();
    if name == OPAQUE {
        layer.opaque.insert(parent);
    } else if !name.starts_with(b".wh..wh.") {
        // What else begins so was AUFS's own.
        let target = parent.join(&name[WHITEOUT.len()..])?;
        if target == parent {
            return Err(crate::LayerError::ReservedName { path: path.clone() }.into());
        }
        layer.whiteouts.insert(target);
    }
    Ok(())
}

fn link(layer: &mut LayerTree, path: TreePath, header: &Header) -> Result<(), TarError> {
    let target = TreePath::new(&header.link)?;
    if path.is_root() {
        return Err(TarError::Root);
    }
    match layer.tree.get(&target) {
        None => return Err(TarError::LinkToNowhere { path, target }),
        Some(entry) if entry.inode.is_directory() => {
            return Err(TarError::LinkToDirectory { path, target });
        }
        Some(_) => {}
    }
    check_way(layer, &path)?;
    match layer.link(path, &target) {
        Ok(()) => Ok(()),
        Err(TreeError::NoTarget { path, target }) => Err(TarError::LinkToNowhere { path, target }),
        Err(error) => Err(crate::LayerError::from(error).into()),
    }
}

/// Makes the directories above `path`; a file or a symbolic link in the way is an error.
fn check_way(layer: &mut LayerTree, path: &TreePath) -> Result<(), TarError> {
    let above = std::iter::successors(path.parent(), TreePath::parent);
    for above in above {
        let what = match layer.tree.get(&above).map(|entry| &entry.inode.kind) {
            None => continue,
            Some(Kind::Directory) => break,
            Some(Kind::Symlink(_)) => "a symbolic link",
            Some(_) => "a file",
        };
        return Err(TarError::NotBelowDirectory { path: path.clone(), above, what });
    }
    Ok(layer.imply_parents(path).map_err(crate::LayerError::from)?)
}
