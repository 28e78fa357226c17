//! Builds packages: which stages there are, what they wait for, and in which order they run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stagex_oci::{Root, Store, tar};
use stagex_recipe::{
    Diagnostic, Diagnostics, Severity,
    boxes::Architecture,
    catalogue::{Catalogue, Entry, Node, Platform, Platforms, Reference, StageLinks},
    containerfile::Containerfile,
    package::Package,
};
use stagex_sandbox::{Cancel, Limits};
use stagex_sources::{Fetcher, Request};
use stagex_tree::{Digest, Tree};

use crate::{
    Error, archive,
    context::Context,
    jobs::{Pool, Slot},
    observe::Observer,
    schedule,
    scope::Arguments,
    stage::{self, Built, Purpose, Step},
    timing::Past,
};

/// How soon downloads learn that the user stopped the build.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// What [`Engine::unpacked_sources`] takes into memory.
const ARCHIVE_LIMITS: tar::Limits = tar::Limits { bytes: 1 << 30, entries: 1 << 20 };

/// How to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to build for.
    pub architecture: Architecture,
    /// What this machine is: what `$BUILDPLATFORM` names, and what commands run on.
    pub machine: Architecture,
    /// How many jobs to do at once: steps, and the jobs of the makes that they run.
    pub jobs: usize,
    /// How many bytes of memory there are for steps that run beside each other. Those that once
    /// needed more together run one after the other.
    pub memory: Option<u64>,
    /// What packages are built with, by its name; only told, the catalogue knows what it means.
    pub toolchain: Option<String>,
    /// Whether a failure ends only what depends on it, and not the whole build.
    pub keep_going: bool,
    /// Whether packages that ask for the network in a RUN get it.
    pub allow_network: bool,
    /// What one command may use up.
    pub limits: Limits,
    /// Where logs go.
    pub logs: PathBuf,
}

/// One stage of one package, for one platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// The package's id.
    pub package: String,
    /// The stage's place in its Containerfile, from 0.
    pub stage: usize,
    /// What the package is built for.
    pub platform: Platform,
}

/// A stage that was built.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The package's id.
    pub package: String,
    /// The stage's name, or its number where it has none.
    pub name: String,
    /// What it came out as.
    pub built: Arc<Built>,
}

/// What a FROM or `--from` names.
pub(crate) enum Base {
    Scratch,
    Context,
    Unit(Unit),
    /// An image that no package of the project builds.
    Foreign(String),
}

/// A package and what belongs to it.
pub(crate) struct Recipe<'a> {
    pub(crate) id: &'a str,
    pub(crate) package: &'a Package,
    pub(crate) containerfile: &'a Containerfile,
    entry: &'a Entry,
    folder: &'a Path,
    /// Values of ARG that come from package.toml.
    pub(crate) arguments: Arguments,
    context: OnceLock<Context>,
    /// By what the package is built for.
    links: Mutex<BTreeMap<Platform, Arc<Links>>>,
}

/// What the stages of a recipe are made from, and the variables before its first FROM.
pub(crate) struct Links {
    pub(crate) stages: Vec<StageLinks>,
    pub(crate) globals: Arguments,
}

impl Recipe<'_> {
    /// The package's folder, read once.
    pub(crate) fn context(&self) -> Result<&Context, Error> {
        if let Some(context) = self.context.get() {
            return Ok(context);
        }
        let sources = self.package.sources.values();
        let context =
            Context::read(self.folder, sources.map(|source| (&source.file[..], source.hash)))?;
        Ok(self.context.get_or_init(|| context))
    }
}

/// Builds packages.
pub struct Engine<'a> {
    pub(crate) catalogue: &'a Catalogue,
    folders: &'a BTreeMap<String, PathBuf>,
    recipes: BTreeMap<&'a str, Recipe<'a>>,
    pub(crate) store: &'a Store,
    fetcher: &'a Fetcher,
    pub(crate) options: Options,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) cancel: Cancel,
    /// The same switch for downloads.
    stop: &'a AtomicBool,
    /// What steps wait for before they run.
    pub(crate) pool: Pool,
    /// What steps used before.
    pub(crate) past: Mutex<Past>,
    results: Mutex<BTreeMap<Unit, Arc<Built>>>,
    /// Units that are not built, and what can be said of them all the same.
    pub(crate) provisional: Mutex<BTreeMap<Unit, Arc<Built>>>,
    used: Mutex<BTreeSet<Digest>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an [`Engine`] works with.
