//! The state that all connections share.

use super::body_memory::BodyMemory;
use super::client_ca::{ClientCa, VerifiedBy};
use super::cluster::NamespaceTable;
use super::connection_table::{ConnectionTable, Evicted, Phase};
use super::handshake_permits::{HandshakePermit, HandshakePermits};
use super::metrics::{Metrics, ScrapeValues};
use super::review::{Outcome, ReviewError, ReviewResult, review_with};
use super::serving_cert::{CertWatcher, CurrentCert, ServingCert, server_config};
use super::settings::{ReloadableSettings, ValuesState};
use super::stream_io::{ReadBuffer, ServerStream};
use super::turns::Turns;
use crate::limits;
use crate::pem::{rfc3339, unix_now};
use crate::telemetry::{Level, LogSettings, Logger, RateLimit};
use async_io::Timer;
use core::cell::{Cell, RefCell};
use core::fmt::Display;
use rustls::{AlertDescription, ServerConfig};
use smol::channel::{Receiver, Sender};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The state that all connections share.
pub struct ServerState {
    /// The open connections.
    pub connections: Rc<ConnectionTable>,
    /// Bounds the bytes of request bodies and responses in memory.
    pub body_memory: BodyMemory,
    /// Orders what takes CPU time.
    pub turns: Turns,
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
    /// The settings of namespaces.
    pub namespaces: RefCell<NamespaceTable>,
    /// Absent if the certificate is self-signed.
    cert_watcher: RefCell<Option<CertWatcher>>,
    client_ca: RefCell<Option<ClientCa>>,
    /// Replaced when the CAs of the clients change.
    tls_config: RefCell<Arc<ServerConfig>>,
    handshakes: HandshakePermits,
    /// Has a message after a client has rejected the certificate.
    cert_rejections: (Sender<()>, Receiver<()>),
    is_draining: Cell<bool>,
    accept_limit: RefCell<RateLimit>,
    error_response_limit: RefCell<RateLimit>,
    handshake_limit: RefCell<RateLimit>,
    eviction_limit: RefCell<RateLimit>,
    review_limit: RefCell<RateLimit<{ limits::REVIEW_LOG_LINES_PER_MINUTE }>>,
}

