//! Composes layers, a kernel and an EFI stub into boot images.
//!
//! A box is a list of packages, a kernel, some files and a command line. [`Composition::compose`]
//! makes one root file system of them and names it by its digest; a [`Writer`] writes it
//! in any of the box's outputs. The same parts give the same bytes: what an image needs of
//! identifiers is derived from the box's digest.

mod bios;
mod compose;
mod disk;
mod drivers;
mod error;
mod file;
mod firmware;
mod initramfs;
mod kept;
mod oci;
mod output;
mod room;
mod stamp;

pub use compose::{
    Composition, Part, Parts, RELEASE_PATH, check_kernel, cmdline, config_package, needed_packages,
};
pub use error::Error;
pub use file::{aside, write_aside};
pub use firmware::{BiosFirmware, Firmware};
pub use output::{Writer, Written, suffix, suffixes};
pub use room::{check_esp, has_sized_esp};
pub use stamp::{Stamp, fresh};
