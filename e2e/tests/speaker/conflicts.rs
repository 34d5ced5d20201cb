//! Others who answer for addresses of a pool.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lab::{Mac, Result, Stranger};
use serde_json::{Value, json};

use crate::world::{FAILOVER, PATIENCE, Vip, claims_heard, ears, object_name, scene};

const A_WHILE: Duration = Duration::from_secs(1);

/// Whether the condition Conflict says this status and names this Ethernet address.
pub(crate) fn conflict(object: &Value, status: &str, mac: Mac) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|it| {
        let message = it["message"].as_str().unwrap_or_default().to_lowercase();
        it["type"] == "Conflict"
            && it["status"] == status
            && (status == "False" || message.contains(&mac.to_string()))
    })
}

async fn metric_names(vip: &Vip, mac: Mac) -> Result<bool> {
    let text = vip.speaker().admin("/metrics").await?.body;
    let mut lines = text.lines().filter(|line| line.starts_with("fairlead_speaker_conflicts_total"));
    Ok(lines.any(|line| line.contains(&mac.to_string())))
}

#[test]
fn x5_an_address_that_a_stranger_has_is_not_published_and_the_next_one_is() -> Result<()> {
    scene(async |scene| {
        let lab = scene.lab();
        for (family, first, second) in
            [("IPv4", scene.ipv4(), scene.second_ipv4()), ("IPv6", scene.ipv6(1), scene.ipv6(2))]
        {
            let name = family.to_lowercase();
            let stranger = lab.stranger(&format!("printer-{name}")).await?;
            stranger.take(first)?;
            let pool = lab.pool(&name, json!({ "addresses": [format!("{first}-{first}")] })).await?;
            let service = scene.service(&name).annotation("fairlead.dev/pool", &name);
            let service = service.spec(json!({ "ipFamilies": [family] })).create().await?;
            let object = lab.object(lab::Kind::Address, None, &object_name(first));
            object.wait_until("name the stranger", |it| conflict(it, "True", stranger.mac())).await?;
            tokio::time::sleep(A_WHILE).await;
            assert!(service.addresses().await?.is_empty(), "it was published");
            let owners = scene.world.owners(first)?;
            assert_eq!(owners, [stranger.mac().to_string()], "somebody of ours answers, too");
            // The next one of the pool is taken as soon as there is one.
            pool.patch(json!({ "spec": { "addresses": [format!("{first}-{second}")] } })).await?;
            service.wait_for_address(&second.to_string()).await?;
            scene.world.wait_owner(second, PATIENCE, |_| true).await?;
        }
        Ok(())
    })
}

#[test]
fn x6_a_stranger_that_appears_later_is_named_defended_against_once_and_forgotten() -> Result<()> {
    scene(async |scene| {
        let (lab, world, vip) = (scene.lab(), scene.world, scene.vip().await?);
        let stranger = lab.stranger("laptop").await?;
        // The announcements that come with a claim are over then.
        tokio::time::sleep(Duration::from_millis(4600)).await;
        let ears = ears(world)?;
        let appeared = Instant::now();
        stranger.take(vip.address)?;
        vip.object().wait_until("name the stranger", |it| conflict(it, "True", stranger.mac())).await?;
        // Written at once, told on a machine that is busy.
        assert!(appeared.elapsed() < FAILOVER, "{:?}", appeared.elapsed());
        assert!(metric_names(&vip, stranger.mac()).await?);
        // It goes on announcing itself, and is not fought.
        for _ in 0..4 {
            stranger.announce(vip.address)?;
            tokio::time::sleep(A_WHILE / 2).await;
        }
        let own = vip.node().host().mac("eth0")?;
        let defences = claims_heard(&ears, vip.address, Duration::from_millis(100))?;
        let defences = defences.iter().filter(|(_, frame)| frame.claim() == Some((vip.address, own))).count();
        // One announcement is a request and a reply.
        assert!((1..=2).contains(&defences), "{defences}");
        assert_eq!(vip.service.addresses().await?, [vip.address], "a published address is not withdrawn");

        // When it leaves, clients are back soon.
        let back = client_back(&vip, &stranger, lab.client()).await?;
        assert!(back < Duration::from_secs(2), "{back:?}");
        vip.object().wait_until("say that it is over", |it| conflict(it, "False", stranger.mac())).await?;
        Ok(())
    })
}

