//! Where scenarios take place: in one of two labs, one after the other, each with addresses of its own. What a scenario
//! breaks is whole again before the next one begins.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, DeleteParams, ListParams};
use lab::{
    Frames, Kind, Lab, LoadBalancer, LoadBalancerBuilder, Mac, Manager, Object, Observer, Result, Segment,
    Speaker,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Nodes with speakers. One more has none: Pods that are to survive every fault run there.
pub(crate) const SPEAKERS: usize = 3;
/// Long enough for an answer over the segment, also on a busy machine.
const ANSWER: Duration = Duration::from_millis(80);
/// Longer than any outage by design, shorter than what others have: an owner is dead after 420 ms.
pub(crate) const FAILOVER: Duration = Duration::from_millis(1500);
/// How often the observer asks.
const QUESTION: Duration = Duration::from_millis(50);
/// Of Services and Pods.
pub(crate) const NAMESPACE: &str = "default";

/// It outlives the test that was first, so it cannot run on the runtime of any of them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads can be started"));
/// Two, as most of a scenario is waiting.
static WORLDS: [OnceCell<World>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
/// One scenario at a time in each. Whether the last one came to its end.
static TURNS: [AsyncMutex<bool>; 2] = [AsyncMutex::const_new(true), AsyncMutex::const_new(true)];
static SCENES: AtomicU8 = AtomicU8::new(0);
/// Interfaces that scenarios make on nodes.
const FURTHER: [&str; 6] = ["late0", "late1", "late2", "dummy0", "kube-ipvs0", "eth1"];
/// Labels that scenarios give to nodes.
pub(crate) const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
pub(crate) const SELECTED: &str = "lab.example/selected";

/// The lab that scenarios share.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) manager: Manager,
    /// On the first nodes.
    pub(crate) speakers: Vec<Speaker>,
    pub(crate) observer: Observer,
    pub(crate) segment: Segment,
    /// Watches the second segment, on which it is alone at first.
    pub(crate) far: Observer,
    /// The Ethernet addresses of the nodes' `eth0`.
    macs: BTreeMap<Mac, String>,
    /// Those of the scenario that is played.
    pods: Mutex<Vec<lab::Pod>>,
}

impl World {
    /// A lab with four nodes, three speakers, and a second segment of the first two nodes.
    pub(crate) async fn start() -> Result<Self> {
        let lab = Lab::builder().nodes(4).start().await?;
        let manager = lab.manager().start().await?;
        let speakers = lab.speakers(&lab.nodes()[..SPEAKERS]).await?;
        let observer = lab.observer("observer").await?;
        let segment = lab.segment();
        let far = lab.observer("far").await?;
        lab.second_segment()?;
        lab.plug_into_second(far.host(), "eth1")?;
        let macs = lab.nodes().iter().map(|node| Ok((node.host().mac("eth0")?, node.name().to_owned())));
        let macs = macs.collect::<Result<_>>()?;
        Ok(Self { lab, manager, speakers, observer, segment, far, macs, pods: Mutex::default() })
    }

    /// The speaker of a node.
    pub(crate) fn speaker(&self, node: &str) -> &Speaker {
        self.speakers.iter().find(|speaker| speaker.node() == node).expect("a node with a speaker")
    }

    /// The node with this Ethernet address, or the address itself for a stranger.
    pub(crate) fn node_of(&self, mac: Mac) -> String {
        self.macs.get(&mac).cloned().unwrap_or_else(|| mac.to_string())
    }

    /// Everybody who answers for an address.
    pub(crate) fn owners(&self, address: IpAddr) -> Result<Vec<String>> {
        Ok(self.observer.who_has(address, ANSWER)?.into_iter().map(|mac| self.node_of(mac)).collect())
    }

    /// Everybody who answers for an IPv4 address on the second segment.
    pub(crate) fn far_owners(&self, address: IpAddr) -> Result<Vec<Mac>> {
        let IpAddr::V4(target) = address else { return Ok(Vec::new()) };
        let (asker, _) = lab::second_addresses(self.far.host());
        let tap = lab::Tap::open(self.far.host(), asker, Frames::Arp)?;
        tap.send(&lab::Arp::request(tap.mac(), asker, target).to_frame(Mac::BROADCAST))?;
        let (deadline, mut macs) = (Instant::now() + ANSWER, Vec::new());
        let is_answer = |frame: &lab::Frame| frame.claim().filter(|(of, _)| *of == address);
        while let Some((_, mac)) = tap.find(deadline, is_answer)? {
            macs.push(mac);
        }
        macs.sort_unstable();
        macs.dedup();
        Ok(macs)
    }

    /// Waits until just this one answers for an address on the second segment, or nobody.
    pub(crate) async fn wait_far_owner(&self, address: IpAddr, wanted: Option<Mac>) -> Result<()> {
        self.lab
            .wait_until(format!("{wanted:?} alone to answer for {address} far away"), PATIENCE, async || {
                let owners = self.far_owners(address)?;
                if owners == Vec::from_iter(wanted) {
                    Ok(())
                } else {
                    Err(format!("{owners:?} answer").into())
                }
            })
            .await
    }

    /// Waits until exactly one node answers for an address, and it is one of those that `wanted` accepts.
    pub(crate) async fn wait_owner(
        &self,
        address: IpAddr,
        limit: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        self.lab
            .wait_until(format!("one right node to answer for {address}"), limit, async || {
                match self.owners(address)?.as_slice() {
                    [one] if wanted(one) => Ok(one.clone()),
                    others => Err(format!("{others:?} answer").into()),
                }
            })
            .await
    }

    /// Waits until nobody answers for an address any more.
    pub(crate) async fn wait_silence(&self, address: IpAddr) -> Result<()> {
        self.lab
            .wait_until(format!("silence about {address}"), PATIENCE, async || {
                let owners = self.owners(address)?;
                if owners.is_empty() { Ok(()) } else { Err(format!("{owners:?} answer").into()) }
            })
            .await
    }

    /// Prints the ends of the speakers' logs.
    fn tell(&self) {
        for speaker in &self.speakers {
            let log = speaker.log().unwrap_or_else(|error| error.to_string());
            let lines: Vec<_> = log.lines().collect();
            println!("{}:\n{}\n", speaker.node(), lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }

    /// What a scenario that has failed did not take back itself.
    async fn tidy(&self) -> Result<()> {
        for node in self.lab.nodes() {
            for label in [EXCLUDED, SELECTED] {
                self.lab.label_node(node.name(), label, None).await?;
            }
            self.lab.set_node_condition(node.name(), "Ready", "True").await?;
            self.lab.set_node_condition(node.name(), "NetworkUnavailable", "False").await?;
            self.lab.patch_node_spec(node.name(), json!({ "taints": null, "unschedulable": null })).await?;
            for interface in FURTHER {
                // Most of them are not there.
                let _ = node.host().ip(&[format!("link delete {interface}")]);
            }
        }
        Ok(())
    }

    /// Ends all faults: every node has power and cable, every process runs, nothing is lost on the way.
    async fn mend(&self) -> Result<()> {
        self.segment.heal()?;
        for server in self.lab.api_servers() {
            let process = server.process();
            if process.is_running() {
                process.thaw()?;
            } else {
                process.restart()?;
                self.lab
                    .wait_until("the API server", PATIENCE, async || Ok(self.lab.api_version().await?))
                    .await?;
            }
        }
        if !self.manager.process().is_running() {
            self.manager.process().restart()?;
        }
        for node in self.lab.nodes() {
            self.lab.power_on(node)?;
        }
        for speaker in &self.speakers {
            speaker.process().thaw()?;
            speaker.wait_ready().await?;
        }
        self.lab.check()
    }

    /// Deletes what scenarios have created, and waits until no address is assigned and nobody answers.
    async fn clean(&self) -> Result<()> {
        let services: Api<Service> = Api::namespaced(self.lab.api(), NAMESPACE);
        for service in services.list(&ListParams::default()).await? {
            let name = service.metadata.name.unwrap_or_default();
            if name != "kubernetes" {
                services.delete(&name, &DeleteParams::default()).await?;
            }
        }
        for kind in [Kind::Announcement, Kind::Pool] {
            for object in self.lab.list_objects(kind).await? {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                self.lab.object(kind, None, name).delete().await?;
            }
        }
        let pods = std::mem::take(&mut *self.pods.lock());
        for pod in pods {
            pod.remove().await?;
        }
        self.lab
            .wait_until("no address to be assigned", PATIENCE, async || {
                let left = self.lab.list_objects(Kind::Address).await?;
                for object in left.iter().filter(|object| object["status"]["phase"] == "Cooling") {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    self.lab.object(Kind::Address, None, name).delete().await?;
                }
                if left.is_empty() { Ok(()) } else { Err(format!("{} are", left.len()).into()) }
            })
            .await
    }
}

/// Plays a scenario in a shared lab, in which everything is whole and no address is assigned.
pub(crate) fn scene(play: impl AsyncFnOnce(&Scene) -> Result<()>) -> Result<()> {
    RUNTIME.block_on(async {
        let (world, mut ended_well) = tokio::select! {
            turn = TURNS[0].lock() => (&WORLDS[0], turn),
            turn = TURNS[1].lock() => (&WORLDS[1], turn),
        };
        let world = world.get_or_try_init(World::start).await?;
        if !*ended_well {
            world.mend().await?;
            world.tidy().await?;
        }
        world.clean().await?;
        // A panic leaves it so.
        *ended_well = false;
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        let outcome = play(&Scene { world, number }).await;
        if outcome.is_err() {
            world.tell();
        }
        outcome?;
        world.mend().await?;
        *ended_well = true;
        Ok(())
    })
}

/// What one scenario has for itself.
pub(crate) struct Scene {
    pub(crate) world: &'static World,
    number: u8,
}

impl Scene {
    pub(crate) fn lab(&self) -> &'static Lab {
        &self.world.lab
    }

    /// The first of its two IPv4 addresses.
    pub(crate) fn ipv4(&self) -> IpAddr {
        IpAddr::from([198, 51, 100, 20 + 2 * self.number])
    }

    /// The second of its two IPv4 addresses.
    pub(crate) fn second_ipv4(&self) -> IpAddr {
        IpAddr::from([198, 51, 100, 21 + 2 * self.number])
    }

    /// One of its IPv6 addresses.
    pub(crate) fn ipv6(&self, last: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 1, self.number.into(), last])
    }

    /// Its addresses, two of IPv4 and a hundred of IPv6, as a pool says it.
    pub(crate) fn ranges(&self) -> Value {
        json!([
            format!("{}-{}", self.ipv4(), self.second_ipv4()),
            format!("{}-{}", self.ipv6(1), self.ipv6(100))
        ])
    }

    /// Its pool, with all of its addresses.
    pub(crate) async fn pool(&self) -> Result<Object> {
        self.lab().pool("pool", json!({ "addresses": self.ranges() })).await
    }

    /// A Pod with an HTTP and a UDP server, on a node, for the Service of this name.
    pub(crate) async fn pod(&self, service: &str, name: &str, node: usize) -> Result<lab::Pod> {
        let node = self.lab().nodes()[node].name();
        let pod = self.lab().pod(NAMESPACE, name).label("app", service).on(node);
        let pod = pod.port("http", 8080).udp_port("echo", 8080).start().await?;
        self.world.pods.lock().push(pod.clone());
        Ok(pod)
    }

    /// A Service to be whose port 80 leads to its Pods.
    pub(crate) fn service(&self, name: &str) -> LoadBalancerBuilder {
        let ports = json!([{ "name": "main", "port": 80, "targetPort": 8080 }]);
        self.lab().load_balancer(NAMESPACE, name).spec(json!({ "ports": ports }))
    }

    /// A pool, a Service `web` with a Pod that survives every fault, and its address, once one node answers for it and
    /// the client has had an answer.
    pub(crate) async fn vip(&self) -> Result<Vip> {
        self.pool().await?;
        self.pod("web", "web-0", SPEAKERS).await?;
        let service = self.service("web").create().await?;
        self.vip_of(service, |_| true).await
    }

    /// The address of a Service, once one right node answers for it and the client has had an answer.
    pub(crate) async fn vip_of(&self, service: LoadBalancer, wanted: impl Fn(&str) -> bool) -> Result<Vip> {
        let address = service.wait_address().await?;
        let owner = self.world.wait_owner(address, PATIENCE, wanted).await?;
        let vip = Vip { world: self.world, service, address, owner };
        vip.wait_answer().await?;
        Ok(vip)
    }

    /// A `Layer2Announcement`, for all pools unless it says otherwise.
    pub(crate) async fn announcement(&self, name: &str, spec: Value) -> Result<Object> {
        self.lab().create_object(Kind::Announcement, None, name, spec).await
    }
}

