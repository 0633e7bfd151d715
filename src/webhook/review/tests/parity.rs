//! The command line, which edits a pod's text, and the webhook, which patches the pod, have the same result.

use super::{Outcome, admission_review, settings};
use crate::inject::tests::patched;
use crate::inject::{Settings, Sidecar, Task, Verdict, reports};
use crate::manifest::{Document, Stream};
use crate::webhook::review::{review, within_limits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The result for a pod.
#[derive(Debug, PartialEq)]
struct Injection {
    pod: Value,
    outcome: Outcome,
    warnings: Vec<String>,
}

fn by_command_line(pod: &Value, settings: &Settings) -> Injection {
    let document = Document::parse(&pod.to_string()).expect("compact JSON");
    let mut reports = reports(document.value(), &document, Task::Inject, settings);
    let report = reports.remove(0);
    let mut warnings = report.warnings;
    let mut injected = pod.clone();
    let outcome = match report.verdict {
        Verdict::Edited {
            details,
            effect,
            edits,
        } => {
            let text = document.edit(&edits).expect("edits that fit");
            let edited = Document::parse(&text).expect("what was written");
            injected = edited.value().clone();
            Outcome::Patched(effect.describe(&details).into())
        }
        Verdict::Unchanged(why) => Outcome::Unchanged(why),
        Verdict::Skipped(why) => {
            if *why == *crate::inject::OTHER_CONTAINER {
                warnings.insert(0, format!("not injected: {why}").into());
            }
            Outcome::Skipped(why)
        }
        Verdict::Refused(why) => {
            warnings.insert(0, format!("not injected: {why}").into());
            Outcome::Failed(why)
        }
        Verdict::NoPods | Verdict::UnknownKind { .. } => Outcome::NotApplicable,
    };
    Injection {
        pod: injected,
        outcome,
        warnings: within_limits(&warnings),
    }
}

fn by_webhook(pod: &Value, settings: &Settings) -> Injection {
    let body = admission_review(pod).to_string();
    let reviewed = review(body.as_bytes(), settings).expect("a review");
    let answer: Value = serde_json::from_slice(&reviewed.response_body).expect("JSON");
    let response = &answer["response"];
    let injected = match response["patch"].as_str() {
        None => pod.clone(),
        Some(patch) => {
            let patch = STANDARD.decode(patch).expect("base64");
            patched(pod, &serde_json::from_slice(&patch).expect("JSON"))
        }
    };
    let warnings = response["warnings"].as_array();
    let warnings = warnings.into_iter().flatten();
    let warnings = warnings.map(|warning| warning.as_str().expect("text").into());
    Injection {
        pod: injected,
        outcome: reviewed.outcome,
        warnings: warnings.collect(),
    }
}

/// The pods of the golden files, and of the pod templates in them.
fn pods() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/injector/golden");
    let mut pods = Vec::new();
    for entry in fs::read_dir(root).expect("the golden files") {
        let path = entry.expect("an entry").path();
        if !path.is_dir() {
            continue;
        }
        let path = path.join("in.yaml");
        let text = fs::read(&path).expect("a manifest");
        for piece in Stream::new(&*text) {
            // Some are malformed on purpose.
            let document = piece.map(|piece| Document::parse(&piece.text));
            if let Ok(Ok(document)) = document {
                collect(&path.display().to_string(), document.value(), &mut pods);
            }
        }
    }
    pods
}

fn collect(name: &str, value: &Value, pods: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) if value["spec"]["containers"].is_array() => {
            let mut pod = map.clone();
            pod.extend([
                ("apiVersion".into(), "v1".into()),
                ("kind".into(), "Pod".into()),
            ]);
            pods.push((name.into(), pod.into()));
        }
        Value::Object(map) => map.values().for_each(|value| collect(name, value, pods)),
        Value::Array(items) => items.iter().for_each(|item| collect(name, item, pods)),
        _ => {}
    }
}

#[test]
fn the_command_line_and_the_webhook_have_the_same_result() {
    let native = settings();
    let container = Settings {
        sidecar: Sidecar::Container,
        image: "registry.example/probelet:2".into(),
        status_port: 15921,
        ..settings()
    };
    let (mut count, mut patched) = (0, 0);
    for (name, pod) in pods() {
        let injection = by_command_line(&pod, &native);
        assert_eq!(injection, by_webhook(&pod, &native), "{name}");
        count += 1;
        if matches!(injection.outcome, Outcome::Patched(_)) {
            patched += 1;
            let original = &injection.pod["metadata"]["annotations"]["probelet.dev/original"];
            assert!(original.is_string(), "{name}");
        }
        // With other settings, of the original and of the injected pod.
        for pod in [&pod, &injection.pod] {
            let injection = by_command_line(pod, &container);
            assert_eq!(injection, by_webhook(pod, &container), "{name}");
        }
    }
    assert!(count > 60 && patched > 40, "{patched} of {count}");
}

#[test]
fn a_different_setting_changes_the_result() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {},
        "spec": {"containers": [{"name": "web", "livenessProbe": {"tcpSocket": {"port": 80}}}]},
    });
    let other = Settings {
        status_port: 15921,
        ..settings()
    };
    assert_ne!(by_command_line(&pod, &settings()), by_webhook(&pod, &other));
}
