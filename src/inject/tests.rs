//! The rules of injection, on JSON values. The tests of `manifest` cover source texts.

use super::*;
use crate::manifest::{Edit, apply, json_patch};
use serde_json::json;

mod annotation_probers;
mod annotations;
mod converted_exec;
mod eligibility;
mod external_changes;
mod first_version;
mod forwards;
mod inbound;
mod kinds;
mod meshes;
mod pod_warnings;
mod probes;
mod reinjection;
mod renamed_containers;
mod resources;
mod sidecar;
mod tampered_annotation;
mod timeouts;
mod uninjection;

fn settings() -> Settings {
    Settings {
        rewrite: true,
        image: "localhost/probelet:0.1.0".into(),
        pull_policy: None,
        resources: json!({"requests": {"cpu": "1m", "memory": "2Mi"}, "limits": {"memory": "16Mi"}}),
        status_port: 15020,
        sidecar: Sidecar::Native,
        target: Target::Pod,
        source_ip: None,
        allow_from: Vec::new(),
        linkerd_skip_ports: false,
        container_bounds: ContainerBounds::default(),
        keeps_best_effort: false,
        run_as_user: RunAsUser::DEFAULT,
        min_timeout: 0,
        startup_probe: false,
        convert_exec: false,
        kind_templates: KindTemplates::default(),
    }
}

fn report(document: &Value, task: Task, settings: &Settings) -> Report {
    let mut reports = reports(document, document, task, settings);
    assert_eq!(reports.len(), 1, "{document}");
    reports.remove(0)
}

/// The document after its edits. Asserts that the JSON Patch yields the same.
fn edited(document: &Value, edits: &[Edit]) -> Value {
    let mut after = document.clone();
    apply(&mut after, edits).unwrap_or_else(|misfit| panic!("{misfit:?} of {document}"));
    assert_eq!(patched(document, &json_patch(edits)), after);
    after
}

/// Applies a JSON Patch (RFC 6902), as far as injection uses it.
pub(crate) fn patched(document: &Value, patch: &Value) -> Value {
    let mut after = document.clone();
    for operation in patch.as_array().expect("a patch") {
        let path = operation["path"].as_str().expect("a path");
        let value = match operation["op"].as_str() {
            Some("move") => {
                let from = operation["from"].as_str().expect("a from");
                remove_at(&mut after, from)
            }
            _ => operation["value"].clone(),
        };
        let op = operation["op"].as_str().expect("an op");
        if op == "remove" || op == "replace" {
            remove_at(&mut after, path);
        }
        if op != "remove" {
            insert_at(&mut after, path, value);
        }
    }
    after
}

fn parent_of<'a>(document: &'a mut Value, path: &str) -> (&'a mut Value, String) {
    let (above, last) = path.rsplit_once('/').expect("no root");
    let last = last.replace("~1", "/").replace("~0", "~");
    (
        document
            .pointer_mut(above)
            .unwrap_or_else(|| panic!("{above}")),
        last,
    )
}

fn remove_at(document: &mut Value, path: &str) -> Value {
    match parent_of(document, path) {
        (Value::Object(map), key) => map.remove(&key).unwrap_or_else(|| panic!("{path}")),
        (Value::Array(items), index) => items.remove(index.parse().expect("an index")),
        (other, _) => panic!("{path} in {other}"),
    }
}

fn insert_at(document: &mut Value, path: &str, value: Value) {
    match parent_of(document, path) {
        (Value::Object(map), key) => drop(map.insert(key, value)),
        (Value::Array(items), index) => items.insert(index.parse().expect("an index"), value),
        (other, _) => panic!("{path} in {other}"),
    }
}

fn injected_with(document: &Value, settings: &Settings) -> Value {
    match report(document, Task::Inject, settings).verdict {
        Verdict::Edited { edits, .. } => edited(document, &edits),
        other => panic!("{other:?} of {document}"),
    }
}

fn injected(document: &Value) -> Value {
    injected_with(document, &settings())
}

fn uninjected(document: &Value) -> Value {
    match report(document, Task::Uninject, &settings()).verdict {
        Verdict::Edited { edits, effect, .. } => {
            assert_eq!(effect, Effect::Uninjected);
            edited(document, &edits)
        }
        other => panic!("{other:?} of {document}"),
    }
}

fn effect_of(document: &Value) -> String {
    match report(document, Task::Inject, &settings()).verdict {
        Verdict::Edited {
            details, effect, ..
        } => effect.describe(&details),
        other => panic!("{other:?} of {document}"),
    }
}

