//! Pods for tests of the injector: random ones and the golden ones, a model of what the API server does to a
//! pod, and another webhook's changes. Shared by the integration tests and `tests/cluster/model.rs`.

#![allow(dead_code)] // each test binary uses a part

pub mod api_server;
pub mod case;
pub mod commands;
pub mod diff;
pub mod golden;
pub mod injection;
pub mod other_webhook;
pub mod quantity;
pub mod random;
pub mod routes;
pub mod schema;
pub mod validation;

use serde_json::Value;

/// The lists of containers in a pod's spec.
pub const LISTS: [&str; 2] = ["initContainers", "containers"];

/// The container of the agent.
pub const SIDECAR: &str = "probelet";

/// The annotation with what injection replaced.
pub const ORIGINAL: &str = "probelet.dev/original";

/// The members of a container that hold a probe.
pub const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// The members of `lifecycle` that hold a hook.
pub const HOOKS: [&str; 2] = ["preStop", "postStart"];

/// Calls a function with each container of a pod.
pub fn each_container(pod: &mut Value, mut change: impl FnMut(&mut Value)) {
    for list in LISTS {
        if let Some(containers) = pod["spec"].get_mut(list).and_then(Value::as_array_mut) {
            containers.iter_mut().for_each(&mut change);
        }
    }
}

/// All containers of a pod, those of `initContainers` first.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = LISTS.iter().filter_map(|list| pod["spec"][list].as_array());
    lists.flatten()
}

/// The agent's container.
pub fn sidecar(pod: &Value) -> Option<&Value> {
    containers(pod).find(|container| container["name"] == SIDECAR)
}

/// The agent's container, to be changed.
pub fn sidecar_mut(pod: &mut Value) -> Option<&mut Value> {
    let list = LISTS.into_iter().find(|list| {
        let mut containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.any(|container| container["name"] == SIDECAR)
    })?;
    let mut containers = pod["spec"][list].as_array_mut()?.iter_mut();
    containers.find(|container| container["name"] == SIDECAR)
}

/// The probes and hooks of a container, each with its path in the container, such as `livenessProbe` and
/// `lifecycle.preStop`.
pub fn handlers(container: &Value) -> impl Iterator<Item = (String, &Value)> {
    let probes = PROBES
        .iter()
        .map(|name| ((*name).into(), &container[*name]));
    let hooks = HOOKS.iter().map(|name| {
        let hook = &container["lifecycle"][*name];
        (format!("lifecycle.{name}"), hook)
    });
    probes.chain(hooks).filter(|(_, value)| value.is_object())
}
