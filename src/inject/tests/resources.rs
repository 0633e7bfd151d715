//! The sidecar's resources: adjusted to those of the pod and to the bounds of the namespace.

use super::*;

/// The sidecar of a pod, in either list.
fn sidecar_of(document: &Value) -> &Value {
    let lists = LISTS
        .iter()
        .filter_map(|list| document["spec"][*list].as_array());
    let mut containers = lists.flatten();
    let sidecar = containers.find(|container| container["name"] == "probelet");
    sidecar.expect("a sidecar")
}

/// A container with a probe and these resources.
fn app(name: &str, resources: Value) -> Value {
    json!({
        "name": name,
        "ports": [{"containerPort": 8080}],
        "livenessProbe": {"httpGet": {"port": 8080}},
        "resources": resources,
    })
}

fn pod_of(resources: Value) -> Value {
    pod(json!([app("web", resources)]))
}

fn resources_with(document: &Value, settings: &Settings) -> Value {
    sidecar_of(&injected_with(document, settings))["resources"].clone()
}

fn resources_of(document: &Value) -> Value {
    resources_with(document, &settings())
}

/// Settings with the bounds of a LimitRange with one item for containers.
fn bounded(item: Value) -> Settings {
    bounded_by("Container", item)
}

fn bounded_by(kind: &str, mut item: Value) -> Settings {
    item["type"] = kind.into();
    let limit_range = json!({"metadata": {"name": "bounds"}, "spec": {"limits": [item]}});
    Settings {
        container_bounds: ContainerBounds::from_limit_ranges(&[limit_range]),
        ..settings()
    }
}

/// Settings with the bounds of several LimitRanges.
fn bounded_by_all(limit_ranges: &[Value]) -> Settings {
    Settings {
        container_bounds: ContainerBounds::from_limit_ranges(limit_ranges),
        ..settings()
    }
}

/// A LimitRange as the API server stores it (`pkg/apis/core/v1/defaults.go`: `SetDefaults_LimitRangeItem`).
fn limit_range(name: &str, kind: &str, mut item: Value) -> Value {
    item["type"] = kind.into();
    if kind == "Container" {
        for (from, to) in [
            ("max", "default"),
            ("default", "defaultRequest"),
            ("min", "defaultRequest"),
        ] {
            for (resource, amount) in item[from].as_object().cloned().unwrap_or_default() {
                if item[to].get(&resource).is_none() {
                    item[to][resource] = amount;
                }
            }
        }
    }
    json!({"metadata": {"name": name}, "spec": {"limits": [item]}})
}

fn with_annotation(document: &Value, resources: &str) -> Value {
    annotated(
        document.clone(),
        json!({"probelet.dev/resources": resources}),
    )
}

#[track_caller]
fn refusal_with(document: &Value, settings: &Settings) -> String {
    let report = report(document, Task::Inject, settings);
    match report.verdict {
        Verdict::Refused(reason) => reason.into(),
        other => panic!("{other:?} {:?}: {document}", report.warnings),
    }
}

fn warnings_with(document: &Value, settings: &Settings) -> Vec<String> {
    let report = report(document, Task::Inject, settings);
    report.warnings.into_iter().map(Into::into).collect()
}

#[track_caller]
fn is_settled(document: &Value, settings: &Settings) {
    let after = injected_with(document, settings);
    let verdict = report(&after, Task::Inject, settings).verdict;
    assert_eq!(
        verdict,
        Verdict::Unchanged("already injected".into()),
        "{after}"
    );
}

