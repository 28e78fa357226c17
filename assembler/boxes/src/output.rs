//! From a root file system to images.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use stagex_image::{
    Image,
    eif::{self, Eif},
    fat, gpt, iso,
    uki::{Machine, Uki},
    vmdisk::qcow2,
};
use stagex_oci::Store;
use stagex_recipe::boxes::{Architecture, Output};
use stagex_tree::{Content, Digest, Inode, Kind, Metadata, Tree, TreePath};

use crate::{
    Composition, Error,
    bios::BiosCode,
    disk::{refuse_other_root, registers},
    file::write_scratch,
    write_aside,
};

/// Bytes of a cluster of an EFI system partition on a disk: what every firmware takes.
const ESP_CLUSTER: u32 = 4096;
/// The file of an ISO that a BIOS starts.
const BIOS_LOADER: &str = "boot/bios-boot.bin";
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
        Output::Eif => &["eif", "eif.pcrs.json"],
        Output::Oci => &["oci"],
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
    pub(crate) composition: &'a Composition,
    pub(crate) store: &'a Store,
    pub(crate) scratch: &'a Path,
    /// Where what seldom changes is kept.
    pub(crate) keep: Option<&'a Path>,
    pub(crate) workers: u32,
    pub(crate) initramfs: OnceLock<Content>,
    uki: OnceLock<Content>,
    pub(crate) disk_ukis: OnceLock<Vec<Content>>,
}

impl Composition {
    /// Prepares writing; `store` has the packages' layers, `scratch` is an empty folder for what is
    /// not yet an output, `workers` how many threads compress.
    pub fn writer<'a>(&'a self, store: &'a Store, scratch: &'a Path, workers: u32) -> Writer<'a> {
        let (initramfs, uki, disk_ukis) = Default::default();
        Writer {
            composition: self,
            store,
            scratch,
            keep: None,
            workers: workers.max(1),
            initramfs,
            uki,
            disk_ukis,
        }
    }

    /// The unified kernel image with an initramfs and a command line.
    pub(crate) fn uki(&self, initrd: Option<Content>, cmdline: String) -> Uki {
        Uki {
            stub: self.stub.clone(),
            kernel: self.kernel.clone(),
            initrd,
            cmdline,
            os_release: Some(self.release.clone()),
            uname: self.kernel_release.clone(),
            sbat: None,
            ucode: None,
            dtb: None,
        }
    }
}

impl<'a> Writer<'a> {
    /// Keeps in `folder` what takes long to make and seldom changes, and takes it from there.
    pub fn keeping(self, folder: &'a Path) -> Self {
        Self { keep: Some(folder), ..self }
    }
}

