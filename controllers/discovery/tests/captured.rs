//! Endpoints that kube-controller-manager 1.33 has made of Services with several ports and subsets: packed again, they
//! are in the same order, so neither side rewrites what the other has left. They are captured again by
//! `FAIRLEAD_KUBERNETES_VERSION=1.33 cargo test --workspace --test capture_subsets -- --ignored`.

use fairlead_discovery::subsets::{Offer, pack, ports_in_order, repack};
use fairlead_objects::{EndpointAddress, EndpointIp, EndpointSubset, Endpoints};
use serde_json::{Value, json};

fn captured() -> Vec<Value> {
    include_str!("captured/endpoints.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// Addresses and ports of subsets as they are stored, in their order.
fn stored(subsets: &Value) -> Vec<Value> {
    let names =
        |list: &Value| list.as_array().into_iter().flatten().map(|it| it["ip"].clone()).collect::<Vec<_>>();
    let ports = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let of =
        |it: &Value| json!([names(&it["addresses"]), names(&it["notReadyAddresses"]), ports(&it["ports"])]);
    subsets.as_array().into_iter().flatten().map(of).collect()
}

fn packed(subsets: &[EndpointSubset]) -> Vec<Value> {
    let ip = |it: &EndpointAddress| match &it.ip {
        EndpointIp::Canonical(ip) => json!(ip),
        EndpointIp::Text(text) => json!(text.as_str()),
    };
    let names = |list: &[EndpointAddress]| list.iter().map(ip).collect::<Vec<_>>();
    let port = |port: &fairlead_objects::EndpointPort| {
        let mut json =
            json!({ "port": port.port, "protocol": port.protocol.map(fairlead_objects::Protocol::as_str) });
        for (key, text) in [("name", &port.name), ("appProtocol", &port.app_protocol)] {
            if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
                json[key] = text.as_str().into();
            }
        }
        json
    };
    let of = |it: &EndpointSubset| {
        let ports: Vec<_> = ports_in_order(&it.ports).into_iter().map(port).collect();
        json!([names(&it.addresses), names(&it.not_ready), ports])
    };
    subsets.iter().map(of).collect()
}

#[test]
fn subsets_are_in_the_order_of_kube_controller_manager() {
    let (mut several, mut ports) = (0, 0);
    for object in captured() {
        let endpoints: Endpoints = serde_json::from_value(object.clone()).unwrap();
        let name = &endpoints.key;
        let expected = stored(&object["subsets"]);
        several += usize::from(expected.len() > 1);
        ports += expected.iter().filter(|it| it[2].as_array().is_some_and(|ports| ports.len() > 1)).count();
        assert_eq!(packed(&repack(&endpoints.subsets, &name.namespace)), expected, "{name}");
        // As the endpoints-controller does it, with one offer for each address and all of its ports, in any order.
        let mut offers: Vec<Offer> = Vec::new();
        for subset in endpoints.subsets.iter().rev() {
            for (address, ready) in subset
                .not_ready
                .iter()
                .map(|it| (it, false))
                .chain(subset.addresses.iter().map(|it| (it, true)))
            {
                match offers.iter_mut().find(|it| it.address == *address && it.ready == ready) {
                    Some(offer) => offer.ports = offer.ports.iter().chain(&subset.ports).cloned().collect(),
                    None => {
                        offers.push(Offer { address: address.clone(), ports: subset.ports.clone(), ready });
                    }
                }
            }
        }
        assert_eq!(packed(&pack(offers, &name.namespace)), expected, "{name}");
    }
    assert!(several >= 5 && ports >= 2, "{several} objects with several subsets, {ports} with several ports");
}
