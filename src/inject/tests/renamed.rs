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
fn a_renamed_container_keeps_its_originals() {
    let renamed = rename(&injected(&web()), 0, "front");
    let expected = rename(&web(), 0, "front");
    assert_eq!(uninjected(&renamed), expected);
    let after = with(&renamed, &settings());
    assert_eq!(after, injected(&expected));
    assert_eq!(uninjected(&after), expected);
}

#[test]
fn two_renamed_containers_keep_theirs() {
    let renamed = rename(&rename(&injected(&web()), 0, "front"), 1, "store");
    let expected = rename(&rename(&web(), 0, "front"), 1, "store");
    assert_eq!(uninjected(&renamed), expected);
    assert_eq!(with(&renamed, &settings()), injected(&expected));
}

#[test]
fn a_renamed_container_keeps_the_original_of_a_forwarded_probe() {
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
        let why = refusal(&document, task);
        assert!(why.contains("was renamed after injection"), "{why}");
        assert!(why.contains("(those of web)"), "{why}");
    }
}

#[test]
fn a_probe_copied_to_another_container_is_refused() {
    let mut document = injected(&web());
    document["spec"]["containers"][1]["readinessProbe"] =
        document["spec"]["containers"][0]["livenessProbe"].clone();
    for task in [Task::Inject, Task::Uninject] {
        assert_eq!(
            refusal(&document, task),
            "readinessProbe of db goes to a port of the sidecar, and annotation probelet.dev/original has no \
             original of it: write the probe as it was before injection, or start again from the manifest as it \
             was before"
        );
    }
}

#[test]
fn a_container_that_swapped_its_name_is_refused() {
    let document = injected(&web());
    let swapped = rename(&rename(&document, 0, "db"), 1, "web");
    for task in [Task::Inject, Task::Uninject] {
        let why = refusal(&swapped, task);
        assert!(why.contains("goes to a port of the sidecar"), "{why}");
    }
}

#[test]
fn a_path_that_was_changed_by_hand_does_not_lose_its_port() {
    let mut document = injected(&web());
    document["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] = "/bar".into();
    let why = refusal(&document, Task::Uninject);
    assert!(why.contains("livenessProbe of web goes to a port"), "{why}");
}

#[test]
fn a_container_that_is_gone_takes_its_originals_along() {
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
    assert_eq!(with(&document, &settings()), injected(&expected));
}
