//! One decision for each probe and hook, made of its handler as its owner wrote it.

use super::table;
use crate::inject::options::PodOptions;
use crate::inject::options::annotations::{
    EXCLUDE_CONTAINERS, EXCLUDE_PORTS, FORWARD, STATUS_PORT,
};
use crate::inject::options::port;
use crate::inject::view::PodView;
use crate::inject::view::containers::Container;
use crate::inject::view::handler::{Handler, HandlerError, HandlerKind};
use crate::inject::view::probes::{Probe, is_agent_path};
use serde_json::Value;

/// The decision on a probe or hook.
pub(super) enum ProbeDecision {
    /// It dials no port.
    DialsNoPort,
    /// It could be rewritten, and the options exclude it.
    Excluded,
    /// It cannot be rewritten, with a warning.
    Unsupported(Box<str>),
    /// It goes to a status port, and injection did not point it there.
    PointsAtAgent,
    /// It has to be rewritten and cannot be: the reason, and what to write instead.
    Refused(String),
    /// It goes to the status port.
    Rewritten {
        /// The port of the app.
        port: u16,
        /// The agent's prober, as JSON.
        prober: String,
    },
    /// It goes to this port of the agent, which forwards to the port of the app.
    Forwarded {
        /// The port of the app.
        port: u16,
        /// The port of the agent.
        to: u16,
    },
}

/// Decides on a probe.
pub(super) fn decide(probe: &Probe<'_>, view: &PodView<'_>, options: &PodOptions) -> ProbeDecision {
    let mut excluded = options.exclude_containers.iter();
    let is_excluded = excluded.any(|name| **name == *probe.container.name);
    let handler = match &probe.original {
        Err(HandlerError::DialsNoPort) => return ProbeDecision::DialsNoPort,
        _ if is_excluded => return ProbeDecision::Excluded,
        Err(HandlerError::Ambiguous) => {
            return unsupported(probe, "has more than one handler, or an empty one");
        }
        Ok(original) => &original.handler,
    };
    let port = match resolve_port(handler, &probe.container) {
        Ok(port) => port,
        Err(why) => return unsupported(probe, &why),
    };
    let written = handler.fields.get("port").unwrap_or(&Value::Null);
    let mut excluded = options.exclude_ports.iter();
    if excluded.any(|item| names_port(item, written, port)) {
        return ProbeDecision::Excluded;
    }
    if let Some(why) = unsupported_field(handler, probe.kind.is_hook) {
        return unsupported(probe, &why);
    }
    if port == options.status_port {
        return at_status_port(probe, handler, port);
    }
    if let Some(&(_, to)) = options.forwards.iter().find(|(app, _)| *app == port) {
        return forward(probe, handler.kind, port, to);
    }
    match other_owner(view, &probe.container, port) {
        _ if !options.rewrite => ProbeDecision::Excluded,
        Some(owner) => unsupported(
            probe,
            &format!(
                "probes port {port}, which container {owner} declares and {} does not: declare it there as \
                 well, if it is meant",
                probe.container.name
            ),
        ),
        None => ProbeDecision::Rewritten {
            port,
            prober: table::prober(handler, port, probe.timeout()),
        },
    }
}

fn unsupported(probe: &Probe<'_>, why: &str) -> ProbeDecision {
    ProbeDecision::Unsupported(format!("{} stays as it is: it {why}", probe.label).into())
}

/// Resolves a port as kubelet does: a name among the container's own ports, else a number in quotes
/// (`pkg/probe/util.go`: `ResolveContainerPort`).
pub(super) fn resolve_port(handler: &Handler, container: &Container<'_>) -> Result<u16, String> {
    match handler.fields.get("port").unwrap_or(&Value::Null) {
        Value::String(name) => container
            .port_by_name(name)
            .or_else(|| port(name))
            .ok_or_else(|| {
                format!(
                    "probes port {name}, which {} does not declare: write its number, or name it in ports",
                    container.name
                )
            }),
        Value::Number(number) => {
            let port = number.as_u64().and_then(|port| port.try_into().ok());
            port.filter(|port| *port != 0)
                .ok_or_else(|| format!("probes port {number}: write a number from 1 to 65535"))
        }
        _ => Err("has no port: write its number".into()),
    }
}

