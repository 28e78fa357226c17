//! OCI image layouts (OCI image-spec 1.1, image-layout.md), out and in.
//!
//! What is written depends on the images alone: JSON with sorted keys and no spaces, layers
//! uncompressed, no history, the creation time that of the store's files.

mod archive;
mod read;
mod write;

pub use archive::write_archive;
pub use read::{Select, read_layout, read_layout_tree};
pub(crate) use write::Manifest;
pub use write::write_layout;

use std::{io, path::PathBuf};

use serde_json::Value;
use stagex_tree::Digest;

use crate::{StoreError, tar::TarError};

const MEDIA_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MEDIA_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const MEDIA_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MEDIA_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The annotation by which a layout's images are told apart.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation of a layout of what was built with foreign seeds; its value names them.
pub const UNBOOTSTRAPPED: &str = "org.stagex.unbootstrapped";

/// Why a layout could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file that is not what the specification says.
    #[error("{} is not as an OCI image layout has it: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A blob that is not what its name says.
    #[error("{} has sha256 {found}; {expected} is expected", path.display())]
    Digest {
        /// The blob.
        path: PathBuf,
        /// What the layout says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// No image is as wanted, or several are.
    #[error("{} has {count} images for {wanted}; it has: {found}", path.display())]
    Select {
        /// The layout.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// How many there are.
        count: usize,
        /// All that there are.
        found: String,
    },
    /// Nothing to write.
    #[error("an image layout needs at least one image")]
    NoImage,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An archive could not be written.
    #[error("writing an image archive: {0}")]
    Archive(#[from] TarError),
}

impl LayoutError {
    fn at(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Compact JSON with sorted keys, whatever order the value keeps them in.
fn canonical_json(value: &Value) -> Vec<u8> {
    fn put(value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<_> = map.iter().collect();
                keys.sort_unstable_by_key(|(key, _)| *key);
                out.push(b'{');
                for (index, (key, value)) in keys.into_iter().enumerate() {
                    if index != 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
                    out.push(b':');
                    put(value, out);
                }
                out.push(b'}');
            }
            Value::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index != 0 {
                        out.push(b',');
                    }
                    put(item, out);
                }
                out.push(b']');
            }
            other => out.extend_from_slice(other.to_string().as_bytes()),
        }
    }
    let mut out = Vec::new();
    put(value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = json!({"b": [{"z": 1, "a": "\"\n"}, null], "a": {"c": true, "b": 1.5}});
        let expected = r#"{"a":{"b":1.5,"c":true},"b":[{"a":"\"\n","z":1},null]}"#;
        assert_eq!(String::from_utf8(canonical_json(&value)).unwrap(), expected);
    }
}
