//! The page `/metrics` of the status port. Not in `metrics`, because its code is in the cold section
//! (`.cargo/layout.ld`).

#[cfg(feature = "tls")]
use super::inbound_metrics::write_inbound;
use super::metrics::{Metrics, Rejection};
use crate::config::Probers;
use crate::probe::Failure;
use crate::telemetry::Counter;
use crate::telemetry::prometheus::{MetricType, PageWriter, Piece};
use crate::wire::health::GrpcCode;

/// Values that are read when the page is requested.
pub struct Gauges {
    /// Open connections of the status port.
    pub status_connections: usize,
    /// Open connections of all forwards.
    pub forward_connections: usize,
    /// The end of the validity of each certificate, with the name of its file.
    #[cfg(feature = "tls")]
    pub not_after: Vec<(&'static str, u64)>,
    /// Resident memory in bytes, if the kernel reports it.
    pub resident_bytes: Option<u64>,
}

/// Writes the lines of the page from number `first_line` on into `out`, as many as fit.
pub fn write_piece(
    metrics: &Metrics,
    probers: &Probers,
    gauges: &Gauges,
    first_line: usize,
    out: &mut [u8],
) -> Piece {
    let mut page = PageWriter::new(out, first_line);
    write_counters(&mut page, metrics, probers);
    #[cfg(feature = "tls")]
    if let Some(inbound) = &metrics.inbound {
        write_inbound(&mut page, inbound, &gauges.not_after);
    }
    write_gauges(&mut page, gauges);
    page.finish()
}

fn write_counters(page: &mut PageWriter<'_>, metrics: &Metrics, probers: &Probers) {
    let name = "probelet_probes_total";
    let help = "Probes and hooks by path and HTTP status code returned to kubelet. Also counts codes \
                with a truncated body, and failed hooks, whose connection is reset instead.";
    page.write_family(name, MetricType::Counter, help);
    for (prober, codes) in probers.iter().zip(metrics.codes.borrow().iter()) {
        page.write_status_codes(name, Some(("path", &prober.path)), codes);
    }
    let name = "probelet_probe_failures_total";
    let help = "Failed probes and hooks, by reason. A failing status code of the app itself counts \
                only in probelet_probes_total.";
    page.write_family(name, MetricType::Counter, help);
    for (failure, counter) in Failure::ALL.iter().zip(&metrics.failures) {
        write_reason(page, name, failure.as_str(), counter.get());
    }
    write_reason(page, name, "body_broken", metrics.bodies_broken.get());
    let grpc_errors = metrics.grpc_errors.iter().map(Counter::get).sum();
    write_reason(page, name, "grpc_error", grpc_errors);
    let name = "probelet_grpc_errors_total";
    let help = "Failed gRPC probes with reason grpc_error, by gRPC status code.";
    page.write_family(name, MetricType::Counter, help);
    for (index, counter) in metrics.grpc_errors.iter().enumerate() {
        let code = GrpcCode::label(index);
        page.write_sample_if_counted(name, &[("grpc_code", &code)], counter.get());
    }
    let name = "probelet_requests_rejected_total";
    let help = "Requests and connections that were rejected, canceled or evicted, by reason.";
    page.write_family(name, MetricType::Counter, help);
    for (rejection, counter) in Rejection::ALL.iter().zip(&metrics.rejections) {
        write_reason(page, name, rejection.as_str(), counter.get());
    }
    let name = "probelet_forward_connections_rejected_total";
    let help = "Forwarded connections that were reset because their forward was full, by reason: evicted for a new \
                one, or rejected as the new one.";
    page.write_family(name, MetricType::Counter, help);
    write_reason(page, name, "evicted", metrics.forwards_evicted.get());
    write_reason(page, name, "limit_reached", metrics.forwards_rejected.get());
    let name = "probelet_probe_duration_seconds";
    let help = "Time from accept to outcome, without hooks.";
    page.write_histogram(name, help, &metrics.durations);
}

fn write_reason(page: &mut PageWriter<'_>, name: &str, reason: &str, count: u64) {
    page.write_sample(name, &[("reason", &reason)], &count);
}

fn write_gauges(page: &mut PageWriter<'_>, gauges: &Gauges) {
    let name = "probelet_open_connections";
    page.write_family(name, MetricType::Gauge, "Open connections, by kind.");
    page.write_sample(name, &[("kind", &"status")], &gauges.status_connections);
    page.write_sample(name, &[("kind", &"forward")], &gauges.forward_connections);
    if let Some(bytes) = &gauges.resident_bytes {
        let name = "process_resident_memory_bytes";
        page.write_single(
            name,
            MetricType::Gauge,
            "Resident memory size in bytes.",
            bytes,
        );
    }
    let name = "probelet_build_info";
    page.write_family(
        name,
        MetricType::Gauge,
        "Always 1, with the version as a label.",
    );
    page.write_sample(name, &[("version", &env!("CARGO_PKG_VERSION"))], &1);
}

#[cfg(test)]
mod tests;
