//! The texts of labels and annotations, and warnings of those that have no effect.

use crate::inject::annotation_names::{
    CONVERT_EXEC, EXCLUDE_INBOUND, INJECT, ISTIO_INJECT, KNOWN, ORIGINAL_ANNOTATION, PREFIX,
};
use crate::limits;
use crate::text::by_edit_distance;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The ones that are read as labels too.
const LABELS: [&str; 2] = [INJECT, ISTIO_INJECT];

/// The largest edit distance at which a name of Istio's counts as a misspelling of one of these.
const MISSPELLING_DISTANCE: usize = 2;

/// The text of a label or an annotation. Accepts values without the quotes that they need.
pub(in crate::inject) fn text_of<'a>(entries: &'a Value, name: &str) -> Option<Cow<'a, str>> {
    match entries.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.trim().into()),
        other => Some(other.to_string().into()),
    }
}

/// Whether the pod says itself whether its exec probes are converted.
pub(in crate::inject) fn sets_convert_exec(metadata: &Value) -> bool {
    text_of(&metadata["annotations"], CONVERT_EXEC).is_some()
}

/// Warns of annotations that are not strings, of misspelt ones, and of labels that should be annotations.
pub(in crate::inject) fn warn_of_ignored(metadata: &Value, warnings: &mut Vec<Box<str>>) {
    let annotations = metadata["annotations"].as_object();
    for (name, value) in annotations.into_iter().flatten() {
        if KNOWN.contains(&&**name) && !value.is_string() {
            let what = format!("annotation {name} is {value}, which is not a string");
            let advice = "write it in quotes, because the API server rejects it";
            warnings.push(format!("{what}: {advice}").into());
        }
    }
    let unknown = annotations.into_iter().flatten();
    let unknown = unknown.filter(|(name, _)| is_unknown(name));
    // Those with probelet's prefix come first: Istio has further annotations that are valid.
    let (own, others): (Vec<&str>, Vec<&str>) = unknown
        .map(|(name, _)| &**name)
        .partition(|name| name.starts_with(PREFIX));
    let named = own.into_iter().chain(others).take(limits::MISSPELT_NAMES);
    warnings.extend(named.filter_map(misspelt));
    let labels = metadata["labels"].as_object();
    for name in labels.into_iter().flatten().map(|(name, _)| &**name) {
        if !LABELS.contains(&name) && KNOWN.contains(&name) {
            let what = format!("label {name} has no effect");
            warnings.push(format!("{what}: write it as an annotation").into());
        }
    }
}

/// Whether an annotation may be a misspelt one of probelet's or Istio's.
fn is_unknown(name: &str) -> bool {
    !KNOWN.contains(&name) && (name.starts_with(PREFIX) || name.contains("sidecar.istio.io/"))
}

/// The warning of an unknown annotation; none of one of Istio's that resembles no known one.
fn misspelt(name: &str) -> Option<Box<str>> {
    let is_own = name.starts_with(PREFIX);
    if name.len() > limits::MISSPELT_NAME_BYTES {
        let warning = format!("unknown annotation {name}: remove it, as it has no effect");
        return is_own.then(|| warning.into());
    }
    // Only injection writes the annotation with the originals.
    let candidates = KNOWN
        .into_iter()
        .filter(|known| *known != ORIGINAL_ANNOTATION);
    let (distance, known) = by_edit_distance(name, candidates)?;
    // Istio also has includeInboundPorts.
    let is_near = distance <= MISSPELLING_DISTANCE && known != EXCLUDE_INBOUND;
    let warning = format!("unknown annotation {name}: did you mean {known}?");
    (is_own || is_near).then(|| warning.into())
}

/// Warns of annotations on an object whose pods have metadata of their own.
pub(in crate::inject) fn warn_of_misplaced(
    owner: &str,
    metadata: &Value,
    warnings: &mut Vec<Box<str>>,
) {
    let names = |entries: &Value| -> Vec<String> {
        let entries = entries.as_object().map(Map::keys);
        entries.into_iter().flatten().cloned().collect()
    };
    for name in names(&metadata["annotations"]) {
        if KNOWN.contains(&&*name) || name.starts_with(PREFIX) {
            warnings.push(misplaced("annotation", &name, owner));
        }
    }
    let labels = metadata["labels"].as_object();
    for name in LABELS {
        if labels.is_some_and(|labels| labels.contains_key(name)) {
            warnings.push(misplaced("label", name, owner));
        }
    }
}

fn misplaced(kind: &str, name: &str, owner: &str) -> Box<str> {
    let advice = "move it to metadata of the pod template";
    format!("{kind} {name} has no effect in metadata of {owner}: {advice}").into()
}
