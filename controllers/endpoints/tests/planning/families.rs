//! The one family of an Endpoints object.

use fairlead_objects::{ClusterIp, Family, Pod, Service, testing};
use std::sync::Arc;

use crate::support::Cluster;

const V4: Family = Family::V4;
const V6: Family = Family::V6;

fn published(families: &[Family], cluster_ip: ClusterIp, of_the_pod: &[&str]) -> Vec<String> {
    let service =
        Service { ip_families: families.iter().copied().collect(), cluster_ip, ..testing::service("web") };
    let mut cluster = Cluster::new(service);
    let addresses = of_the_pod.iter().map(|text| text.parse().expect("an address")).collect();
    cluster.pods =
        vec![Arc::new(Pod { addresses, has_address: !of_the_pod.is_empty(), ..testing::pod("p") })];
    cluster.sync();
    let ip = |subset: &String| subset.split(';').next().unwrap_or_default().replace("p@", "");
    cluster.subsets().iter().map(ip).collect()
}

#[test]
fn test_pod_to_endpoint_address_for_service() {
    let ip = |text: &str| ClusterIp::Address(text.parse().unwrap());
    let (four, six) = ("1.2.3.4", "2001:db8::1");
    for (scenario, families, cluster_ip, pod, expected) in [
        ("v4 service, in a single stack cluster", &[V4][..], ip("10.0.0.1"), &[four][..], Some(four)),
        ("v4 service, in a dual stack cluster", &[V4], ip("10.0.0.1"), &[four, six], Some(four)),
        ("v4 service, in a dual stack cluster, v6 primary", &[V4], ip("10.0.0.1"), &[six, four], Some(four)),
        ("v4 headless service, in a single stack cluster", &[V4], ClusterIp::None, &[four], Some(four)),
        ("v4 headless service, in a dual stack cluster", &[V4], ClusterIp::None, &[four, six], Some(four)),
        ("v6 service, in a dual stack cluster", &[V6], ip("3000::1"), &[four, six], Some(six)),
        ("v6 headless service, in a single stack cluster", &[V6], ClusterIp::None, &[six], Some(six)),
        ("v6 headless service, in a dual stack cluster", &[V6], ClusterIp::None, &[four, six], Some(six)),
        ("v6 service, in a v4 only cluster", &[V6], ip("3000::1"), &[four], None),
        ("dual-stack service: the first", &[V6, V4], ip("3000::1"), &[four, six], Some(six)),
        ("dual-stack service: the first, not the other", &[V4, V6], ip("10.0.0.1"), &[six], None),
    ] {
        let expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(published(families, cluster_ip, pod), expected, "{scenario}");
    }
    // Irregular texts are written canonically.
    let mut cluster = Cluster::with_pods(0);
    cluster.pods = vec![Arc::new(testing::decode(
        r#"{"metadata": {"namespace": "shop", "name": "p", "labels": {"app": "web"}},
            "status": {"podIP": "01.02.003.04", "podIPs": [{"ip": "01.02.003.04"}],
                "conditions": [{"type": "Ready", "status": "True"}]}}"#,
    ))];
    cluster.sync();
    assert_eq!(cluster.subsets(), ["p@1.2.3.4;;http:8080/TCP"]);
}

/// Watch events of Services that are older than dual stack lack `ipFamilies`; kube-controller-manager 1.33 panicked.
#[test]
fn issue_138735_empty_ip_families_are_told_from_addresses() {
    let ip = |text: &str| ClusterIp::Address(text.parse().unwrap());
    let (four, six) = ("1.2.3.4", "2001:db8::1");
    for (scenario, cluster_ip, pod, expected) in [
        ("headful v4 with a v4 Pod", ip("10.0.0.1"), &[four, six][..], Some(four)),
        ("headful v6 with a v6 Pod", ip("3000::1"), &[four, six], Some(six)),
        ("headful v4 without a v4 address", ip("10.0.0.1"), &[six], None),
        ("headless with a v4 Pod", ClusterIp::None, &[four, six], Some(four)),
        ("headless with a v6 Pod", ClusterIp::None, &[six, four], Some(six)),
        ("without a cluster IP yet", ClusterIp::Unset, &[six], Some(six)),
        ("a Pod without addresses", ClusterIp::None, &[], None),
    ] {
        let expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(published(&[], cluster_ip, pod), expected, "{scenario}");
    }
}
