//! What is known about each address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use arcstr::ArcStr;

use super::event::ClaimCause;
use super::order::AddressHash;
use crate::identity::{NodeId, Participant};
use crate::moment::Moment;
use crate::wanted::Wanted;

/// All addresses that are wanted or were claimed.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<IpAddr, Entry>,
    /// The wanted ones that nobody has.
    pub(super) free: BTreeMap<IpAddr, Free>,
    /// How many are wanted.
    pub(super) wanted: usize,
    /// Wanted ones for which there is no room.
    pub(super) excess: BTreeMap<IpAddr, Arc<Wanted>>,
}

/// An address.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) wanted: Option<Arc<Wanted>>,
    pub(super) hash: AddressHash,
    /// The highest number of a claim that was heard or made.
    pub(super) epoch: u32,
    /// The live nodes that claim it.
    pub(super) claimants: BTreeSet<Participant>,
    /// Until when nobody takes it, because its owner says that it is deleted.
    pub(super) tombstone: Option<Moment>,
    /// Whether somebody answered for it already, so that the segment need not be asked again.
    pub(super) settled: bool,
    /// The UID of its object, kept after the object is gone.
    pub(super) uid: Option<ArcStr>,
    /// The last number of a claim for an earlier object of the same address.
    pub(super) earlier_epoch: u32,
    /// A node whose beacons do not pass announces it, until then.
    pub(super) announced: Option<(NodeId, Moment)>,
}

/// A wanted address that nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Free {
    /// Since when it is for anybody to take; not known before the next placement.
    pub(super) since: Option<Moment>,
    pub(super) cause: ClaimCause,
    /// When its last owner was heard.
    pub(super) last_heard: Option<Moment>,
    /// When this node claims it.
    pub(super) claim_at: Option<Moment>,
}

impl Entry {
    fn new(address: IpAddr) -> Self {
        Self {
            wanted: None,
            hash: AddressHash::of(address),
            epoch: 0,
            claimants: BTreeSet::new(),
            tombstone: None,
            settled: false,
            uid: None,
            earlier_epoch: 0,
            announced: None,
        }
    }
}

impl Table {
    pub(super) fn get(&self, address: IpAddr) -> Option<&Entry> {
        self.entries.get(&address)
    }

    pub(super) fn entry(&mut self, address: IpAddr) -> &mut Entry {
        self.entries.entry(address).or_insert_with(|| Entry::new(address))
    }

    pub(super) fn wanted(&self, address: IpAddr) -> Option<&Arc<Wanted>> {
        self.get(address)?.wanted.as_ref()
    }
}
