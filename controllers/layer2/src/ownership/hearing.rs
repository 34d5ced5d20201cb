//! What a page of another node changes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::event::{ClaimCause, Condition, Event, Heard, Outcome, Via};
use super::peers::{Peer, Presence, Terms, bit};
use super::statement::Statement;
use super::{Election, MAX_ADDRESSES, MAX_PARTICIPANTS};
use crate::beacon::admission::Recollection;
use crate::beacon::{Claim, Claims, Header, Page, Stale};
use crate::identity::Participant;
use crate::moment::Moment;

/// A sender is told once in so long that its rounds are ignored.
const TELL_STALE_EVERY: Duration = Duration::from_secs(1);
/// So many unknown senders whose clocks are off are remembered.
const MAX_SKEWED: usize = 16;

impl Election {
    /// A page was received. Its tag is right, and its cluster ours.
    pub fn hear(&mut self, page: &Page, via: Via) -> Heard {
        let outcome = self.admit(&page.header);
        let mut relay_to = Vec::new();
        if outcome == Outcome::Accepted {
            self.hearing.note_beacon();
            self.take_presence(&page.header, via);
            if !page.header.flags.goodbye {
                if page.header.page == 0 {
                    self.take_lists(page);
                }
                self.take_claims(page);
                relay_to = self.relay_targets(page.header.from, via);
            }
        }
        Heard { outcome, relay_to, handed_over: std::mem::take(&mut self.handed_over) }
    }

    /// Whether a page counts.
    fn admit(&mut self, header: &Header) -> Outcome {
        let from = header.from;
        if from == self.identity {
            if header.seq <= self.outbox.seq {
                return Outcome::Own;
            }
            self.note_clash();
            return Outcome::Clash;
        }
        if from.node == self.identity.node {
            self.note_twin(header);
            return Outcome::Twin;
        }
        let is_known = self.peers.all.contains_key(&from);
        match self.recall(header) {
            Recollection::Outdated => Outcome::Old,
            Recollection::Taken => Outcome::Duplicate,
            Recollection::New if is_known => Outcome::Accepted,
            Recollection::New => self.admit_unknown(header),
        }
    }

    /// What is remembered of the round that a frame says to be of. Looked at before its tag is, so that a replay costs no
    /// more than this.
    pub fn recall(&mut self, header: &Header) -> Recollection {
        let from = header.from;
        if from == self.identity {
            return if header.seq <= self.outbox.seq { Recollection::Taken } else { Recollection::New };
        }
        let now = self.now;
        let Some(peer) = self.peers.all.get_mut(&from) else { return Recollection::New };
        if header.seq < peer.seq {
            let since = *peer.older_since.get_or_insert(now);
            // One that listens has restarted with a clock that went back; it is told in time for its first claim.
            let waits = !header.flags.listening && now.since(since) < TELL_STALE_EVERY;
            let told = peer.told_stale.is_some_and(|at| now.since(at) < TELL_STALE_EVERY);
            if !waits && !told {
                peer.told_stale = Some(now);
                self.outbox.stale.push(Stale { node: from.node, seq: peer.seq });
            }
            return Recollection::Outdated;
        }
        if header.seq == peer.seq && peer.taken & bit(header.page) != 0 {
            return Recollection::Taken;
        }
        Recollection::New
    }

    fn admit_unknown(&mut self, header: &Header) -> Outcome {
        let from = header.from;
        let off = Duration::from_micros(header.seq.abs_diff(self.wall));
        if off > self.timing.memory {
            self.tell_skewed(header);
            return Outcome::ClockSkew;
        }
        if self.peers.all.len() + 1 >= MAX_PARTICIPANTS {
            self.raise(Condition::TooManyParticipants);
            return Outcome::TooMany;
        }
        self.skewed.remove(&from);
        self.clear(Condition::ClockSkew(from));
        self.peers.all.insert(from, Peer::new(header, self.now));
        Outcome::Accepted
    }

    fn tell_skewed(&mut self, header: &Header) {
        let from = header.from;
        let known = self.skewed.get(&from).copied();
        if known.is_none() && self.skewed.len() >= MAX_SKEWED {
            self.skewed.retain(|_, at: &mut Moment| self.now.since(*at) < self.timing.memory);
            if self.skewed.len() >= MAX_SKEWED {
                return;
            }
        }
        self.raise(Condition::ClockSkew(from));
        if known.is_none_or(|at| self.now.since(at) >= TELL_STALE_EVERY) {
            self.skewed.insert(from, self.now);
            if header.seq < self.wall {
                self.outbox.stale.push(Stale { node: from.node, seq: self.wall });
            }
        }
    }