pub struct Parts<'a> {
    /// All packages.
    pub catalogue: &'a Catalogue,
    /// Where each package's folder is, by its id.
    pub folders: &'a BTreeMap<String, PathBuf>,
    /// Where results are kept.
    pub store: &'a Store,
    /// Where sources come from.
    pub fetcher: &'a Fetcher,
    /// Who is told how it goes.
    pub observer: &'a dyn Observer,
    /// Ends running commands.
    pub cancel: Cancel,
    /// Ends downloads.
    pub stop: &'a AtomicBool,
}

impl<'a> Engine<'a> {
    /// An engine that builds the packages of `parts.catalogue`.
    pub fn new(parts: Parts<'a>, options: Options) -> Self {
        let recipes = parts
            .catalogue
            .packages()
            .values()
            .filter_map(|entry| {
                let recipe = Recipe {
                    id: &entry.id,
                    package: &entry.package,
                    containerfile: &entry.containerfile,
                    entry,
                    folder: parts.folders.get(&entry.id)?,
                    arguments: entry.package.build_args(),
                    context: OnceLock::new(),
                    links: Mutex::default(),
                };
                Some((&entry.id[..], recipe))
            })
            .collect();
        Self {
            catalogue: parts.catalogue,
            folders: parts.folders,
            recipes,
            store: parts.store,
            fetcher: parts.fetcher,
            pool: Pool::new(options.jobs, options.memory),
            past: Mutex::default(),
            options,
            observer: parts.observer,
            cancel: parts.cancel,
            stop: parts.stop,
            results: Mutex::default(),
            provisional: Mutex::default(),
            used: Mutex::default(),
        }
    }

    /// Builds the images `targets` (package ids, or those of their parts) and all they need, and
    /// remembers under `root` what of the store they use, so that gc keeps it.
    ///
    /// The errors are all that came before the build could be stopped, never none.
    pub fn build(
        &self,
        root: &str,
        targets: &[String],
    ) -> Result<BTreeMap<String, Arc<Built>>, Vec<Error>> {
        let one = |error| vec![error];
        let wanted = self.units_of(targets)?;
        let built = self.build_units(wanted.values())?;
        self.record_inputs(wanted.values(), &built).map_err(one)?;
        // What the roots name is on disk before they are.
        self.store.settle().map_err(|error| one(error.into()))?;
        let used: Vec<Root> = lock(&self.used).iter().copied().map(Root::Step).collect();
        self.store.put_roots(root, &used).map_err(|error| one(error.into()))?;
        let found = |unit: &Unit| self.result(unit).unwrap_or_default();
        Ok(wanted.into_iter().map(|(target, unit)| (target, found(&unit))).collect())
    }

    /// Builds every stage of a package, for a look inside; in the order of the Containerfile.
    pub fn build_stages(&self, package: &str) -> Result<Vec<Arc<Built>>, Vec<Error>> {
        let package = self.catalogue.stand_in(package);
        let count = self.recipes.get(package).map(|recipe| recipe.containerfile.stages.len());
        let units: Vec<Unit> = match count {
            Some(count) => {
                let last = self.unit_of(package, &self.target()).map_err(|error| vec![error])?;
                (0..count).map(|stage| Unit { stage, ..last.clone() }).collect()
            }
            // Part of another package, or none: the error says what there is.
            None => vec![self.unit_of(package, &self.target()).map_err(|error| vec![error])?],
        };
        self.build_units(units.iter())?;
        Ok(units.iter().filter_map(|unit| self.result(unit)).collect())
    }

