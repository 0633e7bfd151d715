//! Properties of injection on generated pods, without an API server in between.

use super::pods::case::{Case, Failure, Failures, check, generated};
use super::pods::commands::{COMMANDS, Command, PORT};
use super::pods::diff::diff;
use super::pods::injection::{inject, report, uninject};
use super::pods::quantity::keep_spellings;
use super::pods::random::Random;
use super::pods::{ORIGINAL, containers, routes, sidecar, sidecar_mut};
use crate::support::trials::trials;
use libtest_mimic::Trial;
use probelet::config::Probers;
use probelet::inject::{Settings, Task, Verdict, reports};
use probelet::manifest::Document;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;

const CASES: u64 = 1000;
/// Reading and writing text takes longer.
const TEXTS: u64 = 60;

pub fn tests() -> Vec<Trial> {
    trials!(
        "injector::generated":
        a_second_injection_changes_nothing,
        injection_with_other_settings_equals_a_first_injection,
        uninjection_restores_the_pod,
        uninjection_restores_every_byte,
        every_rewritten_probe_has_a_prober_that_the_agent_accepts,
        a_converted_command_has_the_prober_with_its_meaning,
        members_other_than_the_probes_are_untouched,
    )
}

/// Checks a property of the pods that are injected: of each case and the injected pod.
#[track_caller]
fn check_injected(cases: u64, mut property: impl FnMut(&mut Case, &Value, &mut Failures)) {
    check(generated(0..cases), |case, failures| {
        let first = inject(&case.pod, &case.settings);
        if first.is_edited() {
            property(case, &first.pod, failures);
        }
        first.is_edited()
    });
}

fn a_second_injection_changes_nothing() {
    check_injected(CASES, |case, after, failures| {
        let second = inject(after, &case.settings);
        failures.expect(matches!(second.verdict, Verdict::Unchanged(_)), || {
            Failure::new(second.verdict_text(), diff(after, &second.pod))
        });
    });
}

fn uninjection_restores_the_pod() {
    check_injected(CASES, |case, after, failures| {
        let back = uninject(after, &case.settings);
        failures.expect(back.pod == case.pod, || {
            Failure::new("not restored", diff(&case.pod, &back.pod))
        });
    });
}

fn injection_with_other_settings_equals_a_first_injection() {
    check_injected(CASES, |case, after, failures| {
        let new_settings = case.random.settings();
        let first_injection = inject(&case.pod, &new_settings);
        let updated = inject(after, &new_settings);
        if !first_injection.is_edited() {
            failures.expect(
                updated.verdict_name() == first_injection.verdict_name(),
                || {
                    Failure::new(
                        "another verdict",
                        format!(
                            "{} | {}",
                            first_injection.verdict_text(),
                            updated.verdict_text()
                        ),
                    )
                },
            );
            return;
        }
        let mut wanted = first_injection.pod;
        if let (Some(current), Some(sidecar)) = (sidecar(after), sidecar_mut(&mut wanted)) {
            keep_spellings(&current["resources"], &mut sidecar["resources"]);
        }
        failures.expect(updated.pod == wanted, || {
            Failure::new("not the same", diff(&wanted, &updated.pod))
        });
        let back = uninject(&updated.pod, &new_settings);
        failures.expect(back.pod == case.pod, || {
            Failure::new("not restored", diff(&case.pod, &back.pod))
        });
    });
}

fn every_rewritten_probe_has_a_prober_that_the_agent_accepts() {
    check_injected(CASES, |_, after, failures| {
        failures.expect(
            Probers::parse(routes::table(after)).is_ok() || routes::table(after).is_empty(),
            || Failure::new("not a table", routes::table(after)),
        );
        // The files of Secrets are not here.
        if !after.to_string().contains("probelet-tls") {
            failures.expect(is_accepted(sidecar(after)), || {
                Failure::new(
                    "the agent does not start",
                    sidecar(after).map(Value::to_string).unwrap_or_default(),
                )
            });
        }
        for error in routes::routes(after).errors {
            failures.push(Failure::new("routes", error));
        }
        for (place, handler) in containers(after).flat_map(super::pods::handlers) {
            let kinds = ["httpGet", "tcpSocket", "grpc"]
                .into_iter()
                .filter(|kind| handler[*kind].is_object());
            let path = handler["httpGet"]["path"].as_str().unwrap_or_default();
            failures.expect(!path.starts_with("/app-") || kinds.count() == 1, || {
                Failure::new("a second handler", format!("{place}: {handler}"))
            });
        }
    });
}

