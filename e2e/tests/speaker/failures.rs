//! Failures of machines and of the segment between them.

use std::time::{Duration, Instant};

use lab::{Host, Result, Traffic};
use serde_json::{Value, json};

use crate::world::{FAILOVER, PATIENCE, SPEAKERS, World, scene};

const A_WHILE: Duration = Duration::from_millis(700);
/// A beacon period, and what a busy machine may add: a census is taken every 50 ms.
const BEACON: Duration = Duration::from_millis(500);

#[test]
fn x1_power_off_of_the_owner() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let seen = vip.observed(A_WHILE, async || scene.lab().power_off(vip.node()).await).await?;
        seen.assert_failover();
        assert_eq!(seen.owners.len(), 2, "{seen:?}");
        // A node that comes back moves nothing.
        let seen = vip.observed(2 * A_WHILE, async || {
            scene.lab().power_on(vip.node())?;
            vip.speaker().wait_ready().await
        });
        let seen = seen.await?;
        seen.assert_seamless();
        assert_eq!(seen.owners.len(), 1, "{seen:?}");
        Ok(())
    })
}

#[test]
fn x7_the_cable_of_the_owner_pulled_and_put_back() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let host = vip.node().host();
        let seen = vip.observed(A_WHILE, async || scene.world.segment.set_plugged(host, false)).await?;
        seen.assert_failover();
        let seen = vip.observed(2 * A_WHILE, async || scene.world.segment.set_plugged(host, true)).await?;
        seen.assert_seamless();
        assert_eq!(seen.owners.len(), 1, "{seen:?}");
        Ok(())
    })
}

#[test]
fn a_killed_speaker_is_replaced() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let seen = vip.observed(A_WHILE, async || vip.speaker().kill().await.map(drop)).await?;
        seen.assert_failover();
        Ok(())
    })
}

/// Longer than the Lease of a speaker lasts, with time to notice.
const LOST: Duration = Duration::from_secs(130);

#[test]
fn when_all_speakers_are_killed_it_is_told_that_nobody_answers() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, scene.vip().await?);
        let object = vip.object();
        object.wait_condition("Announced", "True").await?;
        for speaker in &world.speakers {
            speaker.kill().await?;
        }
        let told = scene.lab().wait_until("it to be told that nobody answers", LOST, async || {
            match object.condition("Announced").await? {
                Some(it) if it.status == "False" => Ok(it),
                other => Err(format!("{other:?}").into()),
            }
        });
        let message = told.await?.message;
        let told = object.get().await?;
        assert!(message.contains(&format!("{} answered for it on eth0", vip.owner)), "{message}");
        assert!(message.contains("the Lease of its speaker ran out at"), "{message}");
        assert!(told["status"]["node"].is_null() && told["status"]["epoch"].is_u64(), "{told}");
        let told = vip.service.wait_reason("NoEligibleNode").await?.message;
        assert!(told.contains("nothing has been heard of its speaker"), "{told}");
        // Nothing is written while nothing changes, nor when the manager begins anew.
        let version = |it: &Value| it["metadata"]["resourceVersion"].clone();
        let before = version(&object.get().await?);
        world.manager.stop().await?;
        world.manager.process().restart()?;
        world.manager.wait_ready().await?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(version(&object.get().await?), before);
        assert_eq!(vip.service.wait_reason("NoEligibleNode").await?.message, told);
        // The first one that is back answers, and it is told.
        let speaker = &world.speakers[0];
        speaker.process().restart()?;
        world.wait_owner(vip.address, PATIENCE, |node| node == speaker.node()).await?;
        object.wait_condition("Announced", "True").await?;
        vip.service.wait_reason("Announced").await.map(drop)
    })
}

#[test]
fn a_frozen_speaker_is_replaced_and_answers_no_old_question_when_it_goes_on() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let process = vip.speaker().process();
        let seen = vip.observed(2 * A_WHILE, async || process.freeze()).await?;
        seen.assert_failover();
        let ears = scene.world.observer.tap(lab::Frames::All)?;
        let seen = vip.observed(A_WHILE, async || process.thaw()).await?;
        seen.assert_seamless();
        let mac = vip.node().host().mac("eth0")?;
        let by_it = |frame: &lab::Frame| frame.claim().filter(|claim| *claim == (vip.address, mac));
        assert_eq!(ears.find(Instant::now() + A_WHILE, by_it)?, None);
        Ok(())
    })
}

/// The node of the owner on one side, the other nodes on the other.
fn sides<'a>(world: &'a World, owner: &str) -> (Vec<&'a Host>, Vec<&'a Host>) {
    world.lab.nodes()[..SPEAKERS].iter().map(lab::Node::host).partition(|host| host.name() == owner)
}

#[test]
fn x3_partition_of_all_between_nodes_ends_at_the_first_beacon() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, scene.vip().await?);
        let (owner, others) = sides(world, &vip.owner);
        world.segment.part(&owner, &others, Traffic::All)?;
        // The other side has an owner of its own: clients there are served, too.
        scene
            .lab()
            .wait_until("both sides to answer", PATIENCE, async || {
                let owners = world.owners(vip.address)?;
                if owners.len() == 2 { Ok(()) } else { Err(format!("{owners:?}").into()) }
            })
            .await?;
        let census = world.observer.census(&[vip.address])?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let healed = Instant::now();
        world.segment.heal()?;
        tokio::time::sleep(2 * A_WHILE).await;
        let record = census.end()?;
        let contested = record.contested_since(vip.address, healed);
        assert!(contested <= BEACON, "{contested:?}");
        // Those of the larger side stay.
        assert_ne!(world.owners(vip.address)?, [vip.owner]);
        Ok(())
    })
}

