//! Streaming compression whose bytes depend on the content, the codec and the level alone.
//!
//! [`Compression`] says how; its [`Encoder`] takes the content in one forward sweep. The number of
//! threads changes the speed only: every codec cuts the content into blocks of a fixed size. Other
//! versions of an encoder may give other bytes, so their versions are locked.

mod gzip;
mod initramfs;
mod lz4;
mod xz;
mod zstd;

use std::{
    fmt,
    io::{self, Write},
    ops::RangeInclusive,
    str::FromStr,
};

use liblzma::write::XzEncoder;

use crate::{Image, emit::Counter};

pub(crate) use self::gzip::run as deflate;
pub use self::{
    initramfs::{Part, initramfs},
    zstd::Zstd,
};

/// A compressed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Zstandard (RFC 8878): the content's length and a checksum in one frame.
    Zstd,
    /// xz, with a checksum of each block.
    Xz(XzCheck),
    /// gzip (RFC 1952), without a name and a time.
    Gzip,
    /// LZ4.
    Lz4(Lz4Format),
}

/// What checks the content of an xz file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XzCheck {
    /// CRC-32, the only one that Linux reads.
    Crc32,
    /// CRC-64, which the tool `xz` takes if not told otherwise.
    Crc64,
    /// SHA-256.
    Sha256,
}

/// What surrounds LZ4's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lz4Format {
    /// The LZ4 frame format, with the content's length and checksum.
    Frame,
    /// The older format, the only one that Linux unpacks an initramfs from.
    Legacy,
}

/// Codecs by name.
const NAMES: &[(&str, Codec)] = &[
    ("gzip", Codec::Gzip),
    ("lz4", Codec::Lz4(Lz4Format::Frame)),
    ("lz4-legacy", Codec::Lz4(Lz4Format::Legacy)),
    ("xz", Codec::Xz(XzCheck::Crc32)),
    ("xz-crc64", Codec::Xz(XzCheck::Crc64)),
    ("xz-sha256", Codec::Xz(XzCheck::Sha256)),
    ("zstd", Codec::Zstd),
];

impl Codec {
    /// The levels it has, from fast to small.
    pub fn levels(self) -> RangeInclusive<u32> {
        match self {
            Self::Zstd => 1..=22,
            Self::Xz(_) => 0..=9,
            Self::Gzip => 1..=9,
            Self::Lz4(_) => 1..=12,
        }
    }

    /// The level for what is written once and read often, and by readers with little memory.
    pub fn default_level(self) -> u32 {
        match self {
            Self::Zstd => 19,
            Self::Xz(_) => 6,
            Self::Gzip | Self::Lz4(_) => 9,
        }
    }

    /// The same codec in the form that Linux unpacks an initramfs from.
    pub fn for_linux(self) -> Self {
        match self {
            Self::Xz(_) => Self::Xz(XzCheck::Crc32),
            Self::Lz4(_) => Self::Lz4(Lz4Format::Legacy),
            Self::Zstd | Self::Gzip => self,
        }
    }

    /// What a file's name ends in, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zstd => "zst",
            Self::Xz(_) => "xz",
            Self::Gzip => "gz",
            Self::Lz4(_) => "lz4",
        }
    }

    /// All names that are parsed.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|&(name, _)| name)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, codec)| codec == self).map_or("", |&(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Codec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = NAMES.iter().find(|&&(name, _)| name == text);
        found.map(|&(_, codec)| codec).ok_or_else(|| Error::Codec { name: text.to_owned() })
    }
}

/// Why nothing can be compressed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such codec.
    #[error("there is no compression {name:?}, but {}", list())]
    Codec {
        /// The name given.
        name: String,
    },
    /// The codec has no such level.
    #[error("{codec} has the levels {} to {}, not {level}", codec.levels().start(), codec.levels().end())]
    Level {
        /// The codec.
        codec: Codec,
        /// The level given.
        level: u32,
    },
    /// Linux does not unpack an initramfs from this.
    #[error("Linux does not unpack {codec}, but {}", codec.for_linux())]
    NotForLinux {
        /// The codec.
        codec: Codec,
    },
}

fn list() -> String {
    Codec::names().collect::<Vec<_>>().join(", ")
}

/// How to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// The format.
    pub codec: Codec,
    /// How hard to try: one of [`Codec::levels`]. From level 20 on, zstd makes Linux need over
    /// 8 MiB to decompress.
    pub level: u32,
    /// Threads; 0 counts as 1. The bytes do not depend on it, but memory does: for each thread xz
    /// takes some 150 MiB at level 6 and ten times as much at level 9, zstd some 20 MiB at level 3
    /// and over 100 MiB at level 19, LZ4 two or three blocks of 8 MiB or less and what they
    /// become, gzip next to nothing.
    pub workers: u32,
}

impl Compression {
    /// Compresses at the codec's default level.
    pub fn new(codec: Codec, workers: u32) -> Self {
        Self { codec, level: codec.default_level(), workers }
    }

