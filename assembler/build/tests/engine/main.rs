//! The engine on small trees of packages: shared jobs, memory, causes, and second runs.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod jobs;
mod records;
mod support;
