//! The annotation `probelet.dev/original`: the parts of a pod that injection replaced, as a JSON object.
//!
//! | key                                 | value |
//! |-------------------------------------|-------|
//! | `version`                           | 2; an annotation of 0.1.0 has none |
//! | `sidecar`                           | the optional settings that injection wrote into the sidecar |
//! | `web.livenessProbe.httpGet.port`    | the field's original `was`, its original `key` if it was renamed, and the number that a port name resolved to (`port`) |
//! | `web.livenessProbe.httpGet`         | the original `key` of the handler |
//! | `spec.volumes`, `metadata`, ...     | what a collection was before injection filled it: `was`, or null if it was absent |
//!
//! `was` is source text. `is` is its value, unless the text alone has that value. An entry with `source` has the
//! source text of a place that injection had to write out: a YAML alias, a mapping with a merge key, or a probe with a
//! null under `httpGet` (`"null": true`). `sidecar` has settings, `ports`, and whether there is a `volume`.

use crate::inject::view::handler::HandlerKind;
use crate::inject::view::probe_kind::is_key;
use crate::manifest::fragment_value;
use crate::telemetry::Quoted;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The annotation.
pub(in crate::inject) const ANNOTATION: &str = "probelet.dev/original";
/// Istio's annotation that lists the ports its traffic rules leave out.
pub(in crate::inject) const EXCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/excludeInboundPorts";

/// The version that this code writes, and the newest that it reads.
const VERSION: u64 = 2;
/// The key of `metadata.annotations.traffic.sidecar.istio.io/excludeInboundPorts`.
const EXCLUDE_INBOUND_PLACE: &str =
    "metadata.annotations.traffic.sidecar.istio.io/excludeInboundPorts";
/// Collections that injection creates or fills.
const COLLECTIONS: [&str; 5] = [
    "metadata",
    "metadata.annotations",
    "spec.initContainers",
    "spec.containers",
    "spec.volumes",
];
/// The longest place that an error quotes.
const QUOTED_PLACE: usize = 200;

/// The content of the annotation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::inject) struct Saved {
    /// Whether 0.1.0 wrote it.
    is_first_version: bool,
    /// By probe: `web.livenessProbe`, `web.lifecycle.preStop`.
    pub(in crate::inject) probes: BTreeMap<Box<str>, SavedProbe>,
    /// Collections that injection created, or filled; none if the collection was absent.
    pub(in crate::inject) collections: BTreeMap<Box<str>, Option<SavedValue>>,
    /// The annotation with the ports that traffic rules leave out; an inner none if it was absent.
    pub(in crate::inject) excluded_ports: Option<Option<SavedValue>>,
    /// Source texts of other places that injection wrote out: `web.lifecycle`, `metadata.annotations`.
    pub(in crate::inject) sources: BTreeMap<Box<str>, Box<str>>,
    /// The optional settings that injection wrote into the sidecar.
    pub(in crate::inject) sidecar: Option<Value>,
}

/// The parts of a probe or hook that injection replaced.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::inject) struct SavedProbe {
    /// Source text of the whole probe, if injection wrote it out.
    pub(in crate::inject) source: Option<Box<str>>,
    /// Source text of the handler, if injection wrote that out.
    pub(in crate::inject) handler_source: Option<Box<str>>,
    /// Whether the probe had a null under the key `httpGet`.
    pub(in crate::inject) has_null: bool,
    /// Source text of the handler's key, if that was not `httpGet`.
    pub(in crate::inject) key: Option<Box<str>>,
    /// By the name that the field has in the rewritten probe.
    pub(in crate::inject) fields: BTreeMap<Box<str>, SavedField>,
}

/// The original of a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::inject) struct SavedField {
    /// The value, if that was replaced.
    pub(in crate::inject) value: Option<SavedValue>,
    /// Source text of the key, if that was replaced.
    pub(in crate::inject) key: Option<Box<str>>,
    /// The number that a port name resolved to.
    pub(in crate::inject) port: Option<u16>,
}

