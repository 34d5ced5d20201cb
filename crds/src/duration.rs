//! Durations as Kubernetes writes them: `30s`, `5m`, `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The units that are read, with their length in nanoseconds; in the order of their size, as they are written.
const UNITS: [(&str, u64); 4] =
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000)];

/// What the API server accepts, of at most 16 characters. Six digits keep it below the 292 years that Go can tell.
pub(crate) const PATTERN: &str = "([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h))+";

/// A duration that is never negative, as Go's `time.ParseDuration` reads it: decimal numbers, each with one of the units
/// `h`, `m`, `s`, `ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(Duration);

/// Why a text is no [`GoDuration`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write numbers with the units h, m, s or ms, such as 30s, 5m or 1h30m")]
pub struct DurationError(String);

impl GoDuration {
    /// That many whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || DurationError(text.to_owned());
        let mut total = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() || text.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let (number, tail) = rest.split_at(number_end);
            let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
            let part = part(number, *nanoseconds).ok_or_else(error)?;
            total = total.checked_add(part).ok_or_else(error)?;
            rest = tail;
        }
        Ok(Self(total))
    }
}

/// A decimal number of units; what is below a nanosecond is cut off.
fn part(number: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    // Nine digits are below a nanosecond for every unit up to a second, and below four microseconds of an hour.
    let digits = &fraction[..fraction.len().min(9)];
    let fraction = u128::from(digits.parse::<u64>().ok()?) * u128::from(unit)
        / 10_u128.pow(u32::try_from(digits.len()).ok()?);
    Some(Duration::from_nanos(whole.checked_add(u64::try_from(fraction).ok()?)?))
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest < u128::from(UNITS[3].1) {
            return f.write_str("0s");
        }
        for (unit, nanoseconds) in UNITS {
            let count = rest / u128::from(nanoseconds);
            rest %= u128::from(nanoseconds);
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let table = [
            ("0s", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("0.25s", 250),
            ("1m1m", 120_000),
        ];
        for (text, milliseconds) in table {
            let duration: GoDuration = text.parse().expect(text);
            assert_eq!(duration.get(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = [
            "",
            "5",
            "s",
            "5 m",
            "-5s",
            "+5s",
            "5d",
            "5s ",
            ".",
            ".s",
            "1..5s",
            "1.2.3s",
            "99999999999999h",
            "五s",
        ];
        for text in refused {
            let error = text.parse::<GoDuration>().expect_err(text);
            assert_eq!(error, DurationError(text.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(milliseconds in 0_u64..10_000_000_000) {
            let duration = GoDuration::from(Duration::from_millis(milliseconds));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn what_the_api_server_accepts_is_read(text in PATTERN) {
            prop_assert!(text.parse::<GoDuration>().is_ok(), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.hms-]{0,40}|\\PC{0,20}") {
            let _: Result<GoDuration, _> = text.parse();
        }
    }
}
