//! Injecting a pod again: after changes of settings, of other webhooks, and by hand.

use super::*;

fn web() -> Value {
    pod(json!([{
        "name": "web",
        "livenessProbe": {"httpGet": {"path": "/foo", "port": 8001, "scheme": "HTTPS"}},
        "readinessProbe": {"grpc": {"port": 50051, "service": "orders"}},
    }]))
}

/// The document after another injection, the effect, and the number of edits.
fn again(document: &Value, settings: &Settings) -> (Value, String, usize) {
    match report(document, Task::Inject, settings).verdict {
        Verdict::Edited {
            details,
            effect,
            edits,
        } => {
            assert_eq!(effect, Effect::Updated);
            (
                edited(document, &edits),
                effect.describe(&details),
                edits.len(),
            )
        }
        other => panic!("{other:?} of {document}"),
    }
}

#[test]
fn another_image_changes_only_the_sidecar() {
    let mut newer = settings();
    newer.image = "localhost/probelet:0.2.0".into();
    let before = injected(&web());
    let (after, what, edits) = again(&before, &newer);
    assert_eq!((&*what, edits), ("updated: image", 1));
    let mut expected = before.clone();
    expected["spec"]["initContainers"][0]["image"] = "localhost/probelet:0.2.0".into();
    assert_eq!(after, expected);
    assert_eq!(uninjected(&after), web());
}

#[test]
fn another_status_port_moves_the_probes() {
    let mut other = settings();
    other.status_port = 15920;
    let (after, what, _) = again(&injected(&web()), &other);
    assert_eq!(what, "updated: args, ports");
    assert_eq!(after, injected_with(&web(), &other));
    assert_eq!(uninjected(&after), web());
}

#[test]
fn another_kind_of_sidecar_moves_the_sidecar() {
    let mut ordinary = settings();
    ordinary.sidecar = Sidecar::Container;
    let native = injected(&web());
    let (after, ..) = again(&native, &ordinary);
    assert_eq!(after, injected_with(&web(), &ordinary));
    let (back, ..) = again(&after, &settings());
    assert_eq!(back, native);
    assert_eq!(uninjected(&after), web());
}

#[test]
fn an_excluded_probe_is_restored() {
    let mut before = injected(&web());
    before["metadata"]["annotations"]["probelet.dev/exclude-ports"] = "50051".into();
    let (after, what, _) = again(&before, &settings());
    assert_eq!(what, "updated: probers, web readyz restored");
    let probes = &after["spec"]["containers"][0];
    assert_eq!(
        probes["readinessProbe"],
        web()["spec"]["containers"][0]["readinessProbe"]
    );
    assert_eq!(
        table(&after),
        r#"{"/app-health/web/livez":{"httpGet":{"path":"/foo","port":8001,"scheme":"HTTPS"}}}"#
    );
}

#[test]
fn a_probe_moves_between_status_port_and_forward() {
    let before = injected(&web());
    let mut marked = before.clone();
    marked["metadata"]["annotations"]["probelet.dev/forward"] = "8001=15032".into();
    let (after, ..) = again(&marked, &settings());
    assert_eq!(
        after["spec"]["containers"][0]["livenessProbe"]["httpGet"],
        json!({"path": "/foo", "port": 15032, "scheme": "HTTPS"})
    );
    let mut unmarked = after;
    let annotations = unmarked["metadata"]["annotations"]
        .as_object_mut()
        .expect("annotations");
    annotations.remove("probelet.dev/forward");
    let (back, ..) = again(&unmarked, &settings());
    assert_eq!(back, before);
}

