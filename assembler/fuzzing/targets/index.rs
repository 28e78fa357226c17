//! Any index with a right checksum: an error, or a layer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_oci::index::{self, HEAD_LEN};

fuzz_target!(|body: &[u8]| {
    let mut bytes = b"sxlayer1".to_vec();
    bytes.resize(HEAD_LEN, 0);
    bytes.extend_from_slice(body);
    index::seal(&mut bytes);
    let _ = index::decode(&bytes, "/root".as_ref(), "/hidden".as_ref());
});
