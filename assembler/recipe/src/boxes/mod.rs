//! Boxes: what box.toml says.

mod disk;
mod read;
mod rootfs;

pub use disk::{Disk, DiskPartition, Role};
pub use rootfs::{RootCompression, RootFormat, RootFs};

use std::{collections::BTreeMap, fmt};

use crate::{Document, Span, Spanned};

/// What one box.toml says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxRecipe {
    /// The text it was read from.
    pub document: Document,
    /// The box's name, which its files are named after.
    pub name: Spanned<String>,
    /// Its version.
    pub version: String,
    /// What it is built for, in order.
    pub architectures: Vec<Spanned<Architecture>>,
    /// What is written for each architecture, in order.
    pub outputs: Vec<Spanned<Output>>,
    /// The packages whose files it holds, by id, merged in order.
    pub packages: Vec<Spanned<String>>,
    /// Its kernel.
    pub kernel: Kernel,
    /// The package with the firmware that QEMU boots it with, for each architecture.
    pub firmware: BTreeMap<Architecture, Spanned<String>>,
    /// The package with the BIOS that starts its images for x86_64 too; none where UEFI alone does.
    pub bios: Option<Spanned<String>>,
    /// The package with firmware for x86_64 that has Secure Boot; none where the box is not tried
    /// with that.
    pub secure: Option<Spanned<String>>,
    /// How the root file system is made.
    pub rootfs: RootFs,
    /// How its disks are made.
    pub disk: Disk,
    /// The files it adds, in order.
    pub files: Vec<BoxFile>,
    /// What a boot must show.
    pub test: BoxTest,
}

/// A machine's architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Arm64,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::Arm64, Self::Riscv64];

    /// The name in box.toml and in paths: `x86_64`, `arm64`, `riscv64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
        }
    }

    /// The name in OCI and as TARGETARCH: `amd64`, `arm64`, `riscv64`.
    pub const fn oci(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
        }
    }

    /// The architecture that either name means.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.name() == text || each.oci() == text)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a box is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// A hybrid ISO 9660 image that boots from CD-ROM and from a USB stick.
    Iso,
    /// A raw disk with a GPT and an EFI system partition.
    Disk,
    /// The same disk in QEMU's format.
    Qcow2,
    /// A kernel and the root file system as an initramfs, two files.
    Initramfs,
    /// A unified kernel image: one EFI program.
    Uki,
    /// An enclave image for Nitro.
    Eif,
    /// The root file system as an OCI image, in one file.
    Oci,
}

impl Output {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Iso, Self::Disk, Self::Qcow2, Self::Initramfs, Self::Uki, Self::Eif, Self::Oci];

    /// The name in box.toml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iso => "iso",
            Self::Disk => "disk",
            Self::Qcow2 => "qcow2",
            Self::Initramfs => "initramfs",
            Self::Uki => "uki",
            Self::Eif => "eif",
            Self::Oci => "oci",
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A box's kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The id of its package.
    pub package: Spanned<String>,
    /// What is added to the kernel's command line: printable ASCII without quotes.
    pub cmdline: String,
}

/// A file that a box adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxFile {
    /// Its absolute path in the box.
    pub path: Spanned<String>,
    /// Where its content comes from.
    pub content: FileContent,
    /// Its permission bits.
    pub mode: u32,
    /// Where its table begins.
    pub span: Span,
}

/// Where the content of a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A file, by its path relative to box.toml's folder, inside that folder.
    Source(Spanned<String>),
    /// The text itself.
    Text(String),
    /// A symbolic link to this path.
    Symlink(String),
}

/// What is typed when something has appeared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// A text that must appear on the console.
    pub expect: String,
    /// The line that is typed then, without its end.
    pub send: String,
}

/// What a boot must show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BoxTest {
    /// Texts that must appear on the console, in order.
    pub expect: Vec<Spanned<String>>,
    /// Seconds until they must have appeared.
    pub timeout: Option<u32>,
    /// How it is switched off afterwards.
    pub poweroff: Vec<Answer>,
}
