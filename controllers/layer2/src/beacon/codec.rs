//! A page as bytes.
//!
//! ```text
//!  0  magic "FLDB"      8  cluster           36  MAC address    46  period, ms
//!  4  version 1        16  node              42  uptime, s      48  page
//!  5  minor            24  interface index   44  weight         49  pages
//!  6  flags            28  seq                                  50  sections: type 1, length 2, value
//!  7  key id                                                   end  HMAC-SHA256, first 16 bytes
//! ```
//!
//! All numbers are big-endian. Sections of a type that is not known here are skipped, whatever the minor version: that is
//! how later versions add to a page.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::keys::{KeyRing, TAG_LENGTH};
use super::{Claim, Claims, Flags, Header, Offer, Page, Stale};
use crate::identity::{ClusterId, NodeId, Participant, ShortId};
use crate::link::Prefix;
use crate::mac::MacAddress;
use crate::wanted::{ClassId, Fitness};

/// How many bytes are before the first section.
pub const HEADER_LENGTH: usize = 50;

/// How many bytes a page without sections has.
pub const EMPTY_LENGTH: usize = HEADER_LENGTH + TAG_LENGTH;

/// How many bytes a section has before its value.
pub const SECTION_LENGTH: usize = 3;

/// How many rounds a page may say to be ignored.
pub const MOST_STALE: usize = 4;

/// How many pages a round may have.
pub const MOST_PAGES: u8 = 128;

/// What each page begins with.
pub const MAGIC: [u8; 4] = *b"FLDB";
const VERSION: u8 = 1;
const MINOR: u8 = 0;

const PROBING: u32 = 1 << 31;
const RELEASED: u32 = 1 << 30;

const FIT: u8 = 1;
const SOFT: u8 = 2;

/// What sections are for.
mod section {
    pub(super) const CLAIMS_V4: u8 = 1;
    pub(super) const CLAIMS_V6: u8 = 2;
    pub(super) const HEARD: u8 = 3;
    pub(super) const SOLICIT: u8 = 4;
    pub(super) const OFFERS_V4: u8 = 5;
    pub(super) const OFFERS_V6: u8 = 6;
    pub(super) const STALE: u8 = 7;
    pub(super) const CLASSES: u8 = 8;
    pub(super) const SUBNETS_V4: u8 = 9;
    pub(super) const SUBNETS_V6: u8 = 10;
}

/// Why bytes are no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Too short for a header and a tag, or longer than a frame.
    #[error("its length is not that of a page")]
    Length,
    /// Something else, perhaps another user of this EtherType.
    #[error("it does not begin as a page")]
    Magic,
    /// Of a version that is not known here.
    #[error("its version is not 1")]
    Version,
    /// A section ends after the page, or its value is not a whole number of entries.
    #[error("a section has a wrong length")]
    Section,
    /// Claims are not in the order of their addresses, or one comes twice.
    #[error("claims are not in order")]
    Order,
    /// A range ends before it begins, or a claim is outside of it.
    #[error("a claim is outside of the range of its section")]
    Range,
    /// The number of the page is not below their count, or the count is above 128.
    #[error("the number of the page is outside of the round")]
    PageNumber,
    /// Two sections state the claims of a family.
    #[error("two sections state the claims of one family")]
    Repeated,
}

/// What has to be known of a frame before its tag is verified, and the bytes that this is about.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The cluster that the frame is for.
    pub cluster: ClusterId,
    /// The name of the key.
    pub key: u8,
    /// The first part of the page.
    pub header: Header,
    /// What the tag is about.
    message: &'a [u8],
    tag: [u8; TAG_LENGTH],
}

