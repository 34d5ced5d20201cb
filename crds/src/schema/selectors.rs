//! `metav1.LabelSelector`, whose own schema lets everything pass.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::rule::{Rule, matching, ruled};
use super::{LABEL, described, list, text};

/// A prefix of 253 characters, a slash and a name of 63.
const KEY: u32 = 317;

/// A list of selectors, of which one is enough.
pub(crate) fn label_selectors(generator: &mut SchemaGenerator) -> Schema {
    list(label_selector(generator), 32)
}

/// One selector. Keys of `matchLabels` are not looked at: rules cannot bound their length, and one that is no key selects
/// nothing.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let expressions = list(expression(), 16);
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "type": "object",
                "additionalProperties": value(),
                "maxProperties": 32,
                "description": "Labels with the values that they must have.",
            },
            "matchExpressions": described(expressions, "Requirements that all must be met, beside matchLabels."),
        },
        "x-kubernetes-map-type": "atomic",
    })
}

fn expression() -> Schema {
    let schema = json_schema!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": described(key(), "The key of the label."),
            "operator": {
                "type": "string",
                "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                "description": "In, NotIn: whether the label has one of the values. Exists, DoesNotExist: whether there is such a label.",
            },
            "values": described(list(value(), 32), "The values for In and NotIn; empty for Exists and DoesNotExist."),
        },
    });
    ruled(
        schema,
        [
            Rule::new(
                "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
                "operators In and NotIn need values: write at least one, or use Exists or DoesNotExist",
            ),
            Rule::new(
                "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
                "operators Exists and DoesNotExist take no values: leave them out, or use In or NotIn",
            ),
        ],
    )
}

fn key() -> Schema {
    matching(
        text(KEY),
        "^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$",
        "is not the key of a label: write one such as app or example.com/app",
    )
}

fn value() -> Schema {
    matching(
        text(LABEL),
        "^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$",
        "is not the value of a label: write letters, digits, dashes, underscores and dots, with a letter or digit at both ends",
    )
}
