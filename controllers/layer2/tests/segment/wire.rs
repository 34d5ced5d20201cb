//! A wire between interfaces, and stations that say what a test has them say.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_layer2::ethernet::{Frame, ether_type};
use fairlead_layer2::filter::Instruction;
use fairlead_layer2::ndp::Message;
use fairlead_layer2::segment::{
    Clock, Generation, Outgoing, OutgoingKind, Received, Report, ReportKind, Segment, Settings, Socket,
};
use fairlead_layer2::{
    ClassId, ClusterId, Fitness, LinkFacts, MacAddress, Moment, NodeId, Prefix, Standing, Wanted, arp,
};

use super::kernel;

/// What the clocks say when a test begins.
const BOOT: Duration = Duration::from_mins(90);
const WALL: Duration = Duration::from_hours(500_000);

/// How long a frame is on its way.
pub(crate) const LATENCY: u64 = 1;

/// A client on the wire.
pub(crate) const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0xcc, 1]);
/// Another machine on the wire that is none of ours.
pub(crate) const STRANGER: MacAddress = MacAddress([2, 0, 0, 0, 0xee, 1]);

/// The address of the client.
pub(crate) const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 200);

pub(crate) fn mac(node: usize) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, u8::try_from(node).unwrap() + 1])
}

pub(crate) fn node_id(node: usize) -> NodeId {
    NodeId::of(&format!("node-{node}"))
}

pub(crate) fn cluster() -> ClusterId {
    ClusterId::of("a cluster")
}

pub(crate) fn keys() -> KeyRing {
    KeyRing::new(&[[7; 32]])
}

pub(crate) fn vip(last: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, last).into()
}

pub(crate) fn vip6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, last).into()
}

pub(crate) fn wanted() -> Wanted {
    Wanted {
        class: ClassId(1),
        own: Fitness::Fit { soft: false, preference: 0 },
        nodes: None,
        epoch: 0,
        announced_by: None,
        probe: false,
        uid: "a uid".into(),
    }
}

pub(crate) fn link(node: usize) -> LinkFacts {
    let host = u8::try_from(node).unwrap() + 1;
    let prefix = |address: IpAddr, length| Prefix { address, length };
    LinkFacts {
        index: 2,
        name: "eth0".into(),
        mac: mac(node),
        mtu: 1500,
        running: true,
        addresses: vec![
            prefix(Ipv4Addr::new(198, 51, 100, host).into(), 24),
            prefix(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host.into()).into(), 64),
            prefix(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()).into(), 64),
        ],
    }
}

pub(crate) fn settings(node: usize) -> Settings {
    Settings {
        node: node_id(node),
        cluster: cluster(),
        keys: keys(),
        period: Duration::from_millis(200),
        ether_type: ether_type::BEACON,
        destination: MacAddress::BROADCAST,
        seed: 17 + u64::try_from(node).unwrap(),
    }
}

pub(crate) struct Node {
    pub(crate) segment: Segment,
    pub(crate) mac: MacAddress,
    /// The process does not run; frames wait.
    pub(crate) frozen: bool,
    /// It is switched off.
    pub(crate) dead: bool,
    pub(crate) reports: Vec<Report>,
    pub(crate) wakes: u64,
    /// Nothing is filtered: the filters may let pass more than they have to.
    pub(crate) unfiltered: bool,
    filters: Filters,
    queue: Vec<(u64, Vec<u8>)>,
    frames_received: u64,
}

/// The programs of a node's sockets.
#[derive(Default)]
struct Filters {
    generation: Option<Generation>,
    programs: HashMap<Socket, Vec<Instruction>>,
}

impl Filters {
    /// As the segment wants them.
    fn follow(&mut self, segment: &Segment) {
        let generation = segment.generation();
        if self.generation.replace(generation) != Some(generation) {
            let sockets = [Socket::Arp, Socket::Ipv6, Socket::Ipv4, Socket::Beacons];
            self.programs = sockets.map(|socket| (socket, segment.filter(socket))).into();
        }
    }

    fn accept(&self, frame: &[u8]) -> bool {
        let program = socket(frame).and_then(|socket| self.programs.get(&socket));
        program.is_some_and(|program| kernel::accepts(program, frame))
    }
}

