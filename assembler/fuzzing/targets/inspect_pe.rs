//! Any bytes as an EFI program: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().max(0x44), 0);
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c..0x40].copy_from_slice(&[0x40, 0, 0, 0]);
    stagex_fuzzing::read_with(&bytes, 0x40, b"PE\0\0");
});
