//! One entry of the annotation, as JSON.

use super::probe::{SavedField, SavedTimeout, SavedValue, parse_key_text};
use crate::inject::view::handler::COMMAND;
use crate::manifest::fragment_value;
use serde_json::{Map, Value};

/// One entry of the annotation.
pub(super) struct Entry {
    pub(super) is_null: bool,
    pub(super) was: Option<SavedValue>,
    pub(super) source: Option<Box<str>>,
    pub(super) key: Option<Box<str>>,
    port: Option<u16>,
    raised: Option<u64>,
    pub(super) has_null: bool,
}

impl Entry {
    pub(super) fn read(value: &Value) -> Option<Self> {
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
            raised: members.get("raised").and_then(Value::as_u64),
            has_null: members.get("null") == Some(&true.into()),
        })
    }

    /// The source text of a node that injection expanded. Early builds saved only aliases, as `was`.
    pub(super) fn source(&self) -> Option<Box<str>> {
        let alias = self.was.as_ref().map(|was| &was.text);
        let alias = alias.filter(|text| text.trim_start().starts_with('*'));
        self.source.clone().or_else(|| alias.cloned())
    }

    /// The original value of a collection or an annotation, if it is a possible one: anyone can edit the annotation.
    pub(super) fn value(self, is_possible: fn(&Value) -> bool) -> Option<Option<SavedValue>> {
        let is_possible = match &self.was {
            None => true,
            Some(was) => was.value.as_ref().is_none_or(is_possible),
        };
        (is_possible && self.key.is_none() && self.source.is_none()).then_some(self.was)
    }

    /// The original of a raised timeout, if it is a possible one.
    pub(super) fn timeout(self) -> Option<SavedTimeout> {
        let raised = self.raised?;
        let original = self.value(|value| value.is_u64() || value.is_null())?;
        let has_value = original.as_ref().is_none_or(|was| was.value.is_some());
        has_value.then_some(SavedTimeout { original, raised })
    }

    /// The original of a field of a rewritten probe, if it is a possible one.
    pub(super) fn field(self, name: &str) -> Option<SavedField> {
        let key = self.key.as_deref().map(parse_key_text);
        let is_possible = |value: &Value| match name {
            "port" if key.is_some() => {
                let command = value.as_array();
                command.is_some_and(|words| words.iter().all(Value::is_string))
            }
            "port" => value.is_u64() || value.is_string(),
            _ => value.is_null() || value.is_string(),
        };
        let is_value = match self.was.as_ref().map(|was| &was.value) {
            None => name != "port",
            Some(value) => value.as_ref().is_none_or(is_possible),
        };
        let is_key = matches!(
            (name, key.as_deref()),
            (_, None)
                | ("path", Some("service"))
                | ("scheme", Some("mode"))
                | ("port", Some(COMMAND))
        );
        (is_value && is_key && self.source.is_none()).then_some(SavedField {
            value: self.was,
            key: self.key,
            port: self.port,
        })
    }
}

pub(super) fn optional(value: Option<&SavedValue>) -> Value {
    value.map_or(Value::Null, |value| value_entry(value).into())
}

pub(super) fn value_entry(SavedValue { text, value }: &SavedValue) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("was".into(), (**text).into());
    if let Some(value) = value
        && fragment_value(text).as_ref() != Some(value)
    {
        members.insert("is".into(), value.clone());
    }
    members
}

pub(super) fn field_entry(field: &SavedField) -> Value {
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

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
