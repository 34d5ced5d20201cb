//! Durations as Go writes them (`time.ParseDuration`), which is what every flag of Kubernetes takes.

use std::fmt;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotADuration {
    NoUnit,
    UnknownUnit,
    NoNumber,
    TooLong,
}

impl fmt::Display for NotADuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUnit => "a number has no unit",
            Self::UnknownUnit => "units are ns, us, ms, s, m and h",
            Self::NoNumber => "a number is missing",
            Self::TooLong => "the longest duration is 2562047h47m16s",
        })
    }
}

/// Nanoseconds of a text such as `1h2m3.5s`, `500ms`, `-1.5h` or `0`. Parts may come in any order and repeat.
pub(super) fn nanoseconds(text: &str) -> Result<i64, NotADuration> {
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(NotADuration::NoNumber);
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (whole, after) = split(rest, |c| c.is_ascii_digit());
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split(after, |c| c.is_ascii_digit()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(NotADuration::NoNumber);
        }
        let (unit, after) = split(after, |c| c != '.' && !c.is_ascii_digit());
        if unit.is_empty() {
            return Err(NotADuration::NoUnit);
        }
        let unit = unit_nanoseconds(unit).ok_or(NotADuration::UnknownUnit)?;
        total = part(whole, fraction, unit)
            .and_then(|part| total.checked_add(part))
            .ok_or(NotADuration::TooLong)?;
        rest = after;
    }
    Ok(if negative { -total } else { total })
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn unit_nanoseconds(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter, as Go has it.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    })
}

/// `whole.fraction` units; what is below a nanosecond is cut off. `None`: too long.
fn part(whole: &str, fraction: &str, unit: i64) -> Option<i64> {
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
    // A digit is worth less than a nanosecond from the 14th on, even of an hour.
    let digits = &fraction[..fraction.len().min(14)];
    let fraction =
        digits.parse::<i128>().unwrap_or(0) * i128::from(unit) / 10_i128.pow(digits.len().try_into().ok()?);
    whole.checked_mul(unit)?.checked_add(fraction.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn durations_of_go() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5s", 5 * SECOND),
            ("+5s", 5 * SECOND),
            ("-5s", -5 * SECOND),
            ("1h2m3.5s", 3723 * SECOND + SECOND / 2),
            ("12h0m0s", 12 * 3600 * SECOND),
            ("500ms", SECOND / 2),
            ("5.s", 5 * SECOND),
            (".5s", SECOND / 2),
            ("1.004s", SECOND + 4_000_000),
            ("10.5s4m", 250 * SECOND + SECOND / 2),
            ("1s1s", 2 * SECOND),
            ("7us", 7_000),
            ("7\u{b5}s", 7_000),
            ("7\u{3bc}s", 7_000),
            ("9ns", 9),
            ("0.9ns", 0),
            ("0.100000000000000000000h", 360 * SECOND),
            ("0.33333333333333333333h", 1200 * SECOND - 1),
            ("9223372036854775807ns", i64::MAX),
            ("2562047h47m16.854775807s", i64::MAX),
            ("-9223372036854775807ns", -i64::MAX),
        ] {
            assert_eq!(nanoseconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for (text, expected) in [
            ("", NotADuration::NoNumber),
            ("-", NotADuration::NoNumber),
            ("s", NotADuration::NoNumber),
            (".s", NotADuration::NoNumber),
            ("1h-5m", NotADuration::UnknownUnit),
            ("--5s", NotADuration::NoNumber),
            ("5", NotADuration::NoUnit),
            ("1h5", NotADuration::NoUnit),
            ("00", NotADuration::NoUnit),
            ("1.2.3s", NotADuration::NoUnit),
            ("5d", NotADuration::UnknownUnit),
            ("5 s", NotADuration::UnknownUnit),
            ("5s ", NotADuration::UnknownUnit),
            (" 5s", NotADuration::NoNumber),
            ("1e3s", NotADuration::UnknownUnit),
            ("5S", NotADuration::UnknownUnit),
            ("٣s", NotADuration::NoNumber),
            ("3000000h", NotADuration::TooLong),
            ("9223372036854775808ns", NotADuration::TooLong),
            ("2562047h47m16.854775808s", NotADuration::TooLong),
            ("99999999999999999999999s", NotADuration::TooLong),
        ] {
            assert_eq!(nanoseconds(text), Err(expected), "{text}");
        }
    }
}
