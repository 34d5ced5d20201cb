//! The parts of the JSON of a Service that are about its load balancer.

use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::{
    ADDRESS_ANNOTATIONS, FamilyPolicy, Ingress, IngressPoint, LOAD_BALANCER_READY, LoadBalancer,
    ServiceCondition,
};
use crate::address::parse_lenient;
use crate::{Istr, Labels, Protocol};

/// Annotations that [`crate::Service`] itself is made of.
pub(crate) const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
/// As [`TOPOLOGY_HINTS`].
pub(crate) const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";

/// The annotations that anybody reads; others are skipped.
#[derive(Default)]
pub(crate) struct Annotations(Vec<(&'static str, Istr)>);

impl Annotations {
    pub(crate) fn get(&self, key: &str) -> Option<&Istr> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    fn of_addresses(&self) -> Labels {
        let of_addresses = self.0.iter().filter(|(key, _)| ADDRESS_ANNOTATIONS.contains(key));
        of_addresses.map(|(key, value)| (Istr::from(*key), value.clone())).collect()
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;

        impl<'de> Visitor<'de> for Map {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_unit<E>(self) -> Result<Annotations, E> {
                Ok(Annotations::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
                let mut read = Vec::new();
                while let Some(Known(key)) = map.next_key()? {
                    match key {
                        Some(key) => read.push((key, map.next_value()?)),
                        None => map.next_value::<IgnoredAny>().map(drop)?,
                    }
                }
                Ok(Annotations(read))
            }
        }

        deserializer.deserialize_any(Map)
    }
}

/// The key of an annotation, if anybody reads it.
struct Known(Option<&'static str>);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;

        impl Visitor<'_> for Key {
            type Value = Known;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Known, E> {
                let known = ADDRESS_ANNOTATIONS.into_iter().chain([TOPOLOGY_HINTS, TOPOLOGY_MODE]);
                Ok(Known(known.into_iter().find(|known| *known == text)))
            }
        }

        deserializer.deserialize_str(Key)
    }
}

/// An address that is not worth sharing as a text; `None` if it is none.
pub(crate) struct Ip(pub(crate) Option<IpAddr>);

impl<'de> Deserialize<'de> for Ip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Ip;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an IP address")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Ip, E> {
                Ok(Ip(parse_lenient(text)))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// `status`.
#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    load_balancer: Option<Published>,
    conditions: Option<Vec<Condition>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Published {
    ingress: Option<Vec<Entry>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    ip: Option<Istr>,
    hostname: Option<Istr>,
    ip_mode: Option<Istr>,
    ports: Option<Vec<IgnoredAny>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: Istr,
    status: Istr,
    reason: Istr,
    message: Box<str>,
    observed_generation: Option<i64>,
    last_transition_time: Option<Box<str>>,
}

/// What the load-balancer side of a Service is made of.
pub(crate) struct Parts<'a, P> {
    pub(crate) wanted: bool,
    pub(crate) status: Status,
    pub(crate) class: Option<Istr>,
    pub(crate) requested_address: Option<Istr>,
    pub(crate) annotations: &'a Annotations,
    pub(crate) local: bool,
    pub(crate) family_policy: Option<&'a str>,
    pub(crate) cluster_ips: Option<Vec<Ip>>,
    pub(crate) ports: P,
    pub(crate) generation: i64,
}

impl LoadBalancer {
    /// The load-balancer side of a Service, if it has one.
    pub(crate) fn decode(parts: Parts<'_, impl Iterator<Item = (Protocol, i32)>>) -> Option<Box<Self>> {
        let Status { load_balancer, conditions } = parts.status;
        let ingress = load_balancer.and_then(|it| it.ingress).unwrap_or_default();
        let mut conditions = conditions.unwrap_or_default().into_iter();
        let condition = conditions.find(|condition| condition.kind == LOAD_BALANCER_READY);
        if !parts.wanted && ingress.is_empty() && condition.is_none() {
            return None;
        }
        let text = |text: Option<Istr>| text.filter(|text| !text.is_empty());
        let port = |(protocol, port): (Protocol, i32)| Some((protocol, u16::try_from(port).ok()?));
        Some(Box::new(Self {
            wanted: parts.wanted,
            class: text(parts.class),
            requested_address: text(parts.requested_address),
            annotations: parts.annotations.of_addresses(),
            local: parts.local,
            family_policy: match parts.family_policy {
                Some("PreferDualStack") => FamilyPolicy::PreferDualStack,
                Some("RequireDualStack") => FamilyPolicy::RequireDualStack,
                _ => FamilyPolicy::SingleStack,
            },
            cluster_ips: parts.cluster_ips.unwrap_or_default().into_iter().filter_map(|ip| ip.0).collect(),
            ports: parts.ports.filter_map(port).collect(),
            generation: parts.generation,
            ingress: ingress.into_iter().map(Ingress::from).collect(),
            condition: condition.map(ServiceCondition::from),
        }))
    }
}

