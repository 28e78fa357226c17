//! Reads an image layout into the store. Layouts come from strangers: every blob is checked
//! against its digest, and every size has a limit.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use stagex_tree::{Digest, DigestReader, Tree};

use super::{LayoutError, REF_NAME};
use crate::{
    Image, ImageConfig, LayerTree, Store,
    tar::{self, Compression, Limits, Spool, TarError, in_place},
};

/// The longest manifest, index or configuration that is read, in bytes.
const JSON_MAX: u64 = 16 << 20;
/// How deep indices may nest.
const DEPTH_MAX: usize = 4;

/// Which image of a layout is meant. What is `None` does not matter, but one image must remain.
#[derive(Debug, Clone, Copy, Default)]
pub struct Select<'a> {
    /// The annotation `org.opencontainers.image.ref.name`.
    pub reference: Option<&'a str>,
    /// Go's name of the architecture.
    pub architecture: Option<&'a str>,
}

/// Reads one image of the layout in `folder` into the store: its layers, whether plain, gzip or
/// zstd, in normal form, so that their names are the store's and not the layout's.
pub fn read_layout(
    store: &Store,
    folder: &Path,
    select: Select<'_>,
    limits: Limits,
) -> Result<Image, LayoutError> {
    let (chosen, config) = Layout { folder }.choose(select)?;
    let layers = chosen
        .into_iter()
        .map(|(digest, diff_id)| Layout { folder }.layer(store, digest, diff_id, limits))
        .collect::<Result<_, _>>()?;
    Ok(Image { layers, config })
}

/// Reads one image of the layout in `folder` as a tree, with no store: its layers merged, owners
/// and times as they have them. Contents of plain layers stay in the layout, which must not change
/// while the tree lives; those of compressed ones go to `spool`.
pub fn read_layout_tree(
    folder: &Path,
    select: Select<'_>,
    limits: Limits,
    spool: &mut Spool,
) -> Result<Tree, LayoutError> {
    let layout = Layout { folder };
    let mut tree = Tree::new();
    for (digest, diff_id) in layout.choose(select)?.0 {
        let path = layout.blob(&digest);
        let mut layer = layout.layer_tree(digest, diff_id, limits, spool)?;
        let bad = |error: crate::LayerError| LayoutError::Malformed {
            path: path.clone(),
            why: error.to_string(),
        };
        layer.settle_at(None).map_err(bad)?;
        layer.move_to(&mut tree).map_err(|error| bad(error.into()))?;
    }
    Ok(tree)
}

struct Layout<'a> {
    folder: &'a Path,
}

struct Found {
    digest: Digest,
    reference: Option<String>,
    architecture: Option<String>,
}

impl Found {
    fn show(&self) -> String {
        let reference = self.reference.as_deref().unwrap_or("(no name)");
        match &self.architecture {
            Some(architecture) => format!("{reference} for {architecture}"),
            None => reference.to_owned(),
        }
    }
}

