//! Compressed blocks kept aside until the image's head is known.
//!
//! A compressed image's first bytes depend on all that follows. Compressing twice would double
//! the cost, and memory must not grow with contents: so compressed blocks, and nothing else, go to
//! a file without a name in a folder that the caller gives, and from there into the image.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use crate::emit::Emitter;

/// Bytes gathered before they are written, or read at once.
const BUFFER: usize = 1 << 18;

/// A file that vanishes with its owner, or with the process however it ends.
pub(crate) struct Scratch {
    file: File,
    buffer: Vec<u8>,
    len: u64,
}

impl Scratch {
    /// Makes the file in `folder`.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
        })?;
        Ok(Self { file, buffer: Vec::with_capacity(BUFFER), len: 0 })
    }

    /// Bytes kept so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes at the end.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            return self.file.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Forgets what lies behind the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: u64) -> io::Result<()> {
        let gone = self.len.saturating_sub(len);
        self.len -= gone;
        if let Ok(Some(kept)) =
            usize::try_from(gone).map(|gone| self.buffer.len().checked_sub(gone))
        {
            self.buffer.truncate(kept);
            return Ok(());
        }
        self.buffer.clear();
        self.file.set_len(self.len)?;
        self.file.seek(SeekFrom::Start(self.len)).map(drop)
    }

    /// Hands all to the file; what is read is what was there then.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes `len` bytes from `from` on to `out`.
    pub(crate) fn copy(&self, from: u64, len: u64, out: &mut Emitter<'_>) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER.min(usize::try_from(len).unwrap_or(BUFFER))];
        let (mut at, end) = (from, from + len);
        while at < end {
            let n = buffer.len().min(usize::try_from(end - at).unwrap_or(BUFFER));
            self.file.read_exact_at(&mut buffer[..n], at)?;
            out.put(&buffer[..n])?;
            at += n as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_any_part() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(folder.path()).unwrap();
        let bytes: Vec<u8> = (0..3 * BUFFER + 7).map(|at| (at / 3) as u8).collect();
        scratch.put(&bytes[..5]).unwrap();
        scratch.put(&bytes[5..BUFFER - 1]).unwrap();
        scratch.put(&bytes[BUFFER - 1..]).unwrap();
        scratch.flush().unwrap();
        assert_eq!(scratch.len(), bytes.len() as u64);
        let mut out = Vec::new();
        let mut emitter = Emitter::new(&mut out);
        scratch.copy(3, 2 * BUFFER as u64, &mut emitter).unwrap();
        emitter.finish().unwrap();
        assert!(out == bytes[3..3 + 2 * BUFFER]);
        for len in [3 * BUFFER, BUFFER / 2, 5] {
            scratch.put(b"gone").unwrap();
            scratch.truncate(len as u64).unwrap();
            scratch.put(b"here").unwrap();
            scratch.flush().unwrap();
            let mut out = Vec::new();
            let mut emitter = Emitter::new(&mut out);
            scratch.copy(0, scratch.len(), &mut emitter).unwrap();
            emitter.finish().unwrap();
            assert!(out == [&bytes[..len], b"here"].concat(), "{len}");
            scratch.truncate(len as u64).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        assert!(Scratch::new(&folder.path().join("nowhere")).is_err());
    }
}
