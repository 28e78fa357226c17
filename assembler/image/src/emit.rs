//! The forward sweep: a buffered writer that knows its position.

use std::io::{self, Read, Write};

use stagex_tree::{Content, TreePath};

use crate::Image;

/// Bytes gathered before they are handed to the output.
const BUFFER: usize = 1 << 18;

/// Writes forward, counting. File contents are read straight into its buffer.
pub(crate) struct Emitter<'w> {
    out: &'w mut dyn Write,
    buffer: Box<[u8]>,
    used: usize,
    at: u64,
}

impl<'w> Emitter<'w> {
    pub(crate) fn new(out: &'w mut dyn Write) -> Self {
        Self { out, buffer: vec![0; BUFFER].into(), used: 0, at: 0 }
    }

    /// Bytes written so far.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    fn drain(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer[..self.used])?;
        self.used = 0;
        Ok(())
    }

    /// Writes `bytes`.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        if bytes.len() > self.buffer.len() - self.used {
            self.drain()?;
            if bytes.len() >= self.buffer.len() {
                return self.out.write_all(bytes);
            }
        }
        self.buffer[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
        Ok(())
    }

    /// Writes `count` zeros.
    pub(crate) fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        self.at += count;
        while count != 0 {
            if self.used == self.buffer.len() {
                self.drain()?;
            }
            let room = self.buffer.len() - self.used;
            let n = usize::try_from(count).unwrap_or(usize::MAX).min(room);
            self.buffer[self.used..self.used + n].fill(0);
            self.used += n;
            count -= n as u64;
        }
        Ok(())
    }

    /// Writes zeros up to `position`, where a layout expects the next part.
    pub(crate) fn pad_to(&mut self, position: u64) -> io::Result<()> {
        match position.checked_sub(self.at) {
            Some(count) => self.zeros(count),
            None => Err(io::Error::other(format!(
                "the writer is at {} where its layout expects {position}",
                self.at
            ))),
        }
    }

    /// Writes zeros up to a multiple of `align`.
    pub(crate) fn align(&mut self, align: u64) -> io::Result<()> {
        self.pad_to(self.at.next_multiple_of(align.max(1)))
    }

    /// Writes the bytes of the file at `path`; an error names it.
    pub(crate) fn content(&mut self, path: &TreePath, content: &Content) -> io::Result<()> {
        self.copy(content).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    }

    fn copy(&mut self, content: &Content) -> io::Result<()> {
        let mut left = content.len();
        if left == 0 {
            return Ok(());
        }
        let mut reader = content.open()?;
        while left != 0 {
            if self.used == self.buffer.len() {
                self.drain()?;
            }
            // The reader itself stops at the content's length.
            let n = match reader.read(&mut self.buffer[self.used..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            self.used += n;
            self.at += n as u64;
            left -= n as u64;
        }
        Ok(())
    }

    /// Writes a whole image.
    pub(crate) fn image(&mut self, image: &dyn Image) -> io::Result<()> {
        self.drain()?;
        let mut counter = Counter { out: self.out, count: 0 };
        image.write(&mut counter)?;
        let (count, expected) = (counter.count, image.len());
        self.at += count;
        if count == expected {
            return Ok(());
        }
        Err(io::Error::other(format!("an image of {expected} bytes wrote {count}")))
    }

    /// Hands the rest to the output and gives the number of bytes written in all.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.drain()?;
        self.out.flush()?;
        Ok(self.at)
    }
}

/// Counts what is written through it.
pub(crate) struct Counter<'w> {
    pub(crate) out: &'w mut dyn Write,
    pub(crate) count: u64,
}

impl Write for Counter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.count += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_pads_and_copies_over_the_buffer_border() {
        let path = TreePath::new("f").unwrap();
        let content = Content::from_bytes(vec![7; BUFFER + 5]);
        let mut out = Vec::new();
        let mut emitter = Emitter::new(&mut out);
        emitter.put(b"abc").unwrap();
        emitter.content(&path, &content).unwrap();
        emitter.align(16).unwrap();
        emitter.image(&content).unwrap();
        emitter.put(&vec![9; BUFFER + 1]).unwrap();
        emitter.zeros(2 * BUFFER as u64).unwrap();
        let at = emitter.position();
        assert!(emitter.pad_to(at - 1).is_err());
        assert_eq!(emitter.finish().unwrap(), at);
        assert_eq!(out.len() as u64, at);
        assert_eq!(&out[..4], b"abc\x07");
        let second = (BUFFER + 8).next_multiple_of(16);
        assert_eq!(out[second - 1], 0);
        assert_eq!(out[second..second + BUFFER + 5], vec![7; BUFFER + 5]);
        assert_eq!(out[second + BUFFER + 5..][..BUFFER + 1], vec![9; BUFFER + 1]);
        assert!(out[second + 2 * BUFFER + 6..].iter().all(|&b| b == 0));
    }
}
