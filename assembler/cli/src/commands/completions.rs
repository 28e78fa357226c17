//! `stagex completions`.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::{args::Cli, failure::Failure};

pub(crate) fn run(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    clap_complete::generate(shell, &mut Cli::command(), "stagex", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
