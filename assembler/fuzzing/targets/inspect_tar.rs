//! Any bytes as a tar archive: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512).max(512), 0);
    bytes[257..262].copy_from_slice(b"ustar");
    // The checksum of what looks like a header is made right, to reach what lies behind it.
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    stagex_fuzzing::read(bytes);
});
