//! The decisions on all probes of a pod: destinations, the table of probers, and details for the report.

use super::annotation_probers;
use super::converted;
use super::decide::{self, ProbeDecision, decide};
use super::table::{self, ProbeTarget, ProberTable};
use crate::inject::annotation_names::{INBOUND, ORIGINAL_ANNOTATION};
use crate::inject::options::{AnnotationProber, PodOptions};
use crate::inject::report::Stop;
use crate::inject::view::PodView;
use crate::inject::view::handler::{Handler, HandlerKind};
use crate::inject::view::probes::Probe;
use crate::limits;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Why a pod is skipped whose probes all stay exec probes.
pub(in crate::inject) const ONLY_EXEC: &str = "only exec probes";

/// The intended destination of a probe.
pub(in crate::inject) enum Destination {
    /// A path of the status port.
    StatusPort {
        /// `/app-health/web/livez`
        path: Box<str>,
        /// The status port.
        status_port: u16,
        /// The port of the app.
        app_port: u16,
    },
    /// This port of the agent, with the same path.
    ForwardPort(u16),
}

/// A container with the endpoints of its rewritten probes.
struct RewrittenContainer {
    name: Box<str>,
    endpoints: Vec<&'static str>,
}

/// A probe with its decision, and its prober of the annotation.
struct Decided<'a> {
    probe: &'a Probe<'a>,
    annotated: Option<&'a AnnotationProber>,
    decision: ProbeDecision,
}

/// Decides on all probes. Beyond the limit of the agent, exec probes stay as they are. Other probes take precedence, because
/// kubelet may not reach their ports.
fn decide_all<'a>(view: &'a PodView<'a>, options: &'a PodOptions) -> Vec<Decided<'a>> {
    let decided = view.probes.iter().map(|probe| {
        let annotated = annotation_probers::find(probe, options);
        let decision = converted::decide(probe, options);
        let decision = decision.unwrap_or_else(|| decide(probe, options));
        let decision = match annotated {
            Some(annotated) => annotation_probers::replace(annotated, probe, decision, options),
            None => decision,
        };
        Decided {
            probe,
            annotated,
            decision,
        }
    });
    let mut decided: Vec<_> = decided.collect();
    let is_rewritten = |one: &Decided<'_>| matches!(one.decision, ProbeDecision::Rewrite { .. });
    let is_converted =
        |one: &Decided<'_>| one.annotated.is_none() && one.probe.exec_handler().is_some();
    let others = decided.iter();
    let others = others.filter(|one| is_rewritten(one) && !is_converted(one));
    let left = limits::PROBERS.saturating_sub(others.count());
    let converted = decided.iter_mut();
    let converted = converted.filter(|one| is_rewritten(one) && is_converted(one));
    for one in converted.skip(left) {
        one.decision = converted::beyond_limit(one.probe);
    }
    decided
}

/// The decisions on all probes of a pod.
#[derive(Default)]
pub(super) struct Decisions {
    pub(super) destinations: BTreeMap<Box<str>, Destination>,
    pub(super) table: ProberTable,
    /// The containers with rewritten probes.
    rewritten: Vec<RewrittenContainer>,
    /// Forwarded ports of the app.
    pub(super) forwarded: BTreeSet<u16>,
    /// The annotation's probers: their paths, and the ports of their handlers.
    pub(super) annotation_probers: BTreeMap<Box<str>, Vec<u16>>,
    has_exec: bool,
    has_excluded: bool,
    has_unsupported: bool,
    /// The label of a probe that already points at a status port.
    points_at_agent: Option<Box<str>>,
}

