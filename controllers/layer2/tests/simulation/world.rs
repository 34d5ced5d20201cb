//! A segment with nodes on it, in steps of a millisecond.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::beacon::Page;
use fairlead_layer2::ownership::{Election, Event, Forms, Rules, Timing, Via};
use fairlead_layer2::{ClassId, Fitness, MacAddress, Moment, NodeId, Participant, Standing, Wanted};

/// The wall clock when the simulation begins, in microseconds.
const EPOCH: u64 = 1_800_000_000_000_000;

pub(crate) struct World {
    /// The true time in milliseconds.
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) timing: Timing,
    rules: Rules,
    /// The part of the frames that each receiver misses.
    pub(crate) loss: f64,
    /// Whether clocks are off by up to 1 %, and wake-ups are late now and then.
    pub(crate) rough: bool,
    /// Whether Ethernet frames of beacons pass, or only UDP packets.
    pub(crate) ethernet_passes: bool,
    pub(crate) rng: fastrand::Rng,
    in_flight: BTreeMap<u64, Vec<(usize, Arc<Page>, Via)>>,
    /// (from, to) pairs that do not reach each other.
    cut: BTreeSet<(usize, usize)>,
    pub(crate) record: Record,
}

pub(crate) struct Node {
    pub(crate) who: Participant,
    pub(crate) mac: MacAddress,
    pub(crate) election: Option<Election>,
    pub(crate) standing: Standing,
    pub(crate) wanted: BTreeMap<IpAddr, Arc<Wanted>>,
    /// What it received and did not look at yet.
    inbox: Vec<(Arc<Page>, Via)>,
    received: u64,
    /// Until when it does not run.
    frozen_until: u64,
    /// Whether what arrives meanwhile is lost.
    pub(crate) overflows: bool,
    /// How fast its clock goes.
    rate: f64,
    /// By how many milliseconds its wall clock is off.
    pub(crate) skew: i64,
    /// When a late wake-up comes.
    pub(crate) late_until: u64,
    answering: Answering,
    pub(crate) events: Vec<(u64, Event)>,
    /// Whether stations answer its ARP probes.
    pub(crate) hears_stations: bool,
    /// When their answers arrive.
    answers_at: Option<u64>,
}

/// When a node answers requests for what it owns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answering {
    /// It is off or frozen, or its last round is so old that it would answer nothing if it woke up now. It owns its
    /// addresses all the same until it does.
    Never,
    /// Its wake-up is late: requests wait, and so do claims of others, which it reads before it answers any.
    Later,
    Now,
}

