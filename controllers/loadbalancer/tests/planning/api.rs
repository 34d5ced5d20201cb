//! An API server in memory, as far as the planner's writes need one: versions, UIDs, preconditions, and the order of changes
//! of each kind.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_crds::{LoadBalancerAddress, address::address_name};
use fairlead_loadbalancer::records::{
    Address, AddressSpec, Announcement, Answering, Pool, PoolStatus, Reservation, ReservationStatus,
};
use fairlead_loadbalancer::{Action, ConditionChange, Publication, body};
use fairlead_objects::{
    Family, Ingress, IngressPoint, Istr, Labels, LoadBalancer, Node, ObjectKey, Presence, PresentInterface,
    ResourceVersion, Service, Uid, testing,
};
use jiff::{SignedDuration, Timestamp};

/// What happened to one object.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Service(ObjectKey, Option<Arc<Service>>),
    Address(Arc<Address>, bool),
    Pool(Istr, Option<Arc<Pool>>),
    Reservation(ObjectKey, Option<Arc<Reservation>>),
    Namespace(Istr, Option<Labels>),
    Node(Istr, Option<Arc<Node>>),
    ServiceCidr(Istr, Option<Vec<Istr>>),
    Announcement(Istr, Option<Arc<Announcement>>),
    Presence(Istr, Option<Arc<Presence>>),
}

pub(crate) const KINDS: usize = 9;

impl Change {
    fn kind(&self) -> usize {
        match self {
            Self::Service(..) => 0,
            Self::Address(..) => 1,
            Self::Pool(..) => 2,
            Self::Reservation(..) => 3,
            Self::Namespace(..) => 4,
            Self::Node(..) => 5,
            Self::ServiceCidr(..) => 6,
            Self::Announcement(..) => 7,
            Self::Presence(..) => 8,
        }
    }
}

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Conflict,
    AlreadyExists,
    NotFound,
}

pub(crate) struct Api {
    pub(crate) now: Timestamp,
    pub(crate) services: BTreeMap<ObjectKey, Arc<Service>>,
    pub(crate) addresses: BTreeMap<IpAddr, Arc<Address>>,
    pub(crate) pools: BTreeMap<Istr, Arc<Pool>>,
    pub(crate) reservations: BTreeMap<ObjectKey, Arc<Reservation>>,
    pub(crate) namespaces: BTreeMap<Istr, Labels>,
    pub(crate) nodes: BTreeMap<Istr, Arc<Node>>,
    pub(crate) presences: BTreeMap<Istr, Arc<Presence>>,
    pub(crate) announcements: BTreeMap<Istr, Arc<Announcement>>,
    pub(crate) service_cidrs: BTreeMap<Istr, Vec<Istr>>,
    /// Everything that happened, by kind.
    pub(crate) changes: [Vec<Change>; KINDS],
    /// What controllers wrote, in words.
    pub(crate) writes: Vec<String>,
    version: u64,
}

impl Api {
    pub(crate) fn new() -> Self {
        Self {
            now: "2026-01-01T12:00:00Z".parse().unwrap(),
            services: BTreeMap::new(),
            addresses: BTreeMap::new(),
            pools: BTreeMap::new(),
            reservations: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            nodes: BTreeMap::new(),
            presences: BTreeMap::new(),
            announcements: BTreeMap::new(),
            service_cidrs: BTreeMap::new(),
            changes: Default::default(),
            writes: Vec::new(),
            version: 0,
        }
    }

    fn next(&mut self) -> ResourceVersion {
        self.version += 1;
        ResourceVersion::Number(self.version)
    }

    fn record(&mut self, change: Change) {
        self.changes[change.kind()].push(change);
    }

    /// Objects that are made one after the other have different times of creation.
    pub(crate) fn tick(&mut self) {
        self.pass(SignedDuration::from_millis(1));
    }

    pub(crate) fn pass(&mut self, time: SignedDuration) {
        self.now = self.now.saturating_add(time).unwrap();
    }

    // What people do.

