//! A segment: a switch and hosts, each in a network namespace of its own.

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_speaker::netlink::Kernel;
use fairlead_speaker::socket::{Batch, PacketSocket};
use lab::{Arp, Content, Frame, Mac, Solicitation};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long an answer that comes at all may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long nobody may answer who is not to.
pub(crate) const QUIET: Duration = Duration::from_millis(150);

/// A switch that hosts are plugged into.
pub(crate) struct Bed {
    name: String,
    switch: Host,
}

/// A network namespace.
pub(crate) struct Host {
    netns: String,
    /// None: the namespace that this process is in anyway.
    handle: Option<File>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        static BEDS: AtomicU32 = AtomicU32::new(0);
        let name = format!("w{}", BEDS.fetch_add(1, Ordering::Relaxed));
        let switch = Host::new(&format!("{name}-switch"));
        switch.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        switch.ip("link set br0 up");
        Self { name, switch }
    }

    /// A host, without any interface.
    pub(crate) fn host(&self, name: &str) -> Host {
        Host::new(&format!("{}-{name}", self.name))
    }

    /// A host with `eth0` on the segment, with addresses that end in `number`.
    pub(crate) fn node(&self, number: u8) -> Host {
        let host = self.host(&format!("n{number}"));
        self.plug(&host, "eth0", number);
        host
    }

    /// Gives a host an interface on the segment.
    pub(crate) fn plug(&self, host: &Host, interface: &str, number: u8) {
        let port = format!("p{number}");
        host.ip(&format!("link add {interface} type veth peer name {port} netns {}", self.switch.netns));
        host.ip(&format!("address add {}/24 dev {interface}", ipv4(number)));
        host.ip(&format!("address add {}/64 dev {interface} nodad", ipv6(number)));
        host.ip(&format!("link set {interface} up"));
        self.switch.ip(&format!("link set {port} master br0 up"));
    }

    /// Pulls the cable of the interface that was plugged in with this number, or puts it back in.
    pub(crate) fn set_connected(&self, number: u8, connected: bool) {
        self.switch.ip(&format!("link set p{number} {}", if connected { "up" } else { "down" }));
    }
}

/// The IPv4 address of the host with this number.
pub(crate) fn ipv4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, number)
}

/// The IPv6 address of the host with this number.
pub(crate) fn ipv6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number.into())
}

impl Host {
    fn new(netns: &str) -> Self {
        run("ip", &["netns", "add", netns]);
        let handle = File::open(format!("/run/netns/{netns}")).expect("a namespace that was just made");
        let host = Self { netns: netns.to_owned(), handle: Some(handle) };
        host.ip("link set lo up");
        host.run(|| {
            for setting in ["all/accept_dad", "default/accept_dad"] {
                // Link-local addresses are to be there at once.
                fs::write(format!("/proc/sys/net/ipv6/conf/{setting}"), "0")
                    .expect("a setting of the namespace");
            }
        });
        host
    }

    /// The network namespace that this process is in.
    pub(crate) fn of_this_process() -> Self {
        Self { netns: String::new(), handle: None }
    }

    pub(crate) fn netns(&self) -> &str {
        &self.netns
    }

    /// Runs `ip` here.
    pub(crate) fn ip(&self, line: &str) {
        let mut arguments = vec!["-n", &self.netns];
        arguments.extend(line.split(' '));
        run("ip", &arguments);
    }

    /// Runs `ip` here, and says whether the kernel can do that.
    pub(crate) fn can(&self, line: &str) -> bool {
        let mut command = Command::new("ip");
        command.args(["-n", &self.netns]).args(line.split(' ')).stderr(Stdio::null());
        command.status().expect("ip").success()
    }

