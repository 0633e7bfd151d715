//! Edits of probes and hooks: field by field, so that comments and the order of fields stay.

use super::Editor;
use crate::inject::intent::Goal;
use crate::inject::view::handler::{Handler, HandlerKind};
use crate::inject::view::probes::{Field, Original, Probe};
use crate::inject::view::saved::{self, SavedField, SavedProbe, SavedValue, key_of_text};
use crate::manifest::{NewValue, Op, Pointer};
use serde_json::{Map, Value};

impl Editor<'_> {
    /// Brings a probe to its goal. Without one, an injected probe becomes its original, and any other stays.
    pub(super) fn probe(&mut self, probe: &Probe<'_>) {
        let goal = self.intent.and_then(|intent| intent.goals.get(&probe.key));
        let (Ok(original), Ok(current)) = (&probe.original, Handler::of(probe.value)) else {
            return;
        };
        if goal.is_none() && original.injected.is_none() {
            return;
        }
        let at = probe.at.join_key(current.kind.key());
        let mut saved = SavedProbe::default();
        for field in &original.fields {
            self.field(&at, original, &current, field, goal, &mut saved);
        }
        self.added_fields(&at, original, &current, goal, &mut saved);
        self.handler_key(&at, original, &current, goal, &mut saved);
        if goal.is_none() {
            return;
        }
        if has_null(probe.value, &current) {
            self.write_out(probe, &mut saved);
        }
        self.saved.probes.insert(probe.key.clone(), saved);
    }

    /// Edits a field of the original, and saves what that replaces.
    fn field(
        &mut self,
        at: &Pointer,
        original: &Original,
        current: &Handler,
        field: &Field,
        goal: Option<&Goal>,
        saved: &mut SavedProbe,
    ) {
        let (name, value) = match goal {
            Some(goal) => intended_field(goal, original.handler.kind, field),
            None => (&*field.name, field.value.clone()),
        };
        if let Some(goal) = goal {
            let entry = self.saved_field(at, current, field, goal, (name, &value));
            if !entry.is_added() {
                saved.fields.insert(name.into(), entry);
            }
        }
        let old = field.saved.as_ref();
        let Some(current_name) = &field.current else {
            // An absent scheme or protocol is the default, which the agent's is too.
            if goal.is_none() || !["scheme", "protocol"].contains(&name) {
                self.edit(at.join_key(name), Op::Add(value.into()));
            }
            return;
        };
        let place = at.join_key(current_name);
        if current.fields.get(&**current_name) != Some(&value) {
            let text = old.and_then(|old| old.value.as_ref());
            let text = text.filter(|_| value == field.value);
            let text = text.map(|old| old.text.clone());
            self.edit(place.clone(), Op::Replace(NewValue { value, text }));
        }
        if **current_name != *name {
            let text = old.and_then(|old| old.key.clone());
            let text = text.filter(|text| *key_of_text(text) == *name);
            let key = name.into();
            self.edit(place, Op::Rename { key, text });
        }
    }

    /// What to save of a field that becomes the intended one: the source texts that an earlier injection saved, else those
    /// in the pod.
    fn saved_field(
        &self,
        at: &Pointer,
        current: &Handler,
        field: &Field,
        goal: &Goal,
        (name, value): (&str, &Value),
    ) -> SavedField {
        let place = field.current.as_ref().map(|current| at.join_key(current));
        let (value_text, key_text) = match &place {
            Some(place) => (self.view.value_text(place), self.view.key_text(place)),
            None => (None, None),
        };
        let in_pod = field.current.as_ref();
        let in_pod = in_pod.and_then(|name| current.fields.get(&**name));
        let is_in_pod = in_pod == Some(&field.value);
        let replaced = SavedValue::new(value_text.filter(|_| is_in_pod), &field.value);
        let old = field.saved.as_ref();
        let is_same = |old: &SavedValue| old.value.as_ref().is_none_or(|was| *was == field.value);
        let old_value = old
            .and_then(|old| old.value.clone())
            .filter(is_same)
            .map(|old| SavedValue {
                value: Some(field.value.clone()),
                ..old
            });
        let old_key = old.and_then(|old| old.key.clone());
        let app_port = match goal {
            Goal::Rewritten { app_port, .. } => Some(*app_port),
            Goal::Forwarded(_) => None,
        };
        // A path that is the agent's already is not one that injection added.
        let is_replaced = field.value != *value || app_port.is_some() && name == "path";
        SavedField {
            value: is_replaced.then(|| old_value.unwrap_or(replaced)),
            key: (*field.name != *name).then(|| saved::key_text(old_key.or(key_text), &field.name)),
            port: app_port.filter(|_| name == "port" && field.value.is_string()),
        }
    }

    /// Edits the fields of the handler that the original does not have.
    fn added_fields(
        &mut self,
        at: &Pointer,
        original: &Original,
        current: &Handler,
        goal: Option<&Goal>,
        saved: &mut SavedProbe,
    ) {
        let is_original = |name: &str| {
            let mut fields = original.fields.iter();
            fields.any(|field| field.current.as_deref() == Some(name))
        };
        let added = current.fields.iter().filter(|(name, _)| !is_original(name));
        for (name, value) in added {
            match (goal, &**name) {
                (Some(Goal::Rewritten { .. }), "path") => {}
                (Some(Goal::Rewritten { .. }), "scheme") => {
                    if value == "HTTPS" {
                        let http = Value::from("HTTP");
                        self.edit(at.join_key(name), Op::Replace(http.into()));
                    }
                }
                (Some(Goal::Rewritten { .. }), _) => {}
                (Some(Goal::Forwarded(_)) | None, _) => self.edit(at.join_key(name), Op::Remove),
            }
        }
        let Some(Goal::Rewritten { path, .. }) = goal else {
            return;
        };
        if saved.fields.contains_key("path") {
            return;
        }
        saved.fields.insert("path".into(), SavedField::default());
        match current.fields.get("path") {
            Some(current) if *current == **path => {}
            Some(_) => self.edit(
                at.join_key("path"),
                Op::Replace(Value::from(&**path).into()),
            ),
            None => self.edit(at.join_key("path"), Op::Add(Value::from(&**path).into())),
        }
    }

    /// Renames the handler.
    fn handler_key(
        &mut self,
        at: &Pointer,
        original: &Original,
        current: &Handler,
        goal: Option<&Goal>,
        saved: &mut SavedProbe,
    ) {
        let kind = original.handler.kind;
        let old = original
            .injected
            .as_ref()
            .and_then(|injected| injected.saved.key.clone());
        if goal.is_some() && kind != HandlerKind::HttpGet {
            let text = old.clone().or_else(|| self.view.key_text(at));
            saved.key = Some(saved::key_text(text, kind.key()));
        }
        let intended = goal.map_or(kind, |_| HandlerKind::HttpGet);
        if intended != current.kind {
            let text = old.filter(|text| *key_of_text(text) == *intended.key());
            let key = intended.key().into();
            self.edit(at.clone(), Op::Rename { key, text });
        }
    }

    /// Writes out a probe in which the key of the handler is taken by a null: the edits below it become one.
    /// Its handler is not an `httpGet`, so it is not injected yet.
    fn write_out(&mut self, probe: &Probe<'_>, saved: &mut SavedProbe) {
        saved.source = self.view.value_text(&probe.at);
        saved.has_null = true;
        let mut without = probe.value.clone();
        without.remove(HandlerKind::HttpGet.key());
        self.collapse(&probe.at, without.into(), None);
    }
}

