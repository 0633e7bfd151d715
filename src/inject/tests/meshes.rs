//! Pods that other meshes inject, before or after injection.

use super::*;

fn get(port: u16) -> Value {
    json!({"httpGet": {"path": "/foo", "port": port}})
}

fn web() -> Value {
    probed(get(8001))
}

fn with_container(mut document: Value, container: Value) -> Value {
    let containers = document["spec"]["containers"].as_array_mut();
    containers.expect("a list").push(container);
    document
}

#[test]
fn a_pod_of_a_mesh_that_handles_probes_is_skipped_with_its_name() {
    for (mesh, holder, marker, value) in [
        ("Kuma", "annotations", "kuma.io/sidecar-injected", "true"),
        (
            "Consul",
            "annotations",
            "consul.hashicorp.com/connect-inject-status",
            "injected",
        ),
        (
            "Consul",
            "labels",
            "consul.hashicorp.com/connect-inject-status",
            "injected",
        ),
        (
            "Open Service Mesh",
            "labels",
            "osm-proxy-uuid",
            "0a5f9a7c-3a8f-4e4e-9d8f-2f6b1d1c7e55",
        ),
        (
            "NGINX Service Mesh",
            "annotations",
            "injector.nsm.nginx.com/status",
            "injected",
        ),
    ] {
        let mut document = web();
        document["metadata"][holder] = json!({marker: value});
        let reason = format!("{mesh} has injected it, and {mesh}'s sidecar handles its probes");
        assert_eq!(skip_reason(&document), reason);
        for value in ["false", "disabled", ""] {
            document["metadata"][holder] = json!({marker: value});
            assert_eq!(effect_of(&document), "injected: livez", "{marker}");
        }
    }
}

#[test]
fn a_pod_with_the_sidecar_of_a_mesh_is_skipped() {
    for (mesh, sidecar) in [
        ("Kuma", "kuma-sidecar"),
        ("Consul", "consul-dataplane"),
        ("Consul", "consul-connect-envoy-sidecar"),
        ("NGINX Service Mesh", "nginx-mesh-sidecar"),
    ] {
        let reason = format!("{mesh} has injected it, and {mesh}'s sidecar handles its probes");
        let document = with_container(web(), json!({"name": sidecar}));
        assert_eq!(skip_reason(&document), reason);
        let mut native = web();
        native["spec"]["initContainers"] = json!([{"name": sidecar, "restartPolicy": "Always"}]);
        assert_eq!(skip_reason(&native), reason);
    }
}