/// A value that was replaced.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::inject) struct SavedValue {
    /// Its source text.
    pub(in crate::inject) text: Box<str>,
    /// The value; 0.1.0 did not save that of an alias.
    pub(in crate::inject) value: Option<Value>,
}

impl SavedValue {
    pub(in crate::inject) fn new(text: Option<Box<str>>, value: &Value) -> Self {
        Self {
            text: text.unwrap_or_else(|| value.to_string().into()),
            value: Some(value.clone()),
        }
    }
}

impl SavedField {
    /// Whether injection added the field.
    pub(in crate::inject) fn is_added(&self) -> bool {
        self.value.is_none() && self.key.is_none()
    }
}

impl SavedProbe {
    /// The kind of the original handler.
    pub(in crate::inject) fn kind(&self) -> HandlerKind {
        let key = self.key.as_deref().map(key_of_text);
        key.and_then(|key| HandlerKind::from_key(&key))
            .unwrap_or(HandlerKind::HttpGet)
    }

    /// Whether the original path is this one.
    pub(super) fn has_path(&self, path: &str) -> bool {
        let field = self
            .fields
            .get("path")
            .and_then(|field| field.value.as_ref());
        field.is_some_and(|saved| saved.value.as_ref().is_some_and(|value| value == path))
    }

    /// Whether the probe was pointed at a path of the status port, and not at a forwarded port.
    pub(in crate::inject) fn is_rewritten(&self) -> bool {
        self.fields.contains_key("path")
    }
}

/// The place below which the fields of a probe's handler are saved.
pub(in crate::inject) fn handler_place(probe: &str) -> String {
    format!("{probe}.{}", HandlerKind::HttpGet.key())
}

/// The name in a key's source text.
pub(in crate::inject) fn key_of_text(text: &str) -> Box<str> {
    let entry = fragment_value(&format!("{{{text}: 0}}"));
    let name = entry
        .as_ref()
        .and_then(|entry| entry.as_object()?.keys().next());
    name.map_or_else(|| text.into(), |name| (**name).into())
}

/// The source text of a key, if it can be read back as this name, else the name.
pub(in crate::inject) fn key_text(text: Option<Box<str>>, name: &str) -> Box<str> {
    text.filter(|text| *key_of_text(text) == *name)
        .unwrap_or_else(|| Value::from(name).to_string().into())
}

impl Saved {
    /// Reads the annotation's value.
    ///
    /// # Errors
    /// The reason why it is not what injection writes, and advice.
    pub(in crate::inject) fn read(annotation: &Value) -> Result<Self, String> {
        let parsed = serde_json::from_str(annotation.as_str().unwrap_or_default());
        let Ok(Value::Object(places)) = parsed else {
            return Err(broken(""));
        };
        let mut saved = Self {
            is_first_version: true,
            ..Self::default()
        };
        if let Some(version) = places.get("version") {
            if version.as_u64() != Some(VERSION) {
                return Err(newer(version));
            }
            saved.is_first_version = false;
        }
        for (place, value) in &places {
            saved.read_place(place, value).ok_or_else(|| {
                if place.len() > QUOTED_PLACE {
                    broken("")
                } else {
                    broken(&format!(", at {}", Quoted(place)))
                }
            })?;
        }
        Ok(saved)
    }

    /// Whether 0.1.0 wrote it.
    pub(in crate::inject) fn is_first_version(&self) -> bool {
        self.is_first_version
    }

    /// The ports on which the sidecar listened; 0.1.0 did not save them.
    pub(super) fn ports(&self) -> Vec<u16> {
        let ports = self
            .sidecar
            .as_ref()
            .and_then(|sidecar| sidecar["ports"].as_array());
        let ports = ports.into_iter().flatten();
        ports
            .filter_map(|port| port.as_u64()?.try_into().ok())
            .collect()
    }

