//! Label and field selectors.

use serde_json::Value;

/// Requirements of the forms `key=value`, `key!=value`, `key` and `!key`, all of which an object must meet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    value: Option<String>,
    negated: bool,
}

impl Requirement {
    fn parse(text: &str) -> Self {
        let of = |key: &str, value: &str, negated| Self {
            key: key.to_owned(),
            value: Some(value.to_owned()),
            negated,
        };
        if let Some((key, value)) = text.split_once("!=") {
            return of(key, value, true);
        }
        if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            return of(key, value, false);
        }
        let key = text.strip_prefix('!');
        Self { key: key.unwrap_or(text).to_owned(), value: None, negated: key.is_some() }
    }

    fn holds(&self, actual: Option<&str>) -> bool {
        let equal = match &self.value {
            Some(value) => actual == Some(value),
            None => actual.is_some(),
        };
        equal != self.negated
    }
}

fn list(text: &str) -> Vec<Requirement> {
    text.split(',').filter(|part| !part.is_empty()).map(Requirement::parse).collect()
}

impl Selector {
    /// Fields are `metadata.name`, `metadata.namespace` and those of strings in `spec` and `status`. The error
    /// is a message for the answer 400.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, String> {
        let fields = list(fields);
        let known = ["metadata.name", "metadata.namespace", "status.phase", "spec.nodeName"];
        if let Some(odd) = fields.iter().find(|field| !known.contains(&field.key.as_str())) {
            return Err(format!("field label not supported: {}", odd.key));
        }
        Ok(Self { labels: list(labels), fields })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        // A field that is not set is the empty string.
        let field = |path: &str| {
            let value = path.split('.').fold(object, |value, step| &value[step]);
            Some(value.as_str().unwrap_or_default())
        };
        self.labels.iter().all(|it| it.holds(label(&it.key)))
            && self.fields.iter().all(|it| it.holds(field(&it.key)))
    }
}
