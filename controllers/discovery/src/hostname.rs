//! Host names of endpoints.

use fairlead_objects::{Istr, Pod, Service};

/// The host name under which DNS knows the Pod as part of the Service: its `spec.hostname`, if its
/// `spec.subdomain` is the Service's name and both live in one namespace.
#[must_use]
pub fn hostname<'a>(pod: &'a Pod, service: &Service) -> Option<&'a Istr> {
    pod.hostname.as_ref().filter(|_| {
        pod.subdomain.as_ref() == Some(&service.key.name) && pod.key.namespace == service.key.namespace
    })
}

#[cfg(test)]
mod tests {
    use fairlead_objects::{ObjectKey, testing};

    use super::*;

    #[test]
    fn subdomain_and_namespace_must_be_those_of_the_service() {
        let service = testing::service("web");
        for (scenario, namespace, host, subdomain, expected) in [
            ("all match", "shop", Some("db-0"), Some("web"), Some("db-0")),
            ("no host name", "shop", None, Some("web"), None),
            ("no subdomain", "shop", Some("db-0"), None, None),
            ("another subdomain", "shop", Some("db-0"), Some("db"), None),
            ("another namespace", "bank", Some("db-0"), Some("web"), None),
        ] {
            let pod = Pod {
                key: ObjectKey::new(namespace, "db-0"),
                hostname: host.map(Istr::from),
                subdomain: subdomain.map(Istr::from),
                ..testing::pod("db-0")
            };
            assert_eq!(hostname(&pod, &service).map(Istr::as_str), expected, "{scenario}");
        }
    }
}
