//! Counters, status codes and durations in fixed memory. `prometheus` writes their samples.

use core::cell::Cell;
use core::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Zero.
    pub const fn new() -> Counter {
        Counter(Cell::new(0))
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.set(self.0.get() + n);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// HTTP responses by status code: the first `CODES` codes one by one, all others together.
#[derive(Clone, Copy, Debug)]
pub struct StatusCounter<const CODES: usize> {
    pub(super) exact: [(u16, u64); CODES],
    pub(super) other: u64,
}

impl<const CODES: usize> Default for StatusCounter<CODES> {
    fn default() -> Self {
        StatusCounter {
            exact: [(0, 0); CODES],
            other: 0,
        }
    }
}

impl<const CODES: usize> StatusCounter<CODES> {
    /// Counts a response.
    pub fn increment(&mut self, status: u16) {
        let entry = self
            .exact
            .iter_mut()
            .find(|(code, n)| *code == status || *n == 0);
        match entry {
            Some(entry) => *entry = (status, entry.1 + 1),
            None => self.other += 1,
        }
    }
}

/// Durations by upper bound in milliseconds, with their sum.
#[derive(Debug)]
pub struct Histogram<const BUCKETS: usize> {
    pub(super) bounds_ms: [u32; BUCKETS],
    /// Observations of each bucket alone; Prometheus' buckets also have those of the lower ones.
    pub(super) buckets: [Counter; BUCKETS],
    pub(super) count: Counter,
    pub(super) sum_micros: Counter,
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    /// Without observations. The bounds are in ascending order.
    pub fn new(bounds_ms: [u32; BUCKETS]) -> Self {
        Histogram {
            bounds_ms,
            buckets: [const { Counter::new() }; BUCKETS],
            count: Counter::new(),
            sum_micros: Counter::new(),
        }
    }

    /// Records a duration, in whole microseconds.
    pub fn observe(&self, duration: Duration) {
        let micros = duration.as_micros() as u64;
        let bucket = self
            .bounds_ms
            .iter()
            .position(|ms| micros <= u64::from(*ms) * 1000);
        if let Some(bucket) = bucket {
            self.buckets[bucket].increment();
        }
        self.count.increment();
        self.sum_micros.add(micros);
    }
}
