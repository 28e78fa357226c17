//! Any bytes as a disk: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match bytes.split_first() {
    Some((kind, rest)) if kind % 2 == 0 => {
        stagex_fuzzing::read_with(rest, 512, b"EFI PART");
    }
    _ => stagex_fuzzing::read_with(bytes, 510, &[0x55, 0xaa]),
});
