//! Edits of the pod's annotations: the saved originals, the ports that a mesh's traffic rules leave out, and kubectl's default
//! container.

use super::Editor;
use crate::inject::annotation_names::{DEFAULT_CONTAINER, ORIGINAL_ANNOTATION};
use crate::inject::intent::default_container;
use crate::inject::report::Refusal;
use crate::inject::view::collections::Collection;
use crate::inject::view::saved::{PortList, SavedValue};
use crate::manifest::{NewValue, Op, Pointer};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::HashSet;

/// The values of an annotation that injection writes.
struct WrittenAnnotation {
    name: &'static str,
    /// The list of ports that it is; its original is saved.
    list: Option<PortList>,
    current: Option<Value>,
    original: Option<Value>,
    intended: Option<Value>,
    /// Source text of the original.
    text: Option<Box<str>>,
}

impl Editor<'_> {
    /// Edits the annotations, last: the annotation saves what all other edits replace.
    pub(super) fn edit_annotations(&mut self) -> Result<(), Refusal> {
        let lists = PortList::ALL.into_iter();
        let lists = lists.map(|list| self.port_annotation(list));
        let written: Vec<WrittenAnnotation> = lists.chain(self.default_container()).collect();
        if self.intent.is_none() {
            self.remove_annotations(written);
            return Ok(());
        }
        for annotation in &written {
            self.save_ports(annotation);
        }
        let metadata = self.view.pod.get("metadata");
        let all = metadata.and_then(|metadata| metadata.get("annotations"));
        if has_entries(all) {
            self.retain_collection(Collection::Metadata);
            self.retain_collection(Collection::Annotations);
            let is_present = |name: &str| all.is_some_and(|all| all.get(name).is_some());
            self.save_source(
                &annotation_pointer(ORIGINAL_ANNOTATION),
                !is_present(ORIGINAL_ANNOTATION),
            )?;
            let intended = written.iter().filter(|other| other.intended.is_some());
            for WrittenAnnotation { name, .. } in intended {
                self.save_source(&annotation_pointer(name), !is_present(name))?;
            }
            self.set_annotations(written);
            return Ok(());
        }
        match has_entries(metadata) {
            true => self.create_annotations(Collection::Annotations, all, written),
            false => self.create_annotations(Collection::Metadata, metadata, written),
        }
    }

    /// Creates the annotations, or all of the metadata. `current` is absent or empty.
    fn create_annotations(
        &mut self,
        collection: Collection,
        current: Option<&Value>,
        written: Vec<WrittenAnnotation>,
    ) -> Result<(), Refusal> {
        let pointer = collection.pointer();
        self.save_source(&pointer, current.is_none())?;
        let original =
            current.map(|current| SavedValue::new(self.view.value_text(&pointer), current));
        self.saved.collections.insert(collection, original);
        let mut entries = json!({ORIGINAL_ANNOTATION: self.saved.write()});
        for WrittenAnnotation { name, intended, .. } in written {
            if let Some(value) = intended {
                entries[name] = value;
            }
        }
        let value = match collection {
            Collection::Metadata => json!({"annotations": entries}),
            Collection::Annotations | Collection::List(_) => entries,
        };
        self.fill_collection(pointer, current, value);
        Ok(())
    }

    fn set_annotations(&mut self, written: Vec<WrittenAnnotation>) {
        let written = written.into_iter();
        written.for_each(|annotation| self.edit_written(annotation));
        let pointer = annotation_pointer(ORIGINAL_ANNOTATION);
        let saved = self.saved.write();
        match self.view.annotation(ORIGINAL_ANNOTATION) {
            Some(current) if *current == saved => {}
            Some(_) => self.push(pointer, Op::Replace(saved.into())),
            None => self.push(pointer, Op::Add(saved.into())),
        }
    }

    /// Whether all edits are of the annotation with the saved originals.
    pub(super) fn edits_only_original_annotation(&self) -> bool {
        let saved = annotation_pointer(ORIGINAL_ANNOTATION);
        self.edits.keys().all(|pointer| *pointer == saved)
    }

    /// Removes the injected annotations, and the collections that were created for them.
    fn remove_annotations(&mut self, written: Vec<WrittenAnnotation>) {
        let metadata = &self.view.pod["metadata"];
        let count = |value: &Value| value.as_object().map_or(0, Map::len);
        let is_removed =
            |other: &&WrittenAnnotation| other.current.is_some() && other.intended.is_none();
        let removed = 1 + written.iter().filter(is_removed).count();
        let is_empty = written.iter().all(|other| other.intended.is_none())
            && count(&metadata["annotations"]) == removed;
        let old = self.view.saved.as_ref();
        let was_created =
            old.is_some_and(|old| old.collections.contains_key(&Collection::Metadata));
        let metadata_op = self
            .restore_collection_op(Collection::Metadata)
            .filter(|_| count(metadata) == 1);
        // Metadata that injection created may have other fields by now.
        let op = self
            .restore_collection_op(Collection::Annotations)
            .or_else(|| was_created.then_some(Op::Remove));
        match (is_empty, metadata_op, op) {
            (true, Some(op), _) => self.push(Collection::Metadata.pointer(), op),
            (true, None, Some(op)) => self.push(Collection::Annotations.pointer(), op),
            _ => {
                let written = written.into_iter();
                written.for_each(|annotation| self.edit_written(annotation));
                self.push(annotation_pointer(ORIGINAL_ANNOTATION), Op::Remove);
            }
        }
    }

    /// kubectl's default container; none if others have written it.
    fn default_container(&self) -> Option<WrittenAnnotation> {
        let current = self.view.annotation(DEFAULT_CONTAINER).cloned();
        if current.is_some() && default_container::written(self.view).is_none() {
            return None;
        }
        let intended = self
            .intent
            .and_then(|intent| intent.default_container.as_deref());
        Some(WrittenAnnotation {
            name: DEFAULT_CONTAINER,
            list: None,
            current,
            original: None,
            intended: intended.map(Into::into),
            text: None,
        })
    }

    /// The ports that the annotation had before injection, and those of the agent.
    fn port_annotation(&self, list: PortList) -> WrittenAnnotation {
        let current = self.view.annotation(list.annotation()).cloned();
        let old = self.view.saved.as_ref();
        let saved = old.and_then(|old| old.port_lists.get(&list).cloned());
        let agent = self.view.agent_ports.iter().copied();
        let agent: Vec<u16> = agent.filter(|port| !list.has_by_default(*port)).collect();
        let original = match (&saved, &current) {
            (Some(saved), Some(current)) => without_ports(saved.as_ref(), current, &agent),
            _ => current.clone(),
        };
        let intended = self.intent.and_then(|intent| intent.port_lists.get(&list));
        let intended = intended.map_or(&[][..], Vec::as_slice);
        WrittenAnnotation {
            name: list.annotation(),
            list: Some(list),
            intended: with_ports(original.as_ref(), intended),
            original,
            current,
            text: saved.flatten().map(|saved| saved.text),
        }
    }

    fn save_ports(&mut self, ports: &WrittenAnnotation) {
        let Some(list) = ports.list else {
            return;
        };
        if ports.intended.is_none() || ports.intended == ports.original {
            return;
        }
        let pointer = annotation_pointer(ports.name);
        let text = || self.view.value_text(&pointer);
        let saved = ports
            .original
            .as_ref()
            .map(|original| SavedValue::new(ports.text.clone().or_else(text), original));
        self.saved.port_lists.insert(list, saved);
    }

    fn edit_written(&mut self, annotation: WrittenAnnotation) {
        let pointer = annotation_pointer(annotation.name);
        match (annotation.current, annotation.intended) {
            (Some(current), Some(value)) if current != value => {
                let is_original = annotation.original.as_ref() == Some(&value);
                let text = annotation.text.filter(|_| is_original);
                self.push(pointer, Op::Replace(NewValue { value, text }));
            }
            (Some(_), None) => self.push(pointer, Op::Remove),
            (None, Some(value)) => self.push(pointer, Op::Add(value.into())),
            _ => {}
        }
    }
}

