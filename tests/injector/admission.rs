//! Injection before and after the API server: it fills in defaults, mounts the ServiceAccount's token into every
//! container except the sidecar, and calls the webhook again on the result; other webhooks change the pod in between.

use super::pods::api_server::{
    admit_pod, after, default_pod, default_probe, drop_disabled_members, remove_managed,
    remove_unused_token, store_pod, unknown_members,
};
use super::pods::case::{Case, Failure, Failures, check, generated, goldens};
use super::pods::diff::diff;
use super::pods::injection::{Injected, inject, uninject};
use super::pods::quantity::keep_spellings;
use super::pods::routes::{TABLE, routes, table};
use super::pods::schema::{Decoder, PROBE, Path};
use super::pods::{LISTS, ORIGINAL, other_webhook, sidecar, sidecar_mut, validation};
use libtest_mimic::Trial;
use probelet::config::Probers;
use probelet::inject::{Settings, Sidecar, Target, Verdict};
use serde_json::{Value, json};

/// The number of generated pods for each property. Ten thousand, which the gate checks, take minutes in a debug build:
/// `PROBELET_TEST_PODS=10000 cargo test --profile checked`.
const PODS: u64 = 300;

/// Checks a case; returns whether its pod is injected.
type Property = fn(&mut Case, &mut Failures) -> bool;

const PROPERTIES: [(&str, Property); 11] = [
    (
        "a_second_injection_changes_nothing",
        a_second_injection_changes_nothing,
    ),
    (
        "a_second_injection_moves_a_rotated_sidecar_to_the_front",
        a_second_injection_moves_a_rotated_sidecar_to_the_front,
    ),
    (
        "command_line_and_webhook_inject_the_same",
        command_line_and_webhook_inject_the_same,
    ),
    ("an_injected_pod_is_valid", an_injected_pod_is_valid),
    ("uninjection_restores_the_pod", uninjection_restores_the_pod),
    (
        "another_image_changes_the_sidecar_alone",
        another_image_changes_the_sidecar_alone,
    ),
    (
        "another_pull_policy_changes_the_sidecar_alone",
        another_pull_policy_changes_the_sidecar_alone,
    ),
    (
        "other_resources_change_the_sidecar_alone",
        other_resources_change_the_sidecar_alone,
    ),
    (
        "another_status_port_changes_sidecar_and_probes",
        another_status_port_changes_sidecar_and_probes,
    ),
    (
        "another_target_or_sidecar_kind_changes_the_sidecar_alone",
        another_target_or_sidecar_kind_changes_the_sidecar_alone,
    ),
    (
        "no_probe_goes_back_to_kubelet",
        no_probe_goes_back_to_kubelet,
    ),
];

pub fn tests() -> Vec<Trial> {
    let count = std::env::var("PROBELET_TEST_PODS").ok();
    let count = count.map_or(PODS, |count| {
        count.parse().expect("PROBELET_TEST_PODS is a number")
    });
    let mut trials = Vec::new();
    for ((name, property), number) in PROPERTIES.into_iter().zip(0..) {
        let seeds = number * count..(number + 1) * count;
        trials.push(trial("golden", name, move || check(goldens(), property)));
        trials.push(trial("generated", name, move || {
            check(generated(seeds), property)
        }));
    }
    trials
}

fn trial(pods: &str, name: &str, body: impl FnOnce() + Send + 'static) -> Trial {
    crate::support::trials::trial(format!("injector::admission::{pods}::{name}"), move || {
        body();
        Ok(())
    })
}

