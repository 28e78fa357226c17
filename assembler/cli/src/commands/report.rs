//! `stagex report`.

use std::{collections::BTreeSet, process::ExitCode};

use stagex_build::timing::shown;

use crate::{
    args::{Global, Report},
    commands::fetch,
    config,
    failure::Failure,
    session::Session,
};

pub(crate) fn run(global: &Global, args: &Report) -> Result<ExitCode, Failure> {
    let session = Session::open(global)?;
    let targets: BTreeSet<String> = fetch::targets(&session.project, &args.names)?;
    let targets: Vec<String> = targets.into_iter().collect();
    let timings = session.engine(args.arch)?.timings(&targets)?;
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
    Ok(ExitCode::SUCCESS)
}
