//! Messages: the details of an update, and the agent's own errors in terms of annotations.

use super::Intent;
use crate::config::ConfigError;
use crate::inject::options::annotations::{APP_ID, FORWARD, SOURCE_IP, STATUS_PORT, TARGET_IP};
use crate::inject::view::{PROBERS, PodView, table_text};
use serde_json::Value;

/// The changes of an update: members of the sidecar, and probes.
pub(in crate::inject) fn changes(view: &PodView<'_>, intent: &Intent) -> Box<str> {
    let mut parts: Vec<String> = Vec::new();
    match view.sidecar {
        None => parts.push("container".into()),
        Some(current) => {
            let intended = &intent.sidecar;
            let is_changed = |name: &&&str| current.get(**name) != intended.get(**name);
            let changed = MEMBERS.iter().filter(is_changed);
            parts.extend(changed.map(|name| member(name, current, intended)));
        }
    }
    for probe in &view.probes {
        let what = match (probe.is_injected(), intent.goals.contains_key(&probe.key)) {
            (false, true) => "with",
            (true, false) => "without",
            _ => continue,
        };
        parts.push(format!(
            "{what} {} {}",
            probe.container.name, probe.kind.word
        ));
    }
    if parts.is_empty() {
        parts.push("order or annotations".into());
    }
    parts.join(", ").into()
}

/// Members of the sidecar, in the order of a message.
const MEMBERS: [&str; 10] = [
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

/// The name of a changed member. Most changes of the environment are those of the table.
fn member(name: &str, current: &Value, intended: &Value) -> String {
    match name == "env" && table_text(current) != table_text(intended) {
        true => "probers".into(),
        false => name.into(),
    }
}

/// Flags of the agent, and the annotations that set them.
const ANNOTATIONS: [(&str, &str); 5] = [
    ("--app-id", APP_ID),
    ("--forward", FORWARD),
    ("--source-ip", SOURCE_IP),
    ("--status-port", STATUS_PORT),
    ("--target-ip", TARGET_IP),
];

/// An error of the agent's configuration, with the names of annotations in place of those flags that the pod sets by
/// annotation.
pub(super) fn config_error(mut error: ConfigError, view: &PodView<'_>) -> String {
    let rename = |name: &mut Box<str>| {
        let first = name.split(' ').next().unwrap_or_default();
        if first == PROBERS {
            *name = "its probes".into();
            return;
        }
        let known = ANNOTATIONS.iter().find(|(flag, _)| *flag == first);
        if let Some((flag, annotation)) = known
            && view.annotation(annotation).is_some()
        {
            *name = format!("annotation {annotation}{}", &name[flag.len()..]).into();
        }
    };
    match &mut error {
        ConfigError::Value { origin, .. } | ConfigError::Probers { origin, .. } => rename(origin),
        ConfigError::Family { source, target } => {
            rename(source);
            rename(target);
        }
        ConfigError::Loop { forward, listener } => {
            rename(forward);
            rename(listener);
        }
        _ => {}
    }
    error.to_string()
}
