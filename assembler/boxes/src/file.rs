//! Files that are whole or not there.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use stagex_image::vmdisk::SparseWriter;
use stagex_tree::{Digest, DigestWriter};

use crate::Error;

/// Writes a file aside, syncs it and gives it its name; returns its digest and length. Whatever
/// goes wrong, no part of it stays.
pub fn write_aside(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(Digest, u64), Error> {
    let folder = folder_of(path);
    let aside = aside(path);
    let result = fs::create_dir_all(folder).and_then(|()| {
        // What is zero becomes a hole: disks have much of it.
        let file = SparseWriter::new(File::create(&aside)?)?;
        let mut out = DigestWriter::new(BufWriter::with_capacity(1 << 18, file));
        write(&mut out)?;
        out.flush()?;
        let (out, digest, len) = out.finish();
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(folder)?.sync_all()?;
        Ok((digest, len))
    });
    result.map_err(|error| {
        // Already moved, or never made: nothing to remove.
        let _ = fs::remove_file(&aside);
        Error::at(path)(error)
    })
}

/// Writes a file that is read back at once and kept by nobody: what a crash leaves of it is nothing
/// to anyone.
pub(crate) fn write_scratch(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(Digest, u64), Error> {
    let written = File::create(path).and_then(|file| {
        let mut out = DigestWriter::new(BufWriter::with_capacity(1 << 18, file));
        write(&mut out)?;
        out.flush()?;
        let (_, digest, len) = out.finish();
        Ok((digest, len))
    });
    written.map_err(Error::at(path))
}

/// Where [`write_aside`] writes what is to become `path`.
pub fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder_of(path).join(format!(".{name}.{}.part", std::process::id()))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out/file");
        let (digest, len) = write_aside(&path, |out| out.write_all(b"one")).unwrap();
        assert_eq!((digest, len), (Digest::of("one"), 3));
        let error = write_aside(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("broken"))
        });
        assert!(error.unwrap_err().to_string().contains("broken"));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 1);
    }

    #[test]
    fn a_name_alone_is_a_file_here() {
        assert_eq!(folder_of(Path::new("x.img")), Path::new("."));
        assert!(aside(Path::new("x.img")).starts_with("."));
        assert_eq!(folder_of(Path::new("a/x.img")), Path::new("a"));
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let error = write_aside(Path::new("/dev/full/x"), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("/dev/full/x"), "{error}");
    }
}
