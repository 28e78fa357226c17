//! Bytes that lie somewhere, read at an offset and only when they are wanted.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::error::{Error, Result};

/// The bytes that a [`Window`] holds, and the least that a sequential reader asks for.
pub(crate) const CHUNK: usize = 64 << 10;

/// Something with a length that can be read at any offset.
pub trait ReadAt: Send + Sync {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Reads up to `buffer.len()` bytes at `offset`; none only at the end or for an empty buffer.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes from `offset` on are known to be zero without reading them.
    fn hole_at(&self, offset: u64) -> u64 {
        let _ = offset;
        0
    }
}

struct FileAt {
    file: File,
    len: u64,
}

impl ReadAt for FileAt {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

/// A file that is opened anew for each read, so that a folder of many takes no descriptors.
struct LazyFile {
    path: std::path::PathBuf,
    len: u64,
}

impl ReadAt for LazyFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        File::open(&self.path)?.read_at(buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|start| self.get(start..)).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// A stretch of a file that lies in pieces: bytes, or a hole that reads as zeros.
pub(crate) struct Piece {
    pub(crate) len: u64,
    pub(crate) bytes: Option<Bytes>,
}

/// Pieces one after another.
struct Pieces {
    /// Where each begins, ascending.
    starts: Vec<u64>,
    pieces: Vec<Piece>,
    len: u64,
}

impl ReadAt for Pieces {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset >= self.len {
            return Ok(0);
        }
        let index = self.starts.partition_point(|start| *start <= offset) - 1;
        let (start, piece) = (self.starts[index], &self.pieces[index]);
        let rest = (start + piece.len - offset).min(buffer.len() as u64) as usize;
        match &piece.bytes {
            Some(bytes) => bytes.read_at(offset - start, &mut buffer[..rest]),
            None => {
                buffer[..rest].fill(0);
                Ok(rest)
            }
        }
    }

    fn hole_at(&self, offset: u64) -> u64 {
        if offset >= self.len {
            return 0;
        }
        let index = self.starts.partition_point(|start| *start <= offset) - 1;
        let (start, piece) = (self.starts[index], &self.pieces[index]);
        match &piece.bytes {
            Some(bytes) => bytes.hole_at(offset - start).min(start + piece.len - offset),
            None => start + piece.len - offset,
        }
    }
}

/// A number that no other source has.
pub(crate) fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A range of something that can be read; cheap to clone, as it holds no bytes itself.
#[derive(Clone)]
pub struct Bytes {
    source: Arc<dyn ReadAt>,
    /// Tells the source from all others.
    id: u64,
    offset: u64,
    len: u64,
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({}+{})", self.offset, self.len)
    }
}

impl Bytes {
    /// All of a source.
    pub fn new(source: Arc<dyn ReadAt>) -> Self {
        let len = source.len();
        Self { source, id: new_id(), offset: 0, len }
    }

    /// All of a file, or of a block device whose length is given by seeking to its end.
    pub fn from_file(mut file: File) -> io::Result<Self> {
        let len = io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        Ok(Self::new(Arc::new(FileAt { file, len })))
    }

    /// A file that is opened when it is read.
    pub(crate) fn lazy(path: std::path::PathBuf, len: u64) -> Self {
        Self::new(Arc::new(LazyFile { path, len }))
    }

    /// Bytes in memory.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }

