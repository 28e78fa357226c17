//! Keeps a command from filling the disk.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use crate::error::{Error, Step};
use crate::spec::{Limit, Spec};

const EVERY: Duration = Duration::from_millis(100);
/// The size is counted now and then even where the file system does not seem to have grown:
/// someone else may have made room.
const COUNT_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Watches the upper directory and its file system.
pub(crate) struct DiskWatch {
    upper: PathBuf,
    limit: Option<u64>,
    reserve: u64,
    /// The least bytes in use that were seen on the file system.
    least_used: u64,
    next: Instant,
    next_count: Instant,
    forced_count: Instant,
}

impl DiskWatch {
    pub(crate) fn new(spec: &Spec) -> Result<Self, Error> {
        let now = Instant::now();
        let (used, _) = usage(&spec.upper).map_err(|source| Error::Setup {
            step: Step::Upper,
            subject: spec.upper.clone(),
            source,
        })?;
        Ok(Self {
            upper: spec.upper.clone(),
            limit: spec.limits.disk,
            reserve: spec.limits.disk_reserve,
            least_used: used,
            next: now + EVERY,
            next_count: now,
            forced_count: now + COUNT_AT_LEAST_EVERY,
        })
    }

    /// When to check next.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Whether less is free than shall be.
    pub(crate) fn is_full(&self) -> bool {
        usage(&self.upper).is_ok_and(|(_, free)| free < self.reserve)
    }

    /// Checks, if it is time to.
    pub(crate) fn check(&mut self, now: Instant) -> Option<Limit> {
        if now < self.next {
            return None;
        }
        self.next = now + EVERY;
        let (used, free) = usage(&self.upper).ok()?;
        if free < self.reserve {
            return Some(Limit::DiskReserve);
        }
        let limit = self.limit?;
        self.least_used = self.least_used.min(used);
        let grown = used - self.least_used >= limit && now >= self.next_count;
        if grown || now >= self.forced_count {
            let size = size(&self.upper, limit);
            let end = Instant::now();
            // Counting takes a tenth of the time at most.
            self.next_count = end + (end - now) * 10;
            self.forced_count = self.next_count + COUNT_AT_LEAST_EVERY;
            self.next = end + EVERY;
            if size > limit {
                return Some(Limit::Disk);
            }
        }
        None
    }
}

/// Bytes in use and bytes free for users on a file system.
fn usage(path: &Path) -> io::Result<(u64, u64)> {
    let s = statvfs(path)?;
    let used = s.f_blocks.saturating_sub(s.f_bfree).saturating_mul(s.f_frsize);
    Ok((used, s.f_bavail.saturating_mul(s.f_frsize)))
}

/// Counts the bytes that files below a directory take up, until there are more than `enough`.
///
/// What cannot be read, or goes away meanwhile, is left out.
fn size(root: &Path, enough: u64) -> u64 {
    let mut total = 0u64;
    let mut stack = vec![root.to_path_buf()];
    while let Some(dir) = stack.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            // Hard links count once each name: good enough, and no memory is needed.
            total = total.saturating_add(metadata.blocks() * 512 / metadata.nlink().max(1));
            if total > enough {
                return total;
            }
            if metadata.is_dir() {
                stack.push(entry.path());
            }
        }
    }
    total
}
