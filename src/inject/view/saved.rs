//! The annotation `probelet.dev/original`: the parts of a pod that injection replaced, as a JSON object.
//!
//! | key                                 | value |
//! |-------------------------------------|-------|
//! | `version`                           | 2; an annotation of an early build has none |
//! | `sidecar`                           | the optional settings that injection wrote into the sidecar, its `ports`, whether there is a `volume` with the files of Secrets and one with the `identity`, and the `defaultContainer` written for kubectl |
//! | `web.livenessProbe.httpGet.port`    | the field's original `was`, its original `key` if it was renamed, and the number that a port name resolved to (`port`) |
//! | `web.livenessProbe.timeoutSeconds`  | the `raised` timeout in seconds, and what it `was` unless the probe had none |
//! | `web.livenessProbe.httpGet`         | the original `key` of the handler |
//! | `web.lifecycle`                     | the `source` of a `lifecycle` that injection expanded |
//! | `spec.volumes`, `metadata`, ...     | the original of a collection that injection filled: `was`, or null if it was absent |
//!
//! `was` is source text. `is` is its value, unless the text alone has that value. An entry with `source` has the
//! source text of a node that injection had to expand: a YAML alias, a mapping with a merge key, or a probe with a
//! null under `httpGet` (`"null": true`).

mod entry;
mod probe;

use super::collections::Collection;
use super::handler::HandlerKind;
use super::probe_kind::is_key;
use crate::config::DEFAULT_STATUS_PORT;
use crate::inject::annotation_names::{EXCLUDE_INBOUND, ORIGINAL_ANNOTATION, SKIP_INBOUND};
use crate::text::Quoted;
use entry::{Entry, field_entry, is_empty, optional, value_entry};
pub(in crate::inject) use probe::{
    SavedField, SavedProbe, SavedTimeout, SavedValue, key_text_or_name, parse_key_text,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The version that this code writes, and the newest that it reads.
const VERSION: u64 = 2;
/// The longest key that an error quotes, in bytes.
const QUOTED_KEY_BYTES: usize = 200;

/// The member of the sidecar's settings with the paths of the probers that injection took from the annotation.
pub(in crate::inject) const PROBERS_MEMBER: &str = "probers";

/// The content of the annotation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::inject) struct Saved {
    /// Whether an early build wrote it.
    is_first_version: bool,
    /// By probe: `web.livenessProbe`, `web.lifecycle.preStop`.
    pub(in crate::inject) probes: BTreeMap<Box<str>, SavedProbe>,
    /// The originals of collections that injection created or filled; none if the collection was absent.
    pub(in crate::inject) collections: BTreeMap<Collection, Option<SavedValue>>,
    /// The originals of the lists of ports that injection changed; none if the annotation was absent.
    pub(in crate::inject) port_lists: BTreeMap<PortList, Option<SavedValue>>,
    /// Source texts of other nodes that injection expanded.
    pub(in crate::inject) sources: BTreeMap<SourceKey, Box<str>>,
    /// An object: the settings that injection wrote into the sidecar, its `ports`, and whether there is a `volume`
    /// with the files of Secrets. Early builds saved none.
    pub(in crate::inject) applied: Option<Value>,
}

/// An annotation that lists ports which a mesh's traffic rules leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::inject) enum PortList {
    Istio,
    Linkerd,
}

impl PortList {
    pub(in crate::inject) const ALL: [Self; 2] = [Self::Istio, Self::Linkerd];

    /// The annotation.
    pub(in crate::inject) fn annotation(self) -> &'static str {
        match self {
            Self::Istio => EXCLUDE_INBOUND,
            Self::Linkerd => SKIP_INBOUND,
        }
    }

    /// Whether the rules leave out a port without the annotation.
    pub(in crate::inject) fn has_by_default(self, port: u16) -> bool {
        match self {
            Self::Istio => port == DEFAULT_STATUS_PORT,
            Self::Linkerd => false,
        }
    }

    /// Its key in the annotation with the originals.
    fn to_key(self) -> String {
        format!("{ANNOTATIONS_KEY}{}", self.annotation())
    }

    fn from_key(key: &str) -> Option<Self> {
        let name = key.strip_prefix(ANNOTATIONS_KEY)?;
        Self::ALL.into_iter().find(|list| list.annotation() == name)
    }
}

