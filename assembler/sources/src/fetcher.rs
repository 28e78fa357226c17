//! Brings sources into the cache.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use stagex_tree::Digest;

use crate::{
    Address, Attempt, Cause, Error, GitClone, Mirrors,
    cache::{Cache, Partial},
    download::{Body, Client},
    git, local,
};

/// How often one address is tried before the next: a connection that breaks is resumed.
const TRIES: usize = 3;

/// Where sources come from and how patient to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cache folder; made if it is missing.
    pub cache: PathBuf,
    /// Folders of local files or mirror trees, tried before any network. Never written to.
    pub local: Vec<PathBuf>,
    /// Copy what lies in a local folder into the cache, in place of using it where it lies.
    pub copy_local: bool,
    /// Local clones that stand for repositories on a forge.
    pub clones: Vec<GitClone>,
    /// Where schemes lie.
    pub mirrors: Mirrors,
    /// Leave the network alone.
    pub offline: bool,
    /// Downloads at once.
    pub jobs: usize,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the next byte.
    pub stall_timeout: Duration,
}

impl Options {
    /// Sensible values with the given cache folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            local: Vec::new(),
            copy_local: false,
            clones: Vec::new(),
            mirrors: Mirrors::new(),
            offline: false,
            jobs: 4,
            connect_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// A source to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file name, for people and for local folders.
    pub file: String,
    /// What its bytes must hash to.
    pub digest: Digest,
    /// Its addresses as the recipe writes them, in order.
    pub mirrors: Vec<String>,
}

/// Is told how downloads go; called from several threads.
pub trait Observer: Sync {
    /// `len` bytes of `file` are there, of `total` where known.
    fn advanced(&self, file: &str, len: u64, total: Option<u64>);
    /// A place did not help; the next is tried.
    fn failed_place(&self, file: &str, attempt: &Attempt);
    /// `file` is in the cache; `fetched` if it was not there before.
    fn finished(&self, file: &str, fetched: bool);
}

/// An [`Observer`] that does nothing.
pub struct Quiet;

impl Observer for Quiet {
    fn advanced(&self, _: &str, _: u64, _: Option<u64>) {}
    fn failed_place(&self, _: &str, _: &Attempt) {}
    fn finished(&self, _: &str, _: bool) {}
}

/// Brings sources into the cache.
pub struct Fetcher {
    options: Options,
    cache: Cache,
    client: Client,
}

impl Fetcher {
    /// A fetcher with these options.
    pub fn new(options: Options) -> Self {
        let cache = Cache::new(options.cache.clone());
        let client = Client::new(options.connect_timeout, options.stall_timeout);
        Self { options, cache, client }
    }

    /// Brings all `requests` into the cache, several at once, and gives their paths by digest.
    /// What lies in a local folder is used there, unless [`Options::copy_local`] says otherwise.
    ///
    /// All are tried even where one fails; the errors come in the order of the requests.
    pub fn fetch(
        &self,
        requests: &[Request],
        observer: &dyn Observer,
        cancel: &AtomicBool,
    ) -> Result<BTreeMap<Digest, PathBuf>, Vec<Error>> {
        let results: Vec<Mutex<Option<Result<PathBuf, Error>>>> =
            requests.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let (Some(request), Some(result)) = (requests.get(at), results.get(at)) else {
                    return;
                };
                if let Ok(mut slot) = result.lock() {
                    *slot = Some(self.fetch_one(request, observer, cancel));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.options.jobs.clamp(1, requests.len().max(1)) {
                scope.spawn(work);
            }
        });
        let mut paths = BTreeMap::new();
        let mut errors = Vec::new();
        for (request, result) in requests.iter().zip(results) {
            match result.into_inner().ok().flatten() {
                Some(Ok(path)) => drop(paths.insert(request.digest, path)),
                Some(Err(error)) => errors.push(error),
                None => errors.push(Error::Cancelled { file: request.file.clone() }),
            }
        }
        if errors.is_empty() { Ok(paths) } else { Err(errors) }
    }

    /// Brings one source into the cache.
    pub fn fetch_one(
        &self,
        request: &Request,
        observer: &dyn Observer,
        cancel: &AtomicBool,
    ) -> Result<PathBuf, Error> {
        let mut job = Job { fetcher: self, request, observer, cancel, attempts: Vec::new() };
        if let Some(path) = self.cache.get(&request.digest)? {
            observer.finished(&request.file, false);
            return Ok(path);
        }
        let local = job.find_local();
        if let (Some(path), false) = (&local, self.options.copy_local) {
            observer.finished(&request.file, false);
            return Ok(path.clone());
        }
        let path = job.fill_cache(local.as_deref())?;
        observer.finished(&request.file, true);
        Ok(path)
    }
}

