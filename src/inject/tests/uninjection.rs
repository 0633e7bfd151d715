//! Saved originals, and uninjection.

use super::*;
use crate::manifest::Document;

fn web() -> Value {
    probed(json!({"httpGet": {"path": "/foo", "port": 8001}}))
}

fn record(after: &Value) -> Value {
    let text = after["metadata"]["annotations"]["probelet.dev/original"].as_str();
    serde_json::from_str(text.expect("a record")).expect("JSON")
}

#[test]
fn uninjection_has_no_warnings() {
    let document = json!({
        "kind": "Deployment", "metadata": {"annotations": {"probelet.dev/image": "a"}},
        "spec": {"template": {"spec": web()["spec"]}},
    });
    let after = injected(&document);
    assert_eq!(report(&after, Task::Uninject, &settings()).warnings, []);
}

#[test]
fn uninjection_of_other_pods_changes_nothing() {
    let verdict = report(&web(), Task::Uninject, &settings()).verdict;
    assert_eq!(verdict, Verdict::Unchanged("not injected".into()));
}

#[test]
fn the_annotation_has_the_originals() {
    let mut document = web();
    document["spec"]["containers"][0]["readinessProbe"] =
        json!({"grpc": {"port": 1, "service": "a"}});
    assert_eq!(
        record(&injected(&document)),
        json!({
            "version": 2,
            "sidecar": {"ports": [15020], "resources": settings().resources},
            "metadata.annotations": null,
            "spec.initContainers": null,
            "spec.volumes": null,
            "web.livenessProbe.httpGet.path": {"was": "\"/foo\""},
            "web.livenessProbe.httpGet.port": {"was": "8001"},
            "web.readinessProbe.httpGet": {"key": "\"grpc\""},
            "web.readinessProbe.httpGet.path": {"was": "\"a\"", "key": "\"service\""},
            "web.readinessProbe.httpGet.port": {"was": "1"},
        })
    );
}

#[test]
fn absent_and_empty_collections_are_restored() {
    for metadata in [
        None,
        Some(json!(null)),
        Some(json!({})),
        Some(json!({"annotations": null})),
        Some(json!({"annotations": {}})),
        Some(json!({"annotations": {"a": "b"}})),
    ] {
        for list in [
            None,
            Some(json!(null)),
            Some(json!([])),
            Some(json!([{"name": "other"}])),
        ] {
            let mut document = json!({"kind": "Pod", "spec": web()["spec"]});
            if let Some(metadata) = &metadata {
                document["metadata"] = metadata.clone();
            }
            if let Some(list) = &list {
                document["spec"]["initContainers"] = list.clone();
                document["spec"]["volumes"] = list.clone();
            }
            let mut fixed = settings();
            fixed.status_port = 15920;
            let after = injected_with(&document, &fixed);
            assert_eq!(uninjected(&after), document);
        }
    }
}

#[test]
fn later_additions_of_others_are_retained() {
    let annotations = json!({"probelet.dev/app-ca-secret": "ca"});
    let mut after = injected(&annotated(web(), annotations));
    let spec = &mut after["spec"];
    for list in ["initContainers", "volumes"] {
        spec[list]
            .as_array_mut()
            .expect("a list")
            .push(json!({"name": "other"}));
    }
    let mut bare = injected(&web());
    bare["metadata"]["annotations"]["a"] = "b".into();
    assert_eq!(uninjected(&bare), annotated(web(), json!({"a": "b"})));
    let back = uninjected(&after);
    for list in ["initContainers", "volumes"] {
        assert_eq!(back["spec"][list], json!([{"name": "other"}]));
    }
}

#[test]
fn a_sidecar_with_the_mount_of_the_token_is_uninjected() {
    // An injector before the empty volume, and the API server.
    let mut before = without_no_token_volume(injected(&web()));
    let mount = json!([{
        "name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true,
    }]);
    let volumes = json!([{"name": "kube-api-access-x7k2p", "projected": {"sources": []}}]);
    before["spec"]["initContainers"][0]["volumeMounts"] = mount;
    before["spec"]["volumes"] = volumes.clone();
    let mut expected = web();
    expected["spec"]["volumes"] = volumes;
    assert_eq!(uninjected(&before), expected);
}

#[test]
fn empty_annotations_are_removed_when_labels_were_added() {
    let document = json!({"kind": "Pod", "spec": web()["spec"]});
    let mut after = injected(&document);
    after["metadata"]["labels"] = json!({"app": "web"});
    assert_eq!(
        uninjected(&after)["metadata"],
        json!({"labels": {"app": "web"}})
    );
}