/// What clients would see.
#[derive(Default)]
pub(crate) struct Record {
    /// Who answers for each address.
    owners: BTreeMap<IpAddr, BTreeSet<usize>>,
    silent_since: BTreeMap<IpAddr, u64>,
    double_since: BTreeMap<IpAddr, u64>,
    /// How long nobody answered, in milliseconds.
    pub(crate) gaps: Vec<u64>,
    /// How long two answered the same clients, in milliseconds.
    pub(crate) doubles: Vec<u64>,
    /// How many claims were made.
    pub(crate) claims: usize,
    pub(crate) rounds: usize,
    pub(crate) deaths: usize,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: usize, addresses: u32) -> Self {
        let mut world = Self {
            now: 0,
            nodes: Vec::new(),
            addresses: (1..=addresses)
                .map(|number| IpAddr::V4(Ipv4Addr::from_bits(0xc633_6400 + number)))
                .collect(),
            timing: Timing::default(),
            rules: Rules::default(),
            loss: 0.0,
            rough: true,
            ethernet_passes: true,
            rng: fastrand::Rng::with_seed(seed),
            in_flight: BTreeMap::new(),
            cut: BTreeSet::new(),
            record: Record::default(),
        };
        for _ in 0..nodes {
            world.join();
        }
        world
    }

    /// A world in which every address has one owner.
    pub(crate) fn settled(seed: u64, nodes: usize, addresses: u32) -> Self {
        let mut world = Self::new(seed, nodes, addresses);
        world.run(3000);
        world.assert_single_owners();
        world.forget();
        world
    }

    /// Begins to count anew.
    pub(crate) fn forget(&mut self) {
        let owners = std::mem::take(&mut self.record.owners);
        self.record = Record { owners, ..Record::default() };
        for node in &mut self.nodes {
            node.events.clear();
        }
    }

    /// All nodes leave rules of the protocol out from now on.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        for election in self.nodes.iter_mut().filter_map(|node| node.election.as_mut()) {
            election.set_rules(rules);
        }
    }

    /// One more node starts.
    pub(crate) fn join(&mut self) -> usize {
        let index = self.nodes.len();
        let name = format!("node-{}-{index}", self.rng.u32(..));
        let number = u32::try_from(index).expect("some nodes");
        let [.., high, low] = number.to_be_bytes();
        let rate = if self.rough { 0.99 + 0.02 * self.rng.f64() } else { 1.0 };
        let wanted = self.addresses.iter().map(|address| (*address, wanted())).collect();
        self.nodes.push(Node {
            who: Participant { node: NodeId::of(&name), link: 2 },
            mac: MacAddress([2, 0, 0, 0, high, low]),
            election: None,
            standing: Standing::default(),
            wanted,
            inbox: Vec::new(),
            received: 0,
            frozen_until: 0,
            overflows: false,
            rate,
            skew: 0,
            late_until: 0,
            answering: Answering::Never,
            events: Vec::new(),
            hears_stations: true,
            answers_at: None,
        });
        self.start(index);
        index
    }

    /// A node starts without any memory.
    pub(crate) fn start(&mut self, index: usize) {
        let seed = self.rng.u64(..);
        let (now, wall) = self.clock(index);
        let node = &mut self.nodes[index];
        let mut election = Election::new(node.who, node.mac, self.timing.clone(), seed, now, wall);
        election.set_rules(self.rules);
        election.set_standing(node.standing.clone());
        for (address, wanted) in &node.wanted {
            election.want(*address, Some(Arc::clone(wanted)));
        }
        election.set_carrier(true);
        node.election = Some(election);
        node.inbox.clear();
        node.frozen_until = 0;
        self.refresh(index);
    }

    /// A node loses its power.
    pub(crate) fn crash(&mut self, index: usize) {
        self.nodes[index].election = None;
        self.refresh(index);
    }

    /// A node does not run for so long.
    pub(crate) fn freeze(&mut self, index: usize, milliseconds: u64) {
        self.nodes[index].frozen_until = self.now + milliseconds;
        self.refresh(index);
    }

    pub(crate) fn drain(&mut self, index: usize) {
        self.election(index).drain(Duration::from_secs(5));
    }

    pub(crate) fn election(&mut self, index: usize) -> &mut Election {
        self.nodes[index].election.as_mut().expect("the node runs")
    }

    /// A node is told something else about an address.
    pub(crate) fn want(&mut self, index: usize, address: IpAddr, wanted: Option<Wanted>) {
        let wanted = wanted.map(Arc::new);
        let node = &mut self.nodes[index];
        match &wanted {
            Some(wanted) => node.wanted.insert(address, Arc::clone(wanted)),
            None => node.wanted.remove(&address),
        };
        if let Some(election) = &mut node.election {
            election.want(address, wanted);
        }
        self.take_events(index);
    }

    pub(crate) fn set_standing(&mut self, index: usize, change: impl FnOnce(&mut Standing)) {
        change(&mut self.nodes[index].standing);
        let standing = self.nodes[index].standing.clone();
        if let Some(election) = &mut self.nodes[index].election {
            election.set_standing(standing);
        }
    }

    /// Frames of one do not reach the other any more.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Frames reach everybody again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        for address in self.addresses.clone() {
            self.note(address);
        }
    }

    /// Splits the segment: nodes below `first` on one side.
    pub(crate) fn split(&mut self, first: usize) {
        for one in 0..first {
            for other in first..self.nodes.len() {
                self.cut(one, other);
                self.cut(other, one);
            }
        }
        for address in self.addresses.clone() {
            self.note(address);
        }
    }

    pub(crate) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while self.now < end {
            self.now += 1;
            for (to, page, via) in self.in_flight.remove(&self.now).unwrap_or_default() {
                let node = &mut self.nodes[to];
                let lost = node.frozen_until > self.now && node.overflows;
                if node.election.is_some() && !lost {
                    node.received += 1;
                    node.inbox.push((page, via));
                }
            }
            for index in 0..self.nodes.len() {
                self.step(index);
                if self.note_answering(index) {
                    let theirs = |(_, owners): &(&IpAddr, &BTreeSet<usize>)| owners.contains(&index);
                    let owned = self.record.owners.iter().filter(theirs);
                    for address in owned.map(|(address, _)| *address).collect::<Vec<_>>() {
                        self.note(address);
                    }
                }
            }
        }
    }

    /// Runs until it is so; how long that took.
    pub(crate) fn run_until(&mut self, limit: u64, is_so: impl Fn(&Self) -> bool) -> u64 {
        let start = self.now;
        while !is_so(self) {
            assert!(self.now < start + limit, "it did not come to it within {limit} ms");
            self.run(1);
        }
        self.now - start
    }

    pub(crate) fn clock(&self, index: usize) -> (Moment, u64) {
        let node = &self.nodes[index];
        let boot = Duration::from_hours(1) + Duration::from_millis(self.now).mul_f64(node.rate);
        let wall = EPOCH.saturating_add_signed((self.now.cast_signed() + node.skew) * 1000);
        (Moment(boot), wall)
    }

    /// A frame of a station that takes no part arrives.
    pub(crate) fn hear_station(&mut self, index: usize) {
        self.nodes[index].answers_at = Some(self.now + 1);
    }

    /// A node sees an announcement of an address.
    pub(crate) fn announce(&mut self, index: usize, address: IpAddr, mac: MacAddress) {
        let (now, wall) = self.clock(index);
        let election = self.election(index);
        election.begin(now, wall);
        election.evidence(address, mac);
        self.take_events(index);
        self.hear_station(index);
    }

    fn step(&mut self, index: usize) {
        let (now, wall) = self.clock(index);
        let node = &mut self.nodes[index];
        let Some(election) = &mut node.election else { return };
        if node.frozen_until > self.now || node.late_until > self.now {
            return;
        }
        let answered = node.answers_at.take_if(|at| *at <= self.now).is_some();
        node.received += u64::from(answered);
        if node.inbox.is_empty() && !answered && election.next_wake() > now {
            return;
        }
        // A busy host runs it late now and then.
        if self.rough && node.late_until + 1 < self.now && self.rng.u32(..500) == 0 {
            node.late_until = self.now + self.rng.u64(5..65);
            return;
        }
        let mut relays = Vec::new();
        election.begin(now, wall);
        for (page, via) in node.inbox.drain(..) {
            for mac in election.hear(&page, via).relay_to {
                relays.push((mac, Arc::clone(&page)));
            }
        }
        election.heard_anything(node.received);
        let sent = election.finish();
        election.sent(true);
        for (mac, page) in relays {
            if let Some(to) = self.nodes.iter().position(|node| node.mac == mac) {
                self.transmit(index, to, &page, Via::Relay);
            }
        }
        for transmission in sent {
            self.record.rounds += 1;
            for page in transmission.pages.into_iter().map(Arc::new) {
                for to in (0..self.nodes.len()).filter(|to| *to != index) {
                    if self.ethernet_passes {
                        self.transmit(index, to, &page, Via::Ethernet);
                    } else if transmission.forms == Forms::Both {
                        self.transmit(index, to, &page, Via::Udp);
                    }
                }
            }
        }
        if self.election(index).is_drained() {
            self.crash(index);
        } else {
            self.take_events(index);
        }
    }

    fn transmit(&mut self, from: usize, to: usize, page: &Arc<Page>, via: Via) {
        if self.cut.contains(&(from, to)) || self.rng.f64() < self.loss {
            return;
        }
        let arrival = self.now + self.rng.u64(1..=2);
        self.in_flight.entry(arrival).or_default().push((to, Arc::clone(page), via));
    }

    fn take_events(&mut self, index: usize) {
        let Some(election) = &mut self.nodes[index].election else { return };
        for event in election.take_events() {
            match &event {
                Event::Claimed { address, .. } => {
                    self.record.claims += 1;
                    self.record.owners.entry(*address).or_default().insert(index);
                    self.note(*address);
                }
                Event::Lost { address, .. } => {
                    self.record.owners.entry(*address).or_default().remove(&index);
                    self.note(*address);
                }
                Event::PeerDied { .. } => self.record.deaths += 1,
                Event::ProveHearing => {
                    let node = &mut self.nodes[index];
                    node.answers_at = node.hears_stations.then_some(self.now + 2);
                }
                _ => {}
            }
            self.nodes[index].events.push((self.now, event));
        }
    }

    /// Finds out anew what a node answers for.
    fn refresh(&mut self, index: usize) {
        self.note_answering(index);
        for address in self.addresses.clone() {
            let owns = self.nodes[index]
                .election
                .as_ref()
                .is_some_and(|election| election.owned().any(|(owned, _)| owned == address));
            let owners = self.record.owners.entry(address).or_default();
            let changed = if owns { owners.insert(index) } else { owners.remove(&index) };
            if changed || owns {
                self.note(address);
            }
        }
    }

    /// Notes when a node answers from now on; whether that is new.
    fn note_answering(&mut self, index: usize) -> bool {
        let (clock, _) = self.clock(index);
        let node = &mut self.nodes[index];
        let runs = node.frozen_until <= self.now;
        let answering = match &node.election {
            Some(election) if runs && election.is_fresh(clock) => {
                if node.late_until > self.now {
                    Answering::Later
                } else {
                    Answering::Now
                }
            }
            _ => Answering::Never,
        };
        std::mem::replace(&mut node.answering, answering) != answering
    }

    /// Notes when an address begins and ceases to have an owner, or two.
    fn note(&mut self, address: IpAddr) {
        let mut owners = self.owners(address);
        owners.retain(|owner| self.nodes[*owner].answering != Answering::Never);
        let silent = owners.is_empty();
        owners.retain(|owner| self.nodes[*owner].answering == Answering::Now);
        let apart =
            |one: usize, other: usize| self.cut.contains(&(one, other)) || self.cut.contains(&(other, one));
        let double = owners
            .iter()
            .enumerate()
            .any(|(at, one)| owners[at + 1..].iter().any(|other| !apart(*one, *other)));
        let record = &mut self.record;
        if silent {
            record.silent_since.entry(address).or_insert(self.now);
        } else if let Some(since) = record.silent_since.remove(&address) {
            record.gaps.push(self.now - since);
        }
        if double {
            record.double_since.entry(address).or_insert(self.now);
        } else if let Some(since) = record.double_since.remove(&address) {
            record.doubles.push(self.now - since);
        }
    }

    pub(crate) fn owners(&self, address: IpAddr) -> Vec<usize> {
        self.record.owners.get(&address).into_iter().flatten().copied().collect()
    }

    /// The only owner.
    pub(crate) fn owner(&self, address: IpAddr) -> usize {
        let owners = self.owners(address);
        assert_eq!(owners.len(), 1, "{address} at {} ms", self.now);
        owners[0]
    }

    pub(crate) fn load(&self, index: usize) -> usize {
        self.nodes[index].election.as_ref().map_or(0, Election::load)
    }

    pub(crate) fn assert_single_owners(&self) {
        for address in &self.addresses {
            let owners = self.owners(*address);
            assert_eq!(owners.len(), 1, "{address} has the owners {owners:?} at {} ms", self.now);
        }
    }

    pub(crate) fn assert_no_doubles(&self) {
        assert!(self.record.doubles.is_empty(), "two owners for {:?} ms", self.record.doubles);
        assert!(self.record.double_since.is_empty(), "two owners now");
    }

    pub(crate) fn assert_no_gaps(&self) {
        assert!(self.record.gaps.is_empty(), "no owner for {:?} ms", self.record.gaps);
        assert!(self.record.silent_since.is_empty(), "no owner now");
    }
}

/// An address that every node may have.
pub(crate) fn wanted() -> Arc<Wanted> {
    Arc::new(Wanted {
        class: ClassId(1),
        own: Fitness::Fit { soft: false, preference: 0 },
        nodes: None,
        epoch: 0,
        announced_by: None,
        probe: false,
        uid: "uid".into(),
    })
}

/// How many seeds a scenario runs with: `FAIRLEAD_SEEDS`, else so many.
pub(crate) fn seeds(default: u64) -> std::ops::Range<u64> {
    let count = std::env::var("FAIRLEAD_SEEDS").ok().and_then(|text| text.parse().ok());
    0..count.unwrap_or(default)
}

/// The middle, the last hundredth and the greatest of some milliseconds.
pub(crate) fn spread(times: &mut [u64]) -> String {
    times.sort_unstable();
    let at =
        |hundredths: usize| times.get((times.len() * hundredths / 100).min(times.len().saturating_sub(1)));
    let show = |time: Option<&u64>| time.map_or("-".to_owned(), ToString::to_string);
    format!("{} of p50 {} p99 {} max {} ms", times.len(), show(at(50)), show(at(99)), show(times.last()))
}