/// A command that is not converted stays, byte for byte; so does that of a hook.
fn a_converted_command_has_the_prober_with_its_meaning() {
    let mut converted = BTreeMap::new();
    check_injected(CASES, |case, after, failures| {
        let table = serde_json::from_str(routes::table(after)).unwrap_or(Value::Null);
        let probes = |pod| {
            containers(pod).flat_map(|container: &Value| {
                super::pods::handlers(container)
                    .map(move |(place, probe)| (container, place, probe))
            })
        };
        for (container, place, probe) in probes(&case.pod) {
            let Some(command) = Command::of(&probe["exec"]) else {
                continue;
            };
            let name = &container["name"];
            let mut others = probes(after)
                .filter(|(other, other_place, _)| other["name"] == *name && *other_place == place);
            let (_, _, other) = others.next().expect("the probe");
            if other["exec"] == probe["exec"] {
                continue;
            }
            let path = other["httpGet"]["path"].as_str().unwrap_or_default();
            let expected = command.prober(&probe["timeoutSeconds"]);
            failures.expect(expected.as_ref() == table.get(path), || {
                Failure::new(
                    "another meaning",
                    format!("{probe}: {:?}, not {expected:?}", table.get(path)),
                )
            });
            let has_port = container["env"].to_string().contains(PORT.0);
            failures.expect(!command.needs_port || has_port, || {
                Failure::new("a variable without a value", probe.to_string())
            });
            failures.expect(!place.starts_with("lifecycle"), || {
                Failure::new("a converted hook", probe.to_string())
            });
            *converted.entry(probe["exec"].to_string()).or_insert(0) += 1;
        }
    });
    let convertible = COMMANDS
        .iter()
        .filter(|command| command.prober(&Value::Null).is_some());
    assert_eq!(converted.len(), convertible.count(), "{converted:?}");
}

/// Whether `probelet run` starts with the arguments and variables of a container.
fn is_accepted(sidecar: Option<&Value>) -> bool {
    let Some(sidecar) = sidecar else {
        return false;
    };
    let args = sidecar["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let env = |name: &str| {
        let mut env = sidecar["env"].as_array()?.iter();
        let variable = env.find(|variable| variable["name"] == name)?;
        Some(OsString::from(
            variable["value"].as_str().unwrap_or("192.0.2.1"),
        ))
    };
    probelet::cli::parse(args.map(OsString::from), env).is_ok()
}

fn members_other_than_the_probes_are_untouched() {
    const WRITTEN: [&str; 3] = [
        ORIGINAL,
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "kubectl.kubernetes.io/default-container",
    ];
    check_injected(CASES, |case, after, failures| {
        let (mut pod, mut after) = (case.pod.clone(), after.clone());
        for document in [&mut pod, &mut after] {
            if let Some(annotations) = document["metadata"]["annotations"].as_object_mut() {
                annotations.retain(|name, _| !WRITTEN.contains(&&**name));
            }
            for list in ["containers", "initContainers", "volumes"] {
                let items = document["spec"][list].as_array_mut();
                let items = items.map(core::mem::take).unwrap_or_default();
                let is_ours = |item: &Value| {
                    item["name"]
                        .as_str()
                        .is_some_and(|name| name.starts_with("probelet"))
                };
                let others = items.into_iter().filter(|item| !is_ours(item));
                document["spec"][list] = others.map(without_ports).collect();
            }
            let annotations = document["metadata"]["annotations"].as_object();
            if annotations.is_none_or(|map| map.is_empty()) {
                document["metadata"]["annotations"] = Value::Null;
            }
        }
        failures.expect(after == pod, || Failure::new("changed", diff(&pod, &after)));
    });
}

