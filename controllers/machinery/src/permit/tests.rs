use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A clock that tests can advance as they do tokio's.
fn clock() -> Clock {
    let begun = Instant::now();
    Clock::new(move || begun.elapsed())
}

fn forever() -> Permit {
    Permit::until(CancellationToken::new())
}

async fn is_granted(permit: &Permit) -> bool {
    tokio::time::timeout(Duration::ZERO, permit.granted()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_term_gives_the_right_until_its_time_is_over() {
    let term = Term::new(clock());
    let permit = forever().during(&term);
    assert!(!permit.holds() && !is_granted(&permit).await);
    term.extend(2 * SECOND);
    assert!(permit.holds() && is_granted(&permit).await);
    tokio::time::advance(SECOND).await;
    term.extend(3 * SECOND);
    tokio::time::advance(Duration::from_nanos(1_999_999_999)).await;
    assert!(permit.holds());
    assert_eq!(term.overdue(), None);
    // Nobody does anything: the clock alone ends it.
    tokio::time::advance(Duration::from_nanos(1)).await;
    assert!(!permit.holds() && !is_granted(&permit).await);
    tokio::time::advance(SECOND).await;
    assert_eq!(term.overdue(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_term_that_was_ended_is_not_prolonged() {
    let term = Term::new(clock());
    term.extend(10 * SECOND);
    term.end();
    term.extend(20 * SECOND);
    assert!(!term.is_running());
    assert_eq!(term.overdue(), None);
}

#[test]
fn a_permit_holds_only_while_nothing_is_against_it() {
    let (ended, one, two) = (CancellationToken::new(), Gate::opened(), Gate::closed());
    let permit = Permit::until(ended.clone());
    let narrowed = permit.narrowed(&one).narrowed(&two);
    assert!(permit.holds() && !narrowed.holds());
    two.open();
    assert!(narrowed.holds());
    one.clone().close();
    assert!(permit.holds() && !narrowed.holds());
    one.open();
    ended.cancel();
    assert!(!permit.holds() && !narrowed.holds());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_permit_hears_of_it() {
    let (term, gate) = (Term::new(clock()), Gate::closed());
    let permit = forever().during(&term).narrowed(&gate);
    let waiting = tokio::spawn(async move { permit.granted().await });
    tokio::task::yield_now().await;
    term.extend(SECOND);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    gate.open();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_grant_is_answered_however_short_it_was_gone() {
    let (term, gate) = (Term::new(clock()), Gate::opened());
    let permit = forever().during(&term).narrowed(&gate);
    let (count, counted) = watch::channel(0);
    tokio::spawn(async move { permit.whenever_granted(|| count.send_modify(|count| *count += 1)).await });
    let settled = async || {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        *counted.borrow()
    };
    assert_eq!(settled().await, 0);
    term.extend(SECOND);
    assert_eq!(settled().await, 1);
    term.extend(2 * SECOND);
    assert_eq!(settled().await, 1, "it held all the time");
    gate.close();
    assert_eq!(settled().await, 1);
    gate.open();
    assert_eq!(settled().await, 2);
    gate.close();
    gate.open();
    assert_eq!(settled().await, 3, "somebody may have asked in between");
}
