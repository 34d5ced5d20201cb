//! Where addresses are announced: interfaces, nodes, preferences, Services.

use std::time::Duration;

use lab::{Kind, Result};
use serde_json::{Value, json};

use crate::world::{PATIENCE, SELECTED, Scene, object_name, scene};

const A_WHILE: Duration = Duration::from_secs(1);
/// Gives nodes a label until the scenario ends, also when it fails.
async fn labelled(
    scene: &Scene,
    labels: &[(&str, &str)],
    play: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    for (node, value) in labels {
        scene.lab().label_node(node, SELECTED, Some(value)).await?;
    }
    let outcome = play().await;
    for node in scene.lab().nodes() {
        scene.lab().label_node(node.name(), SELECTED, None).await?;
    }
    outcome
}

/// A selector of the nodes with this label.
fn selector(value: &str) -> Value {
    json!({ "matchLabels": { SELECTED: value } })
}

/// A Service of the pool and what its condition says after a while.
async fn unannounced(scene: &Scene, reason: &str) -> Result<String> {
    scene.pool().await?;
    let service = scene.service("web").create().await?;
    let address = service.wait_address().await?;
    let said = service.wait_reason(reason).await?;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(scene.world.owners(address)?, Vec::<String>::new());
    Ok(said.message)
}

#[test]
fn c1_an_interface_of_the_announcement_answers_with_its_own_mac_and_the_status_names_it() -> Result<()> {
    scene(async |scene| {
        let (lab, node) = (scene.lab(), &scene.lab().nodes()[1]);
        lab.plug_into_second(node.host(), "eth1")?;
        scene.announcement("lan", json!({ "interfaces": ["eth1"] })).await?;
        scene.pool().await?;
        let address = scene.service("web").create().await?.wait_address().await?;
        let mac = node.host().mac("eth1")?;
        scene.world.wait_far_owner(address, Some(mac)).await?;
        assert_eq!(scene.world.owners(address)?, Vec::<String>::new());
        let object = lab.object(Kind::Address, None, &object_name(address));
        object
            .wait_until("name the card", |object| {
                let status = &object["status"];
                let named = (&status["node"], &status["interface"], &status["mac"]);
                named == (&json!(node.name()), &json!("eth1"), &json!(mac.to_string()))
            })
            .await?;
        // Changed live.
        let announcement = lab.object(Kind::Announcement, None, "lan");
        announcement.patch(json!({ "spec": { "interfaces": ["eth0"] } })).await?;
        scene.world.wait_owner(address, PATIENCE, |_| true).await?;
        scene.world.wait_far_owner(address, None).await?;
        object.wait_until("name the other card", |object| object["status"]["interface"] == "eth0").await?;
        node.host().ip(&["link delete eth1"])
    })
}

#[test]
fn c1_an_interface_that_no_node_has_is_told() -> Result<()> {
    scene(async |scene| {
        scene.announcement("lan", json!({ "interfaces": ["none7"] })).await?;
        unannounced(scene, "NoEligibleNode").await.map(drop)
    })
}

#[test]
fn c1_two_announcements_and_one_with_interface_and_nodes() -> Result<()> {
    scene(async |scene| {
        labelled(scene, &[("node-2", "yes")], async || {
            let both = json!({ "interfaces": ["eth0"], "nodeSelectors": [selector("yes")] });
            scene.announcement("both", both).await?;
            scene.announcement("none", json!({ "interfaces": ["none7"] })).await?;
            let vip = scene.vip().await?;
            assert_eq!(vip.owner, "node-2");
            Ok(())
        })
        .await
    })
}

#[test]
fn c2_only_selected_nodes_answer_and_nodes_may_be_added() -> Result<()> {
    scene(async |scene| {
        labelled(scene, &[("node-1", "one"), ("node-3", "three")], async || {
            let selectors = [selector("one"), selector("three")];
            scene.announcement("some", json!({ "nodeSelectors": selectors })).await?;
            let vip = scene.vip().await?;
            assert_ne!(vip.owner, "node-2");
            vip.speaker().kill().await?;
            let second = vip.wait_moved(PATIENCE).await?;
            assert_ne!(second, "node-2");
            scene.lab().label_node("node-2", SELECTED, Some("one")).await?;
            tokio::time::sleep(A_WHILE).await;
            scene.world.speaker(&second).kill().await?;
            scene.world.wait_owner(vip.address, PATIENCE, |node| node == "node-2").await.map(drop)
        })
        .await
    })
}

