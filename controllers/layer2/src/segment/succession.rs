//! Who answers what is asked around a hand-over.
//!
//! The frame with the successor's claim divides the requests: those that arrived before it are the predecessor's, even if
//! it reads them later, those that arrived after it the successor's. Otherwise both would answer what both had still to
//! read, or neither.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::moment::Moment;
use crate::responder;

/// The hand-overs of the last moments.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// Claimed in this wake-up, which is not sent yet.
    claimed: Vec<IpAddr>,
    /// When this node's claims for what it was offered were sent.
    taken: HashMap<IpAddr, Moment>,
    /// When the claims for what this node had offered arrived.
    given: HashMap<IpAddr, Moment>,
    latest: Moment,
}

impl Succession {
    /// This node claims an address that it was offered.
    pub(super) fn claim(&mut self, address: IpAddr) {
        self.claimed.push(address);
    }

    /// The claims of this wake-up were sent then.
    pub(super) fn sent(&mut self, at: Moment) {
        if !self.claimed.is_empty() {
            self.latest = at;
            self.taken.extend(self.claimed.drain(..).map(|address| (address, at)));
        }
    }

    /// The claim for addresses that this node had offered arrived then.
    pub(super) fn give(&mut self, addresses: &[IpAddr], at: Moment) {
        if !addresses.is_empty() {
            self.latest = self.latest.max(at);
            self.given.extend(addresses.iter().map(|address| (*address, at)));
        }
    }

    /// Whether the one who had the address before this node answers a request that arrived then.
    pub(super) fn is_predecessors(&self, address: IpAddr, arrived: Moment) -> bool {
        self.taken.get(&address).is_some_and(|sent| arrived < *sent)
    }

    /// Whether this node still answers a request that arrived then, though it has given the address away.
    pub(super) fn is_still_ours(&self, address: IpAddr, arrived: Moment) -> bool {
        self.given.get(&address).is_some_and(|claimed| arrived < *claimed)
    }

    /// Forgets all hand-overs once nothing that was asked before them may be answered any more.
    pub(super) fn forget(&mut self, now: Moment) {
        let all_old = now.since(self.latest) > responder::MOST_AGE + Duration::from_millis(1);
        if all_old && !(self.taken.is_empty() && self.given.is_empty()) {
            self.taken = HashMap::new();
            self.given = HashMap::new();
        }
    }
}
