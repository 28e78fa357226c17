//! Where things are: the user's configuration, the environment, the machine.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use stagex_sources::{GitClone, Mirrors, Options};

use crate::{args::Global, failure::Failure};

/// The user's configuration file, `stagex/config.toml` in the folder of configurations.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// The folder of caches.
    cache: Option<PathBuf>,
    /// Folders of local sources.
    sources: Vec<PathBuf>,
    /// Whether to leave the network alone.
    offline: bool,
    /// Where schemes lie.
    mirrors: BTreeMap<String, Addresses>,
    /// Local clones by the address of the repository they stand for.
    clones: BTreeMap<String, PathBuf>,
}

/// One address or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Addresses {
    One(String),
    Several(Vec<String>),
}

/// All that does not come from the project.
#[derive(Debug)]
pub(crate) struct Config {
    /// The folder of caches: the store, the sources.
    pub(crate) cache: PathBuf,
    /// Where sources come from, less what the project says.
    pub(crate) sources: Options,
}

impl Config {
    /// Reads the command line, the environment, the user's file and the machine, in this order
    /// of precedence.
    pub(crate) fn load(global: &Global) -> Result<Self, Failure> {
        let file = read_file()?;
        let cache = global
            .cache
            .clone()
            .or_else(|| env::var_os("STAGEX_CACHE").map(PathBuf::from))
            .or(file.cache)
            .or_else(default_cache)
            .ok_or_else(|| {
                Failure::wrong("no folder for the cache is known: set HOME, or use --cache")
            })?;
        let mut sources = Options::new(cache.join("sources"));
        sources.local.clone_from(&global.sources);
        if let Some(folders) = env::var_os("STAGEX_SOURCES") {
            let folders = env::split_paths(&folders).filter(|path| !path.as_os_str().is_empty());
            sources.local.extend(folders);
        }
        sources.local.extend(file.sources);
        sources.offline = global.offline || file.offline || is_set("STAGEX_OFFLINE");
        sources.clones =
            file.clones.into_iter().map(|(url, path)| GitClone { url, path }).collect();
        for (name, value) in env::vars() {
            if let Some(scheme) = name.strip_prefix("STAGEX_MIRROR_") {
                let bases = value.split_whitespace().map(str::to_owned).collect();
                sources.mirrors.insert(scheme.to_lowercase(), bases);
            }
        }
        for (scheme, bases) in file.mirrors {
            let bases = match bases {
                Addresses::One(base) => vec![base],
                Addresses::Several(bases) => bases,
            };
            sources.mirrors.entry(scheme).or_default().extend(bases);
        }
        for folder in &sources.local {
            if !folder.is_dir() {
                return Err(Failure::wrong(format!(
                    "the folder of sources {} does not exist",
                    folder.display()
                )));
            }
        }
        Ok(Self { cache, sources })
    }

    /// Adds the project's mirrors, and the machine's own for Debian's files, behind the user's.
    pub(crate) fn with_mirrors(mut self, project: &Mirrors) -> Self {
        for (scheme, bases) in project {
            self.sources.mirrors.entry(scheme.clone()).or_default().extend(bases.iter().cloned());
        }
        let debian = self.sources.mirrors.entry("debian".to_owned()).or_default();
        debian.extend(machine_mirrors());
        self
    }
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

fn home(variable: &str, below: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    env::var_os(variable)
        .map(PathBuf::from)
        .and_then(absolute)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(below)))
}

fn default_cache() -> Option<PathBuf> {
    Some(home("XDG_CACHE_HOME", ".cache")?.join("stagex"))
}

fn read_file() -> Result<File, Failure> {
    let Some(folder) = home("XDG_CONFIG_HOME", ".config") else { return Ok(File::default()) };
    let path = folder.join("stagex/config.toml");
    match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text)
            .map_err(|error| Failure::wrong(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(Failure::at(&path)(error)),
    }
}

/// The Debian mirrors that the machine's own package manager uses.
fn machine_mirrors() -> Vec<String> {
    let mut texts = Vec::new();
    texts.extend(std::fs::read_to_string("/etc/apt/sources.list"));
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let listed = |path: &&PathBuf| {
            path.extension().is_some_and(|suffix| suffix == "list" || suffix == "sources")
        };
        texts.extend(paths.iter().filter(listed).flat_map(std::fs::read_to_string));
    }
    stagex_sources::debian_mirrors(texts.iter().map(String::as_str))
}

/// A path as people write it, relative to where they are.
pub(crate) fn shown(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
