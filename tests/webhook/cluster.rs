//! What the webhook lists: nodes, namespaces, LimitRanges, ResourceQuotas, and pods that should be injected and are not.

use super::api_server::{FakeApiServer, List};
use super::fixture::{Webhook, assert_injected, pod, post, review_of};
use crate::support::agent::is_emulated;
use crate::support::certs::Authority;
use crate::support::folder::Folder;
use crate::support::trials::trials;
use crate::support::{WAIT_LIMIT, within};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

pub fn tests() -> Vec<Trial> {
    trials!["webhook_cluster":
        the_oldest_ready_node_selects_the_kind_of_sidecar,
        the_annotation_of_a_namespace_sets_the_sidecars_resources,
        a_quota_of_a_qos_class_keeps_the_class_of_best_effort_pods,
        a_list_that_is_forbidden_is_logged_once_with_a_remedy,
        a_list_that_stalls_delays_neither_start_nor_reviews_for_long,
        pods_that_are_not_injected_get_one_event_each,
        a_pod_that_a_limit_range_keeps_from_injection_gets_no_event,
        a_pod_whose_probes_fail_is_evicted_for_a_trial,
        missing_permissions_to_write_events_and_to_evict_are_logged_with_a_remedy,
        pages_of_many_mib_take_the_memory_of_one_item,
        an_item_that_never_ends_takes_bounded_memory_and_delays_no_review,
    ]
}

const NODES: &str = "/api/v1/nodes";
const NAMESPACES: &str = "/api/v1/namespaces";
const LIMIT_RANGES: &str = "/api/v1/limitranges";
const QUOTAS: &str = "/api/v1/resourcequotas";
const PODS: &str = "/api/v1/namespaces/demo/pods";

fn start(api_server: &FakeApiServer, more: &[&str]) -> Webhook {
    let folder = Folder::new();
    let authority = Authority::new("webhook CA");
    let (cert, key) = authority.sign("injector.demo.svc").write(&folder, "tls");
    let flags = api_server.flags();
    let mut args: Vec<&str> = flags.iter().map(String::as_str).collect();
    args.extend(["--cert", cert.to_str().expect("text")]);
    args.extend(["--key", key.to_str().expect("text")]);
    args.extend(["--webhook", "probelet"]);
    args.extend(more);
    Webhook::spawn(authority, folder, &args)
}

fn items(items: &[Value]) -> List {
    List::Items(Arc::new(items.to_vec()), 2)
}

fn node(version: &str, ready: &str) -> Value {
    json!({"status": {
        "nodeInfo": {"kubeletVersion": version, "operatingSystem": "linux"},
        "conditions": [{"type": "Ready", "status": ready}],
    }})
}

fn namespace(name: &str, annotations: &Value) -> Value {
    let labels = json!({"probelet.dev/injection": "enabled"});
    json!({"metadata": {"name": name, "labels": labels, "annotations": annotations}})
}

