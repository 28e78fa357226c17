//! Makes durable in the background what has just been made.
//!
//! To wait for the disk after each step would cost more than most steps. So a store that defers
//! gives a layer and a record their places at once, unsynced, but by names that end in the id of
//! the running kernel:
//!
//! ```text
//! layers/<sha256>/index.<boot>
//! steps/<key>.<boot>.json
//! ```
//!
//! What has such a name is whole for as long as this kernel runs, whatever becomes of its maker,
//! and every process that knows the id uses it. After a loss of power the id is another, and
//! nobody looks at the name: what of it had reached the disk may be torn, and is made anew. A
//! thread follows behind, some steps at a time: it syncs layers and gives their indices the name
//! that lasts, and then the same for records. So a record that lasts names layers that last.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use stagex_tree::Digest;

use super::{INDEX, StoreError, disk, records};
use crate::{StepRecord, index};

/// How long finished steps may gather before the disk is waited for, for all of them at once. It is
/// what a loss of power may cost besides what is being written.
const GATHER: Duration = Duration::from_millis(100);

/// The layers of each step by its key.
type Steps = BTreeMap<Digest, Vec<Digest>>;

/// The thread that makes things durable, and what it has still to do.
#[derive(Debug)]
pub(super) struct Deferral {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    places: Places,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    layers: BTreeSet<Digest>,
    steps: Steps,
    /// Whether the thread is at work on what is no longer in the queue.
    busy: bool,
    /// Whether somebody waits for all to be durable.
    urgent: bool,
    /// Whether nothing more will come.
    ended: bool,
    /// Why the last work failed, until somebody asked.
    failed: Option<StoreError>,
    /// Whether nothing is begun, for tests.
    held: bool,
}

impl Deferral {
    /// Starts the thread of the store at `path`. `boot` names the running kernel.
    pub(super) fn new(path: &Path, boot: &str) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            places: Places::new(path, boot),
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("stagex-sync".to_owned())
            .spawn(move || worker.work())
            .map_err(StoreError::at("starting a thread for", path))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The name of an index that is not durable yet.
    pub(super) fn index_name(&self) -> &str {
        &self.shared.places.index
    }

    /// Where the record of a step is that is not durable yet.
    pub(super) fn step_path(&self, key: &Digest) -> PathBuf {
        self.shared.places.step(key)
    }

    /// Has a layer made durable: with the next step, or when somebody waits.
    pub(super) fn layer(&self, digest: Digest) {
        self.shared.lock().layers.insert(digest);
    }

    /// Has a step made durable, and its layers before it.
    pub(super) fn step(&self, key: Digest, layers: Vec<Digest>) {
        self.shared.lock().steps.insert(key, layers);
        self.shared.changed.notify_all();
    }

    /// Says, once, why something could not be made durable. It is not there any more.
    pub(super) fn failure(&self) -> Result<(), StoreError> {
        self.shared.lock().failed.take().map_or(Ok(()), Err)
    }

    /// Waits until all is durable.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        let mut queue = self.shared.lock();
        while queue.busy || !queue.is_empty() {
            queue.urgent = true;
            self.shared.changed.notify_all();
            queue = self.shared.wait(queue);
        }
        queue.failed.take().map_or(Ok(()), Err)
    }

    /// Makes durable what processes that no longer live left undone, as far as records name it,
    /// and removes the records of kernels that no longer run.
    pub(super) fn recover(&self) -> Result<u64, StoreError> {
        self.settle()?;
        let places = &self.shared.places;
        let folder = places.store.join("steps");
        let fail = || StoreError::at("reading", &folder);
        let mut left = Steps::new();
        let mut removed = 0;
        for entry in fs::read_dir(&folder).map_err(fail())? {
            let path = entry.map_err(fail())?.path();
            let Some((key, boot)) = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .and_then(|stem| stem.split_once('.'))
            else {
                continue;
            };
            let record: Option<StepRecord> = match boot == places.boot {
                true => records::read_json(&path)?,
                false => None,
            };
            let whole = |record: &StepRecord| record.layers.iter().all(|each| places.has(each));
            match (key.parse(), record.filter(whole)) {
                (Ok(key), Some(record)) => drop(left.insert(key, record.layers)),
                _ => {
                    disk::remove_tree(&path)?;
                    removed += 1;
                }
            }
        }
        places.commit(&BTreeSet::new(), &left)?;
        Ok(removed)
    }

    #[cfg(test)]
    fn hold(&self, held: bool) {
        self.shared.lock().held = held;
        self.shared.changed.notify_all();
    }
}

impl Drop for Deferral {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It cannot panic; and what it did not do is found by the next process.
            drop(thread.join());
        }
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.steps.is_empty()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // What is behind it is whole at any moment.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            while queue.held || queue.is_empty() {
                if queue.ended {
                    return;
                }
                queue = self.wait(queue);
            }
            let (gathered, _) = self
                .changed
                .wait_timeout_while(queue, GATHER, |queue| !queue.urgent && !queue.ended)
                .unwrap_or_else(PoisonError::into_inner);
            queue = gathered;
            let layers = std::mem::take(&mut queue.layers);
            let steps = std::mem::take(&mut queue.steps);
            queue.busy = true;
            drop(queue);
            let result = self.places.commit(&layers, &steps);
            if result.is_err() {
                self.places.forget(&layers, &steps);
            }
            queue = self.lock();
            queue.busy = false;
            queue.urgent = false;
            if let (Err(error), None) = (result, &queue.failed) {
                queue.failed = Some(error);
            }
            self.changed.notify_all();
        }
    }
}

