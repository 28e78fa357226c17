//! Any bytes as an image of any format: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| stagex_fuzzing::read(bytes.to_vec()));