#[test]
fn x3_a_network_without_beacons_but_with_arp_has_one_owner() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, scene.vip().await?);
        let (owner, others) = sides(world, &vip.owner);
        world.segment.part(&owner, &others, Traffic::Beacons)?;
        let census = world.observer.census(&[vip.address])?;
        tokio::time::sleep(3 * A_WHILE).await;
        let record = census.end()?;
        // The take-over itself shows each of the two that there is another.
        let contested = record.contested(vip.address);
        assert!(contested <= Duration::from_secs(1), "{contested:?}");
        assert_eq!(world.owners(vip.address)?.len(), 1);
        Ok(())
    })
}

#[test]
fn a_switch_that_drops_unknown_ethertypes_changes_nothing() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, scene.vip().await?);
        let seen = vip
            .observed(2 * A_WHILE, async || world.segment.lose(None, None, Traffic::BeaconFrames, 100))
            .await?;
        seen.assert_seamless();
        assert_eq!(seen.owners, [vip.owner.as_str()], "{seen:?}");
        let seen = vip.observed(A_WHILE, async || vip.speaker().kill().await.map(drop)).await?;
        seen.assert_failover();
        Ok(())
    })
}

#[test]
fn two_that_cannot_hear_each_other_are_told_by_the_third() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, scene.vip().await?);
        let (owner, others) = sides(world, &vip.owner);
        let seen = vip
            .observed(2 * A_WHILE, async || world.segment.part(&owner, &others[..1], Traffic::Beacons))
            .await?;
        assert!(seen.contested <= BEACON, "{seen:?}");
        assert_eq!(world.owners(vip.address)?.len(), 1);
        Ok(())
    })
}

#[test]
fn one_way_loss_ends_in_one_owner() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, scene.vip().await?);
        let (owner, others) = sides(world, &vip.owner);
        for other in &others {
            world.segment.cut(owner[0], other, Traffic::All)?;
        }
        // D + 7 T at most, and then one.
        tokio::time::sleep(3 * A_WHILE).await;
        world.wait_owner(vip.address, PATIENCE, |_| true).await?;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(world.owners(vip.address)?.len(), 1);
        Ok(())
    })
}

#[test]
fn a_tenth_of_all_beacons_lost_moves_nothing() -> Result<()> {
    scene(async |scene| {
        let (world, vip) = (scene.world, scene.vip().await?);
        let seen =
            vip.observed(3 * A_WHILE, async || world.segment.lose(None, None, Traffic::Beacons, 10)).await?;
        seen.assert_seamless();
        assert_eq!(seen.owners, [vip.owner], "{seen:?}");
        Ok(())
    })
}

#[test]
fn x13_many_addresses_of_a_dead_node_are_answered_at_once() -> Result<()> {
    const COUNT: usize = 60;
    scene(async |scene| {
        let (lab, world) = (scene.lab(), scene.world);
        scene.pool().await?;
        let spec = json!({ "ipFamilies": ["IPv6"] });
        let creating =
            (0..COUNT).map(|number| scene.service(&format!("many-{number}")).spec(spec.clone()).create());
        let services = futures::future::try_join_all(creating).await?;
        let waiting = services.iter().map(lab::LoadBalancer::wait_address);
        let addresses = futures::future::try_join_all(waiting).await?;
        let owners = lab
            .wait_until("each to be answered for by one node", PATIENCE, async || {
                let census = world.observer.census(&addresses)?;
                tokio::time::sleep(Duration::from_millis(180)).await;
                let record = census.end()?;
                let owners: Vec<_> = addresses.iter().map(|&address| record.owners(address)).collect();
                let right = owners.iter().filter(|owners| owners.len() == 1).count();
                if right == COUNT { Ok(owners.concat()) } else { Err(format!("{right} are").into()) }
            })
            .await?;
        for node in &lab.nodes()[..SPEAKERS] {
            let load = owners.iter().filter(|&&mac| world.node_of(mac) == node.name()).count();
            // No more than a quarter above the average, and one.
            assert!(load <= COUNT / SPEAKERS * 5 / 4 + 1, "{} has {load}", node.name());
        }
        let census = world.observer.census(&addresses)?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        lab.power_off(&lab.nodes()[0]).await?;
        tokio::time::sleep(2 * FAILOVER).await;
        let record = census.end()?;
        let worst = addresses.iter().map(|&address| record.silence(address)).max().unwrap_or_default();
        assert!(worst < FAILOVER, "{worst:?}");
        assert!(addresses.iter().all(|&address| record.contested(address).is_zero()));
        // Only those of the dead node have moved.
        let moved = addresses.iter().filter(|&&address| record.owners(address).len() > 1).count();
        let had = owners.iter().filter(|&&mac| world.node_of(mac) == lab.nodes()[0].name()).count();
        assert_eq!(moved, had);
        Ok(())
    })
}
