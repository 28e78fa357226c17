//! `stagex image ext4`.

use stagex_image::{
    ext4::{self, Journal, Size},
    identity::Guid,
};

use super::{Loaded, Output, Source, size};
use crate::failure::Failure;

/// What an ext4 volume is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The volume is as mkfs.ext4 makes it: extents, checksums, indexed directories, a journal. resize2fs
grows it.

Examples:
  stagex image ext4 --from rootfs --owner 0:0 --epoch 0 --label root -o root.ext4
  stagex image ext4 --from rootfs.tar --size 2G --reserved 1 -o root.ext4
  stagex image ext4 --from oci:image --no-journal -o root.ext4")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Output,
    /// Label, at most 16 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// Size of the volume [default: as small as it may be]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,
    /// What is to stay free where the size is not given
    #[arg(long, value_name = "SIZE", conflicts_with = "size", value_parser = size)]
    free: Option<u64>,
    /// Size of a block: 1K, 2K or 4K
    #[arg(long, value_name = "SIZE", default_value = "4K", value_parser = size)]
    block: u64,
    /// Write no journal, for what is only read
    #[arg(long, conflicts_with = "journal_blocks")]
    no_journal: bool,
    /// Blocks of the journal [default: what mkfs.ext4 takes]
    #[arg(long, value_name = "N")]
    journal_blocks: Option<u32>,
    /// Inodes that are to be free, at least
    #[arg(long, value_name = "N")]
    free_inodes: Option<u32>,
    /// Blocks that only root may use, in hundredths
    #[arg(long, value_name = "PERCENT", default_value = "0")]
    reserved: u8,
    /// Size up to which any Linux can grow it while it is mounted
    #[arg(long, value_name = "SIZE", value_parser = size)]
    grow_to: Option<u64>,
    /// The volume's UUID [default: derived]
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    uuid: Option<Guid>,
    /// Write long runs of zeros out instead of making them holes
    #[arg(long)]
    no_holes: bool,
}

impl Args {
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let Loaded { tree, epoch, seed, .. } = &self.source.load(self.output.path())?;
        let params = ext4::Params {
            size: match (self.size, self.free) {
                (Some(size), _) => Size::Exact(size),
                (None, Some(free)) => Size::Free(free),
                (None, None) => Size::Minimum,
            },
            block: u32::try_from(self.block).unwrap_or(u32::MAX),
            journal: match self.journal_blocks {
                _ if self.no_journal => Journal::None,
                Some(blocks) => Journal::Blocks(blocks),
                None => Journal::Default,
            },
            free_inodes: self.free_inodes,
            reserved_percent: self.reserved,
            grow_to: self.grow_to,
            holes: !self.no_holes,
            uuid: self.uuid,
            seed: *seed,
            ..ext4::Params::new(&self.label, *epoch)
        };
        let layout = ext4::layout(tree, &params).map_err(Failure::failed)?;
        let free = format!("{} bytes, {} inodes", layout.free(), layout.free_inodes());
        self.output.image(&layout, &[("uuid", layout.uuid().to_string()), ("free", free)])
    }
}

/// A UUID as it is usually written.
pub(super) fn uuid(text: &str) -> Result<Guid, String> {
    Guid::parse(text).ok_or_else(|| format!("{text:?} is no UUID"))
}
