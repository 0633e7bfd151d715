//! A model of what the API server of Kubernetes 1.37 does to a pod that is created: it decodes the pod by its Go
//! types, fills in defaults (`pkg/apis/core/v1/defaults.go`), runs admission plugins (ServiceAccount,
//! DefaultTolerationSeconds, Priority) before and between webhook calls, and stores it.
//!
//! `tests/cluster/model.rs` compares it with a real API server.

use super::schema::{Decoder, POD, Path};
use super::{PROBES, each_container};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// `serviceaccount.DefaultAPITokenMountPath`.
pub const TOKEN_MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The name of the token's volume without its random suffix.
pub const TOKEN_VOLUME_PREFIX: &str = "kube-api-access-";
/// The suffix that the model generates.
const TOKEN_SUFFIX: &str = "x7k2p";

/// Members of metadata that the API server manages.
const MANAGED: [&str; 6] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "namespace",
    "resourceVersion",
    "uid",
];

/// The pod as a mutating webhook receives it: decoded, defaulted, and changed by the admission plugins before it.
pub fn admit_pod(pod: &mut Value) {
    *pod = Decoder::default().object(pod, POD, Path::Root("pod"));
    default_spec(pod);
    mount_token(pod);
    tolerate(pod);
    set_default(&mut pod["spec"], "priority", json!(0));
    set_default(
        &mut pod["spec"],
        "preemptionPolicy",
        json!("PreemptLowerPriority"),
    );
    // The defaults of the token's volume.
    default_spec(pod);
}

/// The pod as it is stored, without what the API server alone sets: identity, timestamps, status.
pub fn default_pod(pod: &mut Value) {
    admit_pod(pod);
    drop_disabled_fields(pod);
}

/// The pod as `kubectl get -o yaml` prints it.
pub fn store_pod(pod: &mut Value) {
    default_pod(pod);
    let metadata = &mut pod["metadata"];
    metadata["namespace"] = json!("default");
    metadata["uid"] = json!("5f1f5a0e-6d0c-4f4e-9d5a-2f4b8f0c1d2e");
    metadata["resourceVersion"] = json!("4711");
    metadata["generation"] = json!(1);
    metadata["creationTimestamp"] = json!("2026-01-02T03:04:05Z");
    metadata["managedFields"] = json!([{"manager": "kubectl-create", "operation": "Update", "apiVersion": "v1",
        "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}]);
    pod["status"] = json!({"phase": "Pending", "qosClass": "Burstable"});
}

/// Removes what the API server alone sets.
pub fn remove_managed(pod: &mut Value) {
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.retain(|name, _| !MANAGED.contains(&&**name));
    }
    if let Some(pod) = pod.as_object_mut() {
        pod.remove("status");
    }
}

/// A pod after one of these functions.
pub fn after(pod: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = pod.clone();
    change(&mut pod);
    pod
}

/// Members that the Go types of a pod do not have, by their paths without indexes: a sidecar moves the others.
pub fn unknown_members(pod: &Value) -> BTreeSet<String> {
    let mut decoder = Decoder::default();
    decoder.object(pod, POD, Path::Root("pod"));
    let without_indexes = |path: String| path.replace(|c: char| c.is_ascii_digit(), "");
    decoder.unknown.into_iter().map(without_indexes).collect()
}

/// Removes the volume of a token that no container mounts: it remains where the agent's was the only mount.
pub fn remove_unused_token(pod: &mut Value) {
    let is_token = |item: &Value| {
        let name = item["name"].as_str().unwrap_or_default();
        name.starts_with(TOKEN_VOLUME_PREFIX)
    };
    let is_mounted = super::containers(pod).any(|container| {
        let mounts = container["volumeMounts"].as_array();
        mounts.is_some_and(|mounts| mounts.iter().any(is_token))
    });
    if is_mounted {
        return;
    }
    if let Some(volumes) = pod["spec"].get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.retain(|volume| !is_token(volume));
        if volumes.is_empty() {
            pod["spec"]
                .as_object_mut()
                .expect("a spec")
                .remove("volumes");
        }
    }
}

fn set_default(object: &mut Value, name: &str, value: Value) {
    if object.get(name).is_none() {
        object[name] = value;
    }
}

fn default_spec(pod: &mut Value) {
    let spec = &mut pod["spec"];
    if spec["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds < 0)
    {
        spec["terminationGracePeriodSeconds"] = json!(1);
    }
    for (one, other) in [
        ("serviceAccountName", "serviceAccount"),
        ("serviceAccount", "serviceAccountName"),
    ] {
        if let Some(name) = spec.get(other).cloned() {
            set_default(spec, one, name);
        }
    }
    for (name, value) in [
        ("enableServiceLinks", json!(true)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("restartPolicy", json!("Always")),
        ("securityContext", json!({})),
        ("terminationGracePeriodSeconds", json!(30)),
        ("schedulerName", json!("default-scheduler")),
    ] {
        set_default(spec, name, value);
    }
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.iter_mut().for_each(default_volume);
    }
    let is_host_network = spec["hostNetwork"] == true;
    each_container(pod, |container| {
        default_container(container, is_host_network)
    });
}

fn default_volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|volume| volume.len() <= 1) {
        volume["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "projected"] {
        if volume.get(source).is_some() {
            set_default(&mut volume[source], "defaultMode", json!(0o644));
        }
    }
    let sources = volume
        .get_mut("projected")
        .and_then(|projected| projected["sources"].as_array_mut());
    for source in sources.into_iter().flatten() {
        if source.get("serviceAccountToken").is_some() {
            set_default(
                &mut source["serviceAccountToken"],
                "expirationSeconds",
                json!(3600),
            );
        }
        let files = source
            .get_mut("downwardAPI")
            .and_then(|api| api.get_mut("items")?.as_array_mut());
        for file in files.into_iter().flatten() {
            default_field_ref(file);
        }
    }
}

fn default_field_ref(holder: &mut Value) {
    if let Some(field_ref) = holder.get_mut("fieldRef") {
        set_default(field_ref, "apiVersion", json!("v1"));
    }
}

fn default_container(container: &mut Value, is_host_network: bool) {
    let image = container["image"].as_str().unwrap_or_default();
    let policy = if is_latest(image) {
        "Always"
    } else {
        "IfNotPresent"
    };
    set_default(container, "imagePullPolicy", json!(policy));
    set_default(
        container,
        "terminationMessagePath",
        json!("/dev/termination-log"),
    );
    set_default(container, "terminationMessagePolicy", json!("File"));
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        set_default(port, "protocol", json!("TCP"));
        if is_host_network {
            let number = port["containerPort"].clone();
            set_default(port, "hostPort", number);
        }
    }
    for variable in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(source) = variable.get_mut("valueFrom") {
            default_field_ref(source);
        }
    }
    // SetDefaults_Pod: only a pod's containers, not those of a template.
    if let Some(limits) = container["resources"].get("limits").cloned() {
        set_default(&mut container["resources"], "requests", json!({}));
        for (name, limit) in limits.as_object().into_iter().flatten() {
            set_default(&mut container["resources"]["requests"], name, limit.clone());
        }
    }
    for name in PROBES {
        if let Some(probe) = container.get_mut(name) {
            default_probe(probe);
        }
    }
    if let Some(lifecycle) = container
        .get_mut("lifecycle")
        .and_then(Value::as_object_mut)
    {
        lifecycle.values_mut().for_each(default_http_get);
    }
}

