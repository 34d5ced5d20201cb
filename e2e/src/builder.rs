//! What a lab is to be like, and its start.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::api_server::{ApiServer, Endpoint};
use crate::control_plane::{ControlPlane, Start, ready, subfolder};
use crate::error::{Context, Error, Result};
use crate::host::Host;
use crate::kubeconfig::{self, Identity, Writer};
use crate::lab::{Lab, Shared};
use crate::network;
use crate::node::Node;
use crate::pki::Pki;
use crate::pod::Families;
use crate::site::Site;

/// How kube-proxy programs the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyMode {
    /// nftables.
    #[default]
    Nftables,
    /// iptables; needs `iptables` and `ip6tables`.
    Iptables,
    /// No kube-proxy, for tests of the API alone: a second faster and 60 MB per node smaller.
    None,
}

/// A lab about to be started: see [`Lab::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `start`"]
pub struct LabBuilder {
    options: Options,
}

/// The choices of a [`LabBuilder`].
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) nodes: u8,
    pub(crate) api_servers: u8,
    pub(crate) audit: bool,
    pub(crate) zones: Vec<String>,
    pub(crate) families: Families,
    pub(crate) proxy: ProxyMode,
    pub(crate) controllers: Vec<String>,
    pub(crate) api_server_flags: Vec<String>,
    pub(crate) controller_manager_flags: Vec<String>,
    pub(crate) proxy_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Self {
            nodes: 3,
            api_servers: 1,
            audit: false,
            zones: own(&["zone-a", "zone-b", "zone-c"]),
            families: Families::Dual,
            proxy: ProxyMode::default(),
            controllers: own(&[
                "serviceaccount-controller",
                "garbage-collector-controller",
                "namespace-controller",
            ]),
            api_server_flags: Vec::new(),
            controller_manager_flags: Vec::new(),
            proxy_flags: Vec::new(),
        }
    }
}

impl LabBuilder {
    pub(crate) fn new() -> Self {
        Self { options: Options::default() }
    }

    /// Number of nodes with a host each, 3 by default, 100 at most. See also [`Lab::paper_node`].
    pub fn nodes(mut self, count: u8) -> Self {
        self.options.nodes = count;
        self
    }

    /// Number of API servers on the one etcd, 1 by default, 9 at most. Everybody talks to the first one who is not
    /// told otherwise: see [`Lab::api_servers`].
    pub fn api_servers(mut self, count: u8) -> Self {
        self.options.api_servers = count;
        self
    }

    /// Has the API servers log all writes, for [`Lab::audited_writes`].
    pub fn audit(mut self) -> Self {
        self.options.audit = true;
        self
    }

    /// Zones that the nodes take turns in: `zone-a`, `zone-b`, `zone-c` by default, none for an empty list.
    pub fn zones(mut self, zones: &[&str]) -> Self {
        self.options.zones = zones.iter().map(|&zone| zone.to_owned()).collect();
        self
    }

    /// Addresses of Pods that do not say otherwise. The API server, nodes and client always have both families.
    pub fn families(mut self, families: Families) -> Self {
        self.options.families = families;
        self
    }

    /// How kube-proxy programs the nodes.
    pub fn proxy(mut self, mode: ProxyMode) -> Self {
        self.options.proxy = mode;
        self
    }

