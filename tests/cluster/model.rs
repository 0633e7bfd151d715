//! The model of the API server against a real one: defaults, admission, validation. Needs `PROBELET_CLUSTER`, a
//! folder with an executable `kubectl` configured for a cluster with ServiceAccount admission. Nothing is stored
//! but a namespace, which is deleted at the end: pods are created with `--dry-run=server`.

#[path = "../injector/pods/mod.rs"]
mod pods;

use libtest_mimic::{Arguments, Trial};
use pods::api_server::{
    TOKEN_VOLUME_PREFIX, admit_pod, after, default_pod, remove_managed, store_pod, unknown_members,
};
use pods::case::{Case, generated, goldens};
use pods::diff::diff;
use pods::injection::{inject, uninject};
use pods::validation;
use serde_json::{Deserializer, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::OnceLock;

const VARIABLE: &str = "PROBELET_CLUSTER";
const SEEDS: u64 = 200;

type Outcome = Result<(), String>;
type Check = fn(&Cluster) -> Outcome;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = std::env::var_os(VARIABLE).map(PathBuf::from);
    let trials: [(&str, Check); 7] = [
        ("golden_pods_get_the_defaults_of_the_model", |cluster| {
            has_defaults(cluster, goldens(), written)
        }),
        ("generated_pods_get_the_defaults_of_the_model", |cluster| {
            has_defaults(cluster, generated(0..SEEDS), written)
        }),
        ("injected_pods_get_the_defaults_of_the_model", |cluster| {
            has_defaults(cluster, cases(), injected)
        }),
        ("injected_pods_are_accepted", |cluster| {
            accepts(cluster, injected)
        }),
        ("uninjected_pods_are_accepted", |cluster| {
            accepts(cluster, uninjected)
        }),
        (
            "generated_pods_that_are_invalid_are_refused",
            refuses_generated,
        ),
        ("handlers_that_are_invalid_are_refused", refuses_handlers),
    ];
    let trials = trials.map(|(name, body)| {
        let name = format!("cluster::model::{name}");
        match folder.clone() {
            Some(folder) => Trial::test(name, move || Ok(body(cluster(&folder)?)?)),
            // Without a cluster it is never an error: only a run with the variable set is meant to have one.
            None => Trial::test(name, || Ok(()))
                .with_kind(format!("needs a folder named by {VARIABLE}"))
                .with_ignored_flag(true),
        }
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    if let Some(Ok(cluster)) = CLUSTER.get() {
        let _ = cluster.kubectl(
            &["delete", "namespace", &cluster.namespace, "--wait=false"],
            "",
        );
    }
    conclusion.exit_code()
}

static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();

fn cluster(folder: &Path) -> Result<&'static Cluster, String> {
    CLUSTER
        .get_or_init(|| Cluster::new(folder))
        .as_ref()
        .map_err(Clone::clone)
}

/// A cluster, and a namespace in it that no webhook injects.
struct Cluster {
    kubectl: PathBuf,
    namespace: String,
}

impl Cluster {
    fn new(folder: &Path) -> Result<Self, String> {
        let namespace = format!("probelet-model-{}", std::process::id());
        let cluster = Self {
            kubectl: folder.join("kubectl"),
            namespace,
        };
        let created = cluster.kubectl(&["create", "namespace", &cluster.namespace], "")?;
        if !created.status.success() {
            return Err(format!(
                "{VARIABLE}: no namespace: {}",
                String::from_utf8_lossy(&created.stderr)
            ));
        }
        // Where no controller creates it; where one does, it may have done so already.
        cluster.kubectl(
            &[
                "create",
                "serviceaccount",
                "default",
                "-n",
                &cluster.namespace,
            ],
            "",
        )?;
        let account = cluster.kubectl(
            &["get", "serviceaccount", "default", "-n", &cluster.namespace],
            "",
        )?;
        match account.status.success() {
            true => Ok(cluster),
            false => Err(format!(
                "{VARIABLE}: no ServiceAccount: {}",
                String::from_utf8_lossy(&account.stderr)
            )),
        }
    }

    fn kubectl(&self, args: &[&str], stdin: &str) -> Result<Output, String> {
        let failed =
            |error: std::io::Error| format!("{VARIABLE}: {}: {error}", self.kubectl.display());
        let mut command = Command::new(&self.kubectl);
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let mut pipe = child.stdin.take().expect("piped");
        let text = stdin.to_owned();
        // It may exit before it has read everything.
        let writer = std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
        let output = child.wait_with_output().map_err(failed);
        writer.join().expect("no panic");
        output
    }

    /// Creates pods in a dry run: those that are accepted, by name, and the errors of the others. Unknown members
    /// are errors if validation is `strict`, as it is by default, and dropped if it is `ignore`.
    fn create(
        &self,
        pods: &[Value],
        validation: &str,
    ) -> Result<(BTreeMap<String, Value>, String), String> {
        // A List takes seconds less; kubectl validates it by itself if validation is strict, and as a whole.
        let input = match validation {
            "ignore" => json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string(),
            _ => pods.iter().map(|pod| format!("---\n{pod}\n")).collect(),
        };
        let validate = format!("--validate={validation}");
        let args = [
            "create",
            "-n",
            &self.namespace,
            "--dry-run=server",
            &validate,
            "-o",
            "json",
            "-f",
            "-",
        ];
        let output = self.kubectl(&args, &input)?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut created = BTreeMap::new();
        for document in Deserializer::from_slice(&output.stdout).into_iter::<Value>() {
            let document = document.map_err(|error| format!("kubectl create: {error}"))?;
            let items = document["items"].as_array().cloned();
            for pod in items.unwrap_or_else(|| vec![document.clone()]) {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                created.insert(name.into(), pod);
            }
        }
        Ok((created, errors))
    }
}

/// A pod with the labels and annotations of a case and its own name.
fn named(pod: &Value, case: &str) -> Value {
    let mut pod = pod.clone();
    let name = case.replace(", ", "-").replace(' ', "-").to_lowercase();
    let mut metadata = json!({"name": name});
    for member in ["labels", "annotations"] {
        if let Some(value) = pod["metadata"].get(member) {
            metadata[member] = value.clone();
        }
    }
    pod["metadata"] = metadata;
    pod
}

fn cases() -> impl Iterator<Item = Case> {
    goldens().chain(generated(0..SEEDS))
}

/// The model's errors on a pod.
fn errors(pod: &Value) -> Vec<String> {
    let mut errors = validation::decode_errors(pod);
    errors.extend(validation::errors(&after(pod, default_pod)));
    errors
}

/// The pods that a function makes of the valid cases are defaulted as in the model.
fn has_defaults(
    cluster: &Cluster,
    cases: impl Iterator<Item = Case>,
    change: impl Fn(&mut Case) -> Option<Value>,
) -> Outcome {
    let pods = cases.filter_map(|mut case| Some(named(&change(&mut case)?, &case.name)));
    let valid: Vec<Value> = pods.filter(|pod| errors(pod).is_empty()).collect();
    let (created, errors) = cluster.create(&valid, "ignore")?;
    let mut failures = Vec::new();
    for pod in &valid {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let model = comparable(&after(pod, default_pod));
        match created.get(name) {
            None => failures.push(format!("{name} is refused")),
            Some(created) => {
                let created = comparable(created);
                if created != model {
                    failures.push(format!(
                        "{name}: (model | server)\n{}",
                        diff(&model, &created)
                    ));
                }
            }
        }
    }
    result(&failures, valid.len(), &errors)
}

/// A pod without what differs from one creation to the next.
fn comparable(pod: &Value) -> Value {
    let pod = after(pod, remove_managed);
    let text = pod.to_string();
    let Some(start) = text.find(TOKEN_VOLUME_PREFIX) else {
        return pod;
    };
    let start = start + TOKEN_VOLUME_PREFIX.len();
    let suffix: String = text[start..]
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    let renamed = text.replace(
        &format!("{TOKEN_VOLUME_PREFIX}{suffix}"),
        TOKEN_VOLUME_PREFIX,
    );
    serde_json::from_str(&renamed).expect("JSON")
}

fn result(failures: &[String], total: usize, errors: &str) -> Outcome {
    if total == 0 {
        return Err("no pods".into());
    }
    if failures.is_empty() {
        return Ok(());
    }
    let first: Vec<&str> = failures.iter().take(12).map(|failure| &**failure).collect();
    let errors = errors.lines().filter(|line| !line.starts_with("Warning"));
    let errors = errors.take(12).collect::<Vec<_>>().join("\n");
    Err(format!(
        "{} of {total} pods:\n{}\nkubectl: {errors}",
        failures.len(),
        first.join("\n")
    ))
}

/// The pods that a function makes of all valid cases are accepted, also by strict validation.
fn accepts(cluster: &Cluster, change: impl Fn(&mut Case) -> Option<Value>) -> Outcome {
    let is_valid = |case: &Case| {
        errors(&named(&case.pod, "a")).is_empty() && unknown_members(&case.pod).is_empty()
    };
    let mut pods = Vec::new();
    for mut case in cases().filter(is_valid) {
        pods.extend(change(&mut case).map(|pod| named(&pod, &case.name)));
    }
    let (created, errors) = cluster.create(&pods, "strict")?;
    let names = pods
        .iter()
        .filter_map(|pod| pod["metadata"]["name"].as_str());
    let refused: Vec<String> = names
        .filter(|name| !created.contains_key(*name))
        .map(String::from)
        .collect();
    result(&refused, pods.len(), &errors)
}

fn written(case: &mut Case) -> Option<Value> {
    Some(case.pod.clone())
}

/// Injected as it is written, or as the webhook receives it.
fn injected(case: &mut Case) -> Option<Value> {
    let mut pod = case.pod.clone();
    if case.random.one_in(2) {
        admit_pod(&mut pod);
    }
    let injected = inject(&pod, &case.settings);
    injected.is_edited().then_some(injected.pod)
}

fn uninjected(case: &mut Case) -> Option<Value> {
    let mut pod = injected(case)?;
    match case.random.one_in(2) {
        true => admit_pod(&mut pod),
        false => store_pod(&mut pod),
    }
    Some(uninject(&pod, &case.settings).pod)
}

/// None of these pods is accepted.
fn refuses(cluster: &Cluster, pods: &[Value]) -> Outcome {
    let (created, errors) = cluster.create(pods, "ignore")?;
    let accepted: Vec<String> = created.into_keys().collect();
    result(&accepted, pods.len(), &errors)
}

fn refuses_generated(cluster: &Cluster) -> Outcome {
    let pods = generated(0..SEEDS * 2).map(|case| named(&case.pod, &case.name));
    let invalid: Vec<Value> = pods.filter(|pod| !errors(pod).is_empty()).collect();
    refuses(cluster, &invalid)
}

fn refuses_handlers(cluster: &Cluster) -> Outcome {
    let handlers = [
        json!({}),
        json!({"httpGet": null}),
        json!({"sleep": {"seconds": 1}}),
        json!({"httpGet": {}}),
        json!({"httpGet": {"port": 0}}),
        json!({"httpGet": {"port": 65536}}),
        json!({"httpGet": {"port": "9000"}}),
        json!({"httpGet": {"port": "a--b"}}),
        json!({"httpGet": {"port": 80, "scheme": "TLS"}}),
        json!({"httpGet": {"port": 80, "httpHeaders": [{"value": "a"}]}}),
        json!({"httpGet": {"port": 80}, "tcpSocket": {"port": 80}}),
        json!({"httpGet": {"port": 80}, "exec": {"command": ["true"]}}),
        json!({"tcpSocket": {}}),
        json!({"tcpSocket": {"port": 80}, "grpc": {"port": 80}}),
        json!({"grpc": {"port": 0}}),
        json!({"grpc": {"port": "http"}}),
        json!({"exec": {}}),
        json!({"tcpSocket": {"port": 80}, "successThreshold": 2}),
        json!({"tcpSocket": {"port": 80}, "timeoutSeconds": -1}),
    ];
    let mut pods = Vec::new();
    for (index, handler) in handlers.iter().enumerate() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [
            {"name": "web", "image": "web:1", "livenessProbe": handler},
        ]}});
        let pod = named(&pod, &format!("handler-{index}"));
        if errors(&pod).is_empty() {
            return Err(format!("the model accepts {handler}"));
        }
        pods.push(pod);
    }
    refuses(cluster, &pods)
}
