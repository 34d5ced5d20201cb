//! What others have put on the object survives every write.

use fairlead_objects::{OwnerReference, Slice, Uid};

use crate::support::{Cluster, Wrote};

fn widget() -> OwnerReference {
    OwnerReference {
        api_version: "example.com/v1".into(),
        kind: "Widget".into(),
        name: "w".into(),
        uid: Uid::from("uid-of-w"),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

#[test]
fn annotations_finalizers_and_owners_survive_every_update() {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.change_endpoints(|it| {
        it.annotations = [("example.com/note", "keep")].into_iter().collect();
        it.finalizers = Slice::share_finalizers(vec!["example.com/hold".into()]);
        it.owners = Slice::share_owners(vec![widget()]);
    });
    assert_eq!(cluster.sync(), Wrote::Nothing, "they are no reason to write");
    for round in 0..2 {
        if round == 0 {
            cluster.change_pod(0, |pod| pod.ready = false);
        } else {
            cluster.pods.clear();
        }
        assert_eq!(cluster.sync(), Wrote::Updated);
        assert_eq!(cluster.annotation("example.com/note"), Some("keep"));
        let endpoints = cluster.endpoints.as_ref().unwrap();
        assert_eq!(*endpoints.finalizers, ["example.com/hold"]);
        assert_eq!(*endpoints.owners, [widget()]);
    }
}

#[test]
fn the_object_has_no_owner_of_its_own() {
    let mut cluster = Cluster::with_pods(1);
    cluster.sync();
    assert_eq!(*cluster.endpoints.unwrap().owners, [] as [OwnerReference; 0]);
}
