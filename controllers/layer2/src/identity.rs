//! Names on the wire: of nodes, of clusters, of whoever takes part.

use std::fmt;

use ring::digest::{SHA256, digest};

/// A node: the first 8 bytes of the SHA-256 of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub [u8; 8]);

/// The first 4 bytes of a [`NodeId`], in lists where they suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortId(pub [u8; 4]);

/// A cluster: the first 8 bytes of the SHA-256 of the UID of its Namespace kube-system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub [u8; 8]);

/// An object of the API, by its UID: a UUID, or else the first 16 bytes of the SHA-256 of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(pub [u8; 16]);

/// Who takes part in the election of one segment: an interface of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Participant {
    /// The node.
    pub node: NodeId,
    /// The index of its interface.
    pub link: u32,
}

impl NodeId {
    /// Of the node with this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(first_of_hash(name))
    }

    /// Its beginning.
    #[must_use]
    pub fn short(self) -> ShortId {
        let [a, b, c, d, ..] = self.0;
        ShortId([a, b, c, d])
    }
}

impl ClusterId {
    /// Of the cluster whose Namespace kube-system has this UID.
    #[must_use]
    pub fn of(uid: &str) -> Self {
        Self(first_of_hash(uid))
    }
}

impl From<&str> for ObjectId {
    /// Of the object with this UID, which is no UUID.
    fn from(uid: &str) -> Self {
        Self(first_of_hash(uid))
    }
}

fn first_of_hash<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let mut first = [0; LENGTH];
    first.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..LENGTH]);
    first
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(formatter, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_the_hash() {
        // printf abc | sha256sum
        assert_eq!(NodeId::of("abc").to_string(), "ba7816bf8f01cfea");
        assert_eq!(NodeId::of("abc").short(), ShortId([0xba, 0x78, 0x16, 0xbf]));
        assert_eq!(ClusterId::of("abc").0, NodeId::of("abc").0);
    }
}