    /// Builds the image `target` and all it needs, as [`Engine::build`] does, and gives every stage
    /// that went into it, each after those it needs.
    pub fn build_whole(&self, root: &str, target: &str) -> Result<Vec<Stage>, Vec<Error>> {
        let one = |error| vec![error];
        self.build(root, &[target.to_owned()])?;
        let unit = self.wanted(target).map_err(one)?;
        let (order, _) = self.order([&unit].into_iter()).map_err(one)?;
        let mut stages = Vec::new();
        for unit in order {
            let recipe = self.recipe(&unit).map_err(one)?;
            let name = recipe.containerfile.stages.get(unit.stage).and_then(|s| s.name.as_ref());
            let name = name.map_or_else(|| unit.stage.to_string(), |name| name.value.clone());
            let built = self.result(&unit).unwrap_or_default();
            stages.push(Stage { package: unit.package, name, built });
        }
        Ok(stages)
    }

    /// The archives among a package's sources, each unpacked: file name and tree.
    pub fn unpacked_sources(&self, package: &str) -> Result<Vec<(String, Tree)>, Error> {
        let unit = self.wanted(package)?;
        let recipe = self.recipe(&unit)?;
        let sources: Vec<_> = recipe.package.sources.values().collect();
        let all: Vec<Digest> = sources.iter().map(|source| source.hash).collect();
        let found = self.fetch(recipe, &all)?;
        let mut trees = Vec::new();
        for source in sources {
            let Some(path) = found.get(&source.hash) else { continue };
            let failed = |error| Error::Io { path: path.clone(), error };
            let Some(stream) = archive::open(path).map_err(failed)? else { continue };
            let layer =
                tar::read_layer_in_memory(stream, ARCHIVE_LIMITS, self.store.normalise().epoch)
                    .map_err(|error| failed(std::io::Error::other(error)))?;
            trees.push((source.file.clone(), layer.tree));
        }
        Ok(trees)
    }

    /// Brings all sources of the packages that `targets` need into the cache.
    pub fn fetch_all(&self, targets: &[String]) -> Result<usize, Vec<Error>> {
        let units = self.units_of(targets)?;
        let (order, _) = self.order(units.values()).map_err(|error| vec![error])?;
        let packages: BTreeSet<&str> = order.iter().map(|unit| &unit.package[..]).collect();
        let requests: Vec<Request> =
            packages.iter().flat_map(|package| self.requests(package)).collect();
        self.fetcher
            .fetch(&requests, &Downloads(self.observer), self.stop)
            .map(|found| found.len())
            .map_err(|errors| errors.into_iter().map(Error::from).collect())
    }

