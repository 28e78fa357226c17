//! `stagex image iso`.

use std::path::PathBuf;

use clap::ValueHint;
use stagex_image::{
    fat,
    iso::{self, BootImage},
};
use stagex_tree::{PathError, TreePath};

use super::{Loaded, Output, Source, boot_code, source};
use crate::failure::Failure;

/// What an ISO 9660 image is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Names, owners, modes, times, links and devices are kept by Rock Ridge; --joliet shows files and
folders to systems that do not know it. Files may be larger than 4 GiB.

Examples:
  stagex image iso --from tree --label DATA --joliet -o data.iso
  stagex image iso --from tree --efi-image esp.img -o boot.iso
  stagex image iso --from tree --bios isolinux/isolinux.bin --boot-load-size 4 --boot-info-table \\
      --mbr isohdpfx.bin --hybrid-mbr --efi EFI/efi.img -o boot.iso")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Output,
    /// The volume's id: at most 32 characters
    #[arg(long, value_name = "TEXT", default_value = "ISOIMAGE")]
    label: String,
    /// Who made it
    #[arg(long, value_name = "TEXT", default_value = "")]
    publisher: String,
    /// Add a Joliet hierarchy
    #[arg(long)]
    joliet: bool,
    /// What UEFI boots, and what becomes the EFI system partition of a stick: a FAT image in the
    /// tree, by its path there
    #[arg(long, value_name = "PATH", conflicts_with_all = ["efi_image", "esp"], value_parser = path)]
    efi: Option<TreePath>,
    /// The same from a file outside of the tree
    #[arg(long, value_name = "FILE", conflicts_with = "esp", value_hint = ValueHint::FilePath)]
    efi_image: Option<PathBuf>,
    /// The same made of a folder, a tar or an image layout with what is to be in it
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    esp: Option<PathBuf>,
    /// What a BIOS boots from a CD, without emulation: a file in the tree
    #[arg(long, value_name = "PATH", value_parser = path)]
    bios: Option<TreePath>,
    /// How many sectors of 512 bytes of it the BIOS loads [default: all]
    #[arg(long, value_name = "N", requires = "bios", value_parser = clap::value_parser!(u16).range(1..))]
    boot_load_size: Option<u16>,
    /// Write into it where it lies, as ISOLINUX and GRUB want
    #[arg(long, requires = "bios")]
    boot_info_table: bool,
    /// Code for the first sector that a BIOS runs from a stick: at most 440 bytes of it, or a
    /// whole sector
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    mbr: Option<PathBuf>,
    /// Have an active partition in the MBR too, without which some BIOSes start no stick
    #[arg(long)]
    hybrid_mbr: bool,
}

impl Args {
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let output = self.output.path();
        let Loaded { tree, epoch, seed, .. } = &self.source.load(output)?;
        let mut params = iso::Params {
            publisher: self.publisher.clone(),
            joliet: self.joliet,
            efi: self.efi.clone().map(BootImage::File),
            bios: self.bios.clone(),
            bios_load: self.boot_load_size,
            boot_info: self.boot_info_table,
            boot_code: boot_code(self.mbr.as_deref())?,
            hybrid_mbr: self.hybrid_mbr,
            seed: *seed,
            ..iso::Params::new(&self.label, *epoch)
        };
        let image = self.efi_image.as_deref().map(source::file).transpose()?;
        let esp = match &self.esp {
            Some(path) => Some(self.source.load_too(path, output)?),
            None => None,
        };
        let esp_params = fat::Params {
            width: fat::Width::Fat16,
            label: Some("ESP".to_owned()),
            epoch: *epoch,
            seed: *seed,
            ..fat::Params::default()
        };
        let volume = esp.as_ref().map(|esp| fat::layout(&esp.tree, &esp_params));
        let volume = volume
            .transpose()
            .map_err(|error| Failure::failed(format!("EFI system partition: {error}")))?;
        if let Some(image) = &image {
            params.efi = Some(BootImage::Hidden(image));
        }
        if let Some(volume) = &volume {
            params.efi = Some(BootImage::Hidden(volume));
        }
        let layout = iso::layout(tree, &params).map_err(|error| match error {
            iso::Error::Xattr { .. } => {
                Failure::failed(format!("{error}\nhelp: --drop-xattrs leaves them out"))
            }
            error => Failure::failed(error),
        })?;
        let mut notes = Vec::new();
        if let (Some(guid), Some(esp)) = (layout.guid(), layout.esp()) {
            notes.push(("guid", guid.to_string()));
            notes.push(("part", format!("{} {} at {}", esp.guid, esp.name, esp.first * 512)));
        }
        self.output.image(&layout, &notes)
    }
}

fn path(text: &str) -> Result<TreePath, PathError> {
    TreePath::new(text)
}
