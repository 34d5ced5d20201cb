//! Nodes whose beacons do not pass: what their announcements and the API say about them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::event::{ClaimCause, Condition, Event, FleetMember, LossCause};
use super::order::AddressHash;
use super::peers::{Peer, Presence};
use super::table::Entry;
use super::{Election, Mode};
use crate::identity::NodeId;
use crate::mac::MacAddress;
use crate::moment::Moment;
use crate::wanted::Standing;

/// For how long an announcement shows that somebody has the address.
const EVIDENCE_LASTS: Duration = Duration::from_secs(3);
/// For how long the better of two owners answers such announcements.
const DEFENCE_LASTS: Duration = Duration::from_secs(10);
/// How often it does.
const DEFENCE_EVERY: Duration = Duration::from_secs(1);
/// How much longer than it takes to become active a listed node may be silent.
const UNHEARD_AFTER: Duration = Duration::from_secs(2);

impl Election {
    /// The API says something else about this node.
    pub fn set_standing(&mut self, standing: Standing) {
        if self.standing == standing {
            return;
        }
        self.standing = standing;
        self.listed_since.retain(|node, _| self.standing.listed.contains_key(node));
        self.unheard_due = true;
        self.forget_deleted();
        let addresses: Vec<IpAddr> = self.owned.keys().copied().collect();
        for address in addresses {
            self.check_urgency(address);
        }
        self.placement_due = true;
        self.outbox.round_now = true;
    }

    /// Misses silent nodes no more that the cluster does not have any more. The numbers of their last rounds stay known, so
    /// that nothing of theirs can be played back.
    pub(super) fn forget_deleted(&mut self) {
        let deleted = &self.standing.deleted;
        let missed = |peer: &&mut Peer| peer.presence == Presence::Dead && deleted.contains(&peer.who.node);
        for peer in self.peers.all.values_mut().filter(missed) {
            peer.presence = Presence::Gone;
            peer.had.clear();
            self.membership_changed = true;
        }
    }

    /// Finds out which nodes the API lists without that they were ever heard here.
    pub(super) fn check_unheard(&mut self) {
        if !self.unheard_due || self.mode == Mode::Passive {
            return;
        }
        self.unheard_due = false;
        let patience = self.timing.listen() + UNHEARD_AFTER;
        let mut unheard = BTreeSet::new();
        let mut blocked = Vec::new();
        for node in self.standing.listed.keys().filter(|node| **node != self.identity.node) {
            let since = *self.listed_since.entry(*node).or_insert(self.now);
            if self.peers.knows(*node) {
                continue;
            }
            let listed_from_the_start = since <= self.started + self.timing.listen();
            let silent = self.now >= since.max(self.started) + patience;
            if listed_from_the_start || silent {
                unheard.insert(*node);
            }
            if silent {
                blocked.push(*node);
            } else {
                self.unheard_due = true;
            }
        }
        if unheard != self.unheard {
            let changed: BTreeSet<NodeId> = unheard.symmetric_difference(&self.unheard).copied().collect();
            self.unheard = unheard;
            self.recheck_announced(&changed);
        }
        for node in blocked {
            self.raise(Condition::BeaconsBlocked(node));
        }
    }

    /// Looks anew at the addresses that these nodes have by the API.
    fn recheck_announced(&mut self, nodes: &BTreeSet<NodeId>) {
        let theirs = |announced: Option<NodeId>| announced.is_some_and(|node| nodes.contains(&node));
        let addresses: Vec<IpAddr> = self
            .table
            .entries
            .iter()
            .filter(|(_, entry)| entry.wanted.as_ref().is_some_and(|wanted| theirs(wanted.announced_by)))
            .map(|(address, _)| *address)
            .collect();
        for address in addresses {
            self.yield_to_unheard(address);
            self.settle(address, ClaimCause::Free, None);
        }
        self.placement_due = true;
    }

    /// Gives way to a node that was never heard and has the address by the API with a better claim.
    pub(super) fn yield_to_unheard(&mut self, address: IpAddr) {
        let Some(entry) = self.table.get(address) else { return };
        let Some((node, epoch)) = self.announced_unheard(address) else { return };
        let rank = |epoch: u32, node: NodeId| (epoch, entry.hash.with(node));
        let better = self
            .owned
            .get(&address)
            .is_some_and(|owned| rank(epoch, node) > rank(owned.epoch, self.identity.node));
        if better {
            self.lose(address, LossCause::BeaconsBlocked(node));
        }
    }

