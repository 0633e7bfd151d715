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
        json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {"spec": {"template": {"spec": spec()}}}}),
        json!({"apiVersion": "example/v1", "kind": "Crd", "spec": {"containers": []}, "status": {"spec": spec()}}),
        json!({"apiVersion": "example/v1", "kind": "Crd", "spec": {"containers": ["web"]}}),
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

#[test]
fn a_pod_template_is_a_template() {
    let document = json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web"},
        "template": {"metadata": {}, "spec": spec()},
    });
    let after = injected(&document);
    assert_eq!(
        after["template"]["spec"]["initContainers"][0]["name"],
        "probelet"
    );
    assert_eq!(uninjected(&after), document);
}

/// Settings that make kinds known.
fn knowing(kinds: &str) -> Settings {
    let mut values = values::Values::default();
    values
        .set_from_text(values::KIND_TEMPLATES, kinds)
        .expect("kinds");
    Settings {
        kind_templates: values.with_defaults().kind_templates,
        ..settings()
    }
}

fn rollout() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"},
        "spec": {"template": {"metadata": {}, "spec": spec()}},
    })
}

/// The advice about an unknown kind, and whether its pod template is eligible.
fn advice(document: &Value, task: Task, settings: &Settings) -> (String, bool) {
    match report(document, task, settings).verdict {
        Verdict::UnknownKind {
            advice,
            is_eligible,
        } => (advice.into(), is_eligible),
        other => panic!("{other:?} of {document}"),
    }
}

#[test]
fn an_unknown_kind_with_a_pod_template_is_reported() {
    let pod = || json!({"spec": spec()});
    for (version, kind, body, expected) in [
        (
            "argoproj.io/v1alpha1",
            "Rollout",
            json!({"spec": {"template": pod()}}),
            "Rollout has a pod template at spec.template and is not a known kind: write --kind-template \
             rollouts.argoproj.io=spec.template",
        ),
        (
            "batch.volcano.sh/v1alpha1",
            "Job",
            json!({"spec": {"tasks": [{"template": pod()}, {"template": pod()}]}}),
            "Job has a pod template at spec.tasks[*].template and is not a known kind: write --kind-template \
             jobs.batch.volcano.sh=spec.tasks[*].template",
        ),
        (
            "example/v1",
            "Proxy",
            json!({"a": pod(), "b": {"c": pod()}}),
            "Proxy has a pod template at a and b.c and is not a known kind: write --kind-template proxies.example=a \
             --kind-template proxies.example=b.c",
        ),
        (
            "apps.kruise.io/v1alpha1",
            "SidecarSet",
            pod(),
            "SidecarSet is a pod template and is not a known kind: write --kind-template sidecarsets.apps.kruise.io=.",
        ),
        (
            "example/v1",
            "Bus",
            json!({"a.b": pod()}),
            "Bus has a pod template at a.b and is not a known kind: label the namespace for the webhook, which injects \
             the pods, or write --kind-template buses.example=none",
        ),
        (
            "serving.knative.dev/v1",
            "Service",
            json!({"spec": {"template": pod()}}),
            "Service has a pod template at spec.template, in which Knative rejects init containers and more than one port: \
             label the namespace for the webhook, which injects the pods, or write --kind-template \
             services.serving.knative.dev=none",
        ),
    ] {
        let mut document = body;
        document["apiVersion"] = version.into();
        document["kind"] = kind.into();
        let found = advice(&document, Task::Inject, &settings());
        assert_eq!(found, (expected.into(), true));
        // Its advice is valid.
        let flags = expected.split("--kind-template ").skip(1);
        let flags: Vec<&str> = flags.map(str::trim).collect();
        let reports = reports(
            &document,
            &document,
            Task::Inject,
            &knowing(&flags.join(",")),
        );
        for report in &reports {
            let is_known = match expected.contains("=none") {
                true => report.verdict == Verdict::NoPods,
                false => matches!(report.verdict, Verdict::Edited { .. }),
            };
            assert!(is_known, "{reports:?}");
        }
    }
}

