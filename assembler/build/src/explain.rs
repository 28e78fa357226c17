//! Why something would be built: what goes into each package, kept in the store as text, and
//! compared with what would go into it now.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use stagex_recipe::{
    Document,
    containerfile::{self, CopySource, Heredoc, Instruction},
};
use stagex_tree::{Digest, Kind, TreePath};

use crate::{
    Error,
    context::Context,
    engine::{Base, Engine, Unit, lock},
    stage::{self, Built, Purpose},
};

/// What goes into a package, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Inputs {
    /// Versions of what gives instructions their meaning.
    meaning: String,
    /// The toolchain that was asked for.
    toolchain: String,
    /// What came out: a digest of the layers of all stages.
    result: String,
    /// The lines of the instructions, by stage.
    recipe: BTreeMap<String, Vec<String>>,
    /// Values from package.toml that the recipe uses.
    pub(crate) arguments: BTreeMap<String, String>,
    /// Files of the package's folder that the recipe takes.
    files: BTreeMap<String, String>,
    /// Sources that the recipe takes, and their digests.
    sources: BTreeMap<String, String>,
    /// Packages that the recipe takes from, and digests of what it finds there; empty where that
    /// is to be built first.
    needs: BTreeMap<String, String>,
    /// Where each line of `recipe` stands; not kept.
    #[serde(skip)]
    lines: BTreeMap<String, Vec<usize>>,
}

impl Inputs {
    /// Notes the instructions of a stage.
    pub(crate) fn read_recipe(
        &mut self,
        document: &Document,
        name: &str,
        stage: &containerfile::Stage,
    ) {
        let (mut texts, mut lines) = (Vec::new(), Vec::new());
        for instruction in &stage.instructions {
            let heredocs: Vec<&Heredoc> = match &instruction.value {
                Instruction::Run(run) => run.heredocs.iter().collect(),
                Instruction::Copy(copy) => copy.sources.iter().filter_map(heredoc).collect(),
                Instruction::Add(add) => add.sources.iter().filter_map(heredoc).collect(),
                _ => Vec::new(),
            };
            let command = (instruction.span, document.slice(instruction.span));
            let bodies = heredocs.into_iter().map(|heredoc| (heredoc.span, &heredoc.raw[..]));
            for (span, text) in std::iter::once(command).chain(bodies) {
                let first = document.position(span.start).line;
                for (at, line) in text.lines().enumerate() {
                    texts.push(line.trim().to_owned());
                    lines.push(first + at);
                }
            }
        }
        self.recipe.insert(name.to_owned(), texts);
        self.lines.insert(name.to_owned(), lines);
    }

    /// Notes the files of a package's folder, and its sources, at and below `path`.
    pub(crate) fn read_context(&mut self, context: &Context, path: &TreePath) -> Result<(), Error> {
        for entry in context.tree().subtree(path) {
            let name = entry.path.to_string().trim_start_matches('/').to_owned();
            if let Some(digest) = context.source(entry.path) {
                let file = name.rsplit('/').next().unwrap_or(&name);
                self.sources.insert(file.to_owned(), digest.hex());
                continue;
            }
            let what = match &entry.inode.kind {
                Kind::File(content) => {
                    let digest = content
                        .digest()
                        .map_err(|error| Error::Io { path: PathBuf::from(&name), error })?;
                    format!("{digest} {:o}", entry.inode.metadata.mode)
                }
                Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
                _ => continue,
            };
            self.files.insert(name, what);
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.recipe.extend(other.recipe);
        self.lines.extend(other.lines);
        self.arguments.extend(other.arguments);
        self.files.extend(other.files);
        self.sources.extend(other.sources);
    }
}

/// The text within a Containerfile that COPY or ADD takes, if it is one.
fn heredoc(source: &CopySource) -> Option<&Heredoc> {
    match source {
        CopySource::Heredoc(heredoc) => Some(heredoc),
        CopySource::Path(_) => None,
    }
}

/// Why a package would be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Nothing is known of an earlier build.
    New,
    /// Nothing that goes into it changed, and its result is no longer in the store.
    Lost,
    /// Instructions of the recipe changed.
    Recipe {
        /// The stage.
        stage: String,
        /// The line of the Containerfile that the change begins at, if it is still there.
        line: Option<usize>,
        /// The first line that was otherwise.
        old: Option<String>,
        /// What it is now.
        new: Option<String>,
    },
    /// A value from package.toml, a file, a source, or what else has a name.
    Input {
        /// What kind: `file`, `source`, `value`, `toolchain`, `stagex`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What it was.
        old: Option<String>,
        /// What it is.
        new: Option<String>,
    },
    /// A package that it needs came out otherwise, or is a new one.
    Changed {
        /// Its id.
        package: String,
    },
    /// It needs this package no longer.
    Unneeded {
        /// Its id.
        package: String,
    },
    /// A package that it needs would be built first.
    Needs {
        /// Its id.
        package: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => write!(f, "it was not built here before"),
            Self::Lost => write!(f, "its result is no longer in the store"),
            Self::Recipe { stage, line, old, new } => {
                write!(f, "Containerfile")?;
                if let Some(line) = line {
                    write!(f, " line {line}")?;
                }
                write!(f, ", stage {stage}: ")?;
                match (old, new) {
                    (Some(old), Some(new)) => write!(f, "`{new}` was `{old}`"),
                    (None, Some(new)) => write!(f, "`{new}` is new"),
                    (Some(old), None) => write!(f, "`{old}` was removed"),
                    (None, None) => write!(f, "it changed"),
                }
            }
            Self::Input { kind, name, old, new } => {
                let name = if name.is_empty() { String::new() } else { format!(" {name}") };
                match (old, new) {
                    (Some(old), Some(new)) if *kind != "file" => {
                        write!(f, "{kind}{name} is {new}, was {old}")
                    }
                    (Some(_), Some(_)) => write!(f, "{kind}{name} changed"),
                    (None, _) => write!(f, "{kind}{name} is new"),
                    (_, None) => write!(f, "{kind}{name} was removed"),
                }
            }
            Self::Changed { package } => write!(f, "{package} is not what it was"),
            Self::Unneeded { package } => write!(f, "{package} is needed no longer"),
            Self::Needs { package } => write!(f, "{package} would be built"),
        }
    }
}

