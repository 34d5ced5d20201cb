//! What a plan does to one family, in numbers.

use fairlead_objects::Family;

/// Numbers for the metrics `endpoint_slice_controller_*`. Gauges are sums over all Services and families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyCounts {
    /// The family.
    pub family: Family,
    /// `endpoints_added_per_sync`: endpoints that are in no slice yet.
    pub added: usize,
    /// `endpoints_removed_per_sync`: endpoints taken out of slices whose ports are still wanted. As upstream
    /// counts: endpoints of slices that go because no Pod has their ports any more are left out.
    pub removed: usize,
    /// `endpoints_desired`.
    pub desired_endpoints: usize,
    /// `desired_endpoint_slices`: the fewest slices that could hold the endpoints, at least one.
    pub desired_slices: usize,
    /// `num_endpoint_slices`: slices that exist once everything is written.
    pub actual_slices: usize,
    /// `endpointslices_changed_per_sync`: slices that are written or deleted.
    pub changed_slices: usize,
}

impl FamilyCounts {
    pub(crate) fn zero(family: Family) -> Self {
        Self {
            family,
            added: 0,
            removed: 0,
            desired_endpoints: 0,
            desired_slices: 0,
            actual_slices: 0,
            changed_slices: 0,
        }
    }
}
