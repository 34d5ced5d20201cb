//! What an election tells its owner.

use std::net::IpAddr;
use std::time::Duration;

use crate::identity::{NodeId, Participant};
use crate::mac::MacAddress;

/// How a page came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// As an Ethernet frame of its sender.
    Ethernet,
    /// As a UDP packet of its sender.
    Udp,
    /// Passed on by a third: the source of the frame is not the MAC address that the header names.
    Relay,
}

/// What became of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whether it counted.
    pub outcome: Outcome,
    /// To whom the same bytes are to be passed on now, as an Ethernet frame, because they can not hear the sender.
    pub relay_to: Vec<MacAddress>,
    /// The addresses that the sender has now because this node had offered them to it.
    pub handed_over: Vec<IpAddr>,
}

/// Whether a page counted, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is new.
    Accepted,
    /// The same page of the same round again: the other form, a relayed copy, or a replay.
    Duplicate,
    /// A later round of the sender is known.
    Old,
    /// The sender is unknown and its clock is too far from ours.
    ClockSkew,
    /// It was sent from here.
    Own,
    /// It was sent by another interface of this node.
    Twin,
    /// Somebody else sends under our name.
    Clash,
    /// The segment has more participants than the protocol has room for.
    TooMany,
}

/// Pages to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// In this order.
    pub pages: Vec<crate::beacon::Page>,
    /// In which forms.
    pub forms: Forms,
}

/// How pages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forms {
    /// As Ethernet frames.
    Ethernet,
    /// As Ethernet frames and as UDP packets, with equal contents.
    Both,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node has the address: the schedule of gratuitous announcements begins, or the probes if `probing`.
    Claimed {
        /// Which.
        address: IpAddr,
        /// The number of the claim.
        epoch: u32,
        /// Why.
        cause: ClaimCause,
        /// Whether the segment is to be asked first. Nothing is answered until [`super::Election::probed`].
        probing: bool,
        /// For how long nobody was heard to have it, if anybody had it before.
        outage: Option<Duration>,
    },
    /// One round of gratuitous announcements is due for an address that this node has.
    Announce {
        /// Which.
        address: IpAddr,
    },
    /// This node has the address no longer, and says nothing for it.
    Lost {
        /// Which.
        address: IpAddr,
        /// The number of the claim that ended.
        epoch: u32,
        /// Why.
        cause: LossCause,
    },
    /// This node began to take part: it has listened for long enough.
    Activated,
    /// This node's own rounds were late or not sent, for so long; it dropped all claims and listens.
    Fenced {
        /// How old the last round was.
        silent: Duration,
    },
    /// A node was heard for the first time, or for the first time after it left.
    PeerJoined(Participant),
    /// A node said that it leaves.
    PeerLeft(Participant),
    /// A node was silent for too long.
    PeerDied {
        /// Which.
        peer: Participant,
        /// For how long.
        silent: Duration,
    },
    /// A node that was dead is heard again.
    PeerReturned(Participant),
    /// Nothing at all is received: some stations are to be asked (ARP probes with the sender 0.0.0.0) whether anything comes.
    ProveHearing,
    /// Something is wrong that people should know.
    Raised(Condition),
    /// It is well again.
    Cleared(Condition),
}

/// Why an address was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimCause {
    /// Nobody had it.
    Free,
    /// Its owner died.
    Death,
    /// Its owner offered it.
    Offer,
}

/// Why an address was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossCause {
    /// The node that it was offered to has it.
    HandedOver(Participant),
    /// A better claim was heard.
    Yielded(Participant),
    /// A worse claim was heard from a node that can not hear this one.
    Unheard(Participant),
    /// A node whose beacons do not pass announces it by ARP, or the API says that it has it.
    BeaconsBlocked(NodeId),
    /// The address is wanted no longer, or no node may have it.
    Released,
    /// Another station has it.
    Conflict,
    /// Own rounds were late.
    Fenced,
    /// The interface can not send, or another one of this node takes part on the segment.
    Passive,
    /// The time for handing over ended.
    Left,
}

/// What is wrong, until it is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// The wall clock of this unknown node is too far from ours, so that it is ignored.
    ClockSkew(Participant),
    /// This interface does not take part: another one of this node with a lower index is on the same segment, and does.
    TwinInterface,
    /// Somebody else takes part under the name of this node.
    IdClash,
    /// A node takes part on the segment, but its beacons do not arrive here.
    BeaconsBlocked(NodeId),
    /// No other node is heard, nor anything else: this node may be deaf and claims nothing more.
    Deaf,
    /// More nodes than the protocol has room for; the new ones are ignored.
    TooManyParticipants,
    /// More addresses than the protocol has room for; the last of them are not announced.
    TooManyAddresses,
}

/// A node of ours by its MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetMember {
    /// Which.
    pub node: NodeId,
    /// Whether it is heard.
    pub live: bool,
}
