//! The `values` of the injector's ConfigMap: compact JSON of which `sidecarInjectorWebhook.rewriteAppHTTPProbe`
//! says whether probes are rewritten, as in Istio's, and `probelet` may say more. Flags fill in the same settings.

use super::settings::{DEFAULT_STATUS_PORT, Settings, Sidecar, Target};
use super::version::Version;
use crate::config::nearest;
use crate::telemetry::Quoted;
use core::fmt;
use core::net::IpAddr;
use serde_json::{Map, Value, json};

/// The member that holds ours.
const OURS: &str = "probelet";

/// Istio's object, and its member.
const WEBHOOK: &str = "sidecarInjectorWebhook";
const REWRITE: &str = "rewriteAppHTTPProbe";

/// The members of `probelet`, and what to write as each.
const MEMBERS: [(&str, &str); 7] = [
    ("image", "a name such as registry.example/probelet:1.0"),
    ("imagePullPolicy", "Always, IfNotPresent or Never"),
    (
        "resources",
        r#"an object such as {"limits":{"memory":"16Mi"}}"#,
    ),
    ("sidecar", "native or container"),
    ("sourceIp", "an IP address such as 127.0.0.6"),
    ("statusPort", "a port from 1 to 65535"),
    ("targetIp", "an IP address, or pod for the pod's own"),
];

/// What holds for every pod, as far as somebody has said it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Whether probes are rewritten.
    pub rewrite: Option<bool>,
    /// The agent's image.
    pub image: Option<Box<str>>,
    /// `imagePullPolicy` of the sidecar.
    pub pull_policy: Option<Box<str>>,
    /// `resources` of the sidecar, an object.
    pub resources: Option<Value>,
    /// The status port.
    pub status_port: Option<u16>,
    /// Where the app is dialled.
    pub target: Option<Target>,
    /// The address it is dialled from.
    pub source_ip: Option<IpAddr>,
    /// The kind of container the agent becomes.
    pub sidecar: Option<Sidecar>,
}

/// What is wrong with a `values`, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuesError {
    /// It is no JSON.
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A value is of the wrong kind.
    Value {
        /// The member, with those above it.
        member: Box<str>,
        /// What it is.
        found: Box<str>,
        /// What to write.
        write: &'static str,
    },
    /// A member that there is not, and the one that was probably meant.
    Unknown {
        /// The member, with those above it.
        member: Box<str>,
        /// The one to write.
        near: Option<&'static str>,
    },
}

impl fmt::Display for ValuesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { line, column } => write!(
                f,
                "values is no JSON from its line {line}, column {column} on: write such as \
                 {{\"{WEBHOOK}\": {{\"{REWRITE}\": true}}}}"
            ),
            Self::Value {
                member,
                found,
                write,
            } => write!(f, "{member} is {found}: write {write}"),
            Self::Unknown { member, near } => match near {
                Some(near) => write!(f, "there is no {member}: did you mean {near}?"),
                None => {
                    let names: Vec<_> = MEMBERS.iter().map(|(name, _)| *name).collect();
                    write!(f, "there is no {member}: write one of {}", names.join(", "))
                }
            },
        }
    }
}

impl core::error::Error for ValuesError {}

impl Values {
    /// Reads `values`. Members of others are passed over: Istio's has hundreds.
    ///
    /// # Errors
    /// The first thing that is wrong with what concerns us.
    pub fn read(values: &str) -> Result<Self, ValuesError> {
        let json: Value = serde_json::from_str(values).map_err(|error| ValuesError::Json {
            line: error.line(),
            column: error.column(),
        })?;
        let Value::Object(values) = &json else {
            return Err(wrong("values", &json, "an object such as {}"));
        };
        let mut read = Self::default();
        if let Some(webhook) = object(values, WEBHOOK)? {
            read.rewrite = rewritten(webhook)?;
        }
        if let Some(ours) = object(values, OURS)? {
            for (name, value) in ours.iter().filter(|(_, value)| !value.is_null()) {
                read.member(name, value)?;
            }
        }
        Ok(read)
    }

    fn member(&mut self, name: &str, value: &Value) -> Result<(), ValuesError> {
        let member = || format!("{OURS}.{name}");
        let Some((name, _)) = MEMBERS.iter().find(|(known, _)| *known == name) else {
            return Err(ValuesError::Unknown {
                member: member().into(),
                near: nearest(name, MEMBERS.iter().map(|(name, _)| *name)),
            });
        };
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.set(name, &text)
            .map_err(|write| wrong(&member(), value, write))
    }

