//! Pods that an early build injected: their annotation has no version, and no values of aliases.

use super::*;

const RECORD: &str = "probelet.dev/original";

fn web() -> Value {
    pod(json!([{
        "name": "web",
        "ports": [{"name": "http", "containerPort": 8080}],
        "livenessProbe": {"httpGet": {"path": "/foo", "port": "http", "scheme": "HTTPS"}},
        "readinessProbe": {"grpc": {"port": 50051, "service": "orders"}},
        "startupProbe": {"tcpSocket": {"port": 8080}},
    }]))
}

/// The pod as an early build injected it.
fn injected_by_0_1_0() -> Value {
    let mut document = without_no_token_volume(injected(&web()));
    let record = json!({
        "metadata.annotations": null,
        "spec.initContainers": null,
        "web.livenessProbe.httpGet.path": {"was": "\"/foo\""},
        "web.livenessProbe.httpGet.port": {"was": "\"http\""},
        "web.livenessProbe.httpGet.scheme": {"was": "\"HTTPS\""},
        "web.readinessProbe.httpGet": {"key": "\"grpc\""},
        "web.readinessProbe.httpGet.path": {"was": "\"orders\"", "key": "\"service\""},
        "web.readinessProbe.httpGet.port": {"was": "50051"},
        "web.startupProbe.httpGet": {"key": "\"tcpSocket\""},
        "web.startupProbe.httpGet.path": null,
        "web.startupProbe.httpGet.port": {"was": "8080"},
    });
    document["metadata"]["annotations"][RECORD] = record.to_string().into();
    document
}

#[test]
fn uninjection_restores_the_pod() {
    assert_eq!(uninjected(&injected_by_0_1_0()), web());
}

#[test]
fn reinjection_without_changes_makes_no_edit() {
    let mut document = injected_by_0_1_0();
    // Otherwise the sidecar gets a volume that early builds did not add.
    document["spec"]["automountServiceAccountToken"] = false.into();
    assert_eq!(
        report(&document, Task::Inject, &settings()).verdict,
        Verdict::Unchanged("already injected".into())
    );
}

#[test]
fn an_update_writes_the_current_version() {
    let mut newer = settings();
    newer.image = "localhost/probelet:0.2.0".into();
    let after = injected_with(&injected_by_0_1_0(), &newer);
    assert_eq!(after, injected_with(&web(), &newer));
    assert_eq!(uninjected(&after), web());
}

#[test]
fn a_port_name_that_has_moved_moves_in_the_table() {
    let mut document = injected_by_0_1_0();
    document["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090.into();
    let mut expected = web();
    expected["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090.into();
    assert_eq!(injected_with(&document, &settings()), injected(&expected));
}

#[test]
fn the_value_of_an_alias_comes_from_the_table() {
    let mut document = injected_by_0_1_0();
    let record = document["metadata"]["annotations"][RECORD].as_str();
    let record = record
        .expect("a record")
        .replace(r#""50051""#, r#""*port""#);
    document["metadata"]["annotations"][RECORD] = record.into();
    assert_eq!(uninjected(&document), web());
    // Without the table nothing has it.
    let sidecar = &mut document["spec"]["initContainers"][0];
    sidecar.as_object_mut().expect("a container").remove("env");
    let Verdict::Refused(reason) = report(&document, Task::Uninject, &settings()).verdict else {
        panic!("{document}");
    };
    assert_eq!(
        &*reason,
        "annotation probelet.dev/original lacks the port of readinessProbe of web: inject the original manifest \
         again"
    );
}
