//! Rewriting of probes and hooks.

use super::*;

/// What a probe becomes, and its prober.
fn rewritten(probe: Value) -> (Value, String) {
    let document = probed(probe);
    let after = injected(&document);
    assert_eq!(uninjected(&after), document);
    let prober = table(&after);
    let prober = prober
        .strip_prefix(r#"{"/app-health/web/livez":"#)
        .expect("one prober");
    let prober = prober.strip_suffix('}').expect("an object");
    (
        after["spec"]["containers"][0]["livenessProbe"].clone(),
        prober.into(),
    )
}

#[test]
fn https_becomes_http_and_headers_stay() {
    let (probe, prober) = rewritten(json!({
        "httpGet": {"path": "/a", "port": 8443, "scheme": "HTTPS", "httpHeaders": [{"name": "X", "value": "1"}]},
        "timeoutSeconds": 2,
    }));
    assert_eq!(
        probe,
        json!({
            "httpGet": {
                "path": "/app-health/web/livez", "port": 15020, "scheme": "HTTP",
                "httpHeaders": [{"name": "X", "value": "1"}],
            },
            "timeoutSeconds": 2,
        })
    );
    assert_eq!(
        prober,
        r#"{"httpGet":{"path":"/a","port":8443,"scheme":"HTTPS","httpHeaders":[{"name":"X","value":"1"}]},"timeoutSeconds":2}"#
    );
}

#[test]
fn grpc_becomes_http() {
    let (probe, prober) =
        rewritten(json!({"grpc": {"port": 50051, "service": "orders", "mode": "TLS"}}));
    let get = json!({"path": "/app-health/web/livez", "port": 15020, "scheme": "HTTP"});
    assert_eq!(probe, json!({"httpGet": get}));
    assert_eq!(
        prober,
        r#"{"grpc":{"port":50051,"service":"orders","mode":"TLS"}}"#
    );
}

#[test]
fn grpc_without_a_service_has_a_null_service() {
    let (probe, prober) = rewritten(json!({"grpc": {"port": 50051}}));
    assert_eq!(
        probe,
        json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020}})
    );
    assert_eq!(prober, r#"{"grpc":{"port":50051,"service":null}}"#);
}

/// Asserts that a probe is not rewritten. Returns the warning.
fn stays(probe: Value) -> String {
    let other = json!({"httpGet": {"path": "/b", "port": 9000}});
    let container = json!({
        "name": "web", "ports": [{"containerPort": 8080, "name": "http"}],
        "livenessProbe": probe, "readinessProbe": other,
    });
    let document = pod(json!([container]));
    let after = injected(&document);
    assert_eq!(after["spec"]["containers"][0]["livenessProbe"], probe);
    assert!(!table(&after).contains("livez"), "{}", table(&after));
    let mut warnings = warnings(&document);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings.remove(0)
}

#[test]
fn a_path_that_is_missing_is_added() {
    let (probe, prober) = rewritten(json!({"httpGet": {"port": 80}}));
    assert_eq!(
        probe,
        json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020}})
    );
    assert_eq!(prober, r#"{"httpGet":{"port":80}}"#);
}

