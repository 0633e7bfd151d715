//! Containers that were renamed after injection, and probes that have lost their original.

use super::*;

fn web() -> Value {
    pod(json!([
        {
            "name": "web",
            "livenessProbe": {"httpGet": {"path": "/foo", "port": 8001}},
            "readinessProbe": {"grpc": {"port": 50051}},
        },
        {"name": "db", "livenessProbe": {"tcpSocket": {"port": 5432}}},
    ]))
}

fn rename(document: &Value, index: usize, name: &str) -> Value {
    let mut document = document.clone();
    document["spec"]["containers"][index]["name"] = name.into();
    document
}

#[test]
fn a_renamed_container_retains_its_originals() {
    let renamed = rename(&injected(&web()), 0, "front");
    let expected = rename(&web(), 0, "front");
    assert_eq!(uninjected(&renamed), expected);
    let after = injected_with(&renamed, &settings());
    assert_eq!(after, injected(&expected));
    assert_eq!(uninjected(&after), expected);
}

#[test]
fn two_renamed_containers_retain_their_originals() {
    let renamed = rename(&rename(&injected(&web()), 0, "front"), 1, "store");
    let expected = rename(&rename(&web(), 0, "front"), 1, "store");
    assert_eq!(uninjected(&renamed), expected);
    assert_eq!(injected_with(&renamed, &settings()), injected(&expected));
}

#[test]
fn a_renamed_container_retains_the_original_of_a_forwarded_probe() {
    let forward = json!({"probelet.dev/forward": "8001=15032"});
    let document = annotated(probed(json!({"httpGet": {"port": 8001}})), forward);
    let renamed = rename(&injected(&document), 0, "front");
    assert_eq!(uninjected(&renamed), rename(&document, 0, "front"));
}

#[test]
fn two_containers_with_the_probes_of_one_are_refused() {
    let mut document = injected(&web());
    let copy = document["spec"]["containers"][0].clone();
    document["spec"]["containers"]
        .as_array_mut()
        .expect("containers")
        .push(copy);
    let document = rename(&rename(&document, 0, "front"), 2, "back");
    for task in [Task::Inject, Task::Uninject] {
        let reason = refusal_reason_of(&document, task);
        assert!(reason.contains("was renamed after injection"), "{reason}");
        assert!(reason.contains("(saved for web)"), "{reason}");
    }
}

#[test]
fn a_probe_copied_to_another_container_is_refused() {
    let mut document = injected(&web());
    document["spec"]["containers"][1]["readinessProbe"] =
        document["spec"]["containers"][0]["livenessProbe"].clone();
    for task in [Task::Inject, Task::Uninject] {
        assert_eq!(
            refusal_reason_of(&document, task),
            "readinessProbe of db points at the sidecar, but annotation probelet.dev/original has no matching \
             original: restore the probe as it was before injection, or inject the original manifest again"
        );
    }
}

#[test]
fn a_container_that_swapped_its_name_is_refused() {
    let document = injected(&web());
    let swapped = rename(&rename(&document, 0, "db"), 1, "web");
    for task in [Task::Inject, Task::Uninject] {
        let reason = refusal_reason_of(&swapped, task);
        assert!(reason.contains("points at the sidecar"), "{reason}");
    }
}

