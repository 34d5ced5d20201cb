//! Interfaces that come, go and change under a running speaker.

use std::time::{Duration, Instant};

use lab::{Mac, Result};
use serde_json::json;

use crate::world::{FAILOVER, PATIENCE, Scene, Vip, claims_heard, ears, scene};

/// A VIP that only the second node may announce, so that everything that happens to its interfaces shows.
async fn pinned(scene: &Scene) -> Result<Vip> {
    let selector = json!({ "matchLabels": { "kubernetes.io/hostname": "node-2" } });
    scene.announcement("pinned", json!({ "nodeSelectors": [selector] })).await?;
    scene.vip().await
}

#[test]
fn x8_a_changed_mac_is_announced_and_answered_with_which_stands_in_for_a_bond() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, pinned(scene).await?);
        let (host, before) = (vip.node().host(), vip.node().host().mac("eth0")?);
        let after = Mac([2, 0x10, 0x20, 0x30, 0x40, 0x50]);
        let ears = ears(world)?;
        host.ip(&[format!("link set eth0 address {after}")])?;
        let outcome = async {
            let heard = claims_heard(&ears, vip.address, FAILOVER)?;
            assert!(heard.iter().any(|(_, frame)| frame.claim() == Some((vip.address, after))), "{heard:?}");
            let found = world.observer.who_has(vip.address, Duration::from_millis(100))?;
            assert_eq!(found.into_iter().collect::<Vec<_>>(), [after]);
            vip.object()
                .wait_until("name the new MAC", |it| it["status"]["mac"] == after.to_string())
                .await?;
            vip.wait_answer().await.map(drop)
        }
        .await;
        host.ip(&[format!("link set eth0 address {before}")])?;
        world.wait_owner(vip.address, PATIENCE, |node| node == "node-2").await?;
        outcome
    })
}

#[test]
fn x9_an_interface_down_and_up_again_answers_within_a_second() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, pinned(scene).await?);
        let host = vip.node().host();
        // The node keeps its addresses and routes while its cable is out, other than if the interface were set down.
        world.segment.set_plugged(host, false)?;
        tokio::time::sleep(Duration::from_millis(700)).await;
        world.segment.set_plugged(host, true)?;
        let plugged = Instant::now();
        world.wait_owner(vip.address, PATIENCE, |node| node == "node-2").await?;
        // It listens for 3.5 periods at most before it claims.
        assert!(plugged.elapsed() < Duration::from_secs(2), "{:?}", plugged.elapsed());
        Ok(())
    })
}

/// An interface that is made under the running speaker, used, and deleted. It is on the second segment, behind a card whose
/// name says that it is not used itself: of two interfaces on one segment only one would answer.
async fn late(scene: &Scene, name: &str, make: &[&str]) -> Result<()> {
    let (lab, world) = (scene.lab(), scene.world);
    let host = lab.nodes()[1].host();
    lab.plug_into_second(host, "dummy0")?;
    scene.announcement("late", json!({ "interfaces": [name] })).await?;
    scene.pool().await?;
    let address = scene.service("web").create().await?.wait_address().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((world.owners(address)?.len(), world.far_owners(address)?.len()), (0, 0));
    host.ip(make)?;
    let (mac, began) = (host.mac(name)?, Instant::now());
    world.wait_far_owner(address, Some(mac)).await?;
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
    host.ip(&[format!("link delete {name}"), "link delete dummy0".to_owned()])?;
    world.wait_far_owner(address, None).await
}

#[test]
fn x9_a_macvlan_created_late_answers_and_is_silent_when_it_is_deleted() -> Result<()> {
    scene(async |scene| {
        let make = [
            "link add late0 link dummy0 type macvlan mode bridge",
            "address add 203.0.113.19/24 dev late0",
            "link set late0 up",
        ];
        late(scene, "late0", &make).await
    })
}

#[test]
fn x9_a_bridge_over_the_card_created_late_answers() -> Result<()> {
    scene(async |scene| {
        let make = [
            "link add late1 type bridge stp_state 0 forward_delay 0",
            "link set dummy0 master late1",
            "link set late1 up",
        ];
        late(scene, "late1", &make).await
    })
}

#[test]
fn x9_an_interface_that_is_renamed_is_known_by_its_new_name() -> Result<()> {
    scene(async |scene| {
        let make = [
            "link add early2 link dummy0 type macvlan mode bridge",
            "link set early2 up",
            "link set early2 down",
            "link set early2 name late2",
            "link set late2 up",
        ];
        late(scene, "late2", &make).await
    })
}
