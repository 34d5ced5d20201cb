//! What an event costs.

use std::sync::Arc;
use std::time::Duration;

use fairlead_crds::Order;
use fairlead_objects::{Family, LoadBalancer, ObjectKey, ResourceVersion, Service};
use jiff::Timestamp;

use super::{Config, Ledger};
use crate::action::{Action, ConditionChange};
use crate::records::{Address, Pool};
use crate::space::visited;
use crate::testing::{noon, pool};

fn service(number: usize, family: Family) -> Service {
    Service {
        ip_families: smallvec::smallvec![family],
        load_balancer: Some(Box::new(LoadBalancer { wanted: true, ..LoadBalancer::default() })),
        ..fairlead_objects::testing::service(&format!("s{number}"))
    }
}

/// Plans a Service and shows the ledger what comes of it, as if every write succeeded.
fn carry_out(ledger: &mut Ledger, key: &ObjectKey, now: Timestamp) {
    for action in ledger.plan_service(key, now).actions {
        match action {
            Action::Create { address, spec } => {
                let mut body = crate::body::create_address(address, &spec);
                body["metadata"]["uid"] = format!("uid-of-{address}").into();
                let object: Address = serde_json::from_value(body).unwrap();
                ledger.put_address(&Arc::new(object));
            }
            Action::Publish(publication) => {
                let mut service = Service::clone(&publication.service);
                service.version = match service.version {
                    ResourceVersion::Number(number) => ResourceVersion::Number(number + 1),
                    text @ ResourceVersion::Text(_) => text,
                };
                let load_balancer = service.load_balancer.as_mut().unwrap();
                let entry = |address| fairlead_objects::Ingress {
                    at: fairlead_objects::IngressPoint::Address(address),
                    proxy_mode: false,
                    has_ports: false,
                };
                load_balancer.ingress = publication.addresses.unwrap().into_iter().map(entry).collect();
                if let ConditionChange::Set(condition) = publication.condition {
                    load_balancer.condition = Some(condition);
                }
                ledger.put_service(&Arc::new(service), now);
            }
            Action::Delete { current, .. } => ledger.remove_address(&current),
            action @ (Action::Update { .. }
            | Action::Cool { .. }
            | Action::NotProbed { .. }
            | Action::Silence { .. }) => {
                panic!("unexpected: {action:?}")
            }
        }
    }
    ledger.settle(key);
}

/// How many intervals of free addresses are looked at for one Service that comes and goes, at most, when so many others have
/// an address each.
fn intervals_per_service(part: &str, others: usize, order: Order) -> u64 {
    let mut ledger = Ledger::new(Config { class: None, drain_overlap: Duration::ZERO });
    ledger.put_pool(&Arc::new(Pool { order, ..pool("public", &[part]) }));
    let family = if part.contains(':') { Family::V6 } else { Family::V4 };
    let service = |number| service(number, family);
    for number in 0..others {
        let service = Arc::new(service(number));
        ledger.put_service(&service, noon());
        carry_out(&mut ledger, &service.key, noon());
    }
    // Gaps: every second one is gone again.
    for number in (0..others).step_by(2) {
        let key = service(number).key;
        ledger.remove_service(&key);
        carry_out(&mut ledger, &key, noon());
    }
    ledger.take_affected();
    let mut most = 0;
    for number in others..others + 20 {
        let before = visited();
        let service = Arc::new(service(number));
        ledger.put_service(&service, noon());
        carry_out(&mut ledger, &service.key, noon());
        let given = ledger.slots.of_service(&service.key).len();
        ledger.remove_service(&service.key);
        carry_out(&mut ledger, &service.key, noon());
        assert_eq!((given, ledger.slots.of_service(&service.key).len()), (1, 0));
        most = most.max(visited() - before);
    }
    most
}

#[test]
fn the_work_for_one_service_does_not_grow_with_the_pool_nor_with_the_others() {
    for order in [Order::Sequential, Order::Random] {
        let small = intervals_per_service("198.51.100.0/24", 16, order);
        for (part, others) in [
            ("198.18.0.0/16", 16),
            ("198.18.0.0/16", 2_000),
            ("10.0.0.0/8", 2_000),
            ("2001:db8::/64", 2_000),
            ("198.51.100.0/24", 200),
        ] {
            let intervals = intervals_per_service(part, others, order);
            assert!(
                intervals <= small + 4,
                "{part} with {others}, {order:?}: {intervals} intervals, not {small}"
            );
        }
        assert!(small <= 40, "{small}");
    }
}

