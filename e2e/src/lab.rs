//! A running lab.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Display;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Endpoint};
use crate::audit::{self, AuditedWrite};
use crate::binaries;
use crate::body::{self, Body};
use crate::builder::{LabBuilder, blocking};
use crate::command;
use crate::control_plane::{AUDIT, ControlPlane, subfolder};
use crate::error::{Context, Error, Result};
use crate::etcd;
use crate::faults::Faults;
use crate::host::Host;
use crate::kubeconfig::{Identity, Writer};
use crate::manager::{ManagerBuilder, further_host};
use crate::metrics::{Metrics, Writes};
use crate::network;
use crate::node::{self, Node, parse};
use crate::pki::Pki;
use crate::pod::Families;
use crate::pod_builder::PodBuilder;
use crate::process::Process;
use crate::site::Site;
use crate::wait::{NotYet, Stop, wait_or_stop};

/// A running lab: a control plane, nodes and a client in network namespaces of their own. Dropping it ends and
/// removes everything, also what handles such as [`crate::Pod`] still point to.
pub struct Lab {
    shared: Arc<Shared>,
    start_time: Duration,
}

/// What the handles of a lab share.
pub(crate) struct Shared {
    pub(crate) families: Families,
    pub(crate) site: Site,
    pub(crate) pki: Pki,
    pub(crate) kubeconfigs: Writer,
    pub(crate) admin: PathBuf,
    pub(crate) api: kube::Client,
    pub(crate) switch: Host,
    pub(crate) control_plane_host: Host,
    pub(crate) control_plane: ControlPlane,
    pub(crate) client: Host,
    pub(crate) nodes: Vec<Node>,
    /// By namespace and name of the Pod.
    pub(crate) bodies: Mutex<HashMap<(String, String), Body>>,
    pub(crate) turns: AtomicUsize,
    pub(crate) papers: AtomicU32,
    pub(crate) managers: AtomicU8,
    /// Whether config/rbac has been applied.
    pub(crate) rbac: tokio::sync::OnceCell<()>,
    /// Whether config/crd has been applied.
    pub(crate) crds: tokio::sync::OnceCell<()>,
    /// Whether config/policy has been applied.
    pub(crate) policy: tokio::sync::OnceCell<()>,
}

impl Shared {
    /// See [`Lab::wait_until`].
    pub(crate) async fn wait_until<T>(
        &self,
        what: impl Display,
        timeout: Duration,
        mut condition: impl AsyncFnMut() -> Result<T, NotYet>,
    ) -> Result<T> {
        wait_or_stop(what, timeout, async || {
            self.site.check().map_err(Stop::Never)?;
            condition().await.map_err(Stop::NotYet)
        })
        .await
    }

    /// The node whose turn it is.
    pub(crate) fn next_node(&self) -> Option<&Node> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        self.nodes.get(turn % self.nodes.len().max(1))
    }

    /// Addresses for a Pod that nobody will connect to.
    pub(crate) fn next_paper_address(&self) -> (Ipv4Addr, Ipv6Addr) {
        let number = self.papers.fetch_add(1, Ordering::Relaxed);
        let ipv4 = u32::from(Ipv4Addr::new(10, 64, 0, 0)) | (number & 0x001f_ffff);
        let ipv6 = u128::from(Ipv6Addr::new(0xfd00, 0x10, 0x64, 0, 0, 0, 0, 0)) | u128::from(number);
        (ipv4.into(), ipv6.into())
    }
}

impl Lab {
    /// A lab to be: three nodes in three zones, kube-proxy in nftables mode.
    pub fn builder() -> LabBuilder {
        LabBuilder::new()
    }

    pub(crate) fn new(shared: Arc<Shared>, start_time: Duration) -> Self {
        Self { shared, start_time }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn shared_arc(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// How long it took from the call of `start` until everything was ready.
    #[must_use]
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    /// A Kubernetes client that may do everything.
    #[must_use]
    pub fn api(&self) -> kube::Client {
        self.shared.api.clone()
    }

    /// Number of the lab among those of these namespaces, and part of the names of its namespaces (`lab0-node-1`).
    #[must_use]
    pub fn number(&self) -> u32 {
        self.shared.site.number()
    }

    /// Where its files are: logs, kubeconfigs, certificates, etcd's data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.shared.site.folder()
    }

    /// The client: a host on the nodes' segment that is no node. Its way to ClusterIPs is through the first node.
    #[must_use]
    pub fn client(&self) -> &Host {
        &self.shared.client
    }

    /// The host with etcd, the API server and kube-controller-manager.
    #[must_use]
    pub fn control_plane(&self) -> &Host {
        &self.shared.control_plane_host
    }

    /// The host with the bridge that all others are plugged into, each by a port of its own name.
    #[must_use]
    pub fn switch(&self) -> &Host {
        &self.shared.switch
    }

    /// The nodes with hosts, `node-1` first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.shared.nodes
    }