/// A package that would be built, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The package's id.
    pub package: String,
    /// Everything that speaks for it, never nothing.
    pub causes: Vec<Cause>,
    /// The packages on the way to where it begins, each needed by the one before; and what is the
    /// cause there. Empty if it begins here.
    pub chain: Vec<String>,
    /// The first cause where the chain ends.
    pub root: Option<Cause>,
}

impl Engine<'_> {
    /// Says which packages would be built to have the images `targets`, and why, each after those
    /// that it needs. Builds nothing.
    pub fn explain(&self, targets: &[String]) -> Result<Vec<Explained>, Vec<Error>> {
        let one = |error| vec![error];
        let wanted = self.units_of(targets)?;
        let (order, _) = self.order(wanted.values()).map_err(one)?;
        let mut missing = BTreeSet::new();
        let mut packages: Vec<&str> = Vec::new();
        for unit in &order {
            let recipe = self.recipe(unit).map_err(one)?;
            match stage::evaluate(self, recipe, unit, Purpose::Plan).map_err(one)? {
                Some(found) => self.put_result(unit, found.built),
                None => {
                    if !packages.contains(&&unit.package[..]) {
                        packages.push(&unit.package);
                    }
                    missing.insert(unit);
                }
            }
        }
        let mut inputs = self.gather(&order, None).map_err(one)?;
        let mut explained: Vec<Explained> = Vec::new();
        for package in packages {
            let platform = order.iter().find(|unit| unit.package == package);
            let Some(platform) = platform.map(|unit| unit.platform.to_string()) else { continue };
            let now = inputs.remove(package).unwrap_or_default();
            let causes = match self.read_inputs(package, &platform).map_err(one)? {
                None => vec![Cause::New],
                Some(then) => causes(&then, &now),
            };
            // Where it begins: a package whose own inputs changed, else further on.
            let needs = causes.iter().find_map(|cause| match cause {
                Cause::Needs { package } => Some(package.clone()),
                _ => None,
            });
            let own = causes.iter().any(|cause| !matches!(cause, Cause::Needs { .. }));
            let next = needs.filter(|_| !own);
            let next = next.and_then(|id| explained.iter().find(|each| each.package == id));
            let (chain, root) = match next {
                Some(next) => {
                    let chain = std::iter::once(next.package.clone()).chain(next.chain.clone());
                    let root = next.root.clone().or_else(|| next.causes.first().cloned());
                    (chain.collect(), root)
                }
                None => (Vec::new(), None),
            };
            explained.push(Explained { package: package.to_owned(), causes, chain, root });
        }
        Ok(explained)
    }

    /// Keeps what went into the packages of a finished build: of those in `built`, and of those of
    /// which something else is known.
    pub(crate) fn record_inputs<'u>(
        &self,
        units: impl Iterator<Item = &'u Unit>,
        built: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let (order, _) = self.order(units)?;
        let mut stale = BTreeSet::new();
        for package in order.iter().map(|unit| &unit.package) {
            if stale.contains(package) {
                continue;
            }
            let unit = order.iter().find(|unit| unit.package == *package);
            let Some(platform) = unit.map(|unit| unit.platform.to_string()) else { continue };
            let known = self.read_inputs(package, &platform)?;
            let same = known.is_some_and(|known| known.result == self.result_of(package, &order));
            if built.contains(package) || !same {
                stale.insert(package.clone());
            }
        }
        if stale.is_empty() {
            return Ok(());
        }
        for (package, inputs) in self.gather(&order, Some(&stale))? {
            let Some(unit) = order.iter().find(|unit| unit.package == package) else { continue };
            self.write_inputs(&package, &unit.platform.to_string(), &inputs)?;
        }
        Ok(())
    }

    /// A digest of all that the stages of a package came out as.
    fn result_of(&self, package: &str, order: &[Unit]) -> String {
        let units = order.iter().filter(|unit| unit.package == package);
        let results: Vec<String> = units.map(|unit| digest_of(self.result(unit))).collect();
        Digest::of(results.join(" ")).hex()
    }

    /// What goes into packages now: those in `only`, or all.
    fn gather(
        &self,
        order: &[Unit],
        only: Option<&BTreeSet<String>>,
    ) -> Result<BTreeMap<String, Inputs>, Error> {
        let mut all: BTreeMap<String, Inputs> = BTreeMap::new();
        for unit in order {
            if only.is_some_and(|only| !only.contains(&unit.package)) {
                continue;
            }
            let recipe = self.recipe(unit)?;
            let found = stage::evaluate(self, recipe, unit, Purpose::Gather)?;
            let Some(found) = found else { continue };
            lock(&self.provisional).insert(unit.clone(), Arc::new(found.built));
            let links = self.links(recipe, &unit.platform)?;
            let inputs = all.entry(unit.package.clone()).or_default();
            inputs.merge(found.inputs);
            for link in links.stages.get(unit.stage).into_iter().flat_map(|links| links.all()) {
                let platform = &links.stages[unit.stage].platform;
                if let Base::Unit(need) = self.base(unit, platform, &link.reference)? {
                    if need.package != unit.package {
                        inputs.needs.insert(need.package.clone(), digest_of(self.result(&need)));
                    }
                }
            }
        }
        for (package, inputs) in &mut all {
            inputs.meaning = format!("{}.{}", stage::VERSION, stagex_sandbox::VERSION);
            inputs.toolchain = self.options.toolchain.clone().unwrap_or_default();
            inputs.result = self.result_of(package, order);
        }
        Ok(all)
    }

    fn inputs_path(&self, package: &str, platform: &str) -> PathBuf {
        let name = format!("{package}@{}.json", platform.replace('/', "-"));
        self.store.path().join("inputs").join(name)
    }

    fn read_inputs(&self, package: &str, platform: &str) -> Result<Option<Inputs>, Error> {
        let path = self.inputs_path(package, platform);
        match fs::read(&path) {
            // What another version wrote is as good as nothing.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Io { path, error }),
        }
    }

    fn write_inputs(&self, package: &str, platform: &str, inputs: &Inputs) -> Result<(), Error> {
        let path = self.inputs_path(package, platform);
        let write = || -> io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            // Nothing rests on it, so that it need not be synced.
            let aside = path.with_extension(format!("{}.new", std::process::id()));
            fs::write(&aside, serde_json::to_vec_pretty(inputs)?)?;
            fs::rename(&aside, &path)
        };
        write().map_err(|error| Error::Io { path: path.clone(), error })
    }
}

