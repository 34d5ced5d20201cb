//! Frames are passed on between two nodes that can not hear each other.

use super::Election;
use super::event::Via;
use crate::identity::Participant;
use crate::mac::MacAddress;

/// After so many rounds without a node in the list of another, its frames are passed on to that one.
const ROUNDS: u8 = 2;

impl Election {
    /// Counts which nodes that are heard here a peer does not hear. Called when a first page of a round of it was taken.
    pub(super) fn count_lacking(&mut self, who: Participant) {
        let now = self.now;
        let Some(peer) = self.peers.get(who) else { return };
        let same_round = peer.lacks_counted.is_some_and(|at| now.since(at) < peer.period / 2);
        let direct = peer.is_direct(now, &self.timing);
        let others = self.peers.live().filter(|other| other.who != who);
        let lacking: Vec<Participant> = others
            .filter(|other| {
                direct && !peer.hears(other.who.node.short()) && other.is_direct(now, &self.timing)
            })
            .map(|other| other.who)
            .collect();
        let Some(peer) = self.peers.all.get_mut(&who) else { return };
        peer.lacks.retain(|other, _| lacking.contains(other));
        if same_round {
            return;
        }
        peer.lacks_counted = Some(now);
        peer.lacks_due = false;
        for other in lacking {
            let rounds = peer.lacks.entry(other).or_default();
            *rounds = rounds.saturating_add(1);
        }
    }

    /// To whom a frame of a node that was just heard is passed on.
    pub(super) fn relay_targets(&self, from: Participant, via: Via) -> Vec<MacAddress> {
        if via == Via::Relay || !self.rules.relay {
            return Vec::new();
        }
        let own = self.identity.node.short();
        let lacking = self
            .peers
            .live()
            .filter(|peer| peer.lacks.get(&from).is_some_and(|rounds| *rounds >= ROUNDS) && peer.hears(own));
        lacking.filter(|peer| !self.another_relays(peer.who, from)).map(|peer| peer.mac).collect()
    }

    /// Whether a node with a smaller id hears both as well, and passes on.
    fn another_relays(&self, to: Participant, from: Participant) -> bool {
        let [to_short, from_short] = [to, from].map(|who| who.node.short());
        self.peers.live().any(|other| {
            let between = other.hears(to_short) && other.hears(from_short);
            let heard = self.peers.get(to).is_some_and(|peer| peer.hears(other.who.node.short()));
            other.who < self.identity && other.who != to && other.who != from && between && heard
        })
    }
}