/// Whether an item of a list names this port, by number or by the name in the probe.
fn names_port(item: &str, written: &Value, port: u16) -> bool {
    item == port.to_string() || written == item
}

/// A field with which the agent could not do the same as kubelet.
fn unsupported_field(handler: &Handler, is_hook: bool) -> Option<String> {
    let kind = handler.kind;
    if is_hook && kind != HandlerKind::HttpGet {
        return Some(format!(
            "is {}, which kubelet always fails: write httpGet",
            kind.key()
        ));
    }
    let host = handler.field("host").filter(|host| *host != "");
    if let (Some(host), true) = (host, kind != HandlerKind::Grpc) {
        let advice = "leave host out, and write it as a Host header if the app wants one";
        return Some(format!(
            "probes host {host}, and the agent probes its own pod only: {advice}"
        ));
    }
    // Of an httpGet the agent's table takes unknown fields over.
    let is_unknown = |name: &&String| {
        kind != HandlerKind::HttpGet
            && !kind.fields().contains(&name.as_str())
            && handler.field(name).is_some()
    };
    let unknown = handler.fields.keys().find(is_unknown)?;
    Some(format!(
        "has {}.{unknown}, which is not known here",
        kind.key()
    ))
}

fn at_status_port(probe: &Probe<'_>, handler: &Handler, port: u16) -> ProbeDecision {
    if handler.text("path").is_some_and(is_agent_path) {
        return ProbeDecision::PointsAtAgent;
    }
    ProbeDecision::Refused(format!(
        "{} probes port {port}, which would be the status port: write another into annotation {STATUS_PORT}, such \
         as 15920",
        probe.label
    ))
}

fn forward(probe: &Probe<'_>, kind: HandlerKind, port: u16, to: u16) -> ProbeDecision {
    if kind == HandlerKind::HttpGet {
        return ProbeDecision::Forwarded { port, to };
    }
    ProbeDecision::Refused(format!(
        "{} is {} of port {port}, which {FORWARD} passes through: a connection to a forwarded port always succeeds, \
         so it could not fail; leave {port} out there, or write httpGet",
        probe.label,
        kind.key()
    ))
}

/// Another container that declares the port, where the probe's own does not.
fn other_owner<'a>(view: &PodView<'a>, own: &Container<'_>, port: u16) -> Option<&'a str> {
    let mut others = view.containers.iter();
    let other = others
        .find(|other| !other.is_agent() && other.is_probed() && other.declares(port))?
        .name;
    (!own.declares(port)).then_some(other)
}

/// Warns of excluded containers and ports that the pod does not have.
pub(super) fn warn_of_unused_exclusions(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) {
    for name in &options.exclude_containers {
        let mut containers = view.containers.iter();
        if !containers.any(|container| *container.name == **name) {
            let what = format!("annotation {EXCLUDE_CONTAINERS} names {name}");
            warnings.push(format!("{what}, which is no container of the pod").into());
        }
    }
    for item in &options.exclude_ports {
        let is_named = |probe: &Probe<'_>| {
            probe.original.as_ref().is_ok_and(|original| {
                let handler = &original.handler;
                let port = resolve_port(handler, &probe.container).unwrap_or_default();
                let written = handler.fields.get("port").unwrap_or(&Value::Null);
                names_port(item, written, port)
            })
        };
        if !view.probes.iter().any(is_named) {
            let what = format!("annotation {EXCLUDE_PORTS} has {item}");
            warnings.push(format!("{what}, which no probe uses").into());
        }
    }
}
