use super::*;
use crate::records::ServiceAllocation;
use crate::testing::{noon, pool};

fn compile(records: &[Pool]) -> Pools {
    let records: Vec<Arc<Pool>> = records.iter().cloned().map(Arc::new).collect();
    Pools::compile(&records, &[], &[])
}

fn name_of(pools: &Pools, address: &str) -> Option<String> {
    pools.of(address.parse().unwrap()).map(|pool| pool.name().to_string())
}

#[test]
fn of_pools_that_overlap_the_older_one_has_the_addresses_and_the_other_keeps_its_other_parts() {
    let older = Pool { created: Some(noon()), ..pool("z", &["198.51.100.0/25"]) };
    let later = noon().saturating_add(jiff::SignedDuration::from_secs(1)).unwrap();
    let younger =
        Pool { created: Some(later), ..pool("a", &["198.51.100.0/24", "203.0.113.0/24", "2001:db8::/64"]) };
    let pools = compile(&[younger, older]);
    assert_eq!(name_of(&pools, "198.51.100.7").as_deref(), Some("z"));
    assert_eq!(name_of(&pools, "198.51.100.200"), None);
    assert_eq!(name_of(&pools, "203.0.113.7").as_deref(), Some("a"));
    assert_eq!(name_of(&pools, "2001:db8::7").as_deref(), Some("a"));
    let (text, problem) = &pools.get("a").unwrap().refused[0];
    assert_eq!(
        format!("{text}: {problem}"),
        "198.51.100.0/24: it overlaps 198.51.100.0/25 of LoadBalancerPool z, which is older"
    );
}

#[test]
fn pools_of_one_age_are_told_apart_by_name() {
    let pools = compile(&[pool("b", &["198.51.100.0/24"]), pool("a", &["198.51.100.0/24"])]);
    assert_eq!(name_of(&pools, "198.51.100.7").as_deref(), Some("a"));
}

#[test]
fn parts_of_one_pool_may_overlap_each_other() {
    let pools = compile(&[pool("a", &["198.51.100.0-198.51.100.99", "198.51.100.10-198.51.100.19"])]);
    for address in ["198.51.100.0", "198.51.100.15", "198.51.100.50"] {
        assert_eq!(name_of(&pools, address).as_deref(), Some("a"), "{address}");
    }
    assert_eq!(name_of(&pools, "198.51.100.100"), None);
}

#[test]
fn parts_that_overlap_cluster_ips_are_not_used() {
    let record = Arc::new(pool("a", &["10.96.0.0/24", "198.51.100.0/24"]));
    let range = Range::parse("10.96.0.0/12").unwrap();
    let cidr = ServiceCidr { name: "kubernetes".into(), text: "10.96.0.0/12".into(), range };
    let pools = Pools::compile([&record], &[cidr], &[]);
    let (text, problem) = &pools.get("a").unwrap().refused[0];
    assert_eq!(
        format!("{text}: {problem}"),
        "10.96.0.0/24: it overlaps the ClusterIP range 10.96.0.0/12 of ServiceCIDR kubernetes"
    );
    assert_eq!(name_of(&pools, "198.51.100.7").as_deref(), Some("a"));
}

#[test]
fn pools_that_are_for_a_service_come_first_by_priority_and_name() {
    let allocation = |priority, namespaces: &[&str]| ServiceAllocation {
        priority,
        namespaces: namespaces.iter().map(|name| (*name).into()).collect(),
        ..ServiceAllocation::default()
    };
    let with = |name, allocation| Pool { service_allocation: Some(allocation), ..pool(name, &[]) };
    let pools = compile(&[
        pool("plain-b", &[]),
        pool("plain-a", &[]),
        Pool { auto_assign: false, ..pool("by-name-only", &[]) },
        Pool { drain: true, ..pool("draining", &[]) },
        with("last", allocation(0, &["shop"])),
        with("second-b", allocation(20, &["shop"])),
        with("second-a", allocation(20, &[])),
        with("first", allocation(10, &["bank", "shop"])),
        with("others", allocation(1, &["bank"])),
    ]);
    let service = fairlead_objects::testing::service("web");
    let order: Vec<_> = pools
        .automatic_for(&service, &Labels::default())
        .into_iter()
        .map(|pool| pool.name().to_string())
        .collect();
    assert_eq!(order, ["first", "second-a", "second-b", "last", "plain-a", "plain-b"]);
}

#[test]
fn pools_are_for_namespaces_by_name_or_label_and_for_services_by_label() {
    let selector = |key: &str, value: &str| {
        let text = format!(r#"{{"matchLabels": {{"{key}": "{value}"}}}}"#);
        fairlead_objects::Selector::from(
            &serde_json::from_str::<k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector>(&text)
                .unwrap(),
        )
    };
    let service = fairlead_objects::testing::service("web");
    let gold: Labels = [("tier", "gold")].into_iter().collect();
    for (about, allocation, is_for) in [
        ("only priority", ServiceAllocation { priority: 3, ..Default::default() }, true),
        ("namespace", ServiceAllocation { namespaces: vec!["shop".into()], ..Default::default() }, true),
        (
            "other namespace",
            ServiceAllocation { namespaces: vec!["bank".into()], ..Default::default() },
            false,
        ),
        (
            "label of the namespace",
            ServiceAllocation { namespace_selectors: vec![selector("tier", "gold")], ..Default::default() },
            true,
        ),
        (
            "other label of the namespace",
            ServiceAllocation { namespace_selectors: vec![selector("tier", "iron")], ..Default::default() },
            false,
        ),
        (
            "name or label",
            ServiceAllocation {
                namespaces: vec!["bank".into()],
                namespace_selectors: vec![selector("tier", "gold")],
                ..Default::default()
            },
            true,
        ),
        (
            "label of the Service",
            ServiceAllocation {
                service_selectors: vec![selector("team", "x"), selector("team", "checkout")],
                ..Default::default()
            },
            true,
        ),
        (
            "other label of the Service",
            ServiceAllocation { service_selectors: vec![selector("team", "x")], ..Default::default() },
            false,
        ),
        (
            "namespace, but other label",
            ServiceAllocation {
                namespaces: vec!["shop".into()],
                service_selectors: vec![selector("team", "x")],
                ..Default::default()
            },
            false,
        ),
        (
            "label, but other namespace",
            ServiceAllocation {
                namespaces: vec!["bank".into()],
                service_selectors: vec![selector("team", "checkout")],
                ..Default::default()
            },
            false,
        ),
    ] {
        let pools = compile(&[Pool { service_allocation: Some(allocation), ..pool("a", &[]) }]);
        assert_eq!(pools.get("a").unwrap().is_for(&service, &gold), is_for, "{about}");
    }
}
