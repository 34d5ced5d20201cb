//! Segments that are split, or on which not everybody hears everybody.

use fairlead_layer2::NodeId;
use fairlead_layer2::ownership::{Condition, Event};

use crate::world::{World, seeds, spread};

#[test]
fn after_a_partition_the_owners_of_the_larger_side_stay() {
    for (nodes, first, runs) in [(2, 1, 5), (3, 1, 5), (10, 1, 2), (10, 5, 2), (50, 10, 1)] {
        let mut doubles = Vec::new();
        for seed in seeds(runs) {
            let mut world = World::settled(seed, nodes, 100);
            world.loss = 0.01;
            world.split(first);
            world.run(3000);
            let before: Vec<Vec<usize>> =
                world.addresses.iter().map(|address| world.owners(*address)).collect();
            assert!(before.iter().all(|owners| owners.len() == 2), "each side is served");
            world.forget();
            world.heal();
            world.run(3000);
            world.assert_single_owners();
            let larger = |owner: usize| owner >= first;
            if first * 2 < nodes {
                for (address, before) in world.addresses.iter().zip(before) {
                    let stays = before.into_iter().find(|owner| larger(*owner));
                    assert_eq!(Some(world.owner(*address)), stays, "seed {seed}");
                }
            }
            doubles.append(&mut world.record.doubles);
        }
        println!("heal of {first}|{}: two owners {}", nodes - first, spread(&mut doubles));
        assert!(doubles.iter().all(|double| *double <= 500), "{doubles:?}");
    }
}

#[test]
fn with_one_way_loss_one_owner_is_left() {
    for seed in seeds(10) {
        let mut world = World::settled(seed, 2, 20);
        world.cut(0, 1);
        // D + 7 T, and a late wake-up.
        world.run(420 + 1400 + 70);
        let owners = |world: &World| world.addresses.iter().all(|address| world.owners(*address).len() == 1);
        world.run_until(300, owners);
        world.run(2000);
        world.assert_single_owners();
        world.heal();
        world.run(3000);
        world.assert_single_owners();
    }
}

#[test]
fn a_third_passes_frames_on() {
    for (nodes, runs) in [(3, 5), (10, 2)] {
        let mut doubles = Vec::new();
        for seed in seeds(runs) {
            let mut world = World::settled(seed, nodes, 60);
            world.loss = 0.01;
            world.cut(0, 1);
            world.cut(1, 0);
            world.run(10_000);
            world.heal();
            world.assert_single_owners();
            doubles.append(&mut world.record.doubles);
            world.assert_no_gaps();
        }
        println!("pair that can not hear each other among {nodes}: two owners {}", spread(&mut doubles));
    }
}

#[test]
fn a_pair_learns_of_each_others_death_through_the_third() {
    let mut world = World::settled(3, 3, 30);
    world.cut(0, 1);
    world.cut(1, 0);
    world.run(2000);
    world.crash(0);
    world.run(1500);
    world.assert_single_owners();
}

#[test]
fn beacons_pass_as_udp_where_ethernet_frames_do_not() {
    let mut world = World::settled(1, 3, 20);
    world.ethernet_passes = false;
    world.run(5000);
    world.assert_no_gaps();
    assert_eq!(world.record.claims, 0, "it is noticed at the first question");
    assert_eq!(world.record.deaths, 0);
}

#[test]
fn a_node_that_hears_nothing_takes_nothing_until_it_proves_that_it_hears() {
    let mut world = World::settled(1, 2, 20);
    world.nodes[0].hears_stations = false;
    let load = world.load(0);
    world.crash(1);
    world.run(3000);
    assert_eq!(world.load(0), load);
    let deaf = |event: &(u64, Event)| event.1 == Event::Raised(Condition::Deaf);
    assert!(world.nodes[0].events.iter().any(deaf));
    world.hear_station(0);
    world.run(50);
    assert_eq!(world.load(0), 20);
}

#[test]
fn a_listed_node_that_was_never_heard_keeps_its_addresses() {
    let mut world = World::new(5, 2, 40);
    // The third node is on the segment, but its beacons do not pass.
    let unheard = NodeId::of("filtered");
    for index in 0..2 {
        world.set_standing(index, |standing| {
            standing.listed.insert(unheard, Vec::new());
        });
    }
    world.run(5000);
    let owned: usize = (0..2).map(|index| world.load(index)).sum();
    assert!((20..40).contains(&owned), "its share is left to it: {owned}");
    let blocked = |event: &(u64, Event)| event.1 == Event::Raised(Condition::BeaconsBlocked(unheard));
    assert!(world.nodes[0].events.iter().any(blocked));
    for index in 0..2 {
        world.set_standing(index, |standing| standing.listed.clear());
    }
    world.run(1500);
    world.assert_single_owners();
}

#[test]
fn a_node_that_was_heard_and_fell_silent_is_dead_whatever_the_api_says() {
    let mut world = World::settled(6, 2, 20);
    let other = world.nodes[1].who.node;
    world.set_standing(0, |standing| {
        standing.listed.insert(other, Vec::new());
    });
    world.run(500);
    world.crash(1);
    world.run(500 + 70);
    assert_eq!(world.load(0), 20);
}

#[test]
fn announcements_of_a_node_whose_beacons_do_not_pass_decide() {
    for seed in 0..6 {
        let mut world = World::settled(seed, 2, 1);
        let address = world.addresses[0];
        // All beacons are lost; announcements by ARP are not.
        world.split(1);
        world.run(1500);
        assert_eq!(world.owners(address).len(), 2);
        let macs = [world.nodes[0].mac, world.nodes[1].mac];
        world.announce(0, address, macs[1]);
        world.announce(1, address, macs[0]);
        world.run(20);
        let winner = world.owner(address);
        let announces =
            world.nodes[winner].events.iter().any(|(_, event)| *event == Event::Announce { address });
        assert!(announces, "the better one answers the announcement");
        for _ in 0..10 {
            world.run(1000);
            world.announce(1 - winner, address, macs[winner]);
            world.run(1);
            assert_eq!(world.owner(address), winner, "for as long as it announces");
        }
        world.run(3500);
        assert_eq!(world.owners(address).len(), 2, "nothing is seen of the other any more");
    }
}
