//! What an image is made from: `--from` and what goes with it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use clap::{Args, ValueHint};
use stagex_boxes::write_aside;
use stagex_image::{
    compress::{Compression, Part, initramfs},
    cpio,
};
use stagex_oci::{
    Select, read_layout_tree,
    tar::{Limits, Spool, read_tree, read_tree_from_file},
};
use stagex_recipe::boxes::Architecture;
use stagex_tree::{Content, Digest, Tree, read_folder};

use super::output;
use crate::{args::architecture, failure::Failure};

/// Where a tree comes from, and what of it is made alike.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// A folder, a tar (plain, gzip or zstd; - is standard input) or an OCI image layout. Where it
    /// could be mistaken: dir:PATH, tar:PATH, oci:PATH
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    from: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// What is made of a tree before it is written.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Give all to this user and group, by number
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    owner: Option<(u32, u32)>,
    /// Set every time to this, in seconds since 1970 [default: times as they are, and the newest
    /// of them as the image's own]
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    epoch: Option<i64>,
    /// Leave extended attributes out
    #[arg(long)]
    drop_xattrs: bool,
    /// Derive identifiers from this text instead of from all that the tree holds
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
    /// Of an image layout with several images: the one of this name
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Of an image layout with several images: the one for this architecture
    #[arg(long, value_parser = architecture)]
    arch: Option<Architecture>,
}

/// A tree that was read.
pub(crate) struct Loaded {
    pub(crate) tree: Tree,
    /// The image's own time, seconds since 1970.
    pub(crate) epoch: i64,
    /// What its identifiers are derived from, if not from the tree.
    pub(crate) seed: Option<Digest>,
    /// Holds contents that lie nowhere else; removed with this.
    _spool: Temporary,
}

impl Source {
    /// Reads the tree; what of it has to be kept somewhere is kept beside `output`.
    pub(crate) fn load(&self, output: &Path) -> Result<Loaded, Failure> {
        self.options.load(&self.from, output, "spool")
    }

    /// Reads a second tree, with the same made of it.
    pub(crate) fn load_too(&self, from: &Path, output: &Path) -> Result<Loaded, Failure> {
        self.options.load(from, output, "spool-2")
    }
}

impl Options {
    /// Reads the tree at `from`.
    pub(crate) fn load(&self, from: &Path, output: &Path, spool: &str) -> Result<Loaded, Failure> {
        let path = output::beside(output, spool);
        let mut spool = Spool::new(&path);
        let temporary = Temporary::new(path);
        let kind = Kind::of(from)?;
        let limits = Limits { bytes: 1 << 60, entries: u64::from(u32::MAX) };
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error: &dyn std::fmt::Display| {
                Failure::failed(format!("{}: {error}", path.display()))
            }
        };
        let mut tree = match kind {
            Kind::Folder(folder) => {
                refuse_inside(folder, output)?;
                read_folder(folder).map_err(Failure::failed)?
            }
            Kind::Stdin => read_tree(io::stdin().lock(), limits, &mut spool)
                .map_err(|error| Failure::failed(format!("standard input: {error}")))?,
            Kind::Tar(path) => {
                read_tree_from_file(path, limits, &mut spool).map_err(|error| at(path)(&error))?
            }
            Kind::Layout(folder) => {
                let select = Select {
                    reference: self.reference.as_deref(),
                    architecture: self.arch.map(Architecture::oci),
                };
                read_layout_tree(folder, select, limits, &mut spool).map_err(|error| {
                    let help = match error {
                        stagex_oci::LayoutError::Select { .. } => {
                            "\nhelp: choose with --reference and --arch"
                        }
                        _ => "",
                    };
                    Failure::failed(format!("{error}{help}"))
                })?
            }
        };
        for metadata in tree.all_metadata_mut() {
            if let Some((uid, gid)) = self.owner {
                (metadata.uid, metadata.gid) = (uid, gid);
            }
            if let Some(epoch) = self.epoch {
                metadata.mtime = epoch;
            }
            if self.drop_xattrs {
                metadata.xattrs.clear();
            }
        }
        let newest = || tree.iter().map(|entry| entry.inode.metadata.mtime).max();
        let epoch = self.epoch.or_else(newest).unwrap_or(0);
        Ok(Loaded { tree, epoch, seed: self.seed(), _spool: temporary })
    }
}

