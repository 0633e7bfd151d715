//! Our annotations: the record, and the ports that interception leaves out.

use super::collections::emptied;
use super::merge::{Merge, Row};
use super::original::{self, Kept, Was};
use crate::document::{Change, Edit, Pointer};
use serde_json::{Value, json};

/// Istio's annotation for ports that its rules leave out.
pub(super) const EXCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/excludeInboundPorts";

impl<'a> Merge<'a> {
    /// Our annotations; when they come to be written, all else is known that is kept.
    pub(super) fn annotations(&mut self) -> Result<(), Box<str>> {
        let ports = self.excluded();
        let above = Pointer::root().keys(&["metadata", "annotations"]);
        let metadata = self.present.pod.get("metadata");
        let all = metadata.and_then(|metadata| metadata.get("annotations"));
        if self.plan.is_none() {
            self.remove_annotations(&above, ports);
            return Ok(());
        }
        self.keep(
            &above,
            "metadata.annotations",
            &ports.was,
            &ports.now,
            &ports.wanted,
            ports.kept,
        );
        if is_full(all) {
            self.carry("metadata", self.old("metadata"));
            self.carry("metadata.annotations", self.old("metadata.annotations"));
            self.keep_alias(&Edit {
                at: above.key(original::ANNOTATION),
                change: Change::Add(Value::Null.into()),
            })?;
            self.annotation_rows(&above, ports);
            return Ok(());
        }
        match is_full(metadata) {
            true => self.first_annotations(&["annotations"], all, ports),
            false => self.first_annotations(&[], metadata, ports),
        }
    }

    /// Annotations where there are none, or no metadata at all: this stands there now.
    fn first_annotations(
        &mut self,
        below: &[&str],
        now: Option<&Value>,
        ports: Row<'_>,
    ) -> Result<(), Box<str>> {
        let at = Pointer::root().key("metadata").keys(below);
        self.keep_alias(&Edit {
            at: at.clone(),
            change: now.map_or_else(|| Change::Add(Value::Null.into()), |_| Change::Remove),
        })?;
        let was = now.map(|now| Was::new(self.texts.value(&at), now));
        let place = ["metadata"].iter().chain(below).copied();
        let place = place.collect::<Vec<_>>().join(".");
        self.record.insert(&place, Kept { was, key: None });
        let mut entries = json!({original::ANNOTATION: Value::from(&self.record)});
        if let Some((name, value)) = ports.wanted {
            entries[&*name] = value;
        }
        let value = match below {
            [] => json!({"annotations": entries}),
            _ => entries,
        };
        self.parent(at, now, value);
        Ok(())
    }

    fn annotation_rows(&mut self, above: &Pointer, ports: Row<'_>) {
        let entry = |value: Value| Some((original::ANNOTATION.into(), value));
        let now = self.present.pod["metadata"]["annotations"].get(original::ANNOTATION);
        let record = Row {
            was: None,
            now: now.cloned().and_then(entry),
            wanted: entry(Value::from(&self.record)),
            kept: None,
        };
        let from = self.edits.len();
        self.row(above, "metadata.annotations", ports);
        self.row(above, "metadata.annotations", record);
        // The alias is in the record already, which must not change any more.
        self.expand_from(from);
    }

    fn remove_annotations(&mut self, above: &Pointer, ports: Row<'_>) {
        let metadata = &self.present.pod["metadata"];
        let count = |value: &Value| value.as_object().map_or(0, |map| map.len());
        let gone = 1 + usize::from(ports.now.is_some() && ports.wanted.is_none());
        let is_empty = ports.wanted.is_none() && count(&metadata["annotations"]) == gone;
        let kept = |place| self.old(place);
        let metadata_change = emptied(kept("metadata")).filter(|_| count(metadata) == 1);
        // They came with the metadata, which somebody else has added to since.
        let came_along = kept("metadata").map(|_| Change::Remove);
        let change = emptied(kept("metadata.annotations")).or(came_along);
        match (is_empty, metadata_change, change) {
            (true, Some(change), _) => self.edit(Pointer::root().key("metadata"), change),
            (true, None, Some(change)) => self.edit(above.clone(), change),
            _ => {
                self.row(above, "metadata.annotations", ports);
                self.edit(above.key(original::ANNOTATION), Change::Remove);
            }
        }
    }

    /// Ports that interception leaves out: those that were there, and ours.
    fn excluded(&self) -> Row<'a> {
        let value = self.present.pod["metadata"]["annotations"].get(EXCLUDE_INBOUND);
        let now = value.map(|value| (Box::from(EXCLUDE_INBOUND), value.clone()));
        let old = self.old(&format!("metadata.annotations.{EXCLUDE_INBOUND}"));
        let was = match (old, &now) {
            (Some(kept), Some(now)) => without(kept, &now.1, &self.present.excluded()),
            _ => now.as_ref().map(|now| now.1.clone()),
        };
        let ours = self.plan.map_or(&[][..], |plan| &plan.excluded);
        let entry = |value: Value| (Box::from(EXCLUDE_INBOUND), value);
        Row {
            wanted: with(was.as_ref(), ours).map(entry),
            kept: old,
            was: was.map(entry),
            now,
        }
    }
}

fn is_full(value: Option<&Value>) -> bool {
    let map = value.and_then(Value::as_object);
    map.is_some_and(|map| !map.is_empty())
}

/// The ports of a list with commas.
fn ports(list: &Value) -> Vec<&str> {
    let text = list.as_str().unwrap_or_default().split(',').map(str::trim);
    text.filter(|port| !port.is_empty()).collect()
}

fn with(list: Option<&Value>, ours: &[u16]) -> Option<Value> {
    let there = list.map(ports).unwrap_or_default();
    let ours = ours.iter().map(u16::to_string);
    let missing: Vec<String> = ours.filter(|port| !there.contains(&&**port)).collect();
    let text = list.and_then(Value::as_str).unwrap_or_default().trim_end();
    match (missing.is_empty(), there.is_empty()) {
        (true, _) => list.cloned(),
        (false, true) => Some(missing.join(",").into()),
        (false, false) => Some(format!("{text},{}", missing.join(",")).into()),
    }
}

/// The list as it was before ours were added; it may have been changed since.
fn without(kept: &Kept, now: &Value, ours: &[u16]) -> Option<Value> {
    let was = kept.was.as_ref().map(|was| &was.value);
    if with(was, ours).as_ref() == Some(now) {
        return was.cloned();
    }
    let is_ours = |port: &&str| ours.iter().any(|own| own.to_string() == **port);
    let rest: Vec<&str> = ports(now)
        .into_iter()
        .filter(|port| !is_ours(port))
        .collect();
    (!rest.is_empty() || was.is_some()).then(|| rest.join(",").into())
}