/// A pod as Linkerd's injector leaves it.
fn in_linkerd(skipped: Option<&str>) -> Value {
    let proxy = json!({
        "name": "linkerd-proxy",
        "ports": [
            {"name": "linkerd-proxy", "containerPort": 4143}, {"name": "linkerd-admin", "containerPort": 4191},
        ],
        "livenessProbe": {"httpGet": {"path": "/live", "port": 4191}, "initialDelaySeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 4191}, "initialDelaySeconds": 2},
        "securityContext": {"runAsUser": 2102},
    });
    let mut annotations = json!({"linkerd.io/proxy-version": "stable-2.14.10"});
    if let Some(skipped) = skipped {
        annotations["config.linkerd.io/skip-inbound-ports"] = skipped.into();
    }
    annotated(with_container(web(), proxy), annotations)
}

#[test]
fn probes_of_linkerds_proxy_are_left_unchanged() {
    let document = in_linkerd(None);
    assert_eq!(effect_of(&document), "injected: livez");
    let after = injected(&document);
    assert_eq!(
        after["spec"]["containers"][1],
        document["spec"]["containers"][1]
    );
    assert_eq!(uninjected(&after), document);
}

#[test]
fn ports_of_the_agent_that_linkerds_proxy_intercepts_are_warned_of() {
    let warning = |ports: &str, list: &str| {
        format!(
            "Linkerd's proxy intercepts port {ports} of the sidecar, so that probes depend on the proxy and its policies: set \
             annotation config.linkerd.io/skip-inbound-ports to \"{list}\" on the pod template"
        )
    };
    assert_eq!(warnings(&in_linkerd(None)), [warning("15020", "15020")]);
    assert_eq!(
        warnings(&in_linkerd(Some("4567,4568"))),
        [warning("15020", "4567,4568,15020")]
    );
    for skipped in ["15020", "25, 15020", "15000-15099"] {
        assert_eq!(warnings(&in_linkerd(Some(skipped))), [""; 0], "{skipped}");
    }
    let enabled = |inject: &str| annotated(web(), json!({"linkerd.io/inject": inject}));
    assert_eq!(warnings(&enabled("enabled")), [warning("15020", "15020")]);
    assert_eq!(warnings(&enabled("disabled")), [""; 0]);
}

const SKIP_INBOUND: &str = "config.linkerd.io/skip-inbound-ports";
const EXCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/excludeInboundPorts";

/// The pod of `web`, which adds the agent's ports to those that Linkerd's proxy skips.
fn with_skipped_ports(listed: Option<&str>) -> Value {
    let mut annotations =
        json!({"probelet.dev/linkerd-skip-ports": "true", "linkerd.io/inject": "enabled"});
    if let Some(listed) = listed {
        annotations[SKIP_INBOUND] = listed.into();
    }
    annotated(web(), annotations)
}

#[test]
fn the_agents_ports_are_added_to_those_that_linkerds_proxy_skips() {
    for (listed, expected) in [
        (None, "15020"),
        (Some(""), "15020"),
        (Some("25,3306-3310"), "25,3306-3310,15020"),
        (Some("25, 15020"), "25, 15020"),
    ] {
        let document = with_skipped_ports(listed);
        let after = injected(&document);
        assert_eq!(after["metadata"]["annotations"][SKIP_INBOUND], expected);
        assert_eq!(warnings(&document), [""; 0]);
        let again = report(&after, Task::Inject, &settings());
        assert_eq!(again.verdict, Verdict::Unchanged("already injected".into()));
        assert_eq!(uninjected(&after), document);
    }
    let mut forward = with_skipped_ports(Some("25"));
    forward["metadata"]["annotations"]["probelet.dev/forward"] = "8001=15032".into();
    forward["metadata"]["annotations"]["status.sidecar.istio.io/port"] = "15920".into();
    let after = injected(&forward);
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(annotations[SKIP_INBOUND], "25,15920,15032");
    assert_eq!(
        annotations["traffic.sidecar.istio.io/excludeInboundPorts"],
        "15920,15032"
    );
    assert_eq!(uninjected(&after), forward);
}

#[test]
fn a_setting_for_all_pods_creates_the_list_that_linkerds_proxy_skips() {
    let mut all = settings();
    all.linkerd_skip_ports = true;
    let after = injected_with(&web(), &all);
    assert_eq!(after["metadata"]["annotations"][SKIP_INBOUND], "15020");
    assert_eq!(uninjected(&after), web());
    // Without the setting, injection removes its port again, and no other.
    let before = injected(&web());
    assert_eq!(injected_with(&after, &settings()), before);
    let mut edited = after;
    edited["metadata"]["annotations"][SKIP_INBOUND] = "15020,25".into();
    let after = injected_with(&edited, &settings());
    assert_eq!(after["metadata"]["annotations"][SKIP_INBOUND], "25");
}

#[test]
fn a_list_that_is_written_after_linkerds_injector_is_warned_of() {
    let mut document = in_linkerd(None);
    document["metadata"]["annotations"]["probelet.dev/linkerd-skip-ports"] = "true".into();
    assert_eq!(warnings(&document).len(), 1);
    assert!(warnings(&document)[0].starts_with("Linkerd's proxy intercepts port 15020"));
}

/// An injected pod as Istio's injector leaves it: it takes the probes for its own, because they point at its port.
fn then_in_istio(document: &Value) -> Value {
    let mut after = injected(document);
    let proxy = json!({
        "name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.29.0", "restartPolicy": "Always",
        "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local"],
        "ports": [{"name": "http-envoy-prom", "containerPort": 15090, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}},
        "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}},
        "securityContext": {"runAsUser": 1337},
    });
    let init = json!({"name": "istio-init", "image": "docker.io/istio/proxyv2:1.29.0"});
    let list = after["spec"]["initContainers"].as_array_mut();
    let list = list.expect("a list");
    list.insert(0, init);
    list.insert(1, proxy);
    after["metadata"]["annotations"]["sidecar.istio.io/status"] =
        r#"{"initContainers":["istio-init","istio-proxy"],"containers":null}"#.into();
    after
}

