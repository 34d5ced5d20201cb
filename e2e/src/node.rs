//! Nodes: the API object, the host, and kube-proxy on it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use serde_json::json;

use crate::binaries;
use crate::builder::ProxyMode;
use crate::control_plane::{answers_ok, ready, start_in};
use crate::error::{Context, Error, Result};
use crate::host::Host;
use crate::network;
use crate::process::Process;
use crate::site::Site;

/// Port of kube-proxy's health server.
const PROXY_HEALTH_PORT: u16 = 10256;

impl ProxyMode {
    /// The value of kube-proxy's flag, if there is a kube-proxy.
    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Nftables => Some("nftables"),
            Self::Iptables => Some("iptables"),
            Self::None => None,
        }
    }

    /// What must be in `PATH` for it.
    pub(crate) fn check_tools(self) -> Result<()> {
        const REMEDY: &str = "run `hack/lab-tools`";
        const REMEDY_IPTABLES: &str = "run `hack/lab-tools --iptables`";
        match self {
            Self::Nftables => {
                binaries::in_path("nft", REMEDY).and_then(|()| binaries::in_path("conntrack", REMEDY))
            }
            Self::Iptables => {
                binaries::in_path("iptables", REMEDY_IPTABLES)?;
                binaries::in_path("ip6tables", REMEDY_IPTABLES)?;
                binaries::in_path("conntrack", REMEDY)
            }
            Self::None => Ok(()),
        }
    }
}

/// A node with a host of its own: Pods run on it, and kube-proxy serves it.
pub struct Node {
    name: String,
    index: u8,
    zone: Option<String>,
    host: Host,
    proxy: Option<Process>,
    /// What else runs on it, such as a speaker.
    further: Mutex<Vec<Process>>,
    /// Last parts of the Pod addresses in use.
    taken: Mutex<BTreeSet<u8>>,
    last: Mutex<u8>,
}

impl Node {
    pub(crate) fn new(index: u8, zone: Option<String>, host: Host) -> Self {
        // .1 is the node itself.
        Self {
            name: host.name().to_owned(),
            index,
            zone,
            host,
            proxy: None,
            further: Mutex::default(),
            taken: Mutex::default(),
            last: Mutex::new(1),
        }
    }

    /// Name, `node-1` for the first.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Zone, if the lab has zones.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Its network namespace and addresses.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its kube-proxy, unless the lab is without.
    #[must_use]
    pub fn proxy(&self) -> Option<&Process> {
        self.proxy.as_ref()
    }

    /// Takes in a process that ends when its node loses its power.
    pub(crate) fn add_process(&self, process: Process) {
        self.further.lock().push(process);
    }

    /// All of its processes.
    pub(crate) fn processes(&self) -> Vec<Process> {
        self.proxy.iter().chain(self.further.lock().iter()).cloned().collect()
    }

    pub(crate) fn index(&self) -> u8 {
        self.index
    }

    /// Makes the Node object.
    pub(crate) async fn register(&self, api: &kube::Client) -> Result<()> {
        let addresses = [self.host.ipv4().to_string(), self.host.ipv6().to_string()];
        let ranges = network::pod_ranges(self.index);
        register(api, &self.name, self.zone.as_deref(), &addresses, Some(&ranges)).await
    }

    /// Starts kube-proxy and waits until it has written its first rules. The Node object must exist with its
    /// addresses: without them kube-proxy waits for ever.
    pub(crate) async fn start_proxy(
        &mut self,
        site: &Site,
        mode: ProxyMode,
        flags: &[String],
        kubeconfig: &Path,
    ) -> Result<()> {
        let Some(mode) = mode.flag() else { return Ok(()) };
        let mut args = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={}", self.name),
            format!("--proxy-mode={mode}"),
            format!("--cluster-cidr={}", network::POD_RANGES.join(",")),
            // The machine's conntrack settings and this process's OOM score are not the lab's to change.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-min=0".to_owned(),
            "--oom-score-adj=0".to_owned(),
            format!("--healthz-bind-address=0.0.0.0:{PROXY_HEALTH_PORT}"),
            "--metrics-bind-address=127.0.0.1:10249".to_owned(),
        ];
        args.extend(flags.iter().cloned());
        let binary = binaries::kubernetes("kube-proxy")?;
        let proxy =
            start_in(site, &self.host, &format!("kube-proxy-{}", self.name), binary, args, Vec::new())?;
        let health = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PROXY_HEALTH_PORT);
        ready(&proxy, async || answers_ok(&self.host, health, "/healthz").await).await?;
        self.proxy = Some(proxy);
        Ok(())
    }

    /// The last part of a Pod address that is free. Goes round, so that an address is not used again at once.
    pub(crate) fn take_address(&self) -> Result<u8> {
        let mut taken = self.taken.lock();
        let mut last = self.last.lock();
        let free = (0..253_u16)
            // 2 to 254, beginning after the last one.
            .map(|step| u8::try_from((u16::from(*last) - 1 + step) % 253 + 2).unwrap_or(u8::MAX))
            .find(|candidate| !taken.contains(candidate));
        let number = free.ok_or_else(|| {
            Error::Invalid(format!("{} has no address left for another Pod (253 at most)", self.name))
        })?;
        taken.insert(number);
        *last = number;
        Ok(number)
    }

    pub(crate) fn release_address(&self, number: u8) {
        self.taken.lock().remove(&number);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Node")
            .field("name", &self.name)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

/// Creates a Node and makes it Ready.
pub(crate) async fn register(
    api: &kube::Client,
    name: &str,
    zone: Option<&str>,
    addresses: &[String],
    pod_ranges: Option<&[String; 2]>,
) -> Result<()> {
    let mut labels = json!({ "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" });
    if let Some(zone) = zone {
        labels["topology.kubernetes.io/zone"] = json!(zone);
    }
    let mut spec = json!({});
    if let Some(ranges) = pod_ranges {
        spec = json!({ "podCIDR": ranges[0], "podCIDRs": ranges });
    }
    let node = parse(json!({ "metadata": { "name": name, "labels": labels }, "spec": spec }))?;
    let nodes: Api<core::Node> = Api::all(api.clone());
    let what = || format!("creating the Node {name}");
    nodes.create(&PostParams::default(), &node).await.context(what)?;
    let mut listed = vec![json!({ "type": "Hostname", "address": name })];
    listed.extend(addresses.iter().map(|address| json!({ "type": "InternalIP", "address": address })));
    let status = json!({ "status": {
        "addresses": listed,
        "conditions": [{ "type": "Ready", "status": "True", "reason": "LabReady", "message": "the lab says so" }],
        "capacity": { "cpu": "4", "memory": "8Gi", "pods": "250" },
        "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "250" },
    }});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.context(what)?;
    Ok(())
}

/// A typed object from JSON that this crate wrote.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    serde_json::from_value(value)
        .map_err(std::io::Error::other)
        .context(|| format!("reading a {}", std::any::type_name::<T>()))
}
