//! Directories in which things are made before they have a name.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{StoreError, disk, lock::Lock};

/// One process's part of `tmp/`: a directory, and a lock file beside it that is held for as
/// long as the process uses it.
#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: Lock,
    count: AtomicU64,
}

/// An empty directory on the store's file system, removed when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _session: Arc<Session>,
}

impl Session {
    pub(super) fn new(tmp: &Path) -> Result<Arc<Self>, StoreError> {
        // Process ids repeat across namespaces, so a taken name is passed over.
        let mut count = 0_u64;
        loop {
            let name = format!("{}-{count}", std::process::id());
            let lock_path = tmp.join(format!("{name}.lock"));
            count += 1;
            let opened = OpenOptions::new().write(true).create_new(true).open(&lock_path);
            let lock = match opened {
                Ok(lock) => lock,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(StoreError::at("making", &lock_path)(error)),
            };
            let lock = match Lock::try_alone(lock, &lock_path)? {
                Some(lock) if lock.is_of(&lock_path) => lock,
                // A sweep came between: it takes the name, we take the next.
                _ => continue,
            };
            let path = tmp.join(name);
            disk::make_directory(&path)?;
            return Ok(Arc::new(Self { path, lock_path, _lock: lock, count: AtomicU64::new(0) }));
        }
    }

    pub(super) fn scratch(self: &Arc<Self>) -> Result<Scratch, StoreError> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(count.to_string());
        disk::make_directory(&path)?;
        Ok(Scratch { path, _session: self.clone() })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What cannot be removed now is swept later, once the lock is free.
        if disk::remove_tree(&self.path).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

impl Scratch {
    /// Where it is, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = disk::remove_tree(&self.path);
    }
}

/// Removes what processes that no longer live left in `tmp`; returns how many sessions went. If
/// there is any, `clears` is told before how many folders they had made things in.
///
/// What cannot be removed, as in a store that is read-only, is left for another time.
pub(super) fn sweep(tmp: &Path, clears: &mut dyn FnMut(u64)) -> u64 {
    let dead = dead_sessions(tmp);
    let folders = |(path, _, _): &(PathBuf, PathBuf, Lock)| {
        fs::read_dir(path).map_or(0, |entries| entries.count() as u64)
    };
    let count: u64 = dead.iter().map(folders).sum();
    if count != 0 {
        clears(count);
    }
    let mut swept = 0;
    for (path, lock_path, _lock) in dead {
        if disk::remove_tree(&path).is_ok() {
            let _ = fs::remove_file(&lock_path);
            swept += 1;
        }
    }
    swept
}

/// The sessions of processes that no longer live: the directory and the lock file of each, which
/// is held from now on.
fn dead_sessions(tmp: &Path) -> Vec<(PathBuf, PathBuf, Lock)> {
    let mut dead = Vec::new();
    let Ok(entries) = fs::read_dir(tmp) else { return dead };
    for entry in entries.flatten() {
        let lock_path = entry.path();
        if lock_path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(lock) = OpenOptions::new().write(true).open(&lock_path) else { continue };
        match Lock::try_alone(lock, &lock_path) {
            Ok(Some(lock)) if lock.is_of(&lock_path) => {
                dead.push((lock_path.with_extension(""), lock_path, lock));
            }
            _ => {}
        }
    }
    dead
}
