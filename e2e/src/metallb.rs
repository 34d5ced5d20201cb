//! MetalLB's controller, to compare with and to run beside. Its speakers are not needed for giving addresses.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::control_plane::{answers_ok, ready, start_in};
use crate::error::{Context, Error, Result};
use crate::host::Host;
use crate::kubeconfig::Identity;
use crate::lab::Lab;
use crate::manager::manager_host;
use crate::process::Process;

/// Where MetalLB lives.
const NAMESPACE: &str = "metallb-system";
/// Name of its controller's ServiceAccount, Deployment and Pod.
const CONTROLLER: &str = "controller";
/// Where it says that it is ready, by its own default.
const HEALTH_PORT: u16 = 17472;

/// MetalLB's controller in the lab, with the rights of its own manifests and without its webhooks. Dropping this handle
/// leaves it running until the lab ends.
#[derive(Clone)]
pub struct Metallb {
    host: Host,
    process: Process,
}

impl Metallb {
    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until it says that it is ready, for example after a restart.
    ///
    /// # Errors
    /// [`Error::Component`] with the end of its log when it ends or is late.
    pub async fn wait_ready(&self) -> Result<()> {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), HEALTH_PORT);
        ready(&self.process, async || answers_ok(&self.host, address, "/readyz").await).await
    }
}

impl Lab {
    /// Installs MetalLB's kinds and rights, with the Deployment and the Pod that its controller would have in a cluster,
    /// and starts the controller itself on a host of its own. Once in a lab.
    ///
    /// # Errors
    /// [`Error::MissingBinary`] unless `FAIRLEAD_METALLB` names a folder that `hack/metallb-binary` made.
    pub async fn metallb(&self) -> Result<Metallb> {
        let folder = folder()?;
        self.metallb_deployment().await?;
        self.kubectl(&["apply", "-k", &folder.display().to_string()]).await?;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd/ipaddresspools.metallb.io",
        ])
        .await?;
        // It looks for its own Pod.
        let pod = self.pod(NAMESPACE, CONTROLLER).label("app", "metallb").label("component", CONTROLLER);
        pod.paper().start().await?;

        let identity = Identity::service_account(NAMESPACE, CONTROLLER);
        let kubeconfig = self.kubeconfig(&identity).await?;
        let shared = self.shared_arc();
        let (host_name, host) = manager_host(&shared).await?;
        let args = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            // Neither webhooks nor metrics, which need certificates.
            "--webhook-mode=disabled".to_owned(),
            "--port=0".to_owned(),
        ];
        let environment = [("METALLB_NAMESPACE", NAMESPACE), ("METALLB_POD_NAME", CONTROLLER)];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let name = format!("metallb-on-{host_name}");
        let process = start_in(&shared.site, &host, &name, folder.join(CONTROLLER), args, environment)?;
        let metallb = Metallb { host, process };
        metallb.wait_ready().await?;
        Ok(metallb)
    }

    /// Creates an `IPAddressPool` of MetalLB's.
    ///
    /// # Errors
    /// [`Error::Api`] with what the API server objects to.
    pub async fn metallb_pool(&self, name: &str, addresses: &[&str]) -> Result<()> {
        let resource = ApiResource {
            group: "metallb.io".to_owned(),
            version: "v1beta1".to_owned(),
            api_version: "metallb.io/v1beta1".to_owned(),
            kind: "IPAddressPool".to_owned(),
            plural: "ipaddresspools".to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.api(), NAMESPACE, &resource);
        let pool = DynamicObject::new(name, &resource).data(json!({ "spec": { "addresses": addresses } }));
        let created = api.create(&PostParams::default(), &pool).await;
        created.map(drop).context(|| format!("creating MetalLB's pool {name}"))
    }

    /// Says in the Deployment of MetalLB's controller whether a replica is available, as kube-controller-manager would.
    ///
    /// # Errors
    /// [`Error::Api`] when it does not exist.
    pub async fn set_metallb_available(&self, available: bool) -> Result<()> {
        let replicas = u8::from(available);
        let status = json!({ "status": {
            "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
        } });
        let api: Api<Deployment> = Api::namespaced(self.api(), NAMESPACE);
        let patched = api.patch_status(CONTROLLER, &PatchParams::default(), &Patch::Merge(status)).await;
        patched.map(drop).context(|| "changing the status of MetalLB's Deployment".into())
    }

    /// The namespace of MetalLB and the Deployment of its controller, with a replica that is available, by which others
    /// know that it runs. [`Lab::metallb`] does it by itself.
    ///
    /// # Errors
    /// [`Error::Api`] with what the API server objects to.
    pub async fn metallb_deployment(&self) -> Result<()> {
        self.namespace(NAMESPACE).await?;
        let labels = json!({ "app": "metallb", "component": CONTROLLER });
        let container = json!({ "name": CONTROLLER, "image": "lab.invalid/metallb" });
        let object = json!({
            "metadata": { "name": CONTROLLER, "labels": labels },
            "spec": {
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
            },
        });
        self.create::<Deployment>(NAMESPACE, object).await?;
        self.set_metallb_available(true).await
    }
}

fn folder() -> Result<PathBuf> {
    let named = env::var_os("FAIRLEAD_METALLB").filter(|value| !value.is_empty()).map(PathBuf::from);
    let looked_at = match named {
        Some(folder) if folder.join(CONTROLLER).is_file() => return Ok(folder),
        Some(folder) => format!("there is no file {}", folder.join(CONTROLLER).display()),
        None => "FAIRLEAD_METALLB is not set".to_owned(),
    };
    let remedy = "set FAIRLEAD_METALLB to the folder that `hack/metallb-binary` prints";
    Err(Error::MissingBinary { name: "MetalLB's controller".to_owned(), looked_at, remedy })
}