#[test]
fn a_pod_without_resources_gets_those_of_the_settings() {
    for resources in [json!({}), json!(null), json!({"requests": {"cpu": "1m"}})] {
        assert_eq!(resources_of(&pod_of(resources)), settings().resources);
    }
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() {
    let guaranteed = json!({"limits": {"cpu": "1m", "memory": "2Mi"}});
    let same = json!({"cpu": "50m", "memory": "16Mi"});
    let expected = json!({"requests": same, "limits": same});
    let document = pod_of(guaranteed.clone());
    assert_eq!(resources_of(&document), expected);
    assert!(warnings(&document).is_empty());
    is_settled(&document, &settings());
    let mut with_init = document.clone();
    with_init["spec"]["initContainers"] = json!([{"name": "init", "resources": guaranteed}]);
    assert_eq!(resources_of(&with_init), expected);
    with_init["spec"]["initContainers"][0]["resources"]["limits"]["cpu"] = "0".into();
    assert_ne!(resources_of(&with_init)["requests"], expected["requests"]);
}

#[test]
fn a_best_effort_pod_stays_best_effort_where_a_quota_counts_pods_by_class() {
    let mut set = settings();
    set.resources =
        json!({"requests": {"cpu": "1m"}, "limits": {"memory": "16Mi", "example.com/a": 1}});
    set.keeps_best_effort = true;
    let zero = json!({"cpu": "0", "memory": "0"});
    for (of_app, expected) in [
        (json!({}), json!({"limits": {"example.com/a": 1}})),
        (
            json!({"requests": {"ephemeral-storage": "1Gi"}}),
            json!({"requests": {"ephemeral-storage": "1Mi"}, "limits": {"example.com/a": 1}}),
        ),
        (
            json!({"limits": zero}),
            json!({"requests": zero, "limits": {"cpu": "0", "memory": "0", "example.com/a": 1}}),
        ),
    ] {
        let document = pod_of(of_app);
        assert_eq!(resources_with(&document, &set), expected);
        is_settled(&document, &set);
        // A pod that was injected before the quota.
        let mut before = set.clone();
        before.keeps_best_effort = false;
        let after = injected_with(&injected_with(&document, &before), &set);
        assert_eq!(sidecar_of(&after)["resources"], expected);
    }
    let burstable = pod_of(json!({"requests": {"cpu": "1m"}}));
    let expected = json!({"cpu": "1m"});
    assert_eq!(resources_with(&burstable, &set)["requests"], expected);
    let document = pod_of(json!({}));
    let annotated = with_annotation(&document, r#"{"limits":{"memory":"32Mi"}}"#);
    assert_eq!(
        warnings_with(&annotated, &set),
        [
            "annotation probelet.dev/resources makes the BestEffort pod Burstable, so a ResourceQuota may refuse it: write {}, \
             or remove the annotation"
        ]
    );
    for annotation in ["{}", r#"{"requests":{"memory":0}}"#] {
        let annotated = with_annotation(&document, annotation);
        assert_eq!(warnings_with(&annotated, &set), [""; 0]);
    }
}

#[test]
fn a_guaranteed_sidecar_has_no_whole_cpu() {
    let mut set = settings();
    set.resources = json!({"limits": {"cpu": 1, "memory": "32Mi"}});
    let document = pod_of(json!({"limits": {"cpu": 2, "memory": "1Gi"}}));
    let same = json!({"cpu": "999m", "memory": "32Mi"});
    assert_eq!(
        resources_with(&document, &set),
        json!({"limits": {"cpu": "999m", "memory": "32Mi"}, "requests": same})
    );
    is_settled(&document, &set);
}

#[test]
fn an_amount_that_was_added_by_hand_is_retained() {
    let document = pod_of(json!({"limits": {"cpu": 1, "memory": "1Gi"}}));
    let mut set = settings();
    set.resources = json!({"requests": {"memory": "2Mi"}, "limits": {"memory": "16Mi"}});
    let mut by_hand = injected_with(&pod_of(json!({})), &set);
    by_hand["spec"]["containers"] = document["spec"]["containers"].clone();
    by_hand["spec"]["containers"][0]["livenessProbe"] = json!({"httpGet": {"port": 8081}});
    by_hand["spec"]["initContainers"][0]["resources"]["limits"]["cpu"] = "200m".into();
    let after = injected_with(&by_hand, &set);
    let same = json!({"cpu": "200m", "memory": "16Mi"});
    assert_eq!(
        sidecar_of(&after)["resources"],
        json!({"requests": same, "limits": same})
    );
    let verdict = report(&after, Task::Inject, &set).verdict;
    assert_eq!(verdict, Verdict::Unchanged("already injected".into()));
    // In a pod that is no longer Guaranteed, the requests of the injector go, and the limit stays.
    let mut burstable = after;
    burstable["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": "1Gi"}});
    let resources = resources_with(&burstable, &set);
    let limits = json!({"memory": "16Mi", "cpu": "200m"});
    assert_eq!(
        resources,
        json!({"requests": {"memory": "2Mi"}, "limits": limits})
    );
}

#[test]
fn an_amount_that_every_container_states_is_stated() {
    let document =
        pod_of(json!({"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": 1}}));
    let resources = resources_of(&document);
    assert_eq!(resources["limits"], json!({"memory": "16Mi", "cpu": "50m"}));
    assert_eq!(resources["requests"], json!({"cpu": "1m", "memory": "2Mi"}));
    is_settled(&document, &settings());
    let mut without = document;
    without["spec"]["initContainers"] = json!([{"name": "init"}]);
    assert_eq!(resources_of(&without), settings().resources);
    let mut none = settings();
    none.resources = json!({});
    let document = pod_of(json!({"requests": {"cpu": "1m", "memory": "1Mi"}}));
    let requests = json!({"requests": {"cpu": "1m", "memory": "2Mi"}});
    assert_eq!(resources_with(&document, &none), requests);
    is_settled(&document, &none);
}

#[test]
fn ephemeral_storage_that_every_container_states_is_stated() {
    let (all, some) = ("1Gi", json!({}));
    for (of_app, of_other, expected) in [
        (
            json!({"limits": all}),
            json!({"limits": all}),
            json!({"requests": "1Mi", "limits": "64Mi"}),
        ),
        (
            json!({"requests": all, "limits": all}),
            json!({"requests": "1Mi"}),
            json!({"requests": "1Mi"}),
        ),
        (json!({"requests": all}), some.clone(), json!({})),
        (some.clone(), json!({"limits": all}), json!({})),
    ] {
        let resources = |of: &Value| {
            let mut resources = json!({});
            for (group, amount) in of.as_object().expect("an object") {
                resources[group]["ephemeral-storage"] = amount.clone();
            }
            resources
        };
        let document = pod(json!([
            app("web", resources(&of_app)),
            {"name": "log", "resources": resources(&of_other)},
        ]));
        let after = resources_of(&document);
        let mut found = json!({});
        for group in ["requests", "limits"] {
            if let Some(amount) = after[group].get("ephemeral-storage") {
                found[group] = amount.clone();
            }
        }
        assert_eq!(found, expected, "{of_app} {of_other}");
        is_settled(&document, &settings());
        assert_eq!(uninjected(&injected(&document)), document);
    }
}

#[test]
fn a_memory_request_equals_the_limit_if_it_does_in_every_container() {
    let amounts = |request: &str, limit: &str| json!({"requests": {"cpu": "10m", "memory": request}, "limits": {"memory": limit}});
    let expected =
        json!({"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}});
    let equal = amounts("64Mi", "64Mi");
    for other in [
        equal.clone(),
        json!({"limits": {"memory": "1Gi"}}),
        amounts("1024Mi", "1Gi"),
    ] {
        let document = pod(json!([app("web", equal.clone()), {"name": "log", "resources": other}]));
        assert_eq!(resources_of(&document), expected);
        is_settled(&document, &settings());
    }
    for other in [amounts("32Mi", "64Mi"), json!({}), amounts("0", "0")] {
        let document = pod(json!([app("web", equal.clone()), {"name": "log", "resources": other}]));
        assert_eq!(resources_of(&document), settings().resources);
    }
    // Each pod would request fifty times as much CPU.
    let cpu = json!({"requests": {"cpu": "1", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}});
    assert_eq!(resources_of(&pod_of(cpu))["requests"]["cpu"], "1m");
}

#[test]
fn a_pod_with_pod_level_resources_gets_requests_of_zero() {
    let own = json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}});
    let zero = json!({"cpu": "0", "memory": "0"});
    let mut document = pod_of(json!({"requests": {"cpu": "100m", "memory": "64Mi"}}));
    document["spec"]["resources"] = own;
    let expected = json!({"requests": zero, "limits": {"memory": "16Mi"}});
    assert_eq!(resources_of(&document), expected);
    is_settled(&document, &settings());
    document["spec"]["resources"]["limits"]["memory"] = "8Mi".into();
    assert_eq!(resources_of(&document)["limits"], json!({"memory": "8Mi"}));
    let mut cpu = document.clone();
    cpu["spec"]["resources"] = json!({"requests": {"cpu": "100m"}});
    let requests = json!({"cpu": "0", "memory": "2Mi"});
    assert_eq!(resources_of(&cpu)["requests"], requests);
}

