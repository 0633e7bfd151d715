//! Warnings of pods that are injected.

use super::*;

fn web() -> Value {
    probed(json!({"httpGet": {"path": "/foo", "port": 8001}}))
}

#[test]
fn an_selinux_type_that_the_sidecar_inherits_is_a_warning() {
    let mut document = probed(json!({"httpGet": {"port": 8080}}));
    for (options, is_warned) in [
        (json!({"type": "web.process"}), true),
        (json!({"type": "container_t"}), false),
        (json!({"type": "", "level": "s0:c1,c2"}), false),
        (json!(null), false),
    ] {
        document["spec"]["securityContext"] = json!({"seLinuxOptions": options});
        let expected = "the sidecar inherits the SELinux type web.process of spec.securityContext, whose policy may forbid it \
                        to start, to listen or to connect: move seLinuxOptions to the containers that need the type";
        let expected: &[&str] = if is_warned { &[expected] } else { &[] };
        assert_eq!(warnings(&document), expected);
    }
}

#[test]
fn a_container_of_the_agents_user_is_warned_of_where_traffic_is_intercepted() {
    let warning = "container web runs as user 1337, which traffic rules of proxies leave out, so that they leave out its connections \
                   as well as those from source-ip: set another runAsUser";
    let source = json!({"probelet.dev/source-ip": "127.0.0.6"});
    for (of_pod, of_container, is_warned) in [
        (json!(1337), json!(null), true),
        (json!(1000), json!(1337), true),
        (json!(1337), json!(1000), false),
        (json!(null), json!(null), false),
    ] {
        let mut document = annotated(web(), source.clone());
        document["spec"]["securityContext"] = json!({"runAsUser": of_pod});
        document["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": of_container});
        let expected: &[&str] = if is_warned { &[warning] } else { &[] };
        assert_eq!(warnings(&document), expected, "{of_pod} {of_container}");
    }
    let mut document = web();
    document["spec"]["securityContext"] = json!({"runAsUser": 1337});
    assert_eq!(warnings(&document), [""; 0]);
}

#[test]
fn a_pod_for_nodes_without_the_agents_image_is_warned_of() {
    let affine = |label: &str, values: &[&str]| {
        let mut document = web();
        let expression = json!({"key": label, "operator": "In", "values": values});
        document["spec"]["affinity"] = json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [expression]}],
            },
        }});
        document
    };
    let architecture = "the pod may run on nodes with kubernetes.io/arch s390x, for which there is no image of the agent \
                        (only for amd64 and arm64): set probelet.dev/inject to \"false\", or probelet.dev/image to an image \
                        for s390x";
    let windows = "the pod may run on nodes with kubernetes.io/os windows, where the agent, which runs on Linux only, keeps \
                   the pod from starting: set probelet.dev/inject to \"false\"";
    for (label, values, expected) in [
        ("kubernetes.io/arch", ["amd64", "s390x"], Some(architecture)),
        ("kubernetes.io/arch", ["amd64", "arm64"], None),
        ("kubernetes.io/os", ["linux", "windows"], Some(windows)),
        ("kubernetes.io/os", ["linux", "linux"], None),
        ("node", ["amd64", "s390x"], None),
    ] {
        let mut document = affine(label, &values);
        let expected: Vec<&str> = expected.into_iter().collect();
        assert_eq!(warnings(&document), expected);
        // The scheduler requires both.
        document["spec"]["nodeSelector"] = json!({label: values[0]});
        assert_eq!(warnings(&document), [""; 0]);
    }
    let mut selected = web();
    selected["spec"]["nodeSelector"] = json!({"kubernetes.io/arch": "s390x"});
    assert_eq!(warnings(&selected), [architecture]);
    let mut own_image = annotated(
        web(),
        json!({"probelet.dev/image": "registry/probelet:s390x"}),
    );
    own_image["spec"]["nodeSelector"] = json!({"kubernetes.io/arch": "s390x"});
    assert_eq!(warnings(&own_image), [""; 0]);
}

#[test]
fn a_port_with_the_name_of_the_status_port_is_warned_of() {
    let with_ports = |ports: Value| {
        let mut document = web();
        document["spec"]["containers"][0]["ports"] = ports;
        warnings(&document)
    };
    let warning = |effect: &str| {
        format!(
            "a port of the pod has the name probelet, so that {effect}: rename that port, or select the sidecar's port by \
             its number"
        )
    };
    let one = json!([{"name": "probelet", "containerPort": 1}]);
    assert_eq!(
        with_ports(one),
        [warning("the sidecar's port has the name probelet-status")]
    );
    let both = json!([
        {"name": "probelet", "containerPort": 1}, {"name": "probelet-status", "containerPort": 2},
    ]);
    assert_eq!(
        with_ports(both),
        [warning("the sidecar's port has no name")]
    );
}

