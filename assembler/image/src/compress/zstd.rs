//! zstd frames (RFC 8878).

use std::io::{self, Write};

use crate::Image;

/// More workers than this gain nothing, and zstd refuses more than 256.
const WORKERS_MAX: u32 = 64;

/// How to compress with zstd (RFC 8878).
///
/// The frame states its content's size and carries a checksum. The number of workers changes the
/// speed only: zstd's multi-threaded encoder cuts jobs by level and size, and is always used, for
/// the single-threaded one gives other bytes. Other versions of zstd may give other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zstd {
    /// From 1 (fast) to 22 (small); more than 19 makes Linux need over 8 MiB to decompress.
    pub level: i32,
    /// Threads, at least 1.
    pub workers: u32,
}

impl Zstd {
    /// Level 19, the highest with a window that any reader accepts.
    pub fn new(workers: u32) -> Self {
        Self { level: 19, workers }
    }

    /// The version of zstd that is built in, on which the bytes depend.
    pub fn version() -> &'static str {
        zstd::zstd_safe::version_string()
    }

    /// Writes `image` to `out`, compressed.
    pub fn compress(&self, image: &dyn Image, out: &mut dyn Write) -> io::Result<()> {
        let mut encoder = self.encoder(image.len(), out)?;
        image.write(&mut encoder)?;
        encoder.finish()?.flush()
    }

    /// A writer that compresses exactly `len` bytes into `out`; call its `finish` at the end.
    ///
    /// Fails where the level is not one of zstd's, and in `finish` where the bytes written are not
    /// `len`.
    pub fn encoder<W: Write>(&self, len: u64, out: W) -> io::Result<zstd::Encoder<'static, W>> {
        if !(1..=22).contains(&self.level) {
            let message = format!("zstd has the levels 1 to 22, not {}", self.level);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut encoder = zstd::Encoder::new(out, self.level)?;
        encoder.include_contentsize(true)?;
        encoder.include_checksum(true)?;
        encoder.set_pledged_src_size(Some(len))?;
        encoder.multithread(self.workers.clamp(1, WORKERS_MAX))?;
        Ok(encoder)
    }
}

#[cfg(test)]
mod tests {
    use stagex_tree::Content;

    use super::*;

    fn sample(len: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Half of the bytes repeat, so that matches are found.
            if state >> 31 == 0 { b'a' } else { (state >> 16) as u8 }
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn bytes_do_not_depend_on_workers_or_on_how_they_are_written() {
        for len in [0, 1, 100_000, 9 << 20] {
            let content = sample(len);
            let mut outs = Vec::new();
            for (workers, piece) in [(0, 1 << 20), (1, 4096), (2, 1 << 18), (8, 77_777)] {
                let zstd = Zstd { level: 3, workers };
                let mut encoder = zstd.encoder(len as u64, Vec::new()).unwrap();
                for piece in content.chunks(piece) {
                    encoder.write_all(piece).unwrap();
                }
                outs.push(encoder.finish().unwrap());
            }
            let mut whole = Vec::new();
            let image = Content::from_bytes(content.clone());
            Zstd { level: 3, workers: 3 }.compress(&image, &mut whole).unwrap();
            outs.push(whole);
            assert_eq!(zstd::decode_all(&outs[0][..]).unwrap(), content);
            assert!(outs.iter().all(|out| *out == outs[0]), "{len} bytes");
        }
    }

    #[test]
    fn refuses_a_wrong_level_and_a_wrong_length() {
        for level in [0, -1, 23] {
            assert!(Zstd { level, workers: 1 }.encoder(0, Vec::new()).is_err());
        }
        let mut encoder = Zstd::new(1).encoder(5, Vec::new()).unwrap();
        assert!(encoder.write_all(b"abc").and_then(|()| encoder.finish()).is_err());
    }
}
