//! Any bytes as an ISO 9660 image: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The descriptors lie behind 32 KiB that hold nothing of interest.
    let mut image = vec![0; 32 << 10];
    image.extend_from_slice(bytes);
    stagex_fuzzing::read_with(&image, (32 << 10) + 1, b"CD001");
});
