//! Why a box could not be made.

use std::{io, path::PathBuf};

use stagex_image::{
    cpio, disk, eif, erofs, ext4, fat, iso, squashfs, uki::UkiError, verity, vmdisk,
};
use stagex_oci::StoreError;
use stagex_recipe::{
    Diagnostic,
    boxes::{Output, RootFormat},
};
use stagex_tree::{PathError, TreeError, TreePath};

/// Why a box could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The box's recipe asks for something that cannot be.
    #[error("{0}")]
    Recipe(Box<Diagnostic>),
    /// A package lacks a file that a box needs of it.
    #[error("package {package} has no {path}, {what}")]
    Missing {
        /// The package's id.
        package: String,
        /// The file.
        path: TreePath,
        /// What it is.
        what: &'static str,
    },
    /// A firmware package lacks a file.
    #[error("package {package} has no {place}, {what}")]
    NoFirmware {
        /// The package's id.
        package: String,
        /// Where the file was looked for.
        place: String,
        /// What it is.
        what: &'static str,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Files that do not fit together.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A path that cannot be.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The root file system does not fit its format.
    #[error("root file system: {0}")]
    Cpio(cpio::Error),
    /// The unified kernel image cannot be made.
    #[error("unified kernel image: {0}")]
    Uki(#[from] UkiError),
    /// The EFI system partition cannot be made.
    #[error("EFI system partition: {0}")]
    Fat(fat::Error),
    /// The ISO image cannot be made.
    #[error("ISO image: {0}")]
    Iso(iso::Error),
    /// The disk cannot be made.
    #[error("disk: {0}")]
    Disk(disk::Error),
    /// The root file system cannot be ext4.
    #[error("root file system: {0}")]
    Ext4(ext4::Error),
    /// The root file system cannot be EROFS.
    #[error("root file system: {0}")]
    Erofs(erofs::Error),
    /// The root file system cannot be SquashFS.
    #[error("root file system: {0}")]
    Squashfs(squashfs::Error),
    /// A partition cannot begin as an empty ext4 file system.
    #[error("partition {partition}: {error}")]
    Volume {
        /// The partition's name.
        partition: String,
        /// Why.
        error: ext4::Error,
    },
    /// The root file system's hash tree cannot be made.
    #[error("root file system: {0}")]
    Verity(verity::Error),
    /// The disk cannot be had in another format.
    #[error("disk: {0}")]
    Export(vmdisk::Error),
    /// The enclave image cannot be made.
    #[error("enclave image: {0}")]
    Eif(eif::Error),
    /// Boot code that is not of the form that [`crate::Writer`] knows.
    #[error("package firmware-bios-boot holds no boot code of 440 and 4096 bytes as it should")]
    BiosCode,
    /// The unified kernel image cannot be read back for a BIOS.
    #[error("unified kernel image: {error}")]
    BiosImage {
        /// Why.
        error: stagex_image::uki::PeError,
    },
    /// An output that boxes can name and that is not written yet.
    #[error("the output {output} cannot be written yet")]
    NotYet {
        /// The output.
        output: Output,
    },
    /// An output that holds the root file system as an initramfs only.
    #[error(
        "the output {output} holds an initramfs, and the root file system is to be {}: write the \
         box as a disk",
        format.name()
    )]
    RootOutput {
        /// The format.
        format: RootFormat,
        /// The output.
        output: Output,
    },
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Recipe(Box::new(diagnostic))
    }
}

impl Error {
    /// An I/O error at a path.
    pub(crate) fn at(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::Io { path: path.to_owned(), error }
    }
}
