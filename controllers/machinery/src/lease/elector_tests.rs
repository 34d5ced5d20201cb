//! Single steps of the elector. The simulation holds it to one leader; these say how it gets along.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::*;

const WALL: Timestamp = Timestamp::UNIX_EPOCH;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn elector() -> Elector {
    Elector::new("n", "l", "me", Timing::default(), 0.0)
}

/// The Lease as it is stored: who holds it, for how long, and its version.
fn held(holder: &str, duration: i32, version: u64) -> Seen {
    let mut lease = Lease::default();
    lease.metadata.resource_version = Some(version.to_string());
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(holder.to_owned());
    spec.lease_duration_seconds = Some(duration);
    spec.lease_transitions = Some(3);
    Seen(lease)
}

struct Run(Elector);

impl Run {
    fn new() -> Self {
        let mut elector = elector();
        assert_eq!(elector.step(Duration::ZERO, WALL, Input::Ready).request, Some(Request::Read));
        Self(elector)
    }

    fn at(&mut self, at: f64, input: Input) -> Step {
        self.0.step(seconds(at), WALL, input)
    }

    /// One that has led since second 0, at version 10, with a watch.
    fn leader() -> Self {
        let mut run = Self::new();
        let step = run.at(0.0, Input::Read(None));
        assert!(matches!(step.request, Some(Request::Create(_))), "{step:?}");
        let step = run.at(0.1, Input::Written { sent: Duration::ZERO, seen: held("me", 15, 10) });
        assert_eq!(step.role, Role::Leader { valid_until: seconds(10.0) });
        run.at(0.1, Input::Told(Some(held("me", 15, 10))));
        run
    }

    /// One that follows another since second 0, at version 10, with a watch.
    fn follower() -> Self {
        let mut run = Self::new();
        run.at(0.0, Input::Read(Some(held("other", 15, 10))));
        run.at(0.0, Input::Told(Some(held("other", 15, 10))));
        run
    }
}

fn replaced(step: &Step) -> &Lease {
    match &step.request {
        Some(Request::Replace(lease)) => lease,
        _ => panic!("{step:?}"),
    }
}

#[test]
fn a_leader_that_sees_another_holder_ends() {
    for news in [Input::Told(Some(held("other", 15, 11))), Input::Told(Some(held("", 1, 11)))] {
        let mut run = Run::leader();
        let step = run.at(1.0, news);
        assert_eq!((step.role, step.request), (Role::Ended, None));
        // And for good.
        assert_eq!(run.at(20.0, Input::Told(Some(held("", 1, 12)))).request, None);
    }
    let mut run = Run::leader();
    assert!(matches!(run.at(2.0, Input::Tick).request, Some(Request::Replace(_))));
    assert_eq!(run.at(2.1, Input::Conflict).request, Some(Request::Read));
    assert_eq!(run.at(2.2, Input::Read(Some(held("other", 15, 11)))).role, Role::Ended);
}

#[test]
fn a_leader_renews_and_ends_on_time_without_an_answer() {
    let mut run = Run::leader();
    assert_eq!(run.at(1.0, Input::Tick).wake, seconds(2.0));
    let step = run.at(2.0, Input::Tick);
    assert_eq!(
        replaced(&step).spec.as_ref().unwrap().lease_transitions,
        Some(3),
        "a renewal is no transition"
    );
    let step = run.at(2.5, Input::Written { sent: seconds(2.0), seen: held("me", 15, 11) });
    assert_eq!(
        step,
        Step { role: Role::Leader { valid_until: seconds(12.0) }, request: None, wake: seconds(4.0) }
    );
    assert!(run.at(4.0, Input::Tick).request.is_some());
    assert_eq!(run.at(4.0, Input::Tick).request, None, "one request at a time");
    assert_eq!(run.at(5.0, Input::Told(Some(held("me", 15, 11)))).request, None, "a watch does not end it");
    let step = run.at(11.9, Input::Tick);
    assert_eq!((step.role, step.wake), (Role::Leader { valid_until: seconds(12.0) }, seconds(12.0)));
    assert_eq!(run.at(12.0, Input::Tick).role, Role::Ended);
    assert_eq!(
        run.at(12.1, Input::Written { sent: seconds(11.0), seen: held("me", 15, 12) }).role,
        Role::Ended
    );
}

#[test]
fn a_leader_whose_renewals_fail_tries_again_soon_and_is_not_ended_by_old_news() {
    let mut run = Run::leader();
    assert!(run.at(2.0, Input::Tick).request.is_some());
    let step = run.at(2.1, Input::Failed);
    assert_eq!((step.request.is_none(), step.wake), (true, seconds(2.6)));
    // What a late watch tells of the time before.
    let step = run.at(2.2, Input::Told(Some(held("other", 15, 9))));
    assert_eq!(step.role, Role::Leader { valid_until: seconds(10.0) });
    assert_eq!(run.at(2.6, Input::Tick).request, Some(Request::Read));
    let step = run.at(2.7, Input::Read(Some(held("me", 15, 11))));
    assert_eq!(replaced(&step).metadata.resource_version.as_deref(), Some("11"));
}

