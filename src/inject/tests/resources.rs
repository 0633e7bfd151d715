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
fn a_pod_with_resources_of_its_own_gets_requests_of_zero() {
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
fn bounds_that_cannot_be_kept_are_a_warning() {
    let document = pod_of(json!({}));
    assert_eq!(
        warnings_with(&document, &bounded(json!({"max": {"memory": "8Mi"}}))),
        [
            "LimitRange bounds lowers the sidecar's memory limit from 16Mi to 8Mi, so it may be killed at its start: \
             raise its max.memory"
        ]
    );
    let mut with_own = pod_of(json!({"requests": {"cpu": "100m"}}));
    with_own["spec"]["resources"] = json!({"requests": {"cpu": "100m"}});
    assert_eq!(
        warnings_with(&with_own, &bounded(json!({"min": {"cpu": "10m"}}))),
        [
            "LimitRange bounds demands a request and a limit of at least 10m cpu of each container, so that the API \
             server refuses the pod: change cpu of the sidecar's resources in the settings, or the LimitRange"
        ]
    );
    let full = pod_of(json!({"requests": {"cpu": "1m"}, "limits": {"memory": "64Mi"}}));
    let of_pod = |item: Value| warnings_with(&full, &bounded_by("Pod", item));
    assert_eq!(
        of_pod(json!({"max": {"memory": "64Mi"}})),
        [
            "LimitRange bounds demands a limit of at most 64Mi memory of the pod with its sidecar, so that the API \
             server refuses the pod: change memory of the sidecar's resources in the settings, or the LimitRange"
        ]
    );
    assert!(of_pod(json!({"max": {"memory": "80Mi"}, "min": {"cpu": "1m"}})).is_empty());
}

#[test]
fn resources_of_the_annotation_are_kept_with_a_warning() {
    let with = |document: &Value, resources: &str| {
        annotated(
            document.clone(),
            json!({"probelet.dev/resources": resources}),
        )
    };
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
            r#"{"requests":{"cpu":"1m"},"limits":{"memory":"32Mi"}}"#
        )),
        [
            "annotation probelet.dev/resources brings the cpu requests of the containers to 101m, more than 100m in \
             spec.resources, so that the API server refuses the pod: write \"cpu\": 0 in its requests",
            "annotation probelet.dev/resources has a memory limit of 32Mi, more than 16Mi in spec.resources, so that \
             the API server may refuse the pod: lower it",
        ]
    );
    let bounded = bounded(json!({"min": {"cpu": "10m"}}));
    assert_eq!(
        warnings_with(
            &with(&pod_of(json!({})), r#"{"requests":{"cpu":"1m"}}"#),
            &bounded
        ),
        [
            "LimitRange bounds demands a request and a limit of at least 10m cpu of each container, so that the API \
             server refuses the pod: change cpu of the sidecar's resources in annotation probelet.dev/resources, or \
             the LimitRange"
        ]
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

    /// Requests and limits that the API server accepts; each amount may be absent.
    fn resources(&mut self) -> Value {
        const AMOUNTS: [(&str, [&str; 5]); 2] = [
            ("cpu", ["0", "1m", "30m", "0.5", "2"]),
            ("memory", ["0", "1Mi", "16Mi", "20M", "1Gi"]),
        ];
        let mut resources = json!({});
        for (name, amounts) in AMOUNTS {
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
