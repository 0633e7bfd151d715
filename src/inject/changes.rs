//! Describes the changes of an update: fields of the sidecar, and probes.

use super::intent::Intent;
use super::view::{PodView, table_text};
use serde_json::Value;

/// Fields of the sidecar, in the order in which they are listed.
const FIELDS: [&str; 10] = [
    "image",
    "imagePullPolicy",
    "restartPolicy",
    "args",
    "env",
    "ports",
    "startupProbe",
    "resources",
    "securityContext",
    "volumeMounts",
];

/// The changes between a pod and its intended state: `image, web livez injected`.
pub(super) fn changes(view: &PodView<'_>, intent: &Intent) -> Box<str> {
    let mut changes: Vec<String> = Vec::new();
    match view.sidecar {
        None => changes.push("container".into()),
        Some(current) => {
            let intended = &intent.sidecar;
            let is_changed = |name: &&&str| current.get(**name) != intended.get(**name);
            let changed = FIELDS.iter().filter(is_changed);
            changes.extend(changed.map(|name| field(name, current, intended)));
        }
    }
    for probe in &view.probes {
        let change = match (
            probe.is_injected(),
            intent.destinations.contains_key(&probe.key),
        ) {
            (false, true) => "injected",
            (true, false) => "restored",
            (true, true) | (false, false) => continue,
        };
        let endpoint = probe.kind.endpoint();
        changes.push(format!("{} {endpoint} {change}", probe.container.name));
    }
    let volumes = view.pod["spec"]["volumes"].as_array();
    let has_volume = |volume: &Value| volumes.is_some_and(|volumes| volumes.contains(volume));
    if changes.is_empty() && !intent.volumes.iter().all(has_volume) {
        changes.push("volumes".into());
    }
    if changes.is_empty() {
        changes.push("order of containers, volumes, or annotations".into());
    }
    changes.join(", ").into()
}

/// The name of a changed field. Most changes of `env` are in the table of probers.
fn field(name: &str, current: &Value, intended: &Value) -> String {
    match name == "env" && table_text(current) != table_text(intended) {
        true => "probers".into(),
        false => name.into(),
    }
}
