//! Header fields that a tool sends.

use super::conversion::{Reason, quoted};
use crate::config::headers;
use crate::wire::fields::UNSENT_FIELDS;
use serde_json::{Value, json};

/// Parses `NAME: VALUE`, the value of a flag `-H`. Refuses `@FILE`, and `NAME:`, which removes a field of curl.
pub(super) fn parse(text: &str) -> Result<(&str, &str), Reason> {
    // Without the value, which may be a secret.
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let value = headers::trim(value);
    let canonical = headers::canonical_name(name);
    let is_sent = canonical.is_some_and(|name| !UNSENT_FIELDS.contains(&&*name));
    if name.eq_ignore_ascii_case("User-Agent") {
        return Err("sets User-Agent, of which the agent sends kubelet's".into());
    }
    match is_sent && !value.is_empty() && headers::is_value(value) {
        true => Ok((name, value)),
        false => Err(format!("has the header {}", quoted(name)).into()),
    }
}

/// Refuses two fields of one name where the tool and the agent may send another one of them.
pub(super) fn check_unique(fields: &[(&str, &str)]) -> Result<(), Reason> {
    for name in ["Host", "Accept"] {
        let found = fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        if found.count() > 1 {
            return Err(format!("has more than one header {name}").into());
        }
    }
    Ok(())
}

/// `httpHeaders` with these fields.
pub(super) fn list<'h>(fields: impl Iterator<Item = (&'h str, &'h str)>) -> Value {
    fields
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}
