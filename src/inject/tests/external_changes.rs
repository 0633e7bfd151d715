//! Injected pods that the API server, another webhook or a person has changed before they are injected again.

use super::*;

/// A pod with a probe of each kind and a hook.
fn web() -> Value {
    pod(json!([{
        "name": "web",
        "ports": [{"name": "http", "containerPort": 8080}],
        "livenessProbe": {"tcpSocket": {"port": "http"}},
        "readinessProbe": {"grpc": {"port": 50051, "service": "orders"}},
        "startupProbe": {"httpGet": {"path": "/foo", "port": "http", "scheme": "HTTPS"}},
        "lifecycle": {"preStop": {"httpGet": {"port": 8080}}},
    }]))
}

/// The API server's defaults of a rewritten probe, and another mount.
fn defaulted(mut document: Value) -> Value {
    let container = &mut document["spec"]["containers"][0];
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = &mut container[kind];
        probe["timeoutSeconds"] = 1.into();
        probe["periodSeconds"] = 10.into();
        probe["httpGet"]["scheme"] = "HTTP".into();
    }
    container["lifecycle"]["preStop"]["httpGet"]["scheme"] = "HTTP".into();
    let sidecar = &mut document["spec"]["initContainers"][0];
    sidecar["imagePullPolicy"] = "IfNotPresent".into();
    let mounts = sidecar["volumeMounts"].as_array_mut().expect("mounts");
    mounts.push(json!({"name": "other", "mountPath": "/other", "readOnly": true}));
    document
}

/// The forms of the empty volume that earlier injectors wrote or the API server stored, and those in which a tool may write
/// the current one.
fn empty_volumes() -> [Value; 6] {
    [
        json!({"defaultMode": 420}),
        json!({"defaultMode": 420, "sources": null}),
        json!({"sources": []}),
        json!({"sources": [{"downwardAPI": {"items": null}}]}),
        json!({"sources": [{"downwardAPI": {"items": []}, "secret": null}]}),
        json!({"sources": [{}]}),
    ]
}

fn with_empty_volume(mut document: Value, projected: Value) -> Value {
    let volumes = document["spec"]["volumes"].as_array_mut().expect("volumes");
    let is_empty = |volume: &&mut Value| volume["name"] == "probelet-no-token";
    let volume = volumes.iter_mut().find(is_empty).expect("the empty volume");
    volume["projected"] = projected;
    document
}

#[test]
fn reinjection_adds_a_source_to_the_empty_volume_of_an_earlier_version() {
    for projected in empty_volumes() {
        let old = with_empty_volume(injected(&web()), projected.clone());
        let after = injected(&old);
        let volume = &after["spec"]["volumes"][0]["projected"];
        assert_eq!(volume["defaultMode"], 420, "{projected}");
        let sources = volume["sources"].as_array().expect("sources");
        assert!(sources.len() == 1 && sources[0]["downwardAPI"].is_object());
        is_settled(&after, &settings());
        assert_eq!(uninjected(&old), web(), "{projected}");
    }
}

