//! Any tar: an error, or a layer that can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_oci::{
    LayerTree,
    tar::{Limits, read_layer_in_memory, write_layer},
};

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 1000 };

/// Makes the checksum of whatever looks like a header right, so that a mutation reaches what
/// lies behind it.
fn seal(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

fn write(layer: &LayerTree) -> Vec<u8> {
    let mut out = Vec::new();
    write_layer(layer, 1, &mut out, &mut |_, content, out| content.copy_to(out)).unwrap();
    out
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    seal(&mut bytes);
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    if let Ok(layer) = read_layer_in_memory(&bytes[..], LIMITS, 1) {
        let tar = write(&layer);
        let again = read_layer_in_memory(&tar[..], LIMITS, 1).unwrap();
        assert_eq!(again, layer);
        assert_eq!(write(&again), tar);
    }
});
