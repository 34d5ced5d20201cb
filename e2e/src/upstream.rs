//! A kube-controller-manager beside the lab's own, to compare with.

use std::sync::Arc;

use crate::binaries;
use crate::control_plane::start_in;
use crate::error::Result;
use crate::lab::Shared;
use crate::manager::manager_host;
use crate::process::Process;

/// Starts it on a host of its own. See [`crate::Lab::upstream`].
pub(crate) async fn start(shared: &Arc<Shared>, controllers: &str, flags: &[&str]) -> Result<Process> {
    let binary = binaries::kubernetes("kube-controller-manager")?;
    let (host_name, host) = manager_host(shared).await?;
    let kubeconfig = shared.admin.display();
    let mut args = vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--controllers={controllers}"),
        "--leader-elect=false".to_owned(),
        // Controllers then ask for tokens of their own ServiceAccounts and have no more rights than in a cluster.
        "--use-service-account-credentials=true".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
    ];
    args.extend(flags.iter().map(|&flag| flag.to_owned()));
    let name = format!("kube-controller-manager-on-{host_name}");
    start_in(&shared.site, &host, &name, binary, args, Vec::new())
}
