//! Containerfiles: the instructions of the OCI/Dockerfile syntax, as BuildKit reads them.
//!
//! A [`Containerfile`] keeps words unexpanded, with their places: ARG and ENV take effect in
//! order while a build runs, so whoever runs it calls [`Word::expand`] when the time comes.

mod ast;
mod flags;
mod health;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod parse;
mod pattern;
mod shell;
mod word;

pub use ast::{
    Add, Argument, Assignment, Command, Containerfile, Copy, CopySource, Directives, Healthcheck,
    Heredoc, Instruction, Invocation, Mount, MountKind, MountOption, MountSpec, Network, Onbuild,
    Run, Security, Sharing, Stage,
};
pub use word::{Lookup, Word};
