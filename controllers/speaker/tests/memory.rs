//! What a speaker keeps in memory of each address.
//!
//! The parts of one of three nodes, as the agent and a wire hold them: the watch's copy, what is wanted, the segment that
//! has a third of the addresses and hears two others with a third each, and what is told in statuses and metrics. Beside
//! that, what it keeps of the slices of Services whose endpoints decide who answers.

#![expect(clippy::unwrap_used, reason = "the functions that are not tests serve tests only")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::beacon::codec::encode;
use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_layer2::beacon::pages::{Round, pages};
use fairlead_layer2::beacon::{Claim, Flags, Header};
use fairlead_layer2::ethernet::{self, ether_type};
use fairlead_layer2::segment::{self, Clock, Received, ReportKind, Segment, Socket};
use fairlead_layer2::{ClusterId, LinkFacts, MacAddress, Moment, NodeId, Participant, Prefix};
use fairlead_machinery::informer::{Informer, Store};
use fairlead_machinery::metrics::Informers;
use fairlead_machinery::source::{Source, SourceError, SourceEvent};
use fairlead_objects::{Record, testing};
use fairlead_speaker::eligibility::Policy;
use fairlead_speaker::endpoints::{Endpoints, Slice};
use fairlead_speaker::facts::Address;
use fairlead_speaker::intent::Intent;
use fairlead_speaker::links::{Link, News, Order};
use fairlead_speaker::metrics::{LinkMetrics, Metrics};
use fairlead_speaker::status::Claims;
use jiff::Timestamp;
use parking_lot::Mutex;
use peak_alloc::PeakAlloc;
use prometheus::Registry;
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const ADDRESSES: u16 = 5_000;
const NODES: u16 = 3;
/// The bytes that an address may take in all parts together.
const MOST_BYTES: usize = 860;

/// The bytes that it may take more if the endpoints of a Service decide who answers.
const MOST_MORE_BYTES: usize = 650;

const PERIOD: Duration = Duration::from_millis(200);
/// How often the segment is woken, and how many times: so long that each address was announced anew.
const STEP: Duration = Duration::from_millis(10);
const STEPS: u32 = 7_000;

/// The bytes for each address that were taken since `before`.
fn held(before: usize) -> usize {
    MEMORY.current_usage().saturating_sub(before) / usize::from(ADDRESSES)
}

fn address(number: u16) -> IpAddr {
    let [high, low] = (256 + number).to_be_bytes();
    [198, 18, high, low].into()
}

fn node(number: u16) -> String {
    format!("node-{number}")
}

fn mac(node: u16) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, u8::try_from(node).unwrap()])
}

fn object(number: u16) -> Address {
    object_of(number, false)
}

/// The object of an address that the nodes have settled about, as the API server sends it.
fn object_of(number: u16, local: bool) -> Address {
    let (name, owner) = (address(number).to_string(), number % NODES);
    let (node, mac) = (node(owner), mac(owner));
    let at = format!("2026-01-01T00:{:02}:{:02}Z", number / 60 % 60, number % 60);
    let condition = |kind: &str, reason: &str, message: String| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": at});
    let text = json!({
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "LoadBalancerAddress",
        "metadata": {"name": name, "uid": format!("7c3f0a4e-52bb-4d0e-9f0a-0123456{number:05x}"),
            "resourceVersion": (1_000_000 + u64::from(number)).to_string()},
        "spec": {"address": name, "pool": "public", "probe": true, "local": local,
            "services": [{"namespace": "shop", "name": format!("web-{number}"),
                "uid": format!("0d1f5b3c-9a71-4e55-8c7e-0123456{number:05x}")}],
            "announcements": [{"name": "front", "interfaces": ["eth*"]}]},
        "status": {"phase": "Bound", "node": node, "interface": "eth0", "mac": mac.to_string(), "since": at, "epoch": 4,
            "conditions": [
                condition("Announced", "Answering", format!("{node} answers for it on eth0 with MAC address {mac}")),
                condition("Probed", "NobodyAnswered", format!("{node} asked on eth0 who has it, and nobody answered")),
            ]},
    });
    serde_json::from_str(&text.to_string()).unwrap()
}

fn eth0() -> LinkFacts {
    LinkFacts {
        index: 2,
        name: "eth0".into(),
        mac: mac(0),
        mtu: 1500,
        running: true,
        addresses: vec![Prefix { address: [198, 18, 0, 1].into(), length: 15 }],
    }
}

