//! Writes an image layout.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, ErrorKind, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{CWD, FlockOperation, RenameFlags},
    io::Errno,
};
use serde_json::{Value, json};
use stagex_tree::Digest;

use super::{
    LayoutError, MEDIA_CONFIG, MEDIA_INDEX, MEDIA_LAYER, MEDIA_MANIFEST, REF_NAME, canonical_json,
};
use crate::{Image, Store, StoreError};

/// An image's manifest and configuration, as bytes.
pub(crate) struct Manifest {
    pub(crate) digest: Digest,
    bytes: Vec<u8>,
    config: Vec<u8>,
    layers: Vec<(Digest, u64)>,
    platform: Value,
}

impl Manifest {
    /// Composes them; of the layers only their sizes are looked up.
    pub(crate) fn of(store: &Store, image: &Image) -> Result<Self, StoreError> {
        let mut layers = Vec::new();
        for digest in &image.layers {
            layers.push((*digest, store.layer(digest)?.size));
        }
        let config = canonical_json(&image.config.to_oci(&image.layers, store.normalise().epoch));
        let descriptors: Vec<Value> =
            layers.iter().map(|(digest, size)| descriptor(MEDIA_LAYER, digest, *size)).collect();
        let bytes = canonical_json(&json!({
            "schemaVersion": 2,
            "mediaType": MEDIA_MANIFEST,
            "config": descriptor(MEDIA_CONFIG, &Digest::of(&config), config.len() as u64),
            "layers": descriptors,
        }));
        let (architecture, os) = (&image.config.architecture, &image.config.os);
        let platform = json!({ "architecture": architecture, "os": os });
        Ok(Self { digest: Digest::of(&bytes), bytes, config, layers, platform })
    }
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

/// All that a layout holds, but for the content of its layers.
pub(super) struct Plan {
    /// What the reference's name stands for: a single image's manifest, or the index of several.
    pub(super) digest: Digest,
    /// `index.json`.
    pub(super) index: Vec<u8>,
    /// Manifests, configurations and indexes.
    pub(super) blobs: BTreeMap<Digest, Vec<u8>>,
    /// The layers, and the lengths of their tars.
    pub(super) layers: BTreeMap<Digest, u64>,
}

impl Plan {
    pub(super) fn of(
        store: &Store,
        images: &[Image],
        ref_name: &str,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, LayoutError> {
        let mut blobs = BTreeMap::new();
        let mut layers = BTreeMap::new();
        let mut descriptors = Vec::new();
        for image in images {
            let manifest = Manifest::of(store, image)?;
            let len = manifest.bytes.len() as u64;
            let mut named = descriptor(MEDIA_MANIFEST, &manifest.digest, len);
            named["platform"] = manifest.platform;
            descriptors.push((manifest.digest, named));
            layers.extend(manifest.layers);
            blobs.insert(Digest::of(&manifest.config), manifest.config);
            blobs.insert(manifest.digest, manifest.bytes);
        }
        let (digest, mut top) = match &mut descriptors[..] {
            [] => return Err(LayoutError::NoImage),
            [(digest, named)] => (*digest, named.take()),
            several => {
                let all: Vec<Value> = several.iter_mut().map(|(_, named)| named.take()).collect();
                let index = canonical_json(&json!({
                    "schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": all,
                }));
                let digest = Digest::of(&index);
                let named = descriptor(MEDIA_INDEX, &digest, index.len() as u64);
                blobs.insert(digest, index);
                (digest, named)
            }
        };
        top["annotations"] = json!({ REF_NAME: ref_name });
        let mut index = json!({ "schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": [top] });
        if !annotations.is_empty() {
            index["annotations"] = json!(annotations);
        }
        Ok(Self { digest, index: canonical_json(&index), blobs, layers })
    }
}

/// The file that says that a folder is a layout.
pub(super) fn version() -> Vec<u8> {
    canonical_json(&json!({ "imageLayoutVersion": "1.0.0" }))
}

/// Writes an OCI image layout to the directory `out`, in place of what is there, and returns the
/// digest of what `ref_name` names in it: the manifest of a single image, the index of several
/// (one for each platform).
///
/// `annotations` go to the layout's index, so that an image's digest depends on its content
/// alone. A layout that is there already as it would be written is left alone.
pub fn write_layout(
    store: &Store,
    images: &[Image],
    out: &Path,
    ref_name: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<Digest, LayoutError> {
    let Plan { digest, index, blobs, layers } = Plan::of(store, images, ref_name, annotations)?;
    if is_there(out, &index, &blobs, &layers) {
        return Ok(digest);
    }
    let aside = Aside::new(out)?;
    let folder = aside.path.join("blobs/sha256");
    fs::create_dir_all(&folder).map_err(LayoutError::at("making", &folder))?;
    let mut written = Vec::new();
    for digest in layers.keys() {
        let path = folder.join(digest.hex());
        let file = File::create_new(&path).map_err(LayoutError::at("making", &path))?;
        let file = store.write_tar(digest, BufWriter::with_capacity(1 << 18, file))?;
        file.into_inner().map_err(|error| LayoutError::at("writing", &path)(error.into_error()))?;
        written.push(path);
    }
    for (digest, bytes) in &blobs {
        let path = folder.join(digest.hex());
        put(&path, bytes)?;
        written.push(path);
    }
    let version = version();
    for (name, bytes) in [("oci-layout", &version), ("index.json", &index)] {
        let path = aside.path.join(name);
        put(&path, bytes)?;
        written.push(path);
    }
    // All at once: to wait for each would take as long for every layer.
    written.extend([folder, aside.path.join("blobs"), aside.path.clone()]);
    crate::sync::all(&written).map_err(|(path, error)| LayoutError::at("syncing", &path)(error))?;
    aside.take_place(out)?;
    Ok(digest)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
    let mut file = File::create_new(path).map_err(LayoutError::at("making", path))?;
    file.write_all(bytes).map_err(LayoutError::at("writing", path))
}

/// Whether `out` is the layout already, as far as names and sizes tell.
fn is_there(
    out: &Path,
    index: &[u8],
    blobs: &BTreeMap<Digest, Vec<u8>>,
    layers: &BTreeMap<Digest, u64>,
) -> bool {
    let folder = out.join("blobs/sha256");
    let len = |digest: &Digest| fs::metadata(folder.join(digest.hex())).ok().map(|m| m.len());
    out.join("oci-layout").exists()
        && fs::read(out.join("index.json")).is_ok_and(|found| found == index)
        && blobs.iter().all(|(digest, bytes)| len(digest) == Some(bytes.len() as u64))
        && layers.iter().all(|(digest, size)| len(digest) == Some(*size))
}

/// A directory beside its later place, locked for as long as it is being filled.
struct Aside {
    path: PathBuf,
    _lock: File,
}

impl Aside {
    fn new(out: &Path) -> Result<Self, LayoutError> {
        let parent = match out.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(LayoutError::at("making", parent))?;
        let name = out.file_name().unwrap_or_default();
        let prefix = [b".", name.as_bytes(), b".new-"].concat();
        for entry in fs::read_dir(parent).map_err(LayoutError::at("reading", parent))?.flatten() {
            if entry.file_name().as_bytes().starts_with(&prefix) {
                remove_if_left(&entry.path());
            }
        }
        // A name is never used again: whoever found a leftover of that name may yet remove it.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let mut name = prefix.clone();
            name.extend_from_slice(format!("{}-{count}", std::process::id()).as_bytes());
            let path = parent.join(std::ffi::OsStr::from_bytes(&name));
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(LayoutError::at("making", &path)(error)),
            }
            let lock = match File::open(&path) {
                Ok(lock) => lock,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(LayoutError::at("opening", &path)(error)),
            };
            rustix::fs::flock(&lock, FlockOperation::LockExclusive)
                .map_err(|error| LayoutError::at("locking", &path)(error.into()))?;
            // Another process may have taken it for a leftover before it was locked.
            if path.exists() {
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    /// Puts the finished directory in the place of `out`, in one step where the file system can.
    fn take_place(self, out: &Path) -> Result<(), LayoutError> {
        let fail = || LayoutError::at("placing", out);
        let place = |flags| rustix::fs::renameat_with(CWD, &self.path, CWD, out, flags);
        // Another process may place or remove the same between any two of these.
        loop {
            match place(RenameFlags::EXCHANGE) {
                Ok(()) => break,
                Err(Errno::NOENT) => match place(RenameFlags::NOREPLACE) {
                    Ok(()) => break,
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(fail()(error.into())),
                },
                Err(Errno::INVAL | Errno::NOSYS) => {
                    remove(out).map_err(fail())?;
                    match fs::rename(&self.path, out) {
                        Ok(()) => break,
                        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
                        Err(error) => return Err(fail()(error)),
                    }
                }
                Err(error) => return Err(fail()(error.into())),
            }
        }
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(fail())
    }
}

impl Drop for Aside {
    /// Removes what stands there: the unfinished layout, or the one that was replaced.
    fn drop(&mut self) {
        let _ = remove(&self.path);
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
}

/// Removes what a killed process left beside its target.
fn remove_if_left(path: &Path) {
    let Ok(lock) = File::open(path) else { return };
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
        let _ = remove(path);
    }
}
