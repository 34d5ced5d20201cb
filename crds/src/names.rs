//! Names that users, controllers and tests share.

/// The API group of our kinds, and the prefix of our annotations, labels and conditions.
pub const GROUP: &str = "fairlead.dev";
/// The version of our kinds.
pub const VERSION: &str = "v1alpha1";

/// `spec.loadBalancerClass` of Services that are ours even where another implementation is the cluster's default.
pub const LOAD_BALANCER_CLASS: &str = "fairlead.dev/layer2";

/// Label on each `LoadBalancerAddress`: the name of its pool.
pub const POOL_LABEL: &str = "fairlead.dev/pool";

/// Annotation on a Service: the addresses that it asks for, at most one of each family, separated by commas.
pub const ADDRESSES_ANNOTATION: &str = "fairlead.dev/addresses";
/// Annotation on a Service: the pool that it wants its addresses from.
pub const POOL_ANNOTATION: &str = "fairlead.dev/pool";
/// Annotation on a Service: Services with the same key may have the same address.
pub const SHARING_KEY_ANNOTATION: &str = "fairlead.dev/sharing-key";
/// Annotation on a Service: the other namespaces, separated by commas, whose Services it shares an address with; `*` is all.
pub const SHARE_WITH_NAMESPACES_ANNOTATION: &str = "fairlead.dev/share-with-namespaces";

/// Condition of a `LoadBalancerAddress`: a node answers for it.
pub const ANNOUNCED_CONDITION: &str = "Announced";
/// Condition of a `LoadBalancerAddress`: the network was asked for other users of it.
pub const PROBED_CONDITION: &str = "Probed";
/// Condition of a `LoadBalancerAddress`: another device answers for it, too.
pub const CONFLICT_CONDITION: &str = "Conflict";

/// Type of our condition on Services.
pub const READY_CONDITION: &str = "fairlead.dev/LoadBalancerReady";
