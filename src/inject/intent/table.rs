//! `ISTIO_KUBE_APP_PROBERS`, byte for byte as Istio's injector writes it: compact JSON of Go's structs
//! (`k8s.io/api/core/v1`: `HTTPGetAction`, `TCPSocketAction`, `GRPCAction`), keys sorted.

use crate::inject::view::handler::{Handler, HandlerKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Paths of the status port, each with its prober as JSON.
#[derive(Debug, Default)]
pub(super) struct ProberTable(BTreeMap<Box<str>, String>);

impl ProberTable {
    pub(super) fn insert(&mut self, path: &str, prober: String) {
        self.0.insert(path.into(), prober);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Retains what a person has changed in a prober since injection. Timeout, target and headers always follow the pod.
    pub(super) fn retain_manual_edits(&mut self, path: &str, current: &Value, injected: &str) {
        let Some(prober) = self.0.get_mut(path) else {
            return;
        };
        let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
        if let (Some(new), Some(injected)) = (parse(prober), parse(injected))
            && let Some(merged) = with_manual_edits(current, &injected, &new)
        {
            *prober = escaped(&merged.to_string());
        }
    }
}

impl core::fmt::Display for ProberTable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("{")?;
        for (index, (path, prober)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{prober}", to_json(&Value::from(&**path)))?;
        }
        f.write_str("}")
    }
}

/// Whether two tables have the same probers, with defaults.
pub(super) fn is_same(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let defaulted = |table: &Map<String, Value>| -> BTreeMap<String, Value> {
        let probers = table.iter();
        probers
            .map(|(path, prober)| (path.clone(), defaulted(prober)))
            .collect()
    };
    defaulted(one) == defaulted(other)
}

/// A prober with the defaults of the API server and kubelet, and without empty fields.
fn defaulted(prober: &Value) -> Value {
    let mut prober = prober.clone();
    let Some(members) = prober.as_object_mut() else {
        return prober;
    };
    default_to(
        members,
        "timeoutSeconds",
        1.into(),
        &[Value::Null, 0.into()],
    );
    let no_text = [Value::Null, "".into()];
    for kind in HandlerKind::ALL {
        let Some(fields) = members.get_mut(kind.key()).and_then(Value::as_object_mut) else {
            continue;
        };
        fields.retain(|_, value| !is_empty(value));
        let defaults: &[(&str, &str)] = match kind {
            HandlerKind::HttpGet => &[("path", "/"), ("scheme", "HTTP"), ("protocol", "HTTP1")],
            HandlerKind::TcpSocket | HandlerKind::Exec => &[],
            HandlerKind::Grpc => &[("service", ""), ("mode", "Plaintext")],
        };
        for (name, default) in defaults {
            default_to(fields, name, (*default).into(), &no_text);
        }
    }
    prober
}

fn default_to(members: &mut Map<String, Value>, name: &str, default: Value, empty: &[Value]) {
    let value = members.get(name).unwrap_or(&Value::Null);
    if empty.contains(value) {
        members.insert(name.into(), default);
    }
}

/// The new prober with the manual edits of the current one; none if there are no manual edits.
fn with_manual_edits(current: &Value, injected: &Value, new: &Value) -> Option<Value> {
    let (current_full, injected_full) = (defaulted(current), defaulted(injected));
    let kind = HandlerKind::ALL
        .into_iter()
        .map(HandlerKind::key)
        .find(|kind| injected.get(kind).is_some())?;
    let mut merged = new.clone();
    let mut is_edited = false;
    for (name, value) in current.as_object()? {
        // A handler of another kind, or a field of a later version.
        if name != kind && name != "timeoutSeconds" && name != TARGET {
            merged[&**name] = value.clone();
            is_edited = true;
        }
    }
    let Some(fields) = current.get(kind).and_then(Value::as_object) else {
        if is_edited {
            merged.as_object_mut()?.remove(kind);
        }
        return is_edited.then_some(merged);
    };
    let names = fields
        .keys()
        .chain(injected[kind].as_object()?.keys())
        .filter(|name| *name != "httpHeaders");
    for name in names {
        if current_full[kind].get(name) == injected_full[kind].get(name) {
            continue;
        }
        is_edited = true;
        match fields.get(name) {
            Some(value) => merged[kind][&**name] = value.clone(),
            None => drop(merged[kind].as_object_mut()?.remove(name)),
        }
    }
    is_edited.then_some(merged)
}

