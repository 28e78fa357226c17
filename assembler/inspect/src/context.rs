//! What reading an image may cost, and where what was decompressed is kept.

use std::{
    fs::File,
    io::{self, Read, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    bytes::{Bytes, CHUNK},
    error::{Error, Result},
};

/// Bounds on what reading may cost, whatever an image claims.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes that may be decompressed into the spool, in all.
    pub spool: u64,
    /// Entries that one container or folder may list.
    pub entries: u64,
    /// Entries that one walk through an image may meet.
    pub walk: u64,
    /// How deep folders and containers may lie in one another.
    pub depth: usize,
    /// How many images may lie in one another: a partition in a disk, an archive in a partition.
    pub nested: usize,
}

impl Default for Limits {
    /// 64 GiB of spool, 8 million entries in one container, 32 million in a walk, 512 levels, 16 of
    /// them images.
    fn default() -> Self {
        Self { spool: 64 << 30, entries: 8 << 20, walk: 32 << 20, depth: 512, nested: 16 }
    }
}

/// How many bytes of a decompressed file stay in memory.
const IN_MEMORY: usize = 256 << 10;

/// Gives empty files without a name, which vanish when they are closed.
type Spool = Box<dyn Fn() -> io::Result<File> + Send + Sync>;

/// What all readers share: limits, and a place for what has to be decompressed.
pub struct Context {
    /// What reading may cost.
    pub limits: Limits,
    spool: Spool,
    spooled: AtomicU64,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Context {
    /// Reads within limits; `spool` opens a new temporary file each time it is called.
    pub fn new(
        limits: Limits,
        spool: impl Fn() -> io::Result<File> + Send + Sync + 'static,
    ) -> Self {
        Self { limits, spool: Box::new(spool), spooled: AtomicU64::new(0) }
    }

    /// Begins a new file in the spool. Small ones stay in memory.
    pub(crate) fn spool(&self) -> Spooling<'_> {
        Spooling { context: self, memory: Vec::new(), file: None }
    }

    /// Fails where a container lists more than it may.
    pub(crate) fn check_entries(&self, count: usize) -> Result<()> {
        if count as u64 > self.limits.entries {
            return Err(Error::Limit { what: "entries", limit: self.limits.entries });
        }
        Ok(())
    }
}

/// How much work an image may ask for before it is taken to be hostile: the same blocks again and
/// again, from ever more entries.
#[derive(Debug)]
pub(crate) struct Budget {
    spent: AtomicU64,
    limit: u64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { spent: AtomicU64::new(0), limit }
    }

    pub(crate) fn spend(&self, steps: u64) -> Result<()> {
        let before = self.spent.fetch_add(steps, Ordering::Relaxed);
        if before.saturating_add(steps) > self.limit {
            return Err(Error::Limit {
                what: "steps for an image of this size",
                limit: self.limit,
            });
        }
        Ok(())
    }
}

/// A file that is being decompressed.
pub(crate) struct Spooling<'c> {
    context: &'c Context,
    memory: Vec<u8>,
    file: Option<File>,
}

impl Spooling<'_> {
    /// Appends all that a stream gives.
    pub(crate) fn append(&mut self, stream: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.push(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let count = bytes.len() as u64;
        let total = self.context.spooled.fetch_add(count, Ordering::Relaxed) + count;
        let limit = self.context.limits.spool;
        if total > limit {
            return Err(Error::Limit { what: "bytes to decompress", limit });
        }
        if self.file.is_none() {
            self.memory.extend_from_slice(bytes);
            if self.memory.len() <= IN_MEMORY {
                return Ok(());
            }
            let bytes = std::mem::take(&mut self.memory);
            let mut file = (self.context.spool)()?;
            file.write_all(&bytes)?;
            self.file = Some(file);
            return Ok(());
        }
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Bytes> {
        match self.file {
            Some(file) => Ok(Bytes::from_file(file)?),
            None => Ok(Bytes::from_vec(self.memory)),
        }
    }
}
