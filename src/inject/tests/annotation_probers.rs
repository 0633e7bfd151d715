//! Probers of the annotation in place of the pod's own handlers.

use super::*;

const EXPECTING: &str =
    r#"{"httpGet":{"path":"/admin","port":"admin"},"expect":{"status":"200-299,401"}}"#;

/// A pod with a named port, a livenessProbe and a readinessProbe, and this annotation.
fn web(probers: &str) -> Value {
    annotated(
        pod(json!([{
            "name": "web",
            "ports": [{"name": "admin", "containerPort": 9000}],
            "livenessProbe": {"httpGet": {"path": "/foo", "port": 8001}, "timeoutSeconds": 3},
            "readinessProbe": {"exec": {"command": ["true"]}},
        }])),
        json!({"probelet.dev/probers": probers}),
    )
}

fn of_livez(prober: &str) -> Value {
    web(&format!(r#"{{"web":{{"livenessProbe":{prober}}}}}"#))
}

fn livez(document: &Value) -> Value {
    let table: Value = serde_json::from_str(&table(document)).expect("a table");
    table["/app-health/web/livez"].clone()
}

fn is_settled(after: &Value) {
    let again = report(after, Task::Inject, &settings()).verdict;
    assert_eq!(again, Verdict::Unchanged("already injected".into()));
}

#[test]
fn a_prober_takes_the_place_of_the_pods_own_handler() {
    let document = of_livez(EXPECTING);
    assert_eq!(effect_of(&document), "injected: livez");
    let after = injected(&document);
    assert_eq!(
        after["spec"]["containers"][0]["livenessProbe"],
        json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020}, "timeoutSeconds": 3})
    );
    // The name of the port is that of the container.
    assert_eq!(
        livez(&after),
        json!({
            "httpGet": {"path": "/admin", "port": 9000}, "expect": {"status": "200-299,401"}, "timeoutSeconds": 3,
        })
    );
    is_settled(&after);
    assert_eq!(uninjected(&after), document);
}

#[test]
fn several_handlers_take_its_place() {
    let document = of_livez(
        r#"{"all":[{"httpGet":{"port":8001}},{"tcpSocket":{"port":"admin"}},{"grpc":{"port":9001}}]}"#,
    );
    let after = injected(&document);
    assert_eq!(
        livez(&after)["all"],
        json!([{"httpGet": {"port": 8001}}, {"tcpSocket": {"port": 9000}}, {"grpc": {"port": 9001}}])
    );
    is_settled(&after);
    assert_eq!(uninjected(&after), document);
}

