//! `stagex report`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

use stagex_build::timing::{Timings, shown};
use stagex_recipe::boxes::Architecture;

use crate::{
    args::{Global, Report},
    commands::boxes,
    config,
    failure::Failure,
    session::Session,
};

pub(crate) fn run(global: &Global, args: &Report) -> Result<ExitCode, Failure> {
    let session = Session::open(global)?;
    let is_box = session.project.box_names()?;
    let is_box = |name: &String| is_box.contains(name);
    let mut targets = BTreeSet::new();
    for name in &args.names {
        if is_box(name) {
            boxes::wanted(&session, name, args.arch)?;
            let recipe = session.project.load_box(name)?.recipe;
            targets.extend(stagex_boxes::needed_packages(&recipe, args.arch));
        } else {
            targets.insert(name.clone());
        }
    }
    let targets: Vec<String> = targets.into_iter().collect();
    let timings = session.engine(args.arch)?.timings(&targets, args.build)?;
    if timings.unknown().next().is_some() && timings.critical_time() == Duration::ZERO {
        let build = |name: &String| {
            let command = if is_box(name) { "box build" } else { "build" };
            let arch = match args.arch {
                Architecture::X86_64 => String::new(),
                other => format!(" --arch {other}"),
            };
            format!("`stagex {command} {name}{arch}`")
        };
        let commands: Vec<String> = args.names.iter().map(build).collect();
        return Err(Failure::failed(format!(
            "nothing of {} is built as its recipe stands, and there is nothing to report\nhelp: \
             run {} first, or `stagex report --build`",
            args.names.join(", "),
            commands.join(" and ")
        )));
    }
    let default = session.project.out().join("report.svg");
    let path = args.output.as_deref().unwrap_or(&default);
    let title = format!("What {} takes to build for {}", args.names.join(", "), args.arch);
    let chart = timings.to_svg(&title);
    stagex_boxes::write_aside(path, |file| file.write_all(chart.as_bytes()))
        .map_err(Failure::failed)?;
    for at in timings.critical_path() {
        if let Some(stage) = timings.stages.get(at) {
            println!("{:>10} wall {:>10} CPU  {}", shown(stage.wall), shown(stage.cpu), stage.name);
        }
    }
    println!(
        "{:>10} on the critical path; {} of CPU time in {} stages; chart: {}",
        shown(timings.critical_time()),
        shown(timings.cpu()),
        timings.stages.len(),
        config::shown(path)
    );
    show_unknown(&timings);
    Ok(ExitCode::SUCCESS)
}

/// Lists what has no times, a line for each package.
fn show_unknown(timings: &Timings) {
    let mut packages: BTreeMap<&str, usize> = BTreeMap::new();
    for stage in timings.unknown() {
        *packages.entry(&stage.unit.package).or_default() += 1;
    }
    if packages.is_empty() {
        return;
    }
    println!(
        "stages that are not built as their recipes stand, with times unknown (--build builds them):"
    );
    for (package, count) in packages {
        println!("{count:>10} of {package}");
    }
}
