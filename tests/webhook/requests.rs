//! Requests as the API server sends them, and checks of their responses.

use super::fixture::NAME;
use crate::support::http::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A GET request.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n").into_bytes()
}

/// A review, sent as the API server does.
pub fn post(body: &[u8]) -> Vec<u8> {
    [&head(body.len()), body].concat()
}

/// The head of such a request.
pub fn head(length: usize) -> Vec<u8> {
    format!(
        "POST /inject?timeout=10s HTTP/1.1\r\nHost: {NAME}:443\r\nUser-Agent: kube-apiserver-admission\r\n\
         Content-Length: {length}\r\nAccept: application/json, */*\r\n\
         Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    .into_bytes()
}

/// A pod with one probe.
pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"containers": [{
            "name": "web", "image": "web",
            "livenessProbe": {"httpGet": {"path": "/live", "port": 8080}, "periodSeconds": 5},
        }]},
    })
}

/// The review of the creation of a pod.
pub fn review_of(pod: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": format!("uid-{}", pod["metadata"]["name"].as_str().unwrap_or_default()),
            "namespace": "demo", "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod,
        },
    });
    review.to_string().into_bytes()
}

/// The same with this number of bytes of padding.
pub fn padded(name: &str, bytes: usize) -> Vec<u8> {
    let mut pod = pod(name);
    // Annotations may have only 256 KiB.
    pod["spec"]["containers"][0]["env"] = json!([{"name": "padding", "value": "x".repeat(bytes)}]);
    review_of(&pod)
}

/// The `response` of an answered review, with its `patch` decoded.
#[track_caller]
pub fn response_of(answer: &Response) -> Value {
    assert_eq!(answer.code(), Some(200), "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let mut review: Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(review["kind"], "AdmissionReview");
    let mut response = review["response"].take();
    assert_eq!(response["allowed"], true);
    if let Some(patch) = response["patch"].as_str() {
        let patch = STANDARD.decode(patch);
        response["patch"] = serde_json::from_slice(&patch.expect("base64")).expect("JSON");
    }
    response
}

/// Checks that this pod is injected.
#[track_caller]
pub fn assert_injected(answer: &Response, name: &str) {
    let response = response_of(answer);
    assert_eq!(response["uid"], format!("uid-{name}"));
    let patch = response["patch"].to_string();
    assert!(patch.contains("/app-health/web/livez"), "{patch}");
}