#[test]
fn a_changed_or_removed_annotation_changes_the_table() {
    let after = injected(&of_livez(
        r#"{"all":[{"httpGet":{"port":8001}},{"tcpSocket":{"port":9000}}]}"#,
    ));
    let mut changed = after.clone();
    changed["metadata"]["annotations"]["probelet.dev/probers"] =
        format!(r#"{{"web":{{"livenessProbe":{EXPECTING}}}}}"#).into();
    assert_eq!(effect_of(&changed), "updated: probers");
    let changed = injected(&changed);
    assert_eq!(livez(&changed)["expect"], json!({"status": "200-299,401"}));
    assert_eq!(livez(&changed).get("all"), None);
    is_settled(&changed);
    let mut removed = changed.clone();
    let annotations = removed["metadata"]["annotations"].as_object_mut();
    annotations
        .expect("annotations")
        .remove("probelet.dev/probers");
    let removed = injected(&removed);
    assert_eq!(
        livez(&removed),
        json!({"httpGet": {"path": "/foo", "port": 8001}, "timeoutSeconds": 3})
    );
    is_settled(&removed);
}

#[test]
fn the_agent_probes_the_port_of_an_inbound_app_on_loopback() {
    let mut document = of_livez(r#"{"all":[{"httpGet":{"port":8001}},{"httpGet":{"port":9000}}]}"#);
    for (name, value) in [
        ("probelet.dev/inbound", "8443=8001"),
        ("probelet.dev/allow-id", "any"),
        ("probelet.dev/identity-secret", "web-tls"),
    ] {
        document["metadata"]["annotations"][name] = value.into();
    }
    assert_eq!(
        livez(&injected(&document))["all"],
        json!([{"httpGet": {"port": 8001}, "target": "loopback"}, {"httpGet": {"port": 9000}}])
    );
}

#[test]
fn an_error_names_container_probe_and_member() {
    const LABEL: &str = "annotation probelet.dev/probers has livenessProbe of web";
    for (prober, expected) in [
        (
            r#"{"httpGet":{"port":1},"expect":{"status":"2xx"}}"#,
            r#": expect.status is "2xx", but must be a list of at most 16 codes and ranges from 100 to 599: write "200-299,401""#,
        ),
        (
            r#"{"all":[{"httpGet":{"port":1}},{"tcpSocket":{"port":0}}]}"#,
            ": all[1]: tcpSocket.port is 0, but a port must be a number from 1 to 65535: write the container port's number",
        ),
        (
            r#"{"httpGet":{"port":1,"paht":"/"}}"#,
            r#": httpGet has the unknown member "paht": remove it, or write one of httpGet.path, httpGet.port, httpGet.scheme, httpGet.protocol, httpGet.httpHeaders"#,
        ),
        (
            r#"{}"#,
            ": it has nothing to probe: write one of httpGet, tcpSocket and grpc",
        ),
        (
            r#"{"httpGet":{"port":"web"}}"#,
            ", which probes port web, which web does not declare: write the port number, or declare the name in its ports",
        ),
        (
            r#"{"httpget":{"port":1}}"#,
            ", which has the member httpget: write httpGet",
        ),
        (
            r#"{"all":[{"httpGet":{"port":1}},{"tcpSocket":{"Port":1}}]}"#,
            ", which has the member Port: write port",
        ),
        (
            r#"{"httpGet":{"port":1},"expekt":{}}"#,
            r#": the value has the unknown member "expekt": remove it, or write one of httpGet, tcpSocket, grpc, target, redirects, expect, all"#,
        ),
        (
            r#"{"all":[{"httpGet":{"port":1}},{"tcpSocket":{"port":2}}],"expekt":{}}"#,
            r#": the value has the unknown member "expekt": remove it, or write one of httpGet, tcpSocket, grpc, target, redirects, expect, all"#,
        ),
        (
            r#"{"all":[{"httpGet":{"port":1}},"db:5432"]}"#,
            r#": all[1]: the value is "db:5432", but a handler of all must be an object: write {"tcpSocket":{"port":5432}}"#,
        ),
        (
            r#"{"httpGet":{"port":1},"timeoutSeconds":2}"#,
            ", with timeoutSeconds: remove it: the probe's own applies",
        ),
    ] {
        assert_eq!(
            refusal_reason(&of_livez(prober)),
            format!("{LABEL}{expected}")
        );
    }
    let own = of_livez(r#"{"all":[{"httpGet":{"port":1}},{"tcpSocket":{"port":15020}}]}"#);
    assert_eq!(
        refusal_reason(&own),
        r#"its probes: prober "/app-health/web/livez": all[1]: tcpSocket.port is 15020, but probelet itself listens there: write the port the app listens on"#
    );
}

#[test]
fn an_annotation_of_another_form_is_refused() {
    const ADVICE: &str = r#"write JSON by container and probe, such as {"web":{"livenessProbe":{"httpGet":{"path":"/","port":8080},"expect":{"status":"200,401"}}}}"#;
    for (text, expected) in [
        ("[]", format!("annotation probelet.dev/probers is \"[]\": {ADVICE}")),
        (
            r#"{"web":[]}"#,
            format!("annotation probelet.dev/probers has web, which is no object: {ADVICE}"),
        ),
        (
            r#"{"web":{"livenessProbe":1}}"#,
            format!("annotation probelet.dev/probers has livenessProbe of web, which is no object: {ADVICE}"),
        ),
        (
            r#"{"web":{"preStop":{}}}"#,
            "annotation probelet.dev/probers has preStop of web: write livenessProbe, readinessProbe or startupProbe".into(),
        ),
        (
            r#"{"web":{"startupProbe":{"httpGet":{"port":1}}}}"#,
            "annotation probelet.dev/probers has startupProbe of web, which the pod does not have: correct the names, or remove it".into(),
        ),
        (
            r#"{"wbe":{"livenessProbe":{"httpGet":{"port":1}}}}"#,
            "annotation probelet.dev/probers has livenessProbe of wbe, which the pod does not have: correct the names, or remove it".into(),
        ),
        (
            r#"{"web":{"readinessProbe":{"httpGet":{"port":1}}}}"#,
            "annotation probelet.dev/probers has readinessProbe of web, but kubelet does not send it to the sidecar: the probe has no httpGet, tcpSocket or grpc; remove one of them".into(),
        ),
    ] {
        assert_eq!(refusal_reason(&web(text)), expected);
    }
    let text = refusal_reason(&web("{"));
    assert!(
        text.starts_with("annotation probelet.dev/probers is not JSON (EOF"),
        "{text}"
    );
    let mut excluded = of_livez(EXPECTING);
    excluded["metadata"]["annotations"]["probelet.dev/exclude-containers"] = "web".into();
    assert_eq!(
        refusal_reason(&excluded),
        "annotation probelet.dev/probers has livenessProbe of web, but kubelet does not send it to the sidecar: the probe is excluded from rewriting; remove one of them"
    );
}

#[test]
fn the_handlers_of_all_count_for_the_range_of_local_ports() {
    let with_range = |last: u16| {
        let mut document = of_livez(
            r#"{"all":[{"httpGet":{"port":8001}},{"tcpSocket":{"port":9000}},{"grpc":{"port":9000}}]}"#,
        );
        let range =
            json!({"name": "net.ipv4.ip_local_port_range", "value": format!("40000 {last}")});
        document["spec"]["securityContext"] = json!({"sysctls": [range]});
        document
    };
    // Every 10 s, to port 9000 twice: 6 connections of the last minute, and one of the moment, each.
    assert_eq!(effect_of(&with_range(40013)), "injected: livez");
    let reason = refusal_reason(&with_range(40012));
    let expected = "has 13 ports, and the agent's probes of port 9000 need 14";
    assert!(reason.contains(expected), "{reason}");
}
