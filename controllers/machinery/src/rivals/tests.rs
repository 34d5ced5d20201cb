use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn deed() -> Deed {
    Deed::Changed("slice".into())
}

/// One object, whose rivals change it whenever the test says so, and a clock.
struct World {
    rivals: Rivals<&'static str>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { rivals: Rivals::default(), now: Instant::now() }
    }

    /// Others change the object, and it is put back when it is looked at. Returns how long that took.
    fn fight(&mut self) -> (Duration, Option<Revert>) {
        let wait = self.rivals.changed(&"web", deed(), self.now);
        self.now += wait;
        assert_eq!(self.rivals.hold(&"web", self.now), Duration::ZERO, "a look is not held back again");
        (wait, self.plan(true, true))
    }

    /// A plan is made, and written at once.
    fn plan(&mut self, repair: bool, puts_back: bool) -> Option<Revert> {
        let revert = self.rivals.planned(&"web", repair, |_| puts_back, self.now)?;
        let told = self.rivals.reverted(&"web", &revert, self.now);
        assert_eq!(told, revert.tell);
        Some(revert)
    }

    fn slowed(&mut self) -> usize {
        self.rivals.sweep(self.now)
    }
}

#[test]
fn five_reverts_are_fast_and_then_one_follows_every_five_minutes() {
    let mut world = World::new();
    for round in 0..LIMIT {
        let (wait, revert) = world.fight();
        assert_eq!(wait, if round == 0 { Duration::ZERO } else { FAST_GAP }, "round {round}");
        assert_eq!(
            revert,
            Some(Revert { deed: deed(), repair: true, tell: round == LIMIT - 1 }),
            "round {round}"
        );
    }
    assert_eq!(world.slowed(), 1);
    // Twelve in an hour, and people hear of it twice.
    let mut told = 0;
    for _ in 0..12 {
        let (wait, revert) = world.fight();
        assert_eq!(wait, SLOW_GAP);
        told += usize::from(revert.unwrap().tell);
    }
    assert_eq!(told, 2);
}

#[test]
fn what_is_found_otherwise_waits_as_long_and_no_longer() {
    let mut world = World::new();
    assert_eq!(world.rivals.hold(&"web", world.now), Duration::ZERO);
    for _ in 0..LIMIT {
        world.fight();
    }
    assert_eq!(world.rivals.hold(&"web", world.now), SLOW_GAP);
    assert_eq!(world.rivals.hold(&"web", world.now + 2 * MINUTE), 3 * MINUTE);
    assert_eq!(world.rivals.hold(&"web", world.now + SLOW_GAP), Duration::ZERO);
    assert_eq!(world.rivals.hold(&"other", world.now), Duration::ZERO);
    // More changes do not put off the look.
    world.now += 2 * MINUTE;
    assert_eq!(world.rivals.changed(&"web", deed(), world.now), 3 * MINUTE);
    world.now += 2 * MINUTE;
    assert_eq!(world.rivals.changed(&"web", deed(), world.now), MINUTE);
}

#[test]
fn reverting_is_fast_again_when_nothing_had_to_be_reverted_for_ten_minutes() {
    let later = WINDOW + FAST_GAP;
    for (pause, swept, slow) in [(WINDOW, true, true), (later, true, false), (later, false, false)] {
        let mut world = World::new();
        for _ in 0..LIMIT {
            world.fight();
        }
        world.now += pause;
        if swept {
            assert_eq!(world.slowed(), usize::from(slow), "{pause:?}");
        }
        // The gap is over either way.
        assert_eq!(world.fight().0, Duration::ZERO);
        assert_eq!(world.fight().0, if slow { SLOW_GAP } else { FAST_GAP }, "{pause:?}");
    }
}

#[test]
fn reverts_far_apart_never_slow_down() {
    let mut world = World::new();
    for _ in 0..20 {
        assert!(world.fight().1.is_some_and(|revert| !revert.tell));
        world.now += 3 * MINUTE;
    }
    assert_eq!(world.slowed(), 0);
}

#[test]
fn what_is_no_revert_does_not_count() {
    let mut world = World::new();
    for repair in [true, false] {
        for _ in 0..2 * LIMIT {
            world.rivals.changed(&"web", deed(), world.now);
            assert_eq!(world.plan(repair, false), None);
            // A plan that nobody gave a reason for, because the first one saw what was changed.
            assert_eq!(world.plan(true, true), None);
        }
    }
    assert_eq!(world.rivals.planned(&"other", true, |_| true, world.now), None);
    assert_eq!(world.slowed(), 0);
}

#[test]
fn who_alters_what_is_stored_slows_reverting_at_once() {
    let mut world = World::new();
    let name = Istr::from("slice");
    assert_eq!(world.rivals.altered(&"web", &name, world.now), (SLOW_GAP, true));
    assert_eq!(world.rivals.altered(&"web", &name, world.now), (SLOW_GAP, false));
    assert_eq!(world.rivals.hold(&"web", world.now), SLOW_GAP);
    world.now += SLOW_GAP;
    let revert = world.plan(true, true).unwrap();
    assert_eq!(revert, Revert { deed: Deed::Altered(name), repair: true, tell: false });
    // This time it was stored as it was sent.
    world.now += WINDOW + FAST_GAP;
    assert_eq!(world.slowed(), 0);
    assert_eq!(world.rivals.hold(&"web", world.now), Duration::ZERO);
}

