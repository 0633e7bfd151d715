//! Resolves plain scalars as kubectl does, with the words and numbers of YAML 1.1
//! (`sigs.k8s.io/yaml` over `go.yaml.in/yaml/v2`, `resolve.go`).

use super::error::ParseErrorKind;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Number, Value};

/// Go's `base64.StdEncoding`: requires padding and ignores trailing bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The words that are not strings, in all spellings that readers accept.
const WORDS: [(&[&str], Word); 3] = [
    (&["", "~", "null", "Null", "NULL"], Word::Null),
    (
        &[
            "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
        ],
        Word::Bool(true),
    ),
    (
        &[
            "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF",
        ],
        Word::Bool(false),
    ),
];

#[derive(Clone, Copy)]
enum Word {
    Null,
    Bool(bool),
}

/// The value of a plain scalar without a tag. Numbers that JSON cannot represent (`.inf`, `.nan`) become strings.
pub(super) fn parse_plain(text: &str) -> Value {
    parse_word(text)
        .or_else(|| parse_number(text))
        .unwrap_or_else(|| text.into())
}

fn parse_word(text: &str) -> Option<Value> {
    if text.len() > 5 {
        return None;
    }
    let (_, word) = WORDS
        .iter()
        .find(|(spellings, _)| spellings.contains(&text))?;
    Some(match word {
        Word::Null => Value::Null,
        Word::Bool(value) => Value::Bool(*value),
    })
}

fn parse_number(text: &str) -> Option<Value> {
    match text.bytes().next()? {
        b'0'..=b'9' | b'+' | b'-' => {
            let digits = text.replace('_', "");
            parse_integer(&digits).or_else(|| parse_float(&digits))
        }
        b'.' => parse_float(text),
        _ => None,
    }
}

/// Go's `ParseInt` and `ParseUint` with base 0: `0x`, `0o`, `0b`, and a leading zero for octal.
fn parse_integer(text: &str) -> Option<Value> {
    let (is_negative, has_sign, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match (i64::try_from(magnitude), is_negative) {
        (Ok(magnitude), false) => Some(magnitude.into()),
        (Ok(magnitude), true) => Some((-magnitude).into()),
        (Err(_), true) => (magnitude == 1 << 63).then(|| i64::MIN.into()),
        (Err(_), false) => (!has_sign).then(|| magnitude.into()),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn parse_float(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_candidate = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let float: f64 = is_candidate.then(|| text.parse().ok())??;
    float_value(float)
}

/// A float as Go writes it to JSON: an integer if it has no fraction.
fn float_value(float: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if float.fract() == 0.0 && float.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
        return Some((float as i64).into());
    }
    Number::from_f64(float).map(Value::Number)
}

/// Decodes a `!!binary` scalar. Like Go's decoder, it ignores line breaks only.
///
/// # Errors
/// The text is not base64, or its bytes are not UTF-8: kubectl replaces them with U+FFFD, other readers keep them.
pub(super) fn decode_binary(text: &str) -> Result<Value, ParseErrorKind> {
    let text = text.replace(['\r', '\n'], "");
    let bytes = BASE64
        .decode(text)
        .map_err(|_| ParseErrorKind::InvalidBase64)?;
    let text = String::from_utf8(bytes).map_err(|_| ParseErrorKind::BinaryNotUtf8)?;
    Ok(text.into())
}

/// A scalar as a JSON key; `None` for null.
pub(super) fn key_name(value: &Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
