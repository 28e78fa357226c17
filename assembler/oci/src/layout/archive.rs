//! An image layout in one file: an OCI archive, as skopeo, podman and docker load it.

use std::{collections::BTreeMap, io, io::Write};

use stagex_tree::{Content, Digest, Inode, Kind, Metadata, Tree, TreePath};

use super::{
    LayoutError,
    write::{Plan, version},
};
use crate::{Image, LayerTree, Store, StoreError, tar};

/// Where a layout has its blobs.
const BLOBS: &str = "blobs/sha256";

/// Writes to `out` the tar of an OCI image layout with these images, and returns the digest of
/// what `ref_name` names in it.
///
/// It holds what [`crate::write_layout`] writes to a folder. The tar has the normal form of a
/// layer's; the layers are written out of the store in passing.
pub fn write_archive<W: Write>(
    store: &Store,
    images: &[Image],
    out: &mut W,
    ref_name: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<Digest, LayoutError> {
    let plan = Plan::of(store, images, ref_name, annotations)?;
    let mut files = Tree::new();
    files.make_directories(&path_of(BLOBS), &Metadata::new(0o755)).map_err(StoreError::from)?;
    let mut put = |path: &TreePath, content: Content| {
        let inode = Inode { metadata: Metadata::new(0o644), kind: Kind::File(content) };
        files.insert(path.clone(), inode).map(drop).map_err(StoreError::from)
    };
    put(&path_of("oci-layout"), Content::from_bytes(version()))?;
    put(&path_of("index.json"), Content::from_bytes(plan.index))?;
    for (digest, bytes) in plan.blobs {
        put(&path_of(&format!("{BLOBS}/{digest}")), Content::from_bytes(bytes))?;
    }
    let mut layers = BTreeMap::new();
    for (digest, len) in plan.layers {
        let path = path_of(&format!("{BLOBS}/{digest}"));
        // Its length is what counts: the store writes the bytes.
        put(&path, Content::from_file(store.path(), 0, len))?;
        layers.insert(path, digest);
    }
    let files = LayerTree::from_tree(files);
    let mut failed = None;
    let epoch = store.normalise().epoch;
    let written = tar::write_layer(&files, epoch, out, &mut |entry, content, out| {
        let Some(digest) = layers.get(entry.path) else { return content.copy_to(out) };
        store.write_tar(digest, out).map(drop).map_err(|error| {
            failed = Some(error);
            io::Error::other("a layer cannot be read")
        })
    });
    match failed {
        Some(error) => Err(error.into()),
        None => written.map(|()| plan.digest).map_err(LayoutError::Archive),
    }
}

/// A path of the layout: ASCII without dots, which is always one.
fn path_of(path: &str) -> TreePath {
    TreePath::new(path).unwrap_or_default()
}