#[test]
fn a_volume_with_files_is_not_the_empty_one() {
    let item = json!({"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}});
    for source in [
        json!({"downwardAPI": {"items": [item]}}),
        json!({"serviceAccountToken": {"path": "token"}}),
        json!({"downwardAPI": {}, "secret": {"name": "a"}}),
    ] {
        let document = with_empty_volume(injected(&web()), json!({"sources": [source]}));
        assert_eq!(
            refusal_reason(&document),
            "spec.volumes already has a volume probelet-no-token: rename that volume"
        );
    }
}

fn is_settled(document: &Value, settings: &Settings) {
    let report = report(document, Task::Inject, settings);
    let other_warnings = report.warnings.iter();
    let other_warnings: Vec<_> = other_warnings
        .filter(|warning| is_not_of_timeouts(warning))
        .collect();
    assert_eq!(
        (report.verdict, other_warnings),
        (Verdict::Unchanged("already injected".into()), Vec::new()),
        "{document}"
    );
}

/// Whether a warning is another one than that of the short timeouts of these probes.
fn is_not_of_timeouts(warning: &str) -> bool {
    !warning.contains("because TLS and gRPC need a handshake first")
}

#[test]
fn reinjection_after_api_server_defaults_changes_nothing() {
    is_settled(&defaulted(injected(&web())), &settings());
}

#[test]
fn uninjection_after_api_server_defaults_restores_each_handler() {
    let back = uninjected(&defaulted(injected(&web())));
    let container = &back["spec"]["containers"][0];
    assert_eq!(
        container["livenessProbe"]["tcpSocket"],
        json!({"port": "http"})
    );
    assert_eq!(container["livenessProbe"].get("httpGet"), None);
    assert_eq!(
        container["readinessProbe"]["grpc"],
        json!({"port": 50051, "service": "orders"})
    );
    assert_eq!(
        container["startupProbe"]["httpGet"],
        json!({"path": "/foo", "port": "http", "scheme": "HTTPS"})
    );
    assert_eq!(
        container["lifecycle"]["preStop"]["httpGet"],
        json!({"port": 8080, "scheme": "HTTP"})
    );
}

#[test]
fn quantities_that_the_api_server_has_normalised_are_no_change() {
    let mut odd = settings();
    odd.resources =
        json!({"requests": {"cpu": 0.5, "memory": "1024Mi"}, "limits": {"cpu": "1e3m"}});
    odd.resources["limits"]["cpu"] = "1.5".into();
    let mut document = injected_with(&web(), &odd);
    document["spec"]["initContainers"][0]["resources"] =
        json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1500m"}});
    is_settled(&document, &odd);
}

#[test]
fn a_setting_that_is_no_longer_set_leaves_the_sidecar() {
    let mut set = settings();
    set.pull_policy = Some("Always".into());
    set.resources["limits"]["cpu"] = "1".into();
    set.resources["claims"] = json!([{"name": "device"}]);
    let before = defaulted(injected_with(&web(), &set));
    let mut before_with_policy = before;
    let sidecar = &mut before_with_policy["spec"]["initContainers"][0];
    sidecar["imagePullPolicy"] = "Always".into();
    sidecar["resources"]["limits"]["ephemeral-storage"] = "1Gi".into();
    let after = match report(&before_with_policy, Task::Inject, &settings()).verdict {
        Verdict::Edited { details, edits, .. } => {
            assert_eq!(&*details, "imagePullPolicy, resources");
            edited(&before_with_policy, &edits)
        }
        other => panic!("{other:?}"),
    };
    let sidecar = &after["spec"]["initContainers"][0];
    assert_eq!(sidecar.get("imagePullPolicy"), None);
    let mut expected = settings().resources;
    // A member that another webhook has added stays.
    expected["limits"]["ephemeral-storage"] = "1Gi".into();
    assert_eq!(sidecar["resources"], expected);
    is_settled(&after, &settings());
}

#[test]
fn a_request_that_the_api_server_has_copied_from_a_limit_follows_the_limit() {
    let mut set = settings();
    set.resources = json!({"limits": {"memory": "32Mi"}});
    let mut document = injected_with(&web(), &set);
    document["spec"]["initContainers"][0]["resources"]["requests"] = json!({"memory": "32Mi"});
    is_settled(&document, &set);
    set.resources = json!({"limits": {"memory": "16Mi"}});
    let after = injected_with(&document, &set);
    let resources = &after["spec"]["initContainers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"memory": "16Mi"}}));
}

#[test]
fn a_port_name_that_moves_to_another_port_moves_in_the_table() {
    let mut document = injected(&web());
    document["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090.into();
    let mut expected = web();
    expected["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090.into();
    let after = injected_with(&document, &settings());
    assert!(
        table(&after).contains(r#"{"tcpSocket":{"port":9090}}"#),
        "{}",
        table(&after)
    );
    assert_eq!(after, injected(&expected));
}

#[test]
fn a_port_that_was_changed_in_the_table_by_hand_stays() {
    let mut document = injected(&web());
    let edited = table(&document).replace(
        r#""tcpSocket":{"port":8080}"#,
        r#""tcpSocket":{"port":8081}"#,
    );
    document["spec"]["initContainers"][0]["env"][1]["value"] = edited.clone().into();
    is_settled(&document, &settings());
    let mut newer = settings();
    newer.image = "localhost/probelet:0.2.0".into();
    assert_eq!(table(&injected_with(&document, &newer)), edited);
}

#[test]
fn a_scheme_of_https_that_was_added_by_hand_goes_into_the_table() {
    let document = probed(json!({"httpGet": {"path": "/foo", "port": 8001}}));
    let mut by_hand = injected(&document);
    let get = &mut by_hand["spec"]["containers"][0]["livenessProbe"]["httpGet"];
    get["scheme"] = "HTTPS".into();
    let after = injected_with(&by_hand, &settings());
    let mut expected = document;
    expected["spec"]["containers"][0]["livenessProbe"]["httpGet"]["scheme"] = "HTTPS".into();
    assert_eq!(after, injected(&expected));
    assert_eq!(uninjected(&after), expected);
    assert_eq!(uninjected(&by_hand), expected);
}

#[test]
fn scheme_https_in_a_rewritten_tcp_probe_is_reset_with_a_warning() {
    let mut document = injected(&web());
    let container = &mut document["spec"]["containers"][0];
    container["livenessProbe"]["httpGet"]["scheme"] = "HTTPS".into();
    let mut found = warnings(&document);
    found.retain(|warning| is_not_of_timeouts(warning));
    assert_eq!(
        found,
        [
            "scheme HTTPS of livenessProbe of web is reset to HTTP: kubelet probes the sidecar in plaintext, and \
             the sidecar probes the app by tcpSocket"
        ]
    );
    let after = injected_with(&document, &settings());
    let probe = &after["spec"]["containers"][0]["livenessProbe"];
    assert_eq!(probe["httpGet"]["scheme"], "HTTP");
    is_settled(&after, &settings());
}

#[test]
fn a_deleted_scheme_does_not_turn_an_https_prober_into_plaintext() {
    let mut document = injected(&web());
    let get = &mut document["spec"]["containers"][0]["startupProbe"]["httpGet"];
    get.as_object_mut().expect("a handler").remove("scheme");
    is_settled(&document, &settings());
    assert_eq!(uninjected(&document), web());
}

#[test]
fn mounts_variables_and_order_of_another_webhook_are_no_change() {
    let annotations = json!({"probelet.dev/client-cert-secret": "mesh"});
    let mut document = defaulted(injected(&annotated(web(), annotations)));
    let spec = &mut document["spec"];
    for list in LISTS {
        for container in spec[list].as_array_mut().expect("containers") {
            for (name, item) in [
                ("env", json!({"name": "CLUSTER", "value": "edge"})),
                (
                    "volumeMounts",
                    json!({"name": "probelet-tls", "mountPath": "/etc/probelet"}),
                ),
            ] {
                let mut items = container[name].as_array().cloned().unwrap_or_default();
                if !items.iter().any(|other| other["name"] == item["name"]) {
                    items.insert(0, item);
                }
                items.reverse();
                container[name] = items.into();
            }
        }
    }
    // Uninjection removes only the mount that injection had added.
    let mounts = spec["initContainers"][0]["volumeMounts"].as_array_mut();
    for mount in mounts.expect("mounts") {
        if mount["name"] == "probelet-tls" {
            mount["readOnly"] = true.into();
        }
    }
    is_settled(&document, &settings());
}

#[test]
fn a_pull_policy_that_the_api_server_made_of_the_old_image_goes_with_it() {
    for (old, policy, new, is_kept) in [
        ("a:1", "IfNotPresent", "a:latest", false),
        ("a", "Always", "a:1", false),
        ("host:5000/a", "Always", "a:1", false),
        ("a:latest@sha256:0", "Always", "a:1", false),
        ("a@sha256:0", "IfNotPresent", "a:1", false),
        ("a:1", "Always", "a:2", true),
        ("a:1", "IfNotPresent", "a:1", true),
    ] {
        let image = |image: &str| Settings {
            image: image.into(),
            ..settings()
        };
        let mut document = injected_with(&web(), &image(old));
        document["spec"]["initContainers"][0]["imagePullPolicy"] = policy.into();
        let after = match report(&document, Task::Inject, &image(new)).verdict {
            Verdict::Edited { edits, .. } => edited(&document, &edits),
            other => {
                assert_eq!(other, Verdict::Unchanged("already injected".into()));
                document
            }
        };
        let found = after["spec"]["initContainers"][0].get("imagePullPolicy");
        assert_eq!(found.is_some(), is_kept, "{old} {policy} {new}");
    }
}
