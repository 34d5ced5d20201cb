//! Raw frames on an interface of a host, as the test reads and writes them.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, eth, recv,
    recvfrom, sendto, socket_with,
};

use crate::error::{Context, Result};
use crate::frames::{Frame, Mac};
use crate::host::Host;

/// Discard; nobody listens.
const PORT: u16 = 9;
/// How long the interface may take for the frame that shows its address.
const PATIENCE: Duration = Duration::from_secs(5);
/// Frames that a thread may be late for.
const BUFFER: usize = 8 << 20;

/// Which frames are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// All, also those that the host itself sends, on all of its interfaces.
    All,
    /// ARP that the host receives.
    Arp,
    /// IPv6 that the host receives.
    Ipv6,
}

impl Frames {
    fn protocol(self) -> Protocol {
        match self {
            Self::All => eth::ALL,
            Self::Arp => eth::ARP,
            Self::Ipv6 => eth::IPV6,
        }
    }
}

/// A raw socket of a host that sends on one of its interfaces.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    /// The interface, in the kernel's own form.
    interface: SocketAddrAny,
    mac: Mac,
}

impl Tap {
    /// On the interface that has this address, which must be one of a network of 24 bits.
    ///
    /// The kernel's form of an interface's address cannot be written without `unsafe`, but it comes with every frame: a
    /// datagram to the network's broadcast address shows it, and the interface's Ethernet address too.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the host has no such address, or may not open raw sockets.
    pub fn open(host: &Host, address: Ipv4Addr, frames: Frames) -> Result<Self> {
        let what = || format!("opening a raw socket on the interface of {} with {address}", host.name());
        host.run(|| Self::open_here(address, frames))?.context(what)
    }

    fn open_here(address: Ipv4Addr, frames: Frames) -> io::Result<Self> {
        let all = raw(Frames::All)?;
        let datagrams = UdpSocket::bind((address, 0))?;
        datagrams.set_broadcast(true)?;
        let marker = format!("tap {}", fastrand::u64(..));
        let [a, b, c, _] = address.octets();
        let began = Instant::now();
        let mut buffer = [0; 2048];
        while began.elapsed() < PATIENCE {
            datagrams.send_to(marker.as_bytes(), (Ipv4Addr::new(a, b, c, 255), PORT))?;
            set_socket_timeout(&all, Timeout::Recv, Some(Duration::from_millis(100)))?;
            while let Ok((_, length, from)) = recvfrom(&all, &mut buffer, RecvFlags::empty()) {
                let bytes = &buffer[..length.min(buffer.len())];
                if let (true, Some(interface), Some(frame)) =
                    (bytes.ends_with(marker.as_bytes()), from, Frame::parse(bytes))
                {
                    let socket = if frames == Frames::All { all } else { raw(frames)? };
                    // A flood may be the point of the test; this needs no more than root in the namespaces has.
                    let _ = set_socket_recv_buffer_size_force(&socket, BUFFER);
                    return Ok(Self { socket, interface, mac: frame.source });
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "no frame left through it"))
    }

    /// The Ethernet address of the interface when it was opened.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the interface is down.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = sendto(&self.socket, frame, SendFlags::empty(), &self.interface);
        sent.map(drop).map_err(io::Error::from).context(|| "sending a raw frame".into())
    }

    /// The next frame; none until `deadline`.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the interface is gone.
    pub fn receive(&self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Zero would be for ever.
            let left = left.max(Duration::from_micros(10));
            let received = set_socket_timeout(&self.socket, Timeout::Recv, Some(left))
                .and_then(|()| recv(&self.socket, &mut buffer, RecvFlags::empty()));
            match received {
                Ok((_, length)) => return Ok(Some(buffer[..length.min(buffer.len())].to_vec())),
                // Its interface was down for a moment; those that follow are received.
                Err(Errno::AGAIN | Errno::INTR | Errno::NETDOWN) => {}
                Err(error) => {
                    return Err(io::Error::from(error)).context(|| "receiving raw frames".into());
                }
            }
        }
    }

    /// The first frame that `wanted` is interested in; none until `deadline`. Frames that the host itself sent are left
    /// out.
    ///
    /// # Errors
    /// As [`Tap::receive`].
    pub fn find<T>(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&Frame) -> Option<T>,
    ) -> Result<Option<T>> {
        while let Some(bytes) = self.receive(deadline)? {
            let frame = Frame::parse(&bytes).filter(|frame| frame.source != self.mac);
            if let Some(found) = frame.as_ref().and_then(&mut wanted) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Forgets what has been received so far.
    ///
    /// # Errors
    /// As [`Tap::receive`].
    pub fn clear(&self) -> Result<()> {
        while self.receive(Instant::now() + Duration::from_micros(100))?.is_some() {}
        Ok(())
    }
}

fn raw(frames: Frames) -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::PACKET, SocketType::RAW);
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC, Some(frames.protocol()))?)
}
