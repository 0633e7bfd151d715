//! Pods that are skipped, and pods that are refused.

use super::*;
use crate::limits;

fn get(port: u16) -> Value {
    json!({"httpGet": {"path": "/foo", "port": port}})
}

fn web() -> Value {
    probed(get(8001))
}

#[test]
fn a_pod_without_probes() {
    assert_eq!(skip_reason(&pod(json!([{"name": "web"}]))), "no probes");
    let sleep = json!({"preStop": {"sleep": {"seconds": 1}}});
    assert_eq!(
        skip_reason(&pod(json!([{"name": "web", "lifecycle": sleep}]))),
        "no probes"
    );
}

#[test]
fn a_pod_with_only_exec_probes() {
    assert_eq!(
        skip_reason(&probed(json!({"exec": {"command": ["true"]}}))),
        "only exec probes"
    );
}

#[test]
fn a_pod_without_a_probe_that_can_be_rewritten() {
    let document = probed(json!({"httpGet": {"port": 80, "host": "a.example"}}));
    assert_eq!(skip_reason(&document), "no probe can be rewritten");
    assert_eq!(warnings(&document).len(), 1);
}

#[test]
fn a_pod_that_is_not_injected_may_have_large_annotations() {
    let mut document = probed(json!({"exec": {"command": ["true"]}}));
    document["metadata"]["annotations"] = json!({"notes": "x".repeat(limits::ANNOTATIONS_BYTES)});
    assert_eq!(skip_reason(&document), "only exec probes");
    document["spec"]["containers"][0]["readinessProbe"] = get(8001);
    assert!(refusal_reason(&document).starts_with("its annotations have 262149 bytes, "));
}

#[test]
fn a_pod_on_the_host_network() {
    let mut document = web();
    document["spec"]["hostNetwork"] = true.into();
    assert_eq!(
        skip_reason(&document),
        "spec.hostNetwork is true: the agent would listen on ports of the node"
    );
}

#[test]
fn a_mirror_pod() {
    assert_eq!(
        skip_reason(&annotated(
            web(),
            json!({"kubernetes.io/config.mirror": "0"})
        )),
        "it mirrors a static pod: inject the manifest of the static pod"
    );
}

#[test]
fn a_virtual_machine_of_kubevirt() {
    let mut document = web();
    document["metadata"]["labels"] = json!({"kubevirt.io": "virt-launcher"});
    assert_eq!(
        skip_reason(&document),
        "KubeVirt's virtual machine receives the connections to the pod, those to the agent, too"
    );
    // Components of KubeVirt serve their ports themselves.
    document["metadata"]["labels"] = json!({"kubevirt.io": "virt-api"});
    assert_eq!(effect_of(&document), "injected: livez");
}

#[test]
fn a_pod_for_windows() {
    let mut document = web();
    document["spec"]["os"] = json!({"name": "windows"});
    assert_eq!(
        skip_reason(&document),
        "spec.os.name is windows: the agent runs on Linux only"
    );
}

#[test]
fn a_pod_for_windows_nodes() {
    let reason = "it requires nodes with kubernetes.io/os windows: the agent runs on Linux only";
    let mut selected = web();
    selected["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"});
    assert_eq!(skip_reason(&selected), reason);
    let term = |label: &str, operator: &str| json!({"matchExpressions": [{"key": label, "operator": operator, "values": ["windows"]}]});
    let affine = |terms: Value| {
        let mut document = web();
        document["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            ["nodeSelectorTerms"] = terms;
        document
    };
    let windows = term("kubernetes.io/os", "In");
    let beta = term("beta.kubernetes.io/os", "In");
    assert_eq!(skip_reason(&affine(json!([windows, beta]))), reason);
    // A node has to match one of the terms only.
    for other in [term("kubernetes.io/os", "NotIn"), term("node", "In")] {
        let document = affine(json!([windows, other]));
        assert!(matches!(
            report(&document, Task::Inject, &settings()).verdict,
            Verdict::Edited { .. }
        ));
    }
}

#[test]
fn a_pod_that_istio_has_injected() {
    let reason = "Istio's injector has injected it, and Istio's agent runs its probes";
    let marked = annotated(web(), json!({"sidecar.istio.io/status": "{}"}));
    assert_eq!(skip_reason(&marked), reason);
    for list in LISTS {
        let mut document = web();
        let mut items = document["spec"][list]
            .as_array()
            .cloned()
            .unwrap_or_default();
        items.push(json!({"name": "istio-proxy"}));
        document["spec"][list] = items.into();
        assert_eq!(skip_reason(&document), reason);
    }
}

