//! The agent as a container of the pod, and the check that the agent itself would start with it.

use super::annotations::Wishes;
use super::probes::{self, OURS};
use super::table::{Table, VARIABLE};
use super::{Sidecar, Target};
use crate::config::{Config, ConfigError, Settings};
use crate::limits;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde_json::{Value, json};
use std::ffi::OsString;

/// The status port that the agent has when it is not told another.
pub(super) const STATUS_PORT: u16 = 15020;
/// The volume with what the Secrets have.
pub(super) const VOLUME: &str = "probelet-tls";
/// Where it is mounted.
const FILES: &str = "/etc/probelet";
/// Its user, which the image has as well, and interception knows.
const USER: u32 = 1337;
/// `terminationGracePeriodSeconds` of a pod that has none.
const GRACE: u64 = 30;
/// Seconds of it that are left for the agent to end in.
const LAST: u64 = 5;

/// The agent's command line and what it probes.
pub(super) struct Command {
    pub(super) args: Vec<String>,
    pub(super) table: Table,
}

impl Command {
    pub(super) fn new(pod: &Value, wishes: &Wishes, table: Table) -> Self {
        let mut args = vec![String::from("run")];
        let mut flag = |name: &str, value: String| args.push(format!("--{name}={value}"));
        if wishes.status_port != STATUS_PORT {
            flag("status-port", wishes.status_port.to_string());
        }
        if let Some(ip) = wishes.source_ip {
            flag("source-ip", ip.to_string());
        }
        if let Target::Ip(ip) = wishes.target {
            flag("target-ip", ip.to_string());
        }
        if wishes.client_cert.is_some() {
            flag("client-cert", format!("{FILES}/tls.crt"));
            flag("client-key", format!("{FILES}/tls.key"));
        }
        if wishes.app_ca.is_some() {
            flag("app-ca", format!("{FILES}/ca.crt"));
        }
        if let Some(id) = &wishes.app_id {
            flag("app-id", id.to_string());
        }
        for (app, own) in &wishes.forwards {
            flag(
                "forward",
                format!("{own}={}", forwarded(wishes.target, *app)),
            );
        }
        let delay = shutdown_delay(pod, wishes.sidecar);
        if delay > 0 {
            flag("shutdown-delay", delay.to_string());
        }
        Self { args, table }
    }

    /// # Errors
    /// What the agent would say at its start, when it ended with exit code 2.
    pub(super) fn check(&self, wishes: &Wishes) -> Result<(), Box<ConfigError>> {
        let mut typed = Settings::default();
        for arg in self.args.iter().skip(1) {
            let is_known = type_in(&mut typed, arg);
            debug_assert!(is_known, "{arg}");
        }
        Self::check_id(&mut typed)?;
        Self::check_addresses(&typed)?;
        let pod_ip = matches!(wishes.target, Target::Pod).then(|| sample(wishes.source_ip));
        let table = self.table.to_string();
        let env = |name: &str| match name {
            "POD_IP" => pod_ip.map(|ip| OsString::from(ip.to_string())),
            VARIABLE => Some(OsString::from(&table)),
            _ => None,
        };
        // Nothing names a file: those of Secrets are not here.
        let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        Config::from_settings(&typed, env, no_file).map(drop)
    }

    /// The identity is read before it is found to stand alone here, without the files.
    fn check_id(typed: &mut Settings) -> Result<(), Box<ConfigError>> {
        let alone = Settings {
            app_id: typed.app_id.take(),
            ..Settings::default()
        };
        let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        match Config::from_settings(&alone, |_| None, no_file) {
            Err(error) if matches!(*error, ConfigError::Alone { .. }) => Ok(()),
            checked => checked.map(drop),
        }
    }

    /// An address that cannot be dialled is in every forward as well, of which it would be said otherwise.
    fn check_addresses(typed: &Settings) -> Result<(), Box<ConfigError>> {
        let alone = Settings {
            target_ip: typed.target_ip.clone(),
            ..Settings::default()
        };
        let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        Config::from_settings(&alone, |_| None, no_file).map(drop)
    }
}

/// What argh makes of an argument; whether it is one of those known here.
fn type_in(typed: &mut Settings, arg: &str) -> bool {
    let flag = arg.strip_prefix("--").and_then(|arg| arg.split_once('='));
    let Some((name, value)) = flag else {
        return false;
    };
    let value = String::from(value);
    match name {
        "status-port" => typed.status_port = Some(value),
        "source-ip" => typed.source_ip = Some(value),
        "target-ip" => typed.target_ip = Some(value),
        "app-id" => typed.app_id = Some(value),
        "shutdown-delay" => typed.shutdown_delay = Some(value),
        "forward" => typed.forward.push(value),
        // Their files are not here.
        "client-cert" | "client-key" | "app-ca" => {}
        _ => return false,
    }
    true
}

/// A pod's address (RFC 5737, RFC 3849), of the family of the source.
fn sample(source: Option<IpAddr>) -> IpAddr {
    match source {
        Some(IpAddr::V6(_)) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        _ => Ipv4Addr::new(192, 0, 2, 1).into(),
    }
}

