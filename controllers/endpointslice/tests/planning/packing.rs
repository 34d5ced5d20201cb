//! Which endpoint goes into which slice.

use std::sync::Arc;

use fairlead_objects::{ContainerPort, Family, Labels, Pod, Protocol, ServicePort, TargetPort, testing};

use crate::support::{Cluster, NOTHING, name_of, pod_name, port_numbers};

/// A Service with so many Pods, of which the first ones are in slices of these sizes, none of them changed.
fn fragmented(pods: usize, slices: &[usize]) -> Cluster {
    let mut cluster = Cluster::with_pods(pods);
    let mut next = 0;
    for (n, size) in slices.iter().enumerate() {
        cluster.add_slice_of(&format!("web-{n}"), next..next + size);
        next += size;
    }
    cluster
}

/// Makes a change to the Pod that calls for its endpoint to be written.
fn touch(pod: &mut Pod) {
    pod.ready = !pod.ready;
}

#[test]
fn new_endpoints_fill_a_slice_and_the_rest_goes_where_least_room_is_left_over() {
    let mut cluster = fragmented(250, &[62, 61]);
    assert_eq!(cluster.sync(), (1, 1, 0));
    assert_eq!(cluster.sizes(), [100, 89, 61]);
    assert_eq!(cluster.slices[0].endpoints.len(), 89, "the fuller slice got the rest");
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn untouched_slices_are_not_topped_up_if_that_takes_more_writes() {
    let mut cluster = fragmented(300, &[74, 74]);
    assert_eq!(cluster.sync(), (2, 0, 0));
    assert_eq!(cluster.sizes(), [100, 74, 74, 52]);
}

#[test]
fn two_slices_with_half_the_room_each_get_nothing() {
    let mut cluster = fragmented(200, &[95, 95]);
    assert_eq!(cluster.sync(), (1, 0, 0));
    assert_eq!(cluster.sizes(), [95, 95, 10]);
}

#[test]
fn new_endpoints_go_into_slices_that_are_written_anyway_fullest_first() {
    let mut cluster = fragmented(115, &[80, 20]);
    for at in [0, 80] {
        cluster.change_pod(at, touch);
    }
    assert_eq!(cluster.sync(), (0, 2, 0));
    assert_eq!(cluster.sizes(), [95, 20]);
    assert_eq!(cluster.slices[0].endpoints.len(), 95);

    let mut cluster = fragmented(130, &[80, 20]);
    for at in [0, 80] {
        cluster.change_pod(at, touch);
    }
    assert_eq!(cluster.sync(), (0, 2, 0));
    assert_eq!(cluster.sizes(), [100, 30], "what the fullest cannot take goes to the next");
}

#[test]
fn a_slice_that_is_written_anyway_goes_before_a_better_fit() {
    let mut cluster = fragmented(115, &[90, 15]);
    cluster.change_pod(90, touch);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.sizes(), [90, 25]);
}

#[test]
fn the_best_fit_is_the_slice_that_is_full_afterwards() {
    for (scenario, slices, new, expected, writes) in [
        ("an exact fit", &[70, 90, 80][..], 10, &[100, 80, 70][..], (0, 1, 0)),
        ("no exact fit", &[70, 80, 85], 16, &[96, 85, 70], (0, 1, 0)),
        ("no fit", &[95, 96], 10, &[96, 95, 10], (1, 0, 0)),
        ("a full slice's worth has a slice of its own", &[10], 100, &[100, 10], (1, 0, 0)),
        ("one less goes into the slice that has room", &[1], 99, &[100], (0, 1, 0)),
        ("a full slice is no candidate", &[100, 10], 5, &[100, 15], (0, 1, 0)),
    ] {
        let mut cluster = fragmented(slices.iter().sum::<usize>() + new, slices);
        assert_eq!(cluster.sync(), writes, "{scenario}");
        assert_eq!(cluster.sizes(), expected, "{scenario}");
    }
}

#[test]
fn gap_empty_unchanged_slice_is_filled_again() {
    let mut cluster = fragmented(5, &[5]);
    cluster.change_slice(0, |slice| slice.endpoints = Box::new([]));
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.sizes(), [5]);
    // Left alone while nothing goes into it, like any slice in which nothing changed.
    let mut cluster = fragmented(105, &[100, 5]);
    cluster.add_slice("web-empty", Family::V4, &[]).ports = cluster.slices[0].ports.clone();
    assert_eq!(cluster.sync(), NOTHING);
    // As upstream: a full slice's worth of endpoints does not fit into it.
    cluster.add_pods(105..205);
    assert_eq!(cluster.sync(), (1, 0, 0));
    assert_eq!(cluster.sizes(), [100, 100, 5, 0]);
}

#[test]
fn kept_endpoints_stay_in_their_order_and_new_ones_follow_by_name() {
    let mut cluster = fragmented(6, &[4]);
    cluster.change_slice(0, |slice| slice.endpoints.reverse());
    cluster.pods.remove(2);
    cluster.pods.reverse();
    assert_eq!(cluster.sync(), (0, 1, 0));
    let names: Vec<_> = cluster.slices[0].endpoints.iter().map(|it| name_of(it).to_owned()).collect();
    assert_eq!(names, [3, 1, 0, 4, 5].map(pod_name));
}

