//! Who answers for the addresses of a Service on the network, as it is told.

use std::net::IpAddr;

use fairlead_discovery::announcing::{self, Exclusion};
use fairlead_objects::{Family, Istr, Node, Selector};
use jiff::{SignedDuration, Timestamp};

use super::Ours;
use crate::ledger::Slot;
use crate::records::{Address, Answering};
use crate::words::{self, Reason};

/// How long nobody has to answer for an address before that is told: a node may be about to take it over.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);
/// How long who answers has to have answered before that is told in the place of another one: after a failure many
/// addresses have another node, and some soon yet another one.
pub(super) const CALM: SignedDuration = SignedDuration::from_secs(1);

/// What is told about who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// Nothing is known.
    Unknown,
    /// Nobody does; from then on that is told.
    NotYet(Timestamp),
    /// Somebody does for all addresses, the last one since then.
    All(String, Timestamp),
    /// Not all is well.
    Wrong(Reason, String),
}

impl Ours<'_> {
    /// Who answers for these addresses.
    pub(super) fn answers(&self, addresses: &[IpAddr]) -> Answers {
        let objects: Vec<(IpAddr, &Address)> = addresses
            .iter()
            .filter_map(|address| Some((*address, &**self.ledger.slots.get(*address).and_then(Slot::bound)?)))
            .collect();
        let conflicts: Vec<&str> =
            objects.iter().filter_map(|(_, object)| object.conflict.as_deref()).collect();
        if !conflicts.is_empty() {
            return Answers::Wrong(Reason::Conflict, conflicts.join("; "));
        }
        let answering: Vec<(IpAddr, &Answering)> = objects
            .iter()
            .filter_map(|(address, object)| Some((*address, object.answering.as_ref()?)))
            .collect();
        if !answering.is_empty() && answering.len() == addresses.len() {
            let since = answering.iter().filter_map(|(_, it)| it.since).max().unwrap_or(self.now);
            return Answers::All(words::answered(&answering), since);
        }
        // Where no speaker runs that anybody could miss, something else brings the addresses to the nodes.
        if !self.ledger.has_speakers(self.now) && self.lost_speakers().next().is_none() {
            return Answers::Unknown;
        }
        let silent = objects.iter().filter(|(_, object)| object.answering.is_none());
        let mut since = silent.clone().map(|(address, object)| self.silent_since(*address, object));
        let Some(due) = since.by_ref().min().and_then(|it| it.checked_add(PATIENCE).ok()) else {
            return Answers::Unknown;
        };
        if self.now < due {
            return Answers::NotYet(due);
        }
        let silent = silent.map(|(address, object)| self.why_silent(*address, object));
        Answers::Wrong(Reason::NoEligibleNode, silent.collect::<Vec<_>>().join("; "))
    }

    /// When the Leases of speakers ran out that have not been given back.
    fn lost_speakers(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let nodes = self.ledger.nodes.values();
        nodes.filter_map(|node| self.ledger.ran_out(&node.key.name, self.now))
    }

    fn silent_since(&self, address: IpAddr, object: &Address) -> Timestamp {
        let head = self.known.heads[Family::of(address) as usize].filter(|(head, _)| *head == address);
        object.silent_since.or(head.map(|(_, since)| since)).unwrap_or(self.now)
    }

    fn why_silent(&self, address: IpAddr, object: &Address) -> String {
        let announcements: Vec<announcing::Announcement> =
            object.spec.announcements.iter().map(announcement).collect();
        let nodes = self.ledger.nodes.values();
        let lost_by = self.lost_speakers().max();
        let excluded =
            nodes.map(|node| (node.key.name.as_str(), self.exclusion(node, object, &announcements, lost_by)));
        words::unanswered(address, excluded)
    }

    /// What keeps a node from answering. The last of the speakers that are lost was lost `lost_by` then.
    fn exclusion(
        &self,
        node: &Node,
        object: &Address,
        announcements: &[announcing::Announcement],
        lost_by: Option<Timestamp>,
    ) -> Exclusion {
        let name = &node.key.name;
        let Some(speaker) = self.ledger.speaker_of(name, self.now) else {
            let lost = self.ledger.ran_out(name, self.now).and(lost_by);
            return lost.map_or(Exclusion::NoSpeaker, Exclusion::SpeakerLost);
        };
        if let Some(exclusion) = announcing::excluded(node, false) {
            return exclusion;
        }
        let interfaces = speaker.interfaces.iter().map(|interface| interface.name.as_str());
        // Without an interface at all, an announcement that names none cannot be met either.
        let mut why = Exclusion::NoInterface(vec![Istr::from("that is up")]);
        for interface in interfaces {
            match announcing::preference(announcements, node, interface) {
                Ok(_) if object.spec.local => return Exclusion::NoEndpoint,
                Ok(_) => return Exclusion::NotYet,
                Err(exclusion) => why = exclusion,
            }
        }
        why
    }
}

fn announcement(announcement: &fairlead_crds::Announcement) -> announcing::Announcement {
    announcing::Announcement {
        name: announcement.name.as_str().into(),
        nodes: announcement.node_selectors.iter().map(Selector::from).collect(),
        interfaces: announcement.interfaces.iter().map(|name| name.as_str().into()).collect(),
        // Whoever is preferred answers no sooner.
        preferred: Vec::new(),
    }
}
