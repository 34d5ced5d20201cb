//! What a speaker needs of a `LoadBalancerAddress`.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use fairlead_crds::{AddressPhase, LoadBalancerAddress};
use fairlead_discovery::announcing::Announcement;
use fairlead_objects::intern::Table;
use fairlead_objects::{Istr, ObjectKey, Record, Resource, ResourceVersion, Selector, Uid};
use serde::Deserialize;

use crate::conditions::Condition;

/// Many addresses have the same announcements.
static ANNOUNCEMENTS: LazyLock<Table<Arc<[Announcement]>>> = LazyLock::new(Table::new);

/// A `LoadBalancerAddress`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "LoadBalancerAddress")]
pub struct Address {
    /// Name; the namespace is empty.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
    /// Version.
    pub version: ResourceVersion,
    /// The address itself.
    pub address: IpAddr,
    /// Does a Service have it? Nobody answers for one that cools down, or that nobody has.
    pub bound: bool,
    /// `spec.probe`.
    pub probe: bool,
    /// The Services with whose endpoints a node may answer; `None`: every node may.
    pub local: Option<Box<[ObjectKey]>>,
    /// `spec.announcements`.
    pub announcements: Arc<[Announcement]>,
    /// What the status says.
    pub status: Status,
}

/// `status` of a `LoadBalancerAddress`, as far as speakers write it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The node that answers.
    pub node: Option<Istr>,
    /// Its interface.
    pub interface: Option<Istr>,
    /// Its MAC address.
    pub mac: Option<Istr>,
    /// The highest number of a claim.
    pub epoch: u32,
    /// The conditions.
    pub conditions: Box<[Condition]>,
}

impl Status {
    /// The condition of this type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| &*condition.kind == kind)
    }

    /// Is the condition of this type `True`?
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|condition| &*condition.status == "True")
    }
}

impl Record for Address {
    const RESOURCE: Resource = Resource {
        group: "fairlead.dev",
        version: "v1alpha1",
        kind: "LoadBalancerAddress",
        plural: "loadbalanceraddresses",
        namespaced: false,
    };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        // Its status is written with its version as a precondition, so the newest has to be known.
        self == other
    }
}

impl From<LoadBalancerAddress> for Address {
    fn from(object: LoadBalancerAddress) -> Self {
        let text = |text: &Option<String>| Istr::from(text.as_deref().unwrap_or_default());
        let istr = |text: &Option<String>| text.as_deref().filter(|it| !it.is_empty()).map(Istr::from);
        let status = object.status.unwrap_or_default();
        let spec = object.spec;
        // The names of the others would be stored for nothing.
        let services = || spec.services.iter().map(|it| ObjectKey::new(&*it.namespace, &*it.name)).collect();
        Self {
            key: ObjectKey { namespace: Istr::default(), name: text(&object.metadata.name) },
            uid: Uid::from(object.metadata.uid.as_deref().unwrap_or_default()),
            version: ResourceVersion::from(object.metadata.resource_version.as_deref().unwrap_or_default()),
            address: spec.address.to_canonical(),
            bound: status.phase == AddressPhase::Bound && !spec.services.is_empty(),
            probe: spec.probe,
            local: spec.local.then(services),
            announcements: ANNOUNCEMENTS
                .intern(spec.announcements.iter().map(announcement).collect::<Vec<_>>()),
            status: Status {
                node: istr(&status.node),
                interface: istr(&status.interface),
                mac: istr(&status.mac),
                epoch: status.epoch.and_then(|epoch| u32::try_from(epoch).ok()).unwrap_or_default(),
                conditions: status.conditions.into_iter().map(Condition::from).collect(),
            },
        }
    }
}

fn announcement(announcement: &fairlead_crds::Announcement) -> Announcement {
    let preferred = announcement.preferred_nodes.iter();
    Announcement {
        name: Istr::from(announcement.name.as_str()),
        nodes: announcement.node_selectors.iter().map(Selector::from).collect(),
        interfaces: announcement.interfaces.iter().map(|name| Istr::from(name.as_str())).collect(),
        preferred: preferred.map(|it| (it.weight, Selector::from(&it.selector))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use fairlead_crds::names::{ANNOUNCED_CONDITION, PROBED_CONDITION};
    use serde_json::json;

    use super::*;

    fn decode(spec: &serde_json::Value, status: &serde_json::Value) -> Address {
        let mut object = json!({
            "apiVersion": "fairlead.dev/v1alpha1",
            "kind": "LoadBalancerAddress",
            "metadata": {"name": "198.51.100.7", "uid": "u", "resourceVersion": "7"},
            "spec": {"address": "198.51.100.7", "pool": "public",
                "services": [{"namespace": "shop", "name": "web", "uid": "w"}]},
            "status": status,
        });
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_address_is_bound_while_a_service_has_it() {
        for (about, spec, status, bound) in [
            ("no status yet", json!({}), json!(null), true),
            ("bound", json!({}), json!({"phase": "Bound"}), true),
            ("cooling", json!({}), json!({"phase": "Cooling"}), false),
            ("nobody has it", json!({"services": []}), json!({"phase": "Bound"}), false),
        ] {
            assert_eq!(decode(&spec, &status).bound, bound, "{about}");
        }
    }

    #[test]
    fn what_is_written_by_others_is_read() {
        let address = decode(
            &json!({"local": true, "probe": true, "announcements": [{"name": "front",
                "nodeSelectors": [{"matchLabels": {"role": "front"}}], "interfaces": ["eth*"],
                "preferredNodes": [{"weight": 7, "selector": {}}]}]}),
            &json!({"phase": "Bound", "node": "node-2", "interface": "eth0", "mac": "02:00:00:00:00:02",
                "since": "2026-01-01T00:00:00.000000Z", "epoch": 4,
                "conditions": [{"type": "Announced", "status": "True", "reason": "Answering", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]}),
        );
        assert_eq!(address.local.as_deref(), Some(&[ObjectKey::new("shop", "web")][..]));
        assert!(address.probe);
        let [front] = &address.announcements[..] else { panic!("{address:?}") };
        assert_eq!((front.name.as_str(), front.nodes.len(), front.preferred[0].0), ("front", 1, 7));
        assert_eq!(front.interfaces[..], [Istr::from("eth*")]);
        assert_eq!(address.status.node.as_deref(), Some("node-2"));
        assert_eq!(address.status.epoch, 4);
        assert!(address.status.is(ANNOUNCED_CONDITION) && !address.status.is(PROBED_CONDITION));
        let plain = decode(&json!({}), &json!(null));
        assert!(plain.local.is_none() && !plain.probe && plain.status.epoch == 0);
        assert!(!plain.same_facts(&address));
    }
}
