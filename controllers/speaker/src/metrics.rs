//! What is counted about the segments of this node.

mod announced;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use fairlead_layer2::MacAddress;
use fairlead_layer2::beacon::BeaconResult;
use fairlead_layer2::segment::{Answering, Condition, Counters, LostCause, Report, ReportKind};
use fairlead_machinery::metrics::{constant, register};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry};

use self::announced::{Announced, OnLink};

/// Metrics of all interfaces.
#[derive(Clone)]
pub struct Metrics {
    addresses: IntGaugeVec,
    announced: Announced,
    requests: IntCounterVec,
    replies: IntCounterVec,
    late: IntCounterVec,
    gratuitous: IntCounterVec,
    beacons: IntCounterVec,
    conflicts: IntCounterVec,
    defences: IntCounterVec,
    lost: IntCounterVec,
    conditions: IntGaugeVec,
    takeovers: IntCounterVec,
    takeover_duration: Histogram,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            register(registry, constant(IntGaugeVec::new(Opts::new(name, help), labels)))
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            register(registry, constant(IntCounterVec::new(Opts::new(name, help), labels)))
        };
        let takeover_duration = HistogramOpts::new(
            "fairlead_speaker_takeover_duration_seconds",
            "For how long nobody is known to have answered for an address before this node took over from one that died.",
        )
        .buckets(vec![0.05, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.8, 1.0, 2.0, 5.0]);
        Self {
            addresses: gauge(
                "fairlead_speaker_addresses_owned",
                "Number of addresses that this node answers for.",
                &["interface"],
            ),
            announced: register(registry, Announced::new()),
            requests: counter(
                "fairlead_speaker_requests_total",
                "Number of ARP requests and neighbour solicitations for load-balancer addresses.",
                &["interface", "protocol"],
            ),
            replies: counter(
                "fairlead_speaker_replies_total",
                "Number of answers to them.",
                &["interface", "protocol"],
            ),
            late: counter(
                "fairlead_speaker_late_requests_total",
                "Number of requests that were not answered because they had waited for too long.",
                &["interface", "protocol"],
            ),
            gratuitous: counter(
                "fairlead_speaker_gratuitous_total",
                "Number of announcements that nobody asked for.",
                &["interface", "protocol"],
            ),
            beacons: counter(
                "fairlead_speaker_beacons_total",
                "Number of frames that speakers tell each other who has which address with, by what became of them.",
                &["interface", "result"],
            ),
            conflicts: counter(
                "fairlead_speaker_conflicts_total",
                "Number of times that another machine was found to answer for an address, by its MAC address.",
                &["address", "interface", "mac"],
            ),
            defences: counter(
                "fairlead_speaker_defences_total",
                "Number of announcements against a machine that is not of this cluster.",
                &["interface"],
            ),
            lost: counter(
                "fairlead_speaker_addresses_lost_total",
                "Number of times that this node stopped answering for an address, by cause.",
                &["interface", "cause"],
            ),
            conditions: gauge(
                "fairlead_speaker_conditions",
                "Number of things that are wrong about a segment, by kind.",
                &["interface", "condition"],
            ),
            takeovers: counter(
                "fairlead_speaker_takeovers_total",
                "Number of addresses that this node took over from one that died.",
                &["interface"],
            ),
            takeover_duration: register(registry, constant(Histogram::with_opts(takeover_duration))),
        }
    }
}

/// Metrics of one interface. They are there while this is.
pub struct LinkMetrics {
    all: Metrics,
    interface: String,
    counted: Counters,
    /// The addresses that this node answers for.
    owned: OnLink,
    /// The machines that were found to answer for addresses.
    strangers: HashMap<IpAddr, HashSet<MacAddress>>,
    conditions: HashMap<&'static str, i64>,
}

impl LinkMetrics {
    /// Of an interface of this name, which has counted nothing yet.
    #[must_use]
    pub fn new(all: &Metrics, interface: &str) -> Self {
        let metrics = Self {
            all: all.clone(),
            interface: interface.to_owned(),
            counted: Counters::default(),
            owned: all.announced.on(interface),
            strangers: HashMap::new(),
            conditions: HashMap::new(),
        };
        metrics.all.addresses.with_label_values(&[interface]).set(0);
        metrics
    }

    /// Goes on under another name.
    pub(crate) fn rename(&mut self, interface: &str) {
        let counted = self.counted.clone();
        let conditions = self.conditions.clone();
        let renamed = Self::new(&self.all, interface);
        let mut before = std::mem::replace(self, renamed);
        std::mem::swap(&mut self.owned, &mut before.owned);
        drop(before);
        self.counted = counted;
        self.owned.rename(interface);
        self.show_number();
        for (name, number) in conditions {
            self.set_condition(name, number);
        }
    }

