//! Planned moves: nobody notices.

use std::time::Duration;

use lab::Result;
use serde_json::json;

use crate::world::{EXCLUDED, PATIENCE, Scene, scene};

/// Long enough for a node to do what it must not do.
const A_WHILE: Duration = Duration::from_millis(700);

#[test]
fn x2_sigterm_hands_over_without_a_gap_and_a_restart_moves_nothing() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let seen = vip.observed(A_WHILE, async || vip.speaker().stop().await.map(drop)).await?;
        seen.assert_seamless();
        assert_eq!((seen.owners.len(), &seen.owners[0]), (2, &vip.owner), "{seen:?}");
        let seen = vip.observed(2 * A_WHILE, async || vip.speaker().restart().await).await?;
        seen.assert_seamless();
        assert_eq!(seen.owners.len(), 1, "{seen:?}");
        Ok(())
    })
}

#[test]
fn x2_a_rolling_update_of_all_speakers_is_not_noticed() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let seen = vip.observed(A_WHILE, async || {
            for speaker in &scene.world.speakers {
                speaker.stop().await?;
                speaker.restart().await?;
            }
            Ok(())
        });
        seen.await?.assert_seamless();
        Ok(())
    })
}

#[test]
fn a7_the_exclude_label_moves_the_address_and_its_removal_moves_nothing() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let outcome = vip
            .observed(A_WHILE, async || {
                scene.lab().label_node(&vip.owner, EXCLUDED, Some("")).await?;
                vip.wait_moved(PATIENCE).await.map(drop)
            })
            .await;
        scene.lab().label_node(&vip.owner, EXCLUDED, None).await?;
        outcome?.assert_seamless();
        tokio::time::sleep(A_WHILE).await;
        assert_ne!(scene.world.owners(vip.address)?, [vip.owner]);
        Ok(())
    })
}

/// An announcement that prefers the third node to all others.
async fn preferring_node_3(scene: &Scene) -> Result<()> {
    let selector = json!({ "matchLabels": { "kubernetes.io/hostname": "node-3" } });
    let preferred = json!({ "preferredNodes": [{ "weight": 100, "selector": selector }] });
    scene.announcement("third", preferred).await?;
    // Nodes tell each other with their beacons.
    tokio::time::sleep(A_WHILE).await;
    Ok(())
}

#[test]
fn a6_a_node_without_network_gets_no_address_though_preferred_and_later_pulls_none_back() -> Result<()> {
    scene(async |scene| {
        scene.lab().set_node_condition("node-3", "NetworkUnavailable", "True").await?;
        preferring_node_3(scene).await?;
        let vip = scene.vip().await;
        scene.lab().set_node_condition("node-3", "NetworkUnavailable", "False").await?;
        let vip = vip?;
        assert_ne!(vip.owner, "node-3");
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(scene.world.owners(vip.address)?, [vip.owner]);
        Ok(())
    })
}

#[test]
fn a_node_that_is_not_ready_gets_no_address_and_if_all_are_not_every_address_answers() -> Result<()> {
    scene(async |scene| {
        let lab = scene.lab();
        lab.set_node_condition("node-3", "Ready", "Unknown").await?;
        preferring_node_3(scene).await?;
        let vip = scene.vip().await?;
        assert_ne!(vip.owner, "node-3");
        let seen = vip
            .observed(A_WHILE, async || {
                for speaker in &scene.world.speakers {
                    lab.set_node_condition(speaker.node(), "Ready", "Unknown").await?;
                }
                tokio::time::sleep(A_WHILE).await;
                Ok(())
            })
            .await;
        // Failing over is possible, too.
        vip.speaker().kill().await?;
        let successor = vip.wait_moved(PATIENCE).await;
        for speaker in &scene.world.speakers {
            lab.set_node_condition(speaker.node(), "Ready", "True").await?;
        }
        seen?.assert_seamless();
        successor.map(drop)
    })
}

#[test]
#[ignore = "takes minutes, as others must have been up for long: make drill-speaker"]
fn a_node_that_is_not_ready_hands_over_to_one_that_has_been_up_for_long() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let outcome = vip
            .observed(A_WHILE, async || {
                scene.lab().set_node_condition(&vip.owner, "Ready", "Unknown").await?;
                vip.wait_moved(Duration::from_mins(10)).await.map(drop)
            })
            .await;
        scene.lab().set_node_condition(&vip.owner, "Ready", "True").await?;
        outcome?.assert_seamless();
        Ok(())
    })
}

#[test]
fn a_node_out_of_service_loses_the_address_at_once() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let taint = json!([{ "key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute" }]);
        let outcome = vip
            .observed(A_WHILE, async || {
                scene.lab().patch_node_spec(&vip.owner, json!({ "taints": taint })).await?;
                vip.wait_moved(PATIENCE).await.map(drop)
            })
            .await;
        scene.lab().patch_node_spec(&vip.owner, json!({ "taints": null })).await?;
        outcome?.assert_seamless();
        Ok(())
    })
}

#[test]
fn a_cordoned_node_keeps_its_addresses() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        scene.lab().patch_node_spec(&vip.owner, json!({ "unschedulable": true })).await?;
        tokio::time::sleep(A_WHILE).await;
        let owners = scene.world.owners(vip.address);
        scene.lab().patch_node_spec(&vip.owner, json!({ "unschedulable": null })).await?;
        assert_eq!(owners?, [vip.owner]);
        Ok(())
    })
}

#[test]
fn d1_without_its_speaker_a_node_loses_the_address_and_does_not_pull_it_back() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        vip.speaker().kill().await?;
        vip.wait_moved(PATIENCE).await?;
        vip.speaker().restart().await?;
        tokio::time::sleep(A_WHILE).await;
        assert_ne!(scene.world.owners(vip.address)?, [vip.owner]);
        Ok(())
    })
}
