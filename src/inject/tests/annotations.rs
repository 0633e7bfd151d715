//! Labels and annotations of the pod.

use super::*;

pub(super) fn web() -> Value {
    probed(json!({"httpGet": {"path": "/foo", "port": 8002}}))
}

pub(super) fn of(annotation: &str, value: &str) -> Value {
    annotated(web(), json!({annotation: value}))
}

pub(super) fn ours(after: &Value) -> &Value {
    &after["spec"]["initContainers"][0]
}

#[test]
fn go_booleans_override_the_rewrite_setting() {
    const REWRITE: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
    for (all, words, rewrites) in [
        (false, ["1", "t", "T", "TRUE", "true", "True"], true),
        (true, ["0", "f", "F", "FALSE", "false", "False"], false),
    ] {
        let mut settings = settings();
        settings.rewrite = all;
        for word in words {
            let verdict = report(&of(REWRITE, word), Task::Inject, &settings).verdict;
            assert_eq!(
                matches!(verdict, Verdict::Edited { .. }),
                rewrites,
                "{word}"
            );
        }
    }
}

#[test]
fn an_invalid_boolean_leaves_the_rewrite_setting() {
    let document = of("sidecar.istio.io/rewriteAppHTTPProbers", "yes");
    assert_eq!(effect_of(&document), "injected: livez");
    assert_eq!(
        warnings(&document),
        [
            "annotation sidecar.istio.io/rewriteAppHTTPProbers is \"yes\" and is ignored, so that the default \
             (true) applies: write one of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False"
        ]
    );
}

#[test]
fn the_label_takes_precedence_over_the_annotation() {
    const INJECT: &str = "sidecar.istio.io/inject";
    for (label, annotation, is_injected) in [
        (None, None, true),
        (None, Some("false"), false),
        (None, Some("off"), false),
        (Some("true"), Some("false"), true),
        (Some("false"), Some("true"), false),
        (Some("Yes"), None, true),
        (Some("n"), None, false),
        (Some(""), Some("0"), false),
    ] {
        let mut document = web();
        if let Some(label) = label {
            document["metadata"]["labels"] = json!({INJECT: label});
        }
        if let Some(annotation) = annotation {
            document["metadata"]["annotations"] = json!({INJECT: annotation});
        }
        let verdict = report(&document, Task::Inject, &settings()).verdict;
        // An empty label is ignored, so that the annotation applies.
        assert_eq!(
            matches!(verdict, Verdict::Edited { .. }),
            is_injected,
            "{label:?} {annotation:?}"
        );
    }
    assert_eq!(
        skip_reason(&of(INJECT, "false")),
        "annotation sidecar.istio.io/inject is \"false\""
    );
    assert_eq!(
        warnings(&of(INJECT, "maybe")),
        [
            "annotation sidecar.istio.io/inject is \"maybe\", which counts as false: write true or false"
        ]
    );
}

#[test]
fn probelets_own_inject_takes_precedence_over_istios() {
    const OWN: &str = "probelet.dev/inject";
    const ISTIO: &str = "sidecar.istio.io/inject";
    for (labels, annotations, is_injected) in [
        (json!({}), json!({OWN: "true", ISTIO: "false"}), true),
        (json!({ISTIO: "false"}), json!({OWN: "true"}), true),
        (json!({OWN: "true"}), json!({OWN: "false"}), true),
        (json!({OWN: "false"}), json!({OWN: "true"}), false),
        (json!({OWN: "no", ISTIO: "true"}), json!({}), false),
        (json!({OWN: ""}), json!({OWN: "off"}), false),
        (json!({OWN: "", ISTIO: "false"}), json!({OWN: ""}), false),
    ] {
        let mut document = annotated(web(), annotations.clone());
        document["metadata"]["labels"] = labels.clone();
        let verdict = report(&document, Task::Inject, &settings()).verdict;
        let found = matches!(verdict, Verdict::Edited { .. });
        assert_eq!(found, is_injected, "{labels} {annotations}");
    }
    assert_eq!(
        skip_reason(&of(OWN, "false")),
        "annotation probelet.dev/inject is \"false\""
    );
    assert_eq!(
        warnings(&of(OWN, "maybe")),
        ["annotation probelet.dev/inject is \"maybe\", which counts as false: write true or false"]
    );
    let mut document = web();
    document["metadata"]["labels"] = json!({OWN: "true"});
    assert_eq!(warnings(&document), [""; 0]);
}

