//! Pods that are as large as a review may be in one of their parts.

use super::fixture::{Webhook, assert_injected, pod, post, review_of};
use crate::support::agent::is_emulated;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use probelet::limits;
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    trials!["webhook_large_pods":
        a_large_pod_takes_less_than_48_mib,
    ]
}

/// Limit of resident memory with one review, in KiB.
const RESIDENT_KIB: u64 = 48 * 1024;

/// Pods that the API server sends, each as large as a review may be in one of its parts.
fn large_pods() -> Vec<(&'static str, Value)> {
    const MOST: usize = limits::REVIEW_BYTES - 4096;
    let list = |item: &str, bytes: usize| format!("[{}0]", item.repeat(bytes / item.len()));
    let text = |unit: &str, bytes: usize| unit.repeat(bytes / unit.len());
    let annotated = |name: &str, value: String| {
        let mut pod = pod("a");
        pod["metadata"]["annotations"] = json!({name: value});
        pod
    };
    let with = |path: &str, value: Value| {
        let mut pod = pod("a");
        let (parent, key) = path.rsplit_once('/').expect("a parent");
        pod.pointer_mut(parent).expect("a parent")[key] = value;
        pod
    };
    let repeated = |path: &str, count: usize, item: Value| with(path, vec![item; count].into());
    let accepted = limits::ANNOTATIONS_BYTES - 256;
    let values = limits::REVIEW_VALUES / 3;
    let mut pods = Vec::new();
    for name in [
        "exclude-ports",
        "exclude-containers",
        "forward",
        "allow-from",
        "resources",
        "original",
    ] {
        let name = format!("probelet.dev/{name}");
        pods.push(("list", annotated(&name, text("1,", accepted))));
        let json = format!("{{\"a\":{}}}", list("{\"a\":0},", accepted));
        pods.push(("JSON", annotated(&name, json)));
    }
    for name in ["exclude-ports", "exclude-containers", "resources"] {
        let name = format!("probelet.dev/{name}");
        pods.push(("large list", annotated(&name, text("1,", MOST))));
        let json = format!("{{\"a\":{}}}", list("{\"a\":0},", MOST / 4 * 3));
        pods.push(("large JSON", annotated(&name, json)));
    }
    let inbound = "traffic.sidecar.istio.io/excludeInboundPorts";
    pods.push(("inbound ports", annotated(inbound, text("1,", accepted))));
    for item in ["1,", "{a: 1},", "[[[[[", "- 1\\n", "*a ,"] {
        let key = "web.livenessProbe.httpGet.port";
        let saved = text(item, accepted - 100);
        let saved = format!("{{\"version\":2,\"{key}\":{{\"was\":\"[{saved}]\"}}}}");
        pods.push(("originals", annotated("probelet.dev/original", saved)));
    }
    let web = "/spec/containers/0";
    for path in [
        "/metadata/name",
        "/metadata/generateName",
        "/metadata/namespace",
        "/spec/nodeName",
    ] {
        // Both become part of the `uid`, or of the review's own members.
        pods.push((path, with(path, text("a", MOST / 2).into())));
    }
    for unit in ["<", "\u{1}"] {
        for field in [
            "name",
            "image",
            "livenessProbe/httpGet/path",
            "livenessProbe/httpGet/host",
            "livenessProbe/httpGet/port",
        ] {
            let bytes = if unit == "\u{1}" { MOST / 6 } else { MOST / 2 };
            pods.push((
                "text",
                with(&format!("{web}/{field}"), text(unit, bytes).into()),
            ));
        }
    }
    for (field, item) in [
        ("command", json!("a")),
        ("env", json!({"name": "a"})),
        ("ports", json!({"containerPort": 1})),
        ("volumeMounts", json!({"name": "a"})),
        ("livenessProbe/httpGet/httpHeaders", json!({"name": "a"})),
        ("livenessProbe/httpGet/path", json!({"name": "a"})),
        ("lifecycle", json!({"a": {}})),
    ] {
        pods.push((field, repeated(&format!("{web}/{field}"), values, item)));
    }
    for name in ["probelet-tls", "probelet-no-token"] {
        let volume = json!({"name": name});
        pods.push(("volumes", repeated("/spec/volumes", values, volume)));
    }
    let labels: serde_json::Map<String, Value> = (0..values)
        .map(|n| (format!("probelet.dev/{n}"), "".into()))
        .collect();
    pods.push(("labels", with("/metadata/labels", labels.into())));
    for unit in ["{}", "{\"/\":{}}"] {
        let table = list(&format!("{unit},"), MOST / 2);
        for (key, value) in [
            (
                "env",
                json!([{"name": "ISTIO_KUBE_APP_PROBERS", "value": table}]),
            ),
            ("args", vec![json!("a"); values].into()),
            ("image", text("a", MOST).into()),
            ("env", vec![json!({"name": "a"}); values].into()),
        ] {
            let mut pod = annotated("probelet.dev/original", "{\"version\":2}".into());
            pod["spec"]["initContainers"] =
                json!([{"name": "probelet", "restartPolicy": "Always", key: value}]);
            pods.push(("sidecar", pod));
        }
    }
    pods
}

fn a_large_pod_takes_less_than_48_mib() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    for (what, pod) in large_pods() {
        let body = review_of(&pod);
        let start: String = pod.to_string().chars().take(200).collect();
        assert!(body.len() <= limits::REVIEW_BYTES, "{what}: {}", body.len());
        let request = post(&body);
        let mut send = || {
            client.send(&request);
            client.response()
        };
        let mut answer = send();
        // Its timeout is over, as others use the CPU: a controller creates the pod again.
        for _ in 0..3 {
            if answer.code() == Some(503) && answer.took >= limits::REVIEW_TIMEOUT {
                answer = send();
            }
        }
        // 413: more JSON values than a review may have.
        assert!(
            matches!(answer.code(), Some(200 | 413)),
            "{what}: {answer:?} {start}"
        );
        let peak = webhook.status_figure("VmHWM");
        assert!(
            is_emulated() || peak < RESIDENT_KIB,
            "{what}: {peak} KiB {start}"
        );
    }
    client.send(&post(&review_of(&self::pod("last"))));
    assert_injected(&client.response(), "last");
}
