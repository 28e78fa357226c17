//! `digests/box.txt`: the digest of each output of each box.
//!
//! As with packages, what was built with a foreign seed is locked in a folder of the seed's name,
//! `digests/debian/box.txt`, and never compared with what is bootstrapped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use stagex_recipe::boxes::Architecture;

use crate::{commands::boxes::Made, failure::Failure, session::Session};

/// The folder of all locks, relative to stagex.toml.
const FOLDER: &str = "digests";
/// The lock, a line each: `<sha256> <architecture>/<file>`.
const FILE: &str = "box.txt";

/// Digests by what they are of.
pub(crate) type Digests = BTreeMap<Line, String>;

/// What a line of the lock is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// The foreign seeds that it was built with, joined by `+`; empty for what is bootstrapped.
    seeds: String,
    /// Its place below out/.
    pub(crate) name: String,
}

impl Line {
    /// That of a file below out/.
    pub(crate) fn new(seeds: &BTreeSet<String>, out: &Path, path: &Path) -> Self {
        let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
        Self { seeds: seeds.join("+"), name: name(out, path) }
    }

    /// The file of the lock that has it, relative to stagex.toml.
    fn file(&self) -> PathBuf {
        // An empty part of a path adds nothing.
        [FOLDER, &self.seeds, FILE].into_iter().filter(|part| !part.is_empty()).collect()
    }
}

/// The digests of what was made of a box.
pub(crate) fn digests(session: &Session, made: &Made) -> Digests {
    let out = session.project.out();
    let line = |path: &PathBuf| Line::new(&made.seeds, &out, path);
    made.files.iter().map(|(path, stamp)| (line(path), stamp.sha256.clone())).collect()
}

/// What a file below out/ is called in the lock.
pub(crate) fn name(out: &Path, path: &Path) -> String {
    path.strip_prefix(out).unwrap_or(path).display().to_string()
}

/// Reads the locks of the project in `root`; empty where there are none.
pub(crate) fn read(root: &Path) -> Result<Digests, Failure> {
    let mut digests = Digests::new();
    read_file(root, "", &mut digests)?;
    let folder = root.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(digests),
        Err(error) => return Err(Failure::at(&folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Failure::at(&folder))?;
        if entry.path().is_dir() {
            read_file(root, &entry.file_name().to_string_lossy(), &mut digests)?;
        }
    }
    Ok(digests)
}

fn read_file(root: &Path, seeds: &str, digests: &mut Digests) -> Result<(), Failure> {
    let line = |name: &str| Line { seeds: seeds.to_owned(), name: name.to_owned() };
    let file = line("").file();
    let path = root.join(&file);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::at(&path)(error)),
    };
    for (number, text) in text.lines().enumerate() {
        let good = |digest: &str| {
            digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let place = format!("{}:{}", file.display(), number + 1);
        let parts = text.split_once(' ').filter(|(digest, name)| good(digest) && !name.is_empty());
        let Some((digest, name)) = parts else {
            let text = format!("{place}: a line is `<sha256> <architecture>/<file>`");
            return Err(Failure::wrong(text));
        };
        if digests.insert(line(name), digest.to_owned()).is_some() {
            return Err(Failure::wrong(format!("{place}: {name} is there twice")));
        }
    }
    Ok(())
}

/// Writes `found` into the locks, in the place of what they have of the same; gives their paths.
pub(crate) fn write(root: &Path, found: &Digests) -> Result<BTreeSet<PathBuf>, Failure> {
    let mut all = read(root)?;
    all.extend(found.iter().map(|(line, digest)| (line.clone(), digest.clone())));
    let files: BTreeSet<PathBuf> = found.keys().map(Line::file).collect();
    for file in &files {
        let of_file = all.iter().filter(|(line, _)| line.file() == *file);
        let text: String =
            of_file.map(|(line, digest)| format!("{digest} {}\n", line.name)).collect();
        let path = root.join(file);
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder).map_err(Failure::at(folder))?;
        stagex_boxes::write_aside(&path, |file| file.write_all(text.as_bytes()))
            .map_err(Failure::failed)?;
    }
    Ok(files)
}

