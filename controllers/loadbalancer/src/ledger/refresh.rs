//! What follows from pools and reservations, made anew when they change.

use std::net::IpAddr;

use fairlead_objects::{Istr, ObjectKey};
use hashbrown::HashMap;

use super::{Accounts, Ledger};
use crate::pools::{Pools, ServiceCidr};
use crate::ranges::Range;
use crate::reservations::{Grants, World};

impl Ledger {
    /// Makes anew what is stale. Cheap if nothing is.
    pub(super) fn refresh(&mut self) {
        if self.pools_are_stale {
            self.pools_are_stale = false;
            self.grants_are_stale = true;
            self.compile_pools();
        }
        if self.grants_are_stale {
            self.grants_are_stale = false;
            self.grant();
        }
    }

    fn compile_pools(&mut self) {
        let mut nodes: Vec<IpAddr> =
            self.nodes.values().flat_map(|node| node.addresses.iter().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let service_cidrs: Vec<ServiceCidr> = self
            .service_cidrs
            .iter()
            .flat_map(|(name, texts)| texts.iter().map(move |text| (name, text)))
            .filter_map(|(name, text)| {
                let range = Range::parse(text).ok()?;
                Some(ServiceCidr { name: name.clone(), text: text.clone(), range })
            })
            .collect();
        self.pools = Pools::compile(self.pool_records.values(), &service_cidrs, &nodes);
        self.accounts = Accounts::open(&self.pools, &self.slots);
        self.marks.pools.extend(self.pool_records.keys().cloned());
        self.marks.reservations.extend(self.reservations.keys().cloned());
        self.mark_all_holders();
        self.wake_all();
        // Services of others may have become ours: what they name lies in a pool now.
        let wanted = self.services.iter().filter(|(_, known)| {
            known.service.load_balancer.as_ref().is_some_and(|it| it.wanted && !it.ingress.is_empty())
        });
        self.marks.services.extend(wanted.map(|(key, _)| key.clone()));
    }

    fn grant(&mut self) {
        let only_reserved = self.only_reserved();
        let grants = {
            let used = |pool: &Istr, namespace: &Istr| {
                let all = self.accounts.get(pool).map_or(0, |account| account.usage().of(namespace));
                all.saturating_sub(*only_reserved.get(&(pool.clone(), namespace.clone())).unwrap_or(&0))
            };
            let has = |namespace: &Istr, address: IpAddr| {
                let services = self.slots.get(address).map(super::Slot::services).unwrap_or_default();
                services.iter().any(|key| key.namespace == *namespace)
            };
            let (pools, namespaces, picked) = (&self.pools, &self.namespaces, &self.picked);
            Grants::decide(&self.reservations, &World { pools, namespaces, picked, used: &used, has: &has })
        };
        let before: Vec<(IpAddr, ObjectKey)> =
            self.grants.iter().map(|(address, key)| (address, key.clone())).collect();
        let after: Vec<(IpAddr, ObjectKey)> =
            grants.iter().map(|(address, key)| (address, key.clone())).collect();
        let changed = |key: &ObjectKey| self.grants.of(key) != grants.of(key);
        let changed: Vec<ObjectKey> = self.reservations.keys().filter(|key| changed(key)).cloned().collect();
        self.marks.reservations.extend(changed);
        let lost: Vec<IpAddr> = before
            .iter()
            .filter(|(address, _)| grants.holder(*address).is_none())
            .map(|(address, _)| *address)
            .collect();
        let moved: Vec<_> =
            after.into_iter().filter(|(address, key)| self.grants.holder(*address) != Some(key)).collect();
        let any = !lost.is_empty() || !moved.is_empty();
        self.grants = grants;
        for address in lost {
            self.change(address, |slot| slot.reserved = None);
        }
        for (address, key) in moved {
            self.change(address, |slot| slot.reserved = Some(key));
        }
        if any {
            self.wake_all();
        }
        // What was decided does not depend on what was held before.
        self.grants_are_stale = false;
    }

    /// How many addresses count against the quota of a namespace in a pool only because they are held for it.
    fn only_reserved(&self) -> HashMap<(Istr, Istr), u32> {
        let mut counts = HashMap::new();
        for (address, reservation) in self.grants.iter() {
            let namespace = &reservation.namespace;
            let Some(pool) = self.pools.of(address) else { continue };
            let Some(slot) = self.slots.get(address).filter(|slot| slot.reserved.is_some()) else { continue };
            if !slot.services().iter().any(|service| service.namespace == *namespace) {
                *counts.entry((pool.name().clone(), namespace.clone())).or_default() += 1;
            }
        }
        counts
    }
}