    /// Whether injection added a volume; 0.1.0 did not save that.
    pub(super) fn has_volume(&self) -> bool {
        let saved = self.sidecar.as_ref();
        self.is_first_version || saved.is_some_and(|sidecar| sidecar["volume"] == true)
    }

    fn read_place(&mut self, place: &str, value: &Value) -> Option<()> {
        match place {
            "version" => return Some(()),
            "sidecar" => {
                self.sidecar = Some(value.clone()).filter(Value::is_object);
                return self.sidecar.is_some().then_some(());
            }
            _ => {}
        }
        let entry = Entry::read(value)?;
        if place == EXCLUDE_INBOUND_PLACE {
            let is_text = |value: &Value| !value.is_object() && !value.is_array();
            let value = entry.value(is_text)?;
            self.excluded_ports = Some(value);
        } else if COLLECTIONS.contains(&place) {
            match entry.source() {
                Some(source) => drop(self.sources.insert(place.into(), source)),
                None => drop(
                    self.collections
                        .insert(place.into(), entry.value(is_empty)?),
                ),
            }
        } else if let Some(probe) = place.strip_suffix(".httpGet").filter(|key| is_key(key)) {
            let saved = self.probes.entry(probe.into()).or_default();
            saved.handler_source = entry.source();
            saved.key = entry.key.clone();
            let kind = saved.kind();
            let is_known = entry.key.is_none() || kind != HandlerKind::HttpGet;
            return (is_known && (entry.was.is_none() || saved.handler_source.is_some()))
                .then_some(());
        } else if is_key(place) {
            let saved = self.probes.entry(place.into()).or_default();
            saved.has_null = entry.has_null;
            saved.source = Some(entry.source()?);
        } else if let Some((probe, field)) = field_place(place) {
            let saved = self.probes.entry(probe.into()).or_default();
            saved.fields.insert(field.into(), entry.field(field)?);
        } else if place.ends_with(".lifecycle") {
            self.sources.insert(place.into(), entry.source()?);
        } else if !entry.is_null {
            return None;
        }
        Some(())
    }

    /// The annotation's value.
    pub(in crate::inject) fn write(&self) -> Value {
        let mut places = Map::new();
        places.insert("version".into(), VERSION.into());
        if let Some(sidecar) = &self.sidecar {
            places.insert("sidecar".into(), sidecar.clone());
        }
        for (place, value) in &self.collections {
            places.insert((**place).into(), optional(value.as_ref()));
        }
        if let Some(ports) = &self.excluded_ports {
            places.insert(EXCLUDE_INBOUND_PLACE.into(), optional(ports.as_ref()));
        }
        let source = |source: &str| json!({"source": source});
        for (place, text) in &self.sources {
            places.insert((**place).into(), source(text));
        }
        for (probe, saved) in &self.probes {
            if let Some(text) = &saved.source {
                let mut entry = source(text);
                if saved.has_null {
                    entry["null"] = true.into();
                }
                places.insert((**probe).into(), entry);
            }
            let place = handler_place(probe);
            let mut handler = Map::new();
            if let Some(key) = &saved.key {
                handler.insert("key".into(), (**key).into());
            }
            if let Some(text) = &saved.handler_source {
                handler.insert("source".into(), (**text).into());
            }
            for (name, field) in &saved.fields {
                places.insert(format!("{place}.{name}"), field_entry(field));
            }
            if !handler.is_empty() {
                places.insert(place, handler.into());
            }
        }
        Value::Object(places).to_string().into()
    }
}

/// The probe and the field of `web.livenessProbe.httpGet.port`.
fn field_place(place: &str) -> Option<(&str, &str)> {
    let (handler, field) = place.rsplit_once('.')?;
    let probe = handler.strip_suffix(".httpGet")?;
    let is_known = ["path", "port", "protocol", "scheme"].contains(&field);
    (is_known && is_key(probe)).then_some((probe, field))
}

