//! Durations as Go writes them (`time.ParseDuration`, `Duration.String`): `250ms`, `1.5s`, `1m30s`.

use core::fmt::{self, Formatter};
use core::time::Duration;

const SECOND: u128 = 1_000_000_000;

/// The units, each before those that are a prefix of it.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// Parses a duration. A negative one is zero: no timeout may be either.
pub fn parse(text: &str) -> Option<Duration> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return None;
    }
    let (mut rest, mut nanos) = (unsigned, 0_u128);
    while !rest.is_empty() {
        let (term, after) = parse_term(rest)?;
        nanos = nanos.checked_add(term)?;
        rest = after;
    }
    // Go's durations have 63 bits.
    let nanos = i64::try_from(nanos).ok()?;
    match text.starts_with('-') {
        true => Some(Duration::ZERO),
        false => Some(Duration::from_nanos(nanos.unsigned_abs())),
    }
}

/// A number and its unit. Returns the nanoseconds, and the text after them.
fn parse_term(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (decimals, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit());
    let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let (_, unit) = UNITS.into_iter().find(|(unit, _)| *unit == name)?;
    let whole: u128 = match whole {
        "" => 0,
        // More digits are more than 63 bits of any unit.
        digits if digits.trim_start_matches('0').len() > 19 => return None,
        digits => digits.parse().ok()?,
    };
    // Further digits are less than a nanosecond.
    let decimals = &decimals[..decimals.len().min(18)];
    let numerator: u128 = match decimals {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let denominator = 10_u128.pow(decimals.len() as u32);
    Some((whole * unit + numerator * unit / denominator, rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// A duration as Go prints it.
pub struct GoDuration(pub Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 1_000, "\u{b5}s"),
            1_000_000..SECOND => write_decimal(f, nanos, 1_000_000, "ms"),
            _ => {
                let minutes = nanos / SECOND / 60;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write_decimal(f, nanos % (60 * SECOND), SECOND, "s")
            }
        }
    }
}

/// Writes `nanos` in a unit, a power of ten, without zeros at the end.
fn write_decimal(f: &mut Formatter<'_>, nanos: u128, unit: u128, name: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit)?;
    let width = unit.ilog10() as usize;
    let decimals = format!("{:0width$}", nanos % unit);
    match decimals.trim_end_matches('0') {
        "" => f.write_str(name),
        decimals => write!(f, ".{decimals}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_parsed_as_go_parses_it() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("1s", 1_000_000_000),
            ("250ms", 250_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h", 3_600_000_000_000),
            ("+1us", 1_000),
            ("1\u{b5}s1\u{3bc}s", 2_000),
            ("1.5h0.1ns", 5_400_000_000_000),
            ("-1s", 0),
            ("2562047h", 9_223_369_200_000_000_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "-",
            "1",
            "1.5",
            ".s",
            "s",
            "1 s",
            "1d",
            "1S",
            "--1s",
            "1s1",
            "3000000h",
            "99999999999999999999999999999999999999999s",
            "1e3s",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_printed_as_go_prints_it() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (250_000_000, "250ms"),
            (1_000_000_000, "1s"),
            (3_300_000_000, "3.3s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_405_001_000_000, "1h30m5.001s"),
        ] {
            assert_eq!(GoDuration(Duration::from_nanos(nanos)).to_string(), text);
        }
    }
}
