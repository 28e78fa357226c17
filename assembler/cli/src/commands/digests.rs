//! `stagex digests`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::Arc,
};

use stagex_build::{
    Built, Extent, Varied, first_difference,
    lock::{Lock, LockError, Locked},
};
use stagex_oci::{Image, Root, StepRecord, Store};
use stagex_recipe::boxes::Architecture;
use stagex_tree::{Digest, Tree};

use crate::{
    args::{Digests, Global},
    commands::build::{marks, root_name},
    config::{Config, shown},
    failure::Failure,
    progress::Progress,
    session::{Session, open_store},
};

/// The folder of the lock, relative to stagex.toml.
const FOLDER: &str = "digests";
/// The folder of the store for `--afresh`, below that of caches.
const AFRESH: &str = "afresh";

pub(crate) fn run(global: &Global, args: &Digests) -> Result<ExitCode, Failure> {
    let (session, kept) = match args.afresh {
        false => (Session::open(global)?, None),
        // What lies in the ordinary store is still good to compare with.
        true => {
            let config = Config::load(global)?;
            let kept = open_store(&config, &Progress::new(global.quiet))?;
            (Session::open_at(global, &config.cache.join(AFRESH))?, Some(kept))
        }
    };
    let mut lock = Lock::read(&session.project.root.join(FOLDER))?;
    let mut report = Report::default();
    for (architecture, ids) in wanted(&session, &lock, args)? {
        let root = root_name("digests", &session.project, architecture, &ids);
        let engine = session.engine(architecture)?;
        let built = engine.build(&root, &ids)?;
        for (id, built) in &built {
            let named = !args.packages.is_empty();
            compare(
                &session,
                kept.as_ref(),
                &mut lock,
                args,
                &mut report,
                Found { architecture, id, built, named },
            )?;
        }
        if args.twice {
            session.progress.say(&format!("{} packages, each command once more", ids.len()));
            for varied in engine.again(&root, &ids, Extent::Named)? {
                report.wrong.push(describe_varied(&session.store, &varied)?);
            }
        }
    }
    report.finish(args)?;
    for path in lock.write()? {
        println!("{} is written", shown(&path));
    }
    let scratch = session.store.path().to_owned();
    drop(session);
    if args.afresh {
        stagex_sandbox::remove_tree(&scratch).map_err(Failure::at(&scratch))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What to look at, by architecture: the packages that are named, or all that are locked.
fn wanted(
    session: &Session,
    lock: &Lock,
    args: &Digests,
) -> Result<BTreeMap<Architecture, Vec<String>>, Failure> {
    if !args.packages.is_empty() {
        let ids: BTreeSet<String> = args.packages.iter().cloned().collect();
        return Ok(BTreeMap::from([(args.arch, ids.into_iter().collect())]));
    }
    let mut all: BTreeMap<Architecture, BTreeSet<String>> = BTreeMap::new();
    for image in lock.images() {
        if session.project.catalogue.target(&image.id).is_none() {
            return Err(Failure::wrong(format!(
                "{} is locked in {FOLDER}/, and there is no such package\nhelp: remove its line",
                image.name()
            )));
        }
        all.entry(image.architecture).or_default().insert(image.id.clone());
    }
    if all.is_empty() {
        return Err(Failure::wrong(format!(
            "nothing is locked in {FOLDER}/\nhelp: lock packages with `stagex digests --update \
             PACKAGE…`"
        )));
    }
    Ok(all.into_iter().map(|(arch, ids)| (arch, ids.into_iter().collect())).collect())
}

/// A package that was built.
struct Found<'a> {
    architecture: Architecture,
    id: &'a str,
    built: &'a Arc<Built>,
    /// Whether the user named it.
    named: bool,
}

/// What came of comparing.
#[derive(Default)]
struct Report {
    same: usize,
    changed: Vec<String>,
    /// Images that are locked only as built with other seeds.
    passed: Vec<String>,
    wrong: Vec<String>,
}

impl Report {
    fn finish(&self, args: &Digests) -> Result<(), Failure> {
        for line in &self.changed {
            println!("{line}");
        }
        if !self.passed.is_empty() {
            println!(
                "not compared, as they are locked as built with another toolchain: {}",
                self.passed.join(" ")
            );
        }
        if !self.wrong.is_empty() {
            return Err(Failure::mismatch(format!(
                "what was built is not what {FOLDER}/ has, or not the same twice:\n{}\nhelp: the \
                 same sources give the same bytes everywhere; if they were changed on purpose, \
                 `stagex digests --update` locks what they give now, and `stagex build --explain` \
                 says what changed",
                self.wrong.join("\n")
            )));
        }
        let twice = if args.twice { ", and give the same twice" } else { "" };
        println!("{} packages have the digests that {FOLDER}/ has{twice}", self.same);
        Ok(())
    }
}

fn compare(
    session: &Session,
    kept: Option<&Store>,
    lock: &mut Lock,
    args: &Digests,
    report: &mut Report,
    found: Found<'_>,
) -> Result<(), Failure> {
    let Found { architecture, id, built, named } = found;
    let image = Image { layers: built.layers.clone(), config: built.config.clone() };
    let digest = session.store.image_digest(&image)?;
    let locked = Locked::new(&built.seeds, architecture, id);
    let name = locked.name();
    let known = lock.get(&locked);
    if args.update {
        if known != Some(digest) {
            let before = known.map_or_else(|| "not locked".to_owned(), |known| known.hex());
            report.changed.push(format!("{name}{}: {digest}, was {before}", marks(&built.seeds)));
        }
        lock.put(locked.clone(), digest);
    }
    match known {
        _ if args.update => {}
        Some(known) if known == digest => {}
        Some(known) => {
            let mut text = format!("  {name}: locked is {known}, built was {digest}");
            let old = match kept {
                Some(kept) => recall(kept, &known)?,
                None => recall(&session.store, &known)?,
            };
            let difference = match old {
                Some(old) => difference(&old, &session.store.merged(&built.layers)?)?,
                None => "what was locked is not in the store, so nothing more can be said".into(),
            };
            text.push_str(&format!("\n    {difference}"));
            report.wrong.push(text);
            return Ok(());
        }
        None => {
            let elsewhere = lock
                .images()
                .any(|other| other.id == locked.id && other.architecture == locked.architecture);
            let marks = marks(&built.seeds);
            match elsewhere && !named {
                true => report.passed.push(name),
                false => {
                    report.wrong.push(format!("  {name}{marks}: is not locked; it is {digest}"))
                }
            }
            return Ok(());
        }
    }
    report.same += 1;
    keep(&session.store, &locked, &digest, &image)
}

/// Keeps what is locked in the store, to compare with it later.
fn keep(store: &Store, locked: &Locked, digest: &Digest, image: &Image) -> Result<(), Failure> {
    let key = key_of(digest);
    if store.step(&key)?.is_none() {
        let (layers, config) = (image.layers.clone(), image.config.clone());
        store.put_step(&key, &StepRecord { layers, config, ..StepRecord::default() })?;
    }
    store.settle()?;
    let name =
        format!("locked-{}-{}-{}", locked.seeds.replace('+', "_"), locked.architecture, locked.id);
    Ok(store.put_roots(&name, &[Root::Step(key)])?)
}

/// The tree of a locked image, if the store has it.
fn recall(store: &Store, digest: &Digest) -> Result<Option<Tree>, Failure> {
    match store.step(&key_of(digest))? {
        Some(record) => Ok(Some(store.merged(&record.layers)?)),
        None => Ok(None),
    }
}

fn key_of(image: &Digest) -> Digest {
    Digest::of(format!("locked image {image}"))
}

/// Says what the first difference of two trees is.
fn difference(old: &Tree, new: &Tree) -> Result<String, Failure> {
    let Some(found) = first_difference(old, new).map_err(Failure::failed)? else {
        return Ok("the files are the same; the layers or the configuration are not".to_owned());
    };
    let more = match found.count {
        1 => String::new(),
        count => format!(" (the first of {count} paths that differ)"),
    };
    Ok(format!("{} {}{more}", found.path, found.how))
}

/// Says which command gave something else the second time, and what.
pub(crate) fn describe_varied(store: &Store, varied: &Varied) -> Result<String, Failure> {
    let tree = |layer: &Option<Digest>| -> Result<Tree, Failure> {
        let layers: Vec<Digest> = varied.root.iter().chain(layer).copied().collect();
        Ok(store.merged(&layers)?)
    };
    let difference = difference(&tree(&varied.first)?, &tree(&varied.second)?)?;
    let step = &varied.step;
    Ok(format!(
        "  {}: stage {}, step {}: {}\n    {}\n    gives something else the second time: {difference}",
        step.package, step.stage, step.number, varied.place, step.text
    ))
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Io { .. } => Self::failed(error),
            error => Self::wrong(error),
        }
    }
}
