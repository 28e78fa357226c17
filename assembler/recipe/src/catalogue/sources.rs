//! Sources: whether what package.toml lists is what the Containerfile takes.
//!
//! ARG and ENV are followed as far as they are known without building. Where a value comes from
//! outside, nothing is said: a false alarm would be worse than a missed one.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use super::{Entry, Platforms, check::common};
use crate::{
    Diagnostic,
    containerfile::{Argument, CopySource, Instruction, Stage, Word},
};

/// Compares the sources of a package with what its Containerfile copies from `fetch/`.
pub(super) fn check(entry: &Entry, platforms: &[&Platforms]) -> Vec<Diagnostic> {
    let mut used = BTreeSet::new();
    let mut lists = Vec::new();
    for platforms in platforms {
        let mut reader = Reader::new(entry, platforms, &mut used);
        reader.run();
        lists.push(reader.found);
    }
    // A source for one architecture is missing for the others, and rightly so.
    let mut found = common(lists);
    for (name, source) in &entry.package.sources {
        if !used.contains(&source.file) {
            let message = format!("nothing takes `{}` of the source `{name}`", source.file);
            let help =
                format!("ADD fetch/{} in the Containerfile, or drop the source", source.file);
            found.push(entry.package.document.warning(source.span, message).with_help(help));
        }
    }
    found
}

/// What is known of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Value(String),
    /// Set, but to what is known only when building.
    Later,
}

type Scope = BTreeMap<String, Known>;

