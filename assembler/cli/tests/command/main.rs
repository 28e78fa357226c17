//! The `stagex` command as its users run it: real projects, real sandboxes, exit codes, messages
//! and what is left behind. The packages are built with Debian's `busybox-static`.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod bootstrap;
mod boxes;
mod building;
mod digests;
mod downloads;
mod explain;
mod hostile;
mod image;
mod image_from;
mod jobs;
mod recipes;
mod same;
mod stopping;
mod store;
mod support;
mod toolchains;
mod usage;