#[test]
fn a_path_that_was_changed_by_hand_does_not_lose_its_port() {
    let mut document = injected(&web());
    document["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] = "/bar".into();
    let reason = refusal_reason_of(&document, Task::Uninject);
    assert!(
        reason.contains("livenessProbe of web points at the sidecar"),
        "{reason}"
    );
}

#[test]
fn originals_of_a_removed_container_are_dropped() {
    let mut document = injected(&web());
    document["spec"]["containers"]
        .as_array_mut()
        .expect("containers")
        .remove(1);
    let mut expected = web();
    expected["spec"]["containers"]
        .as_array_mut()
        .expect("containers")
        .remove(1);
    assert_eq!(uninjected(&document), expected);
    assert_eq!(injected_with(&document, &settings()), injected(&expected));
}

/// Changes a member of the rewritten livenessProbe of web.
fn with_get(document: &Value, member: &str, value: Value) -> Value {
    let mut document = document.clone();
    document["spec"]["containers"][0]["livenessProbe"]["httpGet"][member] = value;
    document
}

#[test]
fn a_port_of_the_sidecar_in_quotes_or_by_name_is_its_port() {
    for port in [json!("15020"), json!("probelet")] {
        let document = with_get(&injected(&web()), "port", port);
        assert_eq!(uninjected(&document), web());
        assert_eq!(injected_with(&document, &settings()), injected(&web()));
    }
}

#[test]
fn a_port_that_was_changed_without_the_path_is_refused() {
    is_refused_with("port", 9090.into());
}

#[test]
fn a_host_that_was_added_does_not_lose_the_original() {
    is_refused_with("host", "10.0.0.1".into());
}

fn is_refused_with(member: &str, value: Value) {
    let document = with_get(&injected(&web()), member, value);
    for task in [Task::Inject, Task::Uninject] {
        let reason = refusal_reason_of(&document, task);
        assert!(
            reason.contains("livenessProbe of web points at the sidecar"),
            "{reason}"
        );
    }
}

#[test]
fn an_orphan_of_a_container_that_is_not_probed_is_refused() {
    let proxy = json!([{"name": "proxy", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 80}}}]);
    let mut document = web();
    document["spec"]["initContainers"] = proxy;
    let mut by_hand = injected(&document);
    let container = by_hand["spec"]["initContainers"][1].as_object_mut();
    container.expect("a container").remove("restartPolicy");
    let reason = refusal_reason_of(&by_hand, Task::Uninject);
    assert!(
        reason.contains("startupProbe of proxy points at the sidecar"),
        "{reason}"
    );
}

#[test]
fn arguments_of_the_sidecar_that_were_changed_do_not_hide_its_ports() {
    let forward = json!({"probelet.dev/forward": "8002=15032"});
    let document = annotated(
        probed(json!({"httpGet": {"path": "/a", "port": 8002}})),
        forward,
    );
    for args in [json!(["run"]), json!(["run", "--status-port=15021"])] {
        let mut by_hand = injected(&document);
        by_hand["spec"]["initContainers"][0]["args"] = args;
        assert_eq!(uninjected(&by_hand), document);
        assert_eq!(injected_with(&by_hand, &settings()), injected(&document));
        let spec = by_hand["spec"].as_object_mut().expect("a spec");
        spec.remove("initContainers");
        assert_eq!(uninjected(&by_hand), document);
    }
}

#[test]
fn an_entry_that_was_deleted_from_the_annotation_is_noticed() {
    const RECORD: &str = "probelet.dev/original";
    for field in ["path", "port"] {
        let mut document = injected(&web());
        let record = document["metadata"]["annotations"][RECORD].as_str();
        let mut record: Value = serde_json::from_str(record.expect("a record")).expect("JSON");
        let place = format!("web.livenessProbe.httpGet.{field}");
        let entries = record.as_object_mut().expect("entries");
        entries.remove(&place).expect("an entry");
        document["metadata"]["annotations"][RECORD] = record.to_string().into();
        for task in [Task::Inject, Task::Uninject] {
            let reason = refusal_reason_of(&document, task);
            assert!(reason.contains("livenessProbe of web"), "{reason}");
        }
    }
}

#[test]
fn an_original_path_that_is_the_agents_own_stays() {
    let document = probed(json!({"httpGet": {"path": "/app-health/web/livez", "port": 8080}}));
    let after = injected(&document);
    assert_eq!(uninjected(&after), document);
    let mut other = settings();
    other.image = "localhost/probelet:0.2.0".into();
    assert_eq!(uninjected(&injected_with(&after, &other)), document);
}

#[test]
fn a_volume_that_a_person_adds_with_the_injected_name_is_refused() {
    for name in ["probelet-tls", "probelet-no-token"] {
        let mut document = injected(&web());
        document["spec"]["volumes"] = json!([{"name": name, "emptyDir": {}}]);
        assert_eq!(
            refusal_reason(&document),
            format!("spec.volumes already has a volume {name}: rename that volume")
        );
        let mut expected = web();
        expected["spec"]["volumes"] = document["spec"]["volumes"].clone();
        assert_eq!(uninjected(&document), expected);
    }
}
