//! What a Lease says, and how it is rewritten.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// A state of the Lease as the API server told it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen(pub Lease);

/// What a Lease says about its holder. Fields that are missing or absurd are tolerated.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Who holds it; `None` if it is free.
    pub holder: Option<String>,
    /// For how long others keep off, if that is known.
    pub duration: Option<Duration>,
    /// How often the holder changed.
    pub transitions: i32,
}

impl Seen {
    /// What it says.
    #[must_use]
    pub fn record(&self) -> Record {
        let spec = self.0.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty());
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|it| u64::try_from(it).ok());
        Record {
            holder,
            duration: seconds.filter(|it| *it > 0).map(Duration::from_secs),
            transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
        }
    }

    /// The version, which grows with each change. `None`: it is no number, and tells nothing.
    pub(super) fn number(&self) -> Option<u64> {
        self.0.metadata.resource_version.as_ref()?.parse().ok()
    }

    /// The Lease as `holder` takes it or renews it, with everything else that others have put there. client-go counts a
    /// transition whenever the holder was somebody else, or nobody.
    pub(super) fn held_by(&self, holder: &str, duration: Duration, wall: Timestamp) -> Lease {
        let mut lease = self.0.clone();
        let is_renewal = self.record().holder.as_deref() == Some(holder);
        let transitions = self.record().transitions;
        let spec = lease.spec.get_or_insert_default();
        if !is_renewal || spec.acquire_time.is_none() {
            spec.acquire_time = Some(MicroTime(wall));
        }
        if !is_renewal {
            spec.lease_transitions = Some(transitions.saturating_add(1));
        }
        spec.holder_identity = Some(holder.to_owned());
        spec.lease_duration_seconds = Some(whole_seconds(duration));
        spec.renew_time = Some(MicroTime(wall));
        lease
    }

    /// The Lease given back: free at once, also for those who watch the duration alone.
    pub(super) fn released(&self, wall: Timestamp) -> Lease {
        let mut lease = self.0.clone();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.acquire_time = Some(MicroTime(wall));
        spec.renew_time = Some(MicroTime(wall));
        lease
    }
}

/// The first Lease of this name.
pub(super) fn first(namespace: &str, name: &str, holder: &str, duration: Duration, wall: Timestamp) -> Lease {
    let mut lease = Lease::default();
    lease.metadata.namespace = Some(namespace.to_owned());
    lease.metadata.name = Some(name.to_owned());
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(holder.to_owned());
    spec.lease_duration_seconds = Some(whole_seconds(duration));
    spec.acquire_time = Some(MicroTime(wall));
    spec.renew_time = Some(MicroTime(wall));
    spec.lease_transitions = Some(0);
    lease
}

/// A Lease tells whole seconds. Rounded up: others had better wait longer.
fn whole_seconds(duration: Duration) -> i32 {
    let more = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs().saturating_add(more)).unwrap_or(i32::MAX)
}
