//! A model of the API server's validation of a pod (`pkg/apis/core/validation/validation.go`), for the members
//! that tests of the injector write.

use super::quantity::at_most;
use super::schema::{Decoder, POD, Path};
use super::{HOOKS, LISTS, PROBES};
use serde_json::Value;
use std::collections::BTreeSet;

const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// The API server's validation errors of a defaulted pod, one per line.
pub fn errors(defaulted: &Value) -> Vec<String> {
    let mut errors = Errors::default();
    errors.pod(defaulted);
    errors.0
}

/// Why the API server cannot decode a pod.
pub fn decode_errors(pod: &Value) -> Vec<String> {
    let mut decoder = Decoder::default();
    decoder.object(pod, POD, Path::Root("pod"));
    decoder.errors
}

#[derive(Default)]
struct Errors(Vec<String>);

impl Errors {
    fn expect(&mut self, holds: bool, error: impl FnOnce() -> String) {
        if !holds {
            self.0.push(error());
        }
    }

    fn pod(&mut self, pod: &Value) {
        let spec = &pod["spec"];
        let grace = spec["terminationGracePeriodSeconds"]
            .as_i64()
            .unwrap_or_default();
        self.expect(grace >= 0, || {
            "terminationGracePeriodSeconds is negative".into()
        });
        let mut volumes = BTreeSet::new();
        for volume in spec["volumes"].as_array().into_iter().flatten() {
            let name = volume["name"].as_str().unwrap_or_default();
            self.expect(is_label(name), || format!("volume {name}: name"));
            self.expect(volumes.insert(name), || format!("volume {name}: duplicate"));
            let sources = volume.as_object().map_or(0, |volume| volume.len() - 1);
            self.expect(sources == 1, || format!("volume {name}: {sources} sources"));
        }
        self.expect(
            spec["containers"]
                .as_array()
                .is_some_and(|all| !all.is_empty()),
            || "no containers".into(),
        );
        for container in spec[LISTS[0]].as_array().into_iter().flatten() {
            self.host_ports(core::slice::from_ref(container));
        }
        self.host_ports(spec[LISTS[1]].as_array().map_or(&[], Vec::as_slice));
        let mut names = BTreeSet::new();
        for list in LISTS {
            for container in spec[list].as_array().into_iter().flatten() {
                let name = container["name"].as_str().unwrap_or_default();
                self.expect(is_label(name), || format!("container {name:?}: name"));
                self.expect(names.insert(name), || {
                    format!("container {name}: duplicate")
                });
                self.container(list, name, container, grace, &volumes);
            }
        }
    }

    /// `checkHostPortConflicts`.
    fn host_ports(&mut self, containers: &[Value]) {
        let mut host_ports = BTreeSet::new();
        let ports = containers
            .iter()
            .filter_map(|container| container["ports"].as_array());
        for port in ports.flatten().filter(|port| port["hostPort"].is_u64()) {
            let key = format!(
                "{}/{}/{}",
                port["protocol"], port["hostIP"], port["hostPort"]
            );
            self.expect(!host_ports.contains(&key), || {
                format!("host port {key} twice")
            });
            host_ports.insert(key);
        }
    }

