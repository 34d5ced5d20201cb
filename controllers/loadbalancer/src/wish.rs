//! What a Service asks for.

use std::fmt;
use std::net::IpAddr;

use fairlead_crds::names::{
    ADDRESSES_ANNOTATION, POOL_ANNOTATION, SHARE_WITH_NAMESPACES_ANNOTATION, SHARING_KEY_ANNOTATION,
};
use fairlead_objects::{Family, Istr, LoadBalancer};
use smallvec::SmallVec;

/// MetalLB's prefixes, the newer one first.
const METALLB: [&str; 2] = ["metallb.io/", "metallb.universe.tf/"];

/// What a Service asks for, by its spec and annotations. Our annotations count before those with `metallb.io/`, and those
/// before the ones with `metallb.universe.tf/`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    /// At most one of each family.
    pub(crate) addresses: SmallVec<[IpAddr; 2]>,
    /// Name of a pool.
    pub(crate) pool: Option<Istr>,
    /// Empty if it shares with nobody.
    pub(crate) sharing_key: Istr,
    /// With whom of other namespaces it would share.
    pub(crate) share_with: Consent,
}

/// With which other namespaces a Service would share its address.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum Consent {
    /// With none.
    #[default]
    Nobody,
    /// With these.
    Namespaces(Vec<Istr>),
    /// With all.
    Anybody,
}

impl Consent {
    pub(crate) fn covers(&self, namespace: &Istr) -> bool {
        match self {
            Self::Nobody => false,
            Self::Namespaces(namespaces) => namespaces.contains(namespace),
            Self::Anybody => true,
        }
    }
}

/// Why what a Service asks for cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WishError {
    NotAnAddress { source: String, text: String },
    TwoOfOneFamily { source: String, family: Family },
    Contradiction { source: String, field: IpAddr },
}

impl fmt::Display for WishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAddress { source, text } => {
                write!(f, "{source} has {text:?}, which is not an IP address; write one such as 198.51.100.7")
            }
            Self::TwoOfOneFamily { source, family } => {
                write!(f, "{source} has two {} addresses; write one of each family at most", family.as_str())
            }
            Self::Contradiction { source, field } => {
                write!(
                    f,
                    "spec.loadBalancerIP asks for {field}, and {source} for something else; remove one of them"
                )
            }
        }
    }
}

/// The first of these annotations that the Service has and that is not blank: ours, or else MetalLB's.
fn annotation<'a>(load_balancer: &'a LoadBalancer, ours: &str, metallb: &str) -> Option<(String, &'a str)> {
    let twins = METALLB.iter().map(|prefix| format!("{prefix}{metallb}"));
    std::iter::once(ours.to_owned()).chain(twins).find_map(|key| {
        let text = load_balancer.annotations.get(&key)?.as_str().trim();
        let source = format!("annotation {key}");
        (!text.is_empty()).then_some((source, text))
    })
}

impl Wish {
    /// Reads what a Service asks for. If the addresses cannot be read, the rest still can.
    pub(crate) fn read(load_balancer: &LoadBalancer) -> (Self, Option<WishError>) {
        let text = |ours, metallb| annotation(load_balancer, ours, metallb).map(|(_, text)| Istr::from(text));
        let mut wish = Self {
            addresses: SmallVec::new(),
            pool: text(POOL_ANNOTATION, "address-pool"),
            sharing_key: text(SHARING_KEY_ANNOTATION, "allow-shared-ip").unwrap_or_default(),
            share_with: consent(load_balancer),
        };
        let error = wish.read_addresses(load_balancer).err();
        if error.is_some() {
            wish.addresses.clear();
        }
        (wish, error)
    }

    fn read_addresses(&mut self, load_balancer: &LoadBalancer) -> Result<(), WishError> {
        let annotated = annotation(load_balancer, ADDRESSES_ANNOTATION, "loadBalancerIPs");
        if let Some((source, text)) = &annotated {
            for text in text.split(',') {
                self.ask_for(source, text.trim())?;
            }
        }
        if let Some(text) = &load_balancer.requested_address {
            const FIELD: &str = "spec.loadBalancerIP";
            match annotated {
                None => self.ask_for(FIELD, text.trim())?,
                Some((source, _)) => {
                    let field = parse(FIELD, text.trim())?;
                    if !self.addresses.contains(&field) {
                        return Err(WishError::Contradiction { source, field });
                    }
                }
            }
        }
        Ok(())
    }

    fn ask_for(&mut self, source: &str, text: &str) -> Result<(), WishError> {
        let address = parse(source, text)?;
        if self.address(Family::of(address)).is_some() {
            return Err(WishError::TwoOfOneFamily { source: source.to_owned(), family: Family::of(address) });
        }
        self.addresses.push(address);
        Ok(())
    }

    /// The address of this family that it asks for.
    pub(crate) fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }
}

fn parse(source: &str, text: &str) -> Result<IpAddr, WishError> {
    let not_an_address = |_| WishError::NotAnAddress { source: source.to_owned(), text: text.to_owned() };
    text.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(not_an_address)
}

