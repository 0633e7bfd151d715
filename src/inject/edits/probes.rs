//! Edits of probes and hooks, field by field, so that comments and the order of fields stay.

use super::Editor;
use crate::inject::intent::Destination;
use crate::inject::view::handler::{COMMAND, Handler, HandlerKind};
use crate::inject::view::probes::{Field, Original, Probe, TIMEOUT};
use crate::inject::view::saved::{
    self, SavedField, SavedProbe, SavedTimeout, SavedValue, parse_key_text,
};
use crate::manifest::{NewValue, Op, Pointer};
use serde_json::{Map, Value};

/// A probe that is being edited.
struct ProbeEdit<'a> {
    original: &'a Original,
    /// The handler in the pod.
    current: Handler,
    /// The pointer to the handler in the pod.
    pointer: Pointer,
    /// The intended destination; none if the original is restored.
    destination: Option<&'a Destination>,
}

/// The name and value that a field should have.
struct IntendedField<'a> {
    name: &'a str,
    value: Value,
}

impl Editor<'_> {
    /// Points a probe at its destination. Without a destination, restores the original of an injected probe.
    pub(super) fn edit_probe(&mut self, probe: &Probe<'_>) {
        let destination = self
            .intent
            .and_then(|intent| intent.destinations.get(&probe.key));
        let (Ok(original), Ok(current)) = (&probe.original, Handler::of(probe.value)) else {
            return;
        };
        if destination.is_none() && original.injected.is_none() {
            return;
        }
        let edit = ProbeEdit {
            original,
            pointer: probe.pointer.join_key(current.kind.key()),
            current,
            destination,
        };
        let mut saved = SavedProbe::default();
        for field in &original.fields {
            self.edit_field(&edit, field, &mut saved);
        }
        self.edit_added_fields(&edit, &mut saved);
        self.rename_handler(&edit, &mut saved);
        self.edit_timeout(probe, destination.is_some(), &mut saved);
        if destination.is_none() {
            return;
        }
        if has_null(probe.value, &edit.current) {
            self.expand(probe, &mut saved);
        }
        self.saved.probes.insert(probe.key.clone(), saved);
    }

    /// Edits a field of the original, and saves the replaced value and key.
    fn edit_field(&mut self, edit: &ProbeEdit<'_>, field: &Field, saved: &mut SavedProbe) {
        let intended = match edit.destination {
            Some(destination) => intended_field(destination, edit.original.handler.kind, field),
            None => IntendedField {
                name: &field.name,
                value: field.value.clone(),
            },
        };
        if let Some(destination) = edit.destination {
            let entry = self.saved_field(edit, field, destination, &intended);
            if !entry.is_added() {
                saved.fields.insert(intended.name.into(), entry);
            }
        }
        let IntendedField { name, value } = intended;
        let old = field.saved.as_ref();
        let Some(current_name) = &field.current else {
            // An absent scheme or protocol has the default, which is also the agent's.
            if edit.destination.is_none() || !["scheme", "protocol"].contains(&name) {
                self.push(edit.pointer.join_key(name), Op::Add(value.into()));
            }
            return;
        };
        let pointer = edit.pointer.join_key(current_name);
        if edit.current.fields.get(&**current_name) != Some(&value) {
            let text = old.and_then(|old| old.value.as_ref());
            let text = text.filter(|_| value == field.value);
            let text = text.map(|old| old.text.clone());
            self.push(pointer.clone(), Op::Replace(NewValue { value, text }));
        }
        if **current_name != *name {
            let text = old.and_then(|old| old.key.clone());
            let text = text.filter(|text| *parse_key_text(text) == *name);
            let key = name.into();
            self.push(pointer, Op::Rename { key, text });
        }
    }

    /// The original of a field. Prefers the source texts that an earlier injection saved to those in the pod.
    fn saved_field(
        &self,
        edit: &ProbeEdit<'_>,
        field: &Field,
        destination: &Destination,
        intended: &IntendedField<'_>,
    ) -> SavedField {
        let pointer = field.current.as_ref();
        let pointer = pointer.map(|current| edit.pointer.join_key(current));
        let value_text = pointer
            .as_ref()
            .and_then(|pointer| self.view.value_text(pointer));
        let key_text = pointer
            .as_ref()
            .and_then(|pointer| self.view.key_text(pointer));
        let in_pod = field.current.as_ref();
        let in_pod = in_pod.and_then(|name| edit.current.fields.get(&**name));
        let is_in_pod = in_pod == Some(&field.value);
        let replaced = SavedValue::new(value_text.filter(|_| is_in_pod), &field.value);
        let old = field.saved.as_ref();
        let is_same = |old: &SavedValue| {
            let value = old.value.as_ref();
            value.is_none_or(|value| *value == field.value)
        };
        let old_value = old
            .and_then(|old| old.value.clone())
            .filter(is_same)
            .map(|old| SavedValue {
                value: Some(field.value.clone()),
                ..old
            });
        let old_key = old.and_then(|old| old.key.clone());
        let app_port = match destination {
            Destination::StatusPort { app_port, .. } => Some(*app_port),
            Destination::ForwardPort(_) => None,
        };
        // An original path may already equal the agent's.
        let is_replaced =
            field.value != intended.value || app_port.is_some() && intended.name == "path";
        let is_renamed = *field.name != *intended.name;
        SavedField {
            value: is_replaced.then(|| old_value.unwrap_or(replaced)),
            key: is_renamed.then(|| saved::key_text_or_name(old_key.or(key_text), &field.name)),
            port: app_port.filter(|_| intended.name == "port" && field.value.is_string()),
        }
    }

    /// Edits the fields of the handler that the original does not have.
    fn edit_added_fields(&mut self, edit: &ProbeEdit<'_>, saved: &mut SavedProbe) {
        let is_original = |name: &str| {
            let mut fields = edit.original.fields.iter();
            fields.any(|field| field.current.as_deref() == Some(name))
        };
        let fields = edit.current.fields.iter();
        for (name, value) in fields.filter(|(name, _)| !is_original(name)) {
            let pointer = edit.pointer.join_key(name);
            match edit.destination {
                Some(Destination::StatusPort { .. }) if name == "scheme" && value == "HTTPS" => {
                    self.push(pointer, Op::Replace(Value::from("HTTP").into()));
                }
                Some(Destination::StatusPort { .. }) => {}
                Some(Destination::ForwardPort(_)) | None => self.push(pointer, Op::Remove),
            }
        }
        let Some(Destination::StatusPort { path, .. }) = edit.destination else {
            return;
        };
        if saved.fields.contains_key("path") {
            return;
        }
        saved.fields.insert("path".into(), SavedField::default());
        let pointer = edit.pointer.join_key("path");
        let value = Value::from(&**path);
        match edit.current.fields.get("path") {
            Some(current) if *current == value => {}
            Some(_) => self.push(pointer, Op::Replace(value.into())),
            None => self.push(pointer, Op::Add(value.into())),
        }
    }

    /// Raises the timeout of a probe that has a destination, or restores the original.
    fn edit_timeout(&mut self, probe: &Probe<'_>, has_destination: bool, saved: &mut SavedProbe) {
        let pointer = probe.pointer.join_key(TIMEOUT);
        let current = probe.value.get(TIMEOUT);
        let old = probe.raised_timeout();
        let intent = self.intent.filter(|_| has_destination);
        let min = intent.map_or(0, |intent| intent.min_timeout);
        let original = match (old, current) {
            (Some(old), _) => old.original.clone(),
            (None, Some(current)) => {
                let text = self.view.value_text(&pointer);
                Some(SavedValue::new(text, current))
            }
            (None, None) => None,
        };
        let is_raised = probe.timeout(min) != probe.timeout(0);
        let (value, text) = match original {
            _ if is_raised => {
                saved.timeout = Some(SavedTimeout {
                    original,
                    raised: min,
                });
                (Some(min.into()), None)
            }
            _ if old.is_none() => return,
            Some(original) => (original.value, Some(original.text)),
            None => (None, None),
        };
        match (value, current) {
            (Some(value), Some(current)) if value == *current => {}
            (Some(value), Some(_)) => {
                self.push(pointer, Op::Replace(NewValue { value, text }));
            }
            (Some(value), None) => self.push(pointer, Op::Add(value.into())),
            (None, Some(_)) => self.push(pointer, Op::Remove),
            (None, None) => {}
        }
    }

    /// Renames the handler to `httpGet`, or to its original key.
    fn rename_handler(&mut self, edit: &ProbeEdit<'_>, saved: &mut SavedProbe) {
        let kind = edit.original.handler.kind;
        let injected = edit.original.injected.as_ref();
        let old = injected.and_then(|injected| injected.saved.key.clone());
        if edit.destination.is_some() && kind != HandlerKind::HttpGet {
            let text = old.clone().or_else(|| self.view.key_text(&edit.pointer));
            saved.key = Some(saved::key_text_or_name(text, kind.key()));
        }
        let intended = edit.destination.map_or(kind, |_| HandlerKind::HttpGet);
        if intended != edit.current.kind {
            let text = old.filter(|text| *parse_key_text(text) == *intended.key());
            let key = intended.key().into();
            self.push(edit.pointer.clone(), Op::Rename { key, text });
        }
    }

    /// Expands a probe that has a null under `httpGet`, so that its handler can be renamed. Such a probe is not
    /// injected yet, because its handler is not an `httpGet`.
    fn expand(&mut self, probe: &Probe<'_>, saved: &mut SavedProbe) {
        saved.source = self.view.value_text(&probe.pointer);
        saved.has_null = true;
        let mut without_null = probe.value.clone();
        without_null.remove(HandlerKind::HttpGet.key());
        self.collapse(&probe.pointer, without_null.into(), None);
    }
}

