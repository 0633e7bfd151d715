//! Log lines of the agent itself and of requests without a probe result. Each kind has its own rate limit.

use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;

use super::metrics::Rejection;
use crate::config::{Config, Prober};
use crate::limits;
use crate::net::{Socket, tls};
use crate::telemetry::{Level, LogSettings, Logger, RateLimit};

/// The agent's log.
pub struct EventLog {
    pub(super) logger: Logger,
    pub(super) limits: RefCell<EventLimits>,
}

/// The rate limit of each kind of line that repeats.
#[derive(Default)]
pub(super) struct EventLimits {
    pub peer_not_allowed: RateLimit,
    pub unknown_path: RateLimit,
    pub bad_request: RateLimit,
    pub rejected: RateLimit,
    pub connection_reset: RateLimit,
    pub accept_failed: RateLimit,
    pub tls_reload: RateLimit,
    pub handshake_permit: RateLimit,
    pub forward_evicted: RateLimit,
}

impl EventLog {
    /// A log on standard error.
    pub fn new(settings: LogSettings) -> EventLog {
        EventLog {
            logger: Logger::new(settings, limits::LOG_VALUE_BYTES),
            limits: RefCell::default(),
        }
    }

    /// The agent started.
    pub fn started(&self, config: &Config) {
        let (probers, forwards) = (config.probers.len(), config.forwards.len());
        let (level, message) = match probers + forwards + config.inbounds.len() {
            0 => (Level::Warn, "started without probers or forwards"),
            _ => (Level::Info, "started"),
        };
        self.logger
            .line(level, message)
            .field("version", env!("CARGO_PKG_VERSION"))
            .field("probers", probers)
            .field("forwards", forwards)
            .maybe(
                "inbounds",
                (!config.inbounds.is_empty()).then_some(config.inbounds.len()),
            )
            .field("target", config.target)
            .maybe("source", config.source);
        let tls_probers = config.probers.iter().filter(|prober| {
            prober
                .handlers
                .iter()
                .any(|handler| handler.action.needs_tls())
        });
        match tls_probers.count() {
            probers @ 1.. if !tls::IS_BUILT => {
                let message = "this build has no TLS: probers that need it respond 501";
                self.logger
                    .line(Level::Warn, message)
                    .field("probers", probers);
            }
            _ => {}
        }
    }

    /// A port listens: the status port, or a forward's with its target.
    pub fn listening(&self, kind: &str, addr: SocketAddr, target: Option<SocketAddr>) {
        self.logger
            .line(Level::Info, "listening")
            .field("kind", kind)
            .field("addr", addr)
            .field("port", addr.port())
            .maybe("target", target);
    }

    /// The client disconnected before the probe had an outcome. kubelet counts that as a failure.
    pub fn canceled(&self, prober: &Prober) {
        self.without_outcome("probe canceled", prober, Rejection::ClientDisconnected);
    }

    /// No slot was free to run the probe or hook. kubelet counts that as a failure.
    pub fn no_slot(&self, prober: &Prober, rejection: Rejection) {
        self.without_outcome("probe rejected, no free slot", prober, rejection);
    }

    fn without_outcome(&self, message: &str, prober: &Prober, rejection: Rejection) {
        let limit = &mut self.limits.borrow_mut().rejected;
        self.logger
            .limited_line(limit, Level::Warn, message)
            .field("path", &prober.path)
            .field("reason", rejection.as_str());
    }

    /// A connection was reset before its request was complete.
    pub fn connection_reset(&self, rejection: Rejection, client: &Socket) {
        let limit = &mut self.limits.borrow_mut().connection_reset;
        self.logger
            .limited_line(
                limit,
                Level::Warn,
                "closed connection without a complete request",
            )
            .field("reason", rejection.as_str())
            .maybe("client", client.peer_ip());
    }

    /// SIGTERM or SIGINT was received; the agent serves for `delay` longer.
    pub fn stopping(&self, delay: Duration) {
        self.logger
            .line(Level::Info, "stopping")
            .field("delay_seconds", delay.as_secs());
    }

    /// The agent ends and resets the connections that are still open.
    pub fn stopped(&self, open_connections: usize) {
        let level = match open_connections {
            0 => Level::Info,
            _ => Level::Warn,
        };
        self.logger
            .line(level, "stopped")
            .field("open_connections", open_connections);
    }
}