/// The start of the key of an annotation's original.
const ANNOTATIONS_KEY: &str = "metadata.annotations.";

/// A node other than a probe or handler that injection expanded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::inject) enum SourceKey {
    Collection(Collection),
    /// `lifecycle` of the container with this name.
    Lifecycle(Box<str>),
}

impl SourceKey {
    /// Its key in the annotation.
    fn to_key(&self) -> String {
        match self {
            Self::Collection(collection) => collection.path().into(),
            Self::Lifecycle(container) => format!("{container}.lifecycle"),
        }
    }
}

/// The key of the handler of a probe. Keys of its fields start with it.
fn handler_key(probe: &str) -> String {
    format!("{probe}.{}", HandlerKind::HttpGet.key())
}

impl Saved {
    /// Reads the annotation's value.
    ///
    /// # Errors
    /// The annotation is invalid or of a newer version.
    pub(in crate::inject) fn read(annotation: &Value) -> Result<Self, String> {
        let parsed = serde_json::from_str(annotation.as_str().unwrap_or_default());
        let Ok(Value::Object(entries)) = parsed else {
            return Err(invalid(""));
        };
        let mut saved = Self {
            is_first_version: true,
            ..Self::default()
        };
        if let Some(version) = entries.get("version") {
            if version.as_u64() != Some(VERSION) {
                return Err(unsupported_version(version));
            }
            saved.is_first_version = false;
        }
        for (key, value) in &entries {
            saved.read_entry(key, value).ok_or_else(|| {
                if key.len() > QUOTED_KEY_BYTES {
                    invalid("")
                } else {
                    invalid(&format!(" (key {})", Quoted(key)))
                }
            })?;
        }
        let mut probes = saved.probes.iter();
        match probes.find(|(_, saved)| !saved.has_command_of_exec()) {
            None => Ok(saved),
            Some((probe, _)) => Err(invalid(&format!(" (key {})", Quoted(&handler_key(probe))))),
        }
    }

    /// Whether an early build wrote it.
    pub(in crate::inject) fn is_first_version(&self) -> bool {
        self.is_first_version
    }

    /// The ports of the sidecar; early builds did not save them.
    pub(super) fn ports(&self) -> Vec<u16> {
        let ports = self
            .applied
            .as_ref()
            .and_then(|applied| applied["ports"].as_array());
        let ports = ports.into_iter().flatten();
        ports
            .filter_map(|port| port.as_u64()?.try_into().ok())
            .collect()
    }

    /// Whether injection added the volume with the files of Secrets; early builds did not save that.
    pub(super) fn has_tls_volume(&self) -> bool {
        let applied = self.applied.as_ref();
        self.is_first_version || applied.is_some_and(|applied| applied["volume"] == true)
    }

    /// Whether injection added the volume with the workload's identity.
    pub(super) fn has_identity_volume(&self) -> bool {
        let applied = self.applied.as_ref();
        applied.is_some_and(|applied| applied["identity"] == true)
    }

    /// Whether injection took the prober of this path from the annotation.
    pub(in crate::inject) fn is_annotation_prober(&self, path: &str) -> bool {
        let applied = self.applied.as_ref();
        let paths = applied.and_then(|applied| applied[PROBERS_MEMBER].as_array());
        paths.is_some_and(|paths| paths.iter().any(|own| own == path))
    }