#[test]
fn a_container_that_another_webhook_added_is_merged() {
    let mut before = injected(&web());
    let containers = before["spec"]["containers"]
        .as_array_mut()
        .expect("containers");
    let probe = json!({"httpGet": {"path": "/db", "port": 5432}});
    containers.insert(0, json!({"name": "db", "livenessProbe": probe}));
    let (after, what, _) = again(&before, &settings());
    assert_eq!(what, "updated: probers, db livez injected");
    assert_eq!(
        after["spec"]["containers"][0]["livenessProbe"]["httpGet"],
        json!({"path": "/app-health/db/livez", "port": 15020})
    );
    assert_eq!(
        after["spec"]["containers"][1],
        before["spec"]["containers"][1]
    );
    assert!(
        table(&after)
            .starts_with(r#"{"/app-health/db/livez":{"httpGet":{"path":"/db","port":5432}},"#)
    );
    let mut expected = web();
    let containers = expected["spec"]["containers"]
        .as_array_mut()
        .expect("containers");
    containers.insert(0, json!({"name": "db", "livenessProbe": probe}));
    assert_eq!(uninjected(&after), expected);
}

#[test]
fn a_manual_edit_of_a_prober_is_retained_except_its_timeout() {
    let mut before = injected(&web());
    let improved = table(&before).replace("orders", "orders.v2");
    before["spec"]["initContainers"][0]["env"][1]["value"] = improved.clone().into();
    assert_eq!(
        report(&before, Task::Inject, &settings()).verdict,
        Verdict::Unchanged("already injected".into())
    );
    before["spec"]["containers"][0]["readinessProbe"]["timeoutSeconds"] = 7.into();
    let (after, ..) = again(&before, &settings());
    let entry = r#""/app-health/web/readyz":{"grpc":{"port":50051,"service":"orders.v2"},"timeoutSeconds":7}"#;
    assert!(table(&after).contains(entry), "{}", table(&after));
}

#[test]
fn manual_edits_of_headers_are_copied_to_the_table() {
    let header = |value: &str| json!([{"name": "X", "value": value}]);
    let mut document = web();
    document["spec"]["containers"][0]["livenessProbe"]["httpGet"]["httpHeaders"] = header("1");
    let mut before = injected(&document);
    let get = &mut before["spec"]["containers"][0]["livenessProbe"]["httpGet"];
    get["httpHeaders"] = header("2");
    let (after, what, _) = again(&before, &settings());
    assert_eq!(what, "updated: probers");
    document["spec"]["containers"][0]["livenessProbe"]["httpGet"]["httpHeaders"] = header("2");
    assert_eq!(after, injected(&document));
    let get = &mut before["spec"]["containers"][0]["livenessProbe"]["httpGet"];
    get.as_object_mut()
        .expect("a handler")
        .remove("httpHeaders");
    let (after, ..) = again(&before, &settings());
    assert!(!table(&after).contains("httpHeaders"), "{}", table(&after));
}

#[test]
fn a_probe_that_was_changed_by_hand_is_injected_again() {
    let mut before = injected(&web());
    let probe = json!({"httpGet": {"path": "/bar", "port": 9000}});
    before["spec"]["containers"][0]["livenessProbe"] = probe.clone();
    let mut expected = web();
    expected["spec"]["containers"][0]["livenessProbe"] = probe;
    assert_eq!(uninjected(&before), expected);
    let (after, ..) = again(&before, &settings());
    assert_eq!(after, injected(&expected));
}

#[test]
fn manual_edits_of_timings_are_retained() {
    let mut before = injected(&web());
    before["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] = 3.into();
    assert_eq!(
        report(&before, Task::Inject, &settings()).verdict,
        Verdict::Unchanged("already injected".into())
    );
    let mut expected = web();
    expected["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] = 3.into();
    assert_eq!(uninjected(&before), expected);
}

#[test]
fn defaults_of_the_api_server_are_not_a_change() {
    let mut document = web();
    document["metadata"]["annotations"] = json!({
        "probelet.dev/client-cert-secret": "mesh", "probelet.dev/forward": "8001=15032",
    });
    let mut before = injected(&document);
    let ours = &mut before["spec"]["initContainers"][0];
    ours["imagePullPolicy"] = "IfNotPresent".into();
    ours["terminationMessagePath"] = "/dev/termination-log".into();
    ours["ports"][0]["protocol"] = "TCP".into();
    let mounts = ours["volumeMounts"].as_array_mut().expect("mounts");
    mounts.push(json!({"name": "other", "mountPath": "/other"}));
    before["spec"]["volumes"][0]["projected"]["defaultMode"] = 420.into();
    before["spec"]["containers"][0]["livenessProbe"]["successThreshold"] = 1.into();
    assert_eq!(
        report(&before, Task::Inject, &settings()).verdict,
        Verdict::Unchanged("already injected".into())
    );
}

#[test]
fn settings_that_are_no_longer_set_are_removed() {
    let annotations = json!({
        "probelet.dev/client-cert-secret": "mesh", "probelet.dev/forward": "8001=15032", "team": "a",
    });
    let mut before = injected(&annotated(web(), annotations));
    let annotations = before["metadata"]["annotations"]
        .as_object_mut()
        .expect("annotations");
    annotations.remove("probelet.dev/client-cert-secret");
    annotations.remove("probelet.dev/forward");
    let (after, ..) = again(&before, &settings());
    assert_eq!(after, injected(&annotated(web(), json!({"team": "a"}))));
}

#[test]
fn the_sidecar_moves_before_containers_that_wait_for_it() {
    let mut before = injected(&web());
    let init = before["spec"]["initContainers"]
        .as_array_mut()
        .expect("init containers");
    init.insert(0, json!({"name": "setup"}));
    assert_eq!(
        report(&before, Task::Inject, &settings()).verdict,
        Verdict::Unchanged("already injected".into())
    );
    let proxy = json!({"name": "proxy", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 80}}});
    let init = before["spec"]["initContainers"]
        .as_array_mut()
        .expect("init containers");
    init.insert(1, proxy);
    let (after, ..) = again(&before, &settings());
    let names: Vec<&Value> = (0..3)
        .map(|index| &after["spec"]["initContainers"][index]["name"])
        .collect();
    assert_eq!(names, ["probelet", "setup", "proxy"]);
    assert_eq!(
        report(&after, Task::Inject, &settings()).verdict,
        Verdict::Unchanged("already injected".into())
    );
}

#[test]
fn an_injected_pod_that_opts_out_gets_a_warning() {
    let mut document = injected(&web());
    document["metadata"]["annotations"]["sidecar.istio.io/inject"] = "false".into();
    assert_eq!(
        skip_reason(&document),
        "annotation sidecar.istio.io/inject is \"false\""
    );
    assert_eq!(
        warnings(&document),
        ["the pod is still injected: run probelet-inject --uninject on its manifest to restore it"]
    );
}

#[test]
fn a_removed_sidecar_is_added_again() {
    let before = injected(&web());
    let mut without = before.clone();
    without["spec"]
        .as_object_mut()
        .expect("a spec")
        .remove("initContainers");
    let (after, what, _) = again(&without, &settings());
    assert_eq!(what, "updated: container");
    assert_eq!(after, before);
}

/// The injected pod as an injector before the empty volume left it, and the API server after that.
fn with_token_in_sidecar(document: &Value) -> Value {
    let mut before = without_no_token_volume(injected(document));
    let mut mount = no_token_mount();
    mount["name"] = "kube-api-access-x7k2p".into();
    let spec = &mut before["spec"];
    for list in LISTS {
        for container in spec[list].as_array_mut().expect("containers") {
            container["volumeMounts"] = json!([mount]);
        }
    }
    spec["volumes"] = json!([{"name": "kube-api-access-x7k2p", "projected": {"sources": []}}]);
    before
}

#[test]
fn a_template_of_an_earlier_injector_gets_the_empty_volume() {
    for annotations in [json!({}), json!({"probelet.dev/app-ca-secret": "ca"})] {
        let document = annotated(web(), annotations);
        let mut expected = injected(&document);
        let before = without_no_token_volume(expected.clone());
        let (after, what, _) = again(&before, &settings());
        assert_eq!(what, "updated: volumeMounts");
        if let [tls, no_token] =
            &mut expected["spec"]["volumes"].as_array_mut().expect("a list")[..]
        {
            core::mem::swap(tls, no_token);
        }
        assert_eq!(after, expected);
        assert_eq!(uninjected(&after), document);
    }
}

#[test]
fn the_empty_volume_replaces_the_mount_of_the_token_in_the_sidecar_alone() {
    let before = with_token_in_sidecar(&web());
    let (after, what, _) = again(&before, &settings());
    assert_eq!(what, "updated: volumeMounts");
    let mut expected = before.clone();
    let spec = &mut expected["spec"];
    spec["initContainers"][0]["volumeMounts"] = json!([no_token_mount()]);
    spec["volumes"] = json!([no_token_volume(), spec["volumes"][0]]);
    assert_eq!(after, expected);
}

#[test]
fn the_mount_of_the_token_stays_where_the_pod_mounts_none() {
    let mut before = with_token_in_sidecar(&web());
    before["spec"]["automountServiceAccountToken"] = false.into();
    assert_eq!(
        report(&before, Task::Inject, &settings()).verdict,
        Verdict::Unchanged("already injected".into())
    );
}

#[test]
fn volumes_follow_the_settings_that_need_them() {
    let tls = json!({"probelet.dev/client-cert-secret": "mesh"});
    let pod = |annotations: &Value, automount: bool, volumes: Option<Value>| {
        let mut document = annotated(web(), annotations.clone());
        document["spec"]["automountServiceAccountToken"] = automount.into();
        if let Some(volumes) = volumes {
            document["spec"]["volumes"] = volumes;
        }
        document
    };
    let none = json!({});
    let states = [(&none, false), (&none, true), (&tls, false), (&tls, true)];
    for volumes in [None, Some(json!([])), Some(json!([{"name": "data"}]))] {
        for (old_annotations, old_automount) in states {
            for (annotations, automount) in states {
                let mut before = injected(&pod(old_annotations, old_automount, volumes.clone()));
                before["spec"]["automountServiceAccountToken"] = automount.into();
                let members = before["metadata"]["annotations"].as_object_mut();
                let members = members.expect("annotations");
                members.remove("probelet.dev/client-cert-secret");
                members.extend(annotations.as_object().expect("annotations").clone());
                let mut after = match report(&before, Task::Inject, &settings()).verdict {
                    Verdict::Edited { edits, .. } => edited(&before, &edits),
                    Verdict::Unchanged(_) => before,
                    other => panic!("{other:?}"),
                };
                let document = pod(annotations, automount, volumes.clone());
                let mut back = uninjected(&after);
                let mut expected = injected(&document);
                let mut original = document;
                // The originals of the annotations and of an emptied list differ.
                for pod in [&mut after, &mut expected] {
                    let annotations = pod["metadata"]["annotations"].as_object_mut();
                    annotations
                        .expect("annotations")
                        .remove("probelet.dev/original");
                }
                for pod in [&mut after, &mut expected, &mut back, &mut original] {
                    let items = pod["spec"]["volumes"].as_array().cloned();
                    let mut items = items.unwrap_or_default();
                    items.sort_by_key(|volume| volume["name"].to_string());
                    pod["spec"]["volumes"] = items.into();
                }
                assert_eq!(after, expected);
                assert_eq!(back, original);
            }
        }
    }
}

#[test]
fn an_injector_that_does_not_know_the_empty_volume_leaves_it_recognisable() {
    let mut before = injected(&web());
    let record = &mut before["metadata"]["annotations"]["probelet.dev/original"];
    let text = record.as_str().expect("originals");
    *record = text.replace("\"spec.volumes\":null,", "").into();
    assert_eq!(
        report(&before, Task::Inject, &settings()).verdict,
        Verdict::Unchanged("already injected".into())
    );
    let mut expected = web();
    expected["spec"]["volumes"] = json!([]);
    assert_eq!(uninjected(&before), expected);
}
