//! Exec probes that become probers of the agent.

use super::*;

const CONVERT: &str = "probelet.dev/convert-exec";

/// A pod whose livenessProbe runs this command, with `probelet.dev/convert-exec: "true"`.
fn running(command: &[&str]) -> Value {
    let probe = json!({"exec": {"command": command}, "timeoutSeconds": 3, "periodSeconds": 5});
    annotated(probed(probe), json!({CONVERT: "true"}))
}

fn curl() -> Value {
    running(&["curl", "-f", "http://localhost:8080/healthz"])
}

fn livez(document: &Value) -> Value {
    let table: Value = serde_json::from_str(&table(document)).expect("a table");
    table["/app-health/web/livez"].clone()
}

/// Asserts that injection leaves the probe as it is. Returns the warnings.
fn not_converted(document: &Value) -> Vec<String> {
    assert_eq!(skip_reason(document), "only exec probes");
    warnings(document)
}

#[test]
fn a_command_becomes_a_prober_and_is_restored() {
    let document = curl();
    assert_eq!(effect_of(&document), "injected: livez");
    assert_eq!(warnings(&document), Vec::<String>::new());
    let after = injected(&document);
    assert_eq!(
        after["spec"]["containers"][0]["livenessProbe"],
        json!({
            "httpGet": {"port": 15020, "path": "/app-health/web/livez"}, "timeoutSeconds": 3, "periodSeconds": 5,
        })
    );
    assert_eq!(
        livez(&after),
        json!({
            "httpGet": {
                "path": "/healthz", "port": 8080, "httpHeaders": [{"name": "Host", "value": "localhost:8080"}],
            },
            "target": "localhost", "redirects": "none", "expect": {"status": "100-399"}, "timeoutSeconds": 3,
        })
    );
    let again = report(&after, Task::Inject, &settings()).verdict;
    assert_eq!(again, Verdict::Unchanged("already injected".into()));
    assert_eq!(uninjected(&after), document);
}

#[test]
fn the_api_server_may_default_the_rewritten_probe() {
    let document = curl();
    let mut after = injected(&document);
    after["spec"]["containers"][0]["livenessProbe"]["httpGet"]["scheme"] = "HTTP".into();
    let again = report(&after, Task::Inject, &settings()).verdict;
    assert_eq!(again, Verdict::Unchanged("already injected".into()));
    assert_eq!(uninjected(&after), document);
}

