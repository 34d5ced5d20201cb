//! The sockets of an interface, and what was read from them.

use std::time::Duration;

use fairlead_layer2::LinkFacts;
use fairlead_layer2::ethernet::ether_type;
use fairlead_layer2::segment::{Clock, Received, Socket};

use crate::socket::{Batch, NOTHING, PacketSocket, SocketError};

/// The sockets of an interface. Each kind of frame has one, so that a flood of one kind does not push the others out.
pub(super) struct Sockets {
    pub(super) arp: PacketSocket,
    pub(super) beacons: PacketSocket,
    pub(super) ipv6: PacketSocket,
    /// Beacons in UDP where there is no IPv6; otherwise the filter would have a look at all IPv4 of the node for nothing.
    pub(super) ipv4: Option<PacketSocket>,
}

impl Sockets {
    /// With filters that accept nothing yet.
    pub(super) fn open(link: &LinkFacts) -> Result<Self, SocketError> {
        let open = |ether_type| PacketSocket::open(link.index, ether_type, &NOTHING);
        Ok(Self {
            arp: open(ether_type::ARP)?,
            beacons: open(ether_type::BEACON)?,
            ipv6: open(ether_type::IPV6)?,
            ipv4: if link.link_local().is_none() { Some(open(ether_type::IPV4)?) } else { None },
        })
    }

    /// All of them; beacons come last.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Socket, &PacketSocket)> {
        let ipv4 = self.ipv4.as_ref().map(|socket| (Socket::Ipv4, socket));
        [(Socket::Arp, &self.arp), (Socket::Ipv6, &self.ipv6)]
            .into_iter()
            .chain(ipv4)
            .chain([(Socket::Beacons, &self.beacons)])
    }
}

/// What was read in a wake-up.
#[derive(Default)]
pub(super) struct Batches {
    pub(super) filled: Vec<(Socket, Batch)>,
    pub(super) spare: Vec<Batch>,
}

impl Batches {
    pub(super) fn clear(&mut self) {
        self.spare.extend(self.filled.drain(..).map(|(_, batch)| batch));
    }

    /// What was read, with its age at that clock.
    pub(super) fn received(&self, clock: Clock) -> Vec<Received<'_>> {
        let wall = Duration::from_micros(clock.wall);
        self.filled
            .iter()
            .flat_map(|(socket, batch)| batch.frames().map(|frame| (*socket, frame)))
            .map(|(socket, frame)| Received {
                frame: frame.bytes,
                age: frame.stamp.map_or(Duration::ZERO, |stamp| wall.saturating_sub(stamp)),
                socket,
            })
            .collect()
    }
}

/// What a thread was woken by: a bit for the alarm, one for the waker and one for each socket.
#[derive(Clone, Copy)]
pub(super) struct Ready(u8);

impl Ready {
    pub(super) const EVERYTHING: Self = Self(u8::MAX);

    /// Of the alarm, of the waker and of all sockets, in their order.
    pub(super) fn of(ready: impl DoubleEndedIterator<Item = bool>) -> Self {
        Self(ready.rev().fold(0, |bits, ready| bits << 1 | u8::from(ready)))
    }

    pub(super) fn alarm(self) -> bool {
        self.0 & 1 != 0
    }

    pub(super) fn waker(self) -> bool {
        self.0 & 2 != 0
    }

    pub(super) fn socket(self, at: usize) -> bool {
        self.0 >> (at + 2) & 1 != 0
    }
}
