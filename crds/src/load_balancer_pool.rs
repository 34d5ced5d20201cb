//! `LoadBalancerPool`: addresses for Services of type LoadBalancer.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;
use crate::schema;

/// What a pool has, and who gets it.
#[derive(CustomResource, JsonSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fairlead.dev",
    version = "v1alpha1",
    kind = "LoadBalancerPool",
    doc = "A LoadBalancerPool has addresses that are assigned to Services of type LoadBalancer. A pool with nothing but `spec.addresses` is complete: every Service without a wish may get one of them.",
    shortname = "lbpool",
    shortname = "lbpools",
    category = "fairlead",
    status = "LoadBalancerPoolStatus",
    printcolumn = r#"{"name": "Addresses", "type": "string", "jsonPath": ".spec.addresses", "description": "The parts of the pool"}"#,
    printcolumn = r#"{"name": "Auto-Assign", "type": "boolean", "jsonPath": ".spec.autoAssign", "description": "Whether Services get addresses of it without asking"}"#,
    printcolumn = r#"{"name": "Assigned-IPv4", "type": "integer", "jsonPath": ".status.ipv4.assigned", "description": "IPv4 addresses that Services have"}"#,
    printcolumn = r#"{"name": "Free-IPv4", "type": "integer", "jsonPath": ".status.ipv4.free", "description": "IPv4 addresses that can be assigned"}"#,
    printcolumn = r#"{"name": "Assigned-IPv6", "type": "integer", "jsonPath": ".status.ipv6.assigned", "description": "IPv6 addresses that Services have", "priority": 1}"#,
    printcolumn = r#"{"name": "Free-IPv6", "type": "integer", "jsonPath": ".status.ipv6.free", "description": "IPv6 addresses that can be assigned", "priority": 1}"#,
    printcolumn = r#"{"name": "Reserved-IPv4", "type": "integer", "jsonPath": ".status.ipv4.reserved", "description": "IPv4 addresses that are kept for Services", "priority": 1}"#,
    printcolumn = r#"{"name": "Cooling-IPv4", "type": "integer", "jsonPath": ".status.ipv4.cooling", "description": "IPv4 addresses that were given up lately", "priority": 1}"#,
    printcolumn = r#"{"name": "Drain", "type": "boolean", "jsonPath": ".spec.drain", "description": "Whether the pool is being emptied", "priority": 1}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status", "description": "Whether every part of it can be used"}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].message", "description": "Which parts cannot, and why", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Since when it exists"}"#,
    derive = "PartialEq",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerPoolSpec {
    /// The addresses of the pool. Each part is a CIDR, such as 198.51.100.0/24 or 2001:db8::/64, or a range from the first
    /// to the last address, such as 198.51.100.10-198.51.100.20. IPv4 and IPv6 may be mixed in the list, not in a range.
    /// Of an IPv4 CIDR of /30 or shorter, the network and the broadcast address are not assigned, and of an IPv6 CIDR of
    /// /126 or shorter, the first address is not; write a range to have them assigned.
    #[schemars(schema_with = "schema::address_parts")]
    pub addresses: Vec<String>,

    /// Addresses that are never assigned, though they are in `addresses`: CIDRs or ranges as there. Every address of a
    /// CIDR is left out, the network and the broadcast address as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::excluded_parts")]
    pub exclude: Vec<String>,

    /// Whether Services get addresses of this pool without asking for it. If false, only Services that name the pool
    /// (annotation fairlead.dev/pool), or one of its addresses, do. Default: true.
    #[serde(default = "yes")]
    pub auto_assign: bool,

    /// Whether IPv4 addresses that end in .0 or .255 are left out, wherever they are in the pool, for the sake of old
    /// devices that take them for network and broadcast addresses. Default: false.
    #[serde(default, rename = "avoidBuggyIPs")]
    pub avoid_buggy_ips: bool,

    /// Which Services the pool is for. Pools that are for a Service are tried before those without this field. Without
    /// it, the pool is for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_allocation: Option<ServiceAllocation>,

    /// Which free address is taken. Random: one that depends on namespace and name of the Service, so that the same
    /// Service gets the same address again if it is still free. Sequential: the lowest. Default: Random.
    #[serde(default)]
    pub order: Order,

    /// How many addresses of the pool a namespace may have. Without it, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,

    /// How long an address stays unassigned after its last Service has given it up, as a duration such as 30s, 5m or
    /// 1h30m. Default: 0s.
    #[serde(default)]
    #[schemars(schema_with = "schema::duration")]
    pub cool_down: GoDuration,

    /// Whether the pool is to be emptied: nothing new is assigned from it, and Services that did not ask for it are moved
    /// to other pools; each keeps its old address until the new one works. Default: false.
    #[serde(default)]
    pub drain: bool,

    /// Whose consent Services of different namespaces need to share an address by the annotation
    /// fairlead.dev/sharing-key. SameNamespace: that of every Service, by the annotation
    /// fairlead.dev/share-with-namespaces. AnyNamespace: none. Default: SameNamespace.
    #[serde(default)]
    pub sharing: Sharing,

    /// Whether Services may ask for an address of their choice. Denied: only for one that a ServiceReservation of their
    /// namespace holds for them. Default: Allowed.
    #[serde(default)]
    pub requests: Requests,

    /// Whether the network is asked if anybody else uses an address, before it is announced for the first time. If unset,
    /// it is done where this version of Fairlead can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::probe")]
    pub probe: Option<Probe>,

    /// How long a Service waits for the outcome of that; it gets its address afterwards in any case. A duration such as
    /// 500ms or 3s. Default: 3s.
    #[serde(default = "default_probe_timeout")]
    #[schemars(schema_with = "schema::duration")]
    pub probe_timeout: GoDuration,

    /// Who announces addresses of the pool that no Layer2Announcement selects. Auto: every node, on every interface.
    /// Explicit: nobody. Default: Auto.
    #[serde(default)]
    pub announce: Announce,
}

