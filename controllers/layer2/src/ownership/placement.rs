//! Who is first for an address that nobody has, and who is to be offered one.
//!
//! Each node computes this alone. The result decides only who speaks first: after that the claims that are heard are what
//! all have in common.

use std::net::IpAddr;

use super::order::AddressHash;
use super::peers::Peer;
use super::{Election, Mode};
use crate::identity::{NodeId, Participant};
use crate::moment::Moment;
use crate::wanted::{Fitness, Standing, Wanted};

/// The nodes that addresses can go to, with what they have.
pub(super) struct Field<'a> {
    pub(super) candidates: Vec<Candidate<'a>>,
}

/// A node that addresses can go to.
pub(super) struct Candidate<'a> {
    pub(super) who: Seat,
    pub(super) weight: u16,
    pub(super) load: usize,
    /// How many addresses it takes before others are asked.
    pub(super) cap: usize,
    abilities: Abilities<'a>,
}

/// Whom a candidate stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seat {
    /// This node.
    Own(Participant),
    /// A peer that is heard.
    Peer(Participant),
    /// A node that the API lists and that was never heard here.
    Listed(NodeId),
}

enum Abilities<'a> {
    Own(&'a Standing),
    Peer(&'a Peer),
    Unknown,
}

/// How good a node is for an address, before loads and scores count: whether it is no stopgap, then how much it is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tier {
    firm: bool,
    preference: u16,
}

impl Tier {
    pub(super) fn of(fitness: Fitness) -> Option<Self> {
        match fitness {
            Fitness::Unfit => None,
            Fitness::Fit { soft, preference } => Some(Self { firm: !soft, preference }),
        }
    }
}

impl Seat {
    pub(super) fn node(self) -> NodeId {
        match self {
            Self::Own(who) | Self::Peer(who) => who.node,
            Self::Listed(node) => node,
        }
    }
}

impl Candidate<'_> {
    /// How good it is for an address, if it may have it at all.
    pub(super) fn tier(&self, address: IpAddr, wanted: &Wanted) -> Option<Tier> {
        match &self.abilities {
            Abilities::Own(standing) => own_tier(standing, wanted),
            Abilities::Peer(peer) => peer_tier(peer, address, wanted),
            Abilities::Unknown => listed(wanted, self.who.node()),
        }
    }

    fn has_room(&self) -> bool {
        self.load < self.cap
    }
}

/// How good this node is for an address.
pub(super) fn own_tier(standing: &Standing, wanted: &Wanted) -> Option<Tier> {
    if standing.candidate && standing.weight > 0 { Tier::of(wanted.own) } else { None }
}

/// How good a peer is for an address by our view and by what it says.
pub(super) fn peer_tier(peer: &Peer, address: IpAddr, wanted: &Wanted) -> Option<Tier> {
    if !peer.is_candidate() {
        return None;
    }
    let of_class = listed(wanted, peer.who.node).and_then(|_| Tier::of(peer.fitness(wanted.class)))?;
    Some(Tier { firm: of_class.firm && peer.holds(address), ..of_class })
}

/// A node that says nothing is fit wherever our view lets it be.
fn listed(wanted: &Wanted, node: NodeId) -> Option<Tier> {
    let may = wanted.nodes.as_ref().is_none_or(|nodes| nodes.contains(&node));
    may.then_some(Tier { firm: true, preference: 0 })
}

impl<'a> Field<'a> {
    /// Sets how many addresses each takes: a quarter more than its share of all, and one.
    fn set_caps(&mut self, wanted: usize) {
        let weights: usize = self.candidates.iter().map(|candidate| usize::from(candidate.weight)).sum();
        for candidate in &mut self.candidates {
            candidate.cap = cap(wanted, candidate.weight, weights);
        }
    }

    /// Who is first for an address among those that `may` have it.
    pub(super) fn first(
        &self,
        address: IpAddr,
        hash: AddressHash,
        wanted: &Wanted,
        may: impl Fn(&Candidate<'a>) -> bool,
    ) -> Option<usize> {
        let able = self.candidates.iter().enumerate().filter(|(_, candidate)| may(candidate));
        let able = able.filter_map(|(at, candidate)| Some((at, candidate, candidate.tier(address, wanted)?)));
        let best = able.max_by(|(_, one, one_tier), (_, other, other_tier)| {
            let by_room = || match (one.has_room(), other.has_room()) {
                (true, true) => by_score(hash, one, other),
                (false, false) => fuller(other, one).then_with(|| by_score(hash, one, other)),
                (one, other) => one.cmp(&other),
            };
            one_tier.cmp(other_tier).then_with(by_room)
        });
        best.map(|(at, ..)| at)
    }

    /// The place of a candidate for an address whose `first` is known: 0 for that one, then in the order of tiers and scores.
    fn place_of(
        &self,
        at: usize,
        first: usize,
        address: IpAddr,
        hash: AddressHash,
        wanted: &Wanted,
    ) -> Option<u32> {
        let own = &self.candidates[at];
        let tier = own.tier(address, wanted)?;
        if at == first {
            return Some(0);
        }
        let mut place = 1;
        for (index, other) in self.candidates.iter().enumerate() {
            let Some(other_tier) = other.tier(address, wanted) else { continue };
            let before = other_tier.cmp(&tier).then_with(|| by_score(hash, other, own));
            if index != at && index != first && before.is_gt() {
                place += 1;
            }
        }
        Some(place)
    }

    pub(super) fn position(&self, seat: Seat) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.who == seat)
    }
}