#[test]
fn a_probe_over_tls_or_grpc_with_the_default_timeout_is_warned_of() {
    let warning = |probes: &str| {
        format!(
            "{probes} may exceed 1 s on a busy node, because TLS and gRPC need a handshake first, and kubelet then counts a \
             failure of a healthy app: set timeoutSeconds, or annotation probelet.dev/min-timeout-seconds, to 2 or more"
        )
    };
    let https = json!({"httpGet": {"port": 8443, "scheme": "HTTPS"}});
    let grpc = json!({"grpc": {"port": 50051}, "timeoutSeconds": 1});
    for probe in [&https, &grpc] {
        let document = probed(probe.clone());
        assert_eq!(warnings(&document), [warning("livenessProbe of web")]);
        assert_eq!(
            warnings(&injected(&document)),
            [warning("livenessProbe of web")]
        );
        let mut longer = probe.clone();
        longer["timeoutSeconds"] = 2.into();
        assert_eq!(warnings(&probed(longer)), [""; 0]);
    }
    let all = json!([{"name": "web", "livenessProbe": https, "readinessProbe": grpc, "startupProbe": https}]);
    assert_eq!(
        warnings(&pod(all)),
        [warning("livenessProbe of web and 2 more")]
    );
    let hook = json!([{"name": "web", "lifecycle": {"preStop": https}}]);
    assert_eq!(warnings(&pod(hook)), [""; 0]);
    let excluded = annotated(probed(https), json!({"probelet.dev/exclude-ports": "8443"}));
    assert_eq!(warnings(&excluded), [""; 0]);
}

#[test]
fn files_that_the_apps_user_loses_are_warned_of() {
    let token = json!({"serviceAccountToken": {"path": "token"}});
    let key = json!({"podCertificate": {"signerName": "example.com/s", "keyType": "ED25519"}});
    let root = "kubelet gives the private files of volume files to root, with the volume's defaultMode in place of 0600, because the \
                sidecar does not run as user ";
    let cure = "set defaultMode to 0600";
    let same = "set annotation probelet.dev/run-as-user to \"1000\"";
    let grouped = |user: u32| json!({"runAsUser": user, "fsGroup": 5});
    let user = |user: u32| json!({"runAsUser": user});
    let own = json!({"probelet.dev/run-as-user": "2000"});
    let inherited = json!({"probelet.dev/run-as-user": "none"});
    for (of_pod, of_container, annotations, source, mode, expected) in [
        // The sidecar has the app's user.
        (user(1000), json!({}), json!({}), &key, None, None),
        (user(1000), json!({}), inherited.clone(), &key, None, None),
        // The sidecar has a user of its own.
        (
            user(1000),
            json!({}),
            own.clone(),
            &key,
            None,
            Some((1000, same)),
        ),
        (
            user(1000),
            json!({}),
            own.clone(),
            &token,
            Some(0o400),
            Some((1000, same)),
        ),
        (user(1000), json!({}), own.clone(), &token, None, None),
        (grouped(1000), json!({}), own.clone(), &key, None, None),
        (
            json!({}),
            user(1000),
            inherited.clone(),
            &token,
            Some(0o440),
            Some((1000, same)),
        ),
        // It never has root's.
        (user(0), json!({}), json!({}), &key, None, Some((0, cure))),
        (
            json!({}),
            user(0),
            json!({}),
            &key,
            Some(0o640),
            Some((0, cure)),
        ),
        (user(0), json!({}), json!({}), &key, Some(0o600), None),
        (user(0), json!({}), json!({}), &token, Some(0o400), None),
        (grouped(0), json!({}), json!({}), &key, None, None),
        // kubelet has no user for the files without the sidecar, either.
        (json!({}), json!({}), json!({}), &key, None, None),
    ] {
        let mut document = annotated(web(), annotations);
        let mut projected = json!({"sources": [source]});
        if let Some(mode) = mode {
            projected["defaultMode"] = mode.into();
        }
        document["spec"]["volumes"] = json!([{"name": "files", "projected": projected}]);
        document["spec"]["securityContext"] = of_pod;
        document["spec"]["containers"][0]["securityContext"] = of_container;
        let expected = expected.map(|(user, cure)| format!("{root}{user}: {cure}"));
        let expected = Vec::from_iter(expected);
        assert_eq!(warnings(&document), expected, "{document}");
        assert_eq!(warnings(&injected(&document)), expected, "{document}");
    }
}

#[test]
fn a_container_that_can_filter_the_status_port_is_warned_of() {
    let warning = |name: &str| {
        format!(
            "container {name} has the capability NET_ADMIN, and a firewall that it sets up in the pod may drop kubelet's probes of the \
             sidecar: allow inbound TCP port 15020, too"
        )
    };
    let vpn = |name: &str, security: Value| {
        let mut document = web();
        let container =
            json!({"name": name, "restartPolicy": "Always", "securityContext": security});
        document["spec"]["initContainers"] = json!([container]);
        document
    };
    let add = |names: &[&str]| json!({"capabilities": {"add": names}});
    for (security, is_warned) in [
        (add(&["NET_ADMIN"]), true),
        (add(&["SYS_MODULE", "net_admin"]), true),
        (add(&["CAP_NET_ADMIN"]), true),
        (add(&["ALL"]), true),
        (add(&["NET_RAW"]), false),
        (json!({"capabilities": {"drop": ["NET_ADMIN"]}}), false),
        (json!({"privileged": true}), false),
        (json!({}), false),
    ] {
        let expected = Vec::from_iter(is_warned.then(|| warning("vpn")));
        let document = vpn("vpn", security);
        assert_eq!(warnings(&document), expected, "{document}");
        assert_eq!(warnings(&injected(&document)), expected, "{document}");
    }
    // Linkerd's sets up redirection alone.
    assert_eq!(warnings(&vpn("linkerd-init", add(&["NET_ADMIN"]))), [""; 0]);
    let mut document = vpn("vpn", add(&["NET_ADMIN"]));
    document["spec"]["containers"][0]["securityContext"] = add(&["NET_ADMIN"]);
    assert_eq!(warnings(&document), [warning("vpn")]);
    let document = annotated(document, json!({"status.sidecar.istio.io/port": "15021"}));
    assert!(warnings(&document)[0].ends_with("port 15021, too"));
}
