//! `fairlead manager` under test.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::api_server::Endpoint;
use crate::binaries;
use crate::builder::blocking;
use crate::command;
use crate::control_plane::start_in;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::kubeconfig::Identity;
use crate::lab::Shared;
use crate::network;
use crate::object::Kind;
use crate::role::Role;

/// Port of the admin server; each manager has a host of its own.
const ADMIN_PORT: u16 = 10270;
/// How many managers a lab can have had.
const MOST: u8 = 49;

/// A `fairlead manager` about to be started: see [`crate::Lab::manager`].
#[derive(Clone)]
#[must_use = "nothing happens before `start`"]
pub struct ManagerBuilder {
    shared: Arc<Shared>,
    controllers: String,
    identity: Identity,
    endpoint: Option<Endpoint>,
    leader_elect: bool,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

impl ManagerBuilder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            controllers: "*".to_owned(),
            identity: Identity::service_account("fairlead-system", "fairlead-manager"),
            endpoint: None,
            leader_elect: false,
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The value of `--controllers`, `*` by default.
    pub fn controllers(mut self, list: &str) -> Self {
        list.clone_into(&mut self.controllers);
        self
    }

    /// Another identity than the ServiceAccount of `config/rbac`, for example one without rights.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Connects it to another API server than the first one, or to [`crate::Faults`]. Both are given by reference.
    pub fn through(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Whether it takes part in leader election; by default it does not. Its identity in the Lease begins with
    /// [`Manager::name`].
    pub fn leader_elect(mut self, elect: bool) -> Self {
        self.leader_elect = elect;
        self
    }

    /// The times of leader election: lease duration, renew deadline and retry period.
    pub fn lease_times(self, duration: Duration, deadline: Duration, retry: Duration) -> Self {
        self.flag(&format!("--leader-elect-lease-duration={}ms", duration.as_millis()))
            .flag(&format!("--leader-elect-renew-deadline={}ms", deadline.as_millis()))
            .flag(&format!("--leader-elect-retry-period={}ms", retry.as_millis()))
    }

    /// A further flag, such as `--max-endpoints-per-slice=2`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A variable of its environment, such as `RUST_LOG`.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Applies `config/rbac`, and `config/crd` where a controller needs it, starts the manager on a host of its own and waits until `/readyz` says ok.
    ///
    /// # Errors
    /// [`Error::Component`] with the end of its log when it ends or is late.
    pub async fn start(self) -> Result<Manager> {
        let manager = self.spawn().await?;
        manager.wait_ready().await?;
        Ok(manager)
    }

    /// [`ManagerBuilder::start`] without waiting, for managers that cannot become ready.
    ///
    /// # Errors
    /// [`Error::MissingBinary`] when there is no binary, [`Error::Api`] when there is no token for it.
    pub async fn spawn(self) -> Result<Manager> {
        let shared = self.shared;
        let binary = binaries::fairlead()?;
        apply_rbac(&shared).await?;
        if needs_crds(&self.controllers) {
            apply_crds(&shared).await?;
        }
        let (kubeconfigs, admin) = (&shared.kubeconfigs, Some(&shared.api));
        let kubeconfig = match &self.endpoint {
            Some(endpoint) => kubeconfigs.write_to(endpoint, &self.identity, &shared.pki, admin).await?,
            None => kubeconfigs.write(&self.identity, &shared.pki, admin).await?,
        };
        let (name, host) = manager_host(&shared).await?;
        let mut args = vec![
            "manager".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--controllers={}", self.controllers),
            format!("--leader-elect={}", self.leader_elect),
            format!("--admin-bind-address=127.0.0.1:{ADMIN_PORT}"),
        ];
        args.extend(self.flags);
        let mut environment = vec![("POD_NAME".to_owned(), name.clone())];
        environment.extend(self.environment);
        let process = start_in(&shared.site, &host, &name, binary, args, environment)?;
        Ok(Manager { name, role: Role::new(host, process, ADMIN_PORT) })
    }
}

/// A host of its own for one more process that writes slices, and the host's name.
pub(crate) async fn manager_host(shared: &Arc<Shared>) -> Result<(String, Host)> {
    let number = next_number(shared)?;
    let name = format!("manager-{number}");
    let host = host(shared, number, &name).await?;
    Ok((name, host))
}

/// A host on the switch that is none of the lab's own, such as a machine outside of the cluster.
pub(crate) async fn further_host(shared: &Arc<Shared>, name: &str) -> Result<Host> {
    host(shared, next_number(shared)?, name).await
}

fn next_number(shared: &Shared) -> Result<u8> {
    let number = shared.managers.fetch_add(1, Ordering::Relaxed);
    if number < MOST {
        return Ok(number);
    }
    Err(Error::Invalid(format!("the lab has had {MOST} managers, and its addresses are used up")))
}

async fn host(shared: &Arc<Shared>, number: u8, name: &str) -> Result<Host> {
    let (shared, name) = (shared.clone(), name.to_owned());
    blocking(move || {
        let (ipv4, ipv6) = network::segment(network::manager_number(number));
        let host = shared.site.host(&name, ipv4, ipv6)?;
        network::plug(&shared.switch, &[(&host, Vec::new())])?;
        Ok(host)
    })
    .await
}

/// A `fairlead manager` in the lab. Dropping this handle leaves it running until the lab ends.
#[derive(Clone)]
pub struct Manager {
    name: String,
    role: Role,
}

impl Manager {
    /// Its name, `manager-0` and so on. Each run of it has an identity that begins with it, in the Lease and in the audit
    /// log, as in a Pod of that name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Deref for Manager {
    type Target = Role;

