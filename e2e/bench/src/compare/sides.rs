//! The two processes that are compared.

use lab::{Lab, Result};

use super::{OURS, UPSTREAM};
use crate::side::Side;

/// So many objects each controller works on at a time, on both sides.
const WORKERS: [(&str, &str); 3] = [
    ("endpoints-controller", "--concurrent-endpoint-syncs=50"),
    ("endpointslice-controller", "--concurrent-service-endpoint-syncs=50"),
    ("endpointslice-mirroring-controller", "--mirroring-concurrent-service-endpoint-syncs=50"),
];
/// The flags for the workers of these controllers: a controller that is off may not know its own.
fn workers(controllers: &str) -> impl Iterator<Item = &'static str> {
    let is_on = |name: &str| controllers.split(',').any(|controller| controller == name);
    WORKERS.iter().filter(move |(name, _)| is_on(name)).map(|(_, flag)| *flag)
}

/// `fairlead manager` with the ServiceAccount of `config/rbac`.
pub(super) async fn fairlead(lab: &Lab, controllers: &str) -> Result<Side> {
    let manager = lab.manager().controllers(controllers);
    let manager = workers(controllers).fold(manager, lab::ManagerBuilder::flag);
    Side::ended(OURS, manager.spawn().await?.process().clone()).await
}

/// A kube-controller-manager that runs these controllers only and is not held back by its client.
pub(super) async fn upstream(lab: &Lab, controllers: &str) -> Result<Side> {
    let unlimited = ["--kube-api-qps=10000", "--kube-api-burst=10000"];
    let flags: Vec<_> = unlimited.into_iter().chain(workers(controllers)).collect();
    Side::ended(UPSTREAM, lab.upstream(controllers, &flags).await?).await
}
