//! `stagex box verify`: the same box, put together in other circumstances; and, where that is
//! asked for, its packages built in others.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt as _, chown, lchown},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, SystemTime},
};

use stagex_build::Extent;
use stagex_recipe::boxes::{Architecture, BoxRecipe};
use stagex_tree::{Digest, DigestWriter};

use crate::{
    args::Global,
    commands::{
        box_firmware as firmware,
        box_lock::{self, Digests},
        boxes, build,
        digests::describe_varied,
        image::inspect,
    },
    failure::Failure,
    session::Session,
};

/// A user without rights.
const NOBODY: u32 = 65534;
/// What of a project is not copied: what was built, and what is not of the tree.
const LEFT: [&str; 3] = ["out", "target", ".git"];

/// How many of the differences of two files are shown.
const SHOWN: u64 = 10;

/// A set of circumstances.
struct Round {
    /// The folder that the copy lies in.
    folder: &'static str,
    umask: &'static str,
    environment: [(&'static str, &'static str); 4],
    jobs: &'static str,
    /// A program before the command, where the machine has it.
    before: &'static [&'static str],
    /// The time of all files, seconds since 1970.
    time: u64,
    /// Whether files are made in the other order.
    reversed: bool,
}

const ROUNDS: [Round; 2] = [
    Round {
        folder: "a folder with a rather longer name than the first, and ünusual letters",
        umask: "077",
        environment: [
            ("TZ", "Pacific/Kiritimati"),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("LANG", "tr_TR.UTF-8"),
            ("SOURCE_DATE_EPOCH", "12345"),
        ],
        jobs: "1",
        before: &["taskset", "-c", "0"],
        time: 1,
        reversed: true,
    },
    Round {
        folder: "b",
        umask: "002",
        environment: [
            ("TZ", "America/St_Johns"),
            ("LC_ALL", "C"),
            ("LANG", ""),
            ("SOURCE_DATE_EPOCH", "4000000000"),
        ],
        jobs: "7",
        before: &["setarch", "--addr-no-randomize", "--uname-2.6"],
        time: 3_000_000_000,
        reversed: false,
    },
];

/// What is to be verified, and how.
pub(crate) struct Wanted<'a> {
    /// A box; all of them otherwise.
    pub(crate) name: Option<&'a str>,
    /// An architecture; all that the box is for otherwise.
    pub(crate) arch: Option<Architecture>,
    /// Whether what is found is locked.
    pub(crate) lock: bool,
    /// Whether the commands of the packages are run once more.
    pub(crate) twice: bool,
}

