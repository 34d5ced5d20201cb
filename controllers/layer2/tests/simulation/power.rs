//! Nodes that lose their power, freeze, and start again.

use crate::world::{World, seeds, spread};

/// One beacon period and its jitter, D, and a late wake-up.
const OUTAGE: u64 = 420 + 70;

fn power_off(nodes: usize, addresses: u32, loss: f64, runs: u64) -> Vec<u64> {
    let mut outages = Vec::new();
    let mut doubles = Vec::new();
    for seed in seeds(runs) {
        let mut world = World::settled(seed, nodes, addresses);
        world.loss = loss;
        let phase = world.rng.u64(..400);
        world.run(1000 + phase);
        world.forget();
        let owner = world.owner(world.addresses[0]);
        world.crash(owner);
        world.run(3000);
        world.assert_single_owners();
        outages.append(&mut world.record.gaps);
        doubles.append(&mut world.record.doubles);
    }
    println!(
        "power-off, {nodes} nodes, {addresses} addresses, {loss} loss: outage {}; two owners {}",
        spread(&mut outages.clone()),
        spread(&mut doubles)
    );
    outages
}

#[test]
fn a_dead_owner_is_replaced_within_half_a_second() {
    for (nodes, addresses, runs) in [(3, 1, 20), (3, 100, 4), (10, 100, 3), (50, 100, 1)] {
        let outages = power_off(nodes, addresses, 0.0, runs);
        assert!(!outages.is_empty());
        assert!(outages.iter().all(|outage| *outage <= OUTAGE), "{outages:?}");
    }
}

#[test]
fn loss_makes_it_little_slower() {
    for loss in [0.01, 0.1] {
        let outages = power_off(3, 20, loss, 10);
        assert!(outages.iter().all(|outage| *outage <= OUTAGE + 200), "{outages:?}");
    }
    power_off(3, 20, 0.3, 10);
}

#[test]
fn frozen_nodes_are_silent_before_they_are_replaced() {
    let mut gaps = Vec::new();
    for seed in seeds(20) {
        let mut world = World::settled(seed, 3, 10);
        world.loss = 0.02;
        for _ in 0..5 {
            let index = world.rng.usize(..3);
            let time = world.rng.u64(50..1550);
            world.nodes[index].overflows = world.rng.bool();
            world.freeze(index, time);
            world.run(time + 2500);
            world.assert_single_owners();
        }
        let doubles = &world.record.doubles;
        assert!(doubles.iter().all(|double| *double <= 5), "seed {seed}: {doubles:?}");
        gaps.append(&mut world.record.gaps);
    }
    println!("freeze of 50 to 1550 ms: outage {}", spread(&mut gaps));
}

#[test]
fn restarted_nodes_take_nothing() {
    for seed in seeds(10) {
        let mut world = World::settled(seed, 3, 20);
        let owner = world.owner(world.addresses[0]);
        world.crash(owner);
        world.run(1500);
        world.forget();
        world.start(owner);
        world.run(5000);
        world.assert_no_gaps();
        world.assert_no_doubles();
        assert_eq!(world.record.claims, 0);
        assert_eq!(world.load(owner), 0);
    }
}

#[test]
fn a_node_that_restarts_within_its_beacon_period_loses_its_addresses_without_a_double() {
    for seed in seeds(20) {
        let mut world = World::settled(seed, 3, 10);
        let owner = world.owner(world.addresses[0]);
        world.crash(owner);
        let off = world.rng.u64(20..120);
        world.run(off);
        world.start(owner);
        world.run(3000);
        world.assert_single_owners();
        world.assert_no_doubles();
    }
}
