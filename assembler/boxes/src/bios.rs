//! What starts a box from a BIOS: the code of the package `firmware-bios-boot`, told where things lie.

use stagex_image::uki::PeImage;
use stagex_tree::{Content, Digest};

use crate::Error;

/// Bytes of code in a master boot record.
const MBR: usize = 440;
/// Where in them the loader's first sector is written.
const MBR_SECTOR: usize = 432;
/// Bytes of the loader, which is as many sectors as the MBR's code reads.
const LOADER: usize = 4096;
/// What the loader has at its fourth byte, and its table behind that.
const MAGIC: &[u8] = b"SXB1";
const TABLE: usize = 8;

/// The boot code as it was built.
#[derive(Debug, Clone)]
pub(crate) struct BiosCode {
    mbr: [u8; MBR],
    loader: Vec<u8>,
}

impl BiosCode {
    /// Takes the code of the master boot record and the loader, which have fixed sizes.
    pub(crate) fn new(mbr: &[u8], loader: Vec<u8>) -> Result<Self, Error> {
        let fits = loader.len() == LOADER && loader.get(4..TABLE) == Some(MAGIC);
        let mbr = <[u8; MBR]>::try_from(mbr).ok().filter(|_| fits).ok_or(Error::BiosCode)?;
        Ok(Self { mbr, loader })
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of([&self.mbr[..], &self.loader].concat())
    }

    /// The loader before it is known where things lie.
    pub(crate) fn unset(&self) -> Content {
        Content::from_bytes(self.loader.clone())
    }

    /// How many sectors of 512 bytes a BIOS loads of it from a CD-ROM.
    pub(crate) const SECTORS: u16 = (LOADER / 512) as u16;

    /// The code for the master boot record of a medium whose loader begins at the byte `loader`.
    pub(crate) fn mbr(&self, loader: u64) -> [u8; MBR] {
        let mut mbr = self.mbr;
        mbr[MBR_SECTOR..].copy_from_slice(&(loader / 512).to_le_bytes());
        mbr
    }

    /// The loader of a medium on which the unified kernel image `uki` begins at the byte `at`.
    ///
    /// It reads kernel, initramfs and command line out of that image.
    pub(crate) fn loader(&self, uki: &Content, at: u64) -> Result<Content, Error> {
        let image = PeImage::parse(uki).map_err(|error| Error::BiosImage { error })?;
        let mut loader = self.loader.clone();
        for (name, place) in
            [".linux", ".initrd", ".cmdline"].into_iter().zip(loader[TABLE..].chunks_exact_mut(16))
        {
            let Some(section) = image.section(name) else { continue };
            let (first, size) = place.split_at_mut(8);
            first.copy_from_slice(&(at + u64::from(section.offset)).to_le_bytes());
            size.copy_from_slice(&section.content.len().to_le_bytes());
        }
        Ok(Content::from_bytes(loader))
    }
}
