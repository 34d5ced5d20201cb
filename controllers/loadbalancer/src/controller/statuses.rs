//! The statuses of pools and reservations, which are written at a pace.

use std::collections::HashMap;
use std::time::Duration;

use fairlead_machinery::worker::Outcome;
use fairlead_machinery::write::{Patch, WriteError};
use fairlead_objects::{Istr, ObjectKey, Record};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::apply::Stop;
use super::key::Key;
use super::{Controller, Look};
use crate::body;
use crate::records::{Pool, Reservation};

/// Between two writes of one status.
const GAP: Duration = Duration::from_secs(1);
/// What changes together is written together.
const COLLECT: Duration = Duration::from_millis(50);

/// When statuses were written last.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<Key, Instant>>);

impl Pace {
    /// How long to wait before the status of `key` is looked at.
    pub(super) fn pause(&self, key: &Key, now: Instant) -> Duration {
        let last = self.0.lock().get(key).copied();
        let due = last.map_or(now, |last| last + GAP);
        due.saturating_duration_since(now).max(COLLECT)
    }

    fn wrote(&self, key: &Key, now: Instant) {
        let mut written = self.0.lock();
        // Those of long ago hold back nothing.
        written.retain(|_, last| *last + GAP > now);
        written.insert(key.clone(), now);
    }
}

impl Controller {
    pub(super) async fn sync_pool(&self, key: &Key, name: &Istr) -> Outcome<Look> {
        let Some((pool, status)) = self.update(|ledger| ledger.plan_pool(name, self.now())) else {
            return Outcome::Done;
        };
        self.metrics.pool(name, &status);
        if !self.writer.may_write() {
            return Outcome::Park(Look);
        }
        let patch = body::pool_status(&pool, &status);
        self.pace.wrote(key, Instant::now());
        match self.writer.patch_status(&Pool::RESOURCE, "", name, Patch::Merge, &patch).await {
            Ok(answer) => {
                self.update(|ledger| {
                    if let Some(pool) = self.pools.answered(answer) {
                        ledger.put_pool(&pool);
                    }
                });
                Outcome::Done
            }
            Err(error) => self.status_failed(&ObjectKey::new("", name.clone()), error),
        }
    }

    pub(super) async fn sync_reservation(&self, key: &Key, reservation: &ObjectKey) -> Outcome<Look> {
        let outcome = self.plan_and_write_reservation(key, reservation).await;
        self.update(|ledger| ledger.settle_reservation(reservation));
        outcome
    }

    async fn plan_and_write_reservation(&self, key: &Key, reservation: &ObjectKey) -> Outcome<Look> {
        let plan = self.update(|ledger| ledger.plan_reservation(reservation, self.now()));
        let Some(plan) = plan else { return Outcome::Done };
        if !self.writer.may_write() {
            return Outcome::Park(Look);
        }
        let patch = body::reservation_status(&plan.reservation, &plan.status);
        self.pace.wrote(key, Instant::now());
        let ObjectKey { namespace, name } = reservation;
        let resource = &Reservation::RESOURCE;
        match self.writer.patch_status(resource, namespace, name, Patch::Merge, &patch).await {
            Ok(answer) => {
                self.update(|ledger| {
                    if let Some(reservation) = self.reservations.answered(answer) {
                        ledger.put_reservation(&reservation);
                    }
                });
                Outcome::Done
            }
            Err(error) => self.status_failed(reservation, error),
        }
    }

    fn status_failed(&self, key: &ObjectKey, error: WriteError) -> Outcome<Look> {
        let stop = Stop::Failed(error);
        self.report_stop(key, &stop);
        stop.again()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_status_is_written_once_a_second_and_the_first_time_at_once() {
        let (pace, now) = (Pace::default(), Instant::now());
        let [one, other] = ["one", "other"].map(|name| Key::Pool(name.into()));
        assert_eq!(pace.pause(&one, now), COLLECT);
        pace.wrote(&one, now);
        assert_eq!(pace.pause(&one, now), GAP);
        assert_eq!(pace.pause(&one, now + GAP / 4), GAP * 3 / 4);
        assert_eq!(pace.pause(&other, now), COLLECT);
        assert_eq!(pace.pause(&one, now + GAP), COLLECT);
        pace.wrote(&other, now + GAP);
        assert_eq!(pace.0.lock().len(), 1, "what is over is forgotten");
    }
}
