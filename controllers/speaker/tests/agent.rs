//! The agent on an API server in memory, with the test in the place of the wires.

#![expect(clippy::unwrap_used, reason = "the functions that are not tests serve tests only")]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fairlead_fake_api::{ADDRESSES, FakeApi, LEASES, NODES, SLICES, Weather};
use fairlead_layer2::{ClusterId, Fitness, LinkFacts, MacAddress, NodeId, Prefix, Wanted};
use fairlead_machinery::admin::Checks;
use fairlead_machinery::permit::Permit;
use fairlead_machinery::shutdown::Shutdown;
use fairlead_machinery::write::Writer;
use fairlead_speaker::agent::{self, Ends, Settings, Shown};
use fairlead_speaker::links::{Link, News, Order, Report};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than anything takes that does not wait.
const SOON: Duration = Duration::from_secs(2);
const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const NAMESPACE: &str = "fairlead-system";

/// An agent that runs on node-1 with the interface eth0, which has the index 2.
struct Agent {
    api: FakeApi,
    links: watch::Sender<Vec<Link>>,
    orders: mpsc::UnboundedReceiver<Order>,
    reports: mpsc::UnboundedSender<Report>,
    changes: VecDeque<(u32, IpAddr, Option<Arc<Wanted>>)>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn eth0() -> Link {
    Link {
        facts: LinkFacts {
            index: 2,
            name: "eth0".into(),
            mac: MAC,
            mtu: 1500,
            running: true,
            addresses: vec![Prefix { address: "198.51.100.250".parse().unwrap(), length: 24 }],
        },
        gateways: Vec::new(),
        generation: 0,
    }
}

fn put_address(api: &FakeApi, spec: &Value) {
    let mut object = json!({ "metadata": { "name": VIP.to_string() }, "spec": { "address": VIP, "pool": "public",
        "services": [{ "namespace": "shop", "name": "web", "uid": "w" }], "announcements": [{ "name": "" }] } });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    api.put(&ADDRESSES, object);
}

impl Agent {
    fn start(prepare: impl FnOnce(&FakeApi)) -> Self {
        let api = FakeApi::new(1);
        api.put(
            &NODES,
            json!({ "metadata": { "name": "node-1" },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } }),
        );
        api.put(&NODES, json!({ "metadata": { "name": "node-2" } }));
        prepare(&api);
        let (links, watched) = watch::channel(vec![eth0()]);
        let (orders, ordered) = mpsc::unbounded_channel();
        let (reports, reported) = mpsc::unbounded_channel();
        let (stop, client) = (CancellationToken::new(), api.client());
        let writer = Writer::new(client.clone(), Permit::until(CancellationToken::new()), None);
        let ends = Ends { links: watched, orders, reports: reported };
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            let settings = Settings {
                node: "node-1".to_owned(),
                namespace: NAMESPACE.to_owned(),
                weight: 100,
                ignore_exclude_lb: false,
                respect_cordon: false,
            };
            let (checks, registry) = (Checks::new(Shutdown::new()), Registry::new());
            let shown = Shown { checks: &checks, registry: &registry };
            agent::run(settings, client, writer, ends, shown, ended).await;
        });
        Self { api, links, orders: ordered, reports, changes: VecDeque::new(), stop, task }
    }

    /// What is ordered next about an address.
    async fn next(&mut self) -> (u32, IpAddr, Option<Arc<Wanted>>) {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return change;
            }
            let order = timeout(SOON, self.orders.recv()).await.expect("an order").expect("an agent");
            if let Order::Want { link, changes } = order {
                self.changes.extend(changes.into_iter().map(|(address, wanted)| (link, address, wanted)));
            }
        }
    }

    async fn next_fitness(&mut self) -> Option<Fitness> {
        let (link, address, wanted) = self.next().await;
        assert_eq!((link, address), (2, VIP));
        wanted.map(|wanted| wanted.own)
    }

    /// Nothing is ordered about an address for a while.
    async fn stays(&mut self, while_: Duration) {
        let begun = Instant::now();
        while let Ok(order) = timeout(while_.saturating_sub(begun.elapsed()), self.orders.recv()).await {
            assert!(!matches!(order, Some(Order::Want { .. })), "{order:?}");
        }
    }

    fn tell(&self, news: News) {
        self.reports.send(Report { link: 2, news }).unwrap();
    }

    fn own(&self, epoch: u32) {
        let since = "2026-01-01T12:00:00Z".parse().unwrap();
        self.tell(News::Owned { address: VIP, epoch, since, mac: MAC, outage: None });
    }

    fn status(&self) -> Value {
        self.api.get(&ADDRESSES, "", &VIP.to_string()).map(|it| it["status"].clone()).unwrap_or_default()
    }

    fn lease(&self) -> Value {
        let lease = self.api.get(&LEASES, NAMESPACE, "fairlead-speaker-node-1");
        lease.map(|lease| (*lease).clone()).unwrap_or_default()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < SOON * 3, "not {what}: {} {}", self.status(), self.lease());
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) -> FakeApi {
        self.stop.cancel();
        timeout(SOON * 3, self.task).await.expect("an end").unwrap();
        self.api
    }
}

