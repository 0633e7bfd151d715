//! The members of a container that hold a probe or a hook.

use serde_json::Value;

/// A member of a container that holds a probe or a hook.
pub(in crate::inject) struct ProbeKind {
    /// The keys on the way from the container.
    pub(super) keys: &'static [&'static str],
    /// The last segment of its path on the status port.
    pub(in crate::inject) word: &'static str,
    pub(in crate::inject) is_hook: bool,
}

pub(super) const KINDS: [ProbeKind; 5] = [
    probe(&["livenessProbe"], "livez"),
    probe(&["readinessProbe"], "readyz"),
    probe(&["startupProbe"], "startupz"),
    hook(&["lifecycle", "preStop"], "prestopz"),
    hook(&["lifecycle", "postStart"], "poststartz"),
];

const fn probe(keys: &'static [&'static str], word: &'static str) -> ProbeKind {
    let is_hook = false;
    ProbeKind {
        keys,
        word,
        is_hook,
    }
}

const fn hook(keys: &'static [&'static str], word: &'static str) -> ProbeKind {
    let is_hook = true;
    ProbeKind {
        keys,
        word,
        is_hook,
    }
}

impl ProbeKind {
    /// The path on the status port for a container of this name.
    pub(super) fn path(&self, container: &str) -> String {
        let folder = if self.is_hook {
            "app-lifecycle"
        } else {
            "app-health"
        };
        format!("/{folder}/{container}/{}", self.word)
    }

    /// The key under which the annotation saves it.
    pub(super) fn key(&self, container: &str) -> String {
        format!("{container}.{}", self.keys.join("."))
    }
}

/// The probes and hooks of a container, whatever their types, each with its member and its key in the annotation.
pub(in crate::inject) fn raw_probes(
    container: &Value,
) -> impl Iterator<Item = (&'static str, String, &Value)> {
    let name = container["name"].as_str().unwrap_or_default();
    KINDS.iter().filter_map(move |kind| {
        let step = |value, key: &&str| Value::get(value, *key);
        let value = kind.keys.iter().try_fold(container, step)?;
        Some((*kind.keys.last()?, kind.key(name), value))
    })
}

/// Whether this is the key of a saved probe.
pub(super) fn is_key(key: &str) -> bool {
    let Some((_, kind)) = key.split_once('.') else {
        return false;
    };
    KINDS.iter().any(|known| known.keys.join(".") == kind)
}