    /// Brings the counters up to what a segment has counted since its start.
    pub(crate) fn count(&mut self, now: &Counters) {
        if self.counted == *now {
            return;
        }
        let interface = self.interface.as_str();
        for (protocol, before, after) in
            [("arp", self.counted.arp, now.arp), ("ndp", self.counted.ndp, now.ndp)]
        {
            let figures: [Figure; 4] = [
                (&self.all.requests, |counted| counted.requests),
                (&self.all.replies, |counted| counted.replies),
                (&self.all.late, |counted| counted.late),
                (&self.all.gratuitous, |counted| counted.gratuitous),
            ];
            for (counter, figure) in figures {
                add(counter, &[interface, protocol], figure(&before), figure(&after));
            }
        }
        let results = BeaconResult::ALL
            .map(|result| (result.name(), self.counted.received(result), now.received(result)));
        let beacons = results.into_iter().chain([
            ("sent", self.counted.beacons_sent, now.beacons_sent),
            ("relayed", self.counted.beacons_relayed, now.beacons_relayed),
        ]);
        for (result, before, after) in beacons {
            add(&self.all.beacons, &[interface, result], before, after);
        }
        add(&self.all.defences, &[interface], self.counted.defences, now.defences);
        self.counted = now.clone();
    }

    /// Counts what happened.
    pub fn note(&mut self, report: &Report) {
        match report.kind {
            ReportKind::Owned { address, outage, .. } => {
                self.own(address);
                if let Some(outage) = outage {
                    self.all.takeovers.with_label_values(&[&self.interface]).inc();
                    self.all.takeover_duration.observe(outage.as_secs_f64());
                }
            }
            ReportKind::Lost { address, cause, .. } => {
                self.all.lost.with_label_values(&[self.interface.as_str(), cause_name(cause)]).inc();
                self.forget(address);
            }
            ReportKind::Conflict { address, with } => {
                self.strangers.entry(address).or_default().insert(with.mac);
                self.all.conflicts.with_label_values(&self.conflict(address, with.mac)).inc();
            }
            ReportKind::Condition { condition, holds } => {
                let name = condition_name(condition);
                let number = self.conditions.get(name).copied().unwrap_or_default();
                self.set_condition(name, (number + if holds { 1 } else { -1 }).max(0));
            }
            _ => {}
        }
    }

    fn own(&mut self, address: IpAddr) {
        self.owned.insert(address);
        self.show_number();
    }

    /// Takes the series of an address away.
    fn forget(&mut self, address: IpAddr) {
        self.owned.remove(address);
        for mac in self.strangers.remove(&address).into_iter().flatten() {
            let _ = self.all.conflicts.remove_label_values(&self.conflict(address, mac));
        }
        self.show_number();
    }

    /// The labels of a conflict.
    fn conflict(&self, address: IpAddr, mac: MacAddress) -> [String; 3] {
        [address.to_string(), self.interface.clone(), mac.to_string()]
    }

    fn show_number(&self) {
        let number = i64::try_from(self.owned.len()).unwrap_or(i64::MAX);
        self.all.addresses.with_label_values(&[&self.interface]).set(number);
    }

    fn set_condition(&mut self, name: &'static str, number: i64) {
        self.conditions.insert(name, number);
        self.all.conditions.with_label_values(&[self.interface.as_str(), name]).set(number);
    }
}

impl Drop for LinkMetrics {
    fn drop(&mut self) {
        for address in self.strangers.keys().copied().collect::<Vec<_>>() {
            self.forget(address);
        }
        let interface = self.interface.as_str();
        let all = &self.all;
        // What was never counted has no series.
        let _ = all.addresses.remove_label_values(&[interface]);
        let _ = all.defences.remove_label_values(&[interface]);
        let _ = all.takeovers.remove_label_values(&[interface]);
        for protocol in ["arp", "ndp"] {
            for counter in [&all.requests, &all.replies, &all.late, &all.gratuitous] {
                let _ = counter.remove_label_values(&[interface, protocol]);
            }
        }
        for result in BeaconResult::ALL.map(BeaconResult::name).into_iter().chain(["sent", "relayed"]) {
            let _ = all.beacons.remove_label_values(&[interface, result]);
        }
        for cause in ALL_CAUSES {
            let _ = all.lost.remove_label_values(&[interface, cause_name(cause)]);
        }
        for name in self.conditions.keys() {
            let _ = all.conditions.remove_label_values(&[interface, name]);
        }
    }
}