    /// Notes that a node is there, and what it says about itself.
    fn take_presence(&mut self, header: &Header, via: Via) {
        let from = header.from;
        let Some(peer) = self.peers.all.get_mut(&from) else { return };
        let before = (peer.presence, peer.is_candidate(), peer.weight, peer.flags.listening);
        peer.take_header(header, via, self.now, &self.timing);
        self.peers.next_check = self.peers.next_check.min(peer.ask_at);
        if header.flags.goodbye {
            if before.0 != Presence::Gone {
                self.part_with(from, Presence::Gone);
                self.events.push(Event::PeerLeft(from));
            }
            return;
        }
        peer.presence = Presence::Live;
        let repeated =
            if before.0 == Presence::Live { BTreeSet::new() } else { std::mem::take(&mut peer.had) };
        let after = (peer.presence, peer.is_candidate(), peer.weight, peer.flags.listening);
        if after != before {
            self.field_changed();
        }
        match before.0 {
            Presence::Live => {}
            Presence::Dead => self.events.push(Event::PeerReturned(from)),
            Presence::Gone => self.events.push(Event::PeerJoined(from)),
        }
        // Answers that it gave late may have misled clients.
        for address in repeated.into_iter().filter(|address| self.owned.contains_key(address)) {
            self.events.push(Event::Announce { address });
        }
    }

    /// Takes the claims of a node away that is heard no longer.
    pub(super) fn part_with(&mut self, who: Participant, presence: Presence) {
        let Some(peer) = self.peers.all.get_mut(&who) else { return };
        let last_heard = peer.last_heard;
        peer.presence = presence;
        peer.statements.clear();
        peer.load = 0;
        peer.seen = 0;
        peer.lacks_me_since = None;
        peer.lacks.clear();
        let claims = std::mem::take(&mut peer.claims);
        let addresses = claims.into_iter().filter(|(_, claim)| !claim.released).map(|(address, _)| address);
        peer.had = addresses.collect();
        let cause = if presence == Presence::Dead { ClaimCause::Death } else { ClaimCause::Free };
        let had = if presence == Presence::Dead { peer.had.clone() } else { std::mem::take(&mut peer.had) };
        for address in had {
            self.table.entry(address).claimants.remove(who);
            self.settle(address, cause, Some(last_heard));
        }
        self.field_changed();
    }

    /// Who is first for free addresses may be another one now.
    pub(super) fn field_changed(&mut self) {
        self.placement_due = true;
        self.offers_due |= !self.urgent.is_empty();
        self.membership_changed = true;
        self.unheard_due = true;
        self.peers.all.values_mut().for_each(|peer| peer.lacks_due = true);
    }

    /// Takes what only the first page of a round says.
    fn take_lists(&mut self, page: &Page) {
        let own = self.identity.node.short();
        let from = page.header.from;
        let Some(peer) = self.peers.all.get_mut(&from) else { return };
        let mut heard = page.heard.clone();
        heard.sort_unstable();
        let heard_changed = heard != peer.heard;
        peer.heard = heard;
        let hears_own = peer.hears(own);
        if hears_own {
            peer.lacks_me_since = None;
        } else {
            peer.lacks_me_since.get_or_insert(self.now);
        }
        let mut classes = page.classes.clone();
        classes.sort_unstable_by_key(|(class, _)| *class);
        let counts = heard_changed || !peer.lacks.is_empty() || peer.lacks_due;
        if classes != peer.classes || page.subnets != peer.subnets {
            peer.classes = classes;
            peer.subnets.clone_from(&page.subnets);
            self.field_changed();
        }
        if hears_own {
            self.note_listed();
        }
        if counts {
            self.count_lacking(from);
        }
        if page.header.flags.solicit_all || page.solicit.contains(&own) {
            self.reply(page.solicit.contains(&own));
        }
        for asked in &page.solicit {
            self.note_asked(*asked);
        }
        for stale in page.stale.iter().filter(|stale| stale.node == self.identity.node) {
            if stale.seq >= self.outbox.seq {
                self.outbox.seq = stale.seq + 1;
                self.outbox.round_now = true;
            }
        }
    }