    /// The controllers of kube-controller-manager, in the syntax of its `--controllers`. By default only those for
    /// service accounts, garbage collection and namespaces.
    pub fn controllers(mut self, names: &[&str]) -> Self {
        self.options.controllers = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// One more controller of kube-controller-manager, such as `endpointslice-controller`.
    pub fn controller(mut self, name: &str) -> Self {
        self.options.controllers.push(name.to_owned());
        self
    }

    /// A further flag of kube-apiserver, such as `--feature-gates=...`.
    pub fn api_server_flag(mut self, flag: &str) -> Self {
        self.options.api_server_flags.push(flag.to_owned());
        self
    }

    /// A further flag of kube-controller-manager.
    pub fn controller_manager_flag(mut self, flag: &str) -> Self {
        self.options.controller_manager_flags.push(flag.to_owned());
        self
    }

    /// A further flag of every kube-proxy, such as `--nodeport-addresses=...`.
    pub fn proxy_flag(mut self, flag: &str) -> Self {
        self.options.proxy_flags.push(flag.to_owned());
        self
    }

    /// Starts the lab and waits until it is ready: the API server answers, the controllers work, and every
    /// kube-proxy has written its first rules.
    ///
    /// # Errors
    /// [`Error::Outside`] and [`Error::MissingBinary`] before anything is made; [`Error::Component`] when something
    /// died or was late. Whatever was made by then is removed again.
    pub async fn start(self) -> Result<Lab> {
        let began = Instant::now();
        let options = self.options;
        if options.nodes > network::MAX_NODES {
            return Err(Error::Invalid(format!(
                "{} nodes are too many: {} at most",
                options.nodes,
                network::MAX_NODES
            )));
        }
        if !(1..=9).contains(&options.api_servers) {
            return Err(Error::Invalid(format!("{} API servers: 1 to 9 are possible", options.api_servers)));
        }
        options.proxy.check_tools()?;
        let site = Site::reserve()?;

        let (site, network, pki) = blocking(move || {
            let network = Network::make(&site, &options)?;
            let (_, management) = network::management(site.number());
            let control_plane = &network.control_plane;
            let addresses: [IpAddr; 6] = [
                IpAddr::from([127, 0, 0, 1]),
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
                IpAddr::from([10, 96, 0, 1]),
                management.into(),
                control_plane.ipv4().into(),
                control_plane.ipv6().into(),
            ];
            let pki = Pki::create(&subfolder(&site, "pki"), &addresses)?;
            Ok((site, (network, options), pki))
        })
        .await?;
        let (network, options) = network;

        let (_, management) = network::management(site.number());
        let url = |index: u8| format!("https://{management}:{}", ApiServer::port(index));
        let kubeconfigs = Writer::new(subfolder(&site, "kubeconfigs"), url(0))?;
        let admin = kubeconfigs.write(&Identity::Admin, &pki, None).await?;
        let api = kubeconfig::client(&admin).await?;

        let start = Start { site: &site, host: &network.control_plane, pki: &pki, options: &options };
        let etcd = start.etcd().await?;
        let mut api_servers = Vec::new();
        for index in 0..options.api_servers {
            let process = start.api_server(index)?;
            let client = if index == 0 {
                api.clone()
            } else {
                let name = format!("server-{}", index + 1);
                let endpoint = Endpoint { name, url: url(index), certificates: true };
                let admin = kubeconfigs.write_to(&endpoint, &Identity::Admin, &pki, None).await?;
                kubeconfig::client(&admin).await?
            };
            let server = ApiServer::new(index, url(index), process, client);
            // One after the other: the first one fills etcd.
            server.wait_ready().await?;
            api_servers.push(server);
        }
        let controller_manager = start.controller_manager(&kubeconfigs).await?;

        let mut nodes = network.nodes;
        let kubeconfig = kubeconfigs.write(&Identity::user("system:kube-proxy"), &pki, None).await?;
        let starting = nodes.iter_mut().map(|node| {
            let (site, options, api, kubeconfig) = (&site, &options, &api, &kubeconfig);
            async move {
                node.register(api).await?;
                node.start_proxy(site, options.proxy, &options.proxy_flags, kubeconfig).await
            }
        });
        futures::future::try_join_all(starting).await?;
        if options.controllers.iter().any(|name| name == "serviceaccount-controller") {
            ready(&controller_manager, async || crate::lab::default_account_exists(&api, "default").await)
                .await?;
        }

        let control_plane = ControlPlane { etcd, api_servers, controller_manager };
        let shared = Shared {
            families: options.families,
            site,
            pki,
            kubeconfigs,
            admin,
            api,
            switch: network.switch,
            control_plane_host: network.control_plane,
            control_plane,
            client: network.client,
            nodes,
            bodies: parking_lot::Mutex::default(),
            turns: std::sync::atomic::AtomicUsize::new(0),
            papers: std::sync::atomic::AtomicU32::new(1),
            managers: std::sync::atomic::AtomicU8::new(0),
            rbac: tokio::sync::OnceCell::new(),
            crds: tokio::sync::OnceCell::new(),
            policy: tokio::sync::OnceCell::new(),
        };
        Ok(Lab::new(Arc::new(shared), began.elapsed()))
    }
}

/// The hosts of a lab, connected.
struct Network {
    switch: Host,
    control_plane: Host,
    client: Host,
    nodes: Vec<Node>,
}

impl Network {
    fn make(site: &Site, options: &Options) -> Result<Self> {
        let indexes = 1..=options.nodes;
        let mut wanted = vec![
            ("switch".to_owned(), network::SWITCH),
            ("control-plane".to_owned(), network::CONTROL_PLANE),
            ("client".to_owned(), network::CLIENT),
        ];
        wanted.extend(indexes.clone().map(|index| (format!("node-{index}"), network::node_number(index))));
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(name, number)| {
                let (ipv4, ipv6) = network::segment(number);
                (name, ipv4, ipv6)
            })
            .collect();
        let mut hosts = site.hosts(&wanted)?.into_iter();
        let (Some(switch), Some(control_plane), Some(client)) = (hosts.next(), hosts.next(), hosts.next())
        else {
            return Err(Error::Invalid("the lab's hosts were not made".into()));
        };
        let nodes: Vec<_> = indexes
            .zip(hosts)
            .map(|(index, host)| {
                let zone = options.zones.get(usize::from(index - 1) % options.zones.len().max(1)).cloned();
                Node::new(index, zone, host)
            })
            .collect();

        network::make_switch(&switch)?;
        let to_pods: Vec<_> = nodes.iter().flat_map(|node| network::route_to_pods(node.index())).collect();
        let mut client_routes = to_pods.clone();
        if let Some(first) = nodes.first() {
            client_routes.extend(network::route_to_services(first.host()));
        }
        let mut plugs = vec![(&control_plane, to_pods), (&client, client_routes)];
        plugs
            .extend(nodes.iter().map(|node| (node.host(), network::node_lines(node.index(), options.nodes))));
        network::plug(&switch, &plugs)?;
        network::make_management(site.number(), &site.management_link(), &control_plane)?;
        Ok(Self { switch, control_plane, client, nodes })
    }
}

/// Work that blocks, off the threads that run async code.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(std::io::Error::other)
        .context(|| "preparing the lab".into())?
}
