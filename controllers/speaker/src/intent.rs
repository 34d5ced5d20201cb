//! From what is known to what is wanted on each interface.
//!
//! [`Intent`] is fed with observations and says what changed ([`Intent::take_orders`]). What an address costs does not
//! depend on how many others there are; a change of the own Node or of an interface costs a look at each.

mod known;
mod vanished;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_crds::names::{ANNOUNCED_CONDITION, PROBED_CONDITION};
use fairlead_discovery::announcing::{Announcement, Exclusion};
use fairlead_layer2::{ClassId, MacAddress, Moment, NodeId, ObjectId, Standing, Wanted};
use fairlead_objects::{Node, ObjectKey, Uid};
use smallvec::SmallVec;

use self::known::{Addresses, Known};
use self::vanished::Vanished;
use crate::class;
use crate::eligibility::{self, Able, Policy};
use crate::facts::Address;
use crate::links::{Changes, Link, Order};

/// How long an address whose object is gone is answered for all the same. It may have been deleted by mistake, together
/// with its CustomResourceDefinition, and be made again.
pub const GRACE: std::time::Duration = std::time::Duration::from_mins(1);

/// What is known, and what follows from it.
#[derive(Debug)]
pub struct Intent {
    node_id: NodeId,
    weight: u16,
    policy: Policy,
    node: Option<Arc<Node>>,
    links: BTreeMap<u32, OnLink>,
    addresses: Addresses,
    classes: HashMap<ClassId, Class>,
    /// Services whose endpoints decide.
    services: HashMap<ObjectKey, Service>,
    /// Those of which that was not said yet.
    changed_services: BTreeSet<ObjectKey>,
    vanished: Vanished,
    /// Addresses to look at.
    dirty: BTreeSet<IpAddr>,
    /// Nodes that the cluster has no more.
    deleted: BTreeSet<NodeId>,
    standing_is_stale: bool,
}

/// Nodes on a segment as the API server lists them, with the MAC addresses of their interfaces there.
pub type Listed = BTreeMap<NodeId, Vec<MacAddress>>;

/// An interface, and what was ordered there.
#[derive(Debug)]
struct OnLink {
    link: Link,
    wanted: HashMap<IpAddr, Arc<Wanted>>,
    standing: Option<Standing>,
    listed: Listed,
}

/// A Service whose endpoints decide.
#[derive(Debug, Default)]
struct Service {
    /// Its addresses: one of each family at most, but for a moment.
    addresses: SmallVec<[IpAddr; 1]>,
    /// The nodes with endpoints, if they are known.
    nodes: Option<Arc<HashSet<NodeId>>>,
}

/// Addresses with the same announcements.
#[derive(Debug)]
struct Class {
    announcements: Arc<[Announcement]>,
    addresses: u32,
    /// What this node can do on each interface.
    able: BTreeMap<u32, Result<Able, Exclusion>>,
}

impl Intent {
    /// Knows nothing yet about the node of this name.
    #[must_use]
    pub fn new(node: &str, weight: u16, policy: Policy) -> Self {
        Self {
            node_id: NodeId::of(node),
            weight,
            policy,
            node: None,
            links: BTreeMap::new(),
            addresses: Addresses::default(),
            classes: HashMap::new(),
            services: HashMap::new(),
            changed_services: BTreeSet::new(),
            vanished: Vanished::default(),
            dirty: BTreeSet::new(),
            deleted: BTreeSet::new(),
            standing_is_stale: false,
        }
    }

    /// The own Node was seen. Its absence is not told: it stays as it was.
    pub fn put_node(&mut self, node: &Arc<Node>) {
        self.node = Some(Arc::clone(node));
        self.look_at_everything();
    }

    /// The interfaces that there are now.
    pub fn put_links(&mut self, links: &[Link]) {
        let same = links.len() == self.links.len()
            && links.iter().all(|link| self.links.get(&link.facts.index).is_some_and(|it| it.link == *link));
        if same {
            return;
        }
        let mut before = std::mem::take(&mut self.links);
        for link in links {
            let known = before.remove(&link.facts.index);
            let on_link = match known.filter(|it| it.link.generation == link.generation) {
                Some(known) => OnLink { link: link.clone(), ..known },
                None => OnLink {
                    link: link.clone(),
                    wanted: HashMap::new(),
                    standing: None,
                    listed: Listed::new(),
                },
            };
            self.links.insert(link.facts.index, on_link);
        }
        self.look_at_everything();
    }

    /// The nodes on the segment of an interface as the API server lists them.
    pub fn put_listed(&mut self, link: u32, listed: Listed) {
        if let Some(on_link) = self.links.get_mut(&link)
            && on_link.listed != listed
        {
            on_link.listed = listed;
            self.standing_is_stale = true;
        }
    }

    /// The nodes that the cluster has no more.
    pub fn put_deleted(&mut self, deleted: BTreeSet<NodeId>) {
        self.standing_is_stale |= deleted != self.deleted;
        self.deleted = deleted;
    }