    /// Takes what a page says about claims and offers.
    fn take_claims(&mut self, page: &Page) {
        let from = page.header.from;
        let statement = Statement::of(page);
        if self.note_statement(from, page.header.page, statement) {
            for claims in [&page.ipv4, &page.ipv6].into_iter().flatten() {
                self.restate(from, claims);
            }
        }
        // Contested addresses are looked at even if nothing is new: how long it has been so may decide.
        let stated = |address: &&IpAddr| statement.is_about(**address);
        let contested: Vec<IpAddr> = self.contested.iter().filter(stated).copied().collect();
        for address in contested {
            self.judge(address, from);
        }
        let own = self.identity.node.short();
        for offer in page.offers.iter().filter(|offer| offer.to == own) {
            self.consider(offer.address, from);
        }
    }

    /// Remembers what a page says; false if it said the same before.
    fn note_statement(&mut self, from: Participant, number: u8, statement: Statement) -> bool {
        let Some(peer) = self.peers.all.get_mut(&from) else { return false };
        let at = usize::from(number);
        if peer.statements.get(at) == Some(&Some(statement)) {
            return false;
        }
        // What other pages said about these ranges is no longer all that was said about them.
        for known in &mut peer.statements {
            if known.is_some_and(|known| known.overlaps(&statement)) {
                *known = None;
            }
        }
        if peer.statements.len() <= at {
            peer.statements.resize(at + 1, None);
        }
        peer.statements[at] = Some(statement);
        true
    }

    /// Replaces what a node claims between two addresses.
    fn restate(&mut self, from: Participant, stated: &Claims) {
        let Some(peer) = self.peers.all.get_mut(&from) else { return };
        if stated.low > stated.high {
            return;
        }
        let is_stated =
            |address: &IpAddr| stated.claims.binary_search_by_key(address, |claim| claim.address).is_ok();
        let known = peer.claims.range(stated.low..=stated.high).map(|(address, _)| *address);
        let vanished: Vec<IpAddr> = known.filter(|address| !is_stated(address)).collect();
        let is_new = |claim: &&Claim| peer.claims.get(&claim.address) != Some(&Terms::from(*claim));
        let changed: Vec<Claim> = stated.claims.iter().filter(is_new).copied().collect();
        for address in vanished {
            self.unclaim(from, address);
            self.settle(address, ClaimCause::Free, Some(self.now));
        }
        for claim in changed {
            self.note_claim(from, claim);
        }
    }

    /// A node claims an address no more.
    fn unclaim(&mut self, from: Participant, address: IpAddr) {
        let Some(peer) = self.peers.all.get_mut(&from) else { return };
        if peer.claims.remove(&address).is_none_or(|claim| claim.released) {
            return;
        }
        let entry = self.table.entry(address);
        entry.claimants.remove(from);
        if entry.wanted.is_some() {
            peer.load = peer.load.saturating_sub(1);
        }
    }

    /// A node claims an address, or says that nobody is to have it.
    fn note_claim(&mut self, from: Participant, claim: Claim) {
        let address = claim.address;
        if self.table.get(address).is_none() && self.table.entries.len() >= 2 * MAX_ADDRESSES {
            self.raise(Condition::TooManyAddresses);
            return;
        }
        if claim.released {
            self.unclaim(from, address);
        }
        let Some(peer) = self.peers.all.get_mut(&from) else { return };
        peer.claims.insert(address, Terms::from(&claim));
        let entry = self.table.entry(address);
        entry.epoch = entry.epoch.max(claim.epoch);
        if claim.released {
            if claim.epoch > entry.earlier_epoch() {
                let until = self.now + self.timing.tombstone;
                entry.change(|rare| rare.tombstone = Some(until));
                self.timers.insert((until, address));
                self.heed_release(address, claim.epoch);
            }
        } else {
            entry.settled |= !claim.probing;
            if entry.claimants.insert(from) && entry.wanted.is_some() {
                peer.load += 1;
            }
        }
        self.settle(address, ClaimCause::Free, None);
    }

    /// The other owner of an address says that nobody is to have it.
    fn heed_release(&mut self, address: IpAddr, epoch: u32) {
        if self.owned.get(&address).is_some_and(|owned| owned.epoch < epoch) {
            self.lose(address, super::event::LossCause::Released);
        }
    }
}
