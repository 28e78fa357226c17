//! Pictures of the guest's screen.

use std::io::Write;

use flate2::{Compression, Crc, write::ZlibEncoder};

use crate::BootError;

/// The largest side of a picture, in pixels.
const MAX_SIDE: usize = 1 << 14;

/// A picture of the guest's screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screenshot {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub pixels: Vec<u8>,
}

impl Screenshot {
    /// Reads a binary PPM of 8 bits a channel, as QEMU writes it.
    pub(crate) fn from_ppm(bytes: &[u8]) -> Result<Self, BootError> {
        let error = |reason| BootError::Screenshot { reason };
        let mut rest = bytes.strip_prefix(b"P6").ok_or_else(|| error("it is no PPM"))?;
        let mut number = || {
            rest = rest.trim_ascii_start();
            let end = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, after) = rest.split_at(end);
            rest = after;
            std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
        };
        let header = (number(), number(), number());
        let (Some(width), Some(height), Some(255)) = header else {
            return Err(error("its header is damaged"));
        };
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(error("its size is impossible"));
        }
        let pixels = rest.get(1..).unwrap_or_default();
        if pixels.len() != width * height * 3 {
            return Err(error("it ends early"));
        }
        Ok(Self { width, height, pixels: pixels.to_vec() })
    }

    /// Whether all pixels are of one colour, as on a screen that shows nothing.
    pub fn is_uniform(&self) -> bool {
        self.pixels.chunks_exact(3).all(|pixel| pixel == &self.pixels[..3])
    }

    /// The picture as PNG (RFC 2083): the same bytes for the same pixels.
    pub fn to_png(&self) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX).to_be_bytes();
        let mut header = [side(self.width), side(self.height)].concat();
        // 8 bits a channel, RGB, the only compression and filter methods, not interlaced.
        header.extend([8, 2, 0, 0, 0]);
        chunk(&mut png, b"IHDR", &header);
        let mut data = ZlibEncoder::new(Vec::new(), Compression::default());
        // Writing to memory does not fail.
        for row in self.pixels.chunks_exact(self.width * 3) {
            let _ = data.write_all(&[0]).and_then(|()| data.write_all(row));
        }
        chunk(&mut png, b"IDAT", &data.finish().unwrap_or_default());
        chunk(&mut png, b"IEND", &[]);
        png
    }
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    png.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    png.extend(kind);
    png.extend(data);
    png.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ppm_becomes_a_png() {
        let ppm = b"P6\n2 1\n255\n\x00\x00\x00\xff\x80\x00";
        let shot = Screenshot::from_ppm(ppm).unwrap();
        assert_eq!((shot.width, shot.height), (2, 1));
        assert!(!shot.is_uniform());
        let png = shot.to_png();
        assert_eq!(png[..16], *b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR");
        // The CRC of an empty IEND is known.
        assert!(png.ends_with(b"\x00\x00\x00\x00IEND\xaeB`\x82"));
        assert!(Screenshot::from_ppm(b"P6 1 2 255 abcabc").unwrap().is_uniform());
    }

    #[test]
    fn damaged_pictures_are_errors() {
        for bytes in
            [&b""[..], b"P5 1 1 255 a", b"P6 1 1 255 ab", b"P6 0 1 255 ", b"P6 9999999999 1 255 "]
        {
            assert!(Screenshot::from_ppm(bytes).is_err(), "{bytes:?}");
        }
    }
}
