//! The values of flags: Go's syntax, checked ranges, and sentences about what is wrong.
//!
//! Every function names neither flag nor program: [`Problems::take`] puts the flag in front.

use std::fmt::Display;
use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;

use super::go_duration;

/// What is wrong with a command line, collected so that all of it can be said at once.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    /// The value if it is right; otherwise takes note of `--flag` and the sentence about it.
    pub(super) fn take<T, E: Display>(&mut self, flag: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|problem| self.add(format!("--{flag} {problem}"))).ok()
    }

    /// Takes note of a problem.
    pub(super) fn add(&mut self, sentence: String) {
        self.0.push(sentence);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_sentences(self) -> Vec<String> {
        self.0
    }
}

/// `true` or `false` as Go's `strconv.ParseBool` reads it.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("must be true or false, but got {text:?}")),
    }
}

/// The least of a duration that may be zero, and how it is written.
pub(super) const NO_TIME: (Duration, &str) = (Duration::ZERO, "0s");

/// A number of Go's `int32` flags (decimal, or with the prefix 0x, 0o, 0 or 0b) within `range`.
pub(super) fn int32(text: &str, range: &RangeInclusive<i32>) -> Result<i32, String> {
    let (low, high) = (range.start(), range.end());
    let allowed = if *high == i32::MAX { format!("{low} or more") } else { format!("{low} to {high}") };
    let Some(number) = go_integer(text) else {
        return Err(format!("must be a whole number ({allowed}), but got {text:?}"));
    };
    // Beyond 64 bits the number was cut to the nearest, which is out of every range.
    match i32::try_from(number) {
        Ok(number) if range.contains(&number) => Ok(number),
        _ if number < i128::from(*low) => {
            Err(format!("must not be less than {low}, but got {text} (allowed: {allowed})"))
        }
        _ => Err(format!("must not be more than {high}, but got {text} (allowed: {allowed})")),
    }
}

/// Go's `strconv.ParseInt` with base 0. Numbers beyond the type become its nearest end.
fn go_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match prefix.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some(prefix) if prefix.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    Some(if negative { -number } else { number })
}

/// A finite number of Go's `float32` flags.
pub(super) fn float32(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("must be a number, but got {text:?}")),
    }
}

/// A Go duration of at least `least`, which is given with its text.
pub(super) fn duration(text: &str, (least, least_text): (Duration, &str)) -> Result<Duration, String> {
    let nanoseconds = go_duration::nanoseconds(text).map_err(|problem| {
        format!("must be a duration such as 500ms, 10s or 1h30m, but got {text:?}: {problem}")
    })?;
    match u64::try_from(nanoseconds).map(Duration::from_nanos) {
        Ok(duration) if duration >= least => Ok(duration),
        _ => Err(format!("must not be less than {least_text}, but got {text}")),
    }
}

/// A Go duration within a range, whose ends are given with their texts.
pub(super) fn duration_up_to(
    text: &str,
    least: (Duration, &str),
    (most, most_text): (Duration, &str),
) -> Result<Duration, String> {
    let duration = duration(text, least)?;
    if duration <= most {
        Ok(duration)
    } else {
        Err(format!("must not be more than {most_text}, but got {text}"))
    }
}

/// A socket address; without a host, as Go takes it, it means all addresses.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port: u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        None => text.parse().ok(),
    };
    address.ok_or_else(|| {
        format!("must be an IP address and a port, such as [::]:10270 or 127.0.0.1:0, but got {text:?}")
    })
}

/// The URL of an API server.
pub(super) fn server(text: &str) -> Result<Uri, String> {
    text.parse::<Uri>()
        .ok()
        .filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        })
        .ok_or_else(|| format!("must be a URL such as https://192.0.2.1:6443, but got {text:?}"))
}

/// The name of a namespace (RFC 1123 label).
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let valid = (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    valid.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "must be the name of a namespace (at most 63 lower-case letters, digits and dashes, no dash at either \
             end), but got {text:?}"
        )
    })
}

/// Is it a name with dots in it (RFC 1123 subdomain)?
fn is_subdomain(text: &str) -> bool {
    let is_label = |label: &str| {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        label.bytes().all(|byte| letter(byte) || byte == b'-')
            && label.bytes().next().is_some_and(letter)
            && label.bytes().last().is_some_and(letter)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The class of a load balancer (a label-style identifier, as the API server has it).
pub(super) fn class(text: &str) -> Result<String, String> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let letter = |byte: u8| byte.is_ascii_alphanumeric();
    let valid = prefix.is_none_or(is_subdomain)
        && name.len() <= 63
        && name.bytes().all(|byte| letter(byte) || b"-_.".contains(&byte))
        && name.bytes().next().is_some_and(letter)
        && name.bytes().last().is_some_and(letter);
    valid.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "must be a class such as internal-vip or example.com/internal-vip (at most 63 letters, digits, dashes, dots \
             and underscores, with a letter or digit at either end), but got {text:?}"
        )
    })
}