#[test]
fn the_shorter_timeout_applies() {
    for (command, own, min, expected) in [
        ("curl -f -m 2 127.0.0.1", json!(3), 0, 2),
        ("curl -f -m 5 127.0.0.1", json!(3), 0, 3),
        ("curl -f -m 5 127.0.0.1", Value::Null, 0, 1),
        ("curl -f -m 5 127.0.0.1", Value::Null, 4, 4),
        ("curl -f 127.0.0.1", Value::Null, 0, 1),
        // The timeout of the connection and that of the call, 1 s each.
        ("grpc_health_probe -addr=:9000", json!(3), 0, 2),
        ("grpc_health_probe -addr=:9000", json!(1), 0, 1),
        (
            "grpc_health_probe -addr=:9000 -connect-timeout=9s",
            json!(20),
            0,
            10,
        ),
        (
            "grpc_health_probe -addr=:9000 -rpc-timeout=4s",
            json!(20),
            0,
            5,
        ),
    ] {
        let mut document = running(&command.split(' ').collect::<Vec<_>>());
        document["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = own;
        let settings = Settings {
            min_timeout: min,
            ..settings()
        };
        let after = injected_with(&document, &settings);
        assert_eq!(livez(&after)["timeoutSeconds"], expected, "{command}");
    }
}

#[test]
fn the_min_timeout_raises_the_timeout_of_the_command() {
    for (command, own, min, expected) in [
        ("grpc_health_probe -addr=:9000", 1, 5, 5),
        ("probelet check tcp://localhost:9000", 10, 5, 5),
        ("curl -f -m 2 127.0.0.1", 10, 5, 5),
        ("curl -f -m 7 127.0.0.1", 10, 5, 7),
        ("curl -f -m 7 127.0.0.1", 1, 5, 5),
    ] {
        let mut document = running(&command.split(' ').collect::<Vec<_>>());
        document["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = own.into();
        document["metadata"]["annotations"]["probelet.dev/min-timeout-seconds"] =
            min.to_string().into();
        let after = injected(&document);
        assert_eq!(livez(&after)["timeoutSeconds"], expected, "{command}");
    }
}

#[test]
fn the_setting_is_for_all_pods_and_the_annotation_takes_precedence() {
    let on = Settings {
        convert_exec: true,
        ..settings()
    };
    let mut document = curl();
    document["metadata"]["annotations"] = json!({});
    assert_eq!(not_converted(&document), Vec::<String>::new());
    assert_eq!(livez(&injected_with(&document, &on))["target"], "localhost");
    document["metadata"]["annotations"] = json!({CONVERT: "false"});
    let verdict = report(&document, Task::Inject, &on).verdict;
    assert_eq!(verdict, Verdict::Skipped("only exec probes".into()));
}

#[test]
fn a_pod_that_opts_out_later_gets_its_command_back() {
    let mut document = curl();
    document["spec"]["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": 8080}});
    let mut after = injected(&document);
    after["metadata"]["annotations"][CONVERT] = "false".into();
    assert_eq!(effect_of(&after), "updated: probers, web livez restored");
    let after = injected(&after);
    assert_eq!(
        after["spec"]["containers"][0]["livenessProbe"],
        document["spec"]["containers"][0]["livenessProbe"]
    );
}

#[test]
fn a_pod_without_another_probe_is_restored_if_it_opts_out_later() {
    let mut before = curl();
    let mut after = injected(&before);
    for pod in [&mut before, &mut after] {
        pod["metadata"]["annotations"][CONVERT] = "false".into();
    }
    assert_eq!(effect_of(&after), "uninjected");
    assert_eq!(warnings(&after), Vec::<String>::new());
    let restored = injected(&after);
    assert_eq!(restored, before);
    assert_eq!(not_converted(&restored), Vec::<String>::new());
}

#[test]
fn a_webhook_with_other_settings_restores_no_pod() {
    let mut after = injected(&curl());
    let annotations = after["metadata"]["annotations"].as_object_mut();
    annotations.expect("annotations").remove(CONVERT);
    let expected =
        "the pod is still injected: run probelet-inject --uninject on its manifest to restore it";
    assert_eq!(not_converted(&after), [expected]);
}

#[test]
fn an_injected_command_that_is_no_longer_converted_is_restored() {
    let mut after = injected(&curl());
    after["spec"]["containers"][0]["env"] =
        json!([{"name": "http_proxy", "value": "http://proxy"}]);
    assert_eq!(effect_of(&after), "uninjected");
    assert_eq!(warnings(&after).len(), 1);
}

#[test]
fn exec_probes_beyond_the_most_probers_stay() {
    let probe = json!({"exec": {"command": ["nc", "-z", "localhost", "80"]}});
    let container = |index: usize| {
        json!({
            "name": format!("c{index}"), "image": "app:1",
            "livenessProbe": probe, "readinessProbe": probe, "startupProbe": probe,
        })
    };
    let mut document = annotated(pod(json!([])), json!({CONVERT: "true"}));
    let mut containers: Vec<Value> = (0..22).map(container).collect();
    containers.push(json!({"name": "web", "livenessProbe": {"httpGet": {"port": 8080}}}));
    document["spec"]["containers"] = containers.into();
    let found = warnings(&document);
    let stays = |warning: &&String| warning.contains("is not converted: it ");
    assert_eq!(found.iter().filter(stays).count(), 3, "{found:?}");
    let expected = "startupProbe of c21 is not converted: it exceeds the limit of 64 probers; it stays an exec probe";
    assert!(found.iter().any(|warning| warning == expected), "{found:?}");
    let after = injected(&document);
    let table: Value = serde_json::from_str(&table(&after)).expect("a table");
    assert_eq!(table.as_object().map(|table| table.len()), Some(64));
    let again = report(&after, Task::Inject, &settings()).verdict;
    assert_eq!(again, Verdict::Unchanged("already injected".into()));
    assert_eq!(uninjected(&after), document);
}