/// The slice of the Service that has an address.
fn slice(number: u16) -> Slice {
    let endpoint = |node: u16| {
        json!({"addresses": [format!("10.{node}.{}.{}", number / 256, number % 256)], "nodeName": self::node(node),
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": format!("web-{number}-{node}")}})
    };
    let text = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": format!("web-{number}-x7k2p"),
            "resourceVersion": (1_000_000 + u64::from(number)).to_string(),
            "labels": {"kubernetes.io/service-name": format!("web-{number}")}},
        "addressType": "IPv4", "endpoints": [endpoint(number % NODES), endpoint((number + 1) % NODES)],
    });
    serde_json::from_str(&text.to_string()).unwrap()
}

/// A list of as many objects as there are addresses.
struct List<R> {
    next: u16,
    object: fn(u16) -> R,
}

impl<R: Record> Source<R> for List<R> {
    async fn next(&mut self) -> Result<SourceEvent<R>, SourceError> {
        self.next += 1;
        match self.next - 1 {
            0 => Ok(SourceEvent::ListBegins),
            number if number <= ADDRESSES => Ok(SourceEvent::Listed((self.object)(number - 1))),
            number if number == ADDRESSES + 1 => Ok(SourceEvent::ListEnds),
            _ => std::future::pending().await,
        }
    }
}

/// What a watch shows, with each object told.
fn listed<R: Record>(object: fn(u16) -> R, tell: impl Fn(&Arc<R>) + Send + Sync + 'static) -> Arc<Store<R>> {
    let mut informer = Informer::new(&Informers::new(&Registry::new()));
    let store = informer.store();
    informer.on_change(move |change| tell(change.new.as_ref().unwrap()));
    let stop = CancellationToken::new();
    let ended = stop.clone();
    informer.on_list(move |_| ended.cancel());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(informer.run(List { next: 0, object }, stop));
    assert_eq!(store.len(), usize::from(ADDRESSES));
    store
}

/// What the watch of addresses shows, and what is wanted by it.
fn watched(object: fn(u16) -> Address) -> (Arc<Store<Address>>, Arc<Mutex<Intent>>) {
    let policy = Policy { ignore_exclude_lb: false, respect_cordon: false };
    let mut intent = Intent::new(&node(0), 100, policy);
    intent.put_node(&Arc::new(testing::node(&node(0), None)));
    intent.put_links(&[Link { facts: eth0(), gateways: Vec::new(), generation: 1 }]);
    let intent = Arc::new(Mutex::new(intent));
    let fed = Arc::clone(&intent);
    (listed(object, move |object| fed.lock().put_address(object)), intent)
}

/// What another node says in a round: that it has its third.
fn round(number: u16, seq: u64) -> Vec<Vec<u8>> {
    let claim = |number| Claim { address: address(number), epoch: 4, probing: false, released: false };
    let others = (0..NODES).filter(|it| *it != number).map(|it| NodeId::of(&node(it)).short());
    let round = Round {
        header: Header {
            from: Participant { node: NodeId::of(&node(number)), link: 2 },
            flags: Flags::default(),
            seq,
            mac: mac(number),
            uptime: 1_000,
            weight: 100,
            period: 200,
            page: 0,
            pages: 0,
        },
        claims: (0..ADDRESSES).filter(|it| it % NODES == number).map(claim).collect(),
        offers: BTreeMap::new(),
        heard: others.collect(),
        solicit: Vec::new(),
        stale: Vec::new(),
        classes: Vec::new(),
        subnets: None,
    };
    let frame = |page| {
        let mut frame = Vec::new();
        ethernet::write_header(MacAddress::BROADCAST, mac(number), ether_type::BEACON, &mut frame);
        encode(page, ClusterId::of("a cluster"), &KeyRing::insecure(), &mut frame);
        frame
    };
    pages(&round, 1_452).iter().map(frame).collect()
}

/// What statuses and metrics are made from.
struct Told {
    claims: Claims,
    metrics: LinkMetrics,
    registry: Registry,
}

impl Told {
    fn new() -> Self {
        let registry = Registry::new();
        let metrics = LinkMetrics::new(&Metrics::new(&registry), "eth0");
        Self { claims: Claims::default(), metrics, registry }
    }

