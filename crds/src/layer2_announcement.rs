//! `Layer2Announcement`: where addresses are answered for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Which addresses are announced, and where. All that several Layer2Announcements say about an address holds beside each
/// other: each one's nodes with each one's interfaces.
#[derive(CustomResource, JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fairlead.dev",
    version = "v1alpha1",
    kind = "Layer2Announcement",
    doc = "A Layer2Announcement says on which nodes and interfaces ARP and NDP requests for the addresses of pools are answered. An empty one stands for all pools, Services, nodes and interfaces. Pools that none selects are announced everywhere, unless they say `announce: Explicit`.",
    shortname = "l2a",
    category = "fairlead",
    status = "Layer2AnnouncementStatus",
    printcolumn = r#"{"name": "Pools", "type": "string", "jsonPath": ".spec.pools", "description": "The pools that it names"}"#,
    printcolumn = r#"{"name": "Interfaces", "type": "string", "jsonPath": ".spec.interfaces", "description": "The interfaces that it names"}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status", "description": "Whether everything that it names exists"}"#,
    printcolumn = r#"{"name": "Pool-Selectors", "type": "string", "jsonPath": ".spec.poolSelectors", "description": "The pools that it selects", "priority": 1}"#,
    printcolumn = r#"{"name": "Service-Selectors", "type": "string", "jsonPath": ".spec.serviceSelectors", "description": "The Services that it selects", "priority": 1}"#,
    printcolumn = r#"{"name": "Node-Selectors", "type": "string", "jsonPath": ".spec.nodeSelectors", "description": "The nodes that it selects", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].message", "description": "What does not exist", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Since when it exists"}"#,
    derive = "PartialEq",
    derive = "Default",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase", default)]
pub struct Layer2AnnouncementSpec {
    /// Names of LoadBalancerPools. Pools that are named here or selected by `poolSelectors` are announced; if both are
    /// empty, all are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::pool_names")]
    pub pools: Vec<String>,

    /// Selectors of LoadBalancerPools by their labels; one of them is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_selectors")]
    pub pool_selectors: Vec<LabelSelector>,

    /// Selectors of Services by their labels; one of them is enough. If there are none, the addresses of all Services are
    /// announced. An address that several Services share is announced if one of them is selected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_selectors")]
    pub service_selectors: Vec<LabelSelector>,

    /// Selectors of Nodes by their labels; one of them is enough. If there are none, every node may announce.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_selectors")]
    pub node_selectors: Vec<LabelSelector>,

    /// Names of network interfaces, such as eth0, or patterns in which * stands for any text and ? for any character, such
    /// as eth* or bond?. If there are none, every interface of a node is used that can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::interfaces")]
    pub interfaces: Vec<String>,

    /// Which of the nodes are preferred. The weights of all selectors that select a node are added up, and of the nodes
    /// that can announce an address, one with the largest sum does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::preferred_nodes")]
    pub preferred_nodes: Vec<PreferredNode>,
}

/// Nodes that are preferred to others.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreferredNode {
    /// How much the nodes are preferred, from 1 to 100.
    #[schemars(schema_with = "schema::weight")]
    pub weight: u8,

    /// A selector of Nodes by their labels.
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: LabelSelector,
}

/// What became of the announcement, written by Fairlead.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Layer2AnnouncementStatus {
    /// The generation of the announcement that this status is about.
    #[schemars(schema_with = "schema::number")]
    pub observed_generation: Option<i64>,

    /// Accepted: false if something that it names does not exist; the message says what.
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