#[test]
fn a_pod_that_istio_injects_later_is_uninjected() {
    let mut document = web();
    document["spec"]["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": 8001}});
    let both = then_in_istio(&document);
    let report = report(&both, Task::Inject, &settings());
    let Verdict::Edited { edits, effect, .. } = report.verdict else {
        panic!("{report:?}");
    };
    assert_eq!(effect, Effect::Uninjected);
    let after = edited(&both, &edits);
    let containers = after["spec"]["initContainers"].as_array();
    let names: Vec<_> = containers
        .expect("a list")
        .iter()
        .map(|container| &container["name"])
        .collect();
    assert_eq!(names, ["istio-init", "istio-proxy"]);
    assert_eq!(after["spec"]["containers"], document["spec"]["containers"]);
    assert_eq!(
        after["metadata"]["annotations"]
            .as_object()
            .map(|all| all.len()),
        Some(1)
    );
    assert_eq!(
        report.warnings,
        ["Istio has injected the pod after probelet, and both agents listen on port 15020: probelet is removed, and kubelet \
          probes the app itself, which fails if Istio requires mutual TLS; set probelet.dev/inject or sidecar.istio.io/inject to \"false\", so that only one injects"
            .into()]
    );
    // The next call of the webhook, and `--uninject`, find Istio's pod.
    assert_eq!(
        skip_reason(&after),
        "Istio's injector has injected it, and Istio's agent runs its probes"
    );
    assert_eq!(uninjected(&both), after);
}

#[test]
fn probes_that_istio_has_rewritten_stay_when_probelet_is_removed() {
    let container = json!({"name": "db", "livenessProbe": get(8002)});
    let document = annotated(
        with_container(web(), container),
        json!({"probelet.dev/exclude-containers": "db"}),
    );
    let mut both = then_in_istio(&document);
    let of_istio = json!({"httpGet": {"path": "/app-health/db/livez", "port": 15020}});
    both["spec"]["containers"][1]["livenessProbe"] = of_istio.clone();
    let Verdict::Edited { edits, .. } = report(&both, Task::Inject, &settings()).verdict else {
        panic!("{both}");
    };
    let after = edited(&both, &edits);
    let containers = &after["spec"]["containers"];
    assert_eq!(containers[0], document["spec"]["containers"][0]);
    assert_eq!(containers[1]["livenessProbe"], of_istio);
}

#[test]
fn a_sidecar_on_another_port_than_istios_stays() {
    let mut other = settings();
    other.status_port = 15920;
    let both = injected_with(&web(), &other);
    let both = with_container(both, json!({"name": "istio-proxy"}));
    let report = report(&both, Task::Inject, &other);
    assert!(matches!(report.verdict, Verdict::Skipped(_)), "{report:?}");
    assert_eq!(
        report.warnings,
        ["the pod is still injected: run probelet-inject --uninject on its manifest to restore it".into()]
    );
}

/// The table of probers of Istio's agent, as Istio's injector adds it to `istio-proxy`.
fn with_istio_table(mut document: Value, table: &Value) -> Value {
    let mut lists = LISTS.iter().copied();
    let list = lists
        .find(|list| document["spec"][*list].to_string().contains("istio-proxy"))
        .expect("Istio's sidecar");
    let containers = document["spec"][list].as_array_mut().expect("a list");
    let mut containers = containers.iter_mut();
    let proxy = containers.find(|container| container["name"] == "istio-proxy");
    let variable = json!({"name": "ISTIO_KUBE_APP_PROBERS", "value": table.to_string()});
    proxy.expect("Istio's sidecar")["env"] = json!([variable]);
    document
}

