//! What neighbours ask and hear: every form of neighbour solicitation, and clients with every setting.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use lab::{Advertisement, Content, Frames, Mac, Result, Solicitation, Tap};
use serde_json::json;

use crate::world::{FAILOVER, PATIENCE, SPEAKERS, Scene, Vip, scene};

const ANSWER: Duration = Duration::from_millis(150);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A VIP of IPv6.
async fn vip(scene: &Scene) -> Result<(Vip, Ipv6Addr)> {
    scene.pool().await?;
    scene.pod("web", "web-0", SPEAKERS).await?;
    let service = scene.service("web").spec(json!({ "ipFamilies": ["IPv6"] })).create().await?;
    let vip = scene.vip_of(service, |_| true).await?;
    let IpAddr::V6(address) = vip.address else { return Err(lab::Error::Invalid("not IPv6".into())) };
    Ok((vip, address))
}

/// The advertisement of `target` that follows this frame.
fn answer(tap: &Tap, frame: &[u8], target: Ipv6Addr) -> Result<Option<(Mac, Mac, Advertisement)>> {
    tap.clear()?;
    tap.send(frame)?;
    tap.find(Instant::now() + ANSWER, |frame| match frame.content {
        Content::Advertisement(it) if it.target == target => Some((frame.source, frame.destination, it)),
        _ => None,
    })
}

#[test]
fn x10_every_form_of_neighbour_solicitation_is_answered_as_the_rfcs_say() -> Result<()> {
    scene(async |scene| {
        let (vip, target) = vip(scene).await?;
        // After the last of the announcements that come with a claim.
        tokio::time::sleep(Duration::from_millis(4600)).await;
        let host = scene.world.observer.host();
        let tap = scene.world.observer.tap(Frames::Ipv6)?;
        let (asker, mac, owner) = (host.ipv6(), tap.mac(), vip.node().host().mac("eth0")?);
        let right = |answer: Option<(Mac, Mac, Advertisement)>, what: &str| {
            let (source, to, it) = answer.unwrap_or_else(|| panic!("{what}: no answer"));
            assert_eq!((source, it.target_mac), (owner, Some(owner)), "{what}");
            assert!(
                it.checksum_right && it.hop_limit == 255 && it.overriding && !it.router,
                "{what}: {it:?}"
            );
            (to, it)
        };

        let multicast = Solicitation::multicast(mac, asker, target);
        let (to, it) = right(answer(&tap, &multicast.to_group_frame(mac), target)?, "multicast");
        assert_eq!((to, it.destination, it.solicited), (mac, asker, true));

        let unicast = Solicitation::unicast(mac, asker, target);
        let (to, it) = right(answer(&tap, &unicast.to_frame(mac, owner), target)?, "unicast");
        assert_eq!((to, it.destination, it.solicited), (mac, asker, true));
        let without = Solicitation { source_mac: None, ..unicast };
        let (to, _) = right(answer(&tap, &without.to_frame(mac, owner), target)?, "unicast without option");
        assert_eq!(to, mac);

        let duplicates = Solicitation::duplicate_detection(target);
        let (to, it) = right(answer(&tap, &duplicates.to_group_frame(mac), target)?, "duplicate detection");
        assert_eq!((to, it.destination, it.solicited), (Mac::of_group(ALL_NODES), ALL_NODES, false));

        let wrong = [
            ("hop limit", Solicitation { hop_limit: 64, ..multicast }.to_group_frame(mac)),
            ("checksum", Solicitation { checksum_right: false, ..multicast }.to_group_frame(mac)),
            (
                "source option of nobody",
                Solicitation { source_mac: Some(mac), ..duplicates }.to_group_frame(mac),
            ),
            ("nobody asks one", Solicitation { destination: target, ..duplicates }.to_frame(mac, owner)),
        ];
        for (what, frame) in wrong {
            assert_eq!(answer(&tap, &frame, target)?, None, "{what}");
        }
        Ok(())
    })
}

#[test]
fn x10_a_snooping_switch_brings_the_questions() -> Result<()> {
    scene(async |scene| {
        let switch = scene.lab().switch();
        switch.ip(&["link set br0 type bridge mcast_snooping 1 mcast_querier 1"])?;
        let outcome = async {
            let (vip, _) = vip(scene).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(scene.world.owners(vip.address)?, [vip.owner]);
            Ok(())
        }
        .await;
        switch.ip(&["link set br0 type bridge mcast_snooping 0 mcast_querier 0"])?;
        outcome
    })
}

/// Sets a sysctl of the client's `eth0`.
fn set(scene: &Scene, family: &str, name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{family}/eth0/{name}");
    let written = scene.lab().client().run(|| std::fs::write(&path, value))?;
    written.map_err(|error| lab::Error::Invalid(format!("writing {value} to {path}: {error}")))
}

#[test]
fn x11_clients_follow_a_move_whatever_they_accept_and_believe() -> Result<()> {
    scene(async |scene| {
        let (lab, world) = (scene.lab(), scene.world);
        scene.pool().await?;
        scene.pod("web", "web-0", SPEAKERS).await?;
        let service = scene.service("web").dual_stack().create().await?;
        let addresses = service.wait_addresses(2).await?;
        for &address in &addresses {
            world.wait_owner(address, PATIENCE, |_| true).await?;
        }
        // arp_accept of the client, and what its entry is like when the address moves.
        for (accept, state) in [("0", "reachable"), ("1", "stale"), ("0", "none")] {
            set(scene, "ipv4/conf", "arp_accept", accept)?;
            for &address in &addresses {
                lab.wait_until("an answer", PATIENCE, async || Ok(lab.client().get(address, 80).await?))
                    .await?;
                let owner = world.wait_owner(address, PATIENCE, |_| true).await?;
                let mac = lab.node(&owner)?.host().mac("eth0")?;
                let entry = format!("neighbour replace {address} dev eth0 lladdr {mac} nud {state}");
                lab.client().ip(&[if state == "none" {
                    "neighbour flush dev eth0".to_owned()
                } else {
                    entry
                }])?;
                world.speaker(&owner).kill().await?;
                let began = Instant::now();
                world.wait_owner(address, PATIENCE, |node| node != owner).await?;
                lab.client().get(address, 80).await?;
                assert!(
                    began.elapsed() < 2 * FAILOVER,
                    "arp_accept {accept}, {state}: {:?}",
                    began.elapsed()
                );
                world.speaker(&owner).restart().await?;
                // It listens before it claims again.
                tokio::time::sleep(Duration::from_millis(800)).await;
            }
        }
        set(scene, "ipv4/conf", "arp_accept", "0")
    })
}
