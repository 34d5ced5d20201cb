//! Addresses and parts of pools.
//!
//! Rules that follow the one about syntax hold for everything that is none, so that one mistake is answered once.

use schemars::{Schema, SchemaGenerator};

use super::rule::{Rule, ruled};
use super::{LIST, list, set, text};

/// Two IPv6 addresses, a dash, and blanks around it.
const PART: u32 = 83;
/// An IPv6 address.
const ADDRESS: u32 = 39;

// Fragments of CEL. Everything is a `substring` of `self`, because the API server estimates what a rule costs, and knows
// that a substring is no longer than the text, but not how long an item is that `split` gives.
const FIRST: &str = "self.substring(0, self.indexOf('-')).trim()";
const LAST: &str = "self.substring(self.indexOf('-') + 1).trim()";

/// Whether it is a range from one address to another.
fn is_range() -> String {
    format!("(self.contains('-') && isIP({FIRST}) && isIP({LAST}))")
}

/// The canonical text of an address or CIDR. The API server knows no bound for what `string` gives, and would refuse to
/// put it into a message; for items of lists that are joined to parts of `self`, here none, it takes the bound of `self`.
fn canonical(value: &str) -> String {
    format!("([string({value})] + self.split('', 0))[0]")
}

/// Parts of which a pool takes addresses.
pub(crate) fn address_parts(_: &mut SchemaGenerator) -> Schema {
    let is_range = is_range();
    let unicast = |address: &str| format!("({address}.isGlobalUnicast() || {address}.isLinkLocalUnicast())");
    let message = "begins or ends with a loopback, multicast, broadcast or unspecified address: write unicast addresses";
    let usable = Rule::new(
        format!(
            "isCIDR(self) ? {} : !{is_range} || ({} && {})",
            unicast("cidr(self).ip()"),
            unicast(&format!("ip({FIRST})")),
            unicast(&format!("ip({LAST})")),
        ),
        message,
    );
    let [syntax, host_bits, spelling, families, order] = part_rules();
    let usable = usable.naming(format!("self + ' {message}'"));
    let part = ruled(text(PART), [syntax, host_bits, spelling, families, order, usable]);
    let some = Rule::new("size(self) > 0", "a pool without addresses: write at least one CIDR or range");
    ruled(list(part, LIST), [some, once()])
}

/// Parts that a pool leaves out.
pub(crate) fn excluded_parts(_: &mut SchemaGenerator) -> Schema {
    ruled(list(ruled(text(PART), part_rules()), LIST), [once()])
}

/// In a list of parts or addresses, each is once; blanks make no difference.
fn once() -> Rule {
    let bare = "self.map(part, part.replace(' ', ''))";
    let once = "parts.all(part, parts.indexOf(part) == parts.lastIndexOf(part))";
    let twice = "parts.filter(part, parts.indexOf(part) != parts.lastIndexOf(part))[0]";
    Rule::new(format!("[{bare}].all(parts, {once})"), "something is there more than once: write it once")
        .naming(format!("[{bare}].map(parts, {twice})[0] + ' is there more than once: write it once'"))
}