/// The fetching of one source.
struct Job<'a> {
    fetcher: &'a Fetcher,
    request: &'a Request,
    observer: &'a dyn Observer,
    cancel: &'a AtomicBool,
    attempts: Vec<Attempt>,
}

/// What came of reading one body to its end.
enum End {
    Right,
    Broken(Cause),
}

impl Job<'_> {
    fn give_up(&mut self, place: impl Into<String>, cause: Cause) {
        let attempt = Attempt { place: place.into(), cause };
        self.observer.failed_place(&self.request.file, &attempt);
        self.attempts.push(attempt);
    }

    /// The file in a local folder that has the right bytes.
    fn find_local(&mut self) -> Option<PathBuf> {
        let request = self.request;
        let hex = request.digest.hex();
        for folder in &self.fetcher.options.local {
            for place in local::places(folder, &request.file, &hex, &request.mirrors) {
                if !place.is_file() {
                    continue;
                }
                let found = File::open(&place).and_then(Digest::of_reader);
                let cause = match found {
                    Ok((found, _)) if found == request.digest => return Some(place),
                    Ok((found, _)) => Cause::Mismatch { expected: request.digest, found },
                    Err(error) => Cause::Io { error },
                };
                self.give_up(place.display().to_string(), cause);
            }
        }
        None
    }

    /// Brings the source into the cache: from `local` if it is given, else from its mirrors.
    fn fill_cache(&mut self, local: Option<&Path>) -> Result<PathBuf, Error> {
        let mut partial = self.fetcher.cache.partial(&self.request.digest)?;
        // Another process may have brought it while this one waited for the lock.
        if let Some(path) = self.fetcher.cache.get(&self.request.digest)? {
            partial.discard()?;
            return Ok(path);
        }
        let copied = local.map_or(Ok(false), |local| self.fill_from_file(local, &mut partial));
        let found = match copied {
            Ok(false) => self.fill_from_mirrors(&mut partial),
            copied => copied,
        };
        if matches!(found, Ok(true)) {
            return partial.keep();
        }
        // A part that a broken connection or a cancellation left is kept for the next run; wrong
        // bytes never are.
        if partial.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            partial.discard()?;
        }
        found?;
        Err(Error::Failed {
            file: self.request.file.clone(),
            expected: self.request.digest,
            attempts: std::mem::take(&mut self.attempts),
            offline: self.fetcher.options.offline,
        })
    }

    /// Copies a local file; false where it has changed since it was looked at, or cannot be read.
    fn fill_from_file(&mut self, local: &Path, partial: &mut Partial) -> Result<bool, Error> {
        partial.restart()?;
        let opened = File::open(local).and_then(|file| Ok((file.metadata()?.len(), file)));
        let cause = match opened {
            Ok((len, mut file)) => {
                match self.receive(&mut file, Sha256::new(), 0, Some(len), partial)? {
                    End::Right => return Ok(true),
                    End::Broken(cause) => cause,
                }
            }
            Err(error) => Cause::Io { error },
        };
        self.give_up(local.display().to_string(), cause);
        partial.restart()?;
        Ok(false)
    }

    /// Tries all addresses in turn; false where none has the right bytes.
    fn fill_from_mirrors(&mut self, partial: &mut Partial) -> Result<bool, Error> {
        for address in &self.request.mirrors {
            let urls = Address::parse(address)
                .and_then(|address| address.resolve(&self.fetcher.options.mirrors));
            let urls = match urls {
                Ok(urls) => urls,
                Err(cause) => {
                    self.give_up(address, cause);
                    continue;
                }
            };
            for url in urls {
                if self.fill_from_clone(&url, partial)? || self.fill_from_url(&url, partial)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn fill_from_clone(&mut self, url: &str, partial: &mut Partial) -> Result<bool, Error> {
        let Some(archive) = git::archive(&self.fetcher.options.clones, url) else {
            return Ok(false);
        };
        let place = format!("git clone {}", archive.clone.display());
        let mut running = match archive.start() {
            Ok(running) => running,
            Err(error) => {
                self.give_up(place, Cause::Io { error });
                return Ok(false);
            }
        };
        partial.restart()?;
        let end = self.receive(&mut running, Sha256::new(), 0, None, partial)?;
        let said = running.finish().unwrap_or_else(|error| Err(error.to_string()));
        match (end, said) {
            (End::Right, _) => return Ok(true),
            (_, Err(message)) => self.give_up(place, Cause::Git { message }),
            (End::Broken(cause), Ok(())) => self.give_up(place, cause),
        }
        partial.restart()?;
        Ok(false)
    }

    fn fill_from_url(&mut self, url: &str, partial: &mut Partial) -> Result<bool, Error> {
        let is_local = url.starts_with("file://") || url.starts_with('/');
        if self.fetcher.options.offline && !is_local {
            return Ok(false);
        }
        for attempt in 1.. {
            let resumed = partial.file.metadata().map_err(|error| partial.error(error))?.len();
            let cause = match self.fetcher.client.open(url, resumed) {
                Ok(body) => match self.receive_body(body, partial)? {
                    End::Right => return Ok(true),
                    End::Broken(Cause::Mismatch { .. }) if resumed != 0 => {
                        // The part may have come from another mirror: begin anew once.
                        partial.restart()?;
                        continue;
                    }
                    End::Broken(cause) => cause,
                },
                Err(cause) => cause,
            };
            let again = matches!(cause, Cause::Connection { .. })
                || matches!(cause, Cause::Status { status: 429 | 500..=599 });
            if matches!(cause, Cause::Mismatch { .. }) {
                partial.restart()?;
            }
            if !again || attempt >= TRIES {
                self.give_up(url, cause);
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn receive_body(&mut self, body: Body, partial: &mut Partial) -> Result<End, Error> {
        let mut hasher = Sha256::new();
        if body.start == 0 {
            partial.restart()?;
        } else {
            let mut rehash = |partial: &mut Partial| {
                partial.file.seek(SeekFrom::Start(0))?;
                io::copy(&mut (&partial.file).take(body.start), &mut hasher)
            };
            rehash(partial).map_err(|error| partial.error(error))?;
        }
        let mut reader = body.reader;
        self.receive(&mut *reader, hasher, body.start, body.total, partial)
    }

    fn receive(
        &mut self,
        reader: &mut dyn Read,
        mut hasher: Sha256,
        mut len: u64,
        total: Option<u64>,
        partial: &mut Partial,
    ) -> Result<End, Error> {
        let file = &self.request.file;
        let mut buffer = vec![0; 1 << 17];
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled { file: file.clone() });
            }
            self.observer.advanced(file, len, total);
            let n = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let message = match error.kind() {
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!(
                            "stalled: no byte for {} s after {len} bytes",
                            self.fetcher.options.stall_timeout.as_secs()
                        ),
                        _ => format!("broke off after {len} bytes: {error}"),
                    };
                    return Ok(End::Broken(Cause::Connection { message }));
                }
            };
            hasher.update(&buffer[..n]);
            partial.file.write_all(&buffer[..n]).map_err(|error| partial.error(error))?;
            len += n as u64;
        }
        if total.is_some_and(|total| len < total) {
            let message = format!("broke off after {len} of {} bytes", total.unwrap_or(len));
            return Ok(End::Broken(Cause::Connection { message }));
        }
        let found = Digest::from_bytes(hasher.finalize().into());
        let expected = self.request.digest;
        if found == expected {
            return Ok(End::Right);
        }
        Ok(End::Broken(Cause::Mismatch { expected, found }))
    }
}
