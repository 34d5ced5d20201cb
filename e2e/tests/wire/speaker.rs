//! A speaker without an API server: its wires, and the test in place of everything else.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_layer2::{ClassId, ClusterId, Fitness, LinkFacts, NodeId, Wanted};
use fairlead_speaker::interfaces::Patterns;
use fairlead_speaker::links::{News, Report};
use fairlead_speaker::metrics::Metrics;
use fairlead_speaker::wires::{Settings, Wires};
use prometheus::Registry;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::bed::{Host, PATIENCE};

/// A speaker of one host.
pub(crate) struct Speaker {
    pub(crate) wires: Wires,
    pub(crate) reports: UnboundedReceiver<Report>,
    pub(crate) registry: Registry,
}

impl Speaker {
    pub(crate) fn start(host: &Host) -> Self {
        let registry = Registry::new();
        let settings = Settings {
            node: NodeId::of(host.netns()),
            cluster: ClusterId::of("test"),
            period: Duration::from_millis(200),
            keys: KeyRing::new(&[[7; 32]]),
            excluded: "lo,skip*".parse::<Patterns>().expect("patterns"),
        };
        let metrics = Metrics::new(&registry);
        let (wires, reports) = host.run(move || Wires::start(settings, metrics)).expect("netlink");
        Self { wires, reports, registry }
    }

    /// The interface of this name, once there is one as wanted.
    pub(crate) fn link(&self, name: &str, wanted: impl Fn(&LinkFacts) -> bool) -> LinkFacts {
        let links = self.wires.links();
        let began = Instant::now();
        loop {
            let found =
                links.borrow().iter().find(|link| &*link.facts.name == name && wanted(&link.facts)).cloned();
            if let Some(link) = found {
                return link.facts;
            }
            assert!(began.elapsed() < PATIENCE, "no such interface {name}: {:?}", *links.borrow());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until whatever answers on an interface was started anew, and so has forgotten what is wanted.
    pub(crate) fn renewed(&self, name: &str, before: u64) {
        let began = Instant::now();
        while self.generation(name).is_none_or(|generation| generation == before) {
            assert!(began.elapsed() < PATIENCE, "{name} is as it was");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The generation of an interface, if it is there.
    pub(crate) fn generation(&self, name: &str) -> Option<u64> {
        let links = self.wires.links();
        let links = links.borrow();
        links.iter().find(|link| &*link.facts.name == name).map(|link| link.generation)
    }

    /// Has it answer for addresses on an interface, once that is there.
    pub(crate) fn want(&self, interface: &str, addresses: &[IpAddr]) -> LinkFacts {
        let link = self.link(interface, |_| true);
        let changes = addresses.iter().map(|address| (*address, Some(Arc::new(wanted())))).collect();
        self.wires.want(link.index, changes);
        link
    }

    /// The next report that `wanted` finds something in.
    pub(crate) fn news<T>(&mut self, wanted: impl Fn(u32, &News) -> Option<T>) -> T {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.reports.try_recv() {
                Ok(report) => {
                    if let Some(found) = wanted(report.link, &report.news) {
                        return found;
                    }
                }
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
        panic!("nothing of the kind was reported");
    }

    /// Waits until it has taken an address.
    pub(crate) fn owns(&mut self, address: IpAddr) {
        self.news(|_, news| {
            matches!(news, News::Owned { address: owned, .. } if *owned == address).then_some(())
        });
    }
}

/// An address that any node may answer for.
pub(crate) fn wanted() -> Wanted {
    Wanted {
        class: ClassId(0),
        own: Fitness::Fit { soft: false, preference: 0 },
        nodes: None,
        epoch: 0,
        announced_by: None,
        probe: false,
        uid: "uid".into(),
    }
}