fn yes() -> bool {
    true
}

fn default_probe_timeout() -> GoDuration {
    GoDuration::from_secs(3)
}

/// Which Services a pool is for: those in one of the `namespaces` or in a namespace that one of the `namespaceSelectors`
/// selects (if both are empty, in any), and that one of the `serviceSelectors` selects (if there are none, any Service).
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// Which pool is tried first, if several are for the same Service: the one with the lowest number, of equal ones the
    /// first by name. 0 comes last. Default: 0.
    #[serde(default)]
    #[schemars(schema_with = "schema::priority")]
    pub priority: i32,

    /// Names of namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub namespaces: Vec<String>,

    /// Selectors of namespaces by their labels; one of them is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_selectors")]
    pub namespace_selectors: Vec<LabelSelector>,

    /// Selectors of Services by their labels; one of them is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_selectors")]
    pub service_selectors: Vec<LabelSelector>,
}

/// How many addresses of a pool somebody may have. Addresses that are held by a ServiceReservation count; one that
/// several Services share counts once in each of their namespaces.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// The number of addresses for each namespace, IPv4 and IPv6 together. Services that have more when the quota is set
    /// or lowered keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::per_namespace")]
    pub per_namespace: Option<u32>,
}

/// Which free address is taken.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Order {
    /// The first free one from a place that depends on namespace and name of the Service.
    #[default]
    Random,
    /// The lowest.
    Sequential,
}

/// Whose consent Services of different namespaces need to share an address.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sharing {
    /// That of every Service.
    #[default]
    SameNamespace,
    /// None.
    AnyNamespace,
}

/// Whether Services may ask for an address of their choice.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Requests {
    /// They may.
    #[default]
    Allowed,
    /// Only for one that is reserved for them.
    Denied,
}

/// Whether the network is asked for other users of an address.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Probe {
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
}

/// Who announces addresses that no Layer2Announcement selects.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Announce {
    /// Every node.
    #[default]
    Auto,
    /// Nobody.
    Explicit,
}

/// What became of the pool, written by Fairlead.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerPoolStatus {
    /// The generation of the pool that this status is about.
    #[schemars(schema_with = "schema::number")]
    pub observed_generation: Option<i64>,

    /// The IPv4 addresses, if the pool has any.
    pub ipv4: Option<FamilyUsage>,

    /// The IPv6 addresses, if the pool has any.
    pub ipv6: Option<FamilyUsage>,

    /// Accepted: false if a part of the pool cannot be used; the message names each part and says why. NearlyFull: at
    /// least nine of ten addresses of a family are in use. Exhausted: a family has no free address. Degraded: Services
    /// have addresses that are not of the pool any more.
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// What became of the addresses of one family. No number is above 9223372036854775807, though there may be more addresses.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FamilyUsage {
    /// How many addresses can be assigned.
    #[schemars(schema_with = "schema::number")]
    pub capacity: i64,

    /// How many are assigned to Services.
    #[schemars(schema_with = "schema::number")]
    pub assigned: i64,

    /// How many are neither assigned, nor reserved, nor cooling down.
    #[schemars(schema_with = "schema::number")]
    pub free: i64,

    /// How many are reserved for Services that do not have them yet.
    #[schemars(schema_with = "schema::number")]
    pub reserved: i64,

    /// How many were given up and wait for the end of the cool-down.
    #[schemars(schema_with = "schema::number")]
    pub cooling: i64,
}