#[test]
fn a_pod_with_a_manually_added_agent() {
    for agent in [
        json!({"name": "probelet", "args": ["run"]}),
        json!({"name": "probelet", "env": [{"name": "ISTIO_KUBE_APP_PROBERS", "value": "{}"}]}),
    ] {
        let document = pod(json!([{"name": "web", "livenessProbe": get(80)}, agent]));
        assert_eq!(
            skip_reason(&document),
            "it has the agent in a container that probelet-inject did not add: remove that container for probelet-inject to \
             add it"
        );
    }
}

#[test]
fn a_pod_with_another_container_of_the_name_of_the_sidecar() {
    for other in [
        json!({"name": "probelet"}),
        json!({"name": "probelet", "args": ["serve"], "livenessProbe": get(80)}),
    ] {
        let document = pod(json!([{"name": "web", "livenessProbe": get(80)}, other]));
        assert_eq!(
            skip_reason(&document),
            "it has a container named probelet that is not the agent: rename that container"
        );
    }
}

#[test]
fn a_pod_with_manually_rewritten_probes() {
    let taken = json!({"httpGet": {"path": "/app-health/web/livez", "port": 15020}});
    let document = pod(json!([{"name": "web", "livenessProbe": taken, "readinessProbe": get(80)}]));
    assert_eq!(
        skip_reason(&document),
        "livenessProbe of web points at a status port, but annotation probelet.dev/original is missing: inject the original manifest"
    );
}

#[test]
fn disabled_rewriting() {
    let mut off = settings();
    off.rewrite = false;
    let report = report(&web(), Task::Inject, &off);
    assert_eq!(
        report.verdict,
        Verdict::Skipped("rewriting is disabled".into())
    );
}

#[test]
fn a_status_port_that_a_container_declares() {
    let ports = json!([{"containerPort": 15020}]);
    let document = pod(json!([
        {"name": "web", "livenessProbe": get(80)}, {"name": "other", "ports": ports},
    ]));
    assert_eq!(
        refusal_reason(&document),
        "container other declares port 15020, which the agent needs: set another port in annotation \
         status.sidecar.istio.io/port, such as 15920"
    );
    let moved = annotated(document, json!({"status.sidecar.istio.io/port": "15920"}));
    assert_eq!(effect_of(&moved), "injected: livez");
}

#[test]
fn a_status_port_that_a_probe_uses() {
    assert_eq!(
        refusal_reason(&probed(get(15020))),
        "livenessProbe of web probes port 15020, which is the agent's status port: set another port in annotation \
         status.sidecar.istio.io/port, such as 15920"
    );
}

#[test]
fn a_forward_port_that_a_container_declares() {
    let document = pod(json!([
        {"name": "web", "livenessProbe": get(8002), "ports": [{"containerPort": 15032}]},
    ]));
    assert_eq!(
        refusal_reason(&annotated(
            document,
            json!({"probelet.dev/forward": "8002=15032"})
        )),
        "container web declares port 15032, which the agent needs: set another port in annotation \
         probelet.dev/forward, such as 8002=15932"
    );
}

#[test]
fn a_volume_with_the_name_of_the_injected_one() {
    for name in ["probelet-tls", "probelet-no-token"] {
        let mut document = web();
        document["spec"]["volumes"] = json!([{"name": name, "projected": {}}]);
        assert_eq!(
            refusal_reason(&document),
            format!("spec.volumes already has a volume {name}: rename that volume")
        );
    }
}

#[test]
fn two_containers_with_the_same_name() {
    let container = json!({"name": "web", "livenessProbe": get(80)});
    assert_eq!(
        refusal_reason(&pod(json!([container, container]))),
        "two containers have the name web: give each a unique name"
    );
}

