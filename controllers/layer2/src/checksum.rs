//! The checksum of the Internet protocols (RFC 1071).

use std::net::Ipv6Addr;

/// A sum that is not folded yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u32);

impl Sum {
    /// Of the pseudo-header of a packet in IPv6.
    pub(crate) fn of_ipv6(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, length: usize) -> Self {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Self::default()
            .add(&source.octets())
            .add(&destination.octets())
            .add(&length.to_be_bytes())
            .add(&[0, next_header])
    }

    /// Goes on with bytes, of which all but the last ones are an even number.
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        let mut sum = self.0;
        let mut pairs = bytes.chunks_exact(2);
        for pair in &mut pairs {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            sum += u32::from(u16::from_be_bytes([*last, 0]));
        }
        // Bytes are those of one frame, so that nothing overflows before it is folded.
        Self((sum & 0xffff) + (sum >> 16))
    }

    /// What goes into the field for the checksum. Zero if the bytes include a field that is right.
    pub(crate) fn finish(self) -> u16 {
        let folded = (self.0 & 0xffff) + (self.0 >> 16);
        #[expect(clippy::cast_possible_truncation, reason = "the carry is folded in")]
        let sum = ((folded & 0xffff) + (folded >> 16)) as u16;
        !sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let sum = Sum::default().add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
        assert_eq!(Sum::default().add(&[0x12]).finish(), !0x1200);
        assert_eq!(Sum::default().add(&vec![0xff; 65_000]).finish(), 0);
    }
}