#[test]
fn requests_of_a_pod_that_default_to_its_limits_are_left_to_it() {
    let mut document = pod_of(json!({}));
    document["spec"]["resources"] = json!({"limits": {"cpu": 1, "memory": "64Mi"}});
    assert_eq!(resources_of(&document), json!({}));
    // The API server's default is no change.
    let mut after = injected(&document);
    after["spec"]["resources"]["requests"] = json!({"cpu": 1, "memory": "64Mi"});
    let verdict = report(&after, Task::Inject, &settings()).verdict;
    assert_eq!(verdict, Verdict::Unchanged("already injected".into()));
}

#[test]
fn bounds_raise_and_lower_the_amounts() {
    for (item, expected) in [
        (
            json!({"min": {"cpu": "10m", "memory": "4Mi"}}),
            json!({"requests": {"cpu": "10m", "memory": "4Mi"}, "limits": {"memory": "16Mi"}}),
        ),
        (
            json!({"min": {"memory": "32Mi"}}),
            json!({"requests": {"cpu": "1m", "memory": "32Mi"}, "limits": {"memory": "32Mi"}}),
        ),
        (
            json!({"max": {"cpu": 2}, "default": {"cpu": 2}, "defaultRequest": {"cpu": 2}}),
            settings().resources,
        ),
        (
            json!({"maxLimitRequestRatio": {"memory": 2, "cpu": 4}}),
            json!({
                "requests": {"cpu": "13m", "memory": "8Mi"},
                "limits": {"memory": "16Mi", "cpu": "50m"},
            }),
        ),
        (
            json!({"max": {"memory": "8Mi"}}),
            json!({"requests": {"cpu": "1m", "memory": "2Mi"}, "limits": {"memory": "8Mi"}}),
        ),
        (
            json!({"default": {"cpu": "1u"}}),
            json!({
                "requests": {"cpu": "1m", "memory": "2Mi"},
                "limits": {"memory": "16Mi", "cpu": "50m"},
            }),
        ),
    ] {
        let settings = bounded(item);
        let document = pod_of(json!({}));
        assert_eq!(resources_with(&document, &settings), expected);
        is_settled(&document, &settings);
    }
}