#[test]
fn a_job_that_would_never_complete() {
    for (kind, spec) in [
        ("Job", json!({"template": {"spec": web()["spec"]}})),
        (
            "CronJob",
            json!({"jobTemplate": {"spec": {"template": {"spec": web()["spec"]}}}}),
        ),
    ] {
        let document = json!({"apiVersion": "batch/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        assert_eq!(effect_of(&document), "injected: livez");
        let mut ordinary = settings();
        ordinary.sidecar = Sidecar::Container;
        let report = report(&document, Task::Inject, &ordinary);
        let Verdict::Refused(reason) = report.verdict else {
            panic!("{:?}", report.verdict);
        };
        assert_eq!(
            &*reason,
            "an ordinary sidecar would keep the pod from completing: set annotation probelet.dev/sidecar to native \
             (Kubernetes 1.29 or later)"
        );
    }
}

#[test]
fn a_pod_of_a_job_is_recognised_without_the_job() {
    let mut ordinary = settings();
    ordinary.sidecar = Sidecar::Container;
    for (policy, is_refused) in [("Never", true), ("OnFailure", true), ("Always", false)] {
        let mut document = web();
        document["spec"]["restartPolicy"] = policy.into();
        assert_eq!(effect_of(&document), "injected: livez");
        let verdict = report(&document, Task::Inject, &ordinary).verdict;
        assert_eq!(
            matches!(verdict, Verdict::Refused(_)),
            is_refused,
            "{policy}"
        );
    }
}

#[test]
fn a_container_without_a_name_is_warned_of() {
    let document = pod(json!([{"livenessProbe": get(80)}]));
    assert_eq!(skip_reason(&document), "no probes");
    assert_eq!(
        warnings(&document),
        ["a container has no name, so its probes are not rewritten: set its name"]
    );
}

#[test]
fn settings_with_which_the_agent_would_not_start() {
    let header = json!({"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": "1"}]}});
    assert_eq!(
        refusal_reason(&probed(header)),
        "its probes: prober \"/app-health/web/livez\": httpHeaders.name is \"a b\", but a header's \
         name must be a token: write letters, digits and '-', such as X-Probe"
    );
    let path = probed(json!({"httpGet": {"port": 80, "path": 5}}));
    assert!(refusal_reason(&path).contains("httpGet.path is 5, but must be a string"));
}

#[test]
fn more_probes_than_the_agent_supports() {
    let containers = |count: usize| -> Value {
        let one = |index| json!({"name": format!("c{index}"), "livenessProbe": get(80)});
        pod((0..count).map(one).collect())
    };
    assert!(effect_of(&containers(64)).starts_with("injected: c0 livez; c1 livez"));
    assert_eq!(
        refusal_reason(&containers(65)),
        "its probes: there are 65 probers, but at most 64 are supported: leave out containers that kubelet can probe \
         itself (annotation probelet.dev/exclude-containers)"
    );
}

/// A probe with this many headers, each with a value of `bytes`.
fn with_headers(count: usize, bytes: usize) -> Value {
    let header = json!({"name": "X-Test", "value": "x".repeat(bytes)});
    let mut probe = get(80);
    probe["httpGet"]["httpHeaders"] = vec![header; count].into();
    probe
}

#[test]
fn a_probe_whose_request_has_too_many_fields_for_the_agent() {
    // kubelet adds Host, User-Agent, Accept and Connection.
    assert_eq!(effect_of(&probed(with_headers(96, 1))), "injected: livez");
    assert_eq!(
        refusal_reason(&probed(with_headers(97, 1))),
        "kubelet's request for livenessProbe of web has 1227 bytes and 101 header fields, and the agent's limits are \
         16384 and 100: shorten httpHeaders, or leave out the container (annotation probelet.dev/exclude-containers)"
    );
    let mut given = with_headers(96, 1);
    let headers = given["httpGet"]["httpHeaders"]
        .as_array_mut()
        .expect("a list");
    headers.push(json!({"name": "host", "value": "a.example"}));
    headers.push(json!({"name": "User-Agent", "value": "x"}));
    headers.push(json!({"name": "accept", "value": "x"}));
    assert_eq!(effect_of(&probed(given)), "injected: livez");
}

#[test]
fn a_probe_whose_request_is_too_long_for_the_agent() {
    let fits = limits::REQUEST_HEAD_BYTES - 170;
    assert_eq!(effect_of(&probed(with_headers(1, fits))), "injected: livez");
    let reason = refusal_reason(&probed(with_headers(1, fits + 1)));
    assert!(
        reason.starts_with(
            "kubelet's request for livenessProbe of web has 16385 bytes and 5 header fields, "
        ),
        "{reason}"
    );
    // kubelet reaches a forwarded port with any head, and an excluded one itself.
    for annotation in ["probelet.dev/forward", "probelet.dev/exclude-ports"] {
        let value = if annotation.ends_with("forward") {
            "80=15032"
        } else {
            "80"
        };
        let mut document = probed(with_headers(1, fits + 1));
        document["spec"]["containers"][0]["readinessProbe"] = get(81);
        let document = annotated(document, json!({annotation: value}));
        assert!(effect_of(&document).starts_with("injected: readyz"));
    }
}