/// Whether anything of a box is locked for an architecture.
pub(crate) fn has(locked: &Digests, box_name: &str, architecture: Architecture) -> bool {
    let start = format!("{architecture}/{box_name}.");
    locked.keys().any(|line| line.name.starts_with(&start))
}

/// What of `found` the lock has otherwise, or not at all, a sentence each.
pub(crate) fn differences(locked: &Digests, found: &Digests) -> Vec<String> {
    let mut wrong = Vec::new();
    for (line, digest) in found {
        let (file, name) = (line.file(), &line.name);
        let file = file.display();
        match locked.get(line) {
            Some(other) if other == digest => {}
            Some(other) => wrong.push(format!("{name} is {digest}, and {file} has {other}")),
            None => wrong.push(format!("{name} is {digest}, and {file} has no line of it")),
        }
    }
    wrong
}

/// Says how what was built stands to the lock; a difference is an error where it is to hold.
pub(crate) fn compare(
    session: &Session,
    found: &Digests,
    locked: bool,
) -> Result<ExitCode, Failure> {
    let lock = read(&session.project.root)?;
    let wrong = differences(&lock, found);
    if locked && !wrong.is_empty() {
        return Err(mismatch(&wrong));
    }
    for text in wrong.iter().filter(|_| !lock.is_empty()) {
        session.progress.say(&format!("note: {text}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The error for what the lock has otherwise.
pub(crate) fn mismatch(wrong: &[String]) -> Failure {
    Failure::mismatch(format!(
        "what was built is not what was locked:\n  {}\nhelp: the same sources give the same bytes \
         everywhere; if they were changed on purpose, run\n      stagex box verify NAME --lock",
        wrong.join("\n  ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_written_read_and_compared() {
        let folder = tempfile::tempdir().unwrap();
        let of = |seeds: &str, name: &str, digit: &str| {
            let line = Line { seeds: seeds.to_owned(), name: name.to_owned() };
            (line, digit.repeat(64))
        };
        let one = |name: &str, digit: &str| of("", name, digit);
        assert!(read(folder.path()).unwrap().is_empty());
        write(folder.path(), &Digests::from([one("x86_64/b.iso", "1"), one("arm64/b.iso", "2")]))
            .unwrap();
        write(folder.path(), &Digests::from([one("x86_64/b.iso", "3")])).unwrap();
        let locked = read(folder.path()).unwrap();
        assert_eq!(locked, Digests::from([one("x86_64/b.iso", "3"), one("arm64/b.iso", "2")]));
        assert!(differences(&locked, &locked).is_empty());
        assert!(has(&locked, "b", Architecture::Arm64));
        assert!(
            !has(&locked, "b", Architecture::Riscv64) && !has(&locked, "", Architecture::Arm64)
        );
        let found = Digests::from([one("x86_64/b.iso", "1"), one("riscv64/b.iso", "2")]);
        let wrong = differences(&locked, &found);
        assert!(
            wrong[0].ends_with("has no line of it") && wrong[1].contains("has 333"),
            "{wrong:?}"
        );

        // What a foreign seed built is locked apart.
        let foreign = Digests::from([of("debian", "x86_64/b.iso", "4")]);
        let wrong = differences(&locked, &foreign);
        assert!(wrong[0].contains("digests/debian/box.txt has no line"), "{wrong:?}");
        let files = write(folder.path(), &foreign).unwrap();
        assert_eq!(files, BTreeSet::from([PathBuf::from("digests/debian/box.txt")]));
        let locked = read(folder.path()).unwrap();
        assert_eq!(locked.len(), 3);
        assert!(differences(&locked, &foreign).is_empty());
        let text = fs::read_to_string(folder.path().join("digests/debian/box.txt")).unwrap();
        assert_eq!(text, format!("{} x86_64/b.iso\n", "4".repeat(64)));

        for bad in ["x y\n", "\n", &format!("{} a\n{} a\n", "1".repeat(64), "1".repeat(64))] {
            fs::write(folder.path().join("digests/box.txt"), bad).unwrap();
            assert!(read(folder.path()).is_err(), "{bad:?}");
        }
    }
}
