//! What people write, and what becomes of it.
#![allow(clippy::unwrap_used)]

mod boxes;
mod catalogue;
mod containerfile;
mod errors;
mod expand;
mod heredocs;
mod package;
mod properties;
mod workspace;

use stagex_recipe::{
    Document,
    containerfile::{Containerfile, Instruction, Run},
};

/// Parses a Containerfile that has nothing wrong with it.
fn parse(text: &str) -> Containerfile {
    let parsed = Containerfile::parse(&Document::new("Containerfile", text));
    parsed.unwrap_or_else(|errors| panic!("{errors}"))
}

/// The messages of all errors in a Containerfile, each with its line and column.
fn errors(text: &str) -> Vec<String> {
    let parsed = Containerfile::parse(&Document::new("Containerfile", text));
    let errors = parsed.expect_err("it has errors");
    let place = |error: &stagex_recipe::Diagnostic| {
        let location = error.location.as_deref().unwrap();
        format!("{}:{}: {}", location.line, location.column, error.message)
    };
    errors.iter().map(place).collect()
}

/// The only instruction of a stage that starts from scratch.
fn only(line: &str) -> Instruction {
    let parsed = parse(&format!("FROM scratch\n{line}\n"));
    let [instruction] = parsed.stages[0].instructions.as_slice() else {
        panic!("{} instructions", parsed.stages[0].instructions.len());
    };
    instruction.value.clone()
}

/// The only instruction, which is a RUN.
fn run(line: &str) -> Run {
    match only(line) {
        Instruction::Run(run) => run,
        other => panic!("{other:?}"),
    }
}
