//! Waits until files are on disk.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many files are waited for at once: a file system brings to disk together what is asked of
/// it at the same time.
const AT_ONCE: usize = 8;

/// Waits until the files and directories are on disk; else says which was the first that could
/// not be brought there, and why.
pub(crate) fn all<P: AsRef<Path> + Sync>(paths: &[P]) -> Result<(), (PathBuf, io::Error)> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let work = || {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = path.as_ref();
            if let Err(error) = File::open(path).and_then(|file| file.sync_all()) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert((path.to_owned(), error));
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(paths.len().div_ceil(2)) {
            // Where there are no threads to be had, this one does it all.
            drop(std::thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_synced_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut paths: Vec<PathBuf> =
            (0..50).map(|at| folder.path().join(at.to_string())).collect();
        paths.iter().for_each(|path| std::fs::write(path, "x").unwrap());
        paths.push(folder.path().to_owned());
        all(&paths).unwrap();
        all::<PathBuf>(&[]).unwrap();
        std::fs::remove_file(&paths[30]).unwrap();
        let (path, error) = all(&paths).unwrap_err();
        assert_eq!((&path, error.kind()), (&paths[30], io::ErrorKind::NotFound));
    }
}
