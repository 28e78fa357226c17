//! ISO 9660 images that boot from a disc and from a stick.
//!
//! Follows ECMA-119 (level 3: long identifiers, files of several extents), SUSP 1.12 and RRIP 1.12
//! ("Rock Ridge": names, modes, owners, times, links, devices), Joliet, El Torito 1.0 with the
//! EFI platform of the UEFI Specification 2.10 (13.3.2), and a GUID partition table in the system
//! area. Directories may be deeper than ECMA-119's eight levels, as all of today's readers accept,
//! rather than be moved about as RRIP offers. Names of the primary hierarchy are shortened to 31
//! characters; Rock Ridge carries the true ones. Linux alone cuts true names of 254 and 255 bytes
//! short, whoever wrote them.
//!
//! # Booting
//! The EFI boot image is a FAT volume. On a disc of 2,048-byte sectors firmware finds it through the
//! El Torito catalogue, on a stick of 512-byte sectors through the partition table, whose EFI
//! system partition is the same bytes. The catalogue's size is 16 bits of 512 bytes: a larger
//! image states 0, which UEFI reads as "to the end of the medium", so it is then put last.

mod boot;
mod directory;
mod names;
mod records;
mod volume;

use std::io::{self, Write};

use stagex_tree::{Digest, Kind, Tree, TreePath};

use self::{boot::Boot, directory::Hierarchy, volume::Descriptors};
use crate::{
    Image,
    emit::Emitter,
    gpt::{self, Tables},
    identity::Guid,
    index::Index,
    path_check::symlink_target,
};

/// Bytes of a logical block.
pub(crate) const BLOCK: u64 = 2048;
/// Blocks of the system area.
const SYSTEM: u64 = 16;
/// The longest extent of a file in bytes: the last whole block under 4 GiB.
const EXTENT_MAX: u64 = (1 << 32) - BLOCK;
/// The fewest blocks of an image: libarchive does not look at files under 24.
const BLOCKS_MIN: u64 = 32;
/// The EFI boot image begins on a multiple of this, for the partition that it is.
const ALIGN: u64 = 1 << 20;

/// What an EFI boot image is: a FAT volume.
pub enum BootImage<'a> {
    /// A file of the tree.
    File(TreePath),
    /// An image of its own, not seen in any directory.
    Hidden(&'a dyn Image),
}

/// What an image is made from besides its tree.
pub struct Params<'a> {
    /// The volume's id: 1 to 32 printable ASCII characters.
    pub label: String,
    /// The volume's dates, seconds since 1970.
    pub epoch: i64,
    /// Who made it: at most 128 printable ASCII characters.
    pub publisher: String,
    /// Adds a Joliet hierarchy, for systems that know no Rock Ridge. It shows files and
    /// directories only.
    pub joliet: bool,
    /// What UEFI boots. It makes the image a disk with an EFI system partition as well.
    pub efi: Option<BootImage<'a>>,
    /// The file of the tree that a BIOS boots from a disc, loaded whole, without emulation: at
    /// most 32 MiB.
    pub bios: Option<TreePath>,
    /// How many sectors of 512 bytes a BIOS loads of that file; all of it by default. Boot loaders
    /// that load the rest of themselves ask for 4.
    pub bios_load: Option<u16>,
    /// Writes into that file, from byte 8 to 63, where it and the volume lie, as the boot loaders
    /// of ISOLINUX and GRUB expect.
    pub boot_info: bool,
    /// Code in the MBR that a BIOS runs from a stick; zeros for none.
    pub boot_code: [u8; 440],
    /// Shows the EFI system partition, or else the whole image, in the MBR as an active partition
    /// too: some BIOSes start no stick without one.
    pub hybrid_mbr: bool,
    /// What the GUIDs of the partition table are derived from; by default the tree, whose
    /// contents are then read once for it.
    pub seed: Option<Digest>,
}

impl Params<'_> {
    /// A plain image, not bootable.
    pub fn new(label: impl Into<String>, epoch: i64) -> Self {
        Self {
            label: label.into(),
            epoch,
            publisher: String::new(),
            joliet: false,
            efi: None,
            bios: None,
            bios_load: None,
            boot_info: false,
            boot_code: [0; 440],
            hybrid_mbr: false,
            seed: None,
        }
    }
}