#[test]
fn timings_and_thresholds_are_unchanged() {
    let rest = json!({
        "initialDelaySeconds": 1, "periodSeconds": 2, "timeoutSeconds": 3, "successThreshold": 1,
        "failureThreshold": 5, "terminationGracePeriodSeconds": 6,
    });
    let mut before = rest.clone();
    before["tcpSocket"] = json!({"port": 80});
    let (mut after, prober) = rewritten(before);
    after.as_object_mut().expect("a probe").remove("httpGet");
    assert_eq!(after, rest);
    assert_eq!(prober, r#"{"tcpSocket":{"port":80},"timeoutSeconds":3}"#);
}

#[test]
fn a_timeout_of_zero_is_omitted() {
    let (_, prober) = rewritten(json!({"tcpSocket": {"port": 80}, "timeoutSeconds": 0}));
    assert_eq!(prober, r#"{"tcpSocket":{"port":80}}"#);
}

#[test]
fn http2_becomes_http1_and_the_table_has_http2() {
    let (probe, prober) =
        rewritten(json!({"httpGet": {"port": 80, "protocol": "HTTP2", "scheme": "HTTP"}}));
    assert_eq!(probe["httpGet"]["protocol"], "HTTP1");
    assert_eq!(
        prober,
        r#"{"httpGet":{"port":80,"scheme":"HTTP","protocol":"HTTP2"}}"#
    );
}

#[test]
fn an_empty_service_differs_from_none() {
    let (probe, prober) = rewritten(json!({"grpc": {"port": 80, "service": ""}}));
    assert_eq!(probe["httpGet"]["path"], "/app-health/web/livez");
    assert_eq!(prober, r#"{"grpc":{"port":80,"service":""}}"#);
}

#[test]
fn characters_that_go_escapes_are_escaped() {
    let (_, prober) =
        rewritten(json!({"httpGet": {"path": "/a?b<c>&d=\"\\\u{2028}é", "port": 80}}));
    assert_eq!(
        prober,
        r#"{"httpGet":{"path":"/a?b\u003cc\u003e\u0026d=\"\\\u2028é","port":80}}"#
    );
}

#[test]
fn dollar_signs_are_escaped() {
    let (_, prober) = rewritten(json!({"httpGet": {"path": "/$(POD_IP)/$$", "port": 80}}));
    assert_eq!(
        prober,
        r#"{"httpGet":{"path":"/\u0024(POD_IP)/\u0024\u0024","port":80}}"#
    );
}

#[test]
fn an_empty_host_and_a_host_header_are_supported() {
    let (probe, prober) = rewritten(json!({
        "httpGet": {"host": "", "port": 80, "httpHeaders": [{"name": "Host", "value": "a.example"}]},
    }));
    assert_eq!(probe["httpGet"]["host"], "");
    assert_eq!(
        prober,
        r#"{"httpGet":{"port":80,"httpHeaders":[{"name":"Host","value":"a.example"}]}}"#
    );
}

#[test]
fn a_named_port_is_that_of_its_own_container() {
    let ports = |number: u16| json!([{"name": "http", "containerPort": number}]);
    let probe = json!({"httpGet": {"path": "/", "port": "http"}});
    let document = pod(json!([
        {"name": "a", "ports": ports(8001), "livenessProbe": probe},
        {"name": "b", "ports": ports(8002), "livenessProbe": probe},
    ]));
    let after = injected(&document);
    assert_eq!(
        table(&after),
        r#"{"/app-health/a/livez":{"httpGet":{"path":"/","port":8001}},"/app-health/b/livez":{"httpGet":{"path":"/","port":8002}}}"#
    );
    assert_eq!(effect_of(&document), "injected: a livez; b livez");
    assert_eq!(uninjected(&after), document);
}

#[test]
fn a_field_that_the_api_server_rejects_is_not_rewritten() {
    let quoted = |port: &str| {
        format!(
            "livenessProbe of web is not rewritten: it has the port \"{port}\", which the API server rejects: write a number \
             without quotes"
        )
    };
    for (probe, warning) in [
        (json!({"httpGet": {"port": "8080"}}), quoted("8080")),
        (json!({"tcpSocket": {"port": "08080"}}), quoted("08080")),
        (json!({"grpc": {"port": "8080"}}), quoted("8080")),
        (json!({"grpc": {"port": "http"}}), quoted("http")),
        (
            json!({"httpGet": {"port": 80, "scheme": "Https"}}),
            "livenessProbe of web is not rewritten: it has the scheme \"Https\", which the API server rejects: write HTTP or \
             HTTPS"
                .into(),
        ),
    ] {
        let document = pod(json!([{
            "name": "web", "livenessProbe": probe, "readinessProbe": {"httpGet": {"port": 80}},
            "ports": [{"name": "http", "containerPort": 8080}],
        }]));
        assert_eq!(warnings(&document), [warning]);
        let after = injected(&document);
        assert_eq!(after["spec"]["containers"][0]["livenessProbe"], probe);
    }
}

#[test]
fn a_number_in_quotes_that_an_earlier_version_has_rewritten_stays_rewritten() {
    let after = injected(&probed(json!({"httpGet": {"path": "/foo", "port": 8080}})));
    let text = after["metadata"]["annotations"]["probelet.dev/original"].as_str();
    let mut original: Value = serde_json::from_str(text.expect("the original")).expect("JSON");
    original["web.livenessProbe.httpGet.port"] = json!({"port": 8080, "was": "\"8080\""});
    let mut earlier = after.clone();
    earlier["metadata"]["annotations"]["probelet.dev/original"] = original.to_string().into();
    let mut other = settings();
    other.image = "localhost/probelet:0.2.0".into();
    let after = injected_with(&earlier, &other);
    assert_eq!(
        table(&after),
        r#"{"/app-health/web/livez":{"httpGet":{"path":"/foo","port":8080}}}"#
    );
    assert_eq!(
        uninjected(&after),
        probed(json!({"httpGet": {"path": "/foo", "port": "8080"}}))
    );
}

#[test]
fn a_path_that_is_a_list_is_refused() {
    let path = probed(json!({"httpGet": {"port": 80, "path": []}}));
    assert!(refusal_reason(&path).contains("httpGet.path is a list, but must be a string"));
}

#[test]
fn hooks_have_lifecycle_paths_and_no_timeout() {
    let get = json!({"httpGet": {"path": "/drain", "port": 80}});
    let document = pod(json!([
        {"name": "web", "lifecycle": {"preStop": get, "postStart": get}},
    ]));
    let after = injected(&document);
    let hook = |path| json!({"httpGet": {"path": path, "port": 15020}});
    assert_eq!(
        after["spec"]["containers"][0]["lifecycle"],
        json!({
            "preStop": hook("/app-lifecycle/web/prestopz"),
            "postStart": hook("/app-lifecycle/web/poststartz"),
        })
    );
    assert_eq!(
        table(&after),
        r#"{"/app-lifecycle/web/poststartz":{"httpGet":{"path":"/drain","port":80}},"/app-lifecycle/web/prestopz":{"httpGet":{"path":"/drain","port":80}}}"#
    );
    assert_eq!(effect_of(&document), "injected: prestopz, poststartz");
    assert_eq!(uninjected(&after), document);
}

#[test]
fn exec_and_sleep_are_not_rewritten() {
    let container = json!({
        "name": "web",
        "livenessProbe": {"exec": {"command": ["true"]}},
        "startupProbe": {"httpGet": {"port": 80}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}, "postStart": {"exec": {"command": ["true"]}}},
    });
    let after = injected(&pod(json!([container])));
    let after = &after["spec"]["containers"][0];
    assert_eq!(after["livenessProbe"], container["livenessProbe"]);
    assert_eq!(after["lifecycle"], container["lifecycle"]);
}

#[test]
fn init_containers_are_probed_only_if_they_are_sidecars() {
    let probe = json!({"tcpSocket": {"port": 80}});
    let document = json!({
        "kind": "Pod",
        "spec": {
            "initContainers": [
                {"name": "once", "startupProbe": probe},
                {"name": "proxy", "restartPolicy": "Always", "startupProbe": probe},
            ],
            "containers": [{"name": "web"}],
        },
    });
    let after = injected(&document);
    let init = &after["spec"]["initContainers"];
    assert_eq!(init[0]["name"], "probelet");
    assert_eq!(init[1], document["spec"]["initContainers"][0]);
    assert_eq!(
        init[2]["startupProbe"]["httpGet"]["path"],
        "/app-health/proxy/startupz"
    );
    assert_eq!(
        table(&after),
        r#"{"/app-health/proxy/startupz":{"tcpSocket":{"port":80}}}"#
    );
}

#[test]
fn init_containers_keep_their_probes_beside_an_ordinary_sidecar() {
    let mut document = probed(json!({"httpGet": {"port": 8080}}));
    document["spec"]["initContainers"] = json!([{
        "name": "proxy",
        "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": 80}},
        "lifecycle": {"postStart": {"httpGet": {"port": 80}}},
    }]);
    let native = injected(&document);
    let ordinary = Settings {
        sidecar: Sidecar::Container,
        ..settings()
    };
    let init_containers = |pod: &Value| pod["spec"]["initContainers"].clone();
    let livez = r#"{"/app-health/web/livez":{"httpGet":{"port":8080}}}"#;
    let after = injected_with(&document, &ordinary);
    assert_eq!(init_containers(&after), init_containers(&document));
    assert_eq!(table(&after), livez);
    let cure = "set annotation probelet.dev/sidecar to native (Kubernetes 1.29 or later)";
    let warnings = report(&document, Task::Inject, &ordinary).warnings;
    assert_eq!(
        warnings,
        ["startupProbe", "postStart"].map(|field| {
            let what =
                format!("{field} of proxy is not rewritten: it belongs to an init container");
            format!("{what}, which starts before an ordinary sidecar: {cure}").into()
        })
    );
    // Injected again with the other kind, they move to the agent and back.
    assert_eq!(injected_with(&after, &settings()), native);
    assert_eq!(injected_with(&native, &ordinary), after);
    assert_eq!(uninjected(&after), document);
}

