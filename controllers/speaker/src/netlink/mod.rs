//! What the kernel knows about interfaces, addresses and gateways, and doorbells that ring when that changes.

mod message;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with, sockopt,
};

use message::{HEADER, Message};
pub use message::{RawAddress, RawGateway, RawLink};

/// The kernel writes at most this much at once.
const ANSWER_BYTES: usize = 32 * 1024;
/// How often a description is asked for that changes while it is given.
const ATTEMPTS: usize = 5;
/// Flags of a request: it is one, and for everything.
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

/// Rings when something changes. What it was has to be asked for, as the kernel may have dropped messages.
#[derive(Debug)]
pub struct Doorbell {
    socket: OwnedFd,
    subject: Subject,
}

/// What a doorbell rings for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Interfaces and their addresses.
    Interfaces,
    /// Routes that have a gateway. There may be many others that come and go, such as one for each Pod.
    Gateways,
}

impl Doorbell {
    /// In the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel has no netlink.
    pub fn new(subject: Subject) -> io::Result<Self> {
        let groups = match subject {
            Subject::Interfaces => libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR,
            Subject::Gateways => libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE,
        };
        let socket = open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups.cast_unsigned()))?;
        Ok(Self { socket, subject })
    }

    /// Whether it rang since the last call.
    #[must_use]
    pub fn rang(&self) -> bool {
        let mut rang = false;
        let mut room = [0; 2048];
        loop {
            match recv(&self.socket, &mut room, RecvFlags::TRUNC) {
                Ok((read, length)) => {
                    let is_whole = length <= read;
                    rang |= !is_whole || self.is_about_it(&room[..read]);
                }
                // Where messages were lost, something changed as well.
                Err(Errno::NOBUFS) => rang = true,
                Err(Errno::INTR) => {}
                Err(_) => return rang,
            }
        }
    }

    fn is_about_it(&self, news: &[u8]) -> bool {
        let has_gateway =
            |message: &Message| matches!(message, Message::Gateways(gateways) if !gateways.is_empty());
        self.subject == Subject::Interfaces || message::messages(news).iter().any(has_gateway)
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Asks the kernel.
#[derive(Debug)]
pub struct Kernel {
    socket: OwnedFd,
    sequence: u32,
    answer: Vec<u8>,
}

impl Kernel {
    /// In the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel has no netlink.
    pub fn new() -> io::Result<Self> {
        let socket = open(SocketFlags::CLOEXEC)?;
        // The kernel answers at once; whatever keeps it from that must not keep us.
        sockopt::set_socket_timeout(
            &socket,
            sockopt::Timeout::Recv,
            Some(std::time::Duration::from_secs(1)),
        )?;
        Ok(Self { socket, sequence: 0, answer: vec![0; ANSWER_BYTES] })
    }

    /// All interfaces.
    ///
    /// # Errors
    /// If the kernel refuses, or they change all the time.
    pub fn links(&mut self) -> io::Result<Vec<RawLink>> {
        let mut links = Vec::new();
        self.dump(libc::RTM_GETLINK, &[0; 16], |message| match message {
            None => links.clear(),
            Some(Message::Link(link)) => links.push(link),
            Some(_) => {}
        })?;
        Ok(links)
    }

    /// All addresses of all interfaces.
    ///
    /// # Errors
    /// As [`Kernel::links`].
    pub fn addresses(&mut self) -> io::Result<Vec<RawAddress>> {
        let mut addresses = Vec::new();
        self.dump(libc::RTM_GETADDR, &[0; 8], |message| match message {
            None => addresses.clear(),
            Some(Message::Address(address)) => addresses.push(address),
            Some(_) => {}
        })?;
        Ok(addresses)
    }

    /// All gateways, each once.
    ///
    /// # Errors
    /// As [`Kernel::links`].
    pub fn gateways(&mut self) -> io::Result<Vec<RawGateway>> {
        let mut gateways = Vec::new();
        self.dump(libc::RTM_GETROUTE, &[0; 12], |message| match message {
            None => gateways.clear(),
            Some(Message::Gateways(more)) => gateways.extend(more),
            Some(_) => {}
        })?;
        gateways.sort_unstable();
        gateways.dedup();
        Ok(gateways)
    }

    /// How many frames an interface has received since it was made.
    ///
    /// # Errors
    /// If the interface is gone.
    pub fn frames_received(&mut self, link: u32) -> io::Result<u64> {
        let mut body = [0; 16];
        body[4..8].copy_from_slice(&link.to_ne_bytes());
        self.request(libc::RTM_GETLINK, NLM_F_REQUEST, &body)?;
        let sequence = self.sequence;
        let mut received = Err(io::Error::from(Errno::NODEV));
        self.hear(sequence, |message| match message {
            Message::Link(link) => {
                received = Ok(link.received);
                true
            }
            Message::Refused(error) => {
                received = Err(io::Error::from_raw_os_error(error));
                true
            }
            _ => true,
        })?;
        received
    }

    /// Everything that the kernel has of a kind. A call with nothing means that all so far is void.
    fn dump(&mut self, kind: u16, body: &[u8], mut take: impl FnMut(Option<Message>)) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            take(None);
            self.request(kind, NLM_F_REQUEST | NLM_F_DUMP, body)?;
            let (sequence, mut interrupted, mut refused) = (self.sequence, false, None);
            self.hear(sequence, |message| {
                match message {
                    Message::Done => return true,
                    Message::Refused(error) => {
                        refused = Some(error);
                        return true;
                    }
                    Message::Interrupted => interrupted = true,
                    other => take(Some(other)),
                }
                false
            })?;
            if let Some(error) = refused {
                return Err(io::Error::from_raw_os_error(error));
            }
            if !interrupted {
                return Ok(());
            }
        }
        Err(io::Error::other("it changed all the time while it was being read"))
    }

    fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend(length.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(flags.to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend(0_u32.to_ne_bytes());
        request.extend(body);
        send(&self.socket, &request, SendFlags::empty())?;
        Ok(())
    }

    /// Reads answers to the request with this number until one is the last.
    fn hear(&mut self, sequence: u32, mut is_last: impl FnMut(Message) -> bool) -> io::Result<()> {
        loop {
            let length = match recv(&self.socket, &mut self.answer[..], RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let answer = &self.answer[..length];
            // What is left of an answer that was given up.
            if answer.get(8..12) != Some(&sequence.to_ne_bytes()) {
                continue;
            }
            let mut last = false;
            for message in message::messages(answer) {
                last |= is_last(message);
            }
            if last {
                return Ok(());
            }
        }
    }
}

fn open(flags: SocketFlags) -> io::Result<OwnedFd> {
    // The protocol with number 0 is that of interfaces and routes.
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_about_the_loopback_interface() {
        let mut kernel = Kernel::new().unwrap();
        let links = kernel.links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(lo.hardware, 772, "ARPHRD_LOOPBACK");
        kernel.frames_received(lo.index).unwrap();
        assert!(kernel.frames_received(u32::MAX >> 1).is_err());
        kernel.addresses().unwrap();
        kernel.gateways().unwrap();
    }
}
