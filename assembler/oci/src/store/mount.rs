//! What overlayfs mounts to show an image.

use std::{collections::BTreeMap, path::PathBuf};

use stagex_tree::{Digest, TreePath};

use super::{Store, StoreError};
use crate::LayerTree;

impl Store {
    /// The lower directories that show the layers (given bottom first) as they merge, topmost
    /// first, as overlayfs takes them. Empty layers are left out.
    ///
    /// Overlayfs shows the topmost directory's metadata even where a layer only implies the
    /// directory and the layers below have said what it is like. Layers from elsewhere may be
    /// such; then a layer that says it again is made and put on top.
    pub fn lower_dirs(&self, layers: &[Digest]) -> Result<Vec<PathBuf>, StoreError> {
        let mut directories = Vec::new();
        let mut implies = false;
        for digest in layers {
            let head = self.head(digest)?;
            implies |= head.implies && !directories.is_empty();
            if head.paths != 0 || head.markers != 0 {
                directories.push(self.layer_path(digest).join("root"));
            }
        }
        if implies {
            if let Some(said) = self.say_again(layers)? {
                directories.push(self.add(&said)?.root);
            }
        }
        directories.reverse();
        Ok(directories)
    }

    /// The directories that show other metadata than the layers together give them.
    fn say_again(&self, layers: &[Digest]) -> Result<Option<LayerTree>, StoreError> {
        let merged = self.merged(layers)?;
        // Whether the topmost layer with the directory implies it.
        let mut implied: BTreeMap<TreePath, bool> = BTreeMap::new();
        for digest in layers {
            let layer = self.load(digest)?;
            for entry in layer.tree.iter().filter(|entry| entry.inode.is_directory()) {
                implied.insert(entry.path.clone(), layer.implied.contains(entry.path));
            }
        }
        let plain = LayerTree::new().tree;
        let plain = plain.get(&TreePath::root()).map(|root| &root.inode.metadata);
        let mut said = LayerTree::new();
        for (path, _) in implied.into_iter().filter(|(path, implied)| *implied && !path.is_root()) {
            let Some(entry) = merged.get(&path).filter(|entry| entry.inode.is_directory()) else {
                continue;
            };
            let metadata = &entry.inode.metadata;
            let shown = plain.is_some_and(|plain| {
                (plain.mode, &plain.xattrs) == (metadata.mode, &metadata.xattrs)
            });
            if !shown {
                said.insert(path, entry.inode.clone())?;
            }
        }
        said.carry_parents(&merged);
        Ok((!said.is_empty()).then_some(said))
    }
}