impl From<Entry> for Ingress {
    fn from(Entry { ip, hostname, ip_mode, ports }: Entry) -> Self {
        let ip = ip.filter(|ip| !ip.is_empty());
        let at = match ip.as_deref().and_then(parse_lenient) {
            Some(address) => IngressPoint::Address(address),
            None => IngressPoint::Name(ip.or(hostname).unwrap_or_default()),
        };
        Self {
            at,
            proxy_mode: ip_mode.as_deref() == Some("Proxy"),
            has_ports: ports.is_some_and(|ports| !ports.is_empty()),
        }
    }
}

impl From<Condition> for ServiceCondition {
    fn from(condition: Condition) -> Self {
        Self {
            ready: condition.status == "True",
            reason: condition.reason,
            message: condition.message,
            observed_generation: condition.observed_generation.unwrap_or_default(),
            last_transition: condition.last_transition_time.and_then(|text| text.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Record, Service};

    fn decode(json: Value) -> Service {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_service_of_type_load_balancer() {
        let service = decode(json!({
            "metadata": {"namespace": "shop", "name": "web", "generation": 4, "annotations": {
                "fairlead.dev/pool": "public", "metallb.io/allow-shared-ip": "key", "example.com/other": "x"}},
            "spec": {"type": "LoadBalancer", "loadBalancerClass": "fairlead.dev/layer2", "loadBalancerIP": "198.51.100.7",
                "externalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack",
                "clusterIPs": ["10.96.0.9", "fd00::9"],
                "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}, {"port": 99999}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.7", "ipMode": "VIP"}, {"ip": "2001:db8::7"},
                    {"hostname": "lb.example.com", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]}]},
                "conditions": [{"type": "example.com/Other", "status": "False"},
                    {"type": LOAD_BALANCER_READY, "status": "True", "reason": "Assigned", "message": "told",
                     "observedGeneration": 3, "lastTransitionTime": "2026-01-02T03:04:05Z"}]}
        }));
        let side = service.load_balancer.unwrap();
        assert!(side.wanted && side.local);
        assert_eq!(side.class.as_deref(), Some("fairlead.dev/layer2"));
        assert_eq!(side.requested_address.as_deref(), Some("198.51.100.7"));
        let annotations: Labels =
            [("fairlead.dev/pool", "public"), ("metallb.io/allow-shared-ip", "key")].into_iter().collect();
        assert_eq!(side.annotations, annotations);
        assert_eq!(side.family_policy, FamilyPolicy::PreferDualStack);
        let ips: [IpAddr; 2] = ["10.96.0.9".parse().unwrap(), "fd00::9".parse().unwrap()];
        assert_eq!(side.cluster_ips.as_slice(), ips);
        assert_eq!(side.ports, [(Protocol::Tcp, 80), (Protocol::Udp, 53)]);
        assert_eq!(side.generation, 4);
        let published: Vec<_> = side.published().map(|ip| ip.to_string()).collect();
        assert_eq!(published, ["198.51.100.7", "2001:db8::7"]);
        assert_eq!(side.ingress[2].at, IngressPoint::Name("lb.example.com".into()));
        assert!(side.ingress[2].proxy_mode && side.ingress[2].has_ports);
        assert!(!side.ingress[0].proxy_mode && !side.ingress[0].has_ports);
        let condition = side.condition.unwrap();
        assert!(condition.ready);
        assert_eq!((condition.reason.as_str(), &*condition.message), ("Assigned", "told"));
        assert_eq!(condition.observed_generation, 3);
        assert_eq!(condition.last_transition, "2026-01-02T03:04:05Z".parse::<Timestamp>().ok());
    }

    #[test]
    fn other_services_have_none_unless_something_is_left() {
        assert!(
            decode(json!({"spec": {"type": "ClusterIP"}, "status": {"loadBalancer": {}}}))
                .load_balancer
                .is_none()
        );
        let others = json!([{"type": "example.com/Other", "status": "True"}]);
        assert!(decode(json!({"status": {"conditions": others}})).load_balancer.is_none());
        assert_eq!(size_of::<Option<Box<LoadBalancer>>>(), size_of::<usize>());
        for (status, published) in [
            (json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}), 1),
            (json!({"conditions": [{"type": LOAD_BALANCER_READY, "status": "False"}]}), 0),
        ] {
            let side = decode(json!({"status": status})).load_balancer.unwrap();
            assert!(!side.wanted);
            assert_eq!(side.published().count(), published);
        }
    }

    /// It is written with its version as a precondition, which must be the newest.
    #[test]
    fn every_new_version_of_it_is_a_change_but_none_for_endpoints() {
        let of = |kind: &str, version: &str| {
            decode(json!({"metadata": {"name": "s", "resourceVersion": version}, "spec": {"type": kind}}))
        };
        assert!(!of("LoadBalancer", "1").same_facts(&of("LoadBalancer", "2")));
        assert!(of("LoadBalancer", "1").same_endpoint_facts(&of("LoadBalancer", "2")));
        assert!(of("ClusterIP", "1").same_facts(&of("ClusterIP", "2")));
        assert!(!of("ClusterIP", "1").same_facts(&of("LoadBalancer", "1")));
        assert!(of("ClusterIP", "1").same_endpoint_facts(&of("LoadBalancer", "1")));
    }
}