impl Decisions {
    pub(super) fn new(
        view: &PodView<'_>,
        options: &PodOptions,
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Self, Stop> {
        let mut decisions = Self::default();
        let current = view.table();
        for Decided {
            probe,
            annotated,
            decision,
        } in decide_all(view, options)
        {
            match decision {
                ProbeDecision::DialsNoPort => {
                    // A converted command is an httpGet in the pod.
                    decisions.has_exec |=
                        probe.value.contains_key("exec") || probe.exec_handler().is_some();
                }
                ProbeDecision::NotConverted(warning) => {
                    decisions.has_exec = true;
                    warnings.push(warning);
                }
                ProbeDecision::OfInjectedSidecar => {}
                ProbeDecision::Excluded => {
                    decisions.has_excluded = true;
                    warn_of_mutual_tls(probe, options, warnings);
                }
                ProbeDecision::Unsupported(warning) => {
                    decisions.has_unsupported = true;
                    warnings.push(warning);
                    warn_of_mutual_tls(probe, options, warnings);
                }
                // `check_orphans` refuses a probe of an injected pod without its original.
                ProbeDecision::PointsAtAgent if view.saved.is_some() => {}
                ProbeDecision::PointsAtAgent => {
                    let label = probe.label.clone();
                    decisions.points_at_agent.get_or_insert(label);
                }
                ProbeDecision::Refuse(reason) => return Err(reason.into()),
                ProbeDecision::Rewrite { port, prober } => {
                    if annotated.is_some() {
                        // What a person changes in the table instead of the annotation does not last.
                        let ports = annotation_probers::ports(&probe.path, &prober);
                        decisions
                            .annotation_probers
                            .insert(probe.path.clone(), ports);
                    }
                    decisions.rewrite(probe, port, prober, options.status_port);
                    if annotated.is_none()
                        && let Some(injected) = probe.injected()
                        && injected.handler.kind != HandlerKind::Exec
                        && !view
                            .saved
                            .as_ref()
                            .is_some_and(|saved| saved.is_annotation_prober(&injected.path))
                        && let Some(current) = current.get(&*injected.path)
                    {
                        decisions.retain_manual_edits(probe, &injected.handler, current);
                    }
                }
                ProbeDecision::Forward(forward) => {
                    decisions.forwarded.insert(forward.app_port);
                    let destination = Destination::ForwardPort(forward.agent_port);
                    decisions
                        .destinations
                        .insert(probe.key.clone(), destination);
                }
            }
        }
        Ok(decisions)
    }

    fn rewrite(&mut self, probe: &Probe<'_>, app_port: u16, prober: String, status_port: u16) {
        self.table.insert(&probe.path, prober);
        let destination = Destination::StatusPort {
            path: probe.path.clone(),
            status_port,
            app_port,
        };
        self.destinations.insert(probe.key.clone(), destination);
        let name = probe.container.name;
        let endpoint = probe.kind.endpoint();
        match self.rewritten.last_mut() {
            Some(container) if *container.name == *name => container.endpoints.push(endpoint),
            _ => self.rewritten.push(RewrittenContainer {
                name: name.into(),
                endpoints: vec![endpoint],
            }),
        }
    }

    /// Retains the changes that a person has made to a prober since injection.
    fn retain_manual_edits(&mut self, probe: &Probe<'_>, injected: &Handler, current: &Value) {
        // Early builds did not save the number of a named port, but the table has it.
        let saved = match injected.field("port") {
            Some(port) if port.is_u64() => decide::resolve_port(injected, &probe.container).ok(),
            _ => None,
        };
        let in_table = current[injected.kind.key()]["port"].as_u64();
        let in_table = in_table.and_then(|port| port.try_into().ok());
        if let Some(port) = saved.or(in_table) {
            let injected = table::prober(injected, port, 0, ProbeTarget::Default);
            self.table
                .retain_manual_edits(&probe.path, current, &injected);
        }
    }

    /// Skips a pod without a probe that would point at the agent.
    pub(super) fn check_any_destination(&self, options: &PodOptions) -> Result<(), Stop> {
        if let Some(label) = &self.points_at_agent {
            let reason = format!(
                "{label} points at a status port, but annotation {ORIGINAL_ANNOTATION} is missing: inject the original \
                 manifest"
            );
            return Err(Stop::Skip(reason.into()));
        }
        if !self.destinations.is_empty() || !options.inbound.ports.is_empty() {
            return Ok(());
        }
        let reason = if self.has_unsupported {
            "no probe can be rewritten"
        } else if self.has_excluded && !options.rewrite {
            "rewriting is disabled"
        } else if self.has_excluded {
            "all its probes are excluded by annotation"
        } else if self.has_exec {
            ONLY_EXEC
        } else {
            "no probes"
        };
        Err(Stop::Skip(reason.into()))
    }

    /// `livez, readyz` of one container, `web livez, readyz; db livez` of several, `forwarded: 8002` and `inbound: 8443`.
    pub(super) fn describe(&self, options: &PodOptions) -> Box<str> {
        let is_single = self.rewritten.len() == 1;
        let containers = self.rewritten.iter().map(|container| {
            let endpoints = container.endpoints.join(", ");
            match is_single {
                true => endpoints,
                false => format!("{} {endpoints}", container.name),
            }
        });
        let mut parts: Vec<String> = containers.collect();
        if !self.forwarded.is_empty() {
            let ports: Vec<String> = self.forwarded.iter().map(u16::to_string).collect();
            parts.push(format!("forwarded: {}", ports.join(", ")));
        }
        let inbound = options.inbound.ports.iter();
        let inbound: Vec<String> = inbound.map(|inbound| inbound.port().to_string()).collect();
        if !inbound.is_empty() {
            parts.push(format!("inbound: {}", inbound.join(", ")));
        }
        parts.join("; ").into()
    }
}

/// Warns of a probe that stays, and that kubelet sends to the agent's mutual TLS.
fn warn_of_mutual_tls(probe: &Probe<'_>, options: &PodOptions, warnings: &mut Vec<Box<str>>) {
    if let Some(port) = decide::port_behind_mutual_tls(probe, options) {
        let what = format!("{} is not rewritten, and probes port {port}", probe.label);
        let reason =
            format!("where the sidecar requires a client certificate (annotation {INBOUND})");
        let advice = "kubelet has none, so let probes of that port be rewritten";
        warnings.push(format!("{what}, {reason}: {advice}").into());
    }
}

/// Warns of `scheme: HTTPS` in a probe that was not an httpGet: the agent's prober has no scheme, so that the edits
/// replace it by HTTP.
pub(super) fn warn_of_replaced_schemes(
    view: &PodView<'_>,
    destinations: &BTreeMap<Box<str>, Destination>,
    warnings: &mut Vec<Box<str>>,
) {
    for probe in &view.probes {
        let kind = probe.injected().map(|injected| injected.saved.kind());
        let Some(kind) = kind.filter(|kind| *kind != HandlerKind::HttpGet) else {
            continue;
        };
        if probe.value["httpGet"]["scheme"] == "HTTPS" && destinations.contains_key(&probe.key) {
            let what = format!("scheme HTTPS of {} is reset to HTTP", probe.label);
            let how = match kind {
                HandlerKind::Exec => "as the command did",
                HandlerKind::Grpc => "by grpc",
                HandlerKind::HttpGet | HandlerKind::TcpSocket => "by tcpSocket",
            };
            let reason = format!(
                "kubelet probes the sidecar in plaintext, and the sidecar probes the app {how}"
            );
            warnings.push(format!("{what}: {reason}").into());
        }
    }
}
