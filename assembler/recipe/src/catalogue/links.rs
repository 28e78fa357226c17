//! Links: what the stages of a Containerfile are made from.

use std::collections::BTreeMap;

use super::{Catalogue, Entry, Platform, Platforms};
use crate::{
    Diagnostic, Span, Spanned,
    containerfile::{Instruction, Stage, Word},
};

/// What a name in FROM or `--from` means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// `scratch`: nothing.
    Scratch,
    /// The stage with this index.
    Stage(usize),
    /// A target of the catalogue.
    Target(String),
    /// A named build context, such as `fetch`.
    Context(String),
    /// An image that is none of ours, as written.
    Image(String),
}

/// A reference and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What is meant.
    pub reference: Reference,
    /// Where it stands in the Containerfile.
    pub span: Span,
}

/// What one stage is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageLinks {
    /// What it starts from.
    pub base: Link,
    /// What it is built for.
    pub platform: Platform,
    /// What its COPY instructions and mounts take files from, in order.
    pub uses: Vec<Link>,
}

impl StageLinks {
    /// The base and all that it uses.
    pub fn all(&self) -> impl Iterator<Item = &Link> {
        std::iter::once(&self.base).chain(&self.uses)
    }
}

impl Entry {
    /// The variables of the global scope, which FROM lines expand in: the platforms', the build
    /// arguments', and those of ARG instructions before the first FROM.
    ///
    /// The error points at a default that does not expand.
    pub fn globals(&self, platforms: &Platforms) -> Result<BTreeMap<String, String>, Diagnostic> {
        let given = self.package.build_args();
        let mut globals = platforms.arguments();
        for argument in &self.containerfile.global_args {
            let look = |name: &str| globals.get(name).cloned();
            let name = argument.name.expand(&look)?;
            let value = match (given.get(&name), &argument.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(default.expand(&look)?),
                (None, None) => None,
            };
            globals.extend(value.map(|value| (name, value)));
        }
        Ok(globals)
    }
}

impl Catalogue {
    /// What the stages of a package are made from when it is built on and for `platforms`.
    ///
    /// The errors are all references that lead nowhere.
    pub fn links(
        &self,
        entry: &Entry,
        platforms: &Platforms,
    ) -> Result<Vec<StageLinks>, Vec<Diagnostic>> {
        let mut errors = Vec::new();
        let globals = entry.globals(platforms).unwrap_or_else(|error| {
            errors.push(error);
            BTreeMap::new()
        });
        let look = |name: &str| globals.get(name).cloned();
        let mut links: Vec<StageLinks> = Vec::new();
        let nowhere = Link { reference: Reference::Scratch, span: Span::default() };
        for (index, stage) in entry.containerfile.stages.iter().enumerate() {
            let base = self.base(entry, stage, index, &look).unwrap_or_else(|error| {
                errors.push(error);
                nowhere.clone()
            });
            let inherited = match &base.reference {
                Reference::Stage(stage) => links.get(*stage).map(|links| links.platform.clone()),
                _ => None,
            };
            let said = stage.platform.as_ref().map(|word| platform(word, &look)).transpose();
            let said = said.unwrap_or_else(|error| {
                errors.push(error);
                None
            });
            let platform = said.or(inherited).unwrap_or_else(|| platforms.target.clone());
            let mut uses = Vec::new();
            for name in stage.uses() {
                match self.used(entry, &name) {
                    Ok(reference) => uses.push(Link { reference, span: name.span }),
                    Err(error) => errors.push(error),
                }
            }
            links.push(StageLinks { base, platform, uses });
        }
        if errors.is_empty() { Ok(links) } else { Err(errors) }
    }

    fn base(
        &self,
        entry: &Entry,
        stage: &Stage,
        index: usize,
        look: &crate::containerfile::Lookup<'_>,
    ) -> Result<Link, Diagnostic> {
        let word = &stage.base;
        let span = word.span();
        let name = word.expand(look)?;
        if name.is_empty() {
            let unset = word.variables().into_iter().find(|name| look(name).is_none());
            return Err(match unset {
                Some(unset) => word
                    .error(format!("FROM names nothing: {unset} is not set"))
                    .with_help(format!("write ARG {unset}=… before the first FROM")),
                None => word.error("FROM names nothing"),
            });
        }
        if name == "scratch" {
            return Ok(Link { reference: Reference::Scratch, span });
        }
        let stages = &entry.containerfile.stages;
        let same = |stage: &Stage| named(stage, &name);
        // FROM sees the stages before it, and of two with one name the later.
        if let Some(found) = stages[..index].iter().rposition(same) {
            return Ok(Link { reference: Reference::Stage(found), span });
        }
        self.outside(entry, &Spanned::new(name.clone(), span))
            .map(|reference| Link { reference, span })
            .map_err(|error| match stages[index..].iter().find(|stage| same(stage)) {
                Some(later) => {
                    let line = entry.containerfile.document.position(later.span.start).line;
                    let message = format!("the stage `{name}` begins later, on line {line}");
                    word.error(message).with_help("move it before this one")
                }
                None => error,
            })
    }

