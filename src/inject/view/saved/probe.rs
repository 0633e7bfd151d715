//! The parts of a probe or hook that injection replaced, as the annotation saves them.

use crate::inject::view::handler::HandlerKind;
use crate::manifest::fragment_value;
use serde_json::Value;
use std::collections::BTreeMap;

/// The parts of a probe or hook that injection replaced.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::inject) struct SavedProbe {
    /// Source text of the whole probe, if injection expanded it.
    pub(in crate::inject) source: Option<Box<str>>,
    /// Source text of the handler, if injection expanded that.
    pub(in crate::inject) handler_source: Option<Box<str>>,
    /// Whether the probe had a null under the key `httpGet`.
    pub(in crate::inject) has_null: bool,
    /// Source text of the handler's key, if that was not `httpGet`.
    pub(in crate::inject) key: Option<Box<str>>,
    /// The original of `timeoutSeconds`, if injection raised it.
    pub(in crate::inject) timeout: Option<SavedTimeout>,
    /// By the name that the field has in the rewritten probe.
    pub(in crate::inject) fields: BTreeMap<Box<str>, SavedField>,
}

/// The original of a timeout that injection raised.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::inject) struct SavedTimeout {
    /// The value, if the probe had one.
    pub(in crate::inject) original: Option<SavedValue>,
    /// The timeout that injection wrote, in seconds.
    pub(in crate::inject) raised: u64,
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
    /// The value; early builds did not save that of an alias.
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
        let key = self.key.as_deref().map(parse_key_text);
        key.and_then(|key| HandlerKind::from_key(&key))
            .unwrap_or(HandlerKind::HttpGet)
    }

    /// Whether it has the command of an `exec` handler, if it is one, and no command if it is none.
    pub(super) fn has_command_of_exec(&self) -> bool {
        let port = self.fields.get("port").and_then(|port| port.key.as_ref());
        (self.kind() == HandlerKind::Exec) == port.is_some()
    }

    /// Whether this is the original path.
    pub(in crate::inject) fn has_path(&self, path: &str) -> bool {
        let field = self
            .fields
            .get("path")
            .and_then(|field| field.value.as_ref());
        field.is_some_and(|saved| saved.value.as_ref().is_some_and(|value| value == path))
    }

    /// Whether this `httpGet` is the original handler, as far as injection replaced it.
    pub(in crate::inject) fn is_original(&self, get: &Value) -> bool {
        let mut fields = self.fields.iter();
        self.key.is_none()
            && fields.all(|(name, field)| {
                let saved = field.value.as_ref().and_then(|saved| saved.value.as_ref());
                field.is_added() || saved.is_some_and(|value| get.get(&**name) == Some(value))
            })
    }

    /// Whether injection pointed the probe at a path of the status port, and not at a forwarded port.
    pub(in crate::inject) fn is_rewritten(&self) -> bool {
        self.fields.contains_key("path")
    }
}

/// The name in a key's source text.
pub(in crate::inject) fn parse_key_text(text: &str) -> Box<str> {
    let entry = fragment_value(&format!("{{{text}: 0}}"));
    let name = entry
        .as_ref()
        .and_then(|entry| entry.as_object()?.keys().next());
    name.map_or_else(|| text.into(), |name| (**name).into())
}

/// The source text of a key, if it can be read back as this name, else the name.
pub(in crate::inject) fn key_text_or_name(text: Option<Box<str>>, name: &str) -> Box<str> {
    text.filter(|text| *parse_key_text(text) == *name)
        .unwrap_or_else(|| Value::from(name).to_string().into())
}
