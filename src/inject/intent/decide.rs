//! The decision on a probe or hook, based on its handler as the owner wrote it.

use super::request_head;
use super::table::{self, ProbeTarget};
use crate::config::parse_port;
use crate::inject::annotation_names::{
    EXCLUDE_CONTAINERS, EXCLUDE_PORTS, FORWARD, INBOUND, SIDECAR_KIND, STATUS_PORT,
};
use crate::inject::exec;
use crate::inject::options::{InboundPort, PodOptions, PortForward};
use crate::inject::settings::{Sidecar, Target};
use crate::inject::view::PodView;
use crate::inject::view::collections::SpecList;
use crate::inject::view::containers::Container;
use crate::inject::view::handler::{Handler, HandlerError, HandlerKind};
use crate::inject::view::probes::{Probe, is_agent_path};
use crate::text::Quoted;
use serde_json::Value;
use std::collections::HashSet;

/// The decision on a probe or hook.
pub(super) enum ProbeDecision {
    /// It dials no port.
    DialsNoPort,
    /// Its command cannot be converted. Has the warning.
    NotConverted(Box<str>),
    /// It belongs to the sidecar of an injector, and an earlier version injected it.
    OfInjectedSidecar,
    /// The options exclude it.
    Excluded,
    /// It cannot be rewritten. Has the warning.
    Unsupported(Box<str>),
    /// It points at a status port, but not because of injection.
    PointsAtAgent,
    /// It has to be rewritten, but cannot be. Has the reason, and what to write instead.
    Refuse(String),
    /// It will probe the status port.
    Rewrite {
        /// The port of the app.
        port: u16,
        /// The agent's prober, as JSON.
        prober: String,
    },
    /// It will probe a port of the agent, which forwards to the app.
    Forward(PortForward),
}

/// Decides on a probe that is no exec probe.
pub(super) fn decide(probe: &Probe<'_>, options: &PodOptions) -> ProbeDecision {
    if probe.container.is_injected_sidecar() {
        return ProbeDecision::OfInjectedSidecar;
    }
    let handler = match &probe.original {
        Err(HandlerError::DialsNoPort) => return ProbeDecision::DialsNoPort,
        _ if is_excluded_container(probe, options) => return ProbeDecision::Excluded,
        Err(HandlerError::Ambiguous) => {
            let advice = "write one of httpGet, tcpSocket and grpc, as a mapping";
            let reason =
                format!("has more than one handler, or one that is not a mapping: {advice}");
            return unsupported(probe, &reason);
        }
        Ok(original) => &original.handler,
    };
    // An earlier version has rewritten such a probe: its pods run, and restored it would have them rejected.
    if !probe.is_injected()
        && let Some(reason) = rejected_field(handler)
    {
        return unsupported(probe, &reason);
    }
    let port = match resolve_port(handler, &probe.container) {
        Ok(port) => port,
        Err(reason) => return unsupported(probe, &reason),
    };
    let names = PortNames::of(handler, port);
    let mut excluded = options.exclude_ports.iter();
    if excluded.any(|item| names.contains(item)) {
        return ProbeDecision::Excluded;
    }
    if let Some(reason) = unsupported_field(handler, probe.kind.is_hook()) {
        return unsupported(probe, &reason);
    }
    if port == options.status_port {
        return at_status_port(probe, handler, port);
    }
    if let Some(inbound) = options.inbound.listener_at(port) {
        return ProbeDecision::Refuse(at_inbound_port(probe, inbound, port));
    }
    let mut forwards = options.forwards.iter();
    let forward = forwards.find(|forward| forward.app_port == port);
    if forward.is_none() && !options.rewrite {
        return ProbeDecision::Excluded;
    }
    if runs_before_sidecar(&probe.container, options.sidecar) {
        let reason = "belongs to an init container, which starts before an ordinary sidecar";
        let advice = format!("set annotation {SIDECAR_KIND} to native (Kubernetes 1.29 or later)");
        return unsupported(probe, &format!("{reason}: {advice}"));
    }
    if let Some(forward) = forward {
        return forwarded(probe, handler.kind, *forward);
    }
    if let Err(reason) = request_head::check(probe, handler) {
        return ProbeDecision::Refuse(reason);
    }
    ProbeDecision::Rewrite {
        port,
        prober: table::prober(
            handler,
            port,
            probe.timeout(options.min_timeout),
            probe_target(options, port),
        ),
    }
}

