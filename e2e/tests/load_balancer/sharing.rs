//! Services that share an address.

use lab::{LoadBalancer, LoadBalancerBuilder, NotYet, Result};
use serde_json::json;

use crate::world::{A_WHILE, PATIENCE, Scene, scene};

const KEY: &str = "fairlead.dev/sharing-key";
const CONSENT: &str = "fairlead.dev/share-with-namespaces";
const ADDRESSES: &str = "fairlead.dev/addresses";

fn sharer(scene: &Scene, name: &str, port: u16) -> LoadBalancerBuilder {
    scene.service(name).annotation(KEY, "front").port(port)
}

/// The holders of an address, in their order.
async fn holders(scene: &Scene, address: &str) -> Result<Vec<String>> {
    let assigned = scene.assigned().await?;
    let holders = assigned.into_iter().filter(|it| it.address.to_string() == address);
    Ok(holders.flat_map(|it| it.services).map(|(key, _)| key).collect())
}

async fn refused(service: &LoadBalancer, words: &[&str]) -> Result<()> {
    let message = service.wait_reason("AddressInUse").await?.message;
    for word in words {
        assert!(message.contains(word), "{word} is not in {message:?}");
    }
    Ok(())
}

#[test]
fn services_with_one_key_and_different_ports_share_an_address() -> Result<()> {
    scene("share", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let web = sharer(scene, "web", 80).create().await?;
        let address = web.wait_address().await?.to_string();
        // Without a wish, the address with this key is preferred.
        let dns = json!({ "ports": [{ "name": "main", "port": 80, "protocol": "UDP" }] });
        let udp = sharer(scene, "udp", 80).spec(dns).create().await?;
        udp.wait_for_address(&address).await?;
        for key in ["metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"] {
            let port = if key.contains(".io/") { 81 } else { 82 };
            let service = scene.service(&format!("port-{port}")).annotation(key, "front").port(port);
            service.create().await?.wait_for_address(&address).await?;
        }
        // The same port, another key, and no key: not this address.
        let same_port = sharer(scene, "same-port", 80).create().await?;
        let other_key = scene.service("other-key").annotation(KEY, "back").port(90).create().await?;
        let no_key = scene.service("no-key").port(91).create().await?;
        for service in [&same_port, &other_key, &no_key] {
            assert_ne!(service.wait_address().await?.to_string(), address, "{service}");
        }
        let wish = sharer(scene, "wish", 80).annotation(ADDRESSES, &address).create().await?;
        refused(&wish, &[&address, "80", &web.key()]).await?;
        // One goes, and the others stay where they are.
        web.delete().await?;
        wish.wait_for_address(&address).await?;
        assert_eq!(udp.addresses().await?[0].to_string(), address);
        let holders = holders(scene, &address).await?;
        assert_eq!(holders.len(), 4, "{holders:?}");
        Ok(())
    })
}

#[test]
fn b3_sharing_is_refused_until_the_policy_of_both_allows_it() -> Result<()> {
    scene("b3-policy", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let local = json!({ "externalTrafficPolicy": "Local" });
        let first = sharer(scene, "first", 80).create().await?;
        let address = first.wait_address().await?.to_string();
        let second = sharer(scene, "second", 81).spec(local).annotation(ADDRESSES, &address).create().await?;
        refused(&second, &[&address]).await?;
        second.patch(json!({ "spec": { "externalTrafficPolicy": "Cluster" } })).await?;
        second.wait_for_address(&address).await
    })
}

#[test]
fn b3_local_services_share_only_with_the_same_selector() -> Result<()> {
    scene("b3-selector", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let local = |app: &str| json!({ "externalTrafficPolicy": "Local", "selector": { "app": app } });
        let first = sharer(scene, "first", 80).spec(local("a")).create().await?;
        let address = first.wait_address().await?.to_string();
        let second = sharer(scene, "second", 81).spec(local("b")).annotation(ADDRESSES, &address);
        let second = second.create().await?;
        refused(&second, &[&address]).await?;
        second.patch(json!({ "spec": { "selector": { "app": "a" } } })).await?;
        second.wait_for_address(&address).await
    })
}

