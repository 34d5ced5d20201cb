//! Pages that are lost, repeated, late, or cut elsewhere.

use super::*;
use crate::ownership::peers::Terms;

fn many(count: u32) -> Vec<Claim> {
    (0..count)
        .map(|number| Claim {
            address: Ipv4Addr::from_bits(0x0a00_0000 + number).into(),
            epoch: 1,
            probing: false,
            released: false,
        })
        .collect()
}

fn claims_of(scene: &Scene, name: &str) -> Vec<Claim> {
    let claim = |(address, terms): (&IpAddr, &Terms)| {
        let Terms { epoch, probing, released } = *terms;
        Claim { address: *address, epoch, probing, released }
    };
    let peer = scene.election.peers.get(participant(name));
    peer.map_or(Vec::new(), |peer| peer.claims.iter().map(claim).collect())
}

fn outcome(scene: &mut Scene, page: &Page) -> Outcome {
    scene.election.hear(page, Via::Ethernet).outcome
}

#[test]
fn each_page_counts_once_and_older_rounds_do_not() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b");
    other.round.claims = many(400);
    let first = other.says();
    let second = other.says();
    assert_eq!(first.len(), 3);
    assert_eq!(outcome(&mut scene, &first[2]), Outcome::Accepted);
    assert_eq!(outcome(&mut scene, &first[0]), Outcome::Accepted);
    assert_eq!(outcome(&mut scene, &first[2]), Outcome::Duplicate);
    assert_eq!(outcome(&mut scene, &second[1]), Outcome::Accepted);
    assert_eq!(outcome(&mut scene, &first[1]), Outcome::Old, "a page of an older round");
    assert_eq!(outcome(&mut scene, &second[0]), Outcome::Accepted, "in any order");
}

#[test]
fn the_loss_of_any_page_keeps_what_was_known_of_its_range() {
    for lost in 0..10 {
        let mut scene = Scene::owning(1);
        let mut other = Other::new("b");
        other.round.claims = many(1650);
        let before = other.says();
        assert_eq!(before.len(), 10);
        scene.wake(&before);
        other.round.claims.iter_mut().for_each(|claim| claim.epoch = 2);
        let mut after = other.says();
        let missing = after.remove(lost).ipv4.unwrap().claims;
        scene.wake(&after);
        for claim in claims_of(&scene, "b") {
            let stays = missing.iter().any(|missing| missing.address == claim.address);
            assert_eq!(claim.epoch, if stays { 1 } else { 2 }, "page {lost} of 10 lost");
        }
        scene.wake(&other.says());
        assert_eq!(claims_of(&scene, "b"), other.round.claims);
    }
}

#[test]
fn boundaries_of_pages_may_move() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b");
    other.round.claims = many(500);
    scene.wake(&other.says());
    // Ten more at the beginning move all boundaries; half of the pages are lost each time.
    let mut early: Vec<Claim> = many(500).into_iter().take(10).collect();
    for (number, claim) in (0..).zip(&mut early) {
        claim.address = Ipv4Addr::new(9, 0, 0, number).into();
    }
    other.round.claims.splice(0..0, early);
    let said = other.says();
    scene.wake(&[said[0].clone(), said[2].clone()]);
    let said = other.says();
    scene.wake(&[said[1].clone(), said[3 % said.len()].clone()]);
    assert_eq!(claims_of(&scene, "b"), other.round.claims);
    // Back to the old boundaries: a page that equals one from before is not taken for known.
    other.round.claims.drain(..10);
    scene.wake(&other.says());
    assert_eq!(claims_of(&scene, "b"), other.round.claims);
}

#[test]
fn what_is_not_claimed_any_more_is_free_at_once() {
    let mut scene = Scene::owning(1);
    scene.election.want(address(2), Some(Arc::new(wanted())));
    let mut other = Other::new("b").claiming(2, 5);
    scene.wake(&other.says());
    assert_eq!(scene.owned(), [address(1)]);
    other.round.claims.clear();
    other.round.header.flags.draining = true;
    scene.wake(&other.says());
    assert_eq!(scene.owned(), [address(1), address(2)]);
    assert_eq!(scene.election.owned().last(), Some((address(2), 6)), "above all that was heard");
}

#[test]
fn goodbye_makes_all_free_without_waiting() {
    let mut scene = Scene::owning(1);
    scene.election.want(address(2), Some(Arc::new(wanted())));
    let mut other = Other::new("b").claiming(2, 5);
    scene.wake(&other.says());
    other.round.claims.clear();
    other.round.header.flags.goodbye = true;
    scene.wake(&other.says());
    assert_eq!(scene.owned(), [address(1), address(2)]);
    assert!(scene.events().contains(&Event::PeerLeft(participant("b"))));
}

#[test]
fn a_late_peer_is_asked_by_name_until_it_is_dead() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b");
    scene.wake(&other.says());
    let heard_at = scene.now;
    let mut asked = Vec::new();
    while scene.now.since(heard_at) < 500 * MS {
        scene.jump(MS);
        if scene.wake(&[]).iter().any(|page| page.solicit == [short("b")]) {
            asked.push(scene.now.since(heard_at).as_millis());
        }
    }
    assert_eq!(asked, [240, 280, 320, 360, 400]);
    let died = |event: &Event| matches!(event, Event::PeerDied { silent, .. } if *silent == 420 * MS);
    assert!(scene.events().iter().any(died));
}

#[test]
fn a_peer_that_somebody_else_asks_is_not_asked_twice() {
    let mut scene = Scene::owning(1);
    let (mut silent, mut asking) = (Other::new("b"), Other::new("c"));
    scene.wake(&silent.says());
    scene.jump(235 * MS);
    asking.round.solicit = vec![short("b")];
    scene.wake(&asking.says());
    scene.jump(10 * MS);
    assert!(scene.wake(&[]).iter().all(|page| page.solicit.is_empty()));
    scene.jump(30 * MS);
    assert!(scene.wake(&[]).iter().any(|page| page.solicit == [short("b")]));
}

#[test]
fn after_a_freeze_peers_are_asked_before_they_are_buried() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b");
    scene.wake(&other.says());
    scene.pass(100 * MS);
    scene.wake(&other.says());
    // What they said meanwhile is lost.
    scene.jump(500 * MS);
    let sent = scene.wake(&[]);
    assert!(sent.iter().any(|page| page.solicit == [short("b")]));
    assert!(scene.election.peers().any(|peer| peer == participant("b")));
}

#[test]
fn questions_are_answered_soon_but_not_without_end() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b");
    other.round.solicit = vec![short("own")];
    let mut answers = 0;
    for _ in 0..100 {
        scene.jump(MS);
        answers += scene.wake(&other.says()).len();
    }
    assert!((4..=8).contains(&answers), "{answers} rounds in 100 ms");
}