    fn read_entry(&mut self, key: &str, value: &Value) -> Option<()> {
        match key {
            "version" => return Some(()),
            "sidecar" => {
                self.applied = Some(value.clone()).filter(Value::is_object);
                return self.applied.is_some().then_some(());
            }
            _ => {}
        }
        let entry = Entry::read(value)?;
        if let Some(list) = PortList::from_key(key) {
            let is_text = |value: &Value| !value.is_object() && !value.is_array();
            let value = entry.value(is_text)?;
            self.port_lists.insert(list, value);
        } else if let Some(collection) = Collection::from_path(key) {
            match entry.source() {
                Some(source) => {
                    let key = SourceKey::Collection(collection);
                    self.sources.insert(key, source);
                }
                None => {
                    let original = entry.value(is_empty)?;
                    self.collections.insert(collection, original);
                }
            }
        } else if let Some(probe) = key.strip_suffix(".httpGet").filter(|key| is_key(key)) {
            let saved = self.probes.entry(probe.into()).or_default();
            saved.handler_source = entry.source();
            saved.key = entry.key.clone();
            let kind = saved.kind();
            let is_known = entry.key.is_none() || kind != HandlerKind::HttpGet;
            return (is_known && (entry.was.is_none() || saved.handler_source.is_some()))
                .then_some(());
        } else if is_key(key) {
            let saved = self.probes.entry(key.into()).or_default();
            saved.has_null = entry.has_null;
            saved.source = Some(entry.source()?);
        } else if let Some(probe) = key
            .strip_suffix(".timeoutSeconds")
            .filter(|key| is_key(key))
        {
            let saved = self.probes.entry(probe.into()).or_default();
            saved.timeout = Some(entry.timeout()?);
        } else if let Some(FieldKey { probe, field }) = FieldKey::parse(key) {
            let saved = self.probes.entry(probe.into()).or_default();
            saved.fields.insert(field.into(), entry.field(field)?);
        } else if let Some(container) = key.strip_suffix(".lifecycle") {
            let key = SourceKey::Lifecycle(container.into());
            self.sources.insert(key, entry.source()?);
        } else if !entry.is_null {
            // A later version may add null entries: they restore nothing.
            return None;
        }
        Some(())
    }

    /// The annotation's value.
    pub(in crate::inject) fn write(&self) -> Value {
        let mut entries = Map::new();
        entries.insert("version".into(), VERSION.into());
        if let Some(applied) = &self.applied {
            entries.insert("sidecar".into(), applied.clone());
        }
        for (collection, value) in &self.collections {
            entries.insert(collection.path().into(), optional(value.as_ref()));
        }
        for (list, ports) in &self.port_lists {
            entries.insert(list.to_key(), optional(ports.as_ref()));
        }
        let source = |source: &str| json!({"source": source});
        for (key, text) in &self.sources {
            entries.insert(key.to_key(), source(text));
        }
        for (probe, saved) in &self.probes {
            if let Some(text) = &saved.source {
                let mut entry = source(text);
                if saved.has_null {
                    entry["null"] = true.into();
                }
                entries.insert((**probe).into(), entry);
            }
            let handler_key = handler_key(probe);
            let mut handler = Map::new();
            if let Some(key) = &saved.key {
                handler.insert("key".into(), (**key).into());
            }
            if let Some(text) = &saved.handler_source {
                handler.insert("source".into(), (**text).into());
            }
            for (name, field) in &saved.fields {
                entries.insert(format!("{handler_key}.{name}"), field_entry(field));
            }
            if let Some(timeout) = &saved.timeout {
                let entry = timeout.original.as_ref().map_or_else(Map::new, value_entry);
                let key = format!("{probe}.timeoutSeconds");
                let raised = ("raised".into(), timeout.raised.into());
                entries.insert(key, entry.into_iter().chain([raised]).collect());
            }
            if !handler.is_empty() {
                entries.insert(handler_key, handler.into());
            }
        }
        Value::Object(entries).to_string().into()
    }
}

/// The key of a field: `web.livenessProbe.httpGet.port`.
struct FieldKey<'a> {
    probe: &'a str,
    field: &'a str,
}

impl<'a> FieldKey<'a> {
    fn parse(key: &'a str) -> Option<Self> {
        let (handler, field) = key.rsplit_once('.')?;
        let probe = handler.strip_suffix(".httpGet")?;
        let is_known = ["path", "port", "protocol", "scheme"].contains(&field);
        (is_known && is_key(probe)).then_some(Self { probe, field })
    }
}

fn invalid(key: &str) -> String {
    format!(
        "annotation {ORIGINAL_ANNOTATION} was changed after injection{key}: inject the original manifest again"
    )
}

fn unsupported_version(version: &Value) -> String {
    format!(
        "annotation {ORIGINAL_ANNOTATION} has version {version}, but this probelet-inject supports up to version {VERSION}: use \
         the probelet-inject that injected the pod, or a later one"
    )
}
