//! A switch that ends running sandboxes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// A switch that, once thrown, ends every sandbox that was given it.
///
/// Clones share the switch. Throwing it is a single write(2), so it may be done in a signal
/// handler.
#[derive(Clone, Debug)]
pub struct Cancel {
    event: Arc<OwnedFd>,
}

impl Cancel {
    /// Makes a switch that has not been thrown.
    ///
    /// # Errors
    /// Fails when the process is out of file descriptors.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Throws the switch. Doing so again changes nothing.
    pub fn cancel(&self) {
        // The only failure is a counter that is full, so thrown already.
        let _ = rustix::io::write(&*self.event, &1u64.to_ne_bytes());
    }

    /// Tells whether the switch was thrown.
    pub fn is_cancelled(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(&*self.event, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(n) if n > 0)
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