/// The pointer of an annotation in the pod.
fn annotation_pointer(name: &str) -> Pointer {
    Collection::Annotations.pointer().join_key(name)
}

fn has_entries(value: Option<&Value>) -> bool {
    let entries = value.and_then(Value::as_object);
    entries.is_some_and(|entries| !entries.is_empty())
}

/// The text of a list of ports; none if its value is a list or a mapping. Accepts a port without the quotes that it needs.
fn text_of_list(list: Option<&Value>) -> Option<Cow<'_, str>> {
    match list {
        None | Some(Value::Null) => Some("".into()),
        Some(Value::String(text)) => Some(text.into()),
        Some(Value::Array(_) | Value::Object(_)) => None,
        Some(other) => Some(other.to_string().into()),
    }
}

/// The ports of a comma-separated list.
fn ports_of(list: &str) -> impl Iterator<Item = &str> {
    let ports = list.split(',').map(str::trim);
    ports.filter(|port| !port.is_empty())
}

/// A list with these ports added.
fn with_ports(list: Option<&Value>, added: &[u16]) -> Option<Value> {
    let Some(text) = text_of_list(list) else {
        return list.cloned();
    };
    let listed: HashSet<&str> = ports_of(&text).collect();
    let added = added.iter().map(u16::to_string);
    let missing: Vec<String> = added.filter(|port| !listed.contains(&**port)).collect();
    match (missing.is_empty(), listed.is_empty()) {
        (true, _) => list.cloned(),
        (false, true) => Some(missing.join(",").into()),
        (false, false) => Some(format!("{},{}", text.trim_end(), missing.join(",")).into()),
    }
}

/// A list without the ports that injection added. Others may have changed the list since injection.
fn without_ports(saved: Option<&SavedValue>, current: &Value, agent: &[u16]) -> Option<Value> {
    let original = saved.and_then(|saved| saved.value.as_ref());
    if with_ports(original, agent).as_ref() == Some(current) {
        return original.cloned();
    }
    let Some(text) = text_of_list(Some(current)) else {
        return Some(current.clone());
    };
    let original = text_of_list(original).unwrap_or_default();
    let original: HashSet<&str> = ports_of(&original).collect();
    let agent = agent.iter().map(u16::to_string);
    let added: HashSet<String> = agent.filter(|port| !original.contains(&**port)).collect();
    let others: Vec<&str> = ports_of(&text)
        .filter(|port| !added.contains(*port))
        .collect();
    (!others.is_empty() || saved.is_some()).then(|| others.join(",").into())
}
