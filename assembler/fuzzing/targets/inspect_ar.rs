//! Any bytes as a static library: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| stagex_fuzzing::read_with(bytes, 0, b"!<arch>\n"));
