//! The fields of a container that have a probe or a hook.

use serde_json::Value;

/// A field of a container that has a probe or a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inject) enum ProbeKind {
    Liveness,
    Readiness,
    Startup,
    PreStop,
    PostStart,
}

impl ProbeKind {
    pub(in crate::inject) const ALL: [Self; 5] = [
        Self::Liveness,
        Self::Readiness,
        Self::Startup,
        Self::PreStop,
        Self::PostStart,
    ];

    /// The keys from the container to the field.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Liveness => &["livenessProbe"],
            Self::Readiness => &["readinessProbe"],
            Self::Startup => &["startupProbe"],
            Self::PreStop => &["lifecycle", "preStop"],
            Self::PostStart => &["lifecycle", "postStart"],
        }
    }

    /// The name of the field.
    pub(in crate::inject) fn field(self) -> &'static str {
        self.keys().last().copied().unwrap_or_default()
    }

    /// The last segment of its path on the status port.
    pub(in crate::inject) fn endpoint(self) -> &'static str {
        match self {
            Self::Liveness => "livez",
            Self::Readiness => "readyz",
            Self::Startup => "startupz",
            Self::PreStop => "prestopz",
            Self::PostStart => "poststartz",
        }
    }

    /// Whether it is a lifecycle hook.
    pub(in crate::inject) fn is_hook(self) -> bool {
        match self {
            Self::PreStop | Self::PostStart => true,
            Self::Liveness | Self::Readiness | Self::Startup => false,
        }
    }

    /// Its path on the status port, for a container with this name.
    pub(super) fn path(self, container: &str) -> String {
        let prefix = if self.is_hook() {
            "app-lifecycle"
        } else {
            "app-health"
        };
        format!("/{prefix}/{container}/{}", self.endpoint())
    }

    /// Its key in the annotation, for a container with this name.
    pub(super) fn key(self, container: &str) -> String {
        format!("{container}.{}", self.keys().join("."))
    }

    /// Its value in a container.
    pub(in crate::inject) fn find(self, container: &Value) -> Option<&Value> {
        let mut keys = self.keys().iter();
        keys.try_fold(container, |value, key| value.get(*key))
    }
}

/// Whether this is the key of a saved probe.
pub(super) fn is_key(key: &str) -> bool {
    let Some((_, field)) = key.split_once('.') else {
        return false;
    };
    ProbeKind::ALL.into_iter().any(|kind| {
        let fields = field.split('.');
        fields.eq(kind.keys().iter().copied())
    })
}
