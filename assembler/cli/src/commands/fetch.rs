//! `stagex fetch`.

use std::{collections::BTreeSet, process::ExitCode};

use stagex_recipe::boxes::Architecture;

use crate::{
    args::{Fetch, Global},
    failure::Failure,
    project::Project,
    session::Session,
};

pub(crate) fn run(global: &Global, args: &Fetch) -> Result<ExitCode, Failure> {
    let session = Session::open_gathering(global)?;
    let project = &session.project;
    let mut targets = targets(project, &args.names)?;
    if args.names.is_empty() {
        targets.extend(project.catalogue.targets().map(str::to_owned));
    }
    let targets: Vec<String> = targets.into_iter().collect();
    let count = session.engine(Architecture::X86_64)?.fetch_all(&targets)?;
    println!("{count} sources are in the cache, {} of them new", session.progress.downloads());
    Ok(ExitCode::SUCCESS)
}

/// The packages that `names` stand for: packages, and boxes with all that they need.
pub(crate) fn targets(project: &Project, names: &[String]) -> Result<BTreeSet<String>, Failure> {
    let boxes = project.box_names()?;
    let mut targets = BTreeSet::new();
    for name in names {
        if boxes.contains(name) {
            let recipe = project.load_box(name)?.recipe;
            for architecture in &recipe.architectures {
                targets.extend(stagex_boxes::needed_packages(&recipe, architecture.value));
            }
            targets.extend(
                recipe.firmware.values().chain(&recipe.bios).map(|package| package.value.clone()),
            );
        } else {
            targets.insert(name.clone());
        }
    }
    Ok(targets)
}
