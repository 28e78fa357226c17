//! One module for each subcommand.

pub(crate) mod bootstrap;
pub(crate) mod box_firmware;
pub(crate) mod box_lock;
pub(crate) mod box_matrix;
pub(crate) mod box_secure;
pub(crate) mod box_test;
pub(crate) mod box_verify;
pub(crate) mod boxes;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod digests;
pub(crate) mod fetch;
pub(crate) mod image;
pub(crate) mod man;
pub(crate) mod report;
pub(crate) mod shell;
pub(crate) mod store;