/// The address of a Service that is announced.
pub(crate) struct Vip {
    world: &'static World,
    pub(crate) service: LoadBalancer,
    pub(crate) address: IpAddr,
    /// The node that answered for it first.
    pub(crate) owner: String,
}

impl Vip {
    /// Where the client connects to.
    pub(crate) fn to(&self) -> SocketAddr {
        SocketAddr::new(self.address, 80)
    }

    /// Waits until a Pod answers the client.
    pub(crate) async fn wait_answer(&self) -> Result<lab::Answer> {
        self.world
            .lab
            .wait_until(format!("an answer of {}", self.address), PATIENCE, async || {
                Ok(self.world.lab.client().get(self.address, 80).await?)
            })
            .await
    }

    /// The object of the address.
    pub(crate) fn object(&self) -> Object {
        self.world.lab.object(Kind::Address, None, &object_name(self.address))
    }

    /// The node of its owner.
    pub(crate) fn node(&self) -> &'static lab::Node {
        self.world.lab.node(&self.owner).expect("a node")
    }

    /// The speaker of its owner.
    pub(crate) fn speaker(&self) -> &'static Speaker {
        self.world.speaker(&self.owner)
    }

    /// Waits until another node than the first owner answers, and it alone.
    pub(crate) async fn wait_moved(&self, limit: Duration) -> Result<String> {
        self.world.wait_owner(self.address, limit, |node| node != self.owner).await
    }

    /// Watches the address and asks it as a client while `play` goes on, and for a while after it.
    pub(crate) async fn observed(
        &self,
        after: Duration,
        play: impl AsyncFnOnce() -> Result<()>,
    ) -> Result<Seen> {
        let census = self.world.observer.census(&[self.address])?;
        let requests = self.world.lab.client().requests(self.to())?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let outcome = play().await;
        tokio::time::sleep(after).await;
        let (tally, record) = (requests.end().await?, census.end()?);
        outcome?;
        let outage = tally.outage().unwrap_or(Duration::MAX);
        let (contested, silence) = (record.contested(self.address), record.silence(self.address));
        let owners = record.owners(self.address).into_iter().map(|mac| self.world.node_of(mac)).collect();
        Ok(Seen { failed: tally.failed(), outage, contested, silence, owners })
    }
}