/// Whether a probe whose handler has to become an `httpGet` has a null under that key.
fn has_null(probe: &Map<String, Value>, current: &Handler) -> bool {
    current.kind != HandlerKind::HttpGet && probe.contains_key(HandlerKind::HttpGet.key())
}

/// The name and value that a field of the original should have for a destination.
fn intended_field<'f>(
    destination: &Destination,
    kind: HandlerKind,
    field: &'f Field,
) -> IntendedField<'f> {
    let is = |word: &str| {
        let text = field.value.as_str();
        text.is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    let (name, value) = match (destination, kind, &*field.name) {
        (Destination::ForwardPort(to), _, "port") => ("port", (*to).into()),
        (Destination::StatusPort { status_port, .. }, _, "port") => ("port", (*status_port).into()),
        (Destination::StatusPort { path, .. }, HandlerKind::HttpGet, "path")
        | (Destination::StatusPort { path, .. }, HandlerKind::Grpc, "service") => {
            ("path", (&**path).into())
        }
        (Destination::StatusPort { .. }, HandlerKind::HttpGet, "scheme") if is("HTTPS") => {
            ("scheme", "HTTP".into())
        }
        (Destination::StatusPort { .. }, HandlerKind::HttpGet, "protocol") if is("HTTP2") => {
            ("protocol", "HTTP1".into())
        }
        (Destination::StatusPort { .. }, HandlerKind::Grpc, "mode") => ("scheme", "HTTP".into()),
        (Destination::StatusPort { status_port, .. }, HandlerKind::Exec, COMMAND) => {
            ("port", (*status_port).into())
        }
        (_, _, name) => (name, field.value.clone()),
    };
    IntendedField { name, value }
}