/// The reason why uninjection refuses a document.
fn uninjection_refusal(document: &Value) -> String {
    refusal_reason_of(document, Task::Uninject)
}

fn points_at_sidecar(label: &str) -> String {
    format!(
        "{label} points at the sidecar, but annotation probelet.dev/original has no matching original: restore the probe \
         as it was before injection, or inject the original manifest again"
    )
}

#[test]
fn a_probe_that_istios_agent_sends_to_the_sidecar_keeps_the_sidecar() {
    let mut other = settings();
    other.status_port = 15920;
    let both = injected_with(&web(), &other);
    let mut both = with_container(both, json!({"name": "istio-proxy"}));
    let get = &mut both["spec"]["containers"][0]["livenessProbe"]["httpGet"];
    assert_eq!(get["port"], 15920);
    get["port"] = 15020.into();
    let table = json!({"/app-health/web/livez": {"httpGet": {"path": "/app-health/web/livez", "port": 15920}}});
    let reason = points_at_sidecar("livenessProbe of web");
    for both in [with_istio_table(both.clone(), &table), both] {
        assert_eq!(uninjection_refusal(&both), reason);
        let report = report(&both, Task::Inject, &other);
        assert!(matches!(report.verdict, Verdict::Skipped(_)), "{report:?}");
        let warning = format!("the pod is still injected, and cannot be restored: {reason}");
        assert_eq!(report.warnings, [warning.into()]);
    }
}

#[test]
fn a_forwarded_probe_that_istios_agent_sends_to_the_sidecar_keeps_the_sidecar() {
    let document = annotated(web(), json!({"probelet.dev/forward": "8001=15032"}));
    let mut other = settings();
    other.status_port = 15920;
    let both = injected_with(&document, &other);
    let mut both = with_container(both, json!({"name": "istio-proxy"}));
    both["spec"]["containers"][0]["livenessProbe"] =
        json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020}});
    let table = json!({"/app-health/web/livez": {"httpGet": {"path": "/foo", "port": 15032}}});
    let reason = points_at_sidecar("livenessProbe of web");
    assert_eq!(uninjection_refusal(&both), reason);
    assert_eq!(
        uninjection_refusal(&with_istio_table(both.clone(), &table)),
        reason
    );
    // The owner has pointed it at the app since injection.
    let table = json!({"/app-health/web/livez": {"httpGet": {"path": "/foo", "port": 8003}}});
    let both = with_istio_table(both, &table);
    assert_eq!(
        uninjected(&both)["spec"]["containers"][0],
        both["spec"]["containers"][0]
    );
}

#[test]
fn a_status_port_of_istio_that_the_pod_does_not_state_keeps_the_sidecar() {
    // `meshConfig.defaultConfig.statusPort`
    let mut both = then_in_istio(&web());
    let get = &mut both["spec"]["containers"][0]["livenessProbe"]["httpGet"];
    get["port"] = 15022.into();
    let reason = points_at_sidecar("livenessProbe of web");
    assert_eq!(refusal_reason(&both), reason);
    assert_eq!(uninjection_refusal(&both), reason);
}

/// A pod with a rewritten and a forwarded probe that Istio injects later.
fn forwarded_then_in_istio(scheme: Option<&str>) -> (Value, Value) {
    let mut forwarded = json!({"httpGet": {
        "path": "/live", "port": 8002, "httpHeaders": [{"name": "Host", "value": "web"}],
    }});
    if let Some(scheme) = scheme {
        forwarded["httpGet"]["scheme"] = scheme.into();
    }
    let container = json!({"name": "web", "livenessProbe": forwarded, "readinessProbe": get(8001)});
    let document = annotated(
        pod(json!([container])),
        json!({"probelet.dev/forward": "8002=15032"}),
    );
    let mut both = then_in_istio(&document);
    let get = &mut both["spec"]["containers"][0]["livenessProbe"]["httpGet"];
    assert_eq!(get["port"], 15032);
    get["port"] = 15020.into();
    get["path"] = "/app-health/web/livez".into();
    if scheme.is_some() {
        get["scheme"] = "HTTP".into();
    }
    (document, both)
}

