//! `stagex image qcow2`, `vhd`, `vmdk` and `raw`: disks for virtual machines.

use std::{io, path::PathBuf};

use clap::{Args, ValueHint};
use stagex_image::vmdisk::{qcow2, vhd, vmdk};
use stagex_tree::Content;

use super::{Output, compression::workers, size, source};
use crate::{args::Global, failure::Failure};

/// A disk, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct Disk {
    /// The raw disk, as stagex image gpt or a box has it
    #[arg(value_name = "DISK", value_hint = ValueHint::FilePath)]
    disk: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// How a disk becomes qcow2.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  stagex image qcow2 disk.img --compress zstd:3 -o disk.qcow2")]
pub(crate) struct Qcow2 {
    #[command(flatten)]
    disk: Disk,
    /// Size of a cluster, 512 to 2M
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = size)]
    cluster: u64,
    /// How clusters are compressed: none, zlib or zstd, with a level if you like
    #[arg(long, value_name = "HOW", default_value = "none", value_parser = compression)]
    compress: Compression,
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
    #[command(flatten)]
    disk: Disk,
    /// From 1 (fast) to 9 (small)
    #[arg(long, value_name = "N", default_value = "6")]
    level: u32,
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
    fn open(&self) -> Result<Content, Failure> {
        source::file(&self.disk)
    }
}

impl Qcow2 {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let disk = self.disk.open()?;
        let Compression(compression) = self.compress;
        let params = qcow2::Params { cluster: self.cluster, compression, workers: workers(global) };
        let layout = qcow2::layout(&disk, &params).map_err(Failure::failed)?;
        self.disk.output.image(&layout, &[])
    }
}

impl Vhd {
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let disk = self.disk.open()?;
        let seed = disk.digest().map_err(Failure::at(&self.disk.disk))?;
        let layout = vhd::layout(&disk, &seed).map_err(Failure::failed)?;
        self.disk.output.image(&layout, &[("id", layout.id().to_string())])
    }
}

impl Vmdk {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let disk = self.disk.open()?;
        let seed = disk.digest().map_err(Failure::at(&self.disk.disk))?;
        let name = self.disk.output.path().file_name().unwrap_or_default().to_string_lossy();
        let params =
            vmdk::Params { level: self.level, ..vmdk::Params::new(name, seed, workers(global)) };
        self.disk
            .output
            .with(&[], |out| vmdk::write(&disk, &params, out).map(drop).map_err(io::Error::other))
    }
}

impl Raw {
    pub(crate) fn write(&self) -> Result<(), Failure> {
        // Every file is written with holes.
        self.disk.output.image(&self.disk.open()?, &[])
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