#[test]
fn a_table_that_the_kernel_does_not_pass_to_the_agent() {
    // Paths are in the table, and not in the requests of kubelet.
    let with_path =
        |bytes: usize| probed(json!({"httpGet": {"path": "x".repeat(bytes), "port": 80}}));
    let rest = r#"{"/app-health/web/livez":{"httpGet":{"path":"","port":80}}}"#.len();
    let most = (128 << 10) - "ISTIO_KUBE_APP_PROBERS=\0".len();
    assert_eq!(effect_of(&with_path(most - rest)), "injected: livez");
    assert_eq!(
        refusal_reason(&with_path(most - rest + 1)),
        "the table of its probes has 131049 bytes, and the kernel passes at most 131048 in ISTIO_KUBE_APP_PROBERS: shorten \
         paths and httpHeaders, or leave out containers (annotation probelet.dev/exclude-containers)"
    );
}

#[test]
fn a_pod_that_etcd_does_not_accept_with_the_sidecar() {
    let with_env = |bytes: usize| {
        let mut document = web();
        document["spec"]["containers"][0]["env"] =
            json!([{"name": "A", "value": "x".repeat(bytes)}]);
        document
    };
    assert_eq!(effect_of(&with_env(1_569_000)), "injected: livez");
    let reason = refusal_reason(&with_env(1_572_500));
    assert!(
        reason.starts_with("with the sidecar and probelet.dev/original it would have 157")
            && reason.ends_with("bytes, and etcd accepts 1572864: remove or shorten parts of it"),
        "{reason}"
    );
}

#[test]
fn source_and_target_of_different_families() {
    let annotations =
        json!({"probelet.dev/source-ip": "127.0.0.6", "probelet.dev/target-ip": "::1"});
    assert_eq!(
        refusal_reason(&annotated(web(), annotations)),
        "annotation probelet.dev/source-ip 127.0.0.6 cannot connect to annotation probelet.dev/target-ip ::1: write \
         two IPv4 or two IPv6 addresses"
    );
    let of_pod = json!({"probelet.dev/source-ip": "::6"});
    assert_eq!(effect_of(&annotated(web(), of_pod)), "injected: livez");
}

#[test]
fn fields_of_a_wrong_type() {
    for (keys, value, reason) in [
        (
            ["spec", "initContainers"],
            json!({"name": "db"}),
            "spec.initContainers is not a list: write a list",
        ),
        (
            ["spec", "volumes"],
            json!("x"),
            "spec.volumes is not a list: write a list",
        ),
        (
            ["metadata", "annotations"],
            json!("x"),
            "metadata.annotations is not a mapping: write a mapping",
        ),
    ] {
        let mut document = web();
        document[keys[0]][keys[1]] = value;
        assert_eq!(refusal_reason(&document), reason);
    }
    let mut document = web();
    document["metadata"] = 3.into();
    assert_eq!(
        refusal_reason(&document),
        "metadata is not a mapping: write a mapping"
    );
}

