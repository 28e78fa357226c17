//! `stagex image qcow2`, `vhd`, `vmdk` and `raw`: disks for virtual machines.

use std::{io, path::PathBuf};

use clap::{Args, ValueHint};
use stagex_image::{
    Image,
    vmdisk::{qcow2, vhd, vmdk},
};

use super::{Output, compression::workers, gpt, size, source, volume::Volume};
use crate::{args::Global, failure::Failure};

/// A disk, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct Disk {
    /// The raw disk, as stagex image gpt or a box has it; with --from it is made as by gpt
    #[arg(
        value_name = "DISK",
        required_unless_present = "from",
        conflicts_with = "from",
        value_hint = ValueHint::FilePath
    )]
    disk: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    volume: Volume,
}

/// How a disk becomes qcow2.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stagex image qcow2 disk.img --compress zstd:3 -o disk.qcow2
  stagex image qcow2 --from rootfs --format ext4 -o disk.qcow2")]
pub(crate) struct Qcow2 {
    /// Size of a cluster, 512 to 2M
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = size)]
    cluster: u64,
    /// How clusters are compressed: none, zlib or zstd, with a level if you like
    #[arg(long, value_name = "HOW", default_value = "none", value_parser = compression)]
    compress: Compression,
    #[command(flatten)]
    disk: Disk,
}

/// How a disk becomes VHD.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  stagex image vhd disk.img -o disk.vhd")]
pub(crate) struct Vhd {
    #[command(flatten)]
    disk: Disk,
}

/// How a disk becomes VMDK.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  stagex image vmdk disk.img --level 9 -o disk.vmdk")]
pub(crate) struct Vmdk {
    /// From 1 (fast) to 9 (small)
    #[arg(long, value_name = "N", default_value = "6")]
    level: u32,
    #[command(flatten)]
    disk: Disk,
}

/// How a disk becomes a raw file with holes.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  stagex image raw disk.img -o sparse.img")]
pub(crate) struct Raw {
    #[command(flatten)]
    disk: Disk,
}

/// How clusters are compressed.
#[derive(Debug, Clone, Copy)]
struct Compression(Option<qcow2::Compression>);

impl Disk {
    /// Hands the disk on.
    fn with(
        &self,
        global: &Global,
        then: impl FnOnce(&dyn Image) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match &self.disk {
            Some(disk) => then(&source::file(disk)?),
            None => gpt::of_tree(&self.volume, &self.output, global, then),
        }
    }
}

impl Qcow2 {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let Compression(compression) = self.compress;
        let params = qcow2::Params { cluster: self.cluster, compression, workers: workers(global) };
        self.disk.with(global, |disk| {
            let layout = qcow2::layout(disk, &params).map_err(Failure::failed)?;
            self.disk.output.image(&layout, &[])
        })
    }
}

impl Vhd {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        self.disk.with(global, |disk| {
            let layout = vhd::layout(disk, &gpt::digest(disk)?).map_err(Failure::failed)?;
            self.disk.output.image(&layout, &[("id", layout.id().to_string())])
        })
    }
}

impl Vmdk {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        self.disk.with(global, |disk| {
            let output = &self.disk.output;
            let name = output.path().file_name().unwrap_or_default().to_string_lossy();
            let params = vmdk::Params::new(name, gpt::digest(disk)?, workers(global));
            let params = vmdk::Params { level: self.level, ..params };
            output.with(&[], |out| {
                vmdk::write(disk, &params, out).map(drop).map_err(io::Error::other)
            })
        })
    }
}

impl Raw {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        // Every file is written with holes.
        self.disk.with(global, |disk| self.disk.output.image(disk, &[]))
    }
}

fn compression(text: &str) -> Result<Compression, String> {
    let known = || "known are none, zlib:1 to zlib:9 and zstd:1 to zstd:22".to_owned();
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, Some(level.parse::<u32>().map_err(|_| known())?)),
        None => (text, None),
    };
    Ok(Compression(match (name, level) {
        ("none", None) => None,
        ("zlib", level) => Some(qcow2::Compression::Zlib(level.unwrap_or(6))),
        ("zstd", level) => Some(qcow2::Compression::Zstd(level.unwrap_or(3))),
        _ => return Err(known()),
    }))
}