/// Why a tree cannot be an ISO 9660 image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text of the volume's descriptor.
    #[error("the ISO {field} {text:?} is not {least} to {most} printable ASCII characters")]
    Text {
        /// Which.
        field: &'static str,
        /// The text given.
        text: String,
        /// The fewest characters.
        least: usize,
        /// The most characters.
        most: usize,
    },
    /// A date outside of what four digits of a year can say.
    #[error("the ISO volume's time {epoch} is not in the years 1 to 9999")]
    Epoch {
        /// Seconds since 1970.
        epoch: i64,
    },
    /// A modification time outside of a directory record's range.
    #[error("{path}: modification time {mtime} is not in the years 1900 to 2155, as ISO 9660 asks")]
    Time {
        /// The entry.
        path: TreePath,
        /// Seconds since 1970.
        mtime: i64,
    },
    /// No reader could make this symbolic link.
    #[error("{path}: a symbolic link's target must be 1 to 4095 bytes without NUL")]
    Target {
        /// The link.
        path: TreePath,
    },
    /// Rock Ridge cannot hold extended attributes.
    #[error("{path}: ISO 9660 cannot hold its extended attribute {name:?}")]
    Xattr {
        /// The entry.
        path: TreePath,
        /// The attribute's name, lossily decoded.
        name: String,
    },
    /// More directories than path tables can number.
    #[error("{count} directories are too many: ISO 9660 numbers 65535")]
    Directories {
        /// How many.
        count: usize,
    },
    /// A directory of 4 GiB or more, or an image of 8 TiB or more.
    #[error("{path}: does not fit the 32 bits of an ISO 9660 image")]
    TooLarge {
        /// The entry where the limit was passed.
        path: TreePath,
    },
    /// A boot image that is not a regular file of the tree, or has no bytes.
    #[error("{path}: is to be booted, but is no regular file with bytes in it")]
    NoBootFile {
        /// The path given.
        path: TreePath,
    },
    /// The EFI boot image given as such has no bytes.
    #[error("the EFI boot image is empty")]
    NoBootImage,
    /// A boot image that a BIOS cannot load.
    #[error("{path}: {len} bytes cannot be loaded by a BIOS, which reads at most 33553920")]
    BiosTooLarge {
        /// The file.
        path: TreePath,
        /// Its size in bytes.
        len: u64,
    },
    /// A boot image with no room for what is to be written into it.
    #[error("{path}: {len} bytes have no room for a boot information table, which ends at byte 64")]
    BootInfo {
        /// The file.
        path: TreePath,
        /// Its size in bytes.
        len: u64,
    },
    /// A content could not be read for the GUIDs.
    #[error("a file could not be read for the image's GUIDs: {source}")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// The partition table cannot be.
    #[error(transparent)]
    Table(#[from] gpt::Error),
}

/// Where the parts of an image lie, in blocks.
struct Plan {
    /// The El Torito catalogue; 0 for none.
    catalogue: u64,
    /// The first block of each entry's content by number, 0 where there is none.
    contents: Vec<u32>,
    /// The hidden boot image; 0 for none.
    hidden: u64,
    /// All blocks.
    total: u64,
}

/// An image laid out.
pub struct Layout<'a> {
    index: Index<'a>,
    plan: Plan,
    primary: Hierarchy,
    joliet: Option<Hierarchy>,
    descriptors: Descriptors,
    boot: Boot,
    hidden: Option<&'a dyn Image>,
    /// The entries with content in the order in which they are written.
    order: Vec<u32>,
    tables: Option<Tables>,
    esp: Option<gpt::Entry>,
    guid: Option<Guid>,
}

