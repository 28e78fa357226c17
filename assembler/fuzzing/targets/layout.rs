//! Any texts as the index, the manifest and the configuration of an OCI image layout.
#![no_main]

use std::{fs, path::PathBuf, sync::OnceLock};

use libfuzzer_sys::fuzz_target;
use stagex_oci::{Select, Store, read_layout, tar::Limits};
use stagex_tree::Digest;

/// A folder in memory, for the whole run.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("layout").tempdir_in("/dev/shm").unwrap();
        let folder = folder.keep();
        fs::create_dir_all(folder.join("layout/blobs/sha256")).unwrap();
        folder
    })
}

fuzz_target!(|input: (String, String, String)| {
    let (index, manifest, config) = input;
    let layout = folder().join("layout");
    let blobs = layout.join("blobs/sha256");
    for entry in fs::read_dir(&blobs).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // Where a text names the next by a zero, its digest is put.
    let put = |text: &str| {
        let digest = Digest::of(text).hex();
        fs::write(blobs.join(&digest), text).unwrap();
        format!("{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
                 \"digest\":\"sha256:{digest}\",\"size\":{}}}", text.len())
    };
    let config = put(&config);
    let manifest = put(&manifest.replace('\u{1}', &config));
    fs::write(layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    fs::write(layout.join("index.json"), index.replace('\u{1}', &manifest)).unwrap();
    static STORE: OnceLock<std::sync::Mutex<Store>> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        Store::open(folder().join("store"), Default::default()).unwrap().into()
    });
    let limits = Limits { bytes: 1 << 20, entries: 1000 };
    let _ = read_layout(&store.lock().unwrap(), &layout, Select::default(), limits);
});
