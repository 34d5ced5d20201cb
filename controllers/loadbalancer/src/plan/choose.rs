//! Finding an address for a Service.

use std::net::IpAddr;
use std::sync::Arc;

use fairlead_crds::{Order, Requests};
use fairlead_objects::{Family, Istr, ObjectKey};
use smallvec::SmallVec;

use super::holdings::Verdict;
use super::{Ours, probing, spec};
use crate::pool::CompiledPool;
use crate::ranges::address;
use crate::records::Address;
use crate::space::Space;
use crate::words::Refusal;

/// As many holders as the schema of `LoadBalancerAddress` allows.
const MOST_HOLDERS: usize = 1024;

/// An address that a Service can have.
#[derive(Clone, Debug)]
pub(super) struct Pick {
    pub(super) address: IpAddr,
    pub(super) pool: Istr,
    pub(super) how: How,
}

/// How a Service gets an address.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// It is free.
    Create,
    /// It is cooling down, and held for this Service: its object is replaced.
    Replace(Arc<Address>),
    /// Others have it, and share it.
    Join(Arc<Address>),
}

/// Why there is no pick: a refusal, or a wait for something that is going on.
type Picked = Result<Pick, Refusal>;

impl<'a> Ours<'a> {
    /// The address that it asks for, beside what it gets otherwise.
    pub(super) fn attempt(&self, wished: IpAddr, others: &[Pick]) -> Picked {
        let pools = &self.ledger.pools;
        let pool = pools.around(wished).ok_or(Refusal::InNoPool(wished))?;
        let name = pool.name().clone();
        if let Some(wanted) = self.known.wish.pool.as_ref().filter(|wanted| **wanted != name) {
            return Err(Refusal::InOtherPool { address: wished, pool: name, wanted: wanted.clone() });
        }
        if let Some(why) = pool.why_unassignable(wished) {
            return Err(Refusal::Unassignable { address: wished, pool: name, why });
        }
        let reserved = self.ledger.is_reserved_for(wished, self.service);
        if !reserved {
            self.permitted(pool)?;
            if pool.record.requests == Requests::Denied {
                return Err(Refusal::RequestsDenied { address: wished, pool: name });
            }
        }
        if pool.record.drain {
            return Err(Refusal::Draining(name));
        }
        let how = self.take(wished)?;
        self.quota(pool, Some(wished), others)?;
        Ok(Pick { address: wished, pool: name, how })
    }

    fn permitted(&self, pool: &CompiledPool) -> Result<(), Refusal> {
        let labels = self.ledger.namespace_labels(&self.service.key.namespace);
        if pool.is_for(self.service, &labels) {
            return Ok(());
        }
        Err(Refusal::PoolNotForService(pool.name().clone()))
    }

    /// How it can have this address, whatever the pool says.
    fn take(&self, address: IpAddr) -> Result<How, Refusal> {
        if let Some(reservation) = self.ledger.reserved_for_others(address, self.service) {
            return Err(Refusal::reserved(address, reservation));
        }
        let Some(slot) = self.ledger.slots.get(address) else { return Ok(How::Create) };
        if let Some(object) = probing::conflict(slot) {
            let found = object.conflict.clone().unwrap_or_default();
            return Err(Refusal::Conflict { found, until: object.cooling_until });
        }
        let others: SmallVec<[ObjectKey; 2]> =
            slot.services().into_iter().filter(|key| *key != self.service.key).collect();
        let in_use = |by: &ObjectKey, objection| {
            let objection = Some(objection).filter(|_| !self.known.wish.sharing_key.is_empty());
            Refusal::InUse { address, by: by.clone(), objection: objection.flatten() }
        };
        for other in &others {
            if let Some(objection) = self.objection_of(other, address) {
                return Err(in_use(other, Some(objection)));
            }
            if !self.ledger.services.contains_key(other) {
                // Gone, and about to be released.
                return Err(in_use(other, None));
            }
        }
        match (&slot.object, others.first()) {
            (Some(object), None) if object.cooling_until.is_some() => {
                if self.ledger.is_reserved_for(address, self.service) {
                    return Ok(How::Replace(Arc::clone(object)));
                }
                let until = object.cooling_until.unwrap_or_default();
                Err(Refusal::Cooling { address, until })
            }
            (Some(object), other) if object.holders().len() >= MOST_HOLDERS => {
                Err(in_use(other.unwrap_or(&self.service.key), None))
            }
            (Some(object), _) if object.cooling_until.is_none() => Ok(How::Join(Arc::clone(object))),
            // It is being given to somebody, or is about to be adopted: there is nothing to join yet.
            (_, Some(other)) => Err(in_use(other, None)),
            (_, None) => Ok(How::Create),
        }
    }

