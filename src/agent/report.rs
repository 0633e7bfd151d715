//! Log lines of the probes: a prober's first result, then each change. At level debug also every probe.

use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use crate::config::Prober;
use crate::probe::Outcome;
use crate::telemetry::{ChangeFilter, Level, Logger};

/// Result of a probe, as far as it matters for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Healthy,
    Failing(u16, Option<&'static str>),
}

/// A result of a probe.
pub struct Probed<'a> {
    /// The prober's number.
    pub number: usize,
    pub prober: &'a Prober,
    pub target: SocketAddr,
    pub outcome: Outcome,
    /// From the accept to the outcome.
    pub took: Duration,
}

impl Probed<'_> {
    fn verdict(&self) -> Verdict {
        if self.outcome.is_healthy() {
            Verdict::Healthy
        } else {
            Verdict::Failing(self.outcome.status(), self.outcome.reason())
        }
    }

    fn log(&self, log: &Logger, level: Level, message: &str, suppressed: u32) {
        log.line(level, message)
            .field("path", &self.prober.path)
            .field("target", self.target)
            .maybe("reason", self.outcome.reason())
            .maybe("grpc_code", self.outcome.grpc_code())
            .field("status", self.outcome.status())
            .field("ms", self.took.as_millis() as u64)
            .suppressed(suppressed);
    }
}

/// Logs the results of all probers.
pub struct Reports {
    filters: RefCell<Box<[ChangeFilter<Verdict>]>>,
}

impl Reports {
    /// For a table of `probers`.
    pub fn new(probers: usize) -> Reports {
        Reports {
            filters: RefCell::new(vec![ChangeFilter::new(None); probers].into_boxed_slice()),
        }
    }

    /// Logs a result if it is the prober's first one or a change; at level debug always.
    pub fn log_result(&self, log: &Logger, probed: &Probed<'_>, now: Instant) {
        probed.log(log, Level::Debug, "probed", 0);
        let verdict = probed.verdict();
        let filter = &mut self.filters.borrow_mut()[probed.number];
        let Some(suppressed) = filter.observe(verdict, now) else {
            return;
        };
        match verdict {
            Verdict::Healthy => probed.log(log, Level::Info, "healthy", suppressed),
            Verdict::Failing(..) => probed.log(log, Level::Warn, "failing", suppressed),
        }
    }
}
