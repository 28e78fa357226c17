//! One pool of jobs for all that runs at a time: each step has one, and the makes inside borrow
//! what is left over.
//!
//! A step that runs commands gets a pipe of its own, in the form of GNU make's job server
//! (`--jobserver-auth=R,W`): a byte in it is a job that a make may begin, and puts back when the
//! job has ended. What lies unused in one pipe is moved to another where it is wanted. Since no
//! two steps share a pipe, none can speak to another through it, and jobs that a killed make did
//! not put back are the pool's again when the step ends.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    io::Errno,
};
use stagex_sandbox::Cancel;

/// Where commands find the pipe: the same everywhere, so that what records its environment
/// records the same. Above the numbers that shells use.
pub(crate) const READ: i32 = 198;
/// The end that jobs are put back into.
pub(crate) const WRITE: i32 = 199;
/// What tells makes of the pipe. It does not say how many jobs there are: that must not show. A
/// make that finds no pipe does one job at a time.
pub(crate) const MAKEFLAGS: &str = " -j1 --jobserver-auth=198,199";

/// A job in a pipe.
const TOKEN: &[u8] = b"+";
/// How often unused jobs are looked for while more than one could use them.
const TICK: Duration = Duration::from_millis(20);
/// How soon one who waits for a job learns that the user stopped the build.
const PATIENCE: Duration = Duration::from_millis(100);
/// The most ticks, as a power of two, for which a step is not offered again what it left unused.
const DECLINED: u32 = 4;

/// Jobs for a number of steps.
pub(crate) struct Pool {
    /// Bytes that steps that run beside others may need together.
    memory: Option<u64>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    free: usize,
    /// Steps that run, and what they are thought to need.
    running: usize,
    used: u64,
    /// Steps that wait, in the order in which they came, and what they are thought to need.
    waiting: BTreeMap<u64, u64>,
    pipes: BTreeMap<u64, Pipe>,
    next: u64,
    tick: u64,
    closed: bool,
}

/// The pipe of one step.
struct Pipe {
    end: OwnedFd,
    /// Jobs that it got, used or not.
    given: usize,
    /// Jobs that lay there unused at the last look.
    unused: usize,
    /// Whether they lay there at the look before too.
    stale: bool,
    /// How often in a row it left what it was offered.
    declined: u32,
    /// When it is to be offered more.
    due: u64,
}

impl Pipe {
    fn put(&mut self) -> bool {
        // A step that filled its own pipe gets no more.
        let put = rustix::io::write(&self.end, TOKEN) == Ok(1);
        self.given += usize::from(put);
        put
    }

    fn take(&mut self) -> bool {
        let mut byte = [0];
        let taken = self.given > 0 && rustix::io::read(&self.end, &mut byte) == Ok(1);
        self.given -= usize::from(taken);
        self.unused -= usize::from(taken).min(self.unused);
        taken
    }

    fn look(&mut self) {
        let bytes = rustix::io::ioctl_fionread(&self.end).unwrap_or(0);
        // What a step put there beyond what it got is not ours to give.
        let unused = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.given);
        self.stale = unused > 0 && self.unused > 0;
        if unused == 0 && self.given > 0 {
            self.declined = 0;
            self.due = 0;
        }
        self.unused = unused;
    }
}

/// A step that runs, until it is dropped.
pub(crate) struct Slot<'a> {
    pool: &'a Pool,
    memory: u64,
    pipe: Option<u64>,
}