/// The pod's own address is not known yet, and in an argument an IPv6 one would want brackets that an IPv4 one
/// must not have. What kubelet could reach from outside answers on loopback as well, unless it listens on the
/// pod's address alone or on IPv6 alone; then the target is set by annotation.
fn forwarded(target: Target, port: u16) -> core::net::SocketAddr {
    let ip = match target {
        Target::Pod => Ipv4Addr::LOCALHOST.into(),
        Target::Ip(ip) => ip,
    };
    (ip, port).into()
}

/// An ordinary container is told to end together with the app, but the app only when its preStop hook is done. For
/// so long the hook may go through the agent, and kubelet asks whether the app is ready. Where there is no such
/// hook, all are told at once, and a delay would only hold up the end of every pod. A native one ends after the
/// app anyway.
fn shutdown_delay(pod: &Value, sidecar: Sidecar) -> u64 {
    let mut containers = probes::containers(pod);
    if !containers.any(|container| container.value["lifecycle"]["preStop"].is_object()) {
        return 0;
    }
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64();
    let delay = grace.unwrap_or(GRACE).saturating_sub(LAST);
    match sidecar {
        Sidecar::Native => 0,
        Sidecar::Container => delay.min(limits::SHUTDOWN_DELAY_SECONDS),
    }
}

/// The container. PodSecurity `restricted` takes it.
pub(super) fn container(wishes: &Wishes, command: &Command, port_name: Option<&str>) -> Value {
    let mut container = json!({
        "name": OURS,
        "image": wishes.image,
        "args": command.args,
        "ports": [{"containerPort": wishes.status_port}],
        "startupProbe": {
            "httpGet": {"path": "/healthz/ready", "port": wishes.status_port},
            "periodSeconds": 1,
            "failureThreshold": 30,
        },
        "securityContext": {
            "runAsUser": USER,
            "runAsGroup": USER,
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": wishes.resources,
    });
    if let Some(policy) = &wishes.pull_policy {
        container["imagePullPolicy"] = (&**policy).into();
    }
    if let Some(name) = port_name {
        container["ports"][0]["name"] = name.into();
    }
    if wishes.sidecar == Sidecar::Native {
        container["restartPolicy"] = "Always".into();
    }
    let env = env(wishes, command);
    if !env.is_empty() {
        container["env"] = env.into();
    }
    if volume(wishes).is_some() {
        container["volumeMounts"] = json!([{"name": VOLUME, "mountPath": FILES, "readOnly": true}]);
    }
    container
}

fn env(wishes: &Wishes, command: &Command) -> Vec<Value> {
    let mut env = Vec::new();
    if wishes.target == Target::Pod {
        let field = json!({"fieldRef": {"fieldPath": "status.podIP"}});
        env.push(json!({"name": "POD_IP", "valueFrom": field}));
    }
    if !command.table.is_empty() {
        env.push(json!({"name": VARIABLE, "value": command.table.to_string()}));
    }
    env
}

/// The files of both Secrets in one folder. Anybody in the container may read them, so its user can; mounted
/// as a folder, they are renewed when the Secrets are.
pub(super) fn volume(wishes: &Wishes) -> Option<Value> {
    let secret = |name: &Option<Box<str>>, files: &[&str]| {
        let items = files.iter().map(|file| json!({"key": file, "path": file}));
        let items: Vec<Value> = items.collect();
        let name = name.as_ref()?;
        Some(json!({"secret": {"name": name, "items": items}}))
    };
    let sources: Vec<Value> = [
        secret(&wishes.client_cert, &["tls.crt", "tls.key"]),
        secret(&wishes.app_ca, &["ca.crt"]),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!sources.is_empty()).then(|| json!({"name": VOLUME, "projected": {"sources": sources}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_argument_that_there_can_be_is_known() {
        let metadata = json!({"annotations": {
            "probelet.dev/source-ip": "127.0.0.6", "probelet.dev/target-ip": "127.0.0.1",
            "probelet.dev/client-cert-secret": "a", "probelet.dev/app-ca-secret": "b",
            "probelet.dev/app-id": "spiffe://example.org/web", "probelet.dev/forward": "8002=15032",
            "status.sidecar.istio.io/port": "15920", "probelet.dev/sidecar": "container",
        }});
        let settings = super::super::values::Values::default().settings();
        let Ok(wishes) = Wishes::read(&metadata, &settings, &mut Vec::new()) else {
            panic!("{metadata}");
        };
        let pre_stop = json!({"preStop": {"exec": {"command": ["x"]}}});
        let pod = json!({"spec": {"containers": [{"name": "web", "lifecycle": pre_stop}]}});
        let args = Command::new(&pod, &wishes, Table::default()).args;
        assert_eq!(args.len(), 10, "run, and all that `new` has: {args:?}");
        for arg in &args[1..] {
            assert!(type_in(&mut Settings::default(), arg), "{arg}");
        }
        assert!(!type_in(&mut Settings::default(), "--deadline-margin=1"));
    }
}
