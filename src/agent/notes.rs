//! What is told of the agent itself and of requests that no prober stands for, six lines a minute of a
//! kind at most.

use core::net::SocketAddr;

use rustix::io::Errno;

use super::Agent;
use super::metrics::Rejection;
use crate::config::{Capacity, Prober};
use crate::net::{TlsReload, tls};
use crate::telemetry::{Level, RateLimit};

/// Lines a minute of what is not a prober's.
#[derive(Default)]
pub struct Limits {
    unknown_path: RateLimit,
    bad_request: RateLimit,
    no_place: RateLimit,
    unread: RateLimit,
    accept: RateLimit,
    tls_files: RateLimit,
    turns: RateLimit,
}

impl Agent {
    pub(super) fn note_started(&self) {
        let config = &self.config;
        let (probers, forwards) = (config.probers.len(), config.forwards.len());
        let (level, message) = match probers + forwards {
            0 => (Level::Warn, "started with nothing to probe or to forward"),
            _ => (Level::Info, "started"),
        };
        self.log
            .line(level, message)
            .field("version", env!("CARGO_PKG_VERSION"))
            .field("probers", probers)
            .field("forwards", forwards)
            .field("target", config.target)
            .maybe("source", config.source);
        let in_vain = config
            .probers
            .iter()
            .filter(|prober| prober.action.needs_tls());
        match in_vain.count() {
            probers @ 1.. if !tls::IS_BUILT => {
                let message = "this build has no TLS: these probers are answered 501";
                self.log
                    .line(Level::Warn, message)
                    .field("probers", probers);
            }
            _ => {}
        }
    }

    pub(super) fn note_listening(&self, kind: &str, addr: SocketAddr, target: Option<SocketAddr>) {
        self.log
            .line(Level::Info, "listening")
            .field("kind", kind)
            .field("addr", addr)
            .field("port", addr.port())
            .maybe("target", target);
    }

    pub(super) fn note_capacity(&self, capacity: Capacity) {
        self.log
            .line(Level::Warn, "capacity lowered: too few file descriptors")
            .field("probes", capacity.probes)
            .field("hooks", capacity.hooks)
            .field("reserve", capacity.reserve)
            .field("forwards", capacity.forwards);
    }

    pub(super) fn note_unknown_path(&self, path: &[u8]) {
        let limit = &mut self.limits.borrow_mut().unknown_path;
        self.log
            .limited_line(limit, Level::Warn, "unknown path")
            .field("path", path.escape_ascii());
    }

    pub(super) fn note_bad_request(&self, rejection: Rejection, why: &str) {
        let limit = &mut self.limits.borrow_mut().bad_request;
        self.log
            .limited_line(limit, Level::Warn, "bad request")
            .field("reason", rejection.as_str())
            .field("why", why);
    }

    /// A probe that came to no outcome: kubelet counts that, so the log has to tell it.
    pub(super) fn note_not_asked(&self, prober: &Prober, rejection: Rejection) {
        let message = match rejection {
            Rejection::Abandoned => "abandoned",
            _ => "not asked",
        };
        let limit = &mut self.limits.borrow_mut().no_place;
        self.log
            .limited_line(limit, Level::Warn, message)
            .field("path", &prober.path)
            .field("reason", rejection.as_str());
    }

    /// A connection that was closed before its request was complete.
    pub(super) fn note_unread(&self, rejection: Rejection) {
        let limit = &mut self.limits.borrow_mut().unread;
        self.log
            .limited_line(limit, Level::Warn, "connection reset")
            .field("reason", rejection.as_str());
    }

    /// What became of TLS since the last probe: turns that never came, and certificates that were renewed, or
    /// are broken now.
    pub(super) fn note_tls(&self) {
        let given_up = self.dialler.tls.take_abandoned();
        let limits = &mut *self.limits.borrow_mut();
        if given_up > 0 {
            let message = "no permit for a TLS handshake: others hang";
            self.log
                .limited_line(&mut limits.turns, Level::Warn, message)
                .field("probes", given_up);
        }
        while let Some(reload) = self.dialler.tls.take_reload() {
            let limit = &mut limits.tls_files;
            let part = reload.part();
            match reload {
                TlsReload::Renewed(_) => self
                    .log
                    .limited_line(limit, Level::Info, "certificate renewed")
                    .field("part", part),
                TlsReload::Failed(error) => self
                    .log
                    .limited_line(
                        limit,
                        Level::Warn,
                        "certificate kept: its files are broken now",
                    )
                    .field("part", part)
                    .field("path", &error.path)
                    .field("error", error.error),
            };
        }
    }

    pub(super) fn note_accept_failed(&self, error: Errno) {
        let limit = &mut self.limits.borrow_mut().accept;
        self.log
            .limited_line(limit, Level::Error, "accept failed")
            .field("error", error);
    }
}
