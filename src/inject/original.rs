//! What was there before, kept on the pod in an annotation: a JSON object from places to how they were
//! written. Places are named so that they survive a reordering of containers: `web.livenessProbe.httpGet.port`
//! of a container, `spec.volumes` and `metadata.annotations` of the pod.

use super::metadata::EXCLUDE_INBOUND;
use crate::config::Quoted;
use crate::document::{is_shared_text, read_text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The annotation.
pub(super) const ANNOTATION: &str = "probelet.dev/original";

/// The annotation's value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record(BTreeMap<Box<str>, Kept>);

/// What is kept of one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept {
    /// The value it had, if that was another.
    pub(super) was: Option<Was>,
    /// The text of the key it had, if that was another.
    pub(super) key: Option<Box<str>>,
}

impl Kept {
    /// What was not there before has neither.
    pub(super) fn is_new(&self) -> bool {
        self.was.is_none() && self.key.is_none()
    }

    /// Whether all of it was written as an alias, or with a `<<`.
    pub(super) fn is_alias(&self) -> bool {
        self.was.as_ref().is_some_and(Was::is_alias)
    }
}

/// A value that was replaced.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Was {
    /// How it was written.
    pub(super) text: Box<str>,
    /// What it meant; of an alias this is not kept, as what replaced it leads back to it.
    pub(super) value: Value,
}

impl Was {
    pub(super) fn new(text: Option<Box<str>>, value: &Value) -> Self {
        Self {
            text: text.unwrap_or_else(|| value.to_string().into()),
            value: value.clone(),
        }
    }

    fn is_alias(&self) -> bool {
        is_shared_text(&self.text)
    }
}

impl Record {
    /// What the annotation says.
    ///
    /// # Errors
    /// Why it cannot be read, and what to do.
    pub(super) fn read(annotation: &Value) -> Result<Self, Box<str>> {
        let parsed = serde_json::from_str(annotation.as_str().unwrap_or_default());
        let Ok(Value::Object(places)) = parsed else {
            return Err(broken(""));
        };
        let read = |(place, value): (String, Value)| match kept(&value) {
            Some(kept) if could_be(&place, &kept) => Ok((place.into(), kept)),
            // Names of places are short, but for those that somebody made up.
            _ if place.len() > 200 => Err(broken("")),
            _ => Err(broken(&format!(", at {}", Quoted(&place)))),
        };
        places
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Record)
    }

    pub(super) fn get(&self, place: &str) -> Option<&Kept> {
        self.0.get(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Kept)> {
        self.0.iter().map(|(place, kept)| (&**place, kept))
    }

    /// Whether there is something of a place that lies below this one.
    pub(super) fn has_below(&self, place: &str) -> bool {
        self.0.keys().any(|key| is_below(key, place))
    }

    pub(super) fn insert(&mut self, place: &str, kept: Kept) {
        self.0.insert(place.into(), kept);
    }

    /// That a place's whole value was written so, whatever is kept of it otherwise.
    pub(super) fn insert_was(&mut self, place: &str, was: Was) {
        self.0.entry(place.into()).or_default().was = Some(was);
    }
}

/// Whether a place lies below another, as their names have it.
pub(super) fn is_below(place: &str, above: &str) -> bool {
    place
        .strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn broken(place: &str) -> Box<str> {
    let what = "is not what was written there when the pod was injected";
    let advice = "start again from the manifest as it was before";
    format!("annotation {ANNOTATION} {what}{place}: {advice}").into()
}

/// Whether injection replaces such a value in such a place, and such a key: anybody may have written the
/// annotation since, and what is put back has to be what a pod can have had there.
fn could_be(place: &str, Kept { was, key }: &Kept) -> bool {
    let is_alias = was.as_ref().is_none_or(Was::is_alias);
    let was = was.as_ref().map(|was| &was.value);
    let is = |fits: fn(&Value) -> bool| is_alias || was.is_some_and(fits);
    let key = key.as_deref().map(plain_key);
    let last = place.rsplit('.').next().unwrap_or_default();
    // The name of this one has dots itself.
    if place.ends_with(EXCLUDE_INBOUND) {
        return key.is_none() && is(|was| !is_deep(was));
    }
    match (last, key.as_deref()) {
        ("metadata" | "annotations" | "initContainers" | "containers" | "volumes", None) => {
            is(is_empty)
        }
        ("httpGet", None | Some("tcpSocket" | "grpc")) => is_alias,
        ("port", None) => is(|was| was.is_u64() || was.is_string()),
        ("path", None | Some("service")) => is(|was| was.is_null() || was.is_string()),
        ("scheme", None | Some("mode")) | ("protocol", None) => {
            is(|was| was.is_null() || was.is_string())
        }
        // A probe or a hook; what is not known was written by a later version, and is passed over.
        (_, key) => is_alias && key.is_none(),
    }
}

fn is_deep(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

fn kept(value: &Value) -> Option<Kept> {
    let Value::Object(members) = value else {
        return value.is_null().then(Kept::default);
    };
    let text = |name| match members.get(name) {
        None => Some(None),
        Some(value) => value.as_str().map(|text| Some(Box::from(text))),
    };
    let was = text("was")?.map(|text| Was {
        value: members
            .get("is")
            .cloned()
            .unwrap_or_else(|| plain_value(&text)),
        text,
    });
    let key = text("key")?;
    Some(Kept { was, key })
}

/// What most texts mean by themselves; `is` is for all others.
fn plain_value(text: &str) -> Value {
    read_text(text).unwrap_or_default()
}

/// What the text of a key means.
pub(super) fn plain_key(text: &str) -> Box<str> {
    match serde_json::from_str(text) {
        Ok(Value::String(key)) => key.into(),
        _ => text.trim_matches('\'').into(),
    }
}

impl From<&Record> for Value {
    fn from(record: &Record) -> Self {
        let places = record.iter();
        let places: Map<_, _> = places
            .map(|(place, kept)| (place.into(), written(kept)))
            .collect();
        Value::Object(places).to_string().into()
    }
}

fn written(kept: &Kept) -> Value {
    if kept.is_new() {
        return Value::Null;
    }
    let mut members = json!({});
    if let Some(was) = &kept.was {
        members["was"] = (&*was.text).into();
        if !was.is_alias() && plain_value(&was.text) != was.value {
            members["is"] = was.value.clone();
        }
    }
    if let Some(key) = &kept.key {
        members["key"] = (&**key).into();
    }
    members
}
