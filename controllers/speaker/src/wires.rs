//! All interfaces of the node: which there are, and a wire for each that is used: a thread with its sockets.
//!
//! A thread asks the kernel whenever its doorbell rings, and every 30 s in any case, and starts, tells and ends wires by
//! what it finds. What is wanted on an interface is kept by whoever orders it: a wire that is started anew, and so has
//! forgotten it, is seen by a new generation of the interface.

mod watcher;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_layer2::ethernet::ether_type;
use fairlead_layer2::segment::{Settings as SegmentSettings, Surroundings};
use fairlead_layer2::{ClusterId, LinkFacts, MacAddress, NodeId, Standing, Wanted};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use crate::interfaces::{Patterns, Reason, Survey, Unused};
use crate::links::{Link, Report};
use crate::metrics::Metrics;
use crate::socket::SocketError;
use crate::waker::Waker;
use crate::wire::{Command, Listeners, Wire};

/// How much longer than its limit a drain may take until the last goodbye is said.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// What is the same on all interfaces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The beacon period, 50 ms to 2 s.
    pub period: Duration,
    /// The keys of the beacons.
    pub keys: KeyRing,
    /// The interfaces that are left alone.
    pub excluded: Patterns,
}

/// All interfaces of the node. Clones are the same; the last one that is dropped ends the threads.
#[derive(Clone)]
pub struct Wires {
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

/// Ends the threads when it is dropped.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.state.lock().stopping = true;
        self.0.waker.wake();
    }
}

struct Shared {
    settings: SegmentSettings,
    listeners: Listeners,
    excluded: Patterns,
    state: Mutex<State>,
    /// Rings for whoever asks the kernel.
    waker: Arc<Waker>,
    links: watch::Sender<Vec<Link>>,
    survey: watch::Sender<Arc<Survey>>,
}

#[derive(Default)]
struct State {
    /// By the index of the interface.
    links: BTreeMap<u32, Strand>,
    /// How many there were.
    made: u64,
    keys: KeyRing,
    node_addresses: Vec<IpAddr>,
    gateways: HashMap<u32, Vec<IpAddr>>,
    fleet: HashMap<MacAddress, NodeId>,
    draining: bool,
    stopping: bool,
}

/// An interface that is to be used.
struct Strand {
    /// Of which wire this is: which one it is of all that there were.
    generation: u64,
    facts: LinkFacts,
    /// None as long as it cannot be started.
    wire: Option<Wire>,
}

impl Wires {
    /// Looks for interfaces in the network namespace of this thread, starts wires for them, and goes on doing so. The
    /// receiver hears what happens on them.
    ///
    /// # Errors
    /// If the kernel does not tell about interfaces.
    pub fn start(settings: Settings, metrics: Metrics) -> io::Result<(Self, UnboundedReceiver<Report>)> {
        let (reports, received) = unbounded_channel();
        let waker = Arc::new(Waker::new()?);
        let listeners = Listeners {
            reports,
            metrics,
            failures: Arc::new(watch::Sender::new(None)),
            rescan: Arc::clone(&waker),
        };
        let shared = Arc::new(Shared {
            settings: SegmentSettings {
                node: settings.node,
                cluster: settings.cluster,
                keys: settings.keys.clone(),
                period: settings.period,
                ether_type: ether_type::BEACON,
                destination: MacAddress::BROADCAST,
                seed: fastrand::u64(..),
            },
            listeners,
            excluded: settings.excluded,
            state: Mutex::new(State { keys: settings.keys, ..State::default() }),
            waker,
            links: watch::Sender::default(),
            survey: watch::Sender::default(),
        });
        let watcher = watcher::Watcher::new(Arc::clone(&shared))?;
        thread::Builder::new().name("interfaces".to_owned()).spawn(move || watcher.run())?;
        let alive = Arc::new(Alive(Arc::clone(&shared)));
        Ok((Self { shared, _alive: alive }, received))
    }

    /// The interfaces that are used, running or not, by their indexes.
    #[must_use]
    pub fn links(&self) -> watch::Receiver<Vec<Link>> {
        self.shared.links.subscribe()
    }

    /// All interfaces, also those that are not used, with the reason.
    #[must_use]
    pub fn survey(&self) -> watch::Receiver<Arc<Survey>> {
        self.shared.survey.subscribe()
    }

    /// What is known about addresses changed; without anything nobody is to answer for one any more. An interface that
    /// appears in [`Wires::links`], or has another generation there, knows of none yet; one that is not there has nobody to
    /// tell.
    pub fn want(&self, link: u32, changes: Vec<(IpAddr, Option<Arc<Wanted>>)>) {
        self.shared.state.lock().tell(link, Command::Want(changes));
    }

    /// What the API says about this node on an interface changed.
    pub fn set_standing(&self, link: u32, standing: Standing) {
        self.shared.state.lock().tell(link, Command::Standing(standing));
    }

    /// The MAC addresses of the interfaces of our nodes, as the API lists them.
    pub fn set_fleet(&self, fleet: HashMap<MacAddress, NodeId>) {
        let mut state = self.shared.state.lock();
        if state.fleet != fleet {
            state.fleet = fleet;
            state.tell_surroundings();
        }
    }

    /// The keys of the beacons changed.
    pub fn set_keys(&self, keys: &KeyRing) {
        let mut state = self.shared.state.lock();
        state.keys = keys.clone();
        for link in state.links.values() {
            link.tell(Command::Keys(keys.clone()));
        }
    }