/// Lays out `tree` as an ISO 9660 image.
pub fn layout<'a>(tree: &'a Tree, params: &Params<'a>) -> Result<Layout<'a>, Error> {
    let descriptors = Descriptors::new(params)?;
    let index = Index::new(tree);
    check(&index)?;
    let (efi_file, hidden) = match &params.efi {
        Some(BootImage::File(path)) => (Some(boot_file(tree, &index, path)?), None),
        Some(BootImage::Hidden(image)) if image.is_empty() => return Err(Error::NoBootImage),
        Some(BootImage::Hidden(image)) => (None, Some(*image)),
        None => (None, None),
    };
    let bios_file = match &params.bios {
        Some(path) => {
            let number = boot_file(tree, &index, path)?;
            let len = len_of(&index, number);
            if boot::sectors(len) > u64::from(u16::MAX) {
                return Err(Error::BiosTooLarge { path: path.clone(), len });
            }
            if params.boot_info && len < boot::INFO_END {
                return Err(Error::BootInfo { path: path.clone(), len });
            }
            Some(number)
        }
        None => None,
    };

    // What comes first: descriptors, catalogue, path tables and directories of each hierarchy.
    let bootable = params.efi.is_some() || params.bios.is_some();
    let mut at = SYSTEM + 2 + u64::from(bootable) + u64::from(params.joliet);
    let catalogue = if bootable { at } else { 0 };
    at += u64::from(bootable);
    let primary = Hierarchy::primary(&index, &mut at)?;
    let joliet = params.joliet.then(|| Hierarchy::joliet(&index, &mut at)).transpose()?;

    // Then contents in path order, each once, but for the EFI boot image, which comes last.
    let mut contents = vec![0; index.len()];
    let mut order = Vec::new();
    let too_large = |number: u32| Error::TooLarge { path: path_of(&index, number).clone() };
    let mut place = |number: u32, at: &mut u64| -> Result<(), Error> {
        contents[number as usize] = u32::try_from(*at).map_err(|_| too_large(number))?;
        order.push(number);
        *at = at.saturating_add(len_of(&index, number).div_ceil(BLOCK));
        Ok(())
    };
    let efi_first = efi_file.map(|number| index.firsts[number as usize]);
    for (number, &first) in (0u32..).zip(&index.firsts) {
        let is_first = first == number && len_of(&index, number) != 0;
        if is_first && efi_first != Some(number) {
            place(number, &mut at)?;
        }
    }
    let mut efi = None;
    let mut hidden_at = 0;
    if params.efi.is_some() {
        at = at.next_multiple_of(ALIGN / BLOCK);
        let len = match (efi_first, hidden) {
            (Some(number), _) => len_of(&index, number),
            (None, image) => image.map_or(0, |image| image.len()),
        };
        efi = Some((at, len));
        match efi_first {
            Some(number) => place(number, &mut at)?,
            None => {
                hidden_at = at;
                at = at.saturating_add(len.div_ceil(BLOCK));
            }
        }
        // The partition ends on a multiple too.
        at = at.next_multiple_of(ALIGN / BLOCK);
    }
    let mut total = at.max(BLOCKS_MIN);
    if efi.is_some() {
        total += (gpt::AFTER_USABLE * gpt::SECTOR).div_ceil(BLOCK);
    }
    if u32::try_from(total).is_err() {
        return Err(Error::TooLarge { path: TreePath::root() });
    }
    for (number, &first) in index.firsts.iter().enumerate() {
        contents[number] = contents[first as usize];
    }
    let bios =
        bios_file.map(|number| (u64::from(contents[number as usize]), len_of(&index, number)));
    let info = bios_file.filter(|_| params.boot_info).map(|number| index.firsts[number as usize]);
    let boot = Boot { bios, bios_load: params.bios_load, info, efi };
    let partition = match efi {
        Some((first, len)) => Some(partition(tree, params, total, first, len)?),
        None => None,
    };
    let (tables, esp, guid) = match partition {
        Some((tables, esp, guid)) => (Some(tables), Some(esp), Some(guid)),
        None => (None, None, None),
    };
    let plan = Plan { catalogue, contents, hidden: hidden_at, total };
    Ok(Layout { index, plan, primary, joliet, descriptors, boot, hidden, order, tables, esp, guid })
}

impl Layout<'_> {
    /// The exact length of the image in bytes, a multiple of 2,048.
    #[allow(clippy::len_without_is_empty, reason = "an image is never empty")]
    pub fn len(&self) -> u64 {
        self.plan.total * BLOCK
    }

    /// The EFI system partition, where the image has one.
    pub fn esp(&self) -> Option<&gpt::Entry> {
        self.esp.as_ref()
    }

    /// Where a file's bytes begin in the image; none for what is no file or has no bytes.
    pub fn place(&self, path: &TreePath) -> Option<u64> {
        let number = self.index.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        let first = u64::from(*self.plan.contents.get(number)?);
        (first != 0).then_some(first * BLOCK)
    }

    /// The GUID of the image as a disk, where it has a partition table.
    pub fn guid(&self) -> Option<Guid> {
        self.guid
    }

    /// Writes the image in one forward sweep.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Image::write(self, out)
    }
}

