//! Names of interfaces that are left alone, as patterns.

use std::fmt;
use std::str::FromStr;

/// Patterns of interface names, in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

/// What MetalLB leaves alone by default: interfaces of containers, tunnels and service proxies.
pub const DEFAULT_EXCLUDED: &str = "docker*,cbr*,dummy*,virbr*,lxcbr*,veth*,lo,cali*,tunl*,flannel*,kube-ipvs*,cni*,\
                                    nodelocaldns*,lxc*";

impl Patterns {
    /// The first pattern that a name matches.
    #[must_use]
    pub fn matching(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pattern| matches(pattern.as_bytes(), name.as_bytes())).map(String::as_str)
    }
}

impl Default for Patterns {
    fn default() -> Self {
        Self(DEFAULT_EXCLUDED.split(',').map(str::to_owned).collect())
    }
}

/// A pattern that no name can match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be names of interfaces with commas between them, in which * stands for any characters and ? for one, such as \
     veth*,eth1; {0:?} is none"
)]
pub struct NotAPattern(String);

impl FromStr for Patterns {
    type Err = NotAPattern;

    /// From a list with commas. Nothing is an empty list.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
        patterns
            .map(|pattern| {
                // The kernel has names of 15 bytes at most, without spaces and slashes.
                let fits = pattern.bytes().filter(|byte| *byte != b'*').count() <= 15;
                let valid = fits && !pattern.contains(['/', ' ', '^', '$', '[', '(', '|', '\\']);
                if valid { Ok(pattern.to_owned()) } else { Err(NotAPattern(pattern.to_owned())) }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, name) || name.split_first().is_some_and(|(_, name)| matches(pattern, name))
        }
        (Some((b'?', pattern)), Some((_, name))) => matches(pattern, name),
        (Some((expected, pattern)), Some((found, name))) => expected == found && matches(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match() {
        for (patterns, name, expected) in [
            ("veth*", "veth0", Some("veth*")),
            ("veth*", "veth", Some("veth*")),
            ("veth*", "xveth0", None),
            ("lo", "lo", Some("lo")),
            ("lo", "lo0", None),
            ("eth?", "eth1", Some("eth?")),
            ("eth?", "eth", None),
            ("eth?", "eth10", None),
            ("e*0", "enp0s0", Some("e*0")),
            ("e*0", "enp0s1", None),
            ("*", "anything", Some("*")),
            ("eth0, eth1", "eth1", Some("eth1")),
            ("", "eth0", None),
            ("eth0.*", "eth0.100", Some("eth0.*")),
            ("eth0.*", "eth01100", None),
        ] {
            assert_eq!(patterns.parse::<Patterns>().unwrap().matching(name), expected, "{patterns} {name}");
        }
    }

    #[test]
    fn the_default_is_that_of_metallb() {
        let default = Patterns::default();
        assert_eq!(default.to_string(), DEFAULT_EXCLUDED);
        for excluded in ["docker0", "veth12ab", "lo", "cali1", "flannel.1", "kube-ipvs0", "lxc3"] {
            assert!(default.matching(excluded).is_some(), "{excluded}");
        }
        for used in ["eth0", "ens18", "enp3s0f0", "bond0", "br0", "eth0.100", "loop", "wlan0"] {
            assert_eq!(default.matching(used), None, "{used}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["^veth", "eth[0-9]", "a name", "abcdefghijklmnop", "eth0,(x|y)"] {
            let problem = text.parse::<Patterns>().unwrap_err().to_string();
            assert!(problem.starts_with("must be names of interfaces"), "{problem}");
        }
    }
}