struct Reader<'a> {
    entry: &'a Entry,
    given: BTreeMap<String, String>,
    globals: BTreeMap<String, String>,
    used: &'a mut BTreeSet<String>,
    found: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn new(entry: &'a Entry, platforms: &Platforms, used: &'a mut BTreeSet<String>) -> Self {
        let given = entry.package.build_args();
        let globals = entry.globals(platforms).unwrap_or_default();
        Self { entry, given, globals, used, found: Vec::new() }
    }

    fn run(&mut self) {
        let mut scopes: Vec<(Option<&str>, Scope, bool)> = Vec::new();
        for stage in &self.entry.containerfile.stages {
            let base = stage.base.expand(&|name| self.globals.get(name).cloned());
            let base = base.unwrap_or_default().to_lowercase();
            let parent = scopes.iter().rev().find(|(name, ..)| *name == Some(base.as_str()));
            // A stage inherits ARG and ENV of the stage that it starts from. Those of an image
            // are not known here.
            let (mut scope, whole) = match parent {
                Some((_, scope, whole)) => (scope.clone(), *whole),
                None => (Scope::new(), base == "scratch"),
            };
            self.stage(stage, &mut scope, whole);
            scopes.push((stage.name.as_ref().map(|name| name.value.as_str()), scope, whole));
        }
    }

    /// Follows a stage; `whole` says that no variable can come from elsewhere.
    fn stage(&mut self, stage: &Stage, scope: &mut Scope, whole: bool) {
        for instruction in &stage.instructions {
            match &instruction.value {
                Instruction::Arg(arguments) => {
                    arguments.iter().for_each(|argument| self.argument(argument, scope, whole));
                }
                Instruction::Env(assignments) => {
                    let before = scope.clone();
                    for assignment in assignments {
                        let Some(key) = expand(&assignment.key, &before, whole) else { continue };
                        let value = expand(&assignment.value, &before, whole);
                        scope.insert(key, value.map_or(Known::Later, Known::Value));
                    }
                }
                Instruction::Add(add) => self.sources(&add.sources, "fetch", scope, whole),
                Instruction::Copy(copy) => {
                    match copy.from.as_ref().map(|from| from.value.as_str()) {
                        None => self.sources(&copy.sources, "fetch", scope, whole),
                        Some("fetch") => self.sources(&copy.sources, "", scope, whole),
                        Some(_) => {}
                    }
                }
                Instruction::Run(run) => {
                    // A mount shows all of it or a part; either way commands may read it.
                    for mount in &run.mounts {
                        let value = |key: &str| {
                            let option =
                                mount.options.iter().find(|option| option.key.value == key);
                            option.and_then(|option| option.value.as_ref()).map(Word::raw)
                        };
                        let kind = value("type").unwrap_or("bind");
                        let from = value("from").unwrap_or_default();
                        if kind == "bind" && matches!(from, "" | "fetch") {
                            self.use_all();
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn argument(&mut self, argument: &Argument, scope: &mut Scope, whole: bool) {
        let Some(name) = expand(&argument.name, scope, whole) else { return };
        let value = if let Some(given) = self.given.get(&name) {
            Known::Value(given.clone())
        } else if let Some(default) = &argument.default {
            expand(default, scope, whole).map_or(Known::Later, Known::Value)
        } else if let Some(global) = self.globals.get(&name) {
            Known::Value(global.clone())
        } else {
            self.unset(&name, argument);
            // The command line may set it.
            Known::Later
        };
        scope.insert(name, value);
    }

    /// An argument that looks like a source's but is none.
    fn unset(&mut self, name: &str, argument: &Argument) {
        let suffix = ["_SOURCE", "_VERSION", "_GIT_SHA"].into_iter().find(|s| name.ends_with(s));
        if suffix.is_none() {
            return;
        }
        let known = self.given.keys().map(String::as_str);
        let warning = argument
            .name
            .warning(format!("nothing sets {name}"))
            .with_help("give it a default here, or package.toml the source")
            .with_nearest(name, known);
        self.found.push(warning);
    }

    fn use_all(&mut self) {
        self.used.extend(self.entry.package.sources.values().map(|source| source.file.clone()));
    }

    /// Notes which sources are taken by paths below `folder` of a build context.
    fn sources(&mut self, sources: &[CopySource], folder: &str, scope: &Scope, whole: bool) {
        for source in sources {
            let CopySource::Path(word) = source else { continue };
            match expand(word, scope, whole) {
                Some(path) if path.contains("://") => {}
                Some(path) => self.path(word, &path, folder),
                // It may be any of them.
                None => self.use_all(),
            }
        }
    }

    fn path(&mut self, word: &Word, path: &str, folder: &str) {
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let rest = match (folder, parts.as_slice()) {
            ("", rest) => rest,
            (folder, [first, rest @ ..]) if *first == folder => rest,
            // The whole context, or a wildcard that may cover the folder.
            (folder, [first, ..]) if matches(first, folder) => return self.use_all(),
            (_, []) => return self.use_all(),
            _ => return,
        };
        let Some(name) = rest.first() else { return self.use_all() };
        let files: Vec<&str> =
            self.entry.package.sources.values().map(|source| source.file.as_str()).collect();
        let taken: Vec<&str> = files.iter().copied().filter(|file| matches(name, file)).collect();
        if taken.is_empty() {
            // BuildKit takes a wildcard that matches nothing for nothing.
            let error = match name.contains(['*', '?']) {
                true => word.warning(format!("no source matches `{path}`")),
                false => word.error(format!("no source gives `{path}`")),
            };
            let known = match files.is_empty() {
                true => "package.toml lists no sources".to_owned(),
                false => format!("package.toml lists {}", files.join(", ")),
            };
            self.found.push(error.with_help(known).with_nearest(name, files));
        }
        self.used.extend(taken.into_iter().map(str::to_owned));
    }
}

/// The text of a word, unless it needs what is not known.
fn expand(word: &Word, scope: &Scope, whole: bool) -> Option<String> {
    let unknown = Cell::new(false);
    let look = |name: &str| match scope.get(name) {
        Some(Known::Value(value)) => Some(value.clone()),
        Some(Known::Later) => {
            unknown.set(true);
            Some("1".to_owned())
        }
        None => {
            unknown.set(unknown.get() || !whole);
            None
        }
    };
    let text = word.expand(&look).ok()?;
    (!unknown.get()).then_some(text)
}

/// Whether a file's name matches a pattern of `*` and `?`; one with `[` is taken to match.
fn matches(pattern: &str, name: &str) -> bool {
    if pattern.contains(['[', '\\']) {
        return true;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stood, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, fits) in [
            ("a.tar", "a.tar", true),
            ("a.tar", "a.tar.gz", false),
            ("*", "x", true),
            ("*.patch", "one.patch", true),
            ("*.patch", "one.patch.gz", false),
            ("a*b*c", "aXbYbZc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
