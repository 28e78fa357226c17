//! Where an image goes: `-o`, and what is printed about it.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
};

use clap::{Args, ValueHint};
use stagex_boxes::{aside, write_aside};
use stagex_image::Image;

use crate::{config::shown, failure::Failure, progress::mib};

/// Where an image is written to.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// The file to write: whole or not at all
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
}

impl Output {
    pub(crate) fn path(&self) -> &Path {
        &self.output
    }

    /// The folder that the file is written to: there is room for what the image is made of.
    pub(crate) fn folder(&self) -> &Path {
        let folder = self.output.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    /// Writes an image and reports it, with what else is to be said of it.
    pub(crate) fn image(&self, image: &dyn Image, notes: &[(&str, String)]) -> Result<(), Failure> {
        self.with(notes, |out| image.write(out))
    }

    /// Writes what `write` writes and reports it.
    pub(crate) fn with(
        &self,
        notes: &[(&str, String)],
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let path = &self.output;
        if path.file_name().is_none() || path.is_dir() {
            return Err(Failure::wrong(format!("{} is a folder", path.display())));
        }
        remove_when_stopped(&aside(path));
        let (sha256, len) = write_aside(path, write).map_err(Failure::failed)?;
        println!("{}", shown(path));
        println!("  size    {:.1} MiB ({len} bytes)", mib(len));
        println!("  sha256  {sha256}");
        for (name, value) in notes {
            println!("  {name:<6}  {value}");
        }
        Ok(())
    }
}

/// A name beside a file that nobody else uses.
pub(crate) fn beside(path: &Path, purpose: &str) -> PathBuf {
    aside(path).with_extension(purpose)
}

/// Has the file removed where a signal ends the command, if it is there by then.
pub(crate) fn remove_when_stopped(path: &Path) {
    static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    static WATCH: OnceLock<()> = OnceLock::new();
    FILES.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
    WATCH.get_or_init(|| {
        use signal_hook::{
            consts::{SIGHUP, SIGINT, SIGTERM},
            iterator::Signals,
        };
        // Without a watch, the file stays behind at the worst.
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
        thread::spawn(move || {
            signals.forever().next();
            for path in FILES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let _ = fs::remove_file(path);
            }
            std::process::exit(130);
        });
    });
}