/// A container without the handlers that request a port, or may be converted to such.
fn without_ports(mut container: Value) -> Value {
    let probe = |value: &mut Value| {
        let command = Command::of(&value["exec"]);
        let is_convertible = command.is_some_and(|command| command.prober(&Value::Null).is_some());
        if let Value::Object(probe) = value {
            probe.retain(|key, value| match &**key {
                "httpGet" | "tcpSocket" | "grpc" => false,
                "exec" => !value.is_null() && !is_convertible,
                _ => true,
            });
        }
    };
    for key in super::pods::PROBES {
        probe(&mut container[key]);
    }
    for key in super::pods::HOOKS {
        if container["lifecycle"].is_object() {
            probe(&mut container["lifecycle"][key]);
        }
    }
    container
}

fn uninjection_restores_every_byte() {
    check_injected(TEXTS, |case, after, failures| {
        let mut block = String::new();
        yaml(&case.pod, 0, &mut block);
        let pretty = serde_json::to_string_pretty(&case.pod).expect("JSON");
        for text in [block, pretty, case.pod.to_string()] {
            let injected = written(&text, Task::Inject, &case.settings);
            let value = Document::parse(&injected).expect("YAML").value().clone();
            let (one, other) = (without_original(&value), without_original(after));
            failures.expect(one == other, || {
                Failure::new("text and value differ", diff(&one, &other))
            });
            expect_text(&injected, &case.settings, &text, failures);
            if let Some(new_settings) = new_settings(&value, &mut case.random) {
                let updated = written(&injected, Task::Inject, &new_settings);
                expect_text(&updated, &new_settings, &text, failures);
            }
        }
    });
}

/// New settings for an update of the pod; `None` if it is not injected with them.
fn new_settings(pod: &Value, random: &mut Random) -> Option<Settings> {
    let new_settings = random.settings();
    let verdict = report(pod, Task::Inject, &new_settings).verdict;
    matches!(verdict, Verdict::Edited { .. }).then_some(new_settings)
}

fn expect_text(injected: &str, settings: &Settings, text: &str, failures: &mut Failures) {
    let back = written(injected, Task::Uninject, settings);
    let line = || {
        back.lines()
            .zip(text.lines())
            .find(|(one, other)| one != other)
    };
    failures.expect(back == text, || {
        Failure::new("the text is not restored", format!("{:?}", line()))
    });
}

/// The annotation has texts, which differ.
fn without_original(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["metadata"]["annotations"][ORIGINAL] = Value::Null;
    pod
}

/// Block style, keys in alphabetical order; empty collections in flow style.
fn yaml(value: &Value, indent: usize, text: &mut String) {
    let space = " ".repeat(indent);
    let is_deep = |value: &Value| match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    let below = |value: &Value, text: &mut String| match is_deep(value) {
        true => {
            text.push('\n');
            yaml(value, indent + 2, text);
        }
        false => *text += &format!(" {value} # a comment\n"),
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            *text += &format!("{space}# about {key}\n{space}{key}:");
            below(value, text);
        }),
        Value::Array(items) => items.iter().for_each(|value| {
            *text += &format!("{space}-");
            below(value, text);
        }),
        _ => unreachable!("the root is a pod"),
    }
}

#[track_caller]
fn written(text: &str, task: Task, settings: &Settings) -> String {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    let verdict = reports(document.value(), &document, task, settings)
        .remove(0)
        .verdict;
    let Verdict::Edited { edits, .. } = verdict else {
        panic!("{verdict:?} of\n{text}");
    };
    let after = document.edit(&edits);
    after.unwrap_or_else(|error| panic!("{error}:\n{text}\n{edits:#?}"))
}
