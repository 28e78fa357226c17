//! What has no room in the size that box.toml gives it: said where that stands, with what would do.

use stagex_image::{disk, ext4, fat};
use stagex_oci::Store;
use stagex_recipe::{
    Document, Spanned,
    boxes::{BoxRecipe, DiskPartition, Output, Role, RootFormat},
};
use stagex_tree::Digest;

use crate::{
    Composition, Error,
    compose::{KERNEL_PATH, file_of},
    disk::SLOTS,
};

const MIB: u64 = 1 << 20;
/// How many sizes are tried for an ext4 volume, each larger than the one before by a sixteenth.
const TRIES: usize = 64;

/// Whether outputs have an EFI system partition whose size box.toml gives, so that
/// [`check_esp`] can refuse it.
pub fn has_sized_esp(recipe: &BoxRecipe, outputs: &[Output]) -> bool {
    let on_disk = |output: &Output| matches!(output, Output::Disk | Output::Qcow2);
    outputs.iter().any(on_disk) && sized_esp(recipe).is_some()
}

fn sized_esp(recipe: &BoxRecipe) -> Option<(&DiskPartition, &Spanned<u64>)> {
    let esp = recipe.disk.partitions.iter().find(|each| each.role == Role::Esp)?;
    Some((esp, esp.size.as_ref()?))
}

/// Refuses a box whose EFI system partition has no room for its kernel alone, whose package's
/// layers are `layers`: before all the rest is built that goes there as well.
pub fn check_esp(recipe: &BoxRecipe, store: &Store, layers: &[Digest]) -> Result<(), Error> {
    let Some((esp, size)) = sized_esp(recipe) else { return Ok(()) };
    let tree = store.merged(layers)?;
    let kernel = file_of(&tree, &recipe.kernel.package.value, KERNEL_PATH, "the kernel")?;
    // With two places for the root file system there is a kernel's image for each.
    let images = match recipe.disk.ab && recipe.rootfs.format != RootFormat::Initramfs {
        true => 2,
        false => 1,
    };
    let least = kernel.len().saturating_mul(images);
    if least <= size.value {
        return Ok(());
    }
    let text = format!(
        "the partition `{}` is too small with {} MiB: the kernel alone takes {} MiB of it",
        esp.name,
        size.value >> 20,
        least.div_ceil(1 << 20)
    );
    let help = "give it more by far, or drop `size`: it is as large then as it has to be";
    Err(recipe.document.error(size.span, text).with_help(help).into())
}

impl Composition {
    /// In the words of box.toml: an EFI system partition that has to have `needed` bytes.
    pub(crate) fn explain_esp(&self, error: fat::Error, needed: u64) -> Error {
        self.explain_role(Role::Esp, needed).unwrap_or(Error::Fat(error))
    }

    /// In the words of box.toml: a root file system that cannot be ext4.
    pub(crate) fn explain_ext4(&self, error: ext4::Error, params: &ext4::Params) -> Error {
        let explained = match &error {
            ext4::Error::TooSmall { needed, .. } => {
                self.explain_role(Role::Root, self.enough_for_ext4(params, *needed))
            }
            _ => None,
        };
        explained.unwrap_or(Error::Ext4(error))
    }

    /// Bytes of an ext4 volume that do for the root file system: at least `least`, and more where
    /// a volume of that size would have a longer journal than the smallest one has.
    fn enough_for_ext4(&self, params: &ext4::Params, least: u64) -> u64 {
        let mut size = least.next_multiple_of(MIB);
        for _ in 0..TRIES {
            let params = ext4::Params { size: ext4::Size::Exact(size), ..params.clone() };
            match ext4::layout(&self.rootfs, &params) {
                Err(ext4::Error::TooSmall { .. }) => size += (size / 16).next_multiple_of(MIB),
                _ => break,
            }
        }
        size
    }

    /// In the words of box.toml: a disk that cannot be.
    pub(crate) fn explain_disk(&self, error: disk::Error) -> Error {
        let explained = match &error {
            disk::Error::Partition { name, content, .. } => {
                let is_it = |each: &&DiskPartition| {
                    let rest = name.strip_prefix(&each.name);
                    rest.is_some_and(|rest| rest.is_empty() || SLOTS.contains(&rest))
                };
                let found = self.disk.partitions.iter().find(is_it);
                found.and_then(|each| self.explain_partition(each, *content))
            }
            disk::Error::Size { needed, .. } => self.disk.size.as_ref().map(|size| {
                let about = ("the disk", "its partitions take");
                too_small(&self.document, size, about, "drop `size` of [disk]", *needed)
            }),
            _ => None,
        };
        explained.unwrap_or(Error::Disk(error))
    }

    fn explain_role(&self, role: Role, needed: u64) -> Option<Error> {
        let found = self.disk.partitions.iter().find(|each| each.role == role)?;
        self.explain_partition(found, needed)
    }

    fn explain_partition(&self, partition: &DiskPartition, needed: u64) -> Option<Error> {
        let size = partition.size.as_ref()?;
        let what = format!("the partition `{}`", partition.name);
        let about = (&what[..], "what is to be in it takes");
        Some(too_small(&self.document, size, about, "drop `size`", needed))
    }
}

fn too_small(
    document: &Document,
    size: &Spanned<u64>,
    (what, takes): (&str, &str),
    or: &str,
    needed: u64,
) -> Error {
    let (given, needed) = (size.value >> 20, needed.div_ceil(1 << 20));
    let text = format!("{what} is too small with {given} MiB: {takes} {needed} MiB");
    let help = format!("write size = \"{needed}M\" or more, or {or}");
    document.error(size.span, text).with_help(help).into()
}