    /// The node of this name.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let node = self.shared.nodes.iter().find(|node| node.name() == name);
        node.ok_or_else(|| {
            Error::Invalid(format!("there is no {name}: the lab has {} nodes", self.shared.nodes.len()))
        })
    }

    /// etcd.
    #[must_use]
    pub fn etcd(&self) -> &Process {
        &self.shared.control_plane.etcd
    }

    /// The process of the first kube-apiserver.
    #[must_use]
    pub fn api_server(&self) -> &Process {
        self.api_servers()[0].process()
    }

    /// All API servers, at least one, on one etcd.
    #[must_use]
    pub fn api_servers(&self) -> &[ApiServer] {
        &self.shared.control_plane.api_servers
    }

    /// kube-controller-manager.
    #[must_use]
    pub fn controller_manager(&self) -> &Process {
        &self.shared.control_plane.controller_manager
    }

    /// Sends the client's connections to ClusterIPs through another node.
    ///
    /// # Errors
    /// [`Error::Command`] with what `ip` said.
    pub fn route_services_through(&self, node: &Node) -> Result<()> {
        self.shared.client.ip(&network::route_to_services(node.host()))
    }

    /// A kubeconfig file for somebody. It works in the namespaces of the test and on every host of the lab.
    ///
    /// # Errors
    /// [`Error::Api`] when a ServiceAccount does not exist.
    pub async fn kubeconfig(&self, identity: &Identity) -> Result<PathBuf> {
        self.shared.kubeconfigs.write(identity, &self.shared.pki, Some(&self.shared.api)).await
    }

    /// A Kubernetes client for somebody.
    ///
    /// # Errors
    /// As [`Lab::kubeconfig`].
    pub async fn api_as(&self, identity: &Identity) -> Result<kube::Client> {
        crate::kubeconfig::client(&self.kubeconfig(identity).await?).await
    }

    /// A kubeconfig file for another API server than the first one, or for [`Faults`].
    ///
    /// # Errors
    /// As [`Lab::kubeconfig`]; [`Error::Invalid`] for faults and an identity other than a ServiceAccount.
    pub async fn kubeconfig_through(
        &self,
        endpoint: impl Into<Endpoint>,
        identity: &Identity,
    ) -> Result<PathBuf> {
        let shared = &self.shared;
        shared.kubeconfigs.write_to(&endpoint.into(), identity, &shared.pki, Some(&shared.api)).await
    }

    /// A Kubernetes client for another API server than the first one, or for [`Faults`].
    ///
    /// # Errors
    /// As [`Lab::kubeconfig_through`].
    pub async fn api_through(
        &self,
        endpoint: impl Into<Endpoint>,
        identity: &Identity,
    ) -> Result<kube::Client> {
        crate::kubeconfig::client(&self.kubeconfig_through(endpoint, identity).await?).await
    }

    /// Starts a layer of faults in front of the API servers, calm at first. The seed loads the dice of those that
    /// happen by chance. Whoever is to go through it says so: [`ManagerBuilder::through`], [`Lab::api_through`].
    ///
    /// # Errors
    /// [`Error::Io`] when there is no port for it.
    pub fn faults(&self, seed: u64) -> Result<Faults> {
        Faults::start(self.shared.clone(), seed)
    }

    /// Makes etcd forget all versions but the newest, as it does every few minutes for an API server, and returns
    /// that version. An API server remembers more than etcd; [`Process::restart`] makes it forget, too.
    ///
    /// # Errors
    /// [`Error::Http`] when etcd refuses it.
    pub async fn compact(&self) -> Result<u64> {
        etcd::compact(&self.shared.control_plane_host).await
    }

    /// Runs kubectl as admin and returns what it printed.
    ///
    /// # Errors
    /// [`Error::Command`] with what it complained about.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_with_input(args, "").await
    }

    /// [`Lab::kubectl`] with a manifest on its standard input, for `apply -f -`.
    ///
    /// # Errors
    /// [`Error::Command`] with what it complained about.
    pub async fn kubectl_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        let binary = binaries::kubernetes("kubectl")?;
        let mut all = vec![
            format!("--kubeconfig={}", self.shared.admin.display()),
            // Without an own cache, kubectl would name API versions of an earlier lab on the same address.
            format!("--cache-dir={}", self.folder().join("kubectl-cache").display()),
        ];
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        let input = input.to_owned();
        blocking(move || command::run(binary, &all, &input)).await
    }

    /// Creates a namespaced object from JSON, without `apiVersion` and `kind`.
    ///
    /// # Errors
    /// [`Error::Api`] when the API server refuses it, [`Error::Io`] when the JSON is none of that kind.
    pub async fn create<K>(&self, namespace: &str, object: Value) -> Result<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + fmt::Debug + DeserializeOwned + Serialize,
    {
        let name = object["metadata"]["name"].as_str().unwrap_or("(without a name)").to_owned();
        let api: Api<K> = Api::namespaced(self.api(), namespace);
        let created = api.create(&PostParams::default(), &parse(object)?).await;
        created.context(|| format!("creating the {} {namespace}/{name}", K::kind(&())))
    }

    /// Creates a namespace with its ServiceAccount, so that Pods are admitted at once.
    ///
    /// # Errors
    /// [`Error::Api`] when the API server refuses it.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<core::Namespace> = Api::all(self.api());
        let object = parse(json!({ "metadata": { "name": name } }))?;
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .context(|| format!("creating the Namespace {name}"))?;
        self.default_account(name).await
    }

    /// kube-controller-manager makes this one too; whoever is first.
    async fn default_account(&self, namespace: &str) -> Result<()> {
        let accounts: Api<core::ServiceAccount> = Api::namespaced(self.api(), namespace);
        let object = parse(json!({ "metadata": { "name": "default" } }))?;
        match accounts.create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            outcome => {
                outcome.map(drop).context(|| format!("creating the ServiceAccount {namespace}/default"))
            }
        }
    }

    /// A Pod to be.
    pub fn pod(&self, namespace: &str, name: &str) -> PodBuilder {
        PodBuilder::new(self.shared.clone(), namespace, name)
    }

    /// A Node without a host: the API object only, Ready, with addresses that nobody answers.
    ///
    /// # Errors
    /// [`Error::Api`] when the API server refuses it.
    pub async fn paper_node(&self, name: &str, zone: Option<&str>) -> Result<()> {
        let (ipv4, ipv6) = self.shared.next_paper_address();
        node::register(&self.shared.api, name, zone, &[ipv4.to_string(), ipv6.to_string()], None).await
    }

    /// Sets a label of a Node, or removes it.
    ///
    /// # Errors
    /// [`Error::Api`] when there is no such Node.
    pub async fn label_node(&self, name: &str, key: &str, value: Option<&str>) -> Result<()> {
        let nodes: Api<core::Node> = Api::all(self.api());
        let patch = Patch::Merge(json!({ "metadata": { "labels": { key: value } } }));
        let patched = nodes.patch(name, &PatchParams::default(), &patch).await;
        patched.map(drop).context(|| format!("changing the label {key} of the Node {name}"))
    }

    /// Sets a condition of a Node, such as `Ready` to `False`.
    ///
    /// # Errors
    /// [`Error::Api`] when there is no such Node.
    pub async fn set_node_condition(&self, name: &str, kind: &str, status: &str) -> Result<()> {
        let nodes: Api<core::Node> = Api::all(self.api());
        let condition =
            json!({ "type": kind, "status": status, "reason": "LabSays", "message": "the lab says so" });
        // Conditions of other types stay: they are merged by their type.
        let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
        let patched = nodes.patch_status(name, &PatchParams::default(), &patch).await;
        patched.map(drop).context(|| format!("setting {kind}={status} of the Node {name}"))
    }

    /// Changes the spec of a Node, for example `{"taints": [...]}`.
    ///
    /// # Errors
    /// [`Error::Api`] when there is no such Node.
    pub async fn patch_node_spec(&self, name: &str, spec: Value) -> Result<()> {
        let nodes: Api<core::Node> = Api::all(self.api());
        let patched =
            nodes.patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await;
        patched.map(drop).context(|| format!("changing the spec of the Node {name}"))
    }

    /// A `fairlead manager` to be.
    pub fn manager(&self) -> ManagerBuilder {
        ManagerBuilder::new(self.shared.clone())
    }

    /// A machine outside of the cluster with an HTTP server on a port, which answers with the machine's name. It stays
    /// until the end of the lab.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the lab's addresses are used up.
    pub async fn outside_server(&self, name: &str, port: u16) -> Result<Host> {
        let host = further_host(&self.shared, name).await?;
        body::listen(&self.shared.site, &host, name, port)?;
        Ok(host)
    }

    /// One more kube-controller-manager, on a host of its own like a manager's, that runs only `controllers` (in the
    /// syntax of `--controllers`) and each of them with the rights of its own ServiceAccount. It is started and not
    /// waited for.
    ///
    /// # Errors
    /// [`Error::MissingBinary`] when there is no binary.
    pub async fn upstream(&self, controllers: &str, flags: &[&str]) -> Result<Process> {
        crate::upstream::start(&self.shared, controllers, flags).await
    }

    /// Applies `config/rbac`, once. [`ManagerBuilder::start`] does it by itself.
    ///
    /// # Errors
    /// [`Error::Command`] with what kubectl complained about.
    pub async fn apply_rbac(&self) -> Result<()> {
        crate::manager::apply_rbac(&self.shared).await
    }

    /// Applies `config/crd`, once. [`ManagerBuilder::start`] does it by itself for a controller that needs it.
    ///
    /// # Errors
    /// [`Error::Command`] with what kubectl complained about.
    pub async fn apply_crds(&self) -> Result<()> {
        crate::manager::apply_crds(&self.shared).await
    }

    /// Applies `config/policy`, once. [`SpeakerBuilder::start`] does it by itself.
    ///
    /// # Errors
    /// [`Error::Command`] with what kubectl complained about.
    ///
    /// [`SpeakerBuilder::start`]: crate::SpeakerBuilder::start
    pub async fn apply_policy(&self) -> Result<()> {
        crate::manager::apply_policy(&self.shared).await
    }

    /// The metrics of the first API server.
    ///
    /// # Errors
    /// [`Error::Api`] when it does not answer.
    pub async fn api_server_metrics(&self) -> Result<Metrics> {
        self.api_servers()[0].metrics().await
    }

    /// The version of the API server, such as `v1.36.3`.
    ///
    /// # Errors
    /// [`Error::Api`] when it does not answer.
    pub async fn api_version(&self) -> Result<String> {
        let version = self.shared.api.apiserver_version().await;
        Ok(version.context(|| "asking the API server for its version".into())?.git_version)
    }

    /// How often the API servers were asked to write so far, since each of them started. Compare two with
    /// [`Writes::since`].
    ///
    /// # Errors
    /// [`Error::Api`] when one of them does not answer.
    pub async fn writes(&self) -> Result<Writes> {
        let mut writes = Writes::default();
        for server in self.api_servers() {
            writes.add(&server.writes().await?);
        }
        Ok(writes)
    }

    /// All writes that the API servers were asked for so far and have answered, by time. For a lab with
    /// [`LabBuilder::audit`].
    ///
    /// # Errors
    /// [`Error::Io`] when there is no log.
    pub fn audited_writes(&self) -> Result<Vec<AuditedWrite>> {
        let servers = self.api_servers().len().try_into().unwrap_or(u8::MAX);
        audit::read(&subfolder(&self.shared.site, AUDIT), servers)
    }

    /// [`crate::wait_until`] that also ends, with the end of its log, when a process of the lab dies meanwhile.
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::Component`].
    pub async fn wait_until<T>(
        &self,
        what: impl Display,
        timeout: Duration,
        condition: impl AsyncFnMut() -> Result<T, NotYet>,
    ) -> Result<T> {
        self.shared.wait_until(what, timeout, condition).await
    }

    /// Fails if a process of the lab ended although nobody asked it to.
    ///
    /// # Errors
    /// [`Error::Component`] with how it ended and the last lines of its log.
    pub fn check(&self) -> Result<()> {
        self.shared.site.check()
    }

    /// Writes the file that `hack/in-lab` reads: kubectl, its kubeconfig and the names of the hosts.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn publish(&self) -> Result<()> {
        let content = format!(
            "export KUBECONFIG='{}' PATH='{}':\"$PATH\" HOME=/run/home\nFAIRLEAD_LAB_PREFIX={}\n",
            self.shared.admin.display(),
            binaries::folder()?.display(),
            self.shared.site.prefix(),
        );
        let path = self.folder().join("env");
        fs::write(&path, content).context(|| format!("writing {}", path.display()))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shared.site.clean_up();
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lab").field("number", &self.number()).finish_non_exhaustive()
    }
}

/// Holds when kube-controller-manager has made the namespace's ServiceAccount: it works.
pub(crate) async fn default_account_exists(api: &kube::Client, namespace: &str) -> Result<(), NotYet> {
    let accounts: Api<core::ServiceAccount> = Api::namespaced(api.clone(), namespace);
    accounts.get("default").await?;
    Ok(())
}