/// What a client and an observer saw of an address.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Requests of the client that failed.
    pub(crate) failed: usize,
    /// The longest time in which all of them failed.
    pub(crate) outage: Duration,
    /// How long two answered.
    pub(crate) contested: Duration,
    /// The longest time in which nobody answered.
    pub(crate) silence: Duration,
    /// Who answered, in the order of the first answers.
    pub(crate) owners: Vec<String>,
}

impl Seen {
    /// Fails unless hand-overs, as many as there were, cost nothing but what was on its way in their very moments: one
    /// question that two answered, one connection that the next node knows nothing of.
    pub(crate) fn assert_seamless(&self) {
        let moves = u32::try_from(self.owners.len().saturating_sub(1)).unwrap_or(u32::MAX);
        assert!(self.failed <= moves as usize && self.contested <= QUESTION * moves, "{self:?}");
    }

    /// Fails unless the outage was short and two never answered.
    pub(crate) fn assert_failover(&self) {
        assert!(self.outage < FAILOVER && self.silence < FAILOVER, "{self:?}");
        assert_eq!(self.contested, Duration::ZERO, "{self:?}");
    }
}

/// Name of the object of an address.
pub(crate) fn object_name(address: IpAddr) -> String {
    address.to_string().replace(':', "-")
}

/// The frames that say where an address is, which the observer hears within a time: when, and what.
pub(crate) fn claims_heard(
    tap: &lab::Tap,
    address: IpAddr,
    time: Duration,
) -> Result<Vec<(Duration, lab::Frame)>> {
    let (began, mut heard) = (Instant::now(), Vec::new());
    let about = |frame: &lab::Frame| frame.claim().filter(|(of, _)| *of == address).map(|_| frame.clone());
    while let Some(frame) = tap.find(began + time, about)? {
        heard.push((began.elapsed(), frame));
    }
    Ok(heard)
}

/// Everything that the observer hears from now on.
pub(crate) fn ears(world: &World) -> Result<lab::Tap> {
    world.observer.tap(Frames::All)
}
