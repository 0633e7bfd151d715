//! Counters of the webhook, and their page `/metrics`.

use super::connection_table::Phase;
use super::review::Outcome;
use crate::telemetry::prometheus::{MetricType, PageWriter};
use crate::telemetry::{Counter, Histogram, StatusCounter};
use core::cell::{Cell, RefCell};
use core::fmt::Display;
use core::time::Duration;

/// Upper bounds of the duration histogram, in milliseconds. The API server waits for `timeoutSeconds`: 5 s in
/// deploy/webhook.
const BUCKETS_MS: [u32; 5] = [1, 5, 25, 100, 1000];

/// Status codes that are counted separately: more than the webhook returns.
const CODES: usize = 12;

/// Bytes of the page that are written at once; no line is as long.
const PIECE_BYTES: usize = 4096;

/// All counters.
#[derive(Debug)]
pub struct Metrics {
    outcomes: [Counter; Outcome::LABELS.len()],
    responses: RefCell<StatusCounter<CODES>>,
    durations: Histogram<{ BUCKETS_MS.len() }>,
    reviews_in_flight: Cell<usize>,
    body_bytes: Counter,
    /// Connections closed at once because none may be evicted for them.
    pub rejected_connections: Counter,
    /// TLS handshakes that failed.
    pub handshake_failures: Counter,
    /// Replacements of the serving certificate, from its files or from the Secret.
    pub certificate_reloads: Reloads,
    /// Replacements of the CAs of `--client-ca`.
    pub client_ca_reloads: Reloads,
    /// Reloads of the ConfigMap's values.
    pub values_reloads: Reloads,
    /// Lists of the API server, by resource.
    pub lists: [Reloads; ListedResource::LABELS.len()],
    /// Pods that the last search has found; `None` before the first one.
    pub not_injected_pods: Cell<Option<usize>>,
    /// Evictions of such pods.
    pub evictions: Evictions,
}

/// What the webhook lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedResource {
    /// Nodes.
    Nodes,
    /// Namespaces.
    Namespaces,
    /// LimitRanges.
    LimitRanges,
    /// ResourceQuotas.
    ResourceQuotas,
    /// Pods.
    Pods,
}

impl ListedResource {
    /// The values of `resource` in log lines and metrics.
    const LABELS: [&str; 5] = [
        "nodes",
        "namespaces",
        "limitranges",
        "resourcequotas",
        "pods",
    ];

    /// Its label.
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// Evictions, by result.
#[derive(Debug, Default)]
pub struct Evictions {
    /// The pod ends.
    pub evicted: Counter,
    /// The API server refuses it for now (429), such as for a PodDisruptionBudget.
    pub refused: Counter,
    /// Another error.
    pub failed: Counter,
}

/// Attempts to replace the certificate, the CAs or the values by changed ones, by result.
#[derive(Debug, Default)]
pub struct Reloads {
    /// The new contents are used.
    pub success: Counter,
    /// The previous contents are still used.
    pub failure: Counter,
    /// Whether the last one failed.
    is_failing: Cell<bool>,
}

/// Values that are read at scrape time.
#[derive(Clone, Copy, Debug)]
pub struct ScrapeValues {
    /// Open connections.
    pub connections: usize,
    /// Connections evicted for others, by phase.
    pub evicted_connections: [(Phase, u64); Phase::ALL.len()],
    /// Bodies and responses evicted while others waited for memory.
    pub evicted_bodies: u64,
    /// Bytes in use for request bodies and responses.
    pub reserved_body_bytes: usize,
    /// Whether there is a file of `--client-ca`.
    pub has_client_ca: bool,
    /// Whether there is a file of `--config`.
    pub has_values_file: bool,
    /// Expiration time of the serving certificate as a Unix timestamp; `None` if there is no certificate, or its dates
    /// cannot be parsed.
    pub not_after: Option<u64>,
}

/// Counts a review as in flight until it is dropped.
#[derive(Debug)]
pub struct ReviewInFlight<'m>(&'m Cell<usize>);

