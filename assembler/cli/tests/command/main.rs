//! The `stagex` command as its users run it: real projects, real sandboxes, exit codes, messages
//! and what is left behind. The packages are built with Debian's `busybox-static`.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod bootstrap;
mod boxes;
mod building;
mod downloads;
mod hostile;
mod image;
mod recipes;
mod same;
mod stopping;
mod store;
mod support;
mod usage;
