//! Reviews and their responses.

mod parity;

use super::{Outcome, ReviewError, ReviewResult, review, review_with};
use crate::inject::size::json_value_bound;
use crate::inject::values::Values;
use crate::inject::{Settings, Task, Verdict, reports};
use crate::limits;
use crate::manifest::json_patch;
use crate::webhook::cluster::NamespaceTable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn settings() -> Settings {
    Values::default().with_defaults()
}

fn pod(annotations: &Value, probe: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-", "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "web", "livenessProbe": probe}]},
    })
}

fn probed() -> Value {
    pod(
        &json!({}),
        &json!({"httpGet": {"path": "/live", "port": 8080}}),
    )
}

fn admission_review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "namespace": "demo", "operation": "CREATE", "dryRun": true,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod, "oldObject": null,
        },
    })
}

fn run_review(document: &Value) -> Result<ReviewResult, ReviewError> {
    review(document.to_string().as_bytes(), &settings())
}

#[track_caller]
fn response(document: &Value) -> (Outcome, Value) {
    let reviewed = run_review(document).expect("a review");
    let mut answer: Value = serde_json::from_slice(&reviewed.response_body).expect("JSON");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    let response = answer["response"].take();
    assert_eq!(response["uid"], document["request"]["uid"]);
    assert_eq!(response["allowed"], true);
    (reviewed.outcome, response)
}

#[test]
fn the_patch_has_the_edits_of_the_command_line() {
    let pod = probed();
    let (outcome, response) = response(&admission_review(&pod));
    assert!(matches!(outcome, Outcome::Patched(_)), "{outcome:?}");
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(response["patch"].as_str().expect("text"));
    let patch: Value = serde_json::from_slice(&patch.expect("base64")).expect("JSON");
    let report = reports(&pod, &pod, Task::Inject, &settings()).remove(0);
    let Verdict::Edited { edits, .. } = report.verdict else {
        panic!("{report:?}");
    };
    assert_eq!(patch, json_patch(&edits));
    assert!(!edits.is_empty());
    assert_eq!(response.get("warnings"), None);
}

#[test]
fn a_pod_without_a_name_is_reported_by_its_generate_name() {
    let reviewed = run_review(&admission_review(&probed())).expect("a review");
    assert_eq!((&*reviewed.namespace, &*reviewed.pod), ("demo", "web-"));
}

#[test]
fn other_operations_are_allowed_without_a_patch() {
    for (member, value) in [
        ("operation", json!("UPDATE")),
        ("subResource", json!("eviction")),
        (
            "resource",
            json!({"group": "apps", "version": "v1", "resource": "deployments"}),
        ),
        ("resource", Value::Null),
    ] {
        let mut document = admission_review(&probed());
        document["request"][member] = value;
        let (outcome, response) = response(&document);
        assert_eq!(outcome, Outcome::NotApplicable, "{member}");
        assert_eq!(response.get("patch"), None);
        assert_eq!(response.get("warnings"), None);
    }
}

#[test]
fn a_skipped_pod_has_no_patch_and_no_warning() {
    let opted_out = json!({"sidecar.istio.io/inject": "false"});
    let http = json!({"httpGet": {"path": "/live", "port": 8080}});
    for pod in [
        pod(&opted_out, &http),
        pod(&json!({}), &json!({"exec": {"command": ["true"]}})),
    ] {
        let (outcome, response) = response(&admission_review(&pod));
        assert!(matches!(outcome, Outcome::Skipped(_)), "{outcome:?}");
        assert_eq!(response.get("patch"), None);
        assert_eq!(response.get("warnings"), None);
    }
}

#[test]
fn a_pod_with_another_container_of_the_name_of_the_sidecar_is_skipped_with_a_warning() {
    let mut pod = pod(
        &json!({}),
        &json!({"httpGet": {"path": "/live", "port": 8080}}),
    );
    pod["spec"]["containers"][0]["name"] = "probelet".into();
    let (outcome, response) = response(&admission_review(&pod));
    assert!(matches!(outcome, Outcome::Skipped(_)), "{outcome:?}");
    assert_eq!(
        response["warnings"],
        json!([
            "probelet: not injected: it has a container named probelet that is not the agent: rename that container"
        ])
    );
    pod["spec"]["containers"][0]["args"] = json!(["run"]);
    assert_eq!(
        self::response(&admission_review(&pod)).1.get("warnings"),
        None
    );
}

