//! Generated pods and LimitRanges, compared with a model of the API server.

use super::*;

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
