//! `stagex image squashfs`.

use stagex_image::squashfs::{self, Compression};

use super::{Loaded, Output, Source, compression::workers, size};
use crate::{args::Global, failure::Failure};

/// What a SquashFS image is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Compressed blocks wait in a nameless file beside the image until all are known.

Examples:
  stagex image squashfs --from rootfs --owner 0:0 --epoch 0 -o root.squashfs
  stagex image squashfs --from rootfs.tar --compress xz --block 1M --tail-ends -o root.squashfs")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Output,
    /// How to compress it: zstd, xz, gzip or lz4, all but the last with a level if you like: zstd:3
    #[arg(long, value_name = "HOW", default_value = "zstd:15", value_parser = how)]
    compress: Compression,
    /// Size of a block: 4K to 1M
    #[arg(long, value_name = "SIZE", default_value = "128K", value_parser = size)]
    block: u64,
    /// Pack the ends of large files together with small files: smaller images, slower reads
    #[arg(long)]
    tail_ends: bool,
}

impl Args {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let Loaded { tree, epoch, .. } = &self.source.load(self.output.path())?;
        let params = squashfs::Params {
            compression: self.compress,
            block_size: u32::try_from(self.block).unwrap_or(u32::MAX),
            tail_ends: self.tail_ends,
            threads: workers(global),
            ..squashfs::Params::new(*epoch, self.output.folder())
        };
        let layout = squashfs::layout(tree, &params).map_err(Failure::failed)?;
        self.output.image(&layout, &[])
    }
}

/// A compressor and its level; by default what mksquashfs takes.
fn how(text: &str) -> Result<Compression, String> {
    let known = || "known are zstd, xz, gzip, each with a level if you like, and lz4".to_owned();
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, Some(level.parse::<u8>().map_err(|_| known())?)),
        None => (text, None),
    };
    let level = |default: u8| u32::from(level.unwrap_or(default));
    let how = match name {
        "zstd" => Compression::Zstd { level: i32::try_from(level(15)).unwrap_or(i32::MAX) },
        "xz" => Compression::Xz { preset: level(6) },
        "gzip" => Compression::Gzip { level: level(9) },
        "lz4" if text == name => Compression::Lz4,
        _ => return Err(known()),
    };
    how.check().map_err(|error| error.to_string())?;
    Ok(how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressors_and_levels() {
        assert_eq!(how("zstd"), Ok(Compression::Zstd { level: 15 }));
        assert_eq!(how("zstd:22"), Ok(Compression::Zstd { level: 22 }));
        assert_eq!(how("xz:0"), Ok(Compression::Xz { preset: 0 }));
        assert_eq!(how("gzip"), Ok(Compression::Gzip { level: 9 }));
        assert_eq!(how("lz4"), Ok(Compression::Lz4));
        for wrong in ["", "none", "zstd:", "zstd:23", "zstd:x", "xz:10", "gzip:0", "lz4:1"] {
            assert!(how(wrong).is_err(), "{wrong}");
        }
    }
}
