//! What the part that talks to the API server and the part that talks to the network tell each other.
//!
//! ```text
//!          agent ── Order ──▶ wires        what is wanted on which interface
//!          agent ◀── Link ─── wires        which interfaces there are (a `watch`, always the whole list)
//!          agent ◀── Report ─ wires        what became of it
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::{LinkFacts, MacAddress, NodeId, Standing, Wanted};
use jiff::Timestamp;

/// An interface on which addresses may be answered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The interface as it is now.
    pub facts: LinkFacts,
    /// The routers that the node reaches through it.
    pub gateways: Vec<IpAddr>,
    /// Another number after whatever takes its orders was started anew, and has forgotten those that it was given: all of
    /// them are given again.
    pub generation: u64,
}

/// What is wanted of addresses; `None`: nobody is to answer for it any more.
pub type Changes = Vec<(IpAddr, Option<Arc<Wanted>>)>;

/// What is wanted on an interface. Orders for one that is gone are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// What the API says about this node there.
    Stand {
        /// The index of the interface.
        link: u32,
        /// What it says.
        standing: Standing,
    },
    /// Addresses that changed; those that are not named stay as they are.
    Want {
        /// The index of the interface.
        link: u32,
        /// What is wanted of each.
        changes: Changes,
    },
    /// The MAC addresses of the interfaces of our nodes, as the API server lists them: who answers with one of them is no
    /// stranger.
    Fleet(HashMap<MacAddress, NodeId>),
}

/// What happened on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The index of the interface.
    pub link: u32,
    /// What happened.
    pub news: News,
}

/// What happened on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This node answers for an address; told again when epoch or MAC address change. It is not told while the claim is
    /// still probing.
    Owned {
        /// The address.
        address: IpAddr,
        /// The number of the claim.
        epoch: u32,
        /// Since when.
        since: Timestamp,
        /// With which MAC address.
        mac: MacAddress,
        /// How long nobody answered before, if another node did before that.
        outage: Option<Duration>,
    },
    /// This node does not answer for an address any more.
    Lost {
        /// The address.
        address: IpAddr,
        /// The number of the claim that ended.
        epoch: u32,
    },
    /// The segment was asked for other users of an address, and nobody answered.
    Probed {
        /// The address.
        address: IpAddr,
    },
    /// The segment was asked for other users of an address before this node answered for it, and there is one: the claim
    /// was given up.
    Taken {
        /// The address.
        address: IpAddr,
        /// Who has it.
        mac: MacAddress,
        /// The epoch of the claim that was given up.
        epoch: u32,
    },
    /// Somebody else answers for an address that this node answers for.
    Conflict {
        /// The address.
        address: IpAddr,
        /// With which MAC address.
        mac: MacAddress,
        /// The node of ours that has this MAC address; `None`: a stranger.
        node: Option<NodeId>,
    },
    /// The other one does not answer any more.
    ConflictOver {
        /// The address.
        address: IpAddr,
    },
    /// How many other speakers are heard; told when it changes. An interface begins with none.
    Heard {
        /// Their number.
        peers: usize,
    },
}
