//! Which addresses are held for whom.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_objects::{Family, Istr, Labels, ObjectKey};
use hashbrown::HashMap;

use crate::pool::{CompiledPool, Unassignable};
use crate::pools::Pools;
use crate::records::Reservation;
use crate::words::Reason;

/// Why an address is not held for a reservation, or is of no use to it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    NoPool(Istr),
    InNoPool(IpAddr),
    InOtherPool {
        address: IpAddr,
        pool: Istr,
        wanted: Istr,
    },
    Unassignable {
        address: IpAddr,
        pool: Istr,
        why: Unassignable,
    },
    NotForNamespace(Istr),
    Quota {
        pool: Istr,
        quota: u32,
    },
    /// An older reservation has it.
    Reserved {
        address: IpAddr,
        by: ObjectKey,
    },
    /// It is held, but somebody else has it still.
    InUse {
        address: IpAddr,
        by: ObjectKey,
    },
    /// The pool has nothing that is free.
    Exhausted {
        pool: Istr,
        family: Family,
    },
}

impl Problem {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NoPool(_) => Reason::NoPool,
            Self::InNoPool(_) | Self::InOtherPool { .. } | Self::Unassignable { .. } => {
                Reason::AddressNotInPool
            }
            Self::NotForNamespace(_) => Reason::NotPermitted,
            Self::Quota { .. } => Reason::QuotaExceeded,
            Self::Reserved { .. } | Self::InUse { .. } => Reason::AddressInUse,
            Self::Exhausted { .. } => Reason::PoolExhausted,
        }
    }

    /// Is somebody else in the way?
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Reserved { .. } | Self::InUse { .. })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPool(pool) => write!(f, "there is no LoadBalancerPool {pool}"),
            Self::InNoPool(address) => write!(f, "{address} is in no pool"),
            Self::InOtherPool { address, pool, wanted } => {
                write!(f, "{address} is in pool {pool}, not in pool {wanted}")
            }
            Self::Unassignable { address, pool, why } => {
                write!(f, "{address} lies in pool {pool}, but {why}")
            }
            Self::NotForNamespace(pool) => write!(f, "pool {pool} is not for this namespace"),
            Self::Quota { pool, quota } => {
                write!(f, "the namespace may have {quota} addresses of pool {pool}, and has them already")
            }
            Self::Reserved { address, by } => {
                write!(f, "{address} is reserved by ServiceReservation {by}, which is older")
            }
            Self::InUse { address, by } => {
                write!(
                    f,
                    "{address} is in use by Service {by}; it is kept for this reservation once it is free"
                )
            }
            Self::Exhausted { pool, family } => {
                write!(f, "no free {} address in pool {pool}", family.as_str())
            }
        }
    }
}

/// What became of each address that a reservation asks for, by reservation.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    by_reservation: HashMap<ObjectKey, Grant>,
    by_address: HashMap<IpAddr, ObjectKey>,
}

/// What one reservation holds, and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) problems: Vec<Problem>,
}

/// What granting looks at besides the reservations.
pub(crate) struct World<'a> {
    pub(crate) pools: &'a Pools,
    pub(crate) namespaces: &'a HashMap<Istr, Labels>,
    /// What was picked for reservations that name only a pool, and is not in their status yet.
    pub(crate) picked: &'a HashMap<ObjectKey, Vec<IpAddr>>,
    /// How many addresses of this pool the Services of this namespace have.
    pub(crate) used: &'a dyn Fn(&Istr, &Istr) -> u32,
    /// Does a Service of this namespace have this address?
    pub(crate) has: &'a dyn Fn(&Istr, IpAddr) -> bool,
}

