//! The agent as a container of the pod, and the check that the agent itself would start with it.

use super::table::Table;
use crate::config::{self, ConfigError, RawSettings};
use crate::inject::options::PodOptions;
use crate::inject::settings::{DEFAULT_STATUS_PORT, Sidecar, Target};
use crate::inject::view::containers::SIDECAR;
use crate::inject::view::{PROBERS, PodView, VOLUME};
use crate::limits;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde_json::{Value, json};
use std::ffi::OsString;

/// The mount path of the volume with the files of Secrets.
const FILES: &str = "/etc/probelet";
/// The user of the agent: the image's, and the one that Istio's traffic rules treat as a proxy.
const USER: u32 = 1337;
/// The API server's default of `terminationGracePeriodSeconds`.
const DEFAULT_GRACE_SECONDS: u64 = 30;
/// The part of the grace period in which the agent drains.
const DRAIN_SECONDS: u64 = 5;

/// The agent's command line and what it probes.
pub(super) struct Command {
    pub(super) args: Vec<String>,
    pub(super) table: Table,
}

impl Command {
    pub(super) fn new(view: &PodView<'_>, options: &PodOptions, table: Table) -> Self {
        let mut args = vec![String::from("run")];
        let mut flag = |name: &str, value: String| args.push(format!("--{name}={value}"));
        if options.status_port != DEFAULT_STATUS_PORT {
            flag("status-port", options.status_port.to_string());
        }
        if let Some(ip) = options.source_ip {
            flag("source-ip", ip.to_string());
        }
        if let Target::Ip(ip) = options.target {
            flag("target-ip", ip.to_string());
        }
        if options.client_cert.is_some() {
            flag("client-cert", format!("{FILES}/tls.crt"));
            flag("client-key", format!("{FILES}/tls.key"));
        }
        if options.app_ca.is_some() {
            flag("app-ca", format!("{FILES}/ca.crt"));
        }
        if let Some(id) = &options.app_id {
            flag("app-id", id.to_string());
        }
        for (app, own) in &options.forwards {
            flag(
                "forward",
                format!("{own}={}", forwarded(options.target, *app)),
            );
        }
        let delay = shutdown_delay(view, options.sidecar);
        if delay > 0 {
            flag("shutdown-delay", delay.to_string());
        }
        Self { args, table }
    }

    /// Checks the arguments and the table as the agent does at its start.
    ///
    /// # Errors
    /// The error with which the agent would exit.
    pub(super) fn check(&self, options: &PodOptions) -> Result<(), Box<ConfigError>> {
        let mut typed = RawSettings::default();
        for arg in self.args.iter().skip(1) {
            let is_known = set_flag(&mut typed, arg);
            debug_assert!(is_known, "{arg}");
        }
        let pod_ip = matches!(options.target, Target::Pod).then(|| sample(options.source_ip));
        let table = self.table.to_string();
        let env = |name: &str| match name {
            "POD_IP" => pod_ip.map(|ip| OsString::from(ip.to_string())),
            PROBERS => Some(OsString::from(&table)),
            _ => None,
        };
        config::validate(&typed, env)
    }
}

/// Sets one argument as argh does. Returns false if the flag is not one of those that injection writes.
fn set_flag(typed: &mut RawSettings, arg: &str) -> bool {
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
        "client-cert" => typed.client_cert = Some(value),
        "client-key" => typed.client_key = Some(value),
        "app-ca" => typed.app_ca = Some(value),
        _ => return false,
    }
    true
}

/// An address for documentation (RFC 5737, RFC 3849) of the family of the source, in place of the pod's.
fn sample(source: Option<IpAddr>) -> IpAddr {
    match source {
        Some(IpAddr::V6(_)) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        _ => Ipv4Addr::new(192, 0, 2, 1).into(),
    }
}

/// The target of a forward. The pod's address is not known before the pod runs, and an IPv6 address in an argument
/// needs brackets. An app that listens on the pod's address alone, or on IPv6 alone, needs an annotation.
fn forwarded(target: Target, port: u16) -> core::net::SocketAddr {
    let ip = match target {
        Target::Pod => Ipv4Addr::LOCALHOST.into(),
        Target::Ip(ip) => ip,
    };
    (ip, port).into()
}

