//! The numbers behind the metrics.

use fairlead_endpointslice::FamilyCounts;
use fairlead_objects::{ContainerPort, Family, Pod, Protocol, Service, ServiceType, TargetPort, testing};
use smallvec::smallvec;

use crate::support::Cluster;

fn counts(family: Family, numbers: [usize; 6]) -> FamilyCounts {
    let [added, removed, desired_endpoints, desired_slices, actual_slices, changed_slices] = numbers;
    FamilyCounts { family, added, removed, desired_endpoints, desired_slices, actual_slices, changed_slices }
}

fn v4(numbers: [usize; 6]) -> FamilyCounts {
    counts(Family::V4, numbers)
}

#[test]
fn endpoints_added_and_removed() {
    let mut cluster = Cluster::with_pods(20);
    assert_eq!(cluster.sync_counts(), v4([20, 0, 20, 1, 1, 1]));
    assert_eq!(cluster.sync_counts(), v4([0, 0, 20, 1, 1, 0]));
    cluster.pods.truncate(10);
    assert_eq!(cluster.sync_counts(), v4([0, 10, 10, 1, 1, 1]));
    cluster.add_pods(10..13);
    cluster.pods.remove(0);
    assert_eq!(cluster.sync_counts(), v4([3, 1, 12, 1, 1, 1]));
    cluster.change_pod(0, |pod| pod.ready = false);
    assert_eq!(cluster.sync_counts(), v4([0, 0, 12, 1, 1, 1]), "a change is neither");
    // A port change adds all anew; slices of ports that are gone are not counted as removals, as upstream does.
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Number(9090))];
    assert_eq!(cluster.sync_counts(), v4([12, 0, 12, 1, 1, 1]));
}

#[test]
fn desired_slices_are_the_fewest_that_could_hold_the_endpoints() {
    for (pods, capacity, desired) in
        [(0, 100, 1), (1, 100, 1), (100, 100, 1), (101, 100, 2), (250, 100, 3), (250, 1000, 1)]
    {
        let mut cluster = Cluster::with_pods(pods);
        cluster.capacity = capacity;
        assert_eq!(cluster.sync_counts(), v4([pods, 0, pods, desired, desired, desired]), "{pods} Pods");
    }
    let mut cluster = Cluster::with_pods(300);
    for n in 0..10 {
        cluster.add_slice_of(&format!("web-{n}"), n * 30..(n + 1) * 30);
    }
    assert_eq!(cluster.sync_counts(), v4([0, 0, 300, 3, 10, 0]), "fragmented");
}

#[test]
fn each_set_of_ports_needs_slices_of_its_own() {
    let mut cluster = Cluster::with_pods(300);
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Name("http".into()))];
    for at in 0..300 {
        let container_port = 8080 + i32::try_from(at % 5).unwrap();
        let port = ContainerPort { name: "http".into(), protocol: Protocol::Tcp, container_port };
        cluster.change_pod(at, |pod| pod.ports = Pod::share_ports(vec![port]));
    }
    assert_eq!(cluster.sync_counts(), v4([300, 0, 300, 5, 5, 5]));
}

#[test]
fn a_placeholder_is_one_slice_that_is_desired_and_there() {
    let mut cluster = Cluster::with_pods(0);
    assert_eq!(cluster.sync_counts(), v4([0, 0, 0, 1, 1, 1]));
    assert_eq!(cluster.sync_counts(), v4([0, 0, 0, 1, 1, 0]));
    // Two empty slices whose ports are still wanted, by Pods that cannot be published: both stay.
    let mut cluster = Cluster::with_pods(2);
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Name("web".into()))];
    let other = ContainerPort { name: "web".into(), protocol: Protocol::Tcp, container_port: 1 };
    cluster.change_pod(0, |pod| pod.ports = Pod::share_ports(vec![other]));
    cluster.sync();
    for at in 0..2 {
        cluster.change_slice(at, |slice| slice.endpoints = Box::new([]));
    }
    cluster.nodes.clear();
    assert_eq!(cluster.sync_counts(), v4([0, 0, 0, 1, 2, 0]));
}

#[test]
fn both_families_count() {
    let mut cluster = Cluster::with_pods(150);
    cluster.service.ip_families = smallvec![Family::V6, Family::V4];
    cluster.change_pod(0, |pod| pod.addresses.truncate(1));
    let plan = cluster.plan();
    assert_eq!(
        plan.families,
        [counts(Family::V6, [149, 0, 149, 2, 2, 2]), counts(Family::V4, [150, 0, 150, 2, 2, 2])]
    );
}

#[test]
fn slices_that_are_used_again_are_one_change() {
    let mut cluster = Cluster::with_pods(250);
    cluster.sync();
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Number(9090))];
    assert_eq!(cluster.sync_counts(), v4([250, 0, 250, 3, 3, 3]));
    cluster.pods.clear();
    assert_eq!(cluster.sync_counts(), v4([0, 0, 0, 1, 1, 3]), "one update, two deletes");
}

#[test]
fn services_that_are_none_of_ours_do_not_count() {
    let service = Service { kind: ServiceType::ExternalName, ..testing::service("web") };
    assert_eq!(Cluster::new(service).plan().families, []);
}

#[test]
fn slices_that_are_not_created_do_not_count_as_there() {
    let mut cluster = Cluster::with_pods(150);
    cluster.service.terminating = true;
    assert_eq!(cluster.sync_counts(), v4([150, 0, 150, 2, 0, 0]));
}
