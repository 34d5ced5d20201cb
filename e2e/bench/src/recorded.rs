//! Objects as the API server sends them: captured from Kubernetes 1.36 once, and varied.
//!
//! The captures have everything that real objects have and that nobody here needs: managed fields, volumes, probes,
//! environment, the states of containers. Which parts vary is found by the captured values themselves, so a variant
//! differs from a capture in nothing else.

use std::fmt::Write;
use std::net::Ipv6Addr;
use std::ops::Range;

const POD: &str = include_str!("../data/pod.json");
const SERVICE: &str = include_str!("../data/service.json");
const SLICE_IPV4: &str = include_str!("../data/slice-ipv4.json");
const SLICE_IPV6: &str = include_str!("../data/slice-ipv6.json");

/// What varies, with the values that the captures have. A longer value comes before those that are part of it.
const VARYING: [(&str, Part); 21] = [
    ("payment-gateway-6c9f7d58b4-q7x2m", Part::Pod),
    ("payment-gateway-smkbs", Part::Slice),
    ("payment-gateway", Part::Service),
    ("6c9f7d58b4", Part::Hash),
    ("team-checkout", Part::Namespace),
    ("af968946-043f-4fdc-8330-499d232b2b9a", Part::PodUid),
    ("c7c2f43a-aa48-4a35-bae9-74c152c04970", Part::ReplicaSetUid),
    ("32269624-950e-4c8f-9d15-d76c3789421c", Part::ServiceUid),
    ("c8636db7-b743-415a-9eb7-c56cb1989dc7", Part::SliceUid),
    ("\"resourceVersion\":\"230\"", Part::Version),
    ("\"resourceVersion\":\"233\"", Part::Version),
    ("\"resourceVersion\":\"234\"", Part::Version),
    ("2026-11-02T08:15:31Z", Part::ReadySince),
    ("2026-11-21T18:47:54Z", Part::Written),
    ("10.244.17.203", Part::Ipv4),
    ("fd00:10:244:11::cb", Part::Ipv6),
    ("10.96.30.186", Part::ClusterIp),
    ("\"node-1\"", Part::Node),
    ("\"zone-a\"", Part::Zone),
    ("5lzv4", Part::VolumeSuffix),
    ("8f14e45fceea167a5a36dedd4bea2543c9f0f895fb98ab9159f51fd0297e236d", Part::ContainerId),
];

/// A varying part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Pod,
    Slice,
    Service,
    Hash,
    Namespace,
    PodUid,
    ReplicaSetUid,
    ServiceUid,
    SliceUid,
    Version,
    ReadySince,
    Written,
    Ipv4,
    Ipv6,
    ClusterIp,
    Node,
    Zone,
    VolumeSuffix,
    ContainerId,
}

/// A captured object, cut where it varies.
struct Template {
    text: &'static str,
    /// Constant text, and what follows it.
    cuts: Vec<(Range<usize>, Option<Part>)>,
}

impl Template {
    fn new(text: &'static str) -> Self {
        let mut cuts = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            match VARYING.iter().find(|(value, _)| text.as_bytes()[at..].starts_with(value.as_bytes())) {
                Some((value, part)) => {
                    cuts.push((from..at, Some(*part)));
                    at += value.len();
                    from = at;
                }
                None => at += 1,
            }
        }
        cuts.push((from..text.len(), None));
        Self { text, cuts }
    }

    fn write(&self, to: &mut String, ids: &Ids) {
        for (constant, part) in &self.cuts {
            to.push_str(&self.text[constant.clone()]);
            if let Some(part) = part {
                ids.write(*part, to);
            }
        }
    }
}

/// The numbers of an object, from which its varying parts follow.
#[derive(Clone, Copy, Default)]
struct Ids {
    service: usize,
    /// Of all Pods.
    pod: usize,
    slice: usize,
    version: usize,
    namespaces: usize,
    nodes: usize,
}

