//! The store: unpacked layers, step records and blobs by digest, shared by processes.
//!
//! ```text
//! version                    what wrote it
//! layers/<sha256>/root/      a layer unpacked, fit to be a lower directory of overlayfs
//! layers/<sha256>/index      all that the layer's tar says besides bytes (see crate::index)
//! layers/<sha256>/hidden/<n> readable copies of files whose modes deny them to their owner
//! steps/<key>.json           what a build step gave
//! *.<boot>, *.<boot>.json    the same, not yet durable (see the module `defer`)
//! blobs/sha256/<sha256>      bytes
//! roots/<name>.json          what gc keeps
//! locks/, tmp/
//! ```
//!
//! The index is the truth about metadata. On disk all belongs to the user who runs stagex,
//! device nodes do not exist, whiteouts are character devices 0:0 and opaque directories carry
//! `user.overlay.opaque`, as overlayfs has them. Files of two layers never share an inode: in a
//! mount of both they would look like hard links, and only on machines where they do.
//!
//! Everything is made under `tmp/`, synced, and renamed to its final name, so what has a final
//! name is whole. Where [`Store::deferring`] was asked for, layers and records get a name that
//! holds for the running kernel first, and are synced and renamed a little later. A directory in `tmp/` belongs to the process that holds the lock beside it.

mod adopt;
mod build;
mod defer;
mod disk;
mod gc;
mod hash;
mod lock;
mod lower;
mod mount;
mod records;
mod scratch;

pub use adopt::{Adopt, Owner};
pub use gc::{Freed, Root, Usage};
pub use records::{StepGuard, StepRecord};
pub use scratch::Scratch;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use stagex_tree::{Digest, DigestWriter, Tree, TreeError, TreePath};

use crate::{
    Image, LayerError, LayerTree,
    index::{self, Head},
    tar::{self, Limits, TarError},
};

/// What a store of this version says in its `version` file.
const VERSION: &str = "stagex store 1\n";
/// The index in a layer's folder.
const INDEX: &str = "index";
/// Where in a [`Scratch`] the contents lie that [`Store::add_spooled`] moves.
pub const SPOOL: &str = "spool";
/// The latest time that a tar header can hold: the year 2242.
const EPOCH_MAX: u64 = (1 << 33) - 1;

/// What layers are normalised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalise {
    /// The modification time of every file: SOURCE_DATE_EPOCH, in seconds since 1970.
    pub epoch: u64,
}

impl Default for Normalise {
    /// One second past the epoch: 0 means "no time" to too many programs.
    fn default() -> Self {
        Self { epoch: 1 }
    }
}

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name: the SHA-256 of its tar.
    pub digest: Digest,
    /// Where it is unpacked.
    pub root: PathBuf,
    /// Length of its tar, in bytes.
    pub size: u64,
    /// Length of all contents, in bytes.
    pub content: u64,
    /// Paths that it carries.
    pub files: u64,
    /// Whiteouts and opaque directories.
    pub markers: u64,
}

