//! Manifests with a mistake, and what the API server answers.

/// A manifest that is refused.
pub(crate) struct Bad {
    pub(crate) kind: &'static str,
    /// Its spec, in JSON.
    pub(crate) spec: &'static str,
    /// The field that the answer is about.
    pub(crate) at: &'static str,
    /// What the answer says about it.
    pub(crate) says: &'static str,
}

const fn bad(kind: &'static str, spec: &'static str, at: &'static str, says: &'static str) -> Bad {
    Bad { kind, spec, at, says }
}

const POOL: &str = "LoadBalancerPool";
const ANNOUNCEMENT: &str = "Layer2Announcement";
const ADDRESS: &str = "LoadBalancerAddress";
const RESERVATION: &str = "ServiceReservation";

pub(crate) const BAD: &[Bad] = &[
    // Syntax.
    bad(
        POOL,
        r#"{"addresses":["198.51.100.7"]}"#,
        "spec.addresses[0]",
        "198.51.100.7 is a single address: write 198.51.100.7/32",
    ),
    bad(
        POOL,
        r#"{"addresses":["2001:db8::7"]}"#,
        "spec.addresses[0]",
        "2001:db8::7 is a single address: write 2001:db8::7/128",
    ),
    bad(
        POOL,
        r#"{"addresses":["public"]}"#,
        "spec.addresses[0]",
        "public is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.10-20"]}"#,
        "spec.addresses[0]",
        "198.51.100.10-20 is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.1-198.51.100.2-198.51.100.3"]}"#,
        "spec.addresses[0]",
        "198.51.100.1-198.51.100.2-198.51.100.3 is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.1,198.51.100.2"]}"#,
        "spec.addresses[0]",
        "198.51.100.1,198.51.100.2 is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/33"]}"#,
        "spec.addresses[0]",
        "198.51.100.0/33 is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/255.255.255.0"]}"#,
        "spec.addresses[0]",
        "198.51.100.0/255.255.255.0 is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.1-198.51.100.256"]}"#,
        "spec.addresses[0]",
        "198.51.100.1-198.51.100.256 is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.1-"]}"#,
        "spec.addresses[0]",
        "198.51.100.1- is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["fe80::1%eth0-fe80::9%eth0"]}"#,
        "spec.addresses[0]",
        "fe80::1%eth0-fe80::9%eth0 is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":[""]}"#,
        "spec.addresses[0]",
        "an empty text is neither a CIDR nor a range: write one such as 198.51.100.0/24 or 2001:db8::/64, or 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":[" 198.51.100.0/24"]}"#,
        "spec.addresses[0]",
        "there are blanks around 198.51.100.0/24: write 198.51.100.0/24",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.010-198.51.100.020"]}"#,
        "spec.addresses[0]",
        "198.51.100.010-198.51.100.020 has numbers with leading zeros: write them without",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/024"]}"#,
        "spec.addresses[0]",
        "198.51.100.0/024 has numbers with leading zeros: write them without",
    ),
    bad(
        POOL,
        r#"{"addresses":["::ffff:198.51.100.0/120"]}"#,
        "spec.addresses[0]",
        "::ffff:198.51.100.0/120 has an IPv4-mapped address: write the IPv4 address",
    ),
    bad(
        POOL,
        r#"{"addresses":["::FFFF:c633:6401-::ffff:c633:6409"]}"#,
        "spec.addresses[0]",
        "::FFFF:c633:6401-::ffff:c633:6409 has an IPv4-mapped address: write the IPv4 address",
    ),
    bad(
        POOL,
        r#"{"addresses":["2001:db8::1                                                              -2001:db8::9"]}"#,
        "spec.addresses[0]",
        "may not be more than 83",
    ),
    // Families, host bits, order.
    bad(
        POOL,
        r#"{"addresses":["198.51.100.10-2001:db8::1"]}"#,
        "spec.addresses[0]",
        "198.51.100.10-2001:db8::1 goes from one family to the other: write one range for IPv4 and one for IPv6",
    ),
    bad(
        POOL,
        r#"{"addresses":["2001:db8::1 - 198.51.100.10"]}"#,
        "spec.addresses[0]",
        "2001:db8::1 - 198.51.100.10 goes from one family to the other: write one range for IPv4 and one for IPv6",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.7/24"]}"#,
        "spec.addresses[0]",
        "198.51.100.7/24 has host bits set: write 198.51.100.0/24, or a range",
    ),
    bad(
        POOL,
        r#"{"addresses":["2001:db8::7/64"]}"#,
        "spec.addresses[0]",
        "2001:db8::7/64 has host bits set: write 2001:db8::/64, or a range",
    ),
    bad(
        POOL,
        r#"{"addresses":["2001:DB8::7/64"]}"#,
        "spec.addresses[0]",
        "2001:DB8::7/64 has host bits set: write 2001:db8::/64, or a range",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.20-198.51.100.10"]}"#,
        "spec.addresses[0]",
        "198.51.100.20-198.51.100.10 ends before it begins: write 198.51.100.10-198.51.100.20",
    ),
    bad(
        POOL,
        r#"{"addresses":["10.0.0.1 - 9.255.255.255"]}"#,
        "spec.addresses[0]",
        "10.0.0.1 - 9.255.255.255 ends before it begins: write 9.255.255.255-10.0.0.1",
    ),
    // Spelling.
    bad(
        POOL,
        r#"{"addresses":["2001:DB8::/64"]}"#,
        "spec.addresses[0]",
        "2001:DB8::/64 is not in canonical form: write 2001:db8::/64",
    ),
    bad(
        POOL,
        r#"{"addresses":["2001:db8:0:0::/64"]}"#,
        "spec.addresses[0]",
        "2001:db8:0:0::/64 is not in canonical form: write 2001:db8::/64",
    ),
    bad(
        POOL,
        r#"{"addresses":["2001:db8::0001-2001:db8:0::9"]}"#,
        "spec.addresses[0]",
        "2001:db8::0001-2001:db8:0::9 is not in canonical form: write 2001:db8::1-2001:db8::9",
    ),
    // Addresses that no Service can have.
    bad(
        POOL,
        r#"{"addresses":["127.0.0.0/8"]}"#,
        "spec.addresses[0]",
        "127.0.0.0/8 begins or ends with a loopback, multicast, broadcast or unspecified address: write unicast addresses",
    ),
    bad(
        POOL,
        r#"{"addresses":["224.0.0.10-224.0.0.20"]}"#,
        "spec.addresses[0]",
        "224.0.0.10-224.0.0.20 begins or ends with a loopback, multicast, broadcast or unspecified address: write unicast addresses",
    ),
    bad(
        POOL,
        r#"{"addresses":["0.0.0.0/0"]}"#,
        "spec.addresses[0]",
        "0.0.0.0/0 begins or ends with a loopback, multicast, broadcast or unspecified address: write unicast addresses",
    ),
    bad(
        POOL,
        r#"{"addresses":["ff02::/64"]}"#,
        "spec.addresses[0]",
        "ff02::/64 begins or ends with a loopback, multicast, broadcast or unspecified address: write unicast addresses",
    ),
    bad(
        POOL,
        r#"{"addresses":["::1-::9"]}"#,
        "spec.addresses[0]",
        "::1-::9 begins or ends with a loopback, multicast, broadcast or unspecified address: write unicast addresses",
    ),
    bad(
        POOL,
        r#"{"addresses":["255.255.255.0-255.255.255.255"]}"#,
        "spec.addresses[0]",
        "255.255.255.0-255.255.255.255 begins or ends with a loopback, multicast, broadcast or unspecified address: write unicast addresses",
    ),
    // Lists.
    bad(
        POOL,
        r#"{"addresses":[]}"#,
        "spec.addresses",
        "a pool without addresses: write at least one CIDR or range",
    ),
    bad(POOL, "{}", "spec.addresses", "Required value"),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24","2001:db8::/64","198.51.100.0/24"]}"#,
        "spec.addresses",
        "198.51.100.0/24 is there more than once: write it once",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.1-198.51.100.9","198.51.100.1 - 198.51.100.9"]}"#,
        "spec.addresses",
        "198.51.100.1-198.51.100.9 is there more than once: write it once",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"exclude":["198.51.100.7"]}"#,
        "spec.exclude[0]",
        "198.51.100.7 is a single address: write 198.51.100.7/32",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"exclude":["198.51.100.8/29","198.51.100.8/29"]}"#,
        "spec.exclude",
        "198.51.100.8/29 is there more than once: write it once",
    ),
    // Other fields of pools.
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"coolDown":"5"}"#,
        "spec.coolDown",
        "write a duration as numbers with the units h, m, s or ms, such as 30s, 5m or 1h30m",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"coolDown":"5d"}"#,
        "spec.coolDown",
        "write a duration as numbers with the units h, m, s or ms, such as 30s, 5m or 1h30m",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"coolDown":""}"#,
        "spec.coolDown",
        "write a duration as numbers with the units h, m, s or ms, such as 30s, 5m or 1h30m",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"coolDown":"1 h"}"#,
        "spec.coolDown",
        "write a duration as numbers with the units h, m, s or ms, such as 30s, 5m or 1h30m",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"coolDown":"99999999h"}"#,
        "spec.coolDown",
        "write a duration as numbers with the units h, m, s or ms, such as 30s, 5m or 1h30m",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"coolDown":"-5s"}"#,
        "spec.coolDown",
        "write a duration that is not negative, such as 0s or 30s",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"probeTimeout":"soon"}"#,
        "spec.probeTimeout",
        "write a duration as numbers with the units h, m, s or ms, such as 30s, 5m or 1h30m",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"order":"random"}"#,
        "spec.order",
        r#"supported values: "Random", "Sequential""#,
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"sharing":"Anyone"}"#,
        "spec.sharing",
        r#"supported values: "SameNamespace", "AnyNamespace""#,
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"requests":"No"}"#,
        "spec.requests",
        r#"supported values: "Allowed", "Denied""#,
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"probe":"Auto"}"#,
        "spec.probe",
        r#"supported values: "Enabled", "Disabled""#,
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"announce":"None"}"#,
        "spec.announce",
        r#"supported values: "Auto", "Explicit""#,
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"quota":{"perNamespace":-1}}"#,
        "spec.quota.perNamespace",
        "should be greater than or equal to 0",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"priority":-1}}"#,
        "spec.serviceAllocation.priority",
        "should be greater than or equal to 0",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"namespaces":["Team A"]}}"#,
        "spec.serviceAllocation.namespaces[0]",
        "Team A is not the name of a namespace: write lower-case letters, digits and dashes",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"namespaces":["a","a"]}}"#,
        "spec.serviceAllocation.namespaces[1]",
        r#"Duplicate value: "a""#,
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"serviceSelectors":[{"matchExpressions":[{"key":"app","operator":"Is","values":["web"]}]}]}}"#,
        "spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].operator",
        r#"supported values: "In", "NotIn", "Exists", "DoesNotExist""#,
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"serviceSelectors":[{"matchExpressions":[{"key":"app","operator":"In"}]}]}}"#,
        "spec.serviceAllocation.serviceSelectors[0].matchExpressions[0]",
        "operators In and NotIn need values: write at least one, or use Exists or DoesNotExist",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"serviceSelectors":[{"matchExpressions":[{"key":"app","operator":"Exists","values":["web"]}]}]}}"#,
        "spec.serviceAllocation.serviceSelectors[0].matchExpressions[0]",
        "operators Exists and DoesNotExist take no values: leave them out, or use In or NotIn",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"serviceSelectors":[{"matchExpressions":[{"key":"the app","operator":"Exists"}]}]}}"#,
        "spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].key",
        "the app is not the key of a label: write one such as app or example.com/app",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"serviceSelectors":[{"matchExpressions":[{"key":"app","operator":"In","values":["the web"]}]}]}}"#,
        "spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].values[0]",
        "the web is not the value of a label: write letters, digits, dashes, underscores and dots, with a letter or digit at both ends",
    ),
    bad(
        POOL,
        r#"{"addresses":["198.51.100.0/24"],"serviceAllocation":{"serviceSelectors":[{"matchLabels":{"app":"the web"}}]}}"#,
        "spec.serviceAllocation.serviceSelectors[0].matchLabels[app]",
        "the web is not the value of a label: write letters, digits, dashes, underscores and dots, with a letter or digit at both ends",
    ),
    // Announcements.
    bad(
        ANNOUNCEMENT,
        r#"{"interfaces":["eth0,eth1"]}"#,
        "spec.interfaces[0]",
        "eth0,eth1 is no interface: write the name of one, such as eth0, or a pattern of which only * and ? are special, such as eth* or bond?",
    ),
    bad(
        ANNOUNCEMENT,
        r#"{"interfaces":["eth[0-3]"]}"#,
        "spec.interfaces[0]",
        "eth[0-3] is no interface: write the name of one, such as eth0, or a pattern of which only * and ? are special, such as eth* or bond?",
    ),
    bad(
        ANNOUNCEMENT,
        r#"{"interfaces":["eth0","eth0"]}"#,
        "spec.interfaces[1]",
        r#"Duplicate value: "eth0""#,
    ),
    bad(
        ANNOUNCEMENT,
        r#"{"pools":["Public"]}"#,
        "spec.pools[0]",
        "Public is not the name of a LoadBalancerPool: write lower-case letters, digits, dashes and dots",
    ),
    bad(
        ANNOUNCEMENT,
        r#"{"preferredNodes":[{"weight":0,"selector":{}}]}"#,
        "spec.preferredNodes[0].weight",
        "should be greater than or equal to 1",
    ),
    bad(
        ANNOUNCEMENT,
        r#"{"preferredNodes":[{"weight":101,"selector":{}}]}"#,
        "spec.preferredNodes[0].weight",
        "should be less than or equal to 100",
    ),
    bad(
        ANNOUNCEMENT,
        r#"{"preferredNodes":[{"weight":1}]}"#,
        "spec.preferredNodes[0].selector",
        "Required value",
    ),
    bad(
        ANNOUNCEMENT,
        r#"{"nodeSelectors":[{"matchExpressions":[{"key":"zone","operator":"NotIn","values":[]}]}]}"#,
        "spec.nodeSelectors[0].matchExpressions[0]",
        "operators In and NotIn need values: write at least one, or use Exists or DoesNotExist",
    ),
    // Assigned addresses; names.rs has more.
    bad(
        ADDRESS,
        r#"{"address":"198.51.100.7","pool":"public"}"#,
        "spec.address",
        "the name must be the address: write metadata.name 198.51.100.7",
    ),
    bad(
        ADDRESS,
        r#"{"address":"2001:DB8::7","pool":"public"}"#,
        "spec.address",
        "2001:DB8::7 is not in canonical form: write 2001:db8::7",
    ),
    bad(
        ADDRESS,
        r#"{"address":"::ffff:198.51.100.7","pool":"public"}"#,
        "spec.address",
        "::ffff:198.51.100.7 is an IPv4-mapped address: write the IPv4 address",
    ),
    bad(
        ADDRESS,
        r#"{"address":"web","pool":"public"}"#,
        "spec.address",
        "web is not an address: write one such as 198.51.100.7 or 2001:db8::7",
    ),
    bad(
        ADDRESS,
        r#"{"address":"198.51.100.7","pool":""}"#,
        "spec.pool",
        "an empty text is not the name of a LoadBalancerPool",
    ),
    // Reservations.
    bad(
        RESERVATION,
        r#"{"loadBalancer":{"addresses":["198.51.100.7"]}}"#,
        "spec",
        "write either service, with the name of the Service, or selector, and not both",
    ),
    bad(
        RESERVATION,
        r#"{"service":{"name":"web"},"selector":{"matchLabels":{"app":"web"}},"loadBalancer":{"addresses":["198.51.100.7"]}}"#,
        "spec",
        "write either service, with the name of the Service, or selector, and not both",
    ),
    bad(
        RESERVATION,
        r#"{"service":{"name":"web"}}"#,
        "spec",
        "nothing is kept: write loadBalancer, with addresses, a pool, or both",
    ),
    bad(
        RESERVATION,
        r#"{"service":{"name":"web"},"loadBalancer":{}}"#,
        "spec.loadBalancer",
        "nothing is kept: write addresses, a pool, or both",
    ),
    bad(
        RESERVATION,
        r#"{"service":{"name":"web"},"loadBalancer":{"addresses":[]}}"#,
        "spec.loadBalancer",
        "nothing is kept: write addresses, a pool, or both",
    ),
    bad(
        RESERVATION,
        r#"{"service":{"name":"Web"},"loadBalancer":{"addresses":["198.51.100.7"]}}"#,
        "spec.service.name",
        "Web is not the name of a Service: write lower-case letters, digits and dashes",
    ),
    bad(
        RESERVATION,
        r#"{"service":{"name":"web"},"loadBalancer":{"addresses":["198.51.100.7/32"]}}"#,
        "spec.loadBalancer.addresses[0]",
        "198.51.100.7/32 is not an address: write one such as 198.51.100.7 or 2001:db8::7",
    ),
    bad(
        RESERVATION,
        r#"{"service":{"name":"web"},"loadBalancer":{"addresses":["2001:db8:0::7"]}}"#,
        "spec.loadBalancer.addresses[0]",
        "2001:db8:0::7 is not in canonical form: write 2001:db8::7",
    ),
    bad(
        RESERVATION,
        r#"{"service":{"name":"web"},"loadBalancer":{"addresses":["198.51.100.7","198.51.100.7"]}}"#,
        "spec.loadBalancer.addresses",
        "198.51.100.7 is there more than once: write it once",
    ),
];