const FIT: Option<Fitness> = Some(Fitness::Fit { soft: false, preference: 0 });

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_ordered_and_what_became_of_it_is_written_at_once() {
    let mut agent = Agent::start(|api| put_address(api, &json!({ "probe": true })));
    let (_, _, wanted) = agent.next().await;
    assert!(wanted.is_some_and(|wanted| wanted.probe && Some(wanted.own) == FIT));
    agent.tell(News::Probed { address: VIP });
    agent.own(4);
    agent.until("announced", |agent| agent.status()["node"] == "node-1").await;
    let status = agent.status();
    assert_eq!((&status["interface"], &status["epoch"]), (&json!("eth0"), &json!(4)));
    let kinds: Vec<_> =
        status["conditions"].as_array().unwrap().iter().map(|it| it["type"].clone()).collect();
    assert_eq!(kinds, ["Announced", "Probed"]);
    // The wires are told what the API knows now; nothing more is written.
    let (_, _, wanted) = agent.next().await;
    assert!(wanted.is_some_and(|wanted| wanted.epoch == 4 && !wanted.probe));
    let version =
        agent.api.get(&ADDRESSES, "", &VIP.to_string()).unwrap()["metadata"]["resourceVersion"].clone();
    agent.stays(Duration::from_mins(3)).await;
    assert_eq!(
        agent.api.get(&ADDRESSES, "", &VIP.to_string()).unwrap()["metadata"]["resourceVersion"],
        version
    );
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_claim_of_another_node_is_not_overwritten() {
    let mut agent = Agent::start(|api| put_address(api, &json!({})));
    assert_eq!(agent.next_fitness().await, FIT);
    agent.api.edit(&ADDRESSES, "", &VIP.to_string(), |object| {
        object["status"]["node"] = "node-2".into();
        object["status"]["epoch"] = 5.into();
    });
    agent.own(4);
    sleep(SOON).await;
    assert_eq!((&agent.status()["node"], &agent.status()["epoch"]), (&json!("node-2"), &json!(5)));
    agent.own(6);
    agent.until("taken over", |agent| agent.status()["node"] == "node-1").await;
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_slices_that_decide_are_watched() {
    let mut agent = Agent::start(|api| {
        put_address(api, &json!({ "local": true }));
        for (service, node) in [("web", "node-2"), ("other", "node-1")] {
            api.put(&SLICES, json!({ "addressType": "IPv4",
                "metadata": { "namespace": "shop", "name": format!("{service}-1"),
                    "labels": { "kubernetes.io/service-name": service } },
                "endpoints": [{ "addresses": ["10.0.0.1"], "nodeName": node, "conditions": { "ready": true } }] }));
        }
    });
    assert_eq!(agent.next_fitness().await, Some(Fitness::Unfit));
    agent.api.edit(&SLICES, "shop", "web-1", |slice| slice["endpoints"][0]["nodeName"] = "node-1".into());
    assert_eq!(agent.next_fitness().await, FIT);
    agent.api.edit(&ADDRESSES, "", &VIP.to_string(), |object| object["spec"]["local"] = false.into());
    let (_, _, wanted) = agent.next().await;
    assert!(wanted.is_some_and(|wanted| wanted.nodes.is_none()));
    agent.api.edit(&SLICES, "shop", "web-1", |slice| slice["endpoints"][0]["nodeName"] = "node-2".into());
    agent.stays(SOON).await;
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_everything_stays_as_it_was() {
    let mut agent = Agent::start(|api| put_address(api, &json!({})));
    assert_eq!(agent.next_fitness().await, FIT);
    agent.api.set_weather(Weather { unavailable: 100, cut: 100, ..Weather::default() });
    agent.own(4);
    agent.stays(Duration::from_mins(10)).await;
    agent.api.set_weather(Weather::default());
    // It is told as soon as somebody hears it.
    let begun = Instant::now();
    while agent.status()["node"] != "node-1" {
        assert!(begun.elapsed() < Duration::from_mins(2));
        sleep(Duration::from_secs(1)).await;
    }
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn presence_is_stated_renewed_and_given_back() {
    let agent = Agent::start(|_| {});
    agent.until("present", |agent| agent.lease()["spec"]["holderIdentity"] == "node-1").await;
    let lease = agent.lease();
    assert_eq!(lease["metadata"]["labels"]["fairlead.dev/component"], "speaker");
    let interfaces = &lease["metadata"]["annotations"]["fairlead.dev/interfaces"];
    assert_eq!(*interfaces, "eth0 02:00:00:00:00:01 198.51.100.250/24");
    sleep(Duration::from_secs(40)).await;
    let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
    assert_ne!(version(&agent.lease()), version(&lease));
    let mut moved = eth0();
    moved.facts.mac = MacAddress([2, 0, 0, 0, 0, 9]);
    agent.links.send(vec![moved]).unwrap();
    agent
        .until("restated", |agent| {
            let text = &agent.lease()["metadata"]["annotations"]["fairlead.dev/interfaces"];
            text.as_str().is_some_and(|text| text.contains("02:00:00:00:00:09"))
        })
        .await;
    let api = agent.end().await;
    let lease = api.get(&LEASES, NAMESPACE, "fairlead-speaker-node-1").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "");
}

#[tokio::test(start_paused = true)]
async fn who_ends_says_that_nobody_answers_only_where_nobody_else_is() {
    for (peers, node) in [(0, Value::Null), (1, json!("node-1"))] {
        let mut agent = Agent::start(|api| put_address(api, &json!({})));
        assert_eq!(agent.next_fitness().await, FIT);
        agent.tell(News::Heard { peers });
        agent.own(4);
        agent.until("announced", |agent| agent.status()["node"] == "node-1").await;
        agent.tell(News::Lost { address: VIP, epoch: 4 });
        let api = agent.end().await;
        let status = api.get(&ADDRESSES, "", &VIP.to_string()).unwrap()["status"].clone();
        assert_eq!(status["node"], node, "{peers} others: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn others_are_listed_while_they_are_not_heard() {
    let mut agent = Agent::start(|api| {
        api.put(&LEASES, json!({
            "metadata": { "namespace": NAMESPACE, "name": "fairlead-speaker-node-2",
                "labels": { "fairlead.dev/component": "speaker" },
                "annotations": { "fairlead.dev/interfaces": "ens3 02:00:00:00:00:02 198.51.100.2/24" } },
            "spec": { "holderIdentity": "node-2", "leaseDurationSeconds": 90, "renewTime": jiff::Timestamp::now().to_string() } }));
    });
    let (mut listed, mut fleet) = (false, false);
    while !listed || !fleet {
        match timeout(SOON, agent.orders.recv()).await.expect("an order").expect("an agent") {
            Order::Stand { standing, .. } => listed |= standing.listed.len() == 1,
            Order::Fleet(macs) => fleet |= macs.contains_key(&MacAddress([2, 0, 0, 0, 0, 2])),
            Order::Want { .. } => {}
        }
    }
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_lease_goes_with_it_is_missed_no_more() {
    let mut agent = Agent::start(|api| {
        api.put(&LEASES, json!({
            "metadata": { "namespace": NAMESPACE, "name": "fairlead-speaker-node-2",
                "labels": { "fairlead.dev/component": "speaker" } },
            "spec": { "holderIdentity": "node-2", "leaseDurationSeconds": 90, "renewTime": jiff::Timestamp::now().to_string() } }));
    });
    let node = agent.api.get(&NODES, "", "node-1").unwrap();
    agent
        .until("owned by its Node", |agent| {
            agent.lease()["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
        })
        .await;
    agent.tell(News::Heard { peers: 1 });
    sleep(Duration::from_secs(100)).await;
    agent.tell(News::Heard { peers: 0 });
    agent.api.delete(&LEASES, NAMESPACE, "fairlead-speaker-node-2");
    let deleted = async {
        loop {
            if let Some(Order::Stand { standing, .. }) = agent.orders.recv().await
                && standing.deleted.contains(&NodeId::of("node-2"))
            {
                return;
            }
        }
    };
    timeout(Duration::from_secs(70), deleted).await.expect("it is looked once a minute");
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_too_is_told_by_its_name() {
    let mut agent = Agent::start(|api| put_address(api, &json!({})));
    assert_eq!(agent.next_fitness().await, FIT);
    agent.tell(News::Heard { peers: 1 });
    agent.own(4);
    agent.until("announced", |agent| agent.status()["node"] == "node-1").await;
    agent.until("present", |agent| agent.lease()["spec"]["holderIdentity"] == "node-1").await;
    // It came after this one had looked who is there.
    agent.api.put(
        &LEASES,
        json!({
            "metadata": { "namespace": NAMESPACE, "name": "fairlead-speaker-node-2",
                "labels": { "fairlead.dev/component": "speaker" } },
            "spec": { "holderIdentity": "node-2", "leaseDurationSeconds": 90,
                "renewTime": jiff::Timestamp::now().to_string() } }),
    );
    let other = MacAddress([2, 0, 0, 0, 0, 2]);
    agent.tell(News::Conflict { address: VIP, mac: other, node: Some(NodeId::of("node-2")) });
    agent.until("in conflict", |agent| agent.status()["conditions"][1]["type"] == "Conflict").await;
    let message = agent.status()["conditions"][1]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("node node-2 answers for 198.51.100.7"), "{message}");
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_cluster_is_known_as_soon_as_the_api_server_is_there() {
    let api = FakeApi::new(1);
    api.set_weather(Weather { unavailable: 100, cut: 100, ..Weather::default() });
    let writer = Writer::new(api.client(), Permit::until(CancellationToken::new()), None);
    let stop = CancellationToken::new();
    let asked = tokio::spawn({
        let stop = stop.clone();
        async move { agent::cluster(&writer, &stop).await }
    });
    sleep(Duration::from_secs(20)).await;
    assert!(!asked.is_finished());
    api.put(&fairlead_fake_api::NAMESPACES, json!({ "metadata": { "name": "kube-system" } }));
    api.set_weather(Weather::default());
    let uid = api.get(&fairlead_fake_api::NAMESPACES, "", "kube-system").unwrap()["metadata"]["uid"].clone();
    let found = timeout(SOON * 3, asked).await.expect("an answer").unwrap();
    assert_eq!(found, Some(ClusterId::of(uid.as_str().unwrap())));
    stop.cancel();
}
