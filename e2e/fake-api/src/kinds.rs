//! The kinds of object that the server knows.

/// A kind of object and how it behaves.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// API version without the group.
    pub version: &'static str,
    /// Name in paths; unique among the kinds here.
    pub plural: &'static str,
    /// `kind`.
    pub kind: &'static str,
    /// Is it in namespaces?
    pub namespaced: bool,
    /// Is `status` written through a path of its own only?
    pub has_status: bool,
    /// Does the server count generations?
    pub has_generation: bool,
    /// `status.phase` of a new object, as its schema has it.
    pub first_phase: Option<&'static str>,
}

/// Pods.
pub static PODS: Kind = Kind {
    group: "",
    version: "v1",
    plural: "pods",
    kind: "Pod",
    namespaced: true,
    has_status: true,
    has_generation: false,
    first_phase: None,
};
/// Services.
pub static SERVICES: Kind = Kind {
    group: "",
    version: "v1",
    plural: "services",
    kind: "Service",
    namespaced: true,
    has_status: true,
    has_generation: false,
    first_phase: None,
};
/// Nodes.
pub static NODES: Kind = Kind {
    group: "",
    version: "v1",
    plural: "nodes",
    kind: "Node",
    namespaced: false,
    has_status: true,
    has_generation: false,
    first_phase: None,
};
/// EndpointSlices.
pub static SLICES: Kind = Kind {
    group: "discovery.k8s.io",
    version: "v1",
    plural: "endpointslices",
    kind: "EndpointSlice",
    namespaced: true,
    has_status: false,
    has_generation: true,
    first_phase: None,
};
/// Leases.
pub static LEASES: Kind = Kind {
    group: "coordination.k8s.io",
    version: "v1",
    plural: "leases",
    kind: "Lease",
    namespaced: true,
    has_status: false,
    has_generation: false,
    first_phase: None,
};
/// Endpoints.
pub static ENDPOINTS: Kind = Kind {
    group: "",
    version: "v1",
    plural: "endpoints",
    kind: "Endpoints",
    namespaced: true,
    has_status: false,
    has_generation: false,
    first_phase: None,
};

/// Namespaces. Objects can be in namespaces that do not exist here.
pub static NAMESPACES: Kind = Kind {
    group: "",
    version: "v1",
    plural: "namespaces",
    kind: "Namespace",
    namespaced: false,
    has_status: true,
    has_generation: false,
    first_phase: None,
};
/// ServiceCIDRs.
pub static SERVICE_CIDRS: Kind = Kind {
    group: "networking.k8s.io",
    version: "v1",
    plural: "servicecidrs",
    kind: "ServiceCIDR",
    namespaced: false,
    has_status: true,
    has_generation: false,
    first_phase: None,
};
/// LoadBalancerPools.
pub static POOLS: Kind = fairlead("loadbalancerpools", "LoadBalancerPool", false, None);
/// LoadBalancerAddresses.
pub static ADDRESSES: Kind = fairlead("loadbalanceraddresses", "LoadBalancerAddress", false, Some("Bound"));
/// Layer2Announcements.
pub static ANNOUNCEMENTS: Kind = fairlead("layer2announcements", "Layer2Announcement", false, None);
/// ServiceReservations.
pub static RESERVATIONS: Kind = fairlead("servicereservations", "ServiceReservation", true, None);

/// A kind of a CustomResourceDefinition of Fairlead.
const fn fairlead(
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    first_phase: Option<&'static str>,
) -> Kind {
    Kind {
        group: "fairlead.dev",
        version: "v1alpha1",
        plural,
        kind,
        namespaced,
        has_status: true,
        has_generation: true,
        first_phase,
    }
}

static KINDS: [&Kind; 12] = [
    &PODS,
    &SERVICES,
    &NODES,
    &SLICES,
    &ENDPOINTS,
    &LEASES,
    &NAMESPACES,
    &SERVICE_CIDRS,
    &POOLS,
    &ADDRESSES,
    &ANNOUNCEMENTS,
    &RESERVATIONS,
];

impl Kind {
    /// `apiVersion`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `endpointslices.discovery.k8s.io`, as in messages of the API server.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The kind with this group and plural.
    #[must_use]
    pub fn find(group: &str, plural: &str) -> Option<&'static Self> {
        KINDS.into_iter().find(|kind| kind.group == group && kind.plural == plural)
    }
}