pub(crate) fn run(global: &Global, wanted: &Wanted<'_>) -> Result<ExitCode, Failure> {
    let &Wanted { name, arch, lock, twice } = wanted;
    let session = Session::open(global)?;
    let locked = box_lock::read(&session.project.root)?;
    let mut plan = Vec::new();
    for each in session.project.box_names()? {
        if name.is_some_and(|name| name != each) {
            continue;
        }
        let recipe = session.project.load_box(&each)?.recipe;
        let known = recipe.architectures.iter().map(|each| each.value);
        let asked: Vec<_> = known
            .filter(|known| arch.is_none_or(|only| only == *known))
            .filter(|known| name.is_some() || lock || box_lock::has(&locked, &each, *known))
            .collect();
        if !asked.is_empty() {
            plan.push((recipe, asked));
        }
    }
    match name {
        // The error says which boxes and architectures there are.
        Some(name) if plan.is_empty() => {
            boxes::wanted(&session, name, arch.unwrap_or(Architecture::X86_64))?;
        }
        None if plan.is_empty() => {
            return Err(Failure::wrong(
                "no output of a box is locked\nhelp: lock all that there is with `stagex box \
                 verify --lock`",
            ));
        }
        _ => {}
    }
    if twice {
        build_again(&session, &plan)?;
    }
    for (recipe, asked) in &plan {
        verify(&session, global, recipe, asked, lock)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs every command of what boxes are made of once more, the toolchain aside, and compares.
fn build_again(session: &Session, plan: &[(BoxRecipe, Vec<Architecture>)]) -> Result<(), Failure> {
    let mut all: BTreeMap<Architecture, BTreeSet<String>> = BTreeMap::new();
    for (recipe, asked) in plan {
        for architecture in asked {
            let packages = all.entry(*architecture).or_default();
            packages.extend(stagex_boxes::needed_packages(recipe, *architecture));
            packages.extend(firmware::packages(recipe, *architecture));
        }
    }
    let mut wrong = Vec::new();
    for (architecture, packages) in all {
        let packages: Vec<String> = packages.into_iter().collect();
        let root = build::root_name("boxes-twice", &session.project, architecture, &packages);
        session.progress.say(&format!("{architecture}: every command of the packages once more"));
        let engine = session.engine(architecture)?;
        for varied in engine.again(&root, &packages, Extent::AboveToolchain)? {
            wrong.push(describe_varied(&session.store, &varied)?);
        }
    }
    if wrong.is_empty() {
        println!("all packages are the same twice");
        return Ok(());
    }
    Err(Failure::mismatch(format!(
        "packages that boxes are made of are not the same twice:\n{}",
        wrong.join("\n")
    )))
}

/// Verifies a box for some of its architectures.
fn verify(
    session: &Session,
    global: &Global,
    recipe: &BoxRecipe,
    asked: &[Architecture],
    lock: bool,
) -> Result<(), Failure> {
    let name = &recipe.name.value[..];
    let mut first = Digests::new();
    for architecture in asked {
        let (_, outputs) = boxes::wanted(session, name, *architecture)?;
        let made = boxes::make(session, name, &outputs, *architecture)?;
        for (path, stamp) in &made.files {
            // What lies there now, not what is remembered of it.
            if digest_of(path)? != stamp.sha256 {
                return Err(Failure::mismatch(format!("{} was changed", path.display())));
            }
        }
        first.extend(box_lock::digests(session, &made));
        if firmware::has(recipe, *architecture) {
            first.extend(firmware::emit(session, name, *architecture)?);
        }
    }
    let mut wrong = Vec::new();
    for round in &ROUNDS {
        session.progress.say(&format!(
            "{name}: again below {:?}, umask {}, TZ {}, {} jobs",
            round.folder, round.umask, round.environment[0].1, round.jobs
        ));
        wrong.extend(again(session, global, round, recipe, asked, &first)?);
    }
    for (line, digest) in &first {
        println!("{digest} {}", line.name);
    }
    if !wrong.is_empty() {
        return Err(Failure::mismatch(format!(
            "the same box is not the same in other circumstances:\n  {}",
            wrong.join("\n  ")
        )));
    }
    println!("{} files are the same in {} circumstances", first.len(), ROUNDS.len() + 1);
    if lock {
        for file in box_lock::write(&session.project.root, &first)? {
            println!("written to {}", file.display());
        }
        return Ok(());
    }
    let wrong = box_lock::differences(&box_lock::read(&session.project.root)?, &first);
    if wrong.is_empty() {
        println!("all digests are those that are locked");
        return Ok(());
    }
    Err(box_lock::mismatch(&wrong))
}

/// Builds the box in a copy of the project, in the circumstances of a round; gives what differs
/// from `first`.
fn again(
    session: &Session,
    global: &Global,
    round: &Round,
    recipe: &BoxRecipe,
    architectures: &[Architecture],
    first: &Digests,
) -> Result<Vec<String>, Failure> {
    let scratch = session.store.scratch()?;
    let copy = scratch.path().join(round.folder);
    copy_tree(&session.project.root, &copy, round, true).map_err(Failure::at(&copy))?;
    let program = std::env::current_exe().map_err(Failure::at(Path::new("stagex")))?;
    let has = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let name = &recipe.name.value;
    for architecture in architectures {
        let mut words: Vec<OsString> = Vec::new();
        if round.before.first().is_some_and(|program| has(program)) {
            words.extend(round.before.iter().map(OsString::from));
        }
        words.push(program.clone().into());
        words.extend(["--quiet", "--jobs", round.jobs, "--project"].map(OsString::from));
        words.push(copy.clone().into());
        if let Some(cache) = &global.cache {
            words.extend(["--cache".into(), cache.clone().into()]);
        }
        for sources in &global.sources {
            words.extend(["--sources".into(), sources.clone().into()]);
        }
        if let Some(toolchain) = &global.toolchain {
            words.extend(["--toolchain".into(), toolchain.into()]);
        }
        words.extend(global.offline.then(|| "--offline".into()));
        let arch = ["box", "build", name, "--arch", architecture.name()];
        words.extend(arch.map(OsString::from));
        words.extend(firmware::has(recipe, *architecture).then(|| format!("{name}.fd").into()));
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "umask \"$1\"; shift; exec \"$@\"", "verify", round.umask])
            .args(words)
            .envs(round.environment)
            .current_dir("/");
        let output = command.output().map_err(Failure::at(&program))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::failed(format!(
                "the box {name} for {architecture} is not built in other circumstances \
                 ({}):\n{}",
                output.status,
                text.trim()
            )));
        }
    }
    let mut wrong = Vec::new();
    for (line, digest) in first {
        let name = &line.name;
        let path = copy.join("out").join(name);
        if !path.exists() {
            wrong.push(format!("{name} is not made below {:?}", round.folder));
            continue;
        }
        let other = digest_of(&path)?;
        if other != *digest {
            wrong.push(format!("{name} is {digest}, and below {:?} it is {other}", round.folder));
            let differences =
                inspect::differences(&session.project.out().join(name), &path, SHOWN)?;
            wrong.extend(differences.into_iter().map(|difference| format!("  {difference}")));
        }
    }
    Ok(wrong)
}

