//! Any bytes as a FAT volume: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().max(512), 0);
    bytes[0] = 0xeb;
    stagex_fuzzing::read_with(&bytes, 510, &[0x55, 0xaa]);
});
