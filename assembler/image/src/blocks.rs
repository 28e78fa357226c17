//! An image cut into blocks as it streams by.

use std::io::{self, Write};

use crate::Image;

/// Calls `each` with every block of `size` bytes of an image, the last one padded with zeros.
///
/// Fails where the image does not write as many bytes as it announces.
pub(crate) fn for_each(
    image: &dyn Image,
    size: usize,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut cutter = Cutter { size, each, part: Vec::with_capacity(size), count: 0 };
    image.write(&mut cutter)?;
    if cutter.count != image.len() {
        return Err(io::Error::other(format!(
            "an image of {} bytes wrote {}",
            image.len(),
            cutter.count
        )));
    }
    if !cutter.part.is_empty() {
        cutter.part.resize(size, 0);
        (cutter.each)(&cutter.part)?;
    }
    Ok(())
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Each byte equals the one before it: a comparison of memory, which is fast in every build.
    bytes.first().is_none_or(|&first| first == 0)
        && bytes.get(1..).is_none_or(|rest| *rest == bytes[..rest.len()])
}

struct Cutter<'a> {
    size: usize,
    each: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    /// The begun block.
    part: Vec<u8>,
    count: u64,
}

impl Write for Cutter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        if !self.part.is_empty() {
            let n = rest.len().min(self.size - self.part.len());
            self.part.extend_from_slice(&rest[..n]);
            rest = &rest[n..];
            if self.part.len() == self.size {
                (self.each)(&self.part)?;
                self.part.clear();
            }
        }
        let mut blocks = rest.chunks_exact(self.size);
        for block in &mut blocks {
            (self.each)(block)?;
        }
        self.part.extend_from_slice(blocks.remainder());
        self.count += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes its bytes in pieces of a length, and announces as many as it is told.
    struct Pieces(Vec<u8>, usize, u64);

    impl Image for Pieces {
        fn len(&self) -> u64 {
            self.2
        }

        fn write(&self, out: &mut dyn Write) -> io::Result<()> {
            self.0.chunks(self.1).try_for_each(|piece| out.write_all(piece))
        }
    }

    #[test]
    fn blocks_do_not_depend_on_how_they_are_written() {
        let bytes: Vec<u8> = (1..=103).collect();
        let mut expected = bytes.clone();
        expected.resize(110, 0);
        for piece in 1..104 {
            let mut found = Vec::new();
            for_each(&Pieces(bytes.clone(), piece, 103), 10, &mut |block| {
                assert_eq!(block.len(), 10);
                found.extend_from_slice(block);
                Ok(())
            })
            .unwrap();
            assert_eq!(found, expected);
        }
        assert!(for_each(&Pieces(bytes, 7, 104), 10, &mut |_| Ok(())).is_err());
    }

    #[test]
    fn zeros_are_told() {
        assert!(is_zero(&[]) && is_zero(&[0]) && is_zero(&[0; 100]));
        for at in 0..9 {
            let mut bytes = [0; 9];
            bytes[at] = 1;
            assert!(!is_zero(&bytes));
        }
        assert!(!is_zero(&[7; 9]) && !is_zero(&[7]));
    }
}
