//! What a command that builds works with.

use std::{
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use stagex_build::{Engine, Options, Parts};
use stagex_oci::{Normalise, Store};
use stagex_recipe::boxes::Architecture;
use stagex_sandbox::{Cancel, Limits};
use stagex_sources::Fetcher;

use crate::{
    args::Global, config::Config, failure::Failure, progress::Progress, project::Project, silence,
};

/// What a command that builds works with.
pub(crate) struct Session {
    pub(crate) project: Project,
    pub(crate) store: Store,
    fetcher: Fetcher,
    pub(crate) progress: Arc<Progress>,
    pub(crate) cancel: Cancel,
    stop: Arc<AtomicBool>,
    jobs: usize,
    keep_going: bool,
    allow_network: bool,
}

impl Session {
    /// Reads the project and opens the store; from here on Ctrl-C stops what runs.
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        Self::open_with(global, |_| {})
    }

    /// The same, with the store in another folder of caches.
    pub(crate) fn open_at(global: &Global, cache: &Path) -> Result<Self, Failure> {
        Self::open_with(global, |config| cache.clone_into(&mut config.cache))
    }

    /// The same, to gather sources in the cache: also what lies in folders of local ones.
    pub(crate) fn open_gathering(global: &Global) -> Result<Self, Failure> {
        Self::open_with(global, |config| config.sources.copy_local = true)
    }

    fn open_with(global: &Global, change: impl FnOnce(&mut Config)) -> Result<Self, Failure> {
        let project = Project::load(global)?;
        let mut config = Config::load(global)?.with_mirrors(&project.workspace.mirrors);
        change(&mut config);
        let progress = Arc::new(Progress::new(global.quiet));
        silence::watch(&progress);
        let store = open_store(&config, &progress)?;
        let jobs = match global.jobs {
            Some(jobs) => usize::from(jobs),
            None => thread::available_parallelism().map_or(1, usize::from),
        };
        let cancel = Cancel::new().map_err(Failure::failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        watch_signals(cancel.clone(), Arc::clone(&stop))?;
        Ok(Self {
            project,
            store,
            fetcher: Fetcher::new(config.sources),
            progress,
            cancel,
            stop,
            jobs,
            keep_going: global.keep_going,
            allow_network: global.allow_network,
        })
    }

    /// An engine that builds for `architecture`.
    pub(crate) fn engine(&self, architecture: Architecture) -> Result<Engine<'_>, Failure> {
        let parts = Parts {
            catalogue: &self.project.catalogue,
            folders: &self.project.folders,
            store: &self.store,
            fetcher: &self.fetcher,
            observer: &*self.progress,
            cancel: self.cancel.clone(),
            stop: &self.stop,
        };
        let options = Options {
            architecture,
            // The seeds run on x86_64 alone, natively or, elsewhere, as the kernel emulates it.
            machine: Architecture::X86_64,
            jobs: self.jobs,
            memory: available_memory(),
            toolchain: self.project.toolchain.clone(),
            keep_going: self.keep_going,
            allow_network: self.allow_network,
            limits: Limits {
                // Enough for the widest build, and few enough that a fork bomb is only a nuisance.
                processes: 1024 + 64 * u32::try_from(self.jobs).unwrap_or(1),
                ..Limits::default()
            },
            logs: self.project.out().join("logs"),
        };
        Ok(Engine::new(parts, options))
    }

    /// Is set once Ctrl-C was pressed.
    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Threads for work of stagex's own.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs
    }
}

/// How many bytes of memory can be had now, if the kernel says so.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// Opens the store; where the running kernel has an id, what is made there is synced by the way.
pub(crate) fn open_store(config: &Config, progress: &Progress) -> Result<Store, Failure> {
    let left = AtomicU64::new(0);
    let say = || {
        let left = left.load(Ordering::Relaxed);
        if left != 0 {
            let folders = if left == 1 { "folder" } else { "folders" };
            progress.say(&format!("clearing what a stopped build left, {left} {folders}…"));
        }
        left != 0
    };
    let store = while_slow(SOON, &say, || {
        let path = config.cache.join("store");
        let mut clears = |count| left.store(count, Ordering::Relaxed);
        Store::open_telling(path, Normalise::default(), &mut clears)
    })?;
    Ok(match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(boot) => store.deferring(boot.trim())?,
        Err(_) => store,
    })
}

/// Does `work`, and calls `say` each time that it has gone on for `patience` longer, until that
/// has said something.
fn while_slow<T>(
    patience: Duration,
    say: &(dyn Fn() -> bool + Sync),
    work: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        let (done, ended) = mpsc::channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                if say() {
                    return;
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// What takes longer is told of, so that it does not look like a hang.
const SOON: Duration = Duration::from_secs(1);
/// What is said where nothing else can say it any more.
const STOPPED: &str =
    "error: stopped; what was finished is kept, and the next run goes on from there\n";
/// How long what runs may take to end in order. Commands in sandboxes end at once; a download may
/// wait for its next byte for much longer.
const GRACE: Duration = Duration::from_secs(5);

/// The first Ctrl-C stops what runs, in order; the second ends the process at once, and so does
/// the end of [`GRACE`]. What is half done then is cleared away by later runs.
fn watch_signals(cancel: Cancel, stop: Arc<AtomicBool>) -> Result<(), Failure> {
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Failure::failed)?;
    thread::spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                std::process::exit(130);
            }
            stop.store(true, Ordering::Relaxed);
            cancel.cancel();
            thread::spawn(|| {
                thread::sleep(GRACE);
                // Nobody may be reading any more.
                drop(std::io::stderr().write_all(STOPPED.as_bytes()));
                std::process::exit(130);
            });
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_told_of() {
        let said = AtomicU64::new(0);
        let say = || said.fetch_add(1, Ordering::Relaxed) == 1;
        assert_eq!(while_slow(Duration::from_secs(3600), &say, || "quick"), "quick");
        assert_eq!(said.load(Ordering::Relaxed), 0);
        // Asked until there is something to say, and not again.
        let start = std::time::Instant::now();
        while_slow(Duration::from_millis(5), &say, || {
            while said.load(Ordering::Relaxed) < 2 && start.elapsed() < Duration::from_secs(60) {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(100));
        });
        assert_eq!(said.load(Ordering::Relaxed), 2);
    }
}
