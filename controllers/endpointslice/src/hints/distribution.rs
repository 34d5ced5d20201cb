//! `spec.trafficDistribution`: every ready endpoint is meant for its own zone, and maybe for its own Node.
//!
//! No thresholds and no events: where a zone has no endpoint, its clients use all of them.

use std::sync::Arc;

use fairlead_objects::{Hints, Istr, Slice, TrafficDistribution};

use super::{Names, Packed, Rewrite, rewrites};

/// Hints the endpoints of `packed`, and returns the `unchanged` slices in which a ready endpoint has missing, wrong
/// or superfluous hints. Endpoints that are not ready are left as they are.
pub(super) fn assign(
    distribution: TrafficDistribution,
    packed: &mut Packed<'_>,
    unchanged: &[&Slice],
) -> Vec<Rewrite> {
    let mut names = Names::default();
    let mut hints = |zone: Option<&Istr>, node: Option<&Istr>| -> Option<Arc<Hints>> {
        names.hints(zone, node.filter(|_| distribution == TrafficDistribution::PreferSameNode))
    };
    for endpoint in packed.endpoints().filter(|it| it.readiness.ready) {
        endpoint.hints = hints(endpoint.zone.as_ref(), endpoint.node.as_ref());
    }
    rewrites(unchanged, |_, endpoint| {
        if endpoint.conditions.ready == Some(true) {
            hints(endpoint.zone.as_ref(), endpoint.node.as_ref())
        } else {
            endpoint.hints.clone()
        }
    })
}
