//! Finds the blocks of a file that are zeros and need no room.
//!
//! What is a hole depends on the bytes alone, so that the same content gives the same volume from
//! whatever file system it comes. Holes of the source are only skipped, since they are zeros.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use stagex_tree::{Content, Source};

use crate::sparse;

/// The shortest hole in bytes: shorter ones cost more in extents than they save.
pub(super) const HOLE_MIN: u64 = 64 << 10;
/// The most holes of a file, so that memory does not depend on what is in it.
const HOLES_MAX: u64 = 1 << 16;
/// Bytes read at once, a multiple of every block size.
const PIECE: usize = 256 << 10;
/// What a block is compared with.
static ZEROS: [u8; 4096] = [0; 4096];

/// Blocks of a file that hold something: the first, and how many.
pub(super) type Run = (u32, u32);

/// The runs of `content`, in blocks of `block` bytes; `None` where it is one run.
///
/// Reads the content where it is long enough for a hole.
pub(super) fn runs(content: &Content, block: u64) -> io::Result<Option<Box<[Run]>>> {
    let len = content.len();
    if len < HOLE_MIN {
        return Ok(None);
    }
    let shortest = HOLE_MIN.max(len / HOLES_MAX).div_ceil(block);
    let mut finder = Finder { block, shortest, runs: Vec::new() };
    match content.source() {
        Source::Bytes(bytes) => finder.look(0, bytes),
        Source::File { path, offset } => {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            let file = sparse::open(path, *offset, len)?;
            finder.file(&file, *offset, len).map_err(named)?;
        }
    }
    Ok(finder.finish(len.div_ceil(block)))
}

struct Finder {
    block: u64,
    /// Blocks of the shortest hole.
    shortest: u64,
    /// First block and end of each run.
    runs: Vec<(u64, u64)>,
}

impl Finder {
    /// Reads the `len` bytes from `offset` on but for what the file system knows to be a hole.
    fn file(&mut self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let mut at = 0;
        while at < len {
            let (data, hole) = sparse::data_from(file, offset, at, len);
            let end = hole.min(len).next_multiple_of(self.block).min(len);
            at = data / self.block * self.block;
            while at < end {
                let want = PIECE.min(usize::try_from(end - at).unwrap_or(PIECE));
                file.read_exact_at(&mut buffer[..want], offset + at)?;
                self.look(at, &buffer[..want]);
                at += want as u64;
            }
            at = at.max(data + 1);
        }
        Ok(())
    }

    /// Notes which blocks of the bytes at `at`, the begin of a block, are not zeros.
    fn look(&mut self, at: u64, bytes: &[u8]) {
        let first = at / self.block;
        for (number, block) in (first..).zip(bytes.chunks(self.block as usize)) {
            if *block == ZEROS[..block.len()] {
                continue;
            }
            match self.runs.last_mut() {
                Some((_, end)) if number < *end + self.shortest => *end = number + 1,
                _ if number < self.shortest => self.runs.push((0, number + 1)),
                _ => self.runs.push((number, number + 1)),
            }
        }
    }

    /// The runs of a file of so many blocks.
    fn finish(mut self, blocks: u64) -> Option<Box<[Run]>> {
        match self.runs.last_mut() {
            Some((_, end)) if blocks < *end + self.shortest => *end = blocks,
            _ => {}
        }
        if self.runs == [(0, blocks)] {
            return None;
        }
        // Files were checked to have fewer than 2³² blocks.
        Some(self.runs.iter().map(|&(from, end)| (from as u32, (end - from) as u32)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};

    use super::*;

    fn of_bytes(bytes: Vec<u8>) -> Option<Box<[Run]>> {
        runs(&Content::from_bytes(bytes), 4096).unwrap()
    }

    #[test]
    fn finds_long_holes_only() {
        let mut bytes = vec![0; 100 * 4096];
        assert_eq!(of_bytes(bytes.clone()).as_deref(), Some(&[][..]));
        bytes[40 * 4096 + 5] = 1;
        assert_eq!(of_bytes(bytes.clone()).as_deref(), Some(&[(40, 1)][..]));
        bytes[56 * 4096 + 5] = 1;
        assert_eq!(of_bytes(bytes.clone()).as_deref(), Some(&[(40, 17)][..]));
        bytes[15 * 4096] = 1;
        bytes[84 * 4096] = 1;
        assert_eq!(of_bytes(bytes.clone()).as_deref(), Some(&[(0, 16), (40, 17), (84, 16)][..]));
        bytes[30 * 4096] = 1;
        bytes[70 * 4096] = 1;
        assert_eq!(of_bytes(bytes.clone()), None);
        assert_eq!(of_bytes(vec![0; 65_535]), None);
    }

    #[test]
    fn a_sparse_file_gives_what_its_bytes_give_from_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut file = File::create(&path).unwrap();
        for at in [300_000u64, 1_000_001, 5_000_000] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(b"something").unwrap();
        }
        file.set_len(9_000_000).unwrap();
        for offset in [0, 1, 4095, 300_004, 2_000_000, 5_000_009] {
            for len in [9_000_000 - offset, 3_999_991] {
                let content = Content::from_file(path.as_path(), offset, len);
                let bytes = content.read().unwrap();
                assert_eq!(runs(&content, 4096).unwrap(), of_bytes(bytes), "{offset} {len}");
            }
        }
        assert!(runs(&Content::from_file(path.as_path(), 1, 9_000_000), 4096).is_err());
    }
}
