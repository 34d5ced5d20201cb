//! Services that come, change their type, and go; and those that are somebody else's.

use k8s_openapi::api::core::v1::Service;
use lab::{LoadBalancer, Result, ingress_addresses, ready_condition};
use serde_json::json;

use crate::world::{A_WHILE, CONTROLLER, Scene, manager, objects_only, scene, stays_without_address};

/// Two Services and one address: one has it, the other waits, and its users are told.
async fn one_address_for_two(scene: &Scene) -> Result<[LoadBalancer; 2]> {
    scene.plain_pool(&[scene.range(10, 10)]).await?;
    let holder = scene.service("holder").create().await?;
    holder.wait_for_address(&scene.ipv4(10)).await?;
    let pending = scene.service("pending").create().await?;
    let condition = pending.wait_reason("PoolExhausted").await?;
    assert!(condition.message.contains(&scene.pool_name("pool")), "{}", condition.message);
    Ok([holder, pending])
}

#[test]
fn b1_a_pending_service_gets_the_address_of_one_that_is_deleted() -> Result<()> {
    scene("b1-deleted", async |scene| {
        let [holder, pending] = one_address_for_two(scene).await?;
        holder.delete().await?;
        pending.wait_for_address(&scene.ipv4(10)).await?;
        assert_eq!(pending.wait_reason("Assigned").await?.status, "True");
        Ok(())
    })
}

#[test]
fn b1_a_pending_service_gets_the_address_of_one_that_becomes_a_cluster_ip() -> Result<()> {
    scene("b1-type", async |scene| {
        let [holder, pending] = one_address_for_two(scene).await?;
        holder
            .patch(json!({ "spec": { "type": "ClusterIP", "allocateLoadBalancerNodePorts": null } }))
            .await?;
        pending.wait_for_address(&scene.ipv4(10)).await?;
        let left =
            |service: &Service| ingress_addresses(service).is_empty() && ready_condition(service).is_none();
        holder.wait_until("have neither addresses nor our condition", left).await?;
        Ok(())
    })
}

#[test]
fn a_status_says_address_mode_and_generation() -> Result<()> {
    scene("status", async |scene| {
        scene.plain_pool(&[scene.range(10, 10)]).await?;
        let service = scene.service("web").create().await?;
        service.wait_for_address(&scene.ipv4(10)).await?;
        let condition = service.wait_reason("Assigned").await?;
        let message = format!("{} from pool {}", scene.ipv4(10), scene.pool_name("pool"));
        assert_eq!((condition.status.as_str(), condition.message.as_str()), ("True", message.as_str()));
        let object = serde_json::json!(service.get().await?);
        assert_eq!(
            object["status"]["loadBalancer"],
            json!({ "ingress": [{ "ip": scene.ipv4(10), "ipMode": "VIP" }] })
        );
        assert_eq!(condition.observed_generation, object["metadata"]["generation"].as_i64());
        let finalizers = &object["metadata"]["finalizers"];
        assert!(finalizers.is_null(), "{finalizers}");
        Ok(())
    })
}

#[test]
fn node_ports_make_no_difference() -> Result<()> {
    scene("node-ports", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let ports = scene.service("with-ports").spec(json!({ "allocateLoadBalancerNodePorts": true }));
        let local = json!({ "allocateLoadBalancerNodePorts": true, "externalTrafficPolicy": "Local" });
        let local = scene.service("local").spec(local);
        for service in [ports.create().await?, local.create().await?] {
            service.wait_address().await?;
        }
        Ok(())
    })
}

#[test]
fn a11_a_service_of_a_foreign_class_gets_no_address_and_no_condition() -> Result<()> {
    scene("a11", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let class = |name: &str| json!({ "loadBalancerClass": name });
        let foreign = scene.service("foreign").spec(class("example.com/other")).create().await?;
        let ours = scene.service("ours").spec(class("fairlead.dev/layer2")).create().await?;
        ours.wait_address().await?;
        stays_without_address(&foreign).await?;
        assert_eq!(foreign.condition().await?, None);

        // A class can only be given together with the type.
        let address = ours.addresses().await?[0];
        ours.patch(json!({ "spec": { "type": "ClusterIP", "loadBalancerClass": null } })).await?;
        scene.wait_assigned(&address.to_string(), false).await?;
        let back = json!({ "spec": { "type": "LoadBalancer", "loadBalancerClass": "example.com/other" } });
        ours.patch(back).await?;
        stays_without_address(&ours).await?;
        assert_eq!(ours.condition().await?, None);
        Ok(())
    })
}

