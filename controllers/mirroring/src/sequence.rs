//! The order of the writes of one family: an address that stays mirrored is in some slice at every moment.
//!
//! New slices come first and slices that go come last. Between them, a slice that loses an address waits for the one that
//! gets it. Where slices wait for each other (two sets of ports swap their addresses), a new slice takes the place of one
//! of them, which is deleted in the end. Upstream sends updates in any order.

use std::sync::Arc;

use fairlead_objects::{Addresses, Slice};
use hashbrown::HashMap;

use crate::action::{Action, DesiredSlice};
use crate::recycling::Updates;

/// The writes that one family needs, in no order.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) creates: Vec<DesiredSlice>,
    pub(crate) updates: Updates,
    /// Terminating slices that still have endpoints.
    pub(crate) empties: Vec<Arc<Slice>>,
    pub(crate) deletes: Vec<Arc<Slice>>,
}

impl Writes {
    /// The writes in order. `existing` are the slices of the family that are there and not terminating; `may_create` says
    /// whether new ones can be made.
    pub(crate) fn in_order(mut self, existing: &[&Arc<Slice>], may_create: bool) -> Vec<Action> {
        if self.updates.len() > 1 {
            self.sort_updates(existing, may_create);
        }
        let updates = self.updates.into_iter().map(|(current, desired)| Action::Update { current, desired });
        self.creates
            .into_iter()
            .map(Action::Create)
            .chain(updates)
            .chain(self.empties.into_iter().map(Action::Empty))
            .chain(self.deletes.into_iter().map(Action::Delete))
            .collect()
    }

    fn sort_updates(&mut self, existing: &[&Arc<Slice>], may_create: bool) {
        let mut presence = Presence::default();
        for slice in existing {
            presence.add_all(slice.endpoints.iter().map(|it| &it.addresses));
        }
        for desired in &self.creates {
            presence.add_all(desired.endpoints.iter().map(|it| &it.addresses));
        }
        let mut wanted = Presence::default();
        for desired in self.updates.iter().map(|(_, desired)| desired) {
            wanted.add_all(desired.endpoints.iter().map(|it| &it.addresses));
        }
        let mut waiting = std::mem::take(&mut self.updates);
        while !waiting.is_empty() {
            let may_go =
                waiting.iter().position(|(current, desired)| presence.spares(current, desired, &wanted));
            let (current, desired) = waiting.remove(may_go.unwrap_or_default());
            presence.add_all(desired.endpoints.iter().map(|it| &it.addresses));
            if may_go.is_none() && may_create {
                // The old one goes when everything else is in place.
                self.creates.push(desired);
                self.deletes.push(current);
            } else {
                presence.remove_all(current.endpoints.iter().map(|it| &it.addresses));
                self.updates.push((current, desired));
            }
        }
    }
}

/// In how many slices each address is.
#[derive(Default)]
struct Presence(HashMap<Addresses, usize>);

impl Presence {
    fn add_all<'a>(&mut self, addresses: impl Iterator<Item = &'a Addresses>) {
        for address in addresses {
            *self.0.entry(address.clone()).or_default() += 1;
        }
    }

    fn remove_all<'a>(&mut self, addresses: impl Iterator<Item = &'a Addresses>) {
        for address in addresses {
            if let Some(count) = self.0.get_mut(address) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Does every address that `current` loses, and that is wanted, have another place?
    fn spares(&self, current: &Slice, desired: &DesiredSlice, wanted: &Self) -> bool {
        let mut after: HashMap<&Addresses, usize> = HashMap::new();
        for endpoint in &current.endpoints {
            *after.entry(&endpoint.addresses).or_default() += 1;
        }
        for endpoint in &desired.endpoints {
            after.remove(&endpoint.addresses);
        }
        let elsewhere = |(address, here): (&&Addresses, &usize)| {
            !wanted.0.contains_key(*address) || self.0.get(*address).is_some_and(|all| all > here)
        };
        after.iter().all(elsewhere)
    }
}
