//! etcd, kube-apiserver and kube-controller-manager of one lab.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api_server::ApiServer;
use crate::audit;
use crate::binaries;
use crate::builder::Options;
use crate::error::{Context, Result};
use crate::host::Host;
use crate::kubeconfig::{Identity, Writer};
use crate::network;
use crate::pki::Pki;
use crate::process::Process;
use crate::site::Site;
use crate::wait::{Stop, wait_or_stop};

/// Port of the first API server; further ones follow.
pub(crate) const API_PORT: u16 = 6443;
pub(crate) const ETCD_PORT: u16 = 2379;
/// Longer than any of them takes on a machine that is busy with builds.
pub(crate) const START_LIMIT: Duration = Duration::from_mins(2);
/// Folder of the audit logs.
pub(crate) const AUDIT: &str = "audit";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The processes of the control plane.
pub(crate) struct ControlPlane {
    pub(crate) etcd: Process,
    /// All on the same etcd; at least one.
    pub(crate) api_servers: Vec<ApiServer>,
    pub(crate) controller_manager: Process,
}

/// What every process of the control plane needs to know.
pub(crate) struct Start<'a> {
    pub(crate) site: &'a Site,
    pub(crate) host: &'a Host,
    pub(crate) pki: &'a Pki,
    pub(crate) options: &'a Options,
}

impl Start<'_> {
    /// etcd, once it answers.
    pub(crate) async fn etcd(&self) -> Result<Process> {
        let binary = binaries::kubernetes("etcd")?;
        let url = format!("http://127.0.0.1:{ETCD_PORT}");
        let peer = "http://127.0.0.1:2380";
        let args = vec![
            format!("--data-dir={}", self.site.folder().join("etcd").display()),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // The data is in memory anyway.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let etcd = self.process("etcd", binary, args)?;
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ETCD_PORT);
        ready(&etcd, async || answers_ok(self.host, address, "/health").await).await?;
        Ok(etcd)
    }

    /// kube-apiserver, started; it needs a second or two until it is ready. All but the first leave the `kubernetes`
    /// Service alone: they have its address, but not its port.
    pub(crate) fn api_server(&self, index: u8) -> Result<Process> {
        let binary = binaries::kubernetes("kube-apiserver")?;
        let file = |name: &str| self.pki.path(name).display().to_string();
        let mut args = vec![
            format!("--etcd-servers=http://127.0.0.1:{ETCD_PORT}"),
            format!("--secure-port={}", ApiServer::port(index)),
            format!("--advertise-address={}", self.host.ipv4()),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--service-account-issuer={ISSUER}"),
            format!("--api-audiences={ISSUER}"),
            format!("--service-account-signing-key-file={}", file("sa.key")),
            format!("--service-account-key-file={}", file("sa.pub")),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement".to_owned(),
            format!("--service-cluster-ip-range={}", network::SERVICE_RANGES.join(",")),
            "--service-node-port-range=30000-32767".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--profiling=false".to_owned(),
        ];
        let name = if index == 0 {
            "kube-apiserver".to_owned()
        } else {
            args.push("--endpoint-reconciler-type=none".to_owned());
            format!("kube-apiserver-{}", index + 1)
        };
        if self.options.audit {
            args.extend(audit::flags(&subfolder(self.site, AUDIT), index)?);
        }
        args.extend(self.options.api_server_flags.iter().cloned());
        self.process(&name, binary, args)
    }

    /// kube-controller-manager with the chosen controllers, started.
    pub(crate) async fn controller_manager(&self, kubeconfigs: &Writer) -> Result<Process> {
        let binary = binaries::kubernetes("kube-controller-manager")?;
        let identity = Identity::user("system:kube-controller-manager");
        let kubeconfig = kubeconfigs.write(&identity, self.pki, None).await?;
        let kubeconfig = kubeconfig.display();
        let file = |name: &str| self.pki.path(name).display().to_string();
        let mut args = vec![
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!("--controllers={}", self.options.controllers.join(",")),
            "--leader-elect=false".to_owned(),
            // Each controller's role is bound to a ServiceAccount of its own.
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", file("sa.key")),
            format!("--root-ca-file={}", file("ca.crt")),
            "--bind-address=127.0.0.1".to_owned(),
        ];
        args.extend(self.options.controller_manager_flags.iter().cloned());
        self.process("kube-controller-manager", binary, args)
    }

    fn process(&self, name: &str, binary: PathBuf, args: Vec<String>) -> Result<Process> {
        start_in(self.site, self.host, name, binary, args, Vec::new())
    }
}

/// Starts a binary on a host of the lab, with variables of its environment.
pub(crate) fn start_in(
    site: &Site,
    host: &Host,
    name: &str,
    binary: PathBuf,
    args: Vec<String>,
    environment: Vec<(String, String)>,
) -> Result<Process> {
    let host = host.clone();
    site.start(name, move || {
        let mut command = host.command(&binary);
        command.args(&args).envs(environment.iter().cloned());
        command
    })
}

/// Waits until a process that has just been started says that it is ready; ends at once when it dies instead.
pub(crate) async fn ready(
    process: &Process,
    mut condition: impl AsyncFnMut() -> Result<(), crate::NotYet>,
) -> Result<()> {
    let outcome = wait_or_stop(format!("{} to be ready", process.name()), START_LIMIT, async || {
        process.check().map_err(Stop::Never)?;
        condition().await.map_err(Stop::NotYet)
    })
    .await;
    match outcome {
        Err(crate::Error::Timeout { waited, last, .. }) => {
            Err(process.failure(&format!("was not ready after {waited:.0?} ({last})")))
        }
        other => other,
    }
}

/// Holds when GET is answered with 200.
pub(crate) async fn answers_ok(host: &Host, address: SocketAddr, path: &str) -> Result<(), crate::NotYet> {
    let response = host.http_get(address, path).await?;
    if response.status == 200 {
        Ok(())
    } else {
        Err(format!("{path} says {}: {}", response.status, response.body).into())
    }
}

/// Holds when the API server says that it is ready.
pub(crate) async fn api_ready(client: &kube::Client) -> Result<(), crate::NotYet> {
    let answer = client.request_text(get("/readyz")?).await?;
    if answer.trim() == "ok" { Ok(()) } else { Err(answer.into()) }
}

/// A GET request of the API server.
pub(crate) fn get(path: &str) -> Result<http::Request<Vec<u8>>> {
    http::Request::get(path)
        .body(Vec::new())
        .map_err(std::io::Error::other)
        .context(|| format!("asking for {path}"))
}

/// The folder of one kind of file in a lab.
pub(crate) fn subfolder(site: &Site, name: &str) -> PathBuf {
    Path::new(site.folder()).join(name)
}
