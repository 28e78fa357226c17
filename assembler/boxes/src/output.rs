//! From a root file system to images.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use stagex_image::{
    Image,
    compress::Zstd,
    cpio, disk, fat, gpt, iso,
    uki::{Machine, Uki},
};
use stagex_recipe::boxes::{Architecture, Output};
use stagex_tree::{Content, Digest, Inode, Kind, Metadata, Tree, TreePath};

use crate::{Composition, Error, write_aside};

/// Bytes of a cluster of an EFI system partition on a disk: what every firmware takes.
const ESP_CLUSTER: u32 = 4096;
/// The longest name of an ISO volume.
const LABEL_MAX: usize = 32;

/// What the files of an output are called behind the box's name; the first is the image itself.
pub fn suffixes(output: Output) -> &'static [&'static str] {
    match output {
        Output::Iso => &["iso"],
        Output::Disk => &["img"],
        Output::Uki => &["efi"],
        Output::Initramfs => &["cpio.zst", "vmlinuz"],
        Output::Qcow2 => &["qcow2"],
        Output::Eif => &["eif"],
    }
}

/// What the image of an output is called behind the box's name.
pub fn suffix(output: Output) -> &'static str {
    suffixes(output)[0]
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where it lies.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its length in bytes.
    pub len: u64,
}

/// Makes the files of one box. What several of them hold is made once.
pub struct Writer<'a> {
    composition: &'a Composition,
    scratch: &'a Path,
    workers: u32,
    initramfs: OnceLock<Content>,
    uki: OnceLock<Content>,
}

impl Composition {
    /// Prepares writing; `scratch` is an empty folder for what is not yet an output, `workers`
    /// how many threads compress.
    pub fn writer<'a>(&'a self, scratch: &'a Path, workers: u32) -> Writer<'a> {
        let (initramfs, uki) = Default::default();
        Writer { composition: self, scratch, workers: workers.max(1), initramfs, uki }
    }
}