impl Image for Layout<'_> {
    fn len(&self) -> u64 {
        Layout::len(self)
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        match &self.tables {
            Some(tables) => out.put(&tables.primary)?,
            None => out.put(&self.descriptors.first_sector(self.plan.total))?,
        }
        out.pad_to(SYSTEM * BLOCK)?;
        self.descriptors.emit(&mut out, self)?;
        if self.plan.catalogue != 0 {
            out.pad_to(self.plan.catalogue * BLOCK)?;
            out.put(&self.boot.catalogue())?;
        }
        self.primary.emit(&mut out, &self.index, &self.plan)?;
        if let Some(joliet) = &self.joliet {
            joliet.emit(&mut out, &self.index, &self.plan)?;
        }
        for &number in &self.order {
            out.pad_to(u64::from(self.plan.contents[number as usize]) * BLOCK)?;
            let entry = &self.index.entries[number as usize];
            let Some(content) = entry.inode.content() else { continue };
            if self.boot.info == Some(number) {
                // Small enough for a BIOS, hence for memory.
                let mut bytes = content.read()?;
                boot::put_info(&mut bytes, self.plan.contents[number as usize]);
                out.put(&bytes)?;
            } else {
                out.content(entry.path, content)?;
            }
        }
        if let Some(image) = self.hidden {
            out.pad_to(self.plan.hidden * BLOCK)?;
            out.image(image)?;
        }
        let backup = self.tables.as_ref().map_or(&[][..], |tables| &tables.backup);
        out.pad_to(self.len() - backup.len() as u64)?;
        out.put(backup)?;
        out.finish().map(drop)
    }
}

fn path_of<'i>(index: &'i Index<'_>, number: u32) -> &'i TreePath {
    index.entries[number as usize].path
}

/// Bytes of a file's content; 0 for what has none.
fn len_of(index: &Index<'_>, number: u32) -> u64 {
    index.entries[number as usize].inode.content().map_or(0, stagex_tree::Content::len)
}

fn check(index: &Index<'_>) -> Result<(), Error> {
    for entry in &index.entries {
        let path = || entry.path.clone();
        let metadata = &entry.inode.metadata;
        if !records::in_range(metadata.mtime) {
            return Err(Error::Time { path: path(), mtime: metadata.mtime });
        }
        if let Some(name) = metadata.xattrs.keys().next() {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(Error::Xattr { path: path(), name });
        }
        if let Kind::Symlink(target) = &entry.inode.kind {
            symlink_target(target).ok_or_else(|| Error::Target { path: path() })?;
        }
    }
    Ok(())
}

/// The number of the file at `path`, which is to be booted.
fn boot_file(tree: &Tree, index: &Index<'_>, path: &TreePath) -> Result<u32, Error> {
    let error = || Error::NoBootFile { path: path.clone() };
    let content = tree.get(path).and_then(|entry| entry.inode.content()).ok_or_else(error)?;
    let number = index.entries.binary_search_by(|entry| entry.path.cmp(path));
    match number {
        Ok(number) if !content.is_empty() => u32::try_from(number).map_err(|_| error()),
        _ => Err(error()),
    }
}

/// The partition table whose EFI system partition is the boot image.
fn partition(
    tree: &Tree,
    params: &Params<'_>,
    total: u64,
    first: u64,
    len: u64,
) -> Result<(Tables, gpt::Entry, Guid), Error> {
    let seed = match params.seed {
        Some(seed) => seed,
        None => tree.digest().map_err(|source| Error::Read { source })?,
    };
    let entry = gpt::Entry {
        kind: gpt::Type::ESP,
        guid: Guid::derive(&seed, "partition esp"),
        first: first * (BLOCK / gpt::SECTOR),
        sectors: len.next_multiple_of(ALIGN) / gpt::SECTOR,
        attributes: 0,
        name: "esp".to_owned(),
        in_mbr: params.hybrid_mbr,
    };
    let guid = Guid::derive(&seed, "disk");
    let sectors = total * (BLOCK / gpt::SECTOR);
    let tables = gpt::tables(guid, sectors, std::slice::from_ref(&entry), &params.boot_code)?;
    Ok((tables, entry, guid))
}