    /// The node that has an address by the API, if it was never heard here, and the number of its claim.
    pub(super) fn announced_unheard(&self, address: IpAddr) -> Option<(NodeId, u32)> {
        let wanted = self.table.wanted(address)?;
        let node = wanted.announced_by.filter(|node| self.is_unheard(*node))?;
        Some((node, wanted.epoch))
    }

    pub(super) fn is_unheard(&self, node: NodeId) -> bool {
        self.unheard.contains(&node)
    }

    /// How many addresses a node has by the API.
    pub(super) fn announced_by(&self, node: NodeId) -> usize {
        let wanted = self.table.entries.values().filter_map(|entry| entry.wanted.as_ref());
        wanted.filter(|wanted| wanted.announced_by == Some(node)).count()
    }

    /// The node of ours with this MAC address, heard lately or listed by the API.
    #[must_use]
    pub fn fleet(&self, mac: MacAddress) -> Option<FleetMember> {
        let deleted = &self.standing.deleted;
        let peer = self.peers.by_mac(mac).filter(|peer| peer.is_live() || !deleted.contains(&peer.who.node));
        let heard = peer.map(|peer| FleetMember { node: peer.who.node, live: peer.is_live() });
        heard.or_else(|| {
            let listed = self.standing.listed.iter().find(|(_, macs)| macs.contains(&mac));
            listed.map(|(node, _)| FleetMember { node: *node, live: false })
        })
    }

    /// Whether a node that is heard has said last that it has the address.
    #[must_use]
    pub fn is_claimed_by(&self, address: IpAddr, mac: MacAddress) -> bool {
        let claims = |peer: &Peer| peer.claims.get(&address).is_some_and(|claim| !claim.released);
        self.peers.live().any(|peer| peer.mac == mac && claims(peer))
    }

    /// An announcement by ARP or NDP was seen: somebody with this MAC address has the address. For MAC addresses that
    /// [`Self::fleet`] knows; of others nothing follows.
    ///
    /// A node whose beacons do not pass can not be compared by the number of its claim, so the hashes decide. Both sides see
    /// the announcements of the other.
    pub fn evidence(&mut self, address: IpAddr, mac: MacAddress) {
        let Some(member) = self.fleet(mac).filter(|member| !member.live && mac != self.mac) else { return };
        if self.table.wanted(address).is_none() || member.node == self.identity.node {
            return;
        }
        let hash = AddressHash::of(address);
        let now = self.now;
        let evidence = Some((member.node, now + EVIDENCE_LASTS));
        if self.owned.contains_key(&address) {
            self.conditions.entry(Condition::BeaconsBlocked(member.node)).or_insert_with(|| {
                self.events.push(Event::Raised(Condition::BeaconsBlocked(member.node)));
                now
            });
            self.conditions.insert(Condition::BeaconsBlocked(member.node), now);
            if hash.with(self.identity.node) > hash.with(member.node) {
                let next = self.defences.get(&address).map_or(now, |(_, next)| (*next).max(now));
                self.defences.insert(address, (now + DEFENCE_LASTS, next));
                self.timers.insert((next, address));
                return;
            }
            self.table.entry(address).change(|rare| rare.announced = evidence);
            self.lose(address, LossCause::BeaconsBlocked(member.node));
        }
        self.table.entry(address).change(|rare| rare.announced = evidence);
        self.timers.insert((now + EVIDENCE_LASTS, address));
        self.settle(address, ClaimCause::Free, None);
    }

    /// Whether an announcement shows that a node has an address whose beacons do not pass. Those of one that was heard since
    /// do: the announcement had only come before the first beacon, as on an interface that runs again.
    pub(super) fn is_shown_by_arp(&self, entry: &Entry) -> bool {
        let shown = |(node, until): (NodeId, Moment)| !self.peers.heard_since(node, until - EVIDENCE_LASTS);
        entry.announced().is_some_and(shown)
    }

    /// Answers announcements of a node whose beacons do not pass.
    pub(super) fn defend(&mut self, address: IpAddr) {
        let Some((until, next)) = self.defences.get(&address).copied() else { return };
        if self.now >= until {
            self.defences.remove(&address);
        } else if self.now >= next {
            self.defences.insert(address, (until, self.now + DEFENCE_EVERY));
            self.timers.insert((self.now + DEFENCE_EVERY, address));
            self.events.push(Event::Announce { address });
        }
    }
}
