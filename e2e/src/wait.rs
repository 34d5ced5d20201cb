//! Waiting for something to become true, with an account of the last look when it does not.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Why a condition does not hold yet. Every error converts with `?`, every text with `.into()`.
pub type NotYet = Box<dyn std::error::Error + Send + Sync>;

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(15);

/// Calls `condition` until it returns `Ok` and returns that value.
///
/// A condition that fails says why, and the last reason is in the message of [`Error::Timeout`]. One look that
/// hangs is cut off at `timeout` too.
///
/// # Errors
/// [`Error::Timeout`] when `timeout` has passed.
pub async fn wait_until<T>(
    what: impl Display,
    timeout: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, NotYet>,
) -> Result<T> {
    wait_or_stop(what, timeout, async || condition().await.map_err(Stop::NotYet)).await
}

/// Why one look did not end the waiting well.
pub(crate) enum Stop {
    /// Look again.
    NotYet(NotYet),
    /// It will never hold: end at once with this error.
    Never(Error),
}

/// [`wait_until`] for a condition that can also know that it will never hold.
pub(crate) async fn wait_or_stop<T>(
    what: impl Display,
    timeout: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, Stop>,
) -> Result<T> {
    let started = Instant::now();
    let mut last = String::from("the first look did not end");
    let watching = async {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match condition().await {
                Ok(value) => return Ok(value),
                Err(Stop::Never(error)) => return Err(error),
                Err(Stop::NotYet(reason)) => last = reason.to_string(),
            }
        }
    };
    match tokio::time::timeout(timeout, watching).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Timeout { what: what.to_string(), waited: started.elapsed(), last }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_reason_is_told_at_the_timeout() {
        let mut looks = 0;
        let outcome: Result<()> = wait_until("the moon", Duration::from_millis(300), async || {
            looks += 1;
            Err(format!("look {looks}").into())
        })
        .await;
        let message = outcome.expect_err("nothing came").to_string();
        assert!(message.contains("for the moon; last seen: look "), "{message}");
        assert!(looks > 1, "looked {looks} times");
    }

    #[tokio::test]
    async fn a_value_ends_the_waiting() {
        let mut looks = 0;
        let value = wait_until("three looks", Duration::from_secs(5), async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err("not three".into()) }
        })
        .await;
        assert_eq!(value.ok(), Some(3));
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off() {
        let outcome: Result<()> =
            wait_until("an answer", Duration::from_millis(50), async || std::future::pending().await).await;
        assert!(matches!(outcome, Err(Error::Timeout { .. })));
    }
}