#[test]
fn the_status_port() {
    let after = injected(&of("status.sidecar.istio.io/port", "15920"));
    assert_eq!(ours(&after)["args"], json!(["run", "--status-port=15920"]));
    assert_eq!(
        ours(&after)["ports"],
        json!([{"name": "probelet", "containerPort": 15920}])
    );
    let probe = &after["spec"]["containers"][0]["livenessProbe"]["httpGet"];
    assert_eq!(probe["port"], 15920);
    assert_eq!(
        after["metadata"]["annotations"]["traffic.sidecar.istio.io/excludeInboundPorts"],
        "15920"
    );
    assert_eq!(
        skip_reason(&of("status.sidecar.istio.io/port", "0")),
        "annotation status.sidecar.istio.io/port is 0, which disables the status port"
    );
    assert_eq!(
        refusal_reason(&of("status.sidecar.istio.io/port", "+1")),
        "annotation status.sidecar.istio.io/port is \"+1\": write a port from 1 to 65535, such as 15020"
    );
}

#[test]
fn image_pull_policy_and_resources() {
    let after = injected(&annotated(
        web(),
        json!({
            "probelet.dev/image": "registry/probelet:1",
            "probelet.dev/image-pull-policy": "Never",
            "probelet.dev/resources": "{\"limits\":{\"memory\":\"32Mi\"}}",
        }),
    ));
    assert_eq!(ours(&after)["image"], "registry/probelet:1");
    assert_eq!(ours(&after)["imagePullPolicy"], "Never");
    assert_eq!(
        ours(&after)["resources"],
        json!({"limits": {"memory": "32Mi"}})
    );
    assert_eq!(
        refusal_reason(&of("probelet.dev/image", "")),
        "annotation probelet.dev/image is \"\": write a name such as registry.example/probelet:1.0"
    );
    assert_eq!(
        refusal_reason(&of("probelet.dev/image-pull-policy", "always")),
        "annotation probelet.dev/image-pull-policy is \"always\": write Always, IfNotPresent or Never"
    );
    assert_eq!(
        refusal_reason(&of("probelet.dev/resources", "[]")),
        "annotation probelet.dev/resources is \"[]\": write an object such as {\"limits\":{\"memory\":\"16Mi\"}}"
    );
    let misspelt = of(
        "probelet.dev/resources",
        "{\"limits\":{\"memory\":\"16Mib\"}}",
    );
    assert_eq!(
        refusal_reason(&misspelt),
        "annotation probelet.dev/resources: limits.memory is \"16Mib\": write a quantity such as 16Mi, 100m or 0.5"
    );
}

#[test]
fn excluded_containers_and_ports() {
    let probe = |port: Value| json!({"httpGet": {"port": port}});
    let document = pod(json!([
        {"name": "a", "livenessProbe": probe(json!(1))},
        {"name": "b", "livenessProbe": probe(json!(2)), "readinessProbe": probe(json!(3))},
        {
            "name": "c", "ports": [{"name": "admin", "containerPort": 4}],
            "livenessProbe": probe(json!("admin")), "readinessProbe": probe(json!(5)),
        },
    ]));
    let of = |containers: &str, ports: &str| {
        let annotations = json!({
            "probelet.dev/exclude-containers": containers, "probelet.dev/exclude-ports": ports,
        });
        annotated(document.clone(), annotations)
    };
    assert_eq!(
        effect_of(&of("a", "2, admin")),
        "injected: b readyz; c readyz"
    );
    assert_eq!(effect_of(&of("a,b", "4")), "injected: readyz");
    assert_eq!(warnings(&of("a,b", "4")), [""; 0]);
    assert_eq!(
        skip_reason(&of("a,b,c", "")),
        "all its probes are excluded by annotation"
    );
    assert_eq!(
        warnings(&of("x", "77")),
        [
            "annotation probelet.dev/exclude-containers has x, which is not a container of the pod: correct or remove x",
            "annotation probelet.dev/exclude-ports has 77, which no probe uses: correct or remove 77",
        ]
    );
}

