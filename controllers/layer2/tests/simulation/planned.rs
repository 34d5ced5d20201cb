//! Planned moves: nobody goes without an answer.

use std::time::Duration;

use fairlead_layer2::{ClassId, Fitness};

use crate::world::{World, seeds, spread, wanted};

#[test]
fn drained_nodes_hand_over_without_a_gap() {
    for (nodes, loss, runs) in [(2, 0.0, 5), (3, 0.0, 5), (10, 0.01, 2), (3, 0.1, 5), (3, 0.3, 5)] {
        let mut doubles = Vec::new();
        let mut durations = Vec::new();
        for seed in seeds(runs) {
            let mut world = World::settled(seed, nodes, 60);
            world.loss = loss;
            for index in 0..nodes {
                world.drain(index);
                durations.push(world.run_until(6000, |world| world.load(index) == 0));
                world.run_until(1000, |world| world.nodes[index].election.is_none());
                world.run(500);
                world.start(index);
                world.run(2500);
            }
            world.assert_single_owners();
            world.assert_no_gaps();
            doubles.append(&mut world.record.doubles);
        }
        println!(
            "rolling drain of {nodes} nodes, {loss} loss: took {}; two owners {}",
            spread(&mut durations),
            spread(&mut doubles)
        );
        let most = if loss < 0.05 { 75 } else { 500 };
        assert!(doubles.iter().all(|double| *double <= most), "{doubles:?}");
    }
}

#[test]
fn two_nodes_that_drain_at_once_do_not_offer_to_each_other() {
    for seed in seeds(5) {
        let mut world = World::settled(seed, 3, 30);
        world.drain(0);
        world.drain(1);
        world.run(1500);
        world.assert_no_gaps();
        assert_eq!(world.load(2), 30);
    }
}

#[test]
fn the_last_node_keeps_its_addresses_until_the_limit() {
    let mut world = World::settled(1, 1, 3);
    world.drain(0);
    world.run(4900);
    assert_eq!(world.load(0), 3);
    world.run(300);
    assert!(world.nodes[0].election.is_none(), "the limit is over");
}

#[test]
fn a_successor_that_dies_is_replaced() {
    for seed in seeds(10) {
        let mut world = World::settled(seed, 3, 30);
        world.drain(0);
        world.run(1);
        world.crash(1);
        world.run(2500);
        world.assert_single_owners();
        let own = world.record.gaps.iter().filter(|gap| **gap > 490).count();
        assert_eq!(own, 0, "{:?}", world.record.gaps);
        assert_eq!(world.load(2), 30);
    }
}

#[test]
fn an_address_goes_where_it_may_be() {
    for seed in seeds(5) {
        let mut world = World::settled(seed, 3, 30);
        let address = world.addresses[0];
        let owner = world.owner(address);
        let mut unfit = (*wanted()).clone();
        unfit.own = Fitness::Unfit;
        world.want(owner, address, Some(unfit));
        world.set_standing(owner, |standing| {
            standing.classes.insert(ClassId(1), Fitness::Unfit);
        });
        world.run(1000);
        assert_ne!(world.owner(address), owner);
        world.assert_no_gaps();
        assert_eq!(world.record.claims, 1, "the others stay");
    }
}

#[test]
fn weight_zero_and_no_candidate_give_all_away() {
    let mut world = World::settled(3, 3, 30);
    world.set_standing(0, |standing| standing.weight = 0);
    world.run(1000);
    assert_eq!(world.load(0), 0);
    world.set_standing(1, |standing| standing.candidate = false);
    world.run(1000);
    assert_eq!(world.load(1), 0);
    assert_eq!(world.load(2), 30);
    world.assert_no_gaps();
}

#[test]
fn a_joining_node_is_given_a_share_slowly_and_only_of_the_surplus() {
    for (nodes, addresses) in [(2, 100), (3, 100), (10, 100)] {
        let mut world = World::settled(7, nodes, addresses);
        let joined = world.join();
        world.run(28_000);
        assert_eq!(world.record.claims, 0, "nothing moves in the first 30 s");
        world.run(60_000);
        world.assert_single_owners();
        world.assert_no_gaps();
        let loads: Vec<usize> = (0..=nodes).map(|index| world.load(index)).collect();
        let count = u32::try_from(nodes).unwrap() + 1;
        let most = usize::try_from(addresses * 5 / (4 * count) + 1).unwrap();
        println!(
            "join of {nodes}+1 nodes, {addresses} addresses: moved {}, loads {loads:?}",
            world.record.claims
        );
        assert!(loads.iter().all(|load| *load <= most), "{loads:?} over {most}");
        assert!(world.record.claims <= usize::try_from(addresses / count).unwrap() + 1);
        assert!(nodes > 3 || world.record.claims == world.load(joined), "the others are above their average");
    }
}

#[test]
fn a_preferred_node_gets_its_addresses_when_it_is_settled() {
    let mut world = World::settled(5, 3, 20);
    let preferred = |preference| Fitness::Fit { soft: false, preference };
    for index in 0..3 {
        let preference = if index == 2 { 50 } else { 0 };
        for address in world.addresses.clone() {
            let mut better = (*wanted()).clone();
            better.own = preferred(preference);
            world.want(index, address, Some(better));
        }
        world.set_standing(index, |standing| {
            standing.classes.insert(ClassId(1), preferred(preference));
        });
    }
    world.run(60_000);
    assert_eq!(world.load(2), 20);
    world.assert_no_gaps();
    world.crash(2);
    world.run(2000);
    world.assert_single_owners();
}

#[test]
fn a_flapping_node_waits_longer_each_time() {
    let mut world = World::settled(11, 2, 100);
    let flapping = world.join();
    for _ in 0..2 {
        world.run(2000);
        world.crash(flapping);
        world.run(2000);
        world.start(flapping);
    }
    world.forget();
    world.run(110_000);
    assert_eq!(world.record.claims, 0, "30 s twice doubled");
    world.run(60_000);
    assert!(world.load(flapping) > 0);
    world.assert_no_gaps();
}

#[test]
fn a_deleted_address_is_released() {
    let mut world = World::settled(2, 3, 3);
    let address = world.addresses[0];
    let owner = world.owner(address);
    world.want(owner, address, None);
    // The views of the others lag by four seconds.
    world.run(4000);
    assert!(world.owners(address).is_empty());
    for index in (0..3).filter(|index| *index != owner) {
        world.want(index, address, None);
    }
    world.run(3000);
    assert!(world.owners(address).is_empty());
    // Made again, it is taken at once.
    let mut anew = (*wanted()).clone();
    anew.uid = "another".into();
    for index in 0..3 {
        world.want(index, address, Some(anew.clone()));
    }
    world.run(50);
    world.owner(address);
}

#[test]
fn an_address_made_again_while_it_is_released_is_taken_at_once() {
    let mut world = World::settled(2, 3, 3);
    let address = world.addresses[0];
    let mut anew = (*wanted()).clone();
    anew.uid = "another".into();
    for index in 0..3 {
        world.want(index, address, None);
    }
    world.run(300);
    for index in 0..3 {
        world.want(index, address, Some(anew.clone()));
    }
    let took = world.run_until(1000, |world| world.owners(address).len() == 1);
    assert!(took < 50, "{took}");
}

#[test]
fn a_drain_limit_of_zero_leaves_at_once() {
    let mut world = World::settled(4, 2, 10);
    world.election(0).drain(Duration::ZERO);
    world.run_until(100, |world| world.nodes[0].election.is_none());
    world.run(30);
    assert_eq!(world.load(1), 10, "the last words make it known");
}