    fn container(
        &mut self,
        list: &str,
        name: &str,
        container: &Value,
        grace: i64,
        volumes: &BTreeSet<&str>,
    ) {
        let image = container["image"].as_str().unwrap_or_default();
        self.expect(!image.is_empty(), || format!("{name}: image is required"));
        let policy = container["imagePullPolicy"].as_str().unwrap_or_default();
        self.expect(
            ["Always", "IfNotPresent", "Never"].contains(&policy),
            || format!("{name}: imagePullPolicy"),
        );
        let mut port_names = BTreeSet::new();
        for port in container["ports"].as_array().into_iter().flatten() {
            self.expect(is_port(&port["containerPort"]), || {
                format!("{name}: containerPort")
            });
            let protocol = port["protocol"].as_str().unwrap_or_default();
            self.expect(["TCP", "UDP", "SCTP"].contains(&protocol), || {
                format!("{name}: protocol {protocol}")
            });
            if let Some(port) = port["name"].as_str() {
                self.expect(is_port_name(port), || format!("{name}: port name {port}"));
                self.expect(port_names.insert(port), || {
                    format!("{name}: port name {port} twice")
                });
            }
        }
        let mut mount_paths = BTreeSet::new();
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let volume = mount["name"].as_str().unwrap_or_default();
            self.expect(volumes.contains(volume), || {
                format!("{name}: volume {volume} not found")
            });
            let path = mount["mountPath"].as_str().unwrap_or_default();
            self.expect(!path.is_empty() && mount_paths.insert(path), || {
                format!("{name}: mountPath {path}")
            });
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let has_name = variable["name"]
                .as_str()
                .is_some_and(|name| !name.is_empty());
            self.expect(has_name, || format!("{name}: env without a name"));
        }
        let resources = &container["resources"];
        for (resource, request) in resources["requests"].as_object().into_iter().flatten() {
            if let Some(limit) = resources["limits"].get(resource) {
                self.expect(at_most(request, limit), || {
                    format!("{name}: {resource} request over its limit")
                });
            }
        }
        let restarts = container["restartPolicy"].as_str();
        let is_init = list == LISTS[0];
        self.expect(
            !is_init || restarts.is_none_or(|policy| policy == "Always"),
            || format!("{name}: restartPolicy"),
        );
        let may_probe = !is_init || restarts == Some("Always");
        for probe in PROBES.iter().filter(|probe| container[**probe].is_object()) {
            self.expect(may_probe, || {
                format!("{name}: {probe} of an init container")
            });
            self.probe(
                &format!("{name}.{probe}"),
                &container[*probe],
                *probe == "readinessProbe",
                grace,
            );
        }
        self.expect(may_probe || container["lifecycle"].is_null(), || {
            format!("{name}: lifecycle of an init container")
        });
        for hook in HOOKS
            .iter()
            .filter(|hook| container["lifecycle"][**hook].is_object())
        {
            self.handler(
                &format!("{name}.{hook}"),
                &container["lifecycle"][*hook],
                grace,
            );
        }
    }

    fn probe(&mut self, place: &str, probe: &Value, is_readiness: bool, grace: i64) {
        self.handler(place, probe, grace);
        for member in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            let number = probe[member].as_i64().unwrap_or_default();
            self.expect(number >= 0, || format!("{place}.{member} is negative"));
        }
        let grace = probe["terminationGracePeriodSeconds"].as_i64();
        let is_grace = |grace| grace > 0 && !is_readiness;
        self.expect(grace.is_none_or(is_grace), || {
            format!("{place}.terminationGracePeriodSeconds")
        });
        let successes = &probe["successThreshold"];
        self.expect(is_readiness || successes == 1, || {
            format!("{place}.successThreshold must be 1")
        });
    }

    fn handler(&mut self, place: &str, holder: &Value, grace: i64) {
        let handlers: Vec<&str> = HANDLERS
            .into_iter()
            .filter(|kind| holder[*kind].is_object())
            .collect();
        self.expect(!handlers.is_empty(), || {
            format!("{place}: must specify a handler type")
        });
        self.expect(handlers.len() < 2, || {
            format!("{place}: more than 1 handler type")
        });
        let Some(kind) = handlers.first() else {
            return;
        };
        let handler = &holder[*kind];
        let place = format!("{place}.{kind}");
        match *kind {
            "exec" => self.expect(handler["command"].is_array(), || {
                format!("{place}.command is required")
            }),
            "httpGet" => {
                self.port(&place, &handler["port"]);
                let path = handler["path"].as_str().unwrap_or_default();
                self.expect(!path.is_empty(), || format!("{place}.path is required"));
                let scheme = handler["scheme"].as_str().unwrap_or_default();
                self.expect(["HTTP", "HTTPS"].contains(&scheme), || {
                    format!("{place}.scheme {scheme}")
                });
                for header in handler["httpHeaders"].as_array().into_iter().flatten() {
                    let name = header["name"].as_str().unwrap_or_default();
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
                    self.expect(!name.is_empty() && name.chars().all(is_name), || {
                        format!("{place}: header {name}")
                    });
                }
            }
            "sleep" => {
                let seconds = handler["seconds"].as_i64().unwrap_or_default();
                self.expect((0..=grace).contains(&seconds), || {
                    format!("{place}.seconds {seconds}")
                });
            }
            _ => self.port(&place, &handler["port"]),
        }
    }

    fn port(&mut self, place: &str, port: &Value) {
        let fits = is_port(port) || port.as_str().is_some_and(is_port_name);
        self.expect(fits, || format!("{place}.port {port}"));
    }
}

fn is_port(port: &Value) -> bool {
    port.as_i64()
        .is_some_and(|port| (1..=65535).contains(&port))
}

/// `IsValidPortName`.
fn is_port_name(name: &str) -> bool {
    let is_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=15).contains(&name.len())
        && name.chars().all(is_char)
        && name.chars().any(|c| c.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// `IsDNS1123Label`.
fn is_label(name: &str) -> bool {
    let is_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(is_char)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
