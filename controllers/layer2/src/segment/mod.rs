//! All that happens on one interface: frames in, frames and reports out.

mod counters;
mod outgoing;
mod receiving;
mod report;
mod sending;
mod stations;
mod succession;
mod wishes;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use counters::{Answering, Counters};
pub use outgoing::{Outgoing, OutgoingKind};
pub use report::{Condition, LostCause, Report, ReportKind, Stranger};
use stations::Stations;
use succession::Succession;
pub use wishes::Generation;
use wishes::{Change, Questions, Usability, Wishes};

pub use crate::beacon::BeaconResult;
use crate::beacon::admission::Admission;
use crate::beacon::keys::KeyRing;
use crate::conflict::Disputes;
use crate::filter::{self, Instruction};
use crate::gratuitous::Announcer;
use crate::identity::{ClusterId, NodeId, Participant};
use crate::link::LinkFacts;
use crate::mac::MacAddress;
use crate::moment::Moment;
use crate::ndp::Solicitation;
use crate::ownership::{Election, Timing};
use crate::pacer::Pacer;
use crate::probe::Prober;
pub use crate::responder::Unusable;
use crate::wanted::{Standing, Wanted};
use crate::{arp, ethernet, udp};

/// How many announcements and probes are sent in a second at most.
const FRAMES_PER_SECOND: u32 = 10_000;

/// What is the same for all interfaces of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node.
    pub node: NodeId,
    /// The cluster, whose frames alone are heard.
    pub cluster: ClusterId,
    /// The keys of the frames.
    pub keys: KeyRing,
    /// The beacon period, 50 ms to 2 s.
    pub period: Duration,
    /// The EtherType of beacons.
    pub ether_type: u16,
    /// Where beacons are sent.
    pub destination: MacAddress,
    /// What randomness starts from.
    pub seed: u64,
}

/// What time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// `CLOCK_BOOTTIME`.
    pub boot: Moment,
    /// The wall clock in microseconds since 1970.
    pub wall: u64,
}

/// Which of the sockets of an interface a frame came from. Each has its own, so that a flood of one kind does not push
/// the others out of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Socket {
    /// EtherType of beacons.
    Beacons,
    /// EtherType 0x0806.
    Arp,
    /// EtherType 0x86DD: neighbour discovery, and beacons in UDP.
    Ipv6,
    /// EtherType 0x0800: beacons in UDP. Needed where the interface has no IPv6.
    Ipv4,
}

/// A frame that was received.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// All of it, from the destination's MAC address on.
    pub frame: &'a [u8],
    /// How long ago the kernel received it, by its own time stamp; at the clock of this wake-up.
    pub age: Duration,
    /// Where it came from.
    pub socket: Socket,
}

/// What is around this node and not an address of the interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The addresses of this node, on all of its interfaces.
    pub node_addresses: Vec<IpAddr>,
    /// The gateways that are reached through this interface.
    pub gateways: Vec<IpAddr>,
    /// The MAC addresses of the interfaces of our nodes, as the API lists them.
    pub fleet: HashMap<MacAddress, NodeId>,
}

/// The machine of one interface.
///
/// ```text
/// loop: poll until next_wake
///       wake(clock, received)
///       generation, filter, groups: before anything is sent, so that what is asked after a claim is heard
///       outgoing               → send all; sent(whether the kernel took each beacon, clock before that)
///       answers(clock now)     → send all
///       take_reports
/// ```
#[derive(Debug)]
pub struct Segment {
    identity: Participant,
    ether_type: u16,
    destination: MacAddress,
    link: LinkFacts,
    surroundings: Surroundings,
    wishes: Wishes,

    election: Election,
    admission: Admission,
    pacer: Pacer,
    announcer: Announcer,
    prober: Prober,
    disputes: Disputes,

    owned: HashMap<IpAddr, Owned>,
    succession: Succession,
    stations: Stations,
    frames_received: Option<u64>,

    /// The clock of the last wake-up.
    woken: Clock,
    /// What was asked in it.
    requests: Vec<Request>,
    outgoing: Vec<Outgoing>,
    reports: Vec<Report>,
    counters: Counters,
}

/// An address that this node has.
#[derive(Clone, Copy, Debug)]
struct Owned {
    epoch: u32,
    /// The wall clock when it was claimed, in microseconds since 1970.
    since: u64,
    outage: Option<Duration>,
    probing: bool,
}

