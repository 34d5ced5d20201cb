//! Which Pods may be endpoints at all.

use fairlead_objects::{Phase, Pod};

/// What becomes of a Pod that is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminating {
    /// It stays an endpoint, with the condition `terminating`: EndpointSlices.
    Included,
    /// It is no endpoint: Endpoints, unless the Service publishes addresses that are not ready.
    Excluded,
}

/// May the Pod be an endpoint of the Services that select it? Finished Pods never are, whatever their restart
/// policy, and neither are Pods that have no address yet. Readiness plays no part here.
#[must_use]
pub fn may_be_endpoint(pod: &Pod, terminating: Terminating) -> bool {
    pod.phase == Phase::Active
        && pod.has_address
        && (!pod.terminating || terminating == Terminating::Included)
}

#[cfg(test)]
mod tests {
    use fairlead_objects::testing;
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn finished_pods_and_pods_without_address_are_no_endpoints() {
        let active = testing::pod("web-0");
        let finished = Pod { phase: Phase::Finished, ..active.clone() };
        let addressless = Pod { addresses: smallvec![], has_address: false, ..active.clone() };
        let irregular = Pod { addresses: smallvec![], has_address: true, ..active.clone() };
        let unready = Pod { ready: false, ..active.clone() };
        for (scenario, pod, expected) in [
            ("active", &active, true),
            ("not ready", &unready, true),
            ("finished", &finished, false),
            ("without address", &addressless, false),
            ("with an address that nobody can read", &irregular, true),
        ] {
            for rule in [Terminating::Included, Terminating::Excluded] {
                assert_eq!(may_be_endpoint(pod, rule), expected, "{scenario}, {rule:?}");
            }
        }
    }

    #[test]
    fn pods_that_are_being_deleted_are_endpoints_only_where_they_are_wanted() {
        let pod = Pod { terminating: true, ..testing::pod("web-0") };
        assert!(may_be_endpoint(&pod, Terminating::Included));
        assert!(!may_be_endpoint(&pod, Terminating::Excluded));
        let finished = Pod { phase: Phase::Finished, ..pod };
        assert!(!may_be_endpoint(&finished, Terminating::Included));
    }

    #[test]
    fn the_phase_decides_and_not_the_restart_policy() {
        for (phase, restart_policy, expected) in [
            ("Failed", "Never", false),
            ("Failed", "Always", false),
            ("Succeeded", "Never", false),
            ("Succeeded", "OnFailure", false),
            ("Pending", "Never", true),
            ("Unknown", "OnFailure", true),
            ("Running", "Always", true),
        ] {
            let pod: Pod = testing::decode(&format!(
                r#"{{"metadata": {{"namespace": "shop", "name": "p"}}, "spec": {{"restartPolicy": "{restart_policy}"}},
                    "status": {{"phase": "{phase}", "podIP": "10.0.0.1", "podIPs": [{{"ip": "10.0.0.1"}}, {{"ip": "fd00::1"}}]}}}}"#
            ));
            assert_eq!(may_be_endpoint(&pod, Terminating::Included), expected, "{phase}/{restart_policy}");
        }
    }
}