/// Whether a handler that has to become an `httpGet` finds a null under that key.
fn has_null(probe: &Map<String, Value>, current: &Handler) -> bool {
    current.kind != HandlerKind::HttpGet && probe.contains_key(HandlerKind::HttpGet.key())
}

/// The name and value that a field of the original has in the pod, by the probe's goal.
fn intended_field<'f>(goal: &Goal, kind: HandlerKind, field: &'f Field) -> (&'f str, Value) {
    let is = |word: &str| {
        let text = field.value.as_str();
        text.is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    match (goal, kind, &*field.name) {
        (Goal::Forwarded(to), _, "port") => ("port", (*to).into()),
        (Goal::Rewritten { status_port, .. }, _, "port") => ("port", (*status_port).into()),
        (Goal::Rewritten { path, .. }, HandlerKind::HttpGet, "path")
        | (Goal::Rewritten { path, .. }, HandlerKind::Grpc, "service") => {
            ("path", (&**path).into())
        }
        (Goal::Rewritten { .. }, HandlerKind::HttpGet, "scheme") if is("HTTPS") => {
            ("scheme", "HTTP".into())
        }
        (Goal::Rewritten { .. }, HandlerKind::HttpGet, "protocol") if is("HTTP2") => {
            ("protocol", "HTTP1".into())
        }
        (Goal::Rewritten { .. }, HandlerKind::Grpc, "mode") => ("scheme", "HTTP".into()),
        (_, _, name) => (name, field.value.clone()),
    }
}