/// Sets the defaults of a probe.
pub fn default_probe(probe: &mut Value) {
    for (name, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        set_default(probe, name, json!(value));
    }
    default_http_get(probe);
    if let Some(grpc) = probe.get_mut("grpc") {
        set_default(grpc, "service", json!(""));
    }
}

fn default_http_get(handler: &mut Value) {
    if let Some(http_get) = handler.get_mut("httpGet") {
        set_default(http_get, "path", json!("/"));
        set_default(http_get, "scheme", json!("HTTP"));
    }
}

/// Whether an image has the tag `latest`, or neither a tag nor a digest (`parsers.ParseImageName`).
fn is_latest(image: &str) -> bool {
    if image.is_empty() {
        return false;
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => digest.is_none(),
    }
}

/// The ServiceAccount plugin, for an account that mounts its token (`mountServiceAccountToken`).
fn mount_token(pod: &mut Value) {
    let spec = &mut pod["spec"];
    set_default(spec, "serviceAccountName", json!("default"));
    let account = spec["serviceAccountName"].clone();
    set_default(spec, "serviceAccount", account);
    if spec["automountServiceAccountToken"] == false {
        return;
    }
    let volumes = spec.get("volumes").and_then(Value::as_array);
    let existing = volumes.into_iter().flatten().find_map(|volume| {
        let name = volume["name"].as_str()?;
        name.starts_with(TOKEN_VOLUME_PREFIX)
            .then(|| String::from(name))
    });
    let name = existing
        .clone()
        .unwrap_or_else(|| format!("{TOKEN_VOLUME_PREFIX}{TOKEN_SUFFIX}"));
    let mut is_mounted = false;
    each_container(pod, |container| {
        let mounts = container.get("volumeMounts").and_then(Value::as_array);
        if mounts
            .into_iter()
            .flatten()
            .any(|mount| mount["mountPath"] == TOKEN_MOUNT_PATH)
        {
            return;
        }
        is_mounted = true;
        let mount = json!({"name": name, "mountPath": TOKEN_MOUNT_PATH, "readOnly": true});
        push(container, "volumeMounts", mount);
    });
    if existing.is_none() && is_mounted {
        push(&mut pod["spec"], "volumes", token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

/// The DefaultTolerationSeconds plugin.
fn tolerate(pod: &mut Value) {
    for taint in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let tolerations = pod["spec"].get("tolerations").and_then(Value::as_array);
        let tolerates = |toleration: &Value| {
            let key = toleration
                .get("key")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let effect = toleration
                .get("effect")
                .and_then(Value::as_str)
                .unwrap_or_default();
            (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        };
        if !tolerations.into_iter().flatten().any(tolerates) {
            let toleration = json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
            push(&mut pod["spec"], "tolerations", toleration);
        }
    }
}

/// Appends to a list that may be absent.
pub fn push(object: &mut Value, name: &str, item: Value) {
    set_default(object, name, json!([]));
    if let Some(items) = object[name].as_array_mut() {
        items.push(item);
    }
}

/// `DropDisabledPodFields`.
fn drop_disabled_fields(pod: &mut Value) {
    each_container(pod, |container| {
        let probes = PROBES.map(|name| vec![name]);
        let hooks = super::HOOKS.map(|name| vec!["lifecycle", name]);
        for path in probes.into_iter().chain(hooks) {
            let mut path = path.into_iter();
            if let Some(handlers) = path.try_fold(&mut *container, |value, key| value.get_mut(key))
            {
                drop_disabled_members(handlers);
            }
        }
    });
}

/// Drops the members of a probe or a hook whose gates are off, as those of alpha features are: H2CContainerProbe and
/// GRPCContainerProbeTLS.
pub fn drop_disabled_members(handlers: &mut Value) {
    for (handler, member) in [("grpc", "mode"), ("httpGet", "protocol")] {
        if let Some(handler) = handlers.get_mut(handler).and_then(Value::as_object_mut) {
            handler.remove(member);
        }
    }
}
