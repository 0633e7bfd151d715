//! The sidecar.

use super::annotations::ours;
use super::*;
use crate::cli;
use crate::config::Config;
use std::ffi::OsString;

fn web() -> Value {
    probed(json!({"httpGet": {"path": "/foo", "port": 8001}}))
}

fn ordinary() -> Settings {
    Settings {
        sidecar: Sidecar::Container,
        ..settings()
    }
}

#[test]
fn the_sidecar_does_not_inherit_a_profile_of_a_file() {
    let mut document = probed(json!({"httpGet": {"port": 8080}}));
    let local = json!({"type": "Localhost", "localhostProfile": "web"});
    document["spec"]["securityContext"] =
        json!({"appArmorProfile": local, "seccompProfile": local});
    let after = injected(&document);
    let context = &after["spec"]["initContainers"][0]["securityContext"];
    for profile in ["appArmorProfile", "seccompProfile"] {
        assert_eq!(context[profile], json!({"type": "RuntimeDefault"}));
    }
    let again = report(&after, Task::Inject, &settings()).verdict;
    assert_eq!(again, Verdict::Unchanged("already injected".into()));
    assert_eq!(uninjected(&after), document);
    // Nodes without AppArmor reject the profile, so it goes with that of the pod.
    let without = |mut document: Value| {
        let context = document["spec"]["securityContext"].as_object_mut();
        context.expect("an object").remove("appArmorProfile");
        document
    };
    assert_eq!(
        injected(&without(after)),
        injected(&without(document.clone()))
    );
    // One that others have added stays.
    let mut by_others = injected(&without(document));
    let context = &mut by_others["spec"]["initContainers"][0]["securityContext"];
    context["appArmorProfile"] = json!({"type": "RuntimeDefault"});
    let again = report(&by_others, Task::Inject, &settings()).verdict;
    assert_eq!(again, Verdict::Unchanged("already injected".into()));
}

