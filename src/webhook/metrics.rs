//! Counters of the webhook, and their page `/metrics`.

use super::review::Outcome;
use crate::telemetry::prometheus::{Kind, PageWriter};
use crate::telemetry::{Counter, Histogram, StatusCounter};
use core::cell::{Cell, RefCell};
use core::time::Duration;

/// Upper bounds of the duration histogram, in milliseconds; the API server waits 10 s for a review.
const BUCKETS_MS: [u32; 5] = [1, 5, 25, 100, 1000];

/// Status codes counted one by one: more than the webhook answers with.
const CODES: usize = 12;

/// Bytes of the page that are written at once; no line is as long.
const PIECE_BYTES: usize = 4096;

/// Values of the label `outcome`, in the order of [`outcome_index`].
const OUTCOMES: [&str; 5] = [
    "patched",
    "unchanged",
    "skipped",
    "failed",
    "not_applicable",
];

/// All counters.
#[derive(Debug)]
pub struct Metrics {
    outcomes: [Counter; OUTCOMES.len()],
    responses: RefCell<StatusCounter<CODES>>,
    durations: Histogram<{ BUCKETS_MS.len() }>,
    reviews_in_flight: Cell<usize>,
    received_bytes: Counter,
    /// TLS handshakes that failed.
    pub handshake_failures: Counter,
    /// Reloads of the certificate's files.
    pub certificate_reloads: Reloads,
    /// Reloads of the ConfigMap's values.
    pub values_reloads: Reloads,
}

/// Reloads of a file that changed.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Its contents are used now.
    pub success: Counter,
    /// The previous contents are still used.
    pub failure: Counter,
}

/// What is measured when the page is requested.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    /// Open connections.
    pub connections: usize,
    /// Connections closed for newer ones.
    pub evicted: u64,
    /// Bytes reserved for bodies.
    pub body_bytes: usize,
    /// When the certificate expires, in seconds since 1970, if there is one that says so.
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
    /// All zero.
    pub fn new() -> Metrics {
        Metrics {
            outcomes: [const { Counter::new() }; OUTCOMES.len()],
            responses: RefCell::default(),
            durations: Histogram::new(BUCKETS_MS),
            reviews_in_flight: Cell::new(0),
            received_bytes: Counter::new(),
            handshake_failures: Counter::new(),
            certificate_reloads: Reloads::default(),
            values_reloads: Reloads::default(),
        }
    }

    /// Counts a review as in flight.
    pub fn begin_review(&self) -> ReviewInFlight<'_> {
        let in_flight = &self.reviews_in_flight;
        in_flight.set(in_flight.get() + 1);
        ReviewInFlight(in_flight)
    }

    /// Counts an answered review, and how long that took from its last byte.
    pub fn count_review(&self, outcome: &Outcome, duration: Duration) {
        self.outcomes[outcome_index(outcome)].increment();
        self.durations.observe(duration);
    }

    /// Counts an HTTP response.
    pub fn count_response(&self, status: u16) {
        self.responses.borrow_mut().increment(status);
    }

    /// Counts bytes of bodies.
    pub fn count_received(&self, bytes: usize) {
        self.received_bytes.add(bytes as u64);
    }

    /// The page.
    pub fn page(&self, gauges: Gauges) -> Vec<u8> {
        let (mut page, mut out, mut line) = (Vec::new(), vec![0; PIECE_BYTES], 0);
        loop {
            let mut writer = PageWriter::new(&mut out, line);
            self.write_reviews(&mut writer);
            self.write_connections(&mut writer, gauges);
            self.write_reloads(&mut writer, gauges);
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
        page.family(name, Kind::Counter, "Answered reviews, by outcome.");
        for (outcome, counter) in OUTCOMES.iter().zip(&self.outcomes) {
            page.sample(name, &[("outcome", outcome)], &counter.get());
        }
        let name = "probelet_webhook_review_duration_seconds";
        let help = "Time from the end of a review to its answer.";
        page.histogram(name, help, &self.durations);
        let name = "probelet_webhook_reviews_in_flight";
        let in_flight = self.reviews_in_flight.get();
        page.single(name, Kind::Gauge, "Reviews in flight.", &in_flight);
        let name = "probelet_webhook_received_bytes_total";
        let bytes = self.received_bytes.get();
        page.single(name, Kind::Counter, "Bytes of reviews received.", &bytes);
    }

    fn write_connections(&self, page: &mut PageWriter<'_>, gauges: Gauges) {
        let name = "probelet_webhook_responses_total";
        page.family(name, Kind::Counter, "HTTP responses, by status code.");
        page.status_codes(name, None, &self.responses.borrow());
        let name = "probelet_webhook_body_bytes";
        let help = "Bytes reserved for the bodies of reviews in flight.";
        page.single(name, Kind::Gauge, help, &gauges.body_bytes);
        let name = "probelet_webhook_open_connections";
        page.single(name, Kind::Gauge, "Open connections.", &gauges.connections);
        let name = "probelet_webhook_evicted_connections_total";
        let help = "Connections closed for newer ones.";
        page.single(name, Kind::Counter, help, &gauges.evicted);
        let name = "probelet_webhook_tls_handshake_failures_total";
        let failures = self.handshake_failures.get();
        page.single(
            name,
            Kind::Counter,
            "TLS handshakes that failed.",
            &failures,
        );
    }

    fn write_reloads(&self, page: &mut PageWriter<'_>, gauges: Gauges) {
        let name = "probelet_webhook_certificate_reloads_total";
        let help = "Reloads of a changed certificate, by result.";
        self.certificate_reloads.write(page, name, help);
        let name = "probelet_webhook_values_reloads_total";
        let help = "Reloads of changed values of the ConfigMap, by result.";
        self.values_reloads.write(page, name, help);
        if let Some(not_after) = &gauges.not_after {
            let name = "probelet_webhook_certificate_expiration_timestamp_seconds";
            let help = "When the certificate expires, in seconds since 1970.";
            page.single(name, Kind::Gauge, help, not_after);
        }
    }
}

impl Reloads {
    fn write(&self, page: &mut PageWriter<'_>, name: &str, help: &str) {
        page.family(name, Kind::Counter, help);
        page.sample(name, &[("result", &"success")], &self.success.get());
        page.sample(name, &[("result", &"failure")], &self.failure.get());
    }
}

fn outcome_index(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Patched(_) => 0,
        Outcome::Unchanged(_) => 1,
        Outcome::Skipped(_) => 2,
        Outcome::Failed(_) => 3,
        Outcome::NotApplicable => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_the_label_that_the_log_has() {
        let outcomes = [
            Outcome::Patched("".into()),
            Outcome::Unchanged("".into()),
            Outcome::Skipped("".into()),
            Outcome::Failed("".into()),
            Outcome::NotApplicable,
        ];
        for outcome in &outcomes {
            assert_eq!(OUTCOMES[outcome_index(outcome)], outcome.as_str());
        }
    }
}
