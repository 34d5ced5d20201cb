//! What is known about each address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::claimants::Claimants;
use super::event::ClaimCause;
use super::order::AddressHash;
use crate::identity::{NodeId, ObjectId};
use crate::moment::Moment;
use crate::wanted::Wanted;

/// All addresses that are wanted or were claimed.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Each by itself: what is beside the keys is allotted for more addresses than there are.
    pub(super) entries: BTreeMap<IpAddr, Box<Entry>>,
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
    pub(super) claimants: Claimants,
    /// Whether somebody answered for it already, so that the segment need not be asked again.
    pub(super) settled: bool,
    rare: Option<Box<Rare>>,
}

/// What there is to know of few addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rare {
    /// The UID of its object, kept after the object is gone.
    pub(super) uid: Option<ObjectId>,
    /// The last number of a claim for an earlier object of the same address.
    pub(super) earlier_epoch: u32,
    /// Until when nobody takes it, because its owner says that it is deleted.
    pub(super) tombstone: Option<Moment>,
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
            claimants: Claimants::default(),
            settled: false,
            rare: None,
        }
    }

    /// The UID of its object, or of the last one that it had.
    pub(super) fn uid(&self) -> Option<ObjectId> {
        let of_the_last = || self.rare.as_ref()?.uid;
        self.wanted.as_ref().map(|wanted| wanted.uid).or_else(of_the_last)
    }

    pub(super) fn tombstone(&self) -> Option<Moment> {
        self.rare.as_ref()?.tombstone
    }

    pub(super) fn announced(&self) -> Option<(NodeId, Moment)> {
        self.rare.as_ref()?.announced
    }

    pub(super) fn earlier_epoch(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.earlier_epoch)
    }

    /// Its object is gone.
    pub(super) fn want_no_more(&mut self) {
        if let Some(wanted) = self.wanted.take() {
            self.change(|rare| rare.uid = Some(wanted.uid));
        }
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Rare)) {
        let mut rare = self.rare.take().unwrap_or_default();
        change(&mut rare);
        self.rare = Some(rare).filter(|rare| **rare != Rare::default());
    }
}

impl Table {
    pub(super) fn get(&self, address: IpAddr) -> Option<&Entry> {
        self.entries.get(&address).map(|entry| &**entry)
    }

    pub(super) fn entry(&mut self, address: IpAddr) -> &mut Entry {
        self.entries.entry(address).or_insert_with(|| Box::new(Entry::new(address)))
    }

    pub(super) fn wanted(&self, address: IpAddr) -> Option<&Arc<Wanted>> {
        self.get(address)?.wanted.as_ref()
    }
}
