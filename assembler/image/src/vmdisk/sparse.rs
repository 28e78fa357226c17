//! Raw files with holes.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
};

use crate::blocks::is_zero;

/// Holes begin and end on multiples of so many bytes, the block size of most file systems.
const BLOCK: usize = 4096;

/// Writes a file from its beginning, leaving a hole wherever a block of 4096 bytes is zero.
///
/// The file reads as if all had been written. Its position is not used.
#[derive(Debug)]
pub struct SparseWriter {
    file: File,
    at: u64,
}

impl SparseWriter {
    /// Empties `file`, for a hole is where nothing was written.
    pub fn new(file: File) -> io::Result<Self> {
        file.set_len(0)?;
        Ok(Self { file, at: 0 })
    }

    /// Gives the file its length; call it at the end.
    pub fn finish(self) -> io::Result<File> {
        self.file.set_len(self.at)?;
        Ok(self.file)
    }
}

impl Write for SparseWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A part of a block that is zero need not be written either.
        let (mut begin, mut end) = (0, 0);
        while end < bytes.len() {
            let at = self.at + end as u64;
            let to_border = BLOCK - (at % BLOCK as u64) as usize;
            let next = bytes.len().min(end + to_border);
            if is_zero(&bytes[end..next]) {
                self.file.write_all_at(&bytes[begin..end], self.at + begin as u64)?;
                begin = next;
            }
            end = next;
        }
        self.file.write_all_at(&bytes[begin..], self.at + begin as u64)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