fn part_rules() -> [Rule; 5] {
    let is_range = is_range();
    let syntax = Rule::new(
        format!("isCIDR(self) || {is_range}"),
        "write a CIDR, such as 198.51.100.0/24 or 2001:db8::/64, or a range, such as 198.51.100.10-198.51.100.20",
    )
    .naming(
        "isIP(self.trim()) \
         ? self + ' is a single address: write ' + self.trim() + (ip(self.trim()).family() == 4 ? '/32' : '/128') \
         : isCIDR(self.trim()) ? 'there are blanks around ' + self.trim() + ': write ' + self.trim() \
         : self.matches('(^|-) *(0{1,4}|:)*:[fF]{4}:') \
         ? self + ' has an IPv4-mapped address: write the IPv4 address' \
         : !self.contains(':') && self.matches('(^|[-. /])0[0-9]') \
         ? self + ' has numbers with leading zeros: write them without' \
         : (self == '' ? 'an empty text' : self) + ' is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, \
         or 198.51.100.10-198.51.100.20'",
    );
    let host_bits = Rule::new(
        "!isCIDR(self) || cidr(self) == cidr(self).masked()",
        "has host bits set: write the network, or a range",
    )
    .naming(format!(
        "self + ' has host bits set: write ' + {} + ', or a range'",
        canonical("cidr(self).masked()")
    ));
    let spelling = Rule::new(
        format!(
            "isCIDR(self) ? !(cidr(self) == cidr(self).masked()) || string(cidr(self)) == self \
             : !{is_range} || (ip.isCanonical({FIRST}) && ip.isCanonical({LAST}))"
        ),
        "is not written as RFC 5952 says: write lower case, without leading zeros, with :: for the longest row of zeros",
    )
    .naming(format!(
        "self + ' is not in canonical form: write ' + (isCIDR(self) ? {} : {} + '-' + {})",
        canonical("cidr(self)"),
        canonical(&format!("ip({FIRST})")),
        canonical(&format!("ip({LAST})")),
    ));
    let families = Rule::new(
        format!("isCIDR(self) || !{is_range} || ip({FIRST}).family() == ip({LAST}).family()"),
        "goes from one family to the other: write one range for IPv4 and one for IPv6",
    )
    .naming("self + ' goes from one family to the other: write one range for IPv4 and one for IPv6'");
    let order = Rule::new(
        format!(
            "isCIDR(self) || self.contains(':') || !{is_range} || \
             [{FIRST}, {LAST}].map(end, end.split('.', 4).map(octet, int(octet)))\
             .map(octets, ((octets[0] * 256 + octets[1]) * 256 + octets[2]) * 256 + octets[3]).isSorted()"
        ),
        "is a range that ends before it begins: write the lower address first",
    )
    .naming(format!("self + ' ends before it begins: write ' + {LAST} + '-' + {FIRST}"));
    [syntax, host_bits, spelling, families, order]
}

fn address_rule() -> Rule {
    Rule::new(
        "isIP(self) && ip.isCanonical(self)",
        "write an IPv4 address, such as 198.51.100.7, or an IPv6 address in canonical form, such as 2001:db8::7",
    )
    .naming(format!(
        "isIP(self) ? self + ' is not in canonical form: write ' + {} \
         : self.matches('^(0{{1,4}}|:)*:[fF]{{4}}:') ? self + ' is an IPv4-mapped address: write the IPv4 address' \
         : self + ' is not an address: write one such as 198.51.100.7 or 2001:db8::7'",
        canonical("ip(self)"),
    ))
}

/// The address of a `LoadBalancerAddress`.
pub(crate) fn fixed_address(_: &mut SchemaGenerator) -> Schema {
    let fixed = Rule::new(
        "self == oldSelf",
        "the address cannot be changed: delete this LoadBalancerAddress and create another one",
    );
    ruled(text(ADDRESS), [address_rule(), fixed])
}

/// CEL on a whole `LoadBalancerAddress`: its name is [`address_name`](crate::address::address_name) of what is an address.
pub(crate) fn name_is_address() -> kube_core::Rule {
    let is_address = "isIP(self.spec.address) && ip.isCanonical(self.spec.address)";
    let name = "(self.spec.address.startsWith(':') ? '0' : '') + self.spec.address.replace(':', '-') \
                + (self.spec.address.endsWith(':') ? '0' : '')";
    let message = format!("'the name must be the address: write metadata.name ' + {name}");
    kube_core::Rule::new(format!("!({is_address}) || self.metadata.name == {name}"))
        .message(kube_core::Message::Expression(message))
        .field_path(".spec.address")
}

/// The addresses of a reservation.
pub(crate) fn reserved_addresses(_: &mut SchemaGenerator) -> Schema {
    ruled(list(ruled(text(ADDRESS), [address_rule()]), 32), [once()])
}

/// The addresses of a status.
pub(crate) fn kept_addresses(_: &mut SchemaGenerator) -> Schema {
    set(text(ADDRESS), 32)
}