#[test]
fn services_of_others_are_not_written_to_at_all() -> Result<()> {
    scene("foreign", async |scene| {
        // Its pool comes last, so that the Services have their marks before anything can be given to them.
        let class = json!({ "loadBalancerClass": "example.com/other" });
        let classed = scene.service("classed").spec(class).create().await?;
        let cloud = scene.service("cloud").create().await?;
        classed.set_addresses(&["192.0.2.7"]).await?;
        cloud.set_addresses(&["192.0.2.8", "2001:db8:ffff::8"]).await?;
        let before = [classed.get().await?, cloud.get().await?];
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        scene.service("ours").create().await?.wait_address().await?;
        for service in [&classed, &cloud] {
            service.patch(json!({ "metadata": { "labels": { "touched": "yes" } } })).await?;
        }
        tokio::time::sleep(A_WHILE).await;
        for (service, before) in [&classed, &cloud].into_iter().zip(&before) {
            assert_eq!(service.get().await?.status, before.status, "{service}");
            assert_eq!(service.events().await?, Vec::<String>::new(), "{service}");
        }
        let written: Vec<_> = scene
            .lab
            .audited_writes()?
            .into_iter()
            .filter(|it| it.user.ends_with(":fairlead-manager") && it.namespace == scene.namespace)
            .filter(|it| it.name != "ours")
            .filter(|it| it.resource.starts_with("services"))
            .collect();
        assert_eq!(written, []);
        Ok(())
    })
}

/// `--load-balancer-class`: that class, and no others.
#[tokio::test]
async fn with_a_class_of_its_own_the_manager_leaves_all_others_alone() -> Result<()> {
    let lab = objects_only().start().await?;
    let flag = "--load-balancer-class=example.com/ours";
    let manager = lab.manager().controllers(CONTROLLER).flag(flag).start().await?;
    lab.pool("all", json!({ "addresses": ["203.0.113.0/24"] })).await?;
    let class = |name: &str| json!({ "loadBalancerClass": name });
    let ours = lab.load_balancer("default", "ours").spec(class("example.com/ours")).create().await?;
    let none = lab.load_balancer("default", "none").create().await?;
    let layer2 = lab.load_balancer("default", "layer2").spec(class("fairlead.dev/layer2")).create().await?;
    ours.wait_address().await?;
    for service in [&none, &layer2] {
        stays_without_address(service).await?;
        assert_eq!(service.condition().await?, None, "{service}");
    }
    // The next one has the usual classes, and takes over nothing that it does not own.
    manager.stop().await?;
    let _next = self::manager(&lab).await?;
    none.wait_address().await?;
    layer2.wait_address().await?;
    Ok(())
}

/// What the manager may do is what config/rbac says, and that is enough for a whole life of a Service.
#[test]
fn the_manager_needs_no_right_that_it_does_not_have() -> Result<()> {
    scene("rights", async |scene| {
        let [holder, pending] = one_address_for_two(scene).await?;
        let spec =
            json!({ "service": { "name": "kept" }, "loadBalancer": { "pool": scene.pool_name("pool") } });
        scene.lab.reservation(&scene.namespace, "kept", spec).await?;
        holder.delete().await?;
        pending.delete().await?;
        scene.wait_assigned(&scene.ipv4(10), false).await?;
        let is_manager = |user: &str| user == "system:serviceaccount:fairlead-system:fairlead-manager";
        let writes = scene.lab.audited_writes()?;
        let of_manager: Vec<_> = writes.iter().filter(|it| is_manager(&it.user)).collect();
        assert!(!of_manager.is_empty());
        let refused: Vec<_> = of_manager.iter().filter(|it| matches!(it.code, 401 | 403)).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        let mut resources: Vec<_> = of_manager.iter().map(|it| it.resource.as_str()).collect();
        resources.sort_unstable();
        resources.dedup();
        let may = [
            "events",
            "loadbalanceraddresses",
            "loadbalanceraddresses/status",
            "loadbalancerpools/status",
            "secrets",
            "servicereservations/status",
            "services/status",
        ];
        assert!(resources.iter().all(|it| may.contains(it)), "{resources:?}");
        let log = scene.manager.log()?;
        assert!(!log.contains("forbidden"), "{log}");
        Ok(())
    })
}
