//! Manifests that an early build injected, which the cluster test applies as well: a newer injector replaces the sidecar's image and
//! settings only.

use super::{Folder, Runs, fed, written};
use crate::support::trials::trials;
use libtest_mimic::Trial;
use probelet::manifest::{Document, Stream};
use serde_json::Value;
use std::fs;
use std::path::Path;

pub fn tests() -> Vec<Trial> {
    trials!["injector::upgrade":
        a_newer_injector_replaces_image_and_settings_only,
        uninjection_restores_a_manifest_that_0_1_0_injected,
    ]
}

fn manifest(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/manifests");
    fs::read_to_string(folder.join(name)).expect("a manifest")
}

fn documents(text: &str) -> Vec<Value> {
    let texts = Stream::new(text.as_bytes()).map(|piece| piece.expect("a document").text);
    let values = texts.map(|text| Document::parse(&text).expect("YAML").value().clone());
    values.collect()
}

/// A document without what the injector owns.
fn without_sidecar(mut document: Value) -> Value {
    let pod = match document["spec"]["template"].is_object() {
        true => &mut document["spec"]["template"],
        false => &mut document,
    };
    let spec = pod["spec"].as_object_mut().expect("a spec");
    let sidecars = spec.remove("initContainers").expect("the sidecar");
    assert_eq!(sidecars.as_array().map(Vec::len), Some(1));
    spec.remove("volumes");
    let annotations = pod["metadata"]["annotations"].as_object_mut();
    annotations
        .expect("annotations")
        .remove("probelet.dev/original");
    document
}

fn a_newer_injector_replaces_image_and_settings_only() {
    let folder = Folder::new();
    let before = manifest("upgraded-0.1.0.yaml");
    let args = ["file", "-f", "-", "--image", "localhost/probelet:newer"];
    let ended = fed(&folder.0, &args, &before);
    let after = written(&ended);
    for line in ended.stderr.lines() {
        assert!(line.contains(" updated: image"), "{ended:?}");
    }
    let pairs = documents(&before).into_iter().zip(documents(after));
    for (before, after) in pairs {
        assert_eq!(without_sidecar(after), without_sidecar(before));
    }
    // The result is that of the original manifest.
    let fresh = fed(&folder.0, &args, &manifest("upgraded.yaml"));
    assert_eq!(documents(after), documents(written(&fresh)));
    folder.write("app.yaml", after);
    let back = folder.run(&["file", "-f", "app.yaml", "--uninject"]);
    assert_eq!(written(&back), manifest("upgraded.yaml"));
}

fn uninjection_restores_a_manifest_that_0_1_0_injected() {
    let folder = Folder::new();
    let ended = fed(
        &folder.0,
        &["file", "-f", "-", "--uninject"],
        &manifest("upgraded-0.1.0.yaml"),
    );
    assert_eq!(written(&ended), manifest("upgraded.yaml"));
}
