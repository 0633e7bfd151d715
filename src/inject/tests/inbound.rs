//! Mutual TLS that the sidecar terminates beside the app.

use super::annotations::ours;
use super::*;

const ALLOWED: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// The guide's app, with the annotations of mutual TLS.
fn web(inbound: &str, others: Value) -> Value {
    let mut annotations = json!({
        "probelet.dev/inbound": inbound,
        "probelet.dev/allow-id": ALLOWED,
        "probelet.dev/identity-secret": "web-tls",
    });
    for (name, value) in others.as_object().into_iter().flatten() {
        match value.is_null() {
            true => drop(annotations.as_object_mut().expect("an object").remove(name)),
            false => annotations[name] = value.clone(),
        }
    }
    annotated(
        probed(json!({"httpGet": {"path": "/foo", "port": 8001}})),
        annotations,
    )
}

fn on_loopback() -> Value {
    web("8001", json!({"probelet.dev/app-listens": "loopback"}))
}

fn volume(after: &Value, name: &str) -> Value {
    let volumes = after["spec"]["volumes"].as_array().expect("volumes");
    let volume = volumes.iter().find(|volume| volume["name"] == name);
    volume.cloned().unwrap_or_default()
}

fn is_settled(after: &Value) {
    let again = report(after, Task::Inject, &settings()).verdict;
    assert_eq!(again, Verdict::Unchanged("already injected".into()));
}

fn inbound_arg(document: &Value) -> String {
    let after = injected(document);
    let args = ours(&after)["args"].as_array().expect("args").clone();
    let mut args = args.iter().filter_map(Value::as_str);
    let arg = args.find_map(|arg| arg.strip_prefix("--inbound="));
    arg.expect("an argument").into()
}

#[test]
fn a_port_of_the_sidecar_before_a_port_of_the_app() {
    let document = web("8443=8001", json!({}));
    assert_eq!(effect_of(&document), "injected: livez; inbound: 8443");
    let after = injected(&document);
    assert_eq!(
        ours(&after)["args"],
        json!([
            "run",
            "--cert=/etc/probelet-identity/tls.crt",
            "--key=/etc/probelet-identity/tls.key",
            "--ca=/etc/probelet-identity/ca.crt",
            format!("--allow-id={ALLOWED}"),
            "--inbound=8443=127.0.0.1:8001",
        ])
    );
    assert_eq!(
        ours(&after)["ports"],
        json!([
            {"name": "probelet", "containerPort": 15020},
            {"name": "inbound-8443", "containerPort": 8443},
        ])
    );
    assert_eq!(
        ours(&after)["volumeMounts"],
        json!([
            {"name": "probelet-identity", "mountPath": "/etc/probelet-identity", "readOnly": true},
            no_token_mount(),
        ])
    );
    assert_eq!(
        volume(&after, "probelet-identity"),
        json!({"name": "probelet-identity", "secret": {
            "secretName": "web-tls", "defaultMode": 0o444, "optional": true,
            "items": [
                {"key": "tls.crt", "path": "tls.crt"},
                {"key": "tls.key", "path": "tls.key"},
                {"key": "ca.crt", "path": "ca.crt"},
            ],
        }})
    );
    assert_eq!(
        table(&after),
        r#"{"/app-health/web/livez":{"httpGet":{"path":"/foo","port":8001},"target":"loopback"}}"#
    );
    // kubelet probes no inbound port, so traffic rules keep it.
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(
        annotations["traffic.sidecar.istio.io/excludeInboundPorts"],
        Value::Null
    );
    is_settled(&after);
    assert_eq!(uninjected(&after), document);
}

#[test]
fn linkerds_proxy_does_not_skip_an_inbound_port() {
    let mut all = settings();
    all.linkerd_skip_ports = true;
    let after = injected_with(&web("8443=8001", json!({})), &all);
    assert_eq!(
        after["metadata"]["annotations"]["config.linkerd.io/skip-inbound-ports"],
        "15020"
    );
}

