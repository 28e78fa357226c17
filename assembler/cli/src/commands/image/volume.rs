//! A tree in place of a file: `--from` of the images that are made around a file system.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use stagex_image::{
    Image, erofs, ext4, fat,
    squashfs::{self, Compression},
};

use super::{Loaded, Output, compression::workers, source::Options};
use crate::{args::Global, failure::Failure};

/// The file systems that a tree becomes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Ext4,
    Erofs,
    Squashfs,
    Fat,
}

/// What tree becomes which file system. The last of a command's options: its heading stays.
#[derive(Debug, Args)]
#[command(next_help_heading = "A tree in place of a file")]
pub(crate) struct Volume {
    /// Make a file system of this tree first: of a folder, a tar (plain, gzip or zstd; - is
    /// standard input) or an OCI image layout. Where it could be mistaken: dir:PATH, tar:PATH,
    /// oci:PATH
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) from: Option<PathBuf>,
    /// Which one, as the command of this name makes it: ext4, erofs, squashfs or fat
    #[arg(long, value_name = "FORMAT", default_value = "ext4", value_parser = Format::parse)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) options: Options,
}

impl Format {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "ext4" => Self::Ext4,
            "erofs" => Self::Erofs,
            "squashfs" => Self::Squashfs,
            "fat" => Self::Fat,
            _ => return Err("known are ext4, erofs, squashfs and fat".to_owned()),
        })
    }

    /// Lays a tree out as the command of this name does by itself. What is written to has `size`
    /// bytes, if that is known.
    pub(super) fn layout<'t>(
        self,
        loaded: &'t Loaded,
        size: Option<u64>,
        output: &Output,
        global: &Global,
    ) -> Result<Box<dyn Image + 't>, Failure> {
        let Loaded { tree, epoch, seed, .. } = loaded;
        Ok(match self {
            Self::Ext4 => {
                let size = size.map_or(ext4::Size::Minimum, ext4::Size::Exact);
                let params = ext4::Params { size, seed: *seed, ..ext4::Params::new("", *epoch) };
                Box::new(ext4::layout(tree, &params).map_err(Failure::failed)?)
            }
            Self::Erofs => {
                let params = erofs::Params { seed: *seed, ..erofs::Params::new(*epoch) };
                Box::new(erofs::layout(tree, &params).map_err(Failure::failed)?)
            }
            Self::Squashfs => {
                let params = squashfs::Params {
                    compression: Compression::Zstd { level: 15 },
                    threads: workers(global),
                    ..squashfs::Params::new(*epoch, output.folder())
                };
                Box::new(squashfs::layout(tree, &params).map_err(Failure::failed)?)
            }
            Self::Fat => {
                let params =
                    fat::Params { size, epoch: *epoch, seed: *seed, ..fat::Params::default() };
                Box::new(fat::layout(tree, &params).map_err(Failure::failed)?)
            }
        })
    }
}

impl Volume {
    /// Reads a tree; `number` tells it from others for the same output.
    pub(super) fn load(
        &self,
        from: &Path,
        output: &Output,
        number: usize,
    ) -> Result<Loaded, Failure> {
        self.options.load(from, output.path(), &format!("spool-{number}"))
    }
}
