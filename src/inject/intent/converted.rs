//! Exec probes that become probers of the agent.

use super::decide::{ProbeDecision, converts, is_excluded_container, runs_before_sidecar};
use super::table;
use crate::inject::annotation_names::{APP_CA, CLIENT_CERT, IDENTITY_CSI, IDENTITY_SECRET};
use crate::inject::exec;
use crate::inject::options::{IdentityVolume, PodOptions};
use crate::inject::view::probes::{DEFAULT_TIMEOUT, Probe, TIMEOUT};
use crate::limits;

/// Decides on an exec probe; `None` for another one.
pub(super) fn decide(probe: &Probe<'_>, options: &PodOptions) -> Option<ProbeDecision> {
    let converted = exec::convert_probe(probe)?;
    Some(if probe.container.is_injected_sidecar() {
        ProbeDecision::OfInjectedSidecar
    } else if !converts(probe, options) {
        ProbeDecision::DialsNoPort
    } else if is_excluded_container(probe, options) {
        ProbeDecision::Excluded
    } else {
        match converted {
            Ok(converted) => rewrite(probe, converted, options),
            Err(reason) => not_converted(probe, &reason),
        }
    })
}

fn rewrite(probe: &Probe<'_>, converted: exec::Conversion, options: &PodOptions) -> ProbeDecision {
    let port = converted.port;
    let number = port.to_string();
    if options.exclude_ports.iter().any(|item| **item == *number) {
        return ProbeDecision::Excluded;
    }
    if let Some(reason) = obstacle(probe, &converted, options) {
        return not_converted(probe, &reason);
    }
    let timeout = match probe.timeout(options.min_timeout) {
        0 => DEFAULT_TIMEOUT,
        seconds => seconds,
    };
    let own = converted.timeout.map(|own| own.max(options.min_timeout));
    let timeout = own.map_or(timeout, |own| own.min(timeout));
    let mut members = converted.members;
    members.insert(TIMEOUT.into(), timeout.into());
    ProbeDecision::Rewrite {
        port,
        prober: table::prober_of(&members),
    }
}

/// Why the agent of this pod cannot run a prober.
fn obstacle(
    probe: &Probe<'_>,
    converted: &exec::Conversion,
    options: &PodOptions,
) -> Option<String> {
    let port = converted.port;
    if runs_before_sidecar(&probe.container, options.sidecar) {
        return Some(
            "belongs to an init container, which starts before an ordinary sidecar".into(),
        );
    }
    let is_agent_port = options.agent_ports().any(|own| own == port);
    if is_agent_port || options.inbound.listener_at(port).is_some() {
        return Some(format!("probes port {port}, on which the sidecar listens"));
    }
    // The identity is also the CA and the client certificate of the agent's probes (`config/tls.rs`).
    let identity = options.inbound.identity.as_ref();
    let settings = [
        (APP_CA, options.app_ca.is_some()),
        (CLIENT_CERT, options.client_cert.is_some()),
        (
            IDENTITY_SECRET,
            matches!(identity, Some(IdentityVolume::Secret(_))),
        ),
        (
            IDENTITY_CSI,
            matches!(identity, Some(IdentityVolume::Csi(_))),
        ),
    ];
    let mut settings = settings.into_iter();
    let (annotation, _) = settings.find(|(_, is_set)| converted.is_tls() && *is_set)?;
    Some(format!(
        "probes over TLS, where the sidecar uses annotation {annotation}"
    ))
}

/// The decision on a converted exec probe for which the table has no room.
pub(super) fn beyond_limit(probe: &Probe<'_>) -> ProbeDecision {
    let most = limits::PROBERS;
    not_converted(probe, &format!("exceeds the limit of {most} probers"))
}

fn not_converted(probe: &Probe<'_>, reason: &str) -> ProbeDecision {
    let warning = format!(
        "{} is not converted: it {reason}; it stays an exec probe",
        probe.label
    );
    ProbeDecision::NotConverted(warning.into())
}
