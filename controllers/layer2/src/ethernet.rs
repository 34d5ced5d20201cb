//! Frames of Ethernet (IEEE 802.3), without tags and checksum.

use crate::mac::MacAddress;

/// How many bytes are before the payload.
pub const HEADER_LENGTH: usize = 14;

/// The largest payload that every Ethernet carries.
pub const MOST_PAYLOAD: usize = 1500;

/// What a payload is.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// Address resolution for IPv4.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// Beacons: what IEEE 802 sets aside for local experiments, whose payload has to say what it is.
    pub const BEACON: u16 = 0x88b5;
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whom it is for.
    pub destination: MacAddress,
    /// Who sent it, or passed it on.
    pub source: MacAddress,
    /// What the payload is.
    pub ether_type: u16,
    /// The payload, and perhaps octets that fill the frame up to the least length.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame; none if it is too short.
    ///
    /// A frame with a VLAN tag has the EtherType of the tag, so that nobody takes it for something else: it is of another
    /// segment.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (destination, rest) = bytes.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (ether_type, payload) = rest.split_first_chunk()?;
        Some(Self {
            destination: MacAddress(*destination),
            source: MacAddress(*source),
            ether_type: u16::from_be_bytes(*ether_type),
            payload,
        })
    }
}

/// Begins a frame.
pub fn write_header(destination: MacAddress, source: MacAddress, ether_type: u16, frame: &mut Vec<u8>) {
    frame.extend(destination.0);
    frame.extend(source.0);
    frame.extend(ether_type.to_be_bytes());
}