/// A pod of a ReplicaSet that is not injected and was never ready.
fn running_pod(name: &str, owner: &str) -> Value {
    let mut pod = pod(name);
    let time = "2026-11-28T10:00:00Z";
    pod["metadata"] = json!({
        "name": name, "namespace": "demo", "uid": format!("uid-{name}"), "resourceVersion": "7", "creationTimestamp": time,
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}],
    });
    pod["spec"]["restartPolicy"] = "Always".into();
    let container = &mut pod["spec"]["containers"][0];
    container["readinessProbe"] = json!({"httpGet": {"path": "/readyz", "port": 8080}});
    let container = container["name"].clone();
    pod["status"] = json!({
        "phase": "Running",
        "startTime": time,
        "conditions": [{"type": "ContainersReady", "status": "False", "lastTransitionTime": time}],
        "containerStatuses": [{"name": container, "ready": false, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": time}}}],
    });
    pod
}

/// Makes the webhook's configuration select the pods of labelled namespaces.
fn select_labelled(api_server: &FakeApiServer) {
    let mut state = api_server.state();
    let webhook = &mut state.webhook["webhooks"][0];
    webhook["rules"] =
        json!([{"apiGroups": [""], "operations": ["CREATE"], "resources": ["pods"]}]);
    webhook["namespaceSelector"] = json!({"matchLabels": {"probelet.dev/injection": "enabled"}});
}

/// The patch of a review.
fn patch_of(webhook: &Webhook, name: &str) -> String {
    let response = webhook.send(&post(&review_of(&pod(name))));
    let review: Value = serde_json::from_slice(response.body()).expect("JSON");
    let patch = review["response"]["patch"].as_str().expect("a patch");
    String::from_utf8(STANDARD.decode(patch).expect("base64")).expect("text")
}

fn the_oldest_ready_node_selects_the_kind_of_sidecar() {
    let api_server = FakeApiServer::start("31");
    let old = node("v1.27.1-kubeedge-v1.17.0", "True");
    let nodes = [node("v1.31.4", "True"), node("v1.26.0", "Unknown"), old];
    api_server.set_list(NODES, items(&nodes));
    let webhook = start(&api_server, &[]);
    webhook.wait_log("msg=\"oldest node detected\" version=1.27 native_sidecars=false");
    assert!(patch_of(&webhook, "a").contains("/spec/containers/"));
    let pages = api_server.state().list_requests.clone();
    let pages = pages.iter().filter(|page| page.starts_with(NODES));
    assert!(pages.eq([
        &format!("{NODES}?limit=500"),
        &format!("{NODES}?limit=500&continue=2")
    ]));
    // If a setting names the kind, nodes are not listed.
    let api_server = FakeApiServer::start("31");
    api_server.set_list(NODES, items(&nodes));
    let webhook = start(&api_server, &["--sidecar", "native"]);
    assert!(patch_of(&webhook, "a").contains("/spec/initContainers"));
    let state = api_server.state();
    assert!(
        !state
            .list_requests
            .iter()
            .any(|page| page.starts_with(NODES))
    );
}

fn the_annotation_of_a_namespace_sets_the_sidecars_resources() {
    let api_server = FakeApiServer::start("37");
    let resources = json!({"probelet.dev/resources": r#"{"limits":{"memory":"33Mi"}}"#});
    let namespaces = [
        namespace("a", &json!({})),
        namespace("b", &json!({})),
        namespace("demo", &resources),
    ];
    api_server.set_list(NAMESPACES, items(&namespaces));
    api_server.set_list(LIMIT_RANGES, items(&[]));
    let webhook = start(&api_server, &[]);
    assert!(patch_of(&webhook, "a").contains("33Mi"));
    let lists = |resource| {
        webhook.metric(
            "lists_total",
            &[("resource", resource), ("result", "success")],
        )
    };
    assert!(lists("namespaces") >= 1.0 && lists("limitranges") >= 1.0);
}

fn a_quota_of_a_qos_class_keeps_the_class_of_best_effort_pods() {
    let api_server = FakeApiServer::start("37");
    let metadata = json!({"name": "burstable", "namespace": "demo"});
    let quota = json!({"metadata": metadata, "spec": {"scopes": ["NotBestEffort"]}});
    api_server.set_list(QUOTAS, items(&[quota]));
    let webhook = start(&api_server, &[]);
    let patch = patch_of(&webhook, "a");
    assert!(
        patch.contains("probelet") && !patch.contains("16Mi"),
        "{patch}"
    );
}

fn a_list_that_is_forbidden_is_logged_once_with_a_remedy() {
    let api_server = FakeApiServer::start("37");
    let webhook = start(&api_server, &["--find-pods"]);
    let line = webhook.wait_log("msg=\"list forbidden\" resource=limitranges");
    assert!(
        line.contains("remedy=\"grant the permission") && line.contains("returned 403"),
        "{line}"
    );
    webhook.wait_log("msg=\"search for pods that are not injected");
    assert_eq!(webhook.logged("list forbidden"), 4);
    assert_injected(&webhook.send(&post(&review_of(&pod("a")))), "a");
}

fn a_list_that_stalls_delays_neither_start_nor_reviews_for_long() {
    let api_server = FakeApiServer::start("37");
    select_labelled(&api_server);
    for path in [NODES, NAMESPACES, LIMIT_RANGES, QUOTAS] {
        api_server.set_list(path, List::Stall);
    }
    let began = Instant::now();
    let webhook = start(&api_server, &["--find-pods"]);
    // Shorter than the time of one page, however slow the machine is.
    assert!(began.elapsed() < probelet::limits::LIST_PAGE_TIMEOUT);
    assert_injected(&webhook.send(&post(&review_of(&pod("a")))), "a");
}

fn pods_that_are_not_injected_get_one_event_each() {
    let api_server = FakeApiServer::start("37");
    select_labelled(&api_server);
    let mut other = namespace("other", &json!({}));
    other["metadata"]["labels"] = json!({});
    api_server.set_list(NAMESPACES, items(&[other, namespace("demo", &json!({}))]));
    let mut ended = running_pod("ended", "job");
    ended["metadata"]["deletionTimestamp"] = "2026-11-28T10:00:00Z".into();
    let mut excluded = running_pod("excluded", "web");
    excluded["metadata"]["annotations"] = json!({"sidecar.istio.io/inject": "false"});
    let pods = [
        running_pod("a", "web"),
        ended,
        excluded,
        running_pod("b", "web"),
    ];
    api_server.set_list(PODS, items(&pods));
    api_server
        .state()
        .events
        .push(json!({"metadata": {"name": "probelet-not-injected.uid-a"}}));
    let webhook = start(&api_server, &["--find-pods"]);
    webhook.wait_log("msg=\"searched for pods that are not injected\" pods=2");
    webhook.wait_metric("not_injected_pods", 2.0);
    let is_written = within(WAIT_LIMIT, || api_server.state().events.len() == 2);
    let state = api_server.state();
    assert!(is_written, "{:?}", state.events);
    let event = &state.events[1];
    assert_eq!(event["involvedObject"]["name"], "b");
    assert_eq!(
        (&event["type"], &event["reason"]),
        (&"Warning".into(), &"NotInjected".into())
    );
    assert!(state.evictions.is_empty());
    assert!(
        !state
            .list_requests
            .iter()
            .any(|path| path.contains("/other/"))
    );
    drop(state);
    webhook.wait_log("msg=\"pod is not injected\" pod=demo/b");
}

fn a_pod_that_a_limit_range_keeps_from_injection_gets_no_event() {
    let api_server = FakeApiServer::start("37");
    select_labelled(&api_server);
    api_server.set_list(NAMESPACES, items(&[namespace("demo", &json!({}))]));
    let limit_range = json!({
        "metadata": {"name": "full", "namespace": "demo"},
        "spec": {"limits": [{"type": "Pod", "max": {"cpu": "100m"}}]},
    });
    api_server.set_list(LIMIT_RANGES, items(&[limit_range]));
    let mut full = running_pod("full", "web");
    full["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "100m"}});
    let mut free = running_pod("free", "web");
    free["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "10m"}});
    api_server.set_list(PODS, items(&[full, free]));
    let webhook = start(&api_server, &["--find-pods"]);
    webhook.wait_log("msg=\"searched for pods that are not injected\" pods=1");
    webhook.wait_log("msg=\"pod is not injected\" pod=demo/free");
}

fn a_pod_whose_probes_fail_is_evicted_for_a_trial() {
    let api_server = FakeApiServer::start("37");
    select_labelled(&api_server);
    api_server.set_list(NAMESPACES, items(&[namespace("demo", &json!({}))]));
    let mut healthy = running_pod("healthy", "web");
    healthy["status"]["conditions"][0]["status"] = "True".into();
    // Its node is not reachable: kubelet has not changed its own condition.
    let mut unreachable = running_pod("unreachable", "web");
    unreachable["status"]["conditions"] = json!([
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-28T10:00:00Z"},
        {"type": "ContainersReady", "status": "True"},
    ]);
    let pods = [
        healthy,
        unreachable,
        running_pod("a", "web"),
        running_pod("b", "web"),
        running_pod("c", "other"),
    ];
    api_server.set_list(PODS, items(&pods));
    let webhook = start(&api_server, &["--repair"]);
    // Nothing is evicted before the API server reaches the webhook.
    webhook.wait_log("msg=\"searched for pods that are not injected\" pods=5");
    assert!(api_server.state().evictions.is_empty());
    assert_injected(&webhook.send(&post(&review_of(&pod("new")))), "new");
    webhook.wait_log("msg=\"evicted a pod that is not injected\" pod=demo/a owner=replicaset/web");
    let evicted = webhook.metric("evictions_total", &[("result", "evicted")]);
    assert!((evicted - 1.0).abs() < 0.1, "{evicted}");
    let path = "/api/v1/namespaces/demo/pods/a/eviction";
    assert_eq!(api_server.state().evictions, [path]);
}

fn missing_permissions_to_write_events_and_to_evict_are_logged_with_a_remedy() {
    let api_server = FakeApiServer::start("37");
    select_labelled(&api_server);
    api_server.set_list(NAMESPACES, items(&[namespace("demo", &json!({}))]));
    let pods = ["a", "b"].map(|name| running_pod(name, "web"));
    api_server.set_list(PODS, items(&pods));
    api_server.state().forbids_creation = true;
    let webhook = start(&api_server, &["--repair"]);
    assert_injected(&webhook.send(&post(&review_of(&pod("new")))), "new");
    for message in [
        "event of a pod that is not injected cannot be written",
        "eviction failed, retrying after the next search",
    ] {
        let line = webhook.wait_log(&format!("msg=\"{message}\""));
        assert!(line.contains("remedy=\"grant the permissions"), "{line}");
    }
    // A pod is logged once it has an Event.
    assert_eq!(webhook.logged("msg=\"pod is not injected\""), 0);
    let failed = webhook.metric("evictions_total", &[("result", "failed")]);
    assert!((failed - 1.0).abs() < 0.1, "{failed}");
}

/// Limit of resident memory while it lists, in KiB: less than twice the bytes of the lists.
const RESIDENT_KIB: u64 = 24 * 1024;

fn pages_of_many_mib_take_the_memory_of_one_item() {
    let api_server = FakeApiServer::start("37");
    select_labelled(&api_server);
    let namespaces: Vec<Value> = (0..500)
        .map(|index| json!({"metadata": {"name": format!("n{index}"), "annotations": {"a": "x".repeat(1000)}}}))
        .chain([namespace("demo", &json!({}))])
        .collect();
    api_server.set_list(NAMESPACES, List::Items(Arc::new(namespaces), 500));
    let pods: Vec<Value> = (0..200)
        .map(|index| {
            let mut pod = running_pod(&format!("pod-{index}"), &format!("owner-{index}"));
            pod["metadata"]["annotations"] = json!({"note": "x".repeat(64 * 1024)});
            pod
        })
        .collect();
    api_server.set_list(PODS, List::Items(Arc::new(pods), 500));
    let webhook = start(&api_server, &["--find-pods"]);
    webhook.wait_log("msg=\"searched for pods that are not injected\" pods=200");
    let peak = webhook.status_figure("VmHWM");
    assert!(is_emulated() || peak <= RESIDENT_KIB, "{peak} KiB");
}

fn an_item_that_never_ends_takes_bounded_memory_and_delays_no_review() {
    let api_server = FakeApiServer::start("37");
    api_server.set_list(NODES, List::Endless);
    let webhook = start(&api_server, &[]);
    let is_sent = within(WAIT_LIMIT, || {
        assert_injected(&webhook.send(&post(&review_of(&pod("a")))), "a");
        api_server.state().endless_bytes > 16 << 20
    });
    assert!(is_sent, "{} bytes", api_server.state().endless_bytes);
    let peak = webhook.status_figure("VmHWM");
    assert!(is_emulated() || peak <= RESIDENT_KIB, "{peak} KiB");
}
