//! How the owner of an address chooses its successor.
//!
//! Addresses that must go are offered at once; what is merely more than the share of this node, or better somewhere else, is
//! offered a little at a time. The owner answers until it hears the claim of the successor.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::event::{ClaimCause, LossCause};
use super::order::{AddressHash, Rank};
use super::placement::{Candidate, Field, Seat, Tier, cap, own_tier, peer_tier};
use super::{Election, Mode};
use crate::identity::Participant;
use crate::link::Prefix;
use crate::moment::Moment;
use crate::wanted::{ClassId, Fitness, Wanted};

/// An address that another node is to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Offer {
    pub(super) to: Participant,
    pub(super) until: Moment,
}

impl Election {
    /// Notes whether an address must go to somebody else.
    pub(super) fn check_urgency(&mut self, address: IpAddr) {
        let Some(wanted) = self.table.wanted(address) else { return };
        let takes = self.standing.candidate && self.standing.weight > 0 && self.drain.is_none();
        if !takes || wanted.own == Fitness::Unfit {
            self.offers_due |= self.urgent.insert(address);
        } else if self.urgent.remove(&address) {
            self.tried.remove(&address);
            self.stranded.remove(&address);
            if self.offers.remove(&address).is_some() {
                self.outbox.touched.insert(address);
            }
        }
    }

    /// Makes the offers that are due, and ends those that nobody took.
    pub(super) fn offer(&mut self) {
        if !self.offers_due {
            return;
        }
        self.offers_due = false;
        self.end_offers();
        let open = self.urgent.iter().filter(|address| !self.offers.contains_key(address));
        let mut order: Vec<(AddressHash, IpAddr)> =
            open.filter_map(|address| Some((self.table.get(*address)?.hash, *address))).collect();
        if order.is_empty() {
            return;
        }
        order.sort_unstable();
        let mut chosen = Vec::with_capacity(order.len());
        let mut without_heir = Vec::new();
        let mut field = self.field_with_offers();
        for (hash, address) in order {
            let Some(wanted) = self.table.wanted(address) else { continue };
            let tried = self.tried.get(&address).map_or(&[][..], Vec::as_slice);
            let among = |tried| self.successor(&field, address, hash, wanted, tried);
            // If all were tried: begin again.
            let successor = among(tried).or_else(|| among(&[]));
            let Some(at) = successor else {
                let is_peer = |candidate: &Candidate<'_>| matches!(candidate.who, Seat::Peer(_));
                if wanted.own == Fitness::Unfit && field.first(address, hash, wanted, is_peer).is_none() {
                    without_heir.push(address);
                }
                continue;
            };
            field.candidates[at].load += 1;
            if let Seat::Peer(to) = field.candidates[at].who {
                chosen.push((address, to));
            }
        }
        for address in without_heir {
            self.strand(address);
        }
        for (address, to) in chosen {
            self.stranded.remove(&address);
            let tried = self.tried.entry(address).or_default();
            if tried.contains(&to) {
                tried.clear();
            }
            self.open_offer(address, to);
        }
    }

    /// Neither this node nor any that is heard may have an address. It is given up, but not before all had the time to say
    /// what they can do by the view that this node has already.
    fn strand(&mut self, address: IpAddr) {
        let until = *self.stranded.entry(address).or_insert(self.now + self.timing.offer);
        if until <= self.now {
            self.lose(address, LossCause::Released);
        } else {
            self.timers.insert((until, address));
        }
    }

    fn successor(
        &self,
        field: &Field<'_>,
        address: IpAddr,
        hash: AddressHash,
        wanted: &Wanted,
        tried: &[Participant],
    ) -> Option<usize> {
        field.first(address, hash, wanted, |candidate| match candidate.who {
            Seat::Peer(who) => {
                // One that listens takes nothing yet.
                let ready = self.peers.get(who).is_some_and(|peer| !peer.flags.listening);
                ready && !tried.contains(&who)
            }
            Seat::Own(_) | Seat::Listed(_) => false,
        })
    }