/// A change between two injections.
type Stage = (&'static str, fn(&mut Value));

const WEBHOOK_CALL: Stage = ("on the webhook's second call", admit_pod);
const STORED: Stage = ("on the stored pod", store_pod);
const ADDED: Stage = ("after another webhook's additions", |pod| {
    admit_pod(pod);
    other_webhook::add(pod);
    admit_pod(pod);
});
const REORDERED: Stage = ("after another webhook's reordering", |pod| {
    admit_pod(pod);
    other_webhook::reorder(pod);
});

/// Calls a function with a pod and its injection, if it is injected: with the pod as it is written, which the command
/// line reads, and as the webhook receives it. Returns whether one is injected.
fn each_injected(case: &Case, mut check: impl FnMut(&Value, &Injected)) -> bool {
    let mut is_injected = false;
    for is_received in case.variants(&[false, true], 1) {
        let mut entry = case.pod.clone();
        if *is_received {
            // The API server rejects it before it calls the webhook.
            if !validation::decode_errors(&entry).is_empty() {
                continue;
            }
            admit_pod(&mut entry);
        }
        let first = inject(&entry, &case.settings);
        if first.is_edited() {
            is_injected = true;
            check(&entry, &first);
        }
    }
    is_injected
}

/// Records new warnings.
fn expect_no_new_warnings(
    stage: &str,
    first: &Injected,
    second: &Injected,
    failures: &mut Failures,
) {
    // Of several containers that declare a port, a warning names the first one.
    let compared = |warning: &str| match stage == REORDERED.0 {
        true => String::from(warning.split(": ").next().unwrap_or_default()),
        false => warning.into(),
    };
    let known: Vec<String> = first
        .warnings
        .iter()
        .map(|warning| compared(warning))
        .collect();
    for warning in &second.warnings {
        failures.expect(known.contains(&compared(warning)), || {
            Failure::new(format!("a new warning {stage}"), &**warning)
        });
    }
}

fn a_second_injection_changes_nothing(case: &mut Case, failures: &mut Failures) -> bool {
    each_injected(case, |_, first| {
        for (stage, change) in case.variants(&[WEBHOOK_CALL, STORED, ADDED, REORDERED], 2) {
            let pod = after(&first.pod, change);
            let second = inject(&pod, &case.settings);
            failures.expect(matches!(second.verdict, Verdict::Unchanged(_)), || {
                Failure::new(
                    format!("{} {stage}", second.verdict_name()),
                    format!(
                        "{}
{}",
                        second.verdict_text(),
                        diff(&pod, &second.pod)
                    ),
                )
            });
            expect_no_new_warnings(stage, first, &second, failures);
        }
    })
}

/// An ordinary sidecar moves to the front again, once.
fn a_second_injection_moves_a_rotated_sidecar_to_the_front(
    case: &mut Case,
    failures: &mut Failures,
) -> bool {
    each_injected(case, |_, first| {
        let rotated = after(
            &after(&first.pod, admit_pod),
            other_webhook::rotate_containers,
        );
        let second = inject(&rotated, &case.settings);
        let pod = after(&second.pod, admit_pod);
        let third = inject(&pod, &case.settings);
        failures.expect(matches!(third.verdict, Verdict::Unchanged(_)), || {
            Failure::new(
                third.verdict_name(),
                format!(
                    "{}
{}",
                    third.verdict_text(),
                    diff(&pod, &third.pod)
                ),
            )
        });
        let (one, other) = (normalised(&rotated), normalised(&second.pod));
        failures.expect(one == other, || {
            Failure::new("more than the order changes", diff(&one, &other))
        });
    })
}

fn command_line_and_webhook_inject_the_same(case: &mut Case, failures: &mut Failures) -> bool {
    let (written, received) = (&case.pod, &after(&case.pod, admit_pod));
    let by_hand = inject(written, &case.settings);
    let by_webhook = inject(received, &case.settings);
    failures.expect(by_hand.verdict_name() == by_webhook.verdict_name(), || {
        let verdicts = format!("{} | {}", by_hand.verdict_text(), by_webhook.verdict_text());
        Failure::new("another verdict", verdicts)
    });
    if by_hand.is_edited() && by_webhook.is_edited() {
        let one = with_parsed_table(&by_hand.pod);
        let other = with_parsed_table(&by_webhook.pod);
        failures.expect(one == other, || {
            Failure::new("not the same", diff(&one, &other))
        });
    }
    by_hand.is_edited()
}

/// A normalised pod, the agent's table as the agent reads it.
fn with_parsed_table(pod: &Value) -> Value {
    let probers = format!("{:?}", Probers::parse(table(pod)));
    let mut pod = normalised(pod);
    let env = sidecar_mut(&mut pod).and_then(|sidecar| sidecar.get_mut("env")?.as_array_mut());
    for variable in env
        .into_iter()
        .flatten()
        .filter(|variable| variable["name"] == TABLE)
    {
        variable["value"] = json!(probers);
    }
    pod
}

/// Records errors of a pod that another one does not have.
fn expect_valid(what: &str, pod: &Value, original: &Value, failures: &mut Failures) {
    let known = validation::errors(&after(original, default_pod));
    for error in validation::errors(&after(pod, default_pod)) {
        failures.expect(known.contains(&error), || {
            Failure::new(format!("{what} is invalid"), error)
        });
    }
    let known = unknown_members(original);
    for member in unknown_members(pod) {
        failures.expect(known.contains(&member), || {
            Failure::new(format!("{what} has an unknown member"), member)
        });
    }
}

fn an_injected_pod_is_valid(case: &mut Case, failures: &mut Failures) -> bool {
    each_injected(case, |entry, first| {
        expect_valid("the injected pod", &first.pod, entry, failures);
        let errors = validation::decode_errors(&first.pod);
        failures.expect(errors.is_empty(), || {
            Failure::new("not decoded", errors.join("\n"))
        });
    })
}

fn uninjection_restores_the_pod(case: &mut Case, failures: &mut Failures) -> bool {
    each_injected(case, |entry, first| {
        for (stage, change) in case.variants(&[WEBHOOK_CALL, STORED, ADDED], 2) {
            let back = uninject(&after(&first.pod, change), &case.settings);
            expect_valid(
                &format!("the uninjected pod {stage}"),
                &back.pod,
                entry,
                failures,
            );
            let expected = defaulted(&after(entry, change));
            let back = defaulted(&back.pod);
            failures.expect(back == expected, || {
                Failure::new(format!("not restored {stage}"), diff(&expected, &back))
            });
        }
    })
}

/// A pod as it is stored, without what the API server manages.
fn defaulted(pod: &Value) -> Value {
    after(pod, |pod| {
        default_pod(pod);
        remove_managed(pod);
        remove_unused_token(pod);
    })
}

/// A defaulted pod without the originals, lists in the order of names.
fn normalised(pod: &Value) -> Value {
    let mut pod = defaulted(pod);
    if let Some(annotations) = pod["metadata"]
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(ORIGINAL);
    }
    super::pods::each_container(&mut pod, |container| {
        sort(container, "env");
        sort(container, "volumeMounts");
    });
    for list in LISTS {
        sort(&mut pod["spec"], list);
    }
    sort(&mut pod["spec"], "volumes");
    pod
}