    /// What the quota of the pool says against one more address, beside what else it gets.
    fn quota(&self, pool: &CompiledPool, address: Option<IpAddr>, others: &[Pick]) -> Result<(), Refusal> {
        let Some(quota) = pool.record.quota_per_namespace else { return Ok(()) };
        let namespace = &self.service.key.namespace;
        if address.is_some_and(|address| self.counts_already(address, None)) {
            return Ok(());
        }
        let used = self.ledger.accounts.get(pool.name()).map_or(0, |it| it.usage().of(namespace));
        let is_more = |pick: &&Pick| pick.pool == *pool.name() && !self.counts_already(pick.address, None);
        let more = others.iter().filter(is_more).count();
        // What it gives up for this, and only it has, does not count.
        let given_up = self.holdings.iter().flatten().filter(|holding| {
            self.verdict(holding) != Verdict::Good
                && self.pool_of(holding.address) == *pool.name()
                && !self.counts_already(holding.address, Some(&self.service.key))
        });
        if (used as usize).saturating_sub(given_up.count()) + more < quota as usize {
            return Ok(());
        }
        Err(Refusal::Quota { namespace: namespace.clone(), pool: pool.name().clone(), quota })
    }

    /// Does the address count against the quota of the namespace, with this Service left out of it or not?
    fn counts_already(&self, address: IpAddr, without: Option<&ObjectKey>) -> bool {
        let slot = self.ledger.slots.get(address);
        slot.is_some_and(|slot| slot.namespaces(without).contains(&self.service.key.namespace))
    }

