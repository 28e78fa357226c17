//! What tests with reference tools share.
#![allow(dead_code, unreachable_pub, reason = "no test uses all of it")]

use std::{fs::File, path::Path, process::Command};

use stagex_inspect::{Bytes, Context, Limits, Node};

/// Limits that small images stay far below.
pub fn context() -> Context {
    let limits = Limits { spool: 16 << 20, entries: 10_000, walk: 20_000, depth: 100, nested: 16 };
    Context::new(limits, tempfile::tempfile)
}

/// Runs a reference tool, which must be there and succeed.
pub fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{shown}: {error}: run assembler/setup"));
    assert!(output.status.success(), "{shown}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An image to be read.
pub fn node(path: &Path) -> Node {
    Node::file("image", Bytes::from_file(File::open(path).unwrap()).unwrap())
}
