//! `stagex image fat`.

use stagex_image::fat::{self, Width};

use super::{Loaded, Output, Source, size};
use crate::failure::Failure;

/// What a FAT volume is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FAT holds files and directories only; hard links become copies, and owners, modes and extended
attributes are left out.

Examples:
  stagex image fat --from esp --label ESP -o esp.img
  stagex image fat --from esp --cluster 4K --size 512M -o esp.img
  stagex image fat --from floppy.tar --width 12 --size 1440K -o floppy.img")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Output,
    /// Bits of the table's entries: 12, 16 or 32
    #[arg(long, value_name = "BITS", default_value = "32", value_parser = width)]
    width: Width,
    /// Size of a cluster, 512 to 32K [default: what makes the volume smallest]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    cluster: Option<u64>,
    /// Size of the volume [default: as small as it may be]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,
    /// What is to stay free where the size is not given
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size, conflicts_with = "size")]
    free: u64,
    /// Label, at most 11 characters
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Sectors of 512 bytes before the volume on its disk
    #[arg(long, value_name = "N", default_value = "0")]
    hidden_sectors: u32,
}

impl Args {
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let Loaded { tree, epoch, seed, .. } = &self.source.load(self.output.path())?;
        let params = fat::Params {
            width: self.width,
            cluster: self.cluster.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX)),
            size: self.size,
            free: self.free,
            label: self.label.clone(),
            epoch: *epoch,
            hidden_sectors: self.hidden_sectors,
            seed: *seed,
        };
        let layout = fat::layout(tree, &params).map_err(Failure::failed)?;
        let id = layout.id();
        let id = format!("{:04X}-{:04X}", id >> 16, id & 0xffff);
        let cluster = format!("{} bytes", layout.cluster());
        self.output.image(&layout, &[("id", id), ("cluster", cluster)])
    }
}

fn width(text: &str) -> Result<Width, String> {
    match text {
        "12" => Ok(Width::Fat12),
        "16" => Ok(Width::Fat16),
        "32" => Ok(Width::Fat32),
        _ => Err("known are 12, 16 and 32".to_owned()),
    }
}
