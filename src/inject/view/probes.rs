//! The probes and hooks of a pod, each with its handler as its owner wrote it.

use super::containers::Container;
use super::handler::{Handler, HandlerError, HandlerKind};
use super::probe_kind::ProbeKind;
use super::saved::{SavedField, SavedProbe, SavedTimeout};
use crate::config::parse_port;
use crate::manifest::Pointer;
use serde_json::{Map, Value};

/// Whether this is a path of an agent's status port (Istio: `pilot/cmd/pilot-agent/status/server.go`).
pub(in crate::inject) fn is_agent_path(path: &str) -> bool {
    path.starts_with("/app-health/") || path.starts_with("/app-lifecycle/")
}

/// The field of a probe with its timeout in seconds.
pub(in crate::inject) const TIMEOUT: &str = "timeoutSeconds";
/// kubelet's timeout of a probe that sets none, in seconds (`pkg/apis/core/v1/defaults.go`: `SetDefaults_Probe`).
pub(in crate::inject) const DEFAULT_TIMEOUT: u64 = 1;

/// A probe or hook of a container that kubelet probes.
pub(in crate::inject) struct Probe<'a> {
    pub(in crate::inject) container: Container<'a>,
    pub(in crate::inject) kind: ProbeKind,
    /// The probe as it is in the pod.
    pub(in crate::inject) value: &'a Map<String, Value>,
    /// Its pointer in the pod.
    pub(in crate::inject) pointer: Pointer,
    /// Its path on the status port: `/app-health/web/livez`.
    pub(in crate::inject) path: Box<str>,
    /// Its key in the annotation: `web.livenessProbe`.
    pub(in crate::inject) key: Box<str>,
    /// Its name in messages: `livenessProbe of web`.
    pub(in crate::inject) label: Box<str>,
    /// Its handler as the owner wrote it.
    pub(in crate::inject) original: Result<Original, HandlerError>,
}

/// An `httpGet` handler as it is in the pod.
pub(super) struct HttpGet<'a> {
    pub(super) handler: Handler,
    pub(super) port: u16,
    pub(super) path: &'a str,
}

/// The port names of the sidecar.
pub(in crate::inject) struct PortNames(Vec<(Box<str>, u16)>);

impl PortNames {
    pub(super) fn of(sidecar: Option<&Value>) -> Self {
        let ports = sidecar.and_then(|sidecar| sidecar["ports"].as_array());
        let port = |port: &Value| {
            let number = port["containerPort"].as_u64()?.try_into().ok()?;
            Some((port["name"].as_str()?.into(), number))
        };
        Self(ports.into_iter().flatten().filter_map(port).collect())
    }

    /// The number of a port, which may be written as a number, as a string of digits, or as one of the names.
    pub(in crate::inject) fn resolve(&self, port: &Value) -> Option<u16> {
        let Some(text) = port.as_str() else {
            return port.as_u64()?.try_into().ok();
        };
        let mut names = self.0.iter();
        let named = names.find(|(name, _)| **name == *text);
        named.map(|(_, port)| *port).or_else(|| parse_port(text))
    }
}

/// The probes of a container, with their handlers as they are in the pod.
pub(super) fn probes<'a>(container: &Container<'a>) -> Vec<Probe<'a>> {
    let found = ProbeKind::ALL.into_iter().filter_map(|kind| {
        let value = kind.find(container.value)?.as_object()?;
        Some(Probe {
            kind,
            value,
            pointer: container.pointer().join_keys(kind.keys()),
            path: kind.path(container.name).into(),
            key: kind.key(container.name).into(),
            label: format!("{} of {}", kind.field(), container.name).into(),
            original: Handler::of(value).map(Original::of_owner),
            container: container.clone(),
        })
    });
    found.collect()
}

impl Probe<'_> {
    /// Whether injection has rewritten or forwarded it, and its owner has not changed that.
    pub(in crate::inject) fn is_injected(&self) -> bool {
        self.injected().is_some()
    }

    /// The `exec` handler that its owner wrote, if it is one.
    pub(in crate::inject) fn exec_handler(&self) -> Option<&Handler> {
        let handler = &self.original.as_ref().ok()?.handler;
        (handler.kind == HandlerKind::Exec).then_some(handler)
    }

    /// The state at injection, if the probe is injected.
    pub(in crate::inject) fn injected(&self) -> Option<&Injected> {
        self.original.as_ref().ok()?.injected.as_ref()
    }

    /// Its `httpGet` handler in the pod, unless that probes another host. `names` are the port names of the sidecar.
    pub(super) fn http_get(&self, names: &PortNames) -> Option<HttpGet<'_>> {
        let handler = Handler::of(self.value).ok()?;
        let port = names.resolve(handler.field("port")?)?;
        let has_host = handler.text("host").is_some_and(|host| !host.is_empty());
        let get = self.value.get("httpGet")?;
        let path = get["path"].as_str().unwrap_or_default();
        (!has_host).then_some(HttpGet {
            handler,
            port,
            path,
        })
    }

    /// Its path on the status port, for a container with this name.
    pub(super) fn path_for(&self, container: &str) -> String {
        self.kind.path(container)
    }

    /// Its key in the annotation, for a container with this name.
    pub(super) fn key_for(&self, container: &str) -> String {
        self.kind.key(container)
    }

    /// Its timeout as its owner wrote it, in seconds; 0 if it sets none. Hooks have none.
    fn original_timeout(&self) -> u64 {
        let timeout = match self.raised_timeout() {
            Some(saved) => saved.original.as_ref().and_then(|was| was.value.as_ref()),
            None => self.value.get(TIMEOUT),
        };
        let timeout = timeout.and_then(Value::as_u64);
        timeout.filter(|_| !self.kind.is_hook()).unwrap_or_default()
    }

    /// Its intended timeout, in seconds, where each timeout is at least `min`; 0 if it sets none. Raises none that the API
    /// server rejects.
    pub(in crate::inject) fn timeout(&self, min: u64) -> u64 {
        let current = self.value.get(TIMEOUT).unwrap_or(&Value::Null);
        match self.original_timeout() {
            original if !current.is_null() && !current.is_u64() => original,
            original if self.kind.is_hook() || original.max(DEFAULT_TIMEOUT) >= min => original,
            _ => min,
        }
    }

    /// The original of its timeout if injection has raised it, and its owner has not changed it since.
    pub(in crate::inject) fn raised_timeout(&self) -> Option<&SavedTimeout> {
        let saved = self.injected()?.saved.timeout.as_ref()?;
        let is_raised = self.value.get(TIMEOUT) == Some(&saved.raised.into());
        (is_raised && !self.kind.is_hook()).then_some(saved)
    }
}

