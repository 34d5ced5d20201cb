//! What is sent to the API server.
//!
//! Every patch carries the UID and the resourceVersion that was observed, so that nothing is written over what somebody
//! else has written meanwhile.

use std::net::IpAddr;

use fairlead_crds::names::{
    ANNOUNCED_CONDITION, GROUP, POOL_LABEL, PROBED_CONDITION, READY_CONDITION, VERSION,
};
use fairlead_crds::{
    AddressPhase, Holder, LoadBalancerAddressSpec, LoadBalancerPoolStatus, ServiceReservationStatus, address,
};
use fairlead_objects::{Istr, ResourceVersion, ServiceCondition, Uid};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use serde_json::{Value, json};

use crate::action::{ConditionChange, Publication};
use crate::records::{Address, AddressSpec, Pool, PoolStatus, Reservation, ReservationStatus};

/// As long as a label may be.
const LONGEST_LABEL: usize = 63;

/// The value of the label `fairlead.dev/pool` for this pool. Names of pools may be longer than labels; those have none.
pub(crate) fn pool_label(pool: &Istr) -> Option<&Istr> {
    Some(pool).filter(|pool| !pool.is_empty() && pool.len() <= LONGEST_LABEL)
}

/// The object to create for an address.
#[must_use]
pub fn create_address(address: IpAddr, spec: &AddressSpec) -> Value {
    let mut metadata = json!({"name": address::address_name(address)});
    if let Some(pool) = pool_label(&spec.pool) {
        metadata["labels"] = json!({POOL_LABEL: pool});
    }
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "LoadBalancerAddress",
        "metadata": metadata,
        "spec": spec_of(address, spec),
    })
}

/// The merge patch that gives an address this spec.
#[must_use]
pub fn update_address(current: &Address, spec: &AddressSpec) -> Value {
    let mut metadata = preconditions(&current.uid, &current.version);
    metadata["labels"] = json!({POOL_LABEL: pool_label(&spec.pool)});
    json!({"metadata": metadata, "spec": spec_of(current.address, spec)})
}

/// The merge patch of the status that lets an address cool down.
#[must_use]
pub fn cool_address(current: &Address, until: Timestamp) -> Value {
    json!({
        "metadata": preconditions(&current.uid, &current.version),
        "status": {"phase": AddressPhase::Cooling, "coolingUntil": MicroTime(until)},
    })
}

/// The merge patch of the status that says of an address that nobody asked the network who uses it.
#[must_use]
pub fn not_probed(current: &Address, message: &str, now: Timestamp) -> Value {
    json!({
        "metadata": preconditions(&current.uid, &current.version),
        "status": {"conditions": with_condition(current, PROBED_CONDITION, "Unknown", "NobodyAsked", message, now)},
    })
}

/// The merge patch of the status that says of an address that nobody answers for it any more.
#[must_use]
pub fn silence(current: &Address, message: &str, now: Timestamp) -> Value {
    json!({
        "metadata": preconditions(&current.uid, &current.version),
        "status": {
            "node": null,
            "interface": null,
            "mac": null,
            "since": null,
            "conditions": with_condition(current, ANNOUNCED_CONDITION, "False", "SpeakerLost", message, now),
        },
    })
}

/// The conditions of an address with this one in the place of that of its type, which has another status.
fn with_condition(
    current: &Address,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: None,
        last_transition_time: Time(now),
    };
    let others = current.conditions.iter().filter(|condition| condition.type_ != kind).cloned();
    others.chain([condition]).collect()
}

/// The strategic merge patch of the status of a Service. It touches our condition only, and not those of others.
#[must_use]
pub fn publish(publication: &Publication) -> Value {
    let service = &publication.service;
    let mut status = json!({});
    if let Some(addresses) = &publication.addresses {
        let ingress: Vec<Value> = addresses
            .iter()
            .map(|address| json!({"ip": address::canonical_text(*address), "ipMode": "VIP"}))
            .collect();
        status["loadBalancer"] =
            json!({"ingress": if ingress.is_empty() { Value::Null } else { ingress.into() }});
    }
    match &publication.condition {
        ConditionChange::Keep => {}
        ConditionChange::Set(condition) => status["conditions"] = json!([condition_of(condition)]),
        ConditionChange::Remove => {
            status["conditions"] = json!([{"$patch": "delete", "type": READY_CONDITION}]);
        }
    }
    json!({"metadata": preconditions(&service.uid, &service.version), "status": status})
}

/// The merge patch of the status of a pool.
#[must_use]
pub fn pool_status(pool: &Pool, status: &PoolStatus) -> Value {
    let status = LoadBalancerPoolStatus {
        observed_generation: Some(status.observed_generation),
        ipv4: status.ipv4,
        ipv6: status.ipv6,
        conditions: status.conditions.iter().map(Condition::from).collect(),
    };
    json!({"metadata": preconditions(&pool.uid, &pool.version), "status": status})
}

/// The merge patch of the status of a reservation.
#[must_use]
pub fn reservation_status(reservation: &Reservation, status: &ReservationStatus) -> Value {
    let status = ServiceReservationStatus {
        observed_generation: Some(status.observed_generation),
        addresses: status.addresses.clone(),
        bound_to: status.bound_to.to_string(),
        phase: status.phase,
        conditions: status.conditions.iter().map(Condition::from).collect(),
    };
    json!({"metadata": preconditions(&reservation.uid, &reservation.version), "status": status})
}

fn preconditions(uid: &Uid, version: &ResourceVersion) -> Value {
    json!({"uid": uid.to_string(), "resourceVersion": version.to_string()})
}

fn spec_of(address: IpAddr, spec: &AddressSpec) -> LoadBalancerAddressSpec {
    let holder = |holder: &crate::records::Holder| Holder {
        namespace: holder.key.namespace.to_string(),
        name: holder.key.name.to_string(),
        uid: holder.uid.to_string(),
    };
    LoadBalancerAddressSpec {
        address,
        pool: spec.pool.to_string(),
        services: spec.services.iter().map(holder).collect(),
        sharing_key: spec.sharing_key.to_string(),
        local: spec.local,
        probe: spec.probe,
        announcements: spec.announcements.clone(),
    }
}

fn condition_of(condition: &ServiceCondition) -> Condition {
    Condition {
        type_: READY_CONDITION.to_owned(),
        status: if condition.ready { "True" } else { "False" }.to_owned(),
        reason: condition.reason.to_string(),
        message: condition.message.to_string(),
        observed_generation: Some(condition.observed_generation).filter(|generation| *generation > 0),
        last_transition_time: Time(condition.last_transition.unwrap_or(Timestamp::UNIX_EPOCH)),
    }
}

#[cfg(test)]
mod tests;
