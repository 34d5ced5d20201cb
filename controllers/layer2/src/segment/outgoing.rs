//! Frames that are to be sent.

use crate::ndp;

/// A frame that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    bytes: Bytes,
    kind: OutgoingKind,
}

/// What a frame is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutgoingKind {
    /// A beacon of ours. [`super::Segment::sent`] is about these.
    Beacon,
    /// A beacon of another node, passed on.
    Relay,
    /// A gratuitous announcement.
    Announcement,
    /// A question for other users of an address, or for anybody at all.
    Question,
    /// An answer to a request.
    Reply,
}

/// Short frames, of which there are many, need no memory of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bytes {
    Short { length: usize, bytes: [u8; ndp::FRAME_LENGTH] },
    Long(Vec<u8>),
}

impl Outgoing {
    pub(super) fn new(kind: OutgoingKind, frame: Vec<u8>) -> Self {
        Self { bytes: Bytes::Long(frame), kind }
    }

    pub(super) fn short<const LENGTH: usize>(kind: OutgoingKind, frame: &[u8; LENGTH]) -> Self {
        const { assert!(LENGTH <= ndp::FRAME_LENGTH) };
        let mut bytes = [0; ndp::FRAME_LENGTH];
        bytes[..LENGTH].copy_from_slice(frame);
        Self { bytes: Bytes::Short { length: LENGTH, bytes }, kind }
    }

    /// All of the frame, from the destination's MAC address on.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Short { length, bytes } => &bytes[..*length],
            Bytes::Long(bytes) => bytes,
        }
    }

    /// What it is sent for.
    #[must_use]
    pub fn kind(&self) -> OutgoingKind {
        self.kind
    }
}
