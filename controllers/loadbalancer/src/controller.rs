//! The loadbalancer-controller: the only module of the crate that talks to the API server.
//!
//! Observe: the informers' changes, and the answers to our own writes, are shown to the [`Ledger`], which says whom they
//! concern. Plan: the ledger, under its lock, which claims what it picks. Apply: the writes of the plan, one after the other.

mod apply;
mod beacon_key;
mod key;
mod metallb;
mod observe;
mod overlay;
mod report;
mod speakers;
mod statuses;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fairlead_machinery::admin::Check;
use fairlead_machinery::clock::WallClock;
use fairlead_machinery::complaints::Complaints;
use fairlead_machinery::events::Recorder;
use fairlead_machinery::informer::Informer;
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::queue::{Dirt, Queue};
use fairlead_machinery::recheck;
use fairlead_machinery::worker::{self, Outcome};
use fairlead_machinery::write::Writer;
use fairlead_objects::{Namespace, Node, ObjectKey, Presence, Service, ServiceCidr};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::key::Key;
use self::metallb::Sightings;
use self::overlay::Overlay;
use self::statuses::Pace;
use crate::metrics::Metrics;
use crate::records::{Address, Announcement, Pool, Reservation};
use crate::{Affected, Config, Ledger};

/// The component in Events.
pub const COMPONENT: &str = "fairlead-loadbalancer-controller";
/// Name of the work queue in the `workqueue_*` metrics.
const QUEUE: &str = "loadbalancer";

/// Settings, already validated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--concurrent-load-balancer-syncs`: Services planned and written at a time.
    pub workers: usize,
    /// `--load-balancer-class` and `--pool-drain-overlap`.
    pub config: Config,
    /// `--recheck-period`: everything is looked at again once in this time.
    pub recheck_period: Duration,
    /// Our own namespace, for events about what has none.
    pub namespace: String,
    /// The time of day: cool-downs end at one that is written into objects.
    pub clock: WallClock,
}

/// The informers that the controller reads, which must not run yet when it is made.
pub struct Inputs<'a> {
    /// Services.
    pub services: &'a mut Informer<Service>,
    /// Namespaces.
    pub namespaces: &'a mut Informer<Namespace>,
    /// Nodes.
    pub nodes: &'a mut Informer<Node>,
    /// ServiceCIDRs.
    pub service_cidrs: &'a mut Informer<ServiceCidr>,
    /// LoadBalancerPools.
    pub pools: &'a mut Informer<Pool>,
    /// LoadBalancerAddresses.
    pub addresses: &'a mut Informer<Address>,
    /// Layer2Announcements.
    pub announcements: &'a mut Informer<Announcement>,
    /// ServiceReservations.
    pub reservations: &'a mut Informer<Reservation>,
    /// The Leases of speakers.
    pub presences: &'a mut Informer<Presence>,
}

/// The loadbalancer-controller.
pub struct Controller {
    settings: Settings,
    ledger: Mutex<Ledger>,
    services: Overlay<Service>,
    pools: Overlay<Pool>,
    addresses: Overlay<Address>,
    reservations: Overlay<Reservation>,
    /// Since when Services that were seen without an address have waited for one.
    waiting: Mutex<HashMap<ObjectKey, Instant>>,
    /// When statuses were written last.
    pace: Pace,
    /// What was seen of a MetalLB.
    sightings: Mutex<Sightings>,
    /// Says in the readiness check whether a MetalLB runs.
    rival_check: Check,
    queue: Arc<Queue<Key, Look>>,
    writer: Writer,
    recorder: Recorder,
    complaints: Complaints,
    metrics: Metrics,
}

/// A key is to be looked at; what about it changed is in the ledger.
#[derive(Clone, Copy, Debug)]
struct Look;

impl Dirt for Look {
    fn merge(&mut self, _: Self) {}
}

