//! The status of a pool.

use std::sync::Arc;

use fairlead_crds::FamilyUsage;
use fairlead_objects::Family;
use jiff::Timestamp;

use crate::ledger::Account;
use crate::pool::CompiledPool;
use crate::records::{Condition, Pool, PoolStatus};

/// A family of which this part is not free is nearly full, in percent.
const NEARLY_FULL: u128 = 90;
/// As many addresses as a message names.
const MOST_NAMED: usize = 5;

/// The status that a pool should have. `record` is what is known of it now.
pub(crate) fn pool_status(
    pool: &CompiledPool,
    record: &Arc<Pool>,
    account: &Account,
    now: Timestamp,
) -> PoolStatus {
    let usage = |family| {
        let counts = account.counts(family);
        let number = |count: u128| i64::try_from(count).unwrap_or(i64::MAX);
        let of_family = |part: &&crate::pool::Part| part.range.family == family;
        (pool.accepted.iter().any(|part| of_family(&part))).then(|| FamilyUsage {
            capacity: number(pool.capacity(family)),
            assigned: number(counts.assigned.into()),
            free: number(counts.free),
            reserved: number(counts.reserved.into()),
            cooling: number(counts.cooling.into()),
        })
    };
    let mut conditions =
        vec![accepted(pool), degraded(account), exhausted(pool, account), nearly_full(pool, account)];
    conditions.sort_by(|a, b| a.0.cmp(b.0));
    PoolStatus {
        observed_generation: record.generation,
        ipv4: usage(Family::V4),
        ipv6: usage(Family::V6),
        conditions: conditions
            .into_iter()
            .map(|(kind, status, reason, message)| {
                let condition = Condition {
                    kind: kind.into(),
                    status,
                    reason: reason.into(),
                    message: message.into(),
                    observed_generation: record.generation,
                    last_transition: now,
                };
                condition.after(&record.status.conditions)
            })
            .collect(),
    }
}

type Said = (&'static str, bool, &'static str, String);

fn accepted(pool: &CompiledPool) -> Said {
    let refused = pool.refused.iter().map(|(text, problem)| format!("{text} is not used: {problem}"));
    let exclusions =
        pool.unreadable_exclusions.iter().map(|(text, error)| format!("{text} excludes nothing: {error}"));
    let problems: Vec<String> = refused.chain(exclusions).collect();
    let nodes = node_addresses(pool);
    if problems.is_empty() {
        let message = nodes.unwrap_or_else(|| "all of spec.addresses is used".to_owned());
        return ("Accepted", true, "Accepted", message);
    }
    let message = problems.into_iter().chain(nodes).collect::<Vec<_>>().join("; ");
    ("Accepted", false, "InvalidParts", message)
}

fn node_addresses(pool: &CompiledPool) -> Option<String> {
    let addresses: Vec<String> =
        pool.node_addresses.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    if addresses.is_empty() {
        return None;
    }
    let more = pool.node_addresses.len() - addresses.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("addresses of Nodes are not assigned: {}{more}", addresses.join(", ")))
}

fn degraded(account: &Account) -> Said {
    let strays: Vec<String> = account.strays().iter().take(MOST_NAMED).map(ToString::to_string).collect();
    if strays.is_empty() {
        return ("Degraded", false, "AsExpected", "every assigned address is in the pool".to_owned());
    }
    let count = account.strays().len();
    let more = count - strays.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message =
        format!("{count} assigned addresses are no longer in the pool: {}{more}", strays.join(", "));
    ("Degraded", true, "AddressesOutsidePool", message)
}

/// Families that the pool has, with what is free and what there is.
fn families(pool: &CompiledPool, account: &Account) -> Vec<(Family, u128, u128)> {
    [Family::V4, Family::V6]
        .into_iter()
        .map(|family| (family, account.counts(family).free, pool.capacity(family)))
        .filter(|(_, _, capacity)| *capacity > 0)
        .collect()
}

fn exhausted(pool: &CompiledPool, account: &Account) -> Said {
    let full: Vec<&str> = families(pool, account)
        .into_iter()
        .filter(|(_, free, _)| *free == 0)
        .map(|(family, ..)| family.as_str())
        .collect();
    if full.is_empty() {
        return ("Exhausted", false, "AddressesFree", "there are free addresses".to_owned());
    }
    ("Exhausted", true, "NoFreeAddress", format!("no {} address is free", full.join(" and no ")))
}

fn nearly_full(pool: &CompiledPool, account: &Account) -> Said {
    let is_nearly_full = |free: u128, capacity: u128| {
        free <= capacity / 100 * (100 - NEARLY_FULL) + capacity % 100 * (100 - NEARLY_FULL) / 100
    };
    let nearly: Vec<&str> = families(pool, account)
        .into_iter()
        .filter(|(_, free, capacity)| is_nearly_full(*free, *capacity))
        .map(|(family, ..)| family.as_str())
        .collect();
    if nearly.is_empty() {
        let message = format!("less than {NEARLY_FULL} % of the addresses are in use");
        return ("NearlyFull", false, "AddressesFree", message);
    }
    let message = format!("{NEARLY_FULL} % or more of the {} addresses are in use", nearly.join(" and "));
    ("NearlyFull", true, "FewFreeAddresses", message)
}
