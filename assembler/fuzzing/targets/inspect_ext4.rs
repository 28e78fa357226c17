//! Any bytes as an ext4 volume: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| stagex_fuzzing::read_with(bytes, 1024 + 0x38, &[0x53, 0xef]));
