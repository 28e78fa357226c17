//! `digests/box.txt`: the digest of each output of each box.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use stagex_boxes::Stamp;

use crate::{failure::Failure, session::Session};

/// The lock, a line each: `<sha256> <architecture>/<file>`.
pub(crate) const LOCK: &str = "digests/box.txt";

/// Digests by what they are of.
pub(crate) type Digests = BTreeMap<String, String>;

/// The digests of files below out/, by their place there.
pub(crate) fn digests(session: &Session, files: &[(PathBuf, Stamp)]) -> Digests {
    let out = session.project.out();
    files.iter().map(|(path, stamp)| (name(&out, path), stamp.sha256.clone())).collect()
}

/// What a file below out/ is called in the lock.
pub(crate) fn name(out: &Path, path: &Path) -> String {
    path.strip_prefix(out).unwrap_or(path).display().to_string()
}

/// Reads the lock of the project in `root`; empty where there is none.
pub(crate) fn read(root: &Path) -> Result<Digests, Failure> {
    let path = root.join(LOCK);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::at(&path)(error)),
    };
    let mut digests = Digests::new();
    for (number, line) in text.lines().enumerate() {
        let good = |digest: &str| {
            digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let parts = line.split_once(' ').filter(|(digest, name)| good(digest) && !name.is_empty());
        let Some((digest, name)) = parts else {
            let text = format!("{LOCK}:{}: a line is `<sha256> <architecture>/<file>`", number + 1);
            return Err(Failure::wrong(text));
        };
        if digests.insert(name.to_owned(), digest.to_owned()).is_some() {
            return Err(Failure::wrong(format!("{LOCK}:{}: {name} is there twice", number + 1)));
        }
    }
    Ok(digests)
}

/// Writes `found` into the lock, in the place of what it has of the same names.
pub(crate) fn write(root: &Path, found: &Digests) -> Result<(), Failure> {
    let mut all = read(root)?;
    all.extend(found.iter().map(|(name, digest)| (name.clone(), digest.clone())));
    let text: String = all.iter().map(|(name, digest)| format!("{digest} {name}\n")).collect();
    stagex_boxes::write_aside(&root.join(LOCK), |file| file.write_all(text.as_bytes()))
        .map(drop)
        .map_err(Failure::failed)
}

/// What of `found` the lock has otherwise, or not at all, a sentence each.
pub(crate) fn differences(locked: &Digests, found: &Digests) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, digest) in found {
        match locked.get(name) {
            Some(other) if other == digest => {}
            Some(other) => wrong.push(format!("{name} is {digest}, and {LOCK} has {other}")),
            None => wrong.push(format!("{name} is {digest}, and {LOCK} has no line of it")),
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
        let one = |name: &str, digit: &str| (name.to_owned(), digit.repeat(64));
        assert!(read(folder.path()).unwrap().is_empty());
        write(folder.path(), &Digests::from([one("x86_64/b.iso", "1"), one("arm64/b.iso", "2")]))
            .unwrap();
        write(folder.path(), &Digests::from([one("x86_64/b.iso", "3")])).unwrap();
        let locked = read(folder.path()).unwrap();
        assert_eq!(locked, Digests::from([one("x86_64/b.iso", "3"), one("arm64/b.iso", "2")]));
        assert!(differences(&locked, &locked).is_empty());
        let found = Digests::from([one("x86_64/b.iso", "1"), one("riscv64/b.iso", "2")]);
        let wrong = differences(&locked, &found);
        assert!(
            wrong[0].ends_with("has no line of it") && wrong[1].contains("has 333"),
            "{wrong:?}"
        );
        for bad in ["x y\n", "\n", &format!("{} a\n{} a\n", "1".repeat(64), "1".repeat(64))] {
            fs::write(folder.path().join(LOCK), bad).unwrap();
            assert!(read(folder.path()).is_err(), "{bad:?}");
        }
    }
}