/// Where things are, before and after.
#[derive(Debug)]
struct Places {
    store: PathBuf,
    boot: String,
    /// The name of an index that is not durable yet.
    index: String,
}

impl Places {
    fn new(store: &Path, boot: &str) -> Self {
        let boot = Digest::of(boot).hex()[..16].to_owned();
        Self { store: store.to_owned(), index: format!("{INDEX}.{boot}"), boot }
    }

    fn layer(&self, digest: &Digest) -> PathBuf {
        self.store.join("layers").join(digest.hex())
    }

    fn step(&self, key: &Digest) -> PathBuf {
        self.store.join("steps").join(format!("{key}.{}.json", self.boot))
    }

    fn has(&self, digest: &Digest) -> bool {
        let folder = self.layer(digest);
        let durable = folder.join(INDEX);
        // A third look: it may be made durable between the first and the second.
        durable.exists() || folder.join(&self.index).exists() || durable.exists()
    }

    /// Makes layers durable, and then steps. Another process may do the same at the same time.
    fn commit(&self, layers: &BTreeSet<Digest>, steps: &Steps) -> Result<(), StoreError> {
        self.commit_layers(layers.iter().chain(steps.values().flatten()).collect())?;
        if let Some(digest) =
            steps.values().flatten().find(|each| !self.layer(each).join(INDEX).exists())
        {
            return Err(StoreError::NoLayer { digest: *digest });
        }
        // Those that are not there were placed by another process.
        let placed: Vec<(PathBuf, PathBuf)> = steps
            .keys()
            .map(|key| (self.step(key), self.store.join("steps").join(format!("{key}.json"))))
            .filter(|(deferred, _)| deferred.exists())
            .collect();
        if placed.is_empty() {
            return Ok(());
        }
        let files: Vec<&PathBuf> = placed.iter().map(|(deferred, _)| deferred).collect();
        match crate::sync::all(&files) {
            // Another process is doing the same, and was first with one of them.
            Err((_, error)) if error.kind() == io::ErrorKind::NotFound => {
                for (deferred, durable) in &placed {
                    let synced = disk::sync_all(std::slice::from_ref(deferred));
                    if !durable.exists() {
                        synced?;
                    }
                }
            }
            result => {
                result.map_err(|(path, error)| StoreError::at("syncing", &path)(error))?;
            }
        }
        for file in files {
            point(|| format!("synced {}", file.display()));
        }
        for (deferred, durable) in &placed {
            rename(deferred, durable)?;
        }
        disk::sync_directory(&self.store.join("steps"))?;
        point(|| "synced steps".to_owned());
        Ok(())
    }

    fn commit_layers(&self, mut layers: BTreeSet<&Digest>) -> Result<(), StoreError> {
        loop {
            let placed = |digest: &Digest| self.layer(digest).join(INDEX).exists();
            layers
                .retain(|digest| !placed(digest) && self.layer(digest).join(&self.index).exists());
            let folders: Vec<PathBuf> = layers.iter().map(|digest| self.layer(digest)).collect();
            if folders.is_empty() {
                return Ok(());
            }
            match self.commit_folders(folders) {
                // Another process is doing the same, and an index that was to be synced has got
                // its last name meanwhile. What is left becomes less each time.
                Err(StoreError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound
                        && layers.iter().any(|digest| placed(digest)) => {}
                result => return result,
            }
        }
    }

    /// Makes durable layers of which each has an index by its first name.
    fn commit_folders(&self, folders: Vec<PathBuf>) -> Result<(), StoreError> {
        // A file system takes many files at once; a few need not wait for what others write.
        let mut paths = Some(Vec::new());
        for folder in &folders {
            let more = match self.files(folder) > disk::FEW {
                true => None,
                false => disk::names_to_sync(folder)?,
            };
            paths = paths.zip(more).map(|(mut all, more)| {
                all.extend(more);
                all
            });
        }
        point(|| "syncing layers".to_owned());
        match paths {
            Some(paths) => disk::sync_all(&paths)?,
            None => disk::sync_filesystem(&self.store)?,
        }
        for folder in &folders {
            point(|| format!("synced {}", folder.display()));
        }
        for folder in &folders {
            rename(&folder.join(&self.index), &folder.join(INDEX))?;
        }
        let mut renamed = folders;
        renamed.push(self.store.join("layers"));
        disk::sync_all(&renamed)?;
        point(|| "synced layers".to_owned());
        Ok(())
    }

    /// How many files the layer has; many where that cannot be read.
    fn files(&self, folder: &Path) -> u64 {
        let mut bytes = [0; index::HEAD_LEN];
        let read = File::open(folder.join(&self.index))
            .and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes));
        match (read, index::decode_head(&bytes)) {
            (Ok(()), Ok(head)) => head.paths + head.markers,
            _ => u64::MAX,
        }
    }

    /// Takes away what could not be made durable: the disk is not what it seems to be, and a later
    /// sync would not say so again.
    fn forget(&self, layers: &BTreeSet<Digest>, steps: &Steps) {
        for key in steps.keys() {
            drop(fs::remove_file(self.step(key)));
        }
        for digest in layers.iter().chain(steps.values().flatten()) {
            drop(fs::remove_file(self.layer(digest).join(&self.index)));
        }
    }
}

/// Gives a file the name that lasts, unless another process did.
fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => Ok(()),
        result => result.map_err(StoreError::at("placing", to)),
    }?;
    point(|| format!("placed {}", to.display()));
    Ok(())
}

#[cfg(not(test))]
fn point(_: impl FnOnce() -> String) {}

#[cfg(test)]
use tests::point;

#[cfg(test)]
mod tests;