impl Layer {
    /// Whether the layer changes nothing.
    pub fn is_empty(&self) -> bool {
        self.files == 0 && self.markers == 0
    }
}

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No space or no quota left.
    #[error("the disk is full ({what} {}): free some space or run `stagex store gc`", path.display())]
    Full {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
    },
    /// The store cannot be written.
    #[error(
        "the store cannot be written ({what} {}: {source}): make it writable or choose another \
         folder for it",
        path.display()
    )]
    ReadOnly {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A folder with other things in it.
    #[error("{} is not empty and no stagex store: choose another folder", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// A store of another version.
    #[error("{} was made by another version of stagex ({found}): remove it or choose another folder", path.display())]
    Version {
        /// The store.
        path: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// A time that tar cannot hold.
    #[error("SOURCE_DATE_EPOCH {epoch} is beyond the year 2242, the last that tar can hold")]
    Epoch {
        /// The time.
        epoch: u64,
    },
    /// A layer that is not in the store.
    #[error("layer sha256:{digest} is not in the store")]
    NoLayer {
        /// Its name.
        digest: Digest,
    },
    /// A blob that is not in the store.
    #[error("blob sha256:{digest} is not in the store")]
    NoBlob {
        /// Its name.
        digest: Digest,
    },
    /// Something in the store is not what it was.
    #[error("{} is damaged ({why}): remove it and build again", path.display())]
    Damaged {
        /// What.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// Another process uses the store.
    #[error("the store {} is in use by another stagex: wait for it to end", path.display())]
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// A directory that is to become a layer lies on another file system.
    #[error("{} is not on the store's file system: make it with Store::scratch", path.display())]
    OtherFilesystem {
        /// The directory.
        path: PathBuf,
    },
    /// An overlay upper directory that only its own mount understands.
    #[error(
        "{path} has overlayfs's attribute {attribute}: mount without redirect_dir and metacopy"
    )]
    Overlay {
        /// The file.
        path: TreePath,
        /// The attribute.
        attribute: String,
    },
    /// A path too long to exist inside the store.
    #[error("{path} is too long: with the store's own path it exceeds 4095 bytes")]
    TooLong {
        /// The path.
        path: TreePath,
    },
    /// A name that cannot be a file name.
    #[error("{name:?} cannot name a root: letters, digits, '.', '-' and '_' can")]
    RootName {
        /// The name.
        name: String,
    },
    /// Not a tar, or not one that can be a layer.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// Not a tree that can be a layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Layers that do not fit on each other.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl StoreError {
    /// Names the operation and the path of an I/O error, and sorts out what has its own advice.
    pub(crate) fn at<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::Full { what, path }
                }
                io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { what, path, source },
                _ => Self::Io { what, path, source },
            }
        }
    }
}

/// A store on disk. Dropping it ends its use of the store; what it made stays.
#[derive(Debug)]
pub struct Store {
    // Dropped first: it works under the lock.
    deferral: Option<defer::Deferral>,
    path: PathBuf,
    normalise: Normalise,
    /// Held shared for as long as the store is used; gc takes it alone.
    lock: lock::Lock,
    session: Mutex<Option<Arc<scratch::Session>>>,
    /// Heads of layers that were read: nobody removes a layer while the store is in use.
    heads: Mutex<BTreeMap<Digest, Head>>,
}

impl Store {
    /// Opens the store at `path`, which is made if there is none, with mode 0700.
    ///
    /// Waits while a gc runs. What processes that no longer live left behind is removed.
    pub fn open(path: impl AsRef<Path>, normalise: Normalise) -> Result<Self, StoreError> {
        Self::open_telling(path, normalise, &mut |_| {})
    }

    /// The same; `clears` is told how many folders others left behind before they are removed,
    /// if there are any. Those of large builds can take a minute.
    pub fn open_telling(
        path: impl AsRef<Path>,
        normalise: Normalise,
        clears: &mut dyn FnMut(u64),
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if normalise.epoch > EPOCH_MAX {
            return Err(StoreError::Epoch { epoch: normalise.epoch });
        }
        let version = path.join("version");
        match fs::read_to_string(&version) {
            Ok(found) if found == VERSION => {}
            Ok(found) => {
                let found = found.trim().to_owned();
                return Err(StoreError::Version { path: path.to_owned(), found });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            Err(error) => return Err(StoreError::at("reading", &version)(error)),
        }
        let path = fs::canonicalize(path).map_err(StoreError::at("opening", path))?;
        let lock_path = path.join("locks/store");
        let lock = File::open(&lock_path).map_err(StoreError::at("opening", &lock_path))?;
        let lock = lock::Lock::shared(lock, &lock_path)?;
        scratch::sweep(&path.join("tmp"), clears);
        Ok(Self {
            deferral: None,
            path,
            normalise,
            lock,
            session: Mutex::new(None),
            heads: Mutex::default(),
        })
    }

    /// Lets layers and steps be used before they are on disk: a thread syncs them a little later,
    /// many at once. [`Store::settle`] waits for it, and so does dropping the store.
    ///
    /// `boot` is the id of the running kernel. A process that is killed loses nothing: others
    /// under this kernel go on with what it made. A loss of power takes what was not synced yet,
    /// and never leaves a part of it.
    pub fn deferring(mut self, boot: &str) -> Result<Self, StoreError> {
        self.deferral = Some(defer::Deferral::new(&self.path, boot)?);
        Ok(self)
    }

    /// Waits until all that was made is on disk; says why, if something could not be brought
    /// there. That is not in the store then.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.deferral.as_ref().map_or(Ok(()), defer::Deferral::settle)
    }

