//! From packages and files to one root file system.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use stagex_oci::Store;
use stagex_recipe::{
    Document, Spanned,
    boxes::{Architecture, BoxFile, BoxRecipe, Disk, FileContent, Output, RootFs},
};
use stagex_tree::{Content, Digest, Inode, Kind, Metadata, Tree, TreePath};

use crate::{Error, bios::BiosCode, drivers};

/// Part of every input's digest: raised when the same parts give another image.
const VERSION: u32 = 2;
/// The package with the EFI stub of unified kernel images.
const STUB: &str = "firmware-stub";
/// Where in that package the stub lies.
const STUB_PATH: &str = "usr/lib/stagex/stub.elf";
/// The package with the code that a BIOS starts, and where that lies in it.
const BIOS_BOOT: &str = "firmware-bios-boot";
const BIOS_MBR_PATH: &str = "usr/lib/stagex/bios-mbr.bin";
const BIOS_LOADER_PATH: &str = "usr/lib/stagex/bios-boot.bin";
/// Where a kernel package has its kernel, and what it is called.
pub(crate) const KERNEL_PATH: &str = "boot/vmlinuz";
const KERNEL_RELEASE_PATH: &str = "boot/release";
const KERNEL_CONFIG_PATH: &str = "boot/config";
/// The file in a box that says which box it is.
pub const RELEASE_PATH: &str = "etc/stagex-release";

/// The console of each architecture's machines, as QEMU and most boards have it. The last one
/// named becomes /dev/console.
fn consoles(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "console=tty0 console=ttyS0,115200",
        Architecture::Arm64 => "console=tty0 console=ttyAMA0",
        Architecture::Riscv64 => "console=tty0 console=ttyS0",
    }
}

/// The kernel's command line where the root file system is an initramfs: the architecture's
/// consoles, and the box's own words.
pub fn cmdline(recipe: &BoxRecipe, architecture: Architecture) -> String {
    match &recipe.kernel.cmdline[..] {
        "" => consoles(architecture).to_owned(),
        own => format!("{} {own}", consoles(architecture)),
    }
}

/// The packages that a box is made of, by id: its layers', the kernel's, the stub's, and, where a
/// BIOS is to start it, that with the boot code.
pub fn needed_packages(recipe: &BoxRecipe, architecture: Architecture) -> BTreeSet<String> {
    let code = has_bios(recipe, architecture).then(|| BIOS_BOOT.to_owned());
    recipe
        .packages
        .iter()
        .map(|package| package.value.clone())
        .chain([recipe.kernel.package.value.clone(), STUB.to_owned()])
        .chain(code)
        .collect()
}

/// The package with the configuration alone of a box's kernel, where the tree has such a one: built
/// in seconds, it says before the kernel is built whether that will do.
pub fn config_package(recipe: &BoxRecipe) -> String {
    format!("{}-config", recipe.kernel.package.value)
}

/// Refuses a box whose kernel is configured, as `layers` have it in [`config_package`], without
/// what its root file system or outputs need.
pub fn check_kernel(recipe: &BoxRecipe, store: &Store, layers: &[Digest]) -> Result<(), Error> {
    let tree = store.merged(layers)?;
    let package = config_package(recipe);
    let config = file_of(&tree, &package, KERNEL_CONFIG_PATH, "the kernel's configuration")?;
    check_config(recipe, &config)
}

fn check_config(recipe: &BoxRecipe, config: &Content) -> Result<(), Error> {
    let text = config.read().map_err(Error::at(Path::new(KERNEL_CONFIG_PATH)))?;
    drivers::check(recipe, &String::from_utf8_lossy(&text))
}

fn has_bios(recipe: &BoxRecipe, architecture: Architecture) -> bool {
    let starts = |output: &Spanned<Output>| {
        matches!(output.value, Output::Iso | Output::Disk | Output::Qcow2)
    };
    let is_there = recipe.bios.is_some() && recipe.outputs.iter().any(starts);
    is_there && architecture == Architecture::X86_64
}

/// A built package, as far as a box needs it.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Its layers, bottom first.
    pub layers: Vec<Digest>,
    /// The foreign seeds that it was built with.
    pub seeds: BTreeSet<String>,
}

/// What a box is composed of.
pub struct Parts<'a> {
    /// What box.toml says.
    pub recipe: &'a BoxRecipe,
    /// What to compose it for.
    pub architecture: Architecture,
    /// The folder of box.toml.
    pub folder: &'a Path,
    /// Where the layers are.
    pub store: &'a Store,
    /// The built packages by id: at least [`needed_packages`].
    pub packages: BTreeMap<String, Part>,
}

