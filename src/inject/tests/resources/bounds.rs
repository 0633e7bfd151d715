//! The bounds of LimitRanges and of pod-level resources.

use super::*;

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
    let of_one =
        |resources: &Value| pod(json!([self::app("web", resources.clone()), {"name": "log"}]));
    let document = of_one(&json!({"requests": app["requests"]}));
    let with_limit = of_one(&app);
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
    for document in [&document, &with_limit, &stating] {
        assert_eq!(resources_with(document, &set), settings().resources);
        is_settled(document, &set);
    }
    let item = json!({"max": {"ephemeral-storage": "2Gi"}});
    let both = json!({"requests": "1Mi", "limits": "64Mi"});
    for kind in ["Container", "Pod"] {
        let set = bounded_by_all(&[limit_range("storage", kind, item.clone())]);
        for document in [&with_limit, &stating] {
            assert_eq!(resources_with(document, &set), with_storage(both.clone()));
            is_settled(document, &set);
        }
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
    // The API server sums the requests, which may not be above the limit.
    let mut limited = pod_of(json!({"requests": {"cpu": "100m"}}));
    limited["spec"]["resources"] = json!({"limits": {"cpu": "100m"}});
    let annotated = with_annotation(&limited, r#"{"limits":{"cpu":"50m"}}"#);
    assert_eq!(
        refusal_with(&annotated, &settings()),
        "the API server would refuse the pod with its sidecar, because the cpu requests of its containers are 150m, more than \
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
fn a_minimum_does_not_change_the_class_of_a_pod_with_pod_level_resources() {
    let set = bounded(json!({"min": {"cpu": "10m", "memory": "4Mi"}}));
    let pod = |cpu: &str, own: Value| {
        let amounts = json!({"cpu": cpu, "memory": "32Mi"});
        let mut document = pod_of(json!({"requests": amounts, "limits": amounts}));
        document["spec"]["resources"] = own;
        document
    };
    // The pod's limits and its memory request default to the sums.
    let document = pod("100m", json!({"requests": {"cpu": "200m"}}));
    let resources = resources_with(&document, &set);
    assert_eq!(resources["requests"]["memory"], "16Mi");
    assert_eq!(resources["limits"]["memory"], "16Mi");
    assert_eq!(resources["requests"]["cpu"], "10m");
    assert_eq!(warnings_with(&document, &set), [""; 0]);
    is_settled(&document, &set);
    let own = json!({"memory": "64Mi"});
    let document = pod("100m", json!({"requests": own, "limits": own}));
    let resources = resources_with(&document, &set);
    assert_eq!(resources["requests"]["cpu"], "50m");
    assert_eq!(resources["limits"]["cpu"], "50m");
    assert_eq!(warnings_with(&document, &set), [""; 0]);
    is_settled(&document, &set);
    let ratio = bounded(json!({"maxLimitRequestRatio": {"cpu": 2, "memory": 2}}));
    let document = pod("100m", json!({"requests": {"cpu": "200m"}}));
    let resources = resources_with(&document, &ratio);
    assert_eq!(resources["requests"]["memory"], "16Mi");
    assert_eq!(resources["limits"]["memory"], "16Mi");
    assert_eq!(warnings_with(&document, &ratio), [""; 0]);
    is_settled(&document, &ratio);
    // A sum of limits above the pod's request.
    let document = pod("180m", json!({"requests": {"cpu": "200m"}}));
    assert_eq!(
        warnings_with(&document, &set),
        [
            "the sidecar makes the Guaranteed pod Burstable, because a LimitRange requires requests and limits of it: \
             write requests and limits of cpu and memory in spec.resources, with room for those of the sidecar"
        ]
    );
    // Burstable without the sidecar.
    let document = pod("180m", json!({"limits": {"cpu": "200m"}}));
    assert_eq!(warnings_with(&document, &set), [""; 0]);
}

#[test]
fn a_minimum_without_room_in_the_pod_is_refused_with_the_amount_that_has_room() {
    let mut document = pod_of(json!({"requests": {"cpu": "100m"}}));
    let set = bounded(json!({"min": {"cpu": "10m"}}));
    let refused = |reason: &str| {
        format!("the API server would refuse the pod with its sidecar, because {reason}")
    };
    document["spec"]["resources"] = json!({"requests": {"cpu": "100m"}});
    assert_eq!(
        refusal_with(&document, &set),
        refused(
            "LimitRange bounds requires a request and a limit of at least 10m cpu of each container: raise cpu in \
             spec.resources to 110m"
        )
    );
    // The greatest minimum of several LimitRanges.
    let two =
        ["10m", "20m"].map(|min| limit_range("bounds", "Container", json!({"min": {"cpu": min}})));
    let reason = refusal_with(&document, &bounded_by_all(&two));
    assert!(
        reason.ends_with("raise cpu in spec.resources to 120m"),
        "{reason}"
    );
    // Amounts of the annotation are not lowered.
    for amounts in [r#"{"requests":{"cpu":0}}"#, r#"{"limits":{"cpu":"500m"}}"#] {
        let annotated = with_annotation(&document, amounts);
        let set = bounded(json!({"min": {"cpu": "10m"}, "max": {"cpu": "100m"}}));
        let reason = refusal_with(&annotated, &set);
        assert!(
            reason.contains("in annotation probelet.dev/resources"),
            "{reason}"
        );
    }
    document["spec"]["resources"] = json!({"limits": {"cpu": "100m"}});
    assert_eq!(
        refusal_with(&document, &set),
        refused(
            "the cpu requests of its containers are 110m, more than 100m in spec.resources: raise it there to 110m, \
             because a LimitRange requires a request of the sidecar"
        )
    );
    document["spec"]["resources"] = json!({"limits": {"cpu": "110m"}});
    assert_eq!(warnings_with(&document, &set), [""; 0]);
    resources_with(&document, &set);
}

#[test]
fn a_pod_with_too_little_memory_for_the_start_of_its_sidecar_is_refused() {
    let mut document = pod_of(json!({"requests": {"cpu": "1m", "memory": "2Mi"}}));
    document["spec"]["resources"] = json!({"limits": {"memory": "5Mi"}});
    let reason = "the sidecar does not start with 5Mi of memory: raise limits.memory in spec.resources to 6Mi or more";
    assert_eq!(refusal_with(&document, &settings()), reason);
    let annotated = with_annotation(&document, r#"{"requests":{"cpu":0,"memory":0}}"#);
    assert_eq!(refusal_with(&annotated, &settings()), reason);
    document["spec"]["resources"] = json!({"limits": {"memory": "6Mi"}});
    assert_eq!(warnings_with(&document, &settings()), [""; 0]);
    resources_with(&document, &settings());
    // The limit of the pod is the sum of those of its containers.
    let mut document = pod_of(json!({"limits": {"cpu": "10m", "memory": "5Mi"}}));
    resources_with(&document, &settings());
    document["spec"]["resources"] = json!({"requests": {"cpu": "20m"}});
    assert_eq!(refusal_with(&document, &settings()), reason);
    let annotated = with_annotation(&document, r#"{"limits":{"cpu":"10m","memory":"16Mi"}}"#);
    resources_with(&annotated, &settings());
    // Or the request of the pod, if that is more.
    document["spec"]["resources"] = json!({"requests": {"memory": "8Mi"}});
    resources_with(&document, &settings());
}
