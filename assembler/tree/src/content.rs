//! File contents, by reference.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::{Arc, OnceLock},
};

use crate::Digest;

/// The content of a regular file: its length, where its bytes are, and its digest once known.
///
/// Cloning is cheap; the bytes are read only through [`Content::open`].
#[derive(Debug, Clone)]
pub struct Content {
    len: u64,
    source: Source,
    digest: Arc<OnceLock<Digest>>,
}

/// Where the bytes of a [`Content`] are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file, from `offset` on. The file must not change while the tree lives.
    File {
        /// The file.
        path: Arc<Path>,
        /// Where the content begins, in bytes.
        offset: u64,
    },
}

impl Content {
    /// A content held in memory.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { len: bytes.len() as u64, source: Source::Bytes(bytes), digest: Arc::default() }
    }

    /// A content of `len` bytes in a file, from `offset` on.
    pub fn from_file(path: impl Into<Arc<Path>>, offset: u64, len: u64) -> Self {
        Self { len, source: Source::File { path: path.into(), offset }, digest: Arc::default() }
    }

    /// The same content with its digest already known, so that it need not be read for it.
    pub fn with_digest(mut self, digest: Digest) -> Self {
        match Arc::get_mut(&mut self.digest) {
            Some(known) => *known = OnceLock::from(digest),
            // A clone has its own say.
            None => self.digest = Arc::new(OnceLock::from(digest)),
        }
        self
    }

    /// The length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the content is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the bytes are.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The digest where it is known without reading.
    pub fn known_digest(&self) -> Option<Digest> {
        self.digest.get().copied()
    }

    /// The SHA-256 of the bytes, read once and remembered.
    pub fn digest(&self) -> io::Result<Digest> {
        if let Some(digest) = self.digest.get() {
            return Ok(*digest);
        }
        let digest = match &self.source {
            Source::Bytes(bytes) => Digest::of(bytes),
            Source::File { .. } => Digest::of_reader(self.open()?)?.0,
        };
        Ok(*self.digest.get_or_init(|| digest))
    }

    /// Opens the content; the reader gives exactly [`Content::len`] bytes or an error of kind
    /// [`io::ErrorKind::UnexpectedEof`].
    pub fn open(&self) -> io::Result<ContentReader<'_>> {
        let inner = match &self.source {
            Source::Bytes(bytes) => Inner::Bytes(bytes),
            Source::File { path, offset } => {
                let mut file = File::open(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
                if *offset != 0 {
                    file.seek(SeekFrom::Start(*offset))?;
                }
                Inner::File(file)
            }
        };
        Ok(ContentReader { inner, left: self.len })
    }

    /// All bytes, for contents known to be small.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Copies all bytes to `writer`.
    pub fn copy_to(&self, writer: &mut (impl io::Write + ?Sized)) -> io::Result<()> {
        match &self.source {
            Source::Bytes(bytes) => writer.write_all(bytes),
            Source::File { .. } => {
                let mut reader = self.open()?;
                let mut buffer = vec![0; usize::try_from(self.len.clamp(1, 1 << 18)).unwrap_or(1)];
                while reader.left != 0 {
                    let n = reader.read(&mut buffer)?;
                    writer.write_all(&buffer[..n])?;
                }
                Ok(())
            }
        }
    }
}

impl PartialEq for Content {
    /// Two contents are equal when their digests are; a content that cannot be read equals none.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && matches!((self.digest(), other.digest()), (Ok(a), Ok(b)) if a == b)
    }
}

enum Inner<'a> {
    Bytes(&'a [u8]),
    File(File),
}

/// Reads one [`Content`].
pub struct ContentReader<'a> {
    inner: Inner<'a>,
    left: u64,
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = match &mut self.inner {
            Inner::Bytes(bytes) => bytes.read(&mut buffer[..want])?,
            Inner::File(file) => file.read(&mut buffer[..want])?,
        };
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("a file ended {} bytes short while it was read", self.left),
            ));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_part_of_a_file_and_notices_a_short_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"0123456789").unwrap();
        let content = Content::from_file(path.as_path(), 2, 3);
        assert_eq!(content.read().unwrap(), b"234");
        assert_eq!(content, Content::from_bytes(*b"234"));
        let short = Content::from_file(path.as_path(), 8, 3);
        assert_eq!(short.read().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(short.copy_to(&mut io::sink()).is_err());
    }
}