    /// Creates a Service; what it says of identity and time is overwritten.
    pub(crate) fn create_service(&mut self, mut service: Service) {
        self.tick();
        service.version = self.next();
        service.uid = Uid::from(format!("uid-{}", self.version).as_str());
        service.created = Some(self.now);
        self.store_service(service);
    }

    /// Changes a Service; the API server takes the status of what is no load balancer away.
    pub(crate) fn edit_service(&mut self, key: &ObjectKey, edit: impl FnOnce(&mut Service)) {
        let mut service = Service::clone(&self.services[key]);
        edit(&mut service);
        service.version = self.next();
        if let Some(load_balancer) = &mut service.load_balancer {
            load_balancer.generation += 1;
            if !load_balancer.wanted {
                load_balancer.ingress.clear();
            }
        }
        self.store_service(service);
    }

    /// Changes the status of a Service, as somebody else would.
    pub(crate) fn edit_status(&mut self, key: &ObjectKey, edit: impl FnOnce(&mut LoadBalancer)) {
        let mut service = Service::clone(&self.services[key]);
        edit(service.load_balancer.as_mut().unwrap());
        service.version = self.next();
        self.store_service(service);
    }

    fn store_service(&mut self, service: Service) {
        let (key, service) = (service.key.clone(), Arc::new(service));
        self.services.insert(key.clone(), Arc::clone(&service));
        self.record(Change::Service(key, Some(service)));
    }

    pub(crate) fn delete_service(&mut self, key: &ObjectKey) {
        if self.services.remove(key).is_some() {
            self.next();
            self.record(Change::Service(key.clone(), None));
        }
    }

    pub(crate) fn put_pool(&mut self, mut pool: Pool) {
        self.tick();
        let known = self.pools.get(&pool.key.name);
        pool.created = known.map_or(Some(self.now), |known| known.created);
        pool.generation = known.map_or(1, |known| known.generation + 1);
        pool.status = known.map(|known| known.status.clone()).unwrap_or_default();
        pool.version = self.next();
        self.store_pool(pool);
    }

    pub(crate) fn edit_pool(&mut self, name: &str, edit: impl FnOnce(&mut Pool)) {
        let mut pool = Pool::clone(&self.pools[&Istr::from(name)]);
        edit(&mut pool);
        self.put_pool(pool);
    }

    fn store_pool(&mut self, pool: Pool) {
        let (name, pool) = (pool.key.name.clone(), Arc::new(pool));
        self.pools.insert(name.clone(), Arc::clone(&pool));
        self.record(Change::Pool(name, Some(pool)));
    }

    pub(crate) fn delete_pool(&mut self, name: &str) {
        let name = Istr::from(name);
        if self.pools.remove(&name).is_some() {
            self.next();
            self.record(Change::Pool(name, None));
        }
    }

    pub(crate) fn put_reservation(&mut self, mut reservation: Reservation) {
        self.tick();
        let known = self.reservations.get(&reservation.key);
        reservation.created = known.map_or(Some(self.now), |known| known.created);
        reservation.generation = known.map_or(1, |known| known.generation + 1);
        reservation.status = known.map(|known| known.status.clone()).unwrap_or_default();
        reservation.version = self.next();
        self.store_reservation(reservation);
    }

    fn store_reservation(&mut self, reservation: Reservation) {
        let (key, reservation) = (reservation.key.clone(), Arc::new(reservation));
        self.reservations.insert(key.clone(), Arc::clone(&reservation));
        self.record(Change::Reservation(key, Some(reservation)));
    }

    pub(crate) fn delete_reservation(&mut self, key: &ObjectKey) {
        if self.reservations.remove(key).is_some() {
            self.next();
            self.record(Change::Reservation(key.clone(), None));
        }
    }

    pub(crate) fn put_namespace(&mut self, name: &str, labels: &[(&str, &str)]) {
        let labels: Labels = labels.iter().copied().collect();
        self.namespaces.insert(name.into(), labels.clone());
        self.record(Change::Namespace(name.into(), Some(labels)));
    }

