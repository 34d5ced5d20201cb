//! The hash by which kube-controller-manager sorts ports and subsets.
//!
//! FNV-1a with 128 bits over a textual dump of the Go value: the type in parentheses, then the fields with their types;
//! elements of lists have none, and a list without elements is `<nil>`. Two implementations that sort alike need not
//! rewrite each other's objects.

use std::fmt::{self, Write};

use fairlead_objects::{
    EndpointAddress, EndpointIp, EndpointPort, EndpointSubset, Istr, ObjectRef, PortSet, Protocol, TargetRef,
};

/// The ports in the order in which kube-controller-manager writes them to Endpoints: by hash.
#[must_use]
pub fn ports_in_order(ports: &PortSet) -> Vec<&EndpointPort> {
    let mut ports: Vec<&EndpointPort> = ports.iter().collect();
    if ports.len() > 1 {
        ports.sort_by_cached_key(|port| digest(|dump| dump.typed_port(port)));
    }
    ports
}

/// Sorts subsets by hash.
pub(super) fn sort_subsets(subsets: &mut [EndpointSubset], namespace: &str) {
    if subsets.len() > 1 {
        subsets.sort_by_cached_key(|subset| digest(|dump| dump.subset(subset, namespace)));
    }
}

/// The hash of what is dumped. It sorts as its 16 bytes, of which the first counts most.
fn digest(dump: impl FnOnce(&mut Fnv) -> fmt::Result) -> u128 {
    let mut hash = Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    // Writing to the hash cannot fail.
    let _: fmt::Result = dump(&mut hash);
    hash.0
}

struct Fnv(u128);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 ^= u128::from(byte);
            // The prime is 2^88 + 0x13b.
            self.0 = (self.0 << 88).wrapping_add(self.0.wrapping_mul(0x13b));
        }
        Ok(())
    }
}

impl Fnv {
    fn typed_port(&mut self, port: &EndpointPort) -> fmt::Result {
        self.write_str("(v1.EndpointPort)")?;
        self.port(port)
    }

    fn port(&mut self, port: &EndpointPort) -> fmt::Result {
        let name = port.name.as_deref().unwrap_or_default();
        let protocol = port.protocol.map_or("", Protocol::as_str);
        let number = port.port.unwrap_or_default();
        write!(
            self,
            "{{Name:(string){name} Port:(int32){number} Protocol:(v1.Protocol){protocol} AppProtocol:(*string)"
        )?;
        self.optional(port.app_protocol.as_ref())?;
        self.write_str("}")
    }

    fn optional(&mut self, text: Option<&Istr>) -> fmt::Result {
        self.write_str(text.map_or("<nil>", Istr::as_str))
    }

    fn list<T>(&mut self, list: &[T], mut dump: impl FnMut(&mut Self, &T) -> fmt::Result) -> fmt::Result {
        if list.is_empty() {
            return self.write_str("<nil>");
        }
        for (at, element) in list.iter().enumerate() {
            self.write_str(if at == 0 { "[" } else { " " })?;
            dump(self, element)?;
        }
        self.write_str("]")
    }

    fn subset(&mut self, subset: &EndpointSubset, namespace: &str) -> fmt::Result {
        self.write_str("(v1.EndpointSubset){Addresses:([]v1.EndpointAddress)")?;
        self.list(&subset.addresses, |dump, it| dump.address(it, namespace))?;
        self.write_str(" NotReadyAddresses:([]v1.EndpointAddress)")?;
        self.list(&subset.not_ready, |dump, it| dump.address(it, namespace))?;
        self.write_str(" Ports:([]v1.EndpointPort)")?;
        self.list(&ports_in_order(&subset.ports), |dump, port| dump.port(port))?;
        self.write_str("}")
    }

    fn address(&mut self, address: &EndpointAddress, namespace: &str) -> fmt::Result {
        match &address.ip {
            EndpointIp::Canonical(ip) => write!(self, "{{IP:(string){ip}")?,
            EndpointIp::Text(text) => write!(self, "{{IP:(string){text}")?,
        }
        let hostname = address.hostname.as_deref().unwrap_or_default();
        write!(self, " Hostname:(string){hostname} NodeName:(*string)")?;
        self.optional(address.node.as_ref())?;
        self.write_str(" TargetRef:(*v1.ObjectReference)")?;
        self.target(address.target.as_ref(), namespace)?;
        self.write_str("}")
    }

    fn target(&mut self, target: Option<&TargetRef>, namespace: &str) -> fmt::Result {
        match target {
            None => self.write_str("<nil>"),
            Some(TargetRef::Pod { name, uid }) => write!(
                self,
                "{{Kind:(string)Pod Namespace:(string){namespace} Name:(string){name} UID:(types.UID){uid} \
                 APIVersion:(string) ResourceVersion:(string) FieldPath:(string)}}"
            ),
            Some(TargetRef::Other(reference)) => self.reference(reference),
        }
    }

    fn reference(&mut self, reference: &ObjectRef) -> fmt::Result {
        let text = |field: &Option<Istr>| field.clone().unwrap_or_default();
        let (kind, namespace) = (text(&reference.kind), text(&reference.namespace));
        let (name, api_version) = (text(&reference.name), text(&reference.api_version));
        let (version, path) = (text(&reference.resource_version), text(&reference.field_path));
        let uid = reference.uid.clone().unwrap_or_default();
        write!(
            self,
            "{{Kind:(string){kind} Namespace:(string){namespace} Name:(string){name} UID:(types.UID){uid} \
             APIVersion:(string){api_version} ResourceVersion:(string){version} FieldPath:(string){path}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, number: i32, protocol: Protocol) -> EndpointPort {
        EndpointPort {
            name: Some(name.into()),
            port: Some(number),
            protocol: Some(protocol),
            app_protocol: None,
        }
    }

    #[test]
    fn hashes_are_those_of_kube_controller_manager() {
        use Protocol::{Tcp, Udp};
        for (port, hash) in [
            (port("", 8080, Udp), "59aa40b466adb81c6e00232f1f0ba361"),
            (port("", 8080, Tcp), "b09ff368df0fc81442c7b7a3ab2dbca5"),
            (port("port0", 8080, Tcp), "862194fe8857a76cf7d019569a3274e8"),
            (port("port1", 8088, Tcp), "78f99ce39195061215b01ce0b96f98b5"),
            (port("http", 80, Tcp), "754b003f50f133a539c60d18cfb30a55"),
            (port("https", 443, Tcp), "a1d3cd184f85589179025a8360efcc75"),
        ] {
            assert_eq!(format!("{:032x}", digest(|dump| dump.typed_port(&port))), hash, "{port:?}");
        }
    }

    #[test]
    fn ports_are_in_the_order_of_their_hashes() {
        let set: PortSet =
            [port("", 8080, Protocol::Tcp), port("", 8080, Protocol::Udp)].into_iter().collect();
        let protocols: Vec<_> = ports_in_order(&set).iter().map(|port| port.protocol).collect();
        assert_eq!(protocols, [Some(Protocol::Udp), Some(Protocol::Tcp)]);
    }
}
