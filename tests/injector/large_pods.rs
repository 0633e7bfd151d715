//! Pods of thousands of containers: the time is linear. When it was quadratic, 4,000 containers took minutes.

use super::{Folder, fed, written};
use crate::support::trials::trials;
use libtest_mimic::Trial;
use std::fmt::Write;

pub fn tests() -> Vec<Trial> {
    trials!["injector::large_pods":
        thousands_of_containers_with_ports_are_injected,
        thousands_of_aliases_are_expanded_and_restored,
    ]
}

/// A pod of this number of containers, each with this text.
fn pod(containers: usize, text: impl Fn(usize) -> String) -> String {
    let mut pod = String::from(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: large\n  annotations:\n    probelet.dev/forward: 8002=15032\nspec:\n  containers:\n",
    );
    for index in 0..containers {
        let text = text(index);
        writeln!(pod, "  - name: c{index}\n    image: web\n{text}").expect("memory");
    }
    pod
}

/// Injects a pod, injects it with another image, and restores it.
fn round_trip(pod: &str, expected: &str) {
    let folder = Folder::new();
    let run = |args: &[&str], input: &str| {
        let ended = fed(&folder.0, &[&["file", "-f", "-"], args].concat(), input);
        written(&ended).to_owned()
    };
    let injected = run(&[], pod);
    assert_eq!(
        injected.matches(expected).count(),
        pod.matches("probed").count()
    );
    let updated = run(&["--image", "registry.example/probelet:9"], &injected);
    assert_ne!(injected, updated);
    assert!(run(&["--uninject"], &updated) == pod, "it is not restored");
}

fn thousands_of_containers_with_ports_are_injected() {
    let pod = pod(3_000, |index| {
        let port = 16_000 + index;
        let probe = match index % 200 {
            0 => format!("httpGet: {{port: {port}}} # probed"),
            _ => "exec: {command: [x]}".into(),
        };
        format!("    ports: [{{containerPort: {port}}}]\n    livenessProbe:\n      {probe}")
    });
    round_trip(&pod, "port: 15020} # probed");
}

fn thousands_of_aliases_are_expanded_and_restored() {
    for (key, body) in [
        ("livenessProbe", "httpGet: {port: 8002}"),
        ("lifecycle", "preStop: {httpGet: {port: 8002}}"),
    ] {
        let pod = pod(1_000, |index| match index {
            0 => format!("    {key}: &probe # probed\n      {body}"),
            _ => format!("    {key}: *probe # probed"),
        });
        round_trip(&pod, "port: 15032");
    }
}
