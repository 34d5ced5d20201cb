//! The whole way of a request, and what is told about it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lab::{Kind, Result};
use serde_json::{Value, json};

use crate::world::{NAMESPACE, PATIENCE, SPEAKERS, object_name, scene};

#[test]
fn a1_cluster_policy_answers_in_both_families_through_all_pods() -> Result<()> {
    scene(async |scene| {
        let (lab, world) = (scene.lab(), scene.world);
        scene.pool().await?;
        for node in 0..=SPEAKERS {
            scene.pod("web", &format!("web-{node}"), node).await?;
        }
        let service = scene.service("web").dual_stack().create().await?;
        for address in service.wait_addresses(2).await? {
            world.wait_owner(address, PATIENCE, |_| true).await?;
            lab.wait_until(format!("all Pods to answer through {address}"), PATIENCE, async || {
                let answers = lab.client().who_answers(address, 80, 20).await?;
                if answers.len() == SPEAKERS + 1 { Ok(()) } else { Err(format!("{answers:?}").into()) }
            })
            .await?;
        }
        Ok(())
    })
}

#[test]
fn a2_local_policy_answers_where_the_pods_are_and_keeps_the_client_address() -> Result<()> {
    scene(async |scene| {
        let (lab, world) = (scene.lab(), scene.world);
        scene.pool().await?;
        let first = scene.pod("web", "web-1", 1).await?;
        let spec = json!({ "externalTrafficPolicy": "Local" });
        let service = scene.service("web").dual_stack().spec(spec).create().await?;
        let client: [IpAddr; 2] = [lab.client().ipv4().into(), lab.client().ipv6().into()];
        let addresses = service.wait_addresses(2).await?;
        for &address in &addresses {
            world.wait_owner(address, PATIENCE, |node| node == "node-2").await?;
            let answer =
                lab.wait_until("an answer", PATIENCE, async || Ok(lab.client().get(address, 80).await?));
            assert!(client.contains(&answer.await?.client));
        }
        // The address follows the Pod. While it ends, it still serves.
        scene.pod("web", "web-2", 2).await?;
        first.set_ready(false).await?;
        for &address in &addresses {
            world.wait_owner(address, PATIENCE, |node| node == "node-3").await?;
            let answer = lab.wait_until("an answer", PATIENCE, async || {
                let answer = lab.client().get(address, 80).await?;
                if answer.pod == "web-2" { Ok(answer) } else { Err(format!("{answer:?}").into()) }
            });
            assert!(client.contains(&answer.await?.client));
        }
        Ok(())
    })
}

#[test]
fn a2_local_policy_without_any_endpoint_is_answered_by_nobody() -> Result<()> {
    scene(async |scene| {
        scene.pool().await?;
        let pod = scene.pod("web", "web-0", 0).await?;
        let service = scene.service("web").spec(json!({ "externalTrafficPolicy": "Local" })).create().await?;
        let vip = scene.vip_of(service, |node| node == "node-1").await?;
        pod.terminate().await?;
        // Terminating and serving: somebody is still needed.
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        assert_eq!(scene.world.owners(vip.address)?, ["node-1"]);
        pod.remove().await?;
        scene.world.wait_silence(vip.address).await
    })
}

#[test]
fn a3_tcp_and_udp_on_one_service() -> Result<()> {
    scene(async |scene| {
        let (lab, world) = (scene.lab(), scene.world);
        scene.pool().await?;
        scene.pod("web", "web-0", SPEAKERS).await?;
        let ports = json!([
            { "name": "main", "port": 80, "targetPort": 8080, "protocol": "TCP" },
            { "name": "echo", "port": 80, "targetPort": 8080, "protocol": "UDP" },
        ]);
        let service = scene.service("web").dual_stack().spec(json!({ "ports": ports })).create().await?;
        for address in service.wait_addresses(2).await? {
            world.wait_owner(address, PATIENCE, |_| true).await?;
            let what = format!("answers over TCP and UDP from {address}");
            lab.wait_until(what, PATIENCE, async || {
                lab.client().get(address, 80).await?;
                Ok(lab.client().get_udp(address, 80).await?)
            })
            .await?;
        }
        Ok(())
    })
}

#[test]
fn session_affinity_keeps_a_client_at_one_pod() -> Result<()> {
    scene(async |scene| {
        scene.pool().await?;
        for node in 0..SPEAKERS {
            scene.pod("web", &format!("web-{node}"), node).await?;
        }
        let service = scene.service("web").spec(json!({ "sessionAffinity": "ClientIP" })).create().await?;
        let vip = scene.vip_of(service, |_| true).await?;
        let answers = scene.lab().client().who_answers(vip.address, 80, 20).await?;
        assert_eq!(answers.len(), 1, "{answers:?}");
        Ok(())
    })
}

#[test]
fn a4_pools_as_ranges_and_as_prefixes_are_announced() -> Result<()> {
    scene(async |scene| {
        let lab = scene.lab();
        scene.pod("web", "web-0", SPEAKERS).await?;
        let pools =
            [("range", format!("{0}-{0}", scene.ipv4())), ("prefix", format!("{}/128", scene.ipv6(7)))];
        for (name, range) in pools {
            lab.pool(name, json!({ "addresses": [range] })).await?;
            let families = if name == "range" { ["IPv4"] } else { ["IPv6"] };
            let service = scene.service(name).annotation("fairlead.dev/pool", name);
            let spec = json!({ "selector": { "app": "web" }, "ipFamilies": families });
            let service = service.spec(spec).create().await?;
            scene.vip_of(service, |_| true).await?;
        }
        Ok(())
    })
}

