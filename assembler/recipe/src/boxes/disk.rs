//! Disks: what `[disk]` and `[[disk.partitions]]` say.

use super::{RootFormat, RootFs};
use crate::{
    Span, Spanned,
    toml_reader::{Sink, Table},
};

/// The longest name of a partition in UTF-16 units, less what a slot adds.
const NAME_UNITS: usize = 34;

/// The least bytes of an empty ext4 file system: with its journal there is room for files.
const EXT4_MIN: u64 = 16 << 20;

/// How a disk is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disk {
    /// Its size in bytes; by default as small as it may be.
    pub size: Option<Spanned<u64>>,
    /// Whether the root file system has a second, empty place, for the next version of the box.
    pub ab: bool,
    /// Its partitions in order: an EFI system partition, and the root file system where that is
    /// not an initramfs, are always among them.
    pub partitions: Vec<DiskPartition>,
}

/// A partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskPartition {
    /// What it is for.
    pub role: Role,
    /// Its name: at most 34 UTF-16 units.
    pub name: String,
    /// Its size in bytes, where it is not that of what it holds.
    pub size: Option<Spanned<u64>>,
    /// Whether it begins as an empty ext4 file system, to be written to; else as zeros.
    pub ext4: bool,
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The EFI system partition, with the unified kernel image.
    Esp,
    /// The root file system.
    Root,
    /// The hash tree of the root file system.
    RootVerity,
    /// More boot loader entries. This and all that follow begin empty.
    Xbootldr,
    /// Users' files.
    Home,
    /// Servers' files.
    Srv,
    /// Variable data.
    Var,
    /// Temporary files.
    Tmp,
    /// Swap space.
    Swap,
    /// Anything else on Linux.
    Data,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Esp,
        Self::Root,
        Self::RootVerity,
        Self::Xbootldr,
        Self::Home,
        Self::Srv,
        Self::Var,
        Self::Tmp,
        Self::Swap,
        Self::Data,
    ];

    /// The name in box.toml, which is the partition's own where it is given none.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Esp => "esp",
            Self::Root => "root",
            Self::RootVerity => "root-verity",
            Self::Xbootldr => "xbootldr",
            Self::Home => "home",
            Self::Srv => "srv",
            Self::Var => "var",
            Self::Tmp => "tmp",
            Self::Swap => "swap",
            Self::Data => "data",
        }
    }

    /// Whether the box says what is in it.
    pub const fn is_filled(self) -> bool {
        matches!(self, Self::Esp | Self::Root | Self::RootVerity)
    }
}

impl DiskPartition {
    /// Its size in bytes, where it is not that of what it holds.
    pub fn bytes(&self) -> Option<u64> {
        self.size.as_ref().map(|size| size.value)
    }
}

impl Disk {
    /// Its size in bytes, where it is not as small as it may be.
    pub fn bytes(&self) -> Option<u64> {
        self.size.as_ref().map(|size| size.value)
    }

    /// The partitions that a disk has where box.toml names none.
    fn usual(rootfs: RootFs) -> Vec<DiskPartition> {
        let partition = |role: Role| DiskPartition {
            role,
            name: role.name().to_owned(),
            size: None,
            ext4: false,
        };
        needed(rootfs).map(partition).collect()
    }
}

/// The roles that have to be there.
fn needed(rootfs: RootFs) -> impl Iterator<Item = Role> {
    let root = (rootfs.format != RootFormat::Initramfs).then_some(Role::Root);
    let verity = rootfs.verity.then_some(Role::RootVerity);
    [Some(Role::Esp), root, verity].into_iter().flatten()
}

/// Reads `[disk]`; also where it stands, if it does.
pub(super) fn read(sink: &Sink<'_>, root: &Table<'_>, rootfs: RootFs) -> (Disk, Option<Span>) {
    let table = root.table("disk");
    let ab = table.bool("ab");
    let bytes = size(sink, &table);
    let mut partitions: Vec<DiskPartition> = Vec::new();
    let tables = table.tables("partitions");
    for each in &tables {
        partitions.extend(partition(sink, each, rootfs, &partitions));
    }
    table.finish();
    let there = table.exists().then(|| table.span());
    if let Some(ab) = ab.as_ref().filter(|ab| ab.value) {
        if rootfs.format == RootFormat::Initramfs {
            sink.error_help(
                ab.span,
                "an initramfs lies in the kernel's image, and has no second place on the disk",
                r#"drop `ab`, or choose a [rootfs] format such as "ext4""#,
            );
        }
    }
    if tables.is_empty() {
        partitions = Disk::usual(rootfs);
    } else if let Some(missing) =
        needed(rootfs).find(|role| partitions.iter().all(|each| each.role != *role))
    {
        sink.error_help(
            table.span(),
            format!("the disk has no partition of role `{}`", missing.name()),
            "add it, or drop [[disk.partitions]] for the usual ones",
        );
    }
    (Disk { size: bytes, ab: ab.is_some_and(|ab| ab.value), partitions }, there)
}