#[test]
fn ports_that_others_excluded_are_retained() {
    const EXCLUDE: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
    let forward = json!({"probelet.dev/forward": "8001=15032"});
    let mut after = injected(&annotated(web(), forward.clone()));
    after["metadata"]["annotations"][EXCLUDE] = "9090,15032".into();
    let mut expected = annotated(web(), forward);
    expected["metadata"]["annotations"][EXCLUDE] = "9090".into();
    assert_eq!(uninjected(&after), expected);
}

fn edited_text(text: &str, task: Task) -> String {
    let document = Document::parse(text).expect("a manifest");
    let mut reports = reports(document.value(), &document, task, &settings());
    match reports.remove(0).verdict {
        Verdict::Edited { edits, .. } => document
            .edit(&edits)
            .unwrap_or_else(|error| panic!("{error} of\n{text}\n{edits:#?}")),
        other => panic!("{other:?} of\n{text}"),
    }
}

/// The text after injection; injecting that changes nothing, and undoing it leads back to every byte.
fn there_and_back(text: &str) -> String {
    let after = edited_text(text, Task::Inject);
    let document = Document::parse(&after).expect("a manifest");
    let again = reports(document.value(), &document, Task::Inject, &settings()).remove(0);
    assert_eq!(
        again.verdict,
        Verdict::Unchanged("already injected".into()),
        "{after}"
    );
    assert_eq!(edited_text(&after, Task::Uninject), text, "{after}");
    after
}

#[test]
fn every_byte_is_restored() {
    let after = there_and_back(
        "kind: Pod # a pod\nmetadata:\n  annotations:   # none yet\nspec:\n  # what starts first\n  \
         initContainers: [ ]\n  containers:\n    - name: \"web\"\n      livenessProbe:\n        httpGet: {port: \
         0x1F90,   path: '/foo'} # inline\n      readinessProbe:\n        \"grpc\":\n          \
         port: 50051 # plain\n          service: orders\n      startupProbe:\n        tcpSocket:\n          \
         port: 8080\n",
    );
    assert!(after.contains("# inline"), "{after}");
    assert!(after.contains("kind: Pod # a pod"), "{after}");
}

