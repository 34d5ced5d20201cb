//! How addresses are taken and given up.

use std::net::IpAddr;
use std::sync::Arc;

use super::event::{ClaimCause, Condition, Event, LossCause};
use super::order::Rank;
use super::table::Free;
use super::{Election, MAX_ADDRESSES, Mode};
use crate::beacon::Claim;
use crate::identity::Participant;
use crate::moment::Moment;
use crate::wanted::{Fitness, Wanted};

/// An address that this node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owned {
    pub(super) epoch: u32,
    pub(super) probing: bool,
}

/// An address that this node gave up because nobody is to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Released {
    pub(super) epoch: u32,
    pub(super) until: Moment,
}

impl Election {
    /// The API says something else about an address, or that nobody is to have it.
    pub fn want(&mut self, address: IpAddr, wanted: Option<Arc<Wanted>>) {
        match wanted {
            Some(wanted) => self.want_more(address, wanted),
            None => self.want_no_more(address),
        }
    }

    fn want_more(&mut self, address: IpAddr, wanted: Arc<Wanted>) {
        let is_new = self.table.wanted(address).is_none();
        if is_new && self.table.wanted >= MAX_ADDRESSES {
            self.raise(Condition::TooManyAddresses);
            // The last ones in the order of addresses are left out, so that all nodes leave out the same.
            let last = self.table.entries.iter().rev().find(|(_, entry)| entry.wanted.is_some());
            let last = last.map(|(last, _)| *last).filter(|last| *last > address);
            let Some(last) = last else {
                self.table.excess.insert(address, wanted);
                return;
            };
            let postponed = self.table.wanted(last).cloned();
            self.forget_wanted(last);
            self.table.excess.extend(postponed.map(|postponed| (last, postponed)));
        }
        let entry = self.table.entry(address);
        let before = entry.uid();
        let other_object = before.is_some_and(|uid| uid != wanted.uid);
        let again = is_new && before.is_some();
        if other_object || again {
            // The view is newer than what was said about the object that is gone.
            let epoch = entry.epoch;
            entry.change(|rare| (rare.earlier_epoch, rare.tombstone) = (epoch, None));
            entry.settled &= !other_object;
            self.released.remove(&address);
        }
        let nobody =
            wanted.own == Fitness::Unfit && wanted.nodes.as_ref().is_some_and(|nodes| nodes.is_empty());
        entry.wanted = Some(wanted);
        if is_new {
            self.table.wanted += 1;
            self.count_load(address, 1);
        }
        if self.owned.contains_key(&address) {
            if nobody {
                // Not a tombstone: whoever gets an endpoint first takes the address at once.
                self.lose(address, LossCause::Released);
            }
            self.check_urgency(address);
        }
        self.yield_to_unheard(address);
        self.settle(address, ClaimCause::Free, None);
        self.placement_due = true;
    }

    fn want_no_more(&mut self, address: IpAddr) {
        if self.table.excess.remove(&address).is_none() && self.table.wanted(address).is_some() {
            self.forget_wanted(address);
            if let Some((address, wanted)) = self.table.excess.pop_first() {
                self.want_more(address, wanted);
            }
        }
        if self.table.excess.is_empty() {
            self.clear(Condition::TooManyAddresses);
        }
    }

    fn forget_wanted(&mut self, address: IpAddr) {
        self.count_load(address, -1);
        self.table.entry(address).want_no_more();
        self.table.wanted -= 1;
        if let Some(owned) = self.owned.get(&address).copied() {
            self.release(address, owned.epoch);
            self.lose(address, LossCause::Released);
        }
        self.settle(address, ClaimCause::Free, None);
    }

    fn count_load(&mut self, address: IpAddr, by: isize) {
        let Some(entry) = self.table.get(address) else { return };
        for who in entry.claimants.iter() {
            if let Some(peer) = self.peers.all.get_mut(&who) {
                peer.load = peer.load.saturating_add_signed(by);
            }
        }
    }

    /// Says for some time that nobody is to take the address.
    pub(super) fn release(&mut self, address: IpAddr, epoch: u32) {
        let until = self.now + self.timing.tombstone;
        self.released.insert(address, Released { epoch, until });
        self.table.entry(address).change(|rare| rare.tombstone = Some(until));
        self.timers.insert((until, address));
        self.outbox.touched.insert(address);
    }

    /// Takes an address that is free.
    pub(super) fn claim_free(&mut self, address: IpAddr) {
        let Some(free) = self.table.free.get(&address).copied() else { return };
        self.claim(address, free.cause, free.last_heard);
    }

    /// Takes an address.
    pub(super) fn claim(&mut self, address: IpAddr, cause: ClaimCause, last_heard: Option<Moment>) {
        let Some(entry) = self.table.entries.get_mut(&address) else { return };
        let Some(wanted) = &entry.wanted else { return };
        let epoch = entry.epoch.max(wanted.epoch).saturating_add(1).min(Claim::MAX_EPOCH);
        let probing = wanted.probe && !entry.settled;
        entry.epoch = epoch;
        entry.settled |= !probing;
        self.owned.insert(address, Owned { epoch, probing });
        self.say_again(address);
        self.check_urgency(address);
        self.settle(address, cause, None);
        let outage = last_heard.map(|at| self.now.since(at));
        self.events.push(Event::Claimed { address, epoch, cause, probing, outage });
    }