/// The name of an object (RFC 1123 subdomain).
pub(super) fn object_name(text: &str) -> Result<String, String> {
    is_subdomain(text).then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "must be the name of an object (at most 253 lower-case letters, digits, dashes and dots, with a letter or \
             digit at either end and beside each dot), but got {text:?}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        for text in ["", "yes", "tRUE", "2", " true"] {
            assert_eq!(boolean(text), Err(format!("must be true or false, but got {text:?}")));
        }
    }

    #[test]
    fn integers() {
        for (text, expected) in [
            ("1", 1),
            ("+7", 7),
            ("50", 50),
            ("0x1f", 31),
            ("0X1F", 31),
            ("010", 8),
            ("0o17", 15),
            ("0b11", 3),
        ] {
            assert_eq!(int32(text, &(1..=50)), Ok(expected), "{text}");
        }
        assert_eq!(int32("-5", &(-5..=5)), Ok(-5));
        assert_eq!(int32("0", &(0..=5)), Ok(0));
        assert_eq!(int32("2147483647", &(0..=i32::MAX)), Ok(i32::MAX));
        let most = "must not be more than 50, but got";
        for (text, expected) in [
            ("0", "must not be less than 1, but got 0 (allowed: 1 to 50)".to_owned()),
            ("-1", "must not be less than 1, but got -1 (allowed: 1 to 50)".to_owned()),
            ("51", format!("{most} 51 (allowed: 1 to 50)")),
            ("99999999999", format!("{most} 99999999999 (allowed: 1 to 50)")),
            (
                "0xffffffffffffffffffffffffffffffffff",
                format!("{most} 0xffffffffffffffffffffffffffffffffff (allowed: 1 to 50)"),
            ),
        ] {
            assert_eq!(int32(text, &(1..=50)), Err(expected));
        }
        assert_eq!(
            int32("2147483648", &(0..=i32::MAX)),
            Err("must not be more than 2147483647, but got 2147483648 (allowed: 0 or more)".to_owned())
        );
        for text in
            ["", "-", "+", "--1", "1.0", "1e1", "five", "08", "0x", "0xg", "1_000", " 1", "1 ", "٣", "0é"]
        {
            assert_eq!(
                int32(text, &(1..=50)),
                Err(format!("must be a whole number (1 to 50), but got {text:?}"))
            );
        }
    }

    #[test]
    fn floats() {
        for (text, expected) in [("0", 0.0), ("20", 20.0), ("0.5", 0.5), ("-1", -1.0), ("1e3", 1000.0)] {
            assert!((float32(text).unwrap() - expected).abs() < f32::EPSILON, "{text}");
        }
        for text in ["", "x", "inf", "NaN", "1e99", "1,5"] {
            assert_eq!(float32(text), Err(format!("must be a number, but got {text:?}")));
        }
    }

    #[test]
    fn durations_have_a_least_value() {
        let least = (Duration::from_secs(1), "1s");
        assert_eq!(duration("1s", least), Ok(Duration::from_secs(1)));
        assert_eq!(duration("1h2m3.5s", least), Ok(Duration::from_millis(3_723_500)));
        for text in ["999ms", "0", "-5s"] {
            assert_eq!(duration(text, least), Err(format!("must not be less than 1s, but got {text}")));
        }
        assert_eq!(
            duration("5", least),
            Err(r#"must be a duration such as 500ms, 10s or 1h30m, but got "5": a number has no unit"#
                .to_owned())
        );
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("[::]:10270", "[::]:10270"),
            (":10270", "[::]:10270"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:65535", "[::1]:65535"),
        ] {
            assert_eq!(socket_address(text).unwrap().to_string(), expected);
        }
        for text in
            ["", ":", "10270", "::1:10270", "127.0.0.1", "localhost:1", "127.0.0.1:65536", "0.0.0.0:-1"]
        {
            assert!(socket_address(text).unwrap_err().ends_with(&format!("but got {text:?}")), "{text}");
        }
    }

    #[test]
    fn servers() {
        for text in ["https://192.0.2.1:6443", "http://localhost:8080/", "https://[2001:db8::1]:6443/prefix"]
        {
            assert!(server(text).is_ok(), "{text}");
        }
        for text in
            ["192.0.2.1:6443", "localhost", "https://", "/path", "ftp://x", "unix:///run/x", "https://a b"]
        {
            assert!(server(text).unwrap_err().ends_with(&format!("but got {text:?}")), "{text}");
        }
    }

    #[test]
    fn object_names() {
        for text in ["fairlead-manager", "a", "0.b-c", &"x".repeat(253)] {
            assert_eq!(object_name(text), Ok(text.to_owned()));
        }
        for text in ["", "-a", "a-", "A", "a..b", ".a", "a.", "a-.b", "a_b", "ü", &"x".repeat(254)] {
            assert!(object_name(text).unwrap_err().ends_with(&format!("but got {text:?}")), "{text}");
        }
    }

    #[test]
    fn classes() {
        for text in ["fairlead.dev/layer2", "internal-vip", "A_b.c", "0", &"x".repeat(63)] {
            assert_eq!(class(text), Ok(text.to_owned()));
        }
        for text in ["", "-a", "a-", "a b", "a/b/c", "/a", "a/", "A/b", "a_b/c", "ü", &"x".repeat(64)] {
            assert!(class(text).unwrap_err().ends_with(&format!("but got {text:?}")), "{text}");
        }
    }

    #[test]
    fn namespaces() {
        for text in ["fairlead-system", "a", "0", &"x".repeat(63)] {
            assert_eq!(namespace(text), Ok(text.to_owned()));
        }
        for text in ["", "-a", "a-", "A", "a.b", "a_b", "ü", &"x".repeat(64)] {
            assert!(namespace(text).unwrap_err().ends_with(&format!("but got {text:?}")), "{text}");
        }
    }
}