/// A digest of what a stage came out as; nothing if it is not built.
fn digest_of(built: Option<Arc<Built>>) -> String {
    let Some(built) = built else { return String::new() };
    let layers: Vec<String> = built.layers.iter().map(Digest::hex).collect();
    Digest::of(format!("{} {:?}", layers.join(" "), built.config)).hex()
}

/// What is other now than it was; if nothing is, its result was lost.
fn causes(then: &Inputs, now: &Inputs) -> Vec<Cause> {
    let mut causes = Vec::new();
    let single = |kind, old: &str, new: &str| {
        let [old, new] = [old, new].map(|text| (!text.is_empty()).then(|| text.to_owned()));
        (old != new).then(|| Cause::Input { kind, name: String::new(), old, new })
    };
    causes.extend(single("the meaning of instructions", &then.meaning, &now.meaning));
    let stages: BTreeSet<&String> = then.recipe.keys().chain(now.recipe.keys()).collect();
    for stage in stages {
        let lines = now.lines.get(stage).map(Vec::as_slice).unwrap_or_default();
        let [old, new] = [then, now]
            .map(|inputs| inputs.recipe.get(stage).map(Vec::as_slice).unwrap_or_default());
        causes.extend(changed_line(stage, old, new, lines));
    }
    let maps = [
        ("value", &then.arguments, &now.arguments),
        ("file", &then.files, &now.files),
        ("source", &then.sources, &now.sources),
    ];
    for (kind, then, now) in maps {
        let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        for name in names {
            let [old, new] = [then, now].map(|map| map.get(name).cloned());
            if old != new {
                causes.push(Cause::Input { kind, name: name.clone(), old, new });
            }
        }
    }
    for (package, digest) in &now.needs {
        let package = package.clone();
        match then.needs.get(&package) {
            _ if digest.is_empty() => causes.push(Cause::Needs { package }),
            Some(known) if known == digest => {}
            _ => causes.push(Cause::Changed { package }),
        }
    }
    let gone = then.needs.keys().filter(|package| !now.needs.contains_key(*package));
    causes.extend(gone.map(|package| Cause::Unneeded { package: package.clone() }));
    // Another toolchain matters only through what it has stand for others.
    if !causes.is_empty() {
        causes.extend(single("the toolchain", &then.toolchain, &now.toolchain));
    }
    if causes.is_empty() {
        causes.push(Cause::Lost);
    }
    causes
}