#[test]
fn a_pod_that_cannot_be_injected_is_allowed_with_a_warning() {
    let annotations = json!({"status.sidecar.istio.io/port": "no port"});
    let http = json!({"httpGet": {"path": "/live", "port": 8080}});
    let (outcome, response) = response(&admission_review(&pod(&annotations, &http)));
    let Outcome::Failed(why) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(response.get("patch"), None);
    let warning = response["warnings"][0].as_str().expect("a warning");
    let begin: String = why.chars().take(40).collect();
    assert!(warning.starts_with("probelet: not injected: "), "{warning}");
    assert!(warning.contains(&begin), "{warning}");
}

#[test]
fn an_invalid_review_is_an_error_that_says_what_to_send() {
    let mut other = admission_review(&probed());
    other["apiVersion"] = "admission.k8s.io/v1beta1".into();
    let error = run_review(&other).expect_err("another version").to_string();
    assert!(
        error.contains("v1beta1") && error.contains("send admission.k8s.io/v1"),
        "{error}"
    );
    let mut other = admission_review(&probed());
    other["kind"] = "Pod".into();
    assert_eq!(
        run_review(&other),
        Err(ReviewError::UnexpectedKind("\"Pod\"".into()))
    );
    for (pointer, lacks) in [
        ("/request", "request"),
        ("/request/uid", "request.uid"),
        ("/request/object", "request.object"),
        ("/request/object/kind", "request.object of kind Pod"),
    ] {
        let mut document = admission_review(&probed());
        *document.pointer_mut(pointer).expect("there") = Value::Null;
        assert_eq!(run_review(&document), Err(ReviewError::Missing(lacks)));
    }
}

#[test]
fn a_truncated_review_is_an_error() {
    let whole = admission_review(&probed()).to_string();
    for end in 0..whole.len() {
        let cut = review(&whole.as_bytes()[..end], &settings());
        assert!(
            matches!(cut, Err(ReviewError::NotJson(_))),
            "{end}: {cut:?}"
        );
    }
}

#[test]
fn a_review_with_too_many_values_is_not_parsed() {
    let brackets = ["[", &"0,".repeat(limits::REVIEW_VALUES), "0]"].concat();
    assert_eq!(
        review(brackets.as_bytes(), &settings()),
        Err(ReviewError::TooManyValues)
    );
    // Commas and brackets in a string are not values.
    let mut document = admission_review(&probed());
    document["request"]["userInfo"] = [",[{\\\"", &",".repeat(limits::REVIEW_VALUES)]
        .concat()
        .into();
    assert!(run_review(&document).is_ok());
}

#[test]
fn a_pod_with_too_many_containers_is_not_injected() {
    let mut pod = probed();
    let container = pod["spec"]["containers"][0].take();
    pod["spec"]["containers"] = vec![container; 3000].into();
    let (outcome, response) = response(&admission_review(&pod));
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("more than 100 containers"), "{warning}");
}

#[test]
fn the_bound_of_values_is_at_least_their_number() {
    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(map) => map.values().map(count).sum(),
            _ => 0,
        }
    }
    for document in [
        admission_review(&probed()),
        json!({}),
        json!([[], [[]], "a\\\"[,", {"b": "\\"}]),
    ] {
        assert!(
            json_value_bound(document.to_string().as_bytes()) >= count(&document),
            "{document}"
        );
    }
}

#[test]
fn warnings_fit_the_limits_of_the_api_server() {
    let long: Box<str> = "ä".repeat(400).into();
    let warnings = super::within_limits(&vec![long; limits::REVIEW_WARNINGS]);
    assert_eq!(warnings.len(), limits::REVIEW_WARNINGS);
    for warning in &warnings {
        assert!(warning.len() <= limits::WARNING_BYTES, "{}", warning.len());
        assert!(warning.ends_with("ä…"), "{warning}");
    }
    assert!(warnings.concat().len() <= limits::WARNINGS_BYTES);
    assert_eq!(super::within_limits(&["short".into()]), ["probelet: short"]);
}

#[test]
fn the_last_of_many_warnings_says_how_many_are_left_out() {
    let warning = |number: usize| -> Box<str> { format!("warning {number}").into() };
    let all: Vec<Box<str>> = (1..=limits::REVIEW_WARNINGS + 1).map(warning).collect();
    let most = &all[..limits::REVIEW_WARNINGS];
    assert_eq!(
        super::within_limits(most).last().expect("ten"),
        "probelet: warning 10"
    );
    let warnings = super::within_limits(&all);
    assert_eq!(warnings.len(), limits::REVIEW_WARNINGS);
    assert_eq!(warnings[8], "probelet: warning 9");
    let last =
        "probelet: 2 more warnings: run probelet-inject file --check on the manifest to see them";
    assert_eq!(warnings[9], last);
}