    pub(crate) fn put_node(&mut self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.put_whole_node(Node { addresses, ..testing::node(name, None) });
    }

    pub(crate) fn put_whole_node(&mut self, node: Node) {
        let (name, node) = (node.key.name.clone(), Arc::new(node));
        self.nodes.insert(name.clone(), Arc::clone(&node));
        self.record(Change::Node(name, Some(node)));
    }

    /// The speaker of a node says that it runs, with these interfaces, for the next 90 s.
    pub(crate) fn put_speaker(&mut self, node: &str, interfaces: &[&str]) {
        self.put_speaker_until(
            node,
            interfaces,
            self.now.checked_add(SignedDuration::from_secs(90)).unwrap(),
        );
    }

    /// As [`Api::put_speaker`], until then.
    pub(crate) fn put_speaker_until(&mut self, node: &str, interfaces: &[&str], until: Timestamp) {
        let interface = |name: &&str| PresentInterface {
            name: (*name).into(),
            mac: "02:00:00:00:00:01".into(),
            addresses: Vec::new(),
        };
        let presence = Arc::new(Presence {
            key: ObjectKey::new("fairlead-system", Presence::name_of(node)),
            version: self.next(),
            node: Some(node.into()),
            until: Some(until),
            interfaces: interfaces.iter().map(interface).collect(),
        });
        self.presences.insert(presence.key.name.clone(), Arc::clone(&presence));
        self.record(Change::Presence(presence.key.name.clone(), Some(presence)));
    }

    /// The speaker of a node gives its Lease back.
    pub(crate) fn end_speaker(&mut self, node: &str) {
        let name = Istr::from(Presence::name_of(node));
        let ended = Presence {
            node: None,
            until: None,
            version: self.next(),
            ..Presence::clone(&self.presences[&name])
        };
        let ended = Arc::new(ended);
        self.presences.insert(name.clone(), Arc::clone(&ended));
        self.record(Change::Presence(name, Some(ended)));
    }

    /// Somebody deletes the Lease of a node's speaker.
    pub(crate) fn remove_speaker(&mut self, node: &str) {
        let name = Istr::from(Presence::name_of(node));
        self.presences.remove(&name);
        self.next();
        self.record(Change::Presence(name, None));
    }

    pub(crate) fn put_service_cidr(&mut self, name: &str, cidrs: &[&str]) {
        let cidrs: Vec<Istr> = cidrs.iter().map(|text| (*text).into()).collect();
        self.service_cidrs.insert(name.into(), cidrs.clone());
        self.record(Change::ServiceCidr(name.into(), Some(cidrs)));
    }

    pub(crate) fn put_announcement(&mut self, announcement: Announcement) {
        let (name, announcement) = (announcement.key.name.clone(), Arc::new(announcement));
        self.announcements.insert(name.clone(), Arc::clone(&announcement));
        self.record(Change::Announcement(name, Some(announcement)));
    }

    /// Changes an object of an address, as a speaker or a person would.
    pub(crate) fn edit_address(&mut self, address: IpAddr, edit: impl FnOnce(&mut Address)) {
        let mut object = Address::clone(&self.addresses[&address]);
        edit(&mut object);
        object.version = self.next();
        self.store_address(object);
    }

    /// The speaker of a node says that it answers for an address, which was probed.
    pub(crate) fn answer(&mut self, address: IpAddr, node: &str) {
        let since = Some(self.now);
        self.edit_address(address, |object| {
            object.reported = true;
            object.announced = true;
            object.answering = Some(Answering { node: node.into(), interface: "eth0".into(), since });
            object.silent_since = None;
            object.probed = Some(true);
            object.conflict = None;
        });
    }

    /// The speaker that answered for an address says that nobody does any more.
    pub(crate) fn fall_silent(&mut self, address: IpAddr) {
        let now = Some(self.now);
        self.edit_address(address, |object| {
            object.announced = false;
            object.answering = None;
            object.silent_since = now;
        });
    }

