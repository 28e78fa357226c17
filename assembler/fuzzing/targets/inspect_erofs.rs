//! Any bytes as an EROFS volume: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| stagex_fuzzing::read_with(bytes, 1024, &[0xe2, 0xe1, 0xf5, 0xe0]));
