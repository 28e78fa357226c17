//! Fixed virtual hard disks (VHD), which Hyper-V and Azure take.
//!
//! Follows Microsoft's Virtual Hard Disk Image Format Specification 1.0: the disk as it is, then a
//! footer of 512 bytes. Azure wants a disk of whole MiB, as those of [`crate::disk`] are.

use std::io::{self, Write};

use stagex_tree::Digest;

use crate::{Image, emit::Emitter, identity::Guid};

use super::{Error, SECTOR, check_len};

/// The most that the format holds: 2040 GiB.
const MAX: u64 = 2040 << 30;
/// Who made the file. Readers trust the footer's size rather than its geometry, which is rounded,
/// only where this is one of a few they know; this one is QEMU's.
const CREATOR: &[u8; 4] = b"qem2";

/// A fixed VHD laid out.
pub struct Layout<'a> {
    disk: &'a dyn Image,
    footer: [u8; SECTOR as usize],
    id: Guid,
}

/// Lays out `disk`; the digest of what it holds gives the VHD its identifier.
pub fn layout<'a>(disk: &'a dyn Image, seed: &Digest) -> Result<Layout<'a>, Error> {
    let len = disk.len();
    check_len(len, "VHD", MAX)?;
    let id = Guid::derive(seed, "vhd");
    let (cylinders, heads, sectors) = geometry(len / SECTOR);
    let mut footer = [0; SECTOR as usize];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"conectix");
    put(8, &2u32.to_be_bytes()); // features: a bit that is always set
    put(12, &0x0001_0000u32.to_be_bytes()); // the format's version
    put(16, &u64::MAX.to_be_bytes()); // no header of a dynamic disk
    put(24, &[0; 4]); // made on 2000-01-01, the first date there is
    put(28, CREATOR);
    put(32, &0x0001_0000u32.to_be_bytes());
    put(36, b"Wi2k");
    put(40, &len.to_be_bytes());
    put(48, &len.to_be_bytes());
    put(56, &cylinders.to_be_bytes());
    put(58, &[heads, sectors]);
    put(60, &2u32.to_be_bytes()); // fixed
    put(68, &id.0);
    let sum = !footer.iter().fold(0u32, |sum, &byte| sum + u32::from(byte));
    footer[64..68].copy_from_slice(&sum.to_be_bytes());
    Ok(Layout { disk, footer, id })
}

impl Layout<'_> {
    /// The disk's identifier.
    pub fn id(&self) -> Guid {
        self.id
    }
}

impl Image for Layout<'_> {
    fn len(&self) -> u64 {
        self.disk.len() + SECTOR
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        out.image(self.disk)?;
        out.put(&self.footer)?;
        out.finish().map(drop)
    }
}

/// Cylinders, heads and sectors, as the specification's appendix computes them.
fn geometry(total: u64) -> (u16, u8, u8) {
    let total = total.min(65_535 * 16 * 255);
    let (sectors, heads, cylinder_heads);
    if total >= 65_535 * 16 * 63 {
        (sectors, heads) = (255, 16);
        cylinder_heads = total / sectors;
    } else {
        let tracks = total / 17;
        let wanted = tracks.div_ceil(1024).max(4);
        if tracks < wanted * 1024 && wanted <= 16 {
            (sectors, heads, cylinder_heads) = (17, wanted, tracks);
        } else if total / 31 < 16 * 1024 {
            (sectors, heads, cylinder_heads) = (31, 16, total / 31);
        } else {
            (sectors, heads, cylinder_heads) = (63, 16, total / 63);
        }
    }
    ((cylinder_heads / heads) as u16, heads as u8, sectors as u8)
}
