//! `stagex box`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use stagex_boxes::{Composition, Part, Parts, Stamp};
use stagex_build::Built;
use stagex_recipe::boxes::{Architecture, BoxRecipe, Output};

use crate::{
    args::{BoxCommand, Global},
    commands::{
        box_firmware as firmware, box_lock as lock,
        box_matrix::{self, Wanted},
        box_test, box_verify, build,
    },
    config::shown,
    failure::Failure,
    progress::mib,
    project::BoxFolder,
    session::Session,
};

pub(crate) fn run(global: &Global, command: &BoxCommand) -> Result<ExitCode, Failure> {
    match command {
        BoxCommand::Build { names, arch, locked } => {
            let session = Session::open(global)?;
            // What is wrong with the last name is said before the first is built.
            let asked: Vec<Asked> =
                names.iter().map(|name| asked(&session, name, *arch)).collect::<Result<_, _>>()?;
            let mut digests = BTreeMap::new();
            for each in asked {
                match each {
                    Asked::Firmware(name) => {
                        digests.extend(firmware::emit(&session, &name, *arch)?);
                    }
                    Asked::Outputs(name, outputs) => {
                        let made = make(&session, &name, &outputs, *arch)?;
                        made.show()?;
                        digests.extend(lock::digests(&session, &made));
                    }
                }
            }
            lock::compare(&session, &digests, *locked)
        }
        BoxCommand::Test { name: Some(name), all: false, only, arch, .. } => {
            let arch = arch.unwrap_or(Architecture::X86_64);
            box_test::run(&Session::open(global)?, name, only.as_deref(), arch)
        }
        BoxCommand::Test { name, only, arch, runs, .. } => {
            let wanted = Wanted { name: name.as_deref(), only: only.as_deref(), arch: *arch };
            box_matrix::run(&Session::open(global)?, &wanted, *runs)
        }
        &BoxCommand::Verify { ref name, arch, lock, twice } => {
            let name = name.as_deref();
            box_verify::run(global, &box_verify::Wanted { name, arch, lock, twice })
        }
        BoxCommand::List => {
            let project = crate::project::Project::load(global)?;
            for name in project.box_names()? {
                let recipe = project.load_box(&name)?.recipe;
                let outputs: Vec<String> = recipe
                    .outputs
                    .iter()
                    .map(|output| format!("{name}.{}", stagex_boxes::suffix(output.value)))
                    .collect();
                println!("{name} {}: {}", recipe.version, outputs.join(" "));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What a name on the command line stands for.
enum Asked {
    /// The firmware of a box.
    Firmware(String),
    /// A box and outputs of it.
    Outputs(String, Vec<Output>),
}

fn asked(session: &Session, text: &str, architecture: Architecture) -> Result<Asked, Failure> {
    if let Some(name) = firmware::of_box(session, text, architecture)? {
        return Ok(Asked::Firmware(name));
    }
    wanted(session, text, architecture).map(|(name, outputs)| Asked::Outputs(name, outputs))
}

/// The box and the outputs that a name like `airgap` or `airgap.iso` means.
pub(crate) fn wanted(
    session: &Session,
    text: &str,
    architecture: Architecture,
) -> Result<(String, Vec<Output>), Failure> {
    let names = session.project.box_names()?;
    let named = names.iter().find_map(|name| match text.strip_prefix(name.as_str())? {
        "" => Some((name, None)),
        rest => Some((name, Some(rest.strip_prefix('.')?))),
    });
    let (name, suffix) = match named {
        Some((name, suffix)) => (name.clone(), suffix),
        None => (text.split('.').next().unwrap_or(text).to_owned(), None),
    };
    let BoxFolder { recipe, .. } = session.project.load_box(&name)?;
    if !recipe.architectures.iter().any(|each| each.value == architecture) {
        let known: Vec<&str> = recipe.architectures.iter().map(|each| each.name()).collect();
        return Err(Failure::wrong(format!(
            "the box {name} is not for {architecture}\nhelp: its architectures are {}",
            known.join(", ")
        )));
    }
    let all = recipe.outputs.iter().map(|output| output.value);
    let outputs: Vec<Output> = match suffix {
        None => all.collect(),
        Some(suffix) => {
            all.filter(|output| stagex_boxes::suffixes(*output).contains(&suffix)).collect()
        }
    };
    if outputs.is_empty() {
        let known: Vec<String> = recipe
            .outputs
            .iter()
            .map(|output| format!("{name}.{}", stagex_boxes::suffix(output.value)))
            .collect();
        return Err(Failure::wrong(format!(
            "the box {name} has no output {text}\nhelp: it has {}",
            known.join(", ")
        )));
    }
    Ok((name, outputs))
}

/// Builds outputs of a box and all that they need, and reports them.
pub(crate) fn make(
    session: &Session,
    name: &str,
    outputs: &[Output],
    architecture: Architecture,
) -> Result<Made, Failure> {
    let BoxFolder { recipe, folder } = session.project.load_box(name)?;
    check_kernel(session, &recipe, architecture)?;
    check_esp(session, &recipe, outputs, architecture)?;
    let targets: BTreeSet<String> = stagex_boxes::needed_packages(&recipe, architecture);
    let built = build_packages(session, name, architecture, targets)?;
    let out = session.project.out().join(architecture.name());
    let packages = built
        .iter()
        .map(|(id, built)| {
            let part = Part { layers: built.layers.clone(), seeds: built.seeds.clone() };
            (id.clone(), part)
        })
        .collect();
    let parts =
        Parts { recipe: &recipe, architecture, folder: &folder, store: &session.store, packages };
    let inputs = parts.inputs()?;
    let mut missing = Vec::new();
    let mut stamps = Vec::new();
    for &output in outputs {
        let files = stagex_boxes::suffixes(output).iter();
        let paths: Vec<_> = files.map(|suffix| out.join(format!("{name}.{suffix}"))).collect();
        let known: Option<Vec<Stamp>> =
            paths.iter().map(|path| stagex_boxes::fresh(path, &inputs)).collect();
        match known {
            Some(known) => stamps.extend(paths.into_iter().zip(known)),
            None => missing.push(output),
        }
    }
    let assembling = std::time::Instant::now();
    let mut seeds = BTreeSet::new();
    for built in built.values() {
        seeds.extend(built.seeds.iter().cloned());
    }
    if !missing.is_empty() {
        session.progress.say(&format!("{name}: putting the image together"));
        let composition = Composition::compose(&parts)?;
        let scratch = session.store.scratch()?;
        let workers = u32::try_from(session.jobs()).unwrap_or(1);
        let writer = composition.writer(&session.store, scratch.path(), workers).keeping(&out);
        for output in missing {
            for written in writer.write(output, &out)? {
                let stamp =
                    Stamp::record(&written.path, &inputs, &written.sha256, composition.digest())?;
                stamps.push((written.path, stamp));
            }
        }
    }
    report(session, &built, assembling.elapsed());
    Ok(Made { files: stamps, seeds })
}

/// What was written of a box.
pub(crate) struct Made {
    /// Each file, and what is remembered of it.
    pub(crate) files: Vec<(PathBuf, Stamp)>,
    /// The foreign seeds that it was built with.
    pub(crate) seeds: BTreeSet<String>,
}

impl Made {
    /// Prints what it is.
    pub(crate) fn show(&self) -> Result<(), Failure> {
        for (path, Stamp { sha256, digest, len, .. }) in &self.files {
            println!("{}", shown(path));
            println!("  size    {:.1} MiB ({len} bytes)", mib(*len));
            println!("  sha256  {sha256}");
            println!("  box     {digest}");
            for (name, value) in registers(path)? {
                println!("  {name:<7} {value}");
            }
            if !self.seeds.is_empty() {
                println!("  note   {}", build::marks(&self.seeds));
            }
        }
        Ok(())
    }
}

/// The registers in the file beside an enclave image, in order; none for any other file.
fn registers(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    if !path.to_string_lossy().ends_with(".eif.pcrs.json") {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read(path).map_err(Failure::at(path))?;
    let json: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| Failure::at(path)(error.into()))?;
    let all = json["Measurements"].as_object().into_iter().flatten();
    let register = all.filter(|(name, _)| name.starts_with("PCR"));
    Ok(register
        .filter_map(|(name, value)| Some((name.to_lowercase(), value.as_str()?.to_owned())))
        .collect())
}

/// Refuses a kernel without a driver that the box needs, before it is built: by its configuration,
/// where the tree has a package of that alone.
fn check_kernel(
    session: &Session,
    recipe: &BoxRecipe,
    architecture: Architecture,
) -> Result<(), Failure> {
    let package = stagex_boxes::config_package(recipe);
    if session.project.catalogue.target(&package).is_none() {
        return Ok(());
    }
    let name = format!("{}-config", recipe.name.value);
    let built = build_packages(session, &name, architecture, BTreeSet::from([package]))?;
    let layers: Vec<_> = built.values().flat_map(|built| built.layers.iter().copied()).collect();
    Ok(stagex_boxes::check_kernel(recipe, &session.store, &layers)?)
}

/// Refuses an EFI system partition that has no room for the kernel, before the rest is built.
fn check_esp(
    session: &Session,
    recipe: &BoxRecipe,
    outputs: &[Output],
    architecture: Architecture,
) -> Result<(), Failure> {
    if !stagex_boxes::has_sized_esp(recipe, outputs) {
        return Ok(());
    }
    let name = format!("{}-kernel", recipe.name.value);
    let package = BTreeSet::from([recipe.kernel.package.value.clone()]);
    let built = build_packages(session, &name, architecture, package)?;
    let layers: Vec<_> = built.values().flat_map(|built| built.layers.iter().copied()).collect();
    Ok(stagex_boxes::check_esp(recipe, &session.store, &layers)?)
}

/// Builds packages for a box; the store remembers them under the box's name.
pub(crate) fn build_packages(
    session: &Session,
    name: &str,
    architecture: Architecture,
    targets: BTreeSet<String>,
) -> Result<BTreeMap<String, Arc<Built>>, Failure> {
    let targets: Vec<String> = targets.into_iter().collect();
    let kind = format!("box-{name}");
    let root = build::root_name(&kind, &session.project, architecture, &targets);
    Ok(session.engine(architecture)?.build(&root, &targets)?)
}

/// Says how long each package that was built took.
fn report(session: &Session, built: &BTreeMap<String, Arc<Built>>, assembling: Duration) {
    let progress = &session.progress;
    let times = progress.package_times();
    if times.is_empty() && assembling < Duration::from_millis(100) {
        progress.say(&format!("nothing to do, {} packages are up to date", built.len()));
        return;
    }
    progress.say("seconds by package:        wall      CPU");
    for (package, usage) in &times {
        let (wall, cpu) = (usage.wall.as_secs_f64(), usage.cpu.as_secs_f64());
        progress.say(&format!("  {package:<20} {wall:>8.1} {cpu:>8.1}"));
    }
    progress.say(&format!("  {:<20} {:>8.1}", "putting it together", assembling.as_secs_f64()));
    progress.say(&format!("  {:<20} {:>8.1}", "all", progress.elapsed().as_secs_f64()));
}
