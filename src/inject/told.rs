//! What a person is told of an update, and of settings that the agent would not start with.

use super::annotations::{APP_ID, FORWARD, SOURCE_IP, STATUS_PORT, TARGET_IP};
use super::plan::Plan;
use super::present::Present;
use super::probes;
use super::settle::settle;
use super::table::VARIABLE;
use crate::config::ConfigError;
use serde_json::Value;

/// What changes in a pod that is injected already: members of our container, and probes.
pub(super) fn changes(present: &Present<'_>, plan: &Plan) -> Box<str> {
    let mut parts: Vec<String> = Vec::new();
    match present.container() {
        None => parts.push("container".into()),
        Some(now) => {
            let wanted = settle(now, &plan.container);
            let changed = |key: &&&str| now.get(**key) != wanted.get(**key);
            parts.extend(
                MEMBERS
                    .iter()
                    .filter(changed)
                    .map(|key| word(key, now, &wanted)),
            );
        }
    }
    for slot in probes::slots(present.pod) {
        let what = match (present.is_left(&slot), plan.probes.contains_key(&slot.key)) {
            (false, true) => "with",
            (true, false) => "without",
            _ => continue,
        };
        parts.push(format!("{what} {} {}", slot.container.name, slot.word));
    }
    if parts.is_empty() {
        parts.push("places".into());
    }
    parts.join(", ").into()
}

/// In the order in which they are told.
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

/// Most of what can change in the environment is the table.
fn word(key: &str, now: &Value, wanted: &Value) -> String {
    let table = |container: &Value| {
        let env = container["env"].as_array();
        let found = env
            .into_iter()
            .flatten()
            .find(|var| var["name"] == VARIABLE);
        found.map(Value::to_string)
    };
    match key == "env" && table(now) != table(wanted) {
        true => "probers".into(),
        false => key.into(),
    }
}

/// What the agent calls its settings, and the annotations that they are written as.
const ANNOTATIONS: [(&str, &str); 5] = [
    ("--app-id", APP_ID),
    ("--forward", FORWARD),
    ("--source-ip", SOURCE_IP),
    ("--status-port", STATUS_PORT),
    ("--target-ip", TARGET_IP),
];

/// What the agent would say at its start, in the words of who wrote the pod: what it has as an annotation goes by
/// that name. What holds for all pods is a flag here as well.
pub(super) fn unfit(mut error: ConfigError, pod: &Value) -> Box<str> {
    let rename = |name: &mut Box<str>| {
        let first = name.split(' ').next().unwrap_or_default();
        if first == VARIABLE {
            *name = "its probes".into();
            return;
        }
        let known = ANNOTATIONS.iter().find(|(flag, _)| *flag == first);
        if let Some((flag, annotation)) = known
            && pod["metadata"]["annotations"].get(annotation).is_some()
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
    error.to_string().into()
}
