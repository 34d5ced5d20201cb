//! Conditions of Fairlead's own kinds.

use fairlead_objects::Istr;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

/// A condition of one of our kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `type`.
    pub kind: Istr,
    /// Is `status` `True`?
    pub status: bool,
    /// `reason`.
    pub reason: Istr,
    /// `message`.
    pub message: Box<str>,
    /// `observedGeneration`; 0 if there is none.
    pub observed_generation: i64,
    /// `lastTransitionTime`.
    pub last_transition: Timestamp,
}

impl Condition {
    /// This condition in the place of the one of its type in `before`: its time of transition is older if its status is
    /// the same.
    #[must_use]
    pub(crate) fn after(self, before: &[Self]) -> Self {
        match before.iter().find(|old| old.kind == self.kind && old.status == self.status) {
            Some(old) => Self { last_transition: old.last_transition, ..self },
            None => self,
        }
    }
}

impl From<&meta::Condition> for Condition {
    fn from(condition: &meta::Condition) -> Self {
        Self {
            kind: condition.type_.as_str().into(),
            status: condition.status == "True",
            reason: condition.reason.as_str().into(),
            message: condition.message.as_str().into(),
            observed_generation: condition.observed_generation.unwrap_or_default(),
            last_transition: condition.last_transition_time.0,
        }
    }
}

impl From<&Condition> for meta::Condition {
    fn from(condition: &Condition) -> Self {
        Self {
            type_: condition.kind.to_string(),
            status: if condition.status { "True" } else { "False" }.to_owned(),
            reason: condition.reason.to_string(),
            message: condition.message.to_string(),
            observed_generation: Some(condition.observed_generation),
            last_transition_time: meta::Time(condition.last_transition),
        }
    }
}
