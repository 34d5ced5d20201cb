//! Rules in CEL.

use schemars::Schema;
use serde_json::{Value, json};

/// A condition in CEL, and what to answer where it does not hold.
pub(super) struct Rule {
    holds: String,
    /// What is wrong, for any value.
    message: &'static str,
    /// CEL that makes the message for a certain value; if it fails, or the value has line breaks, `message` is answered.
    names: Option<String>,
}

impl Rule {
    pub(super) fn new(holds: impl Into<String>, message: &'static str) -> Self {
        Self { holds: holds.into(), message, names: None }
    }

    pub(super) fn naming(self, expression: impl Into<String>) -> Self {
        Self { names: Some(expression.into()), ..self }
    }
}

pub(super) fn ruled<const N: usize>(mut schema: Schema, rules: [Rule; N]) -> Schema {
    add_rules(&mut schema, rules);
    schema
}

pub(super) fn add_rules<const N: usize>(schema: &mut Schema, rules: [Rule; N]) {
    let rules = rules.into_iter().map(|rule| match rule.names {
        Some(names) => json!({ "rule": rule.holds, "message": rule.message, "messageExpression": names }),
        None => json!({ "rule": rule.holds, "message": rule.message }),
    });
    schema.insert("x-kubernetes-validations".to_owned(), rules.collect());
}

/// A text that matches a pattern; what does not is answered with itself and the message.
pub(super) fn matching(schema: Schema, pattern: &str, message: &'static str) -> Schema {
    let rule = Rule::new(format!("self.matches('{pattern}')"), message);
    ruled(schema, [rule.naming(format!("(self == '' ? 'an empty text' : self) + ' {message}'"))])
}

/// Takes the rules away at every depth: for copies of what was checked where it came from. Rules would be counted
/// against the cost that the API server allows a definition, multiplied by the bounds of all lists around them.
pub(super) fn unruled(schema: Schema) -> Schema {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(keywords) => {
                keywords.remove("x-kubernetes-validations");
                keywords.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = schema.to_value();
    strip(&mut value);
    Schema::try_from(value).unwrap_or_default()
}
