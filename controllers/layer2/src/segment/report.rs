//! What a segment tells those who write statuses, metrics and logs.

use std::net::IpAddr;
use std::time::Duration;

use crate::identity::NodeId;
use crate::mac::MacAddress;
use crate::ownership::{self, LossCause};
use crate::responder::Unusable;

/// Something that happened on a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The index of the interface.
    pub link: u32,
    /// What happened.
    pub kind: ReportKind,
}

/// What happened on a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// This node answers for an address from now on, or with another epoch or MAC address.
    Owned {
        /// The address.
        address: IpAddr,
        /// The number of the claim.
        epoch: u32,
        /// The wall clock when it was made, in microseconds since 1970.
        since: u64,
        /// What it answers with.
        mac: MacAddress,
        /// For how long nobody is known to have answered before, if the last owner died.
        outage: Option<Duration>,
    },
    /// This node does not answer for an address any more.
    Lost {
        /// The address.
        address: IpAddr,
        /// The number of the claim that ended.
        epoch: u32,
        /// Why.
        cause: LostCause,
    },
    /// The segment was asked for other users of an address before the first answer.
    Probed {
        /// The address.
        address: IpAddr,
        /// The number of the claim for which it was asked.
        epoch: u32,
        /// Who uses it; none if it is free.
        user: Option<Stranger>,
    },
    /// Another machine answers for an address that this node answers for.
    Conflict {
        /// The address.
        address: IpAddr,
        /// Who.
        with: Stranger,
    },
    /// The other machine has been silent for two polls.
    ConflictOver {
        /// The address.
        address: IpAddr,
    },
    /// An address can not be answered for here.
    Unusable {
        /// The address.
        address: IpAddr,
        /// Why.
        reason: Unusable,
    },
    /// What kept an address from being answered for here is over.
    Usable {
        /// The address.
        address: IpAddr,
    },
    /// Something about the segment began or ended.
    Condition {
        /// What.
        condition: Condition,
        /// Whether it holds.
        holds: bool,
    },
}

/// Another user of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stranger {
    /// Its MAC address.
    pub mac: MacAddress,
    /// The node that it is, if it is one of ours: it has the address on an interface, or IPVS without strict ARP.
    pub node: Option<NodeId>,
}

/// Why this node stopped answering for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LostCause {
    /// Another node has the better claim.
    Yielded,
    /// Another node took the offer of it.
    HandedOver,
    /// Nobody is to answer for it any more.
    Released,
    /// This node was late with its own beacons, so that others may have taken over.
    Fenced,
    /// The interface lost its carrier, or this is the second interface on one segment.
    LinkDown,
    /// Another machine was found to use it before the first answer.
    Conflict,
    /// The process ends.
    Ended,
}

/// Something about a segment that people should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// The wall clock of a node is too far from ours to hear it.
    ClockSkew(NodeId),
    /// This interface is not used: another one of this node with a lower index is on the same segment.
    TwinInterface,
    /// Somebody else sends under our name.
    IdentityClash,
    /// ARP of a node arrives, its beacons do not.
    BeaconsBlocked(NodeId),
    /// There are more participants than can be kept.
    TooManyParticipants,
    /// There are more addresses than can be stated.
    TooManyAddresses,
    /// Nothing is received, so that nobody is known to listen.
    Deaf,
}

impl From<LossCause> for LostCause {
    fn from(cause: LossCause) -> Self {
        match cause {
            LossCause::HandedOver(_) => Self::HandedOver,
            LossCause::Yielded(_) | LossCause::Unheard(_) | LossCause::BeaconsBlocked(_) => Self::Yielded,
            LossCause::Released => Self::Released,
            LossCause::Conflict => Self::Conflict,
            LossCause::Fenced => Self::Fenced,
            LossCause::Passive => Self::LinkDown,
            LossCause::Left => Self::Ended,
        }
    }
}

impl From<ownership::Condition> for Condition {
    fn from(condition: ownership::Condition) -> Self {
        match condition {
            ownership::Condition::ClockSkew(who) => Self::ClockSkew(who.node),
            ownership::Condition::TwinInterface => Self::TwinInterface,
            ownership::Condition::IdClash => Self::IdentityClash,
            ownership::Condition::BeaconsBlocked(node) => Self::BeaconsBlocked(node),
            ownership::Condition::Deaf => Self::Deaf,
            ownership::Condition::TooManyParticipants => Self::TooManyParticipants,
            ownership::Condition::TooManyAddresses => Self::TooManyAddresses,
        }
    }
}
