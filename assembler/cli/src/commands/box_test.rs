//! `stagex box test`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use stagex_boot::{
    Acceleration, Arch, Qemu, acceleration,
    scenario::{self, Scenario, Setup},
};
use stagex_recipe::boxes::{Architecture, BoxRecipe};
use stagex_tree::Digest;

use crate::{
    commands::{
        box_firmware::{self, Both},
        box_secure,
        boxes::{self, Made},
    },
    config::shown,
    failure::Failure,
    project::BoxFolder,
    session::Session,
};

pub(crate) fn run(
    session: &Session,
    name: &str,
    only: Option<&str>,
    architecture: Architecture,
) -> Result<ExitCode, Failure> {
    let arch = arch(architecture);
    let BoxFolder { recipe, .. } = session.project.load_box(name)?;
    let scenarios = scenarios(session, name, only, arch)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let qemu = Qemu::find(arch, &path).map_err(Failure::wrong)?;
    // Before anything is built for a machine that cannot be had.
    for scenario in &scenarios {
        qemu.check(scenario.model).map_err(Failure::wrong)?;
    }
    let out = session.project.out();

    let mut outputs = Vec::new();
    for scenario in &scenarios {
        let wanted = scenario.output;
        let image = scenario.image(&out, arch);
        let output =
            recipe.outputs.iter().map(|output| output.value).find(|output| {
                image.ends_with(format!("{name}.{}", stagex_boxes::suffix(*output)))
            });
        let Some(output) = output else {
            return Err(Failure::wrong(format!(
                "{}: the box {name} has no output {wanted:?}",
                scenario.file.display()
            )));
        };
        if !outputs.contains(&output) {
            outputs.push(output);
        }
        if scenario.secure_boot.is_some() && recipe.secure.is_none() {
            return Err(no_secure_boot(scenario, name));
        }
    }
    let made = boxes::make(session, name, &outputs, architecture)?;
    made.show()?;
    let Both { uefi, bios, .. } = box_firmware::write_out(session, name, architecture)?;

    let runs = out.join("runs").join(architecture.name());
    let probe = folder(&runs.join("probe"))?;
    let acceleration = acceleration(&qemu, &probe).map_err(Failure::failed)?;
    if let Acceleration::Tcg { reason } = &acceleration {
        session.progress.say(&format!("KVM is not used: {reason}"));
    }
    let variables = variables(&recipe, &made)?;
    let cmdline = stagex_boxes::cmdline(&recipe, architecture);
    let mut reports = Vec::new();
    for scenario in &scenarios {
        session.progress.say(&format!("booting: {}", scenario.name));
        let run = folder(&runs.join(slug(&scenario.name)))?;
        let mut image = scenario.image(&out, arch);
        let mut uefi = uefi.clone();
        if let Some(how) = scenario.secure_boot {
            let firmware = box_firmware::write_out_secure(session, &recipe, &mut BTreeSet::new())?;
            let firmware = firmware.ok_or_else(|| no_secure_boot(scenario, name))?;
            let prepared = box_secure::prepare(&firmware, &image, how, &run)?;
            (image, uefi) = (prepared.image, Some(prepared.uefi));
        }
        let kernel = image.with_file_name(format!("{name}.vmlinuz"));
        let report = scenario::run(
            scenario,
            &Setup {
                qemu: &qemu,
                acceleration: &acceleration,
                image: &image,
                firmware: uefi.as_ref(),
                bios: bios.as_ref(),
                cmdline: Some(&cmdline),
                kernel: Some(&kernel),
                run: &run,
                pictures: &folder(&out.join("pictures"))?,
                variables: &variables,
                stop: session.stop(),
            },
        );
        // What was stopped halfway says nothing of the box.
        if session.cancel.is_cancelled() && !report.passed() {
            break;
        }
        println!("{report}");
        reports.push(report);
        if session.cancel.is_cancelled() {
            break;
        }
    }
    let xml = out.join("qemu-tests.xml");
    stagex_boxes::write_aside(&xml, |file| file.write_all(scenario::junit(&reports).as_bytes()))
        .map_err(Failure::failed)?;
    let passed = reports.iter().filter(|report| report.passed()).count();
    for picture in reports.iter().flat_map(|report| &report.pictures) {
        println!("picture: {}", shown(picture));
    }
    println!("{passed} passed, {} failed", reports.len() - passed);
    if reports.len() < scenarios.len() {
        let left = scenarios.len() - reports.len();
        return Err(Failure::stopped(format!("stopped; {left} scenarios were not run to the end")));
    }
    Ok(if passed == scenarios.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn no_secure_boot(scenario: &Scenario, name: &str) -> Failure {
    Failure::wrong(format!(
        "{}: the box {name} names no firmware with Secure Boot\nhelp: write secure = \
         \"firmware-edk2-x86_64-secure\" in its [firmware]",
        scenario.file.display()
    ))
}

pub(crate) fn arch(architecture: Architecture) -> Arch {
    match architecture {
        Architecture::X86_64 => Arch::X86_64,
        Architecture::Arm64 => Arch::Arm64,
        Architecture::Riscv64 => Arch::Riscv64,
    }
}

/// An existing folder, emptied.
pub(crate) fn folder(path: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(path).map_err(Failure::at(path))?;
    Ok(path.to_owned())
}

fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    text.chars().map(plain).collect()
}

/// The scenarios of a box, by file name.
fn scenarios(
    session: &Session,
    name: &str,
    only: Option<&str>,
    arch: Arch,
) -> Result<Vec<Scenario>, Failure> {
    let folder = session.project.root.join("qemu-tests");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(Failure::at(&folder))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "toml"))
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
        let shown = path.strip_prefix(&session.project.root).unwrap_or(&path);
        let scenario = Scenario::parse(shown, &text).map_err(Failure::wrong)?;
        let wanted = only.is_none_or(|only| scenario.name.contains(only));
        if scenario.box_name == name && scenario.architectures.contains(&arch) && wanted {
            found.push(scenario);
        }
    }
    if found.is_empty() {
        return Err(Failure::wrong(format!(
            "there is no scenario for the box {name} in {}",
            folder.display()
        )));
    }
    Ok(found)
}

/// A text that no box can have known before: 32 hexadecimal digits.
fn nonce() -> Result<String, Failure> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(Failure::at(path))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What scenarios may ask of the box they boot.
pub(crate) fn variables(
    recipe: &BoxRecipe,
    made: &Made,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut variables = BTreeMap::from([
        ("name".to_owned(), recipe.name.value.clone()),
        ("version".to_owned(), recipe.version.clone()),
    ]);
    // All outputs of one box have the same.
    let digest = made.files.first().map(|(_, stamp)| stamp.digest.clone());
    variables.extend(digest.map(|digest| ("digest".to_owned(), digest)));
    let nonce = nonce()?;
    variables.insert("nonce-sha256".to_owned(), Digest::of(&nonce).hex());
    variables.insert("nonce".to_owned(), nonce);
    Ok(variables)
}
