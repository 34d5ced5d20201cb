//! When two endpoints are the same one, and when an endpoint must be written again.

use fairlead_discovery::Readiness;
use fairlead_objects::{Conditions, Endpoint, Istr, Slice, TargetRef, Uid};

use crate::desired::Wanted;

/// The Pod of the slice's own namespace that an existing endpoint stands for. Endpoints that stand for
/// anything else are never wanted.
pub(crate) fn pod_of<'a>(endpoint: &'a Endpoint, namespace: &Istr) -> Option<&'a Istr> {
    match endpoint.target.as_ref()? {
        TargetRef::Pod { name, .. } => Some(name),
        TargetRef::Other(other) => {
            other.name.as_ref().filter(|_| other.namespace.as_ref() == Some(namespace))
        }
    }
}

/// The Pods that the endpoints of a slice stand for, in their order.
pub(crate) fn pods_of(slice: &Slice) -> impl Iterator<Item = &Istr> {
    slice.endpoints.iter().filter_map(|endpoint| pod_of(endpoint, &slice.key.namespace))
}

/// The conditions as they are written: all three.
pub(crate) fn conditions_of(readiness: Readiness) -> Conditions {
    Conditions {
        ready: Some(readiness.ready),
        serving: Some(readiness.serving),
        terminating: Some(readiness.terminating),
    }
}

/// Does the endpoint stand for just this Pod, as the controllers write it?
pub(crate) fn stands_for(endpoint: &Endpoint, pod: &Istr, pod_uid: &Uid) -> bool {
    matches!(&endpoint.target, Some(TargetRef::Pod { name, uid }) if name == pod && uid == pod_uid)
}

/// Is `existing` the endpoint that is `wanted`, given that both stand for the Pod of one name? It is if
/// addresses and host name are equal; everything else can change in place.
pub(crate) fn is_same(existing: &Endpoint, wanted: &Wanted<'_>) -> bool {
    fn text(hostname: Option<&Istr>) -> Option<&Istr> {
        hostname.filter(|it| !it.is_empty())
    }
    existing.addresses == wanted.addresses && text(existing.hostname.as_ref()) == wanted.candidate.hostname
}

/// Has anything changed about an endpoint that stays the same one? Hints are not compared, and neither is the
/// version of the Pod.
pub(crate) fn needs_rewrite(existing: &Endpoint, wanted: &Wanted<'_>) -> bool {
    let candidate = wanted.candidate;
    existing.conditions != conditions_of(candidate.readiness)
        || existing.node != candidate.pod.node
        || existing.zone != candidate.zone
        || !stands_for(existing, &candidate.pod.key.name, &candidate.pod.uid)
}