    /// Where the store is, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What layers made here are normalised to.
    pub fn normalise(&self) -> Normalise {
        self.normalise
    }

    /// Whether the store has the layer.
    pub fn has_layer(&self, digest: &Digest) -> bool {
        let folder = self.layer_path(digest);
        self.index_names().any(|name| folder.join(name).exists())
    }

    /// What the index of a layer may be called, in the order in which to look. The last once more:
    /// it may have come to be after the first look.
    fn index_names(&self) -> impl Iterator<Item = &str> {
        let deferred = self.deferral.as_ref().map(defer::Deferral::index_name);
        std::iter::once(INDEX).chain(deferred.into_iter().flat_map(|deferred| [deferred, INDEX]))
    }

    /// The layer's place and size, from one short read.
    pub fn layer(&self, digest: &Digest) -> Result<Layer, StoreError> {
        Ok(self.describe(&self.head(digest)?))
    }

    fn head(&self, digest: &Digest) -> Result<Head, StoreError> {
        let heads = || self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(head) = heads().get(digest) {
            return Ok(*head);
        }
        let mut bytes = [0; index::HEAD_LEN];
        let (path, mut file) = self.open_index(digest)?;
        file.read_exact(&mut bytes).map_err(|error| damaged(&path, &error))?;
        let head = index::decode_head(&bytes).map_err(|error| damaged(&path, &error))?;
        self.check_name(&path, &head, digest)?;
        heads().insert(*digest, head);
        Ok(head)
    }

    /// The layer as a tree, its contents by reference to the unpacked files, digests known.
    pub fn load(&self, digest: &Digest) -> Result<LayerTree, StoreError> {
        Ok(self.load_all(digest)?.1)
    }

    /// The tree that the layers give together, bottom first.
    pub fn merged(&self, layers: &[Digest]) -> Result<Tree, StoreError> {
        let mut tree = Tree::new();
        if let Some(root) = tree.metadata_mut(&TreePath::root()) {
            root.mtime = i64::try_from(self.normalise.epoch).unwrap_or(i64::MAX);
        }
        for digest in layers {
            self.load(digest)?.move_to(&mut tree)?;
        }
        Ok(tree)
    }

    /// One layer that says what the layers say together over nothing.
    pub fn flatten(&self, layers: &[Digest]) -> Result<Layer, StoreError> {
        match layers {
            [one] if self.layer(one)?.markers == 0 => self.layer(one),
            _ => self.add(&LayerTree::from_tree(self.merged(layers)?)),
        }
    }

    /// Writes the layer's tar, and checks while doing so that it is what its name says.
    pub fn write_tar<W: Write>(&self, digest: &Digest, out: W) -> Result<W, StoreError> {
        let (head, layer) = self.load_all(digest)?;
        let mut out = DigestWriter::new(out);
        tar::write_layer(&layer, head.epoch, &mut out, &mut |_, content, out| {
            content.copy_to(out)
        })?;
        let (out, found, _) = out.finish();
        if found != *digest {
            let why = format!("its content has become sha256:{found}");
            return Err(StoreError::Damaged { path: self.layer_path(digest), why });
        }
        Ok(out)
    }

    /// Reads a tar into the store, as a layer in normal form.
    ///
    /// The input is read up to its end marker. See [`tar::read_layer`] for what is refused.
    pub fn import_tar(&self, input: impl Read, limits: Limits) -> Result<Layer, StoreError> {
        let scratch = self.scratch()?;
        let spool = scratch.path().join("spool");
        disk::make_directory(&spool)?;
        let mut count = 0_u64;
        let mut failed = None;
        let mut input = input;
        let layer =
            tar::read_layer(&mut input, limits, self.normalise.epoch, &mut |size, bytes| {
                let path = spool.join(count.to_string());
                count += 1;
                match build::spool_file(&path, size, bytes) {
                    Ok(content) => Ok(content),
                    Err(build::SpoolError::Source(error)) => Err(error),
                    Err(build::SpoolError::Store(error)) => {
                        failed = Some(error);
                        Err(io::Error::other("the store"))
                    }
                }
            });
        if let Some(error) = failed {
            return Err(error);
        }
        self.build(layer?, &scratch, Some(&spool))
    }