#[test]
fn a_forwarded_probe_that_istio_has_rewritten_is_restored() {
    for scheme in [None, Some("HTTP"), Some("HTTPS")] {
        let (document, both) = forwarded_then_in_istio(scheme);
        let mut get = json!({"path": "/live", "port": 15032});
        if let Some(scheme) = scheme {
            get["scheme"] = scheme.into();
        }
        let table = json!({"/app-health/web/livez": {"httpGet": get, "timeoutSeconds": 1}});
        let both = with_istio_table(both, &table);
        let after = injected(&both);
        assert_eq!(after["spec"]["containers"], document["spec"]["containers"]);
        assert!(!after.to_string().contains("15032=127.0.0.1"), "{after}");
        assert_eq!(uninjected(&both), after);
    }
}

#[test]
fn a_forwarded_probe_of_an_unknown_path_keeps_the_sidecar() {
    let (_, both) = forwarded_then_in_istio(None);
    let reason = points_at_sidecar("livenessProbe of web");
    assert_eq!(refusal_reason(&both), reason);
    assert_eq!(uninjection_refusal(&both), reason);
    // The table of another probe.
    let other = json!({"/app-health/web/readyz": {"httpGet": {"path": "/foo", "port": 15032}}});
    assert_eq!(refusal_reason(&with_istio_table(both, &other)), reason);
}

#[test]
fn a_probe_that_istio_sends_to_the_app_is_left_to_istio() {
    // The owner of the injected manifest has pointed the probe at the app, and Istio has rewritten it.
    let both = then_in_istio(&web());
    let probe = both["spec"]["containers"][0]["livenessProbe"].clone();
    let table = json!({"/app-health/web/livez": {"httpGet": {"path": "/new", "port": 8003}}});
    let after = injected(&with_istio_table(both, &table));
    assert_eq!(after["spec"]["containers"][0]["livenessProbe"], probe);
}

/// A pod whose container `other` an earlier version injected although it is the sidecar of a mesh.
fn with_injected_sidecar(name: &str) -> (Value, Value) {
    let rename = |document: &Value| -> Value {
        let text = document.to_string().replace("other", name);
        serde_json::from_str(&text).expect("JSON")
    };
    let other = json!({"name": "other", "livenessProbe": get(4191), "readinessProbe": {"tcpSocket": {"port": 4143}}});
    let document = with_container(web(), other);
    (rename(&document), rename(&injected(&document)))
}

#[test]
fn the_probes_of_a_meshs_sidecar_that_an_earlier_version_injected_are_restored() {
    let (original, before) = with_injected_sidecar("linkerd-proxy");
    let after = injected(&before);
    assert_eq!(
        after["spec"]["containers"][1],
        original["spec"]["containers"][1]
    );
    assert_eq!(
        table(&after),
        r#"{"/app-health/web/livez":{"httpGet":{"path":"/foo","port":8001}}}"#
    );
    assert_eq!(
        effect_of(&before),
        "updated: probers, linkerd-proxy livez restored, linkerd-proxy readyz restored"
    );
    assert_eq!(uninjected(&after), original);
    for name in [
        "linkerd-proxy",
        "kuma-sidecar",
        "consul-dataplane",
        "nginx-mesh-sidecar",
        "istio-proxy",
    ] {
        let (original, before) = with_injected_sidecar(name);
        assert_eq!(uninjected(&before), original, "{name}");
    }
}

