//! The lock of a project: what the images of its packages must hash to.
//!
//! ```text
//! digests/core.txt           <sha256> core-musl
//!                            <sha256> arm64/core-musl
//! digests/debian/core.txt    the same, built with the foreign seed `debian`
//! ```
//!
//! A line holds the digest of an image and its name, as its layout is named below `out/`. What was
//! built with a foreign seed is locked in a folder of the seed's name and never compared with what
//! was bootstrapped. Lines that name a part of a package, `bootstrap-stage0/hex0`, are others', and
//! so are files called `box.txt`, which lock the outputs of boxes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use stagex_recipe::boxes::Architecture;
use stagex_tree::Digest;

/// The files that lock what boxes are written as: no packages, whatever their lines look like.
const BOXES: &str = "box.txt";

/// Why the lock cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A line that is no digest and name.
    #[error("{}:{line}: a line is `<sha256> <package>`", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An image is locked twice.
    #[error("{}:{line}: {name} is locked by an earlier line, or in another file", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The image.
        name: String,
    },
}

/// An image that is locked: what it is called, and the foreign seeds that it was built with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locked {
    /// The seeds, joined by `+`; empty for what is bootstrapped.
    pub seeds: String,
    /// What it is built for.
    pub architecture: Architecture,
    /// The id.
    pub id: String,
}

impl Locked {
    /// An image by its parts.
    pub fn new(seeds: &BTreeSet<String>, architecture: Architecture, id: &str) -> Self {
        let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
        Self { seeds: seeds.join("+"), architecture, id: id.to_owned() }
    }

    /// What lines call it: the id, after the architecture if that is not x86_64.
    pub fn name(&self) -> String {
        match self.architecture {
            Architecture::X86_64 => self.id.clone(),
            other => format!("{other}/{}", self.id),
        }
    }

    /// The file that its line belongs in, relative to the lock's folder.
    fn file(&self) -> PathBuf {
        let root = self.id.split('-').next().unwrap_or_default();
        Path::new(&self.seeds).join(format!("{root}.txt"))
    }

    fn parse(seeds: &str, name: &str) -> Option<Self> {
        let (architecture, id) = match name.split_once('/') {
            None => (Architecture::X86_64, name),
            Some((architecture, id)) => (Architecture::parse(architecture)?, id),
        };
        Some(Self { seeds: seeds.to_owned(), architecture, id: id.to_owned() })
    }
}

/// What is locked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    folder: PathBuf,
    /// By image the digest, and the file that has it, relative to the folder.
    lines: BTreeMap<Locked, (Digest, PathBuf)>,
    /// Lines of each file that are others'.
    others: BTreeMap<PathBuf, Vec<String>>,
    changed: BTreeSet<PathBuf>,
}

impl Lock {
    /// Reads the files of a folder; one that is not there locks nothing.
    pub fn read(folder: &Path) -> Result<Self, LockError> {
        let mut lock = Self { folder: folder.to_owned(), ..Self::default() };
        for name in list(folder)? {
            let path = folder.join(&name);
            if path.is_dir() {
                for file in list(&path)? {
                    lock.read_file(&name, &Path::new(&name).join(file))?;
                }
            } else {
                lock.read_file("", Path::new(&name))?;
            }
        }
        Ok(lock)
    }

