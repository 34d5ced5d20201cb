//! The kinds of object that the server knows.

/// A kind of object and how it behaves.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: &'static str,
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
}

/// Pods.
pub static PODS: Kind = Kind {
    group: "",
    plural: "pods",
    kind: "Pod",
    namespaced: true,
    has_status: true,
    has_generation: false,
};
/// Services.
pub static SERVICES: Kind = Kind {
    group: "",
    plural: "services",
    kind: "Service",
    namespaced: true,
    has_status: true,
    has_generation: false,
};
/// Nodes.
pub static NODES: Kind = Kind {
    group: "",
    plural: "nodes",
    kind: "Node",
    namespaced: false,
    has_status: true,
    has_generation: false,
};
/// EndpointSlices.
pub static SLICES: Kind = Kind {
    group: "discovery.k8s.io",
    plural: "endpointslices",
    kind: "EndpointSlice",
    namespaced: true,
    has_status: false,
    has_generation: true,
};
/// Leases.
pub static LEASES: Kind = Kind {
    group: "coordination.k8s.io",
    plural: "leases",
    kind: "Lease",
    namespaced: true,
    has_status: false,
    has_generation: false,
};
/// Endpoints.
pub static ENDPOINTS: Kind = Kind {
    group: "",
    plural: "endpoints",
    kind: "Endpoints",
    namespaced: true,
    has_status: false,
    has_generation: false,
};

static KINDS: [&Kind; 6] = [&PODS, &SERVICES, &NODES, &SLICES, &ENDPOINTS, &LEASES];

impl Kind {
    /// `apiVersion`. All kinds are at `v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", self.group) }
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