    fn hear(&mut self, report: &segment::Report) {
        self.metrics.note(report);
        if let ReportKind::Owned { address, epoch, since, mac, outage } = report.kind {
            let since = Timestamp::from_microsecond(i64::try_from(since).unwrap()).unwrap();
            self.claims.hear(report.link, &News::Owned { address, epoch, since, mac, outage });
        }
    }

    fn announced(&self) -> usize {
        let families = self.registry.gather();
        families.iter().find(|it| it.name() == "fairlead_speaker_announced").unwrap().get_metric().len()
    }
}

/// The segment once it has had its third for some time, which was told.
fn settled(intent: &Mutex<Intent>) -> (Segment, Told) {
    let settings = segment::Settings {
        node: NodeId::of(&node(0)),
        cluster: ClusterId::of("a cluster"),
        keys: KeyRing::insecure(),
        period: PERIOD,
        ether_type: ether_type::BEACON,
        destination: MacAddress::BROADCAST,
        seed: 1,
    };
    let mut clock = Clock { boot: Moment(Duration::from_mins(1)), wall: 1_800_000_000_000_000 };
    let mut segment = Segment::new(&settings, eth0(), clock);
    for order in intent.lock().take_orders() {
        match order {
            Order::Stand { standing, .. } => segment.set_standing(standing),
            Order::Want { changes, .. } => {
                for (address, wanted) in changes {
                    segment.want(address, wanted);
                }
            }
            Order::Fleet(_) => {}
        }
    }
    let mut told = Told::new();
    for step in 0..STEPS {
        clock = Clock { boot: clock.boot + STEP, wall: clock.wall + 10_000 };
        let nodes = if step % 20 == 0 { 1..NODES } else { 0..0 };
        let frames: Vec<_> = nodes.flat_map(|node| round(node, clock.wall)).collect();
        let received = |frame| Received { frame, age: Duration::ZERO, socket: Socket::Beacons };
        segment.wake(clock, &frames.iter().map(|frame| received(frame)).collect::<Vec<_>>());
        segment.sent(true, clock);
        segment.take_reports().iter().for_each(|report| told.hear(report));
    }
    assert_eq!(segment.peers(), usize::from(NODES - 1));
    (segment, told)
}

/// One test, as the memory of the whole process is counted, and texts that one part stores are there for the next one.
#[test]
fn addresses_and_endpoints_that_decide_take_little_memory() {
    an_address();
    endpoints_that_decide();
}

fn an_address() {
    let before = MEMORY.current_usage();
    let (store, intent) = watched(object);
    let known = held(before);
    let (segment, told) = settled(&intent);
    let all = held(before);
    let third = usize::from(ADDRESSES.div_ceil(NODES));
    assert_eq!(
        (store.len(), segment.owned().count(), told.announced()),
        (usize::from(ADDRESSES), third, third)
    );
    drop(told);
    let without_told = held(before);
    drop(segment);
    let (of_told, of_segment) = (all - without_told, without_told - held(before));
    println!("{all} bytes an address");
    assert!(
        all <= MOST_BYTES,
        "{all} bytes an address: {known} for what the watch shows, {of_segment} for the segment, {of_told} for what is told"
    );
}

fn endpoints_that_decide() {
    // Texts are stored once: those of the addresses are here, and not those that the other part has left behind.
    let texts = watched(|number| object_of(20_000 + number, false));
    let before = MEMORY.current_usage();
    let plain = watched(|number| object_of(20_000 + number, false));
    plain.1.lock().take_orders();
    let without = held(before);
    drop(plain);
    let before = MEMORY.current_usage();
    let (addresses, intent) = watched(|number| object_of(20_000 + number, true));
    let endpoints = Arc::new(Mutex::new(Endpoints::default()));
    let (fed, intended) = (Arc::clone(&endpoints), Arc::clone(&intent));
    let slices = listed(
        |number| slice(20_000 + number),
        move |slice| {
            let mut endpoints = fed.lock();
            for service in endpoints.change(None, Some(slice)) {
                intended.lock().put_endpoints(&service, endpoints.nodes(&service));
            }
        },
    );
    intent.lock().take_orders();
    let more = held(before).saturating_sub(without);
    println!("{more} bytes more with endpoints that decide");
    assert!(more <= MOST_MORE_BYTES, "{more} bytes more");
    drop((texts, addresses, slices, endpoints));
}
