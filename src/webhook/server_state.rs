//! The state that all connections share.

use super::connection_table::ConnectionTable;
use super::io::ReadBuffer;
use super::metrics::{Gauges, Metrics};
use super::review::{Outcome, ReviewError, Reviewed, review};
use super::serving_cert::{CertWatcher, CurrentCert, ServingCert, server_config};
use super::settings::{ReloadableSettings, ValuesState};
use super::validity::{rfc3339, unix_now};
use crate::limits;
use crate::net::ByteSemaphore;
use crate::telemetry::{Level, LogSettings, Logger, RateLimit};
use core::cell::{Cell, RefCell};
use core::fmt::Display;
use futures_rustls::TlsAcceptor;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The state that all connections share.
pub struct ServerState {
    /// The open connections.
    pub connections: ConnectionTable,
    /// Bytes of request bodies in memory.
    pub body_bytes: Rc<ByteSemaphore>,
    /// The buffer of all reads.
    pub read_buffer: ReadBuffer,
    /// All counters.
    pub metrics: Metrics,
    /// The log.
    pub log: Logger,
    /// The serving certificate.
    pub current_cert: Arc<CurrentCert>,
    /// The settings for all pods.
    pub settings: RefCell<ReloadableSettings>,
    /// Absent if the certificate is self-signed.
    cert_watcher: RefCell<Option<CertWatcher>>,
    acceptor: TlsAcceptor,
    is_draining: Cell<bool>,
    bad_request_limit: RefCell<RateLimit>,
    handshake_limit: RefCell<RateLimit>,
    review_limit: RefCell<RateLimit<{ limits::REVIEW_LOG_LINES_PER_MINUTE }>>,
}

impl ServerState {
    /// At start: with the certificate of files, or without any until [`set_cert`](Self::set_cert), and for at most
    /// `max_connections`.
    ///
    /// # Errors
    /// rustls' error if the provider had no cipher suite for a version.
    pub fn new(
        log: LogSettings,
        settings: ReloadableSettings,
        cert: Option<(CertWatcher, ServingCert)>,
        max_connections: usize,
    ) -> Result<ServerState, rustls::Error> {
        let current_cert = Arc::new(CurrentCert::default());
        let (cert_watcher, cert) = cert.unzip();
        let state = ServerState {
            connections: ConnectionTable::new(max_connections),
            body_bytes: ByteSemaphore::of_bytes(limits::REVIEW_BYTES_TOTAL),
            read_buffer: ReadBuffer::new(),
            metrics: Metrics::new(),
            log: Logger::new(log, limits::WEBHOOK_LOG_VALUE_BYTES),
            settings: RefCell::new(settings),
            cert_watcher: RefCell::new(cert_watcher),
            acceptor: TlsAcceptor::from(Arc::new(server_config(current_cert.clone())?)),
            current_cert,
            is_draining: Cell::new(false),
            bad_request_limit: RefCell::default(),
            handshake_limit: RefCell::default(),
            review_limit: RefCell::default(),
        };
        if let Some(cert) = cert {
            state.set_cert(cert);
        }
        let values = state.settings.borrow().values_state();
        if let Some(ValuesState::Missing { path, rewrite }) = values {
            state.log_missing_values(&path, rewrite);
        }
        Ok(state)
    }

    /// The acceptor for a handshake, after reloading the certificate if its files changed.
    pub fn reload_acceptor(&self) -> &TlsAcceptor {
        let mut watcher = self.cert_watcher.borrow_mut();
        let reload = watcher
            .as_mut()
            .and_then(|watcher| watcher.reload(Instant::now()));
        match reload {
            Some(Ok(cert)) => self.set_cert(cert),
            Some(Err(error)) => {
                self.metrics.certificate_reloads.failure.increment();
                self.log_certificate_failure(&error);
            }
            None => {}
        }
        &self.acceptor
    }