impl Pool {
    /// A pool of so many jobs. Steps that are thought to need more than `memory` bytes together
    /// do not run at the same time.
    pub(crate) fn new(jobs: usize, memory: Option<u64>) -> Self {
        let state = State { free: jobs.max(1), ..State::default() };
        Self { memory, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The counts are whole at any moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a step that is thought to need `memory` bytes may begin; `None` if the user
    /// stopped the build meanwhile. 0 is a step of which nothing is known.
    pub(crate) fn enter(&self, memory: u64, cancel: &Cancel) -> Option<Slot<'_>> {
        let mut state = self.lock();
        let ticket = state.next;
        state.next += 1;
        state.waiting.insert(ticket, memory);
        self.changed.notify_all();
        loop {
            if cancel.is_cancelled() {
                state.waiting.remove(&ticket);
                drop(state);
                self.changed.notify_all();
                return None;
            }
            let first = state.waiting.iter().find(|(_, need)| self.fits(&state, **need));
            if state.free > 0 && first.is_some_and(|(first, _)| *first == ticket) {
                state.waiting.remove(&ticket);
                state.free -= 1;
                state.running += 1;
                state.used = state.used.saturating_add(memory);
                drop(state);
                self.changed.notify_all();
                return Some(Slot { pool: self, memory, pipe: None });
            }
            state = self
                .changed
                .wait_timeout(state, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether a step may run beside those that do. Alone each may.
    fn fits(&self, state: &State, need: u64) -> bool {
        let Some(memory) = self.memory else { return true };
        state.running == 0 || need == 0 || state.used.saturating_add(need) <= memory
    }

    /// Hands jobs to the pipes, and moves them between them, until the pool is closed.
    pub(crate) fn serve(&self) {
        let mut state = self.lock();
        while !state.closed {
            let wanted = state.waiting.values().filter(|need| self.fits(&state, **need)).count();
            let free = state.free;
            state.balance(wanted);
            if state.free != free {
                self.changed.notify_all();
            }
            // With one pipe and nobody else, all that is free lies in it already.
            let alone = state.pipes.len() <= 1 && wanted == 0;
            state = match alone {
                true => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                false => {
                    let waited = self.changed.wait_timeout(state, TICK);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Comes before [`Pool::serve`].
    pub(crate) fn open(&self) {
        self.lock().closed = false;
    }

    /// Ends [`Pool::serve`].
    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Ends [`Pool::serve`] when it is dropped.
    pub(crate) fn close_later(&self) -> Closing<'_> {
        Closing(self)
    }
}

/// Ends [`Pool::serve`] when it is dropped.
pub(crate) struct Closing<'a>(&'a Pool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl State {
    /// One look at all pipes: keeps `wanted` jobs for steps that wait to begin, spreads the
    /// others, and takes from a pipe what lies there while another is empty.
    fn balance(&mut self, wanted: usize) {
        self.tick += 1;
        for pipe in self.pipes.values_mut() {
            pipe.look();
        }
        for pipe in self.pipes.values_mut() {
            while self.free < wanted && pipe.unused > 0 && pipe.take() {
                self.free += 1;
            }
        }
        let tick = self.tick;
        let mut hungry: Vec<u64> =
            self.pipes.iter().filter(|(_, pipe)| pipe.unused == 0).map(|(id, _)| *id).collect();
        hungry.sort_by_key(|id| self.pipes.get(id).map(|pipe| (pipe.declined, pipe.given, *id)));
        let due = |state: &Self, id: &u64| state.pipes.get(id).is_some_and(|pipe| pipe.due <= tick);
        let eager: Vec<u64> = hungry.iter().filter(|id| due(self, id)).copied().collect();
        if !eager.is_empty() && self.free <= wanted {
            for (id, pipe) in &mut self.pipes {
                if !pipe.stale || eager.contains(id) {
                    continue;
                }
                let before = pipe.unused;
                while pipe.unused > 0 && pipe.take() {
                    self.free += 1;
                }
                if pipe.unused < before {
                    pipe.declined = (pipe.declined + 1).min(DECLINED);
                    pipe.due = tick + (1 << pipe.declined);
                }
            }
        }
        let takers = if eager.is_empty() { hungry } else { eager };
        let mut refused = 0;
        for id in takers.iter().cycle() {
            if self.free <= wanted || refused >= takers.len() {
                break;
            }
            match self.pipes.get_mut(id).is_some_and(Pipe::put) {
                true => {
                    self.free -= 1;
                    refused = 0;
                }
                false => refused += 1,
            }
        }
    }
}

impl Slot<'_> {
    /// Makes the step's pipe in an empty folder: the descriptors that its commands are to find
    /// open, by their numbers.
    pub(crate) fn pipe(&mut self, folder: &Path) -> io::Result<Vec<(i32, Arc<OwnedFd>)>> {
        let path = folder.join("jobs");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, mode, 0)?;
        // Opened one by one: a make may change the mode of what it reads from.
        let open = |flags| rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty());
        let end = open(OFlags::RDWR | OFlags::NONBLOCK)?;
        let (reader, writer) = (open(OFlags::RDONLY)?, open(OFlags::WRONLY)?);
        match rustix::fs::unlink(&path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let mut state = self.pool.lock();
        let id = state.next;
        state.next += 1;
        let pipe = Pipe { end, given: 0, unused: 0, stale: false, declined: 0, due: 0 };
        state.pipes.insert(id, pipe);
        self.pipe = Some(id);
        drop(state);
        self.pool.changed.notify_all();
        Ok(vec![(READ, Arc::new(reader)), (WRITE, Arc::new(writer))])
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let pipe = self.pipe.and_then(|id| state.pipes.remove(&id));
        // Whatever became of them inside.
        state.free += 1 + pipe.map_or(0, |pipe| pipe.given);
        state.running -= 1;
        state.used = state.used.saturating_sub(self.memory);
        drop(state);
        self.pool.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    /// Takes a job out of the pipe, as a make does.
    fn take(ends: &[(i32, Arc<OwnedFd>)]) {
        let mut byte = [0];
        assert_eq!(rustix::io::read(&ends[0].1, &mut byte), Ok(1));
        assert_eq!(byte, *b"+");
    }

    fn give_back(ends: &[(i32, Arc<OwnedFd>)]) {
        assert_eq!(rustix::io::write(&ends[1].1, b"+"), Ok(1));
    }

    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("waited in vain: {what}");
    }

    /// Runs `test` beside the thread that hands jobs on.
    fn served(jobs: usize, memory: Option<u64>, test: impl FnOnce(&Pool, &Cancel)) {
        let pool = Pool::new(jobs, memory);
        let cancel = Cancel::new().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| pool.serve());
            let _close = pool.close_later();
            test(&pool, &cancel);
        });
        let state = pool.lock();
        assert_eq!((state.free, state.running, state.used), (jobs, 0, 0));
        assert!(state.pipes.is_empty() && state.waiting.is_empty());
    }

    #[test]
    fn jobs_go_where_they_are_used() {
        served(4, None, |pool, cancel| {
            let folder = tempfile::tempdir().unwrap();
            let mut one = pool.enter(0, cancel).unwrap();
            let first = one.pipe(folder.path()).unwrap();
            // Alone it has all.
            (0..3).for_each(|_| take(&first));
            // A second step begins when a job is put back, and before the first gets it again.
            give_back(&first);
            let mut two = pool.enter(0, cancel).unwrap();
            let second = two.pipe(folder.path()).unwrap();
            // What the first leaves unused goes to the second, all of it.
            give_back(&first);
            give_back(&first);
            take(&second);
            take(&second);
            // And back, as the second ends without having put back what it took.
            drop(two);
            (0..3).for_each(|_| take(&first));
            assert_eq!(pool.lock().free, 0);
        });
    }

    #[test]
    fn what_is_put_in_too_much_is_not_given_to_others() {
        served(2, None, |pool, cancel| {
            let folder = tempfile::tempdir().unwrap();
            let mut one = pool.enter(0, cancel).unwrap();
            let first = one.pipe(folder.path()).unwrap();
            (0..5).for_each(|_| give_back(&first));
            let mut two = pool.enter(0, cancel).unwrap();
            let second = two.pipe(folder.path()).unwrap();
            std::thread::sleep(TICK * 10);
            assert_eq!(rustix::io::ioctl_fionread(&second[0].1), Ok(0));
            // Nor does a full pipe hold anyone up.
            let full = rustix::fs::OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(&second[1].1, full).unwrap();
            while rustix::io::write(&second[1].1, &[b'+'; 4096]).is_ok() {}
            drop(one);
            eventually("a job is free", || pool.lock().free == 1);
        });
    }

    #[test]
    fn no_more_steps_than_jobs_run() {
        served(3, None, |pool, cancel| {
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..12 {
                    scope.spawn(|| {
                        let slot = pool.enter(0, cancel).unwrap();
                        most.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        std::thread::sleep(Duration::from_millis(10));
                        running.fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    });
                }
            });
            assert_eq!(most.load(Ordering::SeqCst), 3);
        });
    }

