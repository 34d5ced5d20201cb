//! The simulation notices when a rule of the protocol is left out.

use fairlead_layer2::ownership::Rules;

use fairlead_layer2::Fitness;

use crate::world::{World, wanted};

fn with(rules: Rules, seed: u64, nodes: usize, addresses: u32) -> World {
    let mut world = World::settled(seed, nodes, addresses);
    world.set_rules(rules);
    world
}

/// For how long two nodes have answered for addresses after the two sides of a segment found together.
fn doubled_after_heal(rules: Rules, seed: u64) -> u64 {
    let mut world = with(rules, seed, 3, 40);
    world.split(1);
    world.run(2000);
    world.forget();
    world.heal();
    world.run(3000);
    world.assert_single_owners();
    world.record.doubles.iter().sum()
}

#[test]
fn claims_that_are_not_refuted_stay_twice_as_long() {
    let total = |rules: Rules| (0..8).map(|seed| doubled_after_heal(rules, seed)).sum::<u64>();
    let (with, without) = (total(Rules::default()), total(Rules { refute: false, ..Rules::default() }));
    println!("two owners after heals: {with} ms, without refuting {without} ms");
    assert!(without > with * 5 / 4, "{with} ms and {without} ms");
}

#[test]
fn without_the_mark_of_the_minority_its_owners_take_over() {
    let stayed = |rules: Rules| {
        let mut world = with(rules, 2, 5, 60);
        world.split(1);
        world.run(2000);
        let before: Vec<Vec<usize>> = world.addresses.iter().map(|address| world.owners(*address)).collect();
        world.heal();
        world.run(3000);
        let stays = |(address, before): (_, Vec<usize>)| {
            before.contains(&world.owner(address)) && world.owner(address) != 0
        };
        world
            .addresses
            .iter()
            .copied()
            .zip(before)
            .filter(|(address, before)| stays((*address, before.clone())))
            .count()
    };
    assert_eq!(stayed(Rules::default()), 60);
    let without = stayed(Rules { minority: false, ..Rules::default() });
    assert!(without < 55, "{without}");
}

#[test]
fn without_questions_loss_kills() {
    let deaths = |rules: Rules| {
        let mut world = with(rules, 3, 3, 5);
        world.rough = false;
        world.loss = 0.2;
        world.run(60_000);
        world.record.deaths
    };
    let without = deaths(Rules { questions: false, ..Rules::default() });
    assert!(without > 10 * deaths(Rules::default()).max(1), "{without}");
}

#[test]
fn a_node_without_a_fence_answers_after_a_freeze() {
    let doubled = |rules: Rules| {
        let mut world = with(rules, 4, 3, 20);
        let owner = world.owner(world.addresses[0]);
        world.nodes[owner].overflows = true;
        world.freeze(owner, 1000);
        world.run(3000);
        !world.record.doubles.is_empty()
    };
    assert!(!doubled(Rules::default()));
    assert!(doubled(Rules { fence: false, ..Rules::default() }));
}

#[test]
fn a_node_that_does_not_listen_takes_what_others_have() {
    let doubled = |rules: Rules| {
        let mut world = with(rules, 5, 3, 20);
        world.crash(0);
        world.run(1500);
        world.start(0);
        world.run(1500);
        !world.record.doubles.is_empty()
    };
    assert!(!doubled(Rules::default()));
    assert!(doubled(Rules { listen: false, ..Rules::default() }));
}

#[test]
fn nodes_that_never_take_their_turn_leave_an_address_alone() {
    let gap = |rules: Rules, seed: u64| {
        let mut world = with(rules, seed, 3, 1);
        let address = world.addresses[0];
        let owner = world.owner(address);
        // One of the others may not have it, which the third does not know yet.
        let unfit = (owner + 1) % 3;
        let mut never = (*wanted()).clone();
        never.own = Fitness::Unfit;
        world.want(unfit, address, Some(never));
        world.crash(owner);
        world.run(3000);
        world.owners(address).is_empty()
    };
    let gaps = |rules: Rules| (0..8).filter(|seed| gap(rules, *seed)).count();
    assert_eq!(gaps(Rules::default()), 0);
    assert!(gaps(Rules { stagger: false, ..Rules::default() }) > 0);
}
