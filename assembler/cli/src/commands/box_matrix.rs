//! `stagex box test --all`: every box × architecture × output × way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use stagex_boot::{
    Acceleration, Arch, Attach, Model, Qemu, acceleration,
    scenario::{self, Outcome, Output as Booted, Report, Scenario, Setup, Starts},
};
use stagex_recipe::boxes::{Architecture, BoxRecipe, Output};

use crate::{
    commands::{
        box_firmware::{self, Both},
        box_test::{arch, folder, variables},
        boxes,
        image::inspect,
    },
    config::shown,
    failure::Failure,
    project::BoxFolder,
    session::Session,
};

/// What is said where no cell is asked for.
const NOTHING: &str =
    "nothing is left to boot\nhelp: see `stagex box list` for boxes and their outputs";
/// How long a box may take to show what it has to, where box.toml does not say it.
const TIMEOUT: u32 = 300;
/// How long a box may take to draw its screen, to ask what it is asked, and to power off.
const SOON: Duration = Duration::from_secs(120);
/// An enclave image: its kernel, initramfs and command line, taken out of it.
const EIF: &str = "eif parts";
/// What of a run's folder is kept: the rest are copies of images.
const KEPT: [&str; 2] = ["console.log", "qemu.log"];

/// What is to be booted.
pub(crate) struct Wanted<'a> {
    /// Only this box.
    pub(crate) name: Option<&'a str>,
    /// Only cells whose names contain this.
    pub(crate) only: Option<&'a str>,
    /// Only this architecture.
    pub(crate) arch: Option<Architecture>,
}

/// A box for one architecture, and what its cells have in common.
struct Ready {
    name: String,
    recipe: BoxRecipe,
    architecture: Architecture,
    file: PathBuf,
    firmware: Both,
    variables: BTreeMap<String, String>,
}

/// One boot.
struct Cell<'a> {
    ready: &'a Ready,
    way: Way,
    /// From 1.
    run: u16,
}

/// How an output is booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    name: &'static str,
    output: Booted,
    attach: Attach,
    starts: Starts,
}

