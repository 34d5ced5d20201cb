//! Everything at once.

use crate::world::{World, seeds};

#[test]
fn after_any_faults_every_address_has_one_owner() {
    for seed in seeds(4) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let nodes = [3, 5, 10, 30][rng.usize(..4)];
        let mut world = World::settled(seed, nodes, 50);
        world.loss = [0.0, 0.01, 0.1, 0.3][rng.usize(..4)];
        for _ in 0..40 {
            let index = rng.usize(..nodes);
            let other = rng.usize(..nodes);
            let runs = world.nodes[index].election.is_some();
            match rng.u8(..8) {
                0 if runs => world.crash(index),
                1 if !runs => world.start(index),
                2 if runs => {
                    world.nodes[index].overflows = rng.bool();
                    world.freeze(index, rng.u64(20..1500));
                }
                3 if runs => world.drain(index),
                4 if other != index => world.cut(index, other),
                5 => world.heal(),
                6 if index > 0 => world.split(index),
                _ => {}
            }
            world.run(rng.u64(..700));
        }
        world.heal();
        world.run(1500);
        for index in 0..nodes {
            if world.nodes[index].election.as_mut().is_none_or(|election| election.is_drained()) {
                world.start(index);
            }
        }
        world.run(6000);
        // Nodes that were told to drain may leave only now.
        for index in 0..nodes {
            if world.nodes[index].election.is_none() {
                world.start(index);
            }
        }
        world.loss = world.loss.min(0.1);
        world.run(6000);
        for address in &world.addresses {
            let owners = world.owners(*address);
            assert_eq!(
                owners.len(),
                1,
                "seed {seed}: {address} has {owners:?} of {nodes}, loss {}",
                world.loss
            );
        }
    }
}

#[test]
fn a_node_that_dies_every_fifteen_seconds_moves_nothing_after_the_first_time() {
    for nodes in [3, 10] {
        let mut world = World::settled(9, nodes, 60);
        let load = world.load(0);
        for _ in 0..6 {
            world.crash(0);
            world.run(7500);
            world.start(0);
            world.run(7500);
        }
        world.assert_single_owners();
        println!("a node of {nodes} that dies every 15 s, 6 times: {} moves", world.record.claims);
        assert_eq!(world.record.claims, load);
    }
}

#[test]
fn loss_of_a_tenth_of_the_frames_kills_nobody() {
    for (loss, most) in [(0.01, 0), (0.1, 0), (0.2, 2)] {
        let mut world = World::settled(4, 3, 5);
        world.rough = false;
        world.loss = loss;
        world.run(120_000);
        println!(
            "{loss} loss, 120 s of 3 nodes: {} false deaths, {} rounds",
            world.record.deaths, world.record.rounds
        );
        assert!(world.record.deaths <= most);
    }
}