impl<'a> Envelope<'a> {
    /// Reads all but the sections.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (message, tag) = bytes.split_last_chunk::<TAG_LENGTH>().ok_or(Malformed::Length)?;
        if message.len() < HEADER_LENGTH || bytes.len() > crate::ethernet::MOST_PAYLOAD {
            return Err(Malformed::Length);
        }
        let mut reader = Reader(message);
        if reader.take()? != MAGIC {
            return Err(Malformed::Magic);
        }
        let [version, _minor, flags, key] = reader.take()?;
        if version != VERSION {
            return Err(Malformed::Version);
        }
        let cluster = ClusterId(reader.take()?);
        let from = Participant { node: NodeId(reader.take()?), link: u32::from_be_bytes(reader.take()?) };
        let header = Header {
            from,
            flags: Flags::from_octet(flags),
            seq: u64::from_be_bytes(reader.take()?),
            mac: MacAddress(reader.take()?),
            uptime: u16::from_be_bytes(reader.take()?),
            weight: u16::from_be_bytes(reader.take()?),
            period: u16::from_be_bytes(reader.take()?),
            page: reader.octet()?,
            pages: reader.octet()?,
        };
        Ok(Self { cluster, key, header, message, tag: *tag })
    }

    /// Whether one of the keys made the tag.
    #[must_use]
    pub fn is_authentic(&self, keys: &KeyRing) -> bool {
        keys.verify(self.key, self.message, &self.tag)
    }

    /// Reads the sections, which is worth while only once the frame is known to be authentic.
    pub fn open(&self) -> Result<Page, Malformed> {
        if self.header.page >= self.header.pages || self.header.pages > MOST_PAGES {
            return Err(Malformed::PageNumber);
        }
        let mut page = Page {
            header: self.header,
            ipv4: None,
            ipv6: None,
            offers: Vec::new(),
            heard: Vec::new(),
            solicit: Vec::new(),
            stale: Vec::new(),
            classes: Vec::new(),
            subnets: None,
        };
        let mut reader = Reader(self.message.get(HEADER_LENGTH..).ok_or(Malformed::Length)?);
        while !reader.0.is_empty() {
            let kind = reader.octet()?;
            let length = usize::from(u16::from_be_bytes(reader.take()?));
            let value = reader.slice(length)?;
            match kind {
                section::CLAIMS_V4 => state(&mut page.ipv4, claims(value, ipv4)?)?,
                section::CLAIMS_V6 => state(&mut page.ipv6, claims(value, ipv6)?)?,
                section::HEARD => page.heard.extend(entries(value, short)?),
                section::SOLICIT => page.solicit.extend(entries(value, short)?),
                section::OFFERS_V4 => page.offers.extend(entries(value, |from| offer(ipv4(from)?, from))?),
                section::OFFERS_V6 => page.offers.extend(entries(value, |from| offer(ipv6(from)?, from))?),
                section::STALE => page.stale.extend(entries(value, stale)?),
                section::CLASSES => page.classes.extend(entries(value, class)?),
                section::SUBNETS_V4 => {
                    let subnets = entries(value, |from| subnet(ipv4(from)?, from))?;
                    page.subnets.get_or_insert_default().extend(subnets);
                }
                section::SUBNETS_V6 => {
                    let subnets = entries(value, |from| subnet(ipv6(from)?, from))?;
                    page.subnets.get_or_insert_default().extend(subnets);
                }
                _ => {}
            }
        }
        if page.stale.len() > MOST_STALE {
            return Err(Malformed::Section);
        }
        Ok(page)
    }
}

/// Appends a page to a frame.
///
/// Entries are left out that the page has no place for: addresses in the section of the other family, and of ignored
/// rounds all but the first four.
pub fn encode(page: &Page, cluster: ClusterId, keys: &KeyRing, frame: &mut Vec<u8>) {
    let start = frame.len();
    let header = &page.header;
    frame.extend(MAGIC);
    frame.extend([VERSION, MINOR, header.flags.to_octet(), keys.sending_id()]);
    frame.extend(cluster.0);
    frame.extend(header.from.node.0);
    frame.extend(header.from.link.to_be_bytes());
    frame.extend(header.seq.to_be_bytes());
    frame.extend(header.mac.0);
    frame.extend(header.uptime.to_be_bytes());
    frame.extend(header.weight.to_be_bytes());
    frame.extend(header.period.to_be_bytes());
    frame.extend([header.page, header.pages]);

    if let Some(claims) = &page.ipv4 {
        section(frame, section::CLAIMS_V4, |value| write_claims(claims, value, write_ipv4));
    }
    if let Some(claims) = &page.ipv6 {
        section(frame, section::CLAIMS_V6, |value| write_claims(claims, value, write_ipv6));
    }
    if !page.heard.is_empty() {
        section(frame, section::HEARD, |value| page.heard.iter().for_each(|short| value.extend(short.0)));
    }
    if !page.solicit.is_empty() {
        section(frame, section::SOLICIT, |value| page.solicit.iter().for_each(|short| value.extend(short.0)));
    }
    write_offers(&page.offers, frame);
    if !page.stale.is_empty() {
        section(frame, section::STALE, |value| {
            for stale in page.stale.iter().take(MOST_STALE) {
                value.extend(stale.node.0);
                value.extend(stale.seq.to_be_bytes());
            }
        });
    }
    if !page.classes.is_empty() {
        section(frame, section::CLASSES, |value| {
            for (class, fitness) in &page.classes {
                let (preference, flags) = match fitness {
                    Fitness::Unfit => (0, 0),
                    Fitness::Fit { soft, preference } => (*preference, if *soft { FIT | SOFT } else { FIT }),
                };
                value.extend(class.0.to_be_bytes());
                value.extend(preference.to_be_bytes());
                value.push(flags);
            }
        });
    }
    if let Some(subnets) = &page.subnets {
        // That there is none is said by the first of the two.
        section(frame, section::SUBNETS_V4, |value| write_subnets(subnets, value, write_ipv4));
        if subnets.iter().any(|subnet| subnet.address.is_ipv6()) {
            section(frame, section::SUBNETS_V6, |value| write_subnets(subnets, value, write_ipv6));
        }
    }
    let tag = keys.tag(&frame[start..]);
    frame.extend(tag);
}

