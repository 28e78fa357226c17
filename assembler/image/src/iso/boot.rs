//! The El Torito boot catalogue.

use super::BLOCK;

/// Bytes of an entry.
const ENTRY: usize = 32;
/// The platform of BIOSes.
const PLATFORM_BIOS: u8 = 0;
/// The platform of EFI, by the UEFI Specification.
const PLATFORM_EFI: u8 = 0xef;

/// What is booted: first block and bytes of each image.
pub(super) struct Boot {
    pub(super) bios: Option<(u64, u64)>,
    pub(super) efi: Option<(u64, u64)>,
}

/// Sectors of 512 bytes, the unit of the catalogue.
pub(super) fn sectors(len: u64) -> u64 {
    len.div_ceil(512)
}

impl Boot {
    /// The catalogue, one block: the first image is its default entry, a second one a section.
    pub(super) fn catalogue(&self) -> [u8; BLOCK as usize] {
        let images = [(PLATFORM_BIOS, self.bios), (PLATFORM_EFI, self.efi)];
        let mut images = images.into_iter().filter_map(|(kind, image)| Some((kind, image?)));
        let mut block = [0; BLOCK as usize];
        let mut places = block.chunks_exact_mut(ENTRY);
        let mut next = || places.next().unwrap_or_default();
        if let Some((platform, image)) = images.next() {
            validation(next(), platform);
            entry(next(), image);
        }
        if let Some((platform, image)) = images.next() {
            let header = next();
            // The last header, with one entry.
            header[..4].copy_from_slice(&[0x91, platform, 1, 0]);
            entry(next(), image);
        }
        block
    }
}

fn validation(bytes: &mut [u8], platform: u8) {
    bytes[..2].copy_from_slice(&[1, platform]);
    bytes[4..10].copy_from_slice(b"STAGEX");
    bytes[30..].copy_from_slice(&[0x55, 0xaa]);
    let words = bytes.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0u16, u16::wrapping_add);
    bytes[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
}

/// A bootable entry without emulation. A size that is more than 16 bits can say is 0, for which
/// UEFI takes all to the end of the medium.
fn entry(bytes: &mut [u8], (first, len): (u64, u64)) {
    bytes[0] = 0x88;
    let count = u16::try_from(sectors(len)).unwrap_or(0);
    bytes[6..8].copy_from_slice(&count.to_le_bytes());
    bytes[8..12].copy_from_slice(&(first as u32).to_le_bytes());
}