/// A frame that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: u64,
    pub(crate) from: MacAddress,
    pub(crate) kind: Option<OutgoingKind>,
    pub(crate) frame: Vec<u8>,
}

pub(crate) struct Wire {
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) sent: Vec<Sent>,
    /// Nobody but the nodes says anything by itself.
    pub(crate) quiet: bool,
    /// Whether a frame gets from one MAC address to another one.
    pub(crate) passes: fn(MacAddress, MacAddress, &Frame<'_>) -> bool,
    flying: Vec<(u64, usize, Vec<u8>)>,
}

impl Wire {
    /// So many nodes, of which each wants the addresses.
    pub(crate) fn new(nodes: usize, addresses: &[IpAddr]) -> Self {
        let mut wire = Self {
            now: 0,
            nodes: Vec::new(),
            sent: Vec::new(),
            quiet: false,
            passes: |_, _, _| true,
            flying: Vec::new(),
        };
        for node in 0..nodes {
            let mut segment = Segment::new(&settings(node), link(node), wire.clock());
            segment.set_standing(Standing::default());
            for address in addresses {
                segment.want(*address, Some(Arc::new(wanted())));
            }
            wire.add(segment, mac(node));
        }
        wire
    }

    pub(crate) fn add(&mut self, segment: Segment, mac: MacAddress) {
        let mut filters = Filters::default();
        filters.follow(&segment);
        self.nodes.push(Node {
            segment,
            mac,
            frozen: false,
            dead: false,
            reports: Vec::new(),
            wakes: 0,
            unfiltered: false,
            filters,
            queue: Vec::new(),
            frames_received: 0,
        });
    }

    pub(crate) fn clock(&self) -> Clock {
        let since = Duration::from_millis(self.now);
        let wall = u64::try_from((WALL + since).as_micros()).unwrap();
        Clock { boot: Moment(BOOT + since), wall }
    }