#[test]
fn a_sharer_that_no_longer_fits_moves_and_the_first_one_stays() -> Result<()> {
    scene("unfit", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let first = sharer(scene, "first", 80).create().await?;
        let address = first.wait_address().await?;
        let second = sharer(scene, "second", 81).create().await?;
        second.wait_for_address(&address.to_string()).await?;
        second.patch(json!({ "spec": { "ports": [{ "name": "main", "port": 80 }] } })).await?;
        let moved = |service: &k8s_openapi::api::core::v1::Service| {
            let addresses = lab::ingress_addresses(service);
            addresses.len() == 1 && addresses[0] != address
        };
        second.wait_until("have another address", moved).await?;
        assert_eq!(first.addresses().await?, [address]);
        // Released after that.
        let left_alone = async || {
            let holders = holders(scene, &address.to_string()).await?;
            if holders == [first.key()] { Ok(()) } else { Err(NotYet::from(holders.join(", "))) }
        };
        scene.lab.wait_until("the first Service to have it alone", PATIENCE, left_alone).await
    })
}

#[test]
fn alone_on_its_address_a_service_may_change_its_key() -> Result<()> {
    scene("rekey", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let service = sharer(scene, "web", 80).create().await?;
        let address = service.wait_address().await?;
        service.annotate(KEY, Some("back")).await?;
        // Until its object says so, who comes with that key gets an address of its own.
        let changed = async || {
            let mut assigned = scene.assigned().await?.into_iter();
            let key = assigned.find(|it| it.address == address).map(|it| it.sharing_key);
            if key.as_deref() == Some("back") { Ok(()) } else { Err(NotYet::from(format!("{key:?}"))) }
        };
        scene.lab.wait_until("the object to have the new key", PATIENCE, changed).await?;
        let other = scene.service("other").annotation(KEY, "back").port(81).create().await?;
        other.wait_for_address(&address.to_string()).await?;
        assert_eq!(service.addresses().await?, [address]);
        Ok(())
    })
}

#[test]
fn sharing_with_another_namespace_needs_the_consent_of_both() -> Result<()> {
    scene("consent", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        scene.lab.namespace(&scene.neighbour()).await?;
        let ours = sharer(scene, "ours", 80).annotation(CONSENT, &scene.neighbour()).create().await?;
        let address = ours.wait_address().await?.to_string();
        let theirs = scene.lab.load_balancer(&scene.neighbour(), "theirs").annotation(KEY, "front").port(81);
        let theirs = theirs.annotation(ADDRESSES, &address).create().await?;
        refused(&theirs, &[&address, &scene.namespace]).await?;
        theirs.annotate(CONSENT, Some("*")).await?;
        theirs.wait_for_address(&address).await?;
        // A third one needs the consent of each of them.
        let third = sharer(scene, "third", 82).annotation(ADDRESSES, &address).create().await?;
        refused(&third, &[&address]).await?;
        third.annotate(CONSENT, Some(&scene.neighbour())).await?;
        third.wait_for_address(&address).await?;
        // Consent that is withdrawn moves who came later; the first one stays.
        ours.annotate(CONSENT, None).await?;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(ours.addresses().await?[0].to_string(), address);
        Ok(())
    })
}

#[test]
fn a_pool_may_give_the_consent_for_all() -> Result<()> {
    scene("pool-consent", async |scene| {
        let spec = json!({ "addresses": [scene.range(10, 19)], "sharing": "AnyNamespace" });
        scene.pool("pool", spec).await?;
        scene.lab.namespace(&scene.neighbour()).await?;
        let ours = sharer(scene, "ours", 80).create().await?;
        let address = ours.wait_address().await?.to_string();
        let theirs = scene.lab.load_balancer(&scene.neighbour(), "theirs").annotation(KEY, "front").port(81);
        theirs.create().await?.wait_for_address(&address).await
    })
}