impl Ids {
    fn write(&self, part: Part, to: &mut String) {
        let Self { service, pod, slice, version, namespaces, nodes } = *self;
        // Nodes are in three zones, as the captured one is in one of three.
        let node = pod % nodes.max(1);
        let zone = char::from(b'a' + u8::try_from(node % 3).unwrap_or_default());
        let written = match part {
            Part::Service => write!(to, "application-{service:05}"),
            Part::Hash => write!(to, "{}", hash(service)),
            Part::Pod => write!(to, "application-{service:05}-{}-{}", hash(service), suffix(pod)),
            Part::Slice => write!(to, "application-{service:05}-{}", suffix(slice)),
            Part::Namespace => write!(to, "team-{:04}", service % namespaces.max(1)),
            Part::PodUid => uid(to, 1, pod),
            Part::ReplicaSetUid => uid(to, 2, service),
            Part::ServiceUid => uid(to, 3, service),
            Part::SliceUid => uid(to, 4, slice),
            Part::Version => write!(to, "\"resourceVersion\":\"{version}\""),
            Part::ReadySince | Part::Written => {
                write!(to, "2026-11-02T{:02}:{:02}:{:02}Z", pod / 3600 % 24, pod / 60 % 60, pod % 60)
            }
            Part::Ipv4 => write!(to, "10.{}.{}.{}", 64 + (pod >> 16), pod >> 8 & 255, pod & 255),
            Part::Ipv6 => write!(to, "{}", ipv6(pod)),
            Part::ClusterIp => {
                write!(to, "10.{}.{}.{}", 128 + (service >> 16), service >> 8 & 255, service & 255)
            }
            Part::Node => write!(to, "\"node-{node:04}\""),
            Part::Zone => write!(to, "\"zone-{zone}\""),
            Part::VolumeSuffix => write!(to, "{}", suffix(pod)),
            Part::ContainerId => write!(to, "{:064x}", mix(pod)),
        };
        // Writing to a string does not fail.
        debug_assert!(written.is_ok());
    }
}

/// In the one spelling that controllers write.
fn ipv6(pod: usize) -> Ipv6Addr {
    let part = |bits: usize| u16::try_from(bits & 0xffff).unwrap_or_default();
    Ipv6Addr::new(0xfd00, 0x10, 0x244, part(pod >> 16), 0, 0, 1, part(pod))
}