/// Who does not wait is not woken.
#[test]
fn an_address_that_becomes_free_wakes_only_those_who_wait_for_its_pool() {
    let mut ledger = Ledger::new(Config { class: None, drain_overlap: Duration::ZERO });
    ledger.put_pool(&Arc::new(pool("public", &["198.51.100.0-198.51.100.9"])));
    ledger.put_pool(&Arc::new(Pool { auto_assign: false, ..pool("other", &["203.0.113.7-203.0.113.7"]) }));
    let service = |number| service(number, Family::V4);
    let asking = |mut service: Service| {
        service.load_balancer.as_mut().unwrap().annotations =
            [("fairlead.dev/pool", "other")].into_iter().collect();
        service
    };
    let services: Vec<Service> =
        (0..12).map(service).chain([asking(service(12)), asking(service(13))]).collect();
    for service in services {
        let service = Arc::new(service);
        ledger.put_service(&service, noon());
        carry_out(&mut ledger, &service.key, noon());
    }
    assert_eq!(ledger.waiting(), 3, "two for the one pool, and one for the other");
    ledger.take_affected();
    let key = service(3).key;
    ledger.remove_service(&key);
    carry_out(&mut ledger, &key, noon());
    let names: Vec<String> = ledger.take_affected().services.iter().map(|key| key.name.to_string()).collect();
    assert_eq!(names, ["s10", "s11", "s3"], "those who waited first, and the one that is gone");
}

fn created(plan: &crate::Plan) -> Vec<String> {
    let creates = plan.actions.iter().filter_map(|action| match action {
        Action::Create { address, .. } => Some(address.to_string()),
        _ => None,
    });
    creates.collect()
}

/// Several Services are in work at once, each before the writes of the others are seen.
#[test]
fn what_is_being_given_to_one_is_not_given_to_another_until_that_is_settled() {
    let mut ledger = Ledger::new(Config { class: None, drain_overlap: Duration::ZERO });
    ledger.put_pool(&Arc::new(pool("public", &["198.51.100.1-198.51.100.2"])));
    let services: Vec<Arc<Service>> = (0..3).map(|number| Arc::new(service(number, Family::V4))).collect();
    for service in &services {
        ledger.put_service(service, noon());
    }
    let mut plan = |number: usize| created(&ledger.plan_service(&services[number].key, noon()));
    assert_eq!(
        (plan(0), plan(1), plan(2)),
        (vec!["198.51.100.1".into()], vec!["198.51.100.2".into()], vec![])
    );
    assert_eq!(plan(0), ["198.51.100.1"], "planned again, it is given what it was given");
    // The first one is given up: its address is free, and who waits is told.
    ledger.take_affected();
    ledger.settle(&services[0].key);
    assert_eq!(ledger.take_affected().services, [services[2].key.clone()]);
    assert_eq!(created(&ledger.plan_service(&services[2].key, noon())), ["198.51.100.1"]);
}

/// A watch that is late shows what our own answers have overtaken.
#[test]
fn late_news_are_not_taken() {
    let mut ledger = Ledger::new(Config { class: None, drain_overlap: Duration::ZERO });
    ledger.put_pool(&Arc::new(pool("public", &["198.51.100.0/24"])));
    let old = Arc::new(service(0, Family::V4));
    ledger.put_service(&old, noon());
    carry_out(&mut ledger, &old.key, noon());
    ledger.put_service(&old, noon());
    assert!(ledger.plan_service(&old.key, noon()).actions.is_empty(), "the status is known to be written");

    let object = ledger.slots.iter().next().and_then(|(_, slot)| slot.object.clone()).unwrap();
    let newer = Address { version: ResourceVersion::Number(9), ..Address::clone(&object) };
    let cooling = Address {
        version: ResourceVersion::Number(8),
        cooling_until: Some(noon()),
        uid: "another".into(),
        ..Address::clone(&object)
    };
    ledger.put_address(&Arc::new(newer.clone()));
    ledger.put_address(&Arc::new(cooling.clone()));
    ledger.remove_address(&cooling);
    assert_eq!(ledger.slots.get(object.address).unwrap().object.as_deref(), Some(&newer));

    let renamed =
        Pool { version: ResourceVersion::Number(0), drain: true, ..pool("public", &["198.51.100.0/24"]) };
    ledger.put_pool(&Arc::new(renamed));
    assert!(ledger.plan_service(&old.key, noon()).actions.is_empty(), "an older state of the pool");
}
