//! Nodes that lose their power, freeze, and start again.

use crate::world::{World, seeds, spread};

/// One beacon period and its jitter, D, and a late wake-up.
const OUTAGE: u64 = 420 + 70;
/// How long a frame is on its way at most.
const FRAME: u64 = 2;
/// A beacon period and its jitter.
const PERIOD: u64 = 210;

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

/// Freezes of less and of more than S and D; how long two owners answered.
fn freeze_now_and_then(seed: u64, loss: f64, gaps: &mut Vec<u64>) -> Vec<u64> {
    let mut world = World::settled(seed, 3, 10);
    world.loss = loss;
    for _ in 0..5 {
        let index = world.rng.usize(..3);
        let time = world.rng.u64(50..1550);
        world.nodes[index].overflows = world.rng.bool();
        world.freeze(index, time);
        world.run(time + 2500);
        world.assert_single_owners();
    }
    gaps.append(&mut world.record.gaps);
    world.record.doubles
}

#[test]
fn frozen_nodes_are_silent_before_they_are_replaced() {
    // Without loss, two answer only while a claim is on its way. It may be one of a node that missed what the others said
    // while it was frozen, and buried one that was late to answer.
    //
    // With loss, the last round of a node before its freeze may not have been heard. It is replaced sooner then, answers
    // if it goes on within S, and ends that with the first frame that either hears of the other: of a round at the latest,
    // unless that is lost too.
    for (loss, bound) in [(0.0, FRAME), (0.02, PERIOD + FRAME)] {
        let mut gaps = Vec::new();
        let mut doubles = Vec::new();
        for seed in seeds(20) {
            let mut found = freeze_now_and_then(seed, loss, &mut gaps);
            assert!(found.iter().all(|double| *double <= bound), "seed {seed}, {loss} loss: {found:?}");
            doubles.append(&mut found);
        }
        println!(
            "freeze of 50 to 1550 ms, {loss} loss: outage {}; two owners {}",
            spread(&mut gaps),
            spread(&mut doubles)
        );
    }
}

#[test]
fn nodes_that_wake_up_late_after_a_freeze_are_silent() {
    for (freeze, late) in [(1000, 60), (360, 100)] {
        let mut world = World::settled(7, 3, 10);
        world.rough = false;
        let owner = world.owner(world.addresses[0]);
        world.nodes[owner].overflows = true;
        world.nodes[owner].late_until = world.now + freeze + late;
        world.freeze(owner, freeze);
        world.run(freeze + late - 1);
        let owners = world.owners(world.addresses[0]);
        assert!(owners.len() == 2 && owners.contains(&owner), "it did not look at its clock yet: {owners:?}");
        world.run(3000);
        world.assert_single_owners();
        world.assert_no_doubles();
    }
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
