//! What makes two states of an election the same.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::peers::Peer;
use super::{Election, Mode};
use crate::moment::Moment;

/// Longer than anything that a check of the protocol waits for.
const LONG_AGO: Duration = Duration::from_secs(8);

impl Election {
    /// Hashes all that decides what it does next, with times relative to now: two elections that hash alike behave alike,
    /// whenever they do. Rebalancing and the memory of silent peers take longer than a check of the protocol looks ahead and
    /// are left out, as are numbers of rounds, which only grow.
    #[doc(hidden)]
    pub fn fingerprint(&self, state: &mut impl Hasher) {
        let since = |at: Moment| self.now.since(at).min(LONG_AGO);
        let until = |at: Moment| at.since(self.now).min(LONG_AGO);
        let either = |at: Moment| (since(at), until(at));
        match self.mode {
            Mode::Passive => 0.hash(state),
            Mode::Listening { until: end, .. } => (1, until(end)).hash(state),
            Mode::Active { .. } => 2.hash(state),
            Mode::Leaving { left, next } => (3, left, until(next)).hash(state),
            Mode::Left => 4.hash(state),
        }
        let drain = self.drain.map(|drain| drain.deadline.map(until));
        (drain, self.carrier, self.start_due, since(self.last_round)).hash(state);
        (self.minority, self.minority_until.map(until), self.outbox.said_minority, self.hearing).hash(state);
        for peer in self.peers.all.values() {
            self.fingerprint_peer(peer, state);
        }
        for (address, entry) in &self.table.entries {
            let own = entry.wanted.as_ref().map(|wanted| (wanted.own, wanted.epoch));
            (address, own, entry.epoch, &entry.claimants).hash(state);
            (entry.tombstone().map(until), entry.settled).hash(state);
        }
        for (address, free) in &self.table.free {
            (address, free.since.map(since), free.claim_at.map(either)).hash(state);
        }
        (&self.owned, &self.defences, &self.urgent, &self.tried, &self.contested).hash(state);
        for (address, released) in &self.released {
            (address, released.epoch, until(released.until)).hash(state);
        }
        for (address, offer) in &self.offers {
            (address, offer.to, either(offer.until)).hash(state);
        }
        for (class, stated) in &self.classes_since {
            (class, since(*stated)).hash(state);
        }
        (self.placement_due, self.offers_due, self.membership_changed).hash(state);
        let outbox = &self.outbox;
        (outbox.next_tick.map(until), outbox.round_now, outbox.ask_all).hash(state);
        (outbox.reply.map(|(at, both)| (until(at), both)), &outbox.touched, &outbox.refutes).hash(state);
        for (at, addresses) in &outbox.repeats {
            (until(*at), addresses).hash(state);
        }
        outbox.solicit.hash(state);
    }

    fn fingerprint_peer(&self, peer: &Peer, state: &mut impl Hasher) {
        let since = |at: Moment| self.now.since(at).min(LONG_AGO);
        (peer.who, peer.presence, since(peer.last_heard), peer.last_ethernet.map(since)).hash(state);
        let flags = peer.flags;
        (flags.listening, flags.draining, flags.minority, flags.not_candidate, peer.weight).hash(state);
        (&peer.heard, peer.lacks_me_since.map(since), &peer.lacks, &peer.had).hash(state);
        (peer.lacks_counted.map(since), peer.ask_at.since(self.now), peer.is_known_wholly()).hash(state);
        (peer.asked.map(since), peer.lacks_due, &peer.classes, &peer.subnets, &peer.claims).hash(state);
    }
}
