//! What must be true of addresses whenever nothing is under way.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams};
use lab::{AssignedAddress, Lab, NotYet, Result, ingress_addresses, ready_condition};

use crate::world::PATIENCE;

/// Which Services and addresses are looked at.
pub(crate) struct Subjects {
    /// Namespaces of the Services; all for an empty list.
    pub(crate) namespaces: Vec<String>,
    /// Which addresses.
    pub(crate) addresses: Box<dyn Fn(IpAddr) -> bool>,
}

impl Subjects {
    /// All of a lab.
    pub(crate) fn all() -> Self {
        Self { namespaces: Vec::new(), addresses: Box::new(|_| true) }
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        (self.addresses)(address)
    }
}

/// Waits until everything is right: each object of an address names Services that exist and that have the address, each
/// Service that is ours has one object for each of its addresses, and no Service has more of a family than one.
pub(crate) async fn settled(lab: &Lab, subjects: &Subjects) -> Result<()> {
    lab.wait_until("addresses and Services to agree", PATIENCE, async || {
        let list = Api::<Service>::all(lab.api()).list(&ListParams::default()).await?;
        let services: Vec<_> = list.items.into_iter().filter(|it| is_subject(it, subjects)).collect();
        let all = lab.assigned_addresses().await?;
        let assigned: Vec<_> = all.into_iter().filter(|it| subjects.contain(it.address)).collect();
        let wrong = wrongs(&services, &assigned, subjects);
        if wrong.is_empty() { Ok(()) } else { Err(NotYet::from(wrong.join("; "))) }
    })
    .await
}

fn is_subject(service: &Service, subjects: &Subjects) -> bool {
    let namespace = service.metadata.namespace.as_ref();
    subjects.namespaces.is_empty() || namespace.is_some_and(|it| subjects.namespaces.contains(it))
}

/// What is wrong, in sentences.
fn wrongs(services: &[Service], assigned: &[AssignedAddress], subjects: &Subjects) -> Vec<String> {
    let mut wrongs = Vec::new();
    let by_uid: BTreeMap<_, _> = services.iter().map(|it| (uid(it), it)).collect();
    let mut seen = HashSet::new();
    for it in assigned.iter().filter(|it| it.phase == "Bound") {
        if !seen.insert(it.address) {
            wrongs.push(format!("{} has two objects", it.address));
        }
        if it.services.is_empty() {
            wrongs.push(format!("{} is bound to nobody", it.name));
        }
        for (key, uid) in &it.services {
            match by_uid.get(uid) {
                Some(service) if ingress_addresses(service).contains(&it.address) => {}
                Some(_) => wrongs.push(format!("{} is held by {key}, which does not have it", it.name)),
                None => wrongs.push(format!("{} is held by {key}, which does not exist", it.name)),
            }
        }
    }
    for service in services.iter().filter(|it| ready_condition(it).is_some()) {
        let addresses = ingress_addresses(service);
        for address in addresses.iter().filter(|it| subjects.contain(**it)) {
            let held = assigned.iter().any(|it| {
                it.address == *address && it.services.iter().any(|(_, holder)| *holder == uid(service))
            });
            if !held {
                wrongs.push(format!("{} has {address}, which nobody has given to it", key(service)));
            }
        }
        let families: HashSet<_> = addresses.iter().map(IpAddr::is_ipv4).collect();
        if families.len() != addresses.len() {
            wrongs.push(format!("{} has {addresses:?}", key(service)));
        }
    }
    wrongs
}

fn uid(service: &Service) -> String {
    service.metadata.uid.clone().unwrap_or_default()
}

fn key(service: &Service) -> String {
    let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
    format!("{}/{}", namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default())
}