#[test]
fn bounds_of_ephemeral_storage_are_kept() {
    let with_storage = |storage: Value| {
        let mut expected = settings().resources;
        for (group, amount) in storage.as_object().expect("an object") {
            expected[group]["ephemeral-storage"] = amount.clone();
        }
        expected
    };
    let app = json!({
        "requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "1Gi"},
    });
    let document = pod(json!([self::app("web", app.clone()), {"name": "log"}]));
    let stating = pod_of(app);
    for (item, expected) in [
        // The API server copies a maximum into the default of the request, which would be 10Gi.
        (
            json!({"max": {"ephemeral-storage": "10Gi"}}),
            json!({"requests": "0", "limits": "0"}),
        ),
        (
            json!({"min": {"ephemeral-storage": "2Mi"}}),
            json!({"requests": "2Mi", "limits": "64Mi"}),
        ),
        (
            json!({"maxLimitRequestRatio": {"ephemeral-storage": "2"}}),
            json!({"requests": "32Mi", "limits": "64Mi"}),
        ),
        (
            json!({
                "max": {"ephemeral-storage": "10Gi"}, "maxLimitRequestRatio": {"ephemeral-storage": "4"},
            }),
            json!({"requests": "16Mi", "limits": "64Mi"}),
        ),
        (json!({"min": {"cpu": "1m"}}), json!({})),
    ] {
        let set = bounded_by_all(&[limit_range("storage", "Container", item)]);
        assert_eq!(
            resources_with(&document, &set),
            with_storage(expected.clone())
        );
        assert_eq!(warnings_with(&document, &set), [""; 0]);
        is_settled(&document, &set);
    }
    let item = json!({"maxLimitRequestRatio": {"ephemeral-storage": "2"}});
    let set = bounded_by_all(&[limit_range("storage", "Container", item)]);
    let annotated = with_annotation(&document, r#"{"limits":{"memory":"32Mi"}}"#);
    assert_eq!(
        refusal_with(&annotated, &set),
        "the API server would refuse the pod with its sidecar, because LimitRange storage requires an ephemeral-storage limit of \
         at most 2 times its request of each container: change ephemeral-storage of the sidecar's resources in annotation \
         probelet.dev/resources of the pod template, or the LimitRange"
    );
    let item = json!({"max": {"ephemeral-storage": "1Gi"}});
    let set = bounded_by("Pod", item);
    for document in [&document, &stating] {
        assert_eq!(resources_with(document, &set), settings().resources);
        is_settled(document, &set);
    }
    let item = json!({"max": {"ephemeral-storage": "2Gi"}});
    let both = json!({"requests": "1Mi", "limits": "64Mi"});
    for kind in ["Container", "Pod"] {
        let set = bounded_by_all(&[limit_range("storage", kind, item.clone())]);
        assert_eq!(resources_with(&stating, &set), with_storage(both.clone()));
        is_settled(&stating, &set);
    }
}

#[test]
fn the_sidecar_does_not_get_the_default_of_huge_pages() {
    let document = pod_of(json!({}));
    let pages = |resources: &Value| {
        ["requests", "limits"].map(|group| resources[group]["hugepages-2Mi"].clone())
    };
    let item = json!({"default": {"hugepages-2Mi": "64Mi"}});
    let set = bounded_by_all(&[limit_range("pages", "Container", item)]);
    assert_eq!(pages(&resources_with(&document, &set)), ["0", "0"]);
    is_settled(&document, &set);
    // The API server refuses a container with huge pages, also with none of them, and without CPU and memory.
    let set = Settings {
        resources: json!({}),
        ..set
    };
    assert_eq!(resources_with(&document, &set), json!({}));
}

#[test]
fn the_sidecar_does_not_get_the_default_of_an_extended_resource() {
    let document = pod_of(json!({"limits": {"example.com/gpu": 1}}));
    let gpu = |resources: &Value| {
        ["requests", "limits"].map(|group| resources[group]["example.com/gpu"].clone())
    };
    let item = json!({"max": {"example.com/gpu": 2}});
    let set = bounded_by_all(&[limit_range("gpu", "Container", item.clone())]);
    assert_eq!(gpu(&resources_with(&document, &set)), ["0", "0"]);
    is_settled(&document, &set);
    let mut required = item;
    required["min"] = json!({"example.com/gpu": 1});
    let set = bounded_by_all(&[limit_range("gpu", "Container", required)]);
    assert_eq!(
        gpu(&resources_with(&document, &set)),
        [json!(null), json!(null)]
    );
}

#[test]
fn bounds_that_cannot_be_kept_are_a_warning() {
    let document = pod_of(json!({}));
    assert_eq!(
        warnings_with(&document, &bounded(json!({"max": {"memory": "8Mi"}}))),
        [
            "LimitRange bounds lowers the sidecar's memory limit from 16Mi to 8Mi, so it may be killed at its start: \
             raise its max.memory"
        ]
    );
    let limits = |limits: Value, item: Value| Settings {
        resources: json!({"limits": limits}),
        ..bounded(item)
    };
    let storage = limits(
        json!({"ephemeral-storage": "1Gi"}),
        json!({"max": {"ephemeral-storage": "100Mi"}}),
    );
    assert_eq!(
        warnings_with(&document, &storage),
        [
            "LimitRange bounds lowers the sidecar's ephemeral-storage limit from 1Gi to 100Mi, so kubelet may evict the pod: \
             raise its max.ephemeral-storage"
        ]
    );
    let cpu = limits(json!({"cpu": "100m"}), json!({"max": {"cpu": "10m"}}));
    assert_eq!(
        warnings_with(&document, &cpu),
        [
            "LimitRange bounds lowers the sidecar's cpu limit from 100m to 10m, so probes may time out: raise its max.cpu"
        ]
    );
}

#[test]
fn a_pod_that_the_api_server_would_refuse_with_its_sidecar_is_refused() {
    let mut with_own = pod_of(json!({"requests": {"cpu": "100m"}}));
    with_own["spec"]["resources"] = json!({"requests": {"cpu": "100m"}});
    assert_eq!(
        refusal_with(&with_own, &bounded(json!({"min": {"cpu": "10m"}}))),
        "the API server would refuse the pod with its sidecar, because LimitRange bounds requires a request and a limit of at \
         least 10m cpu of each container: change cpu of the sidecar's resources in annotation probelet.dev/resources of \
         the pod template, or the LimitRange"
    );
    let full = pod_of(json!({"requests": {"cpu": "1m"}, "limits": {"memory": "64Mi"}}));
    let of_pod = |item: Value| bounded_by("Pod", item);
    assert_eq!(
        refusal_with(&full, &of_pod(json!({"max": {"memory": "64Mi"}}))),
        "the API server would refuse the pod with its sidecar, because LimitRange bounds requires a limit of at most 64Mi memory \
         of the pod with its sidecar: change memory of the sidecar's resources in annotation probelet.dev/resources of \
         the pod template, or the LimitRange"
    );
    let kept = of_pod(json!({"max": {"memory": "80Mi"}, "min": {"cpu": "1m"}}));
    assert!(warnings_with(&full, &kept).is_empty());
    // The API server refuses this pod without the sidecar, too.
    injected_with(&full, &of_pod(json!({"max": {"memory": "32Mi"}})));
    let container = Settings {
        sidecar: Sidecar::Container,
        ..settings()
    };
    let mut own = pod_of(json!({"requests": {"cpu": "100m"}}));
    own["spec"]["resources"] = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "16Mi"}});
    assert_eq!(
        refusal_with(
            &with_annotation(&own, r#"{"requests":{"cpu":"1m"}}"#),
            &settings()
        ),
        "the API server would refuse the pod with its sidecar, because the cpu requests of its containers are 101m, more than \
         100m in spec.resources: write \"cpu\": 0 in the requests of annotation probelet.dev/resources of the pod template"
    );
    let above = with_annotation(&own, r#"{"requests":{"cpu":0},"limits":{"memory":"32Mi"}}"#);
    assert_eq!(
        refusal_with(&above, &container),
        "the API server would refuse the pod with its sidecar, because its memory limit is 32Mi, more than 16Mi in \
         spec.resources: lower it in annotation probelet.dev/resources of the pod template"
    );
    let defaults = limit_range("low", "Container", json!({"default": {"cpu": "20m"}}));
    assert_eq!(
        refusal_with(
            &with_annotation(&pod_of(json!({})), r#"{"requests":{"cpu":"30m"}}"#),
            &bounded_by_all(&[defaults])
        ),
        "the API server would refuse the pod with its sidecar, because its cpu request of 30m is more than the limit of 20m, the \
         default of a LimitRange: write a cpu limit in annotation probelet.dev/resources of the pod template"
    );
}

#[test]
fn defaults_of_limit_ranges_are_no_reason_to_warn() {
    let memory = r#"{"limits":{"memory":"32Mi"}}"#;
    let limited = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}});
    let document = with_annotation(&pod_of(limited), memory);
    for item in [
        json!({"min": {"cpu": "10m"}}),
        json!({"max": {"cpu": "1"}, "min": {"cpu": "100m"}}),
    ] {
        let set = bounded_by("Pod", item);
        let found = report(&document, Task::Inject, &set);
        assert!(!matches!(found.verdict, Verdict::Refused(_)), "{found:?}");
        let demand = |warning: &&str| warning.contains("LimitRange");
        assert_eq!(found.warnings.iter().map(|each| &**each).find(demand), None);
    }
    let defaults = limit_range(
        "defaults",
        "Container",
        json!({"default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}}),
    );
    let bounds = json!({"metadata": {"name": "bounds"}, "spec": {"limits": [
        {"type": "Container", "max": {"cpu": 1}, "min": {"cpu": "50m"}, "maxLimitRequestRatio": {"cpu": 2}},
    ]}});
    let set = bounded_by_all(&[bounds, defaults]);
    let both = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1"}});
    let document = with_annotation(&pod_of(both), memory);
    assert_eq!(warnings_with(&document, &set), [""; 0]);
    let guaranteed = json!({"limits": {"cpu": 1, "memory": "1Gi"}});
    let document = with_annotation(&pod_of(guaranteed), memory);
    let same = json!({"default": {"cpu": "200m"}});
    let set = bounded_by_all(&[limit_range("same", "Container", same)]);
    assert_eq!(warnings_with(&document, &set), [""; 0]);
}

#[test]
fn different_defaults_may_be_a_reason_to_refuse_a_pod() {
    let default = |name: &str, cpu: &str| {
        let item = json!({"default": {"cpu": cpu}, "defaultRequest": {"cpu": "1m"}});
        limit_range(name, "Container", item)
    };
    let set = bounded_by_all(&[default("low", "20m"), default("high", "100m")]);
    let document = pod_of(json!({}));
    let annotation = r#"{"requests":{"cpu":"30m"}}"#;
    assert_eq!(
        warnings_with(&with_annotation(&document, annotation), &set),
        [
            "the API server may refuse the pod with its sidecar, because its cpu request of 30m is more than the limit of 20m, \
             the default of a LimitRange: write a cpu limit in annotation probelet.dev/resources of the pod template"
        ]
    );
    let mut with_request = set.clone();
    with_request.resources = json!({"requests": {"cpu": "30m"}});
    assert_eq!(warnings_with(&document, &with_request), [""; 0]);
    let limits = json!({"cpu": "50m"});
    assert_eq!(resources_with(&document, &with_request)["limits"], limits);
}

#[test]
fn bounds_do_not_make_a_whole_cpu_in_a_guaranteed_pod() {
    let document = pod_of(json!({"limits": {"cpu": 2, "memory": "1Gi"}}));
    for (item, expected) in [
        (json!({"min": {"cpu": 1}}), "1001m"),
        (json!({"min": {"cpu": "500m"}, "max": {"cpu": 1}}), "500m"),
        (json!({"min": {"cpu": 2}, "max": {"cpu": 3}}), "2001m"),
    ] {
        let set = bounded(item);
        let resources = resources_with(&document, &set);
        assert_eq!(resources["requests"]["cpu"], expected);
        assert_eq!(resources["limits"]["cpu"], expected);
        is_settled(&document, &set);
    }
    let mut set = bounded(json!({"max": {"cpu": 1}}));
    set.resources = json!({"limits": {"cpu": 4, "memory": "16Mi"}});
    assert_eq!(resources_with(&document, &set)["limits"]["cpu"], "999m");
}

#[test]
fn bounds_do_not_raise_a_limit_above_that_of_the_pod() {
    let mut document = pod_of(json!({"requests": {"cpu": "5m"}}));
    document["spec"]["resources"] = json!({"requests": {"cpu": "15m"}, "limits": {"cpu": "20m"}});
    let set = bounded(json!({"maxLimitRequestRatio": {"cpu": 4}}));
    let resources = resources_with(&document, &set);
    assert_eq!(resources["limits"]["cpu"], "20m");
    assert_eq!(resources["requests"]["cpu"], "5m");
    is_settled(&document, &set);
    // The default of a LimitRange is written out if it exceeds the pod's limit.
    let default = json!({"default": {"cpu": "100m"}, "defaultRequest": {"cpu": "1m"}});
    let set = bounded(default);
    assert_eq!(resources_with(&document, &set)["limits"]["cpu"], "20m");
}

#[test]
fn an_init_container_that_needs_more_than_the_containers_leaves_room() {
    let mut document = pod_of(json!({"requests": {"cpu": "5m"}}));
    document["spec"]["initContainers"] =
        json!([{"name": "init", "resources": {"requests": {"cpu": "1"}}}]);
    document["spec"]["resources"] = json!({"requests": {"cpu": "1"}});
    let document = with_annotation(&document, r#"{"requests":{"cpu":"10m"}}"#);
    let mut set = settings();
    refusal_with(&document, &set);
    set.sidecar = Sidecar::Container;
    assert_eq!(warnings_with(&document, &set), [""; 0]);
}

#[test]
fn resources_of_the_annotation_are_kept_with_a_warning() {
    let with = with_annotation;
    let memory = r#"{"limits":{"memory":"32Mi"}}"#;
    let guaranteed = pod_of(json!({"limits": {"cpu": 1, "memory": "1Gi"}}));
    let document = with(&guaranteed, memory);
    assert_eq!(
        resources_of(&document),
        json!({"limits": {"memory": "32Mi"}})
    );
    assert_eq!(
        warnings(&document),
        [
            "annotation probelet.dev/resources makes the Guaranteed pod Burstable: write requests and limits of cpu \
             and memory, and the same quantities in both, or remove the annotation",
            "annotation probelet.dev/resources has no CPU request, so a HorizontalPodAutoscaler by CPU does not scale \
             the pod, and a ResourceQuota may refuse it: add cpu to its requests",
        ]
    );
    let same = r#"{"limits":{"memory":"32Mi","cpu":"0.1"}}"#;
    assert!(warnings(&with(&guaranteed, same)).is_empty());
    let burstable = pod_of(json!({"requests": {"cpu": "1m"}, "limits": {"cpu": 1}}));
    assert_eq!(
        warnings(&with(&burstable, r#"{"requests":{"cpu":"1m"}}"#)),
        [
            "annotation probelet.dev/resources has no limits.cpu, which every other container has, so a ResourceQuota \
             may refuse the pod: add cpu to its limits"
        ]
    );
    let mut own = pod_of(json!({"requests": {"cpu": "100m"}}));
    own["spec"]["resources"] = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "16Mi"}});
    assert_eq!(
        warnings(&with(
            &own,
            r#"{"requests":{"cpu":0},"limits":{"memory":"32Mi"}}"#
        )),
        [
            "the API server may refuse the pod with its sidecar, because its memory limit is 32Mi, more than 16Mi in \
             spec.resources: lower it in annotation probelet.dev/resources of the pod template",
        ]
    );
    let bounded = bounded(json!({"min": {"cpu": "10m"}}));
    let low = with(&pod_of(json!({})), r#"{"requests":{"cpu":"1m"}}"#);
    assert_eq!(
        refusal_with(&low, &bounded),
        "the API server would refuse the pod with its sidecar, because LimitRange bounds requires a request and a limit of at \
         least 10m cpu of each container: change cpu of the sidecar's resources in annotation probelet.dev/resources of \
         the pod template, or the LimitRange"
    );
}

/// Numbers that look random, the same at each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// Requests and limits of CPU and memory that the API server accepts; each amount may be absent.
    fn resources(&mut self) -> Value {
        self.resources_of(&[
            ("cpu", ["0", "1m", "30m", "0.5", "2"]),
            ("memory", ["0", "8Mi", "16Mi", "20M", "1Gi"]),
        ])
    }

    /// The same, and sometimes of ephemeral storage, which is no pod-level resource.
    fn resources_of_container(&mut self) -> Value {
        let mut resources = self.resources();
        if self.below(2) == 0 {
            let storage = ["0", "1Mi", "20Mi", "100Mi", "1Gi"];
            let storage = self.resources_of(&[("ephemeral-storage", storage)]);
            for (group, amounts) in storage.as_object().into_iter().flatten() {
                resources[group]["ephemeral-storage"] = amounts["ephemeral-storage"].clone();
            }
        }
        resources
    }

    fn resources_of(&mut self, all: &[(&str, [&str; 5])]) -> Value {
        let mut resources = json!({});
        for (name, amounts) in all {
            let request = self.below(8);
            let limit = self.below(8);
            if let Some(amount) = amounts.get(limit) {
                resources["limits"][name] = (*amount).into();
            }
            if let Some(amount) = amounts.get(if limit < 5 {
                request.min(limit)
            } else {
                request
            }) {
                resources["requests"][name] = (*amount).into();
            }
        }
        resources
    }
}

/// The pod with the API server's defaults of requests.
fn defaulted(document: &Value) -> Vec<Value> {
    let lists = LISTS
        .iter()
        .filter_map(|list| document["spec"][*list].as_array());
    let defaulted = |container: &Value| {
        let mut resources = container["resources"].clone();
        for (name, limit) in resources["limits"].as_object().cloned().unwrap_or_default() {
            let requests = &mut resources["requests"];
            if requests.get(&name).is_none() {
                requests[&*name] = limit;
            }
        }
        resources
    };
    lists.flatten().map(defaulted).collect()
}

fn amount(resources: &Value, group: &str, name: &str) -> Option<quantity::Quantity> {
    quantity::Quantity::read(resources[group].get(name)?)
}

/// Why the API server refuses a pod; each reason that it also had for the pod without the sidecar is left out.
fn refusals(document: &Value) -> Vec<String> {
    let containers = defaulted(document);
    let own = &document["spec"]["resources"];
    let mut refusals = Vec::new();
    for name in ["cpu", "memory"] {
        let amounts =
            |group: &'static str| containers.iter().map(move |each| amount(each, group, name));
        let sum = amounts("requests").flatten();
        let sum = sum.fold(quantity::Quantity::default(), |sum, each| {
            sum.saturating_add(each)
        });
        if amount(own, "requests", name).is_some_and(|most| sum > most) {
            refusals.push(format!("aggregate {name} requests"));
        }
        if let Some(most) = amount(own, "limits", name)
            && amounts("limits").flatten().any(|limit| limit > most)
        {
            refusals.push(format!("{name} limit above that of the pod"));
        }
        for group in ["requests", "limits"] {
            let is_set = own["requests"].is_object() || own["limits"].is_object();
            if !is_set && amounts(group).any(|amount| amount.is_none()) {
                refusals.push(format!("quota of {group}.{name}"));
            }
        }
    }
    refusals
}

#[test]
fn adjusted_resources_are_valid_and_no_reason_to_refuse_a_pod() {
    let mut numbers = Numbers(7);
    for case in 0..400 {
        let mut set = settings();
        set.resources = numbers.resources();
        let count = 1 + numbers.below(2);
        let apps = (0..count).map(|index| app(&format!("app{index}"), numbers.resources()));
        let mut document = pod(apps.collect());
        if numbers.below(3) == 0 {
            document["spec"]["resources"] = numbers.resources();
        }
        let kind = match numbers.below(2) {
            0 => Sidecar::Native,
            _ => Sidecar::Container,
        };
        set.sidecar = kind;
        let before = refusals(&document);
        let after = injected_with(&document, &set);
        let resources = sidecar_of(&after)["resources"].clone();
        let what = format!(
            "case {case}: {} and {}: {resources}",
            set.resources, document["spec"]
        );
        let parsed = crate::inject::resources::parse(&resources.to_string());
        assert!(parsed.is_some_and(|parsed| parsed.is_ok()), "{what}");
        let mut new = refusals(&after);
        new.retain(|reason| !before.contains(reason));
        assert!(new.is_empty(), "{new:?}: {what}");
        is_settled(&document, &set);
        assert_eq!(uninjected(&after), document, "{what}");
    }
}

#[test]
fn amounts_within_bounds_are_kept_or_warned_of() {
    let mut numbers = Numbers(11);
    for case in 0..400 {
        let mut item = json!({});
        for (group, amounts) in [
            ("min", ["10m", "30m"]),
            ("max", ["50m", "2"]),
            ("maxLimitRequestRatio", ["1", "3.5"]),
        ] {
            for name in ["cpu", "memory"] {
                if numbers.below(3) == 0 {
                    let amount = amounts[numbers.below(2)];
                    let amount = match (name, group) {
                        ("memory", "min") => "4Mi",
                        ("memory", "max") => "24Mi",
                        _ => amount,
                    };
                    item[group][name] = amount.into();
                    if group == "max" {
                        item["default"][name] = amount.into();
                        item["defaultRequest"][name] = amount.into();
                    }
                }
            }
        }
        let mut set = bounded(item.clone());
        set.resources = numbers.resources();
        let document = pod_of(numbers.resources());
        let report = report(&document, Task::Inject, &set);
        let resources = resources_with(&document, &set);
        let what = format!(
            "case {case}: {} and {document}: {resources} in {item}",
            set.resources
        );
        let parsed = crate::inject::resources::parse(&resources.to_string());
        assert!(parsed.is_some_and(|parsed| parsed.is_ok()), "{what}");
        // Within these bounds every amount has a place.
        assert!(
            !report
                .warnings
                .iter()
                .any(|warning| warning.contains("refuses")),
            "{what}: {:?}",
            report.warnings
        );
        is_settled(&document, &set);
    }
}

/// A namespace's LimitRanges that the API server accepts.
fn random_limit_ranges(numbers: &mut Numbers) -> Vec<Value> {
    const GROUPS: [(&str, [[&str; 2]; 3]); 5] = [
        ("min", [["5m", "10m"], ["1Mi", "4Mi"], ["1Mi", "4Mi"]]),
        (
            "defaultRequest",
            [["10m", "20m"], ["4Mi", "8Mi"], ["4Mi", "1Gi"]],
        ),
        (
            "default",
            [["20m", "200m"], ["8Mi", "16Mi"], ["8Mi", "1Gi"]],
        ),
        ("max", [["200m", "1"], ["20Mi", "1Gi"], ["20Mi", "1Gi"]]),
        (
            "maxLimitRequestRatio",
            [["1", "3.5"], ["1", "2"], ["1", "2"]],
        ),
    ];
    let count = 1 + numbers.below(2);
    let limit_ranges = (0..count).map(|index| {
        let kind = ["Container", "Container", "Pod"][numbers.below(3)];
        let mut item = json!({});
        for (group, [cpu, memory, storage]) in GROUPS {
            let all = [
                ("cpu", cpu, 3),
                ("memory", memory, 3),
                ("ephemeral-storage", storage, 8),
            ];
            for (name, amounts, rarity) in all {
                let has_group = kind == "Container" || !group.starts_with("default");
                if has_group && numbers.below(rarity) == 0 {
                    item[group][name] = amounts[numbers.below(2)].into();
                }
            }
        }
        limit_range(&format!("bounds{index}"), kind, item)
    });
    limit_ranges.collect()
}

/// The items of LimitRanges for containers or for pods.
fn items<'a>(limit_ranges: &[&'a Value], kind: &'static str) -> Vec<&'a Value> {
    let items = limit_ranges.iter().map(|each| &each["spec"]["limits"][0]);
    items.filter(|item| item["type"] == kind).collect()
}

