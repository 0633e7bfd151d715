//! Quantities of `resources`, parsed as the API server does, which rewrites them in canonical form: `0.5` becomes `500m`
//! (`k8s.io/apimachinery/pkg/api/resource/quantity.go`). A quantity without a digit, such as `Mi`, is zero there and
//! invalid here.

use core::fmt;
use serde_json::Value;

/// Suffixes of powers of 1024, each with its number of bits.
const BINARY_SUFFIXES: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

/// Suffixes of powers of ten, each with its exponent.
const DECIMAL_SUFFIXES: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Decimal places of a quantity.
const NANO: i32 = 9;
const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// The most digits of an `i128`.
const DIGITS_MAX: usize = 38;

/// Digits of a fraction that count before a binary suffix: `Ei` and this many digits fit into an `i128`.
const BINARY_FRACTION_DIGITS: usize = 20;

/// The largest quantity with a binary suffix; the API server lowers greater ones to it.
const BINARY_MAX: i128 = (i64::MAX as i128) * NANOS_PER_UNIT;

/// A quantity, in billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(i128);

/// The factor of a suffix.
enum Scale {
    /// Two to the power of this.
    Binary(u32),
    /// Ten to the power of this.
    Decimal(i32),
}

/// Whether two values are the same quantity.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    match (Quantity::read(one), Quantity::read(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

impl Quantity {
    /// The least positive quantity.
    pub(super) const NANO: Self = Self(1);

    /// The sum, at most the largest quantity.
    pub(super) fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least zero.
    pub(super) fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// The quotient, rounded up to a multiple of a positive step. The quotient of zero or less is the quantity itself.
    pub(super) fn divided_by(self, divisor: Self, step: Self) -> Self {
        if divisor.0 <= 0 || step.0 <= 0 {
            return self;
        }
        // A quantity of more than 10^20 units loses digits, and no precision that matters.
        let quotient = match self.0.checked_mul(NANOS_PER_UNIT) {
            Some(scaled) => div_ceil(scaled, divisor.0),
            None => div_ceil(self.0, div_ceil(divisor.0, NANOS_PER_UNIT)),
        };
        Self(div_ceil(quotient, step.0).saturating_mul(step.0))
    }

    /// Reads a string or a number; `None` if it is not a quantity, or has more than 29 digits before the decimal point.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// The quantity in billionths.
    #[cfg(feature = "inject")]
    pub(crate) fn nanos(self) -> i128 {
        self.0
    }

    /// Whether it is less than zero.
    pub(super) fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is more than zero.
    pub(crate) fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Whether it is a multiple of another quantity, which is not zero.
    pub(super) fn is_multiple_of(self, other: Self) -> bool {
        self.0 % other.0 == 0
    }

    /// Whether it is a multiple of one.
    pub(super) fn is_integer(self) -> bool {
        self.0 % NANOS_PER_UNIT == 0
    }

    /// Parses a string, as [`Quantity::read`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = split_digits(text);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let size = match Scale::of(suffix)? {
            Scale::Binary(bits) => binary_nanos(whole, fraction, bits),
            Scale::Decimal(exponent) => decimal_nanos(whole, fraction, exponent)?,
        };
        Some(Self(if is_negative { -size } else { size }))
    }
}

/// A quantity as text: `16Mi`, `100m`. The API server may spell it differently (1000 as `1k`), which [`is_same`] allows
/// for.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_integer() {
            let fractions = [("m", 1_000_000), ("u", 1_000), ("n", 1)];
            let mut exact = fractions.iter().filter(|(_, nanos)| self.0 % nanos == 0);
            let (suffix, nanos) = exact.next().copied().unwrap_or(("n", 1));
            return write!(f, "{}{suffix}", self.0 / nanos);
        }
        let units = self.0 / NANOS_PER_UNIT;
        let is_multiple = |bits: &u32| units != 0 && units % (1_i128 << bits) == 0;
        match BINARY_SUFFIXES
            .iter()
            .rev()
            .find(|(_, bits)| is_multiple(bits))
        {
            Some((suffix, bits)) => write!(f, "{}{suffix}", units / (1_i128 << bits)),
            None => write!(f, "{units}"),
        }
    }
}