    /// Serves this certificate from now on, even if it has expired: there may be no other.
    pub fn set_cert(&self, cert: ServingCert) {
        let not_after = cert.not_after;
        let is_expired = not_after.is_some_and(|end| end <= unix_now());
        let is_first = self.current_cert.replace(cert);
        let (level, message) = match (is_expired, is_first) {
            (true, _) => (Level::Warn, "certificate has expired"),
            (false, true) => (Level::Info, "certificate loaded"),
            (false, false) => (Level::Info, "certificate renewed"),
        };
        self.log
            .line(level, message)
            .field("not_after", not_after.map_or_else(String::new, rfc3339));
        if !is_first {
            self.metrics.certificate_reloads.success.increment();
        }
    }

    /// Logs that a new certificate cannot be used.
    pub fn log_certificate_failure(&self, error: &dyn Display) {
        let message = "certificate reload failed, keeping previous certificate";
        self.log.line(Level::Warn, message).field("reason", error);
    }

    /// Answers a review by the present settings.
    ///
    /// # Errors
    /// Why the body is not a valid review.
    pub fn review(&self, body: &[u8]) -> Result<Vec<u8>, ReviewError> {
        let began = Instant::now();
        let mut settings = self.settings.borrow_mut();
        match settings.reload(began) {
            Some(Ok(values)) => self.log_values(&values),
            Some(Err(why)) => {
                self.metrics.values_reloads.failure.increment();
                let message = "reload failed, keeping previous values";
                self.log.line(Level::Warn, message).field("reason", why);
            }
            None => {}
        }
        let reviewed = review(body, settings.settings())?;
        self.metrics
            .count_review(&reviewed.outcome, began.elapsed());
        self.log_review(&reviewed);
        Ok(reviewed.answer)
    }

    fn log_values(&self, values: &ValuesState) {
        match values {
            ValuesState::Loaded { rewrite } => {
                self.metrics.values_reloads.success.increment();
                self.log
                    .line(Level::Info, "values reloaded")
                    .field("rewrite", rewrite);
            }
            ValuesState::Missing { path, rewrite } => self.log_missing_values(path, *rewrite),
        }
    }

    fn log_missing_values(&self, path: &str, rewrite: bool) {
        self.log
            .line(Level::Warn, "values file not found")
            .field("path", path)
            .field("rewrite", rewrite);
    }

    fn log_review(&self, reviewed: &Reviewed) {
        let level = match reviewed.outcome {
            Outcome::Patched(_) => Level::Info,
            Outcome::Failed(_) => Level::Warn,
            Outcome::Unchanged(_) | Outcome::Skipped(_) | Outcome::NotApplicable => Level::Debug,
        };
        let limit = &mut self.review_limit.borrow_mut();
        self.log
            .limited_line(limit, level, "reviewed")
            .field(
                "pod",
                format_args!("{}/{}", reviewed.namespace, reviewed.pod),
            )
            .field("outcome", reviewed.outcome.as_str())
            .field("detail", reviewed.outcome.detail());
    }

    /// Logs a request that got an error response.
    pub fn log_bad_request(&self, reason: &str) {
        let limit = &mut self.bad_request_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Warn, "bad request")
            .field("reason", reason);
    }

    /// Logs and counts a connection that was not accepted, or whose handshake failed.
    pub fn log_handshake_failure(&self, reason: &str) {
        self.metrics.handshake_failures.increment();
        let limit = &mut self.handshake_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Warn, "TLS handshake failed")
            .field("reason", reason);
    }

    /// The page of metrics.
    pub fn metrics_page(&self) -> Vec<u8> {
        self.metrics.page(Gauges {
            connections: self.connections.count(),
            evicted: self.connections.evicted(),
            body_bytes: limits::REVIEW_BYTES_TOTAL - self.body_bytes.free_bytes(),
            not_after: self.current_cert.not_after(),
        })
    }

    /// Begins graceful shutdown: closes idle connections, and each other one after its response.
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.connections.close_idle();
    }

    /// Whether graceful shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.is_draining.get()
    }
}