fn sort(object: &mut Value, list: &str) {
    if let Some(items) = object.get_mut(list).and_then(Value::as_array_mut) {
        items.sort_by_key(|item| (item["name"].to_string(), item["mountPath"].to_string()));
    }
}

/// Whether an annotation of the pod takes precedence over a setting.
fn is_annotated(pod: &Value, annotation: &str) -> bool {
    pod["metadata"]["annotations"][format!("probelet.dev/{annotation}")].is_string()
}

/// Injects with a changed setting of the sidecar, and expects a change of the sidecar alone.
fn expect_change(
    case: &Case,
    new_settings: &Settings,
    expected: impl Fn(&Value, &mut Value),
    failures: &mut Failures,
) -> bool {
    each_injected(case, |_, first| {
        for (stage, change) in case.variants(&[WEBHOOK_CALL, STORED, ADDED], 2) {
            let before = after(&first.pod, change);
            let updated = inject(&before, new_settings);
            let mut wanted = before.clone();
            if let Some(sidecar) = sidecar_mut(&mut wanted) {
                expected(&before, sidecar);
            }
            let (wanted, found) = (
                without_saved_settings(&wanted),
                without_saved_settings(&updated.pod),
            );
            failures.expect(wanted == found, || {
                Failure::new(
                    format!("{} {stage}", updated.verdict_name()),
                    diff(&wanted, &found),
                )
            });
        }
    })
}