#[test]
fn annotations_that_the_api_server_rejects_are_not_read() {
    for name in [
        "probelet.dev/exclude-ports",
        "probelet.dev/resources",
        "any",
    ] {
        let most = limits::ANNOTATIONS_BYTES - name.len();
        for (bytes, is_refused) in [(most, false), (most + 1, true)] {
            let mut document = admission_review(&probed());
            document["request"]["object"]["metadata"]["annotations"] =
                json!({name: " ".repeat(bytes)});
            let (outcome, _) = response(&document);
            let detail = outcome.detail();
            assert_eq!(
                detail.starts_with("its annotations have 262145 bytes, "),
                is_refused,
                "{detail}"
            );
        }
    }
}

#[test]
fn a_pod_whose_originals_do_not_fit_the_annotations_is_not_injected() {
    let padding = "x".repeat(limits::ANNOTATIONS_BYTES - 100);
    let http = json!({"httpGet": {"path": "/live", "port": 8080}});
    let (outcome, response) = response(&admission_review(&pod(&json!({"a": padding}), &http)));
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(
        warning.contains("with probelet.dev/original its annotations would have"),
        "{warning}"
    );
    assert_eq!(response.get("patch"), None);
}

#[test]
fn json_in_texts_of_a_pod_counts_as_values_of_the_review() {
    let values = "0,".repeat(limits::REVIEW_VALUES / 2);
    let list = format!(r#"{{"a":[{values}0],"b":[{values}0]}}"#);
    let annotations = json!({"probelet.dev/resources": list});
    let http = json!({"httpGet": {"path": "/live", "port": 8080}});
    let (outcome, _) = response(&admission_review(&pod(&annotations, &http)));
    let expected = "it has more than 30000 JSON values, those in its annotations included: ";
    assert!(outcome.detail().starts_with(expected), "{outcome:?}");
}

#[test]
fn a_pod_with_large_probes_is_not_injected() {
    let path = "/".repeat(limits::REVIEW_COPIED_BYTES);
    let http = json!({"httpGet": {"path": path, "port": 8080}});
    let (outcome, _) = response(&admission_review(&pod(&json!({}), &http)));
    let expected = "its probes, hooks and sidecar need more than 1024 KiB of memory: ";
    assert!(
        outcome.detail().starts_with(expected),
        "{:.99}",
        outcome.detail()
    );
}

#[test]
fn warnings_have_no_control_characters() {
    let annotations = json!({"probelet.dev/im\nage": "a"});
    let http = json!({"httpGet": {"path": "/live", "port": 8080}});
    let (_, response) = response(&admission_review(&pod(&annotations, &http)));
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("probelet.dev/im\\u000aage"), "{warning}");
    let odd = super::within_limits(&["a\r\nb\u{85}c\td\u{7f}".into()]);
    assert_eq!(odd, ["probelet: a\\u000d\\u000ab\\u0085c\\u0009d\\u007f"]);
}

#[test]
fn the_resources_of_a_namespace_apply_to_its_pods_and_a_pods_own_take_precedence() {
    let table = NamespaceTable::with_resources("demo", r#"{"limits":{"memory":"32Mi"}}"#);
    let body = |pod: &Value| admission_review(pod).to_string().into_bytes();
    let patch_of = |pod: &Value, table: &NamespaceTable| {
        let reviewed = review_with(&body(pod), &settings(), table).expect("a review");
        let response: Value = serde_json::from_slice(&reviewed.response_body).expect("JSON");
        let patch = response["response"]["patch"].as_str().expect("a patch");
        let warnings = response["response"]["warnings"].to_string();
        let patch = STANDARD.decode(patch).expect("base64");
        (String::from_utf8(patch).expect("text"), warnings)
    };
    assert!(patch_of(&probed(), &table).0.contains("32Mi"));
    let of_other = NamespaceTable::with_resources("other", r#"{"limits":{"memory":"32Mi"}}"#);
    assert!(!patch_of(&probed(), &of_other).0.contains("32Mi"));
    let own = pod(
        &json!({"probelet.dev/resources": r#"{"limits":{"memory":"48Mi"}}"#}),
        &json!({"httpGet": {"path": "/live", "port": 8080}}),
    );
    let (patch, _) = patch_of(&own, &table);
    assert!(patch.contains("48Mi") && !patch.contains("32Mi"), "{patch}");
    let invalid = NamespaceTable::with_resources("demo", "{");
    let (patch, warnings) = patch_of(&probed(), &invalid);
    assert!(patch.contains("16Mi"), "{patch}");
    assert!(warnings.contains("of namespace demo"), "{warnings}");
    // A pod that is not injected gets no warning of its namespace.
    let skipped = pod(&json!({"sidecar.istio.io/inject": "false"}), &Value::Null);
    let reviewed = review_with(&body(&skipped), &settings(), &invalid).expect("a review");
    assert!(!String::from_utf8_lossy(&reviewed.response_body).contains("warnings"));
}