impl Controller {
    /// A controller that follows its inputs and writes nothing before [`Controller::run`].
    #[must_use]
    pub fn new(
        settings: Settings,
        inputs: Inputs<'_>,
        writer: Writer,
        recorder: Recorder,
        rival_check: Check,
        registry: &Registry,
        workqueues: &Workqueues,
    ) -> Arc<Self> {
        let controller = Arc::new(Self {
            ledger: Mutex::new(Ledger::new(settings.config.clone())),
            settings,
            services: Overlay::of(inputs.services),
            pools: Overlay::of(inputs.pools),
            addresses: Overlay::of(inputs.addresses),
            reservations: Overlay::of(inputs.reservations),
            waiting: Mutex::default(),
            pace: Pace::default(),
            sightings: Mutex::default(),
            rival_check,
            queue: Arc::new(Queue::new(workqueues.of(QUEUE))),
            writer,
            recorder,
            complaints: Complaints::default(),
            metrics: Metrics::new(registry),
        });
        observe::follow(&controller, inputs);
        controller
    }

    /// Works until `stop`. The caches must be synced: an address of a Service that is not there yet would be taken for one
    /// that is free.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        // Whom Services without a class belong to has to be known before the first of them is given an address.
        if stop.run_until_cancelled(self.look_for_metallb()).await.is_none() {
            return;
        }
        let this = Arc::clone(&self);
        let work =
            worker::run(self.settings.workers, Arc::clone(&self.queue), stop.clone(), move |key, _: Look| {
                let this = Arc::clone(&this);
                async move { this.sync(&key).await }
            });
        let check = |key| self.queue.add(key, Look);
        let recheck = recheck::run(self.settings.recheck_period, || self.keys(), check, stop.clone());
        let beside = async {
            tokio::join!(
                self.keep_looking_for_metallb(),
                self.provide_beacon_key(),
                self.watch_speakers(),
                self.writer.permit().whenever_granted(|| self.queue.unpark())
            )
        };
        tokio::join!(work, recheck, stop.run_until_cancelled(beside));
    }

    /// Everything that can be looked at.
    fn keys(&self) -> Vec<Key> {
        let services = self.services.store().list();
        let services = services.iter().filter(|it| it.load_balancer.is_some());
        let mut keys: Vec<_> = services.map(|it| Key::Service(it.key.clone())).collect();
        keys.extend(self.addresses.store().list().iter().map(|it| Key::Address(it.address)));
        keys.extend(self.pools.store().list().iter().map(|it| Key::Pool(it.key.name.clone())));
        keys.extend(self.reservations.store().list().iter().map(|it| Key::Reservation(it.key.clone())));
        keys
    }

    fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Changes what the ledger knows, and lets those be looked at whom that concerns.
    fn update<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let (result, affected) = {
            let mut ledger = self.ledger.lock();
            let result = change(&mut ledger);
            (result, ledger.take_affected())
        };
        self.look_at(affected);
        result
    }

    fn look_at(&self, affected: Affected) {
        let Affected { services, addresses, pools, reservations } = affected;
        for service in services {
            self.queue.add(Key::Service(service), Look);
        }
        for address in addresses {
            self.queue.add(Key::Address(address), Look);
        }
        for key in pools.into_iter().map(Key::Pool).chain(reservations.into_iter().map(Key::Reservation)) {
            let pause = self.pace.pause(&key, Instant::now());
            self.queue.add_after(key, Look, pause);
        }
    }

    async fn sync(&self, key: &Key) -> Outcome<Look> {
        match key {
            Key::Service(service) => self.sync_service(service).await,
            Key::Address(address) => self.sync_address(*address).await,
            Key::Pool(name) => self.sync_pool(key, name).await,
            Key::Reservation(reservation) => self.sync_reservation(key, reservation).await,
        }
    }

    /// The end of a round: another one when there will be something to do.
    fn until(&self, wait: Option<Timestamp>) -> Outcome<Look> {
        let Some(due) = wait else { return Outcome::Done };
        let wait = Duration::try_from(due.duration_since(self.now())).unwrap_or_default();
        Outcome::Later(Look, wait)
    }
}
