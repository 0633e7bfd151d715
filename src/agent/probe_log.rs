//! Log lines of the probes: a prober's first result, then each change. At level debug also every probe.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use crate::config::Prober;
use crate::probe::Outcome;
use crate::telemetry::{ChangeFilters, Level, Logger};

/// Result of a probe without the details whose changes are not logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Healthy,
    Failing {
        status: u16,
        reason: Option<&'static str>,
        /// Which of several handlers.
        handler: Option<usize>,
    },
}

/// A finished probe.
pub struct ProbeResult<'a> {
    pub prober: &'a Prober,
    /// The index of the handler that failed, if the prober has several.
    pub handler: Option<usize>,
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
                handler: self.handler,
            },
        }
    }

    fn write(&self, logger: &Logger, level: Level, message: &str, suppressed: u32) {
        logger
            .line(level, message)
            .field("path", &self.prober.path)
            .maybe("handler", self.handler)
            .field("target", self.target)
            .maybe("reason", self.outcome.reason())
            .maybe("grpc_code", self.outcome.grpc_code())
            .maybe("app_status", self.outcome.app_status())
            .field("status", self.outcome.status())
            .field("duration_ms", self.duration.as_millis() as u64)
            .suppressed(suppressed);
    }
}

/// Logs a result of prober number `index` if it is the first one or a change; at level debug always.
pub fn log_probe(
    logger: &Logger,
    filters: &ChangeFilters<Health>,
    index: usize,
    result: &ProbeResult<'_>,
    now: Instant,
) {
    // A probe is usually not logged, and the code that writes lines is then not even loaded into a cache.
    if logger.is_enabled(Level::Debug) {
        result.write(logger, Level::Debug, "probe finished", 0);
    }
    let health = result.health();
    let Some(suppressed) = filters.observe(index, health, now) else {
        return;
    };
    match health {
        Health::Healthy => result.write(logger, Level::Info, "prober healthy", suppressed),
        Health::Failing { .. } => result.write(logger, Level::Warn, "prober failing", suppressed),
    }
}