/// The pod with the defaults of the LimitRanges, which are applied in their order.
fn filled(document: &Value, limit_ranges: &[&Value]) -> Value {
    let mut document = document.clone();
    for list in LISTS {
        let containers = document["spec"][list].as_array_mut();
        for container in containers.into_iter().flatten() {
            let limits = container["resources"]["limits"].as_object().cloned();
            for (name, limit) in limits.unwrap_or_default() {
                set_absent(&mut container["resources"]["requests"], &name, limit);
            }
            for item in items(limit_ranges, "Container") {
                for (from, to) in [("default", "limits"), ("defaultRequest", "requests")] {
                    for (name, amount) in item[from].as_object().cloned().unwrap_or_default() {
                        set_absent(&mut container["resources"][to], &name, amount);
                    }
                }
            }
        }
    }
    document
}

fn set_absent(group: &mut Value, name: &str, amount: Value) {
    if group.get(name).is_none() {
        group[name] = amount;
    }
}

type Pair = [Option<quantity::Quantity>; 2];

/// The bounds that a request and a limit break.
fn broken_bounds(item: &Value, name: &str, [request, limit]: Pair) -> Vec<&'static str> {
    let bound = |group: &str| amount(item, group, name);
    let mut broken = Vec::new();
    if bound("min").is_some_and(|min| request < Some(min) || limit.is_some_and(|each| each < min)) {
        broken.push("min");
    }
    if bound("max").is_some_and(|max| limit.is_none_or(|each| each > max) || request > Some(max)) {
        broken.push("max");
    }
    if let Some(ratio) = bound("maxLimitRequestRatio") {
        let nanos = |amount: Option<quantity::Quantity>| amount.unwrap_or_default().nanos();
        let most = nanos(request) * ratio.nanos();
        if nanos(request) == 0 || nanos(limit) == 0 || nanos(limit) * 1_000_000_000 > most {
            broken.push("ratio");
        }
    }
    broken
}