fn skip_reason(document: &Value) -> String {
    match report(document, Task::Inject, &settings()).verdict {
        Verdict::Skipped(reason) => reason.into(),
        other => panic!("{other:?} of {document}"),
    }
}

fn refusal_reason(document: &Value) -> String {
    refusal_reason_of(document, Task::Inject)
}

/// The reason why a task refuses a document.
fn refusal_reason_of(document: &Value, task: Task) -> String {
    match report(document, task, &settings()).verdict {
        Verdict::Refused(reason) => reason.into(),
        other => panic!("{other:?} of {document}"),
    }
}

fn warnings(document: &Value) -> Vec<String> {
    let report = report(document, Task::Inject, &settings());
    report.warnings.into_iter().map(Into::into).collect()
}

fn pod(containers: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": containers},
    })
}

/// A pod with one container that has this livenessProbe.
fn probed(probe: Value) -> Value {
    pod(json!([{"name": "web", "livenessProbe": probe}]))
}

fn annotated(mut document: Value, annotations: Value) -> Value {
    document["metadata"]["annotations"] = annotations;
    document
}

/// The mount that keeps the service account's token out of the sidecar.
fn no_token_mount() -> Value {
    json!({
        "name": "probelet-no-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true,
    })
}

/// The volume of that mount.
fn no_token_volume() -> Value {
    json!({"name": "probelet-no-token", "projected": {"defaultMode": 420, "sources": [{"downwardAPI": {}}]}})
}

/// An injected pod as an injector before the volume injected it.
fn without_no_token_volume(mut document: Value) -> Value {
    for list in LISTS {
        let containers = document["spec"][list].as_array_mut();
        for container in containers.into_iter().flatten() {
            remove_from_list(container, "volumeMounts", &no_token_mount());
        }
    }
    remove_from_list(&mut document["spec"], "volumes", &no_token_volume());
    if document["spec"].get("volumes").is_none() {
        let annotations = &mut document["metadata"]["annotations"];
        let saved = annotations["probelet.dev/original"]
            .as_str()
            .expect("originals");
        let saved = saved.replace("\"spec.volumes\":null,", "");
        annotations["probelet.dev/original"] = saved.into();
    }
    document
}

/// Removes an item from a list, and a list that is then empty.
fn remove_from_list(holder: &mut Value, key: &str, item: &Value) {
    let Some(items) = holder.get_mut(key).and_then(Value::as_array_mut) else {
        return;
    };
    items.retain(|other| other != item);
    if items.is_empty() {
        holder.as_object_mut().expect("an object").remove(key);
    }
}

/// The table of probers of an injected pod.
fn table(pod: &Value) -> String {
    let ours = LISTS
        .iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten();
    let ours = ours.filter(|container| container["name"] == "probelet");
    let env = ours
        .filter_map(|container| container["env"].as_array())
        .flatten();
    let mut tables = env.filter(|var| var["name"] == "ISTIO_KUBE_APP_PROBERS");
    tables
        .next()
        .and_then(|var| var["value"].as_str())
        .unwrap_or_default()
        .into()
}

const LISTS: [&str; 2] = ["initContainers", "containers"];

#[test]
fn injecting_a_deployment_again_changes_nothing() {
    let document = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{
                "name": "web", "image": "web:1",
                "livenessProbe": {"httpGet": {"path": "/foo", "port": 8001}, "periodSeconds": 5},
                "readinessProbe": {"tcpSocket": {"port": 8001}},
            }]},
        }},
    });
    let first = report(&document, Task::Inject, &settings());
    assert_eq!(
        (&*first.name, first.namespace.as_deref()),
        ("deployment/web", Some("shop"))
    );
    assert_eq!(effect_of(&document), "injected: livez, readyz");
    let after = injected(&document);
    let spec = &after["spec"]["template"]["spec"];
    assert_eq!(
        spec["containers"][0]["livenessProbe"],
        json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020}, "periodSeconds": 5})
    );
    assert_eq!(
        spec["containers"][0]["readinessProbe"],
        json!({"httpGet": {"path": "/app-health/web/readyz", "port": 15020}})
    );
    assert_eq!(spec["initContainers"][0]["name"], "probelet");
    assert_eq!(
        table(&after["spec"]["template"]),
        r#"{"/app-health/web/livez":{"httpGet":{"path":"/foo","port":8001}},"/app-health/web/readyz":{"tcpSocket":{"port":8001}}}"#
    );
    let again = report(&after, Task::Inject, &settings());
    assert_eq!(again.verdict, Verdict::Unchanged("already injected".into()));
    assert_eq!(uninjected(&after), document);
}
