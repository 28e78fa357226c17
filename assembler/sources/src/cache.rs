//! The cache of sources: files named by their digest, shared by all checkouts.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use stagex_tree::Digest;

use crate::Error;

/// A folder of sources by digest: `<hex[..2]>/<hex>`, and `partial/<hex>` while they arrive.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a source of this digest lies once it has arrived.
    pub(crate) fn place(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join(&hex[..2]).join(hex)
    }

    /// The source, if it is here and still has its digest. A damaged file is removed.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<PathBuf>, Error> {
        let path = self.place(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::Cache { path, error }),
        };
        let cache_error = |error| Error::Cache { path: path.clone(), error };
        if Digest::of_reader(file).map_err(cache_error)?.0 == *digest {
            return Ok(Some(path));
        }
        // In a cache that cannot be written to it stays, and is passed over each time.
        let _ = fs::remove_file(&path);
        Ok(None)
    }

    /// Opens the partial file of a source and locks it against other processes and threads.
    pub(crate) fn partial(&self, digest: &Digest) -> Result<Partial, Error> {
        let folder = self.folder.join("partial");
        let path = folder.join(digest.hex());
        let cache_error = |error: io::Error| Error::Cache { path: path.clone(), error };
        fs::create_dir_all(&folder).map_err(cache_error)?;
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(cache_error)?;
            loop {
                match flock(&file, FlockOperation::LockExclusive) {
                    Ok(()) => break,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(cache_error(error.into())),
                }
            }
            // Another process may have moved or removed the file while this one waited.
            if same_file(&file, &path).map_err(cache_error)? {
                return Ok(Partial { file, path, place: self.place(digest) });
            }
        }
    }
}

fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(theirs) => Ok(ours.dev() == theirs.dev() && ours.ino() == theirs.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A source that is arriving. The lock is held while this lives.
pub(crate) struct Partial {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    place: PathBuf,
}

impl Partial {
    pub(crate) fn error(&self, error: io::Error) -> Error {
        Error::Cache { path: self.path.clone(), error }
    }

    /// Moves the file to its place; its digest has been checked.
    pub(crate) fn keep(self) -> Result<PathBuf, Error> {
        let publish = || {
            self.file.sync_all()?;
            if let Some(folder) = self.place.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::rename(&self.path, &self.place)
        };
        publish().map_err(|error| Error::Cache { path: self.place.clone(), error })?;
        Ok(self.place)
    }

    /// Removes the file.
    pub(crate) fn discard(self) -> Result<(), Error> {
        fs::remove_file(&self.path).map_err(|error| Error::Cache { path: self.path.clone(), error })
    }

    /// Empties the file, for a new try.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        use std::io::Seek as _;
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|error| Error::Cache { path: self.path.clone(), error })
    }
}
