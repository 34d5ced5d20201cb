//! Sockets for frames of one interface.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use fairlead_layer2::filter::Instruction;
use rustix::net::sockopt;

use super::{Batch, SocketError};

/// How much may wait to be read, in the kernel's reckoning: some hundred frames.
const RECEIVE_BUFFER: usize = 1 << 20;
/// The highest priority that needs no right; it puts our few frames before bulk in the default queue of an interface.
const PRIORITY: libc::c_int = 6;
/// How many frames are sent by one call.
const SENT_AT_ONCE: usize = 64;

/// A socket for frames of one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    link: u32,
}

/// A filter that accepts no frame.
pub const NOTHING: [Instruction; 1] = [Instruction { code: RETURN, jt: 0, jf: 0, k: 0 }];

const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

impl PacketSocket {
    /// For frames of an EtherType that are addressed to this interface itself, as far as a filter accepts them.
    ///
    /// Not received are frames with a VLAN tag, frames of interfaces on top of this one (VLAN, macvlan), frames for
    /// others in promiscuous mode, and what this machine sends.
    ///
    /// # Errors
    /// Without the capability `NET_RAW`, or if the interface is gone.
    pub fn open(link: u32, ether_type: u16, filter: &[Instruction]) -> Result<Self, SocketError> {
        let socket = Self::create(link)?;
        // Before it is bound: what arrives in between would be received without a filter.
        socket.set_filter(filter)?;
        socket.bind(ether_type)?;
        Ok(socket)
    }

    /// For all frames that an interface sends or receives: what `tcpdump` sees.
    ///
    /// # Errors
    /// As [`PacketSocket::open`].
    pub fn open_all(link: u32) -> Result<Self, SocketError> {
        let socket = Self::create(link)?;
        socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &0_i32, "showing what is sent")?;
        socket.bind(libc::ETH_P_ALL as u16)?;
        Ok(socket)
    }

    /// Bound to nothing yet.
    fn create(link: u32) -> Result<Self, SocketError> {
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, flags, 0) };
        if fd < 0 {
            return Err(SocketError::last("opening a packet socket"));
        }
        // SAFETY: the descriptor is open and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let socket = Self { fd, link };
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32, "asking for time stamps of frames")?;
        socket.set(libc::SOL_SOCKET, libc::SO_PRIORITY, &PRIORITY, "setting the priority of frames")?;
        // Frames of ours that a protocol above sends are nothing new to us.
        socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32, "leaving out what is sent")?;
        // Beyond the system's limit only with a right that we do not have in a Pod; then the limit it is.
        if sockopt::set_socket_recv_buffer_size_force(&socket.fd, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket.fd, RECEIVE_BUFFER)
                .map_err(|error| SocketError::new("sizing the buffer of a packet socket", error))?;
        }
        Ok(socket)
    }

    fn bind(&self, ether_type: u16) -> Result<(), SocketError> {
        // SAFETY: a plain C structure of integers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ether_type.to_be();
        address.sll_ifindex = self.link.cast_signed();
        // SAFETY: the address is complete and as long as is said.
        let outcome = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if outcome == 0 { Ok(()) } else { Err(SocketError::last("binding a packet socket to the interface")) }
    }

    /// Exchanges the filter, at once and for whatever arrives from now on.
    ///
    /// # Errors
    /// If the kernel does not take the program, which would be a mistake in it.
    pub fn set_filter(&self, filter: &[Instruction]) -> Result<(), SocketError> {
        let program: Vec<_> = own_frames_only(self.link)
            .iter()
            .chain(filter)
            .map(|&Instruction { code, jt, jf, k }| libc::sock_filter { code, jt, jf, k })
            .collect();
        let length = u16::try_from(program.len()).map_err(|_| {
            SocketError::new(
                "filtering frames",
                io::Error::other("the program has more than 65535 instructions"),
            )
        })?;
        // The kernel only reads the program, though its structure says otherwise.
        let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program, "filtering frames")
    }

    /// Whether the interface that it was opened for is still the one that it is bound to. It is not once that was deleted or
    /// went into another network namespace.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        // SAFETY: a plain C structure of integers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address is as long as is said, and both are ours alone.
        let outcome =
            unsafe { libc::getsockname(self.fd.as_raw_fd(), (&raw mut address).cast(), &raw mut length) };
        outcome == 0 && address.sll_ifindex == self.link.cast_signed()
    }

    /// Receives what there is into a batch, and does not wait.
    ///
    /// # Errors
    /// If the interface went down ([`SocketError::is_link_down`]), once.
    pub fn receive(&self, batch: &mut Batch) -> Result<(), SocketError> {
        batch.fill(self.fd.as_fd()).map_err(|error| SocketError::new("receiving frames", error))
    }

    /// Sends frames, complete from the destination's MAC address on, until the kernel refuses one. How many it took.
    ///
    /// # Errors
    /// Why the kernel refused the next one: the interface is down, or its queue is full.
    pub fn send(&self, frames: &[&[u8]]) -> Result<(), (usize, SocketError)> {
        let mut taken = 0;
        while taken < frames.len() {
            let left = &frames[taken..];
            let sent = match left {
                [_] => self.send_some::<1>(left),
                _ => self.send_some::<SENT_AT_ONCE>(left),
            };
            match sent {
                Ok(some) => taken += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((taken, SocketError::new("sending frames", error))),
            }
        }
        Ok(())
    }

    fn send_some<const MOST: usize>(&self, frames: &[&[u8]]) -> io::Result<usize> {
        let some = frames.len().min(MOST);
        // SAFETY: plain C structures of integers and pointers, for which zero is a value.
        let mut messages: [libc::mmsghdr; MOST] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut parts: [libc::iovec; MOST] = unsafe { mem::zeroed() };
        for (at, frame) in frames[..some].iter().enumerate() {
            // Sending reads the frame only, though the structure says otherwise.
            parts[at] = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
            messages[at].msg_hdr.msg_iov = &raw mut parts[at];
            messages[at].msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the first `some` headers point to a frame each that lives during the call and is as long as is said.
        let sent =
            unsafe { libc::sendmmsg(self.fd.as_raw_fd(), messages.as_mut_ptr(), some as libc::c_uint, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Sets an option of the socket whose value is a C structure.
    fn set<T>(&self, level: i32, name: i32, value: &T, attempt: &'static str) -> Result<(), SocketError> {
        // SAFETY: the value is read only, lives during the call and is as long as is said. What a `sock_fprog` points to
        // lives as long, too.
        let outcome = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
        if outcome == 0 { Ok(()) } else { Err(SocketError::last(attempt)) }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Goes on only with frames that arrived for this interface itself.
///
/// A socket of an interface is shown what interfaces on top of it receive, too; the index tells them apart. A frame with
/// the tag of a VLAN that this machine is not in counts as one for another host.
fn own_frames_only(link: u32) -> [Instruction; 6] {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    let ancillary = |what: i32| (libc::SKF_AD_OFF + what).cast_unsigned();
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    [
        instruction(LOAD, 0, 0, ancillary(libc::SKF_AD_IFINDEX)),
        instruction(EQUAL, 1, 0, link),
        instruction(RETURN, 0, 0, 0),
        instruction(LOAD, 0, 0, ancillary(libc::SKF_AD_PKTTYPE)),
        // Of others, sent by us, looped.
        instruction(AT_LEAST, 0, 1, libc::PACKET_OTHERHOST.into()),
        instruction(RETURN, 0, 0, 0),
    ]
}
