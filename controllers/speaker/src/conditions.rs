//! Conditions of addresses. Thousands of addresses have the same ones, so that what they say is stored once.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use fairlead_objects::intern::Table;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ApiCondition, Time};

static SAID: LazyLock<Table<Arc<Said>>> = LazyLock::new(Table::new);

/// What a condition says, but for the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Said {
    /// `type`.
    pub kind: Box<str>,
    /// `status`.
    pub status: Box<str>,
    /// `reason`.
    pub reason: Box<str>,
    /// `message`.
    pub message: Box<str>,
    /// `observedGeneration`.
    pub observed_generation: Option<i64>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    said: Arc<Said>,
    /// `lastTransitionTime`.
    pub since: Timestamp,
}

impl Condition {
    /// That says this since then.
    #[must_use]
    pub fn new(said: Said, since: Timestamp) -> Self {
        Self { said: SAID.intern(said), since }
    }
}

impl Deref for Condition {
    type Target = Said;

    fn deref(&self) -> &Said {
        &self.said
    }
}

impl From<ApiCondition> for Condition {
    fn from(condition: ApiCondition) -> Self {
        let said = Said {
            kind: condition.type_.into(),
            status: condition.status.into(),
            reason: condition.reason.into(),
            message: condition.message.into(),
            observed_generation: condition.observed_generation,
        };
        Self::new(said, condition.last_transition_time.0)
    }
}

impl From<&Condition> for ApiCondition {
    fn from(condition: &Condition) -> Self {
        Self {
            type_: condition.kind.to_string(),
            status: condition.status.to_string(),
            reason: condition.reason.to_string(),
            message: condition.message.to_string(),
            observed_generation: condition.observed_generation,
            last_transition_time: Time(condition.since),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_is_written_as_it_was_read_and_stored_once() {
        let read = |at: &str| {
            let text = json!({"type": "Announced", "status": "True", "reason": "Answering", "message": "words",
                "observedGeneration": 3, "lastTransitionTime": at});
            (serde_json::from_value::<ApiCondition>(text.clone()).unwrap(), text)
        };
        let (api, text) = read("2026-01-01T00:00:00Z");
        let condition = Condition::from(api);
        assert_eq!(json!(ApiCondition::from(&condition)), text);
        let later = Condition::from(read("2026-01-01T00:00:01Z").0);
        assert_ne!(later, condition);
        assert!(Arc::ptr_eq(&later.said, &condition.said));
    }
}
