//! Quantities in canonical form (`k8s.io/apimachinery/pkg/api/resource`: `ParseQuantity`, `CanonicalizeBytes`),
//! rounded up to milli as `SetDefaults_ResourceList` does.

use serde_json::Value;

/// Which suffixes a quantity is written with.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    DecimalExponent,
    DecimalSi,
    BinarySi,
}

/// A quantity in units of 10^-9.
struct Quantity {
    nanos: i128,
    format: Format,
}

const NANOS: i128 = 1_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;
const DECIMAL: [(&str, i32); 9] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
];
const BINARY: [&str; 5] = ["Ki", "Mi", "Gi", "Ti", "Pi"];

/// The canonical form of a quantity; none if it is not a quantity.
pub fn canonical(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().into(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let Quantity { nanos, format } = parse(&text)?;
    let millis = round_up(nanos, NANOS_PER_MILLI);
    Some(write(millis, format))
}

/// Whether one quantity is at most another.
pub fn at_most(one: &Value, other: &Value) -> bool {
    let nanos = |value: &Value| match value {
        Value::String(text) => Some(parse(text)?.nanos),
        Value::Number(number) => Some(parse(&number.to_string())?.nanos),
        _ => None,
    };
    match (nanos(one), nanos(other)) {
        (Some(one), Some(other)) => one <= other,
        _ => false,
    }
}

/// Writes the quantities of `resources` as they are written now, where they are the same.
pub fn keep_spellings(current: &Value, resources: &mut Value) {
    for group in ["limits", "requests"] {
        let members = resources.get_mut(group).and_then(Value::as_object_mut);
        for (name, value) in members.into_iter().flatten() {
            let spelling = &current[group][&**name];
            if at_most(spelling, value) && at_most(value, spelling) {
                *value = spelling.clone();
            }
        }
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-' && c != '+')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = fraction.len() + whole.trim_start_matches(['+', '-']).len();
    if digits == 0 {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    if let Some(power) = BINARY.iter().position(|binary| *binary == suffix) {
        let factor = 1024_i128.pow(u32::try_from(power).ok()? + 1);
        let nanos = scaled(mantissa.checked_mul(factor)?, 9 - places)?;
        let format = match nanos.abs() < NANOS {
            true => Format::DecimalSi,
            false => Format::BinarySi,
        };
        return Some(Quantity { nanos, format });
    }
    let (exponent, format) = match DECIMAL.iter().find(|(decimal, _)| *decimal == suffix) {
        Some((_, exponent)) => (*exponent, Format::DecimalSi),
        None => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            (exponent.parse().ok()?, Format::DecimalExponent)
        }
    };
    let nanos = scaled(mantissa, 9 - places + exponent)?;
    Some(Quantity { nanos, format })
}

/// `value` times 10 to the power of `exponent`, rounded up.
fn scaled(value: i128, exponent: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(exponent.unsigned_abs())?;
    match exponent >= 0 {
        true => value.checked_mul(factor),
        false => Some(round_up(value, factor) / factor),
    }
}

fn round_up(value: i128, unit: i128) -> i128 {
    let rest = value.rem_euclid(unit);
    if rest == 0 {
        value
    } else {
        value - rest + unit
    }
}

fn write(nanos: i128, format: Format) -> String {
    if nanos == 0 {
        return "0".into();
    }
    let is_whole = nanos % NANOS == 0 && nanos.abs() >= 1024 * NANOS;
    if format == Format::BinarySi && is_whole {
        let mut number = nanos / NANOS;
        let mut power = 0;
        while number % 1024 == 0 && power < BINARY.len() {
            number /= 1024;
            power += 1;
        }
        let suffix = power.checked_sub(1).map_or("", |power| BINARY[power]);
        return format!("{number}{suffix}");
    }
    let (mut number, mut exponent) = (nanos, -9);
    while number % 1000 == 0 {
        number /= 1000;
        exponent += 3;
    }
    match (format, exponent) {
        (_, 0) => number.to_string(),
        (Format::DecimalExponent, exponent) => format!("{number}e{exponent}"),
        (_, exponent) => {
            let suffix = DECIMAL.iter().find(|(_, of)| *of == exponent);
            format!("{number}{}", suffix.map_or("E", |(suffix, _)| suffix))
        }
    }
}
