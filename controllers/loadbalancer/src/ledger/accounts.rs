//! What is free in each pool, and how the rest is used.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fairlead_objects::{Family, Istr};
use hashbrown::HashMap;

use super::slot::{Slots, Summary, Use};
use crate::pools::Pools;
use crate::quota::Usage;
use crate::ranges::{Interval, number};
use crate::space::Space;

/// The account of one pool.
#[derive(Debug, Default)]
pub(crate) struct Account {
    free: [Space; 2],
    counts: [Counts; 2],
    usage: Usage,
    /// Addresses that its Services have and that are no longer in it.
    strays: BTreeSet<IpAddr>,
}

/// How many addresses of one family are used for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) free: u128,
    pub(crate) assigned: u64,
    pub(crate) reserved: u64,
    pub(crate) cooling: u64,
}

impl Counts {
    fn of(&mut self, usage: Use) -> Option<&mut u64> {
        match usage {
            Use::Free => None,
            Use::Assigned => Some(&mut self.assigned),
            Use::Reserved => Some(&mut self.reserved),
            Use::Cooling => Some(&mut self.cooling),
        }
    }
}

impl Account {
    pub(crate) fn free(&self, family: Family) -> &Space {
        &self.free[family as usize]
    }

    pub(crate) fn counts(&self, family: Family) -> Counts {
        self.counts[family as usize]
    }

    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    pub(crate) fn strays(&self) -> &BTreeSet<IpAddr> {
        &self.strays
    }
}

/// What became of a pool by an entry in its account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    /// Something was given back to it, be it an address or a part of a namespace's quota.
    pub(super) given_back: bool,
    /// The last of something was taken from it.
    pub(super) used_up: bool,
}

/// The accounts of all pools.
#[derive(Debug, Default)]
pub(crate) struct Accounts(HashMap<Istr, Account>);

impl Accounts {
    /// Opens an account for each pool, with everything that is known entered.
    pub(super) fn open(pools: &Pools, slots: &Slots) -> Self {
        let mut accounts = Self::default();
        for pool in pools.iter() {
            let of_family = |family| Counts { free: pool.capacity(family), ..Counts::default() };
            let account = Account {
                free: [Family::V4, Family::V6].map(|family| pool.assignable(family).clone()),
                counts: [Family::V4, Family::V6].map(of_family),
                ..Account::default()
            };
            accounts.0.insert(pool.name().clone(), account);
        }
        let nothing = Summary {
            usage: Use::Free,
            namespaces: smallvec::SmallVec::new(),
            services: smallvec::SmallVec::new(),
            pool: None,
            sharing_key: Istr::default(),
        };
        for (address, slot) in slots.iter() {
            accounts.enter(pools, address, &nothing, &slot.summary());
        }
        accounts
    }

    pub(crate) fn get(&self, pool: &Istr) -> Option<&Account> {
        self.0.get(pool)
    }

    /// Enters what became of a slot. The name of the pool, and what became of that.
    pub(super) fn enter(
        &mut self,
        pools: &Pools,
        address: IpAddr,
        before: &Summary,
        after: &Summary,
    ) -> Option<(Istr, Entered)> {
        let pool = pools.of(address);
        if pool.is_none() {
            let name = |summary: &Summary| summary.pool.clone().filter(|_| !summary.services.is_empty());
            if let Some(account) = name(before).and_then(|name| self.0.get_mut(&name)) {
                account.strays.remove(&address);
            }
            if let Some(account) = name(after).and_then(|name| self.0.get_mut(&name)) {
                account.strays.insert(address);
            }
            return None;
        }
        let pool = pool?;
        let account = self.0.get_mut(pool.name())?;
        let family = Family::of(address) as usize;
        let mut given_back = account.usage.count(&before.namespaces, &after.namespaces);
        let quota = pool.record.quota_per_namespace;
        let mut used_up = after
            .namespaces
            .iter()
            .any(|it| !before.namespaces.contains(it) && Some(account.usage.of(it)) == quota);
        if before.usage != after.usage {
            let counts = &mut account.counts[family];
            if let Some(count) = counts.of(before.usage) {
                *count = count.saturating_sub(1);
            }
            if let Some(count) = counts.of(after.usage) {
                *count += 1;
            }
            if pool.is_assignable(address) {
                let number = number(address);
                match (before.usage, after.usage) {
                    (Use::Free, _) if account.free[family].take(number) => {
                        counts.free = counts.free.saturating_sub(1);
                        used_up |= counts.free == 0;
                    }
                    (_, Use::Free) => {
                        account.free[family].insert(Interval { first: number, last: number });
                        counts.free = counts.free.saturating_add(1);
                        given_back = true;
                    }
                    _ => {}
                }
            }
        }
        Some((pool.name().clone(), Entered { given_back, used_up }))
    }
}