#[test]
fn a_list_of_ports_without_quotes_is_retained() {
    let mut document = with_skipped_ports(None);
    let annotations = &mut document["metadata"]["annotations"];
    annotations[SKIP_INBOUND] = 3306.into();
    annotations["probelet.dev/forward"] = "8001=15032".into();
    annotations[EXCLUDE_INBOUND] = 25.into();
    let after = injected(&document);
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(annotations[SKIP_INBOUND], "3306,15020,15032");
    assert_eq!(annotations[EXCLUDE_INBOUND], "25,15032");
    assert_eq!(uninjected(&after), document);
    for name in [SKIP_INBOUND, EXCLUDE_INBOUND] {
        let warnings = warnings(&document);
        let is_of = |warning: &&String| warning.contains(name) && warning.contains("in quotes");
        assert_eq!(warnings.iter().filter(is_of).count(), 1, "{warnings:?}");
    }
    let mut proxied = in_linkerd(None);
    proxied["metadata"]["annotations"][SKIP_INBOUND] = 3306.into();
    let warnings = warnings(&proxied);
    let is_advice = |warning: &String| warning.contains("to \"3306,15020\"");
    assert!(warnings.iter().any(is_advice), "{warnings:?}");
}

#[test]
fn a_list_of_ports_that_is_no_text_is_left_unchanged() {
    for list in [json!([3306]), json!({"a": 1})] {
        let mut document = with_skipped_ports(None);
        document["metadata"]["annotations"][SKIP_INBOUND] = list.clone();
        let after = injected(&document);
        assert_eq!(after["metadata"]["annotations"][SKIP_INBOUND], list);
        assert_eq!(uninjected(&after), document);
    }
}

#[test]
fn ports_that_the_owner_listed_stay_when_somebody_changes_the_list() {
    let mut document = with_skipped_ports(Some("25,15020"));
    document["metadata"]["annotations"]["probelet.dev/forward"] = "8001=15032".into();
    let mut after = injected(&document);
    let list = &mut after["metadata"]["annotations"][SKIP_INBOUND];
    assert_eq!(*list, "25,15020,15032");
    *list = "25,15020,15032,99".into();
    let list = &injected(&after)["metadata"]["annotations"][SKIP_INBOUND];
    assert_eq!(*list, "25,15020,99,15032");
    let list = &uninjected(&after)["metadata"]["annotations"][SKIP_INBOUND];
    assert_eq!(*list, "25,15020,99");
}

#[test]
fn a_probe_that_another_mesh_sends_to_the_sidecar_keeps_the_sidecar() {
    let document = annotated(web(), json!({"probelet.dev/forward": "8002=15032"}));
    let forwarded = pod(json!([{"name": "web", "livenessProbe": get(8002)}]));
    let forwarded = annotated(forwarded, json!({"probelet.dev/forward": "8002=15032"}));
    for document in [document, forwarded] {
        let mut both = with_container(injected(&document), json!({"name": "kuma-sidecar"}));
        let injected_probe = both["spec"]["containers"][0]["livenessProbe"].clone();
        // A virtual probe of Kuma.
        let get = &injected_probe["httpGet"];
        let path = format!("/{}{}", get["port"], get["path"].as_str().expect("a path"));
        both["spec"]["containers"][0]["livenessProbe"]["httpGet"] =
            json!({"path": path, "port": 9000});
        let reason = "livenessProbe of web may reach the sidecar through Kuma's, and does not match annotation \
                      probelet.dev/original: restore the probe as it was before injection, or inject the original manifest \
                      again";
        assert_eq!(uninjection_refusal(&both), reason);
        let warning = format!("the pod is still injected, and cannot be restored: {reason}");
        assert!(warnings(&both).contains(&warning), "{:?}", warnings(&both));
        // Restored by hand, and as injection left it.
        let original = &document["spec"]["containers"][0];
        for probe in [&original["livenessProbe"], &injected_probe] {
            both["spec"]["containers"][0]["livenessProbe"] = probe.clone();
            assert_eq!(uninjected(&both)["spec"]["containers"][0], *original);
        }
    }
}
