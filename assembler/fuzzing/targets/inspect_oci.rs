//! Any index and manifest of an OCI image layout: an error or a listing.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use stagex_inspect::{Context, Limits, Options, tree};

fuzz_target!(|bytes: &[u8]| {
    // The bytes are the index, and the blob that it can name.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("blobs/a")).unwrap();
    fs::write(folder.path().join("blobs/a/b"), bytes).unwrap();
    fs::write(folder.path().join("oci-layout"), "{}").unwrap();
    fs::write(folder.path().join("index.json"), bytes).unwrap();
    let limits = Limits { spool: 1 << 20, entries: 500, walk: 2000, depth: 32, nested: 4 };
    let context = Context::new(limits, tempfile::tempfile);
    let options = Options { all: true, ..Options::default() };
    let _ = tree(&context, &stagex_inspect::folder(folder.path()), options, &mut Vec::new());
});