#[test]
fn a_try_again_at_once_follows_a_revert_that_was_not_written() {
    let mut world = World::new();
    for _ in 0..LIMIT {
        world.fight();
    }
    world.now += world.rivals.changed(&"web", deed(), world.now);
    for _ in 0..3 {
        let revert = world.rivals.planned(&"web", true, |_| true, world.now).unwrap();
        world.rivals.not_reverted(&"web", revert);
        assert_eq!(world.rivals.hold(&"web", world.now), Duration::ZERO);
    }
    assert!(world.plan(true, true).is_some(), "it counts once it is written");
    assert_eq!(world.rivals.hold(&"web", world.now), SLOW_GAP);
}

#[test]
fn a_telling_that_was_not_written_is_made_up_for() {
    let mut world = World::new();
    for _ in 1..LIMIT {
        world.fight();
    }
    world.now += world.rivals.changed(&"web", deed(), world.now);
    let revert = world.rivals.planned(&"web", true, |_| true, world.now).unwrap();
    assert!(revert.tell);
    world.rivals.not_reverted(&"web", revert);
    assert_eq!(world.slowed(), 0);
    assert!(world.plan(true, true).unwrap().tell);
    assert_eq!(world.slowed(), 1);
}

#[test]
fn what_is_put_back_beside_other_work_counts_and_is_told() {
    let mut world = World::new();
    for round in 0..LIMIT {
        world.rivals.changed(&"web", deed(), world.now);
        let revert = world.plan(false, true).unwrap();
        assert_eq!(revert, Revert { deed: deed(), repair: false, tell: round == LIMIT - 1 }, "round {round}");
        world.now += FAST_GAP;
    }
    assert_eq!(world.slowed(), 1);
    // None was made for that alone, so the first one need not wait.
    assert_eq!(world.rivals.hold(&"web", world.now), Duration::ZERO);
}

#[test]
fn who_is_put_right_beside_other_work_is_not_forgiven_and_waits_no_longer() {
    let mut world = World::new();
    for _ in 0..LIMIT {
        world.fight();
    }
    let gap = 4 * MINUTE;
    for _ in 0..20 {
        // The gap is measured from the last revert that was made for no other reason.
        let repaired = world.now;
        assert_eq!(world.rivals.changed(&"web", deed(), world.now), SLOW_GAP);
        world.now += gap;
        assert!(world.plan(false, true).is_some());
        assert_eq!(world.slowed(), 1);
        assert_eq!(world.rivals.hold(&"web", world.now), repaired + SLOW_GAP - world.now);
        world.now = repaired + SLOW_GAP;
        assert!(world.fight().0 <= FAST_GAP);
    }
    // Also if there was no such revert for long.
    for _ in 0..20 {
        world.now += gap;
        world.rivals.changed(&"web", deed(), world.now);
        world.plan(false, true);
    }
    assert_eq!(world.slowed(), 1);
}

#[test]
fn altered_writes_do_not_put_off_the_next_try() {
    let mut world = World::new();
    let name = Istr::from("slice");
    world.rivals.altered(&"web", &name, world.now);
    for minutes in [4, 3, 2, 1, 0] {
        world.now += MINUTE;
        let wait = world.rivals.altered(&"web", &name, world.now).0;
        assert_eq!(wait, if minutes == 0 { SLOW_GAP } else { minutes * MINUTE });
    }
}

#[test]
fn nothing_is_kept_of_objects_that_are_left_in_peace() {
    let mut world = World::new();
    world.fight();
    world.rivals.changed(&"looked-at", deed(), world.now);
    world.rivals.planned(&"looked-at", true, |_| false, world.now);
    world.rivals.changed(&"gone", deed(), world.now);
    world.rivals.forget(&"gone");
    world.now += FAST_GAP;
    world.slowed();
    assert_eq!(world.rivals.keys.keys().collect::<Vec<_>>(), [&"web"]);
    world.now += WINDOW;
    world.slowed();
    assert!(world.rivals.keys.is_empty());
}

proptest! {
    /// Whatever rivals do and whenever, reverts are few and each change is looked at within the slow gap.
    #[test]
    fn reverts_are_few_and_none_is_late(
        steps in prop::collection::vec((0_u64..900, any::<bool>()), 1..300),
    ) {
        let mut world = World::new();
        let mut reverts: Vec<Instant> = Vec::new();
        let mut due: Option<Instant> = None;
        for (pause, change) in steps {
            let next = world.now + Duration::from_secs(if change { pause % 7 } else { pause });
            if let Some(at) = due.filter(|at| *at <= next) {
                prop_assert_eq!(world.rivals.hold(&"web", at), Duration::ZERO);
                if let Some(revert) = world.rivals.planned(&"web", true, |_| true, at) {
                    world.rivals.reverted(&"web", &revert, at);
                    reverts.push(at);
                }
                due = None;
            }
            world.now = next;
            let wait = world.rivals.changed(&"web", deed(), next);
            prop_assert!(wait <= SLOW_GAP);
            due = Some(due.map_or(next + wait, |at| at.min(next + wait)));
        }
        for (at, first) in reverts.iter().enumerate() {
            let within = reverts[at..].iter().take_while(|other| **other - *first < WINDOW).count();
            prop_assert!(within <= LIMIT + 2, "{within} reverts within {WINDOW:?}");
        }
    }
}
