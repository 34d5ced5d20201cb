//! Without the API server, and after everything was restarted.

use std::time::Duration;

use lab::Result;

use crate::world::{PATIENCE, scene};

const A_WHILE: Duration = Duration::from_millis(700);

/// How long the API server is away; `FAIRLEAD_OUTAGE=600` makes it the ten minutes of `make drill-speaker`.
fn outage() -> Duration {
    let seconds = std::env::var("FAIRLEAD_OUTAGE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

#[test]
fn x4_without_the_api_server_addresses_answer_and_fail_over() -> Result<()> {
    scene(async |scene| {
        let (lab, vip) = (scene.lab(), scene.vip().await?);
        let seen = vip
            .observed(A_WHILE, async || {
                lab.api_server().kill().await?;
                tokio::time::sleep(outage() / 2).await;
                vip.speaker().kill().await?;
                tokio::time::sleep(outage() / 2).await;
                Ok(())
            })
            .await?;
        seen.assert_failover();
        assert_eq!(seen.owners.len(), 2, "{seen:?}");
        println!("without the API server for {:?}: {seen:?}", outage());
        Ok(())
    })
}

#[test]
fn x4_an_api_server_that_hangs_is_as_good_as_none() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let seen = vip
            .observed(A_WHILE, async || {
                scene.lab().api_server().freeze()?;
                tokio::time::sleep(A_WHILE).await;
                vip.speaker().stop().await.map(drop)
            })
            .await?;
        seen.assert_seamless();
        Ok(())
    })
}

#[test]
fn a_node_that_is_cut_off_from_the_api_goes_on_answering() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let seen = vip.observed(2 * A_WHILE, async || scene.world.segment.cut_api(vip.node().host())).await?;
        seen.assert_seamless();
        assert_eq!(seen.owners, [vip.owner], "{seen:?}");
        Ok(())
    })
}

#[test]
fn x18_a_restart_of_everything_loses_and_changes_no_address() -> Result<()> {
    scene(async |scene| {
        let (lab, world, vip) = (scene.lab(), scene.world, scene.vip().await?);
        let epoch = |object: &serde_json::Value| object["status"]["epoch"].as_u64().unwrap_or_default();
        let before = vip.object().wait_until("have an epoch", |object| epoch(object) > 0).await?;
        world.manager.kill().await?;
        for speaker in &world.speakers {
            speaker.kill().await?;
        }
        lab.api_server().kill().await?;
        // Speakers begin while there is no API server, and the manager's caches are half full when they go on.
        for speaker in &world.speakers {
            speaker.process().restart()?;
        }
        world.manager.process().restart()?;
        tokio::time::sleep(A_WHILE).await;
        lab.api_server().restart()?;
        world.manager.wait_ready().await?;
        world.wait_owner(vip.address, PATIENCE, |_| true).await?;
        vip.wait_answer().await?;
        assert_eq!(vip.service.addresses().await?, [vip.address]);
        vip.object().wait_until("have a higher epoch", |object| epoch(object) > epoch(&before)).await?;
        Ok(())
    })
}