impl Drop for ReviewInFlight<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Metrics {
    /// Creates counters of zero.
    pub fn new() -> Metrics {
        Metrics {
            outcomes: [const { Counter::new() }; Outcome::LABELS.len()],
            responses: RefCell::default(),
            durations: Histogram::new(BUCKETS_MS),
            reviews_in_flight: Cell::new(0),
            body_bytes: Counter::new(),
            rejected_connections: Counter::new(),
            handshake_failures: Counter::new(),
            certificate_reloads: Reloads::default(),
            client_ca_reloads: Reloads::default(),
            values_reloads: Reloads::default(),
            lists: Default::default(),
            not_injected_pods: Cell::new(None),
            evictions: Evictions::default(),
        }
    }

    /// Counts a review as in flight.
    pub fn begin_review(&self) -> ReviewInFlight<'_> {
        let in_flight = &self.reviews_in_flight;
        in_flight.set(in_flight.get() + 1);
        ReviewInFlight(in_flight)
    }

    /// Counts a review and the time to process it.
    pub fn count_review(&self, outcome: &Outcome, duration: Duration) {
        self.outcomes[outcome.label_index()].increment();
        self.durations.observe(duration);
    }

    /// The number of reviews.
    pub fn review_count(&self) -> u64 {
        self.outcomes.iter().map(Counter::get).sum()
    }

    /// Counts an HTTP response.
    pub fn count_response(&self, status: u16) {
        self.responses.borrow_mut().increment(status);
    }

    /// Counts a list of the API server.
    pub fn count_list(&self, resource: ListedResource, is_success: bool) {
        let lists = &self.lists[resource as usize];
        match is_success {
            true => lists.count_success(),
            false => lists.count_failure(),
        }
    }

    /// Counts bytes of a request body.
    pub fn count_body_bytes(&self, bytes: usize) {
        self.body_bytes.add(bytes as u64);
    }

    /// Returns the page in Prometheus' text format.
    pub fn page(&self, values: ScrapeValues) -> Vec<u8> {
        let (mut page, mut out, mut line) = (Vec::new(), vec![0; PIECE_BYTES], 0);
        loop {
            let mut writer = PageWriter::new(&mut out, line);
            self.write_reviews(&mut writer);
            self.write_connections(&mut writer, values);
            self.write_reloads(&mut writer, values);
            self.write_cluster(&mut writer);
            let piece = writer.finish();
            if piece.bytes == 0 {
                return page;
            }
            page.extend_from_slice(&out[..piece.bytes]);
            line = piece.next_line;
        }
    }

    fn write_reviews(&self, page: &mut PageWriter<'_>) {
        let name = "probelet_webhook_reviews_total";
        page.write_family(
            name,
            MetricType::Counter,
            "Reviews with a response, by outcome.",
        );
        for (outcome, counter) in Outcome::LABELS.iter().zip(&self.outcomes) {
            page.write_sample(name, &[("outcome", outcome)], &counter.get());
        }
        let name = "probelet_webhook_review_duration_seconds";
        let help = "Time to process a received review, without network transfer.";
        page.write_histogram(name, help, &self.durations);
        let name = "probelet_webhook_reviews_in_flight";
        let in_flight = self.reviews_in_flight.get();
        page.write_single(name, MetricType::Gauge, "Reviews in flight.", &in_flight);
        let name = "probelet_webhook_request_body_bytes_total";
        let bytes = self.body_bytes.get();
        let help = "Bytes of request bodies received by /inject.";
        page.write_single(name, MetricType::Counter, help, &bytes);
    }

    fn write_connections(&self, page: &mut PageWriter<'_>, values: ScrapeValues) {
        let name = "probelet_webhook_responses_total";
        page.write_family(name, MetricType::Counter, "HTTP responses, by status code.");
        page.write_status_codes(name, None, &self.responses.borrow());
        let name = "probelet_webhook_reserved_body_bytes";
        let help = "Memory in use for request bodies and responses, in bytes.";
        page.write_single(name, MetricType::Gauge, help, &values.reserved_body_bytes);
        let name = "probelet_webhook_open_connections";
        page.write_single(
            name,
            MetricType::Gauge,
            "Open connections.",
            &values.connections,
        );
        let name = "probelet_webhook_evicted_connections_total";
        let help = "Connections evicted for new ones, by phase.";
        page.write_family(name, MetricType::Counter, help);
        for (phase, evicted) in &values.evicted_connections {
            page.write_sample(name, &[("phase", &phase.label())], evicted);
        }
        let name = "probelet_webhook_rejected_connections_total";
        let help = "Connections closed at once because their address has the most and all of them are busy.";
        let rejected = self.rejected_connections.get();
        page.write_single(name, MetricType::Counter, help, &rejected);
        let name = "probelet_webhook_evicted_bodies_total";
        let help = "Request bodies and responses evicted while others waited for memory.";
        page.write_single(name, MetricType::Counter, help, &values.evicted_bodies);
        let name = "probelet_webhook_tls_handshake_failures_total";
        let failures = self.handshake_failures.get();
        page.write_single(
            name,
            MetricType::Counter,
            "TLS handshakes that failed.",
            &failures,
        );
    }

    fn write_reloads(&self, page: &mut PageWriter<'_>, values: ScrapeValues) {
        let name = "probelet_webhook_certificate_reloads_total";
        let help = "Reloads of a changed certificate, by result.";
        self.certificate_reloads.write(page, name, help);
        let name = "probelet_webhook_client_ca_reloads_total";
        let help = "Reloads of a changed file of --client-ca, by result.";
        self.client_ca_reloads.write(page, name, help);
        let name = "probelet_webhook_values_reloads_total";
        let help = "Reloads of changed values of the ConfigMap, by result.";
        self.values_reloads.write(page, name, help);
        let name = "probelet_webhook_last_reload_success";
        let help = "Whether the last reload of a changed file succeeded, by configured file, or the last refresh of a \
                    self-signed certificate. 1 before the first one.";
        page.write_family(name, MetricType::Gauge, help);
        let files = [
            ("certificate", &self.certificate_reloads, true),
            ("client_ca", &self.client_ca_reloads, values.has_client_ca),
            ("values", &self.values_reloads, values.has_values_file),
        ];
        for (file, reloads, _) in files.iter().filter(|(_, _, is_configured)| *is_configured) {
            let success = u8::from(!reloads.is_failing.get());
            page.write_sample(name, &[("file", file)], &success);
        }
        if let Some(not_after) = &values.not_after {
            let name = "probelet_webhook_certificate_expiration_timestamp_seconds";
            let help = "Expiration time of the serving certificate, as a Unix timestamp.";
            page.write_single(name, MetricType::Gauge, help, not_after);
        }
    }
}

