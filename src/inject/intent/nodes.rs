//! Nodes that a pod requires and on which the agent cannot run: `nodeSelector`, and `In` of a required `nodeAffinity`.

use crate::inject::annotation_names::{IMAGE, INJECT};
use crate::inject::view::PodView;
use serde_json::Value;

/// The architectures for which there is an image of the agent.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];
const ARCHITECTURE_LABELS: [&str; 2] = ["kubernetes.io/arch", "beta.kubernetes.io/arch"];
const WINDOWS: &str = "windows";

/// An expression of a node affinity: the label of a node is one of these values.
struct Inclusion<'a> {
    label: &'a str,
    values: &'a [Value],
}

/// The label by which a pod runs on nodes of Windows only.
pub(super) fn required_windows_label(spec: &Value) -> Option<&str> {
    let mut selected = OS_LABELS.into_iter();
    let selected = selected.find(|label| spec["nodeSelector"][label] == WINDOWS);
    selected.or_else(|| {
        // A node has to match one of the terms.
        let mut labels = affinity_terms(spec).map(windows_label);
        let first = labels.next()??;
        labels.all(|label| label.is_some()).then_some(first)
    })
}

/// The label by which a term matches nodes of Windows only.
fn windows_label(term: &Value) -> Option<&str> {
    let mut inclusions = inclusions(term);
    let requires_windows = |inclusion: &Inclusion<'_>| {
        let mut values = inclusion.values.iter();
        OS_LABELS.contains(&inclusion.label)
            && !inclusion.values.is_empty()
            && values.all(|value| value == WINDOWS)
    };
    Some(inclusions.find(requires_windows)?.label)
}

/// Warns of a pod that may run on nodes on which the agent cannot run.
pub(super) fn warn_of_nodes(view: &PodView<'_>, warnings: &mut Vec<Box<str>>) {
    let has_own_image = view.annotation(IMAGE).is_some();
    let warning = node_labels(&view.pod["spec"])
        .into_iter()
        .find_map(|(label, value)| {
            let what = format!("the pod may run on nodes with {label} {value}");
            let advice = format!("set {INJECT} to \"false\"");
            if OS_LABELS.contains(&label) && value == WINDOWS {
                return Some(format!(
                    "{what}, where the agent, which runs on Linux only, keeps the pod from starting: {advice}"
                ));
            }
            let has_image = ARCHITECTURES.contains(&value) || has_own_image;
            (ARCHITECTURE_LABELS.contains(&label) && !has_image).then(|| {
                let known = ARCHITECTURES.join(" and ");
                format!(
                    "{what}, for which there is no image of the agent (only for {known}): {advice}, or {IMAGE} to an image \
                     for {value}"
                )
            })
        });
    warnings.extend(warning.map(Into::into));
}

/// Labels and values that nodes of the pod have or may have. `nodeSelector` decides on a label that it has.
fn node_labels(spec: &Value) -> Vec<(&str, &str)> {
    let selector = &spec["nodeSelector"];
    let selected = selector.as_object().into_iter().flatten();
    let selected = selected.filter_map(|(label, value)| Some((&**label, value.as_str()?)));
    let mut labels: Vec<_> = selected.collect();
    for Inclusion { label, values } in affinity_terms(spec).flat_map(inclusions) {
        if selector.get(label).is_none() {
            let values = values.iter().filter_map(Value::as_str);
            labels.extend(values.map(|value| (label, value)));
        }
    }
    labels
}

/// The terms of the required node affinity. A node has to match one of them.
fn affinity_terms(spec: &Value) -> impl Iterator<Item = &Value> {
    let affinity =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = affinity["nodeSelectorTerms"].as_array();
    terms.into_iter().flatten()
}

/// The expressions of a term with the operator `In`.
fn inclusions(term: &Value) -> impl Iterator<Item = Inclusion<'_>> {
    let expressions = term["matchExpressions"].as_array();
    let expressions = expressions.into_iter().flatten();
    let included = expressions.filter(|expression| expression["operator"] == "In");
    included.filter_map(|expression| {
        Some(Inclusion {
            label: expression["key"].as_str()?,
            values: expression["values"].as_array()?,
        })
    })
}