#[test]
fn a_pod_whose_init_containers_alone_have_probes_gets_no_ordinary_sidecar() {
    let mut document = pod(json!([{"name": "web"}]));
    document["spec"]["initContainers"] = json!([{
        "name": "proxy", "restartPolicy": "Always", "livenessProbe": {"httpGet": {"port": 80}},
    }]);
    let ordinary = json!({"probelet.dev/sidecar": "container"});
    let ordinary = annotated(document.clone(), ordinary);
    assert_eq!(skip_reason(&ordinary), "no probe can be rewritten");
    assert_eq!(effect_of(&document), "injected: livez");
}

#[test]
fn an_undeclared_port_name_is_not_rewritten() {
    assert_eq!(
        stays(json!({"httpGet": {"port": "metrics"}})),
        "livenessProbe of web is not rewritten: it probes port metrics, which web does not declare: write the \
         port number, or declare the name in its ports"
    );
}

#[test]
fn a_probe_of_another_host_is_not_rewritten() {
    for (kind, host) in [("httpGet", "a.example"), ("tcpSocket", "10.0.0.1")] {
        assert_eq!(
            stays(json!({kind: {"port": 80, "host": host}})),
            format!(
                "livenessProbe of web is not rewritten: it probes host \"{host}\", but the agent probes only its \
                 own pod: remove host, and set a Host header if the app needs one"
            )
        );
    }
}

