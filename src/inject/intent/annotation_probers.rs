//! Probers of the annotation, which take the place of the pod's own handlers in the agent's table.

use super::decide::{ProbeDecision, probe_target, resolve_port};
use super::table::{self, ProbeTarget};
use crate::config::{Probers, ProbersError, Problem};
use crate::inject::options::{AnnotationProber, PodOptions};
use crate::inject::view::PodView;
use crate::inject::view::handler::{Handler, HandlerKind};
use crate::inject::view::probes::{Probe, TIMEOUT};
use serde_json::{Map, Value, json};

/// The member of a prober with its handlers, if it has several.
const ALL: &str = "all";
/// The members of a prober that injection reads, and that of a handler.
const NAMES: [&str; 7] = [
    "httpGet",
    "tcpSocket",
    "grpc",
    "port",
    ALL,
    TIMEOUT,
    table::TARGET,
];

/// The members of a prober of the annotation.
const PROBER: [&str; 7] = [
    "httpGet",
    "tcpSocket",
    "grpc",
    table::TARGET,
    "redirects",
    "expect",
    ALL,
];

/// The annotation's prober for a probe.
pub(super) fn find<'o>(probe: &Probe<'_>, options: &'o PodOptions) -> Option<&'o AnnotationProber> {
    let mut probers = options.probers.iter();
    probers.find(|annotated| annotated.is_for(probe))
}

/// Refuses an annotation whose prober is for no probe of the pod.
pub(super) fn check_used(view: &PodView<'_>, options: &PodOptions) -> Result<(), String> {
    let is_unused =
        |annotated: &&AnnotationProber| !view.probes.iter().any(|probe| annotated.is_for(probe));
    match options.probers.iter().find(is_unused) {
        None => Ok(()),
        Some(annotated) => Err(format!(
            "{}, which the pod does not have: correct the names, or remove it",
            annotated.label()
        )),
    }
}

impl AnnotationProber {
    fn is_for(&self, probe: &Probe<'_>) -> bool {
        *self.container == *probe.container.name && *self.probe == *probe.kind.field()
    }
}

/// The decision on a probe that the annotation has a prober for: its prober takes the place of the probe's own. Only a probe
/// that points at the agent can have one.
pub(super) fn replace(
    annotated: &AnnotationProber,
    probe: &Probe<'_>,
    decision: ProbeDecision,
    options: &PodOptions,
) -> ProbeDecision {
    let reason = match decision {
        ProbeDecision::Rewrite { .. } => {
            return match prober(annotated, probe, options) {
                Ok((port, prober)) => ProbeDecision::Rewrite { port, prober },
                Err(reason) => ProbeDecision::Refuse(reason),
            };
        }
        ProbeDecision::Refuse(_) | ProbeDecision::PointsAtAgent => return decision,
        ProbeDecision::Unsupported(warning) | ProbeDecision::NotConverted(warning) => warning,
        ProbeDecision::DialsNoPort => "the probe has no httpGet, tcpSocket or grpc".into(),
        ProbeDecision::OfInjectedSidecar => "the container is another sidecar".into(),
        ProbeDecision::Excluded => "the probe is excluded from rewriting".into(),
        ProbeDecision::Forward(forward) => {
            format!("its port {} is forwarded", forward.app_port).into()
        }
    };
    ProbeDecision::Refuse(format!(
        "{}, but kubelet does not send it to the sidecar: {reason}; remove one of them",
        annotated.label()
    ))
}

/// The ports of all handlers of the annotation's prober, which the agent accepts.
pub(super) fn ports(path: &str, prober: &str) -> Vec<u16> {
    let probers = Probers::parse(&format!("{{{}:{prober}}}", json!(path))).unwrap_or_default();
    let handlers = probers.iter().flat_map(|prober| &prober.handlers);
    handlers.map(|handler| handler.action.port()).collect()
}

