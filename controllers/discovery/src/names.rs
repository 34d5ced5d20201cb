//! Labels and annotations that the endpoint controllers read and write.

/// Label of a slice: the Service (or Endpoints object) that it belongs to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label of a slice: who maintains it.
pub const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Value of [`SLICE_MANAGED_BY`] for slices made from Pods.
pub const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Label of slices and Endpoints, without a value: the Service has no cluster IP.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// Annotation of slices and Endpoints: when the change happened that caused the last write. kube-proxy
/// computes `network_programming_duration_seconds` from it.
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// Label of Endpoints: who maintains them.
pub const ENDPOINTS_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// Value of [`ENDPOINTS_MANAGED_BY`] for Endpoints made from Pods.
pub const ENDPOINTS_CONTROLLER: &str = "endpoint-controller";
/// Annotation of Endpoints that cannot hold all addresses, with the value [`TRUNCATED`].
pub const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Value of [`OVER_CAPACITY`].
pub const TRUNCATED: &str = "truncated";
/// Value of [`SLICE_MANAGED_BY`] for slices that mirror Endpoints.
pub const MIRRORING_CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";
/// Label of Endpoints; with the value `true` they are not mirrored.
pub const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotation of Endpoints that serve an old kind of leader election and nothing else.
pub const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotation in which kubectl keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
