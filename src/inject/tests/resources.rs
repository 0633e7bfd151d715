//! The sidecar's resources: adjusted to those of the pod and to the bounds of the namespace.

mod bounds;
mod generated;

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
fn ephemeral_storage_is_stated_if_every_container_requests_it_or_one_has_a_limit() {
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
            json!({"requests": "1Mi", "limits": "64Mi"}),
        ),
        (
            json!({"requests": all}),
            json!({"requests": "1Mi"}),
            json!({"requests": "1Mi"}),
        ),
        (json!({"requests": all}), some.clone(), json!({})),
        (
            some.clone(),
            json!({"limits": all}),
            json!({"requests": "1Mi", "limits": "64Mi"}),
        ),
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
fn a_limit_that_the_pod_has_by_its_containers_stays() {
    let equal = json!({"limits": {"cpu": "100m", "memory": "64Mi"}});
    let zero = json!({"cpu": "0", "memory": "0"});
    for (own, of_app, expected) in [
        // Guaranteed by the container's CPU, and by its memory.
        (
            json!({"limits": {"memory": "64Mi"}}),
            equal.clone(),
            json!({"requests": zero, "limits": {"cpu": "0", "memory": "16Mi"}}),
        ),
        (
            json!({"limits": {"cpu": "100m"}}),
            equal.clone(),
            json!({"requests": zero, "limits": {"memory": "0"}}),
        ),
        (
            json!({"requests": {"cpu": "100m", "memory": "64Mi"}}),
            equal,
            json!({"requests": zero, "limits": zero}),
        ),
        // The pod has no limit.
        (
            json!({"limits": {"memory": "64Mi"}}),
            json!({"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}),
            json!({"requests": {"cpu": "1m", "memory": "0"}, "limits": {"memory": "16Mi"}}),
        ),
    ] {
        let mut document = pod_of(of_app);
        document["spec"]["resources"] = own;
        assert_eq!(resources_of(&document), expected, "{document}");
        assert_eq!(warnings(&document), [""; 0]);
        is_settled(&document, &settings());
    }
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
            r#"{"requests":{"cpu":0,"memory":0},"limits":{"memory":"32Mi"}}"#
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
