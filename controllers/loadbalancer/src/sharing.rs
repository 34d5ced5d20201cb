//! Which Services may have one address together.

use std::fmt;

use fairlead_objects::{Istr, Labels, LoadBalancer, ObjectKey, Protocol, Service};

use crate::wish::{Consent, Wish};

/// What of a Service decides with whom it may share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharer<'a> {
    key: &'a ObjectKey,
    sharing_key: &'a Istr,
    consent: &'a Consent,
    ports: &'a [(Protocol, u16)],
    backend: Backend<'a>,
}

/// Where the traffic to an address goes: Services with the policy Cluster get along with each other, since every Node
/// forwards to all of them; those with Local only if they have the same Pods, since only Nodes with a Pod answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend<'a> {
    Cluster,
    Local(Option<&'a Labels>),
}

/// Why two Services cannot share an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// One of them does not share at all, or they have different keys.
    Key,
    /// Both have this port.
    Port(Protocol, u16),
    /// Their traffic goes to different Pods, or by different policies.
    Backend,
    /// They are of different namespaces, and this one does not agree.
    Consent(ObjectKey),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("they do not have the same sharing key"),
            Self::Port(protocol, port) => write!(f, "both use port {port}/{}", protocol.as_str()),
            Self::Backend => f.write_str(
                "with externalTrafficPolicy Local, Services share an address only if they all have it, and the same selector",
            ),
            Self::Consent(who) => write!(
                f,
                "Service {who} does not agree to share across namespaces \
                 (annotation fairlead.dev/share-with-namespaces)"
            ),
        }
    }
}

impl<'a> Sharer<'a> {
    pub(crate) fn new(service: &'a Service, load_balancer: &'a LoadBalancer, wish: &'a Wish) -> Self {
        let backend =
            if load_balancer.local { Backend::Local(service.selector.as_ref()) } else { Backend::Cluster };
        Self {
            key: &service.key,
            sharing_key: &wish.sharing_key,
            consent: &wish.share_with,
            ports: &load_balancer.ports,
            backend,
        }
    }

    /// What speaks against it that this Service and `other` share an address. The pool may do without their consent.
    pub(crate) fn objection(&self, other: &Sharer<'_>, any_namespace: bool) -> Option<Objection> {
        if self.sharing_key.is_empty() || self.sharing_key != other.sharing_key {
            return Some(Objection::Key);
        }
        if let Some((protocol, port)) = self.ports.iter().find(|port| other.ports.contains(port)) {
            return Some(Objection::Port(*protocol, *port));
        }
        if self.backend != other.backend {
            return Some(Objection::Backend);
        }
        if self.key.namespace == other.key.namespace || any_namespace {
            return None;
        }
        [(self, other), (other, self)]
            .into_iter()
            .find(|(one, two)| !one.consent.covers(&two.key.namespace))
            .map(|(one, _)| Objection::Consent(one.key.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        service: Service,
        wish: Wish,
    }

    impl Case {
        fn new(name: &str, key: &str, ports: &[(Protocol, u16)]) -> Self {
            let load_balancer =
                LoadBalancer { wanted: true, ports: ports.to_vec(), ..LoadBalancer::default() };
            let service = Service {
                load_balancer: Some(Box::new(load_balancer)),
                ..fairlead_objects::testing::service(name)
            };
            Self { service, wish: Wish { sharing_key: key.into(), ..Wish::default() } }
        }

        fn sharer(&self) -> Sharer<'_> {
            Sharer::new(&self.service, self.service.load_balancer.as_ref().unwrap(), &self.wish)
        }

        fn local(mut self) -> Self {
            self.service.load_balancer.as_mut().unwrap().local = true;
            self
        }

        fn selecting(mut self, app: &str) -> Self {
            self.service.selector = Some([("app", app)].into_iter().collect());
            self
        }

        fn of(mut self, namespace: &str, consent: Consent) -> Self {
            self.service.key.namespace = namespace.into();
            self.wish.share_with = consent;
            self
        }
    }

    const HTTP: (Protocol, u16) = (Protocol::Tcp, 80);
    const HTTPS: (Protocol, u16) = (Protocol::Tcp, 443);
    const QUIC: (Protocol, u16) = (Protocol::Udp, 443);

    #[test]
    fn key_ports_backend_and_consent_have_to_agree() {
        let shop = || Consent::Namespaces(vec!["shop".into()]);
        let bank = || Consent::Namespaces(vec!["bank".into()]);
        let web = || Case::new("web", "k", &[HTTP]);
        let api = || Case::new("api", "k", &[HTTPS]);
        let no = |who: &str, name| Some(Objection::Consent(ObjectKey::new(who, name)));
        for (about, one, two, any_namespace, objection) in [
            ("all fits", web(), api(), false, None),
            ("protocols differ", api(), Case::new("quic", "k", &[QUIC]), false, None),
            (
                "no key",
                Case::new("web", "", &[HTTP]),
                Case::new("api", "", &[HTTPS]),
                false,
                Some(Objection::Key),
            ),
            ("other key", web(), Case::new("api", "j", &[HTTPS]), false, Some(Objection::Key)),
            (
                "one port of several",
                web(),
                Case::new("api", "k", &[HTTPS, HTTP]),
                false,
                Some(Objection::Port(Protocol::Tcp, 80)),
            ),
            ("Local and Cluster", web().local(), api(), false, Some(Objection::Backend)),
            ("Local, same Pods", web().local(), api().local(), false, None),
            (
                "Local, other Pods",
                web().local(),
                api().local().selecting("api"),
                false,
                Some(Objection::Backend),
            ),
            ("Cluster, other Pods", web(), api().selecting("api"), false, None),
            ("nobody agrees", web(), api().of("bank", Consent::Nobody), false, no("shop", "web")),
            (
                "one agrees",
                web().of("shop", bank()),
                api().of("bank", Consent::Nobody),
                false,
                no("bank", "api"),
            ),
            ("both agree", web().of("shop", bank()), api().of("bank", shop()), false, None),
            (
                "both agree with anybody",
                web().of("shop", Consent::Anybody),
                api().of("bank", Consent::Anybody),
                false,
                None,
            ),
            (
                "agrees with others",
                web().of("shop", shop()),
                api().of("bank", shop()),
                false,
                no("shop", "web"),
            ),
            ("the pool agrees", web(), api().of("bank", Consent::Nobody), true, None),
        ] {
            assert_eq!(one.sharer().objection(&two.sharer(), any_namespace), objection, "{about}");
            let other_way = two.sharer().objection(&one.sharer(), any_namespace);
            assert_eq!(other_way.is_some(), objection.is_some(), "{about}, the other way");
        }
    }
}