    /// Whether the codec has that level.
    pub fn check(&self) -> Result<(), Error> {
        let Self { codec, level, .. } = *self;
        if codec.levels().contains(&level) { Ok(()) } else { Err(Error::Level { codec, level }) }
    }

    /// Writes `image` to `out`, compressed, and gives the number of bytes written.
    ///
    /// A level that the codec does not have is refused, as [`io::ErrorKind::InvalidInput`], before
    /// a byte is written.
    pub fn compress(&self, image: &dyn Image, out: &mut dyn Write) -> io::Result<u64> {
        let mut out = Counter { out, count: 0 };
        let mut encoder = self.encoder(image.len(), &mut out)?;
        image.write(&mut encoder)?;
        encoder.finish()?;
        Ok(out.count)
    }

    /// A writer that compresses exactly `len` bytes into `out`; call its `finish` at the end.
    pub fn encoder<'w>(&self, len: u64, out: &'w mut dyn Write) -> io::Result<Encoder<'w>> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        self.check().map_err(invalid)?;
        let Self { codec, level, workers } = *self;
        let inner = match codec {
            Codec::Zstd => {
                let zstd = Zstd { level: level as i32, workers };
                Inner::Zstd(Box::new(zstd.encoder(len, out)?))
            }
            Codec::Xz(check) => Inner::Xz(Box::new(xz::encoder(level, check, workers, out)?)),
            Codec::Gzip => Inner::Gzip(Box::new(gzip::Writer::new(level, workers, out)?)),
            Codec::Lz4(format) => {
                Inner::Lz4(Box::new(lz4::Writer::new(format, level, workers, len, out)?))
            }
        };
        Ok(Encoder { inner, left: len })
    }
}

/// Compresses what is written to it.
pub struct Encoder<'w> {
    inner: Inner<'w>,
    /// Bytes that are still expected.
    left: u64,
}

enum Inner<'w> {
    Zstd(Box<::zstd::Encoder<'static, &'w mut dyn Write>>),
    Xz(Box<XzEncoder<&'w mut dyn Write>>),
    Gzip(Box<gzip::Writer<'w>>),
    Lz4(Box<lz4::Writer<'w>>),
}

impl Encoder<'_> {
    /// Ends the compressed file; fails where fewer bytes were written than announced.
    pub fn finish(self) -> io::Result<()> {
        if self.left != 0 {
            let message = format!("{} bytes are missing of what was to be compressed", self.left);
            return Err(io::Error::other(message));
        }
        match self.inner {
            Inner::Zstd(encoder) => encoder.finish()?.flush(),
            Inner::Xz(encoder) => encoder.finish()?.flush(),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Lz4(encoder) => encoder.finish(),
        }
    }
}

impl Write for Encoder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other("more is to be compressed than was announced"));
        }
        let n = match &mut self.inner {
            Inner::Zstd(encoder) => encoder.write(bytes),
            Inner::Xz(encoder) => encoder.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Lz4(encoder) => encoder.write(bytes),
        }?;
        self.left -= n as u64;
        Ok(n)
    }

    /// Does nothing: to flush in the midst would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_shown() {
        for name in Codec::names() {
            assert_eq!(name.parse::<Codec>().unwrap().to_string(), name);
        }
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let error = "brotli".parse::<Codec>().unwrap_err().to_string();
        assert!(error.starts_with("there is no compression \"brotli\", but gzip, lz4,"), "{error}");
    }

    #[test]
    fn wrong_levels_are_refused_before_a_byte() {
        for name in Codec::names() {
            let codec: Codec = name.parse().unwrap();
            let levels = codec.levels();
            assert!(levels.contains(&codec.default_level()));
            for level in [levels.start().wrapping_sub(1), levels.end() + 1] {
                let mut out = Vec::new();
                let compression = Compression { codec, level, workers: 1 };
                let error = compression.encoder(0, &mut out).err().unwrap();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                assert!(out.is_empty());
            }
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        for name in Codec::names() {
            let compression = Compression::new(name.parse().unwrap(), 2);
            let (mut one, mut two) = (Vec::new(), Vec::new());
            let mut short = compression.encoder(5, &mut one).unwrap();
            short.write_all(b"abc").unwrap();
            assert!(short.finish().is_err(), "{name}");
            let mut long = compression.encoder(2, &mut two).unwrap();
            assert!(long.write_all(b"abc").is_err(), "{name}");
        }
    }

    /// Takes a few bytes, then fails, as a full disk does.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let n = bytes.len().min(self.0);
            self.0 -= n;
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let noise: Vec<u8> =
            (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let image = stagex_tree::Content::from_bytes(noise);
        for name in Codec::names() {
            let codec: Codec = name.parse().unwrap();
            let compression = Compression { codec, level: *codec.levels().start(), workers: 2 };
            for room in [0, 3, 1000] {
                let error = compression.compress(&image, &mut Full(room)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{name}");
            }
        }
    }
}
