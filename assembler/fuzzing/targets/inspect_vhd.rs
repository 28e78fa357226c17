//! Any bytes as a VHD: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().max(1024), 0);
    let footer = bytes.len() - 512;
    bytes[footer + 60..footer + 64].copy_from_slice(&[0, 0, 0, 2]);
    stagex_fuzzing::read_with(&bytes, footer, b"conectix");
});
