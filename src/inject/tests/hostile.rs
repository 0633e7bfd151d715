//! Records that somebody else has written: what they put back is what a pod can have had, or nothing.

use super::*;

const RECORD: &str = "probelet.dev/original";

fn web() -> Value {
    pod(json!([{
        "name": "web",
        "livenessProbe": {"httpGet": {"path": "/foo", "port": 8001}},
        "readinessProbe": {"grpc": {"port": 50051, "service": "orders"}},
    }]))
}

fn with_record(record: &str) -> Value {
    let mut document = injected(&web());
    document["metadata"]["annotations"][RECORD] = record.into();
    document
}

#[test]
fn what_no_pod_can_have_had_is_not_put_back() {
    let evil = r#"[{"name":"evil"}]"#;
    for (place, kept) in [
        ("spec.initContainers", json!({"was": evil})),
        (
            "spec.initContainers",
            json!({"was": "80", "is": [{"name": "evil"}]}),
        ),
        ("spec.initContainers", json!({"key": "containers"})),
        ("metadata.annotations", json!({"was": "\n  a: b"})),
        ("metadata", json!({"was": "{annotations: {}}"})),
        ("web.livenessProbe.httpGet", json!({"key": "exec"})),
        ("web.livenessProbe.httpGet", json!({"was": "{}"})),
        (
            "web.livenessProbe.httpGet.port",
            json!({"was": "\n    a: b"}),
        ),
        (
            "web.livenessProbe.httpGet.port",
            json!({"was": "80", "key": "path"}),
        ),
        (
            "web.livenessProbe.httpGet.path",
            json!({"was": "x", "is": {"a": 1}}),
        ),
        ("web.livenessProbe.httpGet.scheme", json!({"was": "[a]"})),
        ("web.readinessProbe.httpGet.path", json!({"key": "port"})),
        ("web.livenessProbe", json!({"was": "{}"})),
        ("web.image", json!({"was": "evil"})),
        ("web.livenessProbe.httpGet.port", json!(1)),
        ("web.livenessProbe.httpGet.port", json!({"was": 80})),
        ("a", json!({"was": 1})),
    ] {
        let document = with_record(&json!({place: kept}).to_string());
        for task in [Task::Inject, Task::Uninject] {
            let why = refusal(&document, task);
            let named = format!(
                "was changed after injection (key \"{place}\"): inject the original manifest again"
            );
            assert!(why.contains(&named), "{why} of {kept}");
        }
    }
}

#[test]
fn what_is_no_record_is_refused() {
    let deep = "[".repeat(100_000);
    let made_up = format!(r#"{{"{}":1}}"#, "a".repeat(100_000));
    for record in ["", "null", "[]", "{", "\"x\"", &deep, &made_up] {
        for task in [Task::Inject, Task::Uninject] {
            let why = refusal(&with_record(record), task);
            assert!(
                why.contains("was changed after injection: inject the original manifest again"),
                "{why}"
            );
        }
    }
}

#[test]
fn places_that_there_are_not_are_passed_over() {
    let mut document = injected(&web());
    let record = document["metadata"]["annotations"][RECORD].as_str();
    let mut record: Value = serde_json::from_str(record.expect("text")).expect("JSON");
    record["gone.livenessProbe.httpGet.port"] = json!({"was": "80"});
    record["of.a.later.version"] = Value::Null;
    document["metadata"]["annotations"][RECORD] = record.to_string().into();
    assert_eq!(uninjected(&document), web());
}

#[test]
fn a_record_of_a_newer_version_is_refused() {
    for version in [json!(3), json!("2"), json!(1), json!({})] {
        let document = with_record(&json!({"version": version}).to_string());
        for task in [Task::Inject, Task::Uninject] {
            let why = refusal(&document, task);
            let named =
                format!("has version {version}, but this probelet-inject supports up to version 2");
            assert!(why.contains(&named), "{why}");
        }
    }
}

#[test]
fn the_version_is_no_place_that_0_1_0_passes_over() {
    let document = injected(&web());
    let record = document["metadata"]["annotations"][RECORD].as_str();
    let record: Value = serde_json::from_str(record.expect("text")).expect("JSON");
    // 0.1.0 reads null and objects as places, and refuses all else.
    assert!(record["version"].is_u64());
}