#[test]
fn the_port_number_of_an_app_on_loopback() {
    let mut document = on_loopback();
    document["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8001}]);
    assert_eq!(effect_of(&document), "injected: livez; inbound: 8001");
    assert_eq!(warnings(&document), [""; 0]);
    let after = injected(&document);
    assert_eq!(inbound_arg(&document), "[$(POD_IP)]:8001=127.0.0.1:8001");
    assert_eq!(
        ours(&after)["ports"],
        json!([{"name": "probelet", "containerPort": 15020}])
    );
    is_settled(&after);
    assert_eq!(uninjected(&after), document);
    // The listener needs the pod's address, also where the probes do not.
    document["metadata"]["annotations"]["probelet.dev/target-ip"] = "::1".into();
    let after = injected(&document);
    assert_eq!(ours(&after)["env"][0]["name"], "POD_IP");
    assert_eq!(inbound_arg(&document), "[$(POD_IP)]:8001=[::1]:8001");
    assert_eq!(
        table(&after),
        r#"{"/app-health/web/livez":{"httpGet":{"path":"/foo","port":8001}}}"#
    );
    is_settled(&after);
}

#[test]
fn a_pod_without_probes() {
    let mut document = web("8443=8001, 9443=9001", json!({}));
    document["spec"]["containers"][0]
        .as_object_mut()
        .expect("an object")
        .remove("livenessProbe");
    assert_eq!(effect_of(&document), "injected: inbound: 8443, 9443");
    let after = injected(&document);
    is_settled(&after);
    assert_eq!(uninjected(&after), document);
}

#[test]
fn options_of_a_listener() {
    let permissive = json!({"probelet.dev/allow-id": "any"});
    for (inbound, arg) in [
        (
            "8443=8001,mode=permissive,server-first",
            "8443=127.0.0.1:8001,mode=permissive,server-first",
        ),
        (
            "8443=8001, alpn=h2, alpn=http/1.1",
            "8443=127.0.0.1:8001,alpn=h2,alpn=http/1.1",
        ),
    ] {
        assert_eq!(inbound_arg(&web(inbound, permissive.clone())), arg);
    }
    let own = json!({"probelet.dev/allow-id": null});
    let inbound = format!("8443=8001,allow-id={ALLOWED}");
    assert_eq!(
        inbound_arg(&web(&inbound, own)),
        format!("8443=127.0.0.1:8001,allow-id={ALLOWED}")
    );
    assert_eq!(
        refusal_reason(&web("8443=8001,mode=soft", json!({}))),
        "annotation probelet.dev/inbound is \"8443=127.0.0.1:8001,mode=soft\", but mode= must be strict or permissive: write \
         mode=strict, or leave it out"
    );
}

#[test]
fn a_port_of_http2_has_alpn() {
    for (name, arg) in [
        ("grpc", "8443=127.0.0.1:8001,alpn=h2"),
        ("grpc-api", "8443=127.0.0.1:8001,alpn=h2"),
        ("http2-web", "8443=127.0.0.1:8001,alpn=h2"),
        ("grpcweb", "8443=127.0.0.1:8001"),
        ("http", "8443=127.0.0.1:8001"),
    ] {
        let mut document = web("8443=8001", json!({}));
        document["spec"]["containers"][0]["ports"] = json!([{"name": name, "containerPort": 8001}]);
        assert_eq!(inbound_arg(&document), arg, "{name}");
    }
    let mut document = web("8443=8001,alpn=http/1.1", json!({}));
    document["spec"]["containers"][0]["livenessProbe"] = json!({"grpc": {"port": 8001}});
    assert_eq!(inbound_arg(&document), "8443=127.0.0.1:8001,alpn=http/1.1");
    document["metadata"]["annotations"]["probelet.dev/inbound"] = "8443=8001".into();
    assert_eq!(inbound_arg(&document), "8443=127.0.0.1:8001,alpn=h2");
    is_settled(&injected(&document));
}

#[test]
fn the_key_is_readable_by_the_group_of_the_pod_alone() {
    let mut document = web("8443=8001", json!({}));
    document["spec"]["securityContext"] = json!({"fsGroup": 2000});
    let after = injected(&document);
    assert_eq!(
        volume(&after, "probelet-identity")["secret"]["defaultMode"],
        0o440
    );
}

#[test]
fn the_volume_of_a_driver() {
    let csi = |value: &str| {
        web(
            "8001",
            json!({
                "probelet.dev/app-listens": "loopback",
                "probelet.dev/identity-secret": null,
                "probelet.dev/identity-csi": value,
            }),
        )
    };
    let source = |value: &str| volume(&injected(&csi(value)), "probelet-identity")["csi"].clone();
    let spiffe = "spiffe.csi.cert-manager.io";
    assert_eq!(
        source(spiffe),
        json!({
            "driver": spiffe, "readOnly": true,
            "volumeAttributes": {"spiffe.csi.cert-manager.io/fs-group": "1337"},
        })
    );
    let own_group = json!({"driver": "csi.cert-manager.io", "volumeAttributes": {
        "csi.cert-manager.io/issuer-name": "mesh-ca", "csi.cert-manager.io/fs-group": "5",
    }});
    let mut expected = own_group.clone();
    expected["readOnly"] = true.into();
    assert_eq!(source(&own_group.to_string()), expected);
    assert_eq!(warnings(&csi(&own_group.to_string())), [""; 0]);
    assert_eq!(
        warnings(&csi("csi.example.org")),
        [
            "the files of annotation probelet.dev/identity-csi may belong to root: set spec.securityContext.fsGroup, so that \
             the sidecar can read them"
        ]
    );
    let with = |name: &str, value: &str| {
        let mut document = csi(spiffe);
        document["metadata"]["annotations"][name] = value.into();
        warnings(&document).len()
    };
    assert_eq!(with("probelet.dev/run-as-user", "none"), 1);
    let renamed = json!({"driver": "csi.cert-manager.io", "volumeAttributes": {"csi.cert-manager.io/ca-file": "x"}});
    assert_eq!(
        refusal_reason(&csi(&renamed.to_string())),
        "annotation probelet.dev/identity-csi has csi.cert-manager.io/ca-file, but the sidecar reads tls.crt, tls.key and \
         ca.crt: remove csi.cert-manager.io/ca-file"
    );
    for invalid in [
        "",
        "a b",
        "{}",
        "{\"driver\":1}",
        "{\"driver\":\"a\",\"readOnly\":false}",
        "[]",
        &"a".repeat(64),
        "-a",
        "a..b",
        "{\"driver\":\"a_b\"}",
        "{\"driver\":\"a\",\"nodePublishSecretRef\":{}}",
        "{\"driver\":\"a\",\"nodePublishSecretRef\":{\"name\":\"A\"}}",
    ] {
        let reason = refusal_reason(&csi(invalid));
        assert!(
            reason.contains("write the name of a CSI driver"),
            "{reason}"
        );
    }
    // From a driver to a Secret and back, and without the identity.
    let document = csi(spiffe);
    let after = injected(&document);
    is_settled(&after);
    let mut changed = after.clone();
    let annotations = changed["metadata"]["annotations"]
        .as_object_mut()
        .expect("an object");
    annotations.remove("probelet.dev/identity-csi");
    annotations.insert("probelet.dev/identity-secret".into(), "web-tls".into());
    let changed = injected(&changed);
    assert_eq!(
        volume(&changed, "probelet-identity"),
        volume(&injected(&on_loopback()), "probelet-identity")
    );
    is_settled(&changed);
    assert_eq!(uninjected(&after), document);
}

#[test]
fn a_pod_that_no_longer_wants_mutual_tls() {
    let document = web("8443=8001", json!({}));
    let mut after = injected(&document);
    let annotations = after["metadata"]["annotations"]
        .as_object_mut()
        .expect("an object");
    for name in ["inbound", "allow-id", "identity-secret"] {
        annotations.remove(&format!("probelet.dev/{name}"));
    }
    let after = injected(&after);
    let plain = injected(&probed(json!({"httpGet": {"path": "/foo", "port": 8001}})));
    assert_eq!(ours(&after), ours(&plain));
    assert_eq!(after["spec"]["volumes"], plain["spec"]["volumes"]);
    is_settled(&after);
    // And the other way: a pod that is injected already.
    let mut plain = plain;
    for (name, value) in document["metadata"]["annotations"]
        .as_object()
        .expect("an object")
    {
        plain["metadata"]["annotations"][name] = value.clone();
    }
    let after = injected(&plain);
    assert_eq!(after["spec"], injected(&document)["spec"]);
    is_settled(&after);
}

#[test]
fn a_plaintext_port_that_stays_open_is_warned_of() {
    let warning = "port 8001 still accepts clients without a certificate: allow only ports 8443, 15020 by a NetworkPolicy \
                   (docs/inbound.md), or let the app listen on 127.0.0.1 and set probelet.dev/app-listens to loopback";
    assert_eq!(warnings(&web("8443=8001", json!({}))), [warning]);
    assert!(warning.len() <= crate::limits::WARNING_BYTES);
    let loopback = json!({"probelet.dev/app-listens": "loopback"});
    assert_eq!(warnings(&web("8443=8001", loopback)), [""; 0]);
}

#[test]
fn networks_that_are_allowed_are_warned_of() {
    let loopback =
        json!({"probelet.dev/app-listens": "loopback", "probelet.dev/allow-from": "10.42.0.1"});
    assert_eq!(
        warnings(&web("8443=8001", loopback)),
        [
            "allow-from also applies to the clients of annotation probelet.dev/inbound: set annotation probelet.dev/allow-from \
             to their networks and kubelet's address"
        ]
    );
}

#[test]
fn another_secret_is_a_change_of_the_volumes() {
    let mut after = injected(&web("8443=8001", json!({})));
    after["metadata"]["annotations"]["probelet.dev/identity-secret"] = "other".into();
    assert_eq!(effect_of(&after), "updated: volumes");
    assert_eq!(
        volume(&injected(&after), "probelet-identity")["secret"]["secretName"],
        "other"
    );
}

#[test]
fn a_probe_that_kubelet_sends_to_mutual_tls_is_warned_of() {
    for name in [
        "sidecar.istio.io/rewriteAppHTTPProbers",
        "probelet.dev/exclude-ports",
    ] {
        let mut document = on_loopback();
        let value = if name.ends_with("ports") {
            "8001"
        } else {
            "false"
        };
        document["metadata"]["annotations"][name] = value.into();
        assert_eq!(effect_of(&document), "injected: inbound: 8001");
        assert_eq!(
            warnings(&document),
            [
                "livenessProbe of web is not rewritten, and probes port 8001, where the sidecar requires a client certificate \
                 (annotation probelet.dev/inbound): kubelet has none, so let probes of that port be rewritten"
            ]
        );
        let after = injected(&document);
        assert_eq!(after["spec"]["containers"], document["spec"]["containers"]);
        is_settled(&after);
        assert_eq!(uninjected(&after), document);
    }
}

#[test]
fn a_probe_of_an_init_container_that_meets_mutual_tls_is_warned_of() {
    let mut document = on_loopback();
    document["metadata"]["annotations"]["probelet.dev/sidecar"] = "container".into();
    document["spec"]["initContainers"] = json!([{
        "name": "proxy", "restartPolicy": "Always", "livenessProbe": {"tcpSocket": {"port": 8001}},
    }]);
    let warnings = warnings(&document);
    let start = "livenessProbe of proxy is not rewritten";
    assert!(warnings[0].starts_with(&format!("{start}: it belongs to an init container")));
    assert!(warnings[1].starts_with(&format!("{start}, and probes port 8001, where the sidecar")));
}

#[test]
fn ports_that_are_taken() {
    let reason = |inbound: &str, ports: Value, others: Value| {
        let mut document = web(inbound, others);
        document["spec"]["containers"][0]["ports"] = ports;
        refusal_reason(&document)
    };
    let none = || json!([]);
    assert_eq!(
        reason("8443=8001", json!([{"containerPort": 8443}]), json!({})),
        "container web declares port 8443, which the agent needs: set another port in annotation probelet.dev/inbound, such as \
         15943=8001"
    );
    assert_eq!(
        reason("443=8001", none(), json!({})),
        "the agent would listen on port 443, which the agent's user may not open on nodes with containerd 1: set another port \
         in annotation probelet.dev/inbound, such as 15943=8001"
    );
    assert_eq!(
        reason("15020=8001", none(), json!({})),
        "annotation probelet.dev/inbound has 15020=8001, but 15020 is another port of the sidecar: write another port"
    );
    assert_eq!(
        reason(
            "15032=8001",
            none(),
            json!({"probelet.dev/forward": "8002=15032"})
        ),
        "annotation probelet.dev/inbound has 15032=8001, but 15032 is another port of the sidecar: write another port"
    );
    for inbound in ["8443=8001,8443=8002", "8443=8001,8001=8443"] {
        assert!(reason(inbound, none(), json!({})).contains("the annotation has port 8443 twice"));
    }
    assert_eq!(
        reason(
            "8443=8001",
            none(),
            json!({"probelet.dev/inbound": "8001=8002"})
        ),
        "livenessProbe of web probes port 8001, on which the sidecar terminates mutual TLS (annotation probelet.dev/inbound): \
         probe port 8002 of the app"
    );
}

#[test]
fn a_port_of_both_needs_an_app_on_loopback() {
    let both = "so that the sidecar and the app would both listen on that port";
    assert_eq!(
        refusal_reason(&web("8001", json!({}))),
        format!(
            "annotation probelet.dev/inbound has 8001, {both}: let the app listen on 127.0.0.1 and set annotation \
             probelet.dev/app-listens to loopback, or write SIDECAR_PORT=8001"
        )
    );
    assert_eq!(
        refusal_reason(&web("8001=8001", json!({}))),
        format!(
            "annotation probelet.dev/inbound has 8001=8001, {both}: write 8001 alone, with annotation probelet.dev/app-listens \
             set to loopback"
        )
    );
    assert_eq!(
        refusal_reason(&web(
            "8443=8001",
            json!({"probelet.dev/app-listens": "127.0.0.1"})
        )),
        "annotation probelet.dev/app-listens is \"127.0.0.1\": write loopback if the app listens on 127.0.0.1 or ::1 alone, \
         else remove the annotation"
    );
}

#[test]
fn incomplete_annotations() {
    assert_eq!(
        refusal_reason(&web("8443=8001", json!({"probelet.dev/allow-id": null}))),
        "annotation probelet.dev/inbound requires annotation probelet.dev/allow-id: set it to the identities of the clients, \
         such as spiffe://cluster.local/ns/shop/sa/web, dns:web.shop.svc, or any"
    );
    assert_eq!(
        refusal_reason(&web(
            "8443=8001",
            json!({"probelet.dev/identity-secret": null})
        )),
        "annotation probelet.dev/inbound requires annotation probelet.dev/identity-secret or probelet.dev/identity-csi: set \
         one to the name of a Secret with tls.crt, tls.key and ca.crt, or to the name of a CSI driver that writes these files"
    );
    assert_eq!(
        refusal_reason(&web(
            "8443=8001",
            json!({"probelet.dev/identity-csi": "csi.example.org"})
        )),
        "the pod has both annotation probelet.dev/identity-secret and probelet.dev/identity-csi: remove one of them"
    );
    assert_eq!(
        refusal_reason(&web("https", json!({}))),
        "annotation probelet.dev/inbound is \"https\": write SIDECAR_PORT=APP_PORT, such as 8443=8001, or the port of an app \
         on loopback; separate several by commas"
    );
    // An identity alone is that of the probes.
    let document = web("8443=8001", json!({"probelet.dev/inbound": null}));
    assert_eq!(
        warnings(&document),
        [
            "annotation probelet.dev/allow-id has no effect without annotation probelet.dev/inbound: set that to the port of \
             mutual TLS, such as 8443=8001"
        ]
    );
    assert_eq!(
        ours(&injected(&document))["args"].as_array().map(Vec::len),
        Some(4)
    );
}

#[test]
fn a_volume_of_the_pod_with_the_name_of_ours() {
    let mut document = web("8443=8001", json!({}));
    document["spec"]["volumes"] = json!([{"name": "probelet-identity", "emptyDir": {}}]);
    assert_eq!(
        refusal_reason(&document),
        "spec.volumes already has a volume probelet-identity: rename that volume"
    );
}
