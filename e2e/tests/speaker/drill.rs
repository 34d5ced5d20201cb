//! What takes too long for every run: `make drill-speaker`. The ten minutes without the API server are those of `api_outage`.

use std::time::{Duration, Instant};

use lab::{Lab, ProxyMode, Result};
use serde_json::json;

use crate::conflicts::{client_back, conflict};
use crate::world::{NAMESPACE, scene};

/// How many speakers a large cluster has.
const SPEAKERS: usize = 200;
/// How long traffic is counted.
const COUNTED: Duration = Duration::from_mins(1);

fn rounds() -> usize {
    std::env::var("FAIRLEAD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// The largest and the middle one.
fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

#[test]
#[ignore = "takes minutes: make drill-speaker"]
fn strangers_that_come_and_go_are_told_within_a_second_and_clients_come_back_within_two() -> Result<()> {
    scene(async |scene| {
        let (lab, vip) = (scene.lab(), scene.vip().await?);
        let stranger = lab.stranger("visitor").await?;
        let (mut told, mut back) = (Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let appeared = Instant::now();
            stranger.take(vip.address)?;
            vip.object().wait_until("name it", |it| conflict(it, "True", stranger.mac())).await?;
            told.push(appeared.elapsed());
            tokio::time::sleep(Duration::from_secs(3)).await;
            back.push(client_back(&vip, &stranger, lab.client()).await?);
            // Who comes and goes within ten seconds is not announced against each time.
            tokio::time::sleep(Duration::from_secs(11).saturating_sub(appeared.elapsed())).await;
        }
        let ((told, told_max), (back, back_max)) = (quantiles(told), quantiles(back));
        println!("{} strangers: told after {told:.2?}, at most {told_max:.2?}", rounds());
        println!("clients back {back:.2?} after one left, at most {back_max:.2?} (MetalLB: 29 to 35 s)");
        assert!(told_max < Duration::from_secs(1) && back_max < Duration::from_secs(2));
        Ok(())
    })
}

#[tokio::test]
#[ignore = "runs 200 speakers: make drill-speaker"]
async fn two_hundred_speakers_and_what_they_have_the_api_server_send() -> Result<()> {
    let lab = Lab::builder().nodes(1).proxy(ProxyMode::None).start().await?;
    lab.manager().start().await?;
    // All on one host: its interface counts what the API server sends to them.
    let fleet = lab.observer("fleet").await?;
    for number in 0..SPEAKERS {
        let node = format!("paper-{number}");
        lab.paper_node(&node, None).await?;
        lab.paper_speaker(&node, fleet.host()).spawn().await?;
    }
    lab.pool("pool", json!({ "addresses": ["203.0.113.0/24"] })).await?;
    let mut pods = Vec::new();
    for number in 0..20 {
        let name = format!("web-{number}");
        let service = lab.load_balancer(NAMESPACE, &name).spec(json!({ "externalTrafficPolicy": "Local" }));
        service.create().await?.wait_address().await?;
        let pod = lab.pod(NAMESPACE, &name).label("app", &name).on(&format!("paper-{number}"));
        pods.push(pod.paper().start().await?);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let counted = async |what: &str, changes: u32| -> Result<()> {
        let (received, sent) = fleet.host().traffic("eth0")?;
        let began = Instant::now();
        for number in 0..changes {
            let pod = &pods[usize::try_from(number).unwrap_or_default() % pods.len()];
            pod.set_ready(number / 20 % 2 == 1).await?;
            tokio::time::sleep((COUNTED / changes * (number + 1)).saturating_sub(began.elapsed())).await;
        }
        tokio::time::sleep(COUNTED.saturating_sub(began.elapsed())).await;
        let (received_after, sent_after) = fleet.host().traffic("eth0")?;
        let per_second = |bytes: u64| bytes / began.elapsed().as_secs().max(1);
        println!(
            "{SPEAKERS} speakers, {what}: {} bytes/s from the API server, {} bytes/s to it",
            per_second(received_after - received),
            per_second(sent_after - sent)
        );
        Ok(())
    };
    counted("nothing changes", 0).await?;
    counted("5 Pods a second change their readiness", 300).await?;
    lab.check()
}