#[test]
fn ports_that_the_agent_may_not_open_are_refused() {
    let pod = |annotation: &str, value: &str| {
        let container = json!({
            "name": "web", "image": "w", "livenessProbe": {"httpGet": {"path": "/foo", "port": 8002}},
        });
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "annotations": {annotation: value}},
            "spec": {"containers": [container]},
        })
    };
    let mut status = pod("status.sidecar.istio.io/port", "80");
    let reason = refusal_reason(&status);
    assert_eq!(
        reason,
        "the agent would listen on port 80, which the agent's user may not open on nodes with containerd 1: \
         set another port in annotation status.sidecar.istio.io/port, such as 15920"
    );
    let reason = refusal_reason(&pod("probelet.dev/forward", "8002=443"));
    assert!(
        reason.contains("port 443") && reason.ends_with("such as 8002=15932"),
        "{reason}"
    );
    status["spec"]["securityContext"] =
        json!({"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]});
    assert_eq!(effect_of(&status), "injected: livez");
}

#[test]
fn a_range_of_local_ports_that_the_agents_probes_would_use_up() {
    let with_range = |range: &str, periods: [Value; 2]| {
        let mut document = probed(get(8001));
        let range = json!({"name": "net.ipv4.ip_local_port_range", "value": range});
        document["spec"]["securityContext"] = json!({"sysctls": [range]});
        let container = &mut document["spec"]["containers"][0];
        let [liveness, readiness] = periods;
        container["livenessProbe"] = get(8001);
        container["livenessProbe"]["periodSeconds"] = liveness;
        container["readinessProbe"] = get(8001);
        container["readinessProbe"]["periodSeconds"] = readiness;
        document
    };
    // 60 s of connections once a second and once every 7 s, and one of each at the moment.
    for (range, periods, needed) in [
        ("40000 40069", [json!(1), json!(7)], Some(71)),
        ("40000\t40070", [json!(1), json!(7)], None),
        ("40000 40012", [json!(null), json!(0)], Some(14)),
        ("40000 40013", [json!(null), json!(0)], None),
        ("1024 65535", [json!(1), json!(1)], None),
        ("a range", [json!(1), json!(1)], None),
    ] {
        let document = with_range(range, periods);
        let Some(needed) = needed else {
            assert_eq!(warnings(&document), [""; 0], "{range}");
            continue;
        };
        let expected = format!(
            "sysctl net.ipv4.ip_local_port_range has {} ports, and the agent's probes of port 8001 need {needed}, because each port \
             is free again after 60 s: widen the range, or raise periodSeconds",
            needed - 1
        );
        assert_eq!(refusal_reason(&document), expected);
    }
}

#[test]
fn reserved_ports_are_not_of_the_range() {
    let with = |range: Option<&str>, reserved: &str| {
        let sysctl =
            |name: &str, value: &str| json!({"name": format!("net.ipv4.{name}"), "value": value});
        let reserved = sysctl("ip_local_reserved_ports", reserved);
        let range = range.map(|range| sysctl("ip_local_port_range", range));
        let mut document = probed(get(8001));
        document["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] = 1.into();
        let sysctls: Vec<Value> = range.into_iter().chain([reserved]).collect();
        document["spec"]["securityContext"] = json!({"sysctls": sysctls});
        document
    };
    for (range, reserved, left) in [
        (None, "32768-60999", Some(0)),
        (None, "1-40000, 39000-60939", Some(60)),
        (None, "1-40000,39000-60938", None),
        (None, "15000-16000,32768-40000", None),
        (Some("40000 40999"), "40000-40980", Some(19)),
        (Some("40000 40060"), "40000", Some(60)),
        (Some("40000 40060"), "39999,40061-60000,65536,a,-,9-1", None),
        (None, "", None),
    ] {
        let document = with(range, reserved);
        let Some(left) = left else {
            assert_eq!(warnings(&document), [""; 0], "{reserved}");
            continue;
        };
        let expected = format!(
            "sysctl net.ipv4.ip_local_reserved_ports leaves {left} ports of net.ipv4.ip_local_port_range, and the agent's probes of \
             port 8001 need 61, because each port is free again after 60 s: widen the range, reserve fewer ports, or raise \
             periodSeconds"
        );
        assert_eq!(refusal_reason(&document), expected);
    }
}

#[test]
fn ports_of_the_range_count_for_each_port_of_the_app() {
    let range = json!({"name": "net.ipv4.ip_local_port_range", "value": "40000 40060"});
    let mut document = probed(get(8001));
    document["spec"]["securityContext"] = json!({"sysctls": [range]});
    let mut every_second = get(8001);
    every_second["periodSeconds"] = 1.into();
    document["spec"]["containers"][0]["readinessProbe"] = every_second.clone();
    document["spec"]["containers"][0]["livenessProbe"] = every_second.clone();
    document["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"] = 8002.into();
    let hook = json!({"preStop": {"httpGet": {"path": "/drain", "port": 8001}}});
    document["spec"]["containers"][0]["lifecycle"] = hook;
    assert_eq!(warnings(&document), [""; 0]);
    // A forward connects to the app as well.
    let forwarded = annotated(
        document.clone(),
        json!({"probelet.dev/forward": "8001=15032"}),
    );
    assert_eq!(warnings(&forwarded), [""; 0]);
    document["spec"]["containers"][0]["startupProbe"] = every_second;
    let document = annotated(document, json!({"probelet.dev/forward": "8001=15032"}));
    assert!(refusal_reason(&document).contains("port 8001 need 122"));
}
