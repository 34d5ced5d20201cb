//! Memberships in multicast groups.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use super::SocketError;

/// The multicast groups that an interface is in for our sake.
///
/// They are joined by the protocol, and not by the interface's hardware address alone, so that the kernel tells switches
/// that look (MLD, IGMP).
#[derive(Debug)]
pub struct Groups {
    link: u32,
    /// The kernel limits the memberships of one socket (`net.core.optmem_max`, `net.ipv4.igmp_max_memberships`).
    sockets: Vec<(bool, OwnedFd)>,
    joined: BTreeMap<IpAddr, usize>,
}

impl Groups {
    /// None yet, of an interface.
    #[must_use]
    pub fn new(link: u32) -> Self {
        Self { link, sockets: Vec::new(), joined: BTreeMap::new() }
    }

    /// Leaves all groups. What the interface itself forgot, as when IPv6 was off for a time, is joined anew by the next
    /// [`Groups::set`].
    pub fn clear(&mut self) {
        self.joined.clear();
        self.sockets.clear();
    }

    /// Is in these groups from now on, and in no others. A group for several addresses is to be named once or more often.
    ///
    /// # Errors
    /// The first failure, after all others were tried; the next call tries again what is missing.
    pub fn set(&mut self, groups: &[IpAddr]) -> Result<(), SocketError> {
        let wanted: BTreeSet<_> = groups.iter().copied().filter(IpAddr::is_multicast).collect();
        let left: Vec<_> = self.joined.keys().filter(|group| !wanted.contains(group)).copied().collect();
        for group in left {
            if let Some(at) = self.joined.remove(&group) {
                // Whatever the kernel says, we are not in it any more.
                let _ = self.leave(at, group);
            }
        }
        let mut failure = None;
        for group in wanted {
            if self.joined.contains_key(&group) {
                continue;
            }
            match self.join(group) {
                Ok(at) => {
                    self.joined.insert(group, at);
                }
                Err(error) => {
                    failure.get_or_insert(SocketError::new("joining a multicast group", error));
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Joins by a socket of the family that has room, or else by a new one.
    fn join(&mut self, group: IpAddr) -> Result<usize, Errno> {
        let is_ipv6 = group.is_ipv6();
        for (at, (ipv6, socket)) in self.sockets.iter().enumerate().rev() {
            if *ipv6 == is_ipv6 {
                match add(socket, group, self.link) {
                    Err(Errno::NOBUFS | Errno::NOMEM) => {}
                    outcome => return outcome.map(|()| at),
                }
            }
        }
        let family = if is_ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        add(&socket, group, self.link)?;
        self.sockets.push((is_ipv6, socket));
        Ok(self.sockets.len() - 1)
    }

    fn leave(&self, at: usize, group: IpAddr) -> Result<(), Errno> {
        let socket = &self.sockets[at].1;
        match group {
            IpAddr::V4(group) => {
                let any = Ipv4Addr::UNSPECIFIED;
                sockopt::set_ip_drop_membership_with_ifindex(socket, &group, &any, self.link)
            }
            IpAddr::V6(group) => sockopt::set_ipv6_drop_membership(socket, &group, self.link),
        }
    }
}

fn add(socket: &OwnedFd, group: IpAddr, link: u32) -> Result<(), Errno> {
    match group {
        IpAddr::V4(group) => {
            let any = Ipv4Addr::UNSPECIFIED;
            sockopt::set_ip_add_membership_with_ifindex(socket, &group, &any, link)
        }
        IpAddr::V6(group) => sockopt::set_ipv6_add_membership(socket, &group, link),
    }
}
