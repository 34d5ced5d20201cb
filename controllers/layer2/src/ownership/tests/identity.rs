//! Others under our name, and other interfaces of ours.

use super::*;

#[test]
fn own_frames_that_come_back_are_ignored() {
    let mut scene = Scene::owning(1);
    let sent = scene.pass(300 * MS);
    scene.election.begin(scene.now, scene.wall);
    assert_eq!(scene.election.hear(&sent[0], Via::Ethernet).outcome, Outcome::Own);
    assert_eq!(scene.owned(), [address(1)]);
}

#[test]
fn another_process_under_our_name_fences_once_a_minute() {
    let mut scene = Scene::owning(1);
    let mut rival = Other::new("own");
    rival.round.header.seq = scene.wall + 5_000_000;
    scene.wake(&rival.says());
    assert!(scene.owned().is_empty());
    assert!(scene.events().contains(&Event::Raised(Condition::IdClash)));
    scene.pass(1000 * MS);
    scene.wake(&rival.says());
    assert_eq!(scene.owned(), [address(1)], "not again within a minute");
}

#[test]
fn of_two_interfaces_on_a_segment_the_lowest_index_takes_part() {
    let mut scene = Scene::owning(1);
    let mut twin = Other::new("own");
    twin.round.header.from.link = 9;
    scene.wake(&twin.says());
    assert_eq!(scene.owned(), [address(1)]);
    assert!(scene.events().contains(&Event::Raised(Condition::TwinInterface { link: 9 })));
    twin.round.header.from.link = 0;
    twin.round.header.seq = scene.wall;
    let sent = scene.wake(&twin.says());
    assert!(scene.owned().is_empty());
    assert!(sent.is_empty(), "it says nothing more");
    assert_eq!(lost(&scene.events()), [LossCause::Passive]);
    // The other interface is gone.
    scene.pass(3500 * MS);
    assert_eq!(scene.owned(), [address(1)]);
}

#[test]
fn without_a_carrier_nothing_is_owned_or_sent() {
    let mut scene = Scene::owning(1);
    scene.election.set_carrier(false);
    assert!(scene.pass(1000 * MS).is_empty());
    assert!(!scene.answers(1));
    scene.election.set_carrier(true);
    scene.pass(500 * MS);
    assert!(scene.owned().is_empty());
    scene.pass(500 * MS);
    assert_eq!(scene.owned(), [address(1)]);
}

#[test]
fn a_new_mac_is_said_and_announced() {
    let mut scene = Scene::owning(2);
    scene.events();
    let mac = MacAddress([2, 0, 0, 0, 0, 99]);
    scene.election.set_mac(mac);
    assert_eq!(scene.wake(&[])[0].header.mac, mac);
    let announced = [1, 2].map(|number| Event::Announce { address: address(number) });
    assert_eq!(scene.events(), announced);
}
