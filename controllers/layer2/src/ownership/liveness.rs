//! Who is late, who is dead, and whether this node is the one that hears nothing.

use super::event::{Condition, Event};
use super::peers::Presence;
use super::{Election, Mode};
use crate::identity::{Participant, ShortId};
use crate::moment::Moment;

/// Whether this node hears anything at all.
///
/// A card that only sends must not take everything: with nobody to hear there is nobody to serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Hearing {
    /// How many frames the interface has received.
    counter: Option<u64>,
    /// How many it had received with the last page that counted.
    at_last_beacon: Option<u64>,
    beacon_now: bool,
    asked: bool,
    unproven: bool,
}

impl Hearing {
    pub(super) fn begin(&mut self) {
        self.beacon_now = false;
    }

    pub(super) fn note_beacon(&mut self) {
        self.beacon_now = true;
    }

    pub(super) fn is_unproven(&self) -> bool {
        self.unproven
    }

    /// Whether nothing came since the last page that counted.
    fn is_silent(&self) -> bool {
        self.counter.is_some() && self.counter == self.at_last_beacon
    }
}

impl Election {
    /// How many frames the interface has received, read after its sockets were read empty.
    pub fn heard_anything(&mut self, counter: u64) {
        self.hearing.counter = Some(counter);
    }

    /// Whether what was received shows that this node can hear.
    pub(super) fn check_hearing(&mut self) {
        if self.hearing.beacon_now {
            self.hearing.at_last_beacon = self.hearing.counter;
            self.hearing.asked = false;
        }
        if self.hearing.unproven && (self.hearing.beacon_now || !self.hearing.is_silent()) {
            self.hearing.unproven = false;
            self.placement_due = true;
            self.clear(Condition::Deaf);
        }
    }

    /// Asks peers that are late, and parts with those that were silent for too long.
    pub(super) fn check_peers(&mut self) {
        let now = self.now;
        if now >= self.peers.next_check {
            let mut next = now + self.timing.memory;
            let mut late: Vec<ShortId> = Vec::new();
            let mut dead: Vec<Participant> = Vec::new();
            let mut all_late = true;
            self.peers.all.retain(|who, peer| {
                if !peer.is_live() {
                    let forget = peer.last_heard + self.timing.memory;
                    next = next.min(forget.max(now));
                    return now < forget;
                }
                let again = self.timing.repeat_question(peer.period);
                // Only who did not answer is dead: after a freeze, it is this node that missed what the others said.
                let questions = self.rules.questions;
                let dead_at = |asked: Option<Moment>| {
                    let silent = peer.last_heard + self.timing.dead(peer.period);
                    asked.filter(|_| questions).map_or(silent, |asked| silent.max(asked + again))
                };
                all_late &= now >= peer.last_heard + self.timing.question(peer.period);
                let was_asked = peer.asked.is_some() || !questions;
                if was_asked && now >= dead_at(peer.asked) {
                    dead.push(*who);
                } else if now >= peer.ask_at {
                    late.push(who.node.short());
                    peer.ask_at = now + again;
                    peer.asked.get_or_insert(now);
                }
                next = next.min(peer.ask_at).min(dead_at(peer.asked));
                true
            });
            self.peers.next_check = next;
            let nobody_in_time = all_late && !(late.is_empty() && dead.is_empty());
            if nobody_in_time && self.hearing.is_silent() && !self.hearing.asked {
                self.hearing.asked = true;
                self.events.push(Event::ProveHearing);
            }
            if self.rules.questions && self.mode != Mode::Passive {
                self.outbox.solicit.extend(late);
            }
            for who in dead {
                self.bury(who);
            }
        }
        self.check_minority();
    }

    fn bury(&mut self, who: Participant) {
        let Some(peer) = self.peers.get(who) else { return };
        let silent = self.now.since(peer.last_heard);
        self.part_with(who, Presence::Dead);
        self.forget_deleted();
        self.somebody_died = true;
        self.events.push(Event::PeerDied { peer: who, silent });
        self.offers_due |= self.offers.values().any(|offer| offer.to == who);
        let taking_part = matches!(self.mode, Mode::Listening { .. } | Mode::Active { .. });
        if taking_part && self.peers.live().next().is_none() && self.hearing.is_silent() {
            self.hearing.unproven = true;
            self.raise(Condition::Deaf);
        }
    }

    /// Whether this node hears fewer than half of the nodes that it knows.
    fn check_minority(&mut self) {
        if self.rules.minority && self.membership_changed {
            let live = 1 + self.peers.live().count();
            let known = 1 + self.peers.all.values().filter(|peer| peer.presence != Presence::Gone).count();
            if live * 2 < known {
                self.minority |= self.somebody_died;
                self.minority_until = None;
            } else if self.minority && self.minority_until.is_none() {
                self.minority_until = Some(self.now + self.timing.period * 5);
            }
        }
        self.membership_changed = false;
        self.somebody_died = false;
        if self.minority_until.is_some_and(|until| self.now >= until) {
            self.minority = false;
            self.minority_until = None;
        }
    }

    /// Another node asks whether this one lives, so that it need not be asked twice.
    pub(super) fn note_asked(&mut self, whom: ShortId) {
        let asked = self.peers.all.values_mut().filter(|peer| peer.who.node.short() == whom);
        for peer in asked {
            let again = self.now + self.timing.repeat_question(peer.period);
            peer.ask_at = peer.ask_at.max(again);
            peer.asked.get_or_insert(self.now);
        }
    }

    /// When a peer is late or dead next, at the earliest.
    pub(super) fn next_peer_check(&self) -> Moment {
        self.peers.next_check
    }
}
