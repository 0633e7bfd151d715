//! The `values` of the injector's ConfigMap, as JSON. Like Istio's, they have `sidecarInjectorWebhook.rewriteAppHTTPProbe`,
//! and `probelet` has further settings. Flags set the same values.

use super::container_bounds::ContainerBounds;
use super::kind_templates::{self, KindTemplate, KindTemplates};
use super::kinds::check_addition;
use super::resources::{self, ResourcesError};
use super::settings::{RunAsUser, Settings, Sidecar, Target};
use super::version::KubernetesVersion;
use crate::config::{Cidr, DEFAULT_STATUS_PORT, parse_port};
use crate::limits;
use crate::text::suggest;
use core::fmt::{self, Display};
use core::net::IpAddr;
use serde_json::{Map, Value, json};

/// The field with probelet's settings.
const PROBELET: &str = "probelet";

// The valid values of `allowFrom` contain this number.
const _: () = assert!(limits::ALLOWED_NETWORKS == 64);
// Those of `minTimeoutSeconds` contain this one.
const _: () = assert!(limits::MIN_TIMEOUT_MAX_SECONDS == 300);

/// Istio's object, and its field.
const WEBHOOK: &str = "sidecarInjectorWebhook";
const REWRITE: &str = "rewriteAppHTTPProbe";

/// The field with the kinds that have pod templates.
pub(crate) const KIND_TEMPLATES: &str = "kindTemplates";

/// The fields of `probelet`, each with its valid values.
const FIELDS: [(&str, &str); 14] = [
    (
        "allowFrom",
        "at most 64 networks separated by commas, such as 10.42.0.0/24,fd00::/64",
    ),
    ("convertExec", "true or false"),
    ("image", "a name such as registry.example/probelet:1.0"),
    ("imagePullPolicy", "Always, IfNotPresent or Never"),
    (KIND_TEMPLATES, kind_templates::EXAMPLE),
    ("linkerdSkipPorts", "true or false"),
    (
        "minTimeoutSeconds",
        "a number of seconds up to 300, such as 5; 0 leaves timeouts unchanged",
    ),
    ("resources", resources::EXAMPLE),
    (
        "runAsUser",
        "a number from 1 to 2147483647, as the sidecar never runs as root (0), or none for the user that the cluster assigns",
    ),
    ("sidecar", "native or container"),
    ("sourceIp", "an IP address such as 127.0.0.6"),
    ("startupProbe", "true or false"),
    ("statusPort", "a port from 1 to 65535"),
    ("targetIp", "an IP address, or pod for the pod's own"),
];

/// The settings that flags or the ConfigMap set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Whether probes are rewritten.
    pub rewrite: Option<bool>,
    /// Whether exec probes are converted.
    pub convert_exec: Option<bool>,
    /// The agent's image.
    pub image: Option<Box<str>>,
    /// `imagePullPolicy` of the sidecar.
    pub pull_policy: Option<Box<str>>,
    /// `resources` of the sidecar, an object.
    pub resources: Option<Value>,
    /// The status port.
    pub status_port: Option<u16>,
    /// The address at which the agent dials the app.
    pub target: Option<Target>,
    /// The source address of the agent's connections to the app.
    pub source_ip: Option<IpAddr>,
    /// The peers that the agent answers.
    pub allow_from: Option<Vec<Cidr>>,
    /// The kind of container that the sidecar becomes.
    pub sidecar: Option<Sidecar>,
    /// The user of the sidecar.
    pub run_as_user: Option<RunAsUser>,
    /// The shortest timeout of an injected probe, in seconds.
    pub min_timeout: Option<u64>,
    /// Whether the sidecar has a startup probe.
    pub startup_probe: Option<bool>,
    /// Kinds that have pod templates.
    pub kind_templates: KindTemplates,
    /// Whether the agent's ports are added to the ports that Linkerd's proxy does not intercept.
    pub linkerd_skip_ports: Option<bool>,
}

/// Why `values` are invalid, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuesError {
    /// Invalid JSON.
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A field has an invalid value.
    Value {
        /// The path of the field.
        field: Box<str>,
        /// The value.
        found: Box<str>,
        /// The valid values.
        write: &'static str,
    },
    /// Invalid `resources`.
    Resources {
        /// The path of the field.
        field: Box<str>,
        /// The reason.
        error: ResourcesError,
    },
    /// An unknown field.
    Unknown {
        /// The path of the field.
        field: Box<str>,
        /// The known field with the most similar name.
        suggestion: Option<&'static str>,
    },
}

/// Why a text is not a valid value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidText {
    /// The valid values.
    Write(&'static str),
    /// Invalid `resources`.
    Resources(ResourcesError),
}

impl InvalidText {
    /// The error of a flag or an annotation with this name and value.
    pub(crate) fn describe(&self, name: &dyn Display, found: &dyn Display) -> String {
        match self {
            Self::Write(write) => format!("{name} is {found}: write {write}"),
            Self::Resources(error) => format!("{name}: {error}"),
        }
    }
}

