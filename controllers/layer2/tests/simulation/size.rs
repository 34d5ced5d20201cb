//! Many addresses and many nodes.

use std::time::Instant;

use fairlead_layer2::ownership::Outcome;

use crate::world::World;

#[test]
fn five_thousand_addresses_on_three_nodes_are_cheap_while_nothing_happens() {
    let mut world = World::new(1, 3, 5000);
    world.rough = false;
    world.run(2500);
    world.assert_single_owners();
    let loads: Vec<usize> = (0..3).map(|index| world.load(index)).collect();
    assert!(loads.iter().all(|load| *load <= 2084), "{loads:?}");
    world.forget();
    let began = Instant::now();
    world.run(5000);
    println!("5000 addresses, 3 nodes, 5 s of quiet: {:?} of computing for all three", began.elapsed());
    assert_eq!(world.record.claims, 0);
    world.crash(0);
    world.run(1000);
    world.assert_single_owners();
}

#[test]
fn a_page_that_says_nothing_new_costs_no_work_on_claims() {
    // The same page is heard again and again, with 170 claims and with none.
    let per_page = |addresses: u32| {
        let mut world = World::new(2, 2, addresses);
        world.rough = false;
        world.set_standing(1, |standing| standing.candidate = false);
        world.run(2500);
        let (now, wall) = world.clock(0);
        let period = world.timing.period;
        world.election(0).begin(now + period, wall + 200_000);
        let sent = world.election(0).finish();
        let mut page = sent[0].pages[0].clone();
        let began = Instant::now();
        for _ in 0..2000 {
            page.header.seq += 1;
            let heard = world.election(1).hear(&page, fairlead_layer2::ownership::Via::Ethernet);
            assert_eq!(heard.outcome, Outcome::Accepted);
        }
        began.elapsed() / 2000
    };
    let (none, many) = (per_page(0), per_page(170));
    println!("a page without a claim {none:?}, with 170 claims {many:?}");
}

#[test]
fn the_257th_participant_is_ignored() {
    let mut world = World::new(3, 2, 1);
    world.rough = false;
    world.run(1500);
    let (now, wall) = world.clock(0);
    let period = world.timing.period;
    world.election(0).begin(now + period, wall + 200_000);
    let mut page = world.election(0).finish()[0].pages[0].clone();
    let mut outcomes = Vec::new();
    for link in 100..400 {
        page.header.from.link = link;
        page.header.from.node = fairlead_layer2::NodeId::of(&link.to_string());
        outcomes.push(world.election(1).hear(&page, fairlead_layer2::ownership::Via::Ethernet).outcome);
    }
    // Two take part already.
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Accepted).count(), 254);
    assert!(outcomes[254..].iter().all(|outcome| *outcome == Outcome::TooMany));
}
