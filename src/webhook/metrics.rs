//! `/metrics`, as Prometheus reads it.

use super::review::Outcome;
use core::cell::{Cell, RefCell};
use core::fmt::{Display, Write as _};
use core::time::Duration;
use std::collections::BTreeMap;

/// Milliseconds up to which a review counts into a bucket; the API server waits 10 s for one.
const BUCKETS: [u64; 5] = [1, 5, 25, 100, 1000];

/// What is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    outcomes: RefCell<BTreeMap<&'static str, u64>>,
    answers: RefCell<BTreeMap<u16, u64>>,
    reviewing: Cell<Duration>,
    buckets: [Cell<u64>; BUCKETS.len()],
    under_way: Cell<u64>,
    bytes: Cell<u64>,
    /// Handshakes that failed.
    pub handshakes: Cell<u64>,
    /// Certificates that replaced another, and those that could not.
    pub reloads: [Cell<u64>; 2],
    /// The same of the ConfigMap.
    pub values: [Cell<u64>; 2],
}

/// What the rest of the webhook knows.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    /// Connections.
    pub connections: usize,
    /// Connections that had to make room.
    pub evicted: u64,
    /// Bytes of request bodies in memory.
    pub body_bytes: usize,
    /// When the certificate ends, in seconds since 1970, where that can be told.
    pub not_after: Option<u64>,
}

/// A review under way, until it is dropped.
#[derive(Debug)]
pub struct UnderWay<'m>(&'m Metrics);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

/// Adds one.
pub fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Metrics {
    /// A review begins.
    pub fn begin(&self) -> UnderWay<'_> {
        count(&self.under_way);
        UnderWay(self)
    }

    /// A review has its answer, which took so long from when it was there.
    pub fn count_review(&self, outcome: &Outcome, took: Duration) {
        *self
            .outcomes
            .borrow_mut()
            .entry(outcome.word())
            .or_default() += 1;
        self.reviewing.set(self.reviewing.get() + took);
        for (most, bucket) in BUCKETS.into_iter().zip(&self.buckets) {
            if took <= Duration::from_millis(most) {
                count(bucket);
            }
        }
    }

    /// A request was answered with this status.
    pub fn count_answer(&self, status: u16) {
        *self.answers.borrow_mut().entry(status).or_default() += 1;
    }

    /// So many bytes of a body came.
    pub fn add_bytes(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    /// The page.
    pub fn page(&self, gauges: Gauges) -> String {
        let mut page = Page(String::with_capacity(4096));
        self.put_outcomes(&mut page);
        let help = "Answers, by their status code.";
        page.family("answers_total", "counter", help);
        for (status, number) in &*self.answers.borrow() {
            page.sample("answers_total", &format!("{{code=\"{status}\"}}"), number);
        }
        for (name, kind, help, value) in self.ones(gauges) {
            page.one(name, kind, help, value);
        }
        let help = "Changed certificates.";
        page.results("certificate_reloads_total", help, &self.reloads);
        let help = "Changed values of the ConfigMap.";
        page.results("values_reloads_total", help, &self.values);
        if let Some(not_after) = gauges.not_after {
            let help = "When the certificate ends, in seconds since 1970.";
            page.one("certificate_not_after_seconds", "gauge", help, not_after);
        }
        page.0
    }

    /// What has one sample each: name, kind, help, value.
    #[rustfmt::skip]
    fn ones(&self, gauges: Gauges) -> [(&'static str, &'static str, &'static str, u64); 6] {
        let (connections, body_bytes) = (gauges.connections as u64, gauges.body_bytes as u64);
        [
            ("reviews_in_flight", "gauge", "Reviews under way.", self.under_way.get()),
            ("received_bytes_total", "counter", "Bytes of reviews.", self.bytes.get()),
            ("body_bytes", "gauge", "Bytes that reviews under way may take.", body_bytes),
            ("connections", "gauge", "Connections.", connections),
            ("evicted_total", "counter", "Connections that made room for others.", gauges.evicted),
            ("handshake_failures_total", "counter", "TLS handshakes that failed.", self.handshakes.get()),
        ]
    }

    fn put_outcomes(&self, page: &mut Page) {
        let (name, outcomes) = ("reviews_total", self.outcomes.borrow());
        let help = "Reviews answered, by what became of the pod.";
        page.family(name, "counter", help);
        for word in ["patched", "unchanged", "skipped", "refused", "not_asked"] {
            let number = outcomes.get(word).copied().unwrap_or_default();
            page.sample(name, &format!("{{outcome=\"{word}\"}}"), number);
        }
        self.put_times(page, outcomes.values().sum());
    }

    fn put_times(&self, page: &mut Page, all: u64) {
        let help = "From a review received to its answer.";
        page.family("review_seconds", "histogram", help);
        for (most, bucket) in BUCKETS.into_iter().zip(&self.buckets) {
            let labels = format!("{{le=\"{}\"}}", most as f64 / 1000.0);
            page.sample("review_seconds_bucket", &labels, bucket.get());
        }
        page.sample("review_seconds_bucket", "{le=\"+Inf\"}", all);
        let sum = self.reviewing.get().as_secs_f64();
        page.sample("review_seconds_sum", "", sum);
        page.sample("review_seconds_count", "", all);
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // A string takes whatever is written to it.
        let _ = write!(
            self.0,
            "# HELP probelet_webhook_{name} {help}\n# TYPE probelet_webhook_{name} {kind}\n"
        );
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "probelet_webhook_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }

    fn results(&mut self, name: &str, help: &str, [taken, kept]: &[Cell<u64>; 2]) {
        self.family(name, "counter", help);
        self.sample(name, "{result=\"taken\"}", taken.get());
        self.sample(name, "{result=\"broken\"}", kept.get());
    }
}
