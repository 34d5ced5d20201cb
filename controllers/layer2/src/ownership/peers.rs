//! What is known about the other nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::event::Via;
use super::statement::Statement;
use super::timing::Timing;
use crate::beacon::{Claim, Flags, Header};
use crate::identity::{NodeId, Participant, ShortId};
use crate::link::Prefix;
use crate::mac::MacAddress;
use crate::moment::Moment;
use crate::wanted::{ClassId, Fitness};

/// Another participant, heard within the last ten minutes.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) who: Participant,
    /// The last round that was accepted, and which of its pages.
    pub(super) seq: u64,
    pub(super) taken: u128,
    /// When an older round came first since the last one that was accepted.
    pub(super) older_since: Option<Moment>,
    pub(super) told_stale: Option<Moment>,
    pub(super) presence: Presence,
    pub(super) last_heard: Moment,
    /// When it was heard without the help of others, by the form of the frame.
    pub(super) last_ethernet: Option<Moment>,
    pub(super) last_udp: Option<Moment>,
    pub(super) mac: MacAddress,
    pub(super) flags: Flags,
    pub(super) uptime: u16,
    pub(super) weight: u16,
    pub(super) period: Duration,
    /// Whom it hears, in order.
    pub(super) heard: Vec<ShortId>,
    /// Since when its lists have lacked this node.
    pub(super) lacks_me_since: Option<Moment>,
    /// Whom its lists lack although they are heard here, and in how many rounds.
    pub(super) lacks: BTreeMap<Participant, u8>,
    pub(super) lacks_counted: Option<Moment>,
    /// Who is heard here has changed since.
    pub(super) lacks_due: bool,
    /// What it can do, in the order of the classes.
    pub(super) classes: Vec<(ClassId, Fitness)>,
    /// The subnets of its interface, if it says so.
    pub(super) subnets: Option<Vec<Prefix>>,
    pub(super) claims: BTreeMap<IpAddr, Terms>,
    /// The last statement of each page, by which a repetition is known.
    pub(super) statements: Vec<Option<Statement>>,
    /// The pages seen since this node began to listen, of rounds with so many.
    pub(super) seen: u128,
    pub(super) seen_of: u8,
    /// How many of its claims are for wanted addresses.
    pub(super) load: usize,
    /// What it had when it died.
    pub(super) had: BTreeSet<IpAddr>,
    /// When it became active anew.
    pub(super) restarts: Vec<Moment>,
    /// When it is to be asked whether it lives.
    pub(super) ask_at: Moment,
    /// When it was asked first since it was heard.
    pub(super) asked: Option<Moment>,
}

/// Whether a node is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Presence {
    Live,
    Dead,
    /// It said that it leaves.
    Gone,
}

/// What a peer says of an address that it claims: a [`Claim`] without the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Terms {
    pub(super) epoch: u32,
    pub(super) probing: bool,
    pub(super) released: bool,
}

impl From<&Claim> for Terms {
    fn from(claim: &Claim) -> Self {
        Self { epoch: claim.epoch, probing: claim.probing, released: claim.released }
    }
}

impl Peer {
    pub(super) fn new(header: &Header, now: Moment) -> Self {
        Self {
            who: header.from,
            seq: 0,
            taken: 0,
            older_since: None,
            told_stale: None,
            presence: Presence::Gone,
            last_heard: now,
            last_ethernet: None,
            last_udp: None,
            mac: header.mac,
            flags: header.flags,
            uptime: header.uptime,
            weight: header.weight,
            period: Duration::from_millis(header.period.into()),
            heard: Vec::new(),
            lacks_me_since: None,
            lacks: BTreeMap::new(),
            lacks_counted: None,
            lacks_due: true,
            classes: Vec::new(),
            subnets: None,
            claims: BTreeMap::new(),
            statements: Vec::new(),
            seen: 0,
            seen_of: 0,
            load: 0,
            had: BTreeSet::new(),
            restarts: Vec::new(),
            ask_at: now,
            asked: None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.presence == Presence::Live
    }

    /// Notes what a page begins with.
    pub(super) fn take_header(&mut self, header: &Header, via: Via, now: Moment, timing: &Timing) {
        if header.seq > self.seq {
            self.seq = header.seq;
            self.taken = 0;
        }
        self.taken |= bit(header.page);
        if header.pages != self.seen_of {
            self.seen_of = header.pages;
            self.seen = 0;
        }
        self.seen |= bit(header.page);
        if self.presence == Presence::Dead || header.uptime < self.uptime {
            self.note_restart(now, timing);
        }
        self.older_since = None;
        self.last_heard = now;
        match via {
            Via::Ethernet => self.last_ethernet = Some(now),
            Via::Udp => self.last_udp = Some(now),
            Via::Relay => {}
        }
        self.mac = header.mac;
        self.flags = header.flags;
        self.uptime = header.uptime;
        self.weight = header.weight;
        self.period = Duration::from_millis(header.period.into())
            .clamp(Timing::SHORTEST_PERIOD, Timing::LONGEST_PERIOD);
        self.asked = None;
        self.ask_at = now + timing.question(self.period);
    }

    pub(super) fn note_restart(&mut self, now: Moment, timing: &Timing) {
        self.restarts.retain(|at| now.since(*at) < timing.memory);
        self.restarts.push(now);
    }

    /// Whether it has been active for so long that it may be given a share.
    pub(super) fn is_settled(&self, now: Moment, timing: &Timing) -> bool {
        let lately = self.restarts.iter().filter(|at| now.since(**at) < timing.memory).count().min(5);
        let needed = timing.settled * (1 << lately);
        let since_heard = now.since(self.last_heard);
        !self.flags.listening && Duration::from_secs(self.uptime.into()) + since_heard >= needed
    }

    /// Whether it was heard without the help of others within D.
    pub(super) fn is_direct(&self, now: Moment, timing: &Timing) -> bool {
        let within = |at: Option<Moment>| at.is_some_and(|at| now.since(at) <= timing.dead(self.period));
        self.is_live() && (within(self.last_ethernet) || within(self.last_udp))
    }

    /// Whether only the second form of its frames comes through.
    pub(super) fn needs_udp(&self, now: Moment, timing: &Timing) -> bool {
        let within = |at: Option<Moment>| at.is_some_and(|at| now.since(at) <= timing.dead(self.period));
        self.is_live() && within(self.last_udp) && !within(self.last_ethernet)
    }

    pub(super) fn hears(&self, whom: ShortId) -> bool {
        self.heard.binary_search(&whom).is_ok()
    }

    /// Whether each page of it was seen since this node began to listen.
    pub(super) fn is_known_wholly(&self) -> bool {
        self.seen_of > 0 && self.seen.count_ones() == u32::from(self.seen_of)
    }

    /// Whether it says what it can do for a class.
    pub(super) fn states(&self, class: ClassId) -> bool {
        self.classes.binary_search_by_key(&class, |(stated, _)| *stated).is_ok()
    }

    /// What it says that it can do for a class; one that says nothing is fit.
    pub(super) fn fitness(&self, class: ClassId) -> Fitness {
        let stated = self.classes.binary_search_by_key(&class, |(stated, _)| *stated).ok();
        stated.map_or(Fitness::Fit { soft: false, preference: 0 }, |at| self.classes[at].1)
    }

    /// Whether a subnet of its interface holds an address; one that does not say has them all.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.subnets.as_ref().is_none_or(|subnets| subnets.iter().any(|subnet| subnet.holds(address)))
    }