/// A box whose files are all known.
#[derive(Debug)]
pub struct Composition {
    /// box.toml, for errors.
    pub(crate) document: Document,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: Architecture,
    /// The root file system.
    pub(crate) rootfs: Tree,
    /// What of it the box adds: its files, and folders that no package has.
    pub(crate) own: BTreeSet<TreePath>,
    /// The layers of the packages that the rest comes from, bottom first.
    pub(crate) layers: Vec<Digest>,
    /// How it is written.
    pub(crate) rootfs_plan: RootFs,
    pub(crate) disk: Disk,
    pub(crate) kernel: Content,
    pub(crate) kernel_release: Option<String>,
    pub(crate) stub: Content,
    /// What a BIOS starts it by.
    pub(crate) bios: Option<BiosCode>,
    pub(crate) cmdline: String,
    pub(crate) release: String,
    pub(crate) digest: Digest,
    pub(crate) seeds: BTreeSet<String>,
    pub(crate) epoch: u64,
}

impl Composition {
    /// Merges the packages' layers in order, adds the box's files, and names the result.
    pub fn compose(parts: &Parts<'_>) -> Result<Self, Error> {
        let Parts { recipe, architecture, store, .. } = parts;
        let epoch = store.normalise().epoch;
        let mut layers = Vec::new();
        let mut seeds = BTreeSet::new();
        for package in &recipe.packages {
            layers.extend(parts.part(&package.value).layers);
        }
        for package in needed_packages(recipe, *architecture) {
            seeds.extend(parts.part(&package).seeds);
        }
        let mut rootfs = store.merged(&layers)?;
        let mut own = BTreeSet::new();
        for file in &recipe.files {
            add_file(&mut rootfs, &mut own, parts, file, epoch)?;
        }
        let kernel_package = &recipe.kernel.package.value;
        let kernel_tree = store.merged(&parts.part(kernel_package).layers)?;
        let kernel = file_of(&kernel_tree, kernel_package, KERNEL_PATH, "the kernel")?;
        let kernel_release =
            file_of(&kernel_tree, kernel_package, KERNEL_RELEASE_PATH, "its release")
                .ok()
                .and_then(|content| String::from_utf8(content.read().ok()?).ok())
                .map(|text| text.trim().to_owned());
        if let Ok(config) =
            file_of(&kernel_tree, kernel_package, KERNEL_CONFIG_PATH, "its configuration")
        {
            check_config(recipe, &config)?;
        }
        let bios = match has_bios(recipe, *architecture) {
            true => {
                let tree = store.merged(&parts.part(BIOS_BOOT).layers)?;
                let code = |path, what| -> Result<Vec<u8>, Error> {
                    let content = file_of(&tree, BIOS_BOOT, path, what)?;
                    content.read().map_err(Error::at(Path::new(path)))
                };
                Some(BiosCode::new(
                    &code(BIOS_MBR_PATH, "what a BIOS runs of a disk")?,
                    code(BIOS_LOADER_PATH, "the loader that a BIOS starts")?,
                )?)
            }
            false => None,
        };
        let stub_tree = store.merged(&parts.part(STUB).layers)?;
        let stub = file_of(&stub_tree, STUB, STUB_PATH, "the EFI stub")?;
        let cmdline = cmdline(recipe, *architecture);
        let read_error = Error::at(Path::new("the box's files"));
        let digest =
            digest(&rootfs, &kernel, &stub, &cmdline, bios.as_ref()).map_err(read_error)?;
        let mut composition = Self {
            document: recipe.document.clone(),
            name: recipe.name.value.clone(),
            version: recipe.version.clone(),
            architecture: *architecture,
            rootfs,
            own,
            layers,
            rootfs_plan: recipe.rootfs,
            disk: recipe.disk.clone(),
            kernel,
            kernel_release,
            stub,
            bios,
            cmdline,
            release: String::new(),
            digest,
            seeds,
            epoch,
        };
        composition.add_release()?;
        Ok(composition)
    }

    /// What the box calls itself: a digest of all its files, the kernel, the EFI stub and the
    /// command line. It stands in the box's `/etc/stagex-release`, so that the box can show it.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The foreign seeds that its packages were built with: empty for what is bootstrapped from
    /// source.
    pub fn seeds(&self) -> &BTreeSet<String> {
        &self.seeds
    }

    /// The kernel's command line.
    pub fn cmdline(&self) -> &str {
        &self.cmdline
    }

