//! What the caches show, as the ledger is told it.

use std::sync::Arc;

use fairlead_machinery::informer::Change;
use fairlead_machinery::own_writes::Written;
use fairlead_objects::{Namespace, Node, ObjectKey, Presence, Service, ServiceCidr, Uid};
use tokio::time::Instant;

use super::key::Key;
use super::overlay::News;
use super::{Controller, Inputs, Look};
use crate::records::{Address, Announcement, Pool, Reservation};

macro_rules! written {
    ($($record:ident: $terminating:expr),* $(,)?) => {
        $(impl Written for $record {
            fn uid(&self) -> &Uid {
                &self.uid
            }

            // It does not grow with the status, which is written, too.
            fn generation(&self) -> Option<i64> {
                None
            }

            fn is_terminating(&self) -> bool {
                let terminating: fn(&Self) -> bool = $terminating;
                terminating(self)
            }
        })*
    };
}

// Of pools and reservations only the status is written, and nothing is deleted.
written!(Pool: |_| false, Reservation: |_| false, Address: |it| it.terminating);

/// Has the controller follow its inputs.
pub(super) fn follow(controller: &Arc<Controller>, inputs: Inputs<'_>) {
    let Inputs {
        services,
        namespaces,
        nodes,
        service_cidrs,
        pools,
        addresses,
        announcements,
        reservations,
        presences,
    } = inputs;
    let this = Arc::clone(controller);
    services.on_change(move |change| this.service_changed(change));
    let this = Arc::clone(controller);
    namespaces.on_change(move |change| this.namespace_changed(change));
    let this = Arc::clone(controller);
    nodes.on_change(move |change| this.node_changed(change));
    let this = Arc::clone(controller);
    service_cidrs.on_change(move |change| this.service_cidr_changed(change));
    let this = Arc::clone(controller);
    pools.on_change(move |change| this.pool_changed(change));
    let this = Arc::clone(controller);
    addresses.on_change(move |change| this.address_changed(change));
    let this = Arc::clone(controller);
    announcements.on_change(move |change| this.announcement_changed(change));
    let this = Arc::clone(controller);
    reservations.on_change(move |change| this.reservation_changed(change));
    let this = Arc::clone(controller);
    presences.on_change(move |change| this.presence_changed(change));

    // What was answered before a list was asked for, and is not in it, is gone without anybody having heard.
    let this = Arc::clone(controller);
    services.on_list(move |asked| {
        let gone = this.services.gone(asked);
        this.update(|ledger| gone.iter().for_each(|it| ledger.remove_service(&it.key)));
    });
    let this = Arc::clone(controller);
    pools.on_list(move |asked| {
        let gone = this.pools.gone(asked);
        this.update(|ledger| gone.iter().for_each(|it| ledger.remove_pool(&it.key.name)));
    });
    let this = Arc::clone(controller);
    reservations.on_list(move |asked| {
        let gone = this.reservations.gone(asked);
        this.update(|ledger| gone.iter().for_each(|it| ledger.remove_reservation(&it.key)));
    });
    let this = Arc::clone(controller);
    addresses.on_list(move |asked| this.addresses_listed(asked));
}

impl Controller {
    fn service_changed(&self, change: &Change<Service>) {
        let mut sides = change.old.iter().chain(&change.new);
        if sides.all(|it| it.load_balancer.is_none()) {
            return;
        }
        match self.services.changed(change) {
            Some(News::Is(service)) => self.update(|ledger| ledger.put_service(&service, self.now())),
            Some(News::Gone(service)) => self.update(|ledger| ledger.remove_service(&service.key)),
            None => {}
        }
        self.await_address(change);
        self.notice_metallb(change);
    }

    /// Takes note of how long Services wait for an address.
    fn await_address(&self, change: &Change<Service>) {
        let waits = |service: &Service| {
            service.load_balancer.as_ref().is_some_and(|it| it.wanted && it.ingress.is_empty())
        };
        match (&change.old, &change.new) {
            (_, Some(new)) if waits(new) => {
                self.waiting.lock().entry(new.key.clone()).or_insert_with(Instant::now);
            }
            (Some(old), None) => drop(self.not_waiting(&old.key)),
            _ => {}
        }
    }

    /// Nothing is waited for any more. Returns since when it was.
    pub(super) fn not_waiting(&self, service: &ObjectKey) -> Option<Instant> {
        self.waiting.lock().remove(service)
    }

    fn namespace_changed(&self, change: &Change<Namespace>) {
        self.update(|ledger| match (&change.old, &change.new) {
            (_, Some(new)) => ledger.put_namespace(&new.key.name, &new.labels),
            (Some(old), None) => ledger.remove_namespace(&old.key.name),
            (None, None) => {}
        });
    }

    fn node_changed(&self, change: &Change<Node>) {
        self.update(|ledger| match (&change.old, &change.new) {
            (_, Some(new)) => ledger.put_node(new),
            (Some(old), None) => ledger.remove_node(&old.key.name),
            (None, None) => {}
        });
    }

    fn service_cidr_changed(&self, change: &Change<ServiceCidr>) {
        self.update(|ledger| match (&change.old, &change.new) {
            (_, Some(new)) => ledger.put_service_cidr(&new.key.name, &new.cidrs),
            (Some(old), None) => ledger.remove_service_cidr(&old.key.name),
            (None, None) => {}
        });
    }

    fn pool_changed(&self, change: &Change<Pool>) {
        match self.pools.changed(change) {
            Some(News::Is(pool)) => {
                self.metrics.pool(&pool.key.name, &pool.status);
                self.update(|ledger| ledger.put_pool(&pool));
            }
            Some(News::Gone(pool)) => {
                self.metrics.pool_gone(&pool.key.name);
                self.update(|ledger| ledger.remove_pool(&pool.key.name));
            }
            None => {}
        }
    }

    fn address_changed(&self, change: &Change<Address>) {
        match self.addresses.changed(change) {
            Some(News::Is(address)) => self.update(|ledger| ledger.put_address(&address)),
            Some(News::Gone(address)) => self.update(|ledger| ledger.remove_address(&address)),
            None => {}
        }
    }

    fn announcement_changed(&self, change: &Change<Announcement>) {
        self.update(|ledger| match (&change.old, &change.new) {
            (_, Some(new)) => ledger.put_announcement(new),
            (Some(old), None) => ledger.remove_announcement(&old.key.name),
            (None, None) => {}
        });
    }

    fn reservation_changed(&self, change: &Change<Reservation>) {
        match self.reservations.changed(change) {
            Some(News::Is(reservation)) => self.update(|ledger| ledger.put_reservation(&reservation)),
            Some(News::Gone(reservation)) => {
                self.update(|ledger| ledger.remove_reservation(&reservation.key));
            }
            None => {}
        }
    }

    fn presence_changed(&self, change: &Change<Presence>) {
        self.update(|ledger| match (&change.old, &change.new) {
            (_, Some(new)) => ledger.put_presence(new),
            (Some(old), None) => ledger.remove_presence(&old.key.name),
            (None, None) => {}
        });
    }

    fn addresses_listed(&self, asked: Instant) {
        let gone = self.addresses.gone(asked);
        self.update(|ledger| gone.iter().for_each(|it| ledger.remove_address(it)));
        // The kind may have been installed again, and what could not be created may wait for long.
        let services = self.services.store().list();
        for service in services.iter().filter(|it| it.load_balancer.is_some()) {
            self.queue.add(Key::Service(service.key.clone()), Look);
        }
    }
}