impl Grants {
    /// Grants addresses, the oldest reservation first. What a reservation has been told that it holds is not taken from it
    /// for the sake of a quota.
    pub(crate) fn decide(reservations: &BTreeMap<ObjectKey, Arc<Reservation>>, world: &World<'_>) -> Self {
        let mut by_age: Vec<&Arc<Reservation>> = reservations.values().collect();
        by_age.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        let mut grants = Self::default();
        // Addresses that are held but that no Service of the namespace has, by pool and namespace.
        let mut held: HashMap<(Istr, Istr), u32> = HashMap::new();
        for reservation in by_age {
            let mut grant = Grant::default();
            for address in wanted(reservation, world) {
                match grants.check(reservation, address, world, &held) {
                    Ok((pool, counts)) => {
                        if counts {
                            let namespace = reservation.key.namespace.clone();
                            *held.entry((pool.name().clone(), namespace)).or_default() += 1;
                        }
                        grants.by_address.insert(address, reservation.key.clone());
                        grant.addresses.push(address);
                    }
                    Err(problem) => grant.problems.push(problem),
                }
            }
            if let Some(name) = &reservation.pool
                && reservation.addresses.is_empty()
                && world.pools.get(name).is_none()
            {
                grant.problems.push(Problem::NoPool(name.clone()));
            }
            grants.by_reservation.insert(reservation.key.clone(), grant);
        }
        grants
    }

    fn check<'a>(
        &self,
        reservation: &Reservation,
        address: IpAddr,
        world: &World<'a>,
        held: &HashMap<(Istr, Istr), u32>,
    ) -> Result<(&'a CompiledPool, bool), Problem> {
        let pool = world.pools.around(address).ok_or(Problem::InNoPool(address))?;
        let name = pool.name();
        if let Some(wanted) = reservation.pool.as_ref().filter(|wanted| *wanted != name) {
            let (pool, wanted) = (name.clone(), wanted.clone());
            return Err(Problem::InOtherPool { address, pool, wanted });
        }
        if let Some(why) = pool.why_unassignable(address) {
            return Err(Problem::Unassignable { address, pool: name.clone(), why });
        }
        let namespace = &reservation.key.namespace;
        let labels = world.namespaces.get(namespace).cloned().unwrap_or_default();
        if !pool.is_for_namespace(namespace, &labels) {
            return Err(Problem::NotForNamespace(name.clone()));
        }
        if let Some(by) = self.by_address.get(&address) {
            return Err(Problem::Reserved { address, by: by.clone() });
        }
        let has_it = (world.has)(namespace, address);
        if let Some(quota) = pool.record.quota_per_namespace
            && !has_it
            && !reservation.status.addresses.contains(&address)
        {
            let held = held.get(&(name.clone(), namespace.clone())).copied().unwrap_or_default();
            if (world.used)(name, namespace) + held >= quota {
                return Err(Problem::Quota { pool: name.clone(), quota });
            }
        }
        Ok((pool, !has_it))
    }

    pub(crate) fn of(&self, reservation: &ObjectKey) -> Option<&Grant> {
        self.by_reservation.get(reservation)
    }

    /// Which reservation holds which address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &ObjectKey)> {
        self.by_address.iter().map(|(address, reservation)| (*address, reservation))
    }

    /// Which reservation holds this address.
    pub(crate) fn holder(&self, address: IpAddr) -> Option<&ObjectKey> {
        self.by_address.get(&address)
    }

    /// Is any reservation refused for a quota of this pool?
    pub(crate) fn wait_for_quota(&self, pool: &Istr) -> bool {
        let waits = |problem: &Problem| matches!(problem, Problem::Quota { pool: of, .. } if of == pool);
        self.by_reservation.values().any(|grant| grant.problems.iter().any(waits))
    }
}

/// The addresses that a reservation asks for, or that have been picked for it.
fn wanted(reservation: &Reservation, world: &World<'_>) -> Vec<IpAddr> {
    if !reservation.addresses.is_empty() {
        let mut wanted = reservation.addresses.clone();
        let mut seen = Vec::new();
        wanted.retain(|address| {
            let new = !seen.contains(address);
            seen.push(*address);
            new
        });
        return wanted;
    }
    let picked = world.picked.get(&reservation.key).unwrap_or(&reservation.status.addresses);
    // What is not in the pool any more is picked anew, and so is what an older reservation has.
    let in_pool = |address: &&IpAddr| {
        world.pools.around(**address).is_some_and(|pool| {
            Some(pool.name()) == reservation.pool.as_ref() && pool.is_assignable(**address)
        })
    };
    picked.iter().filter(in_pool).copied().collect()
}
