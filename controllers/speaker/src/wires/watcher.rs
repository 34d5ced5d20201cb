//! The thread that knows which interfaces there are.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use tracing::warn;

use super::Shared;
use crate::interfaces::Survey;
use crate::netlink::{Doorbell, Kernel, RawAddress, RawLink, Subject};

/// After this time the kernel is asked though the doorbell did not ring.
const PERIOD: Duration = Duration::from_secs(30);
/// The same after something failed.
const RETRY: Duration = Duration::from_secs(2);
/// The least time between two looks: a node that starts a hundred Pods makes a hundred interfaces.
const PAUSE: Duration = Duration::from_millis(50);
/// The least time between two looks at the routes, of which there may be a million.
const ROUTES_PAUSE: Duration = Duration::from_secs(1);
/// So many times as long as it takes to read the routes nothing is done about them afterwards.
const ROUTES_REST: u32 = 20;
/// Interfaces whose addresses the kernel does not answer for, if kube-proxy's mode IPVS is set up as it has to be
/// (strict ARP): all addresses of Services are on it, on every node.
const SERVICE_ADDRESSES: &str = "kube-ipvs";

pub(super) struct Watcher {
    shared: Arc<Shared>,
    interfaces: Doorbell,
    gateways: Doorbell,
    kernel: Kernel,
    routes: Routes,
}

/// When the routes are to be read.
#[derive(Clone, Copy, Debug, Default)]
struct Routes {
    /// When they were read last, and how long that took.
    read: Option<(Instant, Duration)>,
    /// They have changed since.
    changed: bool,
}

impl Routes {
    /// When they are to be read again at the latest, if they were read at all.
    fn due(&self) -> Option<Instant> {
        let (read, took) = self.read?;
        let pause = ROUTES_PAUSE.max(took * ROUTES_REST);
        Some(read + if self.changed { pause } else { pause.max(PERIOD) })
    }
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>) -> io::Result<Self> {
        // The doorbells first: what changes after the first look rings.
        let (interfaces, gateways) = (Doorbell::new(Subject::Interfaces)?, Doorbell::new(Subject::Gateways)?);
        Ok(Self { shared, interfaces, gateways, kernel: Kernel::new()?, routes: Routes::default() })
    }

    pub(super) fn run(mut self) {
        loop {
            let began = Instant::now();
            let next = match self.look() {
                Ok(true) => PERIOD,
                Ok(false) => RETRY,
                Err(error) => {
                    warn!(%error, "the kernel does not tell which interfaces there are; trying again");
                    RETRY
                }
            };
            self.wait(next);
            if self.shared.state.lock().stopping {
                self.shared.stop();
                return;
            }
            thread::sleep(PAUSE.saturating_sub(began.elapsed()));
            self.shared.waker.was_woken();
            // Whatever rang until here, the next look will see.
            let _ = self.interfaces.rang();
            self.routes.changed |= self.gateways.rang();
        }
    }

    fn wait(&self, most: Duration) {
        let until_routes = self.routes.due().filter(|_| self.routes.changed);
        let until_routes = until_routes.map(|due| due.saturating_duration_since(Instant::now()));
        let most = until_routes.map_or(most, |until| until.min(most));
        let timeout = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or_default(),
            tv_nsec: most.subsec_nanos().into(),
        };
        let mut descriptors = vec![
            PollFd::from_borrowed_fd(self.interfaces.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.shared.waker.as_fd(), PollFlags::IN),
        ];
        // What is known to have changed need not wake anybody before it may be read.
        if !self.routes.changed {
            descriptors.push(PollFd::from_borrowed_fd(self.gateways.as_fd(), PollFlags::IN));
        }
        // Interrupted is as good as woken.
        let _ = poll(&mut descriptors, Some(&timeout));
    }

    /// Asks the kernel, and brings the wires up to what it says. Returns whether all is well.
    fn look(&mut self) -> io::Result<bool> {
        let links = self.kernel.links()?;
        let addresses = self.kernel.addresses()?;
        let survey = Survey::of(&links, &addresses, &self.shared.excluded);
        let began = Instant::now();
        let routes_due = self.routes.due().is_none_or(|due| began >= due);
        let gateways = if routes_due || !self.shared.knows(&survey.used) {
            let _ = self.gateways.rang();
            let mut by_link: HashMap<u32, Vec<IpAddr>> = HashMap::new();
            for gateway in self.kernel.gateways()? {
                by_link.entry(gateway.link).or_default().push(gateway.address);
            }
            self.routes = Routes { read: Some((Instant::now(), began.elapsed())), changed: false };
            Some(by_link)
        } else {
            None
        };
        // Before the wires are started, so that they know from the beginning which addresses they may not take.
        self.shared.set_surroundings(node_addresses(&links, &addresses), gateways);
        Ok(!self.shared.follow(survey))
    }
}

/// The addresses that the kernel of this node answers for, on whatever interface they are.
fn node_addresses(links: &[RawLink], addresses: &[RawAddress]) -> Vec<IpAddr> {
    let of_services: Vec<_> =
        links.iter().filter(|link| link.name.starts_with(SERVICE_ADDRESSES)).map(|link| link.index).collect();
    let mut own: Vec<_> = addresses
        .iter()
        .filter(|address| !of_services.contains(&address.link))
        .map(|address| address.prefix.address)
        .collect();
    own.sort_unstable();
    own.dedup();
    own
}

#[cfg(test)]
mod tests {
    use fairlead_layer2::Prefix;

    use super::*;

    #[test]
    fn routes_are_read_when_they_change_but_not_all_the_time() {
        let read = Instant::now();
        for (took, changed, expected) in [
            (Duration::from_millis(1), true, ROUTES_PAUSE),
            (Duration::from_millis(1), false, PERIOD),
            (Duration::from_secs(1), true, Duration::from_secs(20)),
            (Duration::from_secs(3), false, Duration::from_mins(1)),
        ] {
            let routes = Routes { read: Some((read, took)), changed };
            assert_eq!(routes.due(), Some(read + expected), "{routes:?}");
        }
        assert_eq!(Routes::default().due(), None, "at once");
    }

    #[test]
    fn addresses_of_services_on_the_interface_of_ipvs_are_not_the_nodes() {
        let link = |index, name: &str| RawLink { index, name: name.to_owned(), ..RawLink::default() };
        let address = |link, address: &str| RawAddress {
            link,
            prefix: Prefix { address: address.parse().unwrap(), length: 32 },
            flags: 0,
        };
        let links = [link(1, "lo"), link(2, "eth0"), link(3, "kube-ipvs0")];
        let addresses = [
            address(3, "198.51.100.7"),
            address(2, "198.51.100.11"),
            address(1, "127.0.0.1"),
            address(1, "198.51.100.11"),
        ];
        let own: Vec<_> = node_addresses(&links, &addresses).iter().map(ToString::to_string).collect();
        assert_eq!(own, ["127.0.0.1", "198.51.100.11"]);
    }
}