    /// Whether it takes new addresses at all.
    pub(super) fn is_candidate(&self) -> bool {
        self.is_live() && !self.flags.draining && !self.flags.not_candidate && self.weight > 0
    }
}

/// The bit of a page.
pub(super) fn bit(page: u8) -> u128 {
    1_u128.checked_shl(page.into()).unwrap_or(0)
}

/// All other participants.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    pub(super) all: BTreeMap<Participant, Peer>,
    /// When the next of them is late, dead or forgotten, at the earliest.
    pub(super) next_check: Moment,
}

impl Peers {
    pub(super) fn get(&self, who: Participant) -> Option<&Peer> {
        self.all.get(&who)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Peer> {
        self.all.values().filter(|peer| peer.is_live())
    }

    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.of(node).next().is_some()
    }

    /// Whether a node was heard then or later.
    pub(super) fn heard_since(&self, node: NodeId, since: Moment) -> bool {
        self.of(node).any(|peer| peer.last_heard >= since)
    }

    fn of(&self, node: NodeId) -> impl Iterator<Item = &Peer> {
        let [first, last] = [0, u32::MAX].map(|link| Participant { node, link });
        self.all.range(first..=last).map(|(_, peer)| peer)
    }

    pub(super) fn by_mac(&self, mac: MacAddress) -> Option<&Peer> {
        self.all.values().filter(|peer| peer.mac == mac).max_by_key(|peer| (peer.is_live(), peer.last_heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: u64, page: u8, pages: u8, uptime: u16) -> Header {
        Header {
            from: Participant { node: NodeId::of("a"), link: 1 },
            flags: Flags::default(),
            seq,
            mac: MacAddress::ZERO,
            uptime,
            weight: 100,
            period: 200,
            page,
            pages,
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn a_node_is_known_when_each_page_was_seen() {
        let timing = Timing::default();
        let mut peer = Peer::new(&header(1, 0, 2, 0), at(0));
        peer.take_header(&header(1, 0, 2, 0), Via::Ethernet, at(0), &timing);
        assert!(!peer.is_known_wholly());
        peer.take_header(&header(2, 1, 2, 0), Via::Ethernet, at(0), &timing);
        assert!(peer.is_known_wholly());
        peer.take_header(&header(3, 1, 3, 0), Via::Ethernet, at(0), &timing);
        assert!(!peer.is_known_wholly(), "its claims are on other pages now");
    }

    #[test]
    fn a_node_that_restarts_waits_longer_for_its_share() {
        let timing = Timing::default();
        let mut peer = Peer::new(&header(1, 0, 1, 30), at(30));
        peer.take_header(&header(1, 0, 1, 30), Via::Ethernet, at(30), &timing);
        assert!(peer.is_settled(at(30), &timing));
        peer.take_header(&header(2, 0, 1, 0), Via::Ethernet, at(31), &timing);
        peer.take_header(&header(3, 0, 1, 59), Via::Ethernet, at(90), &timing);
        assert!(!peer.is_settled(at(90), &timing));
        assert!(peer.is_settled(at(91), &timing), "the time since it was heard counts");
        peer.take_header(&header(4, 0, 1, 30), Via::Ethernet, at(700), &timing);
        assert!(!peer.is_settled(at(700), &timing));
        peer.take_header(&header(5, 0, 1, 60), Via::Ethernet, at(730), &timing);
        assert!(peer.is_settled(at(730), &timing), "the first restart is forgotten after ten minutes");
    }
}