/// A handler as the owner of the pod wrote it.
pub(in crate::inject) struct Original {
    pub(in crate::inject) handler: Handler,
    /// Its fields.
    pub(in crate::inject) fields: Vec<Field>,
    /// The state at injection, if the probe is injected.
    pub(in crate::inject) injected: Option<Injected>,
}

/// An injected probe.
pub(in crate::inject) struct Injected {
    pub(in crate::inject) saved: SavedProbe,
    /// Its path in the agent's table.
    pub(in crate::inject) path: Box<str>,
    /// The handler from which injection made the prober, without later changes by its owner.
    pub(in crate::inject) handler: Handler,
}

/// A field of a handler.
pub(in crate::inject) struct Field {
    /// Its name, as its owner wrote it.
    pub(in crate::inject) name: Box<str>,
    /// Its value, as its owner wrote it.
    pub(in crate::inject) value: Value,
    /// Its name in the pod, if it is there.
    pub(in crate::inject) current: Option<Box<str>>,
    /// The saved original.
    pub(in crate::inject) saved: Option<SavedField>,
}

impl Original {
    fn of_owner(handler: Handler) -> Self {
        let field = |(name, value): (&String, &Value)| Field {
            name: (**name).into(),
            value: value.clone(),
            current: Some((**name).into()),
            saved: None,
        };
        Self {
            fields: handler.fields.iter().map(field).collect(),
            handler,
            injected: None,
        }
    }

    /// The original of an injected handler. Saved fields have their saved values; the others have their values in the
    /// pod, which the owner may have changed. `fallback` returns values that early builds did not save.
    ///
    /// # Errors
    /// The name of a field without a value.
    pub(super) fn of_saved(
        current: &Handler,
        saved: &SavedProbe,
        path: &str,
        fallback: impl Fn(HandlerKind, &str) -> Option<Value>,
    ) -> Result<Self, Box<str>> {
        let kind = saved.kind();
        let mut fields = Vec::new();
        let saved_fields = saved.fields.iter().filter(|(_, field)| !field.is_added());
        for (name, field) in saved_fields {
            let key = field.key.as_deref().map(super::saved::parse_key_text);
            let original = key.unwrap_or_else(|| name.clone());
            let in_pod = current.fields.get(&**name);
            let value = match &field.value {
                Some(saved) => saved.value.clone().or_else(|| fallback(kind, &original)),
                None => in_pod.cloned(),
            };
            fields.push(Field {
                value: value.ok_or_else(|| original.clone())?,
                name: original,
                current: in_pod.map(|_| name.clone()),
                saved: Some(field.clone()),
            });
        }
        // The API server adds `scheme: HTTP` to each httpGet, but the original may be of another kind.
        let is_of_kind = |name: &str| kind == HandlerKind::HttpGet || kind.fields().contains(&name);
        let others = current
            .fields
            .iter()
            .filter(|(name, _)| !saved.fields.contains_key(&***name) && is_of_kind(name));
        fields.extend(others.map(|(name, value)| Field {
            name: (**name).into(),
            value: value.clone(),
            current: Some((**name).into()),
            saved: None,
        }));
        let handler = handler_of(kind, &fields);
        let injected = Injected {
            handler: injected_handler(&handler, saved),
            path: path.into(),
            saved: saved.clone(),
        };
        Ok(Self {
            handler,
            fields,
            injected: Some(injected),
        })
    }
}

/// The handler from which injection made the prober. If a person has added `scheme: HTTPS` to a rewritten probe since,
/// it is meant for the app, because kubelet probes the agent in plaintext.
fn injected_handler(handler: &Handler, saved: &SavedProbe) -> Handler {
    let mut injected = handler.clone();
    for (name, default) in [("scheme", "HTTP"), ("protocol", "HTTP1")] {
        let is_current = !saved.fields.contains_key(name) && handler.field(name).is_some();
        if saved.is_rewritten() && is_current {
            injected.fields.insert(name.into(), default.into());
        }
    }
    if let Some(port) = saved.fields.get("port").and_then(|field| field.port) {
        injected.fields.insert("port".into(), port.into());
    }
    injected
}

fn handler_of(kind: HandlerKind, fields: &[Field]) -> Handler {
    let fields = fields
        .iter()
        .map(|field| (String::from(&*field.name), field.value.clone()));
    Handler {
        kind,
        fields: fields.collect(),
    }
}