/// Why the API server refuses a pod in a namespace with LimitRanges that it has listed in this order.
fn refusals_within(document: &Value, limit_ranges: &[&Value]) -> Vec<String> {
    let document = filled(document, limit_ranges);
    let own = &document["spec"]["resources"];
    let mut refusals = Vec::new();
    for name in ["cpu", "memory", "ephemeral-storage"] {
        let pair = |resources: &Value| -> Pair {
            ["requests", "limits"].map(|group| amount(resources, group, name))
        };
        let add = |one: Pair, other: Pair| -> Pair {
            [0, 1].map(|index| match (one[index], other[index]) {
                (Some(one), Some(other)) => Some(one.saturating_add(other)),
                (one, other) => one.or(other),
            })
        };
        let [mut running, mut native, mut starting]: [Pair; 3] = [[None; 2]; 3];
        for list in LISTS {
            for container in document["spec"][list].as_array().into_iter().flatten() {
                let amounts = pair(&container["resources"]);
                let is_init = list == "initContainers";
                match (is_init, container["restartPolicy"] == "Always") {
                    (false, _) => running = add(running, amounts),
                    (true, true) => native = add(native, amounts),
                    (true, false) => {
                        let with_native = add(native, amounts);
                        starting = [0, 1].map(|index| starting[index].max(with_native[index]));
                    }
                }
                let of = &container["name"];
                let [request, limit] = amounts;
                if limit.is_some_and(|limit| request > Some(limit)) {
                    refusals.push(format!("{name} request above limit of {of}"));
                }
                let most = pair(own)[1];
                if !is_init && most.is_some_and(|most| limit > Some(most)) {
                    refusals.push(format!("{name} limit of {of} above that of the pod"));
                }
                for item in items(limit_ranges, "Container") {
                    let broken = broken_bounds(item, name, amounts);
                    refusals.extend(
                        broken
                            .iter()
                            .map(|bound| format!("{bound} of {name} of {of}")),
                    );
                }
            }
        }
        let running = add(running, native);
        let sum: Pair = [0, 1].map(|index| running[index].max(starting[index]));
        let of_pod: Pair = [0, 1].map(|index| pair(own)[index].or(sum[index]));
        if pair(own)[0].is_some_and(|most| sum[0] > Some(most)) {
            refusals.push(format!("aggregate {name} requests"));
        }
        for (index, item) in items(limit_ranges, "Pod").into_iter().enumerate() {
            let broken = broken_bounds(item, name, of_pod);
            refusals.extend(
                broken
                    .iter()
                    .map(|bound| format!("{bound} of {name} of the pod, {index}")),
            );
        }
    }
    refusals
}