fn partition(
    sink: &Sink<'_>,
    table: &Table<'_>,
    rootfs: RootFs,
    before: &[DiskPartition],
) -> Option<DiskPartition> {
    let role = table.required("role", r#"write role = "esp""#);
    let name = table.string("name");
    let bytes = size(sink, table);
    let format = table.string("format");
    table.finish();
    let role = role?;
    let names = Role::ALL.map(Role::name);
    let Some(known) = Role::ALL.into_iter().find(|known| known.name() == role.value) else {
        let error = sink.document.error(role.span, format!("`{}` is no role", role.value));
        let error = error.with_help(format!("known are {}", names.join(", ")));
        sink.add(error.with_nearest(&role.value, names));
        return None;
    };
    if known.is_filled() && before.iter().any(|each| each.role == known) {
        sink.error_help(
            role.span,
            format!("there are two partitions of role `{}`", known.name()),
            "keep one; `ab = true` in [disk] makes a second place for the root file system",
        );
    }
    if known.is_filled() && needed(rootfs).all(|role| role != known) {
        sink.error_help(
            role.span,
            format!("nothing is there for a partition of role `{}`", known.name()),
            "drop it, or say in [rootfs] which format the root file system has, and `verity`",
        );
    }
    if !known.is_filled() && bytes.is_none() && !table.has("size") {
        sink.error_help(
            table.span(),
            format!("a partition of role `{}` begins empty, and has to have a size", known.name()),
            r#"write size = "1G""#,
        );
    }
    if let Some(format) = &format {
        if known.is_filled() {
            sink.error_help(
                format.span,
                format!("what is in a partition of role `{}` has its format", known.name()),
                "drop `format`; that of the root file system is said in [rootfs]",
            );
        } else if format.value != "ext4" {
            sink.error_help(
                format.span,
                format!("a partition cannot begin as `{}`", format.value),
                r#"write format = "ext4", or drop it for one of zeros"#,
            );
        } else if bytes.as_ref().is_some_and(|bytes| bytes.value < EXT4_MIN) {
            sink.error_help(
                format.span,
                "a partition of under 16 MiB is too small for an ext4 file system to write to",
                r#"write size = "16M" or more"#,
            );
        }
    }
    let span = name.as_ref().map_or(role.span, |name| name.span);
    let name = name.map_or_else(|| known.name().to_owned(), |name| name.value);
    let units = name.encode_utf16().count();
    if units == 0 || units > NAME_UNITS || name.chars().any(char::is_control) {
        sink.error(span, format!("a partition's name has 1 to {NAME_UNITS} characters"));
    }
    if before.iter().any(|each| each.name == name) {
        sink.error_help(
            span,
            format!("two partitions are called `{name}`"),
            "give one of them another `name`",
        );
    }
    Some(DiskPartition { role: known, name, size: bytes, ext4: format.is_some() })
}

/// A size as text: `"512M"`.
fn size(sink: &Sink<'_>, table: &Table<'_>) -> Option<Spanned<u64>> {
    let text = table.string("size")?;
    let bytes = parse_size(&text);
    if bytes.is_none() {
        sink.error_help(
            text.span,
            format!("`{}` is no size", text.value),
            r#"write a multiple of 1 MiB: "512M", "2G" or "1T""#,
        );
    }
    bytes.map(|bytes| Spanned::new(bytes, text.span))
}

fn parse_size(text: &Spanned<String>) -> Option<u64> {
    let (digits, shift) = [("M", 20), ("G", 30), ("T", 40)]
        .into_iter()
        .find_map(|(unit, shift)| Some((text.value.strip_suffix(unit)?, shift)))?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = plain.then(|| digits.parse().ok())??;
    // What a disk of 512-byte sectors can have, and far more than one has.
    number.checked_mul(1 << shift).filter(|bytes| (1..1 << 60).contains(bytes))
}