    /// Pieces one after another; empty ones are left out.
    pub(crate) fn from_pieces(mut pieces: Vec<Piece>) -> Result<Self> {
        pieces.retain(|piece| piece.len != 0);
        if let [Piece { len, bytes: Some(bytes) }] = &pieces[..] {
            return bytes.slice(0, *len);
        }
        let mut starts = Vec::with_capacity(pieces.len());
        let mut end = 0u64;
        for piece in &pieces {
            starts.push(end);
            end = end
                .checked_add(piece.len)
                .ok_or(Error::Limit { what: "length of a file", limit: u64::MAX })?;
            if let Some(bytes) = &piece.bytes {
                bytes.slice(0, piece.len)?;
            }
        }
        Ok(Self::new(Arc::new(Pieces { starts, pieces, len: end })))
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What tells these bytes from all others: the number of their source, and the range in it.
    pub(crate) fn identity(&self) -> (u64, u64, u64) {
        (self.id, self.offset, self.len)
    }

    /// How many bytes from `offset` on are known to be zero without reading them.
    pub(crate) fn hole_at(&self, offset: u64) -> u64 {
        if offset >= self.len {
            return 0;
        }
        self.source.hole_at(self.offset + offset).min(self.len - offset)
    }

    /// A part, which must lie within.
    pub fn slice(&self, offset: u64, len: u64) -> Result<Self> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(Self {
                source: self.source.clone(),
                id: self.id,
                offset: self.offset + offset,
                len,
            }),
            end => Err(Error::Truncated { offset, end: end.unwrap_or(u64::MAX), len: self.len }),
        }
    }

    /// All from an offset on.
    pub fn tail(&self, offset: u64) -> Result<Self> {
        self.slice(offset, self.len.saturating_sub(offset))
    }

    /// Reads up to `buffer.len()` bytes at an offset; none only at the end.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset >= self.len {
            return Ok(0);
        }
        let count = (self.len - offset).min(buffer.len() as u64) as usize;
        self.source.read_at(self.offset + offset, &mut buffer[..count])
    }

    /// Fills a buffer, or says that there is not as much.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buffer.len() as u64);
        let truncated = Error::Truncated { offset, end, len: self.len };
        if end > self.len {
            return Err(truncated);
        }
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(offset + done as u64, &mut buffer[done..])? {
                0 => return Err(truncated),
                count => done += count,
            }
        }
        Ok(())
    }

    /// Some bytes at an offset.
    pub(crate) fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let mut array = [0; N];
        self.read_exact_at(offset, &mut array)?;
        Ok(array)
    }

    /// A part in memory; the caller bounds its length.
    pub(crate) fn vec(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        // Checked before anything is allocated.
        self.slice(offset, len as u64)?;
        let mut bytes = vec![0; len];
        self.read_exact_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// At most `limit` bytes from the start.
    pub(crate) fn head(&self, limit: usize) -> Result<Vec<u8>> {
        self.vec(0, self.len.min(limit as u64) as usize)
    }

    /// Reads from the first byte to the last.
    pub fn reader(&self) -> Reader {
        Reader { bytes: self.clone(), offset: 0 }
    }

    /// Writes all to `out`, in pieces.
    pub fn copy_to(&self, out: &mut dyn io::Write) -> Result<()> {
        let mut buffer = vec![0; CHUNK.min(self.len.max(1) as usize)];
        let mut offset = 0;
        while offset < self.len {
            let count = self.read_at(offset, &mut buffer)?;
            if count == 0 {
                return Err(Error::Truncated { offset, end: self.len, len: offset });
            }
            out.write_all(&buffer[..count])?;
            offset += count as u64;
        }
        Ok(())
    }
}

/// Reads [`Bytes`] in order.
#[derive(Debug, Clone)]
pub struct Reader {
    bytes: Bytes,
    offset: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read_at(self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Small reads near each other, made of large ones.
pub(crate) struct Window {
    bytes: Bytes,
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, start: 0, buffer: Vec::new() }
    }

    /// `len` bytes at an offset; the caller bounds `len`.
    pub(crate) fn get(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let end = self.start + self.buffer.len() as u64;
        let wanted = offset.saturating_add(len as u64);
        if offset < self.start || wanted > end {
            self.bytes.slice(offset, len as u64)?;
            let fill = (self.bytes.len() - offset).min(len.max(CHUNK) as u64) as usize;
            self.buffer.clear();
            self.start = offset;
            self.buffer = self.bytes.vec(offset, fill)?;
        }
        let at = (offset - self.start) as usize;
        Ok(&self.buffer[at..at + len])
    }
}