#[test]
fn c2_without_a_selected_node_the_service_says_so() -> Result<()> {
    scene(async |scene| {
        scene.announcement("none", json!({ "nodeSelectors": [selector("nobody")] })).await?;
        let message = unannounced(scene, "NoEligibleNode").await?;
        assert!(!message.is_empty());
        Ok(())
    })
}

/// An announcement that prefers some nodes.
fn preferring(weights: &[(&str, i32)]) -> Value {
    let preferred: Vec<_> = weights
        .iter()
        .map(|(value, weight)| json!({ "weight": weight, "selector": selector(value) }))
        .collect();
    json!({ "preferredNodes": preferred })
}

#[test]
fn c3_the_preferred_node_answers_and_when_it_is_gone_another_one() -> Result<()> {
    scene(async |scene| {
        labelled(scene, &[("node-3", "yes")], async || {
            scene.announcement("fast", preferring(&[("yes", 10)])).await?;
            // Nodes tell each other what they prefer with their beacons.
            tokio::time::sleep(A_WHILE).await;
            let vip = scene.vip().await?;
            assert_eq!(vip.owner, "node-3");
            vip.speaker().kill().await?;
            vip.wait_moved(PATIENCE).await.map(drop)
        })
        .await
    })
}

#[test]
fn c3_weights_of_all_selectors_add_up() -> Result<()> {
    scene(async |scene| {
        labelled(scene, &[("node-1", "yes"), ("node-2", "yes"), ("node-3", "no")], async || {
            scene.announcement("fast", preferring(&[("yes", 40), ("no", 60)])).await?;
            scene.announcement("faster", preferring(&[("yes", 40)])).await?;
            tokio::time::sleep(A_WHILE).await;
            let vip = scene.vip().await?;
            assert_ne!(vip.owner, "node-3");
            Ok(())
        })
        .await
    })
}

#[test]
fn c3_a_selector_that_no_node_fulfils_changes_nothing_and_hard_ones_win() -> Result<()> {
    scene(async |scene| {
        labelled(scene, &[("node-1", "yes"), ("node-2", "other")], async || {
            let mut spec = preferring(&[("other", 100), ("nobody", 100)]);
            spec["nodeSelectors"] = json!([selector("yes")]);
            scene.announcement("hard", spec).await?;
            let vip = scene.vip().await?;
            assert_eq!(vip.owner, "node-1");
            Ok(())
        })
        .await
    })
}

#[test]
fn c4_service_selectors_limit_what_is_announced() -> Result<()> {
    scene(async |scene| {
        let selector = |tier: &str| json!({ "matchLabels": { "tier": tier } });
        let selectors = [selector("edge"), selector("front")];
        scene.announcement("edge", json!({ "serviceSelectors": selectors })).await?;
        // A second one that selects it, too, makes no second owner.
        scene.announcement("again", json!({ "serviceSelectors": [selector("front")] })).await?;
        scene.pool().await?;
        scene.pod("web", "web-0", 3).await?;
        let chosen = scene.service("web").label("tier", "front").create().await?;
        let chosen = scene.vip_of(chosen, |_| true).await?;
        let other = scene.service("other").label("tier", "back").create().await?.wait_address().await?;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(scene.world.owners(other)?, Vec::<String>::new());
        assert_eq!(scene.world.owners(chosen.address)?.len(), 1);
        Ok(())
    })
}

#[test]
fn two_segments_have_owners_of_their_own_and_an_address_answers_on_both() -> Result<()> {
    scene(async |scene| {
        let (lab, vip) = (scene.lab(), scene.vip().await?);
        let nodes = [lab.nodes()[0].host(), lab.nodes()[1].host()];
        for host in nodes {
            lab.plug_into_second(host, "eth1")?;
        }
        let macs = [nodes[0].mac("eth1")?, nodes[1].mac("eth1")?];
        lab.wait_until("one of two nodes to answer on the second segment", PATIENCE, async || {
            match scene.world.far_owners(vip.address)?.as_slice() {
                [one] if macs.contains(one) => Ok(()),
                others => Err(format!("{others:?} answer").into()),
            }
        })
        .await?;
        assert_eq!(scene.world.owners(vip.address)?, [vip.owner]);
        nodes[0].ip(&["link delete eth1"])?;
        scene.world.wait_far_owner(vip.address, Some(macs[1])).await?;
        nodes[1].ip(&["link delete eth1"])
    })
}