#[test]
fn target_and_source_addresses() {
    let after = injected(&annotated(
        web(),
        json!({"probelet.dev/target-ip": "127.0.0.1", "probelet.dev/source-ip": "127.0.0.6"}),
    ));
    assert_eq!(
        ours(&after)["args"],
        json!(["run", "--source-ip=127.0.0.6", "--target-ip=127.0.0.1"])
    );
    assert_eq!(ours(&after)["env"].as_array().map(Vec::len), Some(1));
    let mut fixed = settings();
    fixed.target = Target::Ip([127, 0, 0, 1].into());
    let after = injected_with(&of("probelet.dev/target-ip", "pod"), &fixed);
    assert_eq!(ours(&after)["args"], json!(["run"]));
    assert_eq!(
        refusal_reason(&of("probelet.dev/target-ip", "localhost")),
        "annotation probelet.dev/target-ip is \"localhost\": write an IP address, or pod for the pod's own"
    );
    assert_eq!(
        refusal_reason(&of("probelet.dev/target-ip", "0.0.0.0")),
        "annotation probelet.dev/target-ip is \"0.0.0.0\", which is not a unicast address: write the app's address, such as 127.0.0.1"
    );
    assert_eq!(
        refusal_reason(&of("probelet.dev/source-ip", "x")),
        "annotation probelet.dev/source-ip is \"x\": write an IP address such as 127.0.0.6"
    );
}

#[test]
fn secrets_are_mounted_and_passed_to_the_agent() {
    let after = injected(&annotated(
        web(),
        json!({
            "probelet.dev/client-cert-secret": "mesh", "probelet.dev/app-ca-secret": "mesh-ca",
            "probelet.dev/app-id": "spiffe://example.org/web",
        }),
    ));
    assert_eq!(
        ours(&after)["args"],
        json!([
            "run",
            "--client-cert=/etc/probelet/tls.crt",
            "--client-key=/etc/probelet/tls.key",
            "--app-ca=/etc/probelet/ca.crt",
            "--app-id=spiffe://example.org/web",
        ])
    );
    assert_eq!(
        ours(&after)["volumeMounts"],
        json!([
            {"name": "probelet-tls", "mountPath": "/etc/probelet", "readOnly": true},
            no_token_mount(),
        ])
    );
    let item = |key: &str| json!({"key": key, "path": key});
    assert_eq!(
        after["spec"]["volumes"],
        json!([
            {"name": "probelet-tls", "projected": {"sources": [
                {"secret": {"name": "mesh", "items": [item("tls.crt"), item("tls.key")]}},
                {"secret": {"name": "mesh-ca", "items": [item("ca.crt")]}},
            ]}},
            no_token_volume(),
        ])
    );
}

#[test]
fn an_identity_requires_a_ca_and_must_be_valid() {
    assert_eq!(
        refusal_reason(&of("probelet.dev/app-id", "spiffe://example.org/web")),
        "annotation probelet.dev/app-id requires annotation probelet.dev/app-ca-secret: set it to the name of the \
         Secret with the CA's ca.crt"
    );
    let annotations = json!({"probelet.dev/app-ca-secret": "ca", "probelet.dev/app-id": "web"});
    assert!(refusal_reason(&annotated(web(), annotations)).contains("must be a SPIFFE ID"));
}

#[test]
fn the_kind_of_container() {
    let after = injected(&of("probelet.dev/sidecar", "container"));
    assert_eq!(after["spec"]["containers"][0]["name"], "probelet");
    assert_eq!(
        refusal_reason(&of("probelet.dev/sidecar", "init")),
        "annotation probelet.dev/sidecar is \"init\": write native or container"
    );
}

#[test]
fn a_misspelt_annotation_is_warned_of() {
    assert_eq!(
        warnings(&of("probelet.dev/forwrad", "8002=15032")),
        ["unknown annotation probelet.dev/forwrad: did you mean probelet.dev/forward?"]
    );
    assert_eq!(
        warnings(&of("sidecar.istio.io/rewriteAppHTTPProbe", "true")),
        [
            "unknown annotation sidecar.istio.io/rewriteAppHTTPProbe: did you mean \
             sidecar.istio.io/rewriteAppHTTPProbers?"
        ]
    );
    for istio in [
        "traffic.sidecar.istio.io/includeInboundPorts",
        "sidecar.istio.io/proxyCPU",
    ] {
        assert_eq!(warnings(&of(istio, "1")), [""; 0]);
    }
}

#[test]
fn an_annotation_that_is_not_a_string_is_used_with_a_warning() {
    let document = annotated(
        web(),
        json!({"sidecar.istio.io/rewriteAppHTTPProbers": false}),
    );
    assert_eq!(skip_reason(&document), "rewriting is disabled");
    assert_eq!(
        warnings(&document),
        [
            "annotation sidecar.istio.io/rewriteAppHTTPProbers is false, which is not a string: write it in \
             quotes, because the API server rejects it"
        ]
    );
}