    /// Goes on for so many milliseconds.
    pub(crate) fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now += 1;
            if !self.quiet && self.now.is_multiple_of(50) {
                self.chatter();
            }
            self.step();
        }
    }

    /// What is always on a wire: somebody asks for somebody else.
    fn chatter(&mut self) {
        let gateway = Ipv4Addr::new(198, 51, 100, 254);
        let request = arp::Packet { sender: CLIENT_ADDRESS, ..arp::Packet::probe(CLIENT, gateway) };
        self.say(CLIENT, &request.frame(MacAddress::BROADCAST));
    }

    fn step(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.flying).into_iter().partition(|(at, ..)| *at <= now);
        self.flying = later;
        let due: Vec<_> = due;
        for (at, to, frame) in due {
            let node = &mut self.nodes[to];
            node.frames_received += 1;
            if node.unfiltered || node.filters.accept(&frame) {
                node.queue.push((at, frame));
            }
        }
        for node in 0..self.nodes.len() {
            self.wake(node);
        }
    }

    fn wake(&mut self, at: usize) {
        let clock = self.clock();
        let now = self.now;
        let node = &mut self.nodes[at];
        if node.frozen || node.dead || node.queue.is_empty() && node.segment.next_wake() > clock.boot {
            return;
        }
        let queue = std::mem::take(&mut node.queue);
        let received: Vec<_> = queue
            .iter()
            .filter_map(|(at, frame)| {
                let age = Duration::from_millis(now - at);
                Some(Received { frame, age, socket: socket(frame)? })
            })
            .collect();
        node.wakes += 1;
        node.segment.set_frames_received(node.frames_received);
        node.segment.wake(clock, &received);
        node.filters.follow(&node.segment);
        let mut frames = node.segment.outgoing().to_vec();
        node.segment.sent(true, clock);
        frames.extend_from_slice(node.segment.answers(clock));
        node.reports.extend(node.segment.take_reports());
        node.filters.follow(&node.segment);
        for frame in frames {
            self.deliver(self.nodes[at].mac, &frame);
        }
    }

    fn deliver(&mut self, from: MacAddress, frame: &Outgoing) {
        self.put(from, Some(frame.kind()), frame.frame());
    }

    /// A station that is no node sends a frame.
    pub(crate) fn say(&mut self, from: MacAddress, frame: &[u8]) {
        self.put(from, None, frame);
    }

    fn put(&mut self, from: MacAddress, kind: Option<OutgoingKind>, bytes: &[u8]) {
        self.sent.push(Sent { at: self.now, from, kind, frame: bytes.to_vec() });
        let frame = Frame::read(bytes).unwrap();
        assert!(bytes.len() <= 1514, "{} bytes do not fit a frame", bytes.len());
        for (to, node) in self.nodes.iter().enumerate() {
            let is_for = frame.destination.is_multicast() || frame.destination == node.mac;
            if node.mac != from && !node.dead && is_for && (self.passes)(from, node.mac, &frame) {
                self.flying.push((self.now + LATENCY, to, bytes.to_vec()));
            }
        }
    }

    /// Asks who has an address, as the client, and tells after 20 ms which MAC addresses answered.
    pub(crate) fn who_has(&mut self, address: IpAddr) -> Vec<MacAddress> {
        let from = self.sent.len();
        let request = match address {
            IpAddr::V4(target) => {
                let request = arp::Packet { sender: CLIENT_ADDRESS, ..arp::Packet::probe(CLIENT, target) };
                request.frame(MacAddress::BROADCAST).to_vec()
            }
            IpAddr::V6(target) => {
                let group = fairlead_layer2::ndp::solicited_node(target);
                let mac = fairlead_layer2::ndp::multicast_mac(group);
                let source = "2001:db8::200".parse().unwrap();
                fairlead_layer2::ndp::question(CLIENT, source, mac, target).to_vec()
            }
        };
        self.say(CLIENT, &request);
        self.run(20);
        self.answers_since(from, address)
    }

    /// Who has told the client that it has an address, since so many frames.
    pub(crate) fn answers_since(&self, from: usize, address: IpAddr) -> Vec<MacAddress> {
        let answers = self.sent[from..].iter().filter(|sent| sent.kind == Some(OutgoingKind::Reply));
        let mut macs: Vec<_> =
            answers.filter(|sent| said_address(&sent.frame) == Some(address)).map(|sent| sent.from).collect();
        macs.sort_unstable();
        macs.dedup();
        macs
    }

    /// Runs until one node answers for each of the addresses, and tells which; for at most 3 s.
    pub(crate) fn settle(&mut self, addresses: &[IpAddr]) -> Vec<usize> {
        for _ in 0..300 {
            self.run(10);
            let owners: Vec<_> = addresses.iter().map(|address| self.owners(*address)).collect();
            if owners.iter().all(|owners| owners.len() == 1) {
                return owners.into_iter().flatten().collect();
            }
        }
        panic!("not every address has one owner after 3 s");
    }

    /// The nodes that think that they have an address.
    pub(crate) fn owners(&self, address: IpAddr) -> Vec<usize> {
        let owns = |node: &Node| node.segment.owned().any(|(owned, _)| owned == address);
        (0..self.nodes.len()).filter(|at| !self.nodes[*at].dead && owns(&self.nodes[*at])).collect()
    }

    /// Frames of this kind that a node has sent since so many frames.
    pub(crate) fn of_kind(&self, from: usize, node: usize, kind: OutgoingKind) -> Vec<Sent> {
        let mac = self.nodes[node].mac;
        let sent = self.sent[from..].iter();
        sent.filter(|sent| sent.from == mac && sent.kind == Some(kind)).cloned().collect()
    }

    pub(crate) fn reports(&self, node: usize) -> impl Iterator<Item = &ReportKind> {
        self.nodes[node].reports.iter().map(|report| &report.kind)
    }
}

pub(crate) fn socket(frame: &[u8]) -> Option<Socket> {
    match Frame::read(frame)?.ether_type {
        ether_type::ARP => Some(Socket::Arp),
        ether_type::IPV6 => Some(Socket::Ipv6),
        ether_type::IPV4 => Some(Socket::Ipv4),
        ether_type::BEACON => Some(Socket::Beacons),
        _ => None,
    }
}

/// The address that a frame says its sender has.
pub(crate) fn said_address(bytes: &[u8]) -> Option<IpAddr> {
    let frame = Frame::read(bytes)?;
    match frame.ether_type {
        ether_type::ARP => arp::Packet::read(frame.payload).map(|packet| packet.sender.into()),
        ether_type::IPV6 => match Message::read(frame.payload)? {
            Message::Advertisement(advertisement) => Some(advertisement.target.into()),
            Message::Solicitation(_) => None,
        },
        _ => None,
    }
}
