//! The schema of single fields, as the API server checks them. Everything is bounded, because the API server estimates from
//! the bounds what a rule costs. Where a sentence can say what to write instead, it is a rule in CEL.

mod addresses;
mod rule;
mod selectors;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::duration;

pub(crate) use addresses::{
    address_parts, excluded_parts, fixed_address, kept_addresses, name_is_address, reserved_addresses,
};
use rule::{Rule, add_rules, matching, ruled, unruled};
pub(crate) use selectors::{label_selector, label_selectors};

/// The longest name of an object that is a DNS subdomain.
const SUBDOMAIN: u32 = 253;
/// The longest name of an object that is a DNS label; the longest value of a label, too.
const LABEL: u32 = 63;
const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// As many items as lists have that people write.
const LIST: u32 = 256;

fn text(max_length: u32) -> Schema {
    json_schema!({ "type": "string", "maxLength": max_length })
}

fn list(items: Schema, max_items: u32) -> Schema {
    with(json_schema!({ "type": "array", "maxItems": max_items }), "items", items)
}

/// A list in which each item is once, so that several appliers can each own some of them.
fn set(items: Schema, max_items: u32) -> Schema {
    with(list(items, max_items), "x-kubernetes-list-type", "set")
}

fn with(mut schema: Schema, keyword: &str, value: impl Into<Value>) -> Schema {
    schema.insert(keyword.to_owned(), value.into());
    schema
}

fn described(schema: Schema, description: &str) -> Schema {
    with(schema, "description", description)
}

fn integer(format: &str, minimum: i64) -> Schema {
    json_schema!({ "type": "integer", "format": format, "minimum": minimum })
}

/// What [`GoDuration`](crate::GoDuration) reads.
pub(crate) fn duration(_: &mut SchemaGenerator) -> Schema {
    ruled(
        text(16),
        [
            Rule::new(
                format!("self.matches('^-?{}$')", duration::PATTERN),
                "write a duration as numbers with the units h, m, s or ms, such as 30s, 5m or 1h30m",
            ),
            Rule::new("!self.startsWith('-')", "write a duration that is not negative, such as 0s or 30s"),
        ],
    )
}

pub(crate) fn probe(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Enabled", "Disabled"] })
}

pub(crate) fn priority(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 0)
}

pub(crate) fn per_namespace(_: &mut SchemaGenerator) -> Schema {
    with(integer("int64", 0), "maximum", u32::MAX)
}

pub(crate) fn weight(_: &mut SchemaGenerator) -> Schema {
    with(integer("int32", 1), "maximum", 100)
}

/// A count, a generation or an epoch.
pub(crate) fn number(_: &mut SchemaGenerator) -> Schema {
    integer("int64", 0)
}

pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

fn namespace_name() -> Schema {
    let message = "is not the name of a namespace: write lower-case letters, digits and dashes";
    matching(text(LABEL), DNS_LABEL, message)
}

fn pool() -> Schema {
    let message = "is not the name of a LoadBalancerPool: write lower-case letters, digits, dashes and dots";
    matching(text(SUBDOMAIN), "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", message)
}

pub(crate) fn namespaces(_: &mut SchemaGenerator) -> Schema {
    set(namespace_name(), LIST)
}

pub(crate) fn pool_names(_: &mut SchemaGenerator) -> Schema {
    set(pool(), LIST)
}

pub(crate) fn pool_name(_: &mut SchemaGenerator) -> Schema {
    pool()
}

pub(crate) fn service_name(_: &mut SchemaGenerator) -> Schema {
    let message = "is not the name of a Service: write lower-case letters, digits and dashes";
    matching(text(LABEL), DNS_LABEL, message)
}

pub(crate) fn namespace(_: &mut SchemaGenerator) -> Schema {
    namespace_name()
}

pub(crate) fn announcement_name(_: &mut SchemaGenerator) -> Schema {
    text(SUBDOMAIN)
}

pub(crate) fn bound_to(_: &mut SchemaGenerator) -> Schema {
    text(LABEL)
}

pub(crate) fn node_name(_: &mut SchemaGenerator) -> Schema {
    text(SUBDOMAIN)
}

pub(crate) fn uid(_: &mut SchemaGenerator) -> Schema {
    with(text(64), "minLength", 1)
}

pub(crate) fn sharing_key(_: &mut SchemaGenerator) -> Schema {
    text(1024)
}

pub(crate) fn interfaces(_: &mut SchemaGenerator) -> Schema {
    let message = "is no interface: write the name of one, such as eth0, or a pattern of which only * and ? are special, such as eth* or bond?";
    set(matching(text(LABEL), "^[^][{},/ \\t]+$", message), 64)
}

pub(crate) fn interface(_: &mut SchemaGenerator) -> Schema {
    text(LABEL)
}

pub(crate) fn mac(_: &mut SchemaGenerator) -> Schema {
    let rule = Rule::new(
        "self.matches('^[0-9a-f]{2}(:[0-9a-f]{2}){5}$')",
        "write a MAC address in lower case, such as 02:00:5e:10:00:01",
    );
    ruled(text(17), [rule])
}

pub(crate) fn holders(generator: &mut SchemaGenerator) -> Schema {
    unruled(list(generator.subschema_for::<crate::Holder>(), 1024))
}

pub(crate) fn announcements(generator: &mut SchemaGenerator) -> Schema {
    unruled(list(generator.subschema_for::<crate::Announcement>(), 64))
}

pub(crate) fn preferred_nodes(generator: &mut SchemaGenerator) -> Schema {
    list(generator.subschema_for::<crate::PreferredNode>(), 32)
}

/// An address that is given up is Cooling until a certain time, and its epoch never falls.
pub(crate) fn address_status(schema: &mut Schema) {
    add_rules(
        schema,
        [
            Rule::new(
                "!has(oldSelf.epoch) || (has(self.epoch) && self.epoch >= oldSelf.epoch)",
                "epoch may only grow: write the number that is there, or a larger one",
            ),
            Rule::new(
                "self.phase != 'Cooling' || has(self.coolingUntil)",
                "phase Cooling needs coolingUntil: write the time at which the address is free",
            ),
        ],
    );
}

/// A reservation is for one Service and keeps something.
pub(crate) fn reservation(schema: &mut Schema) {
    add_rules(
        schema,
        [
            Rule::new(
                "has(self.service) != has(self.selector)",
                "write either service, with the name of the Service, or selector, and not both",
            ),
            Rule::new(
                "has(self.loadBalancer)",
                "nothing is kept: write loadBalancer, with addresses, a pool, or both",
            ),
        ],
    );
}

/// A reservation of addresses says which.
pub(crate) fn load_balancer_reservation(schema: &mut Schema) {
    let rule = Rule::new(
        "(has(self.addresses) && size(self.addresses) > 0) || has(self.pool)",
        "nothing is kept: write addresses, a pool, or both",
    );
    add_rules(schema, [rule]);
}

/// `metav1.Condition`, with the bounds of its own declaration.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    let condition = json_schema!({
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": described(text(316), "What is or is not the case."),
            "status": {
                "type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it is the case.",
            },
            "observedGeneration": described(integer("int64", 0), "The generation of the object that this is about."),
            "lastTransitionTime": {
                "type": "string", "format": "date-time", "description": "When the status changed last.",
            },
            "reason": described(with(text(1024), "minLength", 1), "Why, in one word for programs."),
            "message": described(text(32768), "Why, in words for people."),
        },
    });
    let list = with(list(condition, 16), "x-kubernetes-list-type", "map");
    with(list, "x-kubernetes-list-map-keys", json!(["type"]))
}
