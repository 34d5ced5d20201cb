//! What the API says about addresses and about this node.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::identity::{NodeId, ObjectId};
use crate::mac::MacAddress;

/// A set of announcements that addresses have in common: nodes tell each other on the wire what they can do for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub u32);

/// Whether, and how gladly, a node may answer for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fitness {
    /// It may not.
    Unfit,
    /// It may.
    Fit {
        /// Only if nobody else can: the node is not ready, or its interface is not in the subnet of the address.
        soft: bool,
        /// The sum of the weights of the selectors that prefer this node, from 0.
        preference: u16,
    },
}

/// An address that somebody is to answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which announcements select it.
    pub class: ClassId,
    /// What this node can do for it on this interface.
    pub own: Fitness,
    /// The nodes with a usable endpoint, if only those may answer (externalTrafficPolicy Local).
    pub nodes: Option<Arc<HashSet<NodeId>>>,
    /// The highest epoch that the API knows; a claim is made with a higher one.
    pub epoch: u32,
    /// The node that has it according to the API, with that epoch. Counts only while nothing is heard from that node.
    pub announced_by: Option<NodeId>,
    /// Whether the segment is to be asked for other users of the address before the first answer.
    pub probe: bool,
    /// The UID of the object, by which an address that was deleted and made again is known from a late view of it.
    pub uid: ObjectId,
}

/// What the API says about this node, on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it may claim anything.
    pub candidate: bool,
    /// How much of the load it takes, 100 being normal.
    pub weight: u16,
    /// What it can do for each class of addresses. It is stated to the others.
    pub classes: BTreeMap<ClassId, Fitness>,
    /// Other nodes with a ready speaker on this segment as the API lists them, with the MAC addresses of their interfaces.
    pub listed: BTreeMap<NodeId, Vec<MacAddress>>,
    /// Nodes that the cluster has no more. Those of them that are silent are not missed.
    pub deleted: BTreeSet<NodeId>,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            candidate: true,
            weight: 100,
            classes: BTreeMap::new(),
            listed: BTreeMap::new(),
            deleted: BTreeSet::new(),
        }
    }
}
