//! What the kernel offers for frames and what no safe wrapper has: packet sockets with filters, time stamps and batches.
//!
//! The only module with `unsafe`. Everything else of this crate stands on its types.

#![expect(unsafe_code, reason = "system calls with structures that rustix does not have")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "C has sizes and constants in types that are wider than those of the fields that they go into"
)]

mod batch;
mod groups;
mod packet;

pub use batch::{Batch, Frame};
pub use groups::Groups;
pub use packet::{NOTHING, PacketSocket};

use std::fmt;
use std::io;

/// Something that a socket could not do.
#[derive(Debug)]
pub struct SocketError {
    /// What was attempted.
    attempt: &'static str,
    /// Why it failed.
    source: io::Error,
}

impl SocketError {
    fn last(attempt: &'static str) -> Self {
        Self { attempt, source: io::Error::last_os_error() }
    }

    pub(crate) fn new(attempt: &'static str, source: impl Into<io::Error>) -> Self {
        Self { attempt, source: source.into() }
    }

    /// Whether the interface is down, or gone; another message will say so, and what follows from it.
    #[must_use]
    pub fn is_link_down(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV))
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.attempt, self.source)?;
        if self.source.kind() == io::ErrorKind::PermissionDenied {
            f.write_str(
                "; it takes the capability NET_RAW, which a container gets by UID 0 and capabilities.add: [NET_RAW]",
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