/// kubelet sends SIGTERM to an ordinary sidecar together with the app, and to the app after its preStop hook. Until
/// then the hook may go through the agent, and kubelet probes readiness. Without such a hook a delay would only
/// slow the end of every pod. A native sidecar ends after the app in any case.
fn shutdown_delay(view: &PodView<'_>, sidecar: Sidecar) -> u64 {
    let mut containers = view.containers.iter();
    if !containers.any(|container| container.value["lifecycle"]["preStop"].is_object()) {
        return 0;
    }
    let grace = view.pod["spec"]["terminationGracePeriodSeconds"].as_u64();
    let delay = grace
        .unwrap_or(DEFAULT_GRACE_SECONDS)
        .saturating_sub(DRAIN_SECONDS);
    match sidecar {
        Sidecar::Native => 0,
        Sidecar::Container => delay.min(limits::SHUTDOWN_DELAY_SECONDS),
    }
}

/// The sidecar. PodSecurity `restricted` admits it.
pub(super) fn container(options: &PodOptions, command: &Command, port_name: Option<&str>) -> Value {
    let mut container = json!({
        "name": SIDECAR,
        "image": options.image,
        "args": command.args,
        "ports": [{"containerPort": options.status_port}],
        "startupProbe": {
            "httpGet": {"path": "/healthz/ready", "port": options.status_port},
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
        "resources": without_empty(&options.resources),
    });
    if let Some(policy) = &options.pull_policy {
        container["imagePullPolicy"] = (&**policy).into();
    }
    if let Some(name) = port_name {
        container["ports"][0]["name"] = name.into();
    }
    if options.sidecar == Sidecar::Native {
        container["restartPolicy"] = "Always".into();
    }
    let env = env(options, command);
    if !env.is_empty() {
        container["env"] = env.into();
    }
    if volume(options).is_some() {
        container["volumeMounts"] = json!([{"name": VOLUME, "mountPath": FILES, "readOnly": true}]);
    }
    container
}

/// A value without members that the API server drops: null, and empty objects.
fn without_empty(value: &Value) -> Value {
    let Value::Object(members) = value else {
        return value.clone();
    };
    let members = members
        .iter()
        .map(|(key, value)| (key.clone(), without_empty(value)));
    let is_empty = |value: &Value| {
        value.is_null() || value.as_object().is_some_and(|members| members.is_empty())
    };
    Value::Object(members.filter(|(_, value)| !is_empty(value)).collect())
}

fn env(options: &PodOptions, command: &Command) -> Vec<Value> {
    let mut env = Vec::new();
    if options.target == Target::Pod {
        let field = json!({"fieldRef": {"fieldPath": "status.podIP"}});
        env.push(json!({"name": "POD_IP", "valueFrom": field}));
    }
    if !command.table.is_empty() {
        env.push(json!({"name": PROBERS, "value": command.table.to_string()}));
    }
    env
}

/// The volume with the files of both Secrets in one folder. Mounted as a folder, the files change when the Secrets
/// do.
pub(super) fn volume(options: &PodOptions) -> Option<Value> {
    let secret = |name: &Option<Box<str>>, files: &[&str]| {
        let items = files.iter().map(|file| json!({"key": file, "path": file}));
        let items: Vec<Value> = items.collect();
        let name = name.as_ref()?;
        Some(json!({"secret": {"name": name, "items": items}}))
    };
    let sources: Vec<Value> = [
        secret(&options.client_cert, &["tls.crt", "tls.key"]),
        secret(&options.app_ca, &["ca.crt"]),
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
        let settings = crate::inject::values::Values::default().settings();
        let Ok(options) = PodOptions::read(&metadata, &settings, &mut Vec::new()) else {
            panic!("{metadata}");
        };
        let pre_stop = json!({"preStop": {"exec": {"command": ["x"]}}});
        let pod = json!({"spec": {"containers": [{"name": "web", "lifecycle": pre_stop}]}});
        let root = crate::manifest::Pointer::root();
        let view = PodView::read(&pod, &pod, &root).expect("a pod");
        let args = Command::new(&view, &options, Table::default()).args;
        assert_eq!(args.len(), 10, "run, and all that `new` has: {args:?}");
        for arg in &args[1..] {
            assert!(set_flag(&mut RawSettings::default(), arg), "{arg}");
        }
        assert!(!set_flag(
            &mut RawSettings::default(),
            "--deadline-margin=1"
        ));
    }
}
