//! Work spread over threads whose results come in the order in which it was given.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

/// What a thread does with a job.
pub(crate) type Worker<J, R> = Box<dyn FnMut(J) -> R>;

/// Jobs under way, and results not yet taken.
pub(crate) struct Queue<J, R> {
    work: Work<J, R>,
    done: BTreeMap<u64, R>,
    given: u64,
    taken: u64,
    most: u64,
}

enum Work<J, R> {
    Here(Worker<J, R>),
    Threads { jobs: Sender<(u64, J)>, results: Receiver<(u64, R)> },
}

impl<J, R> Queue<J, R> {
    /// Whether a result must be taken before another job is given.
    pub(crate) fn is_full(&self) -> bool {
        self.given - self.taken >= self.most
    }

    /// Gives a job.
    pub(crate) fn push(&mut self, job: J) -> io::Result<()> {
        let number = self.given;
        self.given += 1;
        match &mut self.work {
            Work::Here(worker) => drop(self.done.insert(number, worker(job))),
            Work::Threads { jobs, .. } => jobs.send((number, job)).map_err(|_| lost())?,
        }
        Ok(())
    }

    /// Waits for the oldest job's result; `None` where all have been taken.
    pub(crate) fn pop(&mut self) -> io::Result<Option<R>> {
        if self.taken == self.given {
            return Ok(None);
        }
        loop {
            if let Some(result) = self.done.remove(&self.taken) {
                self.taken += 1;
                return Ok(Some(result));
            }
            let Work::Threads { results, .. } = &self.work else { return Err(lost()) };
            let (number, result) = results.recv().map_err(|_| lost())?;
            self.done.insert(number, result);
        }
    }
}

fn lost() -> io::Error {
    io::Error::other("a thread ended before its work")
}

/// Runs `body` with a queue of `threads` threads that holds at most `most` jobs and results.
///
/// `worker` makes what each thread works with. With one thread all is done in the caller's.
pub(crate) fn with_queue<J: Send, R: Send, T>(
    threads: u32,
    most: u64,
    worker: impl Fn() -> Worker<J, R> + Sync,
    body: impl FnOnce(&mut Queue<J, R>) -> T,
) -> T {
    let queue = |work, most| Queue { work, done: BTreeMap::new(), given: 0, taken: 0, most };
    if threads <= 1 {
        return body(&mut queue(Work::Here(worker()), 1));
    }
    let (jobs, open) = mpsc::channel::<(u64, J)>();
    let open = Mutex::new(open);
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (done, open, worker) = (done.clone(), &open, &worker);
            scope.spawn(move || {
                let mut work = worker();
                loop {
                    // A lock that a panic poisoned, or no more jobs: this thread ends.
                    let Ok(Ok((number, job))) = open.lock().map(|open| open.recv()) else { break };
                    if done.send((number, work(job))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        // The queue goes when the body returns, which ends the threads.
        body(&mut queue(Work::Threads { jobs, results }, most.max(u64::from(threads))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        for threads in [1, 2, 7] {
            let make = || -> Worker<u64, u64> {
                Box::new(|job| {
                    thread::sleep(std::time::Duration::from_micros(job * 7919 % 300));
                    job * job
                })
            };
            let sum = with_queue(threads, 9, make, |queue| {
                let mut out = Vec::new();
                for job in 0..200 {
                    while queue.is_full() {
                        out.extend(queue.pop().unwrap());
                    }
                    queue.push(job).unwrap();
                }
                while let Some(result) = queue.pop().unwrap() {
                    out.push(result);
                }
                out
            });
            assert_eq!(sum, (0..200).map(|job| job * job).collect::<Vec<u64>>());
        }
    }
}