    /// Builds units; gives the packages of which something was missing.
    pub(crate) fn build_units<'u>(
        &self,
        units: impl Iterator<Item = &'u Unit>,
    ) -> Result<BTreeSet<String>, Vec<Error>> {
        let one = |error| vec![error];
        let (order, needs) = self.order(units).map_err(one)?;
        let missing = self.recall(&order).map_err(one)?;
        let packages: BTreeSet<&str> = order.iter().map(|unit| &unit.package[..]).collect();
        let to_build: BTreeSet<&str> = missing.iter().map(|unit| &unit.package[..]).collect();
        self.observer.planned(to_build.len(), packages.len());
        let built = to_build.iter().map(|package| (*package).to_owned()).collect();
        if missing.is_empty() {
            return Ok(built);
        }
        let scratch = self.store.scratch().map_err(|error| one(error.into()))?;
        stagex_sandbox::probe(scratch.path()).map_err(|error| one(error.into()))?;
        let numbers: BTreeMap<&Unit, usize> =
            missing.iter().enumerate().map(|(number, unit)| (*unit, number)).collect();
        let dependencies: Vec<BTreeSet<usize>> = missing
            .iter()
            .map(|unit| {
                let needs = needs.get(*unit).into_iter().flatten();
                needs.filter_map(|need| numbers.get(need).copied()).collect()
            })
            .collect();
        let past = self.past(&to_build).map_err(one)?;
        let costs = self.costs(&missing, &past).map_err(one)?;
        *lock(&self.past) = past;
        let requests: Vec<Request> =
            to_build.iter().flat_map(|package| self.requests(package)).collect();
        let finished = AtomicBool::new(false);
        self.pool.open();
        let outcome = std::thread::scope(|scope| {
            // Downloads run ahead of the steps that need them. An error is told by the step that
            // does; what no step needs may fail.
            scope.spawn(|| {
                drop(self.fetcher.fetch(&requests, &Downloads(self.observer), &finished))
            });
            // A step that waits for one of them must see them stop when the user stops the build.
            let watcher = scope.spawn(|| {
                while !finished.load(Ordering::Relaxed) {
                    if self.stop.load(Ordering::Relaxed) {
                        finished.store(true, Ordering::Relaxed);
                    }
                    std::thread::park_timeout(STOP_INTERVAL);
                }
            });
            scope.spawn(|| self.pool.serve());
            let _close = self.pool.close_later();
            let goes_on =
                |error: &Error| self.options.keep_going && !matches!(error, Error::Cancelled);
            let outcome =
                schedule::run(&dependencies, &costs, self.options.jobs, goes_on, |number| {
                    let Some(unit) = missing.get(number) else { return Ok(()) };
                    let recipe = self.recipe(unit)?;
                    if let Some(found) = stage::evaluate(self, recipe, unit, Purpose::Build)? {
                        self.put_result(unit, found.built);
                    }
                    Ok(())
                });
            finished.store(true, Ordering::Relaxed);
            watcher.thread().unpark();
            outcome
        });
        if outcome.failures.is_empty() {
            return Ok(built);
        }
        let mut errors: Vec<Error> = outcome.failures.into_iter().map(|(_, error)| error).collect();
        // What was stopped because something else failed says nothing.
        if errors.iter().any(|error| !matches!(error, Error::Cancelled)) {
            errors.retain(|error| !matches!(error, Error::Cancelled));
        }
        Err(errors)
    }

    /// Looks up the results of units, of which each comes after those it needs; gives those that
    /// are not in the store.
    pub(crate) fn recall<'u>(&self, order: &'u [Unit]) -> Result<Vec<&'u Unit>, Error> {
        let mut missing = Vec::new();
        for unit in order {
            match stage::evaluate(self, self.recipe(unit)?, unit, Purpose::Plan)? {
                Some(found) => self.put_result(unit, found.built),
                None => missing.push(unit),
            }
        }
        Ok(missing)
    }

    /// The units that `units` need, themselves included, each after those it needs.
    #[allow(clippy::type_complexity)]
    pub(crate) fn order<'u>(
        &self,
        units: impl Iterator<Item = &'u Unit>,
    ) -> Result<(Vec<Unit>, BTreeMap<Unit, BTreeSet<Unit>>), Error> {
        let mut order = Vec::new();
        let mut needs = BTreeMap::<Unit, BTreeSet<Unit>>::new();
        // A unit is pushed a second time, as done, below what it needs.
        let mut stack: Vec<(Unit, bool)> = units.map(|unit| (unit.clone(), false)).collect();
        stack.reverse();
        let mut placed = BTreeSet::new();
        while let Some((unit, done)) = stack.pop() {
            if done {
                if placed.insert(unit.clone()) {
                    order.push(unit);
                }
                continue;
            }
            if placed.contains(&unit) {
                continue;
            }
            // Looked into and not placed: it is above this one.
            if needs.contains_key(&unit) {
                let recipe = self.recipe(&unit)?;
                let span = recipe.containerfile.stages[unit.stage].span;
                let document = &recipe.containerfile.document;
                return Err(document.error(span, "this stage needs itself").into());
            }
            let wanted = self.needs(&unit)?;
            stack.push((unit.clone(), true));
            stack.extend(wanted.iter().rev().map(|need| (need.clone(), false)));
            needs.insert(unit, wanted);
        }
        Ok((order, needs))
    }

    /// What a unit waits for.
    fn needs(&self, unit: &Unit) -> Result<BTreeSet<Unit>, Error> {
        let recipe = self.recipe(unit)?;
        let mut needs = BTreeSet::new();
        if let Some(links) = self.links(recipe, &unit.platform)?.stages.get(unit.stage) {
            for link in links.all() {
                if let Base::Unit(unit) = self.base(unit, &links.platform, &link.reference)? {
                    needs.insert(unit);
                }
            }
        }
        Ok(needs)
    }

    pub(crate) fn recipe(&self, unit: &Unit) -> Result<&Recipe<'a>, Error> {
        let unknown = || Error::UnknownPackage { message: unit.package.clone() };
        self.recipes.get(&unit.package[..]).ok_or_else(unknown)
    }

    /// The stages that images are built from; says all that stands in the way of building them.
    pub(crate) fn units_of(
        &self,
        targets: &[String],
    ) -> Result<BTreeMap<String, Unit>, Vec<Error>> {
        let node = |id: &String| {
            let id = self.catalogue.stand_in(id).to_owned();
            Node { id, platform: self.target() }
        };
        let nodes: Vec<Node> = targets.iter().map(node).collect();
        self.catalogue.plan(&nodes, &self.machine()).map_err(|errors: Diagnostics| {
            let all = self.unreadable().into_iter().chain(errors);
            all.map(Error::from).collect::<Vec<_>>()
        })?;
        let mut units = BTreeMap::new();
        for target in targets {
            let unit = self.wanted(target).map_err(|error| vec![error])?;
            units.insert(target.clone(), unit);
        }
        Ok(units)
    }

    /// What is wrong with the packages that could not be read: why those are not there that
    /// others need.
    fn unreadable(&self) -> Vec<Diagnostic> {
        let known = self.catalogue.packages();
        let folders: Vec<&PathBuf> = self
            .folders
            .iter()
            .filter_map(|(id, folder)| (!known.contains_key(id)).then_some(folder))
            .collect();
        let mut found: Vec<Diagnostic> = self.catalogue.check().into_iter().collect();
        found.retain(|diagnostic| {
            let Some(location) = &diagnostic.location else { return false };
            // Files are called by their paths within the project.
            let file = Path::new(&location.file);
            let Some(name) = file.file_name() else { return false };
            diagnostic.severity == Severity::Error
                && folders.iter().any(|folder| folder.join(name).ends_with(file))
        });
        found
    }

    /// The stage that the image `id` is built from when it is wanted for `platform`.
    fn unit_of(&self, id: &str, platform: &Platform) -> Result<Unit, Error> {
        let (entry, stage) = self.catalogue.find(id)?;
        let platform = self.catalogue.platform_of(entry, platform);
        Ok(Unit { package: entry.id.clone(), stage, platform })
    }

    /// The stage that the image `id` is built from when somebody asks for it by its name.
    pub(crate) fn wanted(&self, id: &str) -> Result<Unit, Error> {
        self.unit_of(self.catalogue.stand_in(id), &self.target())
    }

    pub(crate) fn target(&self) -> Platform {
        Platform::linux(self.options.architecture)
    }

    fn machine(&self) -> Platform {
        Platform::linux(self.options.machine)
    }

    /// What the stages of a recipe are made from when it is built for `platform`, worked out once.
    pub(crate) fn links(
        &self,
        recipe: &Recipe<'_>,
        platform: &Platform,
    ) -> Result<Arc<Links>, Error> {
        if let Some(links) = lock(&recipe.links).get(platform) {
            return Ok(links.clone());
        }
        let platforms = Platforms { target: platform.clone(), build: self.machine() };
        let stages = self.catalogue.links(recipe.entry, &platforms).map_err(|mut errors| {
            errors.truncate(1);
            errors.pop().map_or(Error::Cancelled, Error::from)
        })?;
        let globals = recipe.entry.globals(&platforms)?;
        let links = Arc::new(Links { stages, globals });
        Ok(lock(&recipe.links).entry(platform.clone()).or_insert(links).clone())
    }

    /// What a reference in the package of `unit` stands for, in a stage that is for `platform`.
    pub(crate) fn base(
        &self,
        unit: &Unit,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<Base, Error> {
        Ok(match reference {
            Reference::Scratch => Base::Scratch,
            Reference::Stage(stage) => Base::Unit(Unit { stage: *stage, ..unit.clone() }),
            Reference::Target(id) => Base::Unit(self.unit_of(id, platform)?),
            Reference::Context(_) => Base::Context,
            Reference::Image(image) => Base::Foreign(image.clone()),
        })
    }

    /// The result of a unit, once it is there.
    pub(crate) fn result(&self, unit: &Unit) -> Option<Arc<Built>> {
        lock(&self.results).get(unit).cloned()
    }

    pub(crate) fn put_result(&self, unit: &Unit, built: Built) {
        lock(&self.results).insert(unit.clone(), Arc::new(built));
    }

    /// The result of a unit, or, where only inputs are looked at, what is known of it.
    pub(crate) fn known(&self, unit: &Unit) -> Option<Arc<Built>> {
        self.result(unit).or_else(|| lock(&self.provisional).get(unit).cloned())
    }

    /// Notes a step that this build uses.
    pub(crate) fn used(&self, key: &Digest) {
        lock(&self.used).insert(*key);
    }

    fn requests(&self, package: &str) -> Vec<Request> {
        let sources = self.recipes.get(package).map(|recipe| recipe.package.sources.values());
        sources
            .into_iter()
            .flatten()
            .map(|source| Request {
                file: source.file.clone(),
                digest: source.hash,
                mirrors: source.mirrors.iter().map(|mirror| mirror.value.to_string()).collect(),
            })
            .collect()
    }

    /// Brings those sources of a package that `wanted` names into the cache.
    pub(crate) fn fetch(
        &self,
        recipe: &Recipe<'_>,
        wanted: &[Digest],
    ) -> Result<BTreeMap<Digest, PathBuf>, Error> {
        let requests: Vec<Request> = self
            .requests(recipe.id)
            .into_iter()
            .filter(|request| wanted.contains(&request.digest))
            .collect();
        self.fetcher.fetch(&requests, &Downloads(self.observer), self.stop).map_err(|mut errors| {
            match errors.swap_remove(0) {
                stagex_sources::Error::Cancelled { .. } => Error::Cancelled,
                error => error.into(),
            }
        })
    }

    /// Brings a file that ADD names by its address into the cache.
    pub(crate) fn fetch_remote(&self, url: &str, digest: Digest) -> Result<PathBuf, Error> {
        let file = url.rsplit('/').next().unwrap_or(url).to_owned();
        let request = Request { file, digest, mirrors: vec![url.to_owned()] };
        Ok(self.fetcher.fetch_one(&request, &Downloads(self.observer), self.stop)?)
    }

    /// Waits until a step may run.
    pub(crate) fn slot(&self, step: &Step<'_>) -> Result<Slot<'_>, Error> {
        let memory = lock(&self.past).memory(&step.name.package, &step.name.text);
        self.pool.enter(memory, &self.cancel).ok_or(Error::Cancelled)
    }

    /// Where a step's log goes; its folder is made.
    pub(crate) fn log_path(
        &self,
        step: &Step<'_>,
        key: &Digest,
        again: bool,
    ) -> Result<PathBuf, Error> {
        let folder = self.options.logs.join(&step.name.package);
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::Io { path: folder.clone(), error })?;
        let stage: String = step
            .name
            .stage
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        let again = if again { "-again" } else { "" };
        let number = step.name.number;
        Ok(folder.join(format!("{stage}-{number:02}-{}{again}.log", &key.hex()[..8])))
    }
}

/// Passes what downloads tell to the build's observer.
struct Downloads<'a>(&'a dyn Observer);

impl stagex_sources::Observer for Downloads<'_> {
    fn advanced(&self, file: &str, len: u64, total: Option<u64>) {
        self.0.advanced(file, len, total);
    }

    fn failed_place(&self, file: &str, attempt: &stagex_sources::Attempt) {
        self.0.failed_place(file, attempt);
    }

    fn finished(&self, file: &str, fetched: bool) {
        self.0.finished(file, fetched);
    }
}