/// How many bytes [`encode`] makes of a page.
#[must_use]
pub fn encoded_length(page: &Page) -> usize {
    let section = |entries: usize, each: usize, before: usize| {
        if entries == 0 && before == 0 { 0 } else { SECTION_LENGTH + before + entries * each }
    };
    let claims = |claims: &Option<Claims>, address: usize| {
        claims.as_ref().map_or(0, |claims| section(claims.claims.len(), address + 4, 2 * address))
    };
    let offers_v4 = page.offers.iter().filter(|offer| offer.address.is_ipv4()).count();
    EMPTY_LENGTH
        + claims(&page.ipv4, 4)
        + claims(&page.ipv6, 16)
        + section(page.heard.len(), 4, 0)
        + section(page.solicit.len(), 4, 0)
        + section(offers_v4, 8, 0)
        + section(page.offers.len() - offers_v4, 20, 0)
        + section(page.stale.len().min(MOST_STALE), 16, 0)
        + section(page.classes.len(), 7, 0)
        + page.subnets.as_deref().map_or(0, subnets_length)
}

/// How many bytes the statement of these subnets has.
pub(super) fn subnets_length(subnets: &[Prefix]) -> usize {
    let ipv6 = subnets.iter().filter(|subnet| subnet.address.is_ipv6()).count();
    let ipv4 = subnets.len() - ipv6;
    SECTION_LENGTH + 5 * ipv4 + if ipv6 == 0 { 0 } else { SECTION_LENGTH + 17 * ipv6 }
}

fn section(frame: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    frame.extend([kind, 0, 0]);
    let start = frame.len();
    write(frame);
    let length = u16::try_from(frame.len() - start).unwrap_or(u16::MAX);
    frame[start - 2..start].copy_from_slice(&length.to_be_bytes());
}

fn write_claims(claims: &Claims, value: &mut Vec<u8>, write: fn(IpAddr, &mut Vec<u8>) -> bool) {
    if !(write(claims.low, value) && write(claims.high, value)) {
        return;
    }
    for claim in &claims.claims {
        if write(claim.address, value) {
            let probing = if claim.probing { PROBING } else { 0 };
            let released = if claim.released { RELEASED } else { 0 };
            value.extend((claim.epoch.min(Claim::MAX_EPOCH) | probing | released).to_be_bytes());
        }
    }
}

fn write_offers(offers: &[Offer], frame: &mut Vec<u8>) {
    for (kind, is_family, write) in [
        (
            section::OFFERS_V4,
            IpAddr::is_ipv4 as fn(&IpAddr) -> bool,
            write_ipv4 as fn(_, &mut Vec<u8>) -> bool,
        ),
        (section::OFFERS_V6, IpAddr::is_ipv6, write_ipv6),
    ] {
        let mut offers = offers.iter().filter(|offer| is_family(&offer.address)).peekable();
        if offers.peek().is_some() {
            section(frame, kind, |value| {
                for offer in offers {
                    write(offer.address, value);
                    value.extend(offer.to.0);
                }
            });
        }
    }
}

