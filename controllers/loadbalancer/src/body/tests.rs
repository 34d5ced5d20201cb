use std::sync::Arc;

use fairlead_objects::{ObjectKey, Service};

use super::*;
use crate::records::Holder as RecordHolder;
use crate::testing::noon;

fn spec() -> AddressSpec {
    AddressSpec {
        pool: "public".into(),
        services: vec![RecordHolder { key: ObjectKey::new("shop", "web"), uid: Uid::from("u1") }],
        sharing_key: "k".into(),
        local: true,
        probe: true,
        announcements: vec![fairlead_crds::Announcement::default()],
    }
}

fn address(text: &str) -> Address {
    let object = json!({
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "LoadBalancerAddress",
        "metadata": {"name": "198.51.100.7", "uid": "u9", "resourceVersion": "41"},
        "spec": {"address": text, "pool": "public"},
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn an_address_is_created_under_its_name_and_reads_back_as_it_was_meant() {
    let body = create_address("2001:db8::".parse().unwrap(), &spec());
    assert_eq!(
        body,
        json!({
            "apiVersion": "fairlead.dev/v1alpha1",
            "kind": "LoadBalancerAddress",
            "metadata": {"name": "2001-db8--0", "labels": {"fairlead.dev/pool": "public"}},
            "spec": {
                "address": "2001:db8::",
                "pool": "public",
                "services": [{"namespace": "shop", "name": "web", "uid": "u1"}],
                "sharingKey": "k",
                "local": true,
                "probe": true,
                "announcements": [{"name": ""}],
            },
        })
    );
    let read: Address = serde_json::from_value(body).unwrap();
    assert_eq!(read.spec, spec());
}

#[test]
fn updates_carry_uid_and_version_and_write_what_is_empty_too() {
    let empty = AddressSpec::default();
    assert_eq!(
        update_address(&address("198.51.100.7"), &empty),
        json!({
            "metadata": {"uid": "u9", "resourceVersion": "41", "labels": {"fairlead.dev/pool": null}},
            "spec": {
                "address": "198.51.100.7", "pool": "", "services": [], "sharingKey": "", "local": false, "probe": false,
                "announcements": [],
            },
        })
    );
    assert_eq!(
        cool_address(&address("198.51.100.7"), noon()),
        json!({
            "metadata": {"uid": "u9", "resourceVersion": "41"},
            "status": {"phase": "Cooling", "coolingUntil": "2026-01-01T12:00:00.000000Z"},
        })
    );
}

#[test]
fn names_of_pools_that_are_no_labels_are_left_out_there() {
    let long: Istr = "p".repeat(64).into();
    let body = create_address("198.51.100.7".parse().unwrap(), &AddressSpec { pool: long.clone(), ..spec() });
    assert_eq!(body["metadata"], json!({"name": "198.51.100.7"}));
    assert_eq!(body["spec"]["pool"], *long);
}

#[test]
fn addresses_and_condition_are_one_patch_that_touches_no_other_condition() {
    let service =
        Service { version: ResourceVersion::Number(7), ..fairlead_objects::testing::service("web") };
    let condition = ServiceCondition {
        ready: true,
        reason: "Assigned".into(),
        message: "198.51.100.7 from pool public".into(),
        observed_generation: 0,
        last_transition: Some(noon()),
    };
    let set = Publication {
        service: Arc::new(service),
        addresses: Some(vec!["198.51.100.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]),
        condition: ConditionChange::Set(condition),
        event: None,
    };
    let metadata = json!({"uid": "uid-of-web", "resourceVersion": "7"});
    assert_eq!(
        publish(&set),
        json!({
            "metadata": metadata,
            "status": {
                "loadBalancer": {"ingress": [
                    {"ip": "198.51.100.7", "ipMode": "VIP"}, {"ip": "2001:db8::7", "ipMode": "VIP"},
                ]},
                "conditions": [{
                    "type": "fairlead.dev/LoadBalancerReady", "status": "True", "reason": "Assigned",
                    "message": "198.51.100.7 from pool public", "lastTransitionTime": "2026-01-01T12:00:00Z",
                }],
            },
        })
    );
    let clear = Publication { addresses: Some(vec![]), condition: ConditionChange::Remove, ..set.clone() };
    assert_eq!(
        publish(&clear)["status"],
        json!({
            "loadBalancer": {"ingress": null},
            "conditions": [{"$patch": "delete", "type": "fairlead.dev/LoadBalancerReady"}],
        })
    );
    let keep = Publication { addresses: None, condition: ConditionChange::Keep, ..set };
    assert_eq!(publish(&keep), json!({"metadata": metadata, "status": {}}));
}