/// A counter, and the figure that it shows.
type Figure<'a> = (&'a IntCounterVec, fn(&Answering) -> u64);

fn add(counter: &IntCounterVec, labels: &[&str], before: u64, after: u64) {
    if after > before {
        counter.with_label_values(labels).inc_by(after - before);
    }
}

const ALL_CAUSES: [LostCause; 7] = [
    LostCause::Yielded,
    LostCause::HandedOver,
    LostCause::Released,
    LostCause::Fenced,
    LostCause::LinkDown,
    LostCause::Conflict,
    LostCause::Ended,
];

fn cause_name(cause: LostCause) -> &'static str {
    match cause {
        LostCause::Yielded => "yielded",
        LostCause::HandedOver => "handed_over",
        LostCause::Released => "released",
        LostCause::Fenced => "fenced",
        LostCause::LinkDown => "link_down",
        LostCause::Conflict => "conflict",
        LostCause::Ended => "ended",
    }
}

fn condition_name(condition: Condition) -> &'static str {
    match condition {
        Condition::ClockSkew(_) => "clock_skew",
        Condition::TwinInterface => "twin_interface",
        Condition::IdentityClash => "identity_clash",
        Condition::BeaconsBlocked(_) => "beacons_blocked",
        Condition::TooManyParticipants => "too_many_participants",
        Condition::TooManyAddresses => "too_many_addresses",
        Condition::Deaf => "deaf",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fairlead_layer2::segment::Stranger;
    use prometheus::TextEncoder;

    use super::*;

    fn series(registry: &Registry) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines()
            .filter(|line| line.contains("interface=\""))
            .map(|line| line.trim_start_matches("fairlead_speaker_").to_owned())
            .collect()
    }

    fn report(kind: ReportKind) -> Report {
        Report { link: 2, kind }
    }

    #[test]
    fn series_of_an_address_vanish_with_it() {
        let registry = Registry::new();
        let mut metrics = LinkMetrics::new(&Metrics::new(&registry), "eth0");
        let address = IpAddr::from([198, 51, 100, 7]);
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let outage = Some(Duration::from_millis(400));
        metrics.note(&report(ReportKind::Owned { address, epoch: 1, since: 0, mac, outage }));
        metrics.note(&report(ReportKind::Conflict { address, with: Stranger { mac, node: None } }));
        let owned = [
            r#"addresses_owned{interface="eth0"} 1"#,
            r#"announced{address="198.51.100.7",interface="eth0"} 1"#,
            r#"conflicts_total{address="198.51.100.7",interface="eth0",mac="02:00:00:00:00:01"} 1"#,
            r#"takeovers_total{interface="eth0"} 1"#,
        ];
        assert_eq!(series(&registry), owned);
        metrics.note(&report(ReportKind::Lost { address, epoch: 1, cause: LostCause::Yielded }));
        let lost = [
            r#"addresses_lost_total{cause="yielded",interface="eth0"} 1"#,
            r#"addresses_owned{interface="eth0"} 0"#,
            r#"takeovers_total{interface="eth0"} 1"#,
        ];
        assert_eq!(series(&registry), lost);
    }

    #[test]
    fn series_of_an_interface_vanish_with_it_and_go_over_to_its_new_name() {
        let registry = Registry::new();
        let all = Metrics::new(&registry);
        let mut metrics = LinkMetrics::new(&all, "eth0");
        let (address, mac) = (IpAddr::from([198, 51, 100, 7]), MacAddress([2, 0, 0, 0, 0, 1]));
        metrics.note(&report(ReportKind::Owned { address, epoch: 1, since: 0, mac, outage: None }));
        metrics.note(&report(ReportKind::Condition { condition: Condition::Deaf, holds: true }));
        let mut counted = Counters::default();
        counted.beacons_sent = 3;
        metrics.count(&counted);
        assert!(series(&registry).contains(&r#"beacons_total{interface="eth0",result="sent"} 3"#.to_owned()));
        metrics.rename("lan0");
        counted.beacons_sent = 5;
        metrics.count(&counted);
        let renamed = [
            r#"addresses_owned{interface="lan0"} 1"#,
            r#"announced{address="198.51.100.7",interface="lan0"} 1"#,
            r#"beacons_total{interface="lan0",result="sent"} 2"#,
            r#"conditions{condition="deaf",interface="lan0"} 1"#,
        ];
        assert_eq!(series(&registry), renamed);
        drop(metrics);
        assert_eq!(series(&registry), [""; 0]);
    }
}
