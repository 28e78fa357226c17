//! `stagex check`.

use std::process::ExitCode;

use stagex_recipe::Diagnostics;

use crate::{
    args::{Check, Global},
    failure::Failure,
    project::{self, Project},
};

pub(crate) fn run(global: &Global, args: &Check) -> Result<ExitCode, Failure> {
    let (found, packages, boxes) = match &args.folder {
        Some(folder) => {
            let (catalogue, unreadable) = project::load_tree(folder)?;
            let all: Vec<_> = unreadable.into_iter().chain(catalogue.check()).collect();
            (Diagnostics::new(all), catalogue.packages().len(), 0)
        }
        None => {
            let project = Project::load(global)?;
            let boxes = project.box_names()?.len();
            (project.check()?, project.catalogue.packages().len(), boxes)
        }
    };
    if !found.is_empty() {
        println!("{found}");
    }
    let errors = found.errors();
    let warnings = found.len() - errors;
    println!("{packages} packages and {boxes} boxes read: {errors} errors, {warnings} warnings");
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
