//! `ISTIO_KUBE_APP_PROBERS`, byte for byte as Istio's injector writes it: compact JSON from Go's structs
//! (`k8s.io/api/core/v1`: `HTTPGetAction`, `TCPSocketAction`, `GRPCAction`), keys sorted.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The variable.
pub(super) const VARIABLE: &str = "ISTIO_KUBE_APP_PROBERS";

/// Paths of the status port, each with its prober as JSON.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<Box<str>, String>);

impl Table {
    pub(super) fn insert(&mut self, path: &str, prober: String) {
        self.0.insert(path.into(), prober);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an earlier table has of the same path goes first, so that a prober that was improved by hand
    /// stays so; but not its timeout and headers, which are the probe's. Only for paths whose probe is still as
    /// it was left.
    pub(super) fn keep(&mut self, earlier: &Value, is_left: impl Fn(&str) -> bool) {
        for (path, prober) in &mut self.0 {
            let (Some(old), Ok(new)) = (
                earlier.get(&**path).and_then(Value::as_object),
                serde_json::from_str::<Map<String, Value>>(prober),
            ) else {
                continue;
            };
            let mut kept = old.clone();
            for key in ["timeoutSeconds", "httpGet"] {
                take_over(&mut kept, &new, key);
            }
            if kept == new || !is_left(path) {
                continue;
            }
            *prober = escaped(&Value::Object(kept).to_string());
        }
    }
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("{")?;
        for (index, (path, prober)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{prober}", json(&Value::from(&**path)))?;
        }
        f.write_str("}")
    }
}

/// Makes a member, or the headers in it, what it is elsewhere.
fn take_over(kept: &mut Map<String, Value>, new: &Map<String, Value>, key: &str) {
    if let (Some(Value::Object(kept)), Some(Value::Object(new))) = (kept.get_mut(key), new.get(key))
    {
        return take_over(kept, new, "httpHeaders");
    }
    if key == "httpGet" {
        return;
    }
    match new.get(key) {
        Some(value) => drop(kept.insert(key.into(), value.clone())),
        None => drop(kept.remove(key)),
    }
}

/// A prober: what the probe's handler of this kind says, its port as a number.
pub(super) fn prober(kind: &str, handler: &Map<String, Value>, port: u16, timeout: u64) -> String {
    let mut members = Vec::new();
    let mut member = |name: &str, value: Option<String>| {
        members.extend(value.map(|value| format!("\"{name}\":{value}")));
    };
    let given = |name| handler.get(name).filter(|value| !is_empty(value)).map(json);
    if kind == "httpGet" {
        member("path", given("path"));
    }
    member("port", Some(port.to_string()));
    match kind {
        "httpGet" => {
            member("scheme", given("scheme"));
            member("protocol", given("protocol"));
            member("httpHeaders", given("httpHeaders").and(headers(handler)));
        }
        "grpc" => {
            let service = handler.get("service").map_or("null".into(), json);
            member("service", Some(service));
            member("mode", given("mode"));
        }
        _ => {}
    }
    let action = format!("\"{kind}\":{{{}}}", members.join(","));
    match timeout {
        0 => format!("{{{action}}}"),
        _ => format!("{{{action},\"timeoutSeconds\":{timeout}}}"),
    }
}

/// What Go's `omitempty` leaves out, and null.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A list that is none, or a header that is none, goes on as it is: whoever reads the table says what is wrong.
fn headers(handler: &Map<String, Value>) -> Option<String> {
    let value = handler.get("httpHeaders")?;
    let Some(list) = value.as_array() else {
        return Some(json(value));
    };
    let text = |header: &Value, name| header.get(name).map_or(r#""""#.into(), json);
    let header = |header: &Value| match header.is_object() {
        true => format!(
            r#"{{"name":{},"value":{}}}"#,
            text(header, "name"),
            text(header, "value")
        ),
        false => json(header),
    };
    let list: Vec<String> = list.iter().map(header).collect();
    Some(format!("[{}]", list.join(",")))
}

fn json(value: &Value) -> String {
    escaped(&value.to_string())
}

/// What Go's encoder escapes beyond what JSON must, and `$`, which Kubernetes would take for a reference to
/// another variable.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '$' => {
                escaped += &format!("\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}