    fn read_file(&mut self, seeds: &str, file: &Path) -> Result<(), LockError> {
        let is_lock = file.extension().is_some_and(|suffix| suffix == "txt");
        if !is_lock || file.file_name().is_some_and(|name| name == BOXES) {
            return Ok(());
        }
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path)
            .map_err(|error| LockError::Io { path: path.clone(), error })?;
        let others = self.others.entry(file.to_owned()).or_default();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                others.push(line.to_owned());
                continue;
            }
            let number = number + 1;
            let parts = line.split_once(' ').and_then(|(digest, name)| {
                let name = name.trim();
                let good = !name.is_empty() && !name.contains(char::is_whitespace);
                good.then_some((digest.parse::<Digest>().ok()?, name))
            });
            let Some((digest, name)) = parts else {
                return Err(LockError::Line { path, line: number });
            };
            match Locked::parse(seeds, name) {
                None => others.push(line.to_owned()),
                Some(locked) => {
                    if self.lines.insert(locked, (digest, file.to_owned())).is_some() {
                        let name = name.to_owned();
                        return Err(LockError::Twice { path, line: number, name });
                    }
                }
            }
        }
        Ok(())
    }

    /// The digest of an image.
    pub fn get(&self, image: &Locked) -> Option<Digest> {
        self.lines.get(image).map(|(digest, _)| *digest)
    }

    /// All images that are locked, in order.
    pub fn images(&self) -> impl Iterator<Item = &Locked> {
        self.lines.keys()
    }

    /// Locks an image, in place of what it was locked to; gives that. Nothing is written yet.
    pub fn put(&mut self, image: Locked, digest: Digest) -> Option<Digest> {
        let file = image.file();
        let before = self.lines.get(&image).cloned();
        if let Some((known, old)) = &before {
            if *known == digest && *old == file {
                return Some(digest);
            }
            self.changed.insert(old.clone());
        }
        self.changed.insert(file.clone());
        self.lines.insert(image, (digest, file));
        before.map(|(digest, _)| digest)
    }

    /// Writes the files in which something changed, each whole or not at all; gives their paths.
    pub fn write(&mut self) -> Result<Vec<PathBuf>, LockError> {
        let mut written = Vec::new();
        for file in std::mem::take(&mut self.changed) {
            let path = self.folder.join(&file);
            let mut text = String::new();
            for line in self.others.get(&file).into_iter().flatten() {
                text.push_str(line);
                text.push('\n');
            }
            let mut lines: Vec<(String, &Digest)> = self
                .lines
                .iter()
                .filter(|(_, (_, place))| *place == file)
                .map(|(image, (digest, _))| (image.name(), digest))
                .collect();
            lines.sort();
            for (name, digest) in lines {
                text.push_str(&format!("{digest} {name}\n"));
            }
            write(&path, &text).map_err(|error| LockError::Io { path: path.clone(), error })?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Writes a file aside and gives it its name; without content it is removed.
fn write(path: &Path, text: &str) -> io::Result<()> {
    use io::Write as _;
    if text.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::create(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

/// The names in a folder, sorted; none if there is no such folder.
fn list(folder: &Path) -> Result<Vec<String>, LockError> {
    let failed = |error| LockError::Io { path: folder.to_owned(), error };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, architecture: Architecture, seeds: &[&str]) -> Locked {
        let seeds = seeds.iter().map(|seed| (*seed).to_owned()).collect();
        Locked::new(&seeds, architecture, id)
    }

    #[test]
    fn lines_go_where_they_belong_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let [one, two] = ["one", "two"].map(Digest::of);
        let text = format!("# kept\n{one} bootstrap-a\n{one} bootstrap-a/part\n{two} stage1-b\n");
        fs::write(path("bootstrap.txt"), &text).unwrap();
        fs::write(path("box.txt"), format!("{one} x86_64/a.iso\n")).unwrap();
        let mut lock = Lock::read(folder.path()).unwrap();
        let (x86, arm) = (Architecture::X86_64, Architecture::Arm64);
        assert_eq!(lock.get(&image("stage1-b", x86, &[])), Some(two));
        assert_eq!(lock.get(&image("stage1-b", x86, &["debian"])), None);
        assert_eq!(lock.images().count(), 2);
        assert_eq!(lock.put(image("bootstrap-a", x86, &[]), one), Some(one));
        assert!(lock.write().unwrap().is_empty());
        // It belongs in another file, whether or not its digest changed.
        assert_eq!(lock.put(image("stage1-b", x86, &[]), two), Some(two));
        lock.put(image("stage1-b", arm, &[]), one);
        lock.put(image("core-c", x86, &["debian"]), one);
        assert_eq!(
            lock.write().unwrap(),
            ["bootstrap.txt", "debian/core.txt", "stage1.txt"].map(path)
        );
        let read = |name: &str| fs::read_to_string(path(name)).unwrap();
        let text = format!("# kept\n{one} bootstrap-a/part\n{one} bootstrap-a\n");
        assert_eq!(read("bootstrap.txt"), text);
        assert_eq!(read("stage1.txt"), format!("{one} arm64/stage1-b\n{two} stage1-b\n"));
        assert_eq!(read("debian/core.txt"), format!("{one} core-c\n"));
        let again = Lock::read(folder.path()).unwrap();
        assert_eq!(again.lines, lock.lines);
        assert!(Lock::read(&path("nowhere")).unwrap().images().next().is_none());
    }

    #[test]
    fn what_is_no_lock_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("core.txt");
        let digest = Digest::of("");
        let says = |text: String| {
            fs::write(&file, text).unwrap();
            Lock::read(folder.path()).unwrap_err().to_string()
        };
        assert!(says(format!("{digest} core-a\nabcd core-b\n")).contains("core.txt:2: a line is"));
        assert!(says(format!("{digest} a b\n")).contains("core.txt:1: a line is"));
        assert!(
            says(format!("{digest} core-a\n\n{digest} core-a\n"))
                .contains("core.txt:3: core-a is locked by an earlier line")
        );
    }
}
