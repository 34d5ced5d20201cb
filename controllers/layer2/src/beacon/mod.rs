//! What speakers tell each other: each round, the complete list of their claims.
//!
//! A round is sent as one or more pages, each a frame. The claims of a page are a complete statement about a range of
//! addresses, so that what is missing there is known to be gone, and a lost page loses nothing that the next one does not
//! say again.

pub mod admission;
pub mod codec;
pub mod keys;
pub mod pages;
mod result;

use std::net::IpAddr;

pub use result::BeaconResult;

use crate::identity::{NodeId, Participant, ShortId};
use crate::link::Prefix;
use crate::mac::MacAddress;
use crate::wanted::{ClassId, Fitness};

/// One page of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Who says it, and when.
    pub header: Header,
    /// The claims for IPv4 addresses of a range.
    pub ipv4: Option<Claims>,
    /// The claims for IPv6 addresses of a range.
    pub ipv6: Option<Claims>,
    /// Moves of addresses that are claimed on this page.
    pub offers: Vec<Offer>,
    /// Whom the sender hears directly. On page 0.
    pub heard: Vec<ShortId>,
    /// Who is to answer at once. On page 0.
    pub solicit: Vec<ShortId>,
    /// Whom the sender ignores, because it heard a later round of theirs. On page 0.
    pub stale: Vec<Stale>,
    /// What the sender can do for classes of addresses; who states nothing about a class is fit. On page 0.
    pub classes: Vec<(ClassId, Fitness)>,
    /// The subnets of the sender's interface, those of IPv4 first. On page 0. None: it does not say.
    pub subnets: Option<Vec<Prefix>>,
}

/// What each page begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender.
    pub from: Participant,
    /// What it says about itself.
    pub flags: Flags,
    /// The number of the round, which never falls; all of its pages have it.
    pub seq: u64,
    /// The MAC address that the sender answers with.
    pub mac: MacAddress,
    /// For how many seconds it has been active, saturating.
    pub uptime: u16,
    /// How much of the load it takes: 100 is normal, 0 none.
    pub weight: u16,
    /// Its beacon period in milliseconds.
    pub period: u16,
    /// The number of this page, from 0.
    pub page: u8,
    /// How many pages the round has.
    pub pages: u8,
}

/// What a sender says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "bits of one octet on the wire")]
pub struct Flags {
    /// It listens and claims nothing yet.
    pub listening: bool,
    /// It hands over all that it has.
    pub draining: bool,
    /// It hears fewer than half of the nodes that it knows.
    pub minority: bool,
    /// Everybody is to answer at once.
    pub solicit_all: bool,
    /// It claims nothing.
    pub not_candidate: bool,
    /// It leaves.
    pub goodbye: bool,
}

/// All that the sender claims between two addresses of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The first address that the statement is about.
    pub low: IpAddr,
    /// The last one.
    pub high: IpAddr,
    /// The claims, in the order of their addresses.
    pub claims: Vec<Claim>,
}

/// A claim: the sender answers for the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// The number of the claim, from 1 to [`Claim::MAX_EPOCH`]; the highest wins.
    pub epoch: u32,
    /// Whether the sender still asks the segment for other users, and does not answer.
    pub probing: bool,
    /// Whether the address is given up and nobody is to take it.
    pub released: bool,
}

impl Claim {
    /// The last epoch that fits the frame.
    pub const MAX_EPOCH: u32 = (1 << 28) - 1;
}

/// An address that the sender has and wants another node to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Offer {
    /// The address.
    pub address: IpAddr,
    /// Who is to take it.
    pub to: ShortId,
}

/// A round that was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stale {
    /// Whose.
    pub node: NodeId,
    /// The number of the last one that was accepted.
    pub seq: u64,
}
