//! Quantities of `resources`, which the API server rewrites in canonical form (`0.5` becomes `500m`)
//! (`k8s.io/apimachinery/pkg/api/resource`: `Quantity`).

use serde_json::Value;

/// Suffixes, each with its base and exponent.
const SUFFIXES: [(&str, i128, u32); 12] = [
    ("Ki", 1024, 1),
    ("Mi", 1024, 2),
    ("Gi", 1024, 3),
    ("Ti", 1024, 4),
    ("Pi", 1024, 5),
    ("Ei", 1024, 6),
    ("k", 10, 3),
    ("M", 10, 6),
    ("G", 10, 9),
    ("T", 10, 12),
    ("P", 10, 15),
    ("E", 10, 18),
];

/// Suffixes of fractions, each with its exponent of ten.
const FRACTIONS: [(&str, u32); 3] = [("n", 9), ("u", 6), ("m", 3)];

/// The maximum number of decimal places of a quantity.
const NANO: u32 = 9;

/// Whether two values are the same quantity.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    match (nanos(one), nanos(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// A quantity in billionths, rounded up as the API server does.
fn nanos(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let Decimal { digits, places } = Decimal::parse(number)?;
    let scale = Scale::of(suffix)?;
    let factor = scale
        .base
        .checked_pow(scale.exponent)?
        .checked_mul(10_i128.checked_pow(NANO)?)?;
    let size = digits.checked_mul(factor)?;
    let divisor = 10_i128.checked_pow(scale.divisor.checked_add(places)?)?;
    let rest = i128::from(size % divisor > 0);
    Some(size / divisor + rest)
}

/// A decimal number: `digits` divided by ten to the power of `places`.
struct Decimal {
    digits: i128,
    places: u32,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.starts_with(['+', '-']) {
            return None;
        }
        Some(Self {
            digits: format!("{whole}{fraction}").parse().ok()?,
            places: u32::try_from(fraction.len()).ok()?,
        })
    }
}

/// The factor of a suffix: `base` to the power of `exponent`, divided by ten to the power of `divisor`.
struct Scale {
    base: i128,
    exponent: u32,
    divisor: u32,
}

impl Scale {
    fn of(suffix: &str) -> Option<Self> {
        let decimal = |exponent, divisor| Self {
            base: 10,
            exponent,
            divisor,
        };
        if suffix.is_empty() {
            return Some(decimal(0, 0));
        }
        if let Some((_, base, exponent)) = SUFFIXES.iter().find(|(known, ..)| *known == suffix) {
            let (base, exponent) = (*base, *exponent);
            return Some(Self {
                base,
                ..decimal(exponent, 0)
            });
        }
        if let Some((_, divisor)) = FRACTIONS.iter().find(|(known, _)| *known == suffix) {
            return Some(decimal(0, *divisor));
        }
        let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        let size = exponent.unsigned_abs();
        Some(match exponent {
            0.. => decimal(size, 0),
            _ => decimal(0, size),
        })
    }
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
            (json!("5e-1"), json!("500m")),
            (json!("1500u"), json!("1.5m")),
            (json!("0.0000000001"), json!("1n")),
            (json!("+1"), json!("1")),
            (json!(".5"), json!("0.5")),
            (json!("1."), json!("1")),
        ] {
            assert!(is_same(&one, &other), "{one} {other}");
        }
        for (one, other) in [
            (json!("1"), json!("1m")),
            (json!("1M"), json!("1Mi")),
            (json!("1x"), json!("1")),
            (json!("9e99"), json!("8e99")),
            (json!({}), json!("1")),
        ] {
            assert!(!is_same(&one, &other), "{one} {other}");
        }
    }
}
