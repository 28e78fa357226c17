//! Contents read block by block, but for what the file system knows to be a hole.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt as _,
    path::Path,
};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};
use stagex_tree::{Content, Source};

/// Reads a content forward.
pub(crate) struct Blocks<'c> {
    source: From<'c>,
    at: u64,
    len: u64,
    /// The next stretch of data: none lies between `at` and its begin.
    data: (u64, u64),
}

enum From<'c> {
    Bytes(&'c [u8]),
    File { file: File, offset: u64 },
}

impl<'c> Blocks<'c> {
    /// Opens a content; errors name its file.
    pub(crate) fn open(content: &'c Content) -> io::Result<Self> {
        let len = content.len();
        let source = match content.source() {
            Source::Bytes(bytes) => From::Bytes(bytes),
            Source::File { path, offset } => {
                From::File { file: open(path, *offset, len)?, offset: *offset }
            }
        };
        Ok(Self { source, at: 0, len, data: (0, 0) })
    }

    /// Appends the next `size` bytes to `out`; where all of them are a hole it appends nothing and
    /// gives false.
    pub(crate) fn next(&mut self, size: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        let (at, end) = (self.at, self.at + size as u64);
        if end > self.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match &self.source {
            From::Bytes(bytes) => out.extend_from_slice(&bytes[at as usize..end as usize]),
            From::File { file, offset } => {
                if at >= self.data.1 {
                    self.data = data_from(file, *offset, at, self.len);
                }
                if self.data.0 >= end {
                    self.at = end;
                    return Ok(false);
                }
                let filled = out.len();
                out.resize(filled + size, 0);
                file.read_exact_at(&mut out[filled..], offset + at)?;
            }
        }
        self.at = end;
        Ok(true)
    }
}

/// Opens the file of a content; errors name it, also that it has become too short.
pub(crate) fn open(path: &Path, offset: u64, len: u64) -> io::Result<File> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (found, file) = opened
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    if found < offset.saturating_add(len) {
        let message = format!("{}: the file is shorter than it was", path.display());
        return Err(io::Error::new(ErrorKind::UnexpectedEof, message));
    }
    Ok(file)
}

/// The next stretch of data from `at` on in the content that begins at `offset`: its begin and its
/// end, both `len` where there is none. A file system that knows no holes has data up to the end.
pub(crate) fn data_from(file: &File, offset: u64, at: u64, len: u64) -> (u64, u64) {
    let begin = match seek(file, SeekFrom::Data(offset + at)) {
        Ok(data) => data.saturating_sub(offset).max(at),
        Err(Errno::NXIO) => return (len, len),
        Err(_) => return (at, len),
    };
    let end =
        seek(file, SeekFrom::Hole(offset + begin)).map_or(len, |hole| hole - offset.min(hole));
    (begin, end.max(begin + 1))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};

    use super::*;

    #[test]
    fn what_is_skipped_is_zeros_and_all_else_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut file = File::create(&path).unwrap();
        for at in [300_000u64, 1_000_001, 5_000_000] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(b"something").unwrap();
        }
        file.set_len(9_000_000).unwrap();
        drop(file);
        let whole = std::fs::read(&path).unwrap();
        for (offset, len) in [(0, 9_000_000), (1, 8_999_999), (300_004, 700_000), (6_000_000, 5)] {
            let content = Content::from_file(path.as_path(), offset, len);
            for size in [1000, 4096, 65_536, 1 << 20] {
                let mut blocks = Blocks::open(&content).unwrap();
                let mut found = Vec::new();
                let mut skipped = 0;
                while (found.len() as u64) < len {
                    let size = size.min(len as usize - found.len());
                    if !blocks.next(size, &mut found).unwrap() {
                        skipped += 1;
                        found.resize(found.len() + size, 0);
                    }
                }
                assert!(found == whole[offset as usize..][..len as usize], "{offset} {size}");
                assert!(skipped != 0 || len < 1_000_000, "nothing was skipped of {len} bytes");
                assert!(blocks.next(1, &mut found).is_err());
            }
        }
        assert!(Blocks::open(&Content::from_file(path.as_path(), 1, 9_000_000)).is_err());
        let content = Content::from_bytes(*b"abc");
        let mut out = Vec::new();
        assert!(Blocks::open(&content).unwrap().next(3, &mut out).unwrap());
        assert_eq!(out, b"abc");
    }
}