    /// The object of an address was seen.
    pub fn put_address(&mut self, object: &Arc<Address>) {
        let address = object.address;
        if self.addresses.get(address).is_some_and(|known| is_older(object, &known.object)) {
            return;
        }
        if !object.bound {
            self.forget(address);
            return;
        }
        self.dirty.insert(address);
        if let Some(known) = self.addresses.get_mut(address)
            && known.object.announcements == object.announcements
            && known.object.local == object.local
        {
            known.object = Arc::clone(object);
            self.vanished.remove(address);
            return;
        }
        let class = class::id(&object.announcements);
        let entry = self.classes.entry(class).or_insert_with(|| Class {
            announcements: Arc::clone(&object.announcements),
            addresses: 0,
            able: BTreeMap::new(),
        });
        entry.addresses += 1;
        if entry.addresses == 1 {
            self.standing_is_stale = true;
            if let Some(node) = &self.node {
                entry.assess(node, &self.links, self.policy);
            }
        }
        for service in object.local.iter().flatten() {
            let addresses = &mut self
                .services
                .entry(service.clone())
                .or_insert_with(|| {
                    self.changed_services.insert(service.clone());
                    Service::default()
                })
                .addresses;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let known = Known { object: Arc::clone(object), class };
        if let Some(before) = self.addresses.insert(known) {
            self.take_out(address, &before);
        }
    }

    /// The API server answered a write with this object. It says nothing about one that is gone meanwhile.
    pub fn put_answer(&mut self, object: Address) {
        let known = self.addresses.get(object.address);
        if known
            .is_some_and(|known| known.object.uid == object.uid && !self.vanished.contains(object.address))
        {
            self.put_address(&Arc::new(object));
        }
    }

    /// The object of an address is gone.
    pub fn remove_address(&mut self, object: &Address, now: Moment) {
        let address = object.address;
        let is_known = self.addresses.get(address).is_some_and(|known| known.object.uid == object.uid);
        if is_known && !self.vanished.contains(address) {
            self.vanished.add(address, now + GRACE);
        }
    }

    /// The nodes with endpoints of a Service. One whose endpoints do not decide is left out.
    pub fn put_endpoints(&mut self, service: &ObjectKey, nodes: HashSet<NodeId>) {
        let Some(service) = self.services.get_mut(service) else { return };
        if service.nodes.as_ref().is_none_or(|before| **before != nodes) {
            self.dirty.extend(&service.addresses);
            service.nodes = Some(Arc::new(nodes));
        }
    }

    /// Ends the grace of addresses whose objects have been gone for long. When to call it again.
    pub fn pass_time(&mut self, now: Moment) -> Option<Moment> {
        while let Some((until, address)) = self.vanished.first() {
            if until > now {
                return Some(until);
            }
            self.forget(address);
        }
        None
    }

    /// The Services whose endpoints decide, or do no longer, since the last call.
    #[must_use]
    pub fn take_services(&mut self) -> Vec<(ObjectKey, bool)> {
        let changed = std::mem::take(&mut self.changed_services);
        let with_answer = |service: ObjectKey| {
            let decides = self.services.contains_key(&service);
            (service, decides)
        };
        changed.into_iter().map(with_answer).collect()
    }

    /// The object of an address, as far as it is known.
    #[must_use]
    pub fn object(&self, address: IpAddr) -> Option<&Arc<Address>> {
        self.addresses.get(address).map(|known| &known.object)
    }

    /// An interface.
    #[must_use]
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index).map(|on_link| &on_link.link)
    }

    /// The interfaces.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values().map(|on_link| &on_link.link)
    }

    /// What excludes this node from answering for an address on an interface.
    #[must_use]
    pub fn why_not(&self, address: IpAddr, link: u32) -> Option<Exclusion> {
        let known = self.addresses.get(address)?;
        self.able(known, self.links.get(&link)?).err()
    }

    /// What changed since the last call.
    pub fn take_orders(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        if self.node.is_none() {
            return orders;
        }
        if std::mem::take(&mut self.standing_is_stale) {
            self.stand(&mut orders);
        }
        let dirty = std::mem::take(&mut self.dirty);
        let mut changes: BTreeMap<u32, Changes> = BTreeMap::new();
        for address in dirty {
            let known = self.addresses.get(address);
            let nodes = known.and_then(|known| self.nodes_with_endpoints(known));
            if known.is_some_and(|known| known.object.local.is_some()) && nodes.is_none() {
                // What works is not taken away for what is not known yet.
                continue;
            }
            for (index, on_link) in &self.links {
                let wanted = known.map(|known| self.wanted(known, on_link, nodes.clone()));
                if on_link.wanted.get(&address).map(|it| &**it) != wanted.as_ref() {
                    changes.entry(*index).or_default().push((address, wanted.map(Arc::new)));
                }
            }
        }
        for (link, changes) in changes {
            if let Some(on_link) = self.links.get_mut(&link) {
                for (address, wanted) in &changes {
                    match wanted {
                        Some(wanted) => on_link.wanted.insert(*address, Arc::clone(wanted)),
                        None => on_link.wanted.remove(address),
                    };
                }
            }
            orders.push(Order::Want { link, changes });
        }
        orders
    }

    fn stand(&mut self, orders: &mut Vec<Order>) {
        for (index, on_link) in &mut self.links {
            let able = |class: &Class| class.able.get(index).map(eligibility::fitness);
            let standing = Standing {
                candidate: self.weight > 0,
                weight: self.weight,
                classes: self.classes.iter().filter_map(|(id, class)| Some((*id, able(class)?))).collect(),
                listed: on_link.listed.clone(),
                deleted: self.deleted.clone(),
            };
            if on_link.standing.as_ref() != Some(&standing) {
                orders.push(Order::Stand { link: *index, standing: standing.clone() });
                on_link.standing = Some(standing);
            }
        }
    }

    fn wanted(&self, known: &Known, on_link: &OnLink, nodes: Option<Arc<HashSet<NodeId>>>) -> Wanted {
        let object = &known.object;
        Wanted {
            class: known.class,
            own: eligibility::fitness(&self.able_with(known, on_link, nodes.as_deref())),
            nodes,
            epoch: object.status.epoch,
            announced_by: (object.status.node.as_deref())
                .filter(|_| object.status.is(ANNOUNCED_CONDITION))
                .map(NodeId::of),
            probe: object.probe && !object.status.is(PROBED_CONDITION),
            uid: id(&object.uid),
        }
    }

    fn able(&self, known: &Known, on_link: &OnLink) -> Result<Able, Exclusion> {
        self.able_with(known, on_link, self.nodes_with_endpoints(known).as_deref())
    }

    fn able_with(
        &self,
        known: &Known,
        on_link: &OnLink,
        nodes: Option<&HashSet<NodeId>>,
    ) -> Result<Able, Exclusion> {
        let link = &on_link.link;
        let class = self.classes.get(&known.class);
        let able = class.and_then(|class| class.able.get(&link.facts.index));
        let (Some(able), Some(node)) = (able.cloned(), &self.node) else {
            return Err(Exclusion::NotAnnounced);
        };
        let links: Vec<&Link> = self.links().collect();
        let has_endpoint = nodes.map(|nodes| nodes.contains(&self.node_id));
        eligibility::of_address(able?, known.object.address, link, node, &links, has_endpoint)
    }

    /// The nodes with endpoints, if only those may answer and they are known. Services that share the address select the same
    /// Pods.
    fn nodes_with_endpoints(&self, known: &Known) -> Option<Arc<HashSet<NodeId>>> {
        let services = known.object.local.as_ref()?;
        let mut sets = services.iter().filter_map(|service| self.services.get(service)?.nodes.as_ref());
        let first = sets.next().map(Arc::clone)?;
        Some(sets.fold(first, |all, more| {
            if more.is_subset(&all) { all } else { Arc::new(all.union(more).copied().collect()) }
        }))
    }

    fn forget(&mut self, address: IpAddr) {
        if let Some(known) = self.addresses.remove(address) {
            self.take_out(address, &known);
            self.dirty.insert(address);
        }
    }

    /// Takes out what led to an address that is known otherwise now, or not any more.
    fn take_out(&mut self, address: IpAddr, known: &Known) {
        self.vanished.remove(address);
        if let Some(class) = self.classes.get_mut(&known.class) {
            class.addresses -= 1;
            if class.addresses == 0 {
                self.classes.remove(&known.class);
                self.standing_is_stale = true;
            }
        }
        let still = self.addresses.get(address).and_then(|it| it.object.local.as_deref()).unwrap_or_default();
        for service in known.object.local.iter().flatten().filter(|service| !still.contains(service)) {
            if let Some(known) = self.services.get_mut(service) {
                known.addresses.retain(|other| *other != address);
                if known.addresses.is_empty() {
                    self.services.remove(service);
                    self.changed_services.insert(service.clone());
                }
            }
        }
    }

    fn look_at_everything(&mut self) {
        let Some(node) = &self.node else { return };
        for class in self.classes.values_mut() {
            class.assess(node, &self.links, self.policy);
        }
        self.standing_is_stale = true;
        self.dirty.extend(self.addresses.iter());
    }
}

impl Class {
    fn assess(&mut self, node: &Node, links: &BTreeMap<u32, OnLink>, policy: Policy) {
        let able =
            |on_link: &OnLink| eligibility::of_class(&self.announcements, node, &on_link.link.facts, policy);
        self.able = links.iter().map(|(index, on_link)| (*index, able(on_link))).collect();
    }
}

/// An answer to a write comes before the watch shows it, which then still shows what was before.
fn is_older(new: &Address, known: &Address) -> bool {
    new.uid == known.uid && new.version != known.version && known.version.reaches(&new.version) == Some(true)
}

fn id(uid: &Uid) -> ObjectId {
    match uid {
        Uid::Uuid(bytes) => ObjectId(*bytes),
        Uid::Text(text) => ObjectId::from(text.as_str()),
    }
}

#[cfg(test)]
mod tests;
