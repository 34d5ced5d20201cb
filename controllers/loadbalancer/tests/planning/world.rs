//! One controller on an API server, for scenarios.

use std::net::IpAddr;
use std::time::Duration;

use fairlead_crds::{Announce, Order, Requests, Sharing};
use fairlead_loadbalancer::records::{Pool, PoolStatus, Reservation, ReservationStatus, ReservedFor};
use fairlead_objects::{
    Family, FamilyPolicy, Istr, Labels, LoadBalancer, ObjectKey, Protocol, ResourceVersion, Service, Uid,
    testing::NAMESPACE,
};
use jiff::SignedDuration;
use smallvec::smallvec;

use crate::api::Api;
use crate::manager::{Manager, service};

pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) manager: Manager,
}

impl World {
    /// A namespace `shop`, and these pools with Sequential order.
    pub(crate) fn new(pools: &[(&str, &[&str])]) -> Self {
        let mut api = Api::new();
        api.put_namespace(NAMESPACE, &[]);
        for (name, parts) in pools {
            api.put_pool(pool(name, parts));
        }
        let manager = Manager::start(&api, None);
        Self { api, manager }
    }

    /// Everything that can be done now is done; a second passes, so that what is pending is told.
    pub(crate) fn settle(&mut self) {
        self.manager.settle(&mut self.api, false);
        self.pass(2);
    }

