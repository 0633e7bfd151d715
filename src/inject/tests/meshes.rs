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
          probes the app itself; set probelet.dev/inject or sidecar.istio.io/inject to \"false\", so that only one injects"
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