    /// A speaker says that another device uses an address; when it probed, or later.
    pub(crate) fn in_conflict(&mut self, address: IpAddr, when_probed: bool) {
        let found = format!("{address} is used by another device with MAC address 02:00:00:00:00:99");
        self.edit_address(address, |object| {
            object.reported = true;
            object.conflict = Some(found.into());
            if when_probed {
                object.probed = Some(false);
            }
        });
    }

    pub(crate) fn delete_address(&mut self, address: IpAddr) {
        if let Some(object) = self.addresses.remove(&address) {
            self.next();
            self.record(Change::Address(object, false));
        }
    }

    fn store_address(&mut self, object: Address) -> Arc<Address> {
        let object = Arc::new(object);
        self.addresses.insert(object.address, Arc::clone(&object));
        self.record(Change::Address(Arc::clone(&object), true));
        object
    }

    // What controllers write.

    /// Carries out a write; the guard has been looked at.
    pub(crate) fn apply(&mut self, action: &Action) -> Result<Change, Refused> {
        let change = self.try_apply(action)?;
        self.writes.push(in_words(action));
        Ok(change)
    }

    fn try_apply(&mut self, action: &Action) -> Result<Change, Refused> {
        match action {
            Action::Create { address, spec } => {
                if self.addresses.contains_key(address) {
                    return Err(Refused::AlreadyExists);
                }
                let object = self.decode(*address, spec);
                Ok(Change::Address(self.store_address(object), true))
            }
            Action::Update { current, spec, .. } => {
                let mut object = self.current(current)?;
                let patched = self.decode(object.address, spec);
                object.spec = patched.spec;
                object.pool_label = patched.pool_label;
                object.version = self.next();
                Ok(Change::Address(self.store_address(object), true))
            }
            Action::Cool { current, until, .. } => {
                let mut object = self.current(current)?;
                object.cooling_until = Some(*until);
                object.version = self.next();
                Ok(Change::Address(self.store_address(object), true))
            }
            Action::NotProbed { current, message, now } => {
                let mut object = self.current(current)?;
                let sent = body::not_probed(current, message, *now);
                object.conditions = serde_json::from_value(sent["status"]["conditions"].clone()).unwrap();
                object.version = self.next();
                Ok(Change::Address(self.store_address(object), true))
            }
            Action::Silence { current, message, now } => {
                let object = self.current(current)?;
                let mut stored = body::create_address(current.address, &current.spec);
                stored["status"] = body::silence(current, message, *now)["status"].clone();
                let said = Address::from(serde_json::from_value::<LoadBalancerAddress>(stored).unwrap());
                let Address { announced, answering, silent_since, conditions, .. } = said;
                let version = self.next();
                let object = Address { announced, answering, silent_since, conditions, version, ..object };
                Ok(Change::Address(self.store_address(object), true))
            }
            Action::Delete { current, .. } => {
                self.current(current)?;
                self.delete_address(current.address);
                Ok(Change::Address(Arc::clone(current), false))
            }
            Action::Publish(publication) => self.publish(publication),
        }
    }

    fn current(&self, observed: &Address) -> Result<Address, Refused> {
        let current = self.addresses.get(&observed.address).ok_or(Refused::NotFound)?;
        if current.uid != observed.uid || current.version != observed.version {
            return Err(Refused::Conflict);
        }
        Ok(Address::clone(current))
    }

    /// The object as the API server would store it, from what is really sent.
    fn decode(&mut self, address: IpAddr, spec: &AddressSpec) -> Address {
        self.tick();
        let mut sent = body::create_address(address, spec);
        let version = self.next();
        sent["metadata"]["resourceVersion"] = version.to_string().into();
        sent["metadata"]["uid"] = format!("uid-{version}").into();
        let object: LoadBalancerAddress = serde_json::from_value(sent).unwrap();
        assert_eq!(object.metadata.name, Some(address_name(address)));
        Address { created: Some(self.now), ..Address::from(object) }
    }