impl fmt::Display for ValuesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { line, column } => write!(
                f,
                "values is not valid JSON at line {line}, column {column}: write an object such as \
                 {{\"{WEBHOOK}\": {{\"{REWRITE}\": true}}}}"
            ),
            Self::Value {
                field,
                found,
                write,
            } => write!(f, "{field} is {found}: write {write}"),
            Self::Resources { field, error } => write!(f, "{field}: {error}"),
            Self::Unknown { field, suggestion } => match suggestion {
                Some(suggestion) => {
                    let object = field.split('.').next().unwrap_or_default();
                    write!(
                        f,
                        "unknown field {field}: did you mean {object}.{suggestion}?"
                    )
                }
                None => {
                    let names: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
                    write!(
                        f,
                        "unknown field {field}: write one of {}",
                        names.join(", ")
                    )
                }
            },
        }
    }
}

impl core::error::Error for ValuesError {}

impl Values {
    /// Parses `values`. Ignores other fields: Istio's has hundreds.
    ///
    /// # Errors
    /// The first error in the fields that are read.
    pub fn read(values: &str) -> Result<Self, ValuesError> {
        let json: Value = serde_json::from_str(values).map_err(|error| ValuesError::Json {
            line: error.line(),
            column: error.column(),
        })?;
        let Value::Object(values) = &json else {
            return Err(invalid("values", &json, "an object such as {}"));
        };
        let mut read = Self::default();
        if let Some(webhook) = object(values, WEBHOOK)? {
            read.rewrite = parse_rewrite(webhook)?;
        }
        if let Some(fields) = object(values, PROBELET)? {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                read.set_value(name, value)?;
            }
        }
        Ok(read)
    }

    fn set_value(&mut self, name: &str, value: &Value) -> Result<(), ValuesError> {
        let field = || format!("{PROBELET}.{name}");
        let Some((name, _)) = FIELDS.iter().find(|(known, _)| *known == name) else {
            return Err(ValuesError::Unknown {
                field: field().into(),
                suggestion: suggest(name, FIELDS.iter().map(|(name, _)| *name)),
            });
        };
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.set_from_text(name, &text)
            .map_err(|error| match error {
                InvalidText::Write(write) => invalid(&field(), value, write),
                InvalidText::Resources(error) => ValuesError::Resources {
                    field: field().into(),
                    error,
                },
            })
    }

    /// Parses the value of a field of `probelet`.
    ///
    /// # Errors
    /// The valid values, or what is invalid in `resources`.
    pub fn set_from_text(&mut self, name: &str, text: &str) -> Result<(), InvalidText> {
        let field = FIELDS.iter().find(|(known, _)| *known == name);
        let write = field.map_or("a known field", |(_, write)| write);
        if name == "resources" {
            let resources = resources::parse(text).ok_or(InvalidText::Write(write))?;
            self.resources = Some(resources.map_err(InvalidText::Resources)?);
            return Ok(());
        }
        if name == KIND_TEMPLATES {
            for item in text.split(',') {
                let kind = KindTemplate::parse(item.trim()).ok_or(InvalidText::Write(write))?;
                check_addition(&kind).map_err(InvalidText::Write)?;
                self.kind_templates.push(kind);
            }
            return Ok(());
        }
        self.try_set(name, text).ok_or(InvalidText::Write(write))
    }

    /// Parses the value of a field other than `resources` and `kindTemplates`.
    fn try_set(&mut self, name: &str, text: &str) -> Option<()> {
        match name {
            "allowFrom" => {
                let networks = text.split(',').map(|item| Cidr::parse(item.trim()).ok());
                let all = self.allow_from.get_or_insert_default();
                // The flag may be given several times.
                all.extend(networks.collect::<Option<Vec<_>>>()?);
                return (all.len() <= limits::ALLOWED_NETWORKS).then_some(());
            }
            "convertExec" => self.convert_exec = Some(text.parse().ok()?),
            "image" => self.image = Some(parse_word(text)?),
            "imagePullPolicy" => {
                let is_known = ["Always", "IfNotPresent", "Never"].contains(&text);
                self.pull_policy = Some(is_known.then(|| text.into())?);
            }
            "linkerdSkipPorts" => self.linkerd_skip_ports = Some(text.parse().ok()?),
            "minTimeoutSeconds" => self.min_timeout = Some(parse_min_timeout(text)?),
            "runAsUser" => self.run_as_user = Some(parse_user(text)?),
            "sidecar" => self.sidecar = Some(parse_sidecar(text)?),
            "sourceIp" => self.source_ip = Some(text.parse().ok()?),
            "startupProbe" => self.startup_probe = Some(text.parse().ok()?),
            "statusPort" => self.status_port = Some(parse_port(text)?),
            "targetIp" => self.target = Some(parse_target(text)?),
            _ => return None,
        }
        Some(())
    }

    /// Adds the values of `others` that these do not have.
    #[must_use]
    fn or(self, others: Self) -> Self {
        Self {
            rewrite: self.rewrite.or(others.rewrite),
            convert_exec: self.convert_exec.or(others.convert_exec),
            image: self.image.or(others.image),
            pull_policy: self.pull_policy.or(others.pull_policy),
            resources: self.resources.or(others.resources),
            status_port: self.status_port.or(others.status_port),
            target: self.target.or(others.target),
            source_ip: self.source_ip.or(others.source_ip),
            allow_from: self.allow_from.or(others.allow_from),
            sidecar: self.sidecar.or(others.sidecar),
            run_as_user: self.run_as_user.or(others.run_as_user),
            min_timeout: self.min_timeout.or(others.min_timeout),
            startup_probe: self.startup_probe.or(others.startup_probe),
            kind_templates: self.kind_templates.or(others.kind_templates),
            linkerd_skip_ports: self.linkerd_skip_ports.or(others.linkerd_skip_ports),
        }
    }

    /// The settings, with defaults for values that are not set.
    pub fn with_defaults(self) -> Settings {
        let image = concat!("localhost/probelet:", env!("CARGO_PKG_VERSION"));
        Settings {
            rewrite: self.rewrite.unwrap_or(true),
            convert_exec: self.convert_exec.unwrap_or(false),
            image: self.image.unwrap_or_else(|| image.into()),
            pull_policy: self.pull_policy,
            resources: self.resources.unwrap_or_else(default_resources),
            status_port: self.status_port.unwrap_or(DEFAULT_STATUS_PORT),
            sidecar: self.sidecar.unwrap_or(Sidecar::Native),
            target: self.target.unwrap_or(Target::Pod),
            source_ip: self.source_ip,
            allow_from: self.allow_from.unwrap_or_default(),
            linkerd_skip_ports: self.linkerd_skip_ports.unwrap_or(false),
            container_bounds: ContainerBounds::default(),
            keeps_best_effort: false,
            run_as_user: self.run_as_user.unwrap_or(RunAsUser::DEFAULT),
            min_timeout: self.min_timeout.unwrap_or_default(),
            startup_probe: self.startup_probe.unwrap_or(false),
            kind_templates: self.kind_templates,
        }
    }
}