#[test]
fn the_reason_is_a_warning() {
    for (command, reason) in [
        (
            &["cat", "/tmp/ready"][..],
            "runs \"cat\", which the agent cannot do",
        ),
        (
            &["curl", "-f", "-o", "/dev/null", "http://localhost/"],
            "has the flag \"-o\" of curl",
        ),
        (
            &["curl", "http://localhost:15020/"],
            "probes port 15020, on which the sidecar listens",
        ),
    ] {
        let expected =
            format!("livenessProbe of web is not converted: it {reason}; it stays an exec probe");
        assert_eq!(not_converted(&running(command)), [expected]);
    }
    // With another probe, the pod is injected.
    let mut document = running(&["cat", "/tmp/ready"]);
    document["spec"]["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": 8080}});
    assert_eq!(effect_of(&document), "injected: readyz");
    assert_eq!(warnings(&document).len(), 1);
    assert_eq!(uninjected(&injected(&document)), document);
}

#[test]
fn what_the_agent_of_the_pod_would_do_otherwise_is_not_converted() {
    let tls = ["curl", "-fk", "https://localhost:8443/"];
    for (annotation, value) in [
        ("probelet.dev/app-ca-secret", "ca"),
        ("probelet.dev/client-cert-secret", "client"),
        ("probelet.dev/identity-secret", "web-id"),
        (
            "probelet.dev/identity-csi",
            r#"{"driver":"spiffe.csi.cert-manager.io"}"#,
        ),
    ] {
        let mut document = running(&tls);
        document["metadata"]["annotations"][annotation] = value.into();
        let expected = format!(
            "livenessProbe of web is not converted: it probes over TLS, where the sidecar uses annotation {annotation}; it \
             stays an exec probe"
        );
        assert_eq!(not_converted(&document), [expected]);
    }
    assert_eq!(effect_of(&running(&tls)), "injected: livez");
    // The identity of a listener is the sidecar's client certificate, too.
    let mut document = running(&["grpc_health_probe", "-addr=:9444", "-tls", "-tls-no-verify"]);
    for (name, value) in [
        ("inbound", "8443=8001"),
        ("allow-id", "any"),
        ("identity-secret", "web-id"),
    ] {
        document["metadata"]["annotations"][format!("probelet.dev/{name}")] = value.into();
    }
    assert_eq!(effect_of(&document), "injected: inbound: 8443");
    assert!(warnings(&document).iter().any(|warning| {
        warning.contains("where the sidecar uses annotation probelet.dev/identity-secret")
    }));
    let mut document = curl();
    document["spec"]["initContainers"] = json!([{
        "name": "db", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["nc", "-z", "localhost", "5432"]}},
    }]);
    let ordinary = Settings {
        sidecar: Sidecar::Container,
        ..settings()
    };
    let report = report(&document, Task::Inject, &ordinary);
    assert_eq!(
        *report.warnings,
        ["startupProbe of db is not converted: it belongs to an init container, which starts before an ordinary sidecar; it \
          stays an exec probe"
            .into()]
    );
    assert_eq!(effect_of(&document), "injected: db startupz; web livez");
}

