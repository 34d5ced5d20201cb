//! Ordinary records for tests; a test states what differs.

use std::time::Duration;

use fairlead_crds::{Announce, Order, Requests, Sharing};
use fairlead_objects::{Labels, ObjectKey, ResourceVersion, Uid};
use jiff::Timestamp;

use crate::records::{Pool, PoolStatus};

/// The time at which tests begin.
pub(crate) fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

/// A pool of these parts, with every default of the schema.
pub(crate) fn pool(name: &str, parts: &[&str]) -> Pool {
    Pool {
        key: ObjectKey::new("", name),
        uid: Uid::from(format!("uid-of-pool-{name}").as_str()),
        version: ResourceVersion::Number(1),
        generation: 1,
        created: Some(noon()),
        labels: Labels::default(),
        addresses: parts.iter().map(|part| (*part).into()).collect(),
        exclude: Vec::new(),
        auto_assign: true,
        avoid_buggy_ips: false,
        service_allocation: None,
        order: Order::Sequential,
        quota_per_namespace: None,
        cool_down: Duration::ZERO,
        drain: false,
        sharing: Sharing::SameNamespace,
        requests: Requests::Allowed,
        probe: None,
        probe_timeout: Duration::from_secs(3),
        announce: Announce::Auto,
        status: PoolStatus::default(),
    }
}