#[test]
fn a_native_sidecar() {
    let after = injected(&web());
    assert_eq!(
        after["spec"]["initContainers"],
        json!([{
            "name": "probelet",
            "image": "localhost/probelet:0.1.0",
            "restartPolicy": "Always",
            "args": ["run"],
            "env": [
                {
                    "name": "POD_IP",
                    "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}},
                },
                {
                    "name": "ISTIO_KUBE_APP_PROBERS",
                    "value": "{\"/app-health/web/livez\":{\"httpGet\":{\"path\":\"/foo\",\"port\":8001}}}",
                },
            ],
            "ports": [{"name": "probelet", "containerPort": 15020}],
            "securityContext": {
                "runAsUser": 1337, "runAsGroup": 1337, "runAsNonRoot": true,
                "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "resources": {"requests": {"cpu": "1m", "memory": "2Mi"}, "limits": {"memory": "16Mi"}},
            "volumeMounts": [no_token_mount()],
        }])
    );
    assert_eq!(after["spec"]["volumes"], json!([no_token_volume()]));
    assert_eq!(
        after["spec"]["containers"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn the_sidecar_alone_mounts_an_empty_volume_in_place_of_the_token() {
    for settings in [settings(), ordinary()] {
        for automount in [None, Some(true), Some(false)] {
            let mut document = web();
            if let Some(automount) = automount {
                document["spec"]["automountServiceAccountToken"] = automount.into();
            }
            let after = injected_with(&document, &settings);
            let lists = LISTS
                .iter()
                .filter_map(|list| after["spec"][list].as_array());
            for container in lists.flatten() {
                let is_mounted = automount != Some(false) && container["name"] == "probelet";
                let expected = is_mounted.then(|| json!([no_token_mount()]));
                assert_eq!(container.get("volumeMounts"), expected.as_ref());
            }
            let expected = (automount != Some(false)).then(|| json!([no_token_volume()]));
            assert_eq!(after["spec"].get("volumes"), expected.as_ref());
            assert_eq!(uninjected(&after), document);
        }
    }
}

#[test]
fn an_ordinary_sidecar_serves_until_the_app_has_stopped() {
    for (grace, args) in [
        (None, json!(["run", "--shutdown-delay=25"])),
        (Some(60), json!(["run", "--shutdown-delay=55"])),
        (Some(5), json!(["run"])),
        (Some(0), json!(["run"])),
        (Some(86400), json!(["run", "--shutdown-delay=3600"])),
    ] {
        let mut document = web();
        if let Some(grace) = grace {
            document["spec"]["terminationGracePeriodSeconds"] = grace.into();
        }
        let after = injected_with(&document, &ordinary());
        let ours = &after["spec"]["containers"][0];
        assert_eq!(ours["name"], "probelet");
        assert_eq!(ours["args"], args);
        assert_eq!(ours.get("restartPolicy"), None);
        assert_eq!(after["spec"].get("initContainers"), None);
        assert_eq!(uninjected(&after), document);
    }
}

#[test]
fn kubectl_takes_the_app_by_default_and_not_an_ordinary_sidecar() {
    const NAME: &str = "kubectl.kubernetes.io/default-container";
    let default = |document: &Value| document["metadata"]["annotations"].get(NAME).cloned();
    let after = injected_with(&web(), &ordinary());
    assert_eq!(default(&after), Some("web".into()));
    assert_eq!(uninjected(&after), web());
    assert_eq!(
        report(&after, Task::Inject, &ordinary()).verdict,
        Verdict::Unchanged("already injected".into())
    );
    // A native sidecar is none of the containers.
    assert_eq!(default(&injected(&web())), None);
    assert_eq!(default(&injected(&after)), None);
    // Another webhook may reverse the containers before it adds one.
    let mut reversed = after.clone();
    let containers = reversed["spec"]["containers"].as_array_mut();
    let containers = containers.expect("a list");
    containers.push(json!({"name": "added"}));
    containers.reverse();
    assert_eq!(
        report(&reversed, Task::Inject, &ordinary()).verdict,
        Verdict::Unchanged("already injected".into())
    );
    // A container that is renamed is still the default.
    let mut renamed = after.clone();
    renamed["spec"]["containers"][1]["name"] = "server".into();
    let renamed = injected_with(&renamed, &ordinary());
    assert_eq!(default(&renamed), Some("server".into()));
}

#[test]
fn the_owners_default_container_of_kubectl_stays() {
    const NAME: &str = "kubectl.kubernetes.io/default-container";
    let default = |document: &Value| document["metadata"]["annotations"].get(NAME).cloned();
    for own in ["web", "probelet", "", "other"] {
        let document = annotated(web(), json!({NAME: own}));
        let after = injected_with(&document, &ordinary());
        assert_eq!(default(&after), Some(own.into()));
        assert_eq!(uninjected(&after), document);
        // Written after injection, over ours.
        let mut after = injected_with(&web(), &ordinary());
        after["metadata"]["annotations"][NAME] = own.into();
        let again = match own {
            "web" => after,
            _ => injected_with(&after, &ordinary()),
        };
        assert_eq!(default(&again), Some(own.into()));
        let expected = (own != "web").then(|| own.into());
        assert_eq!(default(&uninjected(&again)), expected);
    }
}

#[test]
fn the_sidecar_has_the_user_of_files_that_only_one_user_can_read() {
    let token = json!({"serviceAccountToken": {"path": "token"}});
    let certificate =
        json!({"podCertificate": {"signerName": "example.com/s", "keyType": "ED25519"}});
    let projected = |mode: Option<u32>, source: &Value| {
        let mut projected = json!({"sources": [{"configMap": {"name": "x"}}, source]});
        if let Some(mode) = mode {
            projected["defaultMode"] = mode.into();
        }
        projected
    };
    let user = |document: &Value| ours(&injected(document))["securityContext"]["runAsUser"].clone();
    for (projected, expected) in [
        (projected(Some(0o400), &token), 1000),
        (projected(Some(0o640), &token), 1000),
        (projected(Some(0o644), &token), 1337),
        (projected(None, &token), 1337),
        (projected(None, &certificate), 1000),
        (
            projected(Some(0o400), &json!({"secret": {"name": "x"}})),
            1337,
        ),
    ] {
        let mut document = web();
        document["spec"]["securityContext"] = json!({"runAsUser": 1000});
        document["spec"]["volumes"] = json!([{"name": "files", "projected": projected}]);
        assert_eq!(user(&document), expected, "{projected}");
        let after = injected(&document);
        assert_eq!(
            report(&after, Task::Inject, &settings()).verdict,
            Verdict::Unchanged("already injected".into())
        );
        assert_eq!(uninjected(&after), document);
    }
    let mut document = web();
    document["spec"]["volumes"] =
        json!([{"name": "files", "projected": projected(Some(0o400), &token)}]);
    let mut with = |of_pod: Value, of_container: Value| {
        document["spec"]["securityContext"] = of_pod;
        document["spec"]["containers"][0]["securityContext"] = of_container;
        user(&document)
    };
    let set = |user: u32| json!({"runAsUser": user});
    assert_eq!(with(json!({}), json!({})), 1337);
    assert_eq!(with(json!({}), set(2000)), 2000);
    assert_eq!(with(set(1000), set(2000)), 2000);
    assert_eq!(with(set(0), json!({})), 1337);
    // The group may read the files.
    assert_eq!(
        with(json!({"runAsUser": 1000, "fsGroup": 5}), json!({})),
        1337
    );
    // The user of the settings is the operator's choice.
    document["spec"]["securityContext"] = set(1000);
    let chosen = Settings {
        run_as_user: RunAsUser::Id(2000),
        ..settings()
    };
    let after = injected_with(&document, &chosen);
    assert_eq!(ours(&after)["securityContext"]["runAsUser"], 2000);
    let mut document = annotated(document, json!({"probelet.dev/run-as-user": "1337"}));
    document["spec"]["securityContext"] = set(1000);
    assert_eq!(user(&document), 1337);
    let mut two = web();
    two["spec"]["volumes"] =
        json!([{"name": "files", "projected": projected(Some(0o400), &token)}]);
    two["spec"]["initContainers"] = json!([{"name": "setup", "securityContext": set(1)}]);
    two["spec"]["securityContext"] = set(1000);
    assert_eq!(user(&two), 1337);
}

#[test]
fn the_sidecar_comes_first() {
    let mut document = web();
    document["spec"]["initContainers"] = json!([{"name": "setup"}]);
    let after = injected(&document);
    assert_eq!(after["spec"]["initContainers"][0]["name"], "probelet");
    assert_eq!(after["spec"]["initContainers"][1]["name"], "setup");
}

#[test]
fn the_port_name_of_the_sidecar_is_unique() {
    for (taken, name) in [
        (json!(["http"]), Some("probelet")),
        (json!(["probelet"]), Some("probelet-status")),
        (json!(["probelet", "probelet-status"]), None),
    ] {
        let mut document = web();
        let names = taken.as_array().into_iter().flatten().enumerate();
        let ports = names.map(|(index, name)| json!({"name": name, "containerPort": index + 1}));
        document["spec"]["containers"][0]["ports"] = ports.collect();
        let after = injected(&document);
        let port = &after["spec"]["initContainers"][0]["ports"][0];
        assert_eq!(port.get("name").and_then(Value::as_str), name);
        assert_eq!(
            report(&after, Task::Inject, &settings()).verdict,
            Verdict::Unchanged("already injected".into())
        );
    }
}

#[test]
fn the_sidecar_keeps_one_port_when_its_name_changes() {
    let ports = |names: [&str; 2]| {
        let mut document = web();
        document["spec"]["containers"][0]["ports"] = json!([
            {"name": names[0], "containerPort": 1},
            {"name": names[1], "containerPort": 2},
        ]);
        document
    };
    let free = ["http", "metrics"];
    let preferred = ["probelet", "metrics"];
    let both = ["probelet", "probelet-status"];
    for (before, after, name) in [
        (preferred, free, Some("probelet")),
        (free, preferred, Some("probelet-status")),
        (both, free, Some("probelet")),
        (both, ["http", "probelet"], Some("probelet-status")),
        (free, both, None),
        (preferred, both, None),
    ] {
        let mut pod = injected(&ports(before));
        pod["spec"]["containers"][0]["ports"] =
            ports(after)["spec"]["containers"][0]["ports"].take();
        let ports = &injected(&pod)["spec"]["initContainers"][0]["ports"];
        let expected = match name {
            Some(name) => json!([{"name": name, "containerPort": 15020}]),
            None => json!([{"containerPort": 15020}]),
        };
        assert_eq!(*ports, expected, "{before:?} to {after:?}");
    }
}

#[test]
fn a_pull_policy_for_all_pods() {
    let mut always = settings();
    always.pull_policy = Some("Always".into());
    let after = injected_with(&web(), &always);
    assert_eq!(
        after["spec"]["initContainers"][0]["imagePullPolicy"],
        "Always"
    );
}

/// What the agent makes of a container's arguments and environment.
pub(super) fn started(container: &Value) -> Config {
    let args = container["args"].as_array().expect("arguments");
    let args = args
        .iter()
        .map(|arg| OsString::from(arg.as_str().expect("text")));
    let env = |name: &str| {
        let mut env = container["env"].as_array()?.iter();
        let var = env.find(|var| var["name"] == name)?;
        let value = var["value"].as_str().unwrap_or("192.0.2.1");
        Some(OsString::from(value))
    };
    match cli::parse(args, env) {
        Ok(cli::Invocation::Run(config)) => config,
        #[cfg(feature = "check")]
        Ok(other) => panic!("{other:?}"),
        Err(exit) => panic!("{}", exit.text),
    }
}

#[test]
fn the_agent_starts_with_its_arguments() {
    let annotations = json!({
        "probelet.dev/source-ip": "127.0.0.6", "probelet.dev/target-ip": "127.0.0.1",
        "probelet.dev/forward": "8002=15032, 8003=15033", "status.sidecar.istio.io/port": "15920",
    });
    let mut document = annotated(web(), annotations);
    document["spec"]["containers"][0]["lifecycle"] =
        json!({"preStop": {"httpGet": {"path": "/", "port": 8001}}});
    let after = injected_with(&document, &ordinary());
    let config = started(&after["spec"]["containers"][0]);
    assert_eq!(config.status.port, 15920);
    assert_eq!(config.source, Some([127, 0, 0, 6].into()));
    assert_eq!(config.target, core::net::IpAddr::from([127, 0, 0, 1]));
    assert_eq!(config.forwards[1].listen.port, 15033);
    assert_eq!(config.forwards[1].target, ([127, 0, 0, 1], 8003).into());
    assert_eq!(config.shutdown_delay.as_secs(), 25);
    assert!(config.probers.find(b"/app-health/web/livez").is_some());
}

#[test]
fn a_startup_probe_by_annotation() {
    let document = annotated(web(), json!({"probelet.dev/startup-probe": "true"}));
    let after = injected(&document);
    assert_eq!(
        ours(&after)["startupProbe"],
        json!({"httpGet": {"path": "/healthz/ready", "port": 15020}, "periodSeconds": 1, "failureThreshold": 30})
    );
    assert_eq!(uninjected(&after), document);
    assert_eq!(
        refusal_reason(&annotated(
            web(),
            json!({"probelet.dev/startup-probe": "yes"})
        )),
        "annotation probelet.dev/startup-probe is \"yes\": write true or false"
    );
}

#[test]
fn an_update_removes_the_startup_probe_that_injection_wrote() {
    let with_probe = Settings {
        startup_probe: true,
        ..settings()
    };
    let mut document = injected_with(&web(), &with_probe);
    // The API server's defaults.
    let probe = &mut document["spec"]["initContainers"][0]["startupProbe"];
    probe["timeoutSeconds"] = 1.into();
    probe["httpGet"]["scheme"] = "HTTP".into();
    assert_eq!(injected(&document), injected(&web()));
    assert_eq!(effect_of(&document), "updated: startupProbe");
    // Another's stays.
    let probe = &mut document["spec"]["initContainers"][0]["startupProbe"];
    *probe = json!({"tcpSocket": {"port": 15020}});
    let verdict = report(&document, Task::Inject, &settings()).verdict;
    assert_eq!(verdict, Verdict::Unchanged("already injected".into()));
}

#[test]
fn a_startup_probe_that_a_person_has_edited_stays() {
    let with_probe = Settings {
        startup_probe: true,
        ..settings()
    };
    for (field, value) in [
        ("failureThreshold", 60),
        ("periodSeconds", 5),
        ("initialDelaySeconds", 1),
    ] {
        let mut document = injected_with(&web(), &with_probe);
        let probe = &mut document["spec"]["initContainers"][0]["startupProbe"];
        probe[field] = value.into();
        let expected = probe.clone();
        let verdict = report(&document, Task::Inject, &settings()).verdict;
        assert_eq!(verdict, Verdict::Unchanged("already injected".into()));
        // The sidecar would not start with a probe of the port that it had.
        let mut other = settings();
        other.status_port = 15920;
        let after = injected_with(&document, &other);
        let mut moved = expected;
        moved["httpGet"]["port"] = 15920.into();
        assert_eq!(ours(&after)["startupProbe"], moved);
    }
}

#[test]
fn the_user_is_a_number_or_the_clusters_choice() {
    let user = |after: &Value| {
        let context = &ours(after)["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context.get("runAsUser"), context.get("runAsGroup"));
        context.get("runAsUser").and_then(Value::as_u64)
    };
    let of = |user: &str| annotated(web(), json!({"probelet.dev/run-as-user": user}));
    for (annotation, expected) in [
        ("none", None),
        ("1", Some(1)),
        ("2147483647", Some(2_147_483_647)),
    ] {
        let document = of(annotation);
        let after = injected(&document);
        assert_eq!(user(&after), expected);
        assert_eq!(uninjected(&after), document);
    }
    assert_eq!(user(&injected(&web())), Some(1337));
    // kubelet would not start it.
    let mut root = of("none");
    root["spec"]["securityContext"] = json!({"runAsUser": 0});
    assert_eq!(user(&injected(&root)), Some(1337));
    for invalid in ["0", "-1", "+1", "2147483648", "", "root", "None"] {
        assert_eq!(
            refusal_reason(&of(invalid)),
            format!(
                "annotation probelet.dev/run-as-user is \"{invalid}\": write a number from 1 to 2147483647, as the sidecar \
                 never runs as root (0), or none for the user that the cluster assigns"
            )
        );
    }
}

#[test]
fn an_update_removes_the_user_of_an_earlier_injection_and_no_other() {
    let with_user = |run_as_user| Settings {
        run_as_user,
        ..settings()
    };
    let unset = with_user(RunAsUser::Unset);
    let expected = injected_with(&web(), &unset);
    for user in [RunAsUser::DEFAULT, RunAsUser::Id(2000), RunAsUser::Unset] {
        let document = injected_with(&web(), &with_user(user));
        for (next, expected) in [(&unset, &expected), (&settings(), &injected(&web()))] {
            if document != *expected {
                assert_eq!(injected_with(&document, next), *expected);
            }
        }
    }
    // OpenShift assigns one between two calls of the webhook.
    let mut assigned = expected;
    assigned["spec"]["initContainers"][0]["securityContext"]["runAsUser"] = 1_000_650_000.into();
    let verdict = report(&assigned, Task::Inject, &unset).verdict;
    assert_eq!(verdict, Verdict::Unchanged("already injected".into()));
}