#[test]
fn exclusions_apply_to_the_port_of_the_command() {
    let mut document = curl();
    document["metadata"]["annotations"]["probelet.dev/exclude-ports"] = "8080".into();
    assert_eq!(
        skip_reason(&document),
        "all its probes are excluded by annotation"
    );
    assert_eq!(warnings(&document), Vec::<String>::new());
    let mut document = curl();
    document["metadata"]["annotations"]["probelet.dev/exclude-containers"] = "web".into();
    assert_eq!(
        skip_reason(&document),
        "all its probes are excluded by annotation"
    );
}

#[test]
fn an_excluded_port_of_a_command_that_is_not_converted_is_a_warning() {
    const WARNING: &str = "annotation probelet.dev/exclude-ports has 8080, which no probe uses: correct or remove 8080";
    let excluding = |mut document: Value, convert: &str| {
        let annotations = &mut document["metadata"]["annotations"];
        annotations[CONVERT] = convert.into();
        annotations["probelet.dev/exclude-ports"] = "8080".into();
        warnings(&document)
    };
    assert_eq!(excluding(curl(), "true"), Vec::<String>::new());
    assert_eq!(excluding(curl(), "false"), [WARNING]);
    let mut hook = curl();
    let web = &mut hook["spec"]["containers"][0];
    web["lifecycle"] = json!({"preStop": {"exec": web["livenessProbe"]["exec"].take()}});
    web["livenessProbe"] = json!({"tcpSocket": {"port": 9090}});
    assert_eq!(excluding(hook, "true"), [WARNING]);
}

#[test]
fn hooks_and_incomplete_commands_stay() {
    let mut document = curl();
    let hook = json!({"exec": {"command": ["curl", "-f", "http://localhost:8080/drain"]}});
    document["spec"]["containers"][0]["lifecycle"] = json!({"preStop": hook});
    let after = injected(&document);
    assert_eq!(
        after["spec"]["containers"][0]["lifecycle"],
        json!({"preStop": hook})
    );
    for exec in [
        json!({}),
        json!({"command": null}),
        json!({"command": "curl"}),
        json!({"command": ["curl", 1]}),
        json!({"command": ["curl", "127.0.0.1"], "more": 1}),
    ] {
        let document = annotated(probed(json!({"exec": exec})), json!({CONVERT: "true"}));
        assert_eq!(not_converted(&document), Vec::<String>::new(), "{exec}");
    }
}

#[test]
fn a_variable_of_the_container_is_expanded() {
    let mut document = running(&["sh", "-c", "curl -f http://127.0.0.1:$(PORT)/ || exit 1"]);
    document["spec"]["containers"][0]["env"] = json!([{"name": "PORT", "value": "8080"}]);
    let after = injected(&document);
    assert_eq!(livez(&after)["httpGet"]["port"], 8080);
    assert_eq!(livez(&after)["target"], "loopback");
    assert_eq!(uninjected(&after), document);
}

#[test]
fn the_annotation_with_probers_replaces_a_converted_command() {
    let mut document = curl();
    document["metadata"]["annotations"]["probelet.dev/probers"] =
        r#"{"web":{"livenessProbe":{"tcpSocket":{"port":8080}}}}"#.into();
    let after = injected(&document);
    assert_eq!(
        livez(&after),
        json!({"tcpSocket": {"port": 8080}, "timeoutSeconds": 3})
    );
    assert_eq!(uninjected(&after), document);
}

#[test]
fn an_edited_table_of_a_converted_command_is_written_again() {
    let document = curl();
    let after = injected(&document);
    let mut changed = after.clone();
    let text = table(&after).replace("/healthz", "/other");
    let sidecar = &mut changed["spec"]["initContainers"][0];
    let env = sidecar["env"].as_array_mut().expect("env");
    let table = env
        .iter_mut()
        .find(|variable| variable["name"] == "ISTIO_KUBE_APP_PROBERS");
    table.expect("the table")["value"] = text.into();
    assert_eq!(effect_of(&changed), "updated: probers");
    assert_eq!(injected(&changed), after);
}