/// A defaulted pod without the settings of the sidecar that the annotation saves: they change with the sidecar.
fn without_saved_settings(pod: &Value) -> Value {
    let mut pod = defaulted(pod);
    let annotation = &mut pod["metadata"]["annotations"][ORIGINAL];
    let saved = annotation.as_str().map(serde_json::from_str::<Value>);
    if let Some(Ok(mut saved)) = saved {
        remove(&mut saved, "sidecar");
        *annotation = saved;
    }
    pod
}

fn another_image_changes_the_sidecar_alone(case: &mut Case, failures: &mut Failures) -> bool {
    let image = case.random.image();
    let new_settings = Settings {
        image: image.clone(),
        ..case.settings.clone()
    };
    let is_policy_set = new_settings.pull_policy.is_some();
    let expected = |pod: &Value, sidecar: &mut Value| {
        if is_annotated(pod, "image") {
            return;
        }
        sidecar["image"] = json!(image);
        if !is_policy_set && !is_annotated(pod, "image-pull-policy") {
            remove(sidecar, "imagePullPolicy");
        }
    };
    expect_change(case, &new_settings, expected, failures)
}

fn another_pull_policy_changes_the_sidecar_alone(case: &mut Case, failures: &mut Failures) -> bool {
    let policy = case.random.pull_policy();
    let new_settings = Settings {
        pull_policy: policy.clone(),
        ..case.settings.clone()
    };
    let expected = |pod: &Value, sidecar: &mut Value| {
        if is_annotated(pod, "image-pull-policy") {
            return;
        }
        match &policy {
            Some(policy) => sidecar["imagePullPolicy"] = json!(policy),
            None => remove(sidecar, "imagePullPolicy"),
        }
    };
    expect_change(case, &new_settings, expected, failures)
}

fn other_resources_change_the_sidecar_alone(case: &mut Case, failures: &mut Failures) -> bool {
    let new_settings = Settings {
        resources: case.random.resources(),
        ..case.settings.clone()
    };
    // The settings' resources are adjusted to those of the pod, as in a first injection.
    let expected = |pod: &Value, current: &mut Value| {
        let bare = uninject(pod, &new_settings).pod;
        let first_injection = inject(&bare, &new_settings).pod;
        if let (false, Some(first)) = (is_annotated(pod, "resources"), sidecar(&first_injection)) {
            let spellings = current["resources"].take();
            current["resources"] = first["resources"].clone();
            keep_spellings(&spellings, &mut current["resources"]);
        }
    };
    expect_change(case, &new_settings, expected, failures)
}

fn remove(object: &mut Value, name: &str) {
    if let Some(object) = object.as_object_mut() {
        object.remove(name);
    }
}

/// Injects with other settings, and expects the result of injecting the original pod with them.
fn expect_same_as_first_injection(
    case: &Case,
    new_settings: &Settings,
    compared: impl Fn(&str, &mut Value),
    failures: &mut Failures,
) -> bool {
    each_injected(case, |entry, first| {
        let first_injection = inject(entry, new_settings);
        for (stage, change) in case.variants(&[WEBHOOK_CALL, STORED, ADDED], 2) {
            let before = after(&first.pod, change);
            let updated = inject(&before, new_settings);
            if !first_injection.is_edited() {
                // The API server has dropped `httpGet.protocol`, which may be the reason.
                if *stage != WEBHOOK_CALL.0 && entry.to_string().contains(r#""protocol":"HTTP2""#) {
                    continue;
                }
                failures.expect(
                    updated.verdict_name() == first_injection.verdict_name(),
                    || {
                        let verdicts = format!(
                            "{} | {}",
                            first_injection.verdict_text(),
                            updated.verdict_text()
                        );
                        Failure::new(format!("another verdict {stage}"), verdicts)
                    },
                );
                continue;
            }
            let (mut wanted, mut found) = (
                normalised(&after(&first_injection.pod, change)),
                normalised(&updated.pod),
            );
            compared(stage, &mut wanted);
            compared(stage, &mut found);
            failures.expect(wanted == found, || {
                Failure::new(
                    format!("{} {stage}", updated.verdict_name()),
                    diff(&wanted, &found),
                )
            });
        }
    })
}

