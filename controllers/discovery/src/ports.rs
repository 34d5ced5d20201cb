//! Where a Pod listens for a Service.

use std::hash::{Hash, Hasher};

use fairlead_objects::{ContainerPort, EndpointPort, Pod, PortSet, Service, ServicePort, TargetPort};
use hashbrown::HashMap;

/// Resolves the ports of one Service on its Pods. The Pods of a workload share one list of container ports and
/// hence one result, so the cost of a Pod is one look-up.
pub struct PortResolver<'a> {
    service: &'a Service,
    /// The result for every Pod, if no port is looked up by name.
    fixed: Option<PortSet>,
    known: HashMap<SharedList<'a>, PortSet>,
}

/// A list of container ports, told from others by where it is stored.
struct SharedList<'a>(&'a [ContainerPort]);

impl PartialEq for SharedList<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for SharedList<'_> {}

impl Hash for SharedList<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ptr().hash(state);
    }
}

impl<'a> PortResolver<'a> {
    /// A resolver for the ports of `service`.
    #[must_use]
    pub fn new(service: &'a Service) -> Self {
        let by_number = |port: &ServicePort| matches!(port.target, TargetPort::Number(_));
        let fixed = service.ports.iter().all(by_number).then(|| resolve(service, &[]));
        Self { service, fixed, known: HashMap::new() }
    }

    /// The ports under which `pod` serves the Service. A number is used as it is. A name is looked up with its
    /// protocol, first in the containers, then in the sidecars; a port that the Pod does not have is left out
    /// for this Pod only, so the set may be empty.
    pub fn resolve(&mut self, pod: &'a Pod) -> PortSet {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        self.known.entry(SharedList(&pod.ports)).or_insert_with(|| resolve(self.service, &pod.ports)).clone()
    }
}

