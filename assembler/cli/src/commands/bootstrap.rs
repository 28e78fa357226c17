//! `stagex bootstrap`.

use std::{fs, io, path::Path, process::ExitCode};

use stagex_build::{
    Stage,
    ladder::{self, Measured, Origin, Root},
};
use stagex_recipe::{
    boxes::Architecture,
    rungs::{Ladder, Rung},
};

use crate::{
    args::{Bootstrap, Global},
    commands::build::root_name,
    failure::Failure,
    project::Project,
    session::Session,
};

/// The package that climbs the ladder.
const PACKAGE: &str = "bootstrap-stage0";
/// What its rungs must hash to, relative to stagex.toml.
const DIGESTS: &str = "digests/stage0.txt";

pub(crate) fn run(global: &Global, args: &Bootstrap) -> Result<ExitCode, Failure> {
    if let Some(name) = &args.explain {
        let project = Project::load(global)?;
        let folder = folder(&project)?;
        let ladder = project.load_ladder(folder)?;
        return explain(&project, folder, &ladder, ladder.find(name)?);
    }
    let session = Session::open(global)?;
    let folder = folder(&session.project)?;
    let ladder = session.project.load_ladder(folder)?;
    // The seed is machine code for x86_64, whatever is built with what it becomes.
    let architecture = Architecture::X86_64;
    let engine = session.engine(architecture)?;
    let root = root_name("packages", &session.project, architecture, &[PACKAGE.to_owned()]);
    let stages: Vec<Stage> = engine.build_whole(&root, PACKAGE)?;
    if args.roots {
        let archives = engine.unpacked_sources(PACKAGE)?;
        return show_roots(&ladder::roots(&ladder, folder, &stages, &archives, &session.store)?);
    }
    let rungs = ladder::measure(&ladder, folder, PACKAGE, &stages, &session.store)?;
    if args.digests {
        print!("{}", ladder::digest_lines(PACKAGE, &rungs));
        return Ok(ExitCode::SUCCESS);
    }
    show(&rungs);
    compare(&session.project.root.join(DIGESTS), &rungs)
}

/// The folder of the package that climbs the ladder.
fn folder(project: &Project) -> Result<&Path, Failure> {
    project.folders.get(PACKAGE).map(|folder| &**folder).ok_or_else(|| {
        Failure::wrong(format!("this project has no package {PACKAGE}, which climbs the ladder"))
    })
}

fn show(rungs: &[Measured]) {
    let width =
        |text: fn(&Measured) -> &str| rungs.iter().map(|rung| text(rung).len()).max().unwrap_or(0);
    let (name, by) = (width(|rung| &rung.name).max(4), width(|rung| &rung.by).max(8));
    println!(
        "{:name$}  {:by$}  {:>5}  {:>9}  {:64}  {:>7}",
        "rung", "built by", "lines", "bytes", "sha256", "CPU s"
    );
    for rung in rungs {
        println!(
            "{:name$}  {:by$}  {:>5}  {:>9}  {}  {:>7.3}",
            rung.name,
            rung.by,
            rung.lines,
            rung.size,
            rung.digest,
            rung.cpu.as_secs_f64()
        );
    }
    println!();
    for reached in rungs.iter().filter_map(|rung| rung.reaches.as_ref()) {
        println!(
            "from the seed to {}: {} lines, {:.2} CPU seconds",
            reached.text,
            reached.lines,
            reached.cpu.as_secs_f64()
        );
    }
}

fn compare(path: &Path, rungs: &[Measured]) -> Result<ExitCode, Failure> {
    let locked = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::at(path)(error)),
    };
    let wrong = ladder::compare(PACKAGE, &locked, rungs);
    if wrong.is_empty() {
        println!("all digests are those of {DIGESTS}");
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::mismatch(format!(
        "what was built is not what {DIGESTS} has:\n  {}\nhelp: the same sources give the same \
         bytes everywhere; if they were changed on purpose, run\n      stagex bootstrap --digests \
         >{DIGESTS}",
        wrong.join("\n  ")
    )))
}

fn explain(
    project: &Project,
    folder: &Path,
    ladder: &Ladder,
    rung: &Rung,
) -> Result<ExitCode, Failure> {
    let shown = folder.strip_prefix(&project.root).unwrap_or(folder).display();
    let itself = rung.by.value == rung.name.value;
    let by = if itself { "itself, the seed" } else { &rung.by.value };
    println!("{}: built by {by}\n\n{}\n", rung.name.value, rung.about);
    let files = ladder::count_lines(ladder, rung, folder)?;
    if itself {
        println!("It is checked in as {shown}/{}.", ladder.seed);
    }
    match &files[..] {
        [] => println!("It has no source of its own: it is built from what those above it are."),
        _ => println!("Its source:"),
    }
    for (file, lines) in &files {
        println!("{lines:>6} lines  {shown}/{file}");
    }
    let above: Vec<&str> = ladder
        .rungs
        .iter()
        .filter(|other| other.by.value == rung.name.value && other.name.value != rung.name.value)
        .map(|other| &other.name.value[..])
        .collect();
    if !above.is_empty() {
        println!("\nIt builds {}.", above.join(", "));
    }
    println!(
        "\nThe stage {} of {shown}/Containerfile builds it, as {}; the whole is explained in \
         {shown}/README.md.",
        rung.stage.value, rung.file.value
    );
    Ok(ExitCode::SUCCESS)
}

fn show_roots(roots: &[Root]) -> Result<ExitCode, Failure> {
    let mut faults = Vec::new();
    for root in roots {
        let Root { stage, number, argv, .. } = root;
        println!("== stage {stage}, instruction {number}: {}", argv.join(" "));
        for (path, origin) in &root.files {
            match origin {
                Origin::Seed => println!("seed     {path}"),
                Origin::Source { path: source } => println!("source   {path}  {source}"),
                Origin::Archive { file } => println!("archive  {path}  {file}"),
                Origin::Made { stage, number } => {
                    println!("made     {path}  stage {stage}, instruction {number}");
                }
                Origin::Unknown => println!("UNKNOWN  {path}"),
            }
        }
        let named = |fault| format!("stage {stage}, instruction {number}: {fault}");
        faults.extend(root.faults.iter().map(named));
    }
    if faults.is_empty() {
        let files: usize = roots.iter().map(|root| root.files.len()).sum();
        println!("\n{} steps saw {files} files, each made before or source", roots.len());
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::failed(format!(
        "a step could see what no earlier step made and is no source:\n  {}",
        faults.join("\n  ")
    )))
}
