//! What wakes a thread that waits for sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

/// Wakes a thread that polls for it. Several calls before the thread looks are as good as one.
#[derive(Debug)]
pub(crate) struct Waker(OwnedFd);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn wake(&self) {
        // Fails only if it has been woken more often than anybody can count: it is awake.
        let _ = write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Whether it was woken since the last call.
    pub(crate) fn was_woken(&self) -> bool {
        read(&self.0, &mut [0; 8]).is_ok()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_woken_once() {
        let waker = Waker::new().unwrap();
        assert!(!waker.was_woken());
        waker.wake();
        waker.wake();
        assert!(waker.was_woken());
        assert!(!waker.was_woken());
    }
}
