//! Annotations with originals that somebody has changed: uninjection restores only values that a pod can have had.

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
fn impossible_originals_are_refused() {
    let evil = r#"[{"name":"evil"}]"#;
    for (key, entry) in [
        ("spec.initContainers", json!({"was": evil})),
        (
            "spec.initContainers",
            json!({"was": "80", "is": [{"name": "evil"}]}),
        ),
        ("spec.initContainers", json!({"key": "containers"})),
        ("metadata.annotations", json!({"was": "\n  a: b"})),
        ("metadata", json!({"was": "{annotations: {}}"})),
        ("web.livenessProbe.httpGet", json!({"key": "exec"})),
        ("web.livenessProbe.httpGet", json!({"key": "sleep"})),
        ("web.livenessProbe.httpGet", json!({"was": "{}"})),
        (
            "web.livenessProbe.httpGet.port",
            json!({"was": "\n    a: b"}),
        ),
        (
            "web.livenessProbe.httpGet.port",
            json!({"was": "80", "key": "path"}),
        ),
        ("web.livenessProbe.httpGet.port", json!({"was": "[a]"})),
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
        let document = with_record(&json!({key: entry}).to_string());
        for task in [Task::Inject, Task::Uninject] {
            let reason = refusal_reason_of(&document, task);
            let named = format!(
                "was changed after injection (key \"{key}\"): inject the original manifest again"
            );
            assert!(reason.contains(&named), "{reason} of {entry}");
        }
    }
}

#[test]
fn an_invalid_annotation_is_refused() {
    let deep = "[".repeat(100_000);
    let made_up = format!(r#"{{"{}":1}}"#, "a".repeat(100_000));
    for record in ["", "null", "[]", "{", "\"x\"", &deep, &made_up] {
        for task in [Task::Inject, Task::Uninject] {
            let reason = refusal_reason_of(&with_record(record), task);
            assert!(
                reason.contains("was changed after injection: inject the original manifest again"),
                "{reason}"
            );
        }
    }
}

#[test]
fn originals_of_missing_fields_are_ignored() {
    let mut document = injected(&web());
    let record = document["metadata"]["annotations"][RECORD].as_str();
    let mut record: Value = serde_json::from_str(record.expect("text")).expect("JSON");
    record["gone.livenessProbe.httpGet.port"] = json!({"was": "80"});
    record["of.a.later.version"] = Value::Null;
    document["metadata"]["annotations"][RECORD] = record.to_string().into();
    assert_eq!(uninjected(&document), web());
}

#[test]
fn an_annotation_of_a_newer_version_is_refused() {
    for version in [json!(3), json!("2"), json!(1), json!({})] {
        let document = with_record(&json!({"version": version}).to_string());
        for task in [Task::Inject, Task::Uninject] {
            let reason = refusal_reason_of(&document, task);
            let named =
                format!("has version {version}, but this probelet-inject supports up to version 2");
            assert!(reason.contains(&named), "{reason}");
        }
    }
}

#[test]
fn version_0_1_0_would_refuse_the_version_key() {
    let document = injected(&web());
    let record = document["metadata"]["annotations"][RECORD].as_str();
    let record: Value = serde_json::from_str(record.expect("text")).expect("JSON");
    // Early builds read null and objects as places, and refuse all else.
    assert!(record["version"].is_u64());
}
