//! What all connections share.

use super::metrics::{Gauges, Metrics};
use super::places::Places;
use super::review::{Outcome, ReviewError, Reviewed, review};
use super::serving_cert::{CertWatcher, CurrentCert, ServingCert, server_config};
use super::settings::{Live, Notice};
use super::stream::Scratch;
use super::validity::{date, now};
use crate::limits;
use crate::net::ByteSemaphore;
use crate::telemetry::{Level, LogSettings, Logger, RateLimit};
use core::cell::{Cell, RefCell};
use futures_rustls::TlsAcceptor;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// What all connections share.
pub struct Shared {
    /// The connections.
    pub places: Places,
    /// Bytes of request bodies in memory.
    pub body_bytes: Rc<ByteSemaphore>,
    /// What is read goes through here.
    pub scratch: Scratch,
    /// What is counted.
    pub metrics: Metrics,
    /// What is told.
    pub log: Logger,
    /// The certificate.
    pub shown: Arc<CurrentCert>,
    /// The settings.
    pub live: RefCell<Live>,
    /// Files of the certificate, if it comes from files.
    cert_watcher: RefCell<Option<CertWatcher>>,
    acceptor: TlsAcceptor,
    draining: Cell<bool>,
    problem_limit: RefCell<RateLimit>,
    handshake_limit: RefCell<RateLimit>,
    review_limit: RefCell<RateLimit<{ limits::REVIEW_LOG_LINES_PER_MINUTE }>>,
}

impl Shared {
    /// At the start: with a certificate from files, or nothing to show yet, and room for so many connections.
    ///
    /// # Errors
    /// rustls': none.
    pub fn new(
        log: LogSettings,
        live: Live,
        files: Option<(CertWatcher, ServingCert)>,
        connections: usize,
    ) -> Result<Shared, rustls::Error> {
        let shown = Arc::new(CurrentCert::default());
        let (cert_watcher, pair) = files.unzip();
        let shared = Shared {
            places: Places::new(connections),
            body_bytes: ByteSemaphore::of_bytes(limits::REVIEW_BYTES_TOTAL),
            scratch: Scratch::new(),
            metrics: Metrics::new(),
            log: Logger::new(log, limits::WEBHOOK_LOG_VALUE_BYTES),
            live: RefCell::new(live),
            cert_watcher: RefCell::new(cert_watcher),
            acceptor: TlsAcceptor::from(Arc::new(server_config(shown.clone())?)),
            shown,
            draining: Cell::new(false),
            problem_limit: RefCell::default(),
            handshake_limit: RefCell::default(),
            review_limit: RefCell::default(),
        };
        if let Some(pair) = pair {
            shared.show(pair);
        }
        let notice = shared.live.borrow().notice();
        if let Some(missing @ Notice::Missing(..)) = notice {
            shared.note_values(missing);
        }
        Ok(shared)
    }

    /// What a handshake is made with: the certificate as its files are now.
    pub fn acceptor(&self) -> &TlsAcceptor {
        let mut watcher = self.cert_watcher.borrow_mut();
        let watcher = watcher.as_mut();
        match watcher.and_then(|watcher| watcher.reload(Instant::now())) {
            Some(Ok(pair)) => self.show(pair),
            Some(Err(why)) => {
                self.metrics.certificate_reloads.failure.increment();
                let line = self.log.line(Level::Warn, "certificate kept");
                drop(line.field("reason", why));
            }
            None => {}
        }
        &self.acceptor
    }

    /// Shows this certificate from now on. Whoever put it there may have put one that has ended.
    pub fn show(&self, pair: ServingCert) {
        let end = pair.not_after;
        let is_over = end.is_some_and(|end| end <= now());
        let (level, is_first) = (
            if is_over { Level::Warn } else { Level::Info },
            self.shown.replace(pair),
        );
        let message = match (is_over, is_first) {
            (true, _) => "certificate has expired",
            (false, true) => "certificate shown",
            (false, false) => "certificate renewed",
        };
        drop(
            self.log
                .line(level, message)
                .field("not_after", end.map_or_else(String::new, date)),
        );
        if !is_first {
            self.metrics.certificate_reloads.success.increment();
        }
    }

    /// Answers a review by the settings as they are now.
    ///
    /// # Errors
    /// Why the body is no review.
    pub fn review(&self, body: &[u8]) -> Result<Vec<u8>, ReviewError> {
        let began = Instant::now();
        let mut live = self.live.borrow_mut();
        if let Some(notice) = live.look(began) {
            self.note_values(notice);
        }
        let reviewed = review(body, live.settings())?;
        self.metrics
            .count_review(&reviewed.outcome, began.elapsed());
        self.note_review(&reviewed);
        Ok(reviewed.answer)
    }

    fn note_values(&self, notice: Notice) {
        match notice {
            Notice::Taken(rewrite) => {
                self.metrics.values_reloads.success.increment();
                let line = self.log.line(Level::Info, "values taken");
                drop(line.field("rewrite", rewrite));
            }
            Notice::Missing(path, rewrite) => {
                let line = self.log.line(Level::Warn, "no values");
                drop(line.field("path", path).field("rewrite", rewrite));
            }
            Notice::Kept(why) => {
                self.metrics.values_reloads.failure.increment();
                let line = self.log.line(Level::Warn, "values kept");
                drop(line.field("reason", why));
            }
        }
    }

    fn note_review(&self, reviewed: &Reviewed) {
        let level = match reviewed.outcome {
            Outcome::Patched(_) => Level::Info,
            Outcome::Refused(_) => Level::Warn,
            Outcome::Unchanged(_) | Outcome::Skipped(_) | Outcome::NotAsked => Level::Debug,
        };
        let limit = &mut self.review_limit.borrow_mut();
        self.log
            .limited_line(limit, level, "reviewed")
            .field(
                "pod",
                format_args!("{}/{}", reviewed.namespace, reviewed.pod),
            )
            .field("outcome", reviewed.outcome.word())
            .field("detail", reviewed.outcome.detail());
    }

    /// A request could not be served.
    pub fn note_problem(&self, reason: &str) {
        let limit = &mut self.problem_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Warn, "bad request")
            .field("reason", reason);
    }

    /// A handshake failed.
    pub fn note_handshake(&self, reason: &str) {
        self.metrics.handshake_failures.increment();
        let limit = &mut self.handshake_limit.borrow_mut();
        self.log
            .limited_line(limit, Level::Warn, "no handshake")
            .field("reason", reason);
    }

    /// The page of metrics.
    pub fn page(&self) -> Vec<u8> {
        self.metrics.page(Gauges {
            connections: self.places.count(),
            evicted: self.places.evicted(),
            body_bytes: limits::REVIEW_BYTES_TOTAL - self.body_bytes.free_bytes(),
            not_after: self.shown.not_after(),
        })
    }

    /// From now on no connection outlives its request.
    pub fn drain(&self) {
        self.draining.set(true);
        self.places.close_unasked();
    }

    /// Whether that is so.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }
}