impl Writer<'_> {
    /// Writes an output as `<folder>/<name>.<suffix>`, each file aside and then renamed.
    pub fn write(&self, output: Output, folder: &Path) -> Result<Vec<Written>, Error> {
        let place = |suffix: &str| folder.join(format!("{}.{suffix}", self.composition.name));
        let image = place(suffix(output));
        let only_initramfs = || refuse_other_root(self.composition, output);
        match output {
            Output::Iso => only_initramfs().and_then(|()| Ok(vec![self.iso(&image)?])),
            Output::Disk => Ok(vec![self.with_disk(|disk| write_image(disk, &image))?]),
            Output::Qcow2 => Ok(vec![self.with_disk(|disk| {
                let params = qcow2::Params { workers: self.workers, ..Default::default() };
                let layout = qcow2::layout(disk, &params).map_err(Error::Export)?;
                write_image(&layout, &image)
            })?]),
            Output::Uki => only_initramfs().and_then(|()| Ok(vec![copy(self.uki()?, &image)?])),
            Output::Initramfs => only_initramfs().and_then(|()| {
                Ok(vec![
                    copy(self.initramfs()?, &image)?,
                    copy(&self.composition.kernel, &place("vmlinuz"))?,
                ])
            }),
            Output::Eif => only_initramfs().and_then(|()| self.eif(&image)),
            Output::Oci => Ok(vec![self.oci(&image)?]),
        }
    }

    /// An enclave image, and the registers that Nitro measures of it.
    fn eif(&self, image: &Path) -> Result<Vec<Written>, Error> {
        let composition = self.composition;
        let architecture = match composition.architecture {
            Architecture::X86_64 => eif::Architecture::X86_64,
            Architecture::Arm64 => eif::Architecture::Aarch64,
            Architecture::Riscv64 => return Err(Error::NotYet { output: Output::Eif }),
        };
        let metadata = eif::Metadata {
            name: composition.name.clone(),
            version: composition.version.clone(),
            build_time: i64::try_from(composition.epoch).unwrap_or(i64::MAX),
            build_tool: "stagex".to_owned(),
            build_tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            operating_system: "Linux".to_owned(),
            kernel_version: composition.kernel_release.clone().unwrap_or_default(),
            custom: None,
        };
        let ramdisks: Vec<&dyn Image> = vec![self.initramfs()?];
        let cmdline = composition.cmdline.clone();
        let eif = Eif::new(architecture, &composition.kernel, cmdline, ramdisks, metadata);
        let plan = eif.plan().map_err(Error::Eif)?;
        let json = Content::from_bytes(plan.pcrs().to_json().into_bytes());
        Ok(vec![write_image(&plan, image)?, write_image(&json, &registers(image))?])
    }

    pub(crate) fn uki(&self) -> Result<&Content, Error> {
        if let Some(uki) = self.uki.get() {
            return Ok(uki);
        }
        let initramfs = self.initramfs()?.clone();
        let plan =
            self.composition.uki(Some(initramfs), self.composition.cmdline.clone()).plan()?;
        let path = self.scratch.join("uki");
        let (digest, len) = write_scratch(&path, |mut out| plan.write(&mut out))?;
        let content = Content::from_file(path, 0, len).with_digest(digest);
        Ok(self.uki.get_or_init(|| content))
    }

    /// The tree of an EFI system partition: the image where firmware looks on removable media.
    pub(crate) fn esp(&self, uki: Content) -> Result<Tree, Error> {
        let mut tree = Tree::new();
        let path = self.machine().removable_path().replace('\\', "/");
        self.put(&mut tree, &path, uki)?;
        Ok(tree)
    }

    pub(crate) fn put(&self, tree: &mut Tree, path: &str, content: Content) -> Result<(), Error> {
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
        let esp = self.esp(self.uki()?.clone())?;
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
        let Some(code) = &self.composition.bios else {
            let layout = iso::layout(&tree, &params).map_err(Error::Iso)?;
            return write_image(&layout, path);
        };
        // Where things lie is known when all is laid out, and is then written into the boot code,
        // whose size that does not change.
        let at = TreePath::new(BIOS_LOADER)?;
        self.put(&mut tree, BIOS_LOADER, code.unset())?;
        let mut params =
            iso::Params { bios: Some(at.clone()), bios_load: Some(BiosCode::SECTORS), ..params };
        let (loader, volume) = {
            let layout = iso::layout(&tree, &params).map_err(Error::Iso)?;
            let volume = layout.esp().map_or(0, |esp| esp.first * gpt::SECTOR);
            (layout.place(&at).unwrap_or(0), volume)
        };
        let set = code.loader(self.uki()?, volume + self.place_of_uki(&esp)?)?;
        let mut with_loader = tree.clone();
        self.put(&mut with_loader, BIOS_LOADER, set)?;
        params.boot_code = code.mbr(loader);
        let layout = iso::layout(&with_loader, &params).map_err(Error::Iso)?;
        write_image(&layout, path)
    }

    /// Where in an EFI system partition the unified kernel image begins.
    pub(crate) fn place_of_uki(&self, esp: &fat::Layout<'_>) -> Result<u64, Error> {
        let path = TreePath::new(self.machine().removable_path().replace('\\', "/"))?;
        // It is there: the partition is made of it.
        Ok(esp.place(&path).unwrap_or(0))
    }

    fn machine(&self) -> Machine {
        match self.composition.architecture {
            Architecture::X86_64 => Machine::X86_64,
            Architecture::Arm64 => Machine::Arm64,
            Architecture::Riscv64 => Machine::Riscv64,
        }
    }

    /// How an EFI system partition of a disk is made.
    pub(crate) fn disk_fat_params(&self) -> fat::Params {
        fat::Params { cluster: Some(ESP_CLUSTER), ..self.fat_params() }
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