/// The pod with a sidecar that has these resources.
fn with_sidecar(document: &Value, resources: Value, kind: Sidecar) -> Value {
    let mut document = document.clone();
    let (list, policy) = match kind {
        Sidecar::Native => ("initContainers", json!("Always")),
        Sidecar::Container => ("containers", json!(null)),
    };
    let mut sidecar =
        vec![json!({"name": "probelet", "resources": resources, "restartPolicy": policy})];
    let others = document["spec"][list].as_array().cloned();
    sidecar.extend(others.unwrap_or_default());
    document["spec"][list] = sidecar.into();
    document
}

#[test]
fn no_pod_is_injected_that_the_api_server_refuses_and_no_annotation_is_refused_that_it_admits() {
    let mut numbers = Numbers(13);
    let (mut injected, mut refused) = ([0; 2], [0; 2]);
    for case in 0..1000 {
        let limit_ranges = random_limit_ranges(&mut numbers);
        let limit_ranges: Vec<&Value> = limit_ranges.iter().collect();
        let reversed: Vec<&Value> = limit_ranges.iter().rev().copied().collect();
        let mut set = Settings {
            container_bounds: ContainerBounds::from_limit_ranges(
                &limit_ranges.iter().copied().cloned().collect::<Vec<_>>(),
            ),
            sidecar: [Sidecar::Native, Sidecar::Container][numbers.below(2)],
            ..settings()
        };
        let mut document = pod_of(numbers.resources_of_container());
        if numbers.below(3) == 0 {
            let resources = numbers.resources_of_container();
            document["spec"]["initContainers"] = json!([{"name": "init", "resources": resources}]);
        }
        if numbers.below(3) == 0 {
            document["spec"]["resources"] = numbers.resources();
        }
        // LimitRanger runs before webhooks, too.
        let mut document = filled(&document, &limit_ranges);
        let resources = numbers.resources_of_container();
        let is_annotated = numbers.below(2) == 0;
        match is_annotated {
            true => document = with_annotation(&document, &resources.to_string()),
            false => set.resources = resources.clone(),
        }
        let reasons = |document: &Value| {
            [&limit_ranges, &reversed].map(|order| refusals_within(document, order))
        };
        let before = reasons(&document);
        let new = |with_sidecar: &Value| {
            let mut new = reasons(with_sidecar);
            for (new, before) in new.iter_mut().zip(&before) {
                new.retain(|reason| !before.contains(reason));
            }
            new
        };
        let found = report(&document, Task::Inject, &set);
        let what = format!("case {case}: {resources}, {document} in {limit_ranges:?}: {found:?}");
        if let Verdict::Refused(reason) = &found.verdict {
            assert!(reason.starts_with("the API server would refuse"), "{what}");
            refused[usize::from(is_annotated)] += 1;
            if is_annotated {
                let new = new(&with_sidecar(&document, resources, set.sidecar));
                assert!(new.iter().all(|new| !new.is_empty()), "{new:?}: {what}");
            }
            continue;
        }
        is_settled(&document, &set);
        // The API server refuses some pods without the sidecar, too.
        if before.iter().any(|before| !before.is_empty()) {
            continue;
        }
        injected[usize::from(is_annotated)] += 1;
        let after = injected_with(&document, &set);
        let mut warnings = found.warnings.iter();
        let is_warned = warnings.any(|each| each.contains("may refuse the pod with"));
        let refusals = reasons(&after);
        let is_admitted = refusals.iter().all(Vec::is_empty);
        assert!(is_warned || is_admitted, "{refusals:?}: {what}");
    }
    let counts = format!("{injected:?} {refused:?}");
    assert!(injected.iter().all(|count| *count > 40), "{counts}");
    assert!(refused.iter().all(|count| *count > 40), "{counts}");
}