#[test]
fn an_invalid_port_is_not_rewritten() {
    for port in [json!(0), json!(65536), json!(-1), json!(80.5)] {
        assert_eq!(
            stays(json!({"httpGet": {"port": port}})),
            format!(
                "livenessProbe of web is not rewritten: it probes port {port}: write a number from 1 to 65535"
            )
        );
    }
    let none = "livenessProbe of web is not rewritten: it has no port: write the port number";
    assert_eq!(stays(json!({"tcpSocket": {}})), none);
}

#[test]
fn a_probe_with_two_handlers_is_not_rewritten() {
    let probe = json!({"httpGet": {"port": 80}, "tcpSocket": {"port": 80}});
    let reason = "livenessProbe of web is not rewritten: it has more than one handler, or one that is not a mapping: write one of httpGet, tcpSocket and grpc, as a mapping";
    assert_eq!(stays(probe), reason);
    let exec = json!({"httpGet": {"port": 80}, "exec": {"command": ["true"]}});
    assert_eq!(stays(exec), reason);
    assert_eq!(stays(json!({"httpGet": []})), reason);
}

#[test]
fn a_null_handler_counts_as_absent() {
    let (probe, prober) = rewritten(json!({"httpGet": {"port": 80}, "exec": null}));
    assert_eq!(
        probe,
        json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020}, "exec": null})
    );
    assert_eq!(prober, r#"{"httpGet":{"port":80}}"#);
    let tcp = json!({"httpGet": null, "tcpSocket": {"port": 80}, "periodSeconds": 3});
    let (probe, prober) = rewritten(tcp);
    assert_eq!(
        probe,
        json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020}, "periodSeconds": 3})
    );
    assert_eq!(prober, r#"{"tcpSocket":{"port":80}}"#);
    assert_eq!(skip_reason(&probed(json!({"httpGet": null}))), "no probes");
}