/// The ways in which an output can be booted on an architecture.
fn ways(output: Output, has_bios: bool) -> Vec<Way> {
    use Attach::{Cdrom, Nvme, Usb, Virtio};
    use Starts::{Bios, Uefi};
    let (output, all): (Booted, &[(&'static str, Attach, Starts)]) = match output {
        Output::Iso => (
            Booted::Iso,
            &[
                ("iso cdrom", Cdrom, Uefi),
                ("iso usb", Usb, Uefi),
                ("iso bios cdrom", Cdrom, Bios),
                ("iso bios usb", Usb, Bios),
            ],
        ),
        Output::Disk => (
            Booted::Disk,
            &[
                ("disk usb", Usb, Uefi),
                ("disk virtio", Virtio, Uefi),
                ("disk nvme", Nvme, Uefi),
                ("disk bios usb", Usb, Bios),
                ("disk bios virtio", Virtio, Bios),
            ],
        ),
        Output::Uki => (Booted::Uki, &[("uki virtio", Virtio, Uefi)]),
        Output::Initramfs => (Booted::Initramfs, &[("initramfs kernel", Virtio, Uefi)]),
        Output::Qcow2 => (Booted::Qcow2, &[("qcow2 virtio", Virtio, Uefi)]),
        Output::Eif => (Booted::Initramfs, &[(EIF, Virtio, Uefi)]),
        // It has no kernel.
        Output::Oci => return Vec::new(),
    };
    let possible = all.iter().filter(|(.., starts)| has_bios || *starts == Uefi);
    possible.map(|&(name, attach, starts)| Way { name, output, attach, starts }).collect()
}

pub(crate) fn run(session: &Session, wanted: &Wanted<'_>, runs: u16) -> Result<ExitCode, Failure> {
    let plan = plan(session, wanted)?;
    let out = session.project.out();
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Before anything is built: what cannot be booted is said now.
    let mut qemus = BTreeMap::new();
    for (_, architecture) in &plan {
        let qemu = Qemu::find(arch(*architecture), &path).map_err(|error| {
            Failure::wrong(format!("{error}\nhelp: or name another architecture with --arch"))
        })?;
        let probe = folder(&out.join("runs").join(architecture.name()).join("probe"))?;
        let acceleration = acceleration(&qemu, &probe).map_err(Failure::failed)?;
        if let Acceleration::Tcg { reason } = &acceleration {
            session.progress.say(&format!("{architecture}: KVM is not used: {reason}"));
        }
        qemus.insert(*architecture, (qemu, acceleration));
    }

    let mut built = Vec::new();
    let mut reports = Vec::new();
    for (name, architecture) in plan {
        match prepare(session, &name, architecture, wanted, &qemus[&architecture].0) {
            Ok(ready) => built.push(ready),
            Err(failure) if session.cancel.is_cancelled() => return Err(failure),
            Err(failure) => reports.push(not_built(session, &name, architecture, &failure)),
        }
    }
    let mut cells = VecDeque::new();
    for run in 1..=runs {
        for ready in &built {
            let ways = cells_of(ready, wanted);
            cells.extend(ways.into_iter().map(|way| Cell { ready, way, run }));
        }
    }
    if cells.is_empty() && reports.is_empty() {
        return Err(Failure::wrong(NOTHING));
    }
    let (count, unbuilt) = (cells.len(), reports.len());
    let workers = session.jobs().clamp(1, count.max(1));
    session.progress.say(&format!("{count} boots, {workers} at once"));
    let queue = Mutex::new(cells);
    let done = Mutex::new(reports);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while !session.cancel.is_cancelled() {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(cell) = next else { return };
                    let (qemu, acceleration) = &qemus[&cell.ready.architecture];
                    let report = boot(session, &cell, qemu, acceleration);
                    // What was stopped halfway says nothing of the box.
                    if session.cancel.is_cancelled() && !report.passed() {
                        return;
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                }
            });
        }
    });
    let mut reports = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by(|a, b| (&a.name, a.arch).cmp(&(&b.name, b.arch)));
    finish(session, &reports, count + unbuilt)
}

/// The boxes and architectures that are asked for.
fn plan(session: &Session, wanted: &Wanted<'_>) -> Result<Vec<(String, Architecture)>, Failure> {
    let mut plan = Vec::new();
    for name in session.project.box_names()? {
        if wanted.name.is_some_and(|only| only != name) {
            continue;
        }
        let recipe = session.project.load_box(&name)?.recipe;
        let architectures = recipe.architectures.iter().map(|each| each.value);
        let asked = architectures.filter(|each| wanted.arch.is_none_or(|only| only == *each));
        plan.extend(asked.map(|each| (recipe.clone(), each)));
    }
    if let (Some(name), true) = (wanted.name, plan.is_empty()) {
        // The error names what is like it.
        let recipe = session.project.load_box(name)?.recipe;
        let known: Vec<&str> = recipe.architectures.iter().map(|each| each.name()).collect();
        return Err(Failure::wrong(format!(
            "the box {name} is not for that architecture\nhelp: its architectures are {}",
            known.join(", ")
        )));
    }
    // Nothing is built of which nothing is booted.
    plan.retain(|(recipe, each)| !outputs_of(recipe, *each, wanted).is_empty());
    if plan.is_empty() {
        return Err(Failure::wrong(NOTHING));
    }
    Ok(plan.into_iter().map(|(recipe, each)| (recipe.name.value, each)).collect())
}

/// The outputs of a box that are booted in any way that is asked for.
fn outputs_of(recipe: &BoxRecipe, architecture: Architecture, wanted: &Wanted<'_>) -> Vec<Output> {
    let has_bios = recipe.bios.is_some() && architecture == Architecture::X86_64;
    let name = &recipe.name.value;
    let is_booted =
        |output: &Output| ways(*output, has_bios).iter().any(|way| is_wanted(name, way, wanted));
    recipe.outputs.iter().map(|output| output.value).filter(is_booted).collect()
}

