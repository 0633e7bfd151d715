//! The agent's table of probers in the environment of a sidecar.

use crate::limits;
use serde_json::{Map, Value};

/// The environment variable with the agent's table of probers.
pub(in crate::inject) const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";

/// The text of the table of probers in a sidecar.
pub(in crate::inject) fn table_text(sidecar: &Value) -> Option<&str> {
    let mut variables = sidecar["env"].as_array()?.iter();
    let table = variables.find(|variable| variable["name"] == PROBERS)?;
    // The agent does not start with a longer one.
    let text = table["value"].as_str();
    text.filter(|text| text.len() <= limits::PROBERS_JSON_BYTES)
}

/// A table of probers; empty if it cannot be parsed.
pub(super) fn parse_table(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}