/// Spreads numbers, so that what is made of them looks drawn.
pub(crate) fn mix(number: usize) -> u64 {
    let mut bits = (number as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// As the hash of a Pod template.
fn hash(service: usize) -> String {
    format!("{:010x}", mix(service) >> 24)
}

/// Five letters and digits, different for each number below 36^5.
fn suffix(number: usize) -> String {
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..5).map(|place| char::from(DIGITS[number / 36_usize.pow(place) % 36])).collect()
}

fn uid(to: &mut String, kind: u64, number: usize) -> std::fmt::Result {
    let (high, low) = (mix(number).wrapping_mul(2 * kind + 1), mix(number ^ 0x5a5a_0000));
    write!(
        to,
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Services.
    pub(crate) services: usize,
    /// Pods and endpoints of each Service.
    pub(crate) pods: usize,
    /// Namespaces that the Services are spread over.
    pub(crate) namespaces: usize,
    /// Nodes that the Pods are spread over.
    pub(crate) nodes: usize,
    /// Slices of both families, or of IPv4 only.
    pub(crate) dual: bool,
}

/// One kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Services,
    Pods,
    Slices,
}

/// Writes the objects of a cluster, one at a time.
pub(crate) struct Recorded {
    size: Size,
    service: Template,
    pod: Template,
    /// Up to the endpoints, one endpoint, and what follows; for each family.
    slices: Vec<[Template; 3]>,
}

impl Recorded {
    /// Objects of a cluster of this size.
    pub(crate) fn new(size: Size) -> Self {
        let texts = if size.dual { vec![SLICE_IPV4, SLICE_IPV6] } else { vec![SLICE_IPV4] };
        let slices = texts.into_iter().map(str::trim_end).map(|text| {
            // The captured slice has one endpoint.
            let (before, rest) = text.split_once("\"endpoints\":[").unwrap_or((text, ""));
            let (endpoint, _) = rest.split_once("],\"ports\"").unwrap_or((rest, ""));
            let begin = before.len() + "\"endpoints\":[".len();
            let end = begin + endpoint.len();
            [Template::new(&text[..begin]), Template::new(&text[begin..end]), Template::new(&text[end..])]
        });
        let slices = slices.collect();
        Self { size, service: Template::new(SERVICE.trim_end()), pod: Template::new(POD.trim_end()), slices }
    }

    /// Number of objects of a kind.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Services => self.size.services,
            Kind::Pods => self.size.services * self.size.pods,
            Kind::Slices => self.size.services * self.slices.len(),
        }
    }

    /// Appends the object of this number, counted from 0.
    pub(crate) fn write(&self, kind: Kind, number: usize, to: &mut String) {
        let Size { namespaces, nodes, pods, .. } = self.size;
        // Other kinds have other versions in between; only their number of digits matters.
        let ids = Ids { namespaces, nodes, version: 1_000_000 + number, ..Ids::default() };
        match kind {
            Kind::Services => self.service.write(to, &Ids { service: number, ..ids }),
            Kind::Pods => self.pod.write(to, &Ids { service: number / pods.max(1), pod: number, ..ids }),
            Kind::Slices => {
                let service = number / self.slices.len();
                let [before, endpoint, after] = &self.slices[number % self.slices.len()];
                let ids = Ids { service, slice: number, ..ids };
                before.write(to, &ids);
                for pod in 0..pods {
                    if pod > 0 {
                        to.push(',');
                    }
                    endpoint.write(to, &Ids { pod: service * pods + pod, ..ids });
                }
                after.write(to, &ids);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fairlead_objects::{Addresses, Pod, Record, Service, Slice, TargetRef};

    use super::*;

    const SIZE: Size = Size { services: 40, pods: 3, namespaces: 4, nodes: 7, dual: true };

    fn all<R: Record>(kind: Kind) -> Vec<R> {
        let recorded = Recorded::new(SIZE);
        let mut text = String::new();
        let mut object = |number| {
            text.clear();
            recorded.write(kind, number, &mut text);
            serde_json::from_str(&text).unwrap()
        };
        (0..recorded.count(kind)).map(&mut object).collect()
    }

    #[test]
    fn nothing_of_a_capture_stays_that_would_make_objects_equal() {
        let pods: Vec<Pod> = all(Kind::Pods);
        assert_eq!(pods.len(), 120);
        assert_eq!(pods.iter().map(|pod| &pod.key).collect::<HashSet<_>>().len(), 120);
        assert_eq!(pods.iter().map(|pod| &pod.uid).collect::<HashSet<_>>().len(), 120);
        assert_eq!(pods.iter().map(|pod| &pod.addresses).collect::<HashSet<_>>().len(), 120);
        assert_eq!(pods.iter().map(|pod| &pod.node).collect::<HashSet<_>>().len(), 7);
        assert!(pods.iter().all(|pod| pod.ready && pod.addresses.len() == 2 && pod.ports.len() == 2));
    }

    #[test]
    fn pods_are_selected_by_their_services_and_are_their_endpoints() {
        let (pods, services): (Vec<Pod>, Vec<Service>) = (all(Kind::Pods), all(Kind::Services));
        let slices: Vec<Slice> = all(Kind::Slices);
        assert_eq!((services.len(), slices.len()), (40, 80));
        for (number, slice) in slices.iter().enumerate() {
            let service = &services[number / 2];
            assert_eq!(fairlead_endpointslice::service_of(slice), Some(&service.key.name));
            assert_eq!((&slice.key.namespace, &slice.owners[0].uid), (&service.key.namespace, &service.uid));
            let members = &pods[number / 2 * 3..][..3];
            assert_eq!(slice.endpoints.len(), 3);
            for (pod, endpoint) in members.iter().zip(&slice.endpoints) {
                let selector = service.selector.as_ref().unwrap();
                assert!(selector.selects(&pod.labels) && pod.key.namespace == service.key.namespace);
                let target = TargetRef::Pod { name: pod.key.name.clone(), uid: pod.uid.clone() };
                assert_eq!(endpoint.target.as_ref(), Some(&target));
                assert_eq!(endpoint.addresses, Addresses::One(pod.addresses[number % 2]));
                assert_eq!(endpoint.node, pod.node);
            }
        }
    }

    #[test]
    fn an_object_is_as_large_as_the_captured_one() {
        let mut text = String::new();
        Recorded::new(SIZE).write(Kind::Pods, 5, &mut text);
        assert!(text.len().abs_diff(POD.len()) < 200, "{} instead of {}", text.len(), POD.len());
    }

    #[test]
    fn an_object_is_one_line_of_a_watch() {
        let recorded = Recorded::new(SIZE);
        for kind in [Kind::Services, Kind::Pods, Kind::Slices] {
            let mut text = String::new();
            (0..recorded.count(kind)).for_each(|number| recorded.write(kind, number, &mut text));
            assert!(!text.contains('\n'), "{kind:?}");
        }
    }
}
