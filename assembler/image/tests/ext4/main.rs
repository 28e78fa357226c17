//! ext4 volumes, checked by e2fsck, read back by debugfs and, where it can, by Linux, and grown.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod directories;
mod holes;
mod reading;
mod sizes;
mod support;
