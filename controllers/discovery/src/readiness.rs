//! The three conditions of an endpoint.

use fairlead_objects::Pod;

/// The conditions of an endpoint that stands for a Pod (KEP-1672).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Should new connections go there? Never for a terminating Pod, unless the Service publishes addresses
    /// that are not ready; such a Service has only ready endpoints.
    pub ready: bool,
    /// Does the Pod answer, terminating or not?
    pub serving: bool,
    /// Is the Pod being deleted?
    pub terminating: bool,
}

impl Readiness {
    /// The conditions of `pod` as an endpoint of a Service with this `publishNotReadyAddresses`.
    #[must_use]
    pub fn of(pod: &Pod, publish_not_ready: bool) -> Self {
        Self {
            ready: publish_not_ready || (pod.ready && !pod.terminating),
            serving: pod.ready,
            terminating: pod.terminating,
        }
    }
}

#[cfg(test)]
mod tests {
    use fairlead_objects::testing;

    use super::*;

    #[test]
    fn every_combination_of_ready_condition_deletion_and_publishing() {
        const T: bool = true;
        const F: bool = false;
        // Ready condition, being deleted, publishNotReadyAddresses -> ready, serving, terminating
        for (given, expected) in [
            ([T, F, F], [T, T, F]),
            ([F, F, F], [F, F, F]),
            ([T, T, F], [F, T, T]),
            ([F, T, F], [F, F, T]),
            ([T, F, T], [T, T, F]),
            ([F, F, T], [T, F, F]),
            ([T, T, T], [T, T, T]),
            ([F, T, T], [T, F, T]),
        ] {
            let [ready, terminating, publish] = given;
            let pod = Pod { ready, terminating, ..testing::pod("web-0") };
            let it = Readiness::of(&pod, publish);
            assert_eq!([it.ready, it.serving, it.terminating], expected, "{given:?}");
        }
    }
}
