//! The `stagex` command: arguments, progress, reports. What is done is done by the libraries.

/// As that of the standard library, without its panics: see [`terminal`].
macro_rules! println {
    () => { crate::terminal::print(format_args!("\n")) };
    ($($text:tt)*) => { crate::terminal::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// The same without a new line.
macro_rules! print {
    ($($text:tt)*) => { crate::terminal::print(format_args!($($text)*)) };
}

/// The same for what is no result.
macro_rules! eprintln {
    ($($text:tt)*) => {
        crate::terminal::print_aside(format_args!("{}\n", format_args!($($text)*)))
    };
}

mod args;
mod commands;
mod config;
mod failure;
mod progress;
mod project;
mod session;
mod silence;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let global = &cli.global;
    let result = match &cli.command {
        Command::Bootstrap(args) => commands::bootstrap::run(global, args),
        Command::Build(args) => commands::build::run(global, args),
        Command::Box(command) => commands::boxes::run(global, command),
        Command::Image(command) => commands::image::run(global, command),
        Command::Check(args) => commands::check::run(global, args),
        Command::Digests(args) => commands::digests::run(global, args),
        Command::Fetch(args) => commands::fetch::run(global, args),
        Command::Report(args) => commands::report::run(global, args),
        Command::Shell(args) => commands::shell::run(global, args),
        Command::Store(command) => commands::store::run(global, command),
        Command::Completions { shell } => commands::completions::run(*shell),
        Command::Man { folder } => commands::man::run(folder),
    };
    match result.and_then(|code| terminal::all_printed().map(|()| code)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