    /// Seconds pass, and everything that is due is done.
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.api.pass(SignedDuration::from_secs(seconds));
        self.manager.settle(&mut self.api, false);
    }

    /// A Service is created, and everything that follows is done.
    pub(crate) fn create(&mut self, service: Service) {
        self.api.create_service(service);
        self.settle();
    }

    pub(crate) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Service)) {
        self.api.edit_service(&key(name), edit);
        self.settle();
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.api.delete_service(&key(name));
        self.settle();
    }

    pub(crate) fn edit_pool(&mut self, name: &str, edit: impl FnOnce(&mut Pool)) {
        self.api.edit_pool(name, edit);
        self.settle();
    }

    /// The process ends and another one starts.
    pub(crate) fn restart(&mut self) {
        self.manager = Manager::start(&self.api, None);
        self.settle();
    }

    /// The speaker of a node says that it answers for an address, which was probed.
    pub(crate) fn answer(&mut self, address: &str, node: &str) {
        self.api.answer(ip(address), node);
    }

    /// The speaker that answered for an address says that nobody does any more.
    pub(crate) fn fall_silent(&mut self, address: &str) {
        self.api.fall_silent(ip(address));
    }

    /// A speaker says that another device uses an address; when it probed, or later.
    pub(crate) fn in_conflict(&mut self, address: &str, when_probed: bool) {
        self.api.in_conflict(ip(address), when_probed);
    }

    /// What a Service of the namespace `shop`, or `namespace/name`, has in its status.
    pub(crate) fn addresses(&self, name: &str) -> Vec<String> {
        self.api.published(&key(name)).iter().map(ToString::to_string).collect()
    }

    /// Reason and message of its condition.
    pub(crate) fn told(&self, name: &str) -> (String, String) {
        let load_balancer = self.load_balancer(name);
        let condition = load_balancer.condition.as_ref().unwrap_or_else(|| panic!("{name} has no condition"));
        assert_eq!(condition.ready, matches!(condition.reason.as_str(), "Assigned" | "Announced"));
        (condition.reason.to_string(), condition.message.to_string())
    }

    pub(crate) fn message(&self, name: &str) -> String {
        self.told(name).1
    }

    pub(crate) fn reason(&self, name: &str) -> String {
        self.told(name).0
    }

    pub(crate) fn load_balancer(&self, name: &str) -> &LoadBalancer {
        self.api.services[&key(name)].load_balancer.as_ref().unwrap()
    }

    /// Names of the Services that the object of an address names; `None` if there is no object, or it is cooling.
    pub(crate) fn holders(&self, address: &str) -> Option<Vec<String>> {
        let object = self.api.addresses.get(&ip(address))?;
        object
            .cooling_until
            .is_none()
            .then(|| object.spec.services.iter().map(|holder| holder.key.name.to_string()).collect())
    }

    /// What was written since the last call.
    pub(crate) fn writes(&mut self) -> Vec<String> {
        let mut writes = std::mem::take(&mut self.api.writes);
        writes.retain(|write| !write.starts_with("status of pool"));
        writes
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `name` in the namespace `shop`, or `namespace/name`.
pub(crate) fn key(name: &str) -> ObjectKey {
    let (namespace, name) = name.split_once('/').unwrap_or((NAMESPACE, name));
    ObjectKey::new(namespace, name)
}

/// A pool of these parts that gives out the lowest free address, with every default of the schema otherwise.
pub(crate) fn pool(name: &str, parts: &[&str]) -> Pool {
    Pool {
        key: ObjectKey::new("", name),
        uid: Uid::from(format!("uid-of-pool-{name}").as_str()),
        version: ResourceVersion::default(),
        generation: 1,
        created: None,
        labels: Labels::default(),
        addresses: parts.iter().map(|part| (*part).into()).collect(),
        exclude: Vec::new(),
        auto_assign: true,
        avoid_buggy_ips: false,
        service_allocation: None,
        order: Order::Sequential,
        quota_per_namespace: None,
        cool_down: Duration::ZERO,
        drain: false,
        sharing: Sharing::SameNamespace,
        requests: Requests::Allowed,
        probe: None,
        probe_timeout: Duration::from_secs(3),
        announce: Announce::Auto,
        status: PoolStatus::default(),
    }
}

/// A reservation of the namespace `shop` for a Service by name.
pub(crate) fn reservation(name: &str, service: &str, addresses: &[&str]) -> Reservation {
    Reservation {
        key: key(name),
        uid: Uid::from(format!("uid-of-reservation-{name}").as_str()),
        version: ResourceVersion::default(),
        generation: 1,
        created: None,
        service: ReservedFor::Name(service.into()),
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        pool: None,
        status: ReservationStatus::default(),
    }
}

/// Services of load balancers, with what a test says of them.
pub(crate) trait With: Sized {
    fn load_balancer(self, change: impl FnOnce(&mut LoadBalancer)) -> Self;

    fn annotated(self, annotation: &str, value: &str) -> Self {
        self.load_balancer(|it| annotate(it, annotation, value))
    }

    fn ports(self, ports: &[u16]) -> Self {
        self.load_balancer(|it| it.ports = ports.iter().map(|port| (Protocol::Tcp, *port)).collect())
    }

    fn class(self, class: &str) -> Self {
        self.load_balancer(|it| it.class = Some(class.into()))
    }
}

impl With for Service {
    fn load_balancer(mut self, change: impl FnOnce(&mut LoadBalancer)) -> Self {
        change(self.load_balancer.as_mut().unwrap());
        self
    }
}

/// Sets an annotation, or removes it if the value is empty.
pub(crate) fn annotate(load_balancer: &mut LoadBalancer, annotation: &str, value: &str) {
    let others = load_balancer.annotations.iter().filter(|(key, _)| key != annotation).cloned();
    let one = (!value.is_empty()).then(|| (Istr::from(annotation), Istr::from(value)));
    load_balancer.annotations = others.chain(one).collect();
}

/// An IPv4 Service.
pub(crate) fn v4(name: &str) -> Service {
    let key = key(name);
    Service { key: key.clone(), ..service(&key.name) }
}

/// An IPv6 Service.
pub(crate) fn v6(name: &str) -> Service {
    Service { ip_families: smallvec![Family::V6], ..v4(name) }
        .load_balancer(|it| it.cluster_ips = smallvec![ip("fd00::10")])
}

/// A dual-stack Service, IPv4 first.
pub(crate) fn dual(name: &str, policy: FamilyPolicy) -> Service {
    Service { ip_families: smallvec![Family::V4, Family::V6], ..v4(name) }.load_balancer(|it| {
        it.family_policy = policy;
        it.cluster_ips = smallvec![ip("10.96.0.10"), ip("fd00::10")];
    })
}

pub(crate) const ADDRESSES: &str = "fairlead.dev/addresses";
pub(crate) const POOL: &str = "fairlead.dev/pool";
pub(crate) const SHARING_KEY: &str = "fairlead.dev/sharing-key";
pub(crate) const SHARE_WITH: &str = "fairlead.dev/share-with-namespaces";
