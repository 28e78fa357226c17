//! Any bytes as a compressed stream, of the kind that the first byte chooses: an error or a listing, and no difference from themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let magic: &[u8] = match kind % 5 {
        0 => &[0x28, 0xb5, 0x2f, 0xfd],
        1 => b"\xfd7zXZ\0",
        2 => &[0x1f, 0x8b, 8],
        3 => &[0x04, 0x22, 0x4d, 0x18],
        _ => &[0x02, 0x21, 0x4c, 0x18],
    };
    stagex_fuzzing::read_with(rest, 0, magic);
});
