//! All pools: which has an address, and which are for a Service, in which order.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_objects::{Family, Istr, Labels, Service};

use crate::pool::{CompiledPool, PartProblem};
use crate::ranges::{Range, number};
use crate::records::Pool;

/// All pools, compiled. No two have an address in common.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    by_name: BTreeMap<Istr, CompiledPool>,
    /// Parts by their first address, with the last one and the pool; those of one pool may overlap.
    parts: [BTreeMap<u128, (u128, Istr)>; 2],
    /// Names of those that give addresses to Services which name none of them, in the order in which they are tried.
    automatic: Vec<Istr>,
}

/// A range of ClusterIPs.
#[derive(Clone, Debug)]
pub(crate) struct ServiceCidr {
    pub(crate) name: Istr,
    pub(crate) text: Istr,
    pub(crate) range: Range,
}

impl Pools {
    /// Sorts out who has what: of pools that overlap the older one has the addresses, or else the one that comes first
    /// by name.
    pub(crate) fn compile<'a>(
        records: impl IntoIterator<Item = &'a Arc<Pool>>,
        service_cidrs: &[ServiceCidr],
        node_addresses: &[IpAddr],
    ) -> Self {
        let mut records: Vec<&Arc<Pool>> = records.into_iter().collect();
        records.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        let mut pools = Self::default();
        for record in records {
            let problem = |range: &Range| {
                let overlaps = |other: &&ServiceCidr| {
                    other.range.family == range.family && other.range.interval.overlaps(range.interval)
                };
                let cidr = service_cidrs.iter().find(overlaps).map(|other| {
                    PartProblem::OverlapsServiceCidr { range: other.text.clone(), name: other.name.clone() }
                });
                cidr.or_else(|| pools.overlapping(range))
            };
            let pool = CompiledPool::new(record, problem, node_addresses);
            for part in &pool.accepted {
                let interval = part.range.interval;
                let of_family = &mut pools.parts[part.range.family as usize];
                // Of parts of one pool that begin alike the longer one counts.
                let known = of_family.get(&interval.first).map_or(interval.last, |(last, _)| *last);
                of_family.insert(interval.first, (known.max(interval.last), pool.name().clone()));
            }
            pools.by_name.insert(pool.name().clone(), pool);
        }
        let mut automatic: Vec<&CompiledPool> =
            pools.by_name.values().filter(|pool| pool.record.auto_assign && !pool.record.drain).collect();
        automatic.sort_by_key(|pool| {
            let priority = pool.record.service_allocation.as_ref().map(|allocation| allocation.priority);
            (priority.is_none(), priority.filter(|it| *it > 0).unwrap_or(i32::MAX), pool.name().clone())
        });
        pools.automatic = automatic.into_iter().map(|pool| pool.name().clone()).collect();
        pools
    }

    fn overlapping(&self, range: &Range) -> Option<PartProblem> {
        // The parts of one pool may overlap, so the one before is not enough; this is done when pools change only.
        self.by_name.values().find_map(|pool| {
            let part = pool.accepted.iter().find(|part| {
                part.range.family == range.family && part.range.interval.overlaps(range.interval)
            })?;
            Some(PartProblem::OverlapsPool { part: part.text.clone(), pool: pool.name().clone() })
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&CompiledPool> {
        self.by_name.get(&Istr::from(name))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &CompiledPool> {
        self.by_name.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The pool in one of whose parts the address lies.
    pub(crate) fn around(&self, address: IpAddr) -> Option<&CompiledPool> {
        let before = self.parts[Family::of(address) as usize].range(..=number(address));
        // The part that begins right before it is of the pool that has it, if any has; but within a pool an earlier
        // part may be the longer one.
        let (_, (_, name)) = before.last()?;
        self.by_name.get(name).filter(|pool| pool.part_of(address).is_some())
    }

    /// The pool that an address which somebody has belongs to.
    pub(crate) fn of(&self, address: IpAddr) -> Option<&CompiledPool> {
        self.around(address).filter(|pool| pool.keeps(address))
    }

    /// The pools that give an address to this Service without being named, in the order in which they are tried: those
    /// with `serviceAllocation` first, by priority and name; then the others, by name.
    pub(crate) fn automatic_for(&self, service: &Service, namespace_labels: &Labels) -> Vec<&CompiledPool> {
        let pools = self.automatic.iter().filter_map(|name| self.by_name.get(name));
        pools.filter(|pool| pool.is_for(service, namespace_labels)).collect()
    }
}

#[cfg(test)]
mod tests;
