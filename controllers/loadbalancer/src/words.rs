//! Reasons, and what is said about them.
//!
//! Users of a namespace read the condition on their Service, and cannot read pools and addresses; so it says everything:
//! what was asked for, why it cannot be had, and what to do about it.

use std::fmt::Write as _;
use std::net::IpAddr;

use fairlead_discovery::announcing::{self, Exclusion};
use fairlead_objects::{Family, Istr, ObjectKey, ServiceCondition};
use jiff::Timestamp;

use crate::ledger::Absence;
use crate::pool::Unassignable;
use crate::records::{Answering, Reservation, ReservedFor};
use crate::sharing::Objection;

/// `reason` of the condition on a Service, of events, and of the conditions on reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It has what it asks for.
    Assigned,
    /// No pool is for this Service.
    NoPool,
    /// The pools that are have no free address.
    PoolExhausted,
    /// Its namespace has as many addresses of the pool as it may.
    QuotaExceeded,
    /// Somebody else has the address that it asks for.
    AddressInUse,
    /// The address that it asks for is in no pool, or not one that is given out.
    AddressNotInPool,
    /// The pool or the address that it asks for is not for this Service.
    NotPermitted,
    /// What it asks for cannot be read, or contradicts itself.
    InvalidRequest,
    /// It has what it asks for, and a node answers for it.
    Announced,
    /// It has what it asks for, and no node answers for it.
    NoEligibleNode,
    /// Another device uses the address.
    Conflict,
}

impl Reason {
    /// The API's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "Assigned",
            Self::NoPool => "NoPool",
            Self::PoolExhausted => "PoolExhausted",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::AddressInUse => "AddressInUse",
            Self::AddressNotInPool => "AddressNotInPool",
            Self::NotPermitted => "NotPermitted",
            Self::InvalidRequest => "InvalidRequest",
            Self::Announced => "Announced",
            Self::NoEligibleNode => "NoEligibleNode",
            Self::Conflict => "Conflict",
        }
    }

    /// Is a Service for which this is said as it shall be?
    #[must_use]
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Assigned | Self::Announced)
    }
}

/// Why a Service does not get what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// What it asks for cannot be read; in words.
    Invalid(String),
    /// RequireDualStack with one family.
    OneFamilyOnly(Family),
    /// It asks for an address of a family that it does not have.
    WrongFamily {
        address: IpAddr,
        only: Family,
    },
    /// It has no family at all.
    NoFamily,
    InNoPool(IpAddr),
    Unassignable {
        address: IpAddr,
        pool: Istr,
        why: Unassignable,
    },
    /// It asks for an address of one pool, and for another pool.
    InOtherPool {
        address: IpAddr,
        pool: Istr,
        wanted: Istr,
    },
    UnknownPool(Istr),
    PoolNotForService(Istr),
    Draining(Istr),
    RequestsDenied {
        address: IpAddr,
        pool: Istr,
    },
    Reserved {
        address: IpAddr,
        reservation: ObjectKey,
        whom: Option<Istr>,
    },
    InUse {
        address: IpAddr,
        by: ObjectKey,
        objection: Option<Objection>,
    },
    Cooling {
        address: IpAddr,
        until: Timestamp,
    },
    /// Another device uses it, as was seen on the network; in words.
    Conflict {
        found: Box<str>,
        until: Option<Timestamp>,
    },
    Quota {
        namespace: Istr,
        pool: Istr,
        quota: u32,
    },
    Exhausted {
        family: Family,
        pools: Vec<Istr>,
    },
    FamilyInNoPool {
        family: Family,
        pools: Vec<Istr>,
    },
    NoPools,
    NoPoolForService,
}

