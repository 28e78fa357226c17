//! Boots images under QEMU and talks to them, as a person with a keyboard and a stick would.
//!
//! A [`Machine`] describes what QEMU offers the guest; [`Vm::start`] runs it and gives its serial
//! [`Console`] and its [`Qmp`] monitor. A [`scenario`] is a text file that says what to do with a
//! box and what must be seen. [`acceleration`] tells whether KVM really works here, by booting
//! something.
//!
//! No QEMU outlives the process that started it, however that one ends: QEMU runs beside a
//! watcher that waits for a pipe to close, and a pipe closes with its owner, killed or not.

mod acceleration;
mod console;
mod error;
mod machine;
mod probe_image;
mod process;
mod qemu;
mod qmp;
mod screen;
mod text;
mod vm;

pub mod scenario;

pub use acceleration::{Acceleration, acceleration};
pub use console::{Console, Match, Pattern};
pub use error::{BootError, QmpError};
pub use machine::{Access, Arch, Attach, Bios, Drive, Firmware, Machine, Model, Uefi};
pub use probe_image::{PROBE_EXIT, PROBE_TEXT, probe_image};
pub use qemu::Qemu;
pub use qmp::Qmp;
pub use screen::Screenshot;
pub use vm::{Exit, Vm};
