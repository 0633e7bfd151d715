//! Pods of the supported kinds.

use super::*;

fn spec() -> Value {
    json!({"containers": [{"name": "web", "livenessProbe": {"httpGet": {"port": 80}}}]})
}

fn names(document: &Value) -> Vec<(String, bool)> {
    let reports = reports(document, document, Task::Inject, &settings());
    let name = |report: Report| {
        let is_injected = matches!(
            report.verdict,
            Verdict::Edited {
                effect: Effect::Injected,
                ..
            }
        );
        (report.name.into(), is_injected)
    };
    reports.into_iter().map(name).collect()
}

#[test]
fn kinds_with_a_template() {
    for (kind, version) in [
        ("Deployment", "apps/v1"),
        ("DaemonSet", "apps/v1"),
        ("StatefulSet", "apps/v1"),
        ("ReplicaSet", "extensions/v1beta1"),
        ("ReplicationController", "v1"),
        ("Job", "batch/v1"),
    ] {
        let document = json!({
            "apiVersion": version, "kind": kind, "metadata": {"name": "web"},
            "spec": {"template": {"spec": spec()}},
        });
        let name = format!("{}/web", kind.to_lowercase());
        assert_eq!(names(&document), [(name, true)]);
        let after = injected(&document);
        assert_eq!(
            after["spec"]["template"]["spec"]["initContainers"][0]["name"],
            "probelet"
        );
        assert_eq!(uninjected(&after), document);
    }
}

#[test]
fn a_cron_job_has_a_template_in_a_template() {
    let document = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "backup"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": spec()}}}},
    });
    assert_eq!(names(&document), [("cronjob/backup".into(), true)]);
    let after = injected(&document);
    let template = &after["spec"]["jobTemplate"]["spec"]["template"];
    assert_eq!(template["spec"]["initContainers"][0]["name"], "probelet");
    assert_eq!(uninjected(&after), document);
}

#[test]
fn other_kinds_are_ignored() {
    for document in [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}),
        json!({"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "spec": {"template": {"spec": spec()}}}),
        json!({"apiVersion": "serving.knative.dev/v1", "kind": "Pod", "spec": spec()}),
        json!({"spec": spec()}),
        json!([{"kind": "Pod", "spec": spec()}]),
        json!("text"),
        json!(null),
    ] {
        assert_eq!(
            report(&document, Task::Inject, &settings()).verdict,
            Verdict::NoPods
        );
    }
}

#[test]
fn each_item_of_a_list_has_a_report_and_edits() {
    let document = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec()},
        {"kind": "List", "items": [{"kind": "Pod", "metadata": {"generateName": "b-"}, "spec": spec()}]},
    ]});
    assert_eq!(
        names(&document),
        [
            ("service/web".into(), false),
            ("pod/a".into(), true),
            ("pod/b-".into(), true)
        ]
    );
    let mut after = document.clone();
    for report in reports(&document, &document, Task::Inject, &settings()) {
        if let Verdict::Edited { edits, .. } = report.verdict {
            after = edited(&after, &edits);
        }
    }
    let port =
        |pod: &Value| pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"].clone();
    assert_eq!(port(&after["items"][1]), 15020);
    assert_eq!(port(&after["items"][2]["items"][0]), 15020);
}

#[test]
fn items_of_a_typed_list_need_no_kind() {
    let document =
        json!({"kind": "PodList", "items": [{"metadata": {"name": "a"}, "spec": spec()}]});
    assert_eq!(names(&document), [("pod/a".into(), true)]);
}

#[test]
fn an_empty_list_has_no_reports() {
    assert_eq!(names(&json!({"kind": "List", "items": []})), []);
}

#[test]
fn a_resource_without_a_pod_template() {
    let document = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {}});
    assert_eq!(skip_reason(&document), "it has no pod template");
}
