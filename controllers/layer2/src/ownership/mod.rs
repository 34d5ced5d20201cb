#![doc = include_str!("README.md")]

mod claimants;
mod claims;
mod conditions;
mod event;
mod evidence;
mod fingerprint;
mod hearing;
mod liveness;
mod modes;
mod offers;
mod order;
mod outbox;
mod peers;
mod placement;
mod relay;
mod rules;
mod statement;
mod table;
mod timing;
mod twins;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

pub use event::{
    ClaimCause, Condition, Event, FleetMember, Forms, Heard, LossCause, Outcome, Transmission, Via,
};
#[doc(hidden)]
pub use rules::Rules;
pub use timing::{PeriodOutOfRange, Timing};

use self::claims::{Owned, Released};
use self::liveness::Hearing;
use self::offers::Offer;
use self::outbox::Outbox;
use self::peers::Peers;
use self::table::Table;
use self::twins::Twins;
use crate::identity::{NodeId, Participant};
use crate::link::Prefix;
use crate::mac::MacAddress;
use crate::moment::Moment;
use crate::wanted::{ClassId, Standing};

/// How many nodes take part on a segment at most.
pub const MAX_PARTICIPANTS: usize = 256;
/// How many addresses are announced on a segment at most.
pub const MAX_ADDRESSES: usize = 16_384;
/// A node with more subnets on an interface does not state them.
const MAX_SUBNETS: usize = 16;
/// What fits an Ethernet frame of 1,500 bytes in either form: 48 bytes are for the headers of IPv6 and UDP.
const PAGE_SIZE: usize = 1452;

/// The election of one segment, as one node takes part in it.
///
/// A wake-up is [`begin`](Self::begin), then [`hear`](Self::hear) for each authentic page, then [`finish`](Self::finish),
/// whose pages are sent, then [`sent`](Self::sent), and only then requests are answered, each if
/// [`answers`](Self::answers) says so. The order is part of the protocol.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says that one kind of work is due")]
pub struct Election {
    identity: Participant,
    mac: MacAddress,
    timing: Timing,
    rules: Rules,
    rng: fastrand::Rng,
    page_size: usize,
    /// The subnets of the interface, as they are stated.
    subnets: Option<Vec<Prefix>>,
    now: Moment,
    /// The wall clock in microseconds since 1970.
    wall: u64,

    mode: Mode,
    carrier: bool,
    start_due: bool,
    started: Moment,
    /// The clock of the wake-up whose whole round the kernel took last.
    last_round: Moment,
    drain: Option<Drain>,
    twins: Twins,
    last_clash: Option<Moment>,

    standing: Standing,
    listed_since: BTreeMap<NodeId, Moment>,
    /// Listed nodes that were never heard here.
    unheard: BTreeSet<NodeId>,
    unheard_due: bool,

    peers: Peers,
    hearing: Hearing,
    membership_changed: bool,
    somebody_died: bool,
    minority: bool,
    minority_until: Option<Moment>,
    /// Unknown senders whose clocks are too far from ours, and when they were told.
    skewed: BTreeMap<Participant, Moment>,

    table: Table,
    /// Since when this node has stated what it can do for each class.
    classes_since: BTreeMap<ClassId, Moment>,
    placement_due: bool,
    owned: BTreeMap<IpAddr, Owned>,
    /// Own addresses that are announced against a node whose beacons do not pass: until when, and when next.
    defences: BTreeMap<IpAddr, (Moment, Moment)>,
    released: BTreeMap<IpAddr, Released>,
    /// Own addresses that others claim, too.
    contested: BTreeSet<IpAddr>,
    /// Own addresses that must go.
    urgent: BTreeSet<IpAddr>,
    offers: BTreeMap<IpAddr, Offer>,
    /// What others took in this wake-up because it was offered to them.
    handed_over: Vec<IpAddr>,
    /// To whom addresses were offered in vain.
    tried: BTreeMap<IpAddr, Vec<Participant>>,
    /// Own addresses that no node may have, and when they are given up.
    stranded: BTreeMap<IpAddr, Moment>,
    offers_due: bool,
    next_rebalance: Moment,
    rebalance_again: bool,
    overloaded_since: Option<Moment>,