/// Whether the options exclude the container of a probe.
pub(super) fn is_excluded_container(probe: &Probe<'_>, options: &PodOptions) -> bool {
    let mut excluded = options.exclude_containers.iter();
    excluded.any(|name| **name == *probe.container.name)
}

/// Whether the options convert this exec handler, if its meaning can be kept.
pub(super) fn converts(probe: &Probe<'_>, options: &PodOptions) -> bool {
    options.convert_exec && options.rewrite && !probe.kind.is_hook()
}

/// Whether kubelet probes a container before it starts the sidecar. It starts ordinary containers when all init containers
/// have ended or, with `restartPolicy: Always`, have started (`pkg/kubelet/kuberuntime`: `computeInitContainerActions`).
pub(super) fn runs_before_sidecar(container: &Container<'_>, sidecar: Sidecar) -> bool {
    container.list == SpecList::InitContainers && sidecar == Sidecar::Container
}

/// The address at which the agent probes a port of the app. At the pod's address, the agent itself may listen on the port
/// of an app on loopback. An address of the options applies to probes and to mutual TLS.
pub(super) fn probe_target(options: &PodOptions, port: u16) -> ProbeTarget {
    let is_inbound = options.inbound.has_app_port(port);
    match options.target {
        Target::Pod if is_inbound => ProbeTarget::Loopback,
        Target::Pod | Target::Ip(_) => ProbeTarget::Default,
    }
}

/// The port of the app that a probe would dial without the agent, where the agent requires a client certificate.
pub(super) fn port_behind_mutual_tls(probe: &Probe<'_>, options: &PodOptions) -> Option<u16> {
    let handler = &probe.original.as_ref().ok()?.handler;
    let port = resolve_port(handler, &probe.container).ok()?;
    let has_host = handler.text("host").is_some_and(|host| !host.is_empty());
    (options.inbound.replaces_app_port(port) && !has_host).then_some(port)
}

fn unsupported(probe: &Probe<'_>, reason: &str) -> ProbeDecision {
    ProbeDecision::Unsupported(format!("{} is not rewritten: it {reason}", probe.label).into())
}

/// Why the API server rejects a handler because of a field that rewriting replaces; none if it accepts the field. Rewritten,
/// the probe would be accepted (`pkg/apis/core/validation`: `validateHTTPGetAction`, `ValidatePortNumOrName`).
fn rejected_field(handler: &Handler) -> Option<String> {
    let is_grpc = handler.kind == HandlerKind::Grpc;
    if let Some(port) = handler.text("port")
        && (is_grpc || parse_port(port).is_some())
    {
        let port = Quoted(port);
        let advice = "write a number without quotes";
        return Some(format!(
            "has the port {port}, which the API server rejects: {advice}"
        ));
    }
    // The agent reads it in any case, as kubelet does.
    let scheme = handler.text("scheme").filter(|scheme| {
        let mut known = ["", "HTTP", "HTTPS"].into_iter();
        handler.kind == HandlerKind::HttpGet && !known.any(|known| known == *scheme)
    })?;
    let scheme = Quoted(scheme);
    Some(format!(
        "has the scheme {scheme}, which the API server rejects: write HTTP or HTTPS"
    ))
}

/// Resolves a port as kubelet does: the name of a port of the container, else a string of digits. A number may be the port
/// of another container, because the containers of a pod share its network
/// (`pkg/probe/util.go`: `ResolveContainerPort`).
pub(super) fn resolve_port(handler: &Handler, container: &Container<'_>) -> Result<u16, String> {
    match handler.fields.get("port").unwrap_or(&Value::Null) {
        Value::String(name) => container
            .port_by_name(name)
            .or_else(|| parse_port(name))
            .ok_or_else(|| {
                format!(
                    "probes port {name}, which {} does not declare: write the port number, or declare the name in its ports",
                    container.name
                )
            }),
        Value::Number(number) => {
            let port = number.as_u64().and_then(|port| port.try_into().ok());
            port.filter(|port| *port != 0)
                .ok_or_else(|| format!("probes port {number}: write a number from 1 to 65535"))
        }
        _ => Err("has no port: write the port number".into()),
    }
}