    /// Hands over all addresses on all interfaces, and ends answering on them. Returns whether that was done within the
    /// limit.
    pub async fn drain(&self, limit: Duration) -> bool {
        let waiting: Vec<_> = {
            let mut state = self.shared.state.lock();
            state.draining = true;
            let drain = |link: &Strand| {
                link.tell(Command::Drain(limit));
                link.wire.as_ref().map(Wire::drained)
            };
            state.links.values().filter_map(drain).collect()
        };
        let all = async {
            for mut drained in waiting {
                // An error: the thread has ended, so there is nothing to wait for.
                let _ = drained.wait_for(|drained| *drained).await;
            }
        };
        timeout(limit + DRAIN_GRACE, all).await.is_ok()
    }

    /// Resolves when a thread panicked, with what to say about it.
    pub async fn failed(&self) -> String {
        let mut failures = self.shared.listeners.failures.subscribe();
        match failures.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // The sender lives as long as this.
            _ => std::future::pending().await,
        }
    }
}

impl Strand {
    fn tell(&self, command: Command) {
        if let Some(wire) = &self.wire {
            wire.tell(command);
        }
    }

    fn is_alive(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| !wire.has_ended())
    }
}

impl State {
    fn tell(&self, link: u32, command: Command) {
        if let Some(link) = self.links.get(&link) {
            link.tell(command);
        }
    }

    /// An interface as the agent sees it.
    fn link(&self, facts: &LinkFacts) -> Link {
        let gateways = self.gateways.get(&facts.index).cloned().unwrap_or_default();
        let generation = self.links.get(&facts.index).map_or(0, |link| link.generation);
        Link { facts: facts.clone(), gateways, generation }
    }

    /// What is around an interface.
    fn surroundings(&self, link: u32) -> Surroundings {
        Surroundings {
            node_addresses: self.node_addresses.clone(),
            gateways: self.gateways.get(&link).cloned().unwrap_or_default(),
            fleet: self.fleet.clone(),
        }
    }

    fn tell_surroundings(&self) {
        for (index, link) in &self.links {
            link.tell(Command::Surroundings(self.surroundings(*index)));
        }
    }
}

impl Shared {
    /// Brings the wires up to what was found. Returns whether some could not be started.
    fn follow(&self, mut survey: Survey) -> bool {
        let mut state = self.state.lock();
        if state.draining || state.stopping {
            return false;
        }
        state.links.retain(|index, link| {
            let stays = survey.used.iter().any(|facts| facts.index == *index);
            if !stays {
                link.tell(Command::Stop);
            }
            stays
        });
        let mut failed = Vec::new();
        for facts in &survey.used {
            match state.links.get_mut(&facts.index) {
                Some(link) if link.is_alive() => {
                    if link.facts != *facts {
                        link.facts = facts.clone();
                        link.tell(Command::Link(facts.clone()));
                    }
                }
                _ => {
                    if let Err(error) = self.start_wire(&mut state, facts) {
                        warn!(interface = %facts.name, %error, "nothing is answered on an interface");
                        failed.push((facts.index, error.to_string()));
                    }
                }
            }
        }
        for (index, why) in &failed {
            survey.used.retain(|facts| {
                facts.index != *index || {
                    survey
                        .unused
                        .push(Unused { name: facts.name.clone(), reason: Reason::Failed(why.clone()) });
                    false
                }
            });
        }
        let links: Vec<_> = survey.used.iter().map(|facts| state.link(facts)).collect();
        drop(state);
        self.links.send_if_modified(|current| {
            let changed = *current != links;
            *current = links;
            changed
        });
        self.survey.send_if_modified(|current| {
            let changed = **current != survey;
            *current = Arc::new(survey);
            changed
        });
        !failed.is_empty()
    }

    /// Whether these are the interfaces as they were found before.
    fn knows(&self, links: &[LinkFacts]) -> bool {
        self.links.borrow().iter().map(|link| &link.facts).eq(links)
    }

    /// Starts a wire, which is told what is wanted by whoever sees its generation.
    fn start_wire(&self, state: &mut State, facts: &LinkFacts) -> Result<(), SocketError> {
        let settings = SegmentSettings { keys: state.keys.clone(), ..self.settings.clone() };
        let surroundings = state.surroundings(facts.index);
        state.made += 1;
        let strand = Strand { generation: state.made, facts: facts.clone(), wire: None };
        // The one before has ended, and its sockets are to be closed first.
        state.links.insert(facts.index, strand);
        let wire = Wire::start(&settings, facts.clone(), self.listeners.clone())?;
        wire.tell(Command::Surroundings(surroundings));
        if let Some(link) = state.links.get_mut(&facts.index) {
            link.wire = Some(wire);
        }
        Ok(())
    }

    /// Notes what is around the interfaces, and tells them if it is new.
    fn set_surroundings(&self, node_addresses: Vec<IpAddr>, gateways: Option<HashMap<u32, Vec<IpAddr>>>) {
        let mut state = self.state.lock();
        let gateways = gateways.unwrap_or_else(|| state.gateways.clone());
        if state.node_addresses != node_addresses || state.gateways != gateways {
            state.node_addresses = node_addresses;
            state.gateways = gateways;
            state.tell_surroundings();
        }
    }

    /// Ends all wires, and waits until they have.
    fn stop(&self) {
        let links = std::mem::take(&mut self.state.lock().links);
        for link in links.values() {
            link.tell(Command::Stop);
        }
        for wire in links.into_values().filter_map(|link| link.wire) {
            wire.join();
        }
    }
}