impl Metrics {
    fn write_cluster(&self, page: &mut PageWriter<'_>) {
        let name = "probelet_webhook_lists_total";
        let help = "Lists that the webhook requested of the API server, by resource and result; those of pods by search.";
        page.write_family(name, MetricType::Counter, help);
        for (resource, lists) in ListedResource::LABELS.iter().zip(&self.lists) {
            for (result, counter) in [("success", &lists.success), ("failure", &lists.failure)] {
                let labels: [(&str, &dyn Display); 2] =
                    [("resource", resource), ("result", &result)];
                page.write_sample(name, &labels, &counter.get());
            }
        }
        if let Some(pods) = &self.not_injected_pods.get() {
            let name = "probelet_webhook_not_injected_pods";
            let help =
                "Pods that should be injected and are not, found by the last successful search.";
            page.write_single(name, MetricType::Gauge, help, pods);
        }
        let name = "probelet_webhook_evictions_total";
        let help = "Evictions of pods that are not injected, by result.";
        page.write_family(name, MetricType::Counter, help);
        let Evictions {
            evicted,
            refused,
            failed,
        } = &self.evictions;
        for (result, counter) in [
            ("evicted", evicted),
            ("refused", refused),
            ("failed", failed),
        ] {
            page.write_sample(name, &[("result", &result)], &counter.get());
        }
    }
}

impl Reloads {
    /// Counts a success.
    pub fn count_success(&self) {
        self.success.increment();
        self.is_failing.set(false);
    }

    /// Counts a failure.
    pub fn count_failure(&self) {
        self.failure.increment();
        self.is_failing.set(true);
    }

    /// Ends a failure without a reload: the contents in use are the newest.
    pub fn clear_failure(&self) {
        self.is_failing.set(false);
    }

    fn write(&self, page: &mut PageWriter<'_>, name: &str, help: &str) {
        page.write_family(name, MetricType::Counter, help);
        page.write_sample(name, &[("result", &"success")], &self.success.get());
        page.write_sample(name, &[("result", &"failure")], &self.failure.get());
    }
}
