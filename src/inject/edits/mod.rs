//! The edits that bring a pod to its intended state, and the originals that the annotation saves. Without an intent, the
//! edits restore the pod as it was before injection.

mod annotations;
mod lists;
mod probes;
mod shared;

use super::intent::Intent;
use super::report::Refusal;
use super::size;
use super::view::PodView;
use super::view::collections::SpecList;
use super::view::saved::{Saved, SavedProbe, SourceKey};
use crate::manifest::{Edit, Op, Pointer, apply, sort_edits};
use core::cell::OnceCell;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// The sorted edits for a pod. Their pointers start at the root of the document.
///
/// # Errors
/// A part of the pod is written in a way that cannot be edited.
pub(super) fn compute(view: &PodView<'_>, intent: Option<&Intent>) -> Result<Vec<Edit>, Refusal> {
    let mut editor = Editor {
        view,
        intent,
        edits: BTreeMap::new(),
        saved: Saved::default(),
        shared: OnceCell::new(),
        injected_probes: OnceCell::new(),
    };
    editor.saved.applied = intent.map(|intent| intent.applied.clone());
    for probe in &view.probes {
        editor.edit_probe(probe);
    }
    for list in SpecList::ALL {
        editor.edit_list(list);
    }
    editor.retain_sources();
    editor.save_sources()?;
    let has_others = !editor.edits.is_empty();
    editor.edit_annotations()?;
    editor.restore_sources();
    let is_first_version = view.saved.as_ref().is_some_and(Saved::is_first_version);
    // An early build injected this pod, and nothing else has changed: a new version of the annotation alone would restart the
    // workload's pods.
    if intent.is_some()
        && !has_others
        && is_first_version
        && editor.edits_only_original_annotation()
    {
        return Ok(Vec::new());
    }
    let mut edits = editor.into_edits();
    sort_edits(&mut edits);
    check_edited_pod(view, intent, &edits)?;
    for edit in &mut edits {
        edit.pointer = view.pointer_in_document(&edit.pointer);
    }
    Ok(edits)
}

/// Checks that the edits apply, as the API server rejects a pod whose patch does not; that no probe of the edited pod points
/// at the sidecar unless the intent says so; and that the API server accepts its annotations.
fn check_edited_pod(
    view: &PodView<'_>,
    intent: Option<&Intent>,
    edits: &[Edit],
) -> Result<(), Refusal> {
    // An injected pod without edits, as in the webhook's reinvocation, is not copied.
    let mut pod = Cow::Borrowed(view.pod);
    if !edits.is_empty() {
        let mut edited = copy_of_edited_parts(view.pod);
        apply(&mut edited, edits).map_err(|error| Refusal {
            reason: error.to_string().into(),
            pointer: Some(view.pointer_in_document(error.pointer())),
        })?;
        pod = Cow::Owned(edited);
    }
    if intent.is_some() {
        size::check_injected_annotations(&pod)?;
        size::check_edited_size(view.pod, edits)?;
    }
    let is_injected =
        |key: &str| intent.is_some_and(|intent| intent.destinations.contains_key(key));
    Ok(view.check_orphans_after_edits(&pod, is_injected)?)
}

/// A copy of the parts of a pod that injection edits or that the checks read. Other values are null: a pod may have
/// megabytes of them.
fn copy_of_edited_parts(pod: &Value) -> Value {
    let container = |value: &Value| copy_fields(value, CONTAINER_FIELDS, Value::clone);
    let list = |value: &Value, copy: &dyn Fn(&Value) -> Value| match value {
        Value::Array(items) => items.iter().map(copy).collect(),
        _ => value.clone(),
    };
    let spec = copy_fields(&pod["spec"], SpecList::ALL.map(SpecList::key), |value| {
        list(value, &container)
    });
    let metadata = copy_fields(&pod["metadata"], ["annotations"], Value::clone);
    let mut copy = Map::new();
    copy.insert("spec".into(), spec);
    if pod.get("metadata").is_some() {
        copy.insert("metadata".into(), metadata);
    }
    copy.into()
}

/// The fields of a container that injection edits or that the checks read.
const CONTAINER_FIELDS: [&str; 5] = [
    "name",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// A copy of an object with these fields; the others become null.
fn copy_fields<const N: usize>(
    value: &Value,
    fields: [&str; N],
    copy: impl Fn(&Value) -> Value,
) -> Value {
    let Value::Object(members) = value else {
        return value.clone();
    };
    let members = members.iter().map(|(key, value)| {
        let is_copied = fields.contains(&&**key);
        let value = if is_copied { copy(value) } else { Value::Null };
        (key.clone(), value)
    });
    Value::Object(members.collect())
}

struct Editor<'a> {
    view: &'a PodView<'a>,
    intent: Option<&'a Intent>,
    /// The operations on each node. Their pointers start at the pod; those below a node follow it.
    edits: BTreeMap<Pointer, Vec<Op>>,
    /// The originals that the annotation will save.
    saved: Saved,
    /// The nodes that injection may expand as a whole, by their pointers.
    shared: OnceCell<HashMap<Pointer, SharedPart>>,
    /// The injected probes, by their keys.
    injected_probes: OnceCell<HashMap<&'a str, &'a SavedProbe>>,
}

/// The part of the pod that a shared node is.
#[derive(Clone)]
enum SharedPart {
    /// A collection, or `lifecycle` of a container.
    Source(SourceKey),
    /// The probe with this key.
    Probe(Box<str>),
    /// The handler of the probe with this key.
    Handler(Box<str>),
}

impl Editor<'_> {
    fn push(&mut self, pointer: Pointer, op: Op) {
        self.edits.entry(pointer).or_default().push(op);
    }

    fn into_edits(self) -> Vec<Edit> {
        let edits = self.edits.into_iter();
        let edits = edits.flat_map(|(pointer, ops)| {
            let edit = move |op| Edit {
                pointer: pointer.clone(),
                op,
            };
            ops.into_iter().map(edit)
        });
        edits.collect()
    }
}