    fn deref(&self) -> &Role {
        &self.role
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Manager").field("name", &self.process().name()).finish_non_exhaustive()
    }
}

/// Whether a controller of this list, in the syntax of `--controllers`, works on our own kinds.
fn needs_crds(controllers: &str) -> bool {
    let names: Vec<_> = controllers.split(',').map(str::trim).collect();
    let on = |name: &str| {
        names.contains(&"*") && !names.contains(&format!("-{name}").as_str()) || names.contains(&name)
    };
    on("loadbalancer-controller")
}

/// Applies `config/rbac` of this repository, unless that has been done in this lab.
pub(crate) async fn apply_rbac(shared: &Arc<Shared>) -> Result<()> {
    shared.rbac.get_or_try_init(|| apply(shared, "rbac")).await.map(drop)
}

/// Applies `config/crd` of this repository, unless that has been done in this lab, and waits until the API server serves
/// the kinds.
pub(crate) async fn apply_crds(shared: &Arc<Shared>) -> Result<()> {
    let apply_and_wait = async || {
        apply(shared, "crd").await?;
        let kinds = [Kind::Pool, Kind::Address, Kind::Announcement, Kind::Reservation];
        let names = kinds.map(|kind| format!("crd/{}.fairlead.dev", kind.plural()));
        let mut args = vec!["wait", "--for=condition=Established", "--timeout=30s"];
        args.extend(names.iter().map(String::as_str));
        kubectl(shared, &args).await
    };
    shared.crds.get_or_try_init(apply_and_wait).await.map(drop)
}

/// Applies `config/policy` of this repository, unless that has been done in this lab.
pub(crate) async fn apply_policy(shared: &Arc<Shared>) -> Result<()> {
    shared.policy.get_or_try_init(|| apply(shared, "policy")).await.map(drop)
}

/// `kubectl apply -k` of a folder in `config`.
async fn apply(shared: &Arc<Shared>, folder: &str) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(folder);
    kubectl(shared, &["apply", "-k", &folder.display().to_string()]).await
}

async fn kubectl(shared: &Arc<Shared>, args: &[&str]) -> Result<()> {
    let binary = binaries::kubernetes("kubectl")?;
    let mut all = vec![
        format!("--kubeconfig={}", shared.admin.display()),
        format!("--cache-dir={}", shared.site.folder().join("kubectl-cache").display()),
    ];
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    blocking(move || command::run(binary, &all, "").map(drop)).await
}