impl Settings {
    /// Flags take precedence over the ConfigMap, that over the kind of sidecar for the cluster's version, and that over
    /// the defaults.
    #[must_use]
    pub fn resolve(flags: Values, config_map: Values, version: Option<KubernetesVersion>) -> Self {
        let of_version = Values {
            sidecar: version.map(KubernetesVersion::default_sidecar),
            ..Values::default()
        };
        flags.or(config_map).or(of_version).with_defaults()
    }
}

/// The agent uses about 1 MiB. The rest of the memory limit is for the container runtime, which starts inside the cgroup.
/// There is no CPU limit, because a throttled probe would time out.
fn default_resources() -> Value {
    json!({"requests": {"cpu": "1m", "memory": "2Mi"}, "limits": {"memory": "16Mi"}})
}

fn object<'a>(
    values: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, ValuesError> {
    match values.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(other) => Err(invalid(name, other, "an object such as {}")),
    }
}

fn parse_rewrite(webhook: &Map<String, Value>) -> Result<Option<bool>, ValuesError> {
    // The name of the annotation, which would be ignored here.
    let annotation = "rewriteAppHTTPProbers";
    if webhook.contains_key(annotation) {
        return Err(ValuesError::Unknown {
            field: format!("{WEBHOOK}.{annotation}").into(),
            suggestion: Some(REWRITE),
        });
    }
    match webhook.get(REWRITE) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(rewrite)) => Ok(Some(*rewrite)),
        Some(other) => {
            let field = format!("{WEBHOOK}.{REWRITE}");
            Err(invalid(&field, other, "true or false, without quotes"))
        }
    }
}

fn invalid(field: &str, found: &Value, write: &'static str) -> ValuesError {
    ValuesError::Value {
        field: field.into(),
        found: resources::found(found).into(),
        write,
    }
}

fn parse_word(text: &str) -> Option<Box<str>> {
    let is_word = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    is_word.then(|| text.into())
}

/// Parses a number of seconds.
fn parse_min_timeout(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| is_decimal);
    seconds.filter(|seconds| *seconds <= limits::MIN_TIMEOUT_MAX_SECONDS)
}

/// Parses a user other than root, or `none`. The API server accepts users up to `i32::MAX`
/// (`k8s.io/apimachinery/pkg/util/validation`: `IsValidUserID`).
fn parse_user(text: &str) -> Option<RunAsUser> {
    if text == "none" {
        return Some(RunAsUser::Unset);
    }
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let user: i32 = text.parse().ok().filter(|user| is_decimal && *user > 0)?;
    Some(RunAsUser::Id(user.unsigned_abs()))
}

/// Parses `native` or `container`.
pub(crate) fn parse_sidecar(text: &str) -> Option<Sidecar> {
    match text {
        "native" => Some(Sidecar::Native),
        "container" => Some(Sidecar::Container),
        _ => None,
    }
}

/// Parses an IP address or `pod`.
pub(crate) fn parse_target(text: &str) -> Option<Target> {
    match text {
        "pod" => Some(Target::Pod),
        ip => ip.parse().ok().map(Target::Ip),
    }
}

#[cfg(test)]
mod tests;