#[test]
fn a5_the_status_names_who_answers_on_the_wire_and_goes_with_the_service() -> Result<()> {
    scene(async |scene| {
        let (lab, world) = (scene.lab(), scene.world);
        let vip = scene.vip().await?;
        let object = vip.object();
        let says = |object: &Value, node: &str| {
            let mac = lab.node(node).ok().and_then(|node| node.host().mac("eth0").ok()).unwrap_or_default();
            let status = &object["status"];
            status["node"] == node && status["interface"] == "eth0" && status["mac"] == mac.to_string()
        };
        let named = object.wait_until("name its owner", |object| says(object, &vip.owner)).await?;
        assert!(named["status"]["epoch"].as_u64() >= Some(1), "{}", named["status"]);
        assert!(named["status"]["since"].is_string(), "{}", named["status"]);
        object.wait_condition("Announced", "True").await?;
        let reason = vip.service.wait_reason("Announced").await?;
        assert!(reason.message.contains(&vip.owner) && reason.message.contains("eth0"), "{}", reason.message);

        vip.speaker().kill().await?;
        let successor = vip.wait_moved(PATIENCE).await?;
        let moved = object.wait_until("name its new owner", |object| says(object, &successor)).await?;
        assert!(moved["status"]["epoch"].as_u64() > named["status"]["epoch"].as_u64());

        vip.service.delete().await?;
        world.wait_silence(vip.address).await?;
        lab.wait_until("the object to go", PATIENCE, async || {
            if object.exists().await? { Err("it is there".into()) } else { Ok(()) }
        })
        .await
    })
}

#[test]
fn a8_services_that_share_an_address_have_one_owner() -> Result<()> {
    scene(async |scene| {
        let lab = scene.lab();
        scene.pool().await?;
        scene.pod("web", "web-0", SPEAKERS).await?;
        for (families, address) in [(["IPv4"], scene.ipv4()), (["IPv6"], scene.ipv6(5))] {
            for (name, port) in [("one", 80), ("two", 81)] {
                let ports = json!([{ "name": "main", "port": port, "targetPort": 8080 }]);
                let spec = json!({ "selector": { "app": "web" }, "ports": ports, "ipFamilies": families });
                let service = scene.service(&format!("{name}-{}", families[0].to_lowercase()));
                let service = service.annotation("fairlead.dev/addresses", &address.to_string());
                let service =
                    service.annotation("fairlead.dev/sharing-key", "key").spec(spec).create().await?;
                service.wait_for_address(&address.to_string()).await?;
            }
            scene.world.wait_owner(address, PATIENCE, |_| true).await?;
            lab.wait_until("both Services to answer", PATIENCE, async || {
                lab.client().get(address, 80).await?;
                Ok(lab.client().get(address, 81).await?)
            })
            .await?;
        }
        Ok(())
    })
}

#[test]
fn a9_metrics_of_an_address_are_its_owners_and_go_with_it() -> Result<()> {
    scene(async |scene| {
        let world = scene.world;
        let vip = scene.vip().await?;
        let address = vip.address.to_string();
        let announced = async || -> Result<BTreeSet<String>> {
            let mut nodes = BTreeSet::new();
            for speaker in &world.speakers {
                let metrics = speaker.metrics().await?;
                if metrics.sum("fairlead_speaker_announced", &[("address", &address)]) > 0.0 {
                    nodes.insert(speaker.node().to_owned());
                }
            }
            Ok(nodes)
        };
        assert_eq!(announced().await?, BTreeSet::from([vip.owner.clone()]));
        let replies = |metrics: &lab::Metrics| metrics.sum("fairlead_speaker_replies_total", &[]);
        let before = replies(&vip.speaker().metrics().await?);
        world.owners(vip.address)?;
        let after = vip.speaker().metrics().await?;
        assert!(replies(&after) > before, "{before}");
        assert!(after.sum("fairlead_speaker_gratuitous_total", &[]) >= 1.0);
        assert!(after.sum("fairlead_speaker_requests_total", &[]) >= 1.0);
        vip.service.delete().await?;
        world.wait_silence(vip.address).await?;
        assert_eq!(announced().await?, BTreeSet::new());
        Ok(())
    })
}

#[test]
fn an_address_that_is_deleted_is_answered_by_nobody_and_its_neighbours_stay() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let other = scene.service("other").spec(json!({ "selector": { "app": "web" } })).create().await?;
        let other = scene.vip_of(other, |_| true).await?;
        vip.service.delete().await?;
        scene.world.wait_silence(vip.address).await?;
        assert_eq!(scene.world.owners(other.address)?, [other.owner]);
        let object = scene.lab().object(Kind::Address, None, &object_name(vip.address));
        assert!(!object.exists().await? || object.get().await?["status"]["phase"] == "Cooling");
        let services = scene.lab().existing_load_balancer(NAMESPACE, "other");
        assert_eq!(services.addresses().await?, [other.address]);
        Ok(())
    })
}
