//! The name of a `LoadBalancerAddress` is its address, in one spelling, and its status keeps to its rules.

use std::net::{IpAddr, Ipv6Addr};

use fairlead_crds::address::address_name;
use fairlead_crds::{AddressPhase, LoadBalancerAddress, LoadBalancerAddressSpec};
use futures::TryStreamExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use lab::{Lab, Result};
use serde_json::{Value, json};

use crate::{lab_with_kinds, object, refusals};

fn addresses(lab: &Lab) -> Api<LoadBalancerAddress> {
    Api::all(lab.api())
}

fn of(address: IpAddr, name: &str) -> LoadBalancerAddress {
    let spec = LoadBalancerAddressSpec {
        address,
        pool: "public".to_owned(),
        services: Vec::new(),
        sharing_key: String::new(),
        local: false,
        probe: false,
        announcements: Vec::new(),
    };
    LoadBalancerAddress::new(name, spec)
}

/// Whether the API server would create it.
async fn is_accepted(api: &Api<LoadBalancerAddress>, object: &LoadBalancerAddress) -> Result<bool> {
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, object).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(false),
        Err(other) => Err(other.into()),
    }
}

#[tokio::test]
async fn rust_and_the_schema_name_addresses_alike() -> Result<()> {
    let lab = lab_with_kinds().await?;
    let api = addresses(&lab);
    println!("{:<42} {:<42} other names, which are refused", "address", "name");
    for (address, others) in [
        ("198.51.100.7", &["198-51-100-7", "198.51.100.07", "web"][..]),
        ("0.0.0.0", &["0"]),
        ("255.255.255.255", &["255.255.255.254"]),
        ("::", &["0", "0--", "0-0", "0-0-0-0-0-0-0-0"]),
        ("::1", &["0-0--1", "1", "0--01"]),
        ("1::", &["1--", "1--00", "1-0-0-0-0-0-0-0"]),
        ("2001:db8::", &["2001-db8--", "2001-db8-0--0", "2001-0db8--0"]),
        ("2001:db8::7", &["2001-db8-0-0-0-0-0-7", "2001-db8--07", "2001-0db8--7", "2001-db8--8"]),
        ("2001:db8:0:0:1:0:0:1", &["2001-db8-0-0-1--1"]),
        ("2001:0:0:1:0:0:0:1", &["2001--1-0-0-0-1"]),
        ("2001:db8:0:1:1:1:1:1", &["2001-db8--1-1-1-1-1"]),
        ("::1:2:3:4:5:6:7", &["0--1-2-3-4-5-6-7"]),
        ("1:2:3:4:5:6:7::", &["1-2-3-4-5-6-7--0"]),
        ("::198.51.100.7", &["0--198.51.100.7"]),
        ("fe80::1", &["fe80--1.eth0"]),
    ] {
        let address: IpAddr = address.parse().expect(address);
        let name = address_name(address);
        assert!(is_accepted(&api, &of(address, &name)).await?, "{address} named {name}");
        for other in others {
            assert_ne!(*other, name);
            assert!(!is_accepted(&api, &of(address, other)).await?, "{address} named {other}");
        }
        println!("{:<42} {name:<42} {}", address.to_string(), others.join(" "));
    }

    // Random ones, with many zeros, where spellings differ.
    let mut dice = fastrand::Rng::with_seed(6);
    for _ in 0..300 {
        let groups: [u16; 8] =
            std::array::from_fn(|_| if dice.bool() { 0 } else { dice.u16(..) >> dice.u8(0..16) });
        let address = IpAddr::V6(Ipv6Addr::from(groups)).to_canonical();
        assert!(is_accepted(&api, &of(address, &address_name(address))).await?, "{address}");
    }

    let wrong = object("LoadBalancerAddress", "web", &json!({ "address": "2001:db8::", "pool": "public" }));
    let said = refusals(&lab, &[wrong]).await?;
    assert!(said.contains("the name must be the address: write metadata.name 2001-db8--0"), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_address_is_bound_by_its_creation_and_its_epoch_never_falls() -> Result<()> {
    let lab = lab_with_kinds().await?;
    let api = addresses(&lab);
    let address: IpAddr = "2001:db8::7".parse().expect("an address");
    let name = address_name(address);
    let created = api.create(&PostParams::default(), &of(address, &name)).await?;
    let phase = |object: &LoadBalancerAddress| object.status.as_ref().map(|status| status.phase);
    println!("created: {:?}", created.status);
    assert_eq!(phase(&api.get(&name).await?), Some(AddressPhase::Bound), "read");
    let list = api.list(&ListParams::default()).await?;
    assert_eq!(list.items.iter().map(phase).collect::<Vec<_>>(), [Some(AddressPhase::Bound)], "listed");
    let mut events = std::pin::pin!(api.watch(&WatchParams::default().timeout(20), "0").await?);
    match events.try_next().await? {
        Some(WatchEvent::Added(object)) => assert_eq!(phase(&object), Some(AddressPhase::Bound), "watched"),
        other => panic!("an event about the address, not {other:?}"),
    }

    let patch = async |status: Value| {
        let patch = Patch::Merge(json!({ "status": status }));
        match api.patch_status(&name, &PatchParams::default(), &patch).await {
            Ok(object) => Ok(object.status.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 422 => Err(status.message),
            Err(other) => panic!("{other}"),
        }
    };
    let status = patch(json!({ "epoch": 5, "node": "node-1" })).await.expect("the first epoch");
    assert_eq!((status.epoch, status.phase), (Some(5), AddressPhase::Bound));
    let falls = "epoch may only grow: write the number that is there, or a larger one";
    for wrong in [json!({ "epoch": 4 }), json!({ "epoch": null }), json!(null)] {
        let said = patch(wrong.clone()).await.expect_err("a smaller epoch");
        assert!(said.contains(falls), "{wrong}: {said}");
    }
    patch(json!({ "node": "node-2" })).await.expect("the same epoch");
    patch(json!({ "epoch": 6 })).await.expect("a larger epoch");

    let said = patch(json!({ "phase": "Cooling" })).await.expect_err("no end of the cool-down");
    assert!(said.contains("phase Cooling needs coolingUntil"), "{said}");
    let cooling = json!({ "phase": "Cooling", "coolingUntil": "2026-01-02T03:04:05.678901Z" });
    let status = patch(cooling).await.expect("a cool-down");
    let until = status.cooling_until.map(|time| time.0.to_string());
    assert_eq!(
        (status.phase, until.as_deref()),
        (AddressPhase::Cooling, Some("2026-01-02T03:04:05.678901Z"))
    );

    let other = Patch::Merge(json!({ "spec": { "address": "2001:db8::8" } }));
    match api.patch(&name, &PatchParams::default(), &other).await {
        Err(kube::Error::Api(status)) => {
            assert!(status.message.contains("cannot be changed"), "{}", status.message);
        }
        other => panic!("another address, and the answer {other:?}"),
    }
    let changed = Patch::Merge(json!({ "spec": { "pool": "other", "local": true } }));
    assert_eq!(api.patch(&name, &PatchParams::default(), &changed).await?.spec.pool, "other");
    api.delete(&name, &DeleteParams::default()).await?;
    Ok(())
}
