//! The parts of PE32+ that a UKI uses (Microsoft PE/COFF specification).

use std::fmt;

/// A machine that stagex boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm, little-endian.
    Arm64,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Machine {
    /// The machine type in a PE header.
    pub fn pe(self) -> u16 {
        match self {
            Self::X86_64 => 0x8664,
            Self::Arm64 => 0xaa64,
            Self::Riscv64 => 0x5064,
        }
    }

    /// The machine with a PE machine type.
    pub fn from_pe(machine: u16) -> Option<Self> {
        [Self::X86_64, Self::Arm64, Self::Riscv64].into_iter().find(|m| m.pe() == machine)
    }

    /// The machine in an ELF header.
    pub(super) fn elf(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Arm64 => 183,
            Self::Riscv64 => 243,
        }
    }

    /// The machine with an ELF machine number.
    pub(super) fn from_elf(machine: u16) -> Option<Self> {
        [Self::X86_64, Self::Arm64, Self::Riscv64].into_iter().find(|m| m.elf() == machine)
    }

    /// The path that firmware starts from removable media without any setting (UEFI 3.5.1.1).
    pub fn removable_path(self) -> &'static str {
        match self {
            Self::X86_64 => "EFI/BOOT/BOOTX64.EFI",
            Self::Arm64 => "EFI/BOOT/BOOTAA64.EFI",
            Self::Riscv64 => "EFI/BOOT/BOOTRISCV64.EFI",
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
        })
    }
}

/// Sections begin on pages in memory, so that firmware can protect each by itself.
pub(super) const SECTION_ALIGNMENT: u64 = 0x1000;
/// Sections begin on sectors in the file.
pub(super) const FILE_ALIGNMENT: u64 = 0x200;
/// The DOS header alone, without the program that says it needs Windows.
pub(super) const DOS_HEADER: usize = 64;
/// `PE\0\0` and the COFF header.
pub(super) const COFF_HEADER: usize = 24;
/// The PE32+ optional header with all sixteen data directories.
pub(super) const OPTIONAL_HEADER: usize = 240;
/// One entry of the section table.
pub(super) const SECTION_HEADER: usize = 40;
/// Where the checksum stands, from the PE header on.
pub(super) const CHECKSUM: usize = COFF_HEADER + 64;
/// Where the place and length of the certificate table stand, from the PE header on.
pub(super) const CERTIFICATES: usize = COFF_HEADER + 112 + 4 * 8;

/// PE32+.
pub(super) const MAGIC: u16 = 0x20b;
/// IMAGE_SUBSYSTEM_EFI_APPLICATION.
pub(super) const SUBSYSTEM: u16 = 10;
/// IMAGE_DLLCHARACTERISTICS_NX_COMPAT: no section is both written and executed.
pub(super) const NX_COMPAT: u16 = 0x0100;
/// Executable, without line numbers, local symbols and debug data, any address; relocations are
/// not stripped, or firmware would insist on the address in the header.
pub(super) const CHARACTERISTICS: u16 = 0x0002 | 0x0004 | 0x0008 | 0x0020 | 0x0200;

pub(super) const CODE: u32 = 0x0000_0020;
pub(super) const DATA: u32 = 0x0000_0040;
pub(super) const DISCARDABLE: u32 = 0x0200_0000;
pub(super) const EXECUTE: u32 = 0x2000_0000;
pub(super) const READ: u32 = 0x4000_0000;
pub(super) const WRITE: u32 = 0x8000_0000;

/// IMAGE_REL_BASED_DIR64.
const DIR64: u16 = 10;
/// IMAGE_REL_BASED_ABSOLUTE: padding.
const ABSOLUTE: u16 = 0;

/// The base relocation table for 64-bit addresses at `offsets`, which are sorted.
///
/// Without any, the table has one block that relocates nothing, the same that Linux's own images
/// had for years: some firmware takes an empty table for a stripped one.
pub(super) fn base_relocations(offsets: &[u32]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut block = |page: u32, entries: &[u16]| {
        let size = 8 + 2 * u32::try_from(entries.len()).unwrap_or(u32::MAX);
        table.extend(page.to_le_bytes());
        table.extend(size.to_le_bytes());
        table.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
    };
    if offsets.is_empty() {
        block(0, &[ABSOLUTE]);
    }
    for offsets in offsets.chunk_by(|a, b| a & !0xfff == b & !0xfff) {
        let mut entries: Vec<u16> =
            offsets.iter().map(|offset| DIR64 << 12 | (offset & 0xfff) as u16).collect();
        if entries.len() % 2 == 1 {
            entries.push(ABSOLUTE);
        }
        block(offsets[0] & !0xfff, &entries);
    }
    table
}

/// The PE checksum: the ones' complement sum of 16-bit words, plus the length.
///
/// Bytes may come in pieces of any length; the checksum field itself must come as zeros.
#[derive(Default)]
pub(super) struct Checksum {
    sum: u64,
    len: u64,
}

impl Checksum {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        if self.len % 2 == 1 {
            let Some((first, rest)) = bytes.split_first() else { return };
            self.sum += u64::from(*first) << 8;
            self.len += 1;
            bytes = rest;
        }
        self.len += bytes.len() as u64;
        let pairs = bytes.chunks_exact(2);
        if let [last] = pairs.remainder() {
            self.sum += u64::from(*last);
        }
        // A 64-bit sum of 16-bit words cannot overflow below 2^48 words.
        self.sum +=
            pairs.map(|pair| u64::from(u16::from_le_bytes([pair[0], pair[1]]))).sum::<u64>();
    }

    pub(super) fn finish(self) -> u32 {
        let mut sum = self.sum;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u32::try_from(sum + self.len).unwrap_or(u32::MAX)
    }
}

impl std::io::Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocations_are_grouped_by_page_and_padded() {
        assert_eq!(base_relocations(&[]), [0, 0, 0, 0, 10, 0, 0, 0, 0, 0]);
        let table = base_relocations(&[0x3008, 0x3010, 0x3018, 0x5000]);
        assert_eq!(table.len(), (8 + 8) + (8 + 4));
        assert_eq!(table[..10], [0, 0x30, 0, 0, 16, 0, 0, 0, 0x08, 0xa0]);
        assert_eq!(table[16..], [0, 0x50, 0, 0, 12, 0, 0, 0, 0x00, 0xa0, 0, 0]);
    }

    #[test]
    fn the_checksum_does_not_depend_on_how_the_bytes_come() {
        let bytes: Vec<u8> = (0..1000_u32).map(|i| (i * 7 + i / 256) as u8).collect();
        let mut whole = Checksum::default();
        whole.update(&bytes);
        let whole = whole.finish();
        for size in [1, 2, 3, 7, 64] {
            let mut pieces = Checksum::default();
            bytes.chunks(size).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.finish(), whole, "pieces of {size}");
        }
    }
}
