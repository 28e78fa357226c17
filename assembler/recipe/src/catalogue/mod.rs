//! The catalogue: all packages of a workspace, and what needs what.
//!
//! Whoever calls it reads the files. A package is named `<root>-<folder>`; what others can use of
//! it are its targets: itself, or, if it lists subpackages, one `<root>-<subpackage>` for each,
//! built from the stage `package-<subpackage>`.

mod check;
mod graph;
mod links;
mod platform;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

pub use graph::{Node, Plan, PlanNode};
pub use links::{Link, Reference, StageLinks};
pub use platform::{Platform, Platforms};

use crate::{
    Diagnostic, Diagnostics, Document,
    containerfile::Containerfile,
    package::{Draft, Package},
};

/// The texts of one package.
#[derive(Debug, Clone)]
pub struct PackageText {
    /// The name of the package root that it lies in, such as `core`.
    pub root: String,
    /// The name of its folder, such as `busybox`.
    pub folder: String,
    /// Its package.toml.
    pub package: Document,
    /// Its Containerfile.
    pub containerfile: Document,
}

/// How names in Containerfiles are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the names of our packages begin with, such as `stagex/`.
    pub image_prefixes: Vec<String>,
    /// The names of further build contexts.
    pub contexts: BTreeSet<String>,
    /// What packages that do not name their platforms are checked for.
    pub platforms: Vec<Platforms>,
    /// What stands for a package where a recipe names it: the toolchain in use.
    pub stand_ins: BTreeMap<String, String>,
}

impl Default for Options {
    /// `stagex/`, the context `fetch`, and Linux on all architectures, built on themselves.
    fn default() -> Self {
        let native = |architecture| Platforms::native(Platform::linux(architecture));
        Self {
            image_prefixes: vec!["stagex/".to_owned()],
            contexts: BTreeSet::from(["fetch".to_owned()]),
            platforms: crate::boxes::Architecture::ALL.map(native).to_vec(),
            stand_ins: BTreeMap::new(),
        }
    }
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id: `<root>-<folder>`.
    pub id: String,
    /// The package root that it lies in.
    pub root: String,
    /// Its folder's name.
    pub folder: String,
    /// What its package.toml says.
    pub package: Package,
    /// What its Containerfile says.
    pub containerfile: Containerfile,
    /// What others can use of it: the index of the stage for each id.
    pub targets: BTreeMap<String, usize>,
}

/// All packages of a workspace.
#[derive(Debug, Clone)]
pub struct Catalogue {
    options: Options,
    packages: BTreeMap<String, Entry>,
    /// The package of each target.
    targets: BTreeMap<String, String>,
    /// Packages that could not be read: what they would provide is not called missing.
    broken: BTreeSet<String>,
    /// Roots with a package.toml that could not be read, whose targets are therefore not known.
    murky: BTreeSet<String>,
    /// What was found while reading.
    found: Vec<Diagnostic>,
}

impl Catalogue {
    /// Reads all packages. What is wrong with them is told by [`check`](Self::check); packages
    /// that cannot be read are left out.
    pub fn new(texts: Vec<PackageText>, options: Options) -> Self {
        let mut catalogue = Self {
            options,
            packages: BTreeMap::new(),
            targets: BTreeMap::new(),
            broken: BTreeSet::new(),
            murky: BTreeSet::new(),
            found: Vec::new(),
        };
        let mut drafts = BTreeMap::new();
        let mut files = BTreeMap::new();
        for text in texts {
            let id = crate::workspace::Workspace::package_id(&text.root, &text.folder);
            match Draft::parse(&text.package) {
                Ok(draft) => {
                    catalogue.check_name(&draft, &text);
                    drafts.insert(id.clone(), draft);
                }
                Err(errors) => {
                    catalogue.found.extend(errors);
                    catalogue.murky.insert(text.root.clone());
                }
            }
            let containerfile = match Containerfile::parse(&text.containerfile) {
                Ok(containerfile) => Some(containerfile),
                Err(errors) => {
                    catalogue.found.extend(errors);
                    None
                }
            };
            files.insert(id, (text, containerfile));
        }
        let versions = catalogue.versions(&drafts, &files);
        for (id, (text, containerfile)) in files {
            let draft = drafts.remove(&id);
            let ids = draft.as_ref().map(|draft| draft.target_ids(&text.root));
            let version = versions.get(&id).cloned().flatten();
            let package = draft.and_then(|draft| match draft.finish(version) {
                Ok(package) => Some(package),
                Err(errors) => {
                    catalogue.found.extend(errors);
                    None
                }
            });
            match (package, containerfile) {
                (Some(package), Some(containerfile)) => {
                    catalogue.add(id, text, package, containerfile);
                }
                _ => {
                    catalogue.broken.extend(ids.into_iter().flatten());
                    catalogue.broken.insert(id);
                }
            }
        }
        catalogue
    }