impl Layout<'_> {
    /// The layers of the image that is meant, each as its blob's digest and its own, and the
    /// image's configuration.
    fn choose(
        &self,
        select: Select<'_>,
    ) -> Result<(Vec<(Digest, Digest)>, ImageConfig), LayoutError> {
        let path = self.folder.join("index.json");
        let index: Value = self.json(&path, None)?;
        let mut all = Vec::new();
        self.collect(&path, &index, None, 0, &mut all)?;
        let matching: Vec<&Found> = all
            .iter()
            .filter(|found| {
                select.reference.is_none_or(|name| found.reference.as_deref() == Some(name))
            })
            .filter(|found| {
                let architecture = found.architecture.as_deref();
                select
                    .architecture
                    .is_none_or(|name| architecture.is_none_or(|found| found == name))
            })
            .collect();
        let [found] = matching[..] else {
            let shown: Vec<String> = all.iter().map(Found::show).collect();
            return Err(LayoutError::Select {
                path: self.folder.to_owned(),
                wanted: format!(
                    "{} ({})",
                    select.reference.unwrap_or("any name"),
                    select.architecture.unwrap_or("any architecture")
                ),
                count: matching.len(),
                found: shown.join(", "),
            });
        };
        let manifest_path = self.blob(&found.digest);
        let manifest = self.json(&manifest_path, Some(found.digest))?;
        let (config_digest, _) = descriptor(&manifest_path, &manifest["config"])?;
        let config_path = self.blob(&config_digest);
        let config = self.json(&config_path, Some(config_digest))?;
        let malformed =
            |why: &str| LayoutError::Malformed { path: config_path.clone(), why: why.into() };
        let diff_ids =
            config["rootfs"]["diff_ids"].as_array().ok_or_else(|| malformed("no diff_ids"))?;
        let descriptors = manifest["layers"].as_array().ok_or_else(|| LayoutError::Malformed {
            path: manifest_path.clone(),
            why: "no layers".into(),
        })?;
        if diff_ids.len() != descriptors.len() {
            return Err(malformed("it has not as many diff_ids as the manifest has layers"));
        }
        let mut layers = Vec::new();
        for (value, diff_id) in descriptors.iter().zip(diff_ids) {
            let (digest, _) = descriptor(&manifest_path, value)?;
            let diff_id = diff_id.as_str().and_then(|text| text.parse().ok());
            layers.push((digest, diff_id.ok_or_else(|| malformed("a diff_id is no sha256"))?));
        }
        let config = ImageConfig::from_oci(&config);
        if select.architecture.is_some_and(|name| config.architecture != name) {
            return Err(malformed("the image is for another architecture than wanted"));
        }
        Ok((layers, config))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// All manifests below an index.
    fn collect(
        &self,
        path: &Path,
        index: &Value,
        reference: Option<&str>,
        depth: usize,
        all: &mut Vec<Found>,
    ) -> Result<(), LayoutError> {
        let malformed =
            |why: &str| LayoutError::Malformed { path: path.to_owned(), why: why.into() };
        if depth == DEPTH_MAX {
            return Err(malformed("its indices nest too deep"));
        }
        let entries = index["manifests"].as_array().ok_or_else(|| malformed("no manifests"))?;
        for entry in entries {
            let (digest, media_type) = descriptor(path, entry)?;
            let reference = entry["annotations"][REF_NAME].as_str().or(reference);
            if media_type.ends_with("image.index.v1+json")
                || media_type.ends_with("manifest.list.v2+json")
            {
                let path = self.blob(&digest);
                let index = self.json(&path, Some(digest))?;
                self.collect(&path, &index, reference, depth + 1, all)?;
            } else if entry["platform"]["os"] != "unknown" {
                // BuildKit's attestations are "images" of an unknown system.
                let architecture = entry["platform"]["architecture"].as_str().map(str::to_owned);
                let reference = reference.map(str::to_owned);
                all.push(Found { digest, reference, architecture });
            }
        }
        Ok(())
    }

    fn json(&self, path: &Path, expected: Option<Digest>) -> Result<Value, LayoutError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(JSON_MAX + 1).read_to_end(&mut bytes))
            .map_err(LayoutError::at("reading", path))?;
        if bytes.len() as u64 > JSON_MAX {
            let why = format!("it is longer than {JSON_MAX} bytes");
            return Err(LayoutError::Malformed { path: path.to_owned(), why });
        }
        if let Some(expected) = expected {
            check(path, expected, Digest::of(&bytes))?;
        }
        serde_json::from_slice(&bytes).map_err(|error| LayoutError::Malformed {
            path: path.to_owned(),
            why: error.to_string(),
        })
    }

    /// Imports one layer; the store's name for it.
    fn layer(
        &self,
        store: &Store,
        digest: Digest,
        diff_id: Digest,
        limits: Limits,
    ) -> Result<Digest, LayoutError> {
        // Our own layers keep their names, so one that is there need not be read.
        if store.has_layer(&diff_id) {
            return Ok(diff_id);
        }
        let path = self.blob(&digest);
        let take = &mut |tar: &mut dyn Read| Ok(store.import_tar(tar, limits)?.digest);
        self.verified(&path, digest, diff_id, limits, take)
    }

    /// Reads one layer into memory.
    fn layer_tree(
        &self,
        digest: Digest,
        diff_id: Digest,
        limits: Limits,
        spool: &mut Spool,
    ) -> Result<LayerTree, LayoutError> {
        let path = self.blob(&digest);
        let mut file =
            File::open(&path).map(BufReader::new).map_err(LayoutError::at("reading", &path))?;
        let tar_error =
            |error: TarError| LayoutError::Malformed { path: path.clone(), why: error.to_string() };
        let plain = matches!(Compression::of(&mut file).map_err(tar_error)?, Compression::None);
        drop(file);
        let mut here = in_place(&Arc::from(&*path));
        let take = &mut |tar: &mut dyn Read| {
            let layer = if plain {
                tar::entries(tar, limits, true, &mut here)
            } else {
                tar::entries(tar, limits, true, &mut |_, size, bytes| spool.keep(size, bytes))
            };
            layer.map_err(tar_error)
        };
        self.verified(&path, digest, diff_id, limits, take)
    }

    /// Hands the tar in a blob to `take`, and checks the digests of both.
    fn verified<T>(
        &self,
        path: &Path,
        digest: Digest,
        diff_id: Digest,
        limits: Limits,
        take: &mut dyn FnMut(&mut dyn Read) -> Result<T, LayoutError>,
    ) -> Result<T, LayoutError> {
        let file = File::open(path).map_err(LayoutError::at("reading", path))?;
        let mut raw = BufReader::with_capacity(1 << 18, DigestReader::new(file));
        let compression = Compression::of(&mut raw).map_err(|error| LayoutError::Malformed {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        let (taken, found) = match compression {
            Compression::Gzip => {
                import(flate2::bufread::MultiGzDecoder::new(&mut raw), path, limits, take)?
            }
            Compression::Zstd => {
                let decoder = zstd::Decoder::with_buffer(&mut raw)
                    .map_err(LayoutError::at("reading", path))?;
                import(decoder, path, limits, take)?
            }
            Compression::None => import(&mut raw, path, limits, take)?,
        };
        io::copy(&mut raw, &mut io::sink()).map_err(LayoutError::at("reading", path))?;
        check(path, digest, raw.into_inner().finish().0)?;
        check(path, diff_id, found)?;
        Ok(taken)
    }
}

/// Hands a tar to `take`; gives what that gives, and the tar's digest.
fn import<T>(
    tar: impl Read,
    path: &Path,
    limits: Limits,
    take: &mut dyn FnMut(&mut dyn Read) -> Result<T, LayoutError>,
) -> Result<(T, Digest), LayoutError> {
    let mut tar = DigestReader::new(tar);
    let taken = take(&mut tar)?;
    // Behind the end marker there is padding at most; it counts for the digest.
    let rest = io::copy(&mut (&mut tar).take(limits.bytes), &mut io::sink())
        .map_err(LayoutError::at("reading", path))?;
    if rest == limits.bytes {
        let why = "there is no end to what follows its end marker".into();
        return Err(LayoutError::Malformed { path: path.to_owned(), why });
    }
    Ok((taken, tar.finish().0))
}

/// A descriptor's digest and media type.
fn descriptor<'a>(path: &Path, value: &'a Value) -> Result<(Digest, &'a str), LayoutError> {
    let digest =
        value["digest"].as_str().and_then(|text| text.strip_prefix("sha256:")?.parse().ok());
    let digest = digest.ok_or_else(|| LayoutError::Malformed {
        path: path.to_owned(),
        why: "a descriptor has no sha256 digest".into(),
    })?;
    Ok((digest, value["mediaType"].as_str().unwrap_or_default()))
}

fn check(path: &Path, expected: Digest, found: Digest) -> Result<(), LayoutError> {
    if expected == found {
        return Ok(());
    }
    Err(LayoutError::Digest { path: path.to_owned(), expected, found })
}