impl Scale {
    fn of(suffix: &str) -> Option<Self> {
        if let Some((_, bits)) = BINARY_SUFFIXES.iter().find(|(known, _)| *known == suffix) {
            return Some(Self::Binary(*bits));
        }
        if let Some((_, exponent)) = DECIMAL_SUFFIXES.iter().find(|(known, _)| *known == suffix) {
            return Some(Self::Decimal(*exponent));
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?;
        Some(Self::Decimal(exponent.parse().ok()?))
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// The billionths of a decimal number times a power of ten, rounded up.
fn decimal_nanos(whole: &str, fraction: &str, exponent: i32) -> Option<i128> {
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let places = i64::try_from(fraction.len()).ok()?;
    let shift = i64::from(exponent) + i64::from(NANO) - places;
    if let Ok(zeros) = usize::try_from(shift) {
        if zeros.checked_add(digits.len())? > DIGITS_MAX {
            return None;
        }
        return Some(integer(digits)? * 10_i128.pow(u32::try_from(zeros).ok()?));
    }
    let dropped = usize::try_from(shift.unsigned_abs()).ok()?;
    let (kept, rest) = digits.split_at(digits.len().saturating_sub(dropped));
    let is_rounded = rest.contains(|c| c != '0');
    integer(kept)?.checked_add(is_rounded.into())
}

/// The billionths of a decimal number times a power of two, rounded up, and lowered to the maximum.
fn binary_nanos(whole: &str, fraction: &str, bits: u32) -> i128 {
    let factor = 1_i128 << bits;
    let whole = integer(whole.trim_start_matches('0'));
    let whole = whole.and_then(|whole| whole.checked_mul(factor)?.checked_mul(NANOS_PER_UNIT));
    let (kept, rest) = fraction.split_at(fraction.len().min(BINARY_FRACTION_DIGITS));
    let is_rounded = rest.contains(|c| c != '0');
    let kept_digits = integer(kept).unwrap_or_default() + i128::from(is_rounded);
    let size = kept_digits * factor;
    let fraction = match kept.len().checked_sub(NANO.unsigned_abs() as usize) {
        Some(more) => div_ceil(size, power_of_ten(more)),
        None => size * power_of_ten(NANO.unsigned_abs() as usize - kept.len()),
    };
    whole.map_or(BINARY_MAX, |whole| {
        whole.saturating_add(fraction).min(BINARY_MAX)
    })
}

/// The value of decimal digits, 0 without a digit; `None` if they do not fit.
fn integer(digits: &str) -> Option<i128> {
    match digits.len() {
        0 => Some(0),
        1..=DIGITS_MAX => digits.parse().ok(),
        _ => None,
    }
}

/// Ten to the power of `exponent`, which is at most 11.
fn power_of_ten(exponent: usize) -> i128 {
    (0..exponent).fold(1, |power, _| power * 10)
}

fn div_ceil(size: i128, divisor: i128) -> i128 {
    size / divisor + i128::from(size % divisor > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spellings_of_one_quantity_are_the_same() {
        for (one, other) in [
            (json!("0.5"), json!("500m")),
            (json!(0.5), json!("500m")),
            (json!(1), json!("1000m")),
            (json!("1024Mi"), json!("1Gi")),
            (json!("1e3"), json!("1k")),
            (json!("1E3"), json!(1000)),
            (json!("1E+3"), json!("1000")),
            (json!("5e-1"), json!("500m")),
            (json!(1e-7), json!("100n")),
            (json!("1500u"), json!("1.5m")),
            (json!("0.0000000001"), json!("1n")),
            (json!("1e-99"), json!("1n")),
            (json!("-0.0000000001"), json!("-1n")),
            (
                json!("1.0000000000000000000000000001"),
                json!("1000000001n"),
            ),
            (json!("+1"), json!("1")),
            (json!(" 1 "), json!("1")),
            (json!(".5"), json!("0.5")),
            (json!("1."), json!("1")),
            (json!("1.G"), json!("1G")),
            (json!("0.5Ki"), json!("512")),
            (json!("0.1Ki"), json!("102.4")),
            (json!("00016Mi"), json!("16777216")),
            (json!("-0"), json!(0)),
            (json!("0e9999"), json!("0")),
            (json!("7Ei"), json!("8070450532247928832")),
            // The maximum of a binary suffix.
            (json!("8Ei"), json!("9223372036854775807")),
            (json!("99999999999999999999999Ei"), json!("8Ei")),
        ] {
            assert!(is_same(&one, &other), "{one} {other}");
            assert!(Quantity::read(&one).is_some(), "{one}");
        }
        for (one, other) in [
            (json!("1"), json!("1m")),
            (json!("1M"), json!("1Mi")),
            (json!("1"), json!("-1")),
            (json!("1x"), json!("1")),
            (json!("9e99"), json!("8e99")),
            (json!({}), json!("1")),
        ] {
            assert!(!is_same(&one, &other), "{one} {other}");
        }
    }

    #[test]
    fn text_that_is_not_a_quantity_is_rejected() {
        for text in [
            "",
            " ",
            "+",
            "-",
            ".",
            "Mi",
            "m",
            "e3",
            "16Mib",
            "16mi",
            "16K",
            "1 Gi",
            "1e",
            "1e3Mi",
            "1e1.5",
            "--1",
            "+-1",
            "1-",
            "1.2.3",
            "1,5",
            "0x10",
            "1i",
            "1KiKi",
            "1E3E",
            "²",
            "١",
            "inf",
            "NaN",
            "16MB",
            "1e99999999999",
        ] {
            assert_eq!(Quantity::read(&json!(text)), None, "{text:?}");
        }
        for value in [json!(null), json!(true), json!([1]), json!({"a": 1})] {
            assert_eq!(Quantity::read(&value), None, "{value}");
        }
        let long = "9".repeat(100_000);
        assert_eq!(Quantity::read(&json!(long)), None);
        assert!(Quantity::read(&json!(format!("0.{long}"))).is_some());
        assert!(Quantity::read(&json!(format!("{}1Mi", "0".repeat(100_000)))).is_some());
    }

    #[test]
    fn quantities_are_written_with_the_largest_binary_suffix() {
        for text in [
            "0", "1", "1m", "1500m", "999m", "3u", "7n", "16Mi", "1Gi", "1Ki", "1000", "-2m", "4Ei",
        ] {
            assert_eq!(
                Quantity::parse(text)
                    .map(|size| size.to_string())
                    .as_deref(),
                Some(text)
            );
        }
        assert_eq!(
            Quantity::parse("0.5")
                .map(|size| size.to_string())
                .as_deref(),
            Some("500m")
        );
        assert_eq!(
            Quantity::parse("1024Mi")
                .map(|size| size.to_string())
                .as_deref(),
            Some("1Gi")
        );
    }

    #[test]
    fn quotients_are_rounded_up_to_a_step() {
        let read = |text: &str| Quantity::parse(text).expect("a quantity");
        for (size, divisor, step, expected) in [
            ("100m", "3", "1m", "34m"),
            ("100m", "4", "1m", "25m"),
            ("16Mi", "2", "1", "8Mi"),
            ("10", "3", "1", "4"),
            ("100m", "1.5", "1m", "67m"),
            ("16Mi", "0", "1", "16Mi"),
            (
                "99999999999999999999999",
                "10",
                "1",
                "9999999999999999999999.9",
            ),
        ] {
            let found = read(size).divided_by(read(divisor), read(step));
            let expected = read(expected).divided_by(read("1"), read(step));
            assert_eq!(found, expected, "{size} {divisor}");
        }
        assert_eq!(read("1").saturating_sub(read("2")), read("0"));
        assert_eq!(read("1").saturating_add(read("2m")), read("1002m"));
    }

    #[test]
    fn quantities_are_compared_by_size() {
        let read = |text: &str| Quantity::read(&json!(text)).expect("a quantity");
        assert!(read("32Mi") > read("16Mi") && read("0.1") < read("101m"));
        assert!(read("-1m").is_negative() && !read("-0").is_negative());
        assert!(read("1k").is_integer() && !read("1m").is_integer());
    }
}
