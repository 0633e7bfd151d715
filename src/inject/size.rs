//! The size of a pod: what the API server accepts of its annotations, and the memory of the parts that injection
//! copies. Both are checked before a part is copied.

use super::annotation_names::{EXCLUDE_CONTAINERS, IDENTITY_CSI, ORIGINAL_ANNOTATION, RESOURCES};
use super::view::collections::SpecList;
use super::view::containers::SIDECAR_NAME;
use super::view::probe_kind::ProbeKind;
use super::view::{PROBERS, VOLUMES};
use crate::limits;
use crate::manifest::{Edit, Op};
use serde_json::Value;
use std::io;

/// Estimated bytes of one value in memory.
const VALUE_BYTES: usize = size_of::<Value>();
/// Estimated bytes of a node of an object, which is a B-tree, and the entries of a node that is half full.
const NODE_BYTES: usize = 640;
const NODE_ENTRIES: usize = 6;
/// Copies of a container's name: the path, the key and the label of each of its probes.
const NAME_COPIES: usize = 16;

/// Refuses a pod whose annotations the API server would reject.
pub(super) fn check_annotations(pod: &Value) -> Result<(), String> {
    let Some(bytes) = rejected_annotation_bytes(pod) else {
        return Ok(());
    };
    Err(format!(
        "its annotations have {bytes} bytes, and the API server accepts {}: remove or shorten some",
        limits::ANNOTATIONS_BYTES
    ))
}

/// The same for an injected pod, whose annotations include the saved originals.
pub(super) fn check_injected_annotations(edited: &Value) -> Result<(), String> {
    let Some(bytes) = rejected_annotation_bytes(edited) else {
        return Ok(());
    };
    Err(format!(
        "with {ORIGINAL_ANNOTATION} its annotations would have {bytes} bytes, and the API server accepts {}: shorten its \
         annotations or the paths of its probes, or leave out containers (annotation {EXCLUDE_CONTAINERS})",
        limits::ANNOTATIONS_BYTES
    ))
}

/// Refuses edits that make a pod larger than etcd accepts.
pub(super) fn check_edited_size(pod: &Value, edits: &[Edit]) -> Result<(), String> {
    let added = edits.iter().map(|edit| match &edit.op {
        Op::Add(new) | Op::Replace(new) => json_bytes(&new.value),
        Op::Remove | Op::Rename { .. } => 0,
    });
    let bytes = json_bytes(pod) + added.sum::<usize>();
    if bytes <= limits::OBJECT_BYTES {
        return Ok(());
    }
    Err(format!(
        "with the sidecar and {ORIGINAL_ANNOTATION} it would have {bytes} bytes, and etcd accepts {}: remove or shorten parts of it",
        limits::OBJECT_BYTES
    ))
}

/// Bytes of a value as JSON.
fn json_bytes(value: &Value) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // A value of JSON and a writer that does not fail.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// Bytes of a pod's annotations, if they are more than the API server accepts.
fn rejected_annotation_bytes(pod: &Value) -> Option<usize> {
    Some(annotation_bytes(pod)).filter(|bytes| *bytes > limits::ANNOTATIONS_BYTES)
}

/// Bytes of all names and values of a pod's annotations, as the API server counts them
/// (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`: `ValidateAnnotationsSize`).
fn annotation_bytes(pod: &Value) -> usize {
    let annotations = pod["metadata"]["annotations"].as_object();
    let annotations = annotations.into_iter().flatten();
    annotations
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum()
}

/// Checks that a pod of a review can be injected in the memory and time of the webhook. `values` is the number of JSON
/// values in the review.
///
/// # Errors
/// The reason, and what to change.
pub(crate) fn check_review(pod: &Value, values: usize) -> Result<(), String> {
    check_annotations(pod)?;
    if container_count(pod) > limits::REVIEW_CONTAINERS {
        let most = limits::REVIEW_CONTAINERS;
        return Err(format!(
            "it has more than {most} containers: split it into several pods"
        ));
    }
    let in_texts: usize = json_texts(pod).map(json_value_bound).sum();
    if values.saturating_add(in_texts) > limits::REVIEW_VALUES {
        return Err(format!(
            "it has more than {} JSON values, those in its annotations included: remove some",
            limits::REVIEW_VALUES
        ));
    }
    if copied_bytes(pod) > limits::REVIEW_COPIED_BYTES {
        return Err(format!(
            "its probes, hooks and sidecar need more than {} KiB of memory: shorten them, such as paths, headers and \
             environment variables",
            limits::REVIEW_COPIED_BYTES >> 10
        ));
    }
    Ok(())
}

/// Number of containers of all kinds.
fn container_count(pod: &Value) -> usize {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let count = |list| pod["spec"][list].as_array().map_or(0, Vec::len);
    lists.into_iter().map(count).sum()
}

/// The containers that may have probes.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = SpecList::OF_CONTAINERS.into_iter();
    let lists = lists.filter_map(|list| pod["spec"][list.key()].as_array());
    lists.flatten()
}

/// The texts of a pod that injection parses as JSON.
fn json_texts(pod: &Value) -> impl Iterator<Item = &str> {
    let annotations = &pod["metadata"]["annotations"];
    let annotations = [ORIGINAL_ANNOTATION, RESOURCES, IDENTITY_CSI].map(|name| &annotations[name]);
    let sidecars = containers(pod).filter(|container| container["name"] == SIDECAR_NAME);
    let env = sidecars.filter_map(|sidecar| sidecar["env"].as_array());
    let tables = env.flatten().filter(|variable| variable["name"] == PROBERS);
    let tables = tables.map(|variable| &variable["value"]);
    annotations
        .into_iter()
        .chain(tables)
        .filter_map(Value::as_str)
}

/// An upper bound of the number of JSON values in a text: one, and one for each bracket and comma outside of strings.
pub(crate) fn json_value_bound(text: impl AsRef<[u8]>) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in text.as_ref() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

/// Estimated bytes of the parts that injection copies several times.
fn copied_bytes(pod: &Value) -> usize {
    let of_container = |container: &Value| {
        if container["name"] == SIDECAR_NAME {
            return memory_bytes(container);
        }
        let name = container["name"].as_str().map_or(0, str::len);
        let probes = ProbeKind::ALL
            .into_iter()
            .filter_map(|kind| kind.find(container));
        name * NAME_COPIES + probes.map(memory_bytes).sum::<usize>()
    };
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let volumes = volumes.filter(|volume| VOLUMES.iter().any(|name| volume["name"] == *name));
    let texts = json_texts(pod);
    let texts = texts.map(|text| text.len() + json_value_bound(text) * NODE_BYTES / 2);
    containers(pod).map(of_container).sum::<usize>()
        + volumes.map(memory_bytes).sum::<usize>()
        + texts.sum::<usize>()
}

/// Estimated bytes of a value in memory. The parser limits its depth.
fn memory_bytes(value: &Value) -> usize {
    VALUE_BYTES
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(memory_bytes).sum(),
            Value::Object(members) => {
                let nodes = members.len().div_ceil(NODE_ENTRIES) * NODE_BYTES;
                let entries = members.iter();
                let entries = entries.map(|(key, value)| key.len() + memory_bytes(value));
                nodes + entries.sum::<usize>()
            }
        }
}
