//! What the store holds, and what of it is still needed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use serde::{Deserialize, Serialize};
use stagex_tree::Digest;

use super::{Store, StoreError, disk, records, scratch};
use crate::StepRecord;

/// Something that gc keeps, with all it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// A layer.
    Layer(Digest),
    /// A step by its key, its layers and blobs, and the steps that it rests on.
    Step(Digest),
    /// A blob.
    Blob(Digest),
}

/// What the store holds, each with its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Layers.
    pub layers: u64,
    /// Bytes of the layers' contents.
    pub layer_bytes: u64,
    /// Paths in the layers.
    pub layer_files: u64,
    /// Step records.
    pub steps: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of the blobs.
    pub blob_bytes: u64,
    /// Sessions in `tmp/`, of living processes and of dead ones.
    pub sessions: u64,
}

/// What gc removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// Layers.
    pub layers: u64,
    /// Step records.
    pub steps: u64,
    /// Blobs.
    pub blobs: u64,
    /// Leftovers of processes that no longer live.
    pub leftovers: u64,
    /// Bytes of contents of the layers and blobs.
    pub bytes: u64,
}

/// The file of a named set of roots.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RootFile {
    #[serde(with = "records::digests")]
    layers: Vec<Digest>,
    #[serde(with = "records::digests")]
    steps: Vec<Digest>,
    #[serde(with = "records::digests")]
    blobs: Vec<Digest>,
}

impl Store {
    /// Remembers under `name` what gc must keep from now on, in place of what the name stood for.
    pub fn put_roots(&self, name: &str, roots: &[Root]) -> Result<(), StoreError> {
        let mut file = RootFile::default();
        for root in roots.iter().collect::<BTreeSet<_>>() {
            match root {
                Root::Layer(digest) => file.layers.push(*digest),
                Root::Step(digest) => file.steps.push(*digest),
                Root::Blob(digest) => file.blobs.push(*digest),
            }
        }
        self.put_json(&self.roots_path(name)?, &file)
    }

    /// Forgets the roots of `name`; none is no error.
    pub fn remove_roots(&self, name: &str) -> Result<(), StoreError> {
        disk::remove_tree(&self.roots_path(name)?)
    }

    /// What is remembered by [`Store::put_roots`] under any name.
    pub fn roots(&self) -> Result<Vec<Root>, StoreError> {
        let mut roots = BTreeSet::new();
        for path in list(&self.path.join("roots"))? {
            let file: RootFile = records::read_json(&path)?.unwrap_or_default();
            roots.extend(file.layers.into_iter().map(Root::Layer));
            roots.extend(file.steps.into_iter().map(Root::Step));
            roots.extend(file.blobs.into_iter().map(Root::Blob));
        }
        Ok(roots.into_iter().collect())
    }

    /// What the store holds.
    pub fn du(&self) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        for path in list(&self.path.join("layers"))? {
            usage.layers += 1;
            if let Some(layer) = named(&path).and_then(|digest| self.layer(&digest).ok()) {
                usage.layer_bytes += layer.content;
                usage.layer_files += layer.files;
            }
        }
        usage.steps = list(&self.path.join("steps"))?.len() as u64;
        for path in list(&self.path.join("blobs/sha256"))? {
            usage.blobs += 1;
            usage.blob_bytes += fs::metadata(path).map_or(0, |metadata| metadata.len());
        }
        let sessions = list(&self.path.join("tmp"))?;
        usage.sessions = sessions.iter().filter(|path| path.extension().is_none()).count() as u64;
        Ok(usage)
    }

    /// Removes all that neither `roots` nor the remembered roots need.
    ///
    /// Fails with [`StoreError::Busy`] while any other process uses the store.
    pub fn gc(&mut self, roots: &[Root]) -> Result<Freed, StoreError> {
        let path = self.path.join("locks/store");
        let freed = self.lock.while_alone(&path, || {
            self.heads.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.gc_alone(roots)
        })?;
        freed.unwrap_or_else(|| Err(StoreError::Busy { path: self.path.clone() }))
    }

    fn gc_alone(&self, roots: &[Root]) -> Result<Freed, StoreError> {
        let leftovers = scratch::sweep(&self.path.join("tmp"), &mut |_| {});
        let mut freed = Freed { leftovers, ..Freed::default() };
        // Now that nobody else is here, what is not durable is nobody's work.
        if let Some(deferral) = &self.deferral {
            freed.steps += deferral.recover()?;
        }
        let keep = self.closure(self.roots()?.into_iter().chain(roots.iter().copied()))?;
        // Steps first: one that is killed half-way must not leave steps without their layers.
        for path in list(&self.path.join("steps"))? {
            // A record that is not durable is named by more than a digest.
            if !named(&path).is_some_and(|key| keep.contains(&Root::Step(key))) {
                disk::remove_tree(&path)?;
                freed.steps += 1;
            }
        }
        for path in list(&self.path.join("layers"))? {
            let digest = named(&path);
            // Without an index it is nobody's, whatever names it.
            let keep = |digest| keep.contains(&Root::Layer(digest)) && self.has_layer(&digest);
            if digest.is_some_and(keep) {
                continue;
            }
            let layer = digest.and_then(|digest| self.layer(&digest).ok());
            freed.bytes += layer.map_or(0, |layer| layer.content);
            freed.layers += 1;
            self.remove_layer(&path)?;
        }
        for path in list(&self.path.join("blobs/sha256"))? {
            if !named(&path).is_some_and(|digest| keep.contains(&Root::Blob(digest))) {
                freed.bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
                freed.blobs += 1;
                disk::remove_tree(&path)?;
            }
        }
        for path in list(&self.path.join("locks"))? {
            if path.file_name().is_some_and(|name| name != "store") {
                disk::remove_tree(&path)?;
            }
        }
        Ok(freed)
    }

    /// Moves the layer aside before it is taken apart, so that a kill leaves none half removed.
    fn remove_layer(&self, path: &Path) -> Result<(), StoreError> {
        let scratch = self.scratch()?;
        let aside = scratch.path().join("layer");
        fs::rename(path, &aside).map_err(StoreError::at("removing", path))?;
        disk::remove_tree(&aside)
    }

    /// All that `roots` need, themselves included.
    fn closure(&self, roots: impl Iterator<Item = Root>) -> Result<BTreeSet<Root>, StoreError> {
        let mut keep = BTreeSet::new();
        let mut todo: Vec<Root> = roots.collect();
        while let Some(root) = todo.pop() {
            if !keep.insert(root) {
                continue;
            }
            if let Root::Step(key) = root {
                let path = self.path.join("steps").join(format!("{key}.json"));
                let record: StepRecord = records::read_json(&path)?.unwrap_or_default();
                todo.extend(record.layers.into_iter().map(Root::Layer));
                todo.extend(record.needs.into_iter().map(Root::Step));
                todo.extend(record.blobs.into_iter().map(Root::Blob));
            }
        }
        Ok(keep)
    }

    fn roots_path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > 200 || !name.bytes().all(plain) {
            return Err(StoreError::RootName { name: name.to_owned() });
        }
        Ok(self.path.join("roots").join(format!("{name}.json")))
    }
}

/// The digest by which a file of the store is named.
fn named(path: &Path) -> Option<Digest> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// What the directory holds, sorted.
pub(super) fn list(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut all = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(StoreError::at("reading", path))?;
    all.sort_unstable();
    Ok(all)
}