fn another_status_port_changes_sidecar_and_probes(
    case: &mut Case,
    failures: &mut Failures,
) -> bool {
    let status_port = if case.settings.status_port == 15020 {
        15021
    } else {
        15020
    };
    let new_settings = Settings {
        status_port,
        ..case.settings.clone()
    };
    expect_same_as_first_injection(case, &new_settings, |_, _| {}, failures)
}

fn another_target_or_sidecar_kind_changes_the_sidecar_alone(
    case: &mut Case,
    failures: &mut Failures,
) -> bool {
    let target = match case.settings.target {
        Target::Pod => Target::Ip([127, 0, 0, 1].into()),
        Target::Ip(_) => Target::Pod,
    };
    let new_settings = Settings {
        target,
        ..case.settings.clone()
    };
    let is_injected = expect_same_as_first_injection(case, &new_settings, |_, _| {}, failures);
    let kind = match case.settings.sidecar {
        Sidecar::Native => Sidecar::Container,
        Sidecar::Container => Sidecar::Native,
    };
    let new_settings = Settings {
        sidecar: kind,
        ..case.settings.clone()
    };
    // An ordinary sidecar has no probers of init containers, so the table is made of the defaulted probes again.
    // What another webhook added to the sidecar need not move to the other list with it.
    let without_sidecar = |stage: &str, pod: &mut Value| {
        default_table(pod);
        if stage == ADDED.0 {
            for list in LISTS {
                if let Some(containers) = pod["spec"].get_mut(list).and_then(Value::as_array_mut) {
                    containers.retain(|container| container["name"] != super::pods::SIDECAR);
                }
            }
        }
    };
    expect_same_as_first_injection(case, &new_settings, without_sidecar, failures) || is_injected
}

/// Replaces the text of the table by its probers with the API server's defaults.
fn default_table(pod: &mut Value) {
    let variables = sidecar_mut(pod).and_then(|sidecar| sidecar.get_mut("env")?.as_array_mut());
    let mut variables = variables.into_iter().flatten();
    if let Some(variable) = variables.find(|variable| variable["name"] == TABLE) {
        let text = variable["value"].as_str().unwrap_or_default();
        let mut probers: Value = serde_json::from_str(text).expect("a table");
        let probers_mut = probers.as_object_mut().expect("an object");
        for prober in probers_mut.values_mut() {
            // The API server drops nulls and members that it does not know, which the table has only if the injector has
            // seen them. `target` is the agent's own.
            let target = prober.get("target").cloned();
            *prober = Decoder::default().object(prober, PROBE, Path::Root("prober"));
            drop_disabled_members(prober);
            default_probe(prober);
            if let Some(target) = target {
                prober["target"] = target;
            }
        }
        variable["value"] = probers;
    }
}

fn no_probe_goes_back_to_kubelet(case: &mut Case, failures: &mut Failures) -> bool {
    let new_settings = case.random.settings();
    each_injected(case, |entry, first| {
        let injected = routes(&first.pod).through_agent;
        let first_injection = inject(entry, &new_settings);
        let updated = match first_injection.is_edited() {
            true => routes(&first_injection.pod).through_agent,
            false => injected.clone(),
        };
        for (stage, change) in case.variants(&[WEBHOOK_CALL, STORED, ADDED, REORDERED], 2) {
            let before = after(&first.pod, change);
            for (settings, wanted) in [(&case.settings, &injected), (&new_settings, &updated)] {
                let found = routes(&inject(&before, settings).pod);
                for error in found.errors {
                    failures.push(Failure::new(format!("no prober {stage}"), error));
                }
                failures.expect(found.through_agent == *wanted, || {
                    let detail = format!("{wanted:?}\n| {:?}", found.through_agent);
                    Failure::new(format!("other probes go through the agent {stage}"), detail)
                });
            }
            let (back, known) = (
                routes(&uninject(&before, &case.settings).pod),
                routes(entry),
            );
            failures.expect(
                back.through_agent.is_empty() && back.errors == known.errors,
                || {
                    Failure::new(
                        format!("uninjected, a probe goes through the agent {stage}"),
                        back.errors.join("\n"),
                    )
                },
            );
        }
    })
}
