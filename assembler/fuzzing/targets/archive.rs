//! Any bytes as an archive that ADD unpacks: whatever it claims, reading ends.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;

/// More than any input of the fuzzer should come to, and less than would take long.
const LIMIT: u64 = 1 << 22;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    if let Ok(Some(stream)) = stagex_build::fuzzing::open_archive(file.path()) {
        let _ = std::io::copy(&mut stream.take(LIMIT), &mut std::io::sink());
    }
});
