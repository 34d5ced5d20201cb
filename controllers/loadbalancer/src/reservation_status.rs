//! The status of a reservation.

use fairlead_crds::ReservationPhase;
use fairlead_objects::Istr;
use jiff::Timestamp;

use crate::ledger::{Ledger, Slot};
use crate::records::{Condition, Reservation, ReservationStatus};
use crate::reservations::Problem;

/// The status that a reservation should have. `not_picked` is what its pool does not give it.
pub(crate) fn reservation_status(
    ledger: &Ledger,
    reservation: &Reservation,
    not_picked: Vec<Problem>,
    now: Timestamp,
) -> ReservationStatus {
    let grant = ledger.grants.of(&reservation.key).cloned().unwrap_or_default();
    let mut problems = grant.problems;
    problems.extend(not_picked);
    let mut bound_to: Vec<Istr> = Vec::new();
    for address in &grant.addresses {
        if let Some(by) = ledger.in_the_way(reservation, *address) {
            problems.push(Problem::InUse { address: *address, by });
            continue;
        }
        let services = ledger.slots.get(*address).map(Slot::services).unwrap_or_default();
        let there = services.into_iter().filter(|key| ledger.services.contains_key(key));
        bound_to.extend(there.map(|key| key.name));
    }
    bound_to.sort();
    let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let accepted = Condition {
        kind: "Accepted".into(),
        status: problems.is_empty(),
        reason: problems.first().map_or("Accepted", |problem| problem.reason().as_str()).into(),
        message: if words.is_empty() { "the addresses are held".to_owned() } else { words.join("; ") }.into(),
        observed_generation: reservation.generation,
        last_transition: now,
    };
    ReservationStatus {
        observed_generation: reservation.generation,
        phase: if problems.iter().any(Problem::is_conflict) {
            ReservationPhase::Conflict
        } else if bound_to.is_empty() {
            ReservationPhase::Waiting
        } else {
            ReservationPhase::Bound
        },
        addresses: grant.addresses,
        bound_to: bound_to.into_iter().next().unwrap_or_default(),
        conditions: vec![accepted.after(&reservation.status.conditions)],
    }
}
