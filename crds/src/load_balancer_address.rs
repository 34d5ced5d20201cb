//! `LoadBalancerAddress`: an address that is assigned.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, MicroTime};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layer2_announcement::PreferredNode;
use crate::schema;

// Every field is written, empty or not, so that a merge patch of a whole spec leaves nothing of the one before.
/// An address, who has it, and what is needed to announce it. Written by Fairlead.
#[derive(CustomResource, JsonSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fairlead.dev",
    version = "v1alpha1",
    kind = "LoadBalancerAddress",
    plural = "loadbalanceraddresses",
    doc = "A LoadBalancerAddress is an address that is assigned to Services: which pool it is of, which Services have it, and which node answers for it. It is written by Fairlead, and named by its address, with dashes for the colons of an IPv6 address: creating it is what assigns the address.",
    shortname = "lba",
    category = "fairlead",
    status = "LoadBalancerAddressStatus",
    selectable = ".spec.pool",
    selectable = ".status.phase",
    selectable = ".status.node",
    validation = schema::name_is_address(),
    printcolumn = r#"{"name": "Pool", "type": "string", "jsonPath": ".spec.pool", "description": "The pool that it is of"}"#,
    printcolumn = r#"{"name": "Namespace", "type": "string", "jsonPath": ".spec.services[0].namespace", "description": "The namespace of the Service that has it; of several, of the first"}"#,
    printcolumn = r#"{"name": "Service", "type": "string", "jsonPath": ".spec.services[0].name", "description": "The Service that has it; of several, the first"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Whether a Service has it or had it"}"#,
    printcolumn = r#"{"name": "Node", "type": "string", "jsonPath": ".status.node", "description": "The node that answers for it"}"#,
    printcolumn = r#"{"name": "Interface", "type": "string", "jsonPath": ".status.interface", "description": "The interface that answers for it", "priority": 1}"#,
    printcolumn = r#"{"name": "MAC", "type": "string", "jsonPath": ".status.mac", "description": "The MAC address that it is answered with", "priority": 1}"#,
    printcolumn = r#"{"name": "Since", "type": "date", "jsonPath": ".status.since", "description": "Since when this node answers", "priority": 1}"#,
    printcolumn = r#"{"name": "Sharing-Key", "type": "string", "jsonPath": ".spec.sharingKey", "description": "The key under which Services share it", "priority": 1}"#,
    printcolumn = r#"{"name": "Cooling-Until", "type": "string", "jsonPath": ".status.coolingUntil", "description": "When it is free again", "priority": 1}"#,
    printcolumn = r#"{"name": "Conflict", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Conflict\")].status", "description": "Whether another device answers for it", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Since when it exists"}"#,
    derive = "PartialEq",
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    crates(kube = "::kube_derive", kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerAddressSpec {
    /// The address in its canonical form (RFC 5952 for IPv6). Cannot be changed.
    #[schemars(schema_with = "schema::fixed_address")]
    pub address: IpAddr,

    /// The LoadBalancerPool that the address was assigned from.
    #[schemars(schema_with = "schema::pool_name")]
    pub pool: String,

    /// The Services that have the address, the first one first. During the cool-down, those that had it.
    #[serde(default)]
    #[schemars(schema_with = "schema::holders")]
    pub services: Vec<Holder>,

    /// The key under which Services share the address; empty if they do not.
    #[serde(default)]
    #[schemars(schema_with = "schema::sharing_key")]
    pub sharing_key: String,

    /// Whether only nodes with a ready endpoint of the Services may announce the address
    /// (externalTrafficPolicy Local).
    #[serde(default)]
    pub local: bool,

    /// Whether the network is asked for other users of the address before a node answers for it.
    #[serde(default)]
    pub probe: bool,

    /// Where the address may be announced: one entry for each Layer2Announcement that selects pool and Service, or one
    /// without name and restrictions if there is none and the pool says `announce: Auto`. Empty: nowhere.
    #[serde(default)]
    #[schemars(schema_with = "schema::announcements")]
    pub announcements: Vec<Announcement>,
}

/// A Service that has the address.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Its namespace.
    #[schemars(schema_with = "schema::namespace")]
    pub namespace: String,

    /// Its name.
    #[schemars(schema_with = "schema::service_name")]
    pub name: String,

    /// Its UID: another Service of the same name does not have the address.
    #[schemars(schema_with = "schema::uid")]
    pub uid: String,
}

/// What one Layer2Announcement says about the address.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Announcement {
    /// Its name; empty if no Layer2Announcement selects the address.
    #[schemars(schema_with = "schema::announcement_name")]
    pub name: String,

    /// Its `nodeSelectors`; if empty, every node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_selectors")]
    pub node_selectors: Vec<LabelSelector>,

    /// Its `interfaces`; if empty, every interface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::interfaces")]
    pub interfaces: Vec<String>,

    /// Its `preferredNodes`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::preferred_nodes")]
    pub preferred_nodes: Vec<PreferredNode>,
}

// The controller and the announcing node write different fields of it, each by a merge patch that names just those.
/// What becomes of the address, written by Fairlead.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = { "phase": "Bound" }), transform = schema::address_status)]
pub struct LoadBalancerAddressStatus {
    /// Bound: the Services have it. Cooling: they have given it up, and nobody gets it before `coolingUntil`.
    #[serde(default)]
    pub phase: AddressPhase,

    /// When the cool-down ends, and the object is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub cooling_until: Option<MicroTime>,

    /// The node that answers for the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::node_name")]
    pub node: Option<String>,

    /// The network interface of the node that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::interface")]
    pub interface: Option<String>,

    /// The MAC address that it answers with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::mac")]
    pub mac: Option<String>,

    /// Since when this node answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub since: Option<MicroTime>,

    /// A number that every change of the announcing node raises; it never falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::number")]
    pub epoch: Option<i64>,

    /// Probed: the network was asked for other users before the address was announced. Announced: a node answers for it.
    /// Conflict: another device answers for it, too; the message has its MAC address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// Whether Services have the address.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AddressPhase {
    /// They do.
    #[default]
    Bound,
    /// They had it, and nobody else gets it yet.
    Cooling,
}
