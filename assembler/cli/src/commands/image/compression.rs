//! How an archive is compressed: `--compress zstd:19`.

use std::thread;

use stagex_image::compress::{Codec, Compression};

use crate::args::Global;

/// A compressor and its level, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct How(Option<(Codec, u32)>);

impl How {
    /// Parses what is written after `--compress`. Codecs are in the form that Linux unpacks.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        if name == "none" && level.is_none() {
            return Ok(Self(None));
        }
        let known = "known are none, zstd, xz, gzip and lz4, each with a level if you like: zstd:3";
        let codec = match name {
            "zstd" | "xz" | "gzip" | "lz4" => {
                name.parse::<Codec>().map_err(|_| known.to_owned())?
            }
            _ => return Err(known.to_owned()),
        };
        let codec = codec.for_linux();
        let level = match level {
            None => codec.default_level(),
            Some(level) => level.parse().map_err(|_| known.to_owned())?,
        };
        let how = Compression { codec, level, workers: 1 };
        how.check().map_err(|error| error.to_string())?;
        Ok(Self(Some((codec, level))))
    }

    /// The same for as many threads as the machine has or `--jobs` says.
    pub(crate) fn with(self, global: &Global) -> Option<Compression> {
        let Self(how) = self;
        how.map(|(codec, level)| Compression { codec, level, workers: workers(global) })
    }
}

/// Threads for work of stagex's own.
pub(crate) fn workers(global: &Global) -> u32 {
    match global.jobs {
        Some(jobs) => u32::from(jobs),
        None => thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
    }
}

#[cfg(test)]
mod tests {
    use stagex_image::compress::{Lz4Format, XzCheck};

    use super::*;

    #[test]
    fn levels_and_forms() {
        for (text, how) in [
            ("none", None),
            ("zstd", Some((Codec::Zstd, 19))),
            ("zstd:3", Some((Codec::Zstd, 3))),
            ("xz", Some((Codec::Xz(XzCheck::Crc32), 6))),
            ("lz4", Some((Codec::Lz4(Lz4Format::Legacy), 9))),
        ] {
            assert_eq!(How::parse(text), Ok(How(how)), "{text}");
        }
        for wrong in ["", "none:1", "zstd:", "zstd:0", "zstd:23", "zstd:x", "xz:10", "rar"] {
            assert!(How::parse(wrong).is_err(), "{wrong}");
        }
    }
}