impl ServerState {
    /// Creates the state. `cert` is `None` for a self-signed certificate, which [`set_cert`](Self::set_cert) sets later.
    /// Without `client_ca` all clients may send reviews.
    ///
    /// # Errors
    /// rustls' error if the provider had no cipher suite for a version.
    pub fn new(
        log: LogSettings,
        settings: ReloadableSettings,
        cert: Option<(CertWatcher, ServingCert)>,
        client_ca: Option<ClientCa>,
        max_sockets: usize,
    ) -> Result<ServerState, rustls::Error> {
        let current_cert = Arc::new(CurrentCert::default());
        let (cert_watcher, cert) = cert.unzip();
        let turns = Turns::new();
        let state = ServerState {
            connections: Rc::new(ConnectionTable::new(max_sockets)),
            body_memory: BodyMemory::new(turns.cpu_time()),
            turns,
            read_buffer: ReadBuffer::new(),
            metrics: Metrics::new(),
            log: Logger::new(log, limits::WEBHOOK_LOG_VALUE_BYTES),
            settings: RefCell::new(settings),
            namespaces: RefCell::default(),
            cert_watcher: RefCell::new(cert_watcher),
            tls_config: RefCell::new(tls_config(&current_cert, client_ca.as_ref())?),
            handshakes: HandshakePermits::new(),
            client_ca: RefCell::new(client_ca),
            current_cert,
            cert_rejections: smol::channel::bounded(1),
            is_draining: Cell::new(false),
            accept_limit: RefCell::default(),
            error_response_limit: RefCell::default(),
            handshake_limit: RefCell::default(),
            eviction_limit: RefCell::default(),
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

    /// The TLS configuration of new handshakes.
    pub fn tls_config(&self) -> Arc<ServerConfig> {
        self.tls_config.borrow().clone()
    }

    /// Waits for a handshake permit.
    pub async fn acquire_handshake(&self, client: IpAddr) -> HandshakePermit {
        let log = |evicted| self.log_evicted(evicted);
        self.handshakes
            .acquire(client, &self.connections, log)
            .await
    }

    /// Evicts slow bodies and responses while others wait for memory.
    pub async fn run_body_evictor(&self) {
        let pause = || Timer::after(limits::SLOW_BODY_POLL_INTERVAL);
        self.body_memory.run_evictor(pause).await;
    }

    /// Evicts slow handshakes while connections wait for permits.
    pub async fn run_handshake_evictor(&self) {
        let log = |evicted| self.log_evicted(evicted);
        self.handshakes.run_evictor(&self.connections, log).await;
    }

    /// Whether the client of a connection may send reviews.
    pub fn may_send_reviews(&self, stream: &ServerStream, verified_by: &mut VerifiedBy) -> bool {
        self.reload_client_ca();
        let client_ca = self.client_ca.borrow();
        let is_accepted = |ca: &ClientCa| {
            let chain = stream.get_ref().1.peer_certificates();
            verified_by.accepts(ca.verifier(), chain)
        };
        client_ca.as_ref().is_none_or(is_accepted)
    }

    /// Reloads the CAs of the clients if their file changed, and logs and counts the result.
    pub fn reload_client_ca(&self) {
        let mut client_ca = self.client_ca.borrow_mut();
        let Some(ca) = client_ca.as_mut() else {
            return;
        };
        match ca.reload(Instant::now()) {
            Some(Ok(())) => match tls_config(&self.current_cert, Some(ca)) {
                Ok(config) => {
                    self.tls_config.replace(config);
                    self.metrics.client_ca_reloads.count_success();
                    self.log.line(Level::Info, "client CA reloaded");
                }
                Err(error) => self.record_client_ca_failure(&error),
            },
            Some(Err(error)) => self.record_client_ca_failure(&error),
            None => {}
        }
    }

    fn record_client_ca_failure(&self, error: &dyn Display) {
        self.metrics.client_ca_reloads.count_failure();
        let message = "client CA reload failed, keeping previous CA";
        self.log.line(Level::Warn, message).field("error", error);
    }

    /// Reloads the certificate if its files changed, and logs and counts the result.
    pub fn reload_cert(&self) {
        let mut watcher = self.cert_watcher.borrow_mut();
        let reload = watcher
            .as_mut()
            .and_then(|watcher| watcher.reload(Instant::now()));
        match reload {
            Some(Ok(cert)) => self.set_cert(cert),
            Some(Err(error)) => self.record_certificate_failure(&error),
            None => {}
        }
    }

    /// Serves this certificate from now on, even if it has expired: there may be no other.
    pub fn set_cert(&self, cert: ServingCert) {
        let not_after = cert.not_after;
        let is_expired = not_after.is_some_and(|end| end <= unix_now());
        let is_first = self.current_cert.replace(cert);
        let (level, message) = match (is_expired, is_first) {
            (true, _) => (Level::Warn, "certificate has expired"),
            (false, true) => (Level::Info, "certificate loaded"),
            (false, false) => (Level::Info, "certificate reloaded"),
        };
        self.log
            .line(level, message)
            .maybe("not_after", not_after.map(rfc3339));
        if !is_first {
            self.metrics.certificate_reloads.count_success();
        }
    }

    /// Logs and counts a new certificate that cannot be used.
    pub fn record_certificate_failure(&self, error: &dyn Display) {
        self.metrics.certificate_reloads.count_failure();
        let message = "certificate reload failed, keeping previous certificate";
        self.log.line(Level::Warn, message).field("error", error);
    }

    /// Reloads the settings if their file changed, and logs and counts the result.
    pub fn reload_settings(&self) {
        let reload = self.settings.borrow_mut().reload(Instant::now());
        match reload {
            Some(Ok(values)) => self.record_values_reload(&values),
            Some(Err(error)) => {
                self.metrics.values_reloads.count_failure();
                let message = "values reload failed, keeping previous values";
                self.log.line(Level::Warn, message).field("error", error);
            }
            None => {}
        }
    }

    /// Answers, counts and logs a review.
    ///
    /// # Errors
    /// The body is not a valid review.
    pub fn answer_review(&self, body: &[u8]) -> Result<Vec<u8>, ReviewError> {
        let began = Instant::now();
        let (settings, namespaces) = (self.settings.borrow(), self.namespaces.borrow());
        let reviewed = review_with(body, settings.settings(), &namespaces)?;
        self.metrics
            .count_review(&reviewed.outcome, began.elapsed());
        self.log_review(&reviewed);
        Ok(reviewed.response_body)
    }

    fn record_values_reload(&self, values: &ValuesState) {
        match values {
            ValuesState::Loaded { rewrite } => {
                self.metrics.values_reloads.count_success();
                self.log
                    .line(Level::Info, "values reloaded")
                    .field("rewrite", rewrite);
            }
            ValuesState::Missing { path, rewrite } => {
                self.metrics.values_reloads.count_success();
                self.log_missing_values(path, *rewrite);
            }
        }
    }

    fn log_missing_values(&self, path: &str, rewrite: bool) {
        self.log
            .line(
                Level::Warn,
                "values file not found, using flags and defaults",
            )
            .field("path", path)
            .field("rewrite", rewrite);
    }

    fn log_review(&self, reviewed: &ReviewResult) {
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
            .field("outcome", reviewed.outcome.label())
            .field("detail", reviewed.outcome.detail());
    }

    /// Logs a request that is answered with an error.
    pub fn log_error_response(&self, client: IpAddr, status: u16, error: &dyn Display) {
        let limit = &mut self.error_response_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Warn, "request failed")
            .field("status", status)
            .field("error", error)
            .field("client", client);
    }

    /// Logs that the kernel refused to accept a connection.
    pub fn log_accept_failure(&self, error: &io::Error) {
        let limit = &mut self.accept_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Error, "accept failed")
            .field("error", error);
    }

