//! Clocks that jump, and nodes that stand still.

use super::*;

#[test]
fn it_listens_before_it_claims() {
    let mut scene = Scene::new();
    scene.election.want(address(1), Some(Arc::new(wanted())));
    scene.election.set_carrier(true);
    let sent = scene.pass(590 * MS);
    assert!(sent.iter().all(|page| page.header.flags.listening));
    assert_eq!(sent.iter().filter(|page| page.header.flags.solicit_all).count(), 3);
    assert!(scene.owned().is_empty());
    scene.pass(200 * MS);
    assert_eq!(scene.owned(), [address(1)]);
    assert!(scene.answers(1));
}

#[test]
fn a_jump_beyond_s_fences_and_one_below_does_not() {
    for (jump, fenced) in [(369, false), (370, false), (371, true)] {
        let mut scene = Scene::owning(1);
        // A round leaves just now, so that the jump is all of its age.
        scene.election.set_standing(Standing { weight: 101, ..Standing::default() });
        scene.wake(&[]);
        scene.jump(jump * MS);
        assert_eq!(scene.answers(1), !fenced, "{jump} ms, before any wake-up");
        scene.events();
        scene.wake(&[]);
        assert_eq!(scene.owned().is_empty(), fenced, "{jump} ms");
        assert_eq!(lost(&scene.events()).contains(&LossCause::Fenced), fenced);
    }
}

#[test]
fn a_freeze_between_the_clock_and_the_answer_counts() {
    let mut scene = Scene::owning(1);
    scene.pass(200 * MS);
    scene.election.begin(scene.now, scene.wall);
    scene.jump(400 * MS);
    let sent = scene.election.finish();
    assert!(sent.is_empty() || scene.election.outbox.whole);
    scene.election.sent(true);
    assert!(!scene.answers(1), "the round counts from the beginning of the wake-up");
}

#[test]
fn rounds_that_the_kernel_does_not_take_fence() {
    let mut scene = Scene::owning(1);
    for _ in 0..40 {
        scene.jump(10 * MS);
        scene.election.begin(scene.now, scene.wall);
        let _ = scene.election.finish();
        scene.election.sent(false);
    }
    assert!(scene.owned().is_empty());
    scene.pass(1000 * MS);
    assert_eq!(scene.owned(), [address(1)], "it begins anew");
}

#[test]
fn the_number_of_rounds_grows_when_the_wall_clock_goes_back() {
    let mut scene = Scene::owning(1);
    let before = scene.election.outbox.seq;
    scene.wall -= 3_600_000_000;
    let sent = scene.pass(500 * MS);
    assert!(sent.iter().all(|page| page.header.seq > before));
    assert_eq!(scene.owned(), [address(1)]);
    scene.wall += 7_200_000_000;
    scene.pass(500 * MS);
    assert_eq!(scene.owned(), [address(1)]);
}

#[test]
fn a_restart_with_an_earlier_clock_learns_its_number_before_it_claims() {
    // The other side remembers rounds an hour ahead.
    let mut scene = Scene::new();
    scene.election.set_carrier(true);
    let first = scene.wake(&[]);
    let mut other = Other::new("b");
    other.round.stale = vec![Stale { node: NodeId::of("own"), seq: WALL + 3_600_000_000 }];
    let sent = scene.wake(&other.says());
    assert!(first[0].header.seq <= WALL + 1);
    assert_eq!(sent[0].header.seq, WALL + 3_600_000_002);
    assert!(sent[0].header.flags.listening);
}

#[test]
fn a_sender_that_listens_with_an_earlier_clock_is_told_at_once() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b");
    other.round.header.seq = WALL + 10_000_000;
    scene.wake(&other.says());
    let last = other.round.header.seq;
    other.round.header.seq = WALL;
    other.round.header.flags.listening = true;
    let sent = scene.wake(&other.says());
    assert_eq!(sent[0].stale, [Stale { node: NodeId::of("b"), seq: last }]);
}

#[test]
fn a_sender_that_does_not_listen_is_told_after_a_second() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b");
    other.round.header.seq = WALL + 10_000_000;
    scene.wake(&other.says());
    other.round.header.seq = WALL;
    assert!(scene.wake(&other.says()).iter().all(|page| page.stale.is_empty()));
    scene.pass(1010 * MS);
    assert!(scene.wake(&other.says()).iter().any(|page| !page.stale.is_empty()));
    assert!(scene.wake(&other.says()).iter().all(|page| page.stale.is_empty()), "once a second");
}

#[test]
fn unknown_senders_whose_clocks_are_off_are_ignored() {
    for (off, outcome) in [
        (0, Outcome::Accepted),
        (599, Outcome::Accepted),
        (-599, Outcome::Accepted),
        (602, Outcome::ClockSkew),
        (-602, Outcome::ClockSkew),
    ] {
        let mut scene = Scene::owning(1);
        let mut other = Other::new("b");
        other.round.header.seq = scene.wall.saturating_add_signed(off * 1_000_000);
        scene.election.begin(scene.now, scene.wall);
        let heard = scene.election.hear(&other.says()[0], Via::Ethernet);
        assert_eq!(heard.outcome, outcome, "{off} s");
        let skewed = Event::Raised(Condition::ClockSkew(participant("b")));
        assert_eq!(scene.events().contains(&skewed), outcome == Outcome::ClockSkew);
    }
}
