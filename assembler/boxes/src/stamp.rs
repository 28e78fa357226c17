//! Remembers what an output was made from, so that it need not be made again.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use serde::{Deserialize, Serialize};
use stagex_tree::Digest;

use crate::Error;

/// What is remembered of an output, in a file beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// A digest of all that it was made from.
    pub inputs: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The box's own digest.
    pub digest: String,
    /// Its length in bytes.
    pub len: u64,
    /// When it was last changed, in nanoseconds since 1970.
    changed: i128,
}

fn place(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.stamp"))
}

fn changed(metadata: &fs::Metadata) -> i128 {
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

/// What is remembered of the output at `path`, if it was made from `inputs` and was not touched
/// since.
pub fn fresh(path: &Path, inputs: &Digest) -> Option<Stamp> {
    let stamp: Stamp = serde_json::from_slice(&fs::read(place(path)).ok()?).ok()?;
    let metadata = fs::metadata(path).ok()?;
    let same = stamp.inputs == inputs.hex()
        && stamp.len == metadata.len()
        && stamp.changed == changed(&metadata);
    same.then_some(stamp)
}

impl Stamp {
    /// Remembers an output that was just made.
    pub fn record(
        path: &Path,
        inputs: &Digest,
        sha256: &Digest,
        digest: &Digest,
    ) -> Result<Self, Error> {
        let metadata = fs::metadata(path).map_err(Error::at(path))?;
        let stamp = Self {
            inputs: inputs.hex(),
            sha256: sha256.hex(),
            digest: digest.hex(),
            len: metadata.len(),
            changed: changed(&metadata),
        };
        let text =
            serde_json::to_vec_pretty(&stamp).map_err(|error| Error::at(path)(error.into()))?;
        crate::write_aside(&place(path), |out| out.write_all(&text))?;
        Ok(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touched_file_and_other_inputs_are_not_fresh() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.iso");
        let (one, two) = (Digest::of("1"), Digest::of("2"));
        fs::write(&path, "x").unwrap();
        assert_eq!(fresh(&path, &one), None);
        let stamp = Stamp::record(&path, &one, &two, &two).unwrap();
        assert_eq!(fresh(&path, &one), Some(stamp));
        assert_eq!(fresh(&path, &two), None);
        fs::write(&path, "y").unwrap();
        assert_eq!(fresh(&path, &one), None);
    }
}
