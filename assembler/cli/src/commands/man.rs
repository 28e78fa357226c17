//! `stagex man`.

use std::{fs, path::Path, process::ExitCode};

use clap::CommandFactory as _;

use crate::{args::Cli, failure::Failure};

pub(crate) fn run(folder: &Path) -> Result<ExitCode, Failure> {
    fs::create_dir_all(folder).map_err(Failure::at(folder))?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(Failure::at(folder))?;
    Ok(ExitCode::SUCCESS)
}