    /// Puts a layer into the store. Contents are copied, sharing blocks where the file system
    /// can; they need not outlive the call.
    pub fn add(&self, layer: &LayerTree) -> Result<Layer, StoreError> {
        let mut layer = layer.clone();
        layer.settle(self.normalise.epoch)?;
        self.build(layer, &self.scratch()?, None)
    }

    /// Puts a layer into the store, like [`Store::add`]; contents that lie in the folder [`SPOOL`]
    /// of `scratch` are moved instead of copied.
    pub fn add_spooled(
        &self,
        mut layer: LayerTree,
        scratch: &Scratch,
    ) -> Result<Layer, StoreError> {
        layer.settle(self.normalise.epoch)?;
        self.build(layer, scratch, Some(&scratch.path().join(SPOOL)))
    }

    /// The digest of the image's manifest, as [`crate::write_layout`] would write it.
    pub fn image_digest(&self, image: &Image) -> Result<Digest, StoreError> {
        Ok(crate::layout::Manifest::of(self, image)?.digest)
    }

    fn load_all(&self, digest: &Digest) -> Result<(Head, LayerTree), StoreError> {
        let folder = self.layer_path(digest);
        let (path, mut file) = self.open_index(digest)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(StoreError::at("reading", &path))?;
        let (head, layer) = index::decode(&bytes, &folder.join("root"), &folder.join("hidden"))
            .map_err(|error| damaged(&path, &error))?;
        self.check_name(&path, &head, digest)?;
        Ok((head, layer))
    }

    fn open_index(&self, digest: &Digest) -> Result<(PathBuf, File), StoreError> {
        let folder = self.layer_path(digest);
        for name in self.index_names() {
            let path = folder.join(name);
            match File::open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::at("opening", &path)(error)),
            }
        }
        Err(StoreError::NoLayer { digest: *digest })
    }

    fn check_name(&self, path: &Path, head: &Head, digest: &Digest) -> Result<(), StoreError> {
        if head.digest == *digest {
            return Ok(());
        }
        let why = format!("it is that of sha256:{}", head.digest);
        Err(StoreError::Damaged { path: path.to_owned(), why })
    }

    fn describe(&self, head: &Head) -> Layer {
        Layer {
            digest: head.digest,
            root: self.layer_path(&head.digest).join("root"),
            size: head.tar_len,
            content: head.content_len,
            files: head.paths,
            markers: head.markers,
        }
    }

    fn layer_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("layers").join(digest.hex())
    }

    /// An empty directory on the store's file system, removed when it is dropped or, after a
    /// kill, by a later process. An overlay's upper and work directories belong in one.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match &*session {
            Some(session) => session.clone(),
            None => session.insert(scratch::Session::new(&self.path.join("tmp"))?).clone(),
        };
        session.scratch()
    }
}

fn damaged(path: &Path, error: &impl ToString) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), why: error.to_string() }
}

/// Makes an empty store. Two processes may do so at once.
fn create(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    const FOLDERS: [&str; 7] =
        ["layers", "steps", "blobs", "blobs/sha256", "roots", "locks", "tmp"];
    let writable = |error: StoreError| match error {
        StoreError::Io { what, path, source }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            StoreError::ReadOnly { what, path, source }
        }
        error => error,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(StoreError::at("making the store", path))
        .map_err(writable)?;
    for entry in fs::read_dir(path).map_err(StoreError::at("reading", path))? {
        let name = entry.map_err(StoreError::at("reading", path))?.file_name();
        let name = name.to_string_lossy();
        // What another process, or a killed one, has made so far.
        if !FOLDERS.contains(&&*name) && !name.starts_with("version") {
            return Err(StoreError::NotAStore { path: path.to_owned() });
        }
    }
    for folder in FOLDERS {
        disk::make_directory(&path.join(folder)).map_err(writable)?;
    }
    let lock = path.join("locks/store");
    records::lock_open(&lock)?;
    let aside = path.join(format!("version.{}", std::process::id()));
    records::publish(&aside, &path.join("version"), VERSION.as_bytes())
}