impl Refusal {
    pub(crate) fn reserved(address: IpAddr, reservation: &Reservation) -> Self {
        let whom = match &reservation.service {
            ReservedFor::Name(name) => Some(name.clone()),
            ReservedFor::Selector(_) => None,
        };
        Self::Reserved { address, reservation: reservation.key.clone(), whom }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) | Self::OneFamilyOnly(_) | Self::WrongFamily { .. } | Self::NoFamily => {
                Reason::InvalidRequest
            }
            Self::InNoPool(_) | Self::Unassignable { .. } | Self::InOtherPool { .. } => {
                Reason::AddressNotInPool
            }
            Self::UnknownPool(_) | Self::FamilyInNoPool { .. } | Self::NoPools | Self::NoPoolForService => {
                Reason::NoPool
            }
            Self::PoolNotForService(_)
            | Self::Draining(_)
            | Self::RequestsDenied { .. }
            | Self::Reserved { .. } => Reason::NotPermitted,
            Self::InUse { .. } | Self::Cooling { .. } => Reason::AddressInUse,
            Self::Quota { .. } => Reason::QuotaExceeded,
            Self::Exhausted { .. } => Reason::PoolExhausted,
            Self::Conflict { .. } => Reason::Conflict,
        }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Invalid(words) => words.clone(),
            Self::OneFamilyOnly(family) => format!(
                "ipFamilyPolicy is RequireDualStack, but the Service has only the family {}; the cluster has to be \
                 dual-stack for it",
                family.as_str()
            ),
            Self::WrongFamily { address, only } => format!(
                "{address} is an {} address, and the Service has only the family {}",
                Family::of(*address).as_str(),
                only.as_str()
            ),
            Self::NoFamily => "the Service has no IP family; give it a ClusterIP".to_owned(),
            Self::InNoPool(address) => {
                format!("{address} is in no LoadBalancerPool; ask for an address of one, or for none")
            }
            Self::Unassignable { address, pool, why } => {
                format!("{address} lies in pool {pool}, but {why}; ask for another one")
            }
            Self::InOtherPool { address, pool, wanted } => {
                format!(
                    "{address} is in pool {pool}, but pool {wanted} is asked for as well; remove one of the two"
                )
            }
            Self::UnknownPool(pool) => format!("there is no LoadBalancerPool {pool}"),
            Self::PoolNotForService(pool) => {
                format!("pool {pool} is for other namespaces or Services (its serviceAllocation)")
            }
            Self::Draining(pool) => format!("pool {pool} is being drained, nothing new is assigned from it"),
            Self::RequestsDenied { address, pool } => format!(
                "{address} is in pool {pool}, whose addresses cannot be asked for, only reserved; remove the request"
            ),
            Self::Reserved { address, reservation, whom } => {
                let namespace = &reservation.namespace;
                let whom = whom.as_ref().map_or_else(
                    || format!("Services of namespace {namespace}"),
                    |name| format!("Service {namespace}/{name}"),
                );
                format!("{address} is reserved for {whom} (ServiceReservation {reservation})")
            }
            Self::InUse { address, by, objection } => {
                let mut words = format!("{address} is in use by Service {by}");
                if let Some(objection) = objection {
                    let _ = write!(words, ", and cannot be shared: {objection}");
                }
                words
            }
            Self::Cooling { address, until } => {
                format!("{address} was released a short time ago, and is kept free until {until:.0}")
            }
            Self::Conflict { found, until: None } => found.to_string(),
            Self::Conflict { found, until: Some(until) } => {
                format!(
                    "{found}; it is given to nobody until {until:.0}, and asked for on the network again then"
                )
            }
            Self::Quota { namespace, pool, quota } => {
                format!(
                    "namespace {namespace} may have {quota} addresses of pool {pool}, and has them already"
                )
            }
            Self::Exhausted { family, pools } => {
                format!("no free {} address in {}", family.as_str(), list_of_pools(pools))
            }
            Self::FamilyInNoPool { family, pools } => {
                format!("no {} addresses at all in {}", family.as_str(), list_of_pools(pools))
            }
            Self::NoPools => "there is no LoadBalancerPool yet".to_owned(),
            Self::NoPoolForService => {
                "no LoadBalancerPool is for this Service; name one by the annotation fairlead.dev/pool"
                    .to_owned()
            }
        }
    }
}

fn list_of_pools(pools: &[Istr]) -> String {
    match pools {
        [only] => format!("pool {only}"),
        _ => format!("pools {}", pools.iter().map(Istr::as_str).collect::<Vec<_>>().join(", ")),
    }
}

/// An address that a Service has, as it is told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) address: IpAddr,
    pub(crate) pool: Istr,
    pub(crate) note: Option<Note>,
}

/// What is to be said about an address besides its pool.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// It takes the place of this one, which is there until the new one works.
    MovingFrom { address: IpAddr, pool: Istr },
    /// Its pool is being drained, and it was asked for.
    DrainingButWanted,
    /// It should go, for this reason, and there is nothing in its place.
    Stuck { why: Misplaced, refusal: String },
    /// It is in no pool any more, and nobody wants to move it.
    InNoPool,
}

/// Why an address should be another one, though nobody asked for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// Its pool is being drained.
    Draining,
    /// It was taken out of its pool.
    OutsidePool,
    /// Its pool is not for this Service any more.
    NotForService,
}