    /// Sets what goes by this name among the members of `probelet`, as text.
    ///
    /// # Errors
    /// What to write instead.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), &'static str> {
        let write = MEMBERS.iter().find(|(known, _)| *known == name);
        self.parsed(name, text)
            .ok_or(write.map_or("nothing of that name", |(_, write)| write))
    }

    fn parsed(&mut self, name: &str, text: &str) -> Option<()> {
        match name {
            "image" => self.image = Some(word(text)?),
            "imagePullPolicy" => {
                let known = ["Always", "IfNotPresent", "Never"].contains(&text);
                self.pull_policy = Some(known.then(|| text.into())?);
            }
            "resources" => {
                let resources = serde_json::from_str(text).ok();
                self.resources = Some(resources.filter(Value::is_object)?);
            }
            "sidecar" => self.sidecar = Some(kind_of_sidecar(text)?),
            "sourceIp" => self.source_ip = Some(text.parse().ok()?),
            "statusPort" => self.status_port = Some(text.parse().ok().filter(|port| *port != 0)?),
            "targetIp" => self.target = Some(target(text)?),
            _ => return None,
        }
        Some(())
    }

    /// These, and what they do not say from others.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            rewrite: self.rewrite.or(others.rewrite),
            image: self.image.or(others.image),
            pull_policy: self.pull_policy.or(others.pull_policy),
            resources: self.resources.or(others.resources),
            status_port: self.status_port.or(others.status_port),
            target: self.target.or(others.target),
            source_ip: self.source_ip.or(others.source_ip),
            sidecar: self.sidecar.or(others.sidecar),
        }
    }

    /// The settings of both ways: flags, then the ConfigMap's, then what the cluster's version asks for, then
    /// the defaults.
    #[must_use]
    pub fn over(self, config: Self, version: Option<Version>) -> Settings {
        let of_version = Self {
            sidecar: version.map(Version::sidecar),
            ..Self::default()
        };
        self.or(config).or(of_version).settings()
    }

    /// The settings, with the defaults of what they do not say.
    pub fn settings(self) -> Settings {
        let image = concat!("localhost/probelet:", env!("CARGO_PKG_VERSION"));
        Settings {
            rewrite: self.rewrite.unwrap_or(true),
            image: self.image.unwrap_or_else(|| image.into()),
            pull_policy: self.pull_policy,
            resources: self.resources.unwrap_or_else(resources),
            status_port: self.status_port.unwrap_or(DEFAULT_STATUS_PORT),
            sidecar: self.sidecar.unwrap_or(Sidecar::Native),
            target: self.target.unwrap_or(Target::Pod),
            source_ip: self.source_ip,
        }
    }
}

/// The agent is charged about 1 MiB; the rest of the limit is for the container runtime, which starts it inside.
/// No limit of CPU: a probe that waits for its quota comes too late.
fn resources() -> Value {
    json!({"requests": {"cpu": "1m", "memory": "2Mi"}, "limits": {"memory": "16Mi"}})
}

fn object<'a>(
    values: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, ValuesError> {
    match values.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(other) => Err(wrong(name, other, "an object such as {}")),
    }
}

fn rewritten(webhook: &Map<String, Value>) -> Result<Option<bool>, ValuesError> {
    // The annotation is spelt so, and a setting that is none would be passed over.
    let annotation = "rewriteAppHTTPProbers";
    if webhook.contains_key(annotation) {
        return Err(ValuesError::Unknown {
            member: format!("{WEBHOOK}.{annotation}").into(),
            near: Some(REWRITE),
        });
    }
    match webhook.get(REWRITE) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(rewrite)) => Ok(Some(*rewrite)),
        Some(other) => {
            let member = format!("{WEBHOOK}.{REWRITE}");
            Err(wrong(&member, other, "true or false, without quotes"))
        }
    }
}

fn wrong(member: &str, found: &Value, write: &'static str) -> ValuesError {
    ValuesError::Value {
        member: member.into(),
        found: match found {
            Value::String(text) => Quoted(text).to_string().into(),
            Value::Object(_) => "an object".into(),
            Value::Array(_) => "a list".into(),
            other => other.to_string().into(),
        },
        write,
    }
}

fn word(text: &str) -> Option<Box<str>> {
    let is_word = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    is_word.then(|| text.into())
}

/// The kind of container by its name.
pub(crate) fn kind_of_sidecar(text: &str) -> Option<Sidecar> {
    match text {
        "native" => Some(Sidecar::Native),
        "container" => Some(Sidecar::Container),
        _ => None,
    }
}

/// Where the app is dialled, by an address or `pod`.
pub(crate) fn target(text: &str) -> Option<Target> {
    match text {
        "pod" => Some(Target::Pod),
        ip => ip.parse().ok().map(Target::Ip),
    }
}

#[cfg(test)]
mod tests;
