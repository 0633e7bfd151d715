//! The result of a conversion, and the parts of a command that several tools have.

use crate::text::Quoted;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A prober that takes the place of a command.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::inject) struct Conversion {
    /// The port of the app.
    pub(in crate::inject) port: u16,
    /// The members of the prober, without its timeout.
    pub(in crate::inject) members: Map<String, Value>,
    /// The command's own timeout in seconds, if it has one.
    pub(in crate::inject) timeout: Option<u64>,
}

impl Conversion {
    /// Whether the agent probes over TLS.
    pub(in crate::inject) fn is_tls(&self) -> bool {
        let is = |kind: &str, field: &str, value: &str| {
            let member = self.members.get(kind);
            member.is_some_and(|handler| handler[field] == value)
        };
        is("httpGet", "scheme", "HTTPS") || is("grpc", "mode", "TLS")
    }
}

/// Why a command is not converted: the rest of a sentence that starts with `it`.
pub(in crate::inject) type Reason = Cow<'static, str>;

/// The names of the variables of a container.
pub(super) fn variable_names(env: &Value) -> impl Iterator<Item = &str> {
    let variables = env.as_array().into_iter().flatten();
    variables.filter_map(|variable| variable["name"].as_str())
}

/// A timeout of whole seconds. `unit` follows the number.
pub(super) fn whole_seconds(flag: &str, text: &str, unit: &str) -> Result<u64, Reason> {
    let number = text.strip_suffix(unit);
    let number = number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    match number.and_then(|number| number.parse().ok()) {
        Some(seconds @ 1..=MAX_SECONDS) => Ok(seconds),
        _ => Err(format!(
            "has {flag} {}: only whole seconds are converted",
            quoted(text)
        )
        .into()),
    }
}

/// The largest `timeoutSeconds` that the API server accepts (`int32`).
const MAX_SECONDS: u64 = 2_147_483_647;

/// The most characters of a word of a command in a reason.
const QUOTED_CHARS: usize = 40;

/// The start of a word of a command, in quotes.
pub(super) fn quoted(word: &str) -> String {
    let start = word.char_indices().nth(QUOTED_CHARS);
    Quoted(start.map_or(word, |(end, _)| &word[..end])).to_string()
}
