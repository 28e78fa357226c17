//! The root file system: `[rootfs]`.

use super::read::nearest_of;
use crate::{
    Span, Spanned,
    toml_reader::{Sink, Table},
};

/// How a box's root file system is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RootFs {
    /// Its format.
    pub format: RootFormat,
    /// Whether the kernel checks every block that it reads against the box's digest.
    pub verity: bool,
    /// How EROFS or SquashFS is compressed; by default the first is not, and the second by
    /// Zstandard.
    pub compress: Option<RootCompression>,
    /// The bytes that are compressed together (SquashFS) or that a compressed cluster takes at
    /// most (EROFS): a power of two; the writer's own size by default.
    pub block: Option<u32>,
}

/// The format of a root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RootFormat {
    /// In memory, unpacked by the kernel.
    #[default]
    Initramfs,
    /// Read-only, compressed by file.
    Erofs,
    /// Read-only, compressed by block.
    Squashfs,
    /// Writable.
    Ext4,
}

impl RootFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Initramfs, Self::Erofs, Self::Squashfs, Self::Ext4];

    /// The name in box.toml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initramfs => "initramfs",
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
            Self::Ext4 => "ext4",
        }
    }

    /// The key for the size of its blocks, the least and the most they have; none where they are
    /// not compressed.
    const fn blocks(self) -> Option<(&'static str, u32, u32)> {
        match self {
            Self::Erofs => Some(("cluster", 4 << 10, 512 << 10)),
            Self::Squashfs => Some(("block", 4 << 10, 1 << 20)),
            Self::Initramfs | Self::Ext4 => None,
        }
    }

    /// What `compress` may be for it, as it is written.
    const fn compressions(self) -> &'static [&'static str] {
        match self {
            Self::Erofs => &["none", "lz4", "zstd"],
            Self::Squashfs => &["zstd", "xz", "gzip", "lz4"],
            Self::Initramfs | Self::Ext4 => &[],
        }
    }
}

/// A compression of a root file system, with its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootCompression {
    /// None, though the format knows some.
    None,
    /// LZ4, which has no levels here.
    Lz4,
    /// Zstandard of level 1 to 22; the writer's own level by default.
    Zstd(Option<u32>),
    /// XZ of preset 0 to 9, likewise.
    Xz(Option<u32>),
    /// Deflate of level 1 to 9, likewise.
    Gzip(Option<u32>),
}

impl RootCompression {
    /// Reads what stands in box.toml; an error says what is known.
    fn parse(format: RootFormat, text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let known = format.compressions();
        if !known.contains(&name) {
            return Err(format!("known for {} are {}", format.name(), known.join(", ")));
        }
        let level_in = |least: u32, most: u32| match level {
            None => Ok(None),
            Some(level) => level
                .parse()
                .ok()
                .filter(|_| level.bytes().all(|byte| byte.is_ascii_digit()))
                .filter(|level| (least..=most).contains(level))
                .map(Some)
                .ok_or_else(|| format!("{name} has levels from {least} to {most}")),
        };
        match (name, level) {
            ("zstd", _) => Ok(Self::Zstd(level_in(1, 22)?)),
            ("xz", _) => Ok(Self::Xz(level_in(0, 9)?)),
            ("gzip", _) => Ok(Self::Gzip(level_in(1, 9)?)),
            ("lz4", None) => Ok(Self::Lz4),
            ("none", None) => Ok(Self::None),
            (name, _) => Err(format!("{name} has no levels: write \"{name}\"")),
        }
    }
}

/// Reads `[rootfs]`, and where its format is said.
pub(super) fn read(sink: &Sink<'_>, root: &Table<'_>) -> (RootFs, Option<Span>) {
    let table = root.table("rootfs");
    let format = table.string("format");
    let verity = table.bool("verity");
    let compress = table.string("compress");
    let sizes = ["cluster", "block"].map(|key| (key, table.string(key)));
    table.finish();
    let mut rootfs = RootFs::default();
    if let Some(format) = &format {
        let names = RootFormat::ALL.map(RootFormat::name);
        match RootFormat::ALL.into_iter().find(|each| each.name() == format.value) {
            Some(known) => rootfs.format = known,
            None => {
                nearest_of(sink, format, "no format of a rootfs", &names);
                // What else is said belongs to a format that is not known.
                return (rootfs, Some(format.span));
            }
        }
    }
    if let Some(verity) = verity.filter(|verity| verity.value) {
        rootfs.verity = true;
        if rootfs.format == RootFormat::Initramfs {
            sink.error_help(
                verity.span,
                "an initramfs has no blocks for verity to check",
                r#"drop `verity`, or choose format = "erofs""#,
            );
        }
    }
    if let Some(compress) = &compress {
        rootfs.compress = compression(sink, rootfs.format, compress);
    }
    for (key, text) in sizes {
        let Some(text) = text else { continue };
        rootfs.block = block(sink, &rootfs, key, &text);
    }
    (rootfs, format.map(|format| format.span))
}

fn compression(
    sink: &Sink<'_>,
    format: RootFormat,
    text: &Spanned<String>,
) -> Option<RootCompression> {
    if format.compressions().is_empty() {
        let (message, help) = match format {
            RootFormat::Initramfs => (
                "how an initramfs is compressed is not chosen",
                r#"drop `compress`, or choose format = "erofs" or "squashfs""#,
            ),
            _ => (
                "ext4 is not compressed",
                r#"drop `compress`, or choose format = "erofs" or "squashfs""#,
            ),
        };
        sink.error_help(text.span, message, help);
        return None;
    }
    match RootCompression::parse(format, &text.value) {
        Ok(compression) => Some(compression),
        Err(known) => {
            let message = format!("`{}` is no compression of {}", text.value, format.name());
            sink.error_help(text.span, message, known);
            None
        }
    }
}

fn block(sink: &Sink<'_>, rootfs: &RootFs, key: &str, text: &Spanned<String>) -> Option<u32> {
    let (least, most) = match rootfs.format.blocks() {
        Some((of, least, most)) if of == key => (least, most),
        Some((of, ..)) => {
            let message = format!("{} has no `{key}`", rootfs.format.name());
            sink.error_help(text.span, message, format!("write {of} = \"64K\""));
            return None;
        }
        None => {
            let message = format!("{} has no `{key}`", rootfs.format.name());
            let help = "drop it: blocks of a chosen size are compressed in EROFS and SquashFS only";
            sink.error_help(text.span, message, help);
            return None;
        }
    };
    let plain = rootfs.format == RootFormat::Erofs
        && matches!(rootfs.compress, None | Some(RootCompression::None));
    if plain {
        sink.error_help(
            text.span,
            "nothing is compressed that `cluster` could be said of",
            r#"write compress = "lz4" beside it, or drop it"#,
        );
        return None;
    }
    let size = size(&text.value).filter(|size| size.is_power_of_two());
    let size = size.filter(|size| (least..=most).contains(size));
    if size.is_none() {
        sink.error_help(
            text.span,
            format!("`{}` is no size of a {key}", text.value),
            format!(
                "write a power of two from {}K to {}K, such as \"64K\"",
                least >> 10,
                most >> 10
            ),
        );
    }
    size
}

/// A number of KiB or MiB: `"64K"`, `"1M"`.
fn size(text: &str) -> Option<u32> {
    let (digits, shift) = [("K", 10), ("M", 20)]
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = plain.then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift)
}
