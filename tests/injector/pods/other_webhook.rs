//! Changes of a pod by another mutating webhook between two calls of ours.

use super::api_server::push;
use super::{LISTS, SIDECAR, each_container};
use serde_json::{Value, json};

/// Adds a variable and a volume mount to every container, the agent's too, and the volume.
pub fn add(pod: &mut Value) {
    each_container(pod, |container| {
        push(container, "env", json!({"name": "ZONE", "value": "a"}));
        push(
            container,
            "volumeMounts",
            json!({"name": "other-webhook", "mountPath": "/other"}),
        );
    });
    push(
        &mut pod["spec"],
        "volumes",
        json!({"name": "other-webhook", "emptyDir": {}}),
    );
}

/// Reverses volumes, each container's variables and mounts, and the containers around the agent's.
pub fn reorder(pod: &mut Value) {
    each_container(pod, |container| {
        for list in ["env", "volumeMounts"] {
            reverse(container, list);
        }
    });
    reverse(&mut pod["spec"], "volumes");
    if let Some(containers) = pod["spec"][LISTS[1]].as_array_mut() {
        let is_sidecar = |container: &Value| container["name"] == SIDECAR;
        let index = containers.iter().position(is_sidecar);
        let sidecar = index.map(|index| containers.remove(index));
        containers.reverse();
        if let (Some(index), Some(sidecar)) = (index, sidecar) {
            containers.insert(index, sidecar);
        }
    }
}

/// Moves the first container to the end of its list, the agent's too.
pub fn rotate_containers(pod: &mut Value) {
    for list in LISTS {
        if let Some(containers) = pod["spec"].get_mut(list).and_then(Value::as_array_mut)
            && !containers.is_empty()
        {
            containers.rotate_left(1);
        }
    }
}

fn reverse(object: &mut Value, name: &str) {
    if let Some(items) = object.get_mut(name).and_then(Value::as_array_mut) {
        items.reverse();
    }
}