/// What is said of a Service that has addresses.
pub(crate) fn assigned(told: &[Told]) -> String {
    if let [first, rest @ ..] = told
        && !rest.is_empty()
        && told.iter().all(|it| it.note.is_none() && it.pool == first.pool && !it.pool.is_empty())
    {
        let addresses: Vec<String> = told.iter().map(|it| it.address.to_string()).collect();
        return format!("{} from pool {}", addresses.join(" and "), first.pool);
    }
    told.iter().map(one_assigned).collect::<Vec<_>>().join("; ")
}

fn one_assigned(Told { address, pool, note }: &Told) -> String {
    let from = if pool.is_empty() { format!("{address}") } else { format!("{address} from pool {pool}") };
    match note {
        None => from,
        Some(Note::MovingFrom { address: old, pool: old_pool }) => {
            let of = if old_pool.is_empty() { String::new() } else { format!(" of pool {old_pool}") };
            format!("{from}, moving from {old}{of} to {address}")
        }
        Some(Note::DrainingButWanted) => format!("{from}, which is being drained, but is asked for"),
        Some(Note::InNoPool) => format!("{address}, which is in no pool any more"),
        Some(Note::Stuck { why, refusal }) => match why {
            Misplaced::Draining => {
                format!("{from}, which is being drained; there is no other place: {refusal}")
            }
            Misplaced::OutsidePool => {
                format!("{address}, which pool {pool} no longer has; there is no other place: {refusal}")
            }
            Misplaced::NotForService => {
                format!("{from}, which is for others now; there is no other place: {refusal}")
            }
        },
    }
}

/// Who answers for the addresses of a Service.
pub(crate) fn answered(answers: &[(IpAddr, &Answering)]) -> String {
    let on = |answering: &Answering| match answering.interface.as_str() {
        "" => String::new(),
        interface => format!(" on {interface}"),
    };
    let Some((_, first)) = answers.first() else { return String::new() };
    let same = |other: &Answering| other.node == first.node && other.interface == first.interface;
    if answers.iter().all(|(_, answering)| same(answering)) {
        let what = if answers.len() == 1 { "it" } else { "them" };
        return format!("{} answers for {what}{}", first.node, on(first));
    }
    let one = |(address, answering): &(IpAddr, &Answering)| {
        format!("{} answers for {address}{}", answering.node, on(answering))
    };
    answers.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// That nobody answers for an address, and why; each node and what keeps it from it.
pub(crate) fn unanswered<'a>(
    address: IpAddr,
    nodes: impl IntoIterator<Item = (&'a str, Exclusion)>,
) -> String {
    let why = announcing::in_words(nodes);
    let why = if why.is_empty() { "there is no node".to_owned() } else { why };
    format!("no node answers for {address}: {why}")
}

/// That nobody is known to answer for an address, because the speaker that did is lost.
pub(crate) fn speaker_lost(answering: &Answering, absence: Absence) -> String {
    let Answering { node, interface, .. } = answering;
    let on = if interface.is_empty() { String::new() } else { format!(" on {interface}") };
    let why = match absence {
        Absence::RanOut(at) => format!(
            "the Lease of its speaker ran out at {at:.0}: it does not run, or does not reach the API server"
        ),
        Absence::Ended => "its speaker has ended".to_owned(),
        Absence::NoLease => "its speaker has no Lease: it does not run, or may not write one".to_owned(),
    };
    format!("{node} answered for it{on}, and {why}")
}

/// How the message begins that is about a Service with addresses that does not have what it asks for.
const KEEPS: &str = "keeps ";

/// What is said of a Service that has addresses, but not what it asks for.
pub(crate) fn keeps(addresses: &[IpAddr], refusals: &str) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!("{KEEPS}{}: {refusals}", addresses.join(" and "))
}

/// Does this condition of ours say that its Service has this address? Whatever is said of a Service that has addresses names
/// every one of them, which is how a status is known to be ours whose objects are gone.
pub(crate) fn claims(condition: &ServiceCondition, address: IpAddr) -> bool {
    let about = if condition.ready {
        Some(&*condition.message)
    } else {
        // The rest may name addresses that it only asked for.
        condition.message.strip_prefix(KEEPS).and_then(|rest| rest.split_once(": ")).map(|(kept, _)| kept)
    };
    about.is_some_and(|about| mentions(about, address))
}

/// Is this address among the words of a text?
fn mentions(text: &str, address: IpAddr) -> bool {
    text.split_whitespace()
        .any(|word| word.trim_end_matches([',', ';', ')']).parse::<IpAddr>() == Ok(address))
}

#[cfg(test)]
mod tests;