    /// What `--from` means: any stage by name or number, also a later one.
    fn used(&self, entry: &Entry, name: &Spanned<String>) -> Result<Reference, Diagnostic> {
        let stages = &entry.containerfile.stages;
        if let Ok(index) = name.value.parse::<usize>() {
            let document = &entry.containerfile.document;
            return match index < stages.len() {
                true => Ok(Reference::Stage(index)),
                false => Err(document
                    .error(name.span, format!("there is no stage {index}"))
                    .with_help(format!("stages count from 0, the last is {}", stages.len() - 1))),
            };
        }
        match stages.iter().rposition(|stage| named(stage, &name.value)) {
            Some(index) => Ok(Reference::Stage(index)),
            None => self.outside(entry, name),
        }
    }

    /// What a name means that is no stage.
    fn outside(&self, entry: &Entry, name: &Spanned<String>) -> Result<Reference, Diagnostic> {
        let text = name.value.as_str();
        if self.options.contexts.contains(text) {
            return Ok(Reference::Context(text.to_owned()));
        }
        let document = &entry.containerfile.document;
        if let Some(id) = self.package_of(text) {
            let stand_in = self.stand_in(&id);
            // The recipe of what stands for a package may build on that package.
            if stand_in != id && !entry.targets.contains_key(stand_in) {
                return match self.may_exist(stand_in) {
                    true => Ok(Reference::Target(stand_in.to_owned())),
                    false => {
                        let error = self.missing(document.error(name.span, ""), stand_in);
                        Err(error.with_help(format!("the toolchain in use has it stand for {id}")))
                    }
                };
            }
            return match self.may_exist(&id) {
                true => Ok(Reference::Target(id)),
                false => Err(self.missing(document.error(name.span, ""), &id)),
            };
        }
        // A name with a registry, a tag or a digest can only be an image.
        if text.contains(['/', ':', '@']) {
            return Ok(Reference::Image(text.to_owned()));
        }
        let stages = entry.containerfile.stages.iter();
        let names: Vec<_> = stages
            .filter_map(|stage| stage.name.as_ref())
            .map(|name| name.value.as_str())
            .chain(self.options.contexts.iter().map(String::as_str))
            .collect();
        let prefix = self.options.image_prefixes.first().map_or("", String::as_str);
        let help = match self.targets.contains_key(text) {
            true => format!("for the package write {prefix}{text}"),
            false => format!("packages are named {prefix}<package>, images with their tag"),
        };
        Err(document
            .error(name.span, format!("there is no stage `{text}`"))
            .with_help(help)
            .with_nearest(text, names))
    }

    /// The id of the package that the name of an image means, without tag and digest.
    pub fn package_of(&self, image: &str) -> Option<String> {
        let prefixes = self.options.image_prefixes.iter();
        let rest = prefixes.filter_map(|prefix| image.strip_prefix(prefix.as_str())).next()?;
        let rest = rest.split('@').next().unwrap_or_default();
        let rest = rest.split(':').next().unwrap_or_default();
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

impl Stage {
    /// The names that its COPY instructions and mounts take files from, in order.
    pub fn uses(&self) -> Vec<Spanned<String>> {
        let mut names = Vec::new();
        for instruction in &self.instructions {
            match &instruction.value {
                Instruction::Copy(copy) => names.extend(copy.from.clone()),
                Instruction::Run(run) => names.extend(run.mounts.iter().filter_map(|m| m.from())),
                _ => {}
            }
        }
        names
    }
}

fn named(stage: &Stage, name: &str) -> bool {
    stage.name.as_ref().is_some_and(|known| known.value.eq_ignore_ascii_case(name))
}

fn platform(word: &Word, look: &crate::containerfile::Lookup<'_>) -> Result<Platform, Diagnostic> {
    let text = word.expand(look)?;
    Platform::parse(&text).ok_or_else(|| {
        word.error(format!("`{text}` is no platform")).with_help("write it like linux/amd64")
    })
}
