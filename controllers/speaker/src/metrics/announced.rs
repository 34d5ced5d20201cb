//! The series of the addresses that this node answers for, made when somebody asks: to keep thousands takes much memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_machinery::metrics::constant;
use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};

const NAME: &str = "fairlead_speaker_announced";
const HELP: &str = "1 for each address that this node answers for.";

/// The addresses on all interfaces.
#[derive(Clone)]
pub(super) struct Announced {
    desc: Arc<Desc>,
    links: Arc<Mutex<Links>>,
}

#[derive(Default)]
struct Links {
    last: u64,
    links: BTreeMap<u64, Link>,
}

struct Link {
    interface: String,
    addresses: HashSet<IpAddr>,
}

/// The addresses on one interface. They are shown as long as this is there.
pub(super) struct OnLink {
    all: Announced,
    id: u64,
}

impl Announced {
    pub(super) fn new() -> Self {
        let labels = vec!["address".to_owned(), "interface".to_owned()];
        let desc = constant(Desc::new(NAME.to_owned(), HELP.to_owned(), labels, HashMap::new()));
        Self { desc: Arc::new(desc), links: Arc::default() }
    }

    /// Of another interface.
    pub(super) fn on(&self, interface: &str) -> OnLink {
        let mut links = self.links.lock();
        links.last += 1;
        let id = links.last;
        links.links.insert(id, Link { interface: interface.to_owned(), addresses: HashSet::new() });
        OnLink { all: self.clone(), id }
    }
}

impl OnLink {
    fn with<T>(&self, act: impl FnOnce(&mut Link) -> T) -> Option<T> {
        self.all.links.lock().links.get_mut(&self.id).map(act)
    }

    pub(super) fn rename(&self, interface: &str) {
        self.with(|link| interface.clone_into(&mut link.interface));
    }

    pub(super) fn insert(&self, address: IpAddr) {
        self.with(|link| link.addresses.insert(address));
    }

    pub(super) fn remove(&self, address: IpAddr) {
        self.with(|link| link.addresses.remove(&address));
    }

    pub(super) fn len(&self) -> usize {
        self.with(|link| link.addresses.len()).unwrap_or_default()
    }
}

impl Drop for OnLink {
    fn drop(&mut self) {
        self.all.links.lock().links.remove(&self.id);
    }
}

impl Collector for Announced {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // The threads that answer wait for the lock, so nothing is put into words under it. Interfaces that exchange their
        // names have the same one for a moment, and no series may be there twice.
        let mut series: BTreeSet<(Arc<str>, IpAddr)> = BTreeSet::new();
        for link in self.links.lock().links.values() {
            let interface: Arc<str> = link.interface.as_str().into();
            series.extend(link.addresses.iter().map(|address| (Arc::clone(&interface), *address)));
        }
        let metric = |(interface, address): &(Arc<str>, IpAddr)| {
            let mut gauge = Gauge::default();
            gauge.set_value(1.0);
            let labels = [("address", address.to_string()), ("interface", interface.to_string())];
            let mut metric = Metric::default();
            metric.set_label(labels.map(|(name, value)| label(name, value)).into());
            metric.set_gauge(gauge);
            metric
        };
        let mut family = MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(series.iter().map(metric).collect());
        vec![family]
    }
}

fn label(name: &str, value: String) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value);
    label
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};

    use super::*;

    #[test]
    fn series_are_those_of_a_gauge_and_none_is_there_twice() {
        let registry = Registry::new();
        let all = Announced::new();
        registry.register(Box::new(all.clone())).unwrap();
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert_eq!(text(), "");
        let (one, other) = (all.on("eth0"), all.on("eth1"));
        one.insert([198, 51, 100, 7].into());
        other.insert([198, 51, 100, 7].into());
        one.insert("2001:db8::7".parse().unwrap());
        let head = format!("# HELP {NAME} {HELP}\n# TYPE {NAME} gauge\n");
        let line = |address: &str, interface: &str| {
            format!("{NAME}{{address=\"{address}\",interface=\"{interface}\"}} 1\n")
        };
        let both =
            line("198.51.100.7", "eth0") + &line("198.51.100.7", "eth1") + &line("2001:db8::7", "eth0");
        assert_eq!(text(), format!("{head}{both}"));
        other.rename("eth0");
        one.remove("2001:db8::7".parse().unwrap());
        assert_eq!(text(), format!("{head}{}", line("198.51.100.7", "eth0")));
        drop(one);
        assert_eq!((other.len(), text()), (1, format!("{head}{}", line("198.51.100.7", "eth0"))));
        drop(other);
        assert_eq!(text(), "");
    }
}