#[test]
fn empty_scalars_are_restored() {
    there_and_back(
        "kind: Pod
metadata:
spec:
  initContainers:
  containers:
  - name: web
    livenessProbe:
      grpc:
        port: 80
        service:
  - {name: db, livenessProbe: {grpc: {port: 80, mode: \"TLS\", service: ~}}}
",
    );
}

#[test]
fn scalars_of_every_style_are_restored() {
    for get in [
        "port: !!int '80'",
        "port: 0o120",
        "port: &port 80 # anchored",
        "path: !!str 1.10\n        port: 80",
        "port: 80\n        path: |-\n          /a",
        "port: 80\n        path: >\n          /a\n          b",
        "port: 80\n        path: \"/a\\\n          b\"",
        "port: 80\n        path: /a\n          b # folded",
        "port: 80\n        path:\n          /a",
    ] {
        let text = "kind: Pod\nspec:\n  containers:\n  - name: web\n    livenessProbe:\n      httpGet:\n        ";
        there_and_back(&format!("{text}{get}\n    image: web:1\n"));
    }
}

const ALIASED: &str = "kind: Pod
metadata:
  name: web
spec:
  containers:
    - name: web
      livenessProbe: &probe
        httpGet:
          path: /foo # the same for both
          port: 8001
        timeoutSeconds: 2
      readinessProbe: *probe
";

#[test]
fn an_alias_of_a_probe_is_restored() {
    let after = there_and_back(ALIASED);
    let value = Document::parse(&after).expect("a manifest").value().clone();
    let container = &value["spec"]["containers"][0];
    assert_eq!(
        container["livenessProbe"]["httpGet"]["path"],
        "/app-health/web/livez"
    );
    assert_eq!(
        container["readinessProbe"]["httpGet"]["path"],
        "/app-health/web/readyz"
    );
    assert_eq!(container["readinessProbe"]["timeoutSeconds"], 2);
}

#[test]
fn aliases_of_handlers_hooks_lists_and_annotations_are_restored() {
    there_and_back(
        "kind: Pod
metadata:
  labels: &labels {app: web}
  annotations: *labels
spec:
  volumes: &volumes
    - name: other
  initContainers: *volumes
  containers:
    - name: web
      livenessProbe:
        tcpSocket: &port {port: 80}
      readinessProbe:
        tcpSocket: *port
      lifecycle: &lifecycle
        preStop: {httpGet: {path: /a, port: 80}}
    - name: db
      lifecycle: *lifecycle
",
    );
}

/// The text after an update with other settings, and after uninjection.
fn updated(text: &str) -> String {
    let mut other = settings();
    other.image = "localhost/probelet:0.2.0".into();
    let document = Document::parse(text).expect("a manifest");
    let report = reports(document.value(), &document, Task::Inject, &other).remove(0);
    let Verdict::Edited { details, edits, .. } = report.verdict else {
        panic!("{:?} of\n{text}", report.verdict);
    };
    assert_eq!(&*details, "image", "{text}");
    document.edit(&edits).expect("it can be edited")
}

#[test]
fn an_alias_inside_a_probe_is_restored() {
    for probes in [
        "livenessProbe: {httpGet: {path: &a /foo, port: &p 8080, scheme: &s HTTPS}}
    readinessProbe: {httpGet: {path: *a, port: *p, scheme: *s}}",
        "livenessProbe: {tcpSocket: {port: &p 8080}}
    readinessProbe: {tcpSocket: {port: *p}}",
        "livenessProbe: {grpc: {port: &p 8080, service: &s orders, mode: &m TLS}}
    readinessProbe: {grpc: {port: *p, service: *s, mode: *m}}",
        "livenessProbe:
      httpGet: {port: *p}
    readinessProbe:
      httpGet:
        port: *p # the same",
    ] {
        let text = format!(
            "kind: Pod
spec:
  terminationGracePeriodSeconds: &p 30
  containers:
  - name: web
    {probes}
"
        );
        let after = there_and_back(&text);
        let value = Document::parse(&after).expect("a manifest").value().clone();
        assert!(!table(&value).contains("null,"), "{after}");
        let newer = updated(&after);
        assert_eq!(edited_text(&newer, Task::Uninject), text, "{newer}");
    }
}

#[test]
fn a_probe_with_a_null_handler_is_restored() {
    for probe in [
        "{httpGet: null, tcpSocket: {port: 80}}",
        "{httpGet: ~, grpc: {port: 80, service: a}, periodSeconds: 5}",
        "\n      httpGet:\n      # plain\n      tcpSocket:\n        port: 80 # not the mesh's",
        "\n      httpGet: {port: 80}\n      exec: null",
        "{httpGet: null, tcpSocket: {port: *n}}",
        "{httpGet: null, !!str tcpSocket: {port: 80}}",
        "{! grpc : {port: 80, !!str service : a}}",
        "{\"tcpSocket\":{\"port\":80}}",
    ] {
        there_and_back(&format!(
            "kind: Pod\nspec:\n  priority: &n 8080\n  containers:\n  - name: web\n    livenessProbe: {probe}\n    \
             image: web:1\n"
        ));
    }
}

#[test]
fn a_probe_with_a_null_handler_and_its_alias_are_restored() {
    there_and_back(
        "kind: Pod
spec:
  containers:
  - name: web
    readinessProbe: &a
      httpGet: null
      grpc: {port: 81}
    livenessProbe: *a
    startupProbe: {<<: *a, periodSeconds: 3}
",
    );
}

#[test]
fn an_alias_of_a_list_of_containers_is_restored_after_an_update() {
    let text = "kind: List
items:
- kind: Pod
  spec:
    containers: &all [{name: web, livenessProbe: {httpGet: {port: 80}}}]
- kind: Pod
  spec:
    containers: *all
";
    let edit = |text: &str, task: Task, settings: &Settings| {
        let document = Document::parse(text).expect("a manifest");
        let reports = reports(document.value(), &document, task, settings);
        let edits = reports.into_iter().flat_map(|report| match report.verdict {
            Verdict::Edited { edits, .. } => edits,
            other => panic!("{other:?}"),
        });
        document.edit(&edits.collect::<Vec<_>>()).expect("edits")
    };
    let mut other = settings();
    other.image = "localhost/probelet:0.2.0".into();
    let after = edit(&edit(text, Task::Inject, &settings()), Task::Inject, &other);
    assert_eq!(edit(&after, Task::Uninject, &settings()), text);
}

#[test]
fn an_alias_of_a_whole_container_is_refused() {
    let text = "kind: PodList
items:
  - kind: Pod
    spec:
      containers:
        - &web {name: web, livenessProbe: {httpGet: {port: 80}}}
  - kind: Pod
    spec:
      containers:
        - *web
";
    let document = Document::parse(text).expect("a manifest");
    let reports = reports(document.value(), &document, Task::Inject, &settings());
    assert_eq!(
        reports[1].verdict,
        Verdict::Refused(
            "/items/1/spec/containers/0 shares its content through a YAML alias or a merge key (<<): replace it by \
             its content".into()
        )
    );
}