/// The ways of a box, each once, that are asked for.
fn cells_of(ready: &Ready, wanted: &Wanted<'_>) -> Vec<Way> {
    let has_bios = ready.firmware.bios.is_some();
    let outputs = ready.recipe.outputs.iter();
    outputs
        .flat_map(|output| ways(output.value, has_bios))
        .filter(|way| is_wanted(&ready.name, way, wanted))
        .collect()
}

fn is_wanted(name: &str, way: &Way, wanted: &Wanted<'_>) -> bool {
    wanted.only.is_none_or(|only| format!("{name} {}", way.name).contains(only))
}

/// Builds what the cells of a box need for one architecture.
fn prepare(
    session: &Session,
    name: &str,
    architecture: Architecture,
    wanted: &Wanted<'_>,
    qemu: &Qemu,
) -> Result<Ready, Failure> {
    let BoxFolder { recipe, folder } = session.project.load_box(name)?;
    // The firmware first: it says on which machine the box is booted, before the rest is built.
    let firmware = box_firmware::write_out(session, name, architecture)?;
    if firmware.is_bare(architecture) {
        qemu.check(Model::Microvm).map_err(Failure::wrong)?;
    }
    let outputs = outputs_of(&recipe, architecture, wanted);
    let made = boxes::make(session, name, &outputs, architecture)?;
    let variables = variables(&recipe, &made)?;
    let file = folder.join("box.toml");
    let file = file.strip_prefix(&session.project.root).unwrap_or(&file).to_owned();
    Ok(Ready { name: name.to_owned(), recipe, architecture, file, firmware, variables })
}

/// The report in the place of cells that could not be made.
fn not_built(
    session: &Session,
    name: &str,
    architecture: Architecture,
    failure: &Failure,
) -> Report {
    session.progress.say(&format!("{name} for {architecture} is not built, and not booted"));
    Report {
        name: format!("{name} build"),
        file: PathBuf::from(format!("boxes/{name}/box.toml")),
        arch: arch(architecture),
        acceleration: "none".to_owned(),
        outcome: Outcome::Failed {
            line: None,
            what: "building it".to_owned(),
            reason: failure.to_string(),
        },
        took: Duration::ZERO,
        steps: Vec::new(),
        measures: BTreeMap::new(),
        transcript: session.project.out().join("logs"),
        pictures: Vec::new(),
    }
}

/// Boots one cell; whatever goes wrong is in its report.
fn boot(session: &Session, cell: &Cell<'_>, qemu: &Qemu, acceleration: &Acceleration) -> Report {
    let Cell { ready, way, run } = cell;
    let mut slug = format!("{} {}", ready.name, way.name).replace(' ', "-");
    // Runs of one cell may go on side by side, and write to the images that they boot.
    if *run > 1 {
        slug += &format!("-{run}");
    }
    let key = format!("{} {} {slug}", ready.architecture, ready.name);
    let shown_name = format!("{} {} ({})", ready.name, way.name, ready.architecture);
    let scenario = scenario_of(ready, way, &slug);
    let out = session.project.out();
    let image = scenario.image(&out, qemu.arch());
    let run_folder = out.join("runs").join(ready.architecture.name()).join(&slug);
    let pictures = out.join("pictures");
    let failed = |reason: String| Report {
        name: scenario.name.clone(),
        file: ready.file.clone(),
        arch: qemu.arch(),
        acceleration: acceleration.to_string(),
        outcome: Outcome::Failed { line: None, what: "preparing the boot".to_owned(), reason },
        took: Duration::ZERO,
        steps: Vec::new(),
        measures: BTreeMap::new(),
        transcript: run_folder.join("console.log"),
        pictures: Vec::new(),
    };
    for folder in [&run_folder, &pictures] {
        if let Err(error) = fs::create_dir_all(folder) {
            return failed(format!("{}: {error}", folder.display()));
        }
    }
    session.progress.begin(&key, &format!("booting {shown_name}"));
    let parts = match way.name {
        EIF => parts_of_eif(&image.with_file_name(format!("{}.eif", ready.name)), &run_folder),
        _ => Ok(Parts {
            kernel: image.with_file_name(format!("{}.vmlinuz", ready.name)),
            image,
            cmdline: stagex_boxes::cmdline(&ready.recipe, ready.architecture),
        }),
    };
    let parts = match parts {
        Ok(parts) => parts,
        Err(failure) => {
            session.progress.end(&key);
            return failed(failure.to_string());
        }
    };
    let report = scenario::run(
        &scenario,
        &Setup {
            qemu,
            acceleration,
            image: &parts.image,
            firmware: ready.firmware.uefi.as_ref(),
            bios: ready.firmware.bios.as_ref(),
            kernel: Some(&parts.kernel),
            cmdline: Some(&parts.cmdline),
            run: &run_folder,
            pictures: &pictures,
            variables: &ready.variables,
            stop: session.stop(),
        },
    );
    session.progress.end(&key);
    let result = if report.passed() { "passed" } else { "FAILED" };
    let seconds = report.took.as_secs_f64();
    session.progress.say(&format!("{result}: {shown_name}, {seconds:.1} s"));
    clear(&run_folder);
    report
}