#[test]
fn a_lease_that_somebody_deletes_is_made_anew_by_its_holder_and_by_nobody_else() {
    let mut run = Run::leader();
    let step = run.at(1.0, Input::Told(None));
    assert_eq!(step.role, Role::Leader { valid_until: seconds(10.0) });
    assert!(matches!(step.request, Some(Request::Create(_))), "{step:?}");

    let mut run = Run::follower();
    run.at(5.0, Input::Told(Some(held("other", 15, 11))));
    let step = run.at(6.0, Input::Told(None));
    assert_eq!((step.request, step.wake), (None, seconds(20.0)), "the holder is still there");
    assert!(matches!(run.at(20.0, Input::Tick).request, Some(Request::Create(_))));

    // Nobody held it.
    let mut run = Run::follower();
    run.at(5.0, Input::Told(Some(held("", 1, 11))));
    run.at(5.1, Input::Conflict);
    assert!(matches!(run.at(5.2, Input::Read(None)).request, Some(Request::Create(_))));
}

#[test]
fn a_follower_takes_the_lease_at_its_exact_expiry_and_at_once_when_it_is_released() {
    let mut run = Run::follower();
    assert_eq!(run.at(5.0, Input::Told(Some(held("other", 15, 11)))).wake, seconds(20.0));
    assert_eq!(run.at(19.999, Input::Tick).request, None);
    let step = run.at(20.0, Input::Tick);
    let spec = replaced(&step).spec.clone().unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("me"), Some(4)));

    let mut run = Run::follower();
    let step = run.at(5.0, Input::Told(Some(held("", 1, 11))));
    assert_eq!(replaced(&step).metadata.resource_version.as_deref(), Some("11"));
}

#[test]
fn without_a_watch_the_lease_is_read_and_with_one_it_is_not() {
    let mut run = Run::follower();
    assert_eq!(run.at(2.0, Input::Tick).request, None);
    assert_eq!(run.at(3.0, Input::Blind).request, Some(Request::Read));
    let step = run.at(3.1, Input::Read(Some(held("other", 15, 11))));
    assert_eq!((step.request, step.wake), (None, seconds(5.1)));
    assert_eq!(run.at(5.1, Input::Tick).request, Some(Request::Read));
    run.at(5.2, Input::Read(Some(held("other", 15, 12))));
    run.at(5.3, Input::Told(Some(held("other", 15, 12))));
    let step = run.at(7.3, Input::Tick);
    assert_eq!((step.request, step.wake), (None, seconds(20.2)));
}

/// A webhook that answers 409, say.
#[test]
fn whatever_refuses_each_time_is_not_asked_in_a_loop() {
    let mut run = Run::follower();
    let (mut at, mut writes) = (20.0, 0);
    let mut step = run.at(at, Input::Tick);
    while at < 60.0 {
        step = match step.request {
            Some(Request::Read) => run.at(at, Input::Read(Some(held("other", 15, 10)))),
            Some(_) => {
                writes += 1;
                run.at(at, Input::Conflict)
            }
            None => {
                at = step.wake.as_secs_f64();
                run.at(at, Input::Tick)
            }
        };
    }
    assert!((2..=25).contains(&writes), "{writes} writes in 40 s");
}

#[test]
fn a_release_frees_the_lease_and_keeps_the_count() {
    let lease = Run::leader().0.release(WALL).unwrap();
    let spec = lease.spec.unwrap();
    assert_eq!(
        (spec.holder_identity.as_deref(), spec.lease_duration_seconds, spec.lease_transitions),
        (Some(""), Some(1), Some(3))
    );
    assert_eq!(lease.metadata.resource_version.as_deref(), Some("10"));
    assert!(Run::follower().0.release(WALL).is_none());
}

#[test]
fn who_is_not_ready_follows_the_lease_and_does_not_take_it() {
    let mut run = Run(elector());
    assert_eq!(run.at(0.0, Input::Tick).request, Some(Request::Read));
    let step = run.at(0.0, Input::Read(Some(held("other", 15, 10))));
    assert_eq!((step.request, step.wake), (None, seconds(2.0)));
    assert_eq!(run.at(2.0, Input::Tick).request, Some(Request::Read));
    run.at(2.1, Input::Read(None));
    run.at(2.1, Input::Told(None));
    assert_eq!(run.at(30.0, Input::Tick).request, None);
    assert!(matches!(run.at(31.0, Input::Ready).request, Some(Request::Create(_))));
}
