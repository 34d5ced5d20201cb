//! `ServiceReservation`: what is kept for a Service.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// For which Service what is kept.
#[derive(CustomResource, JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fairlead.dev",
    version = "v1alpha1",
    kind = "ServiceReservation",
    namespaced,
    doc = "A ServiceReservation keeps load-balancer addresses for a Service of its namespace, before the Service exists and after it is deleted. Nobody else gets them, and the Service gets them without asking. They count against the quota of the namespace.",
    shortname = "svcres",
    category = "fairlead",
    status = "ServiceReservationStatus",
    printcolumn = r#"{"name": "Service", "type": "string", "jsonPath": ".spec.service.name", "description": "The Service that it is for, if that is named"}"#,
    printcolumn = r#"{"name": "Addresses", "type": "string", "jsonPath": ".status.addresses", "description": "The addresses that are kept"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Waiting for the Service, bound to it, or in conflict with somebody"}"#,
    printcolumn = r#"{"name": "Bound-To", "type": "string", "jsonPath": ".status.boundTo", "description": "The Service that has the addresses"}"#,
    printcolumn = r#"{"name": "Pool", "type": "string", "jsonPath": ".spec.loadBalancer.pool", "description": "The pool that it names", "priority": 1}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status", "description": "Whether the addresses are kept", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].message", "description": "Why not", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Since when it exists"}"#,
    derive = "PartialEq",
    derive = "Default",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::reservation)]
pub struct ServiceReservationSpec {
    /// The Service by its name. Either this or `selector` is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,

    /// The Service by its labels; of several, the oldest. Either this or `service` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: Option<LabelSelector>,

    /// The load-balancer addresses that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancerReservation>,
}

/// A Service of the same namespace.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceName {
    /// Its name. It need not exist yet.
    #[schemars(schema_with = "schema::service_name")]
    pub name: String,
}

/// Load-balancer addresses that are kept: certain ones, or any of a pool. At least one of the two fields is required.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::load_balancer_reservation)]
pub struct LoadBalancerReservation {
    /// The addresses, in canonical form (RFC 5952 for IPv6). With `pool`, they must be of that pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::reserved_addresses")]
    pub addresses: Vec<IpAddr>,

    /// The name of a LoadBalancerPool. Without `addresses`, one of its addresses of each family that it has is chosen, once,
    /// and kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pool_name")]
    pub pool: Option<String>,
}

/// What became of the reservation, written by Fairlead.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceReservationStatus {
    /// The generation of the reservation that this status is about.
    #[schemars(schema_with = "schema::number")]
    pub observed_generation: Option<i64>,

    /// The addresses that are kept.
    #[schemars(schema_with = "schema::kept_addresses")]
    pub addresses: Vec<IpAddr>,

    /// The name of the Service that has them; empty while there is none.
    #[schemars(schema_with = "schema::bound_to")]
    pub bound_to: String,

    /// Waiting: kept for a Service that is not there yet. Bound: the Service has them. Conflict: somebody else has them or
    /// reserved them earlier; the message of the condition Accepted says who.
    pub phase: ReservationPhase,

    /// Accepted: whether the addresses are kept, and if not, why.
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// How far a reservation is.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReservationPhase {
    /// For a Service that is not there yet.
    #[default]
    Waiting,
    /// The Service has what is kept.
    Bound,
    /// Somebody else has it.
    Conflict,
}
