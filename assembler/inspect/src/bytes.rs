//! Bytes that lie somewhere, read at an offset and only when they are wanted.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    sync::Arc,
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
}

/// A range of something that can be read; cheap to clone, as it holds no bytes itself.
#[derive(Clone)]
pub struct Bytes {
    source: Arc<dyn ReadAt>,
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
        Self { source, offset: 0, len }
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

    /// What tells these bytes from all others while they live: where their source lies in memory,
    /// and the range in it.
    pub(crate) fn identity(&self) -> (usize, u64, u64) {
        (Arc::as_ptr(&self.source).cast::<()>() as usize, self.offset, self.len)
    }

    /// A part, which must lie within.
    pub fn slice(&self, offset: u64, len: u64) -> Result<Self> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => {
                Ok(Self { source: self.source.clone(), offset: self.offset + offset, len })
            }
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

/// A little-endian number of up to eight bytes; 0 where there are none.
pub(crate) fn le(bytes: &[u8], offset: usize, size: usize) -> u64 {
    let end = offset.saturating_add(size);
    let bytes = bytes.get(offset..end).unwrap_or(&[]);
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A big-endian number of up to eight bytes; 0 where there are none.
pub(crate) fn be(bytes: &[u8], offset: usize, size: usize) -> u64 {
    let end = offset.saturating_add(size);
    let bytes = bytes.get(offset..end).unwrap_or(&[]);
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Text of UTF-16 in little-endian order up to a NUL.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

/// Text up to a NUL, without spaces behind it.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
}

/// A GUID as it is written, from the mixed order of bytes of EFI.
pub(crate) fn guid(bytes: &[u8]) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        le(bytes, 0, 4),
        le(bytes, 4, 2),
        le(bytes, 6, 2),
        be(bytes, 8, 2),
        be(bytes, 10, 6)
    )
}

/// A UUID as it is written, from its plain order of bytes.
pub(crate) fn uuid(bytes: &[u8]) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        be(bytes, 0, 4),
        be(bytes, 4, 2),
        be(bytes, 6, 2),
        be(bytes, 8, 2),
        be(bytes, 10, 6)
    )
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