    /// Runs a closure here. Sockets that it opens, and threads that it starts, stay.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Some(namespace) = self.handle.as_ref().map(AsFd::as_fd) else { return work() };
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).expect("root in here");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The index and the MAC address of an interface.
    pub(crate) fn link(&self, interface: &str) -> (u32, Mac) {
        let links = self.run(|| Kernel::new().and_then(|mut kernel| kernel.links())).expect("interfaces");
        let link = links.iter().find(|link| link.name == interface).expect("an interface of this name");
        (link.index, Mac(link.mac.expect("a MAC address").0))
    }

    pub(crate) fn mac(&self, interface: &str) -> Mac {
        self.link(interface).1
    }

    /// Raw frames on `eth0`.
    pub(crate) fn tap(&self) -> Tap {
        let (link, mac) = self.link("eth0");
        let socket = self.run(|| PacketSocket::open_all(link)).expect("a raw socket");
        Tap { socket, mac }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.handle.is_some() {
            // What runs in it keeps it alive until it ends.
            let _ = Command::new("ip").args(["netns", "del", &self.netns]).status();
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect(program);
    if !output.status.success() {
        let _ = std::io::stderr().write_all(&output.stderr);
        panic!("{program} {} failed", arguments.join(" "));
    }
}

/// Raw frames on an interface.
pub(crate) struct Tap {
    pub(crate) socket: PacketSocket,
    pub(crate) mac: Mac,
}

impl Tap {
    pub(crate) fn send(&self, frame: &[u8]) {
        self.socket.send(&[frame]).map_err(|(_, error)| error).expect("a frame that is sent");
    }

    /// Frames of others from now on until `wanted` finds something in one, or the time is over.
    pub(crate) fn find<T>(&self, time: Duration, mut wanted: impl FnMut(&Frame) -> Option<T>) -> Option<T> {
        self.find_bytes(time, |bytes| Frame::parse(bytes).as_ref().and_then(&mut wanted))
    }

    /// The same with all of a frame.
    pub(crate) fn find_bytes<T>(&self, time: Duration, wanted: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        self.look(time, Duration::from_micros(200), wanted)
    }

    /// [`Tap::find`] without a pause between two looks.
    pub(crate) fn spin<T>(&self, time: Duration, mut wanted: impl FnMut(&Frame) -> Option<T>) -> Option<T> {
        self.look(time, Duration::ZERO, |bytes| Frame::parse(bytes).as_ref().and_then(&mut wanted))
    }

    fn look<T>(
        &self,
        time: Duration,
        pause: Duration,
        mut wanted: impl FnMut(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + time;
        let mut batch = Batch::default();
        loop {
            self.socket.receive(&mut batch).expect("an interface that is up");
            for frame in batch.frames().filter(|frame| !frame.outgoing) {
                if let Some(found) = wanted(frame.bytes) {
                    return Some(found);
                }
            }
            if Instant::now() >= deadline {
                return None;
            }
            if batch.frames().next().is_none() {
                thread::sleep(pause);
            }
        }
    }

    /// Forgets what came so far.
    pub(crate) fn clear(&self) {
        self.find(Duration::ZERO, |_| None::<()>);
    }

    /// The MAC address that answers for an address, if anybody does in this time.
    pub(crate) fn ask(&self, number: u8, address: IpAddr, time: Duration) -> Option<Mac> {
        self.clear();
        match address {
            IpAddr::V4(address) => {
                self.send(&Arp::request(self.mac, ipv4(number), address).to_frame(Mac::BROADCAST));
                self.find(time, |frame| arp_reply(frame, ipv4(number), address))
            }
            IpAddr::V6(address) => {
                let question = Solicitation::multicast(self.mac, ipv6(number), address);
                self.send(&question.to_group_frame(self.mac));
                self.find(time, |frame| match &frame.content {
                    Content::Advertisement(it) if it.target == address && it.destination == ipv6(number) => {
                        it.target_mac
                    }
                    _ => None,
                })
            }
        }
    }

    /// Asks again and again until somebody answers, and says who.
    pub(crate) fn ask_until(&self, number: u8, address: IpAddr, wanted: impl Fn(Mac) -> bool) -> Mac {
        let began = Instant::now();
        let mut last = None;
        while began.elapsed() < PATIENCE {
            last = self.ask(number, address, Duration::from_millis(50)).or(last);
            if let Some(mac) = last.filter(|mac| wanted(*mac)) {
                return mac;
            }
        }
        panic!("{address} is not answered for as it should be; the last answer was from {last:?}");
    }
}

/// The sender of a reply for an address to a host.
pub(crate) fn arp_reply(frame: &Frame, to: Ipv4Addr, about: Ipv4Addr) -> Option<Mac> {
    match &frame.content {
        Content::Arp(arp) if arp.operation == 2 && arp.sender == about && arp.target == to => {
            Some(arp.sender_mac)
        }
        _ => None,
    }
}