    /// Waits until a client has rejected the certificate since the last call.
    pub async fn wait_for_cert_rejection(&self) {
        // Both ends are in this state, so the channel is never closed.
        let _ = self.cert_rejections.1.recv().await;
    }

    /// Records that a handshake failed because the client rejects the certificate, if it did.
    pub fn observe_cert_rejection(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|error| error.downcast_ref());
        // Go's client sends `bad_certificate` for an unknown CA.
        if let Some(rustls::Error::AlertReceived(
            AlertDescription::BadCertificate | AlertDescription::UnknownCA,
        )) = tls
        {
            // A full channel has a rejection that has not been received yet.
            let _ = self.cert_rejections.0.try_send(());
        }
    }

    /// Logs that a connection was evicted for another one.
    pub fn log_evicted(&self, evicted: Evicted) {
        let limit = &mut self.eviction_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Warn, "connection evicted")
            .field("phase", evicted.phase.label())
            .field("client", evicted.peer);
    }

    /// Logs and counts a connection that was closed at once because none may be evicted for it.
    pub fn record_rejected(&self, client: IpAddr) {
        self.metrics.rejected_connections.increment();
        let limit = &mut self.eviction_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Warn, "connection rejected")
            .field(
                "error",
                "its address has the most connections, and all of them are busy",
            )
            .field("client", client);
    }

    /// Logs and counts a failed TLS handshake.
    pub fn record_handshake_failure(&self, client: IpAddr, error: &dyn Display) {
        self.metrics.handshake_failures.increment();
        let limit = &mut self.handshake_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Warn, "TLS handshake failed")
            .field("error", error)
            .field("client", client);
    }

    /// Returns the page of metrics in Prometheus' text format.
    pub fn metrics_page(&self) -> Vec<u8> {
        self.metrics.page(ScrapeValues {
            connections: self.connections.count(),
            evicted_connections: Phase::ALL
                .map(|phase| (phase, self.connections.evicted_count(phase))),
            evicted_bodies: self.body_memory.evicted_count(),
            reserved_body_bytes: self.body_memory.used_bytes(),
            has_client_ca: self.client_ca.borrow().is_some(),
            has_values_file: self.settings.borrow().values_state().is_some(),
            not_after: self.current_cert.not_after(),
        })
    }

    /// Begins graceful shutdown: closes connections without a request now, and the others after their response.
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.connections.close_without_request();
    }

    /// Whether graceful shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.is_draining.get()
    }
}

fn tls_config(
    current_cert: &Arc<CurrentCert>,
    client_ca: Option<&ClientCa>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let clients = client_ca.map(|ca| ca.verifier().clone());
    server_config(current_cert.clone(), clients).map(Arc::new)
}