impl Writer<'_> {
    /// Writes an output as `<folder>/<name>.<suffix>`, each file aside and then renamed.
    pub fn write(&self, output: Output, folder: &Path) -> Result<Vec<Written>, Error> {
        let place = |suffix: &str| folder.join(format!("{}.{suffix}", self.composition.name));
        let image = place(suffix(output));
        match output {
            Output::Iso => Ok(vec![self.iso(&image)?]),
            Output::Disk => Ok(vec![self.disk(&image)?]),
            Output::Uki => Ok(vec![copy(self.uki()?, &image)?]),
            Output::Initramfs => Ok(vec![
                copy(self.initramfs()?, &image)?,
                copy(&self.composition.kernel, &place("vmlinuz"))?,
            ]),
            Output::Qcow2 | Output::Eif => Err(Error::NotYet { output }),
        }
    }

    /// The root file system as a compressed archive.
    fn initramfs(&self) -> Result<&Content, Error> {
        if let Some(initramfs) = self.initramfs.get() {
            return Ok(initramfs);
        }
        let path = self.scratch.join("initramfs");
        let params = cpio::Params { drop_xattrs: true };
        let layout = cpio::layout(&self.composition.rootfs, &params).map_err(Error::Cpio)?;
        let zstd = Zstd::new(self.workers);
        let (digest, len) = write_aside(&path, |out| zstd.compress(&layout, out))?;
        let content = Content::from_file(path, 0, len).with_digest(digest);
        Ok(self.initramfs.get_or_init(|| content))
    }

    fn uki(&self) -> Result<&Content, Error> {
        if let Some(uki) = self.uki.get() {
            return Ok(uki);
        }
        let composition = self.composition;
        let uki = Uki {
            stub: composition.stub.clone(),
            kernel: composition.kernel.clone(),
            initrd: Some(self.initramfs()?.clone()),
            cmdline: composition.cmdline.clone(),
            os_release: Some(composition.release.clone()),
            uname: composition.kernel_release.clone(),
            sbat: None,
            ucode: None,
            dtb: None,
        };
        let plan = uki.plan()?;
        let path = self.scratch.join("uki");
        let (digest, len) = write_aside(&path, |mut out| plan.write(&mut out))?;
        let content = Content::from_file(path, 0, len).with_digest(digest);
        Ok(self.uki.get_or_init(|| content))
    }

    /// The tree of an EFI system partition: the image where firmware looks on removable media.
    fn esp(&self) -> Result<Tree, Error> {
        let machine = match self.composition.architecture {
            Architecture::X86_64 => Machine::X86_64,
            Architecture::Arm64 => Machine::Arm64,
            Architecture::Riscv64 => Machine::Riscv64,
        };
        let mut tree = Tree::new();
        let path = machine.removable_path().replace('\\', "/");
        self.put(&mut tree, &path, self.uki()?.clone())?;
        Ok(tree)
    }

    fn put(&self, tree: &mut Tree, path: &str, content: Content) -> Result<(), Error> {
        let mtime = i64::try_from(self.composition.epoch).unwrap_or(i64::MAX);
        let path = TreePath::new(path)?;
        let directory = Metadata { mtime, ..Metadata::new(0o755) };
        tree.make_directories(&path.parent().unwrap_or_default(), &directory)?;
        let metadata = Metadata { mtime, ..Metadata::new(0o644) };
        tree.insert(path, Inode { metadata, kind: Kind::File(content) })?;
        Ok(())
    }

    fn fat_params(&self) -> fat::Params {
        fat::Params {
            label: Some("ESP".to_owned()),
            epoch: i64::try_from(self.composition.epoch).unwrap_or(i64::MAX),
            seed: Some(*self.composition.digest()),
            ..fat::Params::default()
        }
    }

    fn iso(&self, path: &Path) -> Result<Written, Error> {
        let esp = self.esp()?;
        let params = fat::Params { width: fat::Width::Fat16, ..self.fat_params() };
        let esp = fat::layout(&esp, &params).map_err(Error::Fat)?;
        let mut tree = Tree::new();
        let about = format!(
            "This is a boot image made by stagex. It boots from a CD-ROM, and from a USB stick\n\
             that it was written to as it is. What it is:\n\n{}",
            self.composition.release
        );
        self.put(&mut tree, "README.txt", Content::from_bytes(about.into_bytes()))?;
        let epoch = i64::try_from(self.composition.epoch).unwrap_or(i64::MAX);
        let params = iso::Params {
            joliet: true,
            efi: Some(iso::BootImage::Hidden(&esp)),
            seed: Some(*self.composition.digest()),
            ..iso::Params::new(self.label(), epoch)
        };
        let layout = iso::layout(&tree, &params).map_err(Error::Iso)?;
        write_image(&layout, path)
    }

    fn disk(&self, path: &Path) -> Result<Written, Error> {
        let esp = self.esp()?;
        let hidden_sectors = u32::try_from((1 << 20) / gpt::SECTOR).unwrap_or(2048);
        let params =
            fat::Params { cluster: Some(ESP_CLUSTER), hidden_sectors, ..self.fat_params() };
        let esp = fat::layout(&esp, &params).map_err(Error::Fat)?;
        let partition = disk::Partition {
            kind: gpt::Type::ESP,
            name: "esp".to_owned(),
            content: &esp,
            size: None,
            guid: None,
            attributes: 0,
            in_mbr: false,
        };
        let params = disk::Params::new(*self.composition.digest());
        let layout = disk::layout(&[partition], &params).map_err(Error::Disk)?;
        write_image(&layout, path)
    }

    /// The ISO's volume id: the box's name and version, as far as they fit.
    fn label(&self) -> String {
        let Composition { name, version, .. } = self.composition;
        let mut label = format!("{name} {version}").to_uppercase();
        label.truncate(LABEL_MAX);
        label
    }
}

fn write_image(image: &dyn Image, path: &Path) -> Result<Written, Error> {
    let (sha256, len) = write_aside(path, |out| image.write(out))?;
    Ok(Written { path: path.to_owned(), sha256, len })
}

fn copy(content: &Content, path: &Path) -> Result<Written, Error> {
    write_image(content, path)
}