    /// When an address is to be looked at.
    timers: BTreeSet<(Moment, IpAddr)>,
    outbox: Outbox,
    conditions: BTreeMap<Condition, Moment>,
    events: Vec<Event>,
}

/// Whether this node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mode {
    /// It can not.
    Passive,
    /// It finds out who has what.
    Listening {
        /// When it becomes active.
        until: Moment,
        /// When it does so even if it did not hear every page of the others.
        latest: Moment,
    },
    /// It takes addresses and answers for them.
    Active {
        /// When it began to.
        since: Moment,
    },
    /// It says its last words.
    Leaving {
        /// How many more.
        left: u8,
        /// When the next.
        next: Moment,
    },
    /// It is gone.
    Left,
}

/// All addresses are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Drain {
    limit: Duration,
    deadline: Option<Moment>,
}

impl Election {
    /// Begins to take part, once the interface has a carrier ([`Self::set_carrier`]).
    ///
    /// `mac` is the address that the node answers with, `seed` decides what happens at random, `wall` is the wall clock in
    /// microseconds since 1970.
    #[must_use]
    pub fn new(
        identity: Participant,
        mac: MacAddress,
        timing: Timing,
        seed: u64,
        now: Moment,
        wall: u64,
    ) -> Self {
        let next_rebalance = now + timing.rebalance;
        Self {
            identity,
            mac,
            timing,
            rules: Rules::default(),
            rng: fastrand::Rng::with_seed(seed),
            page_size: PAGE_SIZE,
            subnets: None,
            now,
            wall,
            mode: Mode::Passive,
            carrier: false,
            start_due: false,
            started: now,
            last_round: now,
            drain: None,
            twins: Twins::default(),
            last_clash: None,
            standing: Standing::default(),
            listed_since: BTreeMap::new(),
            unheard: BTreeSet::new(),
            unheard_due: false,
            peers: Peers::default(),
            hearing: Hearing::default(),
            membership_changed: false,
            somebody_died: false,
            minority: false,
            minority_until: None,
            skewed: BTreeMap::new(),
            table: Table::default(),
            classes_since: BTreeMap::new(),
            placement_due: false,
            owned: BTreeMap::new(),
            defences: BTreeMap::new(),
            released: BTreeMap::new(),
            contested: BTreeSet::new(),
            urgent: BTreeSet::new(),
            offers: BTreeMap::new(),
            handed_over: Vec::new(),
            tried: BTreeMap::new(),
            stranded: BTreeMap::new(),
            offers_due: false,
            next_rebalance,
            rebalance_again: false,
            overloaded_since: None,
            timers: BTreeSet::new(),
            outbox: Outbox::default(),
            conditions: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Leaves rules of the protocol out, to show that tests notice.
    #[doc(hidden)]
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// The interface has another MAC address.
    pub fn set_mac(&mut self, mac: MacAddress) {
        if self.mac != mac {
            self.mac = mac;
            self.outbox.round_now = true;
            self.events.extend(self.owned.keys().map(|address| Event::Announce { address: *address }));
        }
    }

    /// The interface has these addresses. Their subnets are stated, so that an address that lies in one of them rather goes
    /// here than to a node whose interface has no such subnet. Link-local ones tell nothing.
    pub fn set_addresses(&mut self, addresses: &[Prefix]) {
        let is_told = |prefix: &&Prefix| !matches!(prefix.address, IpAddr::V6(address) if address.is_unicast_link_local());
        let mut subnets: Vec<Prefix> = addresses.iter().filter(is_told).map(Prefix::subnet).collect();
        subnets.sort_unstable();
        subnets.dedup();
        let subnets = Some(subnets).filter(|subnets| subnets.len() <= MAX_SUBNETS);
        if self.subnets != subnets {
            self.subnets = subnets;
            self.outbox.round_now = true;
        }
    }

    /// How many bytes a page may have, with header and tag, without the frame around it. 1,452 at first: what fits an
    /// Ethernet frame of 1,500 bytes in either form.
    pub fn set_page_size(&mut self, bytes: usize) {
        self.page_size = bytes;
    }

    /// Everything was heard: does what is due, and says what to send now.
    #[must_use]
    pub fn finish(&mut self) -> Vec<Transmission> {
        self.check_hearing();
        self.step_mode();
        self.check_peers();
        self.check_unheard();
        self.expire();
        self.rebalance();
        self.place();
        self.offer();
        // What was handed over or dropped just now may have been the last.
        self.step_mode();
        if self.outbox.next_tick.is_some_and(|at| self.now >= at) {
            self.expire_conditions();
            self.unheard_due |= !self.unheard.is_empty();
        }
        self.compose()
    }

    /// Whether the kernel took all pages of [`Self::finish`].
    pub fn sent(&mut self, ok: bool) {
        if ok && self.outbox.whole {
            // The clock of the beginning, not of now: a freeze in between then counts as silence.
            self.last_round = self.now;
        }
        self.outbox.whole = false;
    }

    /// Whether requests for the address are answered. `now` is read anew, so that a freeze in between is noticed.
    #[must_use]
    pub fn answers(&self, address: IpAddr, now: Moment) -> bool {
        let keeps = self.rules.keep_offered || !self.offers.contains_key(&address);
        self.is_fresh(now) && keeps && self.owned.get(&address).is_some_and(|owned| !owned.probing)
    }

    /// Whether this node's last round is so young that nobody can have taken it for dead. `now` is read anew, so that a
    /// freeze in between is noticed.
    #[must_use]
    pub fn is_fresh(&self, now: Moment) -> bool {
        !self.rules.fence || now.since(self.last_round) <= self.timing.fence()
    }

    /// When something is due next.
    #[must_use]
    pub fn next_wake(&self) -> Moment {
        let mode = match self.mode {
            Mode::Passive | Mode::Left => {
                let twin = self.twins.lower.map(|lower| lower.until);
                return if self.start_due { self.now } else { twin.unwrap_or(self.now + self.timing.memory) };
            }
            Mode::Listening { until, .. } => (until > self.now).then_some(until),
            Mode::Active { .. } => self.drain.and_then(|drain| drain.deadline),
            Mode::Leaving { next, .. } => Some(next),
        };
        let timer = self.timers.first().map(|(at, _)| *at);
        let due = self.placement_due && self.may_claim() || self.offers_due;
        let due = due.then_some(self.now);
        let rebalance = (!self.owned.is_empty()).then_some(self.next_rebalance);
        let others = [mode, timer, due, rebalance, self.minority_until, self.next_sending()];
        others.into_iter().flatten().fold(self.next_peer_check(), Moment::min)
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The addresses that this node has, with the numbers of its claims, in their order.
    pub fn owned(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        self.owned.iter().map(|(address, owned)| (*address, owned.epoch))
    }

    /// Whether it takes addresses: it has listened for long enough, and does not leave.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.mode, Mode::Active { .. }) && self.drain.is_none()
    }

    /// How many of the wanted addresses this node has.
    #[must_use]
    pub fn load(&self) -> usize {
        self.owned.len()
    }

    /// The nodes that are heard.
    pub fn peers(&self) -> impl Iterator<Item = Participant> {
        self.peers.live().map(|peer| peer.who)
    }

    /// Looks at the addresses for which a time has come.
    fn expire(&mut self) {
        while let Some((at, address)) = self.timers.first().copied().filter(|(at, _)| *at <= self.now) {
            self.timers.remove(&(at, address));
            self.look_at(address);
        }
    }

    fn look_at(&mut self, address: IpAddr) {
        if self.released.get(&address).is_some_and(|released| self.now >= released.until) {
            self.released.remove(&address);
            self.outbox.touched.insert(address);
        }
        if let Some(entry) = self.table.entries.get_mut(&address) {
            if entry.tombstone().is_some_and(|until| self.now >= until) {
                entry.change(|rare| rare.tombstone = None);
                self.placement_due = true;
            }
            if entry.announced().is_some_and(|(_, until)| self.now >= until) {
                entry.change(|rare| rare.announced = None);
            }
        }
        self.offers_due |= self.offers.get(&address).is_some_and(|offer| self.now >= offer.until);
        self.offers_due |= self.stranded.contains_key(&address);
        self.defend(address);
        self.settle(address, ClaimCause::Free, None);
        let claim_at = self.table.free.get(&address).and_then(|free| free.claim_at);
        if claim_at.is_some_and(|at| self.now >= at) && self.may_claim() {
            self.claim_free(address);
        }
    }
}