    fn publish(&mut self, publication: &Publication) -> Result<Change, Refused> {
        let observed = &publication.service;
        let current = self.services.get(&observed.key).ok_or(Refused::NotFound)?;
        if current.uid != observed.uid || current.version != observed.version {
            return Err(Refused::Conflict);
        }
        let mut service = Service::clone(current);
        let load_balancer = service.load_balancer.as_mut().unwrap();
        if let Some(addresses) = &publication.addresses {
            let entry = |address: &IpAddr| Ingress {
                at: IngressPoint::Address(*address),
                proxy_mode: false,
                has_ports: false,
            };
            load_balancer.ingress = addresses.iter().map(entry).collect();
        }
        match &publication.condition {
            ConditionChange::Keep => {}
            ConditionChange::Set(condition) => load_balancer.condition = Some(condition.clone()),
            ConditionChange::Remove => load_balancer.condition = None,
        }
        service.version = self.next();
        self.store_service(service);
        let stored = Arc::clone(&self.services[&observed.key]);
        Ok(Change::Service(observed.key.clone(), Some(stored)))
    }

    pub(crate) fn write_pool_status(
        &mut self,
        observed: &Pool,
        status: &PoolStatus,
    ) -> Result<Change, Refused> {
        let current = self.pools.get(&observed.key.name).ok_or(Refused::NotFound)?;
        if current.version != observed.version {
            return Err(Refused::Conflict);
        }
        let pool =
            Pool { status: status.clone(), version: ResourceVersion::default(), ..Pool::clone(current) };
        let version = self.next();
        self.store_pool(Pool { version, ..pool });
        self.writes.push(format!("status of pool {}", observed.key));
        Ok(Change::Pool(observed.key.name.clone(), Some(Arc::clone(&self.pools[&observed.key.name]))))
    }

    pub(crate) fn write_reservation_status(
        &mut self,
        observed: &Reservation,
        status: &ReservationStatus,
    ) -> Result<Change, Refused> {
        let current = self.reservations.get(&observed.key).ok_or(Refused::NotFound)?;
        if current.version != observed.version {
            return Err(Refused::Conflict);
        }
        let mut reservation = Reservation::clone(current);
        reservation.status = status.clone();
        reservation.version = self.next();
        self.store_reservation(reservation);
        self.writes.push(format!("status of reservation {}", observed.key));
        Ok(Change::Reservation(observed.key.clone(), Some(Arc::clone(&self.reservations[&observed.key]))))
    }

    /// What a Service names in its status.
    pub(crate) fn published(&self, key: &ObjectKey) -> Vec<IpAddr> {
        let service = self.services.get(key).and_then(|service| service.load_balancer.as_ref());
        service.map(|it| it.published().collect()).unwrap_or_default()
    }
}

fn in_words(action: &Action) -> String {
    let names = |spec: &AddressSpec| {
        spec.services.iter().map(|holder| holder.key.name.to_string()).collect::<Vec<_>>().join(",")
    };
    match action {
        Action::Create { address, spec } => format!("create {address} for {}", names(spec)),
        Action::Update { current, spec, .. } => format!("update {} for {}", current.address, names(spec)),
        Action::Cool { current, .. } => format!("cool {}", current.address),
        Action::NotProbed { current, .. } => format!("nobody asked for {}", current.address),
        Action::Silence { current, .. } => format!("nobody answers for {}", current.address),
        Action::Delete { current, .. } => format!("delete {}", current.address),
        Action::Publish(publication) => {
            let name = &publication.service.key.name;
            let addresses = publication
                .addresses
                .as_ref()
                .map(|addresses| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
            match (&addresses, &publication.condition) {
                (Some(addresses), _) => format!("publish {name} [{addresses}]"),
                (None, ConditionChange::Set(condition)) => {
                    format!("condition of {name}: {}", condition.reason)
                }
                (None, _) => format!("condition of {name} removed"),
            }
        }
    }
}

/// An address of each family in a list.
pub(crate) fn of_family(addresses: &[IpAddr], family: Family) -> Vec<IpAddr> {
    addresses.iter().copied().filter(|address| Family::of(*address) == family).collect()
}
