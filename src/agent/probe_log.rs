//! Log lines of the probes: a prober's first result, then each change. At level debug also every probe.

use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use crate::config::Prober;
use crate::probe::Outcome;
use crate::telemetry::{ChangeFilter, Level, Logger};

/// Result of a probe, as far as a difference in it is a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Healthy,
    Failing {
        status: u16,
        reason: Option<&'static str>,
    },
}

/// A probe that has an outcome.
pub struct ProbeResult<'a> {
    pub prober: &'a Prober,
    pub target: SocketAddr,
    pub outcome: Outcome,
    /// From the accept to the outcome.
    pub duration: Duration,
}

impl ProbeResult<'_> {
    fn health(&self) -> Health {
        match self.outcome.is_healthy() {
            true => Health::Healthy,
            false => Health::Failing {
                status: self.outcome.status(),
                reason: self.outcome.reason(),
            },
        }
    }

    fn log(&self, logger: &Logger, level: Level, message: &str, suppressed: u32) {
        logger
            .line(level, message)
            .field("path", &self.prober.path)
            .field("target", self.target)
            .maybe("reason", self.outcome.reason())
            .maybe("grpc_code", self.outcome.grpc_code())
            .field("status", self.outcome.status())
            .field("duration_ms", self.duration.as_millis() as u64)
            .suppressed(suppressed);
    }
}

/// Selects the log lines of all probers.
pub struct ProbeLog(RefCell<Box<[ChangeFilter<Health>]>>);

impl ProbeLog {
    /// For a table of `probers`.
    pub fn new(probers: usize) -> ProbeLog {
        let filters = vec![ChangeFilter::new(None); probers];
        ProbeLog(RefCell::new(filters.into_boxed_slice()))
    }

    /// Logs a result of prober number `index` if it is the first one or a change; at level debug always.
    pub fn log(&self, logger: &Logger, index: usize, result: &ProbeResult<'_>, now: Instant) {
        result.log(logger, Level::Debug, "probe finished", 0);
        let health = result.health();
        let Some(suppressed) = self.0.borrow_mut()[index].observe(health, now) else {
            return;
        };
        match health {
            Health::Healthy => result.log(logger, Level::Info, "prober healthy", suppressed),
            Health::Failing { .. } => result.log(logger, Level::Warn, "prober failing", suppressed),
        }
    }
}
