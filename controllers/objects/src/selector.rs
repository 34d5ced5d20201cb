//! Label selectors with expressions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::{Istr, Labels};

/// A label selector: every requirement has to be met. Without any it matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Selector {
    /// `matchLabels`, by key.
    pub match_labels: Vec<(Istr, Istr)>,
    /// `matchExpressions`, in their order.
    pub match_expressions: Vec<Requirement>,
}

/// One of the `matchExpressions` of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Key of the label.
    pub key: Istr,
    /// `operator`.
    pub operator: Operator,
    /// `values`, as they are written; empty for `Exists` and `DoesNotExist`.
    pub values: Vec<Istr>,
}

/// What a requirement demands of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It is absent, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
    /// None of the four, which the schema refuses: such a requirement is never met.
    Unknown,
}

impl Selector {
    /// Does it match these labels?
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.is_met_by(labels))
    }
}

impl Requirement {
    fn is_met_by(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Unknown => false,
        }
    }
}

impl From<&LabelSelector> for Selector {
    fn from(selector: &LabelSelector) -> Self {
        let text = |text: &String| Istr::from(text.as_str());
        Self {
            match_labels: selector
                .match_labels
                .iter()
                .flatten()
                .map(|(key, value)| (text(key), text(value)))
                .collect(),
            match_expressions: selector
                .match_expressions
                .iter()
                .flatten()
                .map(|requirement| Requirement {
                    key: text(&requirement.key),
                    operator: match requirement.operator.as_str() {
                        "In" => Operator::In,
                        "NotIn" => Operator::NotIn,
                        "Exists" => Operator::Exists,
                        "DoesNotExist" => Operator::DoesNotExist,
                        _ => Operator::Unknown,
                    },
                    values: requirement.values.iter().flatten().map(text).collect(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_has_to_be_met() {
        for (selector, matches) in [
            ("{}", true),
            (r#"{"matchLabels": {"app": "web"}}"#, true),
            (r#"{"matchLabels": {"app": "web", "tier": "back"}}"#, false),
            (r#"{"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "web"]}]}"#, true),
            (r#"{"matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]}"#, false),
            (r#"{"matchExpressions": [{"key": "zone", "operator": "In", "values": [""]}]}"#, false),
            (r#"{"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}"#, true),
            (r#"{"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}"#, false),
            (r#"{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["web"]}]}"#, true),
            (r#"{"matchExpressions": [{"key": "app", "operator": "Exists"}]}"#, true),
            (r#"{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}"#, false),
            (r#"{"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}"#, true),
            (r#"{"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}"#, false),
            (r#"{"matchExpressions": [{"key": "app", "operator": "Like", "values": ["web"]}]}"#, false),
            (
                r#"{"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}"#,
                true,
            ),
        ] {
            let labels: Labels = [("app", "web"), ("tier", "front")].into_iter().collect();
            let selector_of_api: LabelSelector = serde_json::from_str(selector).unwrap();
            assert_eq!(Selector::from(&selector_of_api).matches(&labels), matches, "{selector}");
        }
    }
}
