//! Log lines of faults that a healthy pod does not have. Not in `log_events`, because their code lies in the cold
//! section (`.cargo/layout.ld`).

use rustix::io::Errno;

use super::log_events::EventLog;
use super::metrics::Rejection;
use crate::config::Capacity;
use crate::net::TlsReload;
use crate::telemetry::Level;

impl EventLog {
    /// There are too few file descriptors for the configured capacity.
    pub fn capacity_lowered(&self, capacity: Capacity) {
        self.logger
            .line(Level::Warn, "capacity lowered: too few file descriptors")
            .field("probes", capacity.probes)
            .field("hooks", capacity.hooks)
            .field("reserve", capacity.reserve)
            .field("forwards", capacity.forwards);
    }

    /// A request for a path that has no prober.
    pub fn unknown_path(&self, path: &[u8]) {
        let limit = &mut self.limits.borrow_mut().unknown_path;
        self.logger
            .limited_line(limit, Level::Warn, "unknown path")
            .field("path", path.escape_ascii());
    }

    /// A request that is malformed, too large, or of another method than GET and HEAD.
    pub fn bad_request(&self, rejection: Rejection, detail: &str) {
        let limit = &mut self.limits.borrow_mut().bad_request;
        self.logger
            .limited_line(limit, Level::Warn, "bad request")
            .field("reason", rejection.as_str())
            .field("detail", detail);
    }

    /// Probes whose deadline passed while other handshakes held all permits.
    pub fn no_handshake_permit(&self, probes: usize) {
        let limit = &mut self.limits.borrow_mut().handshake_permit;
        let message = "no TLS handshake permit before the deadline";
        self.logger
            .limited_line(limit, Level::Warn, message)
            .field("probes", probes);
    }

    /// A file for TLS has changed.
    pub fn tls_reload(&self, reload: &TlsReload) {
        let limit = &mut self.limits.borrow_mut().tls_reload;
        let part = reload.part();
        match reload {
            TlsReload::Renewed(_) => {
                self.logger
                    .limited_line(limit, Level::Info, "certificate reloaded")
                    .field("part", part);
            }
            TlsReload::Failed(error) => {
                let message = "certificate reload failed, keeping the previous one";
                self.logger
                    .limited_line(limit, Level::Warn, message)
                    .field("part", part)
                    .field("path", &error.path)
                    .field("error", error.error);
            }
        }
    }

    /// The kernel refused to accept a connection.
    pub fn accept_failed(&self, error: Errno) {
        let limit = &mut self.limits.borrow_mut().accept_failed;
        self.logger
            .limited_line(limit, Level::Error, "accept failed")
            .field("error", error);
    }
}
