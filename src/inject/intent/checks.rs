//! Whether a pod can have the agent at all: checks that concern the pod as a whole.

use crate::inject::options::PodOptions;
use crate::inject::options::annotations::{FORWARD, SIDECAR as SIDECAR_KIND, STATUS_PORT};
use crate::inject::report::Stop;
use crate::inject::settings::Sidecar;
use crate::inject::view::containers::{Container, ISTIO, LISTS, SIDECAR};
use crate::inject::view::{PodView, VOLUME};
use serde_json::Value;
use std::collections::BTreeSet;

/// Skips pods of another injector, and pods in which the agent cannot run.
pub(super) fn check_eligible(view: &PodView<'_>) -> Result<(), Stop> {
    let spec = &view.pod["spec"];
    let has = |name: &str| {
        view.containers
            .iter()
            .any(|container| container.name == name)
    };
    let why = if view.annotation("sidecar.istio.io/status").is_some() || has(ISTIO) {
        "Istio's own injector has handled it, whose agent does the same"
    } else if has(SIDECAR) {
        "it has a container probelet that was put there by hand"
    } else if view.annotation("kubernetes.io/config.mirror").is_some() {
        // kubelet runs the static pod, whatever the API server has (`pkg/kubelet/types`: `ConfigMirrorAnnotationKey`).
        "it mirrors a static pod: inject the manifest of the static pod"
    } else if spec["hostNetwork"] == true {
        "hostNetwork: the agent's ports would be the node's"
    } else if spec["os"]["name"] == "windows" {
        "it is for Windows, and the agent is for Linux"
    } else {
        return Ok(());
    };
    Err(Stop::Skip(why.into()))
}

/// Refuses an ordinary sidecar in a pod that runs to an end. `of_job` says that the pod's owner is a Job: its pods reach
/// the webhook without it.
pub(super) fn check_pod_ends(
    view: &PodView<'_>,
    of_job: bool,
    sidecar: Sidecar,
) -> Result<(), String> {
    let policy = &view.pod["spec"]["restartPolicy"];
    let ends = of_job || policy == "Never" || policy == "OnFailure";
    if !ends || sidecar == Sidecar::Native {
        return Ok(());
    }
    Err(format!(
        "the agent as an ordinary container would keep the pod from ever ending: leave annotation {SIDECAR_KIND} \
         out or set it to native (Kubernetes 1.29 or later)"
    ))
}

/// Whether a container has no name, by which its probers would be found.
pub(super) fn has_unnamed_container(pod: &Value) -> bool {
    let items = LISTS.iter().filter_map(|list| pod["spec"][list].as_array());
    let mut items = items.flatten();
    items.any(|item| item.is_object() && !item["name"].is_string())
}

/// Refuses members that are of another type than the API server takes: an edit would replace them.
pub(super) fn check_types(pod: &Value) -> Result<(), String> {
    for keys in ["metadata", "metadata.annotations"] {
        check_type(pod, keys, "a mapping", Value::is_object)?;
    }
    for keys in ["spec.initContainers", "spec.containers", "spec.volumes"] {
        check_type(pod, keys, "a list", Value::is_array)?;
    }
    Ok(())
}

fn check_type(
    pod: &Value,
    keys: &str,
    what: &str,
    is_valid: fn(&Value) -> bool,
) -> Result<(), String> {
    let mut keys_left = keys.split('.');
    match keys_left.try_fold(pod, |value, key| value.get(key)) {
        Some(value) if !value.is_null() && !is_valid(value) => {
            Err(format!("{keys} is not {what}: write {what}"))
        }
        _ => Ok(()),
    }
}

/// Refuses two containers of one name: the name is part of a prober's path.
pub(super) fn check_container_names(view: &PodView<'_>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut containers = view.containers.iter();
    match containers.find(|container| !seen.insert(container.name)) {
        None => Ok(()),
        Some(container) => {
            let what = format!("two containers are called {}", container.name);
            Err(format!("{what}: give each a name of its own"))
        }
    }
}

/// Refuses ports of the agent that a container declares, and so listens on, and a volume with the name of ours.
pub(super) fn check_ports_free(view: &PodView<'_>, options: &PodOptions) -> Result<(), String> {
    let status = [(options.status_port, STATUS_PORT, "15920")];
    let forwards = options
        .forwards
        .iter()
        .map(|(_, own)| (*own, FORWARD, "8002=15932"));
    for (port, annotation, such) in status.into_iter().chain(forwards) {
        let declares = |container: &&Container<'_>| container.declares(port);
        if let Some(container) = view.containers.iter().find(declares) {
            let what = format!("container {} declares port {port}", container.name);
            let advice = format!("write another into annotation {annotation}, such as {such}");
            return Err(format!("{what}, on which the agent would listen: {advice}"));
        }
    }
    let volumes = view.pod["spec"]["volumes"].as_array();
    let mut volumes = volumes.into_iter().flatten();
    let is_taken = volumes.any(|volume| volume["name"] == VOLUME);
    if is_taken && view.injected_item("volumes").is_none() {
        return Err(format!(
            "it has a volume {VOLUME} already: give that another name"
        ));
    }
    Ok(())
}
