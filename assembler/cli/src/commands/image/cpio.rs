//! `stagex image cpio`.

use std::path::PathBuf;

use clap::ValueHint;
use stagex_image::{
    compress::{Part, initramfs},
    cpio,
};

use super::{
    Output, Source,
    compression::How,
    source::{self, cpio_error},
};
use crate::{args::Global, failure::Failure};

/// What a cpio archive is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stagex image cpio --from rootfs --owner 0:0 --epoch 0 --compress zstd -o initramfs.cpio.zst
  docker export c | stagex image cpio --from - --prepend ucode.cpio -o initramfs.cpio")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Output,
    /// How to compress it: none, zstd, xz, gzip or lz4, with a level if you like: zstd:3
    #[arg(long, value_name = "HOW", default_value = "none", value_parser = How::parse)]
    compress: How,
    /// A file to put before it as it is, such as microcode; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    prepend: Vec<PathBuf>,
}

impl Args {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let loaded = self.source.load(self.output.path())?;
        // --drop-xattrs has done it, where it was said.
        let params = cpio::Params { drop_xattrs: false };
        let layout = cpio::layout(&loaded.tree, &params).map_err(cpio_error)?;
        let before =
            self.prepend.iter().map(|path| source::file(path)).collect::<Result<Vec<_>, _>>()?;
        let mut parts: Vec<Part<'_>> =
            before.iter().map(|image| Part { image, compression: None }).collect();
        let compression = self.compress.with(global);
        parts.push(Part { image: &layout, compression });
        self.output.with(&[], |out| initramfs(&parts, out).map(drop))
    }
}