/// What is booted, and what starts an initramfs.
struct Parts {
    image: PathBuf,
    kernel: PathBuf,
    cmdline: String,
}

/// Takes an enclave image apart into a folder.
fn parts_of_eif(eif: &Path, folder: &Path) -> Result<Parts, Failure> {
    let part = |name: &str| {
        let path = folder.join(name);
        inspect::extract(eif, name, &path).map(|()| path)
    };
    let (kernel, image, cmdline) = (part("kernel")?, part("ramdisk-1")?, part("cmdline")?);
    let cmdline = fs::read_to_string(&cmdline).map_err(Failure::at(&cmdline))?;
    Ok(Parts { image, kernel, cmdline })
}

/// What a cell has to show: what box.toml expects, a picture, and an orderly end.
fn scenario_of(ready: &Ready, way: &Way, slug: &str) -> Scenario {
    let test = &ready.recipe.test;
    let expect: Vec<String> = test.expect.iter().map(|text| text.value.clone()).collect();
    let timeout = Duration::from_secs(test.timeout.unwrap_or(TIMEOUT).into());
    let mut scenario =
        Scenario::of_box(&ready.file, &ready.name, way.output, way.attach, &expect, timeout);
    scenario.name = format!("{} {}", ready.name, way.name);
    scenario.starts = way.starts;
    // What has no firmware for a machine with buses is started in one without, and no screen.
    let bare = ready.firmware.is_bare(ready.architecture) && way.output == Booted::Initramfs;
    if bare {
        scenario.model = Model::Microvm;
    }
    let picture = format!("{}-{slug}.png", ready.architecture);
    let scenario = if bare { scenario } else { scenario.with_picture(&picture, SOON) };
    if test.poweroff.is_empty() {
        return scenario;
    }
    let answers: Vec<(String, String)> =
        test.poweroff.iter().map(|a| (a.expect.clone(), a.send.clone())).collect();
    scenario.with_poweroff(&answers, SOON)
}

