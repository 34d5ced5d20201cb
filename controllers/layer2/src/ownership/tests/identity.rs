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
    assert_eq!(twins_told(&mut scene), [], "that one gives way");
    twin.round.header.from.link = 0;
    twin.round.header.seq = scene.wall;
    let sent = scene.wake(&twin.says());
    assert!(scene.owned().is_empty());
    assert_eq!(sent.iter().map(|page| page.header.flags.goodbye).collect::<Vec<_>>(), [true]);
    let events = scene.events();
    assert_eq!(lost(&events), [LossCause::Passive]);
    assert!(events.contains(&Event::Raised(Condition::TwinInterface)));
    assert!(scene.pass(1500 * MS).is_empty(), "it says nothing more");
    // The other interface is gone.
    scene.pass(1000 * MS);
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

fn twins_told(scene: &mut Scene) -> Vec<bool> {
    let told = |event: &Event| match event {
        Event::Raised(Condition::TwinInterface) => Some(true),
        Event::Cleared(Condition::TwinInterface) => Some(false),
        _ => None,
    };
    scene.events().iter().filter_map(told).collect()
}

/// What shows in each beacon period that another interface of this node is on the segment.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// Its beacons, of the interface with this index.
    Beacon(u32),
    /// Another node says that it hears this one, every so many periods.
    Listed { every: u16 },
    /// Another node says that it does not.
    Unlisted,
    /// Nothing.
    Nothing,
}

/// What shows after a first beacon of the interface 0: for so many periods this, then that.
type Phases<'a> = &'a [(u16, &'a [Sign])];

#[test]
fn an_interface_gives_way_once_for_as_long_as_a_lower_one_takes_part() {
    use Sign::{Beacon, Listed, Nothing, Unlisted};
    let cases: &[(&str, Phases, &[bool])] = &[
        ("heard itself", &[(60, &[Beacon(0)])], &[true]),
        ("heard by others", &[(60, &[Listed { every: 1 }])], &[true]),
        ("heard by a slow one", &[(60, &[Listed { every: 5 }])], &[true]),
        ("never again", &[(20, &[Nothing])], &[true, false]),
        ("gone, others stay", &[(40, &[Listed { every: 1 }]), (20, &[Unlisted])], &[true, false]),
        ("gone and back", &[(20, &[Unlisted]), (20, &[Beacon(0)])], &[true, false, true]),
        (
            "heard itself and by others",
            &[(20, &[Beacon(0)]), (20, &[Beacon(0), Listed { every: 1 }])],
            &[true],
        ),
        // Whom the others hear is the interface with the higher index, which does not count.
        ("only a higher one stays", &[(20, &[Beacon(9), Listed { every: 1 }])], &[true, false]),
    ];
    for (name, phases, expected) in cases {
        let mut scene = Scene::owning(1);
        let (mut twin, mut other) = (Other::new("own"), Other::new("b"));
        other.round.header.period = 200;
        twin.round.header.from.link = 0;
        twin.round.header.seq = scene.wall;
        scene.wake(&twin.says());
        for (periods, signs) in *phases {
            for period in 0..*periods {
                scene.pass(200 * MS);
                for sign in *signs {
                    let pages = match *sign {
                        Beacon(link) => {
                            let mut twin = twin.round.clone();
                            twin.header.from.link = link;
                            twin.header.seq = scene.wall;
                            pages(&twin, 1452)
                        }
                        Listed { every } if period % every != 0 => Vec::new(),
                        Listed { every } => {
                            other.round.header.period = 200 * every;
                            other.round.heard = vec![short("own")];
                            other.says()
                        }
                        Unlisted => {
                            other.round.heard = Vec::new();
                            other.says()
                        }
                        Nothing => Vec::new(),
                    };
                    scene.wake(&pages);
                }
            }
        }
        assert_eq!(twins_told(&mut scene), *expected, "{name}");
    }
}

#[test]
fn the_last_words_of_the_lower_interface_are_heeded_at_once() {
    let mut scene = Scene::owning(1);
    let mut twin = Other::new("own");
    twin.round.header.from.link = 0;
    twin.round.header.seq = scene.wall;
    scene.wake(&twin.says());
    assert!(scene.owned().is_empty());
    twin.round.header.flags.goodbye = true;
    scene.wake(&twin.says());
    scene.pass(800 * MS);
    assert_eq!(scene.owned(), [address(1)]);
}
