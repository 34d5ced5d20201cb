//! What the API says about nodes that are not heard.

use super::*;

fn listing(node: &str) -> Standing {
    Standing {
        listed: [(NodeId::of(node), vec![MacAddress([2, 0, 0, 0, 9, 9])])].into(),
        ..Standing::default()
    }
}

#[test]
fn what_an_unheard_node_has_by_the_api_is_left_to_it() {
    let mut scene = Scene::new();
    scene.election.set_standing(listing("unheard"));
    let theirs = Wanted { announced_by: Some(NodeId::of("unheard")), epoch: 3, ..wanted() };
    let ours = Wanted { announced_by: Some(NodeId::of("own")), epoch: 3, ..wanted() };
    scene.election.want(address(1), Some(Arc::new(theirs)));
    scene.election.want(address(2), Some(Arc::new(ours)));
    scene.election.set_carrier(true);
    scene.pass(1500 * MS);
    assert_eq!(scene.owned(), [address(2)], "what was ours is ours");
    scene.pass(2000 * MS);
    let blocked = Event::Raised(Condition::BeaconsBlocked(NodeId::of("unheard")));
    assert!(scene.events().contains(&blocked));
    scene.election.set_standing(Standing::default());
    scene.pass(300 * MS);
    assert_eq!(scene.owned(), [address(1), address(2)]);
}

#[test]
fn of_two_that_hear_nothing_of_each_other_the_worse_by_the_api_yields() {
    for (epoch, yields) in [(0, false), (9, true)] {
        let mut scene = Scene::owning(1);
        scene.election.set_standing(listing("unheard"));
        scene.pass(3000 * MS);
        let theirs = Wanted { announced_by: Some(NodeId::of("unheard")), epoch, ..wanted() };
        scene.election.want(address(1), Some(Arc::new(theirs)));
        scene.wake(&[]);
        assert_eq!(scene.owned().is_empty(), yields, "epoch {epoch}");
    }
}

#[test]
fn the_fleet_is_known_by_its_macs() {
    let mut scene = Scene::owning(1);
    scene.election.set_standing(listing("unheard"));
    let mut other = Other::new("b").claiming(2, 1);
    scene.wake(&other.says());
    let mac = other.round.header.mac;
    assert_eq!(scene.election.fleet(mac), Some(FleetMember { node: NodeId::of("b"), live: true }));
    assert!(scene.election.is_claimed_by(address(2), mac));
    assert!(!scene.election.is_claimed_by(address(1), mac));
    let listed = scene.election.fleet(MacAddress([2, 0, 0, 0, 9, 9]));
    assert_eq!(listed, Some(FleetMember { node: NodeId::of("unheard"), live: false }));
    assert_eq!(scene.election.fleet(MacAddress([2; 6])), None);
}

#[test]
fn peers_are_forgotten_after_ten_minutes() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b");
    scene.wake(&other.says());
    scene.pass(Duration::from_secs(599));
    assert!(scene.election.fleet(other.round.header.mac).is_some());
    scene.pass(Duration::from_secs(2));
    assert!(scene.election.fleet(other.round.header.mac).is_none());
}

#[test]
fn more_addresses_than_there_is_room_for_are_left_out_from_the_end() {
    let mut scene = Scene::new();
    let number = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
    let wanted = Arc::new(wanted());
    let most = u32::try_from(MAX_ADDRESSES).unwrap();
    for at in 1..=most {
        scene.election.want(number(at), Some(Arc::clone(&wanted)));
    }
    scene.election.want(number(0), Some(Arc::clone(&wanted)));
    assert!(scene.events().contains(&Event::Raised(Condition::TooManyAddresses)));
    assert!(scene.election.table.wanted(number(0)).is_some());
    assert!(scene.election.table.wanted(number(most)).is_none());
    scene.election.want(number(7), None);
    assert!(scene.election.table.wanted(number(most)).is_some());
    assert!(scene.events().contains(&Event::Cleared(Condition::TooManyAddresses)));
}

#[test]
fn silent_nodes_that_the_cluster_has_no_more_are_not_missed() {
    let deleted = |names: &[&str]| Standing {
        deleted: names.iter().map(|name| NodeId::of(name)).collect(),
        ..Standing::default()
    };
    for (about, before, after, missed) in [
        ("they are in the cluster", &[][..], &[][..], true),
        ("deleted when they are dead", &[], &["b", "c", "d"], false),
        ("deleted before they die", &["b", "c", "d"], &["b", "c", "d"], false),
        ("only one is deleted", &[], &["b"], true),
    ] {
        let mut scene = Scene::owning(1);
        let mut others = ["b", "c", "d"].map(Other::new);
        scene.election.set_standing(deleted(before));
        for other in &mut others {
            scene.wake(&other.says());
        }
        assert_eq!(scene.election.peers().count(), 3, "{about}: who is heard counts");
        scene.pass(1000 * MS);
        scene.election.set_standing(deleted(after));
        // Half of those that are known, or fewer, is not enough to be sure.
        let sent = scene.pass(3000 * MS);
        assert_eq!(sent.last().unwrap().header.flags.minority, missed, "{about}");
        let mac = others[0].round.header.mac;
        assert_eq!(scene.election.fleet(mac).is_some(), after.is_empty(), "{about}");
        // Nothing of theirs can be played back.
        let mut early = Other::new("b");
        early.round.header.seq -= 1;
        let late = early.says();
        scene.election.begin(scene.now, scene.wall);
        assert_ne!(scene.election.hear(&late[0], Via::Ethernet).outcome, Outcome::Accepted, "{about}");
    }
}
