//! The members of a pod as its Go types have them (`k8s.io/api/core/v1`): the API server drops all others, nulls,
//! and zero values of members with `omitempty`.

use super::quantity;
use serde_json::{Map, Value};

/// A member of an object: its name and its Go type.
pub type Field = (&'static str, Kind);

/// A Go type.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A string with `omitempty`: absent if empty.
    Text,
    /// An integer with `omitempty`: absent if zero.
    Integer,
    /// A bool with `omitempty`: absent if false.
    Boolean,
    /// A pointer to a string.
    TextPointer,
    /// A pointer to an integer.
    IntegerPointer,
    /// A pointer to a bool.
    BooleanPointer,
    /// A string without `omitempty`.
    RequiredText,
    /// An integer without `omitempty`.
    RequiredInteger,
    /// `IntOrString` without `omitempty`.
    IntOrString,
    /// A struct, which is never absent.
    Struct(&'static [Field]),
    /// A pointer to a struct.
    Pointer(&'static [Field]),
    /// A list of structs with `omitempty`.
    List(&'static [Field]),
    /// A list of structs without `omitempty`.
    RequiredList(&'static [Field]),
    /// A list of strings with `omitempty`.
    Texts,
    /// A map from strings to strings with `omitempty`.
    TextMap,
    /// `ResourceList` with `omitempty`.
    Quantities,
    /// Not modelled: kept unless null or empty.
    Opaque,
}

use Kind::*;

const EXEC: &[Field] = &[("command", Texts)];
const HTTP_HEADER: &[Field] = &[("name", RequiredText), ("value", RequiredText)];
const HTTP_GET: &[Field] = &[
    ("path", Text),
    ("port", IntOrString),
    ("host", Text),
    ("scheme", Text),
    ("httpHeaders", List(HTTP_HEADER)),
    ("protocol", TextPointer),
];
const TCP_SOCKET: &[Field] = &[("port", IntOrString), ("host", Text)];
const GRPC: &[Field] = &[
    ("port", RequiredInteger),
    ("service", TextPointer),
    ("mode", TextPointer),
];
const SLEEP: &[Field] = &[("seconds", RequiredInteger)];
/// A probe.
pub const PROBE: &[Field] = &[
    ("exec", Pointer(EXEC)),
    ("httpGet", Pointer(HTTP_GET)),
    ("tcpSocket", Pointer(TCP_SOCKET)),
    ("grpc", Pointer(GRPC)),
    ("initialDelaySeconds", Integer),
    ("timeoutSeconds", Integer),
    ("periodSeconds", Integer),
    ("successThreshold", Integer),
    ("failureThreshold", Integer),
    ("terminationGracePeriodSeconds", IntegerPointer),
];
const HOOK: &[Field] = &[
    ("exec", Pointer(EXEC)),
    ("httpGet", Pointer(HTTP_GET)),
    ("tcpSocket", Pointer(TCP_SOCKET)),
    ("sleep", Pointer(SLEEP)),
];
const LIFECYCLE: &[Field] = &[
    ("postStart", Pointer(HOOK)),
    ("preStop", Pointer(HOOK)),
    ("stopSignal", TextPointer),
];
const PORT: &[Field] = &[
    ("name", Text),
    ("hostPort", Integer),
    ("containerPort", RequiredInteger),
    ("protocol", Text),
    ("hostIP", Text),
];
const FIELD_REF: &[Field] = &[("apiVersion", Text), ("fieldPath", RequiredText)];
const ENV: &[Field] = &[
    ("name", RequiredText),
    ("value", Text),
    (
        "valueFrom",
        Pointer(&[
            ("fieldRef", Pointer(FIELD_REF)),
            ("resourceFieldRef", Opaque),
            ("configMapKeyRef", Opaque),
            ("secretKeyRef", Opaque),
        ]),
    ),
];
const RESOURCES: &[Field] = &[
    ("limits", Quantities),
    ("requests", Quantities),
    ("claims", Opaque),
];
const VOLUME_MOUNT: &[Field] = &[
    ("name", RequiredText),
    ("readOnly", Boolean),
    ("recursiveReadOnly", TextPointer),
    ("mountPath", RequiredText),
    ("subPath", Text),
    ("mountPropagation", TextPointer),
    ("subPathExpr", Text),
];
const SECCOMP: &[Field] = &[("type", RequiredText), ("localhostProfile", TextPointer)];
const SECURITY_CONTEXT: &[Field] = &[
    ("capabilities", Pointer(&[("add", Texts), ("drop", Texts)])),
    ("privileged", BooleanPointer),
    ("seLinuxOptions", Opaque),
    ("windowsOptions", Opaque),
    ("runAsUser", IntegerPointer),
    ("runAsGroup", IntegerPointer),
    ("runAsNonRoot", BooleanPointer),
    ("readOnlyRootFilesystem", BooleanPointer),
    ("allowPrivilegeEscalation", BooleanPointer),
    ("procMount", TextPointer),
    ("seccompProfile", Pointer(SECCOMP)),
    ("appArmorProfile", Opaque),
];
const CONTAINER: &[Field] = &[
    ("name", RequiredText),
    ("image", Text),
    ("command", Texts),
    ("args", Texts),
    ("workingDir", Text),
    ("ports", List(PORT)),
    ("envFrom", Opaque),
    ("env", List(ENV)),
    ("resources", Struct(RESOURCES)),
    ("resizePolicy", Opaque),
    ("restartPolicy", TextPointer),
    ("restartPolicyRules", Opaque),
    ("volumeMounts", List(VOLUME_MOUNT)),
    ("volumeDevices", Opaque),
    ("livenessProbe", Pointer(PROBE)),
    ("readinessProbe", Pointer(PROBE)),
    ("startupProbe", Pointer(PROBE)),
    ("lifecycle", Pointer(LIFECYCLE)),
    ("terminationMessagePath", Text),
    ("terminationMessagePolicy", Text),
    ("imagePullPolicy", Text),
    ("securityContext", Pointer(SECURITY_CONTEXT)),
    ("stdin", Boolean),
    ("stdinOnce", Boolean),
    ("tty", Boolean),
];
const KEY_TO_PATH: &[Field] = &[
    ("key", RequiredText),
    ("path", RequiredText),
    ("mode", IntegerPointer),
];
const PROJECTION: &[Field] = &[
    ("name", Text),
    ("items", List(KEY_TO_PATH)),
    ("optional", BooleanPointer),
];
const DOWNWARD_API_FILE: &[Field] = &[
    ("path", RequiredText),
    ("fieldRef", Pointer(FIELD_REF)),
    ("resourceFieldRef", Opaque),
    ("mode", IntegerPointer),
];
const PROJECTED_SOURCE: &[Field] = &[
    ("secret", Pointer(PROJECTION)),
    (
        "downwardAPI",
        Pointer(&[("items", List(DOWNWARD_API_FILE))]),
    ),
    ("configMap", Pointer(PROJECTION)),
    (
        "serviceAccountToken",
        Pointer(&[
            ("audience", Text),
            ("expirationSeconds", IntegerPointer),
            ("path", RequiredText),
        ]),
    ),
];
const VOLUME: &[Field] = &[
    ("name", RequiredText),
    ("hostPath", Opaque),
    (
        "emptyDir",
        Pointer(&[("medium", Text), ("sizeLimit", Opaque)]),
    ),
    (
        "secret",
        Pointer(&[
            ("secretName", Text),
            ("items", List(KEY_TO_PATH)),
            ("defaultMode", IntegerPointer),
            ("optional", BooleanPointer),
        ]),
    ),
    (
        "configMap",
        Pointer(&[
            ("name", Text),
            ("items", List(KEY_TO_PATH)),
            ("defaultMode", IntegerPointer),
            ("optional", BooleanPointer),
        ]),
    ),
    (
        "projected",
        Pointer(&[
            ("sources", RequiredList(PROJECTED_SOURCE)),
            ("defaultMode", IntegerPointer),
        ]),
    ),
    (
        "csi",
        Pointer(&[
            ("driver", RequiredText),
            ("readOnly", BooleanPointer),
            ("fsType", TextPointer),
            ("volumeAttributes", TextMap),
            ("nodePublishSecretRef", Opaque),
        ]),
    ),
];
const TOLERATION: &[Field] = &[
    ("key", Text),
    ("operator", Text),
    ("value", Text),
    ("effect", Text),
    ("tolerationSeconds", IntegerPointer),
];
const POD_SECURITY_CONTEXT: &[Field] = &[
    ("runAsUser", IntegerPointer),
    ("runAsGroup", IntegerPointer),
    ("runAsNonRoot", BooleanPointer),
    ("fsGroup", IntegerPointer),
    ("seccompProfile", Pointer(SECCOMP)),
];
const SPEC: &[Field] = &[
    ("volumes", List(VOLUME)),
    ("initContainers", List(CONTAINER)),
    ("containers", RequiredList(CONTAINER)),
    ("restartPolicy", Text),
    ("terminationGracePeriodSeconds", IntegerPointer),
    ("activeDeadlineSeconds", IntegerPointer),
    ("dnsPolicy", Text),
    ("nodeSelector", TextMap),
    ("serviceAccountName", Text),
    ("serviceAccount", Text),
    ("automountServiceAccountToken", BooleanPointer),
    ("nodeName", Text),
    ("hostNetwork", Boolean),
    ("hostPID", Boolean),
    ("hostIPC", Boolean),
    ("shareProcessNamespace", BooleanPointer),
    ("securityContext", Pointer(POD_SECURITY_CONTEXT)),
    ("imagePullSecrets", Opaque),
    ("hostname", Text),
    ("subdomain", Text),
    ("affinity", Opaque),
    ("schedulerName", Text),
    ("tolerations", List(TOLERATION)),
    (
        "hostAliases",
        List(&[("ip", RequiredText), ("hostnames", Texts)]),
    ),
    ("priorityClassName", Text),
    ("priority", IntegerPointer),
    ("dnsConfig", Opaque),
    ("readinessGates", Opaque),
    ("runtimeClassName", TextPointer),
    ("enableServiceLinks", BooleanPointer),
    ("preemptionPolicy", TextPointer),
    ("topologySpreadConstraints", Opaque),
    ("os", Pointer(&[("name", RequiredText)])),
    ("hostUsers", BooleanPointer),
];
const METADATA: &[Field] = &[
    ("name", Text),
    ("generateName", Text),
    ("namespace", Text),
    ("uid", Text),
    ("resourceVersion", Text),
    ("generation", Integer),
    ("creationTimestamp", Opaque),
    ("labels", TextMap),
    ("annotations", TextMap),
    ("ownerReferences", Opaque),
    ("finalizers", Texts),
    ("managedFields", Opaque),
];

/// A pod.
pub const POD: &[Field] = &[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Struct(METADATA)),
    ("spec", Struct(SPEC)),
    ("status", Opaque),
];

/// The way to a member, formatted only where it is printed.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    /// The document.
    Root(&'static str),
    /// A member of an object.
    Member(&'a Path<'a>, &'a str),
    /// An item of a list.
    Item(&'a Path<'a>, usize),
}

impl core::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// What the API server decodes a document to, and what it cannot decode or does not know.
#[derive(Default)]
pub struct Decoder {
    /// Values of the wrong type, which make the API server refuse the document.
    pub errors: Vec<String>,
    /// Paths of members that the Go type does not have; they are dropped.
    pub unknown: Vec<String>,
}

impl Decoder {
    /// An object of these fields.
    pub fn object(&mut self, value: &Value, fields: &[Field], path: Path<'_>) -> Value {
        let empty = Map::new();
        let object = match value {
            Value::Object(object) => object,
            Value::Null => &empty,
            _ => {
                self.errors.push(format!("{path} is not an object"));
                &empty
            }
        };
        for name in object.keys() {
            if !fields.iter().any(|(known, _)| known == name) {
                self.unknown.push(format!("{path}.{name}"));
            }
        }
        let mut decoded = Map::new();
        for (name, kind) in fields {
            let value = object.get(*name).unwrap_or(&Value::Null);
            if let Some(value) = self.member(value, *kind, Path::Member(&path, name)) {
                decoded.insert((*name).into(), value);
            }
        }
        Value::Object(decoded)
    }

    fn member(&mut self, value: &Value, kind: Kind, path: Path<'_>) -> Option<Value> {
        match kind {
            Text => self
                .scalar(value, path, Value::is_string)
                .filter(|text| text != ""),
            Integer => self
                .scalar(value, path, is_integer)
                .filter(|number| number != 0),
            Boolean => self
                .scalar(value, path, Value::is_boolean)
                .filter(|flag| flag == true),
            TextPointer => self.scalar(value, path, Value::is_string),
            IntegerPointer => self.scalar(value, path, is_integer),
            BooleanPointer => self.scalar(value, path, Value::is_boolean),
            RequiredText => Some(
                self.scalar(value, path, Value::is_string)
                    .unwrap_or_else(|| "".into()),
            ),
            RequiredInteger => Some(
                self.scalar(value, path, is_integer)
                    .unwrap_or_else(|| 0.into()),
            ),
            IntOrString => {
                let is_port = |value: &Value| is_integer(value) || value.is_string();
                Some(
                    self.scalar(value, path, is_port)
                        .unwrap_or_else(|| 0.into()),
                )
            }
            Struct(fields) => Some(self.object(value, fields, path)),
            Pointer(_) if value.is_null() => None,
            Pointer(fields) => Some(self.object(value, fields, path)),
            List(fields) => self
                .list(value, fields, path)
                .filter(|list| list != &Value::Array(Vec::new())),
            RequiredList(fields) => Some(self.list(value, fields, path).unwrap_or_default()),
            Texts => self.texts(value, path),
            TextMap => self.map(value, path, "", |value| value.as_str().map(String::from)),
            Quantities => self.map(value, path, "0", quantity::canonical),
            Opaque => {
                let is_empty = match value {
                    Value::Null => true,
                    Value::Array(items) => items.is_empty(),
                    _ => false,
                };
                (!is_empty).then(|| value.clone())
            }
        }
    }

    fn scalar(
        &mut self,
        value: &Value,
        path: Path<'_>,
        fits: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        if value.is_null() {
            return None;
        }
        if !fits(value) {
            self.errors.push(format!("{path} has the wrong type"));
            return None;
        }
        Some(value.clone())
    }

    fn list(&mut self, value: &Value, fields: &[Field], path: Path<'_>) -> Option<Value> {
        match value {
            Value::Null => None,
            Value::Array(items) => {
                let items = items.iter().enumerate();
                Some(
                    items
                        .map(|(index, item)| self.object(item, fields, Path::Item(&path, index)))
                        .collect(),
                )
            }
            _ => {
                self.errors.push(format!("{path} is not a list"));
                None
            }
        }
    }

    fn texts(&mut self, value: &Value, path: Path<'_>) -> Option<Value> {
        match value {
            Value::Null => None,
            Value::Array(items) if items.is_empty() => None,
            Value::Array(items) if items.iter().all(Value::is_string) => Some(value.clone()),
            _ => {
                self.errors.push(format!("{path} is not a list of strings"));
                None
            }
        }
    }

    /// A map; `zero` replaces null.
    fn map(
        &mut self,
        value: &Value,
        path: Path<'_>,
        zero: &str,
        read: impl Fn(&Value) -> Option<String>,
    ) -> Option<Value> {
        let map = match value {
            Value::Null => return None,
            Value::Object(map) => map,
            _ => {
                self.errors.push(format!("{path} is not an object"));
                return None;
            }
        };
        let mut decoded = Map::new();
        for (key, value) in map {
            match (read(value), value) {
                (Some(text), _) => drop(decoded.insert(key.clone(), text.into())),
                (None, Value::Null) => drop(decoded.insert(key.clone(), zero.into())),
                (None, _) => self.errors.push(format!("{path}.{key} has the wrong type")),
            }
        }
        (!decoded.is_empty()).then_some(Value::Object(decoded))
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}