    /// All packages that could be read, by id.
    pub fn packages(&self) -> &BTreeMap<String, Entry> {
        &self.packages
    }

    /// The ids of all targets, in order.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.keys().map(String::as_str)
    }

    /// The package that provides a target, and the index of its stage.
    pub fn target(&self, id: &str) -> Option<(&Entry, usize)> {
        let entry = self.packages.get(self.targets.get(id)?)?;
        Some((entry, *entry.targets.get(id)?))
    }

    /// The id of the target that stands for `id`, which may be `id` itself.
    pub fn stand_in<'a>(&'a self, id: &'a str) -> &'a str {
        self.options.stand_ins.get(id).map_or(id, String::as_str)
    }

    /// The ids of the targets that stand for others: what the toolchain in use consists of.
    pub fn stand_ins(&self) -> impl Iterator<Item = &str> {
        self.options.stand_ins.values().map(String::as_str)
    }

    /// The package that provides a target, as [`target`](Self::target) gives it, or an error that
    /// names what is nearest.
    pub fn find(&self, id: &str) -> Result<(&Entry, usize), Diagnostic> {
        self.target(id).ok_or_else(|| self.missing(Diagnostic::error(""), id))
    }

    /// Everything that is wrong with the packages, each by itself and with one another, in the
    /// order of files and lines.
    pub fn check(&self) -> Diagnostics {
        check::check(self)
    }

    /// Fills in the message and help of an error about a target that does not exist.
    fn missing(&self, mut error: Diagnostic, id: &str) -> Diagnostic {
        if let Some(entry) = self.packages.get(id) {
            let parts: Vec<&str> = entry.targets.keys().map(String::as_str).collect();
            error.message = format!("the package {id} is published in parts");
            return error.with_help(format!("name one of {}", parts.join(", ")));
        }
        if self.broken.contains(id) {
            error.message = format!("the package {id} could not be read");
            return error;
        }
        error.message = format!("there is no package {id}");
        error.with_nearest(id, self.targets())
    }

    /// Whether a target exists, or would if its package could be read.
    fn may_exist(&self, id: &str) -> bool {
        let murky = id.split('-').next().is_some_and(|root| self.murky.contains(root));
        self.targets.contains_key(id) || self.broken.contains(id) || murky
    }

    fn check_name(&mut self, draft: &Draft, text: &PackageText) {
        let name = draft.name();
        if name.value != text.folder {
            let message = format!("`{}` lies in a folder named `{}`", name.value, text.folder);
            let help = "give the folder and the package the same name";
            self.found.push(text.package.error(name.span, message).with_help(help));
        }
    }

    /// The version of each package that takes another's.
    fn versions(
        &mut self,
        drafts: &BTreeMap<String, Draft>,
        files: &BTreeMap<String, (PackageText, Option<Containerfile>)>,
    ) -> BTreeMap<String, Option<String>> {
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for (id, draft) in drafts {
            if let Some((text, _)) = files.get(id) {
                for target in draft.target_ids(&text.root) {
                    owners.entry(target).or_insert(id);
                }
            }
            owners.insert(id.clone(), id);
        }
        let mut versions = BTreeMap::new();
        for (id, draft) in drafts {
            let Some(first) = draft.version_from() else { continue };
            let Some((text, _)) = files.get(id) else { continue };
            let mut chain = vec![id.as_str()];
            let mut current = draft;
            let version = loop {
                let Some(from) = current.version_from() else {
                    if current.version().is_none() {
                        let message = format!("{} has no version to take", first.value);
                        let help = "give that package a `version`";
                        self.found.push(text.package.error(first.span, message).with_help(help));
                    }
                    break current.version().map(str::to_owned);
                };
                let owner = owners.get(from.value.as_str()).copied();
                let Some((owner, next)) = owner.and_then(|id| Some((id, drafts.get(id)?))) else {
                    // A missing link further on is told where it stands.
                    if chain.len() == 1 && !self.unreadable(&from.value, files) {
                        let error = text.package.error(from.span, "");
                        let mut error =
                            error.with_nearest(&from.value, owners.keys().map(String::as_str));
                        error.message = format!("there is no package {}", from.value);
                        self.found.push(error);
                    }
                    break None;
                };
                if chain.contains(&owner) {
                    chain.push(owner);
                    let start = chain.iter().position(|id| *id == owner).unwrap_or_default();
                    let cycle = chain[start..].join(" → ");
                    let message = format!("versions are taken in a circle: {cycle}");
                    let help = "give one of these packages a `version`";
                    self.found.push(text.package.error(first.span, message).with_help(help));
                    break None;
                }
                chain.push(owner);
                current = next;
            };
            versions.insert(id.clone(), version);
        }
        versions
    }

    fn unreadable(
        &self,
        id: &str,
        files: &BTreeMap<String, (PackageText, Option<Containerfile>)>,
    ) -> bool {
        let root = id.split('-').next().unwrap_or_default();
        files.contains_key(id) || self.murky.contains(root)
    }

    fn add(
        &mut self,
        id: String,
        text: PackageText,
        package: Package,
        containerfile: Containerfile,
    ) {
        let mut targets = BTreeMap::new();
        let stages = &containerfile.stages;
        if package.subpackages.is_empty() {
            targets.insert(id.clone(), stages.len() - 1);
        }
        let names: Vec<&str> = stages
            .iter()
            .filter_map(|stage| stage.name.as_ref().map(|n| n.value.as_str()))
            .collect();
        for part in &package.subpackages {
            // Names of stages are the same in any case.
            let wanted = format!("package-{}", part.value.to_lowercase());
            let named = |stage: &crate::containerfile::Stage| {
                stage.name.as_ref().is_some_and(|name| name.value == wanted)
            };
            let target = format!("{}-{}", text.root, part.value);
            match stages.iter().rposition(named) {
                Some(stage) => {
                    targets.insert(target, stage);
                }
                None => {
                    let message = format!("no stage builds the part `{}`", part.value);
                    let help = format!("name a stage `{wanted}` in the Containerfile");
                    let error = package.document.error(part.span, message).with_help(help);
                    self.found.push(error.with_nearest(&wanted, names.iter().copied()));
                    self.broken.insert(target);
                }
            }
        }
        for target in targets.keys() {
            let Some(other) = self.targets.insert(target.clone(), id.clone()) else { continue };
            let message = format!("{target} is provided by the package {other} already");
            let help = "an id is the root and the name of a package or of a part of it";
            let part = package.subpackages.iter().find(|part| target.ends_with(&part.value));
            let span = part.unwrap_or(&package.name).span;
            self.found.push(package.document.error(span, message).with_help(help));
        }
        let PackageText { root, folder, .. } = text;
        let entry = Entry { id: id.clone(), root, folder, package, containerfile, targets };
        self.packages.insert(id, entry);
    }
}