fn write_subnets(subnets: &[Prefix], value: &mut Vec<u8>, write: fn(IpAddr, &mut Vec<u8>) -> bool) {
    for subnet in subnets {
        if write(subnet.address, value) {
            value.push(subnet.length);
        }
    }
}

fn write_ipv4(address: IpAddr, value: &mut Vec<u8>) -> bool {
    let IpAddr::V4(address) = address else { return false };
    value.extend(address.octets());
    true
}

fn write_ipv6(address: IpAddr, value: &mut Vec<u8>) -> bool {
    let IpAddr::V6(address) = address else { return false };
    value.extend(address.octets());
    true
}

fn state(place: &mut Option<Claims>, claims: Claims) -> Result<(), Malformed> {
    if place.replace(claims).is_some() { Err(Malformed::Repeated) } else { Ok(()) }
}

fn claims(
    value: &[u8],
    address: fn(&mut Reader<'_>) -> Result<IpAddr, Malformed>,
) -> Result<Claims, Malformed> {
    let mut reader = Reader(value);
    let (low, high) = (address(&mut reader)?, address(&mut reader)?);
    if low > high {
        return Err(Malformed::Range);
    }
    let claims = entries(reader.0, |from| {
        let address = address(from)?;
        let word = u32::from_be_bytes(from.take()?);
        Ok(Claim {
            address,
            epoch: word & Claim::MAX_EPOCH,
            probing: word & PROBING != 0,
            released: word & RELEASED != 0,
        })
    })?;
    if !claims.is_sorted_by(|one, next| one.address < next.address) {
        return Err(Malformed::Order);
    }
    let inside = |claim: Option<&Claim>| claim.is_none_or(|claim| (low..=high).contains(&claim.address));
    if !(inside(claims.first()) && inside(claims.last())) {
        return Err(Malformed::Range);
    }
    Ok(Claims { low, high, claims })
}

fn entries<T>(
    value: &[u8],
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut reader = Reader(value);
    let mut entries = Vec::new();
    while !reader.0.is_empty() {
        entries.push(read(&mut reader)?);
    }
    Ok(entries)
}

fn ipv4(from: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    Ok(Ipv4Addr::from(from.take::<4>()?).into())
}

fn ipv6(from: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    Ok(Ipv6Addr::from(from.take::<16>()?).into())
}

fn short(from: &mut Reader<'_>) -> Result<ShortId, Malformed> {
    from.take().map(ShortId)
}

fn offer(address: IpAddr, from: &mut Reader<'_>) -> Result<Offer, Malformed> {
    Ok(Offer { address, to: short(from)? })
}

fn stale(from: &mut Reader<'_>) -> Result<Stale, Malformed> {
    Ok(Stale { node: NodeId(from.take()?), seq: u64::from_be_bytes(from.take()?) })
}

fn subnet(address: IpAddr, from: &mut Reader<'_>) -> Result<Prefix, Malformed> {
    Ok(Prefix { address, length: from.octet()? })
}

fn class(from: &mut Reader<'_>) -> Result<(ClassId, Fitness), Malformed> {
    let class = ClassId(u32::from_be_bytes(from.take()?));
    let preference = u16::from_be_bytes(from.take()?);
    let flags = from.octet()?;
    let fitness =
        if flags & FIT == 0 { Fitness::Unfit } else { Fitness::Fit { soft: flags & SOFT != 0, preference } };
    Ok((class, fitness))
}

/// The bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Section)?;
        self.0 = rest;
        Ok(taken)
    }

    fn take<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Section)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        self.take::<1>().map(|[octet]| octet)
    }
}

impl Flags {
    fn to_octet(self) -> u8 {
        let bits = [
            self.listening,
            self.draining,
            self.minority,
            self.solicit_all,
            self.not_candidate,
            self.goodbye,
        ];
        bits.into_iter().enumerate().fold(0, |octet, (at, bit)| octet | u8::from(bit) << at)
    }

    fn from_octet(octet: u8) -> Self {
        let bit = |at: u8| octet & 1 << at != 0;
        Self {
            listening: bit(0),
            draining: bit(1),
            minority: bit(2),
            solicit_all: bit(3),
            not_candidate: bit(4),
            goodbye: bit(5),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
