//! Locks on files, between processes.

use std::{fs::File, os::unix::fs::MetadataExt, path::Path};

use rustix::{fs::FlockOperation, io::Errno};

use super::StoreError;

/// A file that is locked until this is dropped.
///
/// To close the file is not enough: a child that another thread is about to start has it open,
/// too, until it runs its own program, and the lock would last as long.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Locks `file`, which is at `path`, for others to share; waits for who has it alone.
    pub(super) fn shared(file: File, path: &Path) -> Result<Self, StoreError> {
        flock(&file, FlockOperation::LockShared, path)?;
        Ok(Self(file))
    }

    /// Locks `file`, which is at `path`, for oneself; waits for all others who have it.
    pub(super) fn alone(file: File, path: &Path) -> Result<Self, StoreError> {
        flock(&file, FlockOperation::LockExclusive, path)?;
        Ok(Self(file))
    }

    /// The same, unless others have it.
    pub(super) fn try_alone(file: File, path: &Path) -> Result<Option<Self>, StoreError> {
        Ok(try_flock(&file, path)?.then_some(Self(file)))
    }

    /// Does `work` with the lock alone; gives none when others have it. It is shared before and
    /// after.
    pub(super) fn while_alone<T>(
        &self,
        path: &Path,
        work: impl FnOnce() -> T,
    ) -> Result<Option<T>, StoreError> {
        let done = try_flock(&self.0, path)?.then(work);
        // A failed change of a lock may have dropped it.
        flock(&self.0, FlockOperation::LockShared, path)?;
        Ok(done)
    }

    /// Whether `path` still names the file: a lock on one that was removed means nothing.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        match (self.0.metadata(), std::fs::metadata(path)) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where this fails, closing the file gives the lock back.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn flock(file: &File, operation: FlockOperation, path: &Path) -> Result<(), StoreError> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation))
        .map_err(|error| StoreError::at("locking", path)(error.into()))
}

/// Locks the file alone unless others have it.
fn try_flock(file: &File, path: &Path) -> Result<bool, StoreError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(StoreError::at("locking", path)(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd, process::Command, thread};

    use super::*;

    #[test]
    fn a_dropped_lock_is_free_whoever_has_its_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let open = || File::create(&path).unwrap();
        let lock = Lock::shared(open(), &path).unwrap();
        // As a child has it before it runs its program.
        let inherited = lock.0.as_fd().try_clone_to_owned().unwrap();
        assert!(Lock::try_alone(open(), &path).unwrap().is_none());
        drop(lock);
        assert!(Lock::try_alone(open(), &path).unwrap().is_some());
        drop(inherited);
    }

    #[test]
    fn locks_are_free_at_once_while_other_threads_start_programs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        thread::scope(|scope| {
            let programs = scope.spawn(|| {
                for _ in 0..50 {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
            while !programs.is_finished() {
                let lock = Lock::try_alone(File::create(&path).unwrap(), &path).unwrap();
                assert!(lock.is_some());
            }
        });
    }
}
