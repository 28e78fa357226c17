//! Step records, blobs, and locks on steps.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stagex_tree::{Digest, DigestWriter};

use super::{Store, StoreError, disk, gc::list, lock::Lock};
use crate::ImageConfig;

/// What a build step gave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepRecord {
    /// The layers of the result, bottom first.
    #[serde(with = "digests")]
    pub layers: Vec<Digest>,
    /// The configuration of the result.
    pub config: ImageConfig,
    /// Keys of the steps that this one rests on: gc keeps them with it.
    #[serde(with = "digests", skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Digest>,
    /// Blobs that belong to the step: gc keeps them with it.
    #[serde(with = "digests", skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Digest>,
    /// Whatever else its maker wants to remember.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// Digests as their hexadecimal digits.
pub(super) mod digests {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use stagex_tree::Digest;

    pub(in crate::store) fn serialize<S: Serializer>(
        digests: &[Digest],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(digests.iter().map(Digest::hex))
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Digest>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

/// A lock on a step, held until it is dropped: no other process works on it meanwhile.
#[derive(Debug)]
pub struct StepGuard {
    _lock: Lock,
}

impl Store {
    /// The record of the step, if there is one and all its layers are there.
    pub fn step(&self, key: &Digest) -> Result<Option<StepRecord>, StoreError> {
        let durable = self.step_path(key);
        if let Some(record) = self.whole_record(&durable)? {
            return Ok(Some(record));
        }
        let Some(deferral) = &self.deferral else { return Ok(None) };
        if let Some(record) = self.whole_record(&deferral.step_path(key))? {
            // Whoever made it may have been killed before it was durable.
            deferral.step(*key, record.layers.clone());
            return Ok(Some(record));
        }
        // It may have become durable between the two looks.
        self.whole_record(&durable)
    }

    /// Shows every record of a step to `look`, in the order of their keys. What cannot be read is
    /// passed over: another process may be replacing it.
    pub fn each_step(&self, mut look: impl FnMut(StepRecord)) -> Result<(), StoreError> {
        for path in list(&self.path.join("steps"))? {
            if let Ok(Some(record)) = read_json(&path) {
                look(record);
            }
        }
        Ok(())
    }

    fn whole_record(&self, path: &Path) -> Result<Option<StepRecord>, StoreError> {
        let record: Option<StepRecord> = read_json(path)?;
        Ok(record.filter(|record| record.layers.iter().all(|layer| self.has_layer(layer))))
    }

    /// Remembers what the step gave. All its layers must be in the store.
    pub fn put_step(&self, key: &Digest, record: &StepRecord) -> Result<(), StoreError> {
        for digest in &record.layers {
            if !self.has_layer(digest) {
                return Err(StoreError::NoLayer { digest: *digest });
            }
        }
        let Some(deferral) = &self.deferral else {
            return self.put_json(&self.step_path(key), record);
        };
        deferral.failure()?;
        let path = deferral.step_path(key);
        let text = to_json(&path, record)?;
        let scratch = self.scratch()?;
        let aside = scratch.path().join("record");
        fs::write(&aside, text).map_err(StoreError::at("writing", &aside))?;
        fs::rename(&aside, &path).map_err(StoreError::at("placing", &path))?;
        deferral.step(*key, record.layers.clone());
        Ok(())
    }

    /// Locks the step, waiting for as long as another process has it.
    pub fn lock_step(&self, key: &Digest) -> Result<StepGuard, StoreError> {
        let path = self.lock_path(key);
        loop {
            let lock = Lock::alone(lock_open(&path)?, &path)?;
            if lock.is_of(&path) {
                return Ok(StepGuard { _lock: lock });
            }
        }
    }

    /// Locks the step if no other process has it.
    pub fn try_lock_step(&self, key: &Digest) -> Result<Option<StepGuard>, StoreError> {
        let path = self.lock_path(key);
        let lock = Lock::try_alone(lock_open(&path)?, &path)?;
        Ok(lock.filter(|lock| lock.is_of(&path)).map(|lock| StepGuard { _lock: lock }))
    }

    /// Puts bytes into the store, by their digest.
    pub fn put_blob(&self, mut bytes: impl Read) -> Result<Digest, StoreError> {
        let scratch = self.scratch()?;
        let aside = scratch.path().join("blob");
        let file = create_file(&aside).map_err(StoreError::at("making", &aside))?;
        let mut out = DigestWriter::new(file);
        io::copy(&mut bytes, &mut out).map_err(StoreError::at("writing", &aside))?;
        let (file, digest, _) = out.finish();
        let path = self.blob_path(&digest);
        if !path.exists() {
            file.sync_all().map_err(StoreError::at("syncing", &aside))?;
            fs::rename(&aside, &path).map_err(StoreError::at("placing", &path))?;
            disk::sync_directory(&self.path.join("blobs/sha256"))?;
        }
        Ok(digest)
    }

    /// The blob, opened.
    pub fn get_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NoBlob { digest: *digest },
            _ => StoreError::at("opening", &path)(error),
        })
    }

    /// Where the blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn put_json(&self, path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
        let text = to_json(path, value)?;
        let scratch = self.scratch()?;
        publish(&scratch.path().join("record"), path, &text)
    }

    fn step_path(&self, key: &Digest) -> PathBuf {
        self.path.join("steps").join(format!("{key}.json"))
    }

    fn lock_path(&self, key: &Digest) -> PathBuf {
        self.path.join("locks").join(key.hex())
    }
}

fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| StoreError::at("encoding", path)(error.into()))?;
    text.push(b'\n');
    Ok(text)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::at("reading", path)(error)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| super::damaged(path, &error))
}

/// Writes a small file aside, syncs it, and gives it its name.
pub(super) fn publish(aside: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || -> io::Result<()> {
        let mut file = File::create(aside)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(StoreError::at("writing", aside))?;
    fs::rename(aside, path).map_err(StoreError::at("placing", path))?;
    disk::sync_directory(path.parent().unwrap_or(path))
}

pub(super) fn lock_open(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::at("opening the lock", path))
}

/// A new file with mode 0600.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