/// How many of the wanted addresses a node with this weight takes.
pub(super) fn cap(wanted: usize, weight: u16, weights: usize) -> usize {
    (5 * wanted * usize::from(weight)).checked_div(4 * weights).unwrap_or(0) + 1
}

fn by_score(address: AddressHash, one: &Candidate<'_>, other: &Candidate<'_>) -> std::cmp::Ordering {
    let score = |candidate: &Candidate<'_>| address.score(candidate.who.node(), candidate.weight);
    score(one).total_cmp(&score(other)).then_with(|| one.who.cmp_identity(other.who))
}

impl Seat {
    /// The same order on each node, whoever is called own there.
    fn cmp_identity(self, other: Self) -> std::cmp::Ordering {
        let key = |seat: Self| match seat {
            Self::Own(who) | Self::Peer(who) => (who.node, who.link),
            Self::Listed(node) => (node, 0),
        };
        key(self).cmp(&key(other))
    }
}

/// Whose load is greater for its weight.
fn fuller(one: &Candidate<'_>, other: &Candidate<'_>) -> std::cmp::Ordering {
    (one.load * usize::from(other.weight)).cmp(&(other.load * usize::from(one.weight)))
}

impl Election {
    /// The nodes that addresses can go to, this one included if it takes any.
    pub(super) fn field(&self) -> Field<'_> {
        let mut candidates = Vec::new();
        let takes = self.standing.candidate && self.standing.weight > 0 && self.drain.is_none();
        if takes && matches!(self.mode, Mode::Listening { .. } | Mode::Active { .. }) {
            candidates.push(Candidate {
                who: Seat::Own(self.identity),
                weight: self.standing.weight,
                load: self.load(),
                cap: 0,
                abilities: Abilities::Own(&self.standing),
            });
        }
        candidates.extend(self.peers.live().filter(|peer| peer.is_candidate()).map(|peer| Candidate {
            who: Seat::Peer(peer.who),
            weight: peer.weight,
            load: peer.load,
            cap: 0,
            abilities: Abilities::Peer(peer),
        }));
        candidates.extend(self.unheard.iter().copied().map(|node| Candidate {
            who: Seat::Listed(node),
            weight: 100,
            load: self.announced_by(node),
            cap: 0,
            abilities: Abilities::Unknown,
        }));
        let mut field = Field { candidates };
        field.set_caps(self.table.wanted);
        field
    }

    /// Claims what is free and this node's turn; remembers when it is its turn for the rest.
    pub(super) fn place(&mut self) {
        if !self.placement_due || !self.may_claim() {
            return;
        }
        self.placement_due = false;
        for free in self.table.free.values_mut() {
            free.since.get_or_insert(self.now);
        }
        self.classes_since.retain(|class, _| self.standing.classes.contains_key(class));
        for class in self.standing.classes.keys() {
            self.classes_since.entry(*class).or_insert(self.now);
        }
        let places = self.places();
        for (address, place) in places {
            let unstated = self.unstated_until(address);
            let Some(free) = self.table.free.get_mut(&address) else { continue };
            let wait = if self.rules.stagger { place.min(5) } else { place.min(1) * 1000 };
            let due = free.since.unwrap_or(self.now) + self.timing.period * wait;
            let due = due.max(unstated.unwrap_or(due));
            free.claim_at = Some(due);
            if due <= self.now {
                self.claim_free(address);
            } else {
                self.timers.insert((due, address));
            }
        }
    }

    /// Until when the others may still say what they can do for the class of an address: one that is new is stated by each node
    /// when its own view has it, and who claims before that may not be the one that is preferred.
    fn unstated_until(&self, address: IpAddr) -> Option<Moment> {
        let class = self.table.wanted(address)?.class;
        let until = *self.classes_since.get(&class)? + self.timing.period;
        let complete = self.peers.live().filter(|peer| peer.is_candidate()).all(|peer| peer.states(class));
        (self.now < until && !complete).then_some(until)
    }

    /// This node's place for each free address that it may have.
    fn places(&self) -> Vec<(IpAddr, u32)> {
        let mut field = self.field();
        let Some(own) = field.position(Seat::Own(self.identity)) else { return Vec::new() };
        let mut order: Vec<(AddressHash, IpAddr)> = self
            .table
            .free
            .keys()
            .filter_map(|address| self.table.get(*address).map(|entry| (entry.hash, *address)))
            .collect();
        order.sort_unstable();
        let mut places = Vec::with_capacity(order.len());
        for (hash, address) in order {
            let Some(entry) = self.table.get(address) else { continue };
            let Some(wanted) = &entry.wanted else { continue };
            if entry.tombstone().is_some_and(|until| until > self.now) {
                continue;
            }
            // What this node had by the API is not left to one that nobody hears.
            let had = wanted.announced_by.is_some_and(|node| !self.is_unheard(node));
            let may = |candidate: &Candidate<'_>| !(had && matches!(candidate.who, Seat::Listed(_)));
            let Some(first) = field.first(address, hash, wanted, may) else { continue };
            field.candidates[first].load += 1;
            // Nobody knows whether an unheard first one has it, so nobody takes it.
            if matches!(field.candidates[first].who, Seat::Listed(_)) {
                continue;
            }
            let place = field.place_of(own, first, address, hash, wanted);
            places.extend(place.map(|place| (address, place)));
        }
        places
    }
}