/// Removes the copies of images that a run has left.
fn clear(run: &Path) {
    let Ok(entries) = fs::read_dir(run) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if KEPT.iter().all(|kept| name.to_str() != Some(kept)) {
            // Whatever stays takes room, and nothing else.
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
}

/// Writes the reports, and shows what went wrong and the table.
fn finish(session: &Session, reports: &[Report], count: usize) -> Result<ExitCode, Failure> {
    let out = session.project.out();
    let files =
        [("matrix.xml", scenario::junit(reports)), ("matrix.json", scenario::json(reports))];
    let mut written = Ok(());
    for (name, text) in files {
        let result = stagex_boxes::write_aside(&out.join(name), |f| f.write_all(text.as_bytes()));
        if let Err(error) = result {
            written = Err(Failure::failed(error));
        }
    }
    for report in reports.iter().filter(|report| !report.passed()) {
        println!("{report}\n");
    }
    println!("{}", table(reports));
    println!("consoles: {}, pictures: {}", shown(&out.join("runs")), shown(&out.join("pictures")));
    let passed = reports.iter().filter(|report| report.passed()).count();
    println!("{passed} passed, {} failed", reports.len() - passed);
    written?;
    let missing = count.saturating_sub(reports.len());
    if missing != 0 {
        return Err(Failure::stopped(format!("stopped; {missing} were not booted to the end")));
    }
    Ok(if passed == reports.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for each way, a column for each architecture, in each place the seconds until the box
/// was ready, in brackets those of processor time, the slowest of several boots; or how many of
/// them failed.
fn table(reports: &[Report]) -> String {
    let archs: BTreeSet<Arch> = reports.iter().map(|report| report.arch).collect();
    let names: BTreeSet<&str> = reports.iter().map(|report| &report.name[..]).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}", "seconds to ready (CPU)");
    let width = width.max(text.len());
    for arch in &archs {
        text.push_str(&format!("  {:>12}", arch.to_string()));
    }
    for name in names {
        text.push_str(&format!("\n{name:width$}"));
        for arch in &archs {
            let of_cell = || reports.iter().filter(|r| r.name == name && r.arch == *arch);
            let failed = of_cell().filter(|report| !report.passed()).count();
            let slowest = |name: &str| of_cell().filter_map(|r| r.measures.get(name)).max();
            let (ready, cpu) = (slowest("ready"), slowest("ready-cpu"));
            let shown = match (of_cell().count(), failed, ready) {
                (0, ..) => "-".to_owned(),
                (1, 1, _) => "FAILED".to_owned(),
                (all, 1.., _) => format!("FAILED {failed}/{all}"),
                (_, 0, Some(at)) => {
                    let cpu = cpu.map(|cpu| format!(" ({:.1})", cpu.as_secs_f64()));
                    format!("{:.1}{}", at.as_secs_f64(), cpu.unwrap_or_default())
                }
                (_, 0, None) => "passed".to_owned(),
            };
            text.push_str(&format!("  {shown:>12}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_those_that_can_be() {
        let names =
            |output, bios| -> Vec<&str> { ways(output, bios).iter().map(|way| way.name).collect() };
        assert_eq!(names(Output::Iso, false), ["iso cdrom", "iso usb"]);
        assert_eq!(names(Output::Disk, true).len(), 5);
        assert_eq!(names(Output::Initramfs, true), ["initramfs kernel"]);
        assert_eq!(names(Output::Qcow2, false), ["qcow2 virtio"]);
        assert_eq!(names(Output::Eif, true), [EIF]);
    }

    #[test]
    fn the_table_shows_every_cell_at_a_glance() {
        let report = |name: &str, arch, seconds: Option<u64>| Report {
            name: name.to_owned(),
            file: "boxes/b/box.toml".into(),
            arch,
            acceleration: "TCG".to_owned(),
            outcome: match seconds {
                Some(_) => Outcome::Passed,
                None => Outcome::Failed { line: None, what: "x".into(), reason: "y".into() },
            },
            took: Duration::ZERO,
            steps: Vec::new(),
            measures: seconds
                .into_iter()
                .flat_map(|s| [("ready", s * 1000), ("ready-cpu", s * 500)])
                .map(|(name, ms)| (name.to_owned(), Duration::from_millis(ms)))
                .collect(),
            transcript: PathBuf::new(),
            pictures: Vec::new(),
        };
        let shown = table(&[
            report("b iso usb", Arch::X86_64, Some(7)),
            report("b iso usb", Arch::X86_64, Some(9)),
            report("b iso usb", Arch::Arm64, None),
            report("b iso bios usb", Arch::X86_64, None),
            report("b iso bios usb", Arch::X86_64, Some(3)),
        ]);
        let lines: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|s| !s.is_empty()).collect())
            .collect();
        assert_eq!(lines[0], ["seconds to ready (CPU)", "x86_64", "arm64"]);
        assert_eq!(lines[1], ["b iso bios usb", "FAILED 1/2", "-"]);
        assert_eq!(lines[2], ["b iso usb", "9.0 (4.5)", "FAILED"]);
    }
}
