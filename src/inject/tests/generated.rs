//! Pods as they come by chance: what holds of every one of them.

use super::chance::Chance;
use super::sidecar::started;
use super::*;
use crate::config::Probers;
use crate::document::Document;

const CASES: u64 = 1000;
/// Reading and writing text takes longer.
const TEXTS: u64 = 60;

/// Pods that are injected, each with what comes out.
fn each(cases: u64, mut check: impl FnMut(&mut Chance, &Value, &Settings, &Value)) {
    let mut count = 0;
    for case in 0..cases {
        let mut chance = Chance::new(case);
        let (pod, settings) = (chance.pod(), chance.settings());
        match report(&pod, Task::Inject, &settings).verdict {
            Verdict::Edited { edits, done, .. } => {
                assert_eq!(done, Done::Injected, "case {case}");
                count += 1;
                let after = edited(&pod, &edits);
                check(&mut chance, &pod, &settings, &after);
            }
            Verdict::Skipped(_) | Verdict::Refused(_) => {}
            other => panic!("case {case}: {other:?} of {pod}"),
        }
    }
    assert!(count > cases / 4, "{count} of {cases} were injected");
}

fn is_settled(pod: &Value, settings: &Settings) {
    let verdict = report(pod, Task::Inject, settings).verdict;
    assert_eq!(
        verdict,
        Verdict::Unchanged("already injected".into()),
        "{pod}"
    );
}

#[test]
fn injecting_twice_is_injecting_once() {
    each(CASES, |_, _, settings, after| is_settled(after, settings));
}

#[test]
fn undoing_leads_back() {
    each(CASES, |_, pod, _, after| {
        assert_eq!(uninjected(after), *pod, "{after}")
    });
}

#[test]
fn other_settings_lead_to_what_they_alone_would_have_led_to() {
    each(CASES, |chance, pod, _, after| {
        let others = chance.settings();
        let other = with(pod, &others);
        match report(after, Task::Inject, &others).verdict {
            Verdict::Edited { edits, .. } => {
                let updated = edited(after, &edits);
                assert_eq!(updated, other);
                is_settled(&updated, &others);
                assert_eq!(uninjected(&updated), *pod);
            }
            Verdict::Unchanged(_) => assert_eq!(*after, other),
            verdict => panic!("{verdict:?} of {after}"),
        }
    });
}

fn ours(pod: &Value) -> &Value {
    let lists = LISTS.iter().filter_map(|list| pod["spec"][list].as_array());
    let mut all = lists.flatten();
    all.find(|container| container["name"] == "probelet")
        .expect("the agent")
}

#[test]
fn every_rewritten_probe_has_a_prober_that_the_agent_takes() {
    each(CASES, |_, _, _, after| {
        let table = table(after);
        let probers = Probers::parse(&table).unwrap_or_else(|error| panic!("{error}: {table}"));
        // The files of Secrets are not here.
        if !after.to_string().contains("--client-cert") {
            started(ours(after));
        }
        let mut paths = Vec::new();
        walk(after, &mut |value| {
            let path = value["httpGet"]["path"].as_str().unwrap_or_default();
            if path.starts_with("/app-") {
                paths.push(String::from(path));
                assert!(value.get("tcpSocket").is_none() && value.get("grpc").is_none());
            }
        });
        let mut keys: Vec<&str> = probers.iter().map(|prober| &*prober.path).collect();
        keys.sort_unstable();
        paths.sort();
        assert_eq!(paths, keys);
    });
}

fn walk(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    match value {
        Value::Object(map) => map.values().for_each(|value| walk(value, look)),
        Value::Array(items) => items.iter().for_each(|value| walk(value, look)),
        _ => {}
    }
}

#[test]
fn nothing_else_is_touched() {
    const RECORD: &str = "probelet.dev/original";
    const EXCLUDE: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
    each(CASES, |_, pod, _, after| {
        let (mut pod, mut after) = (pod.clone(), after.clone());
        for document in [&mut pod, &mut after] {
            if let Some(annotations) = document["metadata"]["annotations"].as_object_mut() {
                annotations.retain(|name, _| name != RECORD && name != EXCLUDE);
            }
            for list in ["containers", "initContainers", "volumes"] {
                let items = document["spec"][list].as_array_mut();
                let items = items.map(core::mem::take).unwrap_or_default();
                let others = items.into_iter().filter(|item| {
                    !item["name"]
                        .as_str()
                        .is_some_and(|name| name.starts_with("probelet"))
                });
                document["spec"][list] = others.map(without_ports).collect();
            }
            if document["metadata"]["annotations"]
                .as_object()
                .is_none_or(|map| map.is_empty())
            {
                document["metadata"]["annotations"] = Value::Null;
            }
        }
        assert_eq!(after, pod);
    });
}

/// A container less its handlers that ask a port, of which other tests know more.
fn without_ports(mut container: Value) -> Value {
    let probe = |value: &mut Value| {
        if let Value::Object(probe) = value {
            probe.retain(|key, _| !["httpGet", "tcpSocket", "grpc"].contains(&&**key));
        }
    };
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        probe(&mut container[key]);
    }
    for key in ["preStop", "postStart"] {
        if container["lifecycle"].is_object() {
            probe(&mut container["lifecycle"][key]);
        }
    }
    container
}

/// Block style, keys in the order of the alphabet; what is empty in flow style.
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
        false => *text += &format!(" {value} # as it is\n"),
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

fn written(text: &str, task: Task, settings: &Settings) -> String {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    let verdict = resources(document.value(), &document, task, settings)
        .remove(0)
        .verdict;
    let Verdict::Edited { edits, .. } = verdict else {
        panic!("{verdict:?} of\n{text}");
    };
    let after = document.edit(&edits);
    after.unwrap_or_else(|error| panic!("{error}:\n{text}\n{edits:#?}"))
}

#[test]
fn undoing_leads_back_to_every_byte() {
    each(TEXTS, |chance, pod, settings, after| {
        let mut block = String::new();
        yaml(pod, 0, &mut block);
        let pretty = serde_json::to_string_pretty(pod).expect("JSON");
        for text in [block, pretty, pod.to_string()] {
            let there = written(&text, Task::Inject, settings);
            let value = Document::parse(&there).expect("YAML").value().clone();
            // What is kept of the texts differs.
            let strip = |value: &Value| {
                let mut value = value.clone();
                value["metadata"]["annotations"]["probelet.dev/original"] = Value::Null;
                value
            };
            assert_eq!(strip(&value), strip(after));
            assert_eq!(written(&there, Task::Uninject, settings), text);
            let other = chance.settings();
            if report(&value, Task::Inject, &other).verdict
                != Verdict::Unchanged("already injected".into())
            {
                let there = written(&there, Task::Inject, &other);
                assert_eq!(written(&there, Task::Uninject, settings), text, "{there}");
            }
        }
    });
}
