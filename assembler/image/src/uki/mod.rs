//! Unified kernel images: one EFI program that holds an EFI stub, a kernel, an initramfs and a
//! command line.
//!
//! The stub is compiled as a position-independent ELF, which every compiler can make for every
//! architecture; this module turns it into PE32+ (Microsoft PE/COFF specification) and adds the
//! other parts as sections, named as the UAPI group's Unified Kernel Image specification names
//! them. Nothing in the image depends on anything but those parts.
//!
//! [`Uki`] says what goes in, [`Uki::plan`] checks and lays it out, and the [`Plan`] is an
//! [`Image`](crate::Image) to be written, signed or not ([`Plan::sign`]). [`PeImage`] reads any PE
//! image back.

mod cmdline;
mod elf;
mod error;
mod pe;
mod plan;
mod read;
mod sign;
mod write;

pub use cmdline::check_cmdline;
pub use error::{CmdlineProblem, PeError, StubProblem, UkiError};
pub use pe::Machine;
pub use plan::Plan;
pub use read::{PeImage, Section};
pub use sign::{Certificate, Certificates, RsaKey, SignError, Signer, digest_info};
pub use write::Uki;

#[cfg(test)]
mod tests;