/// A stranger that the client believes leaves: how long until a request of the client is answered again.
pub(crate) async fn client_back(vip: &Vip, stranger: &Stranger, client: &lab::Host) -> Result<Duration> {
    // Too soon for another defence.
    stranger.announce(vip.address)?;
    let requests = client.requests(vip.to())?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let left = Instant::now();
    stranger.leave(vip.address);
    vip.object().wait_until("say that it is over", |it| conflict(it, "False", stranger.mac())).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let tally = requests.end().await?;
    let answered = tally.requests.iter().filter(|request| request.sent >= left && request.took.is_some());
    let first = answered.map(|request| request.sent - left).min();
    Ok(first.unwrap_or(Duration::MAX))
}

#[test]
fn an_address_that_is_a_nodes_own_or_the_gateways_is_never_announced() -> Result<()> {
    scene(async |scene| {
        let lab = scene.lab();
        // node-4 has no speaker; the gateway of all nodes is .1.
        let own = lab.nodes()[1].host().ipv4();
        for (name, address) in [("own", IpAddr::from(own)), ("gateway", IpAddr::from([198, 51, 100, 1]))] {
            let pool = json!({ "addresses": [format!("{address}-{address}")] });
            lab.pool(name, pool).await?;
            let service = scene.service(name).annotation("fairlead.dev/pool", name).create().await?;
            tokio::time::sleep(A_WHILE * 2).await;
            let holder =
                if name == "own" { "node-2".to_owned() } else { lab.switch().mac("br0")?.to_string() };
            assert_eq!(scene.world.owners(address)?, [holder], "{address}");
            let said = service.condition().await?.map(|it| format!("{} {}", it.reason, it.message));
            println!("{name}: {said:?}");
        }
        Ok(())
    })
}

#[test]
fn x19_ipvs_without_strict_arp_is_named_so_with_an_ifb_named_kube_ipvs0_as_a_stand_in() -> Result<()> {
    scene(async |scene| {
        let (lab, vip) = (scene.lab(), scene.vip().await?);
        let other = lab.nodes().iter().find(|node| node.name() != vip.owner).expect("another node").host();
        other.ip(&[
            "link add kube-ipvs0 type ifb".to_owned(),
            "link set kube-ipvs0 up".to_owned(),
            format!("address add {}/32 dev kube-ipvs0", vip.address),
        ])?;
        let outcome = async {
            // Its kernel answers now for the address, too, and asks with it as its own when something there sends from it.
            let (mac, client) = (other.mac("eth0")?, lab.client().ipv4());
            let object = lab
                .wait_until("the conflict to be told", PATIENCE, async || {
                    other.ip(&[format!("neighbour flush to {client}")])?;
                    let sent = other.run(|| {
                        std::net::UdpSocket::bind((vip.address, 0))?.send_to(b"?", (client, 9)).map(drop)
                    })?;
                    sent?;
                    let object = vip.object().get().await?;
                    if conflict(&object, "True", mac) {
                        Ok(object)
                    } else {
                        Err(object["status"].to_string().into())
                    }
                })
                .await?;
            let said = object["status"]["conditions"].to_string();
            assert!(said.contains(other.name()) && said.to_lowercase().contains("strictarp"), "{said}");
            Ok(())
        }
        .await;
        other.ip(&["link delete kube-ipvs0"])?;
        outcome
    })
}

#[test]
fn a_stranger_that_sends_nonsense_and_a_flood_of_claims_changes_no_owner() -> Result<()> {
    scene(async |scene| {
        let vip = scene.vip().await?;
        let stranger = Stranger::on(scene.world.observer.host())?;
        let beacon = |payload: &[u8]| {
            let mut frame = vec![0xff; 6];
            frame.extend(stranger.mac().0);
            frame.extend(lab::ETHER_BEACON.to_be_bytes());
            frame.extend(payload);
            frame
        };
        let ends = Instant::now() + A_WHILE;
        let mut dice = fastrand::Rng::with_seed(7);
        while Instant::now() < ends {
            for _ in 0..100 {
                let mut payload = vec![0; dice.usize(0..1400)];
                dice.fill(&mut payload);
                let frame = if dice.bool() {
                    beacon(&payload)
                } else {
                    beacon(&[b"FLDB\x01\x00", &payload[..]].concat())
                };
                stranger.send(&frame)?;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(scene.world.owners(vip.address)?, [vip.owner.as_str()]);
        assert!(vip.speaker().process().is_running());
        Ok(())
    })
}