fn consent(load_balancer: &LoadBalancer) -> Consent {
    let Some(text) = load_balancer.annotations.get(SHARE_WITH_NAMESPACES_ANNOTATION) else {
        return Consent::Nobody;
    };
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.contains(&"*") {
        return Consent::Anybody;
    }
    if names.is_empty() {
        Consent::Nobody
    } else {
        Consent::Namespaces(names.into_iter().map(Istr::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: Option<&str>, annotations: &[(&str, &str)]) -> Result<Wish, String> {
        let load_balancer = LoadBalancer {
            wanted: true,
            requested_address: field.map(Istr::from),
            annotations: annotations.iter().copied().collect(),
            ..LoadBalancer::default()
        };
        let (wish, error) = Wish::read(&load_balancer);
        error.map_or(Ok(wish), |error| Err(error.to_string()))
    }

    fn addresses(field: Option<&str>, annotations: &[(&str, &str)]) -> Result<Vec<String>, String> {
        read(field, annotations).map(|wish| wish.addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn addresses_are_asked_for_by_field_or_annotation() {
        for (field, annotations, expected) in [
            (None, &[][..], &[][..]),
            (Some("198.51.100.7"), &[], &["198.51.100.7"]),
            (Some(" 2001:DB8::7 "), &[], &["2001:db8::7"]),
            (
                None,
                &[("fairlead.dev/addresses", "198.51.100.7, 2001:db8::7")],
                &["198.51.100.7", "2001:db8::7"],
            ),
            (
                None,
                &[("metallb.io/loadBalancerIPs", "2001:db8::7,198.51.100.7")],
                &["2001:db8::7", "198.51.100.7"],
            ),
            (None, &[("metallb.universe.tf/loadBalancerIPs", "198.51.100.7")], &["198.51.100.7"]),
            (None, &[("fairlead.dev/addresses", " ")], &[]),
            (
                Some("198.51.100.7"),
                &[("fairlead.dev/addresses", "2001:db8::7,198.51.100.7")],
                &["2001:db8::7", "198.51.100.7"],
            ),
            (
                None,
                &[
                    ("metallb.universe.tf/loadBalancerIPs", "198.51.100.9"),
                    ("metallb.io/loadBalancerIPs", "198.51.100.8"),
                    ("fairlead.dev/addresses", "198.51.100.7"),
                ],
                &["198.51.100.7"],
            ),
            (
                None,
                &[
                    ("metallb.universe.tf/loadBalancerIPs", "198.51.100.9"),
                    ("metallb.io/loadBalancerIPs", "198.51.100.8"),
                ],
                &["198.51.100.8"],
            ),
        ] {
            let expected = expected.iter().map(ToString::to_string).collect();
            assert_eq!(addresses(field, annotations), Ok(expected), "{field:?} {annotations:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_where_and_what_to_write() {
        for (field, annotations, words) in [
            (
                Some("db.example.com"),
                &[][..],
                "spec.loadBalancerIP has \"db.example.com\", which is not an IP address; write one such as 198.51.100.7",
            ),
            (
                None,
                &[("metallb.io/loadBalancerIPs", "198.51.100.7,")],
                "annotation metallb.io/loadBalancerIPs has \"\", which is not an IP address; write one such as \
                 198.51.100.7",
            ),
            (
                None,
                &[("fairlead.dev/addresses", "198.51.100.7,198.51.100.8")],
                "annotation fairlead.dev/addresses has two IPv4 addresses; write one of each family at most",
            ),
            (
                Some("198.51.100.7"),
                &[("metallb.io/loadBalancerIPs", "198.51.100.8")],
                "spec.loadBalancerIP asks for 198.51.100.7, and annotation metallb.io/loadBalancerIPs for something \
                 else; remove one of them",
            ),
        ] {
            assert_eq!(addresses(field, annotations), Err(words.to_owned()));
        }
    }

    #[test]
    fn with_addresses_that_cannot_be_read_the_rest_counts() {
        let annotations = [("fairlead.dev/addresses", "198.51.100.7,x"), ("fairlead.dev/sharing-key", "web")];
        let load_balancer =
            LoadBalancer { annotations: annotations.into_iter().collect(), ..LoadBalancer::default() };
        let (wish, error) = Wish::read(&load_balancer);
        assert!(error.is_some() && wish.addresses.is_empty() && wish.sharing_key == "web");
    }

    #[test]
    fn pools_keys_and_consent_are_read() {
        let wish = read(
            None,
            &[
                ("metallb.io/address-pool", "public"),
                ("metallb.universe.tf/allow-shared-ip", "web"),
                ("fairlead.dev/share-with-namespaces", "bank, shop"),
            ],
        )
        .unwrap();
        assert_eq!(wish.pool.as_deref(), Some("public"));
        assert_eq!(wish.sharing_key, "web");
        for (namespace, covered) in [("shop", true), ("bank", true), ("mart", false)] {
            assert_eq!(wish.share_with.covers(&namespace.into()), covered, "{namespace}");
        }
        let anybody = read(None, &[("fairlead.dev/share-with-namespaces", "bank,*")]).unwrap();
        assert_eq!(anybody.share_with, Consent::Anybody);
        assert_eq!(
            read(None, &[("fairlead.dev/share-with-namespaces", " ,")]).unwrap().share_with,
            Consent::Nobody
        );
    }
}