/// The first line of a stage that is not what it was.
fn changed_line(stage: &str, old: &[String], new: &[String], lines: &[usize]) -> Option<Cause> {
    if old == new {
        return None;
    }
    let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[same..], &new[same..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    Some(Cause::Recipe {
        stage: stage.to_owned(),
        line: lines.get(same).copied(),
        old: old[..old.len() - tail].first().cloned(),
        new: new[..new.len() - tail].first().cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        let map = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        Inputs {
            recipe: [("0".to_owned(), vec!["RUN a".to_owned(), "RUN b".to_owned()])].into(),
            lines: [("0".to_owned(), vec![3, 7])].into(),
            arguments: map("VERSION", "1"),
            files: map("patch", "x"),
            sources: map("a.tar", "1234"),
            needs: map("core-cc", "abcd"),
            ..Inputs::default()
        }
    }

    fn shown(change: impl Fn(&mut Inputs)) -> Vec<String> {
        let mut now = inputs();
        change(&mut now);
        causes(&inputs(), &now).iter().map(Cause::to_string).collect()
    }

    #[test]
    fn every_input_that_changed_is_named() {
        let stage = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            move |now: &mut Inputs| {
                now.lines.insert("0".to_owned(), [3, 7, 9][..lines.len()].to_vec());
                now.recipe.insert("0".to_owned(), lines.clone());
            }
        };
        assert_eq!(shown(|_| {}), ["its result is no longer in the store"]);
        assert_eq!(
            shown(stage(&["RUN a", "RUN c"])),
            ["Containerfile line 7, stage 0: `RUN c` was `RUN b`"]
        );
        assert_eq!(
            shown(stage(&["RUN x", "RUN a", "RUN b"])),
            ["Containerfile line 3, stage 0: `RUN x` is new"]
        );
        assert_eq!(shown(stage(&["RUN a"])), ["Containerfile, stage 0: `RUN b` was removed"]);
        assert_eq!(
            shown(|now| {
                now.arguments.insert("VERSION".to_owned(), "2".to_owned());
                now.files.insert("patch".to_owned(), "y".to_owned());
                now.files.insert("new".to_owned(), "y".to_owned());
                now.sources.insert("a.tar".to_owned(), "5678".to_owned());
            }),
            [
                "value VERSION is 2, was 1",
                "file new is new",
                "file patch changed",
                "source a.tar is 5678, was 1234",
            ]
        );
        let need = |id: &str, digest: &str| {
            let (id, digest) = (id.to_owned(), digest.to_owned());
            move |now: &mut Inputs| drop(now.needs.insert(id.clone(), digest.clone()))
        };
        assert_eq!(shown(need("core-cc", "")), ["core-cc would be built"]);
        assert_eq!(shown(need("core-cc", "ef")), ["core-cc is not what it was"]);
        assert_eq!(
            shown(|now| {
                now.needs = [("core-quick".to_owned(), "ef".to_owned())].into();
                now.toolchain = "quick".to_owned();
            }),
            [
                "core-quick is not what it was",
                "core-cc is needed no longer",
                "the toolchain is new",
            ]
        );
        // By itself a toolchain changes nothing.
        assert_eq!(
            shown(|now| now.toolchain = "quick".to_owned()),
            ["its result is no longer in the store"]
        );
    }
}
