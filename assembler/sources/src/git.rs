//! Archives of a forge, made from a local clone.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A local (bare) clone that stands for a repository on a forge.
#[derive(Debug, Clone)]
pub struct Clone {
    /// The repository's address without a trailing slash or `.git`, e.g.
    /// `https://forge.example/owner/name`.
    pub url: String,
    /// The clone.
    pub path: PathBuf,
}

/// What to ask `git archive` for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Archive<'a> {
    pub(crate) clone: &'a Path,
    pub(crate) revision: &'a str,
    pub(crate) prefix: String,
}

/// The archive that `url` (`…/archive/<revision>.tar.gz`) names, where a clone stands for its
/// repository.
pub(crate) fn archive<'a>(clones: &'a [Clone], url: &'a str) -> Option<Archive<'a>> {
    clones.iter().find_map(|clone| {
        let base = clone.url.trim_end_matches('/').trim_end_matches(".git");
        let rest = url.strip_prefix(base)?.strip_prefix("/archive/")?;
        let revision = rest.strip_suffix(".tar.gz")?;
        let revision = revision.strip_prefix("refs/tags/").unwrap_or(revision);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if revision.is_empty() || revision.starts_with('-') || !revision.chars().all(plain) {
            return None;
        }
        let name = base.rsplit('/').next()?;
        // Forges drop the v of a version tag in the folder's name.
        let shown = match revision.strip_prefix('v') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
            _ => revision,
        };
        let prefix = format!("{name}-{}/", shown.replace('/', "-"));
        Some(Archive { clone: &clone.path, revision, prefix })
    })
}

/// A running `git archive`; reads as the archive's bytes.
pub(crate) struct Running {
    child: Child,
}

impl Archive<'_> {
    /// Starts git. Its output is the tar stream compressed by git itself, as forges serve it.
    pub(crate) fn start(&self) -> io::Result<Running> {
        let child = Command::new("git")
            .arg("-C")
            .arg(self.clone)
            .args(["-c", "tar.tar.gz.command=git archive gzip"])
            .args(["archive", "--format=tar.gz", &format!("--prefix={}", self.prefix)])
            .arg(self.revision)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("git: {error}")))?;
        Ok(Running { child })
    }
}

impl Running {
    /// Waits for the end; the error is the last line git wrote.
    pub(crate) fn finish(mut self) -> io::Result<Result<(), String>> {
        drop(self.child.stdout.take());
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            stderr.take(1 << 16).read_to_string(&mut said)?;
        }
        if self.child.wait()?.success() {
            return Ok(Ok(()));
        }
        Ok(Err(said.lines().last().unwrap_or("no message").to_owned()))
    }
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.child.stdout {
            Some(stdout) => stdout.read(buffer),
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_archives_of_known_repositories_only() {
        let clones =
            [Clone { url: "https://f.example/o/tool".to_owned(), path: PathBuf::from("/c") }];
        let found = archive(&clones, "https://f.example/o/tool/archive/0a1b.tar.gz").unwrap();
        assert_eq!((found.revision, found.prefix.as_str()), ("0a1b", "tool-0a1b/"));
        let tag =
            archive(&clones, "https://f.example/o/tool/archive/refs/tags/v1.2.tar.gz").unwrap();
        assert_eq!((tag.revision, tag.prefix.as_str()), ("v1.2", "tool-1.2/"));
        for url in [
            "https://f.example/o/tool2/archive/0a.tar.gz",
            "https://f.example/o/tool/archive/--output=x.tar.gz",
            "https://f.example/o/tool/archive/a b.tar.gz",
            "https://f.example/o/tool/releases/0a.tar.gz",
        ] {
            assert_eq!(archive(&clones, url), None, "{url}");
        }
    }
}