    fn add_release(&mut self) -> Result<(), Error> {
        use std::fmt::Write as _;
        let Self { name, version, architecture, digest, .. } = self;
        // In the form of os-release(5).
        let mut text = format!(
            "NAME={name}\nID={name}\nVERSION={version}\nPRETTY_NAME=\"{name} {version}\"\n\
             ARCHITECTURE={architecture}\nDIGEST={digest}\n"
        );
        if let Some(release) = &self.kernel_release {
            let _ = writeln!(text, "KERNEL={release}");
        }
        if !self.seeds.is_empty() {
            let seeds: Vec<&str> = self.seeds.iter().map(String::as_str).collect();
            let _ = writeln!(text, "UNBOOTSTRAPPED=\"{}\"", seeds.join(" "));
        }
        let kind = Kind::File(Content::from_bytes(text.as_bytes()));
        put(&mut self.rootfs, &mut self.own, RELEASE_PATH, 0o644, kind, self.epoch)?;
        // One file may stand where another was to have its folder.
        let rootfs = &self.rootfs;
        self.own.retain(|path| rootfs.get(path).is_some());
        self.release = text;
        Ok(())
    }
}

impl Parts<'_> {
    /// A digest of all that the box is made from, found without making it: its recipe, the files
    /// beside it, the packages' layers, and the architecture.
    pub fn inputs(&self) -> Result<Digest, Error> {
        use std::fmt::Write as _;
        let mut text = format!(
            "stagex box inputs {VERSION}\n{}\n{}\n",
            self.architecture,
            Digest::of(self.recipe.document.text())
        );
        for (id, part) in &self.packages {
            let layers: Vec<String> = part.layers.iter().map(Digest::hex).collect();
            let _ = writeln!(text, "{id} {:?} {}", part.seeds, layers.join(" "));
        }
        for file in &self.recipe.files {
            if let FileContent::Source(source) = &file.content {
                let bytes = self.read(source)?;
                let _ = writeln!(text, "{} {}", source.value, Digest::of(bytes));
            }
        }
        Ok(Digest::of(text))
    }

    /// Reads a file beside box.toml.
    fn read(&self, source: &Spanned<String>) -> Result<Vec<u8>, Error> {
        let path = self.folder.join(&source.value);
        std::fs::read(&path).map_err(|error| {
            let text = format!("{}: {error}", path.display());
            self.recipe.document.error(source.span, text).into()
        })
    }

    fn part(&self, package: &str) -> Part {
        self.packages.get(package).cloned().unwrap_or_default()
    }
}

pub(crate) fn file_of(
    tree: &Tree,
    package: &str,
    path: &str,
    what: &'static str,
) -> Result<Content, Error> {
    let path = TreePath::new(path)?;
    tree.get(&path).and_then(|entry| entry.inode.content()).cloned().ok_or_else(|| Error::Missing {
        package: package.to_owned(),
        path,
        what,
    })
}

/// Puts a file into a tree, and its path and those of new folders into `own`.
fn put(
    tree: &mut Tree,
    own: &mut BTreeSet<TreePath>,
    path: &str,
    mode: u16,
    kind: Kind,
    epoch: u64,
) -> Result<(), Error> {
    let path = TreePath::new(path)?;
    let mtime = i64::try_from(epoch).unwrap_or(i64::MAX);
    let parent = path.parent().unwrap_or_default();
    let above = std::iter::successors(Some(path.clone()), TreePath::parent);
    own.extend(above.skip(1).filter(|folder| tree.get(folder).is_none()));
    own.insert(path.clone());
    tree.make_directories(&parent, &Metadata { mtime, ..Metadata::new(0o755) })?;
    tree.insert(path, Inode { metadata: Metadata { mtime, ..Metadata::new(mode) }, kind })?;
    Ok(())
}

fn add_file(
    tree: &mut Tree,
    own: &mut BTreeSet<TreePath>,
    parts: &Parts<'_>,
    file: &BoxFile,
    epoch: u64,
) -> Result<(), Error> {
    let mode = u16::try_from(file.mode & 0o7777).unwrap_or(0o644);
    let kind = match &file.content {
        FileContent::Text(text) => Kind::File(Content::from_bytes(text.as_bytes())),
        FileContent::Symlink(target) => Kind::Symlink(target.as_bytes().into()),
        FileContent::Source(source) => {
            // Read now: the file may be edited while the image is written.
            Kind::File(Content::from_bytes(parts.read(source)?))
        }
    };
    put(tree, own, &file.path.value, mode, kind, epoch)
}

fn digest(
    rootfs: &Tree,
    kernel: &Content,
    stub: &Content,
    cmdline: &str,
    bios: Option<&BiosCode>,
) -> std::io::Result<Digest> {
    let bios = bios.map(|bios| format!("bios {}\n", bios.digest())).unwrap_or_default();
    let text = format!(
        "stagex box 1\nrootfs {}\nkernel {}\nstub {}\ncmdline {cmdline}\n{bios}",
        rootfs.digest()?,
        kernel.digest()?,
        stub.digest()?
    );
    Ok(Digest::of(text))
}
