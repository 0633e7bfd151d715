//! The targets of kubelet's probes of a pod: the app, or the agent.

use super::{SIDECAR, containers, handlers, sidecar};
use serde_json::Value;
use std::collections::BTreeSet;

/// The variable with the agent's probers.
pub const TABLE: &str = "ISTIO_KUBE_APP_PROBERS";

/// The probes and hooks of a pod that go through the agent, and errors in them.
#[derive(Debug, Default)]
pub struct Routes {
    /// `web.livenessProbe` of each.
    pub through_agent: BTreeSet<String>,
    /// A probe without a prober, a prober without a probe.
    pub errors: Vec<String>,
}

/// The agent's table as it is written; empty if there is none.
pub fn table(pod: &Value) -> &str {
    let env = sidecar(pod).and_then(|container| container["env"].as_array());
    let table = env
        .into_iter()
        .flatten()
        .find(|variable| variable["name"] == TABLE);
    table
        .and_then(|table| table["value"].as_str())
        .unwrap_or_default()
}

/// The ports that the agent listens on: its status port, and those of forwards.
pub fn agent_ports(sidecar: &Value) -> (u64, Vec<u64>) {
    let args = sidecar["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let (mut status, mut forwards) = (15020, Vec::new());
    for arg in args {
        if let Some(port) = arg.strip_prefix("--status-port=") {
            status = port.parse().expect("a port");
        }
        let forward = arg
            .strip_prefix("--forward=")
            .and_then(|arg| arg.split_once('='));
        forwards.extend(forward.map(|(own, _)| own.parse::<u64>().expect("a port")));
    }
    (status, forwards)
}

/// The targets of the probes of a pod.
pub fn routes(pod: &Value) -> Routes {
    let mut routes = Routes::default();
    let ports = sidecar(pod).map(agent_ports);
    let probers = match table(pod) {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_default(),
    };
    let mut paths = BTreeSet::new();
    for container in containers(pod).filter(|container| container["name"] != SIDECAR) {
        let name = container["name"].as_str().unwrap_or_default();
        for (place, holder) in handlers(container) {
            let get = &holder["httpGet"];
            let path = get["path"].as_str().unwrap_or_default();
            let key = format!("{name}.{place}");
            let port = get["port"].as_u64().unwrap_or_default();
            let has_agent_path =
                path.starts_with("/app-health/") || path.starts_with("/app-lifecycle/");
            match &ports {
                Some((status, _)) if port == *status && has_agent_path => {
                    paths.insert(String::from(path));
                    if probers.get(path).is_none() {
                        routes
                            .errors
                            .push(format!("{key} requests {path}, which has no prober"));
                    }
                    routes.through_agent.insert(key);
                }
                Some((_, forwards)) if forwards.contains(&port) => {
                    routes.through_agent.insert(key);
                }
                _ if has_agent_path => {
                    routes.errors.push(format!(
                        "{key} requests {path} of port {port}, where no agent listens"
                    ));
                }
                _ => {}
            }
        }
    }
    for path in probers
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, _)| path)
    {
        if !paths.contains(path) {
            routes
                .errors
                .push(format!("the prober {path} has no probe"));
        }
    }
    routes
}
