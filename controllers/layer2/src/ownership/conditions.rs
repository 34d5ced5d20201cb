//! What is wrong and for how long.

use std::time::Duration;

use super::Election;
use super::event::{Condition, Event};

impl Election {
    /// Something is wrong (still).
    pub(super) fn raise(&mut self, condition: Condition) {
        if self.conditions.insert(condition, self.now).is_none() {
            self.events.push(Event::Raised(condition));
        }
    }

    /// It is well again.
    pub(super) fn clear(&mut self, condition: Condition) {
        if self.conditions.remove(&condition).is_some() {
            self.events.push(Event::Cleared(condition));
        }
    }

    /// Ends conditions that were not noted again.
    pub(super) fn expire_conditions(&mut self) {
        let over = |condition: &Condition| match condition {
            Condition::ClockSkew(_) => Some(self.timing.memory),
            Condition::IdClash | Condition::TooManyParticipants => Some(Duration::from_mins(1)),
            Condition::BeaconsBlocked(node) if !self.is_unheard(*node) => Some(Duration::from_secs(10)),
            Condition::BeaconsBlocked(_)
            | Condition::Deaf
            | Condition::TooManyAddresses
            | Condition::TwinInterface => None,
        };
        let expired: Vec<Condition> = self
            .conditions
            .iter()
            .filter(|(condition, noted)| {
                over(condition).is_some_and(|after| self.now.since(**noted) >= after)
            })
            .map(|(condition, _)| *condition)
            .collect();
        for condition in expired {
            self.clear(condition);
        }
    }
}