    /// Sends the page of an address now and again shortly after, in case that it is lost.
    pub(super) fn say_again(&mut self, address: IpAddr) {
        self.outbox.touched.insert(address);
        for wait in &self.timing.claim_repeats {
            self.outbox.repeats.entry(self.now + *wait).or_default().push(address);
        }
    }

    /// Gives an address up at once.
    pub(super) fn lose(&mut self, address: IpAddr, cause: LossCause) {
        let Some(owned) = self.owned.remove(&address) else { return };
        self.defences.remove(&address);
        self.offers.remove(&address);
        self.urgent.remove(&address);
        self.tried.remove(&address);
        self.stranded.remove(&address);
        self.events.push(Event::Lost { address, epoch: owned.epoch, cause });
        self.settle(address, ClaimCause::Free, None);
    }

    /// Gives everything up at once.
    pub(super) fn lose_all(&mut self, cause: LossCause) {
        let addresses: Vec<IpAddr> = self.owned.keys().copied().collect();
        for address in addresses {
            self.lose(address, cause);
        }
        let released = std::mem::take(&mut self.released);
        for address in released.into_keys() {
            self.settle(address, ClaimCause::Free, None);
        }
    }

    /// Notes whether an address is free, after anything about it changed.
    pub(super) fn settle(&mut self, address: IpAddr, cause: ClaimCause, last_heard: Option<Moment>) {
        let Some(entry) = self.table.entries.get(&address) else { return };
        let owned = self.owned.contains_key(&address);
        if owned && !entry.claimants.is_empty() {
            self.contested.insert(address);
        } else {
            self.contested.remove(&address);
        }
        let by_api = self.announced_unheard(address).is_some();
        let held = owned || !entry.claimants.is_empty() || self.is_shown_by_arp(entry) || by_api;
        if entry.wanted.is_some() && !held {
            let free = Free { since: None, cause, last_heard, claim_at: None };
            self.table.free.entry(address).or_insert_with(|| {
                self.placement_due = true;
                free
            });
            return;
        }
        self.table.free.remove(&address);
        let known = held || entry.wanted.is_some() || entry.tombstone().is_some();
        if !known && !self.released.contains_key(&address) {
            self.table.entries.remove(&address);
        }
    }

    /// Compares a peer's claim for an address that this node has with its own.
    pub(super) fn judge(&mut self, address: IpAddr, from: Participant) {
        let Some(owned) = self.owned.get(&address).copied() else { return };
        let Some(entry) = self.table.get(address) else { return };
        let Some(peer) = self.peers.get(from) else { return };
        let Some(claim) = peer.claims.get(&address).filter(|claim| !claim.released) else { return };
        let number = |epoch| if self.rules.epochs { epoch } else { 0 };
        let own = Rank::new(self.outbox.said_minority, number(owned.epoch), entry.hash, self.identity);
        let theirs = Rank::new(peer.flags.minority, number(claim.epoch), entry.hash, from);
        if theirs > own {
            let offered = self.offers.get(&address).is_some_and(|offer| offer.to == from);
            let cause = if offered { LossCause::HandedOver(from) } else { LossCause::Yielded(from) };
            if self.rules.yield_to_better {
                self.rebalance_again |= offered && !self.urgent.contains(&address);
                if offered {
                    self.handed_over.push(address);
                }
                self.lose(address, cause);
            }
        } else if self.rules.deaf && self.is_deaf_to_us(from) {
            self.lose(address, LossCause::Unheard(from));
        } else if self.rules.refute {
            self.outbox.refutes.insert(address);
        }
    }

    /// Whether a peer can not know what this node says, so that only this node can give way.
    fn is_deaf_to_us(&self, from: Participant) -> bool {
        let Some(peer) = self.peers.get(from) else { return false };
        let Some(since) = peer.lacks_me_since else { return false };
        let periods = if peer.flags.minority { 6 } else { 1 };
        let own = self.identity.node.short();
        let hear_us = 1 + self.peers.live().filter(|peer| peer.hears(own)).count();
        self.now.since(since) >= peer.period * periods && hear_us <= peer.heard.len() + 1
    }

    /// The segment was asked, and nobody else has the address.
    pub fn probed(&mut self, address: IpAddr) {
        let Some(owned) = self.owned.get_mut(&address).filter(|owned| owned.probing) else { return };
        owned.probing = false;
        self.table.entry(address).settled = true;
        self.say_again(address);
    }

    /// The segment was asked, and another station has the address. It is given up.
    pub fn conflicted(&mut self, address: IpAddr) {
        let Some(owned) = self.owned.get(&address).copied() else { return };
        self.release(address, owned.epoch);
        self.lose(address, LossCause::Conflict);
    }

    /// Whether this node may claim anything now.
    pub(super) fn may_claim(&self) -> bool {
        let unproven = self.hearing.is_unproven();
        matches!(self.mode, Mode::Active { .. }) && self.drain.is_none() && !unproven
    }
}