#[test]
fn an_unknown_kind_that_would_not_change_is_not_eligible() {
    let mut document = rollout();
    document["spec"]["template"]["spec"]["containers"][0]
        .as_object_mut()
        .expect("a container")
        .remove("livenessProbe");
    assert!(!advice(&document, Task::Inject, &settings()).1);
    let known = knowing("rollouts.argoproj.io=spec.template");
    let injected = injected_with(&rollout(), &known);
    assert!(!advice(&injected, Task::Inject, &settings()).1);
    assert!(advice(&injected, Task::Uninject, &settings()).1);
    let verdict = report(&rollout(), Task::Uninject, &settings()).verdict;
    assert_eq!(verdict, Verdict::NoPods);
}

#[test]
fn a_kind_of_the_settings_is_injected() {
    for kinds in [
        "rollouts.argoproj.io=spec.template",
        "Rollout.argoproj.io=.spec.template",
        "ROLLOUTS.Argoproj.IO=spec.template",
        "rollout.argoproj.io=spec.template,rollouts.argoproj.io=spec.template.spec.template",
    ] {
        let after = injected_with(&rollout(), &knowing(kinds));
        let sidecar = &after["spec"]["template"]["spec"]["initContainers"][0];
        assert_eq!(sidecar["name"], "probelet", "{kinds}");
        let verdict = report(&after, Task::Uninject, &knowing(kinds)).verdict;
        let Verdict::Edited { edits, .. } = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(edited(&after, &edits), rollout());
    }
    let mut annotated = rollout();
    annotated["metadata"]["annotations"] = json!({"probelet.dev/image": "a"});
    let report = report(
        &annotated,
        Task::Inject,
        &knowing("rollouts.argoproj.io=spec.template"),
    );
    assert_eq!(report.warnings.len(), 1, "{report:?}");
    let other = knowing("rollouts.example=spec.template");
    assert!(advice(&rollout(), Task::Inject, &other).1);
}

#[test]
fn a_kind_of_the_settings_has_any_english_plural() {
    for (kind, advised, others) in [
        ("Gateway", "gateways", &["gateway", "gatewaies"][..]),
        ("Proxy", "proxies", &["proxys"]),
        ("Mesh", "meshes", &["meshs"]),
        ("Index", "indexes", &["indexs", "indices"]),
        ("Analysis", "analysises", &["analyses", "analysis"]),
    ] {
        let mut document = rollout();
        document["kind"] = kind.into();
        let (advice, _) = advice(&document, Task::Inject, &settings());
        assert!(
            advice.ends_with(&format!(
                "--kind-template {advised}.argoproj.io=spec.template"
            )),
            "{advice}"
        );
        for plural in [&advised].into_iter().chain(others) {
            let known = knowing(&format!("{plural}.argoproj.io=spec.template"));
            let verdict = report(&document, Task::Inject, &known).verdict;
            assert!(matches!(verdict, Verdict::Edited { .. }), "{plural}");
        }
    }
}

#[test]
fn each_pod_template_of_a_resource_has_a_report() {
    let document = json!({
        "apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {"name": "train"},
        "spec": {"tasks": [{"template": {"spec": spec()}}, {"template": {"spec": spec()}}, {"name": "no template"}]},
    });
    let known = knowing("jobs.batch.volcano.sh=spec.tasks[*].template");
    let reports = reports(&document, &document, Task::Inject, &known);
    let names: Vec<&str> = reports.iter().map(|report| &*report.name).collect();
    assert_eq!(
        names,
        [
            "job/train (spec.tasks[0].template)",
            "job/train (spec.tasks[1].template)"
        ]
    );
    let missing = knowing("jobs.batch.volcano.sh=spec.template");
    let verdict = report(&document, Task::Inject, &missing).verdict;
    assert_eq!(
        verdict,
        Verdict::Skipped("it has no pod template at spec.template".into())
    );
}
