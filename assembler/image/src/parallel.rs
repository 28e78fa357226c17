//! Work on many blocks at once, whose results come back in the order of the blocks.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::JoinHandle,
};

/// More threads than this gain nothing.
const WORKERS_MAX: u32 = 64;

type Task<J, R> = (J, SyncSender<R>);

/// A few threads that work on blocks, and the results in order.
///
/// At most two blocks more than threads are under way, so memory is bounded. What is computed
/// does not depend on the number of threads, for each block is worked on by itself.
pub(crate) struct Ordered<J, R> {
    /// Where there is but one thread, it is the caller's own.
    own: Option<Box<dyn FnMut(J) -> R + Send>>,
    done: VecDeque<R>,
    tasks: Option<Sender<Task<J, R>>>,
    under_way: VecDeque<Receiver<R>>,
    threads: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static, R: Send + 'static> Ordered<J, R> {
    /// Starts `workers` threads, each with the state that `make` gives it.
    pub(crate) fn new<F>(workers: u32, make: impl Fn() -> F) -> io::Result<Self>
    where
        F: FnMut(J) -> R + Send + 'static,
    {
        let mut ordered = Self {
            own: None,
            done: VecDeque::new(),
            tasks: None,
            under_way: VecDeque::new(),
            threads: Vec::new(),
        };
        let workers = workers.clamp(1, WORKERS_MAX);
        if workers == 1 {
            ordered.own = Some(Box::new(make()));
            return Ok(ordered);
        }
        let (tasks, queue) = channel::<Task<J, R>>();
        ordered.tasks = Some(tasks);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..workers {
            let (queue, mut work) = (Arc::clone(&queue), make());
            let run = move || {
                loop {
                    let task = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((job, reply)) = task else { break };
                    // Nobody waits any more where the caller has failed.
                    reply.send(work(job)).ok();
                }
            };
            ordered.threads.push(std::thread::Builder::new().spawn(run)?);
        }
        Ok(ordered)
    }

    /// Hands a block over; gives the oldest result once enough are under way.
    pub(crate) fn submit(&mut self, job: J) -> io::Result<Option<R>> {
        if let Some(work) = &mut self.own {
            self.done.push_back(work(job));
            return Ok(self.done.pop_front());
        }
        let (reply, result) = sync_channel(1);
        let tasks = self.tasks.as_ref().ok_or_else(stopped)?;
        tasks.send((job, reply)).map_err(|_| stopped())?;
        self.under_way.push_back(result);
        if self.under_way.len() > self.threads.len() + 1 { self.next() } else { Ok(None) }
    }

    /// The oldest result that was not given yet; none where all were.
    pub(crate) fn next(&mut self) -> io::Result<Option<R>> {
        match self.under_way.pop_front() {
            None => Ok(self.done.pop_front()),
            Some(result) => result.recv().map(Some).map_err(|_| stopped()),
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("a working thread stopped early")
}

impl<J, R> Drop for Ordered<J, R> {
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked was reported where its result was missing.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        for workers in [0, 1, 2, 7] {
            let make = || {
                |job: u64| {
                    // The earlier blocks take longer.
                    std::thread::sleep(std::time::Duration::from_micros(300 - job));
                    job * job
                }
            };
            let mut ordered = Ordered::new(workers, make).unwrap();
            let mut found = Vec::new();
            for job in 0..300 {
                found.extend(ordered.submit(job).unwrap());
            }
            while let Some(result) = ordered.next().unwrap() {
                found.push(result);
            }
            assert!(found.iter().copied().eq((0..300).map(|job| job * job)), "{workers} threads");
        }
    }

    #[test]
    fn a_panicking_thread_is_an_error() {
        let make = || |job: u32| if job == 3 { panic!("as the test wants") } else { job };
        let mut ordered = Ordered::new(2, make).unwrap();
        let mut failed = false;
        for job in 0..4 {
            failed |= ordered.submit(job).is_err();
        }
        for _ in 0..4 {
            failed |= ordered.next().is_err();
        }
        assert!(failed);
    }
}