#[test]
fn a_port_name_resolves_whatever_its_protocol() {
    let ports = json!([{"name": "dns", "containerPort": 5353, "protocol": "UDP"}]);
    let probe = json!({"httpGet": {"port": "dns"}});
    let document = pod(json!([{"name": "web", "ports": ports, "livenessProbe": probe}]));
    assert_eq!(
        table(&injected(&document)),
        r#"{"/app-health/web/livez":{"httpGet":{"port":5353}}}"#
    );
}

#[test]
fn unknown_fields_are_supported_only_in_http_get() {
    assert_eq!(
        stays(json!({"grpc": {"port": 80, "x": 1}})),
        "livenessProbe of web is not rewritten: it has the unknown field grpc.x: remove it, or use a newer probelet-inject"
    );
    let (probe, prober) = rewritten(json!({"httpGet": {"port": 80, "x": {"y": [1]}, "z": null}}));
    assert_eq!(probe["httpGet"]["x"], json!({"y": [1]}));
    assert_eq!(prober, r#"{"httpGet":{"port":80,"x":{"y":[1]}}}"#);
}

#[test]
fn a_tcp_hook_is_not_rewritten() {
    let document = pod(json!([{
        "name": "web",
        "livenessProbe": {"httpGet": {"port": 80}},
        "lifecycle": {"preStop": {"tcpSocket": {"port": 80}}},
    }]));
    let after = injected(&document);
    assert_eq!(
        after["spec"]["containers"][0]["lifecycle"],
        document["spec"]["containers"][0]["lifecycle"]
    );
    assert_eq!(
        warnings(&document),
        [
            "preStop of web is not rewritten: it is a tcpSocket hook, which kubelet does not support: use httpGet"
        ]
    );
}

#[test]
fn a_port_that_only_another_container_declares_is_rewritten_by_its_number() {
    let document = pod(json!([
        {"name": "php", "livenessProbe": {"httpGet": {"path": "/status", "port": 8080}}},
        {"name": "nginx", "ports": [{"name": "http", "containerPort": 8080}]},
    ]));
    let after = injected(&document);
    assert_eq!(
        table(&after),
        r#"{"/app-health/php/livez":{"httpGet":{"path":"/status","port":8080}}}"#
    );
    assert_eq!(warnings(&document), [""; 0]);
    assert_eq!(uninjected(&after), document);
}

#[test]
fn a_port_name_of_another_container_is_not_rewritten() {
    let document = pod(json!([
        {"name": "php", "livenessProbe": {"httpGet": {"port": "http"}}},
        {"name": "nginx", "ports": [{"name": "http", "containerPort": 8080}]},
    ]));
    assert_eq!(skip_reason(&document), "no probe can be rewritten");
    assert_eq!(
        warnings(&document),
        [
            "livenessProbe of php is not rewritten: it probes port http, which php does not declare: write the port \
             number, or declare the name in its ports"
        ]
    );
}

#[test]
fn a_port_that_both_containers_declare_is_rewritten() {
    let ports = json!([{"containerPort": 8443}]);
    let document = pod(json!([
        {"name": "web", "ports": ports, "livenessProbe": {"httpGet": {"port": 8443}}},
        {"name": "proxy", "ports": ports},
    ]));
    assert_eq!(effect_of(&document), "injected: livez");
}

#[test]
fn a_udp_port_of_another_container_is_ignored() {
    let ports = json!([{"containerPort": 15020, "protocol": "UDP"}]);
    let document = pod(json!([
        {"name": "web", "livenessProbe": {"httpGet": {"port": 80}}},
        {"name": "dns", "ports": ports},
    ]));
    assert_eq!(effect_of(&document), "injected: livez");
}
