//! `fairlead speaker` under test.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use k8s_openapi::api::authentication::v1::BoundObjectReference;

use crate::api_server::Endpoint;
use crate::binaries;
use crate::control_plane::subfolder;
use crate::error::{Context, Result};
use crate::host::Host;
use crate::kubeconfig::Identity;
use crate::lab::{Lab, Shared};
use crate::manager::{apply_crds, apply_policy, apply_rbac};
use crate::node::Node;
use crate::pod_builder::PodBuilder;
use crate::role::Role;

/// Port of the admin server; each speaker has a node of its own.
const ADMIN_PORT: u16 = 10271;
/// Namespace and ServiceAccount of config/rbac.
const NAMESPACE: &str = "fairlead-system";
const ACCOUNT: &str = "fairlead-speaker";
/// Length of a key in bytes.
const KEY: usize = 32;

/// A `fairlead speaker` about to be started: see [`Lab::speaker`].
#[derive(Clone)]
#[must_use = "nothing happens before `start`"]
pub struct SpeakerBuilder {
    shared: Arc<Shared>,
    node: String,
    host: Host,
    /// Of the admin server; 0 for one that nobody needs to know.
    port: u16,
    endpoint: Option<Endpoint>,
    keys: Option<PathBuf>,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Lab {
    /// A speaker to be, on a node: with a token bound to a Pod of ServiceAccount `fairlead-speaker` on that node, the
    /// rights of `config/rbac` within the bounds of `config/policy`, the lab's beacon key, and of all of root's
    /// capabilities only `CAP_NET_RAW`.
    pub fn speaker(&self, node: &Node) -> SpeakerBuilder {
        self.speaker_on(node.host(), node.name(), ADMIN_PORT)
    }

    /// A speaker to be for a paper node, on any host, where others like it may run: it uses none of the host's interfaces,
    /// and its admin server is on a port that nobody knows. What it asks the API server for is that of any speaker.
    pub fn paper_speaker(&self, node: &str, host: &Host) -> SpeakerBuilder {
        self.speaker_on(host, node, 0).flag("--excluded-interfaces=*")
    }

    fn speaker_on(&self, host: &Host, node: &str, port: u16) -> SpeakerBuilder {
        SpeakerBuilder {
            shared: self.shared_arc(),
            node: node.to_owned(),
            host: host.clone(),
            port,
            endpoint: None,
            keys: None,
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Speakers on these nodes, once all are ready.
    ///
    /// # Errors
    /// As [`SpeakerBuilder::start`].
    pub async fn speakers(&self, nodes: &[Node]) -> Result<Vec<Speaker>> {
        futures::future::try_join_all(nodes.iter().map(|node| self.speaker(node).start())).await
    }
}

impl SpeakerBuilder {
    /// Connects it to another API server than the first one, or to [`crate::Faults`]. Both are given by reference.
    pub fn through(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Beacon keys in another folder than the lab's.
    pub fn keys(mut self, folder: PathBuf) -> Self {
        self.keys = Some(folder);
        self
    }

    /// A further flag, such as `--drain-limit=0s`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A variable of its environment, such as `RUST_LOG`.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Applies `config/rbac`, `config/crd` and `config/policy`, starts the speaker and waits until `/readyz` says ok.
    ///
    /// # Errors
    /// [`crate::Error::Component`] with the end of its log when it ends or is late.
    pub async fn start(self) -> Result<Speaker> {
        let speaker = self.spawn().await?;
        speaker.wait_ready().await?;
        Ok(speaker)
    }

    /// [`SpeakerBuilder::start`] without waiting.
    ///
    /// # Errors
    /// [`crate::Error::MissingBinary`] when there is no binary, [`crate::Error::Api`] when there is no token for it.
    pub async fn spawn(self) -> Result<Speaker> {
        let shared = self.shared;
        let binary = binaries::fairlead()?;
        apply_rbac(&shared).await?;
        apply_crds(&shared).await?;
        apply_policy(&shared).await?;
        let identity = pod(&shared, &self.node, &self.host).await?;
        let (kubeconfigs, admin) = (&shared.kubeconfigs, Some(&shared.api));
        let kubeconfig = match &self.endpoint {
            Some(endpoint) => kubeconfigs.write_to(endpoint, &identity, &shared.pki, admin).await?,
            None => kubeconfigs.write(&identity, &shared.pki, admin).await?,
        };
        let keys = match self.keys {
            Some(folder) => folder,
            None => keys(&shared)?,
        };
        let mut args = vec![
            "speaker".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--node-name={}", self.node),
            format!("--namespace={NAMESPACE}"),
            format!("--admin-bind-address=127.0.0.1:{}", self.port),
            format!("--beacon-key-dir={}", keys.display()),
        ];
        args.extend(self.flags);
        let environment = self.environment;
        let host = self.host.clone();
        let process = shared.site.start(&name(&self.node), move || {
            let mut command = with_net_raw_only(&host);
            command.arg(&binary).args(&args).envs(environment.iter().cloned());
            command
        })?;
        if let Some(node) = shared.nodes.iter().find(|node| node.name() == self.node) {
            node.add_process(process.clone());
        }
        Ok(Speaker { node: self.node, role: Role::new(self.host, process, self.port) })
    }
}

/// A command line on a host that is UID 0 with a cut bounding set, as a container with `drop: [ALL]`, `add: [NET_RAW]`.
fn with_net_raw_only(host: &Host) -> Command {
    let mut command = host.command("setpriv");
    command.args(["--inh-caps=-all,+net_raw", "--bounding-set=-all,+net_raw", "--no-new-privs", "--"]);
    command
}

fn name(node: &str) -> String {
    format!("speaker-{node}")
}

/// The Pod of the speaker on a node, which its token is bound to: one for each node, however often it is started.
async fn pod(shared: &Arc<Shared>, node: &str, host: &Host) -> Result<Identity> {
    let name = name(node);
    let addresses = [IpAddr::V4(host.ipv4()), IpAddr::V6(host.ipv6())];
    let pod = PodBuilder::new(shared.clone(), NAMESPACE, &name)
        .on(node)
        .paper_with(&addresses)
        .label("app.kubernetes.io/component", "speaker")
        .customize(|pod| {
            if let Some(spec) = &mut pod.spec {
                spec.service_account_name = Some(ACCOUNT.to_owned());
                spec.host_network = Some(true);
                spec.containers.iter_mut().for_each(|container| container.ports = None);
            }
        });
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(shared.api.clone(), NAMESPACE);
    let found = pods.get_opt(&name).await.context(|| format!("looking for the Pod {name}"))?;
    if found.is_none() {
        pod.start().await?;
    }
    let object = pods.get(&name).await.context(|| format!("reading the Pod {name}"))?;
    Ok(Identity::BoundServiceAccount {
        namespace: NAMESPACE.to_owned(),
        name: ACCOUNT.to_owned(),
        bound_to: BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name),
            uid: object.metadata.uid,
        },
    })
}

/// The folder with the lab's beacon key, as a Secret is mounted into a Pod.
fn keys(shared: &Shared) -> Result<PathBuf> {
    let folder = subfolder(&shared.site, "beacon-key");
    let file = folder.join("key");
    if !file.exists() {
        write_key(&folder, "key", &random_key())?;
    }
    Ok(folder)
}

/// 32 bytes that no other lab has.
fn random_key() -> [u8; KEY] {
    let mut key = [0; KEY];
    fastrand::fill(&mut key);
    key
}

fn write_key(folder: &std::path::Path, name: &str, key: &[u8]) -> Result<()> {
    let what = || format!("writing a beacon key to {}", folder.display());
    fs::create_dir_all(folder).context(what)?;
    // Written aside and renamed, so that several speakers that start at once read whole keys and the same ones.
    let aside = folder.with_extension(format!("{}.new", fastrand::u64(..)));
    fs::write(&aside, key).context(what)?;
    let linked = fs::hard_link(&aside, folder.join(name));
    fs::remove_file(&aside).context(what)?;
    match linked {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome.context(what),
    }
}

/// A `fairlead speaker` in the lab. Dropping this handle leaves it running until the lab ends.
#[derive(Clone)]
pub struct Speaker {
    node: String,
    role: Role,
}

impl Speaker {
    /// Name of its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }
}

impl Deref for Speaker {
    type Target = Role;

    fn deref(&self) -> &Role {
        &self.role
    }
}

impl fmt::Debug for Speaker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Speaker").field("node", &self.node).finish_non_exhaustive()
    }
}