    fn end_offers(&mut self) {
        let over = |offer: &Offer| {
            offer.until <= self.now || self.peers.get(offer.to).is_none_or(|peer| !peer.is_candidate())
        };
        let ended: Vec<(IpAddr, Offer)> = self
            .offers
            .iter()
            .filter(|(_, offer)| over(offer))
            .map(|(address, offer)| (*address, *offer))
            .collect();
        for (address, offer) in ended {
            self.offers.remove(&address);
            self.outbox.touched.insert(address);
            if self.urgent.contains(&address) {
                self.tried.entry(address).or_default().push(offer.to);
            }
        }
    }

    fn open_offer(&mut self, address: IpAddr, to: Participant) {
        let until = self.now + self.timing.offer;
        self.offers.insert(address, Offer { to, until });
        self.timers.insert((until, address));
        self.outbox.touched.insert(address);
    }

    /// The field with what is offered counted for those it is offered to.
    fn field_with_offers(&self) -> Field<'_> {
        let mut field = self.field();
        let mut offered: BTreeMap<Participant, usize> = BTreeMap::new();
        for offer in self.offers.values() {
            *offered.entry(offer.to).or_default() += 1;
        }
        for (to, count) in offered {
            if let Some(at) = field.position(Seat::Peer(to)) {
                field.candidates[at].load += count;
            }
        }
        field
    }

    /// Looks from time to time whether this node has more than its share, or what another node is preferred for.
    pub(super) fn rebalance(&mut self) {
        let due = self.now >= self.next_rebalance;
        if due {
            let fifth = self.timing.rebalance / 5;
            self.next_rebalance =
                self.now + self.timing.rebalance - fifth + 2 * fifth.mul_f64(self.rng.f64());
        } else if !self.rebalance_again {
            return;
        }
        self.rebalance_again = false;
        if !self.may_claim() || self.owned.is_empty() {
            self.overloaded_since = None;
            return;
        }
        for (address, to) in self.calm_offers() {
            self.open_offer(address, to);
        }
    }

    fn calm_offers(&mut self) -> Vec<(IpAddr, Participant)> {
        let own_cap = self.own_cap();
        if self.load() > own_cap {
            self.overloaded_since.get_or_insert(self.now);
        } else {
            self.overloaded_since = None;
        }
        let overloaded =
            self.overloaded_since.is_some_and(|since| self.now.since(since) >= self.timing.overload);
        let room = (own_cap / 20).max(1).saturating_sub(self.offers.len());
        let surplus = if overloaded { self.load().saturating_sub(own_cap + self.offers.len()) } else { 0 };
        let mut field = self.field_with_offers();
        let mut chosen = self.preferred(&mut field, room);
        let room = room.saturating_sub(chosen.len());
        let surplus = surplus.saturating_sub(chosen.len()).min(room);
        if surplus > 0 {
            let taken: Vec<IpAddr> = chosen.iter().map(|(address, _)| *address).collect();
            chosen.extend(self.surplus(&mut field, surplus, &taken));
        }
        chosen
    }

    /// Addresses for which another node is strictly better.
    fn preferred(&self, field: &mut Field<'_>, most: usize) -> Vec<(IpAddr, Participant)> {
        let mut known: BTreeMap<(ClassId, Tier, Vec<bool>), bool> = BTreeMap::new();
        let subnets = self.subnets_of_others();
        let mut chosen = Vec::new();
        for address in self.owned.keys().filter(|address| !self.offers.contains_key(address)) {
            if chosen.len() >= most {
                break;
            }
            let Some(entry) = self.table.get(*address) else { continue };
            let Some(wanted) = &entry.wanted else { continue };
            let Some(own) = own_tier(&self.standing, wanted) else { continue };
            let better = |who| self.settled_tier(who, *address, wanted).is_some_and(|tier| tier > own);
            // Without a list of its own, what holds for one address of a class holds for all in the same subnets.
            if wanted.nodes.is_none() {
                let within = subnets.iter().map(|subnet| subnet.holds(*address)).collect();
                let any = || field.candidates.iter().any(|candidate| better(candidate.who));
                if !*known.entry((wanted.class, own, within)).or_insert_with(any) {
                    continue;
                }
            }
            let Some(at) = field.first(*address, entry.hash, wanted, |candidate| better(candidate.who))
            else {
                continue;
            };
            field.candidates[at].load += 1;
            if let Seat::Peer(to) = field.candidates[at].who {
                chosen.push((*address, to));
            }
        }
        chosen
    }

    /// The subnets that others state, each once.
    fn subnets_of_others(&self) -> BTreeSet<Prefix> {
        self.peers.live().filter_map(|peer| peer.subnets.as_ref()).flatten().copied().collect()
    }

    /// So many addresses beyond the share of this node, those first for which it scores lowest.
    fn surplus(&self, field: &mut Field<'_>, count: usize, taken: &[IpAddr]) -> Vec<(IpAddr, Participant)> {
        let weights: usize = field.candidates.iter().map(|candidate| usize::from(candidate.weight)).sum();
        let mut order: Vec<(u64, IpAddr)> = self
            .owned
            .keys()
            .filter(|address| !self.offers.contains_key(address) && !taken.contains(address))
            .filter_map(|address| Some((self.table.get(*address)?.hash.with(self.identity.node), *address)))
            .collect();
        order.sort_unstable();
        let mut chosen = Vec::new();
        for (_, address) in order {
            if chosen.len() == count {
                break;
            }
            let Some(entry) = self.table.get(address) else { continue };
            let Some(wanted) = &entry.wanted else { continue };
            let Some(own) = own_tier(&self.standing, wanted) else { continue };
            let successor = field.first(address, entry.hash, wanted, |candidate| {
                let below_average =
                    candidate.load * weights < self.table.wanted * usize::from(candidate.weight);
                let as_good =
                    self.settled_tier(candidate.who, address, wanted).is_some_and(|tier| tier >= own);
                below_average && candidate.load < candidate.cap && as_good
            });
            let Some(at) = successor else { continue };
            field.candidates[at].load += 1;
            if let Seat::Peer(to) = field.candidates[at].who {
                chosen.push((address, to));
            }
        }
        chosen
    }

    fn settled_tier(&self, seat: Seat, address: IpAddr, wanted: &Wanted) -> Option<Tier> {
        let Seat::Peer(who) = seat else { return None };
        let peer = self.peers.get(who).filter(|peer| peer.is_settled(self.now, &self.timing))?;
        peer_tier(peer, address, wanted)
    }

    /// How many addresses this node takes before others are asked.
    fn own_cap(&self) -> usize {
        let others = self.peers.live().filter(|peer| peer.is_candidate());
        let weights: usize = others.map(|peer| usize::from(peer.weight)).sum();
        let own = self.standing.weight;
        cap(self.table.wanted, own, weights + usize::from(own))
    }

    /// Takes an address that its owner offers to this node, unless the offer is refused by silence.
    pub(super) fn consider(&mut self, address: IpAddr, from: Participant) {
        let ready = matches!(self.mode, Mode::Active { .. }) && self.drain.is_none();
        if ready && !self.owned.contains_key(&address) && self.accepts(address, from) == Some(true) {
            self.claim(address, ClaimCause::Offer, None);
        }
    }

    fn accepts(&self, address: IpAddr, from: Participant) -> Option<bool> {
        let entry = self.table.get(address)?;
        let wanted = entry.wanted.as_ref()?;
        if entry.tombstone().is_some_and(|until| until > self.now) {
            return None;
        }
        let own = own_tier(&self.standing, wanted)?;
        let rank = |who: Participant| {
            let peer = self.peers.get(who)?;
            let claim = peer.claims.get(&address).filter(|claim| !claim.released)?;
            Some(Rank::new(peer.flags.minority, claim.epoch, entry.hash, who))
        };
        let offered = rank(from)?;
        if entry.claimants.iter().any(|who| rank(who) > Some(offered)) {
            return None;
        }
        let urgent_or_better = match peer_tier(self.peers.get(from)?, address, wanted) {
            None => true,
            Some(theirs) if own < theirs => return None,
            Some(theirs) => own > theirs,
        };
        Some(urgent_or_better || self.load() < self.own_cap())
    }
}