/// A question that may be answered at the end of a wake-up.
#[derive(Clone, Copy, Debug)]
enum Request {
    Arp { packet: arp::Packet, age: Duration },
    Ndp { solicitation: Solicitation<'static>, asker: MacAddress, age: Duration },
}

impl Segment {
    /// Of an interface, at first with nothing wanted.
    ///
    /// A beacon period out of range is taken for the nearest one in it.
    #[must_use]
    pub fn new(settings: &Settings, link: LinkFacts, clock: Clock) -> Self {
        let identity = Participant { node: settings.node, link: link.index };
        let period = settings.period.clamp(Timing::SHORTEST_PERIOD, Timing::LONGEST_PERIOD);
        let timing = Timing::of_period(period).unwrap_or_default();
        let mut random = fastrand::Rng::with_seed(settings.seed ^ u64::from(link.index));
        let mut seed = || random.u64(..);
        let mut election = Election::new(identity, link.mac, timing, seed(), clock.boot, clock.wall);
        election.set_page_size(page_size(&link));
        election.set_addresses(&link.addresses);
        election.set_carrier(link.running);
        Self {
            identity,
            ether_type: settings.ether_type,
            destination: settings.destination,
            link,
            surroundings: Surroundings::default(),
            wishes: Wishes::default(),
            election,
            admission: Admission::new(settings.cluster, settings.keys.clone()),
            pacer: Pacer::new(FRAMES_PER_SECOND),
            announcer: Announcer::new(seed()),
            prober: Prober::new(seed()),
            disputes: Disputes::default(),
            owned: HashMap::new(),
            succession: Succession::default(),
            stations: Stations::default(),
            frames_received: None,
            woken: clock,
            requests: Vec::new(),
            outgoing: Vec::new(),
            reports: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// The interface changed: its MAC address, its addresses, its carrier. Its index may not.
    pub fn set_link(&mut self, link: LinkFacts) {
        let before = std::mem::replace(&mut self.link, link);
        self.election.set_page_size(page_size(&self.link));
        self.election.set_carrier(self.link.running);
        if before.mac != self.link.mac {
            self.election.set_mac(self.link.mac);
            let owned: BTreeSet<_> = self.owned.keys().copied().collect();
            for address in owned {
                self.report_owned(address);
            }
        }
        if before.addresses != self.link.addresses {
            self.election.set_addresses(&self.link.addresses);
            self.review_wishes();
        }
    }

    /// The keys changed.
    pub fn set_keys(&mut self, keys: KeyRing) {
        self.admission.set_keys(keys);
    }

    /// What the API says about this node on this interface changed.
    pub fn set_standing(&mut self, standing: Standing) {
        self.election.set_standing(standing);
    }

    /// What is around this node changed.
    pub fn set_surroundings(&mut self, surroundings: Surroundings) {
        if self.surroundings != surroundings {
            self.surroundings = surroundings;
            self.review_wishes();
        }
    }

    /// What is known about an address changed; none: nobody is to answer for it any more.
    pub fn want(&mut self, address: IpAddr, wanted: Option<Arc<Wanted>>) {
        let change = self.wishes.set(address, wanted, &self.link, &self.surroundings);
        self.follow_wish(change);
    }

    fn review_wishes(&mut self) {
        for change in self.wishes.review(&self.link, &self.surroundings) {
            self.follow_wish(change);
        }
    }

    fn follow_wish(&mut self, change: Change) {
        let Change { address, wanted, usability } = change;
        self.election.want(address, wanted);
        match usability {
            Some(Usability::Unusable(reason)) => self.report(ReportKind::Unusable { address, reason }),
            Some(Usability::Usable) => self.report(ReportKind::Usable { address }),
            None => {}
        }
    }

    /// How many frames the interface has received since it was made, filtered ones too. To be told before each wake-up in
    /// which a beacon was received or that nothing was received for: a node that receives nothing at all may not think that
    /// the others are dead.
    pub fn set_frames_received(&mut self, total: u64) {
        self.frames_received = Some(total);
    }

    /// Goes through a wake-up up to what is to be sent ([`Segment::outgoing`]): what was received, timers.
    ///
    /// The clock is read before the sockets are.
    pub fn wake(&mut self, clock: Clock, received: &[Received<'_>]) {
        self.outgoing.clear();
        self.requests.clear();
        self.woken = clock;
        self.succession.forget(clock.boot);
        self.stations.forget(clock.boot);
        self.election.begin(clock.boot, clock.wall);
        self.hear_beacons(received);
        self.hear_neighbours(received);
        if let Some(total) = self.frames_received {
            self.election.heard_anything(total);
        }
        let probes = self.step_probes();
        let transmissions = self.election.finish();
        self.send(&transmissions);
        self.follow_events();
        self.step_disputes();
        for address in probes {
            self.send_probe(address);
        }
        self.announce();
    }

    /// What is to be sent after a wake-up, before its answers.
    #[must_use]
    pub fn outgoing(&self) -> &[Outgoing] {
        &self.outgoing
    }

    /// Whether the kernel took all the beacons of the last wake-up, and the clock just before it was given them.
    pub fn sent(&mut self, all: bool, clock: Clock) {
        self.election.sent(all);
        self.succession.sent(clock.boot);
    }

    /// The answers to the requests of the last wake-up that may still be given, at the clock as it is now.
    pub fn answers(&mut self, clock: Clock) -> &[Outgoing] {
        self.outgoing.clear();
        let stood = clock.boot.since(self.woken.boot);
        let requests = std::mem::take(&mut self.requests);
        for request in &requests {
            self.answer(request, clock.boot, stood);
        }
        // The memory is used again.
        self.requests = requests;
        self.requests.clear();
        &self.outgoing
    }

    /// When [`Segment::wake`] is to be called though nothing is received.
    #[must_use]
    pub fn next_wake(&self) -> Moment {
        let others =
            [self.announcer.next_wake(&self.pacer), self.prober.next_wake(), self.disputes.next_wake()];
        others.into_iter().flatten().fold(self.election.next_wake(), Moment::min)
    }

    /// Begins to hand over all addresses, for at most this long.
    pub fn drain(&mut self, limit: Duration) {
        self.election.drain(limit);
    }

    /// Whether everything is handed over and said, so that the process may end.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.election.is_drained()
    }

    fn report(&mut self, kind: ReportKind) {
        self.reports.push(Report { link: self.identity.link, kind });
    }

    /// What happened since the last call.
    pub fn take_reports(&mut self) -> Vec<Report> {
        // What changed between two wake-ups may have ended claims.
        self.follow_events();
        std::mem::take(&mut self.reports)
    }

    /// The multicast groups that the interface has to join.
    #[must_use]
    pub fn groups(&self) -> Vec<IpAddr> {
        self.wishes.groups(&self.link)
    }

    /// Changes whenever [`Segment::filter`] or [`Segment::groups`] do.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.wishes.generation(self.questions())
    }

    /// Who has an address hears what is asked for it; the others are not to be woken by that. As long as this node knows
    /// no station that it could ask whether it hears anything at all, it listens to everybody.
    fn questions(&self) -> Questions {
        if self.stations.is_empty() { Questions::All } else { Questions::Owned }
    }

    /// The program for a socket of the interface.
    #[must_use]
    pub fn filter(&self, socket: Socket) -> Vec<Instruction> {
        let cluster = self.admission.cluster();
        match socket {
            Socket::Beacons => filter::beacons(self.ether_type, cluster),
            Socket::Arp => filter::arp(&self.wishes.ipv4(self.questions())),
            Socket::Ipv6 => filter::ipv6(&self.wishes.ipv6(self.questions()), cluster),
            Socket::Ipv4 => filter::ipv4(cluster),
        }
    }

    /// The addresses that this node answers for, with their epochs.
    pub fn owned(&self) -> impl Iterator<Item = (IpAddr, u32)> + '_ {
        self.owned.iter().filter(|(_, owned)| !owned.probing).map(|(address, owned)| (*address, owned.epoch))
    }

    /// How many other nodes are heard.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.election.peers().count()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// How large a page may be, so that it fits a frame in either form.
fn page_size(link: &LinkFacts) -> usize {
    let mtu = usize::try_from(link.mtu).unwrap_or(usize::MAX);
    mtu.min(ethernet::MOST_PAYLOAD).saturating_sub(udp::LARGEST_HEADER)
}
