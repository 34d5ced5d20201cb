//! Labels of an Endpoints object.

use fairlead_discovery::labels::is_headless;
use fairlead_discovery::names::{ENDPOINTS_CONTROLLER, ENDPOINTS_MANAGED_BY, HEADLESS};
use fairlead_objects::{Istr, Labels, Service};

/// Labels that say something about the object itself; what a Service has under these keys is not copied.
fn copied(labels: &Labels) -> impl Iterator<Item = &(Istr, Istr)> {
    labels.iter().filter(|(key, _)| !matches!(key.as_str(), ENDPOINTS_MANAGED_BY | HEADLESS))
}

/// Is it this controller that maintains the object with these labels?
pub(crate) fn is_managed(labels: &Labels) -> bool {
    labels.get(ENDPOINTS_MANAGED_BY).is_some_and(|manager| *manager == ENDPOINTS_CONTROLLER)
}

/// The complete labels of the Service's Endpoints object.
pub(crate) fn endpoints_labels(service: &Service) -> Labels {
    let own = [
        Some((Istr::from(ENDPOINTS_MANAGED_BY), Istr::from(ENDPOINTS_CONTROLLER))),
        is_headless(service).then(|| (Istr::from(HEADLESS), Istr::default())),
    ];
    copied(&service.labels).cloned().chain(own.into_iter().flatten()).collect()
}

/// Do the labels of an Endpoints object call for a rewrite, given those it should have? The headless label alone is no
/// reason: kube-controller-manager leaves objects without it, and it is put right whenever the object is written for
/// another reason. Unlike upstream, a Service that has one of the two labels itself is not written at every sync.
pub(crate) fn labels_differ(current: &Labels, desired: &Labels) -> bool {
    current != desired && !(is_managed(current) && copied(current).eq(copied(desired)))
}

#[cfg(test)]
mod tests {
    use fairlead_objects::{ClusterIp, testing};

    use super::*;

    const MANAGED: (&str, &str) = (ENDPOINTS_MANAGED_BY, ENDPOINTS_CONTROLLER);

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn labels_of_the_service_are_copied_but_for_the_reserved_ones() {
        let ip = ClusterIp::Address("10.96.0.1".parse().unwrap());
        for (scenario, of_service, cluster_ip, expected) in [
            ("none", &[][..], ip, &[MANAGED][..]),
            ("some", &[("a", "1"), ("b", "2")], ip, &[("a", "1"), ("b", "2"), MANAGED]),
            ("headless", &[("a", "1")], ClusterIp::None, &[("a", "1"), (HEADLESS, ""), MANAGED]),
            ("without a cluster IP yet", &[], ClusterIp::Unset, &[(HEADLESS, ""), MANAGED]),
            ("a reserved key that is wrong here", &[(HEADLESS, "")], ip, &[MANAGED]),
            (
                "reserved keys with values",
                &[(HEADLESS, "x"), (MANAGED.0, "x")],
                ClusterIp::None,
                &[(HEADLESS, ""), MANAGED],
            ),
        ] {
            let service = Service { labels: labels(of_service), cluster_ip, ..testing::service("web") };
            assert_eq!(endpoints_labels(&service), labels(expected), "{scenario}");
        }
    }

    #[test]
    fn the_headless_label_alone_is_no_reason_and_the_managers_is() {
        for (scenario, current, desired, expected) in [
            ("equal", &[MANAGED, ("a", "1")][..], &[MANAGED, ("a", "1")][..], false),
            ("headless too much", &[MANAGED, (HEADLESS, "")], &[MANAGED], false),
            ("headless missing", &[MANAGED], &[MANAGED, (HEADLESS, "")], false),
            ("without manager, as before 1.33", &[("a", "1")], &[MANAGED, ("a", "1")], true),
            ("another manager", &[(MANAGED.0, "x")], &[MANAGED], true),
            ("missing", &[MANAGED], &[MANAGED, ("a", "1")], true),
            ("too much", &[MANAGED, ("a", "1")], &[MANAGED], true),
            ("another value", &[MANAGED, ("a", "2")], &[MANAGED, ("a", "1")], true),
        ] {
            assert_eq!(labels_differ(&labels(current), &labels(desired)), expected, "{scenario}");
        }
    }
}
