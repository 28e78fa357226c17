//! Boots images under QEMU.
