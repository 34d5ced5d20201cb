//! Address families of Services and the addresses of Pods in them.

use fairlead_objects::{Addresses, ClusterIp, Family, Istr, Pod, Service};
use smallvec::{SmallVec, smallvec};

/// The families in which a Service has slices, in the order of `spec.ipFamilies`. Watch events of Services that
/// are older than dual stack may lack that list; then the cluster IP decides, and without one the Service has
/// both families.
#[must_use]
pub fn families(service: &Service) -> SmallVec<[Family; 2]> {
    let mut families: SmallVec<[Family; 2]> = smallvec![];
    for family in &service.ip_families {
        if !families.contains(family) {
            families.push(*family);
        }
    }
    if families.is_empty() {
        match service.cluster_ip {
            ClusterIp::Address(address) => families.push(Family::of(address)),
            ClusterIp::None | ClusterIp::Unset => families.extend([Family::V4, Family::V6]),
        }
    }
    families
}

/// The addresses of a Pod in one family, `None` if it has none there. The API admits one per family; several
/// are written sorted, each once.
#[must_use]
pub fn addresses(pod: &Pod, family: Family) -> Option<Addresses> {
    let mut wanted = pod.addresses.iter().copied().filter(|address| Family::of(*address) == family);
    let first = wanted.next()?;
    if wanted.clone().all(|address| address == first) {
        return Some(Addresses::One(first));
    }
    let mut texts: Vec<Istr> =
        std::iter::once(first).chain(wanted).map(|address| Istr::from(address.to_string())).collect();
    texts.sort();
    texts.dedup();
    Some(Addresses::Texts(texts.into()))
}

#[cfg(test)]
mod tests {
    use fairlead_objects::testing;

    use super::*;

    const V4: Family = Family::V4;
    const V6: Family = Family::V6;

    #[test]
    fn families_come_from_the_service_then_from_its_cluster_ip() {
        let ip = |text: &str| ClusterIp::Address(text.parse().unwrap());
        for (scenario, declared, cluster_ip, expected) in [
            ("IPv4", &[V4][..], ip("10.96.0.1"), &[V4][..]),
            ("IPv6", &[V6], ip("fd00::1"), &[V6]),
            ("dual stack, IPv4 first", &[V4, V6], ip("10.96.0.1"), &[V4, V6]),
            ("dual stack, IPv6 first", &[V6, V4], ip("fd00::1"), &[V6, V4]),
            ("nothing declared, IPv4 cluster IP", &[], ip("10.96.0.1"), &[V4]),
            ("nothing declared, IPv6 cluster IP", &[], ip("fd00::1"), &[V6]),
            ("nothing declared, headless", &[], ClusterIp::None, &[V4, V6]),
            ("nothing declared, no cluster IP yet", &[], ClusterIp::Unset, &[V4, V6]),
            ("one declared, headless", &[V4], ClusterIp::None, &[V4]),
            ("both declared, headless", &[V6, V4], ClusterIp::None, &[V6, V4]),
            ("declared families win over the cluster IP", &[V6], ip("10.96.0.1"), &[V6]),
            ("a family that is declared twice", &[V4, V4], ip("10.96.0.1"), &[V4]),
        ] {
            // Whether the Service has a selector makes no difference.
            for selector in [None, testing::service("web").selector] {
                let service = Service {
                    ip_families: declared.iter().copied().collect(),
                    cluster_ip,
                    selector,
                    ..testing::service("web")
                };
                assert_eq!(families(&service).as_slice(), expected, "{scenario}");
            }
        }
    }

    #[test]
    fn addresses_of_the_family_are_written_canonically_sorted_and_once() {
        let texts = |list: &[&str]| Some(Addresses::Texts(list.iter().copied().map(Istr::from).collect()));
        let one = |text: &str| Some(Addresses::One(text.parse().unwrap()));
        for (scenario, of_the_pod, v4, v6) in [
            ("one of each", &["10.0.0.1", "fd00::1"][..], one("10.0.0.1"), one("fd00::1")),
            ("IPv6 first", &["fd00::1", "10.0.0.1"], one("10.0.0.1"), one("fd00::1")),
            ("one only", &["fd00::1"], None, one("fd00::1")),
            ("none", &[], None, None),
            ("several of one family", &["10.0.0.9", "10.0.0.10"], texts(&["10.0.0.10", "10.0.0.9"]), None),
            ("one address twice", &["10.0.0.1", "10.0.0.1"], one("10.0.0.1"), None),
            (
                "one address twice and another",
                &["10.0.0.2", "10.0.0.1", "10.0.0.2"],
                texts(&["10.0.0.1", "10.0.0.2"]),
                None,
            ),
        ] {
            let pod = Pod {
                addresses: of_the_pod.iter().map(|text| text.parse().unwrap()).collect(),
                ..testing::pod("web-0")
            };
            assert_eq!(addresses(&pod, V4), v4, "{scenario}");
            assert_eq!(addresses(&pod, V6), v6, "{scenario}");
        }
        let pod: Pod = testing::decode(
            r#"{"status": {"podIPs": [{"ip": "010.000.0.09"}, {"ip": "1234::5678:0000:0000:9abc:def0"}]}}"#,
        );
        assert_eq!(addresses(&pod, V4), one("10.0.0.9"));
        assert_eq!(addresses(&pod, V6), one("1234::5678:0:0:9abc:def0"));
    }
}