/// One member of the annotation.
struct Entry {
    is_null: bool,
    was: Option<SavedValue>,
    source: Option<Box<str>>,
    key: Option<Box<str>>,
    port: Option<u16>,
    has_null: bool,
}

impl Entry {
    fn read(value: &Value) -> Option<Self> {
        let empty = Map::new();
        let members = match value {
            Value::Null => &empty,
            Value::Object(members) => members,
            _ => return None,
        };
        let text = |name| match members.get(name) {
            None => Some(None),
            Some(value) => value.as_str().map(|text| Some(Box::from(text))),
        };
        let was = text("was")?.map(|text: Box<str>| SavedValue {
            value: members.get("is").cloned().or_else(|| fragment_value(&text)),
            text,
        });
        let port = match members.get("port") {
            None => None,
            Some(port) => Some(port.as_u64()?.try_into().ok()?),
        };
        Some(Self {
            is_null: value.is_null(),
            was,
            source: text("source")?,
            key: text("key")?,
            port,
            has_null: members.get("null") == Some(&true.into()),
        })
    }

    /// The source text of what injection wrote out. 0.1.0 saved aliases alone, as `was`.
    fn source(&self) -> Option<Box<str>> {
        let alias = self.was.as_ref().map(|was| &was.text);
        let alias = alias.filter(|text| text.trim_start().starts_with('*'));
        self.source.clone().or_else(|| alias.cloned())
    }

    /// The original value of a collection or an annotation, if a pod can have had it: anyone can edit the
    /// annotation.
    fn value(self, is_possible: fn(&Value) -> bool) -> Option<Option<SavedValue>> {
        let is_possible = match &self.was {
            None => true,
            Some(was) => was.value.as_ref().is_none_or(is_possible),
        };
        (is_possible && self.key.is_none() && self.source.is_none()).then_some(self.was)
    }

    /// The original of this field of a rewritten probe, if a pod can have had it.
    fn field(self, name: &str) -> Option<SavedField> {
        let key = self.key.as_deref().map(key_of_text);
        let is_possible = |value: &Value| match name {
            "port" => value.is_u64() || value.is_string(),
            _ => value.is_null() || value.is_string(),
        };
        let is_value = match self.was.as_ref().map(|was| &was.value) {
            None => name != "port",
            Some(value) => value.as_ref().is_none_or(is_possible),
        };
        let is_key = matches!(
            (name, key.as_deref()),
            (_, None) | ("path", Some("service")) | ("scheme", Some("mode"))
        );
        (is_value && is_key && self.source.is_none()).then_some(SavedField {
            value: self.was,
            key: self.key,
            port: self.port,
        })
    }
}

fn optional(value: Option<&SavedValue>) -> Value {
    value.map_or(Value::Null, |value| value_entry(value).into())
}

fn value_entry(SavedValue { text, value }: &SavedValue) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("was".into(), (**text).into());
    if let Some(value) = value
        && fragment_value(text).as_ref() != Some(value)
    {
        members.insert("is".into(), value.clone());
    }
    members
}

fn field_entry(field: &SavedField) -> Value {
    if field.is_added() {
        return Value::Null;
    }
    let mut members = field.value.as_ref().map_or_else(Map::new, value_entry);
    if let Some(key) = &field.key {
        members.insert("key".into(), (**key).into());
    }
    if let Some(port) = field.port {
        members.insert("port".into(), port.into());
    }
    members.into()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn broken(place: &str) -> String {
    format!(
        "annotation {ANNOTATION} is not what was written there when the pod was injected{place}: start again \
         from the manifest as it was before"
    )
}

fn newer(version: &Value) -> String {
    format!(
        "annotation {ANNOTATION} has version {version}, and this probelet-inject reads up to {VERSION}: use the \
         version of probelet-inject that injected the pod, or a later one"
    )
}
