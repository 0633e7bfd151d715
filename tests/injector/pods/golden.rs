//! The pods of the golden files, including those of templates, with the settings of their `args`.

use probelet::inject::values::Values;
use probelet::inject::{KubernetesVersion, Settings};
use probelet::manifest::{Document, Stream};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A golden pod.
pub struct Golden {
    /// The folder's name.
    pub case: String,
    /// The pod's number in its file.
    pub index: usize,
    /// The pod.
    pub pod: Value,
    /// The settings that its `args` mean.
    pub settings: Settings,
}

/// The pods of all cases that are injected or left unchanged, not of those that are refused.
pub fn pods() -> Vec<Golden> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/injector/golden");
    let entries = fs::read_dir(root).expect("the golden files");
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.retain(|folder| folder.join("out.yaml").exists());
    folders.sort();
    let mut pods = Vec::new();
    for folder in folders {
        let case = folder.file_name().expect("a name").to_string_lossy();
        let text = fs::read(folder.join("in.yaml")).expect("in.yaml");
        let mut found = Vec::new();
        for piece in Stream::new(&*text) {
            let document = Document::parse(&piece.expect("a document").text).expect("YAML");
            collect(document.value(), &mut found);
        }
        for (index, pod) in found.into_iter().enumerate() {
            let settings = settings(&folder);
            pods.push(Golden {
                case: case.clone().into(),
                index,
                pod,
                settings,
            });
        }
    }
    pods
}

fn collect(document: &Value, pods: &mut Vec<Value>) {
    let spec = &document["spec"];
    match document["kind"].as_str().unwrap_or_default() {
        "Pod" => pods.push(document.clone()),
        "List" => {
            let items = document["items"].as_array();
            items
                .into_iter()
                .flatten()
                .for_each(|item| collect(item, pods));
        }
        "CronJob" => pods.extend(pod(&spec["jobTemplate"]["spec"]["template"])),
        _ => pods.extend(pod(&spec["template"])),
    }
}

fn pod(template: &Value) -> Option<Value> {
    template["spec"].as_object()?;
    let mut pod = template.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    Some(pod)
}

fn settings(folder: &Path) -> Settings {
    let text = fs::read_to_string(folder.join("args")).unwrap_or_default();
    let mut words = text.split_whitespace();
    let (mut flags, mut config, mut version) = (Values::default(), Values::default(), None);
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, value),
            None => (word, words.next().expect("a value")),
        };
        let member = match flag {
            "--config" => {
                let text = fs::read_to_string(folder.join(value)).expect("the values");
                config = Values::read(&text).expect("values");
                continue;
            }
            "--kube-version" => {
                version = KubernetesVersion::parse(value);
                continue;
            }
            "--allow-from" => "allowFrom",
            "--convert-exec" => "convertExec",
            "--image" => "image",
            "--image-pull-policy" => "imagePullPolicy",
            "--linkerd-skip-ports" => "linkerdSkipPorts",
            "--resources" => "resources",
            "--min-timeout-seconds" => "minTimeoutSeconds",
            "--run-as-user" => "runAsUser",
            "--sidecar" => "sidecar",
            "--source-ip" => "sourceIp",
            "--startup-probe" => "startupProbe",
            "--status-port" => "statusPort",
            "--target-ip" => "targetIp",
            _ => panic!("{}: {flag}", folder.display()),
        };
        flags.set_from_text(member, value).expect("a value");
    }
    Settings::resolve(flags, config, version)
}