/// The member of a prober with its address, which is ours: Istio's table has none.
pub(super) const TARGET: &str = "target";

/// The address that a prober probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeTarget {
    /// That of the agent's settings.
    Default,
    /// Loopback.
    Loopback,
}

/// A prober of this handler, with its port as a number.
pub(super) fn prober(handler: &Handler, port: u16, timeout: u64, target: ProbeTarget) -> String {
    let mut members = Vec::new();
    let mut member = |name: &str, value: Option<String>| {
        members.extend(value.map(|value| format!("{}:{value}", to_json(&name.into()))));
    };
    let set = |name| {
        let value = handler.fields.get(name);
        value.filter(|value| !is_empty(value)).map(to_json)
    };
    // The API server rejects an empty list, too: the check of the agent's settings reports it.
    let text = |name| {
        let value = handler.field(name).filter(|value| **value != "");
        value.map(to_json)
    };
    let kind = handler.kind;
    if kind == HandlerKind::HttpGet {
        member("path", text("path"));
    }
    member("port", Some(port.to_string()));
    match kind {
        HandlerKind::HttpGet => {
            member("scheme", text("scheme"));
            member("protocol", text("protocol"));
            member("httpHeaders", set("httpHeaders").and(headers(handler)));
            // A later version of the agent may support them.
            let unknown = handler.fields.iter();
            let unknown = unknown.filter(|(name, _)| !kind.fields().contains(&name.as_str()));
            for (name, value) in unknown.filter(|(_, value)| !value.is_null()) {
                member(name, Some(to_json(value)));
            }
        }
        HandlerKind::Grpc => {
            let service = handler.fields.get("service").map_or("null".into(), to_json);
            member("service", Some(service));
            member("mode", text("mode"));
        }
        HandlerKind::TcpSocket | HandlerKind::Exec => {}
    }
    let action = format!("\"{}\":{{{}}}", kind.key(), members.join(","));
    let timeout = match timeout {
        0 => String::new(),
        _ => format!(",\"timeoutSeconds\":{timeout}"),
    };
    let target = match target {
        ProbeTarget::Default => String::new(),
        ProbeTarget::Loopback => format!(",\"{TARGET}\":\"loopback\""),
    };
    format!("{{{action}{timeout}{target}}}")
}

/// A prober with these members.
pub(super) fn prober_of(members: &Map<String, Value>) -> String {
    to_json(&Value::Object(members.clone()))
}

/// Whether Go's `omitempty` omits a value, or it is null.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The headers, each with name and value. Anything else is copied, because the check of the agent's settings reports
/// it.
fn headers(handler: &Handler) -> Option<String> {
    let value = handler.fields.get("httpHeaders")?;
    let Some(list) = value.as_array() else {
        return Some(to_json(value));
    };
    let text = |header: &Value, name| header.get(name).map_or(r#""""#.into(), to_json);
    let header = |header: &Value| match header.is_object() {
        true => format!(
            r#"{{"name":{},"value":{}}}"#,
            text(header, "name"),
            text(header, "value")
        ),
        false => to_json(header),
    };
    let list: Vec<String> = list.iter().map(header).collect();
    Some(format!("[{}]", list.join(",")))
}

fn to_json(value: &Value) -> String {
    escaped(&value.to_string())
}

/// Escapes the characters that Go's encoder escapes in addition to JSON's, and `$`, which Kubernetes would expand as a
/// reference to a variable.
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
