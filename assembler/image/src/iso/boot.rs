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
    /// Sectors that a BIOS loads, where not all.
    pub(super) bios_load: Option<u16>,
    /// The number of the entry that a boot information table is written into.
    pub(super) info: Option<u32>,
    pub(super) efi: Option<(u64, u64)>,
}

/// Sectors of 512 bytes, the unit of the catalogue.
pub(super) fn sectors(len: u64) -> u64 {
    len.div_ceil(512)
}

impl Boot {
    /// The catalogue, one block: the first image is its default entry, a second one a section.
    pub(super) fn catalogue(&self) -> [u8; BLOCK as usize] {
        let load = |(first, len): (u64, u64)| match self.bios_load {
            Some(sectors) => (first, u64::from(sectors) * 512),
            None => (first, len),
        };
        let images = [(PLATFORM_BIOS, self.bios.map(load)), (PLATFORM_EFI, self.efi)];
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

/// Where a boot information table ends in its file.
pub(super) const INFO_END: u64 = 64;

/// Writes the table into a boot file, which begins at the block `first` (mkisofs(8), "EL TORITO
/// BOOT INFORMATION TABLE").
pub(super) fn put_info(bytes: &mut [u8], first: u32) {
    let end = INFO_END as usize;
    let Some((head, rest)) = bytes.split_at_mut_checked(end) else { return };
    let sum = rest.chunks(4).fold(0_u32, |sum, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u32::from_le_bytes(word))
    });
    let len = (end + rest.len()) as u32;
    head[8..].fill(0);
    for (word, place) in [16, first, len, sum].into_iter().zip(head[8..].chunks_exact_mut(4)) {
        place.copy_from_slice(&word.to_le_bytes());
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
