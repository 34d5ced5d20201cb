//! Frames that were received together.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// How many frames are read at a time.
const FRAMES: usize = 64;
/// How many are asked for first: preparing for many would take longer than answering the one that there mostly is.
const FEW: usize = 4;
/// How much of a frame is kept: all of an Ethernet frame that is not a jumbo.
const FRAME_BYTES: usize = 2048;
/// Room for the control message with the time stamp, aligned as it has to be.
const CONTROL_WORDS: usize = 8;

/// Room for frames, and those that were received last.
#[derive(Debug)]
pub struct Batch {
    frames: Vec<u8>,
    arrived: Vec<Arrived>,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    length: usize,
    stamp: Option<Duration>,
    outgoing: bool,
}

/// A frame that was received.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// All of it, or of a jumbo frame the first 2048 bytes, from the destination's MAC address on.
    pub bytes: &'a [u8],
    /// When the kernel received it, by the wall clock since 1970.
    pub stamp: Option<Duration>,
    /// Whether this machine sent it. Only sockets that were opened for everything see those.
    pub outgoing: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self { frames: vec![0; FRAMES * FRAME_BYTES], arrived: Vec::with_capacity(FRAMES) }
    }
}

impl Batch {
    /// The frames that were received last.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.chunks_exact(FRAME_BYTES).zip(&self.arrived).map(|(room, arrived)| Frame {
            bytes: &room[..arrived.length],
            stamp: arrived.stamp,
            outgoing: arrived.outgoing,
        })
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.arrived.clear();
    }

    /// Whether there was no room for another one, so that there may be more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.arrived.len() == FRAMES
    }

    /// Receives what there is, and does not wait. Nothing is not an error.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.arrived.clear();
        self.fill_some::<FEW>(socket)?;
        if self.arrived.len() == FEW {
            self.fill_some::<{ FRAMES - FEW }>(socket)?;
        }
        Ok(())
    }

    /// Receives up to `MOST` frames behind those that there are.
    fn fill_some<const MOST: usize>(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: all of these are plain C structures of integers and pointers, for which zero is a value.
        let mut names: [libc::sockaddr_ll; MOST] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; MOST] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut rooms: [libc::iovec; MOST] = unsafe { mem::zeroed() };
        let mut control = [[0_u64; CONTROL_WORDS]; MOST];
        let free = self.frames.chunks_exact_mut(FRAME_BYTES).skip(self.arrived.len());
        let mut prepared = 0;
        for (at, frame) in free.take(MOST).enumerate() {
            rooms[at] = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
            let header = &mut messages[at].msg_hdr;
            header.msg_name = ptr::from_mut(&mut names[at]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            header.msg_iov = &raw mut rooms[at];
            header.msg_iovlen = 1;
            header.msg_control = control[at].as_mut_ptr().cast();
            header.msg_controllen = size_of_val(&control[at]) as _;
            prepared = at + 1;
        }
        // SAFETY: each of the first `prepared` headers points to memory of this function or of `self.frames` that is as
        // long as it says, that no two headers share and that nobody else uses during the call. Without a timeout the last
        // pointer may be null.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                prepared as libc::c_uint,
                0,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            };
        };
        self.arrived.extend(messages[..received].iter().zip(&names).map(|(message, name)| Arrived {
            length: (message.msg_len as usize).min(FRAME_BYTES),
            stamp: stamp_of(&message.msg_hdr),
            outgoing: name.sll_pkttype == libc::PACKET_OUTGOING,
        }));
        Ok(())
    }
}

/// The time stamp among the control messages of a message that was received.
fn stamp_of(header: &libc::msghdr) -> Option<Duration> {
    // SAFETY: the kernel has filled the header; the control messages that it points to live as long as it does.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !control.is_null() {
        // SAFETY: it is not null, so it points to a complete control message in the aligned buffer.
        let message = unsafe { &*control };
        if message.cmsg_level == libc::SOL_SOCKET && message.cmsg_type == libc::SCM_TIMESTAMPNS {
            // SAFETY: a message of this type carries a timespec, which need not be aligned.
            let stamp = unsafe {
                ptr::read_unaligned(libc::CMSG_DATA(control).cast_const().cast::<libc::timespec>())
            };
            let seconds = u64::try_from(stamp.tv_sec).ok()?;
            return Some(Duration::new(seconds, u32::try_from(stamp.tv_nsec).ok()?));
        }
        // SAFETY: header and control message are those of one message that was received.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    None
}