    #[test]
    fn what_needs_too_much_memory_together_runs_apart() {
        served(8, Some(100), |pool, cancel| {
            let small = pool.enter(40, cancel).unwrap();
            let other = pool.enter(60, cancel).unwrap();
            let (entered, unknown) = (AtomicBool::new(false), AtomicBool::new(false));
            std::thread::scope(|scope| {
                // More than there is in all: it runs alone.
                scope.spawn(|| {
                    let slot = pool.enter(500, cancel).unwrap();
                    assert_eq!(pool.lock().running, 1);
                    entered.store(true, Ordering::SeqCst);
                    drop(slot);
                });
                // What was never measured does not wait.
                scope.spawn(|| {
                    drop(pool.enter(0, cancel).unwrap());
                    unknown.store(true, Ordering::SeqCst);
                });
                eventually("it runs", || unknown.load(Ordering::SeqCst));
                assert!(!entered.load(Ordering::SeqCst));
                drop(small);
                std::thread::sleep(Duration::from_millis(50));
                assert!(!entered.load(Ordering::SeqCst));
                drop(other);
                eventually("it runs alone", || entered.load(Ordering::SeqCst));
            });
        });
    }

    #[test]
    fn who_waits_learns_that_the_build_was_stopped() {
        served(1, None, |pool, cancel| {
            let slot = pool.enter(0, cancel).unwrap();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| pool.enter(0, cancel).is_none());
                std::thread::sleep(Duration::from_millis(20));
                cancel.cancel();
                assert!(waiting.join().unwrap());
            });
            drop(slot);
        });
    }
}