/// Copies a project with files in another order and of other times, and of another owner where
/// that is allowed.
fn copy_tree(from: &Path, to: &Path, round: &Round, is_top: bool) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    let mut entries: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        // A cache within the project holds the copy itself.
        let holds_copy = to.starts_with(entry.path());
        let is_left = is_top && LEFT.iter().any(|left| name == *left);
        if !holds_copy && !is_left {
            entries.insert(name, entry.path());
        }
    }
    let mut order: Vec<_> = entries.into_iter().collect();
    if round.reversed {
        order.reverse();
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(round.time);
    for (name, path) in order {
        let target = to.join(name);
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            copy_tree(&path, &target, round, false)?;
            continue;
        }
        if metadata.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &target)?;
            give(&target, metadata.uid(), true)?;
            continue;
        }
        if !metadata.is_file() {
            continue;
        }
        fs::copy(&path, &target)?;
        let file = fs::File::options().append(true).open(&target)?;
        file.set_modified(time)?;
        give(&target, metadata.uid(), false)?;
    }
    Ok(())
}

/// Gives a file to nobody where it is root's: only root can, and only root's change hands.
fn give(path: &Path, owner: u32, is_link: bool) -> std::io::Result<()> {
    if owner != 0 || fs::metadata("/proc/self").map_or(1, |own| own.uid()) != 0 {
        return Ok(());
    }
    let give = if is_link { lchown } else { chown };
    give(path, Some(NOBODY), Some(NOBODY))
}

fn digest_of(path: &Path) -> Result<String, Failure> {
    let mut file = fs::File::open(path).map_err(Failure::at(path))?;
    let mut sum = DigestWriter::new(std::io::sink());
    std::io::copy(&mut file, &mut sum).map_err(Failure::at(path))?;
    let (_, digest, _): (_, Digest, u64) = sum.finish();
    Ok(digest.hex())
}