fn resolve(service: &Service, container_ports: &[ContainerPort]) -> PortSet {
    let number = |port: &ServicePort| match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => container_ports
            .iter()
            .find(|candidate| candidate.name == *name && candidate.protocol == port.protocol)
            .map(|found| found.container_port),
    };
    service
        .ports
        .iter()
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone()),
                protocol: Some(port.protocol),
                port: Some(number(port)?),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fairlead_objects::{Protocol, testing};

    use super::*;

    fn service(ports: &[ServicePort]) -> Service {
        Service { ports: ports.to_vec(), ..testing::service("web") }
    }

    fn named(target: &str, protocol: Protocol) -> ServicePort {
        ServicePort { protocol, ..testing::service_port("http", TargetPort::Name(target.into())) }
    }

    /// Port numbers under which a Pod with this JSON `spec` serves `service`.
    fn numbers(service: &Service, spec: &str) -> Vec<i32> {
        let pod: Pod = testing::decode(&format!(r#"{{"spec": {spec}}}"#));
        let set = PortResolver::new(service).resolve(&pod);
        set.iter().filter_map(|port| port.port).collect()
    }

    #[test]
    fn numbers_are_used_as_they_are_and_names_are_looked_up() {
        let number = service(&[testing::service_port("http", TargetPort::Number(93))]);
        let name = service(&[named("p", Protocol::Tcp)]);
        let containers = |list: &str| format!(r#"{{"containers": [{list}]}}"#);
        let port = |fields: &str| format!(r#"{{"ports": [{{{fields}}}]}}"#);
        let both =
            |list: &str, init: &str| format!(r#"{{"containers": [{list}], "initContainers": [{init}]}}"#);
        let sidecar = r#"{"restartPolicy": "Always", "ports": [{"name": "p", "containerPort": 12}]}"#;
        let one = port(r#""name": "p", "containerPort": 11"#);
        for (scenario, service, spec, expected) in [
            ("a number without any port", &number, containers(r#"{"name": "a"}"#), &[93][..]),
            ("a number beside declared ports", &number, containers(&one), &[93]),
            ("a name without any port", &name, containers(r#"{"name": "a"}"#), &[]),
            ("a name without any container", &name, "{}".into(), &[]),
            ("a name in the only container", &name, containers(&one), &[11]),
            ("a name in the second container", &name, containers(&format!("{{}}, {one}")), &[11]),
            (
                "the first of a name that two containers have",
                &name,
                containers(&format!("{one}, {}", port(r#""name": "p", "containerPort": 22"#))),
                &[11],
            ),
            (
                "another protocol",
                &name,
                containers(&port(r#""name": "p", "containerPort": 11, "protocol": "UDP""#)),
                &[],
            ),
            ("another name", &name, containers(&port(r#""name": "q", "containerPort": 11"#)), &[]),
            (
                "the protocol picks among equal names",
                &name,
                containers(&format!(
                    "{}, {one}",
                    port(r#""name": "p", "containerPort": 7, "protocol": "SCTP""#)
                )),
                &[11],
            ),
            (
                "hostPort plays no part",
                &name,
                containers(&port(r#""name": "p", "containerPort": 11, "hostPort": 80"#)),
                &[11],
            ),
            (
                "an impossible hostPort neither",
                &name,
                containers(&port(r#""name": "p", "containerPort": 11, "hostPort": -1"#)),
                &[11],
            ),
            (
                "nor a hostIP",
                &name,
                containers(&port(r#""name": "p", "containerPort": 11, "hostIP": "127.0.0.1""#)),
                &[11],
            ),
            (
                "an impossible containerPort is used",
                &name,
                containers(&port(r#""name": "p", "containerPort": -1"#)),
                &[-1],
            ),
            ("a sidecar", &name, both("{}", sidecar), &[12]),
            ("an ordinary init container", &name, both("{}", &one), &[]),
            ("a container goes before a sidecar", &name, both(&one, sidecar), &[11]),
        ] {
            assert_eq!(numbers(service, &spec), expected, "{scenario}");
        }
    }

    #[test]
    fn name_protocol_and_application_protocol_come_from_the_service() {
        let service = service(&[
            ServicePort {
                app_protocol: Some("kubernetes.io/h2c".into()),
                ..testing::service_port("grpc", TargetPort::Name("p".into()))
            },
            ServicePort { protocol: Protocol::Sctp, ..testing::service_port("", TargetPort::Number(36412)) },
        ]);
        let pod: Pod =
            testing::decode(r#"{"spec": {"containers": [{"ports": [{"name": "p", "containerPort": 11}]}]}}"#);
        let port = |name: &str, protocol, number, app: Option<&str>| EndpointPort {
            name: Some(name.into()),
            protocol: Some(protocol),
            port: Some(number),
            app_protocol: app.map(Into::into),
        };
        let expected: PortSet = [
            port("grpc", Protocol::Tcp, 11, Some("kubernetes.io/h2c")),
            port("", Protocol::Sctp, 36412, None),
        ]
        .into_iter()
        .collect();
        assert_eq!(PortResolver::new(&service).resolve(&pod), expected);
    }

    #[test]
    fn a_port_that_one_pod_lacks_is_left_out_for_this_pod_only() {
        let service = service(&[
            ServicePort { ..testing::service_port("a", TargetPort::Name("a".into())) },
            testing::service_port("b", TargetPort::Number(2)),
            testing::service_port("c", TargetPort::Name("c".into())),
        ]);
        let with = |name: &str| Pod {
            ports: Pod::share_ports(vec![ContainerPort {
                name: name.into(),
                protocol: Protocol::Tcp,
                container_port: 9,
            }]),
            ..testing::pod(name)
        };
        let (a, c, none) = (with("a"), with("c"), with("x"));
        let mut resolver = PortResolver::new(&service);
        let mut names = |pod| {
            resolver
                .resolve(pod)
                .iter()
                .map(|port| port.name.clone().unwrap().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&a), ["a", "b"]);
        assert_eq!(names(&c), ["b", "c"]);
        assert_eq!(names(&none), ["b"]);
    }

    #[test]
    fn pods_that_share_their_list_of_ports_are_resolved_once() {
        let service = service(&[named("p", Protocol::Tcp)]);
        let list = Pod::share_ports(vec![ContainerPort {
            name: "p".into(),
            protocol: Protocol::Tcp,
            container_port: 11,
        }]);
        let pods: Vec<Pod> = (0..5_000)
            .map(|n| Pod { ports: Arc::clone(&list), ..testing::pod(&format!("web-{n}")) })
            .collect();
        let mut resolver = PortResolver::new(&service);
        let first = resolver.resolve(&pods[0]);
        assert!(pods.iter().all(|pod| resolver.resolve(pod) == first));
        assert_eq!(resolver.known.len(), 1);
    }

    #[test]
    fn a_service_without_ports_has_the_empty_set() {
        let pod = testing::pod("web-0");
        assert!(PortResolver::new(&service(&[])).resolve(&pod).is_empty());
    }
}
