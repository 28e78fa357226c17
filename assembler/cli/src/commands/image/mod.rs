//! `stagex image`: one module for each format, which says what its options are and hands them to
//! the writer in `stagex-image`. A further format is a module, and a row in each of the two lists.

mod compression;
mod cpio;
mod eif;
mod erofs;
mod export;
mod ext4;
mod fat;
mod gpt;
pub(crate) mod inspect;
mod iso;
mod output;
mod sign;
mod signing;
mod source;
mod squashfs;
mod uki;
mod vars;
mod verity;
mod volume;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{args::Global, failure::Failure};

use output::Output;
use source::{Loaded, Source};

/// The formats.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// A cpio archive (newc), as Linux unpacks it as its initramfs
    Cpio(cpio::Args),
    /// Name what differs between two images, down to the file, the section or the field
    Diff(inspect::Diff),
    /// An enclave image for Nitro, and its registers
    Eif(eif::Args),
    /// An EROFS image: read-only, mounted in place
    Erofs(erofs::Args),
    /// An ext4 volume
    Ext4(ext4::Args),
    /// A FAT12, FAT16 or FAT32 volume, such as an EFI system partition
    Fat(fat::Args),
    /// A disk: a GUID partition table and its partitions
    Gpt(gpt::Args),
    /// List what an image of any format holds, or extract a part of it
    Inspect(inspect::Inspect),
    /// An ISO 9660 image, which may boot from CD and stick, under BIOS and UEFI
    Iso(iso::Args),
    /// A disk in QEMU's format
    Qcow2(export::Qcow2),
    /// A disk as it is, with holes where it is zero
    Raw(export::Raw),
    /// Sign an EFI program for Secure Boot, or take its signature off
    Sign(sign::Args),
    /// A SquashFS image: read-only, compressed
    Squashfs(squashfs::Args),
    /// A unified kernel image: kernel, initramfs and command line in one EFI program
    Uki(uki::Args),
    /// UEFI's variables as a machine begins with them, with the keys of Secure Boot
    Vars(vars::Args),
    /// The hash tree of dm-verity over a file system, and its root hash
    Verity(verity::Args),
    /// A disk for Hyper-V and Azure: a fixed VHD
    Vhd(export::Vhd),
    /// A disk for VMware and for OVA: a streamOptimized VMDK
    Vmdk(export::Vmdk),
}

pub(crate) fn run(global: &Global, command: &ImageCommand) -> Result<ExitCode, Failure> {
    match command {
        ImageCommand::Cpio(args) => args.write(global),
        ImageCommand::Diff(args) => return args.run(),
        ImageCommand::Eif(args) => args.write(global),
        ImageCommand::Erofs(args) => args.write(global),
        ImageCommand::Ext4(args) => args.write(),
        ImageCommand::Fat(args) => args.write(),
        ImageCommand::Gpt(args) => args.write(global),
        ImageCommand::Inspect(args) => return args.run(),
        ImageCommand::Iso(args) => args.write(),
        ImageCommand::Qcow2(args) => args.write(global),
        ImageCommand::Raw(args) => args.write(global),
        ImageCommand::Sign(args) => args.write(),
        ImageCommand::Squashfs(args) => args.write(global),
        ImageCommand::Uki(args) => args.write(global),
        ImageCommand::Vars(args) => args.write(),
        ImageCommand::Verity(args) => args.write(global),
        ImageCommand::Vhd(args) => args.write(global),
        ImageCommand::Vmdk(args) => args.write(global),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A size: a number of bytes, or of KiB, MiB, GiB, TiB with the letter.
fn size(text: &str) -> Result<u64, String> {
    let help = || format!("{text:?} is no size: write bytes, or 4K, 64M, 2G, 1T");
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G', 'T', 'k', 'm', 'g', 't']) {
        Some(digits) => match text.as_bytes()[digits.len()].to_ascii_uppercase() {
            b'K' => (digits, 10),
            b'M' => (digits, 20),
            b'G' => (digits, 30),
            _ => (digits, 40),
        },
        None => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| help())?;
    number.checked_mul(1 << shift).ok_or_else(help)
}

/// A file of boot code for the first sector of a disk.
fn boot_code(path: Option<&std::path::Path>) -> Result<[u8; 440], Failure> {
    let mut code = [0; 440];
    let Some(path) = path else { return Ok(code) };
    let bytes = std::fs::read(path).map_err(Failure::at(path))?;
    // A whole sector is taken as well, where behind the code there is what is written anew.
    let code_len = if bytes.len() == 512 { code.len() } else { bytes.len() };
    if code_len > code.len() {
        return Err(Failure::wrong(format!(
            "{}: {} bytes are too many: a boot sector has room for 440 bytes of code",
            path.display(),
            bytes.len()
        )));
    }
    code[..code_len].copy_from_slice(&bytes[..code_len]);
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("4K"), Ok(4096));
        assert_eq!(size("2g"), Ok(2 << 30));
        for wrong in ["", "K", "-1", "1.5M", "4KB", "16777216T", "\u{212a}"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
