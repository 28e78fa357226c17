//! The tools that ours are compared with, and how they are run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use stagex_image::fat;
use stagex_tree::Tree;

use crate::{common, ours::THREADS};

/// What all put into a volume.
pub const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// The name of a writer, and how to run it. The first of a format is ours.
pub type Writer<'a> = (&'static str, Box<dyn Fn() -> Command + 'a>);

/// A tree to be written, and where to.
pub struct Place {
    folder: PathBuf,
    scratch: PathBuf,
    entries: usize,
    bytes: u64,
    /// What all contents take in whole blocks of 4 KiB.
    blocks: u64,
    fits_fat: bool,
}

impl Place {
    pub fn new(folder: &Path, scratch: &Path) -> Self {
        let folder = fs::canonicalize(folder).unwrap();
        let tree: Tree = common::read_folder(&folder);
        let contents = || tree.iter().filter_map(|entry| entry.inode.content());
        Self {
            folder,
            scratch: scratch.to_owned(),
            entries: tree.len(),
            bytes: contents().map(|content| content.len()).sum(),
            blocks: contents().map(|content| content.len().next_multiple_of(4096)).sum(),
            fits_fat: fat::layout(&tree, &fat::Params::default()).is_ok(),
        }
    }

    pub fn entries(&self) -> usize {
        self.entries
    }

    pub fn about(&self) -> String {
        format!("{} entries, {:.1} MB", self.entries, self.bytes as f64 / 1e6)
    }

    /// Where images are written.
    pub fn image(&self) -> PathBuf {
        self.scratch.join("image")
    }

    /// Removes what the last writer wrote.
    pub fn clear(&self) {
        let image = self.image();
        fs::remove_file(&image).or_else(|_| fs::remove_dir_all(&image)).ok();
    }

    fn ours(&self, kind: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--write", kind]).arg(self.image()).arg(&self.folder);
        command
    }

    /// A line for the shell, in which `$i` is the image and `$t` the tree.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("i", self.image()).env("t", &self.folder).env("U", UUID);
        command.env("E", common::EPOCH.to_string());
        // mke2fs and mkfs.fat must be told how large the volume is to be.
        let size = self.blocks + self.blocks / 20 + self.entries as u64 * 1024 + (96 << 20);
        command.env("S", size.next_multiple_of(4096).to_string());
        command.env("N", (self.entries + 1000).to_string()).env("P", THREADS.to_string());
        command
    }
}

/// Every format with its writers.
pub fn groups(place: &Place) -> Vec<(&'static str, Vec<Writer<'_>>)> {
    let ours = |kind: &'static str| -> Writer<'_> { ("ours", Box::new(move || place.ours(kind))) };
    let tool = |name: &'static str, script: &'static str| -> Writer<'_> {
        (name, Box::new(move || place.shell(script)))
    };
    let mut groups = vec![
        (
            "ext4",
            vec![
                ours("ext4"),
                tool(
                    "mkfs.ext4 -d",
                    "truncate -s $S $i && mkfs.ext4 -qF -b4096 -N $N -U $U \
                     -E hash_seed=$U,lazy_itable_init=1 -d $t $i",
                ),
                tool("cp -a, no image", "cp -a $t $i"),
            ],
        ),
        (
            "cpio",
            vec![
                ours("cpio"),
                tool(
                    "GNU cpio, sorted",
                    "cd $t && find . -print0 | sort -z | cpio -0oHnewc --reproducible --quiet >$i",
                ),
            ],
        ),
        (
            "cpio, zstd -3",
            vec![
                ours("cpio.zst"),
                tool(
                    "GNU cpio, into zstd -3",
                    "cd $t && find . -print0 | sort -z | cpio -0oHnewc --reproducible --quiet \
                     | zstd -q -3 -T$P >$i",
                ),
            ],
        ),
        (
            "ISO 9660",
            vec![
                ours("iso"),
                tool("xorriso", "xorriso -as mkisofs -quiet -R -iso-level 3 -V X -o $i $t"),
                tool(
                    "xorriso, dates pinned",
                    "xorriso -as mkisofs -quiet -R -iso-level 3 -V X \
                     --modification-date=2023111422132000 --set_all_file_dates 2023111422132000 \
                     -o $i $t",
                ),
            ],
        ),
        ("EROFS", vec![ours("erofs"), tool("mkfs.erofs", "mkfs.erofs -T$E -U $U $i $t >$i.log")]),
        (
            "EROFS, lz4",
            vec![
                ours("erofs-lz4-blocks"),
                tool("mkfs.erofs -zlz4", "mkfs.erofs -T$E -U $U -zlz4 $i $t >$i.log"),
            ],
        ),
        (
            "EROFS, lz4, tails",
            vec![
                ours("erofs-lz4"),
                tool(
                    "mkfs.erofs -zlz4 -Eztailpacking",
                    "mkfs.erofs -T$E -U $U -zlz4 -Eztailpacking $i $t >$i.log",
                ),
            ],
        ),
        (
            "SquashFS, zstd -3",
            vec![
                ours("squashfs"),
                tool(
                    "mksquashfs",
                    "mksquashfs $t $i -noappend -quiet -no-progress -comp zstd \
                     -Xcompression-level 3 -processors $P -mkfs-time $E",
                ),
            ],
        ),
    ];
    if place.fits_fat {
        groups.push((
            "FAT32",
            vec![
                ours("fat"),
                tool(
                    "mkfs.fat, mcopy",
                    "truncate -s $S $i && mkfs.fat -F32 -s8 --invariant -i 12345678 $i >$i.log && \
                     mcopy -smi $i $t/* ::",
                ),
            ],
        ));
    }
    groups
}
