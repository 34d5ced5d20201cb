//! Labels of the slices of a Service.

use fairlead_objects::{ClusterIp, Istr, Labels, Service};

use crate::names::{HEADLESS, SERVICE_NAME, SLICE_MANAGED_BY};

/// Has the Service no cluster IP, on purpose or not yet?
#[must_use]
pub fn is_headless(service: &Service) -> bool {
    matches!(service.cluster_ip, ClusterIp::None | ClusterIp::Unset)
}

/// Labels that say something about a slice itself; what a Service has under these keys is not copied.
fn is_reserved(key: &str) -> bool {
    matches!(key, SERVICE_NAME | SLICE_MANAGED_BY | HEADLESS)
}

fn copied(labels: &Labels) -> impl Iterator<Item = &(Istr, Istr)> {
    labels.iter().filter(|(key, _)| !is_reserved(key))
}

/// The complete labels of the slices that `managed_by` makes for `service`.
#[must_use]
pub fn slice_labels(service: &Service, managed_by: &str) -> Labels {
    let own = [
        Some((Istr::from(SERVICE_NAME), service.key.name.clone())),
        Some((Istr::from(SLICE_MANAGED_BY), Istr::from(managed_by))),
        is_headless(service).then(|| (Istr::from(HEADLESS), Istr::default())),
    ];
    copied(&service.labels).cloned().chain(own.into_iter().flatten()).collect()
}

/// Do the labels of a slice call for a rewrite? Only those that are copied from the Service count. The headless
/// label alone is no reason: kube-controller-manager leaves slices without it, and it is put right whenever a
/// slice is written for another reason.
#[must_use]
pub fn labels_differ(of_slice: &Labels, of_service: &Labels) -> bool {
    of_slice != of_service && !copied(of_slice).eq(copied(of_service))
}

#[cfg(test)]
mod tests {
    use fairlead_objects::testing;

    use super::*;
    use crate::names::SLICE_CONTROLLER;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    const HEADLESS_IP: ClusterIp = ClusterIp::None;

    fn cluster_ip() -> ClusterIp {
        ClusterIp::Address("10.96.0.1".parse().unwrap())
    }

    /// Labels of new slices of a Service, without the two that all slices have.
    fn beyond_the_fixed_two(of_service: &[(&str, &str)], cluster_ip: ClusterIp) -> Vec<(String, String)> {
        let service = Service { labels: labels(of_service), cluster_ip, ..testing::service("web") };
        let made = slice_labels(&service, SLICE_CONTROLLER);
        assert_eq!(made.get(SERVICE_NAME).unwrap(), &"web");
        assert_eq!(made.get(SLICE_MANAGED_BY).unwrap(), &SLICE_CONTROLLER);
        made.iter()
            .filter(|(key, _)| ![SERVICE_NAME, SLICE_MANAGED_BY].contains(&key.as_str()))
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn labels_of_the_service_are_copied_but_for_the_reserved_ones() {
        let pairs = |list: &[(&str, &str)]| {
            list.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect::<Vec<_>>()
        };
        for (scenario, of_service, ip, expected) in [
            ("none", &[][..], cluster_ip(), &[][..]),
            ("one", &[("a", "1")], cluster_ip(), &[("a", "1")]),
            ("several", &[("a", "1"), ("b", "2")], cluster_ip(), &[("a", "1"), ("b", "2")]),
            ("headless", &[("a", "1")], HEADLESS_IP, &[("a", "1"), (HEADLESS, "")]),
            ("without a cluster IP yet", &[], ClusterIp::Unset, &[(HEADLESS, "")]),
            (
                "reserved keys",
                &[("a", "1"), (SERVICE_NAME, "evil"), (SLICE_MANAGED_BY, "evil"), (HEADLESS, "evil")],
                cluster_ip(),
                &[("a", "1")],
            ),
            (
                "reserved headless key on a headless Service",
                &[(HEADLESS, "evil")],
                HEADLESS_IP,
                &[(HEADLESS, "")],
            ),
        ] {
            assert_eq!(beyond_the_fixed_two(of_service, ip), pairs(expected), "{scenario}");
        }
    }

    #[test]
    fn only_labels_copied_from_the_service_call_for_a_rewrite() {
        for (scenario, of_slice, of_service, expected) in [
            ("none on either", &[][..], &[][..], false),
            ("headless on the slice only", &[(HEADLESS, "")], &[], false),
            ("headless on the Service only", &[], &[(HEADLESS, "")], false),
            ("headless on both", &[(HEADLESS, "")], &[(HEADLESS, "")], false),
            ("equal", &[("a", "1")], &[("a", "1")], false),
            ("equal, headless besides", &[("a", "1"), (HEADLESS, "")], &[("a", "1")], false),
            ("new on the Service", &[], &[("a", "1")], true),
            ("new on the Service, headless besides", &[(HEADLESS, "")], &[("a", "1")], true),
            ("gone from the Service", &[("a", "1")], &[], true),
            ("added to the slice by somebody", &[("a", "1"), ("mine", "x")], &[("a", "1")], true),
            ("another value", &[("a", "1")], &[("a", "2")], true),
            (
                "fixed labels on the slice",
                &[(SERVICE_NAME, "web"), (SLICE_MANAGED_BY, "x")],
                &[("a", "1")],
                true,
            ),
            ("fixed labels and nothing else", &[(SERVICE_NAME, "web"), (SLICE_MANAGED_BY, "x")], &[], false),
            ("reserved on the Service", &[], &[(SERVICE_NAME, "evil"), (SLICE_MANAGED_BY, "evil")], false),
            ("reserved and others on the Service", &[], &[(SERVICE_NAME, "evil"), ("a", "1")], true),
        ] {
            assert_eq!(labels_differ(&labels(of_slice), &labels(of_service)), expected, "{scenario}");
        }
    }

    #[test]
    fn slices_written_with_these_labels_are_not_written_again() {
        for of_service in [&[][..], &[("a", "1")], &[("a", "1"), (HEADLESS, "x"), (SERVICE_NAME, "evil")]] {
            for cluster_ip in [HEADLESS_IP, ClusterIp::Unset, cluster_ip()] {
                let service = Service { labels: labels(of_service), cluster_ip, ..testing::service("web") };
                assert!(!labels_differ(&slice_labels(&service, SLICE_CONTROLLER), &service.labels));
            }
        }
    }
}
