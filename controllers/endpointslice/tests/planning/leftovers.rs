//! Services that lose their selector.

use fairlead_discovery::names::SLICE_MANAGED_BY;
use fairlead_endpointslice::{Action, Leftovers};
use fairlead_objects::{Service, ServiceType, Slice, Uid};

use crate::support::{Cluster, NOTHING, pod_name};

/// What a Service with three Pods leaves behind when it is changed so.
fn left_by(change: impl FnOnce(&mut Service)) -> (Cluster, Option<Leftovers>) {
    let mut cluster = Cluster::with_pods(3);
    cluster.capacity = 2;
    cluster.sync();
    change(&mut cluster.service);
    let left = Leftovers::of(&cluster.service, &cluster.slices);
    (cluster, left)
}

fn without_selector(service: &mut Service) {
    service.selector = None;
}

#[test]
fn a_service_without_selector_leaves_its_slices_as_they_are() {
    assert!(left_by(|_| {}).1.is_none(), "a Service with a selector leaves nothing");
    for (change, says) in [
        (
            without_selector as fn(&mut Service),
            "The Service has no selector any more. Its 2 EndpointSlices stay",
        ),
        (
            |service| service.kind = ServiceType::ExternalName,
            "The Service is an ExternalName now. Its 2 EndpointSlices stay",
        ),
    ] {
        let (mut cluster, left) = left_by(change);
        let left = left.expect(says);
        assert_eq!(left.slices.len(), 2);
        let text = left.to_string();
        assert!(text.starts_with(says), "{text}");
        assert!(
            text.ends_with(
                "kubectl delete endpointslices --namespace shop --selector \
                 kubernetes.io/service-name=web,endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io"
            ),
            "{text}"
        );
        assert_eq!(cluster.sync(), NOTHING, "{says}");
    }
}

#[test]
fn only_what_was_seen_to_be_left_is_deleted_and_only_on_request() {
    let left = left_by(without_selector).1.expect("something is left");
    for (observed, prune, deletes) in [(true, true, 2), (true, false, 0), (false, true, 0), (false, false, 0)]
    {
        let actions = left.actions(observed, prune);
        assert!(actions.iter().all(|action| matches!(action, Action::Delete(_))));
        assert_eq!(actions.len(), deletes, "observed: {observed}, prune: {prune}");
    }
}

#[test]
fn only_slices_of_this_very_service_are_left_by_it() {
    type Change = fn(&mut Slice);
    let cases: [(&str, Change); 5] = [
        ("another manager", |it| it.labels = [(SLICE_MANAGED_BY, "example.com")].into_iter().collect()),
        ("nobody's", |it| it.owners = Slice::share_owners(Vec::new())),
        ("an earlier Service's", |it| {
            let mut owner = it.owners[0].clone();
            owner.uid = Uid::from("earlier");
            it.owners = Slice::share_owners(vec![owner]);
        }),
        ("on its way out", |it| it.terminating = true),
        ("of another namespace", |it| it.key.namespace = "bank".into()),
    ];
    for (scenario, change) in cases {
        let (mut cluster, _) = left_by(without_selector);
        cluster.change_slice(0, change);
        let left = Leftovers::of(&cluster.service, &cluster.slices).expect(scenario);
        assert_eq!(left.slices.len(), 1, "{scenario}");
    }
    let (_, left) = left_by(|service| (service.selector, service.terminating) = (None, true));
    assert!(
        left.expect("no selector").slices.is_empty(),
        "the garbage collector takes those of a deleted Service"
    );
    let mut never = Cluster::with_pods(3);
    without_selector(&mut never.service);
    assert!(Leftovers::of(&never.service, &[]).expect("no selector").slices.is_empty());
}

#[test]
fn with_the_selector_back_the_slices_are_used_again() {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    let (name, selector) = (cluster.slices[0].key.name.clone(), cluster.service.selector.take());
    assert_eq!(cluster.sync(), NOTHING);
    cluster.add_pods(3..4);
    assert_eq!(cluster.sync(), NOTHING, "nobody maintains them meanwhile");
    cluster.service.selector = selector;
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.slices[0].key.name, name);
    assert_eq!(cluster.published(), (0..4).map(pod_name).collect::<Vec<_>>());
}