/// The texts by which an item of `EXCLUDE_PORTS` names the port of a probe: its number, and the name in the probe.
struct PortNames<'a> {
    number: String,
    written: Option<&'a str>,
}

impl<'a> PortNames<'a> {
    fn of(handler: &'a Handler, port: u16) -> Self {
        Self {
            number: port.to_string(),
            written: handler.fields.get("port").and_then(Value::as_str),
        }
    }

    fn contains(&self, item: &str) -> bool {
        self.number == item || self.written == Some(item)
    }
}

/// Why the agent cannot probe like kubelet because of a field; none if it can.
fn unsupported_field(handler: &Handler, is_hook: bool) -> Option<String> {
    let kind = handler.kind;
    if is_hook && kind != HandlerKind::HttpGet {
        return Some(format!(
            "is a {} hook, which kubelet does not support: use httpGet",
            kind.key()
        ));
    }
    let host = handler.field("host").filter(|host| *host != "");
    if let (Some(host), true) = (host, kind != HandlerKind::Grpc) {
        let advice = "remove host, and set a Host header if the app needs one";
        return Some(format!(
            "probes host {host}, but the agent probes only its own pod: {advice}"
        ));
    }
    // The table of probers includes unknown fields of an httpGet.
    let is_unknown = |name: &&String| {
        kind != HandlerKind::HttpGet
            && !kind.fields().contains(&name.as_str())
            && handler.field(name).is_some()
    };
    let unknown = handler.fields.keys().find(is_unknown)?;
    Some(format!(
        "has the unknown field {}.{unknown}: remove it, or use a newer probelet-inject",
        kind.key()
    ))
}

fn at_status_port(probe: &Probe<'_>, handler: &Handler, port: u16) -> ProbeDecision {
    if handler.text("path").is_some_and(is_agent_path) {
        return ProbeDecision::PointsAtAgent;
    }
    ProbeDecision::Refuse(format!(
        "{} probes port {port}, which is the agent's status port: set another port in annotation {STATUS_PORT}, such as \
         15920",
        probe.label
    ))
}

fn at_inbound_port(probe: &Probe<'_>, inbound: &InboundPort, port: u16) -> String {
    let app_port = inbound.app_port;
    format!(
        "{} probes port {port}, on which the sidecar terminates mutual TLS (annotation {INBOUND}): probe port {app_port} of the \
         app",
        probe.label
    )
}

fn forwarded(probe: &Probe<'_>, kind: HandlerKind, forward: PortForward) -> ProbeDecision {
    if kind == HandlerKind::HttpGet {
        return ProbeDecision::Forward(forward);
    }
    let port = forward.app_port;
    ProbeDecision::Refuse(format!(
        "{} is a {} probe of port {port}, which annotation {FORWARD} forwards: it would never fail, because a connection \
         to a forwarded port always succeeds; remove {port} from the annotation, or use httpGet",
        probe.label,
        kind.key()
    ))
}

/// Warns of excluded containers and ports that the pod does not have.
pub(super) fn warn_of_unused_exclusions(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) {
    let containers: HashSet<&str> = view.containers.iter().map(|all| all.name).collect();
    for name in &options.exclude_containers {
        if !containers.contains(&**name) {
            let what = format!("annotation {EXCLUDE_CONTAINERS} has {name}");
            warnings.push(
                format!("{what}, which is not a container of the pod: correct or remove {name}")
                    .into(),
            );
        }
    }
    if options.exclude_ports.is_empty() {
        return;
    }
    let names = view.probes.iter().filter_map(|probe| {
        let handler = &probe.original.as_ref().ok()?.handler;
        let port = match exec::convert_probe(probe) {
            Some(converted) if converts(probe, options) => converted.ok()?.port,
            Some(_) => return None,
            None => resolve_port(handler, &probe.container).unwrap_or_default(),
        };
        Some(PortNames::of(handler, port))
    });
    let names: HashSet<String> = names
        .flat_map(|names| [Some(names.number), names.written.map(Into::into)])
        .flatten()
        .collect();
    for item in &options.exclude_ports {
        if !names.contains(&**item) {
            let what = format!("annotation {EXCLUDE_PORTS} has {item}");
            warnings.push(format!("{what}, which no probe uses: correct or remove {item}").into());
        }
    }
}
