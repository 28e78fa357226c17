//! How an archive is compressed: `--compress zstd:19`.

use std::{
    io::{self, Write},
    thread,
};

use stagex_image::{Image, compress::Zstd};

use crate::args::Global;

/// A compressor and its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Zstd(i32),
}

impl Compression {
    /// What is written after `--compress`.
    pub(crate) const HELP: &str = "none, zstd or zstd:1 to zstd:22";

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let wrong = || format!("known are {}", Self::HELP);
        let within = |least: i32, most: i32, usual: i32| match level {
            None => Ok(usual),
            Some(level) => level
                .parse()
                .ok()
                .filter(|level| (least..=most).contains(level))
                .ok_or_else(|| format!("{name} has the levels {least} to {most}")),
        };
        match name {
            "none" if level.is_none() => Ok(Self::None),
            "zstd" => within(1, 22, 19).map(Self::Zstd),
            _ => Err(wrong()),
        }
    }

    /// Writes `image`, compressed with as many threads as the machine has or `--jobs` says.
    pub(crate) fn write(
        self,
        image: &dyn Image,
        global: &Global,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let workers = match global.jobs {
            Some(jobs) => u32::from(jobs),
            None => {
                thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
            }
        };
        match self {
            Self::None => image.write(out),
            Self::Zstd(level) => Zstd { level, workers }.compress(image, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        assert_eq!(Compression::parse("none"), Ok(Compression::None));
        assert_eq!(Compression::parse("zstd"), Ok(Compression::Zstd(19)));
        assert_eq!(Compression::parse("zstd:3"), Ok(Compression::Zstd(3)));
        for wrong in ["", "none:1", "zstd:", "zstd:0", "zstd:23", "zstd:x", "rar"] {
            assert!(Compression::parse(wrong).is_err(), "{wrong}");
        }
    }
}
