//! `stagex image erofs`.

use stagex_image::{
    erofs::{self, Compression, Packing},
    identity::Guid,
};

use super::{Loaded, Output, Source, compression::workers, ext4::uuid, size};
use crate::{args::Global, failure::Failure};

/// What an EROFS image is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EROFS is read in place: mounting costs nothing, and what is read is paged in as it is. What has the
image's own time takes less room, so --epoch makes smaller images. Plain images and those of lz4
in clusters of 4K and with --no-tails are mounted by any Linux that has EROFS, other clusters of lz4
from 5.13 on, tails from 5.17 on, zstd from 6.10 on.

Examples:
  stagex image erofs --from rootfs --owner 0:0 --epoch 0 --label root -o root.erofs
  stagex image erofs --from oci:image --compress lz4 -o root.erofs
  stagex image erofs --from rootfs.tar --compress zstd:12 --cluster 64K -o root.erofs")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Output,
    /// Label, at most 15 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// The volume's UUID [default: derived]
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    uuid: Option<Guid>,
    /// How to compress it: none, lz4 or zstd, the last with a level if you like: zstd:3
    #[arg(long, value_name = "HOW", default_value = "none", value_parser = how)]
    compress: How,
    /// The most that a compressed cluster takes, 4K to 512K: larger ones make smaller images that
    /// are slower to read here and there
    #[arg(long, value_name = "SIZE", default_value = "4K", value_parser = size)]
    cluster: u64,
    /// Give the compressed ends of files blocks of their own
    #[arg(long)]
    no_tails: bool,
}

/// A compressor and its level, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct How(Option<Compression>);

impl Args {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let Loaded { tree, epoch, seed, .. } = &self.source.load(self.output.path())?;
        let How(compression) = self.compress;
        let packing = compression.map(|compression| Packing {
            cluster: u32::try_from(self.cluster).unwrap_or(u32::MAX),
            tails: !self.no_tails,
            threads: workers(global),
            ..Packing::new(compression, self.output.folder())
        });
        let params = erofs::Params {
            label: self.label.clone(),
            uuid: self.uuid,
            seed: *seed,
            packing,
            ..erofs::Params::new(*epoch)
        };
        let layout = erofs::layout(tree, &params).map_err(Failure::failed)?;
        self.output.image(&layout, &[("uuid", layout.uuid().to_string())])
    }
}

fn how(text: &str) -> Result<How, String> {
    let known = || "known are none, lz4, and zstd with a level if you like: zstd:3".to_owned();
    let how = match text.split_once(':') {
        None if text == "none" => return Ok(How(None)),
        None if text == "lz4" => Compression::Lz4,
        None if text == "zstd" => Compression::Zstd { level: 3 },
        Some(("zstd", level)) => Compression::Zstd { level: level.parse().map_err(|_| known())? },
        _ => return Err(known()),
    };
    how.check().map_err(|error| error.to_string())?;
    Ok(How(Some(how)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressors_and_levels() {
        assert_eq!(how("none"), Ok(How(None)));
        assert_eq!(how("lz4"), Ok(How(Some(Compression::Lz4))));
        assert_eq!(how("zstd"), Ok(How(Some(Compression::Zstd { level: 3 }))));
        assert_eq!(how("zstd:22"), Ok(How(Some(Compression::Zstd { level: 22 }))));
        for wrong in ["", "none:1", "lz4:1", "zstd:", "zstd:0", "zstd:23", "xz"] {
            assert!(how(wrong).is_err(), "{wrong}");
        }
    }
}
