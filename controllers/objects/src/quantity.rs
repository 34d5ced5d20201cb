//! Quantities of resources, such as `4`, `500m`, `1e3` or `2Gi`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// An amount in thousandths of a unit; of CPU: millicores.
///
/// A text that is no quantity, and a negative amount, count as nothing: who asks how much there is, is told of
/// nothing that could be used. An amount beyond `u64::MAX` thousandths counts as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// Reads a quantity as Kubernetes writes it: a decimal number, then a binary suffix (`Ki` to `Ei`), a decimal
    /// one (`n`, `u`, `m`, `k`, `M`, `G`, `T`, `P`, `E`) or a decimal exponent. Fractions of a thousandth are
    /// rounded up, as `Quantity.MilliValue` does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        let end = unsigned.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (factor, exponent) = scale(suffix)?;
        let digits = || whole.bytes().chain(fraction.bytes()).map(|digit| u128::from(digit - b'0'));
        if digits().all(|digit| digit == 0) {
            return Some(Self(0));
        }
        let fraction_digits = i64::try_from(fraction.len()).ok()?;
        // In thousandths, hence the 3.
        Some(Self(scaled(digits(), factor, exponent + 3 - fraction_digits)))
    }
}

/// A suffix as a factor and a power of ten.
fn scale(suffix: &str) -> Option<(u128, i64)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => (1, i64::from(suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?)),
    })
}

/// `digits × factor × 10^exponent`, rounded up and cut to `u64`.
fn scaled(digits: impl Iterator<Item = u128>, factor: u128, exponent: i64) -> u64 {
    let number = digits.fold(0_u128, |number, digit| number.saturating_mul(10).saturating_add(digit));
    let product = number.saturating_mul(factor);
    let power = u32::try_from(exponent.unsigned_abs()).ok().and_then(|by| 10_u128.checked_pow(by));
    let value = match (exponent < 0, power) {
        (false, Some(power)) => product.saturating_mul(power),
        (false, None) => u128::MAX,
        (true, Some(power)) => product.div_ceil(power),
        (true, None) => 1,
    };
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Quantity;

        impl Visitor<'_> for Quantity {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Millis, E> {
                Ok(Millis::parse(text).unwrap_or_default())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Millis, E> {
                Ok(Millis(number.saturating_mul(1000)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Millis, E> {
                self.visit_u64(u64::try_from(number).unwrap_or_default())
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Millis, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_unit<E: Error>(self) -> Result<Millis, E> {
                Ok(Millis::default())
            }
        }

        deserializer.deserialize_any(Quantity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_every_notation() {
        for (text, millis) in [
            ("4", Some(4000)),
            ("500m", Some(500)),
            ("3920m", Some(3920)),
            ("0", Some(0)),
            ("0m", Some(0)),
            ("0.1", Some(100)),
            (".5", Some(500)),
            ("1.", Some(1000)),
            ("+2", Some(2000)),
            ("1e3", Some(1_000_000)),
            ("1E3", Some(1_000_000)),
            ("15e-1", Some(1500)),
            ("2k", Some(2_000_000)),
            ("1M", Some(1_000_000_000)),
            ("1Ki", Some(1_024_000)),
            ("1Gi", Some(1_073_741_824_000)),
            ("0.5Ki", Some(512_000)),
            // An E with digits is an exponent, one without is exa.
            ("1E", Some(u64::MAX)),
            ("0E", Some(0)),
            // Rounded up: a Node with any CPU at all has some.
            ("1n", Some(1)),
            ("1500u", Some(2)),
            ("1e-40", Some(1)),
            ("1e40", Some(u64::MAX)),
            ("99999999999999999999999999999999999999999", Some(u64::MAX)),
            ("", None),
            (".", None),
            ("m", None),
            ("-1", None),
            ("1.2.3", None),
            ("1 m", None),
            ("1mm", None),
            ("1K", None),
            ("1e", None),
            ("1e1.5", None),
            ("0x10", None),
        ] {
            assert_eq!(Millis::parse(text), millis.map(Millis), "{text:?}");
        }
    }

    #[test]
    fn json_numbers_are_whole_units_and_nonsense_is_nothing() {
        for (json, millis) in
            [("4", 4000), ("1.5", 1500), ("\"250m\"", 250), ("-3", 0), ("\"lots\"", 0), ("null", 0)]
        {
            assert_eq!(serde_json::from_str::<Millis>(json).unwrap(), Millis(millis), "{json}");
        }
    }
}