#[test]
fn slices_are_never_merged() {
    let mut cluster = fragmented(300, &[100, 100, 100]);
    cluster.pods.retain(|pod| pod.key.name.ends_with('7'));
    assert_eq!(cluster.sync(), (0, 3, 0));
    assert_eq!(cluster.sizes(), [10, 10, 10]);
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn a_slice_in_which_nothing_is_left_is_deleted() {
    let mut cluster = fragmented(150, &[100, 50]);
    cluster.pods.truncate(100);
    assert_eq!(cluster.sync(), (0, 0, 1));
    assert_eq!(cluster.sizes(), [100]);
}

#[test]
fn a_doomed_slice_is_used_again_for_new_endpoints() {
    // All Pods are replaced: 100 new ones, two slices in which nothing is left.
    let mut cluster = fragmented(250, &[100, 50]);
    cluster.pods.drain(..150);
    assert_eq!(cluster.sync(), (0, 1, 1));
    assert_eq!(cluster.sizes(), [100]);
    assert_eq!(cluster.slices[0].key.name, "web-0");
}

#[test]
fn gap_slices_over_the_capacity_keep_what_they_have() {
    let mut cluster = fragmented(90, &[80]);
    cluster.capacity = 50;
    assert_eq!(cluster.sync(), (1, 0, 0));
    assert_eq!(cluster.sizes(), [80, 10]);
    cluster.change_pod(0, touch);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.sizes(), [80, 10]);
    cluster.pods.remove(0);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.sizes(), [79, 10]);
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn a_larger_capacity_moves_nothing() {
    let mut cluster = fragmented(250, &[100, 100, 50]);
    cluster.capacity = 1000;
    assert_eq!(cluster.sync(), NOTHING);
    cluster.add_pods(250..300);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.sizes(), [150, 100, 50]);
}

#[test]
fn gap_duplicates_across_slices_are_taken_out_of_one() {
    let mut cluster = Cluster::with_pods(10);
    cluster.add_slice_of("web-a", 0..6);
    cluster.add_slice_of("web-b", 4..10);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.sizes(), [6, 4]);
    assert_eq!(cluster.published(), (0..10).map(pod_name).collect::<Vec<_>>());

    // A slice that holds nothing else goes.
    cluster.add_slice_of("web-c", 2..4);
    assert_eq!(cluster.sync(), (0, 0, 1));

    // Twice in one slice is as bad.
    cluster.change_slice(0, |slice| {
        slice.endpoints = slice.endpoints.iter().chain(&slice.endpoints[..1]).cloned().collect();
    });
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.published(), (0..10).map(pod_name).collect::<Vec<_>>());
}

/// 300 Pods of five versions, each of which listens on another number under the same name.
#[test]
fn pods_that_listen_elsewhere_are_in_other_slices() {
    let mut cluster = Cluster::with_pods(300);
    cluster.service.ports = vec![ServicePort {
        protocol: Protocol::Udp,
        ..testing::service_port("dns", TargetPort::Name("dns".into()))
    }];
    for at in 0..300 {
        let number = 8080 + i32::try_from(at % 5).unwrap();
        let port = ContainerPort { name: "dns".into(), protocol: Protocol::Udp, container_port: number };
        cluster.change_pod(at, |pod| pod.ports = Pod::share_ports(vec![port]));
    }
    let mut backward = cluster.clone();
    backward.pods.reverse();
    assert_eq!(format!("{:?}", cluster.plan().actions), format!("{:?}", backward.plan().actions));
    assert_eq!(cluster.sync(), (5, 0, 0));
    assert_eq!(cluster.sizes(), [60; 5]);
    let mut numbers: Vec<_> = cluster.slices.iter().flat_map(|slice| port_numbers(&slice.ports)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [8080, 8081, 8082, 8083, 8084]);
    for slice in &cluster.slices {
        for endpoint in &slice.endpoints {
            let pod = cluster.pods.iter().find(|pod| *pod.key.name == *name_of(endpoint)).unwrap();
            assert_eq!(vec![pod.ports[0].container_port], port_numbers(&slice.ports));
        }
    }
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn ports_in_another_order_are_the_same_ports() {
    let mut cluster = Cluster::with_pods(3);
    let [a, b] = ["a", "b"].map(|name| testing::service_port(name, TargetPort::Number(80)));
    cluster.service.ports = vec![a.clone(), b.clone()];
    assert_eq!(cluster.sync(), (1, 0, 0));
    cluster.service.ports = vec![b, a];
    assert_eq!(cluster.sync(), NOTHING);
    let reversed = cluster.slices[0].ports.iter().rev().cloned().collect();
    cluster.change_slice(0, |slice| slice.ports = reversed);
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn a_label_alone_rewrites_every_slice_once() {
    let mut cluster = fragmented(250, &[100, 100, 50]);
    cluster.service.labels = [("team", "checkout"), ("tier", "front")].into_iter().collect::<Labels>();
    cluster.add_pods(250..260);
    assert_eq!(cluster.sync(), (0, 3, 0));
    // The new endpoints went along, into the fullest slice that had room.
    assert_eq!(cluster.sizes(), [100, 100, 60]);
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn the_order_of_pods_and_slices_makes_no_difference() {
    let mut forward = fragmented(115, &[40, 40, 20]);
    forward.change_pod(3, touch);
    let mut backward = forward.clone();
    backward.pods.reverse();
    backward.slices.reverse();
    let bodies = |mut cluster: Cluster| {
        cluster.sync();
        cluster.slices.sort_by(|a, b| a.key.cmp(&b.key));
        cluster
            .slices
            .into_iter()
            .map(|slice| format!("{:?}", Arc::unwrap_or_clone(slice)))
            .collect::<Vec<_>>()
    };
    assert_eq!(bodies(forward), bodies(backward));
}