#[test]
fn an_annotation_of_the_owner_is_warned_of() {
    let document = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "labels": {"sidecar.istio.io/inject": "false", "probelet.dev/inject": "true"},
            "annotations": {"sidecar.istio.io/rewriteAppHTTPProbers": "false", "team": "a"},
        },
        "spec": {"template": {"spec": web()["spec"]}},
    });
    assert_eq!(effect_of(&document), "injected: livez");
    assert_eq!(
        warnings(&document),
        [
            "annotation sidecar.istio.io/rewriteAppHTTPProbers has no effect in metadata of deployment/web: move \
             it to metadata of the pod template",
            "label probelet.dev/inject has no effect in metadata of deployment/web: move it to metadata of the pod \
             template",
            "label sidecar.istio.io/inject has no effect in metadata of deployment/web: move it to metadata of \
             the pod template",
        ]
    );
}

#[test]
fn an_annotation_written_as_a_label_is_warned_of() {
    let mut document = web();
    document["metadata"]["labels"] = json!({"probelet.dev/sidecar": "container"});
    assert_eq!(
        warnings(&document),
        ["label probelet.dev/sidecar has no effect: write it as an annotation"]
    );
}

#[test]
fn an_invalid_setting_of_the_agent_is_named_by_its_annotation() {
    let app_id = json!({"probelet.dev/app-id": "nonsense", "probelet.dev/app-ca-secret": "ca"});
    for (annotations, expected) in [
        (
            app_id,
            "annotation probelet.dev/app-id is \"nonsense\", but must be a SPIFFE ID: ",
        ),
        (
            json!({"probelet.dev/target-ip": "0.0.0.0", "probelet.dev/forward": "8002=15032"}),
            "annotation probelet.dev/target-ip is \"0.0.0.0\", which is not a unicast address: ",
        ),
        (
            json!({"probelet.dev/source-ip": "0.0.0.0"}),
            "annotation probelet.dev/source-ip is \"0.0.0.0\", which cannot be a source address: ",
        ),
    ] {
        let document = annotated(web(), annotations);
        let reason = refusal_reason(&document);
        assert!(reason.starts_with(expected), "{reason}");
    }
    // Settings for all pods come from flags or the ConfigMap.
    let settings = Settings {
        source_ip: Some([0, 0, 0, 0].into()),
        ..settings()
    };
    let report = report(&web(), Task::Inject, &settings);
    let Verdict::Refused(reason) = report.verdict else {
        panic!("{report:?}");
    };
    assert!(reason.starts_with("--source-ip is \"0.0.0.0\""), "{reason}");
}

#[test]
fn a_list_has_a_maximum_of_items() {
    let items = |count: usize| vec!["1"; count].join(",");
    for annotation in ["exclude-ports", "exclude-containers", "forward"] {
        let annotation = format!("probelet.dev/{annotation}");
        assert_eq!(
            refusal_reason(&of(&annotation, &items(257))),
            format!("annotation {annotation} has more than 256 items: remove some")
        );
    }
    assert_eq!(
        effect_of(&of("probelet.dev/exclude-ports", &items(256))),
        "injected: livez"
    );
}

#[test]
fn misspellings_of_the_first_twenty_unknown_annotations_are_warned_of() {
    let names = (0..25_000).map(|number| format!("probelet.dev/forwrad{number:05}"));
    let annotations: Value = names.map(|name| (name, json!(""))).collect();
    let mut pod = pod(json!({"httpGet": {"port": 8080}}));
    pod["metadata"]["annotations"] = annotations;
    // The command line has no limit of their number, but the API server has one of their bytes.
    let mut found = Vec::new();
    crate::inject::options::annotations::warn_of_ignored(&pod["metadata"], &mut found);
    assert_eq!(found.len(), 20);
    assert!(
        found[0].contains("did you mean probelet.dev/forward?"),
        "{}",
        found[0]
    );
    let long = format!("probelet.dev/{}", "x".repeat(200_000));
    pod["metadata"]["annotations"] = json!({&*long: ""});
    let expected = format!("unknown annotation {long}: remove it, as it has no effect");
    assert_eq!(warnings(&pod), [expected]);
}