impl Options {
    /// The time that all is set to, if it is.
    pub(crate) fn epoch(&self) -> Option<i64> {
        self.epoch
    }

    /// The digest of what identifiers are derived from, if that was said.
    pub(crate) fn seed(&self) -> Option<Digest> {
        self.seed.as_ref().map(Digest::of)
    }

    /// The architecture that was chosen, if one was.
    pub(crate) fn architecture(&self) -> Option<Architecture> {
        self.arch
    }

    /// Makes an initramfs of the tree at `from`, and writes it to `packed`.
    pub(crate) fn pack(
        &self,
        from: &Path,
        output: &Path,
        packed: &Path,
        compression: Option<Compression>,
    ) -> Result<Content, Failure> {
        let loaded = self.load(from, output, "spool")?;
        let layout = cpio::layout(&loaded.tree, &cpio::Params::default()).map_err(cpio_error)?;
        let parts = [Part { image: &layout, compression }];
        let (digest, len) =
            write_aside(packed, |out| initramfs(&parts, out).map(drop)).map_err(Failure::failed)?;
        Ok(Content::from_file(packed, 0, len).with_digest(digest))
    }
}

/// Says what helps against an attribute.
pub(crate) fn cpio_error(error: cpio::Error) -> Failure {
    match error {
        cpio::Error::Xattr { .. } => {
            Failure::failed(format!("{error}\nhelp: --drop-xattrs leaves them out"))
        }
        error => Failure::failed(error),
    }
}

/// A file that goes when it is no longer needed, also where the command is stopped.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn new(path: PathBuf) -> Self {
        output::remove_when_stopped(&path);
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.0);
    }
}

/// What `--from` means.
enum Kind<'a> {
    Folder(&'a Path),
    Tar(&'a Path),
    Stdin,
    Layout(&'a Path),
}

impl<'a> Kind<'a> {
    fn of(from: &'a Path) -> Result<Self, Failure> {
        use std::os::unix::ffi::OsStrExt as _;
        let bytes = from.as_os_str().as_bytes();
        let rest = |prefix: &[u8]| {
            bytes.strip_prefix(prefix).map(std::ffi::OsStr::from_bytes).map(Path::new)
        };
        if let Some(path) = rest(b"dir:") {
            return Ok(Self::Folder(path));
        }
        if let Some(path) = rest(b"oci:") {
            return Ok(Self::Layout(path));
        }
        match rest(b"tar:").unwrap_or(from) {
            path if path == Path::new("-") => Ok(Self::Stdin),
            path if rest(b"tar:").is_some() => Ok(Self::Tar(path)),
            path => {
                let found = fs::metadata(path).map_err(Failure::at(path))?;
                let is_layout = || path.join("oci-layout").is_file();
                Ok(match found.is_dir() {
                    true if is_layout() => Self::Layout(path),
                    true => Self::Folder(path),
                    false => Self::Tar(path),
                })
            }
        }
    }
}

/// An image in the folder that it is made of would hold another image each time.
fn refuse_inside(folder: &Path, output: &Path) -> Result<(), Failure> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")));
    let (Ok(folder), Ok(parent)) = (fs::canonicalize(folder), parent) else { return Ok(()) };
    if parent.starts_with(&folder) {
        return Err(Failure::wrong(format!(
            "{} lies in the folder that the image is made of\nhelp: write it elsewhere",
            output.display()
        )));
    }
    Ok(())
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let parsed = || {
        let (uid, gid) = text.split_once(':')?;
        Some((uid.parse().ok()?, gid.parse().ok()?))
    };
    parsed().ok_or_else(|| "two numbers are wanted, such as 0:0".to_owned())
}

/// A file as it is, whose length is that of now.
pub(crate) fn file(path: &Path) -> Result<Content, Failure> {
    let found = File::open(path).and_then(|file| file.metadata()).map_err(Failure::at(path))?;
    if !found.is_file() {
        return Err(Failure::wrong(format!("{} is no regular file", path.display())));
    }
    Ok(Content::from_file(path, 0, found.len()))
}
