//! `stagex image inspect` and `stagex image diff`.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueHint;
use stagex_boxes::write_aside;
use stagex_inspect::{Bytes, Context, DiffOptions, Error, Limits, Node, Options};

use crate::{failure::Failure, terminal::is_closed};

/// What is looked into, and what is shown of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A / in a path leads into folders and into images alike; so does the \" > \" that `image diff` prints.

Examples:
  stagex image inspect airgap.iso
  stagex image inspect disk.qcow2 disk/esp/EFI/BOOT/BOOTX64.EFI --depth 1
  stagex image inspect disk.img --extract esp/EFI/BOOT/BOOTX64.EFI/.initrd/init -o init

Exit codes: 0 all could be read, 1 something is damaged or missing.")]
pub(crate) struct Inspect {
    /// An image of any format, or a folder or OCI image layout
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    image: PathBuf,
    /// Show only what lies at this path within the image
    #[arg(value_name = "PATH", conflicts_with = "extract")]
    path: Option<String>,
    /// Write the bytes that lie at this path within the image to the file of -o
    #[arg(long, value_name = "PATH", requires = "output")]
    extract: Option<String>,
    /// The file to write: whole or not at all
    #[arg(short, long, value_name = "FILE", requires = "extract", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show so many levels
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// Look into programs and compressed files too
    #[arg(long)]
    all: bool,
    /// Give the SHA-256 of everything that has bytes
    #[arg(long)]
    digests: bool,
}

/// What is compared.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line for each difference, with how it differs. What lies in a partition, an archive, a program or
a compressed file is compared part by part; \" > \" stands before what lies in a file.

Examples:
  stagex image diff old.iso new.iso
  stagex image diff out/first out/second --ignore mtime,uid,gid --most 20

Exit codes: 0 the same, 1 different, 2 unreadable.")]
pub(crate) struct Diff {
    /// An image, a folder or an OCI image layout
    #[arg(value_name = "A", value_hint = ValueHint::AnyPath)]
    old: PathBuf,
    /// What it is compared with
    #[arg(value_name = "B", value_hint = ValueHint::AnyPath)]
    new: PathBuf,
    /// Fields that may differ, such as mtime
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Stop after so many differences
    #[arg(long, value_name = "N")]
    most: Option<u64>,
}

/// Two images are not the same.
const DIFFERENT: u8 = 1;
/// They could not be compared, as with diff(1).
const UNREADABLE: u8 = 2;

impl Inspect {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let context = context();
        let mut node = open(&self.image)?;
        let failed = |error| Failure::failed(format!("{}: {error}", self.image.display()));
        if let Some(path) = self.extract.as_ref().or(self.path.as_ref()) {
            node = stagex_inspect::find(&context, &node, path).map_err(failed)?;
        }
        if let Some(output) = &self.output {
            let Some(bytes) = node.bytes() else {
                // What is damaged says so when it is opened.
                node.open(&context).map_err(failed)?;
                let kind = node.kind().as_str();
                return Err(Failure::wrong(format!("a {kind} has no bytes to extract")));
            };
            write_aside(output, |out| bytes.copy_to(out).map_err(io::Error::other))
                .map_err(Failure::failed)?;
            return Ok(ExitCode::SUCCESS);
        }
        let options = Options { depth: self.depth, all: self.all, digests: self.digests };
        let mut out = BufWriter::new(io::stdout());
        let list = if self.json { stagex_inspect::json } else { stagex_inspect::tree };
        let listed = list(&context, &node, options, &mut out);
        let listed = listed.and_then(|summary| Ok(out.flush().map(|()| summary)?));
        let summary = match listed {
            Err(Error::Io(error)) if is_closed(&error) => return Ok(ExitCode::SUCCESS),
            listed => listed.map_err(failed)?,
        };
        if summary.damaged != 0 {
            return Err(Failure::failed(format!("{} parts are damaged", summary.damaged)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Diff {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.compare().map_err(|failure| failure.with_code(UNREADABLE))
    }

    fn compare(&self) -> Result<ExitCode, Failure> {
        let (old, new) = (open(&self.old)?, open(&self.new)?);
        let options =
            DiffOptions { ignore: self.ignore.iter().cloned().collect(), most: self.most };
        let mut out = BufWriter::new(io::stdout());
        let found = stagex_inspect::diff(&context(), &old, &new, &options, &mut |difference| {
            writeln!(out, "{difference}").map_err(Into::into)
        });
        let found = found.and_then(|found| {
            if found.stopped {
                writeln!(out, "… and perhaps more")?;
            }
            out.flush()?;
            Ok(found)
        });
        let found = match found {
            // There was something to be printed.
            Err(Error::Io(error)) if is_closed(&error) => return Ok(ExitCode::from(DIFFERENT)),
            found => found.map_err(Failure::failed)?,
        };
        Ok(if found.count == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
    }
}

/// Writes what lies at `path` within an image to a file.
pub(crate) fn extract(image: &Path, path: &str, output: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("{}: {path}: {error}", image.display()));
    let context = context();
    let node = stagex_inspect::find(&context, &open(image)?, path).map_err(failed)?;
    let Some(bytes) = node.bytes() else {
        node.open(&context).map_err(failed)?;
        let text = format!("{}: {path} has no bytes", image.display());
        return Err(Failure::failed(text));
    };
    write_aside(output, |out| bytes.copy_to(out).map_err(io::Error::other))
        .map_err(Failure::failed)?;
    Ok(())
}

/// The first `most` differences of two files, a line each, and a last line if there may be more.
pub(crate) fn differences(old: &Path, new: &Path, most: u64) -> Result<Vec<String>, Failure> {
    let options = DiffOptions { most: Some(most), ..DiffOptions::default() };
    let mut lines = Vec::new();
    let (old, new) = (open(old)?, open(new)?);
    let found = stagex_inspect::diff(&context(), &old, &new, &options, &mut |difference| {
        lines.push(difference.to_string());
        Ok(())
    })
    .map_err(Failure::failed)?;
    lines.extend(found.stopped.then(|| "… and perhaps more".to_owned()));
    Ok(lines)
}

fn open(path: &Path) -> Result<Node, Failure> {
    if path.is_dir() {
        return Ok(stagex_inspect::folder(path));
    }
    let bytes = File::open(path).and_then(Bytes::from_file).map_err(Failure::at(path))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok(Node::file(&name, bytes))
}

/// Decompresses into files without a name in the folder for temporary files.
fn context() -> Context {
    Context::new(Limits::default(), || {
        let folder = std::env::temp_dir();
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        Ok(File::from(rustix::fs::open(&folder, flags, mode)?))
    })
}