    /// The pools from which it gets what it does not ask for by address.
    pub(super) fn pools(&self) -> Result<Vec<&'a CompiledPool>, Refusal> {
        let pools = &self.ledger.pools;
        if let Some(name) = &self.known.wish.pool {
            let pool = pools.get(name).ok_or_else(|| Refusal::UnknownPool(name.clone()))?;
            self.permitted(pool)?;
            if pool.record.drain {
                return Err(Refusal::Draining(name.clone()));
            }
            return Ok(vec![pool]);
        }
        let labels = self.ledger.namespace_labels(&self.service.key.namespace);
        let found = pools.automatic_for(self.service, &labels);
        match found.is_empty() {
            false => Ok(found),
            true if pools.is_empty() => Err(Refusal::NoPools),
            true => Err(Refusal::NoPoolForService),
        }
    }

    /// An address of each of these families, none of which it asks for by address, beside what it gets otherwise. `beside`
    /// is the pool of an address of the other family that it has or gets: that one is tried first.
    pub(super) fn choose(
        &self,
        wanted: &[Family],
        beside: Option<&Istr>,
        others: &[Pick],
    ) -> Vec<(Family, Picked)> {
        let pools = self.pools();
        let mut got: Vec<Pick> = others.to_vec();
        let mut results: Vec<(Family, Picked)> = Vec::new();
        for family in wanted {
            let held = self.reserved(*family).map(Ok);
            let usable = pools.as_deref().unwrap_or_default();
            if let Some(picked) = held.or_else(|| self.shared(*family, usable, &got)) {
                got.extend(picked.as_ref().ok().cloned());
                results.push((*family, picked));
            }
        }
        let mut left: SmallVec<[Family; 2]> = wanted.iter().copied().collect();
        left.retain(|family| !results.iter().any(|(done, _)| done == family));
        let pools = match pools {
            Ok(pools) => pools,
            Err(refusal) => {
                results.extend(left.into_iter().map(|family| (family, Err(refusal.clone()))));
                return results;
            }
        };
        if left.len() == 2
            && let Some(all) = pools.iter().find_map(|pool| self.all_of(pool, &left))
        {
            results.extend(left.into_iter().zip(all.into_iter().map(Ok)));
            return results;
        }
        let one_by_one = |order: &[Family]| {
            let mut got = got.clone();
            let mut results = Vec::new();
            for family in order {
                let first = beside.or(got.first().map(|pick| &pick.pool)).cloned();
                let picked = self.first_free(&pools, *family, first.as_ref(), &got);
                got.extend(picked.as_ref().ok().cloned());
                results.push((*family, picked));
            }
            results
        };
        let mut found = one_by_one(&left);
        if left.len() == 2 && found.iter().any(|(_, picked)| picked.is_err()) {
            // Quotas: what the first one took may have been the last place for the second one.
            left.reverse();
            let other_way = one_by_one(&left);
            if other_way.iter().all(|(_, picked)| picked.is_ok()) {
                found = other_way;
            }
        }
        results.append(&mut found);
        results
    }

    /// Free addresses of all these families, if this pool has them.
    fn all_of(&self, pool: &CompiledPool, families: &[Family]) -> Option<Vec<Pick>> {
        let mut all = Vec::new();
        for family in families {
            self.quota(pool, None, &all).ok()?;
            all.push(self.free(pool, *family)?);
        }
        Some(all)
    }

    /// A free address of the first pool that has one, `first` before the others.
    fn first_free(
        &self,
        pools: &[&CompiledPool],
        family: Family,
        first: Option<&Istr>,
        others: &[Pick],
    ) -> Picked {
        let is_first = |pool: &&&CompiledPool| Some(pool.name()) == first;
        let in_order = pools.iter().filter(is_first).chain(pools.iter().filter(|pool| !is_first(pool)));
        let mut quota = None;
        let mut exhausted = Vec::new();
        for pool in in_order.filter(|pool| pool.capacity(family) > 0) {
            match self.quota(pool, None, others) {
                Err(refusal) => quota = quota.or(Some(refusal)),
                Ok(()) => match self.free(pool, family) {
                    Some(pick) => return Ok(pick),
                    None => exhausted.push(pool.name().clone()),
                },
            }
        }
        let names = || pools.iter().map(|pool| pool.name().clone()).collect();
        Err(match quota {
            Some(refusal) => refusal,
            None if exhausted.is_empty() => Refusal::FamilyInNoPool { family, pools: names() },
            None => {
                exhausted.sort();
                Refusal::Exhausted { family, pools: exhausted }
            }
        })
    }

    /// A free address of this pool: the lowest, or the next one from a place that namespace and name decide.
    fn free(&self, pool: &CompiledPool, family: Family) -> Option<Pick> {
        let free = self.ledger.accounts.get(pool.name()).map(|account| account.free(family));
        let address = next_free(pool, free, family, &self.service.key)?;
        Some(Pick { address, pool: pool.name().clone(), how: How::Create })
    }

    /// An address that is held for it.
    fn reserved(&self, family: Family) -> Option<Pick> {
        self.ledger.reserved_for(self.service, family).into_iter().find_map(|address| {
            let pool = self.ledger.pools.around(address)?;
            let wanted = self.known.wish.pool.as_ref().is_none_or(|wanted| wanted == pool.name());
            if pool.record.drain || !wanted {
                return None;
            }
            let how = self.take(address).ok()?;
            Some(Pick { address, pool: pool.name().clone(), how })
        })
    }

    /// An address that others share by its key: the oldest one. If one that would do is just being given to them, the
    /// refusal says so, and it waits for that.
    fn shared(&self, family: Family, pools: &[&CompiledPool], others: &[Pick]) -> Option<Picked> {
        let key = spec::shortened(&self.known.wish.sharing_key);
        if key.is_empty() {
            return None;
        }
        let mut being_given = None;
        for (address, slot) in self.ledger.slots.of_sharing_key(&key) {
            let pool = self.ledger.pools.of(address);
            let pool = pool.and_then(|it| pools.iter().find(|pool| pool.name() == it.name()));
            let Some(pool) = pool.filter(|_| Family::of(address) == family) else { continue };
            match self.take(address) {
                Ok(how) if self.quota(pool, Some(address), others).is_ok() => {
                    return Some(Ok(Pick { address, pool: pool.name().clone(), how }));
                }
                Err(refusal @ Refusal::InUse { objection: None, .. }) if !slot.claims.is_empty() => {
                    being_given = being_given.or(Some(Err(refusal)));
                }
                _ => {}
            }
        }
        being_given
    }
}

/// The free address of a pool that is next in its order for this object.
pub(crate) fn next_free(
    pool: &CompiledPool,
    free: Option<&Space>,
    family: Family,
    key: &ObjectKey,
) -> Option<IpAddr> {
    let number = match pool.record.order {
        Order::Sequential => free?.lowest(),
        Order::Random => free?.next_from(pool.place(family, draw(key))),
    };
    number.map(|number| address(family, number))
}

/// Where a search begins: the 64-bit FNV-1a hash of namespace and name, which never changes, with its bits mixed.
fn draw(key: &ObjectKey) -> u64 {
    let bytes = key.namespace.bytes().chain([b'/']).chain(key.name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Names that differ at the end only differ in the low bits; the place is taken from the high ones.
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
