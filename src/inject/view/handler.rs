//! Handlers of probes and hooks that dial a port, or run a command (`k8s.io/api/core/v1`: `ProbeHandler`,
//! `LifecycleHandler`).

use serde_json::{Map, Value};

/// The kinds of handlers that can become a prober of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inject) enum HandlerKind {
    HttpGet,
    TcpSocket,
    Grpc,
    /// A command, which may be converted.
    Exec,
}

impl HandlerKind {
    /// Those that dial a port, and that a prober has.
    pub(in crate::inject) const ALL: [Self; 3] = [Self::HttpGet, Self::TcpSocket, Self::Grpc];

    /// Its key in a probe.
    pub(in crate::inject) fn key(self) -> &'static str {
        match self {
            Self::HttpGet => "httpGet",
            Self::TcpSocket => "tcpSocket",
            Self::Grpc => "grpc",
            Self::Exec => "exec",
        }
    }

    /// The kind with this key.
    pub(in crate::inject) fn from_key(key: &str) -> Option<Self> {
        let mut kinds = Self::ALL.into_iter().chain([Self::Exec]);
        kinds.find(|kind| kind.key() == key)
    }

    /// The fields that a handler of this kind has.
    pub(in crate::inject) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::HttpGet => &["path", "port", "host", "scheme", "httpHeaders", "protocol"],
            Self::TcpSocket => &["port", "host"],
            Self::Grpc => &["port", "service", "mode"],
            Self::Exec => &[COMMAND],
        }
    }
}

/// The field of an `exec` handler.
pub(in crate::inject) const COMMAND: &str = "command";

/// A handler that dials a port, or runs a command.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::inject) struct Handler {
    pub(in crate::inject) kind: HandlerKind,
    pub(in crate::inject) fields: Map<String, Value>,
}

/// Why a probe has no such handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inject) enum HandlerError {
    /// It sleeps, has no handler, or an `exec` without a command.
    DialsNoPort,
    /// It has several, or one that is not an object.
    Ambiguous,
}

/// Keys of handlers that dial no port.
const OTHER_KEYS: [&str; 2] = ["exec", "sleep"];

impl Handler {
    /// The handler of a probe. A null member counts as absent, as it does for the API server.
    pub(in crate::inject) fn of(probe: &Map<String, Value>) -> Result<Self, HandlerError> {
        let is_set = |key: &str| probe.get(key).is_some_and(|value| !value.is_null());
        let mut kinds = HandlerKind::ALL
            .into_iter()
            .filter(|kind| is_set(kind.key()));
        let Some(kind) = kinds.next() else {
            return Self::exec(probe).ok_or(HandlerError::DialsNoPort);
        };
        if kinds.next().is_some() || OTHER_KEYS.into_iter().any(is_set) {
            return Err(HandlerError::Ambiguous);
        }
        let fields = probe[kind.key()].as_object().cloned();
        let fields = fields.ok_or(HandlerError::Ambiguous)?;
        Ok(Self { kind, fields })
    }

    /// The `exec` handler of a probe without another, if it has a command and nothing else.
    fn exec(probe: &Map<String, Value>) -> Option<Self> {
        let kind = HandlerKind::Exec;
        let has_sleep = probe.get("sleep").is_some_and(|sleep| !sleep.is_null());
        let fields = probe.get(kind.key())?.as_object()?.clone();
        let is_command = fields.len() == 1
            && fields
                .get(COMMAND)?
                .as_array()?
                .iter()
                .all(Value::is_string);
        (is_command && !has_sleep).then_some(Self { kind, fields })
    }

    /// A field, unless it is null.
    pub(in crate::inject) fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A text field.
    pub(in crate::inject) fn text(&self, name: &str) -> Option<&str> {
        self.field(name).and_then(Value::as_str)
    }
}