/// The agent's prober, and the port of its first handler.
fn prober(
    annotated: &AnnotationProber,
    probe: &Probe<'_>,
    options: &PodOptions,
) -> Result<(u16, String), String> {
    let mut members = annotated.members.clone();
    check_case(&members).map_err(|reason| format!("{}, which {reason}", annotated.label()))?;
    if members.contains_key(TIMEOUT) {
        let advice = "remove it: the probe's own applies";
        return Err(format!("{}, with {TIMEOUT}: {advice}", annotated.label()));
    }
    let mut first_port = None;
    let handlers = match members.get_mut(ALL) {
        Some(Value::Array(handlers)) => handlers
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .collect(),
        _ => vec![&mut members],
    };
    for handler in handlers {
        let port = complete(handler, probe, options)
            .map_err(|reason| format!("{}, which {reason}", annotated.label()))?;
        first_port = first_port.or(port);
    }
    check(annotated, probe, &members)?;
    let timeout = probe.timeout(options.min_timeout);
    if timeout != 0 {
        members.insert(TIMEOUT.into(), timeout.into());
    }
    // The check has found a handler with a port.
    Ok((first_port.unwrap_or_default(), table::prober_of(&members)))
}

/// Writes the number of a named port, and the target that the injection of this port needs. Returns the port.
fn complete(
    members: &mut Map<String, Value>,
    probe: &Probe<'_>,
    options: &PodOptions,
) -> Result<Option<u16>, String> {
    check_case(members)?;
    let kind = HandlerKind::ALL
        .into_iter()
        .find(|kind| members.contains_key(kind.key()));
    let Some((kind, fields)) = kind.and_then(|kind| {
        let fields = members.get_mut(kind.key())?.as_object_mut()?;
        Some((kind, fields))
    }) else {
        return Ok(None);
    };
    check_case(fields)?;
    let port = match fields.get("port") {
        Some(Value::String(_)) => {
            let handler = Handler {
                kind,
                fields: fields.clone(),
            };
            resolve_port(&handler, &probe.container)?
        }
        Some(port) => match port.as_u64().and_then(|port| port.try_into().ok()) {
            Some(port) => port,
            // The check reports it.
            None => return Ok(None),
        },
        None => return Ok(None),
    };
    fields.insert("port".into(), port.into());
    if probe_target(options, port) == ProbeTarget::Loopback
        && members.get(table::TARGET).is_none_or(Value::is_null)
    {
        members.insert(table::TARGET.into(), "loopback".into());
    }
    Ok(Some(port))
}

/// Checks a prober as the agent does, and that it has no unknown members: of the handlers of `all`, the agent accepts none.
fn check(
    annotated: &AnnotationProber,
    probe: &Probe<'_>,
    members: &Map<String, Value>,
) -> Result<(), String> {
    let has_several = members.get(ALL).is_some_and(|all| !all.is_null());
    let prober = match has_several {
        true => json!(members),
        false => json!({ALL: [members, members]}),
    };
    let text = json!({ (&*probe.path): prober }).to_string();
    let error = match Probers::parse(&text) {
        Ok(_) => return Ok(()),
        Err(ProbersError::Entry { problem, .. }) => match problem {
            Problem::InAll { problem, .. } if !has_several => in_annotation(*problem).to_string(),
            problem => in_annotation(problem).to_string(),
        },
        Err(error) => error.to_string(),
    };
    Err(format!("{}: {error}", annotated.label()))
}

/// The problem with the members that a prober of the annotation may have: its timeout is that of the pod's probe.
fn in_annotation(problem: Problem) -> Problem {
    match problem {
        Problem::UnknownMember {
            object,
            member,
            known,
        } if known.contains(&table::TARGET) => Problem::UnknownMember {
            object,
            member,
            known: &PROBER,
        },
        problem => problem,
    }
}

/// Refuses names in another case. The agent accepts them as Go does, and injection would not find them.
fn check_case(members: &Map<String, Value>) -> Result<(), String> {
    let mut names = members.keys().filter_map(|name| {
        let mut known = NAMES.iter();
        let known = known.find(|known| known.eq_ignore_ascii_case(name))?;
        (known != name).then_some((name, known))
    });
    match names.next() {
        None => Ok(()),
        Some((name, known)) => Err(format!("has the member {name}: write {known}")),
    }
}
